#include "builder/dockerfile/dockerfile.h"

#include <string.h>
#include <strings.h>

#include "builder/dockerfile/heredoc.h"
#include "builder/dockerfile/instructions.h"
#include "builder/dockerfile/json-form.h"
#include "builder/dockerfile/lines.h"
#include "builder/dockerfile/rune.h"
#include "builder/dockerfile/words.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

/* HEALTHCHECK NONE has nothing that a flag could be about. */
static bool ignores_flags(const struct dockerfile_syntax *syntax, enum dockerfile_op op, const char *rest)
{
	return syntax->ignores_flags || (op == DOCKERFILE_HEALTHCHECK && dockerfile_word_len(rest) == 4 &&
					 strncasecmp(rest, "NONE", 4) == 0);
}

/* The keyword, the flags and the arguments of a trimmed line. */
static int parse_line(struct dockerfile_instruction *in, const char *line, char escape, struct ib_err *err)
{
	size_t n = dockerfile_word_len(line);
	const struct dockerfile_syntax *syntax;
	ib_autostrv flags = {0};
	const char *rest;

	in->keyword = ib_strndup(line, n);
	if (dockerfile_op_parse(in->keyword, &in->op, err) < 0)
		return -1;
	syntax = dockerfile_syntax_of(in->op);
	rest = rune_skip_spaces(dockerfile_flags_split(line + n, escape, &flags));
	in->original = ib_strdup(rest);
	if (!ignores_flags(syntax, in->op, rest) &&
	    dockerfile_flags_check(syntax->flags, syntax->n_flags, &flags, in, err) < 0)
		return -1;
	return syntax->parse(in, in->original, escape, err);
}

/* May the trigger of an ONBUILD have heredocs? Its keyword and the form of its arguments decide. */
static int trigger_takes_heredocs(const char *trigger, char escape, struct ib_err *err)
{
	size_t n = dockerfile_word_len(trigger);
	ib_autofree char *keyword = ib_strndup(trigger, n);
	ib_autostrv flags = {0}, args = {0};
	ib_autoerr unknown = {0};	/* told when the trigger runs */
	enum dockerfile_op op;
	int json;

	if (dockerfile_op_parse(keyword, &op, &unknown) < 0 || !dockerfile_syntax_of(op)->heredocs)
		return 0;
	json = dockerfile_json_form(dockerfile_flags_split(trigger + n, escape, &flags), &args, err);
	return json < 0 ? -1 : !json;
}

static int takes_heredocs(const struct dockerfile_instruction *in, char escape, struct ib_err *err)
{
	if (in->op == DOCKERFILE_ONBUILD)
		return trigger_takes_heredocs(in->args.v[0], escape, err);
	return dockerfile_syntax_of(in->op)->heredocs && !in->json;
}

/* A trigger carries its heredocs along as text. */
static void append_heredocs(struct dockerfile_instruction *in)
{
	ib_autostr text = IB_STR(SIZE_MAX / 2);		/* never longer than the file */

	ib_str_adds(&text, in->args.v[0]);
	for (size_t i = 0; i < in->n_heredocs; i++) {
		ib_str_addc(&text, '\n');
		ib_str_adds(&text, in->heredocs[i].body);
		ib_str_adds(&text, in->heredocs[i].name);
		dockerfile_heredoc_done(&in->heredocs[i]);
	}
	in->n_heredocs = 0;
	free(in->args.v[0]);
	in->args.v[0] = ib_str_steal(&text);
}

static bool is_lone_heredoc(const char *command)
{
	struct dockerfile_heredoc heredoc = {0};
	bool lone = dockerfile_heredoc_parse(command, &heredoc);

	dockerfile_heredoc_done(&heredoc);
	return lone;
}

static int parse_heredocs(struct dockerfile_instruction *in, const char *line,
			  struct dockerfile_lines *lines, struct ib_err *err)
{
	int takes = strstr(line, "<<") ? takes_heredocs(in, lines->escape, err) : 0;

	if (takes <= 0)
		return takes;
	if (dockerfile_heredocs_read(in, line, lines, err) < 0)
		return -1;
	if (in->op == DOCKERFILE_COPY || in->op == DOCKERFILE_ADD)
		return dockerfile_heredocs_to_sources(in, dockerfile_op_name(in->op), err);
	if (in->op == DOCKERFILE_ONBUILD)
		append_heredocs(in);
	else
		in->lone_heredoc = in->n_heredocs == 1 && is_lone_heredoc(in->original);
	return 0;
}

/* The logical line that lines stand on, with the bodies that follow it. */
static int parse_instruction(struct dockerfile_instruction *in, struct dockerfile_lines *lines,
			     struct ib_err *err)
{
	const char *line = rune_skip_spaces(lines->text.s);
	int r;

	lines->text.s[rune_trimmed_len(lines->text.s, lines->text.len)] = '\0';
	in->line = in->end_line = lines->start;
	r = parse_line(in, line, lines->escape, err);
	if (r == 0)
		r = parse_heredocs(in, line, lines, err);
	in->end_line = lines->line;
	return r;
}

static int check_place(const struct dockerfile_instruction *in, bool in_stage, struct ib_err *err)
{
	if (!in_stage && in->op != DOCKERFILE_FROM && in->op != DOCKERFILE_ARG)
		return ib_fail(err, IB_USAGE, "no build stage in current context");
	return 0;
}

/* One more instruction. Its errors are told with its first line. */
static int add_instruction(struct dockerfile *df, struct dockerfile_lines *lines, bool *in_stage,
			   struct ib_err *err)
{
	struct dockerfile_instruction *in;

	ib_grow(df->instructions, df->n, df->cap);
	in = &df->instructions[df->n++];
	*in = (struct dockerfile_instruction){0};
	if (lines->comments.len)
		in->description = ib_strdup(lines->comments.s);
	if (parse_instruction(in, lines, err) < 0 || check_place(in, *in_stage, err) < 0)
		return ib_wrap(err, "%s:%d", df->name, lines->start);
	if (in->op == DOCKERFILE_FROM)
		*in_stage = true;
	if (lines->empty_continuation)
		ib_strv_take(&df->warnings,
			     ib_asprintf("line %d: NoEmptyContinuation: empty continuation line",
					 lines->start));
	return 0;
}

static int parse_all(struct dockerfile *df, struct dockerfile_lines *lines, struct ib_err *err)
{
	bool in_stage = false;
	int r;

	while ((r = dockerfile_lines_next(lines, err)) > 0)
		if (add_instruction(df, lines, &in_stage, err) < 0)
			return -1;
	if (r < 0)
		return ib_wrap(err, "%s:%d", df->name, lines->line);
	if (!df->n)
		return ib_fail(err, IB_USAGE, "%s:%d: file with no instructions", df->name, lines->line);
	if (!in_stage)
		return ib_fail(err, IB_USAGE, "%s:%d: dockerfile contains no stages to build", df->name,
			       df->instructions[df->n - 1].line);
	return 0;
}

/* Refuse what can't be a Dockerfile whatever it says. */
static int check_bytes(const char *bytes, size_t len, const char *name, struct ib_err *err)
{
	const char *nul = len ? memchr(bytes, 0, len) : NULL;
	int line = 1;

	if (!len)
		return ib_fail(err, IB_USAGE, "%s:1: the Dockerfile cannot be empty", name);
	if (len > BUILDER_DOCKERFILE_MAX_BYTES)
		return ib_fail(err, IB_LIMIT, "%s: a Dockerfile of %zu bytes is larger than %u MiB", name,
			       len, BUILDER_DOCKERFILE_MAX_BYTES >> 20);
	if (!nul)
		return 0;
	for (const char *p = bytes; p < nul; p++)
		line += *p == '\n';
	return ib_fail(err, IB_USAGE, "%s:%d: not a Dockerfile but a binary file: it holds a NUL byte",
		       name, line);
}

static struct dockerfile *dockerfile_new(const char *bytes, size_t len, const char *name)
{
	struct dockerfile *df = ib_new(struct dockerfile);

	df->name = ib_strdup(name);
	df->source = ib_strndup(bytes, len);
	df->source_len = len;
	return df;
}

/* What fails to parse may be written for another frontend; then that is what's wrong. */
static int judge_failure(const char *bytes, size_t len, const char *name, struct ib_err *err)
{
	ib_autofree char *syntax = dockerfile_lines_foreign_syntax(bytes, len);
	ib_autofree char *shown = syntax ? ib_printable(syntax, 200) : NULL;

	if (!syntax)
		return -1;
	return ib_fail(err, IB_UNSUPPORTED,
		       "%s:1: is written for the frontend '%s', which is not supported", name, shown);
}

int dockerfile_parse_shown(const char *bytes, size_t len, const char *name, struct dockerfile **ret_df,
			   char **ret_excerpt, struct ib_err *err)
{
	IB_CLEANUP(dockerfile_freep) struct dockerfile *df = NULL;
	IB_CLEANUP(dockerfile_lines_done) struct dockerfile_lines lines = {0};
	size_t bom;

	if (check_bytes(bytes, len, name, err) < 0)
		return -1;
	df = dockerfile_new(bytes, len, name);
	bom = ib_starts(df->source, "\357\273\277") ? 3 : 0;
	dockerfile_lines_init(&lines, df->source + bom, len - bom);
	if (parse_all(df, &lines, err) < 0) {
		*ret_excerpt = dockerfile_excerpt(df, lines.start ? lines.start : lines.line, lines.line);
		return judge_failure(df->source + bom, len - bom, name, err);
	}
	df->escape = lines.escape;
	df->syntax = ib_steal_ptr(&lines.syntax);
	df->check = ib_steal_ptr(&lines.check);
	*ret_df = ib_steal_ptr(&df);
	return 0;
}

int dockerfile_parse(const char *bytes, size_t len, const char *name, struct dockerfile **ret_df,
		     struct ib_err *err)
{
	ib_autofree char *excerpt = NULL;

	return dockerfile_parse_shown(bytes, len, name, ret_df, &excerpt, err);
}

static int parse_trigger(struct dockerfile_instruction *in, struct dockerfile_lines *lines,
			 struct ib_err *err)
{
	if (dockerfile_lines_next(lines, err) <= 0)
		return ib_fail(err, IB_USAGE, "no instruction");
	if (parse_instruction(in, lines, err) < 0)
		return -1;
	if (in->op == DOCKERFILE_FROM || in->op == DOCKERFILE_ONBUILD || in->op == DOCKERFILE_MAINTAINER)
		return ib_fail(err, IB_USAGE, "%s isn't allowed as an ONBUILD trigger",
			       dockerfile_op_name(in->op));
	if (dockerfile_lines_next(lines, err) > 0)
		return ib_fail(err, IB_USAGE, "more than one instruction");
	return 0;
}

int dockerfile_parse_trigger(const char *text, char escape, struct dockerfile_instruction **ret_instruction,
			     struct ib_err *err)
{
	IB_CLEANUP(dockerfile_lines_done) struct dockerfile_lines lines = {0};
	struct dockerfile_instruction *in = ib_new(struct dockerfile_instruction);

	dockerfile_lines_init(&lines, text, strlen(text));
	lines.in_directives = false;
	lines.escape = escape;
	if (parse_trigger(in, &lines, err) < 0) {
		ib_autofree char *shown = ib_printable(text, 100);

		dockerfile_instruction_done(in);
		free(in);
		return ib_wrap(err, "ONBUILD trigger '%s'", shown);
	}
	*ret_instruction = in;
	return 0;
}
