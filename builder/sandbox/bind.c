#include "builder/sandbox/sandbox-internal.h"

#include <sys/statvfs.h>

#include "builder/sandbox/mount-call.h"

#include "oci/base/poison.h"

static const struct {
	uint64_t attribute;
	unsigned long statvfs_flag, mount_flag;
} flags[] = {
	{MOUNT_ATTR_RDONLY, ST_RDONLY, MS_RDONLY},
	{MOUNT_ATTR_NOSUID, ST_NOSUID, MS_NOSUID},
	{MOUNT_ATTR_NODEV, ST_NODEV, MS_NODEV},
	{MOUNT_ATTR_NOEXEC, ST_NOEXEC, MS_NOEXEC},
	{0, ST_NOATIME, MS_NOATIME},
	{0, ST_NODIRATIME, MS_NODIRATIME},
	{0, ST_RELATIME, MS_RELATIME},
};

/*
 * Before Linux 5.12: attach, then remount with all flags anew. Those that the mount has already must be among
 * them, because a user namespace may not take them off. Mounts below keep theirs.
 */
static int attach_and_remount(int tree, int target, uint64_t attributes)
{
	unsigned long all = MS_REMOUNT | MS_BIND;
	struct statvfs st;

	if (mount_attach(tree, target) < 0 || fstatvfs(tree, &st) < 0)
		return -1;
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		if ((attributes & flags[i].attribute) || (st.f_flag & flags[i].statvfs_flag))
			all |= flags[i].mount_flag;
	return mount_at(tree, "none", NULL, all, NULL);
}

static int fail(struct ib_err *err, const char *path)
{
	return *path ? ib_fail_sys(err, errno, "bind '%s'", path) : ib_fail_sys(err, errno, "bind");
}

int sandbox_bind(int source, const char *path, int target, uint64_t attributes, struct ib_err *err)
{
	ib_autoclose int tree = mount_clone(source, path, AT_RECURSIVE);
	int r;

	if (tree < 0)
		return fail(err, path);
	r = mount_set(tree, AT_RECURSIVE, attributes);
	if (r == 0)
		r = mount_attach(tree, target);
	else if (errno == ENOSYS)
		r = attach_and_remount(tree, target, attributes);
	return r < 0 ? fail(err, path) : 0;
}
