/*
 * Input made to hurt: parsing stays linear, so each of these takes milliseconds. The limits of time are a hundred
 * times what a slow machine under sanitizers needs; what is quadratic takes minutes.
 */
#include "tests/builder/dockerfile-dump.h"

#include <time.h>

#include "builder/dockerfile/heredoc.h"

#include "oci/base/poison.h"

#define SOURCE_MAX (64u << 20)

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Parse within limit seconds of processor time. Returns NULL and fills err if it fails. */
static struct dockerfile *parse_timed(const struct ib_str *source, double limit, struct ib_err *err)
{
	double start = seconds();
	struct dockerfile *df = NULL;

	assert_false(source->overflow);
	(void)!dockerfile_parse(source->s, source->len, "Dockerfile", &df, err);
	if (seconds() - start > limit)
		fail_msg("%zu bytes took %.2f s", source->len, seconds() - start);
	return df;
}

static struct dockerfile *repeat(const char *head, const char *unit, int n, const char *tail)
{
	ib_autostr source = IB_STR(SOURCE_MAX);
	ib_autoerr err = {0};
	struct dockerfile *df;

	ib_str_adds(&source, head);
	for (int i = 0; i < n; i++)
		ib_str_adds(&source, unit);
	ib_str_adds(&source, tail);
	df = parse_timed(&source, 10, &err);
	if (!df)
		fail_msg("%s", err.text);
	return df;
}

static void a_megabyte_of_continuation_lines_is_linear(void **state)
{
	IB_CLEANUP(dockerfile_freep) struct dockerfile *df = repeat("FROM b\nRUN x", " \\\n", 350000, "y");

	(void)state;
	assert_int_equal(df->n, 2);
	assert_int_equal(df->instructions[1].end_line, 350002);
	assert_int_equal(strlen(df->instructions[1].original), 350002);
}

static void empty_continuation_lines_are_linear(void **state)
{
	IB_CLEANUP(dockerfile_freep) struct dockerfile *df = repeat("FROM b\nRUN x\\\n", "\n", 1000000, "y");

	(void)state;
	assert_string_equal(df->instructions[1].original, "xy");
	assert_int_equal(df->warnings.n, 1);
}

static void a_hundred_thousand_args_are_linear(void **state)
{
	IB_CLEANUP(dockerfile_freep) struct dockerfile *df = repeat("", "ARG a=b\n", 100000, "FROM b");

	(void)state;
	assert_int_equal(df->n, 100001);
}

static void ten_thousand_stages_are_linear(void **state)
{
	IB_CLEANUP(dockerfile_freep) struct dockerfile *df = repeat("", "FROM a AS a\nRUN x\n", 10000, "");

	(void)state;
	assert_int_equal(df->n, 20000);
}

static void a_line_beyond_65535_bytes_is_fine(void **state)
{
	IB_CLEANUP(dockerfile_freep) struct dockerfile *df = repeat("FROM b\nRUN ", "0123456789", 1000000, "");

	(void)state;
	assert_int_equal(strlen(df->instructions[1].args.v[0]), 10000000);
}

static void many_words_flags_and_comments_are_linear(void **state)
{
	static const struct {
		const char *head, *unit, *tail;
	} cases[] = {
		{"FROM b\nENV ", "a=b ", ""},
		{"FROM b\nENV a=", "\"", ""},
		{"FROM b\nENV a=", "\\ ", ""},
		{"FROM b\nCOPY ", "a ", "/d"},
		{"FROM b\nCOPY ", "--exclude=a ", "a b"},
		{"FROM b\nRUN ", "--mount=a ", "x"},
		{"FROM b\nCMD [", "\"a\",", "\"b\"]"},
		{"FROM b\nCMD [", "\"a\",", "b]"},
		{"FROM b\nCMD ", "[", ""},
		{"FROM b\nCMD [[", "\"a\",", "b]"},
		{"", "# c\n", "FROM b"},
		{"FROM b\nRUN <<E\n", "\tE \n", "E"},
		{"FROM b\nRUN ", "<< ", ""},
		{"FROM b\nRUN ", "<", ""},
		{"FROM b\nRUN a<< ", "$", ""},
		{"FROM b\nRUN a<< ", "${", ""},
		{"FROM b\nRUN a<< ", "${a}", ""},
		{"FROM b\nRUN a<< ", "\\\"", ""},
		{"FROM b\nONBUILD RUN ", "<< ", ""},
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++)
		dockerfile_free(repeat(cases[i].head, cases[i].unit, 200000, cases[i].tail));
}

static void a_tower_of_variables_beside_a_heredoc_is_refused(void **state)
{
	ib_autostr source = IB_STR(SOURCE_MAX);
	ib_autoerr err = {0};

	(void)state;
	ib_str_adds(&source, "FROM b\nRUN cat << ");
	for (int i = 0; i < 200000; i++)
		ib_str_adds(&source, "${a:-");
	assert_null(parse_timed(&source, 10, &err));
	assert_int_equal(err.code, IB_LIMIT);
	assert_string_equal(err.text, "Dockerfile:2: variables are nested deeper than 128 levels");
}

static void too_many_heredocs_are_refused(void **state)
{
	ib_autostr source = IB_STR(SOURCE_MAX);
	ib_autoerr err = {0};

	(void)state;
	ib_str_adds(&source, "FROM b\nRUN ");
	for (int i = 0; i < 200000; i++)
		ib_str_adds(&source, "<<a ");
	assert_null(parse_timed(&source, 10, &err));
	assert_int_equal(err.code, IB_LIMIT);
	assert_string_equal(err.text, "Dockerfile:2: more than 1000 heredocs in one instruction");
}

static void as_many_heredocs_as_allowed_are_fine(void **state)
{
	ib_autostr source = IB_STR(SOURCE_MAX);
	IB_CLEANUP(dockerfile_freep) struct dockerfile *df = NULL;
	ib_autoerr err = {0};

	(void)state;
	ib_str_adds(&source, "FROM b\nCOPY ");
	for (int i = 0; i < HEREDOCS_MAX; i++)
		ib_str_addf(&source, "<<a%d ", i);
	ib_str_adds(&source, "/d/\n");
	for (int i = 0; i < HEREDOCS_MAX; i++)
		ib_str_addf(&source, "x\na%d\n", i);
	df = parse_timed(&source, 10, &err);
	assert_non_null(df);
	assert_int_equal(df->instructions[1].n_heredocs, HEREDOCS_MAX);
}

static void too_large_a_file_is_refused(void **state)
{
	ib_autoerr err = {0};
	struct dockerfile *df = NULL;

	(void)state;
	/* The length is judged before a byte is read. */
	assert_int_equal(dockerfile_parse("F", BUILDER_DOCKERFILE_MAX_BYTES + 1ul, "Dockerfile", &df, &err), -1);
	assert_int_equal(err.code, IB_LIMIT);
}

static void two_thousand_lines_take_few_milliseconds(void **state)
{
	static const char lines[] = "# install what is needed\nRUN --mount=type=cache,target=/var/cache apt-get install "
				    "\\\n  a b c \\\n  && rm -rf x\nENV A=\"b $C\" D=e\nCOPY --chown=1:2 a b /c/\n"
				    "ARG X=1\nLABEL a=b\n\nCMD [\"a\", \"b\"]\n";
	double start = seconds(), best = 1;

	(void)state;
	for (int i = 0; i < 5; i++) {
		start = seconds();
		dockerfile_free(repeat("FROM b\n", lines, 200, ""));
		best = seconds() - start < best ? seconds() - start : best;
	}
	print_message("2,000 lines: %.2f ms\n", best * 1e3);
	assert_true(best < 0.1);	/* 5 ms is the aim; this also passes under sanitizers on a busy machine */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_megabyte_of_continuation_lines_is_linear),
		cmocka_unit_test(empty_continuation_lines_are_linear),
		cmocka_unit_test(a_hundred_thousand_args_are_linear),
		cmocka_unit_test(ten_thousand_stages_are_linear),
		cmocka_unit_test(a_line_beyond_65535_bytes_is_fine),
		cmocka_unit_test(many_words_flags_and_comments_are_linear),
		cmocka_unit_test(a_tower_of_variables_beside_a_heredoc_is_refused),
		cmocka_unit_test(too_many_heredocs_are_refused),
		cmocka_unit_test(as_many_heredocs_as_allowed_are_fine),
		cmocka_unit_test(too_large_a_file_is_refused),
		cmocka_unit_test(two_thousand_lines_take_few_milliseconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
