/*
 * builder/exec/engine-internal.h - shared by the files of exec/ that make up the engine.
 */
#ifndef BUILDER_EXEC_ENGINE_INTERNAL_H
#define BUILDER_EXEC_ENGINE_INTERNAL_H

#include <pthread.h>
#include <uthash.h>

#include "builder/exec/engine.h"

/*
 * A layer being made or known, shared by the stages that stand on it. Its snapshot comes first (the step
 * ran), its diff ID later (the layer was written).
 */
struct exec_layer {
	int refs;	/* all fields: guarded by the engine's lock; snapshot and results never change once set */
	bool made;	/* the step is done: snapshot is set, or the layer is known from before */
	bool done;	/* diff_id is set and the layer is where it has to be */
	bool broken;	/* writing it failed: it will never be done */
	bool exported;	/* it gets a blob */
	struct oci_diff_id diff_id;
	struct oci_descriptor desc;	/* of the blob that was written in this build; size 0: none was */
	struct timespec created;
	struct builder_snapshot *snapshot;
	struct exec_image *image;	/* of a base: where its blob comes from */
	size_t image_layer;
	struct builder_key key;		/* in engine->running while it is made in this build */
	UT_hash_handle hh;
};

/* The layers that a stage has so far, lowest first. */
struct exec_stack {
	struct exec_layer **v;
	size_t n, cap;
	size_t n_base;	/* those of the base image */
	struct oci_chain_id chain;	/* of the first n_chained, as far as anybody asked */
	size_t n_chained;
};

/* Somebody unpacks a stack that begins with this layer. */
struct exec_unpacking {
	struct oci_diff_id bottom;
	struct exec_unpacking *next;
};

enum exec_stage_state { EXEC_IDLE, EXEC_DEMANDED, EXEC_RUNNING, EXEC_DONE };

struct exec_stage {
	struct exec_engine *engine;
	const struct plan_stage *plan;
	bool exported;			/* its layers are in the result: they need blobs */

	enum exec_stage_state state;	/* engine's lock */
	struct exec_stack stack;	/* its thread's while RUNNING; everybody's to read when DONE */
	/* Written by its thread under the engine's lock, so that others may read them when key_complete. */
	struct builder_key *keys;	/* of the first n_keys steps, after the base's key */
	size_t n_keys;
	struct builder_key base_key;
	bool key_complete;		/* all keys are known */
	int *progress_steps;		/* number of each step in the progress stream */
	int from_step;			/* of FROM; 0: none is shown */
	bool from_ended;
};

/* Two layers are compressed side by side at most: more would only share the same processors. */
#define EXEC_COMMITTERS 2

struct exec_engine {
	struct exec_env env;
	const struct plan *plan;
	struct exec_options options;
	struct ib_pool *compressors, *committers;
	struct exec_stage *stages;	/* as in plan->stages */

	pthread_mutex_t lock;		/* guards what follows and what says so above; leaf */
	pthread_cond_t changed;
	struct exec_layer *running;	/* by key: steps being made or made in this build */
	struct builder_snapshots *snapshots;	/* opened when first needed, under snapshots_lock */
	struct exec_unpacking *unpacking;
	size_t committing;		/* layers handed to the committers and not yet done or broken */
	bool failed;
	struct ib_err failure;
	struct exec_place failed_at;
	const struct oci_layer_writer *writers[EXEC_COMMITTERS];	/* of the layers being written; NULL: idle */
	int64_t written;		/* bytes of the layers that are done */

	pthread_mutex_t snapshots_lock;
};

/* engine.c */

/*
 * Record the first failure, stop everything. Takes what is in err; place may be NULL. A step that fails lets
 * the layers of those before it be written, for the next build. Returns -1.
 */
int exec_fail(struct exec_engine *engine, const struct exec_place *place, struct ib_err *err);

/*
 * Only record it; true if it is the first. With the engine's lock, so that nobody can see what a failure
 * broke before he can see the failure. The caller stops the build.
 */
bool exec_fail_locked(struct exec_engine *engine, const struct exec_place *place, struct ib_err *err);
bool exec_stopped(struct exec_engine *engine);

/* The snapshots, opened. */
int exec_snapshots(struct exec_engine *engine, struct builder_snapshots **ret_snapshots, struct ib_err *err);

/*
 * Wait until the stage is done; one that nobody asked for so far is run here and now. -1 with IB_CANCELLED
 * when the build failed.
 */
int exec_stage_wait(struct exec_stage *stage, struct ib_err *err);

/* layers.c */
struct exec_layer *exec_layer_known(const struct oci_diff_id *diff_id, const struct timespec *created);
struct exec_layer *exec_layer_ref(struct exec_engine *engine, struct exec_layer *layer);
void exec_layer_unref(struct exec_engine *engine, struct exec_layer *layer);
void exec_stack_push(struct exec_stack *stack, struct exec_layer *take_layer);
void exec_stack_push_image(struct exec_stack *stack, struct exec_image *image);
void exec_stack_copy(struct exec_engine *engine, struct exec_stack *to, const struct exec_stack *from);
void exec_stack_done(struct exec_engine *engine, struct exec_stack *stack);

/* Wait until every layer of the stack is done; -1 with IB_CANCELLED when the build failed. */
int exec_stack_wait(struct exec_engine *engine, const struct exec_stack *stack, struct ib_err *err);

/* The same for a layer on top of it, which is written even when a later step failed. */
int exec_stack_settle(struct exec_engine *engine, const struct exec_stack *stack, struct ib_err *err);
void exec_stack_chain(struct exec_stack *stack, struct oci_chain_id *ret_chain);	/* of layers that are done */

/* The files of a stack: its snapshot, unpacked if need be; NULL for no layers. The caller's reference. */
int exec_stack_materialize(struct exec_engine *engine, struct exec_stack *stack, int progress_step,
			   struct builder_snapshot **ret_snapshot, struct ib_err *err);

/*
 * What is left of the layer that a record promises. A record of other layers below promises nothing here:
 * what a step changed would lie on files that it never saw.
 */
enum exec_left { EXEC_LEFT_NOTHING, EXEC_LEFT_SNAPSHOT, EXEC_LEFT_BLOB };
enum exec_left exec_layer_left(struct exec_engine *engine, struct exec_stack *stack,
			       const struct builder_result *result);

/* keys.c */
void exec_base_key(const struct exec_stage *stage, struct builder_key *ret_key);

/*
 * The key of step index, when it can be told without running anything: 1 with *ret_key, 0 when it needs the
 * files of a stage or image (its content), -1.
 */
int exec_step_key(struct exec_stage *stage, size_t index, const struct builder_key *parent,
		  struct builder_key *ret_key, struct ib_err *err);

/* The key of a COPY --from whose sources must be looked at; remembers it for exec_step_key(). */
int exec_step_content_key(struct exec_stage *stage, size_t index, const struct builder_key *parent,
			  struct exec_selection *selection, struct builder_key *ret_key, struct ib_err *err);

/* stage-run.c: all steps of a demanded stage, on a thread of its own. */
void exec_stage_run(struct exec_stage *stage);

/* step.c: run one step on parent into a new layer. */
int exec_step_make(struct exec_stage *stage, size_t index, struct builder_snapshot *parent,
		   struct exec_selection *selection, struct builder_snapshot **ret_snapshot, struct ib_err *err);

/* step-copy.c: the sources of a COPY or ADD; source_tree keeps what they are read from. */
struct exec_sources {
	struct exec_copy copy;
	struct exec_inline_file *inline_files;
	struct exec_tree tree;
	struct oci_union *tree_owned;	/* NULL for the context */
	struct exec_selection *selection;
};

int exec_sources_open(struct exec_stage *stage, const struct plan_step *step, int progress_step,
		      struct exec_sources *sources, struct ib_err *err);
void exec_sources_done(struct exec_sources *sources);

/* step-run.c */
int exec_run_step(struct exec_stage *stage, const struct plan_step *step, int progress_step,
		  struct builder_snapshot *parent, struct builder_snapshot *upper, struct ib_err *err);

/* commit.c: write the layer of a step in the background; layer is done afterwards. */
void exec_commit(struct exec_engine *engine, const struct exec_place *place, const struct exec_stack *below,
		 struct builder_snapshot *parent, struct exec_layer *layer);

#endif
