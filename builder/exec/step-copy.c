/* The sources of a COPY or ADD: opened, found, ready to be hashed and copied. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "builder/exec/engine-internal.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

static int tree_of_stack(struct exec_stage *stage, struct exec_stack *stack, int progress_step,
			 struct exec_sources *sources, struct ib_err *err)
{
	builder_autosnapshot *snapshot = NULL;

	if (exec_stack_materialize(stage->engine, stack, progress_step, &snapshot, err) < 0 ||
	    builder_snapshot_union(snapshot, &sources->tree_owned, err) < 0)
		return -1;
	sources->tree.tree = sources->tree_owned;
	return 0;
}

static int open_tree(struct exec_stage *stage, const struct plan_step *step, int progress_step,
		     struct exec_sources *sources, struct ib_err *err)
{
	struct exec_engine *engine = stage->engine;
	struct exec_stack stack = {0};
	int r;

	switch (step->from) {
	case PLAN_FROM_CONTEXT:
		sources->tree = *engine->env.context;
		return 0;
	case PLAN_FROM_STAGE:
		if (exec_stage_wait(&engine->stages[step->from_stage], err) < 0)
			return -1;
		return tree_of_stack(stage, &engine->stages[step->from_stage].stack, progress_step, sources, err);
	case PLAN_FROM_IMAGE:
		exec_stack_push_image(&stack, engine->plan->images[step->from_image].handle);
		r = tree_of_stack(stage, &stack, progress_step, sources, err);
		exec_stack_done(engine, &stack);
		return r;
	}
	return -1;
}

static void fill_copy(const struct exec_engine *engine, const struct plan_step *step,
		      struct exec_sources *sources)
{
	sources->inline_files = ib_calloc(step->n_inline_files, sizeof *sources->inline_files);
	for (size_t i = 0; i < step->n_inline_files; i++)
		sources->inline_files[i] = (struct exec_inline_file){
			.name = step->inline_files[i].name,
			.content = step->inline_files[i].content,
			.size = strlen(step->inline_files[i].content),
		};
	sources->copy = (struct exec_copy){
		.add = step->kind == PLAN_ADD,
		.sources = (const char *const *)step->sources.v,
		.n_sources = step->sources.n,
		.inline_files = sources->inline_files,
		.n_inline_files = step->n_inline_files,
		.dest = step->dest,
		.chown = step->chown,
		.chmod = step->chmod,
		.now = engine->plan->has_epoch ? engine->plan->epoch : time(NULL),
	};
}

int exec_sources_open(struct exec_stage *stage, const struct plan_step *step, int progress_step,
		      struct exec_sources *sources, struct ib_err *err)
{
	if (open_tree(stage, step, progress_step, sources, err) < 0)
		return -1;
	fill_copy(stage->engine, step, sources);
	return exec_selection_new(&sources->copy, &sources->tree, &sources->selection, err);
}

void exec_sources_done(struct exec_sources *sources)
{
	exec_selection_free(sources->selection);
	oci_union_free(sources->tree_owned);
	free(sources->inline_files);
	*sources = (struct exec_sources){0};
}
