#include "builder/snapshot/climber.h"

#include <fcntl.h>
#include <stdlib.h>

#include "builder/snapshot/copy-entry.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define OPEN_DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

int snapshot_climber_init(struct snapshot_climber *climber, int top, const struct stat *meta, bool keep_owner,
			  struct ib_err *err)
{
	*climber = (struct snapshot_climber){.fd = fcntl(top, F_DUPFD_CLOEXEC, 3), .keep_owner = keep_owner};
	ib_grow(climber->meta, climber->depth, climber->cap);
	climber->meta[0] = *meta;
	return climber->fd < 0 ? ib_fail_sys(err, errno, "open directory") : 0;
}

void snapshot_climber_done(struct snapshot_climber *climber)
{
	ib_closep(&climber->fd);
	free(climber->meta);
}

static void stand_in(struct snapshot_climber *climber, int take_fd)
{
	ib_closep(&climber->fd);
	climber->fd = take_fd;
}

int snapshot_climber_down(struct snapshot_climber *climber, const char *name, const struct stat *meta,
			  int xattrs_from, struct ib_err *err)
{
	ib_autoclose int fd = -1;
	size_t used = climber->depth + 1;

	if (mkdirat(climber->fd, name, 0700) < 0)
		return snapshot_fail(err, "create directory", name);
	fd = openat(climber->fd, name, OPEN_DIRECTORY);
	/* 0700 again: a set-group-ID bit may have come from the directory above. */
	if (fd < 0 || fchmod(fd, 0700) < 0 || (xattrs_from >= 0 && snapshot_copy_xattrs(xattrs_from, fd) < 0))
		return snapshot_fail(err, "create directory", name);
	ib_grow(climber->meta, used, climber->cap);
	climber->meta[used] = *meta;
	climber->depth++;
	stand_in(climber, ib_steal_fd(&fd));
	return 0;
}

int snapshot_climber_up(struct snapshot_climber *climber, size_t depth, struct ib_err *err)
{
	while (climber->depth > depth) {
		/* Before its mode comes, which may not let us look up. */
		ib_autoclose int above = openat(climber->fd, "..", OPEN_DIRECTORY);

		if (above < 0 ||
		    snapshot_set_metadata(climber->fd, &climber->meta[climber->depth], climber->keep_owner) < 0)
			return ib_fail_sys(err, errno, "finish directory");
		climber->depth--;
		stand_in(climber, ib_steal_fd(&above));
	}
	return 0;
}

int snapshot_climber_finish(struct snapshot_climber *climber, struct ib_err *err)
{
	if (snapshot_climber_up(climber, 0, err) < 0)
		return -1;
	if (snapshot_set_metadata(climber->fd, &climber->meta[0], climber->keep_owner) < 0)
		return ib_fail_sys(err, errno, "finish directory");
	return 0;
}
