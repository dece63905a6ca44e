/* Layers that are known or being made, and stacks of them. */
#include <stdlib.h>
#include <string.h>

#include "builder/exec/engine-internal.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

struct exec_layer *exec_layer_known(const struct oci_diff_id *diff_id, const struct timespec *created)
{
	struct exec_layer *layer = ib_new(struct exec_layer);

	layer->refs = 1;
	layer->made = layer->done = true;
	layer->diff_id = *diff_id;
	if (created)
		layer->created = *created;
	return layer;
}

struct exec_layer *exec_layer_ref(struct exec_engine *engine, struct exec_layer *layer)
{
	pthread_mutex_lock(&engine->lock);
	layer->refs++;
	pthread_mutex_unlock(&engine->lock);
	return layer;
}

void exec_layer_unref(struct exec_engine *engine, struct exec_layer *layer)
{
	bool last;

	if (!layer)
		return;
	pthread_mutex_lock(&engine->lock);
	last = --layer->refs == 0;
	pthread_mutex_unlock(&engine->lock);
	if (!last)
		return;
	builder_snapshot_unref(layer->snapshot);
	free(layer);
}

void exec_stack_push(struct exec_stack *stack, struct exec_layer *take_layer)
{
	ib_grow(stack->v, stack->n, stack->cap);
	stack->v[stack->n++] = take_layer;
}

void exec_stack_push_image(struct exec_stack *stack, struct exec_image *image)
{
	const struct oci_config *config = exec_image_config(image);

	for (size_t i = 0; i < exec_image_layers(image); i++) {
		struct exec_layer *layer = exec_layer_known(&config->diff_ids[i], NULL);

		layer->image = image;
		layer->image_layer = i;
		exec_stack_push(stack, layer);
	}
}

void exec_stack_copy(struct exec_engine *engine, struct exec_stack *to, const struct exec_stack *from)
{
	for (size_t i = 0; i < from->n; i++)
		exec_stack_push(to, exec_layer_ref(engine, from->v[i]));
	to->n_base = from->n_base;
	to->chain = from->chain;
	to->n_chained = from->n_chained;
}

void exec_stack_done(struct exec_engine *engine, struct exec_stack *stack)
{
	for (size_t i = 0; i < stack->n; i++)
		exec_layer_unref(engine, stack->v[i]);
	free(stack->v);
	*stack = (struct exec_stack){0};
}

static bool all_done(const struct exec_stack *stack)
{
	for (size_t i = 0; i < stack->n; i++)
		if (!stack->v[i]->done)
			return false;
	return true;
}

int exec_stack_wait(struct exec_engine *engine, const struct exec_stack *stack, struct ib_err *err)
{
	bool failed;

	pthread_mutex_lock(&engine->lock);
	while (!engine->failed && !all_done(stack))
		pthread_cond_wait(&engine->changed, &engine->lock);
	failed = engine->failed;
	pthread_mutex_unlock(&engine->lock);
	return failed ? ib_fail(err, IB_CANCELLED, "interrupted") : 0;
}

static bool is_broken(const struct exec_stack *stack)
{
	for (size_t i = 0; i < stack->n; i++)
		if (stack->v[i]->broken)
			return true;
	return false;
}

int exec_stack_settle(struct exec_engine *engine, const struct exec_stack *stack, struct ib_err *err)
{
	bool broken;

	pthread_mutex_lock(&engine->lock);
	/* Each layer below is known or was handed to the committers before: one way or the other, it ends. */
	while (!is_broken(stack) && !all_done(stack))
		pthread_cond_wait(&engine->changed, &engine->lock);
	broken = is_broken(stack);
	pthread_mutex_unlock(&engine->lock);
	return broken ? ib_fail(err, IB_CANCELLED, "interrupted") : 0;
}

void exec_stack_chain(struct exec_stack *stack, struct oci_chain_id *ret_chain)
{
	for (; stack->n_chained < stack->n; stack->n_chained++)
		oci_chain_id_append(&stack->chain, &stack->v[stack->n_chained]->diff_id, &stack->chain);
	*ret_chain = stack->chain;
}

/* Where unpacking gets the blobs of a stack from, and how far it is. */
struct source {
	struct exec_engine *engine;
	const struct exec_stack *stack;
	int progress_step;
};

static int open_blob(void *ctx, size_t index, struct oci_reader **ret_reader, struct ib_err *err)
{
	const struct source *source = ctx;
	const struct exec_layer *layer = source->stack->v[index];
	struct exec_env *env = &source->engine->env;
	struct oci_layer blob;
	int64_t size;
	int fd;

	if (layer->image)
		return exec_image_layer_open(layer->image, layer->image_layer, ret_reader, err);
	if (!builder_cache_find_layer(env->cache, &layer->diff_id, NULL, true, &blob)) {
		char text[OCI_DIGEST_SIZE];

		return ib_fail(err, IB_NOTFOUND, "layer %s is no longer in the store; build with --no-cache",
			       oci_digest_str(&layer->diff_id.digest, text));
	}
	fd = oci_store_get(env->store, &blob.desc.digest, &size, err);
	oci_layer_done(&blob);
	if (fd < 0)
		return -1;
	*ret_reader = oci_file_reader_new(fd, "layer");
	return 0;
}

static void unpack_progress(void *ctx, size_t index, int64_t bytes, bool done)
{
	const struct source *source = ctx;
	char text[OCI_DIGEST_SIZE];
	ib_autofree char *id = NULL;

	if (!source->progress_step)
		return;
	id = ib_asprintf("extracting %.19s", oci_digest_str(&source->stack->v[index]->diff_id.digest, text));
	builder_progress_transfer(source->engine->env.progress, source->progress_step, id, bytes, 0, done);
}

/* A blob that came out of the store and can't be unpacked was damaged there: nothing else lets it in. */
static int hint_of_damage(const struct exec_engine *engine, const struct exec_stack *stack, struct ib_err *err)
{
	if (err->code != IB_INVALID && err->code != IB_MISMATCH)
		return -1;
	for (size_t i = 0; i < stack->n; i++) {
		const struct exec_layer *layer = stack->v[i];
		const struct oci_descriptor *desc = layer->image ? exec_image_layer(layer->image, layer->image_layer) : NULL;

		if (desc && !oci_store_has(engine->env.store, &desc->digest, desc->size))
			return -1;	/* it was on its way from a registry */
	}
	return ib_err_hint(err, "; the store is damaged: `imgbuild rmi` the image, `imgbuild prune --all`, and get it anew");
}

static int unpack(struct exec_engine *engine, struct exec_stack *stack, int progress_step,
		  struct builder_snapshot **ret_snapshot, struct ib_err *err)
{
	ib_autofree struct oci_diff_id *diff_ids = ib_calloc(stack->n, sizeof *diff_ids);
	struct source source = {engine, stack, progress_step};
	struct builder_unpack request = {
		.diff_ids = diff_ids,
		.n = stack->n,
		.open = open_blob,
		.progress = unpack_progress,
		.ctx = &source,
	};
	struct builder_snapshots *snapshots;

	if (progress_step)
		builder_progress_start(engine->env.progress, progress_step);
	for (size_t i = 0; i < stack->n; i++)
		diff_ids[i] = stack->v[i]->diff_id;
	if (exec_snapshots(engine, &snapshots, err) < 0)
		return -1;
	if (builder_snapshot_unpack(snapshots, &request, ret_snapshot, err) < 0)
		return hint_of_damage(engine, stack, err);
	return 0;
}

/* Of one base, unpacked by two stages at once, every layer would be fetched and written twice. */
static int begin_unpacking(struct exec_engine *engine, struct exec_unpacking *mine, struct ib_err *err)
{
	const struct exec_unpacking *other;
	bool failed;

	pthread_mutex_lock(&engine->lock);
	do {
		for (other = engine->unpacking; other; other = other->next)
			if (oci_digest_equal(&other->bottom.digest, &mine->bottom.digest))
				break;
		if (other && !engine->failed)
			pthread_cond_wait(&engine->changed, &engine->lock);
	} while (other && !engine->failed);
	failed = engine->failed;
	mine->next = engine->unpacking;
	if (!failed)
		engine->unpacking = mine;
	pthread_mutex_unlock(&engine->lock);
	return failed ? ib_fail(err, IB_CANCELLED, "interrupted") : 0;
}

static void end_unpacking(struct exec_engine *engine, struct exec_unpacking *mine)
{
	struct exec_unpacking **p = &engine->unpacking;

	pthread_mutex_lock(&engine->lock);
	while (*p != mine)
		p = &(*p)->next;
	*p = mine->next;
	pthread_cond_broadcast(&engine->changed);
	pthread_mutex_unlock(&engine->lock);
}

static int unpack_alone(struct exec_engine *engine, struct exec_stack *stack, int progress_step,
			struct builder_snapshot **ret_snapshot, struct ib_err *err)
{
	struct exec_unpacking mine = {.bottom = stack->v[0]->diff_id};
	int r;

	if (begin_unpacking(engine, &mine, err) < 0)
		return -1;
	r = unpack(engine, stack, progress_step, ret_snapshot, err);
	end_unpacking(engine, &mine);
	return r;
}

/* The top layer's snapshot, if somebody has it open already. */
static struct builder_snapshot *snapshot_at_hand(struct exec_engine *engine, const struct exec_layer *top)
{
	struct builder_snapshot *snapshot;

	pthread_mutex_lock(&engine->lock);
	snapshot = builder_snapshot_ref(top->snapshot);
	pthread_mutex_unlock(&engine->lock);
	return snapshot;
}

int exec_stack_materialize(struct exec_engine *engine, struct exec_stack *stack, int progress_step,
			   struct builder_snapshot **ret_snapshot, struct ib_err *err)
{
	struct builder_snapshot *snapshot = NULL, *mine;
	struct exec_layer *top;

	*ret_snapshot = NULL;
	if (!stack->n)
		return 0;
	top = stack->v[stack->n - 1];
	*ret_snapshot = snapshot_at_hand(engine, top);
	if (*ret_snapshot)
		return 0;
	/* A layer without a snapshot is found by its chain ID: all below must be known by then. */
	if (exec_stack_wait(engine, stack, err) < 0 ||
	    unpack_alone(engine, stack, progress_step, &snapshot, err) < 0)
		return -1;
	mine = builder_snapshot_ref(snapshot);
	pthread_mutex_lock(&engine->lock);
	if (!top->snapshot)	/* another stage on the same base may have been faster */
		top->snapshot = ib_steal_ptr(&mine);
	pthread_mutex_unlock(&engine->lock);
	builder_snapshot_unref(mine);
	*ret_snapshot = snapshot;
	return 0;
}

static bool has_blob(struct exec_engine *engine, const struct oci_diff_id *diff_id)
{
	struct oci_layer blob;
	bool has;

	if (!builder_cache_find_layer(engine->env.cache, diff_id, NULL, true, &blob))
		return false;
	has = oci_store_has(engine->env.store, &blob.desc.digest, blob.desc.size);
	oci_layer_done(&blob);
	return has;
}

enum exec_left exec_layer_left(struct exec_engine *engine, struct exec_stack *stack,
			       const struct builder_result *result)
{
	struct builder_snapshots *snapshots;
	struct oci_chain_id chain;
	ib_autoerr err = {0};	/* a build that failed goes no further; without snapshots the step runs again */

	if (exec_stack_wait(engine, stack, &err) < 0)
		return EXEC_LEFT_NOTHING;
	exec_stack_chain(stack, &chain);
	oci_chain_id_append(&chain, &result->diff_id, &chain);
	if (!oci_digest_equal(&chain.digest, &result->chain.digest))
		return EXEC_LEFT_NOTHING;
	if (has_blob(engine, &result->diff_id))
		return EXEC_LEFT_BLOB;
	if (exec_snapshots(engine, &snapshots, &err) < 0 || !builder_snapshots_has(snapshots, &chain))
		return EXEC_LEFT_NOTHING;
	return EXEC_LEFT_SNAPSHOT;
}
