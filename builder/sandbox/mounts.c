#include "builder/sandbox/sandbox-internal.h"

#include <linux/openat2.h>
#include <sys/stat.h>

#include "builder/sandbox/mount-call.h"
#include "oci/base/alloc.h"
#include "oci/base/fd.h"

#include "oci/base/poison.h"

/* A name of its own in the private tmpfs. */
static char *next_name(struct sandbox_root *root)
{
	return ib_asprintf("%u", root->n_files++);
}

/* The place for something like source: a file on a file, a directory on a directory. */
static int target_for(const struct sandbox_root *root, const struct sandbox_mount *mount, int source,
		      struct ib_err *err)
{
	ib_autoclose int fd = -1;
	struct stat st, top;

	if (fstat(source, &st) < 0)
		return ib_fail_sys(err, errno, "mount source");
	fd = sandbox_target_open(root, mount->target,
				 S_ISDIR(st.st_mode) ? SANDBOX_TARGET_DIRECTORY : SANDBOX_TARGET_FILE, false, err);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || fstat(root->fd, &top) < 0)
		return ib_fail_sys(err, errno, "mount point");
	if (st.st_dev == top.st_dev && st.st_ino == top.st_ino)
		return ib_fail(err, IB_USAGE, "nothing can be mounted on the root");
	return ib_steal_fd(&fd);
}

static int add_bind(const struct sandbox_root *root, const struct sandbox_mount *mount, struct ib_err *err)
{
	ib_autoclose int source = open(mount->source, O_PATH | O_CLOEXEC);
	ib_autoclose int target = -1;

	if (source < 0)
		return ib_fail_sys(err, errno, "open '%s'", mount->source);
	target = target_for(root, mount, source, err);
	if (target < 0)
		return -1;
	return sandbox_bind(source, "", target, MOUNT_ATTR_NODEV | (mount->read_only ? MOUNT_ATTR_RDONLY : 0), err);
}

static int add_tmpfs(const struct sandbox_root *root, const struct sandbox_mount *mount, struct ib_err *err)
{
	ib_autofree char *size =
		mount->tmpfs_size ? ib_asprintf(",size=%lld", (long long)mount->tmpfs_size) : ib_strdup("");
	ib_autofree char *options = ib_asprintf("mode=%04o%s", (unsigned int)mount->tmpfs_mode & 07777, size);
	ib_autoclose int target = target_for(root, mount, root->fd, err);

	if (target < 0)
		return -1;
	if (mount_at(target, "tmpfs", "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
		return ib_fail_sys(err, errno, "mount tmpfs");
	return 0;
}

/* Open path inside the overlay that is mounted on name. */
static int open_in_overlay(const struct sandbox_root *root, const char *name, const char *path, struct ib_err *err)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	ib_autoclose int top = openat(root->files, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	long fd;

	if (top < 0)
		return ib_fail_sys(err, errno, "open overlay");
	fd = syscall(SYS_openat2, top, path, &how, sizeof how);
	if (fd < 0 && errno == ENOENT)
		return ib_fail(err, IB_NOTFOUND, "\"%s\": not found", path);
	return fd < 0 ? ib_fail_sys(err, errno, "open '%s'", path) : (int)fd;
}

static int add_overlay(struct sandbox_root *root, const struct sandbox_mount *mount, struct ib_err *err)
{
	ib_autofree char *name = next_name(root);
	ib_autofree char *empty = ib_asprintf("/proc/self/fd/%d/empty", root->files);
	struct sandbox_overlay overlay = {.lower = &mount->lower, .upper = mount->upper, .work = mount->work};
	ib_autostrv two = {0};
	ib_autoclose int at = -1, source = -1, target = -1;

	if (mkdirat(root->files, name, 0755) < 0 || (mkdirat(root->files, "empty", 0755) < 0 && errno != EEXIST))
		return ib_fail_sys(err, errno, "make mount point");
	at = openat(root->files, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return ib_fail_sys(err, errno, "open mount point");
	overlay.target = at;
	if (mount->lower.n < 2 && !mount->upper) {	/* overlayfs wants two; the markers of a lone layer need it */
		ib_strv_copy(&two, &mount->lower);
		ib_strv_add(&two, empty);
		if (two.n < 2)
			ib_strv_add(&two, empty);
		overlay.lower = &two;
	}
	if (sandbox_overlay_mount(&overlay, err) < 0)
		return -1;
	source = open_in_overlay(root, name, mount->source, err);
	if (source < 0)
		return -1;
	target = target_for(root, mount, source, err);
	if (target < 0)
		return -1;
	return sandbox_bind(source, "", target, MOUNT_ATTR_NODEV | (mount->read_only ? MOUNT_ATTR_RDONLY : 0), err);
}

static int add_file(struct sandbox_root *root, const struct sandbox_mount *mount, struct ib_err *err)
{
	const uint64_t attributes =
		MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
	ib_autofree char *name = next_name(root);
	ib_autoclose int file = openat(root->files, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	ib_autoclose int target = -1;

	if (file < 0 || ib_write_full(file, mount->content, mount->content_size) < 0)
		return ib_fail_sys(err, errno, "write content");
	if ((mount->uid || mount->gid) && fchown(file, mount->uid, mount->gid) < 0)
		return ib_fail_sys(err, errno, "set owner %u:%u", (unsigned int)mount->uid, (unsigned int)mount->gid);
	if (fchmod(file, mount->mode & 07777) < 0)
		return ib_fail_sys(err, errno, "set mode");
	target = target_for(root, mount, file, err);
	if (target < 0)
		return -1;
	return sandbox_bind(root->files, name, target, attributes, err);
}

static int add(struct sandbox_root *root, const struct sandbox_mount *mount, struct ib_err *err)
{
	switch (mount->kind) {
	case SANDBOX_MOUNT_BIND:
		return add_bind(root, mount, err);
	case SANDBOX_MOUNT_TMPFS:
		return add_tmpfs(root, mount, err);
	case SANDBOX_MOUNT_OVERLAY:
		return add_overlay(root, mount, err);
	case SANDBOX_MOUNT_FILE:
		return add_file(root, mount, err);
	}
	return ib_fail(err, IB_INVALID, "unknown kind of mount");
}

int sandbox_mounts_add(struct sandbox_root *root, const struct sandbox_mount *mount, struct ib_err *err)
{
	return add(root, mount, err) < 0 ? ib_wrap(err, "mount %s", mount->target) : 0;
}
