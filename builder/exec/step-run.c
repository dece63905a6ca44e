/* RUN: a process in the sandbox on the files of its stage. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "builder/exec/engine-internal.h"
#include "builder/snapshot/flatten.h"
#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/base/remove.h"

#include "oci/base/poison.h"

#define HOSTNAME "buildkitsandbox"
#define RESOLV_CONF_MAX 65536

static const char hosts[] =
	"127.0.0.1\tlocalhost " HOSTNAME "\n"
	"::1\tlocalhost ip6-localhost ip6-loopback\n";

/* One run's own files: the overlay's work directory, scratch space, a script; removed afterwards. */
struct rundir {
	int parent;	/* borrowed */
	char *name;
	char *path;	/* absolute */
	char *scratch, *work, *full;
	char *full_name;	/* relative to parent */
};

static void rundir_done(struct rundir *dir)
{
	ib_autoerr err = {0};

	/* What can't be removed now is swept with the work directory of a process that has ended. */
	if (dir->name)
		(void)ib_remove_tree(dir->parent, dir->name, &err);
	free(dir->name);
	free(dir->path);
	free(dir->scratch);
	free(dir->work);
	free(dir->full);
	free(dir->full_name);
}

static int rundir_make(struct builder_snapshots *snapshots, struct rundir *dir, struct ib_err *err)
{
	static const char *const names[] = {"scratch", "work", "full"};
	static atomic_int counter;

	dir->parent = builder_snapshots_workdir(snapshots);
	dir->name = ib_asprintf("run-%d", atomic_fetch_add(&counter, 1));
	dir->path = ib_asprintf("%s/%s", builder_snapshots_workpath(snapshots), dir->name);
	dir->scratch = ib_asprintf("%s/scratch", dir->path);
	dir->work = ib_asprintf("%s/work", dir->path);
	dir->full = ib_asprintf("%s/full", dir->path);
	dir->full_name = ib_asprintf("%s/full", dir->name);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		ib_autofree char *name = ib_asprintf("%s/%s", dir->name, names[i]);

		if (ib_mkdirs(dir->parent, name, 0755, err) < 0)
			return -1;
	}
	return 0;
}

static char *resolv_conf(enum plan_network network)
{
	ib_autoerr err = {0};
	char *text;
	size_t n;

	/* Without a network, or without the file, there is nothing to resolve with. */
	if (network == PLAN_NETWORK_NONE ||
	    ib_read_file(AT_FDCWD, "/etc/resolv.conf", RESOLV_CONF_MAX, &text, &n, &err) < 0)
		return ib_strdup("");
	return text;
}

static void add_env(struct ib_strv *env, const struct plan_step *step, const char *home)
{
	bool has_home = false;

	for (size_t i = 0; i < step->env.n; i++) {
		ib_strv_add(env, step->env.v[i]);
		has_home |= ib_starts(step->env.v[i], "HOME=");
	}
	for (size_t i = 0; i < step->proxies.n; i++)
		ib_strv_add(env, step->proxies.v[i]);
	if (!has_home)
		ib_strv_take(env, ib_asprintf("HOME=%s", home));
}

/* The script of a heredoc that begins with #!, bound read-only where the shell is told to find it. */
static int add_script(const struct plan_step *step, const struct rundir *dir, struct sandbox_mount *mount,
		      struct ib_err *err)
{
	ib_autofree char *name = ib_asprintf("%s/script", dir->name);
	const struct plan_inline_file *file = step->inline_files;
	ib_autoclose int fd = openat(dir->parent, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);

	if (fd < 0 || fchmod(fd, 0755) < 0 || ib_write_full(fd, file->content, strlen(file->content)) < 0)
		return ib_fail_sys(err, errno, "write the script of a heredoc");
	*mount = (struct sandbox_mount){
		.kind = SANDBOX_MOUNT_BIND,
		.source = ib_asprintf("%s/script", dir->path),
		.target = ib_asprintf("/dev/pipes/%s", file->name),
		.read_only = true,
	};
	return 0;
}

struct output {
	struct builder_progress *progress;
	int step;
};

static void on_output(void *ctx, int stream, const void *bytes, size_t n)
{
	const struct output *output = ctx;

	builder_progress_output(output->progress, output->step, stream, bytes, n);
}

static int check_result(const struct plan_step *step, const struct sandbox_result *result, struct ib_err *err)
{
	ib_autostr command = IB_STR(1024);
	ib_autofree char *shown = NULL;

	if (!result->signalled && result->status == 0)
		return 0;
	for (size_t i = 0; i < step->argv.n; i++)
		ib_str_addf(&command, "%s%s", i ? " " : "", step->argv.v[i]);
	shown = ib_printable(command.s, 512);
	if (result->out_of_memory)
		return ib_fail(err, IB_FAILED, "process \"%s\" did not complete successfully: killed for want of "
			       "memory", shown);
	if (result->signalled)
		return ib_fail(err, IB_FAILED, "process \"%s\" did not complete successfully: killed by signal %d "
			       "(%s)", shown, result->status, sigabbrev_np(result->status));
	return ib_fail(err, IB_FAILED, "process \"%s\" did not complete successfully: exit code: %d", shown,
		       result->status);
}

static void add_lowers(struct sandbox_spec *spec, const struct builder_snapshot *parent)
{
	for (const struct builder_snapshot *s = parent; s; s = s->parent)
		ib_strv_add(&spec->lower, s->path);
}

/* Everything about the process itself. */
static int launch(struct exec_engine *engine, const struct plan_step *step, int number,
		  struct oci_union *root, const struct rundir *dir, struct sandbox_spec *spec, struct ib_err *err)
{
	ib_autofree char *resolv = resolv_conf(step->network);
	struct output output = {engine->env.progress, number};
	struct sandbox_result result = {0};
	struct sandbox_mount script = {0};
	struct exec_user user = {0};
	int r;

	if (exec_user_lookup(root, step->user ? step->user : "", &user, err) < 0)
		return -1;
	if (step->n_inline_files && add_script(step, dir, &script, err) < 0) {
		exec_user_done(&user);
		return -1;
	}
	spec->mounts = &script;
	spec->n_mounts = step->n_inline_files;
	ib_strv_copy(&spec->argv, &step->argv);
	add_env(&spec->env, step, user.home);
	spec->cwd = step->cwd;
	spec->uid = user.uid;
	spec->gid = user.gid;
	spec->groups = user.groups;
	spec->n_groups = user.n_groups;
	spec->hostname = HOSTNAME;
	spec->network = step->network == PLAN_NETWORK_NONE ? SANDBOX_NETWORK_NONE : SANDBOX_NETWORK_HOST;
	spec->resolv_conf = resolv;
	spec->hosts = hosts;
	spec->scratch = dir->scratch;
	r = sandbox_run(engine->env.launcher, spec, on_output, &output, &result, err);
	if (r == 0)
		r = check_result(step, &result, err);
	exec_user_done(&user);
	free(script.source);
	free(script.target);
	return r;
}

/* Overlay: the layer is the upper directory. */
static int run_overlay(struct exec_engine *engine, const struct plan_step *step, int number,
		       struct builder_snapshot *parent, struct builder_snapshot *upper, struct oci_union *root,
		       const struct rundir *dir, struct ib_err *err)
{
	struct sandbox_spec spec = {.upper = upper->path, .work = dir->work};
	int r;

	add_lowers(&spec, parent);
	r = launch(engine, step, number, root, dir, &spec, err);
	ib_strv_done(&spec.lower);
	ib_strv_done(&spec.argv);
	ib_strv_done(&spec.env);
	return r;
}

/* Copy: run in a full copy of the files, then take what differs over into the layer. */
static int run_copy(struct exec_engine *engine, const struct plan_step *step, int number,
		    struct builder_snapshot *upper, struct oci_union *root, const struct rundir *dir,
		    struct ib_err *err)
{
	struct sandbox_spec spec = {.upper = dir->full};
	ib_autoclose int full = openat(dir->parent, dir->full_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (full < 0)
		return ib_fail_sys(err, errno, "open '%s'", dir->full);
	if (builder_flatten(root, full, builder_snapshots_keep_owner(upper->owner), err) < 0)
		return -1;
	r = launch(engine, step, number, root, dir, &spec, err);
	if (r == 0)
		r = builder_capture(root, full, upper->fd, builder_snapshots_keep_owner(upper->owner), err);
	ib_strv_done(&spec.argv);
	ib_strv_done(&spec.env);
	return r;
}

int exec_run_step(struct exec_stage *stage, const struct plan_step *step, int progress_step,
		  struct builder_snapshot *parent, struct builder_snapshot *upper, struct ib_err *err)
{
	struct exec_engine *engine = stage->engine;
	IB_CLEANUP(oci_union_freep) struct oci_union *root = NULL;
	struct rundir dir = {0};
	int r;

	if (!engine->env.launcher)
		return ib_fail(err, IB_DENIED, "RUN is not possible here: %s", engine->env.no_run_reason);
	if (builder_snapshot_union(parent, &root, err) < 0)
		return -1;
	r = rundir_make(upper->owner, &dir, err);
	if (r == 0 && builder_snapshots_kind(upper->owner) == BUILDER_SNAPSHOT_OVERLAY)
		r = run_overlay(engine, step, progress_step, parent, upper, root, &dir, err);
	else if (r == 0)
		r = run_copy(engine, step, progress_step, upper, root, &dir, err);
	rundir_done(&dir);
	return r;
}
