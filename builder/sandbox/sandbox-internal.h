/*
 * builder/sandbox/sandbox-internal.h - what the files of the sandbox share.
 *
 * The builder's side is run.c, request.c and made.c; the launcher's side launcher.c; the rest runs in the
 * child, from its clone until it executes the program. The child is single-threaded and has a copy of the
 * launcher's small memory, so it may allocate; it leaves everything to the end of the process.
 */
#ifndef BUILDER_SANDBOX_SANDBOX_INTERNAL_H
#define BUILDER_SANDBOX_SANDBOX_INTERNAL_H

#include <linux/filter.h>
#include <stddef.h>

#include "builder/sandbox/report.h"
#include "builder/sandbox/sandbox.h"

/*
 * request.c: a run as bytes in a memory file. An order is one message on the launcher's socket; its
 * descriptors follow in the order of enum sandbox_order_fd.
 */
#define SANDBOX_SPEC_MAX (16u << 20)	/* bytes: the kernel takes 6 MiB of argv and environment at most */
#define SANDBOX_LIST_MAX 65536u		/* elements of any list in a spec */

enum sandbox_order_fd { SANDBOX_ORDER_SPEC, SANDBOX_ORDER_STDOUT, SANDBOX_ORDER_STDERR, SANDBOX_ORDER_REPORT,
			SANDBOX_ORDER_FDS };

struct sandbox_order {
	uint32_t spec_size;
	uint32_t network_none;
};

/* A memory file with spec in it, ready to be sent. A descriptor or -1; IB_LIMIT when it is too large. */
int sandbox_spec_write(const struct sandbox_spec *spec, uint32_t *ret_size, struct ib_err *err);

/* The reverse. What *ret_spec points at is never freed: the child's memory ends with it. */
int sandbox_spec_read(int fd, uint32_t size, struct sandbox_spec *ret_spec, struct ib_err *err);

/* launcher.c */
int sandbox_launcher_order(struct sandbox_launcher *launcher, const struct sandbox_order *order,
			   const int fds[static SANDBOX_ORDER_FDS], struct ib_err *err);

/* What the launcher prepared once for all runs. */
struct sandbox_prepared {
	struct ib_err err;		/* filled: why nothing can be run */
	struct sock_fprog filter;
	int null_fd;			/* /dev/null, read and write */
	int stub_fd;			/* exec-stub in a memory file, or -1: the child executes directly */
	bool single_id;			/* setgroups is denied: one id only */
};

/* child.c: everything up to the program. Never returns. */
struct sandbox_child {
	const struct sandbox_prepared *prepared;
	int spec_fd, stdout_fd, stderr_fd, report_fd;
	uint32_t spec_size;
};
void sandbox_child_main(const struct sandbox_child *child) __attribute__((noreturn));

/* stub.c: exec-stub in a sealed memory file; -1 when the machine or its settings allow none. */
int sandbox_stub_open(void);

/* seccomp.c: the filter as a program for the kernel, owned by ret_filter for good. */
int sandbox_seccomp_build(bool single_id, struct sock_fprog *ret_filter, struct ib_err *err);
int sandbox_seccomp_load(const struct sock_fprog *filter, struct ib_err *err);

/* caps.c */
int sandbox_caps_limit(struct ib_err *err);		/* the bounding set; by the launcher, which never executes */
int sandbox_caps_drop(uid_t uid, struct ib_err *err);	/* the others; by the child, after the uid was set */

bool sandbox_caps_have(int cap);			/* in the effective set */

/* root.c: the tree that is being set up, still beside the host's. */
struct sandbox_root {
	int fd;			/* its top */
	char *path;		/* as /proc/self/fd shows it */
	int files;		/* directory on a private tmpfs, outside of the root, for contents of files */
	unsigned int n_files;
	int report_fd;		/* mount points made are told here */
};

int sandbox_root_mount(const struct sandbox_spec *spec, struct sandbox_root *ret_root, struct ib_err *err);
int sandbox_root_enter(struct sandbox_root *root, struct ib_err *err);	/* pivot_root */

/* overlay.c: an overlay of these directories mounted at target. */
struct sandbox_overlay {
	const struct ib_strv *lower;	/* topmost first */
	const char *upper, *work;	/* NULL: read-only */
	int target;
};
int sandbox_overlay_mount(const struct sandbox_overlay *overlay, struct ib_err *err);

/*
 * target.c: the place in the root where something is to be mounted, made when missing; links are resolved
 * inside the root. keep: what is made stays in the root. A descriptor (O_PATH) or -1.
 */
enum sandbox_target { SANDBOX_TARGET_DIRECTORY, SANDBOX_TARGET_FILE };
int sandbox_target_open(const struct sandbox_root *root, const char *path, enum sandbox_target type, bool keep,
			struct ib_err *err);

/*
 * bind.c: what is at path (below the directory source, or source itself when ""), and all that is mounted
 * below it, mounted at target as well, with these MOUNT_ATTR_* flags.
 */
int sandbox_bind(int source, const char *path, int target, uint64_t attributes, struct ib_err *err);

/* mounts.c: the mounts of the spec, and those of generated files. */
int sandbox_mounts_add(struct sandbox_root *root, const struct sandbox_mount *mount, struct ib_err *err);

/*
 * dev.c, system.c. The first gives the directory for a file system that every process sees, made (for good)
 * when missing. It may not be a link: the paths below it are relied upon. A descriptor (O_PATH) or -1.
 */
int sandbox_own_directory(const struct sandbox_root *root, const char *name, struct ib_err *err);
int sandbox_dev_mount(const struct sandbox_root *root, int64_t shm_size, struct ib_err *err);
int sandbox_proc_mount(const struct sandbox_root *root, struct ib_err *err);
int sandbox_sys_mount(const struct sandbox_root *root, struct ib_err *err);

/* program.c: the file that argv[0] names, looked for in the PATH of env as the present user. */
int sandbox_program_find(const char *name, const struct ib_strv *env, char **ret_path, struct ib_err *err);

/* made.c: the mount points that were made, on the builder's side. */
struct sandbox_made {
	struct {
		char *path;	/* below the root */
		bool directory;
	} *point;
	size_t n, cap;
};
void sandbox_made_done(struct sandbox_made *made);
void sandbox_made_add(struct sandbox_made *made, const struct sandbox_report *report);
int sandbox_made_remove(const struct sandbox_made *made, const char *upper, struct ib_err *err);

/* userns.c: what stands in the way of namespaces here, or NULL. The caller's. */
char *sandbox_namespace_hint(int sys);

/* subid.c: helper programs and ranges for a user namespace with more than one id. */
#define SANDBOX_SUBID_RANGES 32	/* lines of one user; newuidmap itself takes 340 */

struct sandbox_subids {
	struct { unsigned long first, count; } range[SANDBOX_SUBID_RANGES];
	size_t n;
};
int sandbox_subids_read(const char *file, const char *user, unsigned long id, struct sandbox_subids *ret_subids,
			struct ib_err *err);

#endif
