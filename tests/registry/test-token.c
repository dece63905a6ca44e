#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "oci/base/alloc.h"
#include "registry/base64.h"
#include "registry/scope.h"
#include "registry/token.h"

/* printf '{"exp":1700004500,"sub":"x"}' | base64 | tr '+/' '-_' | tr -d = */
#define JWT "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE3MDAwMDQ1MDAsInN1YiI6IngifQ.c2ln"

static void answers_give_token_and_lifetime(void **state)
{
	static const struct {
		const char *body, *token;
		int64_t seconds;
	} table[] = {
		{"{\"token\":\"t\",\"expires_in\":300,\"issued_at\":\"2024-01-01T00:00:00Z\"}", "t", 300},
		{"{\"access_token\":\"a\",\"expires_in\":3600}", "a", 3600},
		{"{\"token\":\"t\",\"access_token\":\"t\"}", "t", 60},	/* distribution: 60 when it is not said */
		{"{\"token\":\"\",\"access_token\":\"a\"}", "a", 60},
		{"{\"access_token\":\"" JWT "\"}", JWT, 4500},		/* ACR says nothing but exp; now is 1700000000 */
		{"{\"access_token\":\"" JWT "\",\"expires_in\":120}", JWT, 120},
		{"{\"token\":\"a.b.c\"}", "a.b.c", 60},
		{"{\"token\":\"t\",\"expires_in\":-5}", "t", 60},
		{"{\"token\":\"t\",\"expires_in\":99999999999}", "t", 86400},
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		ib_autofree char *token = NULL;
		int64_t seconds = 0;
		ib_autoerr err = {0};

		assert_int_equal(registry_token_parse(table[i].body, strlen(table[i].body), 1700000000, &token, &seconds,
						      &err), 0);
		assert_string_equal(token, table[i].token);
		assert_int_equal(seconds, table[i].seconds);
	}
}

static void answers_without_a_usable_token_are_refused_unquoted(void **state)
{
	static const char *const table[] = {
		"", "secret", "[]", "{}", "{\"token\":1}", "{\"token\":\"\"}", "{\"token\":\"secret\\r\\nX: y\"}",
		"{\"token\":\"se cret\"}", "{\"token\":\"s\\u00e9cret\"}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		ib_autofree char *token = NULL;
		int64_t seconds;
		ib_autoerr err = {0};

		assert_int_equal(registry_token_parse(table[i], strlen(table[i]), 0, &token, &seconds, &err), -1);
		assert_int_equal(err.code, IB_INVALID);
		assert_string_equal(err.text, "the token server's answer holds no token");
	}
}

static void scopes_become_one_sorted_set(void **state)
{
	static const struct {
		const char *first, *second, *want;
	} table[] = {
		{"repository:a:pull", "repository:a:push", "repository:a:pull,push"},
		{"repository:a:push,pull", "", "repository:a:pull,push"},
		{"repository:a:pull", "repository:a:pull", "repository:a:pull"},
		{"repository:b:pull repository:a:pull", "", "repository:a:pull repository:b:pull"},
		{"repository:host:5000/a:pull", "repository:host:5000/a:push", "repository:host:5000/a:pull,push"},
		{"repository:a:pull", "registry:catalog:*", "registry:catalog:* repository:a:pull"},
		{"odd", "odd  odder", "odd odder"},
		{"", "", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		ib_autostrv scopes = {0};
		ib_autofree char *joined = NULL;

		registry_scope_merge(&scopes, table[i].first);
		registry_scope_merge(&scopes, table[i].second);
		joined = registry_scope_join(&scopes);
		assert_string_equal(joined, table[i].want);
	}
}

/* RFC 4648, section 10. */
static void base64_follows_its_vectors(void **state)
{
	static const char *const table[][2] = {
		{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"}, {"\xfb\xff\xfe", "+//+"},
	};
	static const char *const refused[] = {"Z", "Zm9vY", "Zm9*", "Zm 9v", "=", "Zg==="};
	ib_autofree char *url = NULL;
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		ib_autofree char *encoded = registry_base64_encode(table[i][0], strlen(table[i][0]));
		ib_autofree char *decoded = registry_base64_decode(table[i][1], strlen(table[i][1]), &len);

		assert_string_equal(encoded, table[i][1]);
		assert_int_equal(len, strlen(table[i][0]));
		assert_string_equal(decoded, table[i][0]);
	}
	for (size_t i = 1; i < 4; i++)
		assert_null(registry_base64_decode(refused[i], strlen(refused[i]), &len));
	url = registry_base64_decode("-__-", 4, &len);
	assert_string_equal(url, "\xfb\xff\xfe");
}

static void retry_after_is_seconds_or_a_date(void **state)
{
	char date[64];
	time_t soon = time(NULL) + 100;
	struct tm tm;

	(void)state;
	assert_int_equal(registry_retry_after_ms("0"), 0);
	assert_int_equal(registry_retry_after_ms("17"), 17000);
	assert_int_equal(registry_retry_after_ms("-3"), 0);
	assert_int_equal(registry_retry_after_ms("Wed, 21 Oct 2015 07:28:00 GMT"), 0);
	assert_int_equal(registry_retry_after_ms("soon"), -1);
	strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&soon, &tm));
	assert_in_range(registry_retry_after_ms(date), 90000, 100000);
}

static void only_what_may_pass_is_tried_again(void **state)
{
	static const int again[] = {408, 429, 500, 502, 503, 504}, never[] = {200, 400, 401, 403, 404, 405, 412, 413, 501};

	(void)state;
	for (size_t i = 0; i < sizeof again / sizeof *again; i++)
		assert_true(registry_retry_status(again[i]));
	for (size_t i = 0; i < sizeof never / sizeof *never; i++)
		assert_false(registry_retry_status(never[i]));
	assert_true(registry_retry_fault(REGISTRY_FAULT_BROKEN));
	assert_false(registry_retry_fault(REGISTRY_FAULT_CERTIFICATE));
	assert_false(registry_retry_fault(REGISTRY_FAULT_STOPPED));
}

static void tries_end_and_progress_renews_them(void **state)
{
	static const struct registry_retry_policy policy = {.tries = 3, .base_ms = 1, .cap_ms = 2, .after_cap_ms = 2};
	struct registry_retry retry = {.policy = &policy};
	ib_autoerr err = {0};

	(void)state;
	for (int i = 0; i < 2; i++) {
		ib_fail(&err, IB_NETWORK, "cut");
		assert_int_equal(registry_retry_next(&retry, REGISTRY_FAULT_BROKEN, 0, NULL, &err), 0);
		assert_int_equal(err.code, IB_OK);
	}
	registry_retry_progress(&retry);
	for (int i = 0; i < 2; i++)
		assert_int_equal(registry_retry_next(&retry, REGISTRY_FAULT_NONE, 503, "3600", &err), 0);
	ib_fail(&err, IB_NETWORK, "cut");
	assert_int_equal(registry_retry_next(&retry, REGISTRY_FAULT_BROKEN, 0, NULL, &err), -1);
	assert_string_equal(err.text, "cut");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_give_token_and_lifetime),
		cmocka_unit_test(answers_without_a_usable_token_are_refused_unquoted),
		cmocka_unit_test(scopes_become_one_sorted_set),
		cmocka_unit_test(base64_follows_its_vectors),
		cmocka_unit_test(retry_after_is_seconds_or_a_date),
		cmocka_unit_test(only_what_may_pass_is_tried_again),
		cmocka_unit_test(tries_end_and_progress_renews_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
