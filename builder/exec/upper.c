#include "builder/exec/upper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define MAX_OPEN 64		/* directories of the path that are open, the rest is opened again on the way up */
#define MAX_PATH (1u << 20)	/* bytes; as in unions */
#define WRITING_MODE 0700

struct exec_upper {
	struct exec_target target;
	struct oci_union *now;
	uid_t euid;
	gid_t egid;

	struct exec_dir **dir;	/* from the root to where one stands */
	size_t n, cap;
	size_t first_open;	/* directories in [1, first_open) are closed */
	struct ib_str path;
};

static struct exec_dir *top(const struct exec_upper *upper)
{
	return upper->dir[upper->n - 1];
}

struct exec_dir *exec_upper_dir(struct exec_upper *upper)
{
	return top(upper);
}

const char *exec_upper_path(const struct exec_upper *upper)
{
	return upper->path.s;
}

struct oci_union *exec_upper_now(struct exec_upper *upper)
{
	return upper->now;
}

const struct exec_target *exec_upper_target(const struct exec_upper *upper)
{
	return &upper->target;
}

bool exec_upper_needs_owner(const struct exec_upper *upper, uid_t uid, gid_t gid)
{
	return upper->target.keep_owner && (uid != upper->euid || gid != upper->egid);
}

static int fail_at(const struct exec_upper *upper, const char *what, const char *name, int sys, struct ib_err *err)
{
	ib_autofree char *shown = ib_printable(name, 1024);
	ib_autofree char *dir = ib_printable(upper->path.s, 1024);

	return ib_fail_sys(err, sys, "%s /%s%s%s", what, dir, *dir ? "/" : "", shown);
}

struct exec_dir *exec_dir_ref(struct exec_dir *dir)
{
	dir->refs++;
	return dir;
}

void exec_dir_drop(struct exec_dir *dir)
{
	if (--dir->refs > 0)
		return;
	ib_closep(&dir->fd);
	free(dir);
}

/* chown before chmod, for it takes set-id bits away; the time last. */
static int set_metadata(const struct exec_upper *upper, const struct exec_dir *dir, struct ib_err *err)
{
	const struct exec_metadata *meta = &dir->meta;
	const struct timespec times[2] = {meta->mtime, meta->mtime};

	if (upper->target.keep_owner && fchown(dir->fd, meta->uid, meta->gid) < 0)
		return ib_fail_sys(err, errno, "set the owner of a directory");
	if (fchmod(dir->fd, meta->mode) < 0)
		return ib_fail_sys(err, errno, "set the mode of a directory");
	if (meta->keep_mtime && futimens(dir->fd, times) < 0)
		return ib_fail_sys(err, errno, "set the time of a directory");
	return 0;
}

int exec_dir_unref(struct exec_upper *upper, struct exec_dir *dir, struct ib_err *err)
{
	int r = dir->refs == 1 ? set_metadata(upper, dir, err) : 0;

	exec_dir_drop(dir);
	return r;
}

static struct exec_metadata metadata_of(const struct stat *st)
{
	return (struct exec_metadata){
		.mode = st->st_mode & 07777,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.keep_mtime = true,
		.mtime = st->st_mtim,
	};
}

static struct exec_dir *dir_new(int fd, const struct exec_metadata *meta, bool in_lower, bool may_have)
{
	struct exec_dir *dir = ib_new(struct exec_dir);

	dir->fd = fd;
	dir->refs = 1;
	dir->meta = *meta;
	dir->in_lower = in_lower;
	dir->may_have = may_have;
	return dir;
}

static void stand_in(struct exec_upper *upper, struct exec_dir *dir, const char *name)
{
	if (upper->path.len)
		ib_str_addc(&upper->path, '/');
	ib_str_adds(&upper->path, name);
	dir->path_len = upper->path.len;
	ib_grow(upper->dir, upper->n, upper->cap);
	upper->dir[upper->n++] = dir;
}

/* A directory that the layer has already: a name may be in it, and a mode that is in the way. */
static int open_existing(const struct exec_upper *upper, int dirfd, const char *name, const struct stat *st,
			 bool in_lower, struct exec_dir **ret_dir, struct ib_err *err)
{
	const struct exec_metadata meta = metadata_of(st);
	ib_autoclose int fd = -1;
	char opaque;

	if ((meta.mode & (S_ISGID | 0700)) != 0700 && fchmodat(dirfd, name, WRITING_MODE, 0) < 0)
		return fail_at(upper, "change the mode of", name, errno, err);
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail_at(upper, "open", name, errno, err);
	if (in_lower && fgetxattr(fd, OCI_UNION_OPAQUE, &opaque, 1) == 1 && opaque == 'y')
		in_lower = false;
	*ret_dir = dir_new(ib_steal_fd(&fd), &meta, in_lower, true);
	return 0;
}

static int open_root(struct exec_upper *upper, struct ib_err *err)
{
	struct exec_dir *dir = NULL;
	struct stat st;

	if (fstat(upper->target.upper_fd, &st) < 0)
		return ib_fail_sys(err, errno, "the new layer");
	if (open_existing(upper, upper->target.upper_fd, ".", &st, oci_union_layers(upper->target.lower) > 0, &dir,
			  err) < 0)
		return -1;
	stand_in(upper, dir, "");
	return 0;
}

int exec_upper_new(const struct exec_target *target, struct exec_upper **ret_upper, struct ib_err *err)
{
	IB_CLEANUP(exec_upper_freep) struct exec_upper *upper = ib_new(struct exec_upper);
	int fd;

	upper->target = *target;
	upper->euid = geteuid();
	upper->egid = getegid();
	upper->first_open = 1;
	upper->path = (struct ib_str)IB_STR(MAX_PATH);
	ib_str_adds(&upper->path, "");
	upper->now = oci_union_copy(target->lower, err);
	if (!upper->now)
		return -1;
	fd = fcntl(target->upper_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return ib_fail_sys(err, errno, "the new layer");
	oci_union_push(upper->now, fd, OCI_UNION_OVERLAY);
	if (open_root(upper, err) < 0)
		return -1;
	*ret_upper = ib_steal_ptr(&upper);
	return 0;
}

void exec_upper_free(struct exec_upper *upper)
{
	if (!upper)
		return;
	while (upper->n > 0)
		exec_dir_drop(upper->dir[--upper->n]);
	oci_union_free(upper->now);
	ib_str_done(&upper->path);
	free(upper->dir);
	free(upper);
}

/* What lower layers have under name in the directory one stands in: 1, 0, -1. */
static int stat_lower(struct exec_upper *upper, const char *name, struct stat *ret_st, struct ib_err *err)
{
	ib_autofree char *path = NULL;

	if (!top(upper)->in_lower)
		return 0;
	path = upper->path.len ? ib_asprintf("%s/%s", upper->path.s, name) : ib_strdup(name);
	if (oci_union_stat(upper->target.lower, path, ret_st, NULL, err) == 0)
		return 1;
	if (err->code != IB_NOTFOUND)
		return -1;
	ib_err_clear(err);	/* nothing there: the layer may have it for itself */
	return 0;
}

/* What the layer itself has: 1, 0, -1. */
static int stat_own(const struct exec_upper *upper, const char *name, struct stat *ret_st, struct ib_err *err)
{
	if (!top(upper)->may_have)
		return 0;
	if (fstatat(top(upper)->fd, name, ret_st, AT_SYMLINK_NOFOLLOW) == 0)
		return 1;
	return errno == ENOENT ? 0 : fail_at(upper, "look for", name, errno, err);
}

static int fail_non_directory(const struct exec_upper *upper, const char *name, struct ib_err *err)
{
	ib_autofree char *shown = ib_printable(name, 1024);
	ib_autofree char *dir = ib_printable(upper->path.s, 1024);

	return ib_fail(err, IB_USAGE, "cannot copy to non-directory: /%s%s%s", dir, *dir ? "/" : "", shown);
}

/*
 * Close what is far from the top: few descriptors, however deep the tree. The root stays open, hard links are
 * made from there; so does what files are still written to, until the next time.
 */
static int close_far(struct exec_upper *upper, struct ib_err *err)
{
	while (upper->first_open + MAX_OPEN < upper->n && upper->dir[upper->first_open]->refs == 1) {
		struct exec_dir *far = upper->dir[upper->first_open++];
		struct stat st;

		if (fstat(far->fd, &st) < 0)
			return fail_at(upper, "stat a parent of", "", errno, err);
		far->dev = st.st_dev;
		far->ino = st.st_ino;
		ib_closep(&far->fd);
		far->fd = -1;
	}
	return 0;
}

/* Make the directory name, which the layer does not have yet, and stand in it. */
static int make_dir(struct exec_upper *upper, const char *name, const struct exec_metadata *meta, bool in_lower,
		    struct ib_err *err)
{
	int at = top(upper)->fd, fd;

	if (mkdirat(at, name, WRITING_MODE) < 0)
		return fail_at(upper, "mkdir", name, errno, err);
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail_at(upper, "open", name, errno, err);
	stand_in(upper, dir_new(fd, meta, in_lower, false), name);
	return 0;
}

int exec_upper_down(struct exec_upper *upper, const char *name, const struct exec_metadata *made, bool *ret_was,
		    struct ib_err *err)
{
	struct exec_metadata meta = *made;
	struct exec_dir *dir = NULL;
	struct stat own, low;
	int has_own = stat_own(upper, name, &own, err), has_low;

	if (has_own < 0 || (has_own && !S_ISDIR(own.st_mode)))
		return has_own < 0 ? -1 : fail_non_directory(upper, name, err);
	has_low = stat_lower(upper, name, &low, err);
	if (has_low < 0 || (has_low && !has_own && !S_ISDIR(low.st_mode)))
		return has_low < 0 ? -1 : fail_non_directory(upper, name, err);
	*ret_was = has_own || has_low;
	has_low = has_low && S_ISDIR(low.st_mode);
	if (has_own) {
		if (open_existing(upper, top(upper)->fd, name, &own, has_low, &dir, err) < 0)
			return -1;
		stand_in(upper, dir, name);
	} else {
		if (has_low)
			meta = metadata_of(&low);
		if (make_dir(upper, name, &meta, has_low, err) < 0)
			return -1;
	}
	if (upper->path.overflow)
		return ib_fail(err, IB_LIMIT, "a path is longer than %u bytes", MAX_PATH);
	return close_far(upper, err);
}

/* The parent of the top directory, where it was closed. Nobody else moves what is in a new layer. */
static int reopen_parent(struct exec_upper *upper, struct exec_dir *parent, struct ib_err *err)
{
	struct stat st;

	if (parent->fd >= 0)
		return 0;
	parent->fd = openat(top(upper)->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent->fd < 0 || fstat(parent->fd, &st) < 0)
		return fail_at(upper, "open the parent of", "", errno, err);
	if (st.st_dev != parent->dev || st.st_ino != parent->ino)
		return ib_fail(err, IB_BUSY, "a directory of the new layer was moved by somebody else");
	upper->first_open--;
	return 0;
}

int exec_upper_up(struct exec_upper *upper, struct ib_err *err)
{
	struct exec_dir *dir = top(upper), *parent = upper->dir[upper->n - 2];

	if (reopen_parent(upper, parent, err) < 0)
		return -1;
	upper->n--;
	upper->path.len = parent->path_len;
	upper->path.s[parent->path_len] = '\0';
	return exec_dir_unref(upper, dir, err);
}

int exec_upper_leave(struct exec_upper *upper, struct ib_err *err)
{
	struct exec_dir *root = upper->dir[0];

	while (upper->n > 1)
		if (exec_upper_up(upper, err) < 0)
			return -1;
	if (set_metadata(upper, root, err) < 0)
		return -1;
	upper->n = 0;
	exec_dir_drop(root);
	return open_root(upper, err);
}

/* Is the directory one stands in at path or above it? */
static bool leads_to(const struct exec_upper *upper, const char *path)
{
	size_t n = upper->path.len;

	return n == 0 || (strncmp(upper->path.s, path, n) == 0 && (path[n] == '/' || path[n] == '\0'));
}

int exec_fail_not_directory(struct ib_err *err, const char *path)
{
	ib_autofree char *shown = ib_printable(path, 1024);

	return ib_fail(err, IB_USAGE, "mkdir /%s: not a directory", shown);
}

/* Down the rest of the path whole. */
static int go_down(struct exec_upper *upper, const char *whole, const char *path,
		   const struct exec_metadata *made, struct ib_err *err)
{
	bool was;

	while (*path) {
		size_t n = strcspn(path, "/");
		ib_autofree char *name = ib_strndup(path, n);

		if (exec_upper_down(upper, name, made, &was, err) < 0)
			return err->code == IB_USAGE ? exec_fail_not_directory(err, whole) : -1;
		path += n + (path[n] == '/');
	}
	return 0;
}

int exec_upper_goto(struct exec_upper *upper, const char *path, const struct exec_metadata *made,
		    struct ib_err *err)
{
	size_t here;

	while (!leads_to(upper, path))
		if (exec_upper_up(upper, err) < 0)
			return -1;
	/* What was written while standing here may be met again. */
	for (size_t i = 0; i < upper->n; i++)
		upper->dir[i]->may_have = true;
	here = upper->path.len;
	return go_down(upper, path, path + here + (here && path[here] == '/'), made, err);
}

int exec_upper_clear(struct exec_upper *upper, const char *name, bool *ret_removed, struct ib_err *err)
{
	struct stat st;
	int own = stat_own(upper, name, &st, err), found = own;

	*ret_removed = false;
	if (own == 0)
		found = stat_lower(upper, name, &st, err);
	if (found < 0)
		return -1;
	if (found && S_ISDIR(st.st_mode)) {
		ib_autofree char *shown = ib_printable(name, 1024);
		ib_autofree char *dir = ib_printable(upper->path.s, 1024);

		return ib_fail(err, IB_USAGE, "cannot replace to directory /%s%s%s with file", dir, *dir ? "/" : "",
			       shown);
	}
	if (own && unlinkat(top(upper)->fd, name, 0) < 0)
		return fail_at(upper, "remove", name, errno, err);
	*ret_removed = own;
	return 0;
}
