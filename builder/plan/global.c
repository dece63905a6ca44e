#include <string.h>

#include "builder/plan/plan-internal.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

/* Set NAMEPLATFORM, NAMEOS ... from platform; --build-arg goes before. */
static void set_platform(struct plan *plan, const char *prefix, const struct oci_platform *platform)
{
	ib_autofree char *text = oci_platform_str(platform);
	const struct {
		const char *suffix, *value;
	} arguments[] = {
		{"PLATFORM", text},
		{"OS", platform->os},
		{"OSVERSION", platform->os_version},
		{"ARCH", platform->architecture},
		{"VARIANT", platform->variant},
	};

	for (size_t i = 0; i < sizeof arguments / sizeof *arguments; i++) {
		ib_autofree char *name = ib_asprintf("%s%s", prefix, arguments[i].suffix);
		const char *given = plan_build_arg(plan, name);

		plan_scope_set(plan->global, name,
			       given ? given : arguments[i].value ? arguments[i].value : "");
	}
}

static int set_global_arg(struct plan *plan, const struct dockerfile_instruction *instruction,
			  struct ib_err *err)
{
	struct builder_expander expander = plan_scope_expander(plan->global, plan->df->escape);

	for (size_t i = 0; i < instruction->n_pairs; i++) {
		const struct dockerfile_pair *pair = &instruction->pairs[i];
		const char *given = plan_build_arg(plan, pair->name);
		ib_autofree char *value = NULL;

		if (given)
			value = ib_strdup(given);
		else if (pair->value && builder_expand_word(&expander, pair->value, &value, err) < 0)
			return plan_fail_at(plan, instruction, err);
		if (value)
			plan_scope_set(plan->global, pair->name, value);
	}
	return 0;
}

static int set_epoch(struct plan *plan, struct ib_err *err)
{
	const char *text = plan_build_arg(plan, "SOURCE_DATE_EPOCH");
	ib_autofree char *shown = NULL;
	long long value;

	if (!text)
		text = plan_scope_get(plan->global, "SOURCE_DATE_EPOCH");
	/* "context" is the time of a Git or HTTP context; a directory has none. */
	if (!text || !*text || strcmp(text, "context") == 0)
		return 0;
	if (!ib_parse_int(text, 0, INT64_C(253402300799), &value)) {	/* the end of the year 9999 */
		shown = ib_printable(text, 64);
		return ib_fail(err, IB_USAGE, "invalid SOURCE_DATE_EPOCH: %s", shown);
	}
	plan->has_epoch = true;
	plan->epoch = value;
	return 0;
}

int plan_global(struct plan *plan, struct ib_err *err)
{
	const char *target = plan->options->target, *given = plan_build_arg(plan, "TARGETSTAGE");

	plan->global = plan_scope_new();
	set_platform(plan, "TARGET", plan->options->platform);
	set_platform(plan, "BUILD", plan->options->build_platform);
	plan_scope_set(plan->global, "TARGETSTAGE", given ? given : target && *target ? target : "default");
	for (size_t i = 0; i < plan->df->n && plan->df->instructions[i].op != DOCKERFILE_FROM; i++)
		if (set_global_arg(plan, &plan->df->instructions[i], err) < 0)
			return -1;
	return set_epoch(plan, err);
}
