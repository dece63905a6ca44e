#include "builder/snapshot/flatten.h"

#include <fcntl.h>

#include "builder/snapshot/climber.h"
#include "builder/snapshot/copy-entry.h"
#include "oci/base/alloc.h"
#include "oci/base/pool.h"
#include "oci/diff-links.h"

#include "oci/base/poison.h"

struct flatten {
	struct snapshot_climber at;
	struct diff_links *links;
	int full;
};

static void flatten_done(struct flatten *f)
{
	snapshot_climber_done(&f->at);
	diff_links_free(f->links);
}

/* How many directories lead to path. */
static size_t depth_of(const char *path)
{
	size_t depth = 0;

	for (; *path; path++)
		depth += *path == '/';
	return depth;
}

static int copy_directory(struct flatten *f, const struct oci_walk_entry *e, struct ib_err *err)
{
	ib_autoclose int from = openat(e->dirfd, e->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (from < 0)
		return snapshot_fail(err, "open", e->path);
	return snapshot_climber_down(&f->at, e->name, &e->st, from, err);
}

static int copy_file(struct flatten *f, const struct oci_walk_entry *e, struct ib_err *err)
{
	ib_autoclose int from = openat(e->dirfd, e->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), to = -1;

	if (from < 0)
		return snapshot_fail(err, "open", e->path);
	to = openat(f->at.fd, e->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0 || snapshot_copy_content(from, &e->st, to) < 0)
		return snapshot_fail(err, "copy", e->path);
	/* The owner first: it would take file capabilities away. */
	if (f->at.keep_owner && fchown(to, e->st.st_uid, e->st.st_gid) < 0)
		return snapshot_fail(err, "copy", e->path);
	if (snapshot_copy_xattrs(from, to) < 0 || snapshot_set_metadata(to, &e->st, false) < 0)
		return snapshot_fail(err, "copy", e->path);
	return 0;
}

static int copy_special(struct flatten *f, const struct oci_walk_entry *e, struct ib_err *err)
{
	if (S_ISSOCK(e->st.st_mode) ||
	    snapshot_copy_special(e->dirfd, e->name, &e->st, f->at.fd, f->at.keep_owner) == 0)
		return 0;
	/* Without privileges there are no devices; who needs one fails on its absence. */
	if (errno == EPERM && (S_ISCHR(e->st.st_mode) || S_ISBLK(e->st.st_mode)))
		return 0;
	return snapshot_fail(err, "copy", e->path);
}

static int copy_entry(struct flatten *f, const struct oci_walk_entry *e, struct ib_err *err)
{
	const char *first;

	if (snapshot_climber_up(&f->at, depth_of(e->path), err) < 0)
		return -1;
	if (S_ISDIR(e->st.st_mode))
		return copy_directory(f, e, err);
	first = e->st.st_nlink > 1 ? diff_links_seen(f->links, &e->st, e->path) : NULL;
	/* Where the path is too long for it, another copy does. */
	if (first && linkat(f->full, first, f->at.fd, e->name, 0) == 0)
		return 0;
	return S_ISREG(e->st.st_mode) ? copy_file(f, e, err) : copy_special(f, e, err);
}

int builder_flatten(struct oci_union *tree, int full_fd, bool keep_owner, struct ib_err *err)
{
	IB_CLEANUP(oci_union_walk_freep) struct oci_union_walk *walk = NULL;
	IB_CLEANUP(flatten_done) struct flatten f = {.full = full_fd, .links = diff_links_new(), .at = {.fd = -1}};
	const struct oci_walk_entry *e;
	struct stat top;
	int r;

	if (oci_union_stat(tree, "", &top, NULL, err) < 0 ||
	    snapshot_climber_init(&f.at, full_fd, &top, keep_owner, err) < 0 ||
	    oci_union_walk_new(tree, "", 0, &walk, err) < 0)
		return -1;
	while ((r = oci_union_walk_next(walk, &e, err)) > 0)
		if (ib_check_cancelled(err) < 0 || copy_entry(&f, e, err) < 0)
			return -1;
	return r < 0 ? -1 : snapshot_climber_finish(&f.at, err);
}
