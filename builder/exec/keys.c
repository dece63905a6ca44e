/* What a step's result depends on, as keys. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "builder/exec/engine-internal.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

static struct builder_key_maker *start(const struct exec_stage *stage, const char *kind,
				       const struct builder_key *parent)
{
	struct builder_key_maker *maker = builder_key_new(kind);
	const struct exec_engine *engine = stage->engine;
	ib_autofree char *platform = oci_platform_str(&stage->plan->platform);
	ib_autofree char *epoch = ib_asprintf("%" PRId64, engine->plan->epoch);

	if (parent)
		builder_key_parent(maker, parent);
	builder_key_text(maker, "platform", platform);
	/* Times are bounded when the layer is written, so the bound is part of what is written. */
	builder_key_text(maker, "epoch", engine->options.clamp_times ? epoch : NULL);
	return maker;
}

static void finish(struct builder_key_maker *take_maker, struct builder_key *ret_key)
{
	builder_key_finish(take_maker, ret_key);
	builder_key_maker_free(take_maker);
}

void exec_base_key(const struct exec_stage *stage, struct builder_key *ret_key)
{
	const struct exec_engine *engine = stage->engine;
	const struct plan_stage *plan = stage->plan;
	struct builder_key_maker *maker;
	struct oci_chain_id chain = {0};

	if (plan->base == PLAN_BASE_STAGE) {
		const struct exec_stage *base = &engine->stages[plan->base_stage];

		*ret_key = base->n_keys ? base->keys[base->n_keys - 1] : base->base_key;
		return;
	}
	/* Layers, not the manifest: a base that differs in nothing but its labels gives the same steps. */
	if (plan->base == PLAN_BASE_IMAGE) {
		const struct oci_config *config = engine->plan->images[plan->base_image].config;

		oci_config_chain_id(config, config->n_diff_ids, &chain);
	}
	maker = builder_key_new("base");
	builder_key_bytes(maker, "chain", chain.digest.raw, sizeof chain.digest.raw);
	finish(maker, ret_key);
}

static void run_key(const struct exec_stage *stage, const struct plan_step *step,
		    const struct builder_key *parent, struct builder_key *ret_key)
{
	struct builder_key_maker *maker = start(stage, "run", parent);
	char network[2] = {(char)('0' + step->network), '\0'};

	builder_key_list(maker, "argv", &step->argv);
	builder_key_list(maker, "env", &step->env);
	builder_key_text(maker, "cwd", step->cwd);
	builder_key_text(maker, "user", step->user);
	builder_key_text(maker, "network", network);
	for (size_t i = 0; i < step->n_inline_files; i++) {
		builder_key_text(maker, "script", step->inline_files[i].name);
		builder_key_text(maker, "text", step->inline_files[i].content);
	}
	finish(maker, ret_key);
}

static void workdir_key(const struct exec_stage *stage, const struct plan_step *step,
			const struct builder_key *parent, struct builder_key *ret_key)
{
	const struct plan *plan = stage->engine->plan;
	ib_autofree char *epoch = plan->has_epoch ? ib_asprintf("%" PRId64, plan->epoch) : NULL;
	struct builder_key_maker *maker = start(stage, "workdir", parent);

	builder_key_text(maker, "path", step->dest);
	builder_key_text(maker, "user", step->user);
	builder_key_text(maker, "time", epoch);
	finish(maker, ret_key);
}

/* What COPY and ADD depend on besides their sources. */
static struct builder_key_maker *copy_start(const struct exec_stage *stage, const struct plan_step *step,
					    const char *kind, const struct builder_key *parent)
{
	struct builder_key_maker *maker = start(stage, kind, parent);

	builder_key_text(maker, "instruction", step->kind == PLAN_ADD ? "add" : "copy");
	builder_key_text(maker, "dest", step->dest);
	builder_key_text(maker, "chown", step->chown);
	builder_key_text(maker, "chmod", step->chmod);
	return maker;
}

static int selection_key(struct exec_stage *stage, const struct plan_step *step,
			 const struct builder_key *parent, struct exec_selection *selection,
			 struct builder_key *ret_key, struct ib_err *err)
{
	struct oci_digest digest;
	struct builder_key_maker *maker;

	if (exec_selection_digest(selection, &digest, err) < 0)
		return -1;
	maker = copy_start(stage, step, "copy", parent);
	builder_key_bytes(maker, "content", digest.raw, sizeof digest.raw);
	finish(maker, ret_key);
	return 0;
}

static int context_key(struct exec_stage *stage, size_t index, const struct builder_key *parent,
		       struct builder_key *ret_key, struct ib_err *err)
{
	const struct plan_step *step = &stage->plan->steps[index];
	struct exec_sources sources = {0};
	int r;

	r = exec_sources_open(stage, step, stage->progress_steps[index], &sources, err);
	if (r == 0)
		r = selection_key(stage, step, parent, sources.selection, ret_key, err);
	exec_sources_done(&sources);
	return r < 0 ? -1 : 1;
}

/* The key of a stage's last step, if all its keys are known. Its own thread may be about to change them. */
static bool stage_key(struct exec_engine *engine, const struct exec_stage *stage, struct builder_key *ret_key)
{
	bool complete;

	pthread_mutex_lock(&engine->lock);
	complete = stage->key_complete;
	if (complete)
		*ret_key = stage->n_keys ? stage->keys[stage->n_keys - 1] : stage->base_key;
	pthread_mutex_unlock(&engine->lock);
	return complete;
}

/*
 * The cheap key of a COPY --from: how its source was made instead of what is in it. False when that is not
 * known.
 */
static bool alias_key(const struct exec_stage *stage, size_t index, const struct builder_key *parent,
		      struct builder_key *ret_key)
{
	struct exec_engine *engine = stage->engine;
	const struct plan_step *step = &stage->plan->steps[index];
	const struct exec_stage *from = &engine->stages[step->from_stage];
	struct oci_chain_id chain = {0};
	struct builder_key_maker *maker;
	struct builder_key key;

	if (step->from == PLAN_FROM_STAGE && !stage_key(engine, from, &key))
		return false;
	maker = copy_start(stage, step, "copy-from", parent);
	if (step->from == PLAN_FROM_STAGE) {
		builder_key_bytes(maker, "stage", key.digest.raw, sizeof key.digest.raw);
	} else {
		const struct oci_config *config = engine->plan->images[step->from_image].config;

		oci_config_chain_id(config, config->n_diff_ids, &chain);
		builder_key_bytes(maker, "image", chain.digest.raw, sizeof chain.digest.raw);
	}
	builder_key_list(maker, "sources", &step->sources);
	for (size_t i = 0; i < step->n_inline_files; i++) {
		builder_key_text(maker, "file", step->inline_files[i].name);
		builder_key_text(maker, "text", step->inline_files[i].content);
	}
	finish(maker, ret_key);
	return true;
}

int exec_step_key(struct exec_stage *stage, size_t index, const struct builder_key *parent,
		  struct builder_key *ret_key, struct ib_err *err)
{
	const struct plan_step *step = &stage->plan->steps[index];
	struct builder_key alias;

	switch (step->kind) {
	case PLAN_RUN:
		run_key(stage, step, parent, ret_key);
		return 1;
	case PLAN_WORKDIR:
		workdir_key(stage, step, parent, ret_key);
		return 1;
	case PLAN_COPY:
	case PLAN_ADD:
		break;
	}
	if (step->from == PLAN_FROM_CONTEXT)
		return context_key(stage, index, parent, ret_key, err);
	return alias_key(stage, index, parent, &alias) && !stage->engine->options.no_cache &&
	       builder_cache_find_alias(stage->engine->env.cache, &alias, ret_key);
}

int exec_step_content_key(struct exec_stage *stage, size_t index, const struct builder_key *parent,
			  struct exec_selection *selection, struct builder_key *ret_key, struct ib_err *err)
{
	struct builder_key alias;

	if (selection_key(stage, &stage->plan->steps[index], parent, selection, ret_key, err) < 0)
		return -1;
	if (alias_key(stage, index, parent, &alias))
		builder_cache_store_alias(stage->engine->env.cache, &alias, ret_key);
	return 0;
}
