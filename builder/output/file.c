/* Output files: whole or not at all. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "builder/output/output.h"
#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/base/pool.h"

#include "oci/base/poison.h"

struct fd_sink {
	int fd;
	const char *name;
};

static int write_fd(void *ctx, const void *bytes, size_t n, struct ib_err *err)
{
	const struct fd_sink *sink = ctx;

	if (ib_check_cancelled(err) < 0)
		return -1;
	if (ib_write_full(sink->fd, bytes, n) < 0)
		return ib_fail_sys(err, errno, "write '%s'", sink->name);
	return 0;
}

/* A fifo or device that is there is written to as it is: there is nothing to replace. */
static bool is_special(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

/* A file beside dest: nameless where that can be, so that nothing is left of it however we end. */
static int open_beside(const char *dest, const char *temp, bool *ret_named)
{
	ib_autofree char *dir = ib_strdup(dest);
	char *slash = strrchr(dir, '/');
	int fd;

	if (slash)
		slash[slash == dir] = '\0';
	fd = open(slash ? dir : ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0644);
	*ret_named = fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL);
	return *ret_named ? open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644) : fd;
}

/* rename() replaces what is there; linking, which gives a nameless file its name, does not. */
static int give_name(int fd, bool named, const char *temp, const char *dest)
{
	char self[32];
	int sys;

	(void)snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
	if (!named && linkat(AT_FDCWD, self, AT_FDCWD, temp, AT_SYMLINK_FOLLOW) < 0)
		return -1;
	if (rename(temp, dest) == 0)
		return 0;
	sys = errno;
	(void)unlink(temp);	/* the failure that counts is the renaming's */
	errno = sys;
	return -1;
}

int builder_output_file(const char *dest, int (*write)(void *ctx, oci_tar_sink *sink, void *sink_ctx,
						       struct ib_err *err),
			void *ctx, struct ib_err *err)
{
	ib_autofree char *temp = ib_asprintf("%s.tmp-%d", dest, (int)getpid());
	struct fd_sink sink = {.fd = STDOUT_FILENO, .name = dest};
	ib_autoclose int fd = -1;
	bool named;
	int r;

	if (strcmp(dest, "-") == 0) {
		sink.name = "standard output";
		return write(ctx, write_fd, &sink, err);
	}
	if (is_special(dest)) {
		sink.fd = fd = open(dest, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			return ib_fail_sys(err, errno, "open '%s'", dest);
		return write(ctx, write_fd, &sink, err);
	}
	sink.fd = fd = open_beside(dest, temp, &named);
	if (fd < 0)
		return ib_fail_sys(err, errno, "create '%s'", dest);
	r = write(ctx, write_fd, &sink, err);
	if (r == 0 && (fsync(fd) < 0 || give_name(fd, named, temp, dest) < 0))
		r = ib_fail_sys(err, errno, "create '%s'", dest);
	if (r < 0 && named)
		(void)unlink(temp);	/* the failure that counts is in err */
	return r;
}
