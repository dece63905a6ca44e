/* Examples of RFC 9110 11.6.1 and RFC 6750, and what registries send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "registry/challenge.h"

static void check(const char *got, const char *want)
{
	if (want && got)
		assert_string_equal(got, want);
	else
		assert_ptr_equal(got, want);
}

static void one_challenge_is_chosen_and_read(void **state)
{
	static const struct {
		const char *lines[3];
		const char *scheme, *realm, *service, *scope, *error;
	} table[] = {
		{{"Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\","
		  "scope=\"repository:library/debian:pull,push\""},
		 "Bearer", "https://auth.docker.io/token", "registry.docker.io", "repository:library/debian:pull,push", NULL},
		{{"Basic realm=\"Registry Realm\""}, "Basic", "Registry Realm", NULL, NULL, NULL},
		{{"basic REALM=x"}, "basic", "x", NULL, NULL, NULL},
		/* RFC 9110: two challenges in one line, commas and quotes in values. */
		{{"Basic realm=\"simple\", Newauth realm=\"apps\", type=1, title=\"Login to \\\"apps\\\"\""},
		 "Basic", "simple", NULL, NULL, NULL},
		{{"Newauth realm=\"apps\", type=1, title=\"Login, to \\\"apps\\\"\", Basic realm=\"simple\""},
		 "Basic", "simple", NULL, NULL, NULL},
		/* Nexus: both; a token is preferred. */
		{{"BASIC realm=\"Sonatype Nexus\"", "Bearer realm=\"https://n.example/v2/token\",service=\"https://n.example/v2/token\""},
		 "Bearer", "https://n.example/v2/token", "https://n.example/v2/token", NULL, NULL},
		{{"Negotiate, Bearer realm=\"r\""}, "Bearer", "r", NULL, NULL, NULL},
		{{"Negotiate YIIabc==, Basic realm=\"b\""}, "Basic", "b", NULL, NULL, NULL},
		{{"Bearer realm = \"r\" ,  service = s , error=\"insufficient_scope\""},
		 "Bearer", "r", "s", NULL, "insufficient_scope"},
		{{"Bearer realm=\"r\", scope=\"a:b:c\", scope=\"d:e:f\""}, "Bearer", "r", NULL, "a:b:c d:e:f", NULL},
		{{", ,Bearer realm=\"r\","}, "Bearer", "r", NULL, NULL, NULL},
		{{"Bearer realm=\"back\\\\slash\""}, "Bearer", "back\\slash", NULL, NULL, NULL},
		/* Unquoted URLs are seen in the wild. */
		{{"Bearer realm=https://x.example/token,service=s"}, "Bearer", "https://x.example/token", "s", NULL, NULL},
		/* Nonsense beside it does not hide the good one. */
		{{"@@@ \"x, Basic realm=no\", Bearer realm=\"r\""}, "Bearer", "r", NULL, NULL, NULL},
		{{"Bearer realm=\"unfinished"}, "Bearer", "unfinished", NULL, NULL, NULL},
		/* Bearer without a realm leads nowhere. */
		{{"Bearer", "Basic realm=\"b\""}, "Basic", "b", NULL, NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		registry_autochallenges list = {0};
		const struct registry_challenge *c;

		for (size_t n = 0; n < 3 && table[i].lines[n]; n++)
			registry_challenges_parse(table[i].lines[n], &list);
		c = registry_challenges_choose(&list);
		if (!c)
			fail_msg("nothing chosen of %s", table[i].lines[0]);
		check(c->scheme, table[i].scheme);
		check(c->realm, table[i].realm);
		check(c->service, table[i].service);
		check(c->scope, table[i].scope);
		check(c->error, table[i].error);
	}
}

static void what_cannot_be_answered_is_not_chosen(void **state)
{
	static const char *const values[] = {"", ",,,", "Digest realm=\"x\"", "Bearer", "=", "\"", "realm=\"x\""};

	(void)state;
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		registry_autochallenges list = {0};

		registry_challenges_parse(values[i], &list);
		assert_null(registry_challenges_choose(&list));
	}
}

static void the_number_of_challenges_is_bounded(void **state)
{
	registry_autochallenges list = {0};

	(void)state;
	for (int i = 0; i < 1000; i++)
		registry_challenges_parse("A, B, C", &list);
	assert_in_range(list.n, 1, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_challenge_is_chosen_and_read),
		cmocka_unit_test(what_cannot_be_answered_is_not_chosen),
		cmocka_unit_test(the_number_of_challenges_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
