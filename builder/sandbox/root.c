#include "builder/sandbox/sandbox-internal.h"

#include <string.h>
#include <sys/stat.h>

#include "builder/sandbox/mount-call.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

/*
 * A tmpfs of our own on the scratch directory: the root is mounted on a directory in it, contents of generated
 * files lie in another. Nothing reaches the disk, and all of it goes with the mount namespace.
 */
static int mount_scratch(const char *scratch, int *ret_fd, struct ib_err *err)
{
	ib_autoclose int fd = -1;

	if (mount_call("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return ib_fail_sys(err, errno, "make mounts private");
	if (mount_call("tmpfs", scratch, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
		return ib_fail_sys(err, errno, "mount tmpfs on '%s'", scratch);
	fd = open(scratch, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || mkdirat(fd, "root", 0755) < 0 || mkdirat(fd, "files", 0755) < 0)
		return ib_fail_sys(err, errno, "prepare '%s'", scratch);
	*ret_fd = ib_steal_fd(&fd);
	return 0;
}

static int mount_tree_or_layers(const struct sandbox_spec *spec, int target, struct ib_err *err)
{
	struct sandbox_overlay overlay = {
		.lower = &spec->lower, .upper = spec->upper, .work = spec->work, .target = target,
	};

	/* A full tree: mounted so that it can be a root, and so that its device nodes stay shut. */
	if (spec->lower.n == 0)
		return sandbox_bind(AT_FDCWD, spec->upper, target, MOUNT_ATTR_NODEV, err);
	return sandbox_overlay_mount(&overlay, err);
}

/* What /proc/self/fd shows for fd, without links: as the paths of what is below will begin. */
static int path_of(int fd, char **ret_path, struct ib_err *err)
{
	char link[MOUNT_PROC_FD_SIZE];
	char path[4096];
	ssize_t n = readlink(mount_proc_fd(fd, link), path, sizeof path);

	if (n < 0)
		return ib_fail_sys(err, errno, "path of the root");
	if ((size_t)n == sizeof path)
		return ib_fail(err, IB_LIMIT, "path of the root is too long");
	*ret_path = ib_strndup(path, (size_t)n);
	return 0;
}

int sandbox_root_mount(const struct sandbox_spec *spec, struct sandbox_root *ret_root, struct ib_err *err)
{
	ib_autoclose int scratch = -1, target = -1;

	if (mount_scratch(spec->scratch, &scratch, err) < 0)
		return -1;
	target = openat(scratch, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (target < 0)
		return ib_fail_sys(err, errno, "open '%s/root'", spec->scratch);
	if (mount_tree_or_layers(spec, target, err) < 0)
		return -1;
	ret_root->fd = openat(scratch, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ret_root->files = openat(scratch, "files", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (ret_root->fd < 0 || ret_root->files < 0)
		return ib_fail_sys(err, errno, "open '%s'", spec->scratch);
	return path_of(ret_root->fd, &ret_root->path, err);
}

int sandbox_root_enter(struct sandbox_root *root, struct ib_err *err)
{
	if (fchdir(root->fd) < 0)
		return ib_fail_sys(err, errno, "enter the root");
	/* The old root ends up on top of the new one, where "." then finds it to be taken off. */
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return ib_fail_sys(err, errno, "pivot_root");
	if (syscall(SYS_umount2, ".", 2 /* MNT_DETACH */) < 0)
		return ib_fail_sys(err, errno, "take off the old root");
	if (chdir("/") < 0)
		return ib_fail_sys(err, errno, "enter the root");
	return 0;
}
