#include "builder/exec/copy.h"

#include <stdlib.h>

#include "builder/exec/upper.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

/* Make what is missing of the literal path. */
static int make_path(struct exec_upper *upper, const char *path, const char *user, const int64_t *mtime,
		     struct ib_err *err)
{
	const struct exec_target *target = exec_upper_target(upper);
	struct exec_metadata made = {.mode = 0755, .keep_mtime = mtime, .mtime.tv_sec = mtime ? *mtime : 0};

	if (user && *user && exec_owner_lookup(target->lower, user, &made.uid, &made.gid, err) < 0)
		return -1;
	if (exec_upper_goto(upper, path, &made, err) < 0)
		return -1;
	return exec_upper_leave(upper, err);
}

int exec_workdir_run(const char *path, const char *user, const int64_t *mtime, const struct exec_target *target,
		     struct ib_err *err)
{
	ib_autofree char *clean = oci_union_clean(path), *literal = NULL;
	IB_CLEANUP(exec_upper_freep) struct exec_upper *upper = NULL;
	struct stat st;
	bool exists;

	if (oci_union_resolve(target->lower, clean, true, &literal, &exists, err) < 0) {
		if (err->code == IB_NOTFOUND)
			return exec_fail_not_directory(err, clean);
		return ib_wrap(err, "WORKDIR %s", path);
	}
	if (exists) {	/* and then nothing is written, so that the layer is empty */
		if (oci_union_stat(target->lower, literal, &st, NULL, err) < 0)
			return -1;
		return S_ISDIR(st.st_mode) ? 0 : exec_fail_not_directory(err, clean);
	}
	if (exec_upper_new(target, &upper, err) < 0)
		return -1;
	return make_path(upper, literal, user, mtime, err);
}
