/* One step: a new layer on its parent. */
#include "builder/exec/engine-internal.h"

#include "oci/base/poison.h"

/* What a COPY writes is shown as bytes. */
struct copied {
	struct builder_progress *progress;
	int step;
	int64_t total;
};

static void show_copied(void *ctx, int64_t bytes)
{
	const struct copied *copied = ctx;

	builder_progress_transfer(copied->progress, copied->step, "copying", bytes, copied->total, false);
}

static int make_files(struct exec_stage *stage, size_t index, struct builder_snapshot *parent,
		      struct exec_selection *selection, struct builder_snapshot *upper, struct ib_err *err)
{
	const struct plan_step *step = &stage->plan->steps[index];
	const struct plan *plan = stage->engine->plan;
	IB_CLEANUP(oci_union_freep) struct oci_union *lower = NULL;
	struct copied copied = {stage->engine->env.progress, stage->progress_steps[index], 0};
	int64_t files;
	struct exec_target target = {
		.upper_fd = upper->fd,
		.keep_owner = builder_snapshots_keep_owner(upper->owner),
		.keep_devices = builder_snapshots_keep_devices(upper->owner),
		.progress = show_copied,
		.ctx = &copied,
	};

	if (builder_snapshot_union(parent, &lower, err) < 0)
		return -1;
	target.lower = lower;
	if (step->kind == PLAN_WORKDIR)
		return exec_workdir_run(step->dest, step->user, plan->has_epoch ? &plan->epoch : NULL, &target,
					err);
	exec_selection_size(selection, &files, &copied.total);
	return exec_copy_run(selection, &target, err);
}

int exec_step_make(struct exec_stage *stage, size_t index, struct builder_snapshot *parent,
		   struct exec_selection *selection, struct builder_snapshot **ret_snapshot, struct ib_err *err)
{
	const struct plan_step *step = &stage->plan->steps[index];
	builder_autosnapshot *upper = NULL;
	struct builder_snapshots *snapshots;
	int r;

	if (exec_snapshots(stage->engine, &snapshots, err) < 0 ||
	    builder_snapshot_new(snapshots, parent, &upper, err) < 0)
		return -1;
	if (step->kind == PLAN_RUN)
		r = exec_run_step(stage, step, stage->progress_steps[index], parent, upper, err);
	else
		r = make_files(stage, index, parent, selection, upper, err);
	if (r < 0)
		return -1;
	*ret_snapshot = ib_steal_ptr(&upper);
	return 0;
}
