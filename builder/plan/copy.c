/* COPY and ADD. */
#include <string.h>

#include "builder/plan/plan-internal.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define HISTORY_MAX (64u << 20)

static int check_flags(const struct plan_eval *eval, struct ib_err *err)
{
	static const char *const absent[] = {"link", "parents", "exclude", "checksum", "keep-git-dir",
					     "unpack"};

	for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
		const char *value = dockerfile_flag(eval->instruction, absent[i]);

		if (value && strcmp(value, "false") != 0)
			return ib_fail(err, IB_UNSUPPORTED, "%s --%s is not built in this version",
				       dockerfile_op_name(eval->instruction->op), absent[i]);
	}
	return 0;
}

static bool is_url(const char *source)
{
	return ib_starts(source, "http://") || ib_starts(source, "https://");
}

/* git://, ssh://, user@host:path */
static bool is_git(const char *source)
{
	const char *at = strchr(source, '@'), *colon = strchr(source, ':'), *slash = strchr(source, '/');

	return ib_starts(source, "git://") || ib_starts(source, "ssh://") ||
	       (at && colon && at < colon && (!slash || colon < slash) && at != source);
}

static int check_source(const struct plan_eval *eval, const char *source, struct ib_err *err)
{
	bool add = eval->instruction->op == DOCKERFILE_ADD;

	if (!is_url(source) && !is_git(source))
		return 0;
	if (add)
		return ib_fail(err, IB_UNSUPPORTED, "ADD from a %s is not built in this version",
			       is_url(source) ? "URL" : "Git repository");
	return ib_fail(err, IB_USAGE, "source can't be a %s for COPY", is_url(source) ? "URL" : "git ref");
}

static int expand_sources(struct plan_eval *eval, struct plan_step *step, struct ib_err *err)
{
	const struct ib_strv *args = &eval->instruction->args;

	for (size_t i = 0; i + 1 < args->n; i++) {
		char *source;

		if (plan_expand(eval, args->v[i], &source, err) < 0)
			return -1;
		ib_strv_take(&step->sources, source);
		if (check_source(eval, source, err) < 0)
			return -1;
	}
	return 0;
}

static int expand_inline_files(struct plan_eval *eval, struct plan_step *step, struct ib_err *err)
{
	struct builder_expander expander = plan_scope_expander(eval->stage->scope, '\\');
	const struct dockerfile_instruction *instruction = eval->instruction;

	step->inline_files = ib_calloc(instruction->n_heredocs, sizeof *step->inline_files);
	for (size_t i = 0; i < instruction->n_heredocs; i++) {
		const struct dockerfile_heredoc *doc = &instruction->heredocs[i];
		struct plan_inline_file *file = &step->inline_files[step->n_inline_files++];
		ib_autofree char *text = dockerfile_heredoc_text(doc);

		file->name = ib_strdup(doc->name);
		if (strchr(doc->name, '/'))
			return ib_fail(err, IB_USAGE, "heredoc name '%s' must not hold a '/'", doc->name);
		if (!doc->expand)
			file->content = ib_steal_ptr(&text);
		else if (builder_expand_heredoc(&expander, text, &file->content, err) < 0)
			return -1;
	}
	return 0;
}

/* --chown and --chmod; empty ones count as absent. */
static int expand_flag(struct plan_eval *eval, const char *name, char **ret_value, struct ib_err *err)
{
	const char *raw = dockerfile_flag(eval->instruction, name);
	ib_autofree char *value = NULL;

	if (!raw)
		return 0;
	if (plan_expand(eval, raw, &value, err) < 0)
		return -1;
	if (*value)
		*ret_value = ib_steal_ptr(&value);
	return 0;
}

static int resolve_from(struct plan_eval *eval, struct plan_step *step, struct ib_err *err)
{
	const char *from = dockerfile_flag(eval->instruction, "from");
	ib_autofree char *image = NULL;

	if (plan_from_resolve(eval->plan, eval->stage, from ? from : "", &step->from, &step->from_stage,
			      &image, err) < 0)
		return -1;
	if (step->from != PLAN_FROM_IMAGE)
		return 0;
	if (plan_image_get(eval->plan, image, &eval->stage->platform, &step->from_image, err) < 0)
		return -1;
	eval->plan->images[step->from_image].full = true;
	return 0;
}

static char *history_text(const struct plan_eval *eval, const struct plan_step *step, const char *dest)
{
	ib_autostr out = IB_STR(HISTORY_MAX);

	ib_str_adds(&out, dockerfile_op_name(eval->instruction->op));
	if (step->chown)
		ib_str_addf(&out, " --chown=%s", step->chown);
	if (step->chmod)
		ib_str_addf(&out, " --chmod=%s", step->chmod);
	for (size_t i = 0; i < step->sources.n; i++)
		ib_str_addf(&out, " %s", step->sources.v[i]);
	for (size_t i = 0; i < step->n_inline_files; i++)
		ib_str_addf(&out, " <<%s", step->inline_files[i].name);
	ib_str_addf(&out, " %s", dest);
	return ib_str_steal(&out);
}

/* Relative to WORKDIR; blank or "." is WORKDIR itself, as a directory. */
static char *absolute_dest(const struct plan_eval *eval, const char *dest)
{
	const char *cwd = eval->stage->config->working_dir;
	size_t n = cwd ? strlen(cwd) : 0;

	if (*dest == '/')
		return ib_strdup(dest);
	/* One spelling for one place: it is part of the step's key. */
	while (n && cwd[n - 1] == '/')
		n--;
	return ib_asprintf("%.*s/%s", (int)n, cwd ? cwd : "", dest);
}

int plan_copy(struct plan_eval *eval, struct ib_err *err)
{
	const struct ib_strv *args = &eval->instruction->args;
	bool add = eval->instruction->op == DOCKERFILE_ADD;
	ib_autofree char *dest = NULL, *text = NULL;
	struct plan_step *step;

	if (check_flags(eval, err) < 0)
		return -1;
	step = plan_step_add(eval, add ? PLAN_ADD : PLAN_COPY, "");
	if (expand_flag(eval, "chown", &step->chown, err) < 0 ||
	    expand_flag(eval, "chmod", &step->chmod, err) < 0 || resolve_from(eval, step, err) < 0 ||
	    expand_sources(eval, step, err) < 0 || expand_inline_files(eval, step, err) < 0 ||
	    plan_expand(eval, args->v[args->n - 1], &dest, err) < 0)
		return -1;
	step->dest = absolute_dest(eval, dest);
	text = history_text(eval, step, dest);
	free(step->text);
	step->text = ib_asprintf("%s%s", eval->trigger ? "ONBUILD " : "", text);
	step->history = plan_history(eval, ib_asprintf("%s # buildkit", text), false);
	return 0;
}
