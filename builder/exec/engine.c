#include "builder/exec/engine.h"

#include <stdlib.h>
#include <string.h>

#include "builder/exec/engine-internal.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

void exec_result_done(struct exec_result *result)
{
	free(result->layers);
	*result = (struct exec_result){0};
}

/* Wait on changed for a short while: a signal handler sets its flag without telling anybody. With the lock. */
static void wait_shortly(struct exec_engine *engine)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 250000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	(void)pthread_cond_timedwait(&engine->changed, &engine->lock, &until);
}

bool exec_fail_locked(struct exec_engine *engine, const struct exec_place *place, struct ib_err *err)
{
	if (engine->failed)
		return false;
	engine->failed = true;
	if (place)
		engine->failed_at = *place;
	ib_err_move(&engine->failure, err);
	return true;
}

int exec_fail(struct exec_engine *engine, const struct exec_place *place, struct ib_err *err)
{
	bool first;

	pthread_mutex_lock(&engine->lock);
	first = exec_fail_locked(engine, place, err);
	pthread_cond_broadcast(&engine->changed);
	while (first && place && engine->committing && !ib_cancelled())
		wait_shortly(engine);
	pthread_mutex_unlock(&engine->lock);
	if (first)
		ib_cancel();
	return -1;
}

bool exec_stopped(struct exec_engine *engine)
{
	bool failed;

	pthread_mutex_lock(&engine->lock);
	failed = engine->failed;
	pthread_mutex_unlock(&engine->lock);
	return failed;
}

int exec_snapshots(struct exec_engine *engine, struct builder_snapshots **ret_snapshots, struct ib_err *err)
{
	int r = 0;

	pthread_mutex_lock(&engine->snapshots_lock);
	if (!engine->snapshots)
		r = builder_snapshots_open(engine->env.store, engine->env.snapshotter, &engine->snapshots, err);
	*ret_snapshots = engine->snapshots;
	pthread_mutex_unlock(&engine->snapshots_lock);
	return r;
}

int exec_stage_wait(struct exec_stage *stage, struct ib_err *err)
{
	struct exec_engine *engine = stage->engine;
	bool failed, idle;

	pthread_mutex_lock(&engine->lock);
	idle = stage->state == EXEC_IDLE;
	if (idle)
		stage->state = EXEC_RUNNING;
	pthread_mutex_unlock(&engine->lock);
	if (idle)
		exec_stage_run(stage);
	pthread_mutex_lock(&engine->lock);
	while (!engine->failed && stage->state != EXEC_DONE)
		pthread_cond_wait(&engine->changed, &engine->lock);
	failed = engine->failed;
	pthread_mutex_unlock(&engine->lock);
	return failed ? ib_fail(err, IB_CANCELLED, "interrupted") : 0;
}

/* The layers of the target and of the stages it is built on are the image's. */
static void mark_exported(struct exec_engine *engine)
{
	size_t i = engine->plan->target;

	for (;;) {
		engine->stages[i].exported = true;
		if (engine->plan->stages[i].base != PLAN_BASE_STAGE)
			return;
		i = engine->plan->stages[i].base_stage;
	}
}

/* "[build 2/5] " or "[2/5] ": counted are FROM (other than scratch or a stage) and the steps. */
static void announce_stage(struct exec_engine *engine, struct exec_stage *stage, bool several)
{
	const struct plan_stage *plan = stage->plan;
	ib_autofree char *name = plan_stage_display_name(plan);
	size_t with_from = plan->base == PLAN_BASE_IMAGE, total = plan->n_steps + with_from;
	const char *gap = several ? " " : "";

	if (!several)
		name[0] = '\0';
	stage->progress_steps = ib_calloc(plan->n_steps, sizeof *stage->progress_steps);
	if (with_from) {
		const struct plan_image *image = &engine->plan->images[plan->base_image];
		ib_autofree char *text = ib_asprintf("[%s%s1/%zu] FROM %s", name, gap, total,
						     exec_image_name(image->handle));

		stage->from_step = builder_progress_step(engine->env.progress, text);
	}
	for (size_t i = 0; i < plan->n_steps; i++) {
		ib_autofree char *text = ib_asprintf("[%s%s%zu/%zu] %s", name, gap, i + 1 + with_from, total,
						     plan->steps[i].text);

		stage->progress_steps[i] = builder_progress_step(engine->env.progress, text);
	}
}

int exec_engine_new(const struct exec_env *env, const struct plan *plan, const struct exec_options *options,
		    struct exec_engine **ret_engine, struct ib_err *err)
{
	struct exec_engine *engine = ib_new(struct exec_engine);
	size_t needed = 0;

	(void)err;	/* everything that can fail is opened when it is needed */
	engine->env = *env;
	engine->plan = plan;
	engine->options = *options;
	pthread_mutex_init(&engine->lock, NULL);
	pthread_mutex_init(&engine->snapshots_lock, NULL);
	pthread_cond_init(&engine->changed, NULL);
	engine->compressors = ib_pool_new(env->threads ? env->threads : ib_processors());
	engine->committers = ib_pool_new(EXEC_COMMITTERS);
	engine->stages = ib_calloc(plan->n_stages, sizeof *engine->stages);
	for (size_t i = 0; i < plan->n_stages; i++) {
		engine->stages[i].engine = engine;
		engine->stages[i].plan = &plan->stages[i];
		needed += plan->stages[i].needed;
	}
	mark_exported(engine);
	for (size_t i = 0; i < plan->n_stages; i++)
		if (plan->stages[i].needed)
			announce_stage(engine, &engine->stages[i], needed > 1);
	*ret_engine = engine;
	return 0;
}

static void forget_running(struct exec_engine *engine)
{
	struct exec_layer *layer, *next;

	HASH_ITER(hh, engine->running, layer, next) {
		HASH_DEL(engine->running, layer);
		exec_layer_unref(engine, layer);
	}
}

void exec_engine_free(struct exec_engine *engine)
{
	if (!engine)
		return;
	ib_pool_free(engine->committers);	/* waits for layers that are being written */
	ib_pool_free(engine->compressors);
	forget_running(engine);
	for (size_t i = 0; i < engine->plan->n_stages; i++) {
		exec_stack_done(engine, &engine->stages[i].stack);
		free(engine->stages[i].keys);
		free(engine->stages[i].progress_steps);
	}
	free(engine->stages);
	builder_snapshots_free(engine->snapshots);
	ib_err_clear(&engine->failure);
	pthread_cond_destroy(&engine->changed);
	pthread_mutex_destroy(&engine->snapshots_lock);
	pthread_mutex_destroy(&engine->lock);
	free(engine);
}

/*
 * Tell the keys of a stage as far as they can be told without running anything. Stops at the first step that
 * no earlier build did: from there on the stage has to run anyway.
 */
static int probe_keys(struct exec_stage *stage, struct ib_err *err)
{
	struct exec_engine *engine = stage->engine;
	struct builder_key parent;

	exec_base_key(stage, &stage->base_key);
	if (stage->plan->base == PLAN_BASE_STAGE && !engine->stages[stage->plan->base_stage].key_complete)
		return 0;
	stage->keys = ib_calloc(stage->plan->n_steps, sizeof *stage->keys);
	parent = stage->base_key;
	for (size_t i = 0; i < stage->plan->n_steps; i++) {
		struct builder_result result;
		int r = exec_step_key(stage, i, &parent, &stage->keys[i], err);

		if (r < 0) {
			const struct plan_step *step = &stage->plan->steps[i];
			const struct exec_place place = {step->line, step->end_line};

			builder_progress_end(engine->env.progress, stage->progress_steps[i], err);
			return exec_fail(engine, &place, err);
		}
		if (r == 0)
			return 0;
		stage->n_keys = i + 1;
		parent = stage->keys[i];
		if (engine->options.no_cache || !builder_cache_find(engine->env.cache, &parent, &result))
			return 0;
	}
	stage->key_complete = true;
	return 0;
}

/* Does the step read another stage, and is it one that an earlier build did not do? */
static bool step_demands(const struct exec_stage *stage, size_t index)
{
	const struct plan_step *step = &stage->plan->steps[index];

	return (step->kind == PLAN_COPY || step->kind == PLAN_ADD) && step->from == PLAN_FROM_STAGE &&
	       !(stage->key_complete || index + 1 < stage->n_keys);
}

/* From the target down: whose files or layers are wanted. What is cached is found out by its own thread. */
static void demand(struct exec_engine *engine)
{
	engine->stages[engine->plan->target].state = EXEC_DEMANDED;
	for (size_t i = engine->plan->target + 1; i-- > 0;) {
		struct exec_stage *stage = &engine->stages[i];

		if (stage->state != EXEC_DEMANDED)
			continue;
		if (stage->plan->base == PLAN_BASE_STAGE)
			engine->stages[stage->plan->base_stage].state = EXEC_DEMANDED;
		for (size_t k = 0; k < stage->plan->n_steps; k++)
			if (step_demands(stage, k))
				engine->stages[stage->plan->steps[k].from_stage].state = EXEC_DEMANDED;
	}
}

/* Stages run at once: what they wait for has a smaller index and was started before them. */
#define STAGE_THREADS 8

struct runner {
	struct exec_engine *engine;
	size_t next;		/* engine's lock */
};

static struct exec_stage *next_stage(struct runner *runner)
{
	struct exec_engine *engine = runner->engine;
	struct exec_stage *stage = NULL;

	pthread_mutex_lock(&engine->lock);
	while (!stage && runner->next <= engine->plan->target) {
		struct exec_stage *candidate = &engine->stages[runner->next++];

		if (candidate->state == EXEC_DEMANDED)
			stage = candidate;
	}
	if (stage)
		stage->state = EXEC_RUNNING;
	pthread_mutex_unlock(&engine->lock);
	return stage;
}

static void *run_stages(void *arg)
{
	struct exec_stage *stage;

	while ((stage = next_stage(arg)))
		exec_stage_run(stage);
	return NULL;
}

static void run_all(struct exec_engine *engine)
{
	struct runner runner = {.engine = engine};
	pthread_t threads[STAGE_THREADS];
	size_t demanded = 0, started = 0;

	for (size_t i = 0; i < engine->plan->n_stages; i++)
		demanded += engine->stages[i].state == EXEC_DEMANDED;
	/* This thread is one of them, so that a build of one stage starts none. */
	for (size_t i = 1; i < demanded && i < STAGE_THREADS; i++)
		if (pthread_create(&threads[started], NULL, run_stages, &runner) == 0)
			started++;
	run_stages(&runner);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
}

static void collect(struct exec_engine *engine, struct exec_result *result)
{
	const struct exec_stack *stack = &engine->stages[engine->plan->target].stack;

	result->layers = ib_calloc(stack->n, sizeof *result->layers);
	result->n_layers = stack->n;
	result->n_base_layers = stack->n_base;
	for (size_t i = 0; i < stack->n; i++)
		result->layers[i] = (struct exec_result_layer){
			.diff_id = stack->v[i]->diff_id,
			.created = stack->v[i]->created,
			.from_base = i < stack->n_base,
		};
}

/* Bytes of all layers so far. Called with the lock. */
static int64_t written_bytes(const struct exec_engine *engine)
{
	int64_t bytes = engine->written;

	for (size_t i = 0; i < EXEC_COMMITTERS; i++)
		if (engine->writers[i])
			bytes += oci_layer_writer_bytes(engine->writers[i]);
	return bytes;
}

static bool stack_is_done(const struct exec_stack *stack)
{
	for (size_t i = 0; i < stack->n; i++)
		if (!stack->v[i]->done)
			return false;
	return true;
}

/* Wait for the layers of the target, and show meanwhile how far they are. */
static void wait_for_layers(struct exec_engine *engine, const struct exec_stack *stack)
{
	struct builder_progress *progress = engine->env.progress;
	int step = 0;

	pthread_mutex_lock(&engine->lock);
	while (!engine->failed && !stack_is_done(stack)) {
		int64_t bytes = written_bytes(engine);

		pthread_mutex_unlock(&engine->lock);
		if (!step) {
			step = builder_progress_step(progress, "writing layers");
			builder_progress_start(progress, step);
		}
		builder_progress_transfer(progress, step, "compressing", bytes, 0, false);
		pthread_mutex_lock(&engine->lock);
		if (!engine->failed && !stack_is_done(stack))
			wait_shortly(engine);
	}
	pthread_mutex_unlock(&engine->lock);
	if (step)
		builder_progress_end(progress, step, NULL);
}

int exec_engine_run(struct exec_engine *engine, struct exec_result *ret_result, struct exec_place *ret_place,
		    struct ib_err *err)
{
	struct exec_stage *target = &engine->stages[engine->plan->target];

	*ret_place = (struct exec_place){0};
	for (size_t i = 0; i <= engine->plan->target && !exec_stopped(engine); i++)
		if (engine->plan->stages[i].needed && probe_keys(&engine->stages[i], err) < 0)
			break;
	if (!exec_stopped(engine)) {
		demand(engine);
		run_all(engine);
	}
	if (!exec_stopped(engine))
		wait_for_layers(engine, &target->stack);
	if (exec_stopped(engine)) {
		*ret_place = engine->failed_at;	/* set once, with failed: no lock */
		ib_err_move(err, &engine->failure);
		return -1;
	}
	collect(engine, ret_result);
	return 0;
}

int exec_engine_tree(struct exec_engine *engine, struct oci_union **ret_union, struct ib_err *err)
{
	struct exec_stage *target = &engine->stages[engine->plan->target];
	builder_autosnapshot *snapshot = NULL;

	if (exec_stack_materialize(engine, &target->stack, 0, &snapshot, err) < 0)
		return -1;
	return builder_snapshot_union(snapshot, ret_union, err);
}

static int cached_blob(struct exec_engine *engine, const struct exec_layer *layer,
		       const struct oci_compression_setting *setting, struct oci_descriptor *ret_desc,
		       struct ib_err *err)
{
	struct exec_env *env = &engine->env;
	struct oci_layer found, made;
	char text[OCI_DIGEST_SIZE];
	int r;

	if (builder_cache_find_layer(env->cache, &layer->diff_id, setting, false, &found)) {
		if (oci_store_has(env->store, &found.desc.digest, found.desc.size)) {
			*ret_desc = found.desc;
			return 0;
		}
		oci_layer_done(&found);
	}
	if (!builder_cache_find_layer(env->cache, &layer->diff_id, NULL, true, &found))
		return ib_fail(err, IB_NOTFOUND, "layer %s is not in the store; build with --no-cache",
			       oci_digest_str(&layer->diff_id.digest, text));
	r = oci_layer_recompress(env->store, engine->compressors, &found.desc, &layer->diff_id, setting, &made,
				 err);
	oci_layer_done(&found);
	if (r < 0)
		return -1;
	builder_cache_store_layer(env->cache, &made, setting);
	*ret_desc = made.desc;
	return 0;
}

int exec_engine_layer_blob(struct exec_engine *engine, const struct exec_result *result, size_t index,
			   const struct oci_compression_setting *setting, struct oci_descriptor *ret_desc,
			   struct ib_err *err)
{
	const struct exec_layer *layer = engine->stages[engine->plan->target].stack.v[index];

	/* What this build wrote needs no database to be found; there is one setting in a build. */
	if (layer->desc.size) {
		oci_descriptor_copy(ret_desc, &layer->desc);
		return 0;
	}
	if (!result->layers[index].from_base)
		return cached_blob(engine, layer, setting, ret_desc, err);
	oci_descriptor_copy(ret_desc, exec_image_layer(layer->image, layer->image_layer));
	return 0;
}
