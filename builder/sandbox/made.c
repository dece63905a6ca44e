#include "builder/sandbox/sandbox-internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "oci/base/alloc.h"
#include "oci/base/fd.h"

#include "oci/base/poison.h"

#define MADE_MAX 65536u	/* mount points of one run: SANDBOX_LIST_MAX mounts, most with a parent */

void sandbox_made_done(struct sandbox_made *made)
{
	for (size_t i = 0; i < made->n; i++)
		free(made->point[i].path);
	free(made->point);
	*made = (struct sandbox_made){0};
}

void sandbox_made_add(struct sandbox_made *made, const struct sandbox_report *report)
{
	if (made->n == MADE_MAX)
		return;
	ib_grow(made->point, made->n, made->cap);
	made->point[made->n].path = ib_strdup(report->text);
	made->point[made->n].directory = report->head.directory;
	made->n++;
}

/* Is what was made as it was made? A directory shows that by letting itself be removed. */
static bool untouched(int parent, const char *name, bool directory)
{
	struct stat st;

	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	return directory ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode) && st.st_size == 0;
}

/* Remove path below upper, and leave the time of its directory as it is. */
static int remove_one(int upper, const char *path, bool directory, struct ib_err *err)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	ib_autofree char *dir = slash ? ib_strndup(path, (size_t)(slash - path)) : ib_strdup(".");
	ib_autoclose int parent = ib_open_beneath(upper, dir, O_RDONLY | O_DIRECTORY, 0, err);
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
	struct stat st;

	if (parent < 0) {
		ib_err_clear(err);	/* the program removed or replaced the directory: nothing of ours is left */
		return 0;
	}
	if (!untouched(parent, name, directory))
		return 0;
	if (fstat(parent, &st) < 0)
		return ib_fail_sys(err, errno, "mount point '%s'", path);
	if (unlinkat(parent, name, directory ? AT_REMOVEDIR : 0) < 0)
		return errno == ENOTEMPTY || errno == EEXIST ? 0 : ib_fail_sys(err, errno, "remove mount point '%s'", path);
	times[1] = st.st_mtim;
	(void)futimens(parent, times);	/* a time that stays changed harms nobody */
	return 0;
}

int sandbox_made_remove(const struct sandbox_made *made, const char *upper, struct ib_err *err)
{
	ib_autoclose int fd = -1;

	if (made->n == 0)
		return 0;
	fd = open(upper, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return ib_fail_sys(err, errno, "open '%s'", upper);
	for (size_t i = made->n; i-- > 0;)
		if (remove_one(fd, made->point[i].path, made->point[i].directory, err) < 0)
			return -1;
	return 0;
}
