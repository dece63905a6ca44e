#include "builder/plan/plan.h"

#include <string.h>

#include "builder/plan/plan-internal.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

int plan_fail_at(struct plan *plan, const struct dockerfile_instruction *instruction, struct ib_err *err)
{
	if (!plan->failed_line) {
		plan->failed_line = instruction->line;
		plan->failed_end_line = instruction->end_line;
	}
	return ib_wrap(err, "%s:%d", plan->df->name, instruction->line);
}

const char *plan_build_arg(const struct plan *plan, const char *name)
{
	const struct ib_strv *args = plan->options->build_args;
	size_t n = strlen(name);

	/* The last one given counts, as on any command line. */
	for (size_t i = args->n; i-- > 0;)
		if (strncmp(args->v[i], name, n) == 0 && args->v[i][n] == '=')
			return args->v[i] + n + 1;
	return NULL;
}

int plan_image_get(struct plan *plan, const char *name, const struct oci_platform *platform, size_t *ret_index,
		   struct ib_err *err)
{
	ib_autofree char *wanted = oci_platform_str(platform);
	struct plan_image *image;
	const struct oci_config *config;
	void *handle;

	for (size_t i = 0; i < plan->n_images; i++) {
		ib_autofree char *have = oci_platform_str(&plan->images[i].platform);

		if (strcmp(plan->images[i].name, name) == 0 && strcmp(have, wanted) == 0) {
			*ret_index = i;
			return 0;
		}
	}
	if (plan->options->base(plan->options->ctx, name, platform, &handle, &config, err) < 0) {
		const char *stage = strpbrk(name, ":/@") ? NULL : plan_nearest_stage(plan, name);

		return stage && err->code != IB_CANCELLED ? ib_err_hint(err, " (did you mean the stage %s?)", stage) : -1;
	}
	ib_grow(plan->images, plan->n_images, plan->cap_images);
	image = &plan->images[plan->n_images];
	*image = (struct plan_image){.name = ib_strdup(name), .handle = handle, .config = config};
	oci_platform_copy(&image->platform, platform);
	*ret_index = plan->n_images++;
	return 0;
}

char *plan_stage_display_name(const struct plan_stage *stage)
{
	return stage->name ? ib_strdup(stage->name) : ib_asprintf("stage-%zu", stage->index);
}

int plan_new(const struct dockerfile *df, const struct plan_options *options, struct plan **ret_plan,
	     struct ib_err *err)
{
	struct plan *plan = ib_new(struct plan);

	*ret_plan = plan;
	plan->df = df;
	plan->options = options;
	if (plan_global(plan, err) < 0 || plan_graph(plan, err) < 0)
		return -1;
	/* A base comes before what is built on it, so one pass in file order evaluates all. */
	for (size_t i = 0; i <= plan->target; i++)
		if (plan->stages[i].needed && plan_stage_evaluate(plan, &plan->stages[i], err) < 0)
			return -1;
	return 0;
}

void plan_step_done(struct plan_step *step)
{
	for (size_t i = 0; i < step->n_inline_files; i++) {
		free(step->inline_files[i].name);
		free(step->inline_files[i].content);
	}
	free(step->inline_files);
	ib_strv_done(&step->argv);
	ib_strv_done(&step->env);
	ib_strv_done(&step->proxies);
	ib_strv_done(&step->sources);
	free(step->text);
	free(step->cwd);
	free(step->user);
	free(step->dest);
	free(step->chown);
	free(step->chmod);
}

static void stage_done(struct plan_stage *stage)
{
	for (size_t i = 0; i < stage->n_triggers; i++) {
		dockerfile_instruction_done(stage->triggers[i]);
		free(stage->triggers[i]);
	}
	free(stage->triggers);
	for (size_t i = 0; i < stage->n_steps; i++)
		plan_step_done(&stage->steps[i]);
	free(stage->steps);
	free(stage->name);
	free(stage->base_name);
	oci_platform_done(&stage->platform);
	oci_config_free(stage->config);
	plan_scope_free(stage->scope);
	plan_scope_free(stage->args);
}

void plan_free(struct plan *plan)
{
	if (!plan)
		return;
	for (size_t i = 0; i < plan->n_stages; i++)
		stage_done(&plan->stages[i]);
	free(plan->stages);
	for (size_t i = 0; i < plan->n_images; i++) {
		free(plan->images[i].name);
		oci_platform_done(&plan->images[i].platform);
	}
	free(plan->images);
	plan_scope_free(plan->global);
	free(plan);
}
