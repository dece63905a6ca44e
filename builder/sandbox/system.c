/*
 * /proc and /sys, with what tells of or reaches the host covered or read-only. Root inside is the kernel's
 * root as far as file permissions go, so /proc/sys and /proc/sysrq-trigger would otherwise be the host's.
 */
#include "builder/sandbox/sandbox-internal.h"

#include <sys/stat.h>

#include "builder/sandbox/mount-call.h"

#include "oci/base/poison.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *const proc_covered[] = {
	"proc/acpi", "proc/asound", "proc/kcore", "proc/keys", "proc/latency_stats", "proc/timer_list",
	"proc/timer_stats", "proc/sched_debug", "proc/scsi",
};

static const char *const proc_read_only[] = {
	"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger",
};

static const char *const sys_covered[] = {
	"sys/firmware", "sys/devices/virtual/powercap", "sys/fs/cgroup",
};

/* Put nothing in place of a file or directory of /proc or /sys, if it is there at all. */
static int cover(const struct sandbox_root *root, const char *path, struct ib_err *err)
{
	ib_autoclose int fd = openat(root->fd, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return errno == ENOENT ? 0 : ib_fail_sys(err, errno, "cover /%s", path);
	if (fstat(fd, &st) < 0)
		return ib_fail_sys(err, errno, "cover /%s", path);
	if (!S_ISDIR(st.st_mode)) {
		if (sandbox_bind(AT_FDCWD, "/dev/null", fd, 
				 MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, err) < 0)
			return ib_wrap(err, "cover /%s", path);
		return 0;
	}
	if (mount_at(fd, "tmpfs", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=0,mode=0755") < 0)
		return ib_fail_sys(err, errno, "cover /%s", path);
	return 0;
}

static int make_read_only(const struct sandbox_root *root, const char *path, struct ib_err *err)
{
	const uint64_t attributes =
		MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
	ib_autoclose int fd = openat(root->fd, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : ib_fail_sys(err, errno, "protect /%s", path);
	return sandbox_bind(fd, "", fd, attributes, err) < 0 ? ib_wrap(err, "protect /%s", path) : 0;
}

int sandbox_own_directory(const struct sandbox_root *root, const char *name, struct ib_err *err)
{
	int fd;

	if (mkdirat(root->fd, name, 0755) < 0 && errno != EEXIST)
		return ib_fail_sys(err, errno, "make /%s in the image", name);
	fd = openat(root->fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
		return ib_fail(err, IB_INVALID, "/%s in the image is no directory", name);
	if (fd < 0)
		return ib_fail_sys(err, errno, "open /%s in the image", name);
	return fd;
}

int sandbox_proc_mount(const struct sandbox_root *root, struct ib_err *err)
{
	ib_autoclose int target = sandbox_own_directory(root, "proc", err);

	if (target < 0)
		return -1;
	if (mount_at(target, "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) {
		bool refused = errno == EPERM;

		(void)ib_fail_sys(err, errno, "mount /proc");
		/* A user namespace gets a new /proc only where it sees a whole one. */
		if (refused)
			(void)ib_err_hint(err, "; parts of this container's /proc are covered: start it with "
					       "--security-opt systempaths=unconfined");
		return -1;
	}
	for (size_t i = 0; i < COUNT(proc_covered); i++)
		if (cover(root, proc_covered[i], err) < 0)
			return -1;
	for (size_t i = 0; i < COUNT(proc_read_only); i++)
		if (make_read_only(root, proc_read_only[i], err) < 0)
			return -1;
	return 0;
}

int sandbox_sys_mount(const struct sandbox_root *root, struct ib_err *err)
{
	ib_autoclose int target = sandbox_own_directory(root, "sys", err);
	const uint64_t attributes =
		MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

	if (target < 0)
		return -1;
	/* A new one needs a network namespace that is ours; the host's then, with everything mounted in it. */
	if (mount_at(target, "sysfs", "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) {
		if (errno != EPERM)
			return ib_fail_sys(err, errno, "mount /sys");
		if (sandbox_bind(AT_FDCWD, "/sys", target, attributes, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < COUNT(sys_covered); i++)
		if (cover(root, sys_covered[i], err) < 0)
			return -1;
	return 0;
}
