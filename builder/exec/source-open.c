#include "builder/exec/source-open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "oci/base/cleanup.h"

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

int exec_source_open(int dirfd, const char *name, struct stat *ret_st)
{
	ib_autoclose int fd = open_file(dirfd, name);

	if (fd < 0 || fstat(fd, ret_st) < 0)
		return -1;
	if (!S_ISREG(ret_st->st_mode)) {
		errno = EINVAL;
		return -1;
	}
	return ib_steal_fd(&fd);
}
