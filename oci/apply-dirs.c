#include "oci/layer-apply-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "oci/base/alloc.h"
#include "oci/base/remove.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define ACL_DEFAULT "system.posix_acl_default"

static int fail_dir(struct ib_err *err, int sys, const char *what, const char *path)
{
	ib_autofree char *shown = ib_printable(path, 256);

	return ib_fail_sys(err, sys, "%s '%s'", what, shown);
}

static void dir_free(struct apply_dir *dir)
{
	ib_closep(&dir->fd);
	free(dir->path);
	free(dir);
}

void apply_dir_unpin(struct apply_dir *dir)
{
	if (--dir->pins == 0 && dir->gone)
		dir_free(dir);
}

static int dir_put_back(struct apply_dir *dir, struct ib_err *err)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, dir->mtime};

	if (dir->opened_up && fchmod(dir->fd, dir->mode) < 0)
		return fail_dir(err, errno, "set mode of", dir->path);
	if (dir->touched && futimens(dir->fd, times) < 0)
		return fail_dir(err, errno, "set time of", dir->path);
	dir->opened_up = false;
	dir->touched = false;
	return 0;
}

/* Take the i-th out of the list. */
static struct apply_dir *take_out(struct apply_dirs *dirs, size_t i)
{
	struct apply_dir *dir = dirs->v[i];

	dirs->v[i] = dirs->v[--dirs->n];
	if (dirs->last == dir)
		dirs->last = NULL;
	return dir;
}

static int close_oldest(struct apply_dirs *dirs, struct ib_err *err)
{
	size_t oldest = dirs->n;

	for (size_t i = 0; i < dirs->n; i++)
		if (!dirs->v[i]->pins && (oldest == dirs->n || dirs->v[i]->used < dirs->v[oldest]->used))
			oldest = i;
	if (dir_put_back(dirs->v[oldest], err) < 0)	/* only a few are ever pinned */
		return -1;
	dir_free(take_out(dirs, oldest));
	return 0;
}

int apply_dirs_flush(struct apply *a, struct ib_err *err)
{
	for (size_t i = 0; i < a->dirs.n; i++)
		if (dir_put_back(a->dirs.v[i], err) < 0)
			return -1;
	apply_dirs_done(a);
	return 0;
}

void apply_dirs_done(struct apply *a)
{
	while (a->dirs.n)
		dir_free(take_out(&a->dirs, a->dirs.n - 1));
	a->root = NULL;
}

struct apply_dir *apply_dirs_nearest(struct apply *a, const char *path, size_t len)
{
	struct apply_dirs *dirs = &a->dirs;
	struct apply_dir *best = a->root;

	/* One file after another in the same directory is the rule. */
	if (dirs->last && dirs->last->len == len && memcmp(dirs->last->path, path, len) == 0) {
		best = dirs->last;
	} else {
		for (size_t i = 0; i < dirs->n; i++) {
			struct apply_dir *dir = dirs->v[i];

			if (dir->len <= len && dir->len > best->len && memcmp(dir->path, path, dir->len) == 0 &&
			    (dir->len == len || path[dir->len] == '/'))
				best = dir;
		}
	}
	best->used = ++dirs->clock;
	dirs->last = best;
	return best;
}

static struct apply_dir *find(struct apply *a, const char *path)
{
	size_t len = strlen(path);
	struct apply_dir *dir = apply_dirs_nearest(a, path, len);

	return dir->len == len ? dir : NULL;
}

/* Whether this directory has an opaque mark or a default access list; asked once, when it is opened. */
static bool has_xattr(int fd, const char *name)
{
	return fgetxattr(fd, name, NULL, 0) >= 0;
}

/* Put an open directory into the list. opened_up_from: the mode it had when it had to be opened up, or 0. */
static int add(struct apply *a, int take_fd, const char *path, mode_t opened_up_from, struct apply_dir **ret_dir,
	       struct ib_err *err)
{
	ib_autoclose int fd = take_fd;
	struct apply_dir *dir;
	struct stat st;
	bool opened_up = opened_up_from != 0;

	if (fstat(fd, &st) < 0)
		return fail_dir(err, errno, "stat", path);
	if (opened_up)
		st.st_mode = opened_up_from;
	else if ((st.st_mode & 0700) != 0700) {
		opened_up = true;
		if (fchmod(fd, (st.st_mode & 07777) | 0700) < 0)
			return fail_dir(err, errno, "open up", path);
	}
	if (a->dirs.n == APPLY_OPEN_DIRS && close_oldest(&a->dirs, err) < 0)
		return -1;
	dir = ib_new(struct apply_dir);
	dir->path = ib_strdup(path);
	dir->len = strlen(path);
	dir->fd = ib_steal_fd(&fd);
	dir->mode = st.st_mode & 07777;
	dir->mtime = st.st_mtim;
	dir->opened_up = opened_up;
	dir->used = ++a->dirs.clock;
	a->dirs.v[a->dirs.n++] = dir;
	a->dirs.last = dir;
	*ret_dir = dir;
	return 1;
}

int apply_dirs_init(struct apply *a, int target, struct ib_err *err)
{
	/* Not a duplicate: the caller's may be O_PATH. */
	int fd = openat(target, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return ib_fail_sys(err, errno, "open the target directory");
	if (add(a, fd, "", 0, &a->root, err) < 0)
		return -1;
	a->root->hides_lower = a->overlay && has_xattr(a->root->fd, OCI_UNION_OPAQUE);
	a->root->default_acl = has_xattr(a->root->fd, ACL_DEFAULT);
	apply_dir_pin(a->root);
	return 0;
}

/* The path of name in dir; false when it is too long to be opened by anybody. */
static bool join(char path[static OCI_TAR_MAX_NAME + 1], const struct apply_dir *dir, const char *name)
{
	size_t n = strlen(name), slash = dir->len > 0;

	if (dir->len + slash + n > OCI_TAR_MAX_NAME)
		return false;
	memcpy(path, dir->path, dir->len);
	if (slash)
		path[dir->len] = '/';
	memcpy(path + dir->len + slash, name, n + 1);
	return true;
}

static int fail_long(struct ib_err *err)
{
	return ib_fail(err, IB_LIMIT, "path is longer than %d bytes", OCI_TAR_MAX_NAME);
}

/* Open a directory that its owner may not read, giving itself the permission. errno on failure. */
static int open_unreadable(int dirfd, const char *name, mode_t *ret_mode)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	if (!S_ISDIR(st.st_mode)) {
		errno = ENOTDIR;
		return -1;
	}
	if (fchmodat(dirfd, name, (st.st_mode & 07777) | 0700, 0) < 0)
		return -1;
	*ret_mode = st.st_mode;
	return openat(dirfd, name, OPEN_DIR);
}

int apply_dirs_open(struct apply *a, struct apply_dir *parent, const char *name, struct apply_dir **ret_dir,
		    struct ib_err *err)
{
	char path[OCI_TAR_MAX_NAME + 1];
	bool hides_lower = parent->hides_lower;	/* parent may be closed by add() */
	struct apply_dir *dir;
	mode_t mode = 0;
	int fd;

	if (!join(path, parent, name))
		return fail_long(err);
	dir = find(a, path);
	if (dir) {
		*ret_dir = dir;
		return 1;
	}
	fd = openat(parent->fd, name, OPEN_DIR);
	if (fd < 0 && errno == EACCES)
		fd = open_unreadable(parent->fd, name, &mode);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) {
		errno = errno == ELOOP ? ENOTDIR : errno;
		return 0;
	}
	if (fd < 0)
		return fail_dir(err, errno, "open directory", path);
	if (add(a, fd, path, mode, &dir, err) < 0)
		return -1;
	dir->hides_lower = hides_lower || (a->overlay && has_xattr(dir->fd, OCI_UNION_OPAQUE));
	dir->default_acl = has_xattr(dir->fd, ACL_DEFAULT);
	*ret_dir = dir;
	return 1;
}

int apply_dirs_make(struct apply *a, struct apply_dir *parent, const char *name, struct apply_dir **ret_dir,
		    struct ib_err *err)
{
	char path[OCI_TAR_MAX_NAME + 1];
	bool hides_lower = parent->hides_lower, default_acl = parent->default_acl;
	struct apply_dir *dir;
	int fd;

	if (!join(path, parent, name))
		return fail_long(err);
	if (mkdirat(parent->fd, name, 0700) < 0)
		return errno == EEXIST ? 0 : fail_dir(err, errno, "make directory", path);
	parent->touched = true;
	fd = openat(parent->fd, name, OPEN_DIR);
	if (fd < 0)
		return fail_dir(err, errno, "open directory", path);
	if (add(a, fd, path, 0, &dir, err) < 0)
		return -1;
	dir->hides_lower = hides_lower;
	dir->default_acl = default_acl;
	*ret_dir = dir;
	return 1;
}

/* Is path at or below the directory of this path? */
static bool below(const struct apply_dir *dir, const char *path, size_t len)
{
	return dir->len >= len && memcmp(dir->path, path, len) == 0 &&
	       (len == 0 || dir->len == len || dir->path[len] == '/');
}

int apply_dir_make_opaque(struct apply *a, struct apply_dir *dir, struct ib_err *err)
{
	if (fsetxattr(dir->fd, OCI_UNION_OPAQUE, "y", 1, 0) < 0)
		return fail_dir(err, errno, "set " OCI_UNION_OPAQUE " on", dir->path);
	for (size_t i = 0; i < a->dirs.n; i++)
		if (below(a->dirs.v[i], dir->path, dir->len))
			a->dirs.v[i]->hides_lower = true;
	return 0;
}

/* Directories at and below path are about to vanish. */
static void forget(struct apply *a, const char *path)
{
	size_t len = strlen(path), i = 0;

	while (i < a->dirs.n) {
		struct apply_dir *dir = a->dirs.v[i];

		if (!below(dir, path, len)) {
			i++;
			continue;
		}
		(void)take_out(&a->dirs, i);
		dir->gone = true;
		if (!dir->pins)
			dir_free(dir);
	}
}

int apply_remove(struct apply *a, struct apply_dir *dir, const char *name, struct ib_err *err)
{
	char path[OCI_TAR_MAX_NAME + 1];

	dir->touched = true;
	if (unlinkat(dir->fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (!join(path, dir, name))
		return fail_long(err);
	if (errno != EISDIR && errno != EPERM)
		return fail_dir(err, errno, "remove", path);
	forget(a, path);
	return ib_remove_tree(dir->fd, name, err);
}
