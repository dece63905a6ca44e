/* MAINTAINER, USER, VOLUME, CMD, ENTRYPOINT, SHELL, STOPSIGNAL, ONBUILD: configuration only. */
#include <string.h>

#include "builder/plan/plan-internal.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define HISTORY_MAX (16u << 20)

static void replace(char **field, char *take_value)
{
	free(*field);
	*field = take_value;
}

int plan_maintainer(struct plan_eval *eval, struct ib_err *err)
{
	const char *name = eval->instruction->args.v[0];

	(void)err;	/* nothing is expanded, nothing can fail */
	replace(&eval->stage->config->author, ib_strdup(name));
	plan_history(eval, ib_asprintf("MAINTAINER %s", name), true);
	return 0;
}

int plan_user(struct plan_eval *eval, struct ib_err *err)
{
	char *user;

	if (plan_expand(eval, eval->instruction->args.v[0], &user, err) < 0)
		return -1;
	replace(&eval->stage->config->user, user);
	plan_history(eval, ib_asprintf("USER %s", user), true);
	return 0;
}

int plan_volume(struct plan_eval *eval, struct ib_err *err)
{
	struct ib_strv *volumes = &eval->stage->config->volumes;
	ib_autostr history = IB_STR(HISTORY_MAX);

	ib_str_adds(&history, "VOLUME [");
	for (size_t i = 0; i < eval->instruction->args.n; i++) {
		ib_autofree char *volume = NULL;

		if (plan_expand(eval, eval->instruction->args.v[i], &volume, err) < 0)
			return -1;
		if (!volume[strspn(volume, " \t")])
			return ib_fail(err, IB_USAGE, "VOLUME specified can not be an empty string");
		ib_str_addf(&history, "%s%s", i ? " " : "", volume);
		if (!ib_strv_has(volumes, volume))
			ib_strv_add(volumes, volume);
	}
	ib_strv_sort(volumes);
	ib_str_addc(&history, ']');
	plan_history(eval, ib_str_steal(&history), true);
	return 0;
}

void plan_shell_argv(const struct plan_eval *eval, struct ib_strv *argv)
{
	const struct ib_strv *shell = &eval->stage->config->shell;

	for (size_t i = 0; i < shell->n; i++)
		ib_strv_add(argv, shell->v[i]);
	if (!shell->n) {
		ib_strv_add(argv, "/bin/sh");
		ib_strv_add(argv, "-c");
	}
}

/* CMD and ENTRYPOINT: argv into the configuration, `KEYWORD ["a" "b"]` into the history. */
static void put_argv(struct plan_eval *eval, const char *keyword, struct ib_strv *field, bool *has)
{
	const struct dockerfile_instruction *instruction = eval->instruction;
	ib_autostr history = IB_STR(HISTORY_MAX);

	ib_strv_done(field);
	*has = true;
	if (!instruction->json)
		plan_shell_argv(eval, field);
	for (size_t i = 0; i < instruction->args.n; i++)
		ib_strv_add(field, instruction->args.v[i]);
	eval->stage->config->args_escaped = true;
	ib_str_addf(&history, "%s [", keyword);
	for (size_t i = 0; i < field->n; i++) {
		if (i)
			ib_str_addc(&history, ' ');
		plan_quote(&history, field->v[i]);
	}
	ib_str_addc(&history, ']');
	plan_history(eval, ib_str_steal(&history), true);
}

int plan_cmd(struct plan_eval *eval, struct ib_err *err)
{
	(void)err;	/* the parser checked all there is to check */
	put_argv(eval, "CMD", &eval->stage->config->cmd, &eval->stage->config->has_cmd);
	eval->has_cmd = true;
	return 0;
}

int plan_entrypoint(struct plan_eval *eval, struct ib_err *err)
{
	struct oci_config *config = eval->stage->config;

	(void)err;	/* as above */
	put_argv(eval, "ENTRYPOINT", &config->entrypoint, &config->has_entrypoint);
	if (!eval->has_cmd) {	/* the arguments of another entry point mean nothing to this one */
		ib_strv_done(&config->cmd);
		config->has_cmd = false;
	}
	return 0;
}

int plan_shell(struct plan_eval *eval, struct ib_err *err)
{
	const struct ib_strv *args = &eval->instruction->args;
	ib_autostr history = IB_STR(HISTORY_MAX);

	(void)err;	/* as above */
	ib_strv_copy(&eval->stage->config->shell, args);
	ib_str_adds(&history, "SHELL [");
	for (size_t i = 0; i < args->n; i++)
		ib_str_addf(&history, "%s%s", i ? " " : "", args->v[i]);
	ib_str_addc(&history, ']');
	plan_history(eval, ib_str_steal(&history), true);
	return 0;
}

int plan_stopsignal(struct plan_eval *eval, struct ib_err *err)
{
	ib_autofree char *text = NULL;

	if (plan_expand(eval, eval->instruction->args.v[0], &text, err) < 0 ||
	    plan_signal_check(text, err) < 0)
		return -1;
	plan_history(eval, ib_asprintf("STOPSIGNAL %s", text), true);
	replace(&eval->stage->config->stop_signal, ib_steal_ptr(&text));
	return 0;
}

int plan_onbuild(struct plan_eval *eval, struct ib_err *err)
{
	(void)err;	/* what the trigger does is looked at when it is triggered */
	ib_strv_add(&eval->stage->config->on_build, eval->instruction->args.v[0]);
	return 0;
}
