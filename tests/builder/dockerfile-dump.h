/*
 * tests/builder/dockerfile-dump.h - a parsed Dockerfile as text, so that tables can say what is expected.
 *
 * One line for each instruction:  LINE[-END] OP [--flag=value]... [json] [[arg]]... [(name)=(value)]... heredocs
 * where a heredoc is  {FD<<NAME body}  with "-" for <<- and "'" when its body is not expanded, and ends of lines
 * in it are shown as $.
 */
#ifndef TESTS_BUILDER_DOCKERFILE_DUMP_H
#define TESTS_BUILDER_DOCKERFILE_DUMP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "builder/dockerfile/dockerfile.h"

static inline void dump_heredoc(const struct dockerfile_heredoc *h, struct ib_str *out)
{
	ib_str_addf(out, " {%d<<%s%s%s ", h->fd, h->strip_tabs ? "-" : "", h->expand ? "" : "'", h->name);
	for (const char *p = h->body; *p; p++)
		ib_str_addc(out, *p == '\n' ? '$' : *p);
	ib_str_addc(out, '}');
}

static inline void dump_instruction(const struct dockerfile_instruction *in, struct ib_str *out)
{
	ib_str_addf(out, "%d", in->line);
	if (in->end_line != in->line)
		ib_str_addf(out, "-%d", in->end_line);
	ib_str_addf(out, " %s", dockerfile_op_name(in->op));
	for (size_t i = 0; i < in->n_flags; i++)
		ib_str_addf(out, " --%s=%s", in->flags[i].name, in->flags[i].value);
	ib_str_adds(out, in->json ? " json" : "");
	for (size_t i = 0; i < in->args.n; i++)
		ib_str_addf(out, " [%s]", in->args.v[i]);
	ib_str_adds(out, in->legacy_pair ? " legacy" : "");
	for (size_t i = 0; i < in->n_pairs; i++) {
		ib_str_addf(out, " (%s)", in->pairs[i].name);
		if (in->pairs[i].value)
			ib_str_addf(out, "=(%s)", in->pairs[i].value);
	}
	ib_str_adds(out, in->lone_heredoc ? " lone" : "");
	for (size_t i = 0; i < in->n_heredocs; i++)
		dump_heredoc(&in->heredocs[i], out);
	ib_str_addc(out, '\n');
}

static inline struct dockerfile *parse_ok(const char *source)
{
	struct dockerfile *df = NULL;
	ib_autoerr err = {0};

	if (dockerfile_parse(source, strlen(source), "Dockerfile", &df, &err) < 0)
		fail_msg("'%s': %s", source, err.text);
	return df;
}

static inline char *dump(const struct dockerfile *df)
{
	ib_autostr out = IB_STR(1 << 20);

	for (size_t i = 0; i < df->n; i++)
		dump_instruction(&df->instructions[i], &out);
	return ib_str_steal(&out);
}

struct parse_case {
	const char *source, *expected;
};

static inline void assert_dump(const char *source, const char *expected)
{
	IB_CLEANUP(dockerfile_freep) struct dockerfile *df = parse_ok(source);
	ib_autofree char *got = dump(df);

	if (strcmp(got, expected) != 0)
		fail_msg("'%s'\n  gives    %s  expected %s", source, got, expected);
}

/* expected: how the error begins, "Dockerfile:LINE: message". */
static inline void assert_refused(const char *source, const char *expected)
{
	struct dockerfile *df = NULL;
	ib_autoerr err = {0};

	if (dockerfile_parse(source, strlen(source), "Dockerfile", &df, &err) == 0) {
		ib_autofree char *got = dump(df);

		dockerfile_free(df);
		fail_msg("'%s' is accepted: %s", source, got);
	}
	assert_null(df);
	assert_int_equal(err.code, IB_USAGE);
	if (strncmp(err.text, expected, strlen(expected)) != 0)
		fail_msg("'%s'\n  fails with %s\n  expected   %s", source, err.text, expected);
}

#define N(table) (sizeof (table) / sizeof *(table))

#endif
