/* One directory per process, and what those of dead processes left. */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "builder/snapshot/snapshot-internal.h"
#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/base/remove.h"

#include "oci/base/poison.h"

/*
 * A sweeper may take the directory between its making and its locking: it is ours once we hold the lock and
 * it is still there.
 */
static int try_work(struct builder_snapshots *s, struct ib_err *err)
{
	uint64_t r = 0;
	struct stat st;

	(void)!getrandom(&r, sizeof r, GRND_NONBLOCK);	/* mkdir tells of a clash */
	free(s->work_name);
	s->work_name = ib_asprintf("%d.%012" PRIx64, (int)getpid(), r & UINT64_C(0xffffffffffff));
	if (mkdirat(s->works, s->work_name, 0700) < 0)
		return errno == EEXIST ? 0 : ib_fail_sys(err, errno, "create work directory");
	s->work = openat(s->works, s->work_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->work < 0)
		return errno == ENOENT ? 0 : ib_fail_sys(err, errno, "open work directory");
	if (flock(s->work, LOCK_EX | LOCK_NB) == 0 && fstat(s->work, &st) == 0 && st.st_nlink > 0)
		return 1;
	ib_closep(&s->work);
	s->work = -1;
	return 0;
}

int snapshot_workdir_open(struct builder_snapshots *s, int root, const char *root_path, struct ib_err *err)
{
	int r;

	if (ib_mkdirs(root, "work", 0711, err) < 0)
		return -1;
	s->works = openat(root, "work", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->works < 0)
		return ib_fail_sys(err, errno, "open '%s/work'", root_path);
	do
		r = try_work(s, err);
	while (r == 0);
	if (r < 0)
		return -1;
	s->work_path = ib_asprintf("%s/work/%s", root_path, s->work_name);
	return 0;
}

void snapshot_workdir_close(struct builder_snapshots *s)
{
	ib_autoerr err = {0};	/* what stays is swept by the next process */

	if (s->work >= 0) {
		(void)ib_remove_tree(s->works, s->work_name, &err);
		ib_closep(&s->work);
	}
	free(s->work_name);
	free(s->work_path);
	if (s->works >= 0)
		ib_closep(&s->works);
}

/* Does some chain's link name this snapshot? */
static bool is_linked(const struct builder_snapshots *s, const char *id)
{
	int fd = openat(s->chains, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;
	bool found = false;

	if (!stream) {
		ib_closep(&fd);
		return true;	/* unknown: better kept than lost */
	}
	while (!found && (de = readdir(stream))) {
		char target[256];
		ssize_t n = readlinkat(s->chains, de->d_name, target, sizeof target - 1);

		if (n <= 3)
			continue;	/* "." and "..", which are no links */
		target[n] = '\0';
		found = strcmp(target + 3, id) == 0;	/* after "../" */
	}
	(void)closedir(stream);
	return found;
}

static void sweep_snapshots(struct builder_snapshots *s, const char *process)
{
	int fd = openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	size_t n = strlen(process);
	struct dirent *de;

	if (!stream) {
		ib_closep(&fd);
		return;
	}
	while ((de = readdir(stream))) {
		ib_autoerr err = {0};	/* tried again at the next opening */

		if (strncmp(de->d_name, process, n) == 0 && de->d_name[n] == '-' && !is_linked(s, de->d_name))
			(void)ib_remove_tree(s->dir, de->d_name, &err);
	}
	(void)closedir(stream);
}

/* The lock tells who is alive; whoever gets it is alone with what the dead one left. */
static void sweep_one(struct builder_snapshots *s, const char *name)
{
	ib_autoclose int fd = openat(s->works, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	ib_autoerr err = {0};	/* as above */

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return;
	sweep_snapshots(s, name);
	(void)ib_remove_tree(s->works, name, &err);
}

void snapshot_sweep(struct builder_snapshots *s)
{
	int fd = openat(s->works, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	if (!stream) {
		ib_closep(&fd);
		return;
	}
	while ((de = readdir(stream)))
		if (de->d_name[0] != '.' && strcmp(de->d_name, s->work_name) != 0)
			sweep_one(s, de->d_name);
	(void)closedir(stream);
}
