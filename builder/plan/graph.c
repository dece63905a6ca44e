#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "builder/plan/plan-internal.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

size_t plan_find_stage(const struct plan *plan, const char *name, size_t before)
{
	for (size_t i = before; i-- > 0;)
		if (plan->stages[i].name && strcasecmp(plan->stages[i].name, name) == 0)
			return i;
	return PLAN_NO_STAGE;
}

static void collect_stages(struct plan *plan)
{
	const struct dockerfile *df = plan->df;
	size_t n = 0;

	for (size_t i = 0; i < df->n; i++)
		n += df->instructions[i].op == DOCKERFILE_FROM;
	plan->stages = ib_calloc(n, sizeof *plan->stages);
	for (size_t i = 0; i < df->n; i++) {
		const struct dockerfile_instruction *instruction = &df->instructions[i];
		struct plan_stage *stage;

		if (instruction->op == DOCKERFILE_FROM) {
			stage = &plan->stages[plan->n_stages];
			stage->index = plan->n_stages++;
			stage->from = instruction;
			stage->instructions = instruction + 1;
			stage->name = instruction->args.n > 1 ? ib_strdup(instruction->args.v[1]) : NULL;
		} else if (plan->n_stages) {
			plan->stages[plan->n_stages - 1].n_instructions++;
		}
	}
}

const char *plan_nearest_stage(const struct plan *plan, const char *name)
{
	ib_autofree const char **names = ib_calloc(plan->n_stages, sizeof *names);
	size_t n = 0;

	for (size_t i = 0; i < plan->n_stages; i++)
		if (plan->stages[i].name)
			names[n++] = plan->stages[i].name;
	return ib_nearest(name, names, n);
}

static int choose_target(struct plan *plan, struct ib_err *err)
{
	const char *target = plan->options->target;
	ib_autofree char *shown = NULL;
	const char *nearest;

	plan->target = plan->n_stages - 1;
	if (!target || !*target)
		return 0;
	plan->target = plan_find_stage(plan, target, plan->n_stages);
	if (plan->target != PLAN_NO_STAGE)
		return 0;
	shown = ib_printable(target, 128);
	ib_fail(err, IB_USAGE, "target stage \"%s\" could not be found", shown);
	nearest = plan_nearest_stage(plan, target);
	return nearest ? ib_err_hint(err, " (did you mean %s?)", nearest) : -1;
}

static int set_platform(struct plan *plan, struct plan_stage *stage, struct ib_err *err)
{
	struct builder_expander expander = plan_scope_expander(plan->global, plan->df->escape);
	const char *flag = dockerfile_flag(stage->from, "platform");
	ib_autofree char *text = NULL;

	if (!flag) {
		oci_platform_copy(&stage->platform, plan->options->platform);
		return 0;
	}
	if (builder_expand_word(&expander, flag, &text, err) < 0)
		return -1;
	return oci_platform_parse(text, &stage->platform, err);
}

/* What FROM names: an earlier stage, scratch, or an image. */
static int set_base(struct plan *plan, struct plan_stage *stage, struct ib_err *err)
{
	struct builder_expander expander = plan_scope_expander(plan->global, plan->df->escape);
	ib_autofree char *shown = NULL;

	if (builder_expand_word(&expander, stage->from->args.v[0], &stage->base_name, err) < 0)
		return -1;
	if (!*stage->base_name) {
		shown = ib_printable(stage->from->args.v[0], 128);
		return ib_fail(err, IB_USAGE, "base name (%s) should not be blank", shown);
	}
	stage->base_stage = plan_find_stage(plan, stage->base_name, stage->index);
	if (stage->base_stage != PLAN_NO_STAGE)	/* its files are what they are, whatever --platform says */
		oci_platform_copy(&stage->platform, &plan->stages[stage->base_stage].platform);
	stage->base = stage->base_stage != PLAN_NO_STAGE ? PLAN_BASE_STAGE :
		      strcmp(stage->base_name, "scratch") == 0 ? PLAN_BASE_SCRATCH : PLAN_BASE_IMAGE;
	return 0;
}

int plan_from_resolve(struct plan *plan, const struct plan_stage *stage, const char *from,
		      enum plan_source *ret_kind, size_t *ret_stage, char **ret_image_name, struct ib_err *err)
{
	ib_autofree char *mine = plan_stage_display_name(stage);
	ib_autofree char *shown = ib_printable(from, 128);
	long long number;
	size_t index;

	if (!*from) {
		*ret_kind = PLAN_FROM_CONTEXT;
		return 0;
	}
	if (strchr(from, '$'))
		return ib_fail(err, IB_USAGE, "variable expansion is not supported for --from, define a new "
			       "stage with FROM %s AS name and use --from=name", shown);
	index = plan_find_stage(plan, from, stage->index);
	if (index == PLAN_NO_STAGE && isdigit((unsigned char)from[0]) &&
	    ib_parse_int(from, 0, INT32_MAX, &number)) {
		index = (size_t)number;
		if (index >= plan->n_stages)
			return ib_fail(err, IB_USAGE, "invalid stage index %lld", number);
	} else if (index == PLAN_NO_STAGE) {
		index = plan_find_stage(plan, from, plan->n_stages);
	}
	if (index == PLAN_NO_STAGE) {
		*ret_kind = PLAN_FROM_IMAGE;
		*ret_image_name = ib_strdup(from);
		return 0;
	}
	if (index == stage->index)
		return ib_fail(err, IB_USAGE, "circular dependency detected on stage: %s", mine);
	if (index > stage->index)
		return ib_fail(err, IB_USAGE, "cannot copy from stage \"%s\", it needs to be defined before "
			       "current stage \"%s\"", shown, mine);
	*ret_kind = PLAN_FROM_STAGE;
	*ret_stage = index;
	return 0;
}

/* The stage that one instruction copies from becomes needed. */
static int require_source(struct plan *plan, const struct plan_stage *stage,
			  const struct dockerfile_instruction *instruction, struct ib_err *err)
{
	const char *from = dockerfile_flag(instruction, "from");
	ib_autofree char *image = NULL;
	enum plan_source kind;
	size_t index;

	if (instruction->op != DOCKERFILE_COPY || !from)
		return 0;
	if (plan_from_resolve(plan, stage, from, &kind, &index, &image, err) < 0)
		return plan_fail_at(plan, instruction, err);
	if (kind == PLAN_FROM_STAGE)
		plan->stages[index].needed = true;
	return 0;
}

static int add_trigger(struct plan *plan, struct plan_stage *stage, const char *text, struct ib_err *err)
{
	struct dockerfile_instruction *trigger;

	if (dockerfile_parse_trigger(text, plan->df->escape, &trigger, err) < 0) {
		ib_wrap(err, "ONBUILD trigger of %s", stage->base_name);
		return plan_fail_at(plan, stage->from, err);
	}
	trigger->line = stage->from->line;
	trigger->end_line = stage->from->end_line;
	stage->triggers = ib_realloc(stage->triggers, stage->n_triggers + 1, sizeof *stage->triggers);
	stage->triggers[stage->n_triggers++] = trigger;
	return require_source(plan, stage, trigger, err);
}

/* ONBUILD instructions of an earlier stage, or those that an image brings. */
static int add_triggers(struct plan *plan, struct plan_stage *stage, struct ib_err *err)
{
	const struct oci_config *config;

	if (stage->base == PLAN_BASE_STAGE) {
		const struct plan_stage *base = &plan->stages[stage->base_stage];

		for (size_t i = 0; i < base->n_instructions; i++)
			if (base->instructions[i].op == DOCKERFILE_ONBUILD &&
			    add_trigger(plan, stage, base->instructions[i].args.v[0], err) < 0)
				return -1;
		return 0;
	}
	if (stage->base != PLAN_BASE_IMAGE)
		return 0;
	config = plan->images[stage->base_image].config;
	for (size_t i = 0; i < config->on_build.n; i++)
		if (add_trigger(plan, stage, config->on_build.v[i], err) < 0)
			return -1;
	return 0;
}

/* A stage is needed: so are its base and all that it copies from. */
static int require(struct plan *plan, struct plan_stage *stage, struct ib_err *err)
{
	if (stage->base == PLAN_BASE_STAGE)
		plan->stages[stage->base_stage].needed = true;
	if (stage->base == PLAN_BASE_IMAGE) {
		if (plan_image_get(plan, stage->base_name, &stage->platform, &stage->base_image, err) < 0)
			return plan_fail_at(plan, stage->from, err);
		plan->images[stage->base_image].full = true;
	}
	if (add_triggers(plan, stage, err) < 0)
		return -1;
	for (size_t i = 0; i < stage->n_instructions; i++)
		if (require_source(plan, stage, &stage->instructions[i], err) < 0)
			return -1;
	return 0;
}

int plan_graph(struct plan *plan, struct ib_err *err)
{
	collect_stages(plan);
	for (size_t i = 0; i < plan->n_stages; i++) {
		struct plan_stage *stage = &plan->stages[i];

		if (set_platform(plan, stage, err) < 0 || set_base(plan, stage, err) < 0)
			return plan_fail_at(plan, stage->from, err);
	}
	if (choose_target(plan, err) < 0)
		return -1;
	plan->stages[plan->target].needed = true;
	/* Everything a stage needs comes before it, so one pass backwards finds all. */
	for (size_t i = plan->target + 1; i-- > 0;)
		if (plan->stages[i].needed && require(plan, &plan->stages[i], err) < 0)
			return -1;
	return 0;
}
