#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/diff-entry.h"
#include "oci/diff-file.h"
#include "oci/union-internal.h"

#include "oci/base/poison.h"

#define COMPARE_BYTES (128u << 10)

int diff_open(int dirfd, const char *name, const struct stat *st, const char *path, struct ib_err *err)
{
	ib_autoclose int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat now;

	if (fd < 0 || fstat(fd, &now) < 0)
		return union_fail(err, errno, path);
	if (now.st_ino != st->st_ino || now.st_dev != st->st_dev) {
		ib_autofree char *shown = ib_printable(path, 256);

		return ib_fail(err, IB_MISMATCH, "'%s' was replaced while it was read", shown);
	}
	return ib_steal_fd(&fd);
}

int diff_capability(int fd, struct diff_capability *ret_cap, const char *path, struct ib_err *err)
{
	ssize_t n = fgetxattr(fd, DIFF_CAPABILITY, ret_cap->bytes, sizeof ret_cap->bytes);

	if (n < 0 && errno != ENODATA && errno != EOPNOTSUPP)
		return union_fail(err, errno, path);
	ret_cap->n = n < 0 ? 0 : (size_t)n;
	return 0;
}

static int same_capability(int a, int b, const char *path, struct ib_err *err)
{
	struct diff_capability x, y;

	if (diff_capability(a, &x, path, err) < 0 || diff_capability(b, &y, path, err) < 0)
		return -1;
	return x.n == y.n && memcmp(x.bytes, y.bytes, x.n) == 0;
}

static int same_content(int a, int b, const char *path, struct ib_err *err)
{
	ib_autofree char *buf = ib_malloc(2 * COMPARE_BYTES);
	char *second = buf + COMPARE_BYTES;
	ssize_t n, m;

	do {
		if (ib_check_cancelled(err) < 0)
			return -1;
		n = ib_read_full(a, buf, COMPARE_BYTES);
		m = n < 0 ? -1 : ib_read_full(b, second, COMPARE_BYTES);
		if (m < 0)
			return union_fail(err, errno, path);
		if (n != m || memcmp(buf, second, (size_t)n) != 0)
			return 0;
	} while (n > 0);
	return 1;
}

static int same_file(const struct diff_side *a, const struct diff_side *b, const char *path, struct ib_err *err)
{
	ib_autoclose int x = diff_open(a->dirfd, a->name, a->st, path, err), y = -1;
	int same;

	if (x < 0)
		return -1;
	y = diff_open(b->dirfd, b->name, b->st, path, err);
	if (y < 0)
		return -1;
	same = same_capability(x, y, path, err);
	if (same == 1 && a->st->st_mtim.tv_nsec == 0 && a->st->st_size > 0)
		return same_content(x, y, path, err);
	return same;
}

static int same_target(const struct diff_side *a, const struct diff_side *b, const char *path,
		       struct ib_err *err)
{
	ib_autofree char *x = union_readlink(a->dirfd, a->name, path, err), *y = NULL;

	if (!x)
		return -1;
	y = union_readlink(b->dirfd, b->name, path, err);
	return y ? strcmp(x, y) == 0 : -1;
}

int diff_same(const struct diff_side *a, const struct diff_side *b, const char *path, struct ib_err *err)
{
	const struct stat *x = a->st, *y = b->st;

	if (x->st_mode != y->st_mode || x->st_uid != y->st_uid || x->st_gid != y->st_gid)
		return 0;
	if ((S_ISCHR(x->st_mode) || S_ISBLK(x->st_mode)) && x->st_rdev != y->st_rdev)
		return 0;
	if (S_ISDIR(x->st_mode) || (x->st_ino == y->st_ino && x->st_dev == y->st_dev))
		return 1;
	if (x->st_size != y->st_size || x->st_mtim.tv_sec != y->st_mtim.tv_sec ||
	    x->st_mtim.tv_nsec != y->st_mtim.tv_nsec)
		return 0;
	if (S_ISLNK(x->st_mode))
		return same_target(a, b, path, err);
	return S_ISREG(x->st_mode) ? same_file(a, b, path, err) : 1;
}
