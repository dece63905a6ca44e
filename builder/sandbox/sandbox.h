/*
 * builder/sandbox/sandbox.h - running a process inside a root filesystem.
 *
 * A threaded process must not fork, so a launcher, a small single-threaded process, is started before any
 * thread and does it: per run it makes a child in new mount, PID, IPC, UTS (and, for SANDBOX_NETWORK_NONE,
 * network) namespaces, which mounts the root, pivots into it, drops to the default capabilities, loads the
 * seccomp filter and executes argv as pid 1 of its namespace. When the process ends, everything it left
 * behind is killed with its PID namespace; mounts go with the mount namespace. When the builder dies, the
 * launcher and all runs die with it.
 */
#ifndef BUILDER_SANDBOX_SANDBOX_H
#define BUILDER_SANDBOX_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "oci/base/err.h"
#include "oci/base/str.h"

struct sandbox_launcher;

/* Start the launcher; call before the first thread. */
int sandbox_launcher_start(struct sandbox_launcher **ret_launcher, struct ib_err *err);

/* Kills what runs, ends the launcher. */
void sandbox_launcher_free(struct sandbox_launcher *launcher);
IB_DEFINE_FREE(sandbox_launcher);

enum sandbox_network { SANDBOX_NETWORK_HOST, SANDBOX_NETWORK_NONE };

enum sandbox_mount_kind {
	SANDBOX_MOUNT_BIND,	/* a file or directory of the host */
	SANDBOX_MOUNT_TMPFS,
	SANDBOX_MOUNT_OVERLAY,	/* something inside a stack of layers */
	SANDBOX_MOUNT_FILE,	/* these bytes, in memory only, read-only */
};

/* Which members count depends on kind. Device nodes cannot be opened in any of them. */
struct sandbox_mount {
	enum sandbox_mount_kind kind;
	char *target;		/* inside the root; links in it are resolved inside the root; created when missing */
	bool read_only;		/* BIND, OVERLAY */

	/* BIND: absolute path. OVERLAY: path inside it, "/" for all; links are resolved inside it. */
	char *source;

	int64_t tmpfs_size;	/* bytes; 0: the kernel's default */
	mode_t tmpfs_mode;

	/* OVERLAY: as in sandbox_spec; upper and work NULL make it read-only. */
	struct ib_strv lower;
	const char *upper, *work;

	/* FILE */
	const void *content;
	size_t content_size;
	mode_t mode;
	uid_t uid;
	gid_t gid;
};

/* All of one run. Strings are borrowed for the call. */
struct sandbox_spec {
	struct ib_strv argv, env;
	const char *cwd;	/* inside the root; must exist or is created (0755, root) */
	uid_t uid;
	gid_t gid;
	const gid_t *groups;
	size_t n_groups;
	const char *hostname;	/* "buildkitsandbox" */
	enum sandbox_network network;

	/*
	 * The root: overlay of lower (topmost first, absolute paths) with upper and work; or, with
	 * n lower = 0, the full tree at upper itself. Changes land in upper.
	 */
	struct ib_strv lower;
	const char *upper, *work;

	const struct sandbox_mount *mounts;	/* in order, after /proc, /dev and the like */
	size_t n_mounts;
	const char *resolv_conf, *hosts;	/* content of the files mounted read-only over those in /etc */
	int64_t shm_size;	/* bytes of /dev/shm; 0: 64 MiB */
	const char *scratch;	/* absolute path of an existing directory for this run's own files */
};

struct sandbox_result {
	bool signalled;
	int status;	/* exit status, or the signal's number */
	bool out_of_memory;	/* the kernel's OOM killer was seen to end it */
};

/* Output as it comes; called on the caller's thread. */
typedef void sandbox_output_fn(void *ctx, int stream, const void *bytes, size_t n);

/*
 * Run and wait. 0 when the process was started, whatever became of it (*ret_result); -1 when it could not
 * be: a mount failed, argv[0] is not there ("exec /bin/sh: no such file or directory", IB_NOTFOUND),
 * namespaces are refused (IB_DENIED, with the setting to change). After ib_cancel() the run is killed and
 * IB_CANCELLED returned. Any thread; runs go side by side. Mount points that had to be created and are
 * still empty afterwards are removed again.
 */
int sandbox_run(struct sandbox_launcher *launcher, const struct sandbox_spec *spec, sandbox_output_fn *output,
		void *ctx, struct sandbox_result *ret_result, struct ib_err *err);

/*
 * What this process may do: decided once, before threads, by sandbox_enter().
 */
enum sandbox_privilege {
	SANDBOX_ROOT,		/* real root: no user namespace needed */
	SANDBOX_SUBIDS,		/* user namespace with subordinate ids from /etc/subuid, /etc/subgid */
	SANDBOX_SINGLE_ID,	/* user namespace with one id: ownership cannot be kept */
	SANDBOX_NOTHING,	/* no user namespace: files can be copied, nothing can be run */
};

/*
 * As root: a private mount namespace. As anybody else: a user namespace in which we are uid 0 (ids by
 * newuidmap/newgidmap where possible, one id otherwise) and a mount namespace. Call before the first thread.
 * Never fails hard: what is refused lowers *ret_privilege and *ret_reason (caller's, may be NULL) says what
 * was missing and which setting gives it.
 */
int sandbox_enter(enum sandbox_privilege *ret_privilege, char **ret_reason, struct ib_err *err);

#endif
