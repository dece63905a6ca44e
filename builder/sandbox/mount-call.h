/*
 * builder/sandbox/mount-call.h - the mount system calls, by number: C libraries older than the kernel lack
 * some, and their <sys/mount.h> does not agree with <linux/mount.h>. All return -1 with errno.
 */
#ifndef BUILDER_SANDBOX_MOUNT_CALL_H
#define BUILDER_SANDBOX_MOUNT_CALL_H

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

#define MOUNT_PROC_FD_SIZE 32	/* "/proc/self/fd/" and the digits of an int */

static inline int mount_call(const char *source, const char *target, const char *type, unsigned long flags,
			     const void *data)
{
	return (int)syscall(SYS_mount, source, target, type, flags, data);
}

/* The name of a descriptor as a path. The new root's /proc does not matter: the host's is still in place. */
static inline const char *mount_proc_fd(int fd, char buf[static MOUNT_PROC_FD_SIZE])
{
	(void)snprintf(buf, MOUNT_PROC_FD_SIZE, "/proc/self/fd/%d", fd);
	return buf;
}

/* mount(2) on what a descriptor refers to. */
static inline int mount_at(int target, const char *source, const char *type, unsigned long flags, const void *data)
{
	char path[MOUNT_PROC_FD_SIZE];

	return mount_call(source, mount_proc_fd(target, path), type, flags, data);
}

/* A copy of the mount that path (below dir; "" is dir itself) is in, with path as its top, not yet attached. */
static inline int mount_clone(int dir, const char *path, unsigned int flags)
{
	return (int)syscall(SYS_open_tree, dir, path, OPEN_TREE_CLONE | O_CLOEXEC | flags | (*path ? 0 : AT_EMPTY_PATH));
}

static inline int mount_attach(int tree, int target)
{
	return (int)syscall(SYS_move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

/* attributes: MOUNT_ATTR_* to be set. Linux 5.12. */
static inline int mount_set(int tree, unsigned int flags, uint64_t attributes)
{
	struct mount_attr attr = {.attr_set = attributes};

	return (int)syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | flags, &attr, sizeof attr);
}

#endif
