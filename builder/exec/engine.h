/*
 * builder/exec/engine.h - executing a plan: which steps are known from before, which stages must run, what
 * each step's layer is.
 *
 * Stages run as threads, side by side; a step that reads another stage waits for it. A stage is walked step
 * by step: a step whose key is known costs nothing, the first one that is not needs the files below it.
 * Layers are written by other threads while the next step runs already.
 */
#ifndef BUILDER_EXEC_ENGINE_H
#define BUILDER_EXEC_ENGINE_H

#include "builder/cache/cache.h"
#include "builder/exec/copy.h"
#include "builder/exec/image.h"
#include "builder/plan/plan.h"
#include "builder/progress/progress.h"
#include "builder/sandbox/sandbox.h"
#include "builder/snapshot/snapshot.h"

/* What a build works with; everything is borrowed and outlives the engine. */
struct exec_env {
	struct oci_store *store;
	struct builder_cache *cache;
	struct builder_progress *progress;
	struct exec_images *images;
	struct sandbox_launcher *launcher;	/* NULL: nothing can be run, for no_run_reason */
	const char *no_run_reason;
	enum builder_snapshotter snapshotter;
	const struct exec_tree *context;
	const char *context_name;		/* for messages */
	size_t threads;				/* compression; 0: one per processor */
};

struct exec_options {
	bool no_cache;
	struct oci_compression_setting compression;
	bool clamp_times;	/* plan->epoch bounds the times of files in new layers */
};

/* A layer of the result. */
struct exec_result_layer {
	struct oci_diff_id diff_id;
	struct timespec created;
	bool from_base;		/* comes with the base image: its blob is the image's own */
};

struct exec_result {
	struct exec_result_layer *layers;	/* lowest first */
	size_t n_layers;
	size_t n_base_layers;
};

void exec_result_done(struct exec_result *result);

struct exec_engine;

int exec_engine_new(const struct exec_env *env, const struct plan *plan, const struct exec_options *options,
		    struct exec_engine **ret_engine, struct ib_err *err);
void exec_engine_free(struct exec_engine *engine);
IB_DEFINE_FREE(exec_engine);

/* Where a build failed: the instruction's lines; 0: none. */
struct exec_place {
	int line, end_line;
};

/* Do all that the target needs. After a failure everything else is stopped; *ret_place is the cause's. */
int exec_engine_run(struct exec_engine *engine, struct exec_result *ret_result, struct exec_place *ret_place,
		    struct ib_err *err);

/* The target's files, once it ran: unpacked if need be. The caller's. */
int exec_engine_tree(struct exec_engine *engine, struct oci_union **ret_union, struct ib_err *err);

/*
 * The blob of result layer index in the store, in the compression asked for (the base's own for its layers):
 * fetched, or compressed again, where it is not there in that form.
 */
int exec_engine_layer_blob(struct exec_engine *engine, const struct exec_result *result, size_t index,
			   const struct oci_compression_setting *setting, struct oci_descriptor *ret_desc,
			   struct ib_err *err);

#endif
