#include <string.h>

#include "builder/plan/plan-internal.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* By enum dockerfile_op; what has none is no instruction of a stage. */
static plan_instruction_fn *const instructions[] = {
	[DOCKERFILE_RUN] = plan_run,
	[DOCKERFILE_CMD] = plan_cmd,
	[DOCKERFILE_LABEL] = plan_label,
	[DOCKERFILE_MAINTAINER] = plan_maintainer,
	[DOCKERFILE_EXPOSE] = plan_expose,
	[DOCKERFILE_ENV] = plan_env,
	[DOCKERFILE_ADD] = plan_copy,
	[DOCKERFILE_COPY] = plan_copy,
	[DOCKERFILE_ENTRYPOINT] = plan_entrypoint,
	[DOCKERFILE_VOLUME] = plan_volume,
	[DOCKERFILE_USER] = plan_user,
	[DOCKERFILE_WORKDIR] = plan_workdir,
	[DOCKERFILE_ARG] = plan_arg,
	[DOCKERFILE_ONBUILD] = plan_onbuild,
	[DOCKERFILE_STOPSIGNAL] = plan_stopsignal,
	[DOCKERFILE_HEALTHCHECK] = plan_healthcheck,
	[DOCKERFILE_SHELL] = plan_shell,
};

int plan_expand(const struct plan_eval *eval, const char *word, char **ret_text, struct ib_err *err)
{
	struct builder_expander expander = plan_scope_expander(eval->stage->scope, eval->plan->df->escape);

	return builder_expand_word(&expander, word, ret_text, err);
}

size_t plan_history(struct plan_eval *eval, char *take_created_by, bool empty_layer)
{
	ib_autofree char *created_by = take_created_by;
	char comment[] = "buildkit.dockerfile.v0";
	struct oci_history entry = {
		.created_by = created_by,
		.comment = comment,
		.empty_layer = empty_layer,
	};

	oci_config_add_history(eval->stage->config, &entry);
	return eval->stage->config->n_history - 1;
}

struct plan_step *plan_step_add(struct plan_eval *eval, enum plan_step_kind kind, const char *text)
{
	struct plan_stage *stage = eval->stage;
	struct plan_step *step;

	ib_grow(stage->steps, stage->n_steps, stage->cap_steps);
	step = &stage->steps[stage->n_steps++];
	*step = (struct plan_step){
		.kind = kind,
		.line = eval->instruction->line,
		.end_line = eval->instruction->end_line,
		.text = ib_asprintf("%s%s", eval->trigger ? "ONBUILD " : "", text),
	};
	return step;
}

static void env_into_scope(struct plan_stage *stage)
{
	for (size_t i = 0; i < stage->config->env.n; i++) {
		ib_autofree char *name = ib_strdup(stage->config->env.v[i]);
		char *eq = strchr(name, '=');

		if (eq)
			*eq = '\0';
		plan_scope_set(stage->scope, name, eq ? eq + 1 : "");
	}
}

static void start_from_scratch(struct plan_stage *stage)
{
	stage->config = oci_config_new();
	stage->config->working_dir = ib_strdup("/");
	stage->scope = plan_scope_new();
	stage->args = plan_scope_new();
}

static void start_from_stage(struct plan *plan, struct plan_stage *stage)
{
	const struct plan_stage *base = &plan->stages[stage->base_stage];

	stage->config = oci_config_copy(base->config);
	stage->scope = plan_scope_copy(base->scope);
	stage->args = plan_scope_copy(base->args);
}

static void start_from_image(struct plan *plan, struct plan_stage *stage)
{
	stage->config = oci_config_copy(plan->images[stage->base_image].config);
	stage->scope = plan_scope_new();
	stage->args = plan_scope_new();
}

/* The state before the first instruction: what FROM brings. */
static void start(struct plan *plan, struct plan_stage *stage)
{
	struct oci_config *config;

	switch (stage->base) {
	case PLAN_BASE_SCRATCH:
		start_from_scratch(stage);
		break;
	case PLAN_BASE_STAGE:
		start_from_stage(plan, stage);
		break;
	case PLAN_BASE_IMAGE:
		start_from_image(plan, stage);
		break;
	}
	config = stage->config;
	oci_platform_copy(&config->platform, &stage->platform);
	config->created = (struct oci_time){0};
	ib_strv_done(&config->on_build);	/* they are queued as triggers */
	if (!oci_config_env(config, "PATH"))
		oci_config_set_env(config, "PATH", DEFAULT_PATH);
	env_into_scope(stage);
	stage->base_history = config->n_history;
}

static int evaluate(struct plan_eval *eval, const struct dockerfile_instruction *instruction,
		    struct ib_err *err)
{
	eval->instruction = instruction;
	if (instructions[instruction->op](eval, err) < 0)
		return plan_fail_at(eval->plan, instruction, err);
	return 0;
}

/* --label comes last and leaves no history. */
static void add_labels(struct plan *plan, struct plan_stage *stage)
{
	const struct ib_strv *labels = plan->options->labels;

	for (size_t i = 0; i < labels->n; i++) {
		ib_autofree char *key = ib_strdup(labels->v[i]);
		char *eq = strchr(key, '=');

		if (eq)
			*eq = '\0';
		if (!stage->config->labels)
			stage->config->labels = ib_json_object();
		ib_json_set(stage->config->labels, key, ib_json_string(eq ? eq + 1 : ""));
	}
}

int plan_stage_evaluate(struct plan *plan, struct plan_stage *stage, struct ib_err *err)
{
	struct plan_eval eval = {.plan = plan, .stage = stage};

	start(plan, stage);
	eval.trigger = true;
	for (size_t i = 0; i < stage->n_triggers; i++)
		if (evaluate(&eval, stage->triggers[i], err) < 0)
			return -1;
	eval.trigger = false;
	for (size_t i = 0; i < stage->n_instructions; i++)
		if (evaluate(&eval, &stage->instructions[i], err) < 0)
			return -1;
	if (stage->index == plan->target)
		add_labels(plan, stage);
	return 0;
}
