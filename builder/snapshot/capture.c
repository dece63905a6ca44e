/* What a full tree has otherwise than the layers it was copied from, moved into a layer of its own. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "builder/snapshot/climber.h"
#include "builder/snapshot/copy-entry.h"
#include "builder/snapshot/flatten.h"
#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/base/pool.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define COMPARE_BYTES (64u << 10)
#define CAPABILITY "security.capability"
#define CAPABILITY_MAX 64	/* bytes; the kernel's largest has 24 */

enum { NEW, OLD };

/* A directory that both trees have, on the way to where the walks are. */
struct level {
	char *path;
	struct stat st;
};

/* Two walks side by side: what one of them meets first is missing in the other. */
struct capture {
	struct oci_union_walk *walk[2];
	const struct oci_walk_entry *entry[2];	/* NULL at the end */
	struct level *level;			/* directories entered; the climber made the first at.depth of them */
	size_t n, cap;
	struct snapshot_climber at;
	int full;
	bool keep_owner;
};

static void capture_done(struct capture *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->level[i].path);
	free(c->level);
	oci_union_walk_free(c->walk[NEW]);
	oci_union_walk_free(c->walk[OLD]);
	snapshot_climber_done(&c->at);
}

/* The next entry of one walk. Sockets are no part of a layer, in neither tree. */
static int advance(struct capture *c, int side, struct ib_err *err)
{
	int r;

	do
		r = oci_union_walk_next(c->walk[side], &c->entry[side], err);
	while (r > 0 && S_ISSOCK(c->entry[side]->st.st_mode));
	if (r == 0)
		c->entry[side] = NULL;
	return r < 0 ? -1 : 0;
}

/* Which path a walk visits first: bytes in order, but '/' before all others, and an end before that. */
static int walk_order(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	if (*a == *b)
		return 0;
	if (!*a || !*b)
		return *a ? 1 : -1;
	if (*a == '/' || *b == '/')
		return *a == '/' ? -1 : 1;
	return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
}

static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && path[n] == '/';
}

/* Leave the directories that path is not in. */
static int leave(struct capture *c, const char *path, struct ib_err *err)
{
	while (c->n && !is_below(path, c->level[c->n - 1].path))
		free(c->level[--c->n].path);
	return c->at.depth > c->n ? snapshot_climber_up(&c->at, c->n, err) : 0;
}

static void enter(struct capture *c, const struct oci_walk_entry *e)
{
	ib_grow(c->level, c->n, c->cap);
	c->level[c->n++] = (struct level){.path = ib_strdup(e->path), .st = e->st};
}

/*
 * The directory at path in the copy, for its extended attributes; -1 with an empty err where it lies deeper than
 * a path can say, which costs it those.
 */
static int open_level(const struct capture *c, const char *path, struct ib_err *err)
{
	int fd = ib_open_beneath(c->full, path, O_RDONLY | O_DIRECTORY, 0, err);

	if (fd < 0 && err->sys == ENAMETOOLONG)
		ib_err_clear(err);
	return fd;
}

/* Stand in the layer where the entry of path belongs: the directories above it come along. */
static int make_parents(struct capture *c, struct ib_err *err)
{
	for (size_t i = c->at.depth; i < c->n; i++) {
		const char *path = c->level[i].path, *slash = strrchr(path, '/');
		ib_autoclose int from = open_level(c, path, err);

		if (err->code != IB_OK ||
		    snapshot_climber_down(&c->at, slash ? slash + 1 : path, &c->level[i].st, from, err) < 0)
			return -1;
	}
	return 0;
}

/* Move the new entry, a directory with all that is in it. */
static int take(struct capture *c, struct ib_err *err)
{
	const struct oci_walk_entry *e = c->entry[NEW];

	if (make_parents(c, err) < 0)
		return -1;
	if (renameat(e->dirfd, e->name, c->at.fd, e->name) < 0)
		return snapshot_fail(err, "move", e->path);
	if (S_ISDIR(e->st.st_mode))
		oci_union_walk_skip(c->walk[NEW]);
	return 0;
}

static int hide(struct capture *c, struct ib_err *err)
{
	const struct oci_walk_entry *e = c->entry[OLD];

	if (make_parents(c, err) < 0)
		return -1;
	if (mknodat(c->at.fd, e->name, S_IFCHR, 0) < 0)
		return snapshot_fail(err, "create the whiteout of", e->path);
	if (S_ISDIR(e->st.st_mode))
		oci_union_walk_skip(c->walk[OLD]);
	return 0;
}

static int open_entry(const struct oci_walk_entry *e, struct ib_err *err)
{
	int fd = openat(e->dirfd, e->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 ? snapshot_fail(err, "open", e->path) : fd;
}

static bool same_capability(int a, int b)
{
	char x[CAPABILITY_MAX], y[CAPABILITY_MAX];
	ssize_t n = fgetxattr(a, CAPABILITY, x, sizeof x), m = fgetxattr(b, CAPABILITY, y, sizeof y);

	return n < 0 ? m < 0 : n == m && memcmp(x, y, (size_t)n) == 0;
}

/* 1, 0, or -1 with errno. */
static int same_content(int a, int b)
{
	ib_autofree char *buffer = ib_malloc(2 * COMPARE_BYTES);
	ssize_t n, m;

	do {
		n = ib_read_full(a, buffer, COMPARE_BYTES);
		m = n < 0 ? -1 : ib_read_full(b, buffer + COMPARE_BYTES, COMPARE_BYTES);
		if (m < 0)
			return -1;
		if (n != m || memcmp(buffer, buffer + COMPARE_BYTES, (size_t)n) != 0)
			return 0;
	} while (n > 0);
	return 1;
}

/*
 * Of two files of equal size and time. A time in whole seconds comes from an archive, and another one may
 * have given the same to other content; it is how oci/layer-diff.h decides too.
 */
static int same_file(struct capture *c, struct ib_err *err)
{
	const struct oci_walk_entry *e = c->entry[NEW];
	ib_autoclose int a = open_entry(e, err), b = -1;
	int same;

	if (a < 0)
		return -1;
	b = open_entry(c->entry[OLD], err);
	if (b < 0)
		return -1;
	if (!same_capability(a, b))
		return 0;
	if (e->st.st_mtim.tv_nsec != 0 || e->st.st_size == 0)
		return 1;
	same = same_content(a, b);
	return same < 0 ? snapshot_fail(err, "compare", e->path) : same;
}

static int same_link(struct capture *c, struct ib_err *err)
{
	char target[2][4096];	/* PATH_MAX: no link is longer */
	ssize_t n[2];

	for (int i = 0; i < 2; i++) {
		n[i] = readlinkat(c->entry[i]->dirfd, c->entry[i]->name, target[i], sizeof target[i]);
		if (n[i] < 0)
			return snapshot_fail(err, "read link", c->entry[i]->path);
	}
	return n[NEW] == n[OLD] && memcmp(target[NEW], target[OLD], (size_t)n[NEW]) == 0;
}

/* 1 when the entry that both trees have is unchanged, 0, or -1. */
static int same(struct capture *c, struct ib_err *err)
{
	const struct stat *n = &c->entry[NEW]->st, *o = &c->entry[OLD]->st;

	if (n->st_mode != o->st_mode || (c->keep_owner && (n->st_uid != o->st_uid || n->st_gid != o->st_gid)))
		return 0;
	if (S_ISDIR(n->st_mode))
		return 1;
	if ((S_ISCHR(n->st_mode) || S_ISBLK(n->st_mode)) && n->st_rdev != o->st_rdev)
		return 0;
	if (n->st_size != o->st_size || n->st_mtim.tv_sec != o->st_mtim.tv_sec ||
	    n->st_mtim.tv_nsec != o->st_mtim.tv_nsec)
		return 0;
	if (S_ISLNK(n->st_mode))
		return same_link(c, err);
	return S_ISREG(n->st_mode) ? same_file(c, err) : 1;
}

/* In both trees: a directory is gone into, and made only when it changed itself. */
static int both(struct capture *c, struct ib_err *err)
{
	bool new_dir = S_ISDIR(c->entry[NEW]->st.st_mode), old_dir = S_ISDIR(c->entry[OLD]->st.st_mode);
	int unchanged = same(c, err);

	if (unchanged < 0)
		return -1;
	if (new_dir && old_dir) {
		enter(c, c->entry[NEW]);
		if (!unchanged && make_parents(c, err) < 0)
			return -1;
	} else {
		if (!unchanged && take(c, err) < 0)
			return -1;
		if (old_dir)
			oci_union_walk_skip(c->walk[OLD]);	/* hidden by what was taken */
	}
	return advance(c, NEW, err) < 0 || advance(c, OLD, err) < 0 ? -1 : 0;
}

/* A device that cannot be made here is missing in the copy without having been removed. */
static bool never_copied(const struct capture *c, const struct stat *st)
{
	static const char probe[] = ".imgbuild-probe";

	if (!S_ISCHR(st->st_mode) && !S_ISBLK(st->st_mode))
		return false;
	if (mknodat(c->at.fd, probe, st->st_mode, st->st_rdev) < 0)
		return errno == EPERM;
	(void)unlinkat(c->at.fd, probe, 0);
	return false;
}

static int step(struct capture *c, struct ib_err *err)
{
	const struct oci_walk_entry *n = c->entry[NEW], *o = c->entry[OLD];
	int order = !o ? -1 : !n ? 1 : walk_order(n->path, o->path);

	if (ib_check_cancelled(err) < 0 || leave(c, order > 0 ? o->path : n->path, err) < 0)
		return -1;
	if (order == 0)
		return both(c, err);
	if (order < 0)
		return take(c, err) < 0 ? -1 : advance(c, NEW, err);
	if (!never_copied(c, &o->st) && hide(c, err) < 0)
		return -1;
	return advance(c, OLD, err);
}

static int start(struct capture *c, struct oci_union *full, struct oci_union *tree, int upper_fd,
		 struct ib_err *err)
{
	struct stat top;

	if (fstat(c->full, &top) < 0)
		return ib_fail_sys(err, errno, "look at the copy of the files");
	if (snapshot_climber_init(&c->at, upper_fd, &top, c->keep_owner, err) < 0 ||
	    oci_union_walk_new(full, "", 0, &c->walk[NEW], err) < 0 ||
	    oci_union_walk_new(tree, "", 0, &c->walk[OLD], err) < 0)
		return -1;
	return advance(c, NEW, err) < 0 || advance(c, OLD, err) < 0 ? -1 : 0;
}

int builder_capture(struct oci_union *tree, int full_fd, int upper_fd, bool keep_owner, struct ib_err *err)
{
	IB_CLEANUP(oci_union_freep) struct oci_union *full = oci_union_new();
	IB_CLEANUP(capture_done) struct capture c = {.at = {.fd = -1}, .full = full_fd, .keep_owner = keep_owner};
	int fd = fcntl(full_fd, F_DUPFD_CLOEXEC, 3);

	if (fd < 0)
		return ib_fail_sys(err, errno, "open the copy of the files");
	oci_union_push(full, fd, OCI_UNION_PLAIN);
	if (start(&c, full, tree, upper_fd, err) < 0)
		return -1;
	while (c.entry[NEW] || c.entry[OLD])
		if (step(&c, err) < 0)
			return -1;
	return snapshot_climber_finish(&c.at, err);
}
