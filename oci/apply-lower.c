#include "oci/layer-apply-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/base/pool.h"
#include "oci/base/str.h"
#include "oci/union-internal.h"

#include "oci/base/poison.h"

#define COPY_BYTES (1u << 20)	/* between two looks at cancellation */
#define MAX_XATTR_LIST 65536	/* XATTR_LIST_MAX of Linux */

void apply_lower_done(struct apply_lower *lower)
{
	ib_closep(&lower->dirfd);
	free(lower->name);
	free(lower->path);
	*lower = (struct apply_lower){.dirfd = -1};
}

/* Look name up in the directory the stack has come to. */
static int find_in(struct union_stack *stack, const char *name, struct apply_lower *lower, struct ib_err *err)
{
	const struct union_part *part;
	int found = union_stack_stat(stack, name, &lower->st, &part, err);

	if (found <= 0)
		return found;
	lower->dirfd = fcntl(part->fd, F_DUPFD_CLOEXEC, 0);
	if (lower->dirfd < 0)
		return ib_fail_sys(err, errno, "keep a directory of the lower layers");
	lower->name = ib_strdup(name);
	lower->path = ib_asprintf("%s%s%s", stack->path.s, stack->path.len ? "/" : "", name);
	return 1;
}

int apply_lower_find(struct apply *a, const struct apply_dir *dir, const char *name,
		     struct apply_lower *ret_lower, struct ib_err *err)
{
	const struct oci_apply_options *options = a->options;
	const char *base = options->lower_path ? options->lower_path : "";
	ib_autofree char *path = NULL;
	union_autostack stack = {0};
	int found;

	*ret_lower = (struct apply_lower){.dirfd = -1};
	if (!a->overlay || dir->hides_lower)
		return 0;
	if (!options->lower) {
		a->result.needs_lower = true;
		return 0;
	}
	path = ib_asprintf("%s%s%s", base, *base && dir->len ? "/" : "", dir->path);
	if (union_stack_init(&stack, options->lower, false, err) < 0)
		return -1;
	found = union_stack_descend(&stack, path, strlen(path), err);
	if (found != UNION_DIR)
		return found < 0 ? -1 : 0;
	return find_in(&stack, name, ret_lower, err);
}

static void add_xattr(struct oci_tar_entry *to, const char *name, void *take_value, size_t size)
{
	to->xattrs = ib_realloc(to->xattrs, to->n_xattrs + 1, sizeof *to->xattrs);
	to->xattrs[to->n_xattrs++] = (struct oci_xattr){ib_strdup(name), take_value, size};
}

/* The extended attributes of an open file, as an entry has them. */
static int read_xattrs(int fd, struct oci_tar_entry *to, struct ib_err *err)
{
	ib_autofree char *names = ib_malloc(MAX_XATTR_LIST);
	ssize_t n = flistxattr(fd, names, MAX_XATTR_LIST);

	if (n < 0)
		return errno == EOPNOTSUPP ? 0 : ib_fail_sys(err, errno, "list extended attributes");
	for (const char *name = names; name < names + n; name += strlen(name) + 1) {
		ib_autofree char *value = ib_malloc(OCI_TAR_MAX_XATTR_VALUE);
		ssize_t size = fgetxattr(fd, name, value, OCI_TAR_MAX_XATTR_VALUE);

		if (size < 0 && (errno == ENODATA || errno == EPERM || errno == EACCES))
			continue;	/* not ours to see, so not ours to copy */
		if (size < 0)
			return ib_fail_sys(err, errno, "read extended attribute '%s'", name);
		add_xattr(to, name, ib_steal_ptr(&value), (size_t)size);
	}
	return 0;
}

static struct apply_metadata metadata_of(const struct stat *st, const struct oci_tar_entry *xattrs)
{
	return (struct apply_metadata){
		.uid = st->st_uid,
		.gid = st->st_gid,
		.mode = st->st_mode & 07777,
		.mtime = st->st_mtim,
		.xattrs = xattrs->xattrs,
		.n_xattrs = xattrs->n_xattrs,
	};
}

static int wrap_lower(const struct apply_lower *lower, struct ib_err *err)
{
	ib_autofree char *shown = ib_printable(lower->path, 256);

	return ib_wrap(err, "copy up '%s'", shown);
}

int apply_lower_copy_dir(const struct apply *a, const struct apply_lower *lower, struct apply_dir *dir,
			 struct ib_err *err)
{
	IB_CLEANUP(oci_tar_entry_done) struct oci_tar_entry xattrs = {0};
	ib_autoclose int fd =
		openat(lower->dirfd, lower->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct apply_metadata m;

	/* One that may not be read has no attributes that we could copy. */
	if (fd < 0 && errno != EACCES)
		(void)ib_fail_sys(err, errno, "open");
	else if (fd < 0 || read_xattrs(fd, &xattrs, err) == 0) {
		m = metadata_of(&lower->st, &xattrs);
		if (apply_metadata_dir(a, dir, &m, err) == 0)
			return 0;
	}
	return wrap_lower(lower, err);
}

static int copy_plainly(int from, int to, struct ib_err *err)
{
	ib_autofree char *buf = ib_malloc(COPY_BYTES);
	ssize_t n;

	while ((n = ib_read_full(from, buf, COPY_BYTES)) > 0) {
		if (ib_check_cancelled(err) < 0)
			return -1;
		if (ib_write_full(to, buf, (size_t)n) < 0)
			return ib_fail_sys(err, errno, "write");
	}
	return n < 0 ? ib_fail_sys(err, errno, "read") : 0;
}

/* In the kernel, which shares the blocks where the file system can; else by hand, from where that stopped. */
static int copy_bytes(int from, int to, struct ib_err *err)
{
	ssize_t n;

	while ((n = copy_file_range(from, NULL, to, NULL, 64 * COPY_BYTES, 0)) > 0)
		if (ib_check_cancelled(err) < 0)
			return -1;
	if (n < 0 && errno == ENOSPC)
		return ib_fail_sys(err, errno, "write");
	return copy_plainly(from, to, err);
}

static int copy_file(struct apply *a, const struct apply_lower *lower, struct apply_dir *dir, const char *name,
		     struct ib_err *err)
{
	IB_CLEANUP(oci_tar_entry_done) struct oci_tar_entry xattrs = {0};
	ib_autoclose int from = openat(lower->dirfd, lower->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ib_autoclose int to = -1;
	struct apply_metadata m;

	if (from < 0)
		return ib_fail_sys(err, errno, "open");
	to = openat(dir->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return ib_fail_sys(err, errno, "create");
	if (copy_bytes(from, to, err) < 0 || read_xattrs(from, &xattrs, err) < 0)
		return -1;
	m = metadata_of(&lower->st, &xattrs);
	return apply_metadata_file(a, to, dir, &m, err);
}

static int copy_link(const struct apply *a, const struct apply_lower *lower, struct apply_dir *dir,
		     const char *name, struct ib_err *err)
{
	ib_autofree char *target = NULL;

	if (oci_union_readlink(a->options->lower, lower->path, &target, err) < 0)
		return -1;
	return symlinkat(target, dir->fd, name) < 0 ? ib_fail_sys(err, errno, "create") : 0;
}

int apply_lower_copy_up(struct apply *a, const struct apply_lower *lower, struct apply_dir *dir,
			const char *name, struct ib_err *err)
{
	const struct oci_tar_entry none = {0};
	struct apply_metadata m = metadata_of(&lower->st, &none);
	int done;

	dir->touched = true;
	if (S_ISREG(lower->st.st_mode))
		return copy_file(a, lower, dir, name, err) < 0 ? wrap_lower(lower, err) : 0;
	if (S_ISLNK(lower->st.st_mode))
		done = copy_link(a, lower, dir, name, err);
	else if (mknodat(dir->fd, name, lower->st.st_mode & (S_IFMT | 0777), lower->st.st_rdev) < 0)
		done = ib_fail_sys(err, errno, "create");
	else
		done = 0;
	if (done < 0 || apply_metadata_at(a, dir, name, &m, err) < 0)
		return wrap_lower(lower, err);
	return 0;
}
