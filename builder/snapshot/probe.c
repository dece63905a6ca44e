/* What this process may do with files here: mount an overlay, give files away, make devices. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "builder/snapshot/snapshot-internal.h"
#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/base/remove.h"

#include "oci/base/poison.h"

static bool can_chown(int dir)
{
	ib_autoclose int fd = openat(dir, "owner", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	return fd >= 0 && fchown(fd, 1, 1) == 0;
}

static bool can_mknod(int dir)
{
	return mknodat(dir, "device", S_IFCHR | 0600, makedev(1, 3)) == 0;
}

static int make_directories(int dir, struct ib_err *err)
{
	static const char *const names[] = {"lower/a", "lower/b", "upper", "work", "merged"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (ib_mkdirs(dir, names[i], 0755, err) < 0)
			return -1;
	return 0;
}

/* A whiteout and an opaque directory, as the layers have them, and an overlay that honours both. */
static int try_overlay(int dir, const char *path, struct ib_err *err)
{
	ib_autofree char *options = ib_asprintf("lowerdir=%s/upper:%s/lower,userxattr", path, path);
	ib_autofree char *merged = ib_asprintf("%s/merged", path), *a = ib_asprintf("%s/merged/a", path),
			 *b = ib_asprintf("%s/upper/b", path), *c = ib_asprintf("%s/merged/b/c", path);
	ib_autoclose int fd = -1;
	struct stat st;
	bool hidden;

	if (make_directories(dir, err) < 0)
		return -1;
	fd = openat(dir, "lower/b/c", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || mkdirat(dir, "upper/b", 0755) < 0)
		return ib_fail_sys(err, errno, "create files");
	if (mknodat(dir, "upper/a", S_IFCHR, makedev(0, 0)) < 0)
		return ib_fail_sys(err, errno, "create a whiteout");
	if (setxattr(b, OCI_UNION_OPAQUE, "y", 1, 0) < 0)
		return ib_fail_sys(err, errno, "set an extended attribute");
	if (mount("overlay", merged, "overlay", MS_RDONLY, options) < 0)
		return ib_fail_sys(err, errno, "mount an overlay");
	hidden = stat(a, &st) < 0 && stat(c, &st) < 0;
	(void)umount2(merged, MNT_DETACH);	/* in our own mount namespace: it goes with us at the latest */
	return hidden ? 0 : ib_fail(err, IB_UNSUPPORTED, "this kernel's overlay ignores user.overlay attributes");
}

int snapshot_probe(struct builder_snapshots *s, enum builder_snapshotter kind, struct ib_err *err)
{
	ib_autofree char *path = ib_asprintf("%s/probe", s->work_path);
	ib_autoclose int dir = -1;
	ib_autoerr why = {0}, left = {0};

	if (ib_mkdirs(s->work, "probe", 0700, err) < 0)
		return -1;
	dir = openat(s->work, "probe", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return ib_fail_sys(err, errno, "open '%s'", path);
	s->keep_owner = can_chown(dir);
	s->keep_devices = can_mknod(dir);
	s->kind = kind;
	if (kind != BUILDER_SNAPSHOT_COPY)
		s->kind = try_overlay(dir, path, &why) == 0 ? BUILDER_SNAPSHOT_OVERLAY : BUILDER_SNAPSHOT_COPY;
	(void)ib_remove_tree(s->work, "probe", &left);	/* goes with the work directory otherwise */
	if (kind == BUILDER_SNAPSHOT_OVERLAY && s->kind != kind) {
		ib_err_move(err, &why);
		return ib_wrap(err, "overlayfs can't be used here");
	}
	return 0;
}
