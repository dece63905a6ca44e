#include "builder/exec/content-open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "oci/base/pool.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

/* Refused for somebody else's file: then the next one will be, too, most likely. */
static atomic_bool noatime_refused;

static int open_file(int dirfd, const char *name)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

	if (!atomic_load_explicit(&noatime_refused, memory_order_relaxed)) {
		int fd = openat(dirfd, name, flags | O_NOATIME);

		if (fd >= 0 || errno != EPERM)
			return fd;
		atomic_store_explicit(&noatime_refused, true, memory_order_relaxed);
	}
	return openat(dirfd, name, flags);
}

int exec_content_open(int dirfd, const char *name, struct stat *ret_st)
{
	ib_autoclose int fd = open_file(dirfd, name);

	if (fd < 0 || fstat(fd, ret_st) < 0)
		return -1;
	if (!S_ISREG(ret_st->st_mode)) {
		errno = ESTALE;
		return -1;
	}
	return ib_steal_fd(&fd);
}

int exec_content_fail(struct ib_err *err, const char *verb, const char *path)
{
	int sys = errno;
	ib_autofree char *shown = ib_printable(path, 1024);

	switch (sys) {
	case ECANCELED:
		return ib_check_cancelled(err);
	case ENOENT:
		return ib_fail(err, IB_NOTFOUND, "%s '/%s': it has vanished meanwhile", verb, shown);
	case ESTALE:
		return ib_fail(err, IB_BUSY, "%s '/%s': it has become something else meanwhile", verb, shown);
	}
	return ib_fail_sys(err, sys, "%s '/%s'", verb, shown);
}
