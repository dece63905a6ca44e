#include "oci/base/fd.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "oci/base/alloc.h"
#include "oci/base/pool.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

static int open_resolved(int dir, const char *path, int flags, mode_t mode, uint64_t resolve,
			 struct ib_err *err)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.mode = flags & (O_CREAT | __O_TMPFILE) ? mode : 0,
		.resolve = resolve,
	};
	int sys;

	/* EAGAIN: a rename raced with "..". A hostile tree must not make us spin. */
	for (int tries = 0; tries < 64; tries++) {
		long fd = syscall(SYS_openat2, dir, path, &how, sizeof how);

		if (fd >= 0)
			return (int)fd;
		if (errno != EAGAIN && errno != EINTR)
			break;
	}
	sys = errno;
	ib_autofree char *shown = ib_printable(path, 256);
	return ib_fail_sys(err, sys, "open '%s'", shown);
}

int ib_open_in(int root, const char *path, int flags, mode_t mode, struct ib_err *err)
{
	return open_resolved(root, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, err);
}

int ib_open_beneath(int dir, const char *path, int flags, mode_t mode, struct ib_err *err)
{
	return open_resolved(dir, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, err);
}

ssize_t ib_read_full(int fd, void *buf, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = read(fd, (char *)buf + done, n - done);

		if (r < 0 && errno == EINTR && !ib_cancelled())
			continue;
		if (r < 0)
			return -1;
		if (r == 0)
			break;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

int ib_write_full(int fd, const void *buf, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = write(fd, (const char *)buf + done, n - done);

		if (r < 0 && errno == EINTR && !ib_cancelled())
			continue;
		if (r < 0)
			return -1;
		done += (size_t)r;
	}
	return 0;
}

int ib_pwrite_full(int fd, const void *buf, size_t n, off_t offset)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = pwrite(fd, (const char *)buf + done, n - done, offset + (off_t)done);

		if (r < 0 && errno == EINTR && !ib_cancelled())
			continue;
		if (r < 0)
			return -1;
		done += (size_t)r;
	}
	return 0;
}

int ib_read_all(int fd, size_t max, const char *what, char **ret_bytes, size_t *ret_len,
		struct ib_err *err)
{
	ib_autofree char *buf = NULL;
	size_t len = 0, cap = 0;

	for (;;) {
		ssize_t r;

		if (len + 1 >= cap) {
			cap = cap ? 2 * cap : 16384;
			buf = ib_realloc(buf, cap, 1);
		}
		r = ib_read_full(fd, buf + len, cap - len - 1);
		if (r < 0)
			return ib_fail_sys(err, errno, "read %s", what);
		len += (size_t)r;
		if (len > max)
			return ib_fail(err, IB_LIMIT, "%s is larger than %zu bytes", what, max);
		if (len + 1 < cap)
			break;
	}
	buf[len] = '\0';
	*ret_bytes = ib_steal_ptr(&buf);
	*ret_len = len;
	return 0;
}

int ib_read_file(int dir, const char *path, size_t max, char **ret_bytes, size_t *ret_len,
		 struct ib_err *err)
{
	/* O_NONBLOCK: what turns out to be a fifo must not hang us. */
	ib_autoclose int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ib_autofree char *shown = ib_printable(path, 256);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return ib_fail_sys(err, errno, "open %s", shown);
	if (S_ISDIR(st.st_mode))
		return ib_fail_sys(err, EISDIR, "read %s", shown);
	if (!S_ISREG(st.st_mode))
		return ib_fail(err, IB_INVALID, "%s is not a regular file", shown);
	return ib_read_all(fd, max, shown, ret_bytes, ret_len, err);
}

static char *temp_name(void)
{
	uint64_t r = 0;

	/* Uniqueness is O_EXCL's business; the number only makes a clash unlikely. */
	(void)!getrandom(&r, sizeof r, GRND_NONBLOCK);
	return ib_asprintf(".tmp-%d-%016jx", (int)getpid(), (uintmax_t)r);
}

int ib_replace_file(int dir, const char *name, const void *bytes, size_t n, mode_t mode,
		    struct ib_err *err)
{
	ib_autofree char *temp = temp_name();
	ib_autoclose int fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	int sys;

	if (fd < 0)
		return ib_fail_sys(err, errno, "create a file beside '%s'", name);
	if (ib_write_full(fd, bytes, n) == 0 && fsync(fd) == 0 && renameat(dir, temp, dir, name) == 0 &&
	    fsync(dir) == 0)
		return 0;
	sys = errno;
	(void)unlinkat(dir, temp, 0);	/* may be renamed already */
	return ib_fail_sys(err, sys, "replace '%s'", name);
}

int ib_mkdirs(int dir, const char *path, mode_t mode, struct ib_err *err)
{
	ib_autofree char *copy = ib_strdup(path);
	ib_autoclose int at = -1;

	for (char *p = copy, *next; p; p = next) {
		int fd;

		next = strchr(p, '/');
		if (next)
			*next++ = '\0';
		if (!*p || strcmp(p, ".") == 0)
			continue;
		if (mkdirat(at < 0 ? dir : at, p, mode) < 0 && errno != EEXIST)
			return ib_fail_sys(err, errno, "create directory '%s'", path);
		fd = openat(at < 0 ? dir : at, p, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return ib_fail_sys(err, errno, "create directory '%s'", path);
		ib_closep(&at);
		at = fd;
	}
	return 0;
}

int ib_tmpfile(int dir, char **ret_name, struct ib_err *err)
{
	int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	*ret_name = NULL;
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
		ib_autofree char *name = temp_name();

		fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd >= 0)
			*ret_name = ib_steal_ptr(&name);
	}
	if (fd < 0)
		return ib_fail_sys(err, errno, "create a temporary file");
	return fd;
}

int ib_tmpfile_link(int fd, const char *temp, int dir, const char *name, int keep_existing,
		    struct ib_err *err)
{
	char self[32];
	int sys = 0;

	(void)snprintf(self, sizeof self, "/proc/self/fd/%d", fd);	/* AT_EMPTY_PATH needs a capability */
	if (linkat(temp ? dir : AT_FDCWD, temp ? temp : self, dir, name, temp ? 0 : AT_SYMLINK_FOLLOW) < 0)
		sys = errno;
	if (temp)
		(void)unlinkat(dir, temp, 0);
	if (sys && !(sys == EEXIST && keep_existing))
		return ib_fail_sys(err, sys, "publish '%s'", name);
	return 0;
}
