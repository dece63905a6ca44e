#include "oci/layer-apply-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

/* A name that is being resolved: where it has come to, and what is still to be walked. */
struct walk {
	struct apply *a;
	enum apply_missing missing;
	struct apply_dir *at;
	int links;		/* that were followed */
	size_t pos;		/* the rest is rest + pos */
	char rest[4 * OCI_TAR_MAX_NAME];	/* NUL-terminated; grows at its front */
};

static int fail_not_dir(const struct apply_dir *parent, const char *name, struct ib_err *err)
{
	ib_autofree char *path = ib_asprintf("%s%s%s", parent->path, parent->len ? "/" : "", name);
	ib_autofree char *shown = ib_printable(path, 256);

	return ib_fail(err, IB_INVALID, "'%s' is not a directory", shown);
}

static int prepend(struct walk *w, const char *text, struct ib_err *err)
{
	size_t n = strlen(text);

	if (n + 1 > w->pos)
		return ib_fail(err, IB_LIMIT, "links on the way to it are too long");
	w->rest[--w->pos] = '/';
	w->pos -= n;
	memcpy(w->rest + w->pos, text, n);
	return 0;
}

static int follow(struct walk *w, const char *target, struct ib_err *err)
{
	if (++w->links > OCI_UNION_MAX_LINKS)
		return ib_fail(err, IB_LIMIT, "more than %d links on the way to it", OCI_UNION_MAX_LINKS);
	if (*target == '/')
		w->at = w->a->root;
	return prepend(w, target, err);
}

/* To the parent of where we are: from above again, which needs no trust in "..". */
static int go_up(struct walk *w, struct ib_err *err)
{
	const char *slash = strrchr(w->at->path, '/');
	ib_autofree char *parent = ib_strndup(w->at->path, slash ? (size_t)(slash - w->at->path) : 0);

	w->at = apply_dirs_nearest(w->a, parent, strlen(parent));
	return prepend(w, parent + w->at->len, err);
}

/* Make what is known to be missing. */
static int make(struct walk *w, const char *name, struct ib_err *err)
{
	int made = apply_dirs_make(w->a, w->at, name, &w->at, err);

	if (made == 0)
		return ib_fail_sys(err, EEXIST, "make directory '%s'", name);
	return made < 0 ? -1 : 0;
}

/* The metadata of a directory that no entry describes. */
static int set_implied(struct walk *w, struct apply_dir *dir, struct ib_err *err)
{
	/* The time is that of the entry which needs it, not of this moment: equal layers give equal trees. */
	struct apply_metadata m = {.mode = 0755, .mtime = w->a->entry_mtime};

	return apply_metadata_dir(w->a, dir, &m, err);
}

/* name is nowhere in the target. */
static int step_missing(struct walk *w, const char *name, struct ib_err *err)
{
	struct apply_dir *parent = w->at;
	apply_autolower lower = {.dirfd = -1};
	int found = apply_lower_find(w->a, parent, name, &lower, err);

	if (found < 0)
		return -1;
	if (found && S_ISLNK(lower.st.st_mode)) {
		ib_autofree char *target = NULL;

		if (oci_union_readlink(w->a->options->lower, lower.path, &target, err) < 0)
			return -1;
		return follow(w, target, err) < 0 ? -1 : 1;
	}
	if (found && !S_ISDIR(lower.st.st_mode))
		return fail_not_dir(parent, name, err);
	if (!found && w->missing == APPLY_LOOK)
		return 0;
	if (make(w, name, err) < 0)
		return -1;
	if (found ? apply_lower_copy_dir(w->a, &lower, w->at, err) : set_implied(w, w->at, err))
		return -1;
	return 1;
}

/* name is in the target, and is no directory. */
static int step_other(struct walk *w, const char *name, struct ib_err *err)
{
	struct apply_dir *parent = w->at;
	char target[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (fstatat(parent->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return ib_fail_sys(err, errno, "stat '%s'", name);
	if (S_ISLNK(st.st_mode)) {
		n = readlinkat(parent->fd, name, target, sizeof target - 1);
		if (n < 0)
			return ib_fail_sys(err, errno, "read link '%s'", name);
		target[n] = '\0';
		return follow(w, target, err) < 0 ? -1 : 1;
	}
	if (!w->a->overlay || !S_ISCHR(st.st_mode) || st.st_rdev != 0)
		return fail_not_dir(parent, name, err);
	/* This layer has removed it: what is made in its place shows nothing of the lower layers. */
	if (w->missing == APPLY_LOOK)
		return 0;
	if (apply_remove(w->a, parent, name, err) < 0 ||
	    make(w, name, err) < 0 || apply_dir_make_opaque(w->a, w->at, err) < 0)
		return -1;
	return set_implied(w, w->at, err) < 0 ? -1 : 1;
}

/* One component: 1 when w->at or the rest has moved on, 0 when it is missing, -1. */
static int step(struct walk *w, const char *name, struct ib_err *err)
{
	int found;

	if (strcmp(name, "..") == 0)
		return go_up(w, err) < 0 ? -1 : 1;
	found = apply_dirs_open(w->a, w->at, name, &w->at, err);
	if (found)
		return found;
	return errno == ENOENT ? step_missing(w, name, err) : step_other(w, name, err);
}

static int walk_rest(struct walk *w, struct ib_err *err)
{
	char name[APPLY_MAX_COMPONENT + 1];

	while (w->rest[w->pos += strspn(w->rest + w->pos, "/")]) {
		size_t n = strcspn(w->rest + w->pos, "/");
		int found;

		if (n > APPLY_MAX_COMPONENT)
			return ib_fail(err, IB_LIMIT, "a component of a link is longer than %d bytes",
				       APPLY_MAX_COMPONENT);
		memcpy(name, w->rest + w->pos, n);
		name[n] = '\0';
		w->pos += n;
		if (strcmp(name, ".") == 0)
			continue;
		found = step(w, name, err);
		if (found <= 0)
			return found;
	}
	return 1;
}

int apply_resolve_parent(struct apply *a, const char *path, enum apply_missing missing,
			 struct apply_dir **ret_dir, const char **ret_name, struct ib_err *err)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;
	/* What is open under this very path is no link. */
	struct apply_dir *dir = apply_dirs_nearest(a, path, len);
	struct walk w;
	int found;

	*ret_name = slash ? slash + 1 : path;
	if (dir->len == len) {
		*ret_dir = dir;
		return 1;
	}
	w = (struct walk){.a = a, .missing = missing, .at = dir};
	w.pos = sizeof w.rest - 1 - (len - dir->len);
	memcpy(w.rest + w.pos, path + dir->len, len - dir->len);
	found = walk_rest(&w, err);
	if (found == 1 && w.at->len + 1 + strlen(*ret_name) > OCI_TAR_MAX_NAME)
		return ib_fail(err, IB_LIMIT, "path is longer than %d bytes", OCI_TAR_MAX_NAME);
	if (found == 1)
		*ret_dir = w.at;
	return found;
}
