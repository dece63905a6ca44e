/* Layers are written in the background, while later steps run. */
#include <stdlib.h>

#include "builder/exec/engine-internal.h"
#include "oci/base/alloc.h"
#include "oci/layer-diff.h"

#include "oci/base/poison.h"

struct commit {
	struct exec_engine *engine;
	struct exec_stack below;
	struct builder_snapshot *parent;
	struct exec_layer *layer;
	struct exec_place place;	/* of the step that made it */
};

/* Show a writer to whoever waits for layers, or take it away again. */
static void show_writer(struct exec_engine *engine, const struct oci_layer_writer *old,
			const struct oci_layer_writer *new)
{
	pthread_mutex_lock(&engine->lock);
	for (size_t i = 0; i < EXEC_COMMITTERS; i++)
		if (engine->writers[i] == old) {
			engine->writers[i] = new;
			break;
		}
	if (old)
		engine->written += oci_layer_writer_bytes(old);
	pthread_mutex_unlock(&engine->lock);
}

/* A layer that does not go into the image needs its diff ID only; its files are in its snapshot. */
static int write_layer(const struct commit *commit, struct oci_layer *ret_layer, struct ib_err *err)
{
	struct exec_engine *engine = commit->engine;
	struct oci_store *store = commit->layer->exported ? engine->env.store : NULL;
	IB_CLEANUP(oci_layer_writer_freep) struct oci_layer_writer *writer = NULL;
	IB_CLEANUP(oci_union_freep) struct oci_union *lower = NULL;
	struct oci_diff_options options = {
		.clamp = engine->options.clamp_times,
		.clamp_seconds = engine->plan->epoch,
	};
	int64_t entries;
	int r;

	if (builder_snapshot_union(commit->parent, &lower, err) < 0 ||
	    oci_layer_writer_new(store, engine->compressors, &engine->options.compression, &writer, err) < 0)
		return -1;
	show_writer(engine, NULL, writer);
	r = oci_layer_diff(writer, commit->layer->snapshot->fd, lower, &options, &entries, err);
	if (r == 0)
		r = oci_layer_writer_finish(writer, ret_layer, err);
	show_writer(engine, writer, NULL);
	return r;
}

/* Only what is known in full, below included, gets its name on disk and in the cache. */
static int publish(struct commit *commit, const struct oci_layer *written, struct ib_err *err)
{
	struct exec_engine *engine = commit->engine;
	struct exec_layer *layer = commit->layer;
	struct builder_result result = {.diff_id = written->diff_id, .created = layer->created};

	if (exec_stack_settle(engine, &commit->below, err) < 0)
		return -1;
	exec_stack_chain(&commit->below, &result.chain);
	oci_chain_id_append(&result.chain, &written->diff_id, &result.chain);
	if (builder_snapshot_publish(layer->snapshot, &result.chain, err) < 0)
		return -1;
	if (layer->exported)
		builder_cache_store_layer(engine->env.cache, written, &engine->options.compression);
	builder_cache_store(engine->env.cache, &layer->key, &result);
	return 0;
}

static void commit_run(void *arg)
{
	struct commit *commit = arg;
	struct exec_engine *engine = commit->engine;
	struct oci_layer written = {0};
	ib_autoerr err = {0};
	bool done = ib_check_cancelled(&err) == 0 && write_layer(commit, &written, &err) == 0 &&
		    publish(commit, &written, &err) == 0;
	bool first = false;

	if (!done)
		ib_wrap(&err, "write layer");
	pthread_mutex_lock(&engine->lock);
	if (!done)
		first = exec_fail_locked(engine, &commit->place, &err);
	commit->layer->diff_id = written.diff_id;
	if (commit->layer->exported)
		oci_descriptor_copy(&commit->layer->desc, &written.desc);
	commit->layer->done = done;
	commit->layer->broken = !done;
	engine->committing--;
	pthread_cond_broadcast(&engine->changed);
	pthread_mutex_unlock(&engine->lock);
	if (first)
		ib_cancel();
	oci_layer_done(&written);
	exec_stack_done(engine, &commit->below);
	builder_snapshot_unref(commit->parent);
	exec_layer_unref(engine, commit->layer);
	free(commit);
}

void exec_commit(struct exec_engine *engine, const struct exec_place *place, const struct exec_stack *below,
		 struct builder_snapshot *parent, struct exec_layer *layer)
{
	struct commit *commit = ib_new(struct commit);

	commit->engine = engine;
	exec_stack_copy(engine, &commit->below, below);
	commit->parent = builder_snapshot_ref(parent);
	commit->layer = exec_layer_ref(engine, layer);
	commit->place = *place;
	pthread_mutex_lock(&engine->lock);
	engine->committing++;
	pthread_mutex_unlock(&engine->lock);
	ib_pool_submit(engine->committers, commit_run, commit);
}
