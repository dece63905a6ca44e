#include "builder/snapshot/copy-entry.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/base/pool.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define STEP (64 << 20)		/* bytes between two looks at ib_cancelled() */
#define BUFFER (128u << 10)
#define NAMES_MAX (64u << 10)	/* XATTR_LIST_MAX */
#define VALUE_MAX (64u << 10)	/* XATTR_SIZE_MAX */

int snapshot_fail(struct ib_err *err, const char *what, const char *path)
{
	int sys = errno;
	ib_autofree char *shown = ib_printable(path, 256);

	if (sys == ECANCELED)
		return ib_fail(err, IB_CANCELLED, "interrupted");
	return ib_fail_sys(err, sys, "%s '%s'", what, shown);
}

static int copy_by_buffer(int from, int to, off_t at, off_t end)
{
	ib_autofree char *buffer = ib_malloc(BUFFER);

	while (at < end) {
		ssize_t n = pread(from, buffer, end - at < (off_t)BUFFER ? (size_t)(end - at) : BUFFER, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return (int)n;
		if (ib_pwrite_full(to, buffer, (size_t)n, at) < 0)
			return -1;
		at += n;
	}
	return 0;
}

static int copy_range(int from, int to, off_t at, off_t end)
{
	while (at < end) {
		off_t in = at, out = at;
		ssize_t n = copy_file_range(from, &in, to, &out, end - at < STEP ? (size_t)(end - at) : STEP, 0);

		if (ib_cancelled()) {
			errno = ECANCELED;
			return -1;
		}
		if (n < 0 && errno == EINTR)
			continue;
		/* Refused between these file systems or by a filter, or the end: reading can tell. */
		if (n <= 0)
			return copy_by_buffer(from, to, at, end);
		at += n;
	}
	return 0;
}

int snapshot_copy_content(int from, const struct stat *st, int to)
{
	off_t at = 0;

	if (st->st_size == 0 || ioctl(to, FICLONE, from) == 0)
		return 0;
	while (at < st->st_size) {
		off_t data = lseek(from, at, SEEK_DATA);
		off_t hole = data < 0 ? -1 : lseek(from, data, SEEK_HOLE);

		if (data < 0 && errno == ENXIO)
			break;	/* a hole to the end */
		if (hole < 0)
			return -1;
		if (copy_range(from, to, data, hole) < 0)
			return -1;
		at = hole;
	}
	return ftruncate(to, st->st_size);
}

static bool is_overlay_mark(const char *name)
{
	return ib_starts(name, "user.overlay.") || ib_starts(name, "trusted.overlay.");
}

static int copy_xattr(int from, int to, const char *name, char *value)
{
	ssize_t n = fgetxattr(from, name, value, VALUE_MAX);

	if (n < 0)
		return errno == ENODATA ? 0 : -1;
	if (fsetxattr(to, name, value, (size_t)n, 0) == 0)
		return 0;
	return errno == EPERM || errno == EACCES || errno == EOPNOTSUPP || errno == EINVAL ? 0 : -1;
}

int snapshot_copy_xattrs(int from, int to)
{
	ib_autofree char *names = NULL, *value = NULL;
	ssize_t n = flistxattr(from, NULL, 0);

	if (n <= 0)	/* nearly always */
		return n == 0 || errno == EOPNOTSUPP ? 0 : -1;
	names = ib_malloc(NAMES_MAX);
	value = ib_malloc(VALUE_MAX);
	n = flistxattr(from, names, NAMES_MAX);
	for (const char *name = names; n > 0 && name < names + n; name += strlen(name) + 1)
		if (!is_overlay_mark(name) && copy_xattr(from, to, name, value) < 0)
			return -1;
	return n < 0 ? -1 : 0;
}

int snapshot_set_metadata(int fd, const struct stat *st, bool keep_owner)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st->st_mtim};

	/* Giving a file away takes its set-id bits: the mode comes after the owner. */
	if (keep_owner && fchown(fd, st->st_uid, st->st_gid) < 0)
		return -1;
	return fchmod(fd, st->st_mode & 07777) < 0 || futimens(fd, times) < 0 ? -1 : 0;
}

static int copy_link(int from_dir, const char *name, int to_dir)
{
	char target[4096];	/* PATH_MAX: no link is longer */
	ssize_t n = readlinkat(from_dir, name, target, sizeof target - 1);

	if (n < 0)
		return -1;
	target[n] = '\0';
	return symlinkat(target, to_dir, name);
}

int snapshot_copy_special(int from_dir, const char *name, const struct stat *st, int to_dir, bool keep_owner)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st->st_mtim};
	bool link = S_ISLNK(st->st_mode);

	if (link ? copy_link(from_dir, name, to_dir) < 0 : mknodat(to_dir, name, st->st_mode, st->st_rdev) < 0)
		return -1;
	if (keep_owner && fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	if (!link && fchmodat(to_dir, name, st->st_mode & 07777, 0) < 0)	/* the umask, or chown, took bits */
		return -1;
	return utimensat(to_dir, name, times, AT_SYMLINK_NOFOLLOW);
}
