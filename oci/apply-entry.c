#include "oci/layer-apply-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

static int fail_create(struct ib_err *err)
{
	return ib_fail_sys(err, errno, "create");
}

static int apply_root(struct apply *a, const struct oci_tar_entry *e, struct ib_err *err)
{
	struct apply_metadata m;

	if (!S_ISDIR(e->mode))
		return ib_fail(err, IB_INVALID, "the root is a directory");
	if (apply_metadata_of(a, e, &m, err) < 0)
		return -1;
	return apply_metadata_dir(a, a->root, &m, err);
}

/* Make the directory, or find it. Something else in its place gives way. */
static int make_directory(struct apply *a, struct apply_dir *parent, const char *name,
			  struct apply_dir **ret_dir, struct ib_err *err)
{
	int done = apply_dirs_make(a, parent, name, ret_dir, err);

	if (done == 0)
		done = apply_dirs_open(a, parent, name, ret_dir, err);
	if (done != 0)
		return done < 0 ? -1 : 0;
	if (apply_remove(a, parent, name, err) < 0)
		return -1;
	done = apply_dirs_make(a, parent, name, ret_dir, err);
	if (done <= 0)
		return done < 0 ? -1 : fail_create(err);
	/* What was there hid a directory of the lower layers, or was its whiteout. This one is new. */
	return a->overlay ? apply_dir_make_opaque(a, *ret_dir, err) : 0;
}

static int apply_directory(struct apply *a, struct apply_dir *parent, const char *name,
			   const struct oci_tar_entry *e, struct ib_err *err)
{
	struct apply_metadata m;
	struct apply_dir *dir;

	if (apply_metadata_of(a, e, &m, err) < 0 || make_directory(a, parent, name, &dir, err) < 0)
		return -1;
	return apply_metadata_dir(a, dir, &m, err);
}

static int create_file(struct apply *a, struct apply_dir *parent, const char *name, mode_t mode,
		       struct ib_err *err)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC;
	int fd;

	parent->touched = true;
	fd = openat(parent->fd, name, flags, mode);
	if (fd < 0 && errno == EEXIST) {
		if (apply_remove(a, parent, name, err) < 0)
			return -1;
		fd = openat(parent->fd, name, flags, mode);
	}
	return fd < 0 ? fail_create(err) : fd;
}

static int apply_file(struct apply *a, struct oci_tar_reader *tar, struct apply_dir *parent, const char *name,
		      const struct oci_tar_entry *e, struct ib_err *err)
{
	struct apply_metadata m;
	ib_autoclose int fd = -1;

	if (apply_metadata_of(a, e, &m, err) < 0)
		return -1;
	/* The permissions it will have, so that they need not be set; attributes need one to write. */
	fd = create_file(a, parent, name, (m.mode & 0777) | (m.n_xattrs ? 0200 : 0), err);
	if (fd < 0 || apply_content(a, tar, fd, e->size, err) < 0)
		return -1;
	return apply_metadata_file(a, fd, parent, &m, err);
}

static int make_node(const struct apply_dir *parent, const char *name, const struct oci_tar_entry *e)
{
	if (S_ISLNK(e->mode))
		return symlinkat(e->link, parent->fd, name);
	return mknodat(parent->fd, name, e->mode & (S_IFMT | 0777), makedev(e->major, e->minor));
}

/* Links, fifos, devices. */
static int apply_node(struct apply *a, struct apply_dir *parent, const char *name,
		      const struct oci_tar_entry *e, struct ib_err *err)
{
	struct apply_metadata m;

	if (S_ISLNK(e->mode) && !*e->link)
		return ib_fail(err, IB_INVALID, "link without a target");
	if (apply_metadata_of(a, e, &m, err) < 0)
		return -1;
	parent->touched = true;
	if (make_node(parent, name, e) < 0) {
		if (errno != EEXIST)
			return fail_create(err);
		if (apply_remove(a, parent, name, err) < 0)
			return -1;
		if (make_node(parent, name, e) < 0)
			return fail_create(err);
	}
	return apply_metadata_at(a, parent, name, &m, err);
}

void apply_leave_out(struct apply *a, const char *name)
{
	if (a->result.devices_left_out++ == 0)
		a->result.first_device = ib_strdup(name);
}

static bool is_device(const struct oci_tar_entry *e)
{
	return S_ISCHR(e->mode) || S_ISBLK(e->mode);
}

/* Device 0:0 in a layer of an overlay would be a whiteout. */
static bool is_left_out(const struct apply *a, const struct oci_tar_entry *e)
{
	return is_device(e) && (!a->options->keep_devices ||
				(a->overlay && S_ISCHR(e->mode) && e->major == 0 && e->minor == 0));
}

static int fail_link(const struct oci_tar_entry *e, const char *why, struct ib_err *err)
{
	ib_autofree char *shown = ib_printable(e->link, 256);

	return ib_fail(err, IB_INVALID, "hard link to '%s': %s", shown, why);
}

/* Is something there that can be linked to? 1, 0 when nothing is, -1. */
static int judge_source(struct apply *a, const struct apply_dir *dir, const char *name,
			const struct oci_tar_entry *e, struct ib_err *err)
{
	struct stat st;

	if (fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : ib_fail_sys(err, errno, "stat");
	if (S_ISDIR(st.st_mode))
		return fail_link(e, "it is a directory", err);
	if (a->overlay && S_ISCHR(st.st_mode) && st.st_rdev == 0)
		return fail_link(e, "this layer removes it", err);
	return 1;
}

/*
 * The target of a hard link, copied up when only lower layers have it. 1 with its place, 0 when it is not
 * there and must be, but lower layers are not known; -1.
 */
static int find_source(struct apply *a, const struct oci_tar_entry *e, const char *path,
		       struct apply_dir **ret_dir, const char **ret_name, struct ib_err *err)
{
	apply_autolower lower = {.dirfd = -1};
	int found = apply_resolve_parent(a, path, APPLY_LOOK, ret_dir, ret_name, err);

	if (found > 0) {
		found = judge_source(a, *ret_dir, *ret_name, e, err);
		if (found)
			return found;
		found = apply_lower_find(a, *ret_dir, *ret_name, &lower, err);
		if (found > 0 && S_ISDIR(lower.st.st_mode))
			return fail_link(e, "it is a directory", err);
		if (found > 0)
			return apply_lower_copy_up(a, &lower, *ret_dir, *ret_name, err) < 0 ? -1 : 1;
	}
	if (found < 0 || a->result.needs_lower)
		return found;
	return fail_link(e, "there is no such file", err);
}

static int make_link(struct apply *a, const struct apply_dir *from, const char *from_name,
		     struct apply_dir *to, const char *name, const struct oci_tar_entry *e, struct ib_err *err)
{
	if (from == to && strcmp(from_name, name) == 0)
		return 0;	/* to itself */
	to->touched = true;
	if (linkat(from->fd, from_name, to->fd, name, 0) == 0)
		return 0;
	if (errno != EEXIST)
		return fail_create(err);
	if (apply_remove(a, to, name, err) < 0)
		return -1;
	if (from->gone)
		return fail_link(e, "it was below what the link replaces", err);
	return linkat(from->fd, from_name, to->fd, name, 0) < 0 ? fail_create(err) : 0;
}

static int apply_hardlink(struct apply *a, struct apply_dir *to, const char *name,
			  const struct oci_tar_entry *e, struct ib_err *err)
{
	char path[OCI_TAR_MAX_NAME + 1];
	struct apply_dir *from;
	const char *from_name;
	int found;

	if (apply_name_clean(e->link, a->options->form == OCI_APPLY_ARCHIVE, path, err) < 0)
		return ib_wrap(err, "hard link");
	if (!*path)
		return fail_link(e, "it is a directory", err);
	apply_dir_pin(to);	/* while the other one is looked for */
	found = find_source(a, e, path, &from, &from_name, err);
	if (found > 0) {
		apply_dir_pin(from);
		found = make_link(a, from, from_name, to, name, e, err);
		apply_dir_unpin(from);
	}
	apply_dir_unpin(to);
	return found < 0 ? -1 : 0;
}

int apply_entry(struct apply *a, struct oci_tar_reader *tar, const struct oci_tar_entry *e, const char *path,
		struct ib_err *err)
{
	struct apply_dir *parent;
	const char *name;

	if (!*path)
		return apply_root(a, e, err);
	if (is_left_out(a, e)) {
		apply_leave_out(a, path);
		return 0;
	}
	if (apply_resolve_parent(a, path, APPLY_MAKE, &parent, &name, err) < 0)
		return -1;
	apply_record_add(a, parent, name);
	if (e->hardlink)
		return apply_hardlink(a, parent, name, e, err);
	switch (e->mode & S_IFMT) {
	case S_IFDIR:
		return apply_directory(a, parent, name, e, err);
	case S_IFREG:
		return apply_file(a, tar, parent, name, e, err);
	}
	return apply_node(a, parent, name, e, err);
}
