/* All steps of one stage, in order. */
#include <stdlib.h>
#include <string.h>

#include "builder/exec/engine-internal.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

/* The layers that FROM brings. */
static int start_stack(struct exec_stage *stage, struct ib_err *err)
{
	struct exec_engine *engine = stage->engine;
	const struct plan_stage *plan = stage->plan;

	if (plan->base == PLAN_BASE_STAGE) {
		struct exec_stage *base = &engine->stages[plan->base_stage];

		if (exec_stage_wait(base, err) < 0)
			return -1;
		exec_stack_copy(engine, &stage->stack, &base->stack);
	} else if (plan->base == PLAN_BASE_IMAGE) {
		exec_stack_push_image(&stage->stack, engine->plan->images[plan->base_image].handle);
		stage->stack.n_base = stage->stack.n;
	}
	return 0;
}

/* What the probe took for known does not hold from step index on. */
static void forget_keys(struct exec_stage *stage, size_t index)
{
	if (index < stage->n_keys)
		stage->n_keys = index;
	stage->key_complete = false;
}

/* The base's key, now that the base is done: it may be another one than the probe had. */
static void start_keys(struct exec_stage *stage)
{
	struct exec_engine *engine = stage->engine;
	struct builder_key base;

	exec_base_key(stage, &base);
	pthread_mutex_lock(&engine->lock);
	if (!stage->keys)
		stage->keys = ib_calloc(stage->plan->n_steps, sizeof *stage->keys);
	if (!oci_digest_equal(&base.digest, &stage->base_key.digest))
		forget_keys(stage, 0);
	stage->base_key = base;
	pthread_mutex_unlock(&engine->lock);
}

/* A key that the probe could not tell. sources are open afterwards if they had to be read. */
static int find_key(struct exec_stage *stage, size_t index, const struct builder_key *parent,
		    struct exec_sources *sources, struct ib_err *err)
{
	const struct plan_step *step = &stage->plan->steps[index];
	int step_number = stage->progress_steps[index];
	int r;

	if (index < stage->n_keys)
		return 0;
	r = exec_step_key(stage, index, parent, &stage->keys[index], err);
	if (r != 0)
		return r < 0 ? -1 : 0;
	if (exec_sources_open(stage, step, step_number, sources, err) < 0)
		return -1;
	return exec_step_content_key(stage, index, parent, sources->selection, &stage->keys[index], err);
}

/* A layer whose files are there gets its blob: it is written once more, now for the image. */
static struct exec_layer *export_snapshot(struct exec_stage *stage, const struct builder_key *key,
					  const struct timespec *created, struct builder_snapshot *take_snapshot)
{
	struct exec_engine *engine = stage->engine;
	struct exec_layer *layer = ib_new(struct exec_layer);

	layer->refs = 1;
	layer->made = layer->exported = true;
	layer->key = *key;
	layer->created = *created;
	layer->snapshot = take_snapshot;
	exec_commit(engine, &(struct exec_place){0}, &stage->stack, take_snapshot->parent, layer);
	return layer;
}

/* NULL when its files turn out to be gone, or what they lie on: the step runs again and tells why it can't. */
static struct exec_layer *export_cached(struct exec_stage *stage, const struct builder_key *key,
					const struct builder_result *result)
{
	struct exec_engine *engine = stage->engine;
	builder_autosnapshot *parent = NULL;
	struct builder_snapshots *snapshots;
	struct builder_snapshot *snapshot;
	ib_autoerr err = {0};

	if (exec_snapshots(engine, &snapshots, &err) < 0 ||
	    exec_stack_materialize(engine, &stage->stack, stage->from_step, &parent, &err) < 0 ||
	    builder_snapshot_find(snapshots, &result->chain, parent, &snapshot, &err) < 0 || !snapshot)
		return NULL;
	return export_snapshot(stage, key, &result->created, snapshot);
}

/* The layer of an earlier build, if all that is needed of it is still there. */
static struct exec_layer *find_cached(struct exec_stage *stage, const struct builder_key *key)
{
	struct exec_engine *engine = stage->engine;
	struct builder_result result;
	enum exec_left left;

	if (engine->options.no_cache || !builder_cache_find(engine->env.cache, key, &result))
		return NULL;
	left = exec_layer_left(engine, &stage->stack, &result);
	if (left == EXEC_LEFT_NOTHING)
		return NULL;
	if (left == EXEC_LEFT_SNAPSHOT && stage->exported)
		return export_cached(stage, key, &result);
	return exec_layer_known(&result.diff_id, &result.created);
}

/*
 * The layer of this key that another stage of this build makes or made; or, with *ret_mine, a new one that
 * the caller has to make.
 */
static struct exec_layer *share_or_claim(struct exec_stage *stage, const struct builder_key *key, bool *ret_mine)
{
	struct exec_engine *engine = stage->engine;
	struct exec_layer *layer;

	pthread_mutex_lock(&engine->lock);
	HASH_FIND(hh, engine->running, key, sizeof *key, layer);
	*ret_mine = !layer;
	if (!layer) {
		layer = ib_new(struct exec_layer);
		layer->refs = 1;	/* the table's */
		layer->key = *key;
		layer->exported = stage->exported;
		HASH_ADD(hh, engine->running, key, sizeof layer->key, layer);
	}
	layer->refs++;
	pthread_mutex_unlock(&engine->lock);
	return layer;
}

static int wait_made(struct exec_engine *engine, const struct exec_layer *layer, struct ib_err *err)
{
	bool failed;

	pthread_mutex_lock(&engine->lock);
	while (!engine->failed && !layer->made)
		pthread_cond_wait(&engine->changed, &engine->lock);
	failed = engine->failed;
	pthread_mutex_unlock(&engine->lock);
	return failed ? ib_fail(err, IB_CANCELLED, "interrupted") : 0;
}

/* FROM is done when its files are there, or when it turns out that nobody needs them. */
static void end_from(struct exec_stage *stage, bool unneeded)
{
	struct builder_progress *progress = stage->engine->env.progress;

	if (!stage->from_step || stage->from_ended)
		return;
	stage->from_ended = true;
	if (unneeded)
		builder_progress_cached(progress, stage->from_step);
	else
		builder_progress_end(progress, stage->from_step, NULL);
}

static int make(struct exec_stage *stage, size_t index, struct exec_sources *sources, struct exec_layer *layer,
		struct ib_err *err)
{
	const struct plan_step *step = &stage->plan->steps[index];
	int number = stage->progress_steps[index];
	bool files = step->kind == PLAN_COPY || step->kind == PLAN_ADD;
	struct exec_engine *engine = stage->engine;
	builder_autosnapshot *parent = NULL;
	struct builder_snapshot *snapshot;

	if (files && !sources->selection && exec_sources_open(stage, step, number, sources, err) < 0)
		return -1;
	if (exec_stack_materialize(engine, &stage->stack, stage->from_step, &parent, err) < 0)
		return -1;
	end_from(stage, false);
	builder_progress_start(engine->env.progress, number);
	if (exec_step_make(stage, index, parent, sources->selection, &snapshot, err) < 0)
		return -1;
	pthread_mutex_lock(&engine->lock);
	layer->snapshot = snapshot;
	(void)clock_gettime(CLOCK_REALTIME, &layer->created);
	pthread_mutex_unlock(&engine->lock);
	/* Whoever stands on a layer finds it in the committers' queue before its own: they wait in order. */
	exec_commit(engine, &(struct exec_place){step->line, step->end_line}, &stage->stack, parent, layer);
	pthread_mutex_lock(&engine->lock);
	layer->made = true;
	pthread_cond_broadcast(&engine->changed);
	pthread_mutex_unlock(&engine->lock);
	return 0;
}

static int make_or_share(struct exec_stage *stage, size_t index, struct exec_sources *sources,
			 struct ib_err *err)
{
	struct exec_engine *engine = stage->engine;
	int number = stage->progress_steps[index];
	bool mine;
	struct exec_layer *layer = share_or_claim(stage, &stage->keys[index], &mine);
	int r;

	r = mine ? make(stage, index, sources, layer, err) : wait_made(engine, layer, err);
	if (r < 0) {
		exec_layer_unref(engine, layer);
		return -1;
	}
	/* A layer without a blob does not serve a stage whose layers go into the image. */
	if (stage->exported && !layer->exported) {
		struct exec_layer *shared = layer;

		layer = export_snapshot(stage, &shared->key, &shared->created,
					builder_snapshot_ref(shared->snapshot));
		exec_layer_unref(engine, shared);
	}
	if (mine)
		builder_progress_end(engine->env.progress, number, NULL);
	else
		builder_progress_cached(engine->env.progress, number);
	exec_stack_push(&stage->stack, layer);
	return 0;
}

/*
 * The cheap key of a COPY --from told how its source was made. When the step has to run after all, the source
 * may have been made again, with another content: what is stored must have the key of what was copied.
 */
static int look_again(struct exec_stage *stage, size_t index, const struct builder_key *parent,
		      struct exec_sources *sources, struct exec_layer **ret_cached, struct ib_err *err)
{
	const struct plan_step *step = &stage->plan->steps[index];
	struct exec_engine *engine = stage->engine;
	struct builder_key key;

	if (sources->selection || (step->kind != PLAN_COPY && step->kind != PLAN_ADD) ||
	    step->from == PLAN_FROM_CONTEXT)
		return 0;
	if (exec_sources_open(stage, step, stage->progress_steps[index], sources, err) < 0 ||
	    exec_step_content_key(stage, index, parent, sources->selection, &key, err) < 0)
		return -1;
	if (oci_digest_equal(&key.digest, &stage->keys[index].digest))
		return 0;
	pthread_mutex_lock(&engine->lock);
	forget_keys(stage, index);
	stage->keys[index] = key;
	pthread_mutex_unlock(&engine->lock);
	*ret_cached = find_cached(stage, &key);
	return 0;
}

static int run_step(struct exec_stage *stage, size_t index, const struct builder_key *parent,
		    struct ib_err *err)
{
	struct exec_sources sources = {0};
	struct exec_layer *cached = NULL;
	int r = find_key(stage, index, parent, &sources, err);

	if (r == 0)
		cached = find_cached(stage, &stage->keys[index]);
	if (r == 0 && !cached)
		r = look_again(stage, index, parent, &sources, &cached, err);
	if (r == 0) {
		if (cached) {
			exec_stack_push(&stage->stack, cached);
			builder_progress_cached(stage->engine->env.progress, stage->progress_steps[index]);
		} else {
			r = make_or_share(stage, index, &sources, err);
		}
	}
	exec_sources_done(&sources);
	return r;
}

static int run_steps(struct exec_stage *stage, struct exec_place *ret_place, struct ib_err *err)
{
	struct exec_engine *engine = stage->engine;
	struct builder_key parent;

	*ret_place = (struct exec_place){stage->plan->from->line, stage->plan->from->end_line};
	if (start_stack(stage, err) < 0)
		return -1;
	start_keys(stage);
	parent = stage->base_key;
	for (size_t i = 0; i < stage->plan->n_steps; i++) {
		*ret_place = (struct exec_place){stage->plan->steps[i].line, stage->plan->steps[i].end_line};
		if (exec_stopped(engine))
			return ib_fail(err, IB_CANCELLED, "interrupted");
		if (ib_check_cancelled(err) < 0)
			return -1;
		if (run_step(stage, i, &parent, err) < 0) {
			builder_progress_end(engine->env.progress, stage->progress_steps[i], err);
			return -1;
		}
		parent = stage->keys[i];
	}
	return 0;
}

void exec_stage_run(struct exec_stage *stage)
{
	struct exec_engine *engine = stage->engine;
	ib_autoerr err = {0};
	struct exec_place place;
	int r = run_steps(stage, &place, &err);

	if (r == 0)
		end_from(stage, true);
	if (r < 0) {
		exec_fail(engine, &place, &err);
		return;
	}
	pthread_mutex_lock(&engine->lock);
	stage->n_keys = stage->plan->n_steps;
	stage->key_complete = true;
	stage->state = EXEC_DONE;
	pthread_cond_broadcast(&engine->changed);
	pthread_mutex_unlock(&engine->lock);
}
