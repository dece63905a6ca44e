/* Ignore files: parsing and matching. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "builder/context/pattern.h"
#include "oci/base/alloc.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define N(table) (sizeof (table) / sizeof *(table))

static struct builder_ignore *parse(const char *text)
{
	struct builder_ignore *ignore = NULL;
	ib_autoerr err = {0};

	if (builder_ignore_parse(text, strlen(text), ".dockerignore", &ignore, &err) < 0)
		fail_msg("'%s': %s", text, err.text);
	return ignore;
}

struct text_case {
	const char *text, *expected;
};

static void lines_become_patterns(void **state)
{
	static const struct text_case cases[] = {
		{"", ""},
		{"a\nb", "a\nb\n"},
		{"\357\273\277a\r\nb\r\n", "a\nb\n"},
		{"# c\n  # y\n\\#z\n", "# y\n\\#z\n"},
		{"  a  \n\n \t\n", "a\n"},
		{"!a\n! b \n!/c", "!a\n!b\n!c\n"},
		{"d/\nd/../a\n./x\n//y//z\n/w\n/", "d\na\nx\ny/z\nw\n/\n"},
		{"../a\n..\n.\na/../..\n/..", "../a\n..\n.\n..\n/\n"},
		{"**/\n**/x/**", "**\n**/x/**\n"},
		{"\\!x", "\\!x\n"},
		{"!!x", "!!x\n"},
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		IB_CLEANUP(builder_ignore_freep) struct builder_ignore *ignore = parse(cases[i].text);
		ib_autofree char *got = builder_ignore_str(ignore);

		assert_string_equal(got, cases[i].expected);
	}
}

static void bad_lines_are_refused_with_their_number(void **state)
{
	static const struct text_case cases[] = {
		{"a\n!\n", ".dockerignore:2: illegal exclusion pattern: \"!\""},
		{"!/", ".dockerignore:1: illegal exclusion pattern: \"!\""},
		{"!  ", ".dockerignore:1: illegal exclusion pattern: \"!\""},
		{"\n\na[", ".dockerignore:3: 'a[': syntax error in pattern"},
		{"a\\", ".dockerignore:1: 'a\\': syntax error in pattern"},
		{"![]", ".dockerignore:1: '![]': syntax error in pattern"},
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		struct builder_ignore *ignore = NULL;
		ib_autoerr err = {0};

		assert_int_equal(builder_ignore_parse(cases[i].text, strlen(cases[i].text), ".dockerignore",
						      &ignore, &err), -1);
		assert_null(ignore);
		assert_int_equal(err.code, IB_USAGE);
		assert_string_equal(err.text, cases[i].expected);
	}
}

static void binary_and_oversized_lines_are_refused(void **state)
{
	struct builder_ignore *ignore = NULL;
	ib_autofree char *longest = ib_malloc(4098);
	ib_autoerr err = {0}, err2 = {0};

	(void)state;
	assert_int_equal(builder_ignore_parse("a\0b", 3, "x", &ignore, &err), -1);
	assert_int_equal(err.code, IB_USAGE);
	memset(longest, 'a', 4097);
	longest[4097] = '\0';
	assert_int_equal(builder_ignore_parse(longest, 4097, "x", &ignore, &err2), -1);
	assert_int_equal(err2.code, IB_LIMIT);
	assert_null(ignore);
	ignore = parse(longest + 1);
	assert_true(builder_ignore_excludes(ignore, longest + 1));
	builder_ignore_free(ignore);
}

struct match_case {
	const char *patterns;
	const char *excluded, *kept;	/* paths, parted by blanks */
};

static void assert_all(const struct builder_ignore *ignore, const struct match_case *c, const char *list,
		       bool expected)
{
	for (const char *p = list; *p;) {
		size_t n = strcspn(p, " ");
		ib_autofree char *path = ib_strndup(p, n);

		if (builder_ignore_excludes(ignore, path) != expected)
			fail_msg("'%s': '%s' is %s", c->patterns, path, expected ? "kept" : "left out");
		p += n + (p[n] == ' ');
	}
}

static void matching_follows_the_reference(void **state)
{
	static const struct match_case cases[] = {
		{"", "", "a a/b ."},
		{"tmp", "tmp tmp/a tmp/a/b", "tmpx a/tmp xtmp"},
		{"/tmp", "tmp tmp/a", "a/tmp"},
		{"*/tmp", "a/tmp b/tmp/c", "tmp a/b/tmp a/tmpx"},
		{"**/tmp", "tmp a/tmp a/b/tmp a/tmp/x", "atmp a/tmpx a/btmp"},
		{"**/a/b", "a/b x/a/b x/y/a/b/c", "a x/b xa/b a/xb"},
		{"d/**", "d/x d/x/y", "d dx"},
		{"d/**/x", "d/x d/a/x d/a/b/x", "x d d/ax d/a"},
		{"a/**/b/**/c", "a/b/c a/x/b/y/z/c a/b/b/c", "a/c a/b b/c"},
		{"**", "a a/b .hidden", "."},
		{"*", "a a/b .hidden", "."},
		{"*.go", "x.go .go x.go/y", "a/x.go x.gox go"},
		{"**/*.go", "x.go a/x.go a/b/x.go a/x.go/y", "x.gox a/go"},
		{"a*b*c", "abc axbyc abbcc", "ab acb a/bc"},
		{"a?c", "abc a\303\251c", "ac abbc a/c"},
		{"[a-c]x", "ax cx bx/y", "dx x"},
		{"[^a]x", "bx", "ax x"},
		{"\\!x", "!x", "x"},
		{"\\#y", "#y", "y"},
		{"\\*", "*", "a"},
		{"a\\?b", "a?b", "axb"},
		{"  #y", "#y", "y"},
		{".", "", "a ."},
		{"../a", "", "a b/a"},
		{"..", "", "a"},
		{"/", "", "a"},
		{"a.b(c)+{1}$^|", "a.b(c)+{1}$^|", "axb(c)+{1}$^|"},
		/* "**" beside other characters */
		{"abc**", "abc abcd abc/d abcd/e", "ab xabc"},
		{"**foo", "foo xfoo a/xfoo foo/x", "foox"},
		{"a**b", "ab ax/b a/b ax/y/b", "axb a"},
		{"**/**/x", "x a/x a/b/x", "ax"},
		{"**/**", "a a/b", ""},
		{"**/.git", ".git a/.git/config", "a.git .github"},
		/* the last match decides */
		{"*\n!d/s", "a d d/x", "d/s d/s/y"},
		{"d\n!d/e/f.txt", "d d/a d/e d/e/g", "d/e/f.txt x"},
		{"!b\nb", "b", "a"},
		{"b\n!b", "", "b b/c"},
		{"*\n!*.md\nR*.md", "a README.md R.md x/y", "x.md"},
		{"*\n!**/x\ny", "a a/b y y/x", "x a/x a/b/x/c"},
		{"a\n!a/b\na/b/c", "a a/x a/b/c a/b/c/d", "a/b a/b/d"},
		{"!a", "", "a b"},
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		IB_CLEANUP(builder_ignore_freep) struct builder_ignore *ignore = parse(cases[i].patterns);

		assert_all(ignore, &cases[i], cases[i].excluded, true);
		assert_all(ignore, &cases[i], cases[i].kept, false);
	}
}

/* Is there a way from an excluded directory to something that is taken back? */
static void excluded_directories_are_walked_only_when_needed(void **state)
{
	static const struct {
		const char *patterns, *directory;
		bool expected;
	} cases[] = {
		{"*", "d", false},
		{"*\n!d/s", "d", true}, {"*\n!d/s", "e", false}, {"*\n!d/s", "d/t", false},
		{"d\n!d/e/f.txt", "d", true}, {"d\n!d/e/f.txt", "d/e", true}, {"d\n!d/e/f.txt", "d/g", false},
		{"d\n!d/e/f.txt", "d/ef", false},
		{"*\n!*.md", "d", false},
		{"*\n!**/*.md", "d/e/f", true}, {"*\n!**/x", "d", true},
		{"*\n!d/*.md", "d", true}, {"*\n!d/*.md", "e", false}, {"*\n!d/*.md", "d/e", false},
		{"*\n!d/*/x", "d/e", true}, {"*\n!d/*/x", "d/e/f", false},
		{"*\n!d/**/x", "d/e/f", true}, {"*\n!d/**", "d", true}, {"*\n!d?/x", "de", true},
		/* what comes before the last pattern that matches is lost */
		{"!d/x\nd", "d", false}, {"!**/x\n*", "d", false}, {"d\n!d/x\nd", "d", false},
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		IB_CLEANUP(builder_ignore_freep) struct builder_ignore *ignore = parse(cases[i].patterns);

		assert_true(builder_ignore_excludes(ignore, cases[i].directory));
		if (builder_ignore_reaches_into(ignore, cases[i].directory) != cases[i].expected)
			fail_msg("'%s': reaching into '%s' is not %d", cases[i].patterns, cases[i].directory,
				 cases[i].expected);
	}
}

static void single_patterns_keep_their_leading_slash(void **state)
{
	IB_CLEANUP(builder_ignore_freep) struct builder_ignore *ignore = builder_ignore_new();
	ib_autoerr err = {0};

	(void)state;
	assert_true(builder_ignore_is_empty(ignore));
	assert_int_equal(builder_ignore_add(ignore, "  ", &err), 0);
	assert_true(builder_ignore_is_empty(ignore));
	/* --exclude=/s/y matches nothing, --exclude=s/y does */
	assert_int_equal(builder_ignore_add(ignore, "/s/y", &err), 0);
	assert_false(builder_ignore_excludes(ignore, "s/y"));
	assert_int_equal(builder_ignore_add(ignore, "#x", &err), 0);
	assert_true(builder_ignore_excludes(ignore, "#x"));
	assert_int_equal(builder_ignore_add(ignore, "s/y", &err), 0);
	assert_true(builder_ignore_excludes(ignore, "s/y"));
	assert_false(builder_ignore_has_exceptions(ignore));
	assert_int_equal(builder_ignore_add(ignore, "!s/y/z", &err), 0);
	assert_true(builder_ignore_has_exceptions(ignore));
	assert_false(builder_ignore_excludes(ignore, "s/y/z"));
	assert_int_equal(builder_ignore_add(ignore, "!", &err), -1);
	assert_string_equal(err.text, "illegal exclusion pattern: \"!\"");
	assert_int_equal(builder_ignore_add(ignore, "[", &err), -1);
	assert_string_equal(err.text, "'[': syntax error in pattern");
}

static void stars_do_not_explode(void **state)
{
	static const char *const units[] = {"*a", "**/a", "?*", "[a-z]*", "*/", "**/*"};
	clock_t start = clock();
	ib_autofree char *path = ib_malloc(4001);

	(void)state;
	for (int i = 0; i < 4000; i++)
		path[i] = i % 2 ? 'a' : '/';
	path[0] = 'a';
	path[4000] = '\0';
	for (size_t i = 0; i < N(units); i++) {
		IB_CLEANUP(builder_ignore_freep) struct builder_ignore *ignore = builder_ignore_new();
		ib_autostr pattern = IB_STR(4096);
		ib_autoerr err = {0};

		while (pattern.len < 2000)
			ib_str_adds(&pattern, units[i]);
		ib_str_adds(&pattern, "b");
		assert_int_equal(builder_ignore_add(ignore, pattern.s, &err), 0);
		assert_false(builder_ignore_excludes(ignore, path));
	}
	assert_true(clock() - start < 20 * CLOCKS_PER_SEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_become_patterns),
		cmocka_unit_test(bad_lines_are_refused_with_their_number),
		cmocka_unit_test(binary_and_oversized_lines_are_refused),
		cmocka_unit_test(matching_follows_the_reference),
		cmocka_unit_test(excluded_directories_are_walked_only_when_needed),
		cmocka_unit_test(single_patterns_keep_their_leading_slash),
		cmocka_unit_test(stars_do_not_explode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
