/* type=local: the files of the result in a directory of the caller's. */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "builder/output/output.h"
#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/diff-links.h"

#include "oci/base/poison.h"

#define COPY_BYTES (256u << 10)

struct copying {
	const struct builder_export *export;
	int root;
	struct diff_links *links;
	char *buf;
};

static void set_times(const struct copying *c, int dirfd, const char *name, const struct stat *st)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st->st_mtim};

	if (c->export->clamp)
		times[1] = (struct timespec){.tv_sec = c->export->epoch};
	/* Times are a courtesy of this output; a file system without them still has the files. */
	(void)utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW);
}

static int copy_content(const struct copying *c, const struct oci_walk_entry *e, int to, struct ib_err *err)
{
	ib_autoclose int from = openat(e->dirfd, e->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n;

	if (from < 0)
		return ib_fail_sys(err, errno, "open '%s'", e->path);
	while ((n = ib_read_full(from, c->buf, COPY_BYTES)) > 0)
		if (ib_write_full(to, c->buf, (size_t)n) < 0)
			return ib_fail_sys(err, errno, "write '%s'", e->path);
	return n < 0 ? ib_fail_sys(err, errno, "read '%s'", e->path) : 0;
}

static int put_file(const struct copying *c, const struct oci_walk_entry *e, int parent, struct ib_err *err)
{
	const char *first = diff_links_seen(c->links, &e->st, e->path);
	ib_autoclose int to = -1;

	if (first && linkat(c->root, first, parent, e->name, 0) == 0)
		return 0;
	to = openat(parent, e->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return ib_fail_sys(err, errno, "create '%s'", e->path);
	if (copy_content(c, e, to, err) < 0)
		return -1;
	/* The files are the caller's now: set-id bits would give his rights away. */
	if (fchmod(to, e->st.st_mode & 0777) < 0)
		return ib_fail_sys(err, errno, "set the mode of '%s'", e->path);
	return 0;
}

static int put_link(const struct oci_walk_entry *e, int parent, struct ib_err *err)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(e->dirfd, e->name, target, sizeof target - 1);

	if (n < 0)
		return ib_fail_sys(err, errno, "read link '%s'", e->path);
	target[n] = '\0';
	if (symlinkat(target, parent, e->name) < 0)
		return ib_fail_sys(err, errno, "create link '%s'", e->path);
	return 0;
}

static int put_directory(const struct oci_walk_entry *e, int parent, struct ib_err *err)
{
	struct stat st = {0};

	if (mkdirat(parent, e->name, 0700) == 0 || errno == EEXIST) {
		if (fstatat(parent, e->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) &&
		    fchmodat(parent, e->name, (e->st.st_mode & 0777) | 0700, 0) == 0)
			return 0;
		if (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode))
			return ib_fail(err, IB_EXISTS, "'%s' is in the way of a directory", e->path);
	}
	return ib_fail_sys(err, errno, "create directory '%s'", e->path);
}

/* The directory that holds an entry, in the destination. A descriptor or -1. */
static int open_parent(const struct copying *c, const struct oci_walk_entry *e, struct ib_err *err)
{
	const char *slash = strrchr(e->path, '/');
	ib_autofree char *dir = slash ? ib_strndup(e->path, (size_t)(slash - e->path)) : ib_strdup(".");

	return ib_open_beneath(c->root, dir, O_PATH | O_DIRECTORY, 0, err);
}

static int put(const struct copying *c, const struct oci_walk_entry *e, struct ib_err *err)
{
	ib_autoclose int parent = open_parent(c, e, err);
	int r = 0;

	if (parent < 0)
		return -1;
	/* What an earlier export left is replaced; a directory stays and is merged with. */
	if (!S_ISDIR(e->st.st_mode) && unlinkat(parent, e->name, 0) < 0 && errno != ENOENT)
		return ib_fail_sys(err, errno, "replace '%s'", e->path);
	if (S_ISDIR(e->st.st_mode))
		r = put_directory(e, parent, err);
	else if (S_ISREG(e->st.st_mode))
		r = put_file(c, e, parent, err);
	else if (S_ISLNK(e->st.st_mode))
		r = put_link(e, parent, err);
	else if (S_ISFIFO(e->st.st_mode) && mkfifoat(parent, e->name, e->st.st_mode & 0777) < 0)
		r = ib_fail_sys(err, errno, "create fifo '%s'", e->path);
	/* Devices and sockets mean nothing outside the image. */
	if (r == 0 && !S_ISDIR(e->st.st_mode))
		set_times(c, parent, e->name, &e->st);
	return r;
}

/* Writing into a directory changes its time, so directories get theirs when all is written. */
static int set_directory_times(const struct copying *c, struct ib_err *err)
{
	IB_CLEANUP(oci_union_walk_freep) struct oci_union_walk *walk = NULL;
	const struct oci_walk_entry *e;
	int r;

	if (oci_union_walk_new(c->export->tree, "", 0, &walk, err) < 0)
		return -1;
	while ((r = oci_union_walk_next(walk, &e, err)) > 0) {
		ib_autoclose int parent = S_ISDIR(e->st.st_mode) ? open_parent(c, e, err) : -1;

		if (parent >= 0)
			set_times(c, parent, e->name, &e->st);
		else if (S_ISDIR(e->st.st_mode))
			return -1;
	}
	return r;
}

/* The user's own path, links and all. What could not be made shows when the last part is made. */
static void make_parents(const char *path)
{
	ib_autofree char *copy = ib_strdup(path);

	for (char *slash = strchr(copy + 1, '/'); slash && slash[1]; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(copy, 0755);	/* as above */
		*slash = '/';
	}
}

int builder_export_local(const struct builder_output *output, const struct builder_export *export,
			 struct ib_err *err)
{
	IB_CLEANUP(diff_links_freep) struct diff_links *links = diff_links_new();
	IB_CLEANUP(oci_union_walk_freep) struct oci_union_walk *walk = NULL;
	ib_autofree char *buf = ib_malloc(COPY_BYTES);
	struct copying c = {.export = export, .links = links, .buf = buf};
	ib_autoclose int root = -1;
	const struct oci_walk_entry *e;
	int r;

	make_parents(output->dest);
	if (mkdir(output->dest, 0755) < 0 && errno != EEXIST)
		return ib_fail_sys(err, errno, "create directory '%s'", output->dest);
	c.root = root = open(output->dest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return ib_fail_sys(err, errno, "open directory '%s'", output->dest);
	if (oci_union_walk_new(export->tree, "", 0, &walk, err) < 0)
		return -1;
	while ((r = oci_union_walk_next(walk, &e, err)) > 0)
		if (put(&c, e, err) < 0)
			return -1;
	return r < 0 ? -1 : set_directory_times(&c, err);
}
