#include "oci/layer-diff.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "oci/base/pool.h"
#include "oci/diff-entry.h"
#include "oci/union-internal.h"

#include "oci/base/poison.h"

/* A walk over the upper directory and, beside it, the place in the lower tree that it has reached. */
struct diff {
	struct diff_recorder rec;
	struct oci_union *upper, *lower;
	struct oci_union_walk *walk;
	struct union_stack at;		/* the deepest directory of the lower tree above the entry */
	struct ib_str absent;		/* a directory that the lower tree does not have */
};

static void diff_done(struct diff *d)
{
	diff_recorder_done(&d->rec);
	oci_union_walk_free(d->walk);
	union_stack_done(&d->at);
	oci_union_free(d->upper);
	ib_str_done(&d->absent);
}

/* Is dir the directory path[0..len), or above it? */
static bool covers(const struct ib_str *dir, const char *path, size_t len)
{
	return dir->len <= len && strncmp(dir->s ? dir->s : "", path, dir->len) == 0 &&
	       (dir->len == len || dir->len == 0 || path[dir->len] == '/');
}

/*
 * Bring d->at to the directory that holds the entry: 1, or 0 when the lower tree has no such directory.
 * New directories are many and deep: that one is missing is found out once, not for all that is in it.
 */
static int reach_parent(struct diff *d, const struct oci_walk_entry *e, struct ib_err *err)
{
	size_t len = (size_t)(e->name - e->path), start;
	int found;

	len -= len > 0;	/* the '/' */
	while (d->at.n > 1 && !covers(&d->at.path, e->path, len))
		union_stack_pop(&d->at);
	if (d->at.path.len == len)
		return 1;
	if (d->absent.len && covers(&d->absent, e->path, len))
		return 0;
	start = d->at.path.len + (d->at.path.len > 0);
	found = union_stack_descend(&d->at, e->path + start, len - start, err);
	if (found < 0 || found == UNION_DIR)
		return found < 0 ? -1 : 1;
	start = d->at.path.len + (d->at.path.len > 0);
	ib_str_reset(&d->absent);
	ib_str_add(&d->absent, e->path, start + strcspn(e->path + start, "/"));
	return 0;
}

/* The lower entry of that name: 1 with *ret_side, 0 when there is none, -1. st is its storage. */
static int find_lower(struct diff *d, const struct oci_walk_entry *e, struct stat *st,
		      struct diff_side *ret_side, struct ib_err *err)
{
	const struct union_part *part;
	int found = reach_parent(d, e, err);

	if (found == 1)
		found = union_stack_stat(&d->at, e->name, st, &part, err);
	if (found < 0)
		return ib_wrap(err, "lower layers");
	if (found == 1)
		*ret_side = (struct diff_side){.dirfd = part->fd, .name = e->name, .st = st};
	return found;
}

/* What is no part of a layer: a whiteout, a socket. It removes what was there. */
static int remove_lower(struct diff *d, const struct oci_walk_entry *e, const struct diff_side *lower,
			struct ib_err *err)
{
	if (!lower || S_ISSOCK(lower->st->st_mode))
		return 0;
	return diff_remove(&d->rec, e->path, err);
}

static int visit(struct diff *d, const struct oci_walk_entry *e, const struct diff_side *lower,
		 struct ib_err *err)
{
	const struct diff_side upper = {.dirfd = e->dirfd, .name = e->name, .st = &e->st};
	int same = 0;

	if (union_is_whiteout(d->upper, 0, &e->st) || S_ISSOCK(e->st.st_mode))
		return remove_lower(d, e, lower, err);
	if (lower)
		same = diff_same(&upper, lower, e->path, err);
	if (same < 0)
		return -1;
	if (!same && diff_record(&d->rec, e, err) < 0)
		return -1;
	if (!S_ISDIR(e->st.st_mode))
		return 0;
	if (same)
		diff_pass(&d->rec, e);
	if (!e->opaque || !lower || !S_ISDIR(lower->st->st_mode))
		return 0;
	/* All that the lower directory has is gone but for what was made anew: name by name. */
	oci_union_walk_skip(d->walk);
	return diff_trees(&d->rec, d->upper, d->lower, e->path, err);
}

static int diff_upper(struct diff *d, struct ib_err *err)
{
	const struct oci_walk_entry *e;
	int r;

	if (d->upper->layer[0].opaque)
		return diff_trees(&d->rec, d->upper, d->lower, "", err);
	if (oci_union_walk_new(d->upper, "", OCI_WALK_RAW, &d->walk, err) < 0)
		return -1;
	while ((r = oci_union_walk_next(d->walk, &e, err)) > 0) {
		struct diff_side lower;
		struct stat st;
		int found;

		if (ib_check_cancelled(err) < 0)
			return -1;
		found = find_lower(d, e, &st, &lower, err);
		if (found < 0 || visit(d, e, found ? &lower : NULL, err) < 0)
			return -1;
	}
	return r;
}

int oci_layer_diff(struct oci_layer_writer *writer, int upper_fd, struct oci_union *lower,
		   const struct oci_diff_options *options, int64_t *ret_entries, struct ib_err *err)
{
	IB_CLEANUP(diff_done) struct diff d = {
		.upper = oci_union_new(), .lower = lower, .absent = IB_STR(UNION_MAX_PATH)};
	int fd = fcntl(upper_fd, F_DUPFD_CLOEXEC, 0);

	diff_recorder_init(&d.rec, writer, options);
	if (fd < 0)
		return ib_fail_sys(err, errno, "upper directory");
	oci_union_push(d.upper, fd, OCI_UNION_OVERLAY);
	if (union_stack_init(&d.at, lower, false, err) < 0 || diff_upper(&d, err) < 0)
		return -1;
	*ret_entries = d.rec.entries;
	return 0;
}
