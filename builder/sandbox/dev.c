#include "builder/sandbox/sandbox-internal.h"

#include <sys/stat.h>

#include "builder/sandbox/mount-call.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define SHM_DEFAULT (64ll << 20)	/* bytes */

static const char *const devices[] = {"null", "zero", "full", "random", "urandom", "tty"};

static const struct {
	const char *name, *target;
} links[] = {
	{"fd", "/proc/self/fd"},
	{"stdin", "/proc/self/fd/0"},
	{"stdout", "/proc/self/fd/1"},
	{"stderr", "/proc/self/fd/2"},
	{"core", "/proc/kcore"},
	{"ptmx", "pts/ptmx"},
};

/*
 * The host's node, bound: a node that was made here would open no device, all our mounts forbid it.
 * Read-only, which for a device means that its owner and mode cannot be changed; they are the host's.
 */
static int bind_device(int dev, int host, const char *name, struct ib_err *err)
{
	ib_autoclose int target = openat(dev, name, O_CREAT | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0666);

	if (target < 0)
		return ib_fail_sys(err, errno, "make /dev/%s", name);
	return sandbox_bind(host, name, target, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, err);
}

static int add_devices(int dev, struct ib_err *err)
{
	ib_autoclose int host = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (host < 0)
		return ib_fail_sys(err, errno, "open /dev");
	for (size_t i = 0; i < COUNT(devices); i++)
		if (bind_device(dev, host, devices[i], err) < 0)
			return ib_wrap(err, "device");
	for (size_t i = 0; i < COUNT(links); i++)
		if (symlinkat(links[i].target, dev, links[i].name) < 0)
			return ib_fail_sys(err, errno, "make /dev/%s", links[i].name);
	return 0;
}

/* Make the directory name in /dev and mount something on it. */
static int mount_below(int dev, const char *name, const char *type, unsigned long flags, const char *options)
{
	ib_autoclose int fd = -1;

	if (mkdirat(dev, name, 0755) < 0 && errno != EEXIST)
		return -1;
	fd = openat(dev, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	return mount_at(fd, type, type, flags, options);
}

static int mount_pts(int dev, struct ib_err *err)
{
	/* Group 5 is tty everywhere; where it is not mapped into our user namespace, the option is refused. */
	if (mount_below(dev, "pts", "devpts", MS_NOSUID | MS_NOEXEC,
			"newinstance,ptmxmode=0666,mode=0620,gid=5") < 0 &&
	    mount_below(dev, "pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620") < 0)
		return ib_fail_sys(err, errno, "mount /dev/pts");
	return 0;
}

int sandbox_dev_mount(const struct sandbox_root *root, int64_t shm_size, struct ib_err *err)
{
	ib_autoclose int target = sandbox_own_directory(root, "dev", err);
	ib_autoclose int dev = -1;
	ib_autofree char *shm =
		ib_asprintf("mode=1777,size=%lld", shm_size ? (long long)shm_size : SHM_DEFAULT);

	if (target < 0)
		return -1;
	if (mount_at(target, "tmpfs", "tmpfs", MS_NOSUID | MS_NODEV | MS_STRICTATIME, "mode=0755,size=65536k") < 0)
		return ib_fail_sys(err, errno, "mount /dev");
	dev = openat(root->fd, "dev", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dev < 0)
		return ib_fail_sys(err, errno, "open /dev");
	if (add_devices(dev, err) < 0 || mount_pts(dev, err) < 0)
		return -1;
	if (mount_below(dev, "shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, shm) < 0)
		return ib_fail_sys(err, errno, "mount /dev/shm");
	if (mount_below(dev, "mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return ib_fail_sys(err, errno, "mount /dev/mqueue");
	return 0;
}
