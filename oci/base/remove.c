#include "oci/base/remove.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "oci/base/alloc.h"

#include "oci/base/poison.h"

/* Open the directory name in dir for reading, giving its owner the permission to if that lacks. */
static int open_for_removal(int dir, const char *name)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
	int fd = openat(dir, name, flags);

	if (fd < 0 && errno == EACCES && fchmodat(dir, name, 0700, 0) == 0)
		fd = openat(dir, name, flags);
	return fd;
}

/* One directory that is being emptied; its descendants hang below it in the same list. */
struct removal {
	struct removal *parent;
	DIR *stream;
	dev_t dev;
	char name[256];	/* NAME_MAX and its NUL */
	bool opened_up;
};

static struct removal *removal_push(struct removal *parent, int fd, const char *name)
{
	struct removal *r = ib_new(struct removal);
	struct stat st;

	r->parent = parent;
	(void)snprintf(r->name, sizeof r->name, "%s", name);
	if (fstat(fd, &st) < 0 || !(r->stream = fdopendir(fd))) {
		free(r);
		return NULL;
	}
	r->dev = st.st_dev;
	return r;
}

/*
 * Remove what readdir gives until a subdirectory must be emptied first, which is opened and returned by
 * descriptor with its name in name. -1: nothing is left. -2: failed, with errno.
 */
static int removal_step(struct removal *r, char name[static 256])
{
	int fd = dirfd(r->stream);
	struct dirent *de;

	while ((errno = 0, de = readdir(r->stream))) {
		bool directory = de->d_type == DT_DIR;
		int sub;

		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		if (!directory && unlinkat(fd, de->d_name, 0) == 0)
			continue;
		if (!directory && errno == EACCES && !r->opened_up && fchmod(fd, 0700) == 0) {
			r->opened_up = true;
			if (unlinkat(fd, de->d_name, 0) == 0)
				continue;
		}
		if (!directory && errno != EISDIR && errno != ENOENT)
			return -2;
		if (unlinkat(fd, de->d_name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			continue;
		if (errno == EACCES && !r->opened_up) {
			(void)fchmod(fd, 0700);	/* the retry below reports what remains wrong */
			r->opened_up = true;
		}
		sub = open_for_removal(fd, de->d_name);
		if (sub < 0)
			return -2;
		(void)snprintf(name, 256, "%s", de->d_name);
		return sub;
	}
	return errno ? -2 : -1;
}

static void removal_free_all(struct removal *r)
{
	while (r) {
		struct removal *parent = r->parent;

		if (r->stream)
			(void)closedir(r->stream);
		free(r);
		r = parent;
	}
}

/*
 * Deep trees: only the lowest REMOVAL_OPEN directories are held open. One that was closed is reached
 * again through ".." of the child, which cannot move since it is ours alone.
 */
#define REMOVAL_OPEN 64

static int removal_reopen(struct removal *r, int child_fd)
{
	int fd = openat(child_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	r->stream = fdopendir(fd);
	if (!r->stream)
		ib_closep(&fd);
	return r->stream ? 0 : -1;
}

static void removal_close_far(struct removal *r)
{
	for (int i = 0; r && i < REMOVAL_OPEN; i++)
		r = r->parent;
	if (r && r->parent && r->stream) {	/* never the first: it is where we started */
		(void)closedir(r->stream);
		r->stream = NULL;
	}
}

static int remove_below(struct removal **top)
{
	dev_t dev = (*top)->dev;

	for (;;) {
		struct removal *done = *top;
		char name[256];
		int sub = removal_step(done, name);

		if (sub >= 0) {
			struct removal *r = removal_push(done, sub, name);

			if (!r)
				return -1;
			*top = r;
			if (r->dev != dev) {	/* a mount: not ours to empty */
				errno = EXDEV;
				return -1;
			}
			removal_close_far(r);
			continue;
		}
		if (sub == -2)
			return -1;
		if (!done->parent)
			return 0;
		if (!done->parent->stream && removal_reopen(done->parent, dirfd(done->stream)) < 0)
			return -1;
		*top = done->parent;
		(void)closedir(done->stream);
		if (unlinkat(dirfd((*top)->stream), done->name, AT_REMOVEDIR) < 0) {
			int sys = errno;

			free(done);
			errno = sys;
			return -1;
		}
		free(done);
	}
}

int ib_remove_tree(int dir, const char *name, struct ib_err *err)
{
	struct removal *top;
	int fd, sys;

	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return ib_fail_sys(err, errno, "remove '%s'", name);
	fd = open_for_removal(dir, name);
	if (fd < 0)
		return ib_fail_sys(err, errno, "remove '%s'", name);
	top = removal_push(NULL, fd, "");
	if (!top || remove_below(&top) < 0) {
		sys = errno;
		removal_free_all(top);
		return ib_fail_sys(err, sys, "remove '%s'", name);
	}
	removal_free_all(top);
	if (unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return ib_fail_sys(err, errno, "remove '%s'", name);
	return 0;
}
