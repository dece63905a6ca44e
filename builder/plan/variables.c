/* ENV, ARG, LABEL: names and values. */
#include <string.h>

#include "builder/plan/plan-internal.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define HISTORY_MAX (16u << 20)	/* as long as an expanded value may be */

static int put_env(struct plan_eval *eval, const char *name, const char *value)
{
	oci_config_set_env(eval->stage->config, name, value);
	plan_scope_set(eval->stage->scope, name, value);
	return 0;
}

static int put_label(struct plan_eval *eval, const char *name, const char *value)
{
	struct oci_config *config = eval->stage->config;

	if (!config->labels)
		config->labels = ib_json_object();
	ib_json_set(config->labels, name, ib_json_string(value));
	return 0;
}

/* One instruction sees the variables as they were before it: expand all, then assign. */
static int put_pairs(struct plan_eval *eval, const char *keyword,
		     int (*put)(struct plan_eval *, const char *, const char *), struct ib_err *err)
{
	const struct dockerfile_instruction *instruction = eval->instruction;
	ib_autostr history = IB_STR(HISTORY_MAX);
	ib_autostrv names = {0}, values = {0};

	ib_str_adds(&history, keyword);
	for (size_t i = 0; i < instruction->n_pairs; i++) {
		char *name, *value;

		if (plan_expand(eval, instruction->pairs[i].name, &name, err) < 0)
			return -1;
		ib_strv_take(&names, name);
		if (plan_expand(eval, instruction->pairs[i].value, &value, err) < 0)
			return -1;
		ib_strv_take(&values, value);
		if (!*name)
			return ib_fail(err, IB_USAGE, "%s names can not be blank", keyword);
		ib_str_addf(&history, " %s=%s", name, value);
	}
	for (size_t i = 0; i < names.n; i++)
		put(eval, names.v[i], values.v[i]);
	plan_history(eval, ib_str_steal(&history), true);
	return 0;
}

int plan_env(struct plan_eval *eval, struct ib_err *err)
{
	return put_pairs(eval, "ENV", put_env, err);
}

int plan_label(struct plan_eval *eval, struct ib_err *err)
{
	return put_pairs(eval, "LABEL", put_label, err);
}

/* The effective value of one ARG, or NULL: --build-arg, the default, the global value, none. */
static int arg_value(struct plan_eval *eval, const struct dockerfile_pair *pair, char **ret_value,
		     struct ib_err *err)
{
	const char *given = plan_build_arg(eval->plan, pair->name);

	if (!given && pair->value)
		return plan_expand(eval, pair->value, ret_value, err);
	if (!given)
		given = plan_scope_get(eval->plan->global, pair->name);
	*ret_value = ib_strdup_null(given);
	return 0;
}

int plan_arg(struct plan_eval *eval, struct ib_err *err)
{
	ib_autostr history = IB_STR(HISTORY_MAX);

	ib_str_adds(&history, "ARG");
	for (size_t i = 0; i < eval->instruction->n_pairs; i++) {
		const struct dockerfile_pair *pair = &eval->instruction->pairs[i];
		ib_autofree char *value = NULL;

		if (arg_value(eval, pair, &value, err) < 0)
			return -1;
		if (value)
			plan_scope_set(eval->stage->scope, pair->name, value);
		plan_scope_set(eval->stage->args, pair->name, "");
		ib_str_addf(&history, " %s%s%s", pair->name, value ? "=" : "", value ? value : "");
	}
	plan_history(eval, ib_str_steal(&history), true);
	return 0;
}
