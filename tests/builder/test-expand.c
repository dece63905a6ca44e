/* Variables and quotes (Dockerfile reference, "Environment replacement"). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "builder/dockerfile/expand.h"
#include "builder/dockerfile/lex.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define N(table) (sizeof (table) / sizeof *(table))

/* What the cases below find set. */
static const char *const variables[][2] = {
	{"a", "1"}, {"EMPTY", ""}, {"V", "foobarbaz"}, {"D", "a/x/b/x"}, {"P", "80 81/udp"}, {"X", "x"},
	{"S", "a b"}, {"Q", "\"'\\$a"}, {"F", "a.tar.gz"}, {"DOTS", "a/b/c.txt"}, {"\303\251t\303\251", "summer"},
	{"STAR", "xx**"}, {"U8", "\303\251a\303\251"}, {"NEEDLE", "\\*/"}, {"PATHS", "/foo*/*/*.txt"},
	{"LINES", "a\nb\nc"}, {"SPECIAL", "()[]{}^$.*?|\\x"}, {"_u", "under"}, {"BAD", "\377a\377"},
};

static const char *look_up(void *ctx, const char *name)
{
	(void)ctx;
	for (size_t i = 0; i < N(variables); i++)
		if (strcmp(variables[i][0], name) == 0)
			return variables[i][1];
	return NULL;
}

static const struct builder_expander backslash = {.escape = '\\', .lookup = look_up};
static const struct builder_expander backquote = {.escape = '`', .lookup = look_up};

struct expand_case {
	const char *word, *expected;
};

static void assert_words(const struct builder_expander *x, const struct expand_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		ib_autofree char *got = NULL;
		ib_autoerr err = {0};

		if (builder_expand_word(x, cases[i].word, &got, &err) < 0)
			fail_msg("%s: %s", cases[i].word, err.text);
		if (strcmp(got, cases[i].expected) != 0)
			fail_msg("%s gives '%s', expected '%s'", cases[i].word, got, cases[i].expected);
	}
}

static void names_and_plain_text(void **state)
{
	static const struct expand_case cases[] = {
		{"", ""},
		{"x", "x"},
		{"$a", "1"},
		{"${a}", "1"},
		{"$a$a.$a-", "11.1-"},
		{"$axyz", ""},
		{"${a}xyz", "1xyz"},
		{"$_u", "under"},
		{"$\303\251t\303\251", "summer"},
		{"$a\303\227", "1\303\227"},	/* a multiplication sign is no letter */
		/* digits, special parameters */
		{"$12x", "x"},
		{"$1x", "x"},
		{"$$", ""},
		{"$?", ""},
		{"$@$*$#$-$!$0", ""},
		{"a$", "a$"},
		{"$ a", "$ a"},
		{"$.", "$."},
		{"${1}x${12}y${@}", "xy"},
		/* no other expansion */
		{"$(ls)", "$(ls)"},
		{"$((1+1))", "$((1+1))"},
		{"~/x", "~/x"},
		{"`x`", "`x`"},
		{"<<EOF", "<<EOF"},
		{"a  b", "a  b"},
		{"*[", "*["},
		/* a value is used as it is */
		{"$Q", "\"'\\$a"},
		{"$S", "a b"},
		{"$BAD", "\377a\377"},
		{"\377", "\377"},
	};

	(void)state;
	assert_words(&backslash, cases, N(cases));
}

static void quotes_and_escapes(void **state)
{
	static const struct expand_case cases[] = {
		{"a\"b\"c", "abc"},
		{"'$a'", "$a"},
		{"'a\\b'", "a\\b"},
		{"\"$a\"", "1"},
		{"\"a\\b\"", "a\\b"},
		{"\"\\\"\\$a\\\\\"", "\"$a\\"},
		{"\"it's\"", "it's"},
		{"'say \"x\"'", "say \"x\""},
		{"a\\b", "ab"},
		{"\\$a", "$a"},
		{"\\\\", "\\"},
		{"\\\"\\'", "\"'"},
		{"a\\", "a"},
		{"a\\ b", "a b"},
		{"\\\303\251", "\303\251"},
		{"\"\"''", ""},
		{"$a  \"$a\" '$a' \\$a", "1  1 $a $a"},
	};
	static const struct expand_case backquoted[] = {
		{"a`b", "ab"},
		{"a\\b", "a\\b"},
		{"`$a", "$a"},
		{"\"`\"`$a``\"", "\"$a`"},
		{"\"`b\\\"", "`b\\"},
		{"${X:-`}}", "x"},
		{"${U:-`}}", "}"},
		{"a`", "a"},
	};

	(void)state;
	assert_words(&backslash, cases, N(cases));
	assert_words(&backquote, backquoted, N(backquoted));
}

static void defaults_and_alternatives(void **state)
{
	static const struct expand_case cases[] = {
		{"${a:-w}", "1"}, {"${EMPTY:-w}", "w"}, {"${U:-w}", "w"},
		{"${a-w}", "1"}, {"${EMPTY-w}", ""}, {"${U-w}", "w"},
		{"${a:+w}", "w"}, {"${EMPTY:+w}", ""}, {"${U:+w}", ""},
		{"${a+w}", "w"}, {"${EMPTY+w}", "w"}, {"${U+w}", ""},
		{"${a:?m}", "1"}, {"${a?m}", "1"}, {"${EMPTY?m}", ""},
		{"${U:-}", ""},
		{"${U:-a b}", "a b"},
		{"${U:-$a}", "1"},
		{"${U:-${W:-${a}}}x", "1x"},
		{"${U:-\"q\" 'r'}", "q r"},
		{"${U:-\\}}", "}"},
		{"${U:-'}'}", "}"},
		{"${U:-\"}\"}", "}"},
		{"${U:-a\\b}", "ab"},
		{"\"${U:-a b}\"", "a b"},
		{"\"${U:-\"x\"}\"", "x"},
		{"${U:--1}", "-1"},
		{"${U:-:-}", ":-"},
		{"something-${a}${EMPTY:+-${EMPTY}}.tar", "something-1.tar"},
		{"something${a:+-${a}}.tar", "something-1.tar"},
		{"${a+${b-x}}", "x"},
	};

	(void)state;
	assert_words(&backslash, cases, N(cases));
}

static void patterns_are_trimmed(void **state)
{
	static const struct expand_case cases[] = {
		/* seen on the newest frontend */
		{"${V#f*b}", "arbaz"}, {"${V##f*b}", "az"}, {"${V%b*}", "foobar"}, {"${V%%b*}", "foo"},
		{"${F#*.}", "tar.gz"}, {"${F##*.}", "gz"}, {"${F%.*}", "a.tar"}, {"${F%%.*}", "a"},
		{"${V#}", "foobarbaz"}, {"${V##}", "foobarbaz"}, {"${V%}", "foobarbaz"}, {"${V%%}", "foobarbaz"},
		{"${V#*}", "foobarbaz"}, {"${V##*}", ""}, {"${V%*}", "foobarbaz"}, {"${V%%*}", ""},
		{"${V#x}", "foobarbaz"}, {"${V%x}", "foobarbaz"},
		{"${V#fo?}", "barbaz"}, {"${V%b?z}", "foobar"}, {"${V#?}", "oobarbaz"},
		{"${V#[f]}", "foobarbaz"},
		{"${U#x}", ""}, {"${U%x}", ""},
		{"${V#$U}", "foobarbaz"}, {"${V#${X:+foo}}", "barbaz"},
		{"${V#'foo'}", "barbaz"}, {"${V#\"foo\"}", "barbaz"},
		{"${U8#?}", "a\303\251"}, {"${U8%?}", "\303\251a"}, {"${BAD#?}", "a\377"}, {"${BAD%?}", "\377a"},
		{"${BAD#\377}", "a\377"},
		{"${STAR%%\\**}", "xx"}, {"${STAR%\\*}", "xx*"},
		{"${SPECIAL#()[]{\\}^$.\\*\\?|\\\\}", "x"},
		{"${DOTS##*/}", "c.txt"}, {"${DOTS%/*}", "a/b"}, {"${DOTS#a\\/}", "b/c.txt"},
		/* neither wildcard takes a newline */
		{"${LINES##a*}", "\nb\nc"}, {"${LINES#a?}", "a\nb\nc"}, {"${LINES%%*}", "a\nb\n"},
		{"${V:#foo}", "barbaz"}, {"${V:%baz}", "foobar"},
	};

	(void)state;
	assert_words(&backslash, cases, N(cases));
}

static void patterns_are_replaced(void **state)
{
	static const struct expand_case cases[] = {
		{"${V/b?/X}", "fooXrbaz"}, {"${V//[ab]/X}", "foobarbaz"}, {"${V//b/X}", "fooXarXaz"},
		{"${V/ba/}", "foorbaz"}, {"${V//ba/}", "foorz"},
		{"${D/x/\\/}", "a/\\//b/x"}, {"${D//\\//-}", "a-x-b-x"}, {"${D//x/\\}}", "a/\\}/b/\\}"},
		{"${V/o*b/_}", "f_az"}, {"${V/*/_}", "_"}, {"${V//*/_}", "_"}, {"${V/?/_}", "_oobarbaz"},
		{"${V//?/_}", "_________"},
		{"${V/x/y}", "foobarbaz"}, {"${U/x/y}", ""},
		{"${V/$X/y}", "foobarbaz"}, {"${V/${X:+foo}/$S}", "a bbarbaz"},
		{"${V/$U/w}", "wfoobarbaz"}, {"${X//$U/-}", "-x-"}, {"${V///}", "foobarbaz"},
		{"${PATHS/$NEEDLE/.} - ${PATHS//$NEEDLE/.}", "/foo.*/*.txt - /foo..*.txt"},
		{"${LINES/*/_}", "_\nb\nc"}, {"${LINES//*/_}", "_\n_\n_"},
		{"${U8//\303\251/e}", "eae"},
		{"${V/'o'/0}", "f0obarbaz"}, {"${V/o/\"0 0\"}", "f0 0obarbaz"},
	};

	(void)state;
	assert_words(&backslash, cases, N(cases));
}

static void wrong_words_are_refused(void **state)
{
	static const struct expand_case cases[] = {
		{"${U:?m}", "U: m"}, {"${U?m n}", "U: m n"}, {"${EMPTY:?m}", "EMPTY: m"},
		{"${U:?}", "U: is not allowed to be unset"}, {"${U?}", "U: is not allowed to be unset"},
		{"${EMPTY:?}", "EMPTY: is not allowed to be empty"}, {"${U:?no $a}", "U: no 1"},
		{"${V:2}", "unsupported modifier (:2) in substitution"},
		{"${V:=x}", "unsupported modifier (:=) in substitution"},
		{"${V=x}", "unsupported modifier (=) in substitution"},
		{"${V^^}", "unsupported modifier (^) in substitution"},
		{"${!V}", "unsupported modifier (V) in substitution"},
		{"${#V}", "unsupported modifier (V) in substitution"},
		{"${V }", "unsupported modifier ( ) in substitution"},
		{"${V:\303\251}", "unsupported modifier (:\303\251) in substitution"},
		{"${V:/a/b}", "unsupported modifier (:/) in substitution"},
		{"${}", "syntax error: bad substitution"}, {"${{a}", "syntax error: bad substitution"},
		{"${:-x}", "syntax error: bad substitution"},
		{"${", "syntax error: missing '}'"}, {"${V", "syntax error: missing '}'"},
		{"${V:", "syntax error: missing '}'"}, {"${V:-x", "syntax error: missing '}'"},
		{"${V:-\"x", "syntax error: missing '}'"}, {"${V#x", "syntax error: missing '}'"},
		{"${V/a/x", "syntax error: missing '}'"},
		{"${V/ba}", "syntax error: missing '/' in ${}"}, {"${V//ba}", "syntax error: missing '/' in ${}"},
		{"${V//}", "syntax error: missing '/' in ${}"},
		{"${V#\\a}", "invalid pattern (\\a) in substitution: invalid escape '\\a'"},
		{"${V/\\a/x}", "invalid pattern (\\a) in substitution: invalid escape '\\a'"},
		{"'a", "unexpected end of statement while looking for matching single-quote"},
		{"\"a", "unexpected end of statement while looking for matching double-quote"},
		{"\"p", "unexpected end of statement while looking for matching double-quote"},
		{"\"a\\", "unexpected end of statement while looking for matching double-quote"},
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		ib_autofree char *got = NULL;
		ib_autoerr err = {0};
		ib_autostr expected = IB_STR(4096);

		if (builder_expand_word(&backslash, cases[i].word, &got, &err) == 0)
			fail_msg("%s gives '%s'", cases[i].word, got);
		assert_null(got);
		assert_int_equal(err.code, IB_USAGE);
		ib_str_addf(&expected, "cannot expand '%s': %s", cases[i].word, cases[i].expected);
		assert_string_equal(err.text, expected.s);
	}
}

static void words_split_after_expansion(void **state)
{
	static const struct expand_case cases[] = {
		{"80", "[80]"},
		{"$P", "[80][81/udp]"},
		{"90/tcp $P x", "[90/tcp][80][81/udp][x]"},
		{"\"$P\"", "[80 81/udp]"},
		{"'$P'", "[$P]"},
		{"a\\ b", "[a b]"},
		{"x${P}y", "[x80][81/udpy]"},
		{"", ""},
		{"\"\"", ""},
		{"$U", ""},
		{"  a\t b  ", "[a][b]"},
		{"a\302\240b\342\200\203c", "[a][b][c]"},
		{"${U:-1 2}", "[1][2]"},
		{"<< a", "[<< a]"},
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		ib_autostrv got = {0};
		ib_autoerr err = {0};
		ib_autostr shown = IB_STR(4096);

		assert_int_equal(builder_expand_words(&backslash, cases[i].word, &got, &err), 0);
		ib_str_adds(&shown, "");
		for (size_t j = 0; j < got.n; j++)
			ib_str_addf(&shown, "[%s]", got.v[j]);
		assert_string_equal(shown.s, cases[i].expected);
	}
}

static void heredoc_bodies_keep_their_quotes(void **state)
{
	static const struct expand_case cases[] = {
		/* as seen on the newest frontend */
		{"\\n \\\\ \\$X 'q' \"q\" a\\\nb\n", "n \\ $X 'q' \"q\" a\nb\n"},
		{"$a '$a' \"${a}\"\n", "1 '1' \"1\"\n"},
		{"it's `x` $(y)\n", "it's `x` $(y)\n"},
		{"${U:-'x' \"y\"}", "'x' \"y\""},
		{"", ""},
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		ib_autofree char *got = NULL;
		ib_autoerr err = {0};

		/* whatever the Dockerfile's escape is */
		assert_int_equal(builder_expand_heredoc(&backquote, cases[i].word, &got, &err), 0);
		assert_string_equal(got, cases[i].expected);
	}
}

static void undefined_names_are_reported_once(void **state)
{
	ib_autostrv undefined = {0};
	struct builder_expander x = {.escape = '\\', .lookup = look_up, .undefined = &undefined};
	ib_autofree char *got = NULL;
	ib_autoerr err = {0};

	(void)state;
	assert_int_equal(builder_expand_word(&x, "$a $U1 ${U2:-x} $U1 '$U3' ${EMPTY}", &got, &err), 0);
	assert_int_equal(undefined.n, 2);
	assert_string_equal(undefined.v[0], "U1");
	assert_string_equal(undefined.v[1], "U2");
}

static char *nested(int depth)
{
	ib_autostr word = IB_STR(1 << 22);

	for (int i = 0; i < depth; i++)
		ib_str_adds(&word, "${U:-");
	for (int i = 0; i < depth; i++)
		ib_str_addc(&word, '}');
	return ib_str_steal(&word);
}

static void deep_nesting_is_refused(void **state)
{
	static const int depths[] = {LEX_MAX_DEPTH + 1, 200000};
	ib_autofree char *deepest = nested(LEX_MAX_DEPTH);
	ib_autofree char *got = NULL;
	ib_autoerr fine = {0};

	(void)state;
	assert_int_equal(builder_expand_word(&backslash, deepest, &got, &fine), 0);
	for (size_t i = 0; i < N(depths); i++) {
		ib_autofree char *word = nested(depths[i]);
		ib_autofree char *none = NULL;
		ib_autoerr err = {0};

		assert_int_equal(builder_expand_word(&backslash, word, &none, &err), -1);
		assert_int_equal(err.code, IB_LIMIT);
		assert_non_null(strstr(err.text, "variables are nested deeper than 128 levels"));
	}
}

static char *big;	/* a megabyte of 'a' */

static const char *look_up_big(void *ctx, const char *name)
{
	(void)ctx;
	(void)name;
	return big;
}

/* Each of these would take gigabytes, or hours. */
static void growth_without_end_is_refused(void **state)
{
	static const char *const units[] = {
		"$a ", "${a:+$a$a}", "${a%%*b*c}", "${a//*a*a*a*b/}", "${a:+${a//?/}}",
	};
	static const struct builder_expander x = {.escape = '\\', .lookup = look_up_big};

	(void)state;
	big = ib_malloc((1 << 20) + 1);
	memset(big, 'a', 1 << 20);
	big[1 << 20] = '\0';
	for (size_t i = 0; i < N(units); i++) {
		ib_autostr word = IB_STR(1 << 24);
		ib_autofree char *got = NULL;
		ib_autostrv words = {0};
		ib_autoerr err = {0};

		for (int j = 0; j < 100000; j++)
			ib_str_adds(&word, units[i]);
		assert_int_equal(i % 2 ? builder_expand_word(&x, word.s, &got, &err) :
					 builder_expand_words(&x, word.s, &words, &err), -1);
		assert_int_equal(err.code, IB_LIMIT);
	}
	free(big);
}

static void the_largest_value_fits(void **state)
{
	static const struct builder_expander x = {.escape = '\\', .lookup = look_up_big};
	ib_autofree char *got = NULL;
	ib_autoerr err = {0};

	(void)state;
	big = ib_malloc(BUILDER_EXPAND_MAX + 1);
	memset(big, 'a', BUILDER_EXPAND_MAX);
	big[BUILDER_EXPAND_MAX] = '\0';
	assert_int_equal(builder_expand_word(&x, "$a", &got, &err), 0);
	assert_int_equal(strlen(got), BUILDER_EXPAND_MAX);
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_plain_text),
		cmocka_unit_test(quotes_and_escapes),
		cmocka_unit_test(defaults_and_alternatives),
		cmocka_unit_test(patterns_are_trimmed),
		cmocka_unit_test(patterns_are_replaced),
		cmocka_unit_test(wrong_words_are_refused),
		cmocka_unit_test(words_split_after_expansion),
		cmocka_unit_test(heredoc_bodies_keep_their_quotes),
		cmocka_unit_test(undefined_names_are_reported_once),
		cmocka_unit_test(deep_nesting_is_refused),
		cmocka_unit_test(growth_without_end_is_refused),
		cmocka_unit_test(the_largest_value_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
