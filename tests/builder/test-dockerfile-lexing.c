/* Lines, directives, comments, continuation (Dockerfile reference, "Format" and "Parser directives"). */
#include "tests/builder/dockerfile-dump.h"

#include "oci/base/poison.h"

static void lines_join_as_the_reference_says(void **state)
{
	static const struct parse_case cases[] = {
		{"FROM b\r\nRUN a\r\n", "1 FROM [b]\n2 RUN [a]\n"},
		{"\357\273\277FROM b", "1 FROM [b]\n"},
		{"FROM b\nRUN echo a \\\n b", "1 FROM [b]\n2-3 RUN [echo a  b]\n"},
		{"FROM b\nRUN echo a \\ \t\nb", "1 FROM [b]\n2-3 RUN [echo a b]\n"},
		{"FROM b\nRUN echo a\\\r\nb\r\n", "1 FROM [b]\n2-3 RUN [echo ab]\n"},
		{"  \t FROM b", "1 FROM [b]\n"},
		{"\302\240FROM b", "1 FROM [b]\n"},
		{"from b\nrUn a", "1 FROM [b]\n2 RUN [a]\n"},
		{"FROM\t\v\f b", "1 FROM [b]\n"},
		/* the escape character alone on a line */
		{"\\\nFROM b", "1-2 FROM [b]\n"},
		{"FROM b\nRUN a\\\n\\\nb", "1 FROM [b]\n2-4 RUN [ab]\n"},
		/* an escaped escape character does not continue, and both stay */
		{"FROM b\nRUN echo x \\\\\nRUN echo y", "1 FROM [b]\n2 RUN [echo x \\\\]\n3 RUN [echo y]\n"},
		{"FROM b\nRUN echo x \\\\\\\nRUN echo y", "1 FROM [b]\n2 RUN [echo x \\\\\\]\n3 RUN [echo y]\n"},
		/* blank lines and comments inside a continuation */
		{"FROM b\nRUN echo a \\\n\nENV X=1", "1 FROM [b]\n2-4 RUN [echo a ENV X=1]\n"},
		{"FROM b\nRUN a \\\n  # c \\\n# d\n b", "1 FROM [b]\n2-5 RUN [a  b]\n"},
		{"FROM b\nRUN a \\\n", "1 FROM [b]\n2 RUN [a]\n"},
		{"FROM b\nRUN a \\\n# c", "1 FROM [b]\n2-3 RUN [a]\n"},
		/* '#' later in a line is no comment */
		{"FROM b\nRUN a # b", "1 FROM [b]\n2 RUN [a # b]\n"},
		{"FROM b\nEXPOSE 80 # x", "1 FROM [b]\n2 EXPOSE [80] [#] [x]\n"},
		{"# c\n\n  # d\nFROM b", "4 FROM [b]\n"},
		/* shell form keeps inner blanks */
		{"FROM b\nRUN  a   b\t c  ", "1 FROM [b]\n2 RUN [a   b\t c]\n"},
		{"FROM b\nRUN\nCMD", "1 FROM [b]\n2 RUN []\n3 CMD []\n"},
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++)
		assert_dump(cases[i].source, cases[i].expected);
}

static void files_without_a_stage_are_refused(void **state)
{
	static const struct parse_case cases[] = {
		{"", "Dockerfile:1: the Dockerfile cannot be empty"},
		{"\n# c\n", "Dockerfile:2: file with no instructions"},
		{"\357\273\277", "Dockerfile:0: file with no instructions"},
		{"ARG a\nARG b", "Dockerfile:2: dockerfile contains no stages to build"},
		{"ARG a\nRUN x\nFROM b", "Dockerfile:2: no build stage in current context"},
		{"FROM b\n\nRNU x", "Dockerfile:3: unknown instruction: RNU (did you mean RUN?)"},
		{"FROM b\nWIBBLE x", "Dockerfile:2: unknown instruction: WIBBLE"},
		{"FROM\302\240b", "Dockerfile:1: unknown instruction: FROM"},
		{"FROM b # c", "Dockerfile:1: FROM requires either one or three arguments"},
		{"FROM b\nRUN a \\\n b\nFOO", "Dockerfile:4: unknown instruction: FOO"},
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++)
		assert_refused(cases[i].source, cases[i].expected);
}

static void a_nul_byte_is_refused_as_binary(void **state)
{
	static const char source[] = "FROM b\nRUN a\0b\n";
	struct dockerfile *df = NULL;
	ib_autoerr err = {0};

	(void)state;
	assert_int_equal(dockerfile_parse(source, sizeof source - 1, "x/Dockerfile", &df, &err), -1);
	assert_int_equal(err.code, IB_USAGE);
	assert_string_equal(err.text, "x/Dockerfile:2: not a Dockerfile but a binary file: it holds a NUL byte");
}

struct directive_case {
	const char *source;
	char escape;
	const char *syntax, *check;
};

static void assert_text(const char *source, const char *got, const char *expected)
{
	if (!got != !expected || (got && strcmp(got, expected) != 0))
		fail_msg("'%s' gives '%s', expected '%s'", source, got ? got : "(null)",
			 expected ? expected : "(null)");
}

static void directives_stand_at_the_top_only(void **state)
{
	static const struct directive_case cases[] = {
		{"FROM b", '\\', NULL, NULL},
		{"# escape=`\nFROM b", '`', NULL, NULL},
		{"#escape=\\\nFROM b", '\\', NULL, NULL},
		{"  #  EsCaPe  =  `  \r\nFROM b", '`', NULL, NULL},
		{"# syntax=docker/dockerfile:1 more\n# check=skip=A,B;error=true \n# escape=`\nFROM b", '`',
		 "docker/dockerfile:1", "skip=A,B;error=true"},
		/* anything else ends the scan for good */
		{"# c\n# escape=`\nFROM b", '\\', NULL, NULL},
		{"\n# escape=`\nFROM b", '\\', NULL, NULL},
		{"# foo=bar\n# escape=`\nFROM b", '\\', NULL, NULL},
		{"FROM b\n# escape=`\nRUN x", '\\', NULL, NULL},
		{"# escape=\n# escape=`\nFROM b", '\\', NULL, NULL},
		{"# c\n# escape=x\nFROM b", '\\', NULL, NULL},
		/* a first line "#!" is passed over, for syntax only */
		{"#!/usr/bin/env x\n# syntax=a/b\n# escape=`\nFROM b", '\\', "a/b", NULL},
		{"\357\273\277# escape=`\nFROM b", '`', NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		IB_CLEANUP(dockerfile_freep) struct dockerfile *df = parse_ok(cases[i].source);

		if (df->escape != cases[i].escape)
			fail_msg("'%s': escape is %c", cases[i].source, df->escape);
		assert_text(cases[i].source, df->syntax, cases[i].syntax);
		assert_text(cases[i].source, df->check, cases[i].check);
	}
}

static void bad_directives_are_refused(void **state)
{
	static const struct parse_case cases[] = {
		{"# escape=x\nFROM b", "Dockerfile:1: invalid escape token 'x' does not match ` or \\"},
		{"# escape=``\nFROM b", "Dockerfile:1: invalid escape token '``' does not match ` or \\"},
		{"# escape=`\n# ESCAPE=`\nFROM b", "Dockerfile:2: only one escape parser directive can be used"},
		{"# syntax=a\n# syntax=a\nFROM b", "Dockerfile:2: only one syntax parser directive can be used"},
		{"# check=a\n# check=a\nFROM b", "Dockerfile:2: only one check parser directive can be used"},
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++)
		assert_refused(cases[i].source, cases[i].expected);
}

static void the_escape_directive_changes_continuation_and_words(void **state)
{
	static const struct parse_case cases[] = {
		{"# escape=`\nFROM b\nRUN a `\n b\\\nRUN c", "2 FROM [b]\n3-4 RUN [a  b\\]\n5 RUN [c]\n"},
		{"# escape=`\nFROM b\nENV a=x` y b=c\\", "2 FROM [b]\n3 ENV (a)=(x` y) (b)=(c\\)\n"},
		{"# c\n# escape=`\nFROM b\nRUN echo a \\\n b", "3 FROM [b]\n4-5 RUN [echo a  b]\n"},
		/* heredocs stay the shell's */
		{"# escape=`\nFROM b\nRUN cat <<E\\ F\nx\nE F\nRUN y",
		 "2 FROM [b]\n3-5 RUN [cat <<E\\ F] {0<<E F x$}\n6 RUN [y]\n"},
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++)
		assert_dump(cases[i].source, cases[i].expected);
}

static void files_of_other_frontends_are_told_apart(void **state)
{
	static const char *const sources[] = {
		"// syntax=example/other:1\nimport x", "{\"syntax\": \"example/other:1\", \"a\": 1}",
	};

	(void)state;
	for (size_t i = 0; i < N(sources); i++) {
		struct dockerfile *df = NULL;
		ib_autoerr err = {0};

		assert_int_equal(dockerfile_parse(sources[i], strlen(sources[i]), "D", &df, &err), -1);
		assert_int_equal(err.code, IB_UNSUPPORTED);
		assert_string_equal(err.text, "D:1: is written for the frontend 'example/other:1', "
				    "which is not supported");
	}
}

static void comments_right_above_describe(void **state)
{
	static const char source[] = "# syntax=x\n# one\n#\n# two \n  #three\nFROM b\n# lost\n\nRUN a\n"
				     "# check=skip=X\nRUN b \\\n# inner\n c\nRUN d";
	static const char *const expected[] = {"two\nthree", NULL, "check=skip=X", NULL};
	IB_CLEANUP(dockerfile_freep) struct dockerfile *df = parse_ok(source);

	(void)state;
	assert_int_equal(df->n, N(expected));
	for (size_t i = 0; i < N(expected); i++)
		assert_text(df->instructions[i].keyword, df->instructions[i].description, expected[i]);
}

static void an_empty_continuation_line_warns_once(void **state)
{
	IB_CLEANUP(dockerfile_freep) struct dockerfile *df =
		parse_ok("FROM b\nRUN a \\\n\n\n b\nRUN c \\\n# not empty\n d");

	(void)state;
	assert_int_equal(df->warnings.n, 1);
	assert_string_equal(df->warnings.v[0], "line 2: NoEmptyContinuation: empty continuation line");
}

static void keywords_and_original_text_are_kept(void **state)
{
	IB_CLEANUP(dockerfile_freep) struct dockerfile *df =
		parse_ok("from b As c\nCopy  --from=x  a \\\n  b \n");

	(void)state;
	assert_string_equal(df->instructions[0].keyword, "from");
	assert_string_equal(df->instructions[0].original, "b As c");
	assert_string_equal(df->instructions[1].keyword, "Copy");
	assert_string_equal(df->instructions[1].original, "a   b");
}

static void an_excerpt_marks_the_culprits(void **state)
{
	IB_CLEANUP(dockerfile_freep) struct dockerfile *df =
		parse_ok("FROM a\nRUN 1\nRUN 2\nRUN \t\033[1m \\\r\n x\r\nRUN 4\nRUN 5\nRUN 6\n");
	ib_autofree char *excerpt = dockerfile_excerpt(df, 4, 5);

	(void)state;
	assert_string_equal(excerpt, "Dockerfile:4\n--------------------\n"
				     "   2 |     RUN 1\n"
				     "   3 |     RUN 2\n"
				     "   4 | >>> RUN  \\x1b[1m \\\n"
				     "   5 | >>>  x\n"
				     "   6 |     RUN 4\n"
				     "   7 |     RUN 5\n"
				     "--------------------\n");
}

static void an_excerpt_of_a_long_instruction_is_cut(void **state)
{
	ib_autostr source = IB_STR(1 << 20);
	IB_CLEANUP(dockerfile_freep) struct dockerfile *df = NULL;
	ib_autofree char *excerpt = NULL;

	(void)state;
	ib_str_adds(&source, "FROM a\nRUN <<E\n");
	for (int i = 0; i < 5000; i++)
		ib_str_adds(&source, "x\n");
	ib_str_adds(&source, "E\n");
	df = parse_ok(source.s);
	excerpt = dockerfile_excerpt(df, 2, 5003);
	assert_non_null(strstr(excerpt, "   1 |     FROM a\n   2 | >>> RUN <<E\n   3 | >>> x\n"));
	assert_non_null(strstr(excerpt, "  21 | >>> x\n     | ...\n-----"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_join_as_the_reference_says),
		cmocka_unit_test(files_without_a_stage_are_refused),
		cmocka_unit_test(a_nul_byte_is_refused_as_binary),
		cmocka_unit_test(directives_stand_at_the_top_only),
		cmocka_unit_test(bad_directives_are_refused),
		cmocka_unit_test(the_escape_directive_changes_continuation_and_words),
		cmocka_unit_test(files_of_other_frontends_are_told_apart),
		cmocka_unit_test(comments_right_above_describe),
		cmocka_unit_test(an_empty_continuation_line_warns_once),
		cmocka_unit_test(keywords_and_original_text_are_kept),
		cmocka_unit_test(an_excerpt_marks_the_culprits),
		cmocka_unit_test(an_excerpt_of_a_long_instruction_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
