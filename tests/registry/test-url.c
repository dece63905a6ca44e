/* RFC 3986 5.4 examples, and addresses as registries and storage hosts hand them out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "registry/url.h"

static void locations_resolve_byte_for_byte(void **state)
{
	static const struct {
		const char *base, *location, *want;
	} table[] = {
		{"https://r.example/v2/a/blobs/uploads/", "/v2/a/blobs/uploads/U?_state=x%2By%3D%3d&_n=",
		 "https://r.example/v2/a/blobs/uploads/U?_state=x%2By%3D%3d&_n="},
		{"https://r.example:5000/v2/a/blobs/uploads/", "/v2/u", "https://r.example:5000/v2/u"},
		{"https://r.example/v2/a/blobs/uploads/", "U", "https://r.example/v2/a/blobs/uploads/U"},
		{"https://r.example/v2/x?q=1", "https://s.example:8443//docker//reg?sig=a%2Fb+c&se=1:2",
		 "https://s.example:8443//docker//reg?sig=a%2Fb+c&se=1:2"},
		{"https://r.example/v2/x", "//s.example/p", "https://s.example/p"},
		{"http://127.0.0.1:5000/v2/x", "http://127.0.0.1:5000/v2/y?_state=", "http://127.0.0.1:5000/v2/y?_state="},
		{"http://127.0.0.1:5000/v2/x", "https://s.example/y", "https://s.example/y"},
		{"https://r.example/v2/x", "/y#fragment", "https://r.example/y"},
		{"https://r.example/v2/x", "https://s.example/a/../b/./c", "https://s.example/a/../b/./c"},
		/* A proxy in front ends TLS: what it hides as http is still https. */
		{"https://r.example/v2/x", "http://r.example/v2/y?s=1", "https://r.example/v2/y?s=1"},
		{"https://r.example/v2/x", "http://R.EXAMPLE:80/v2/y", "https://R.EXAMPLE/v2/y"},
		{"https://r.example:8443/v2/x", "http://r.example:8443/v2/y", "https://r.example:8443/v2/y"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		ib_autofree char *url = NULL;
		ib_autoerr err = {0};

		if (registry_url_resolve(table[i].base, table[i].location, &url, &err) < 0)
			fail_msg("%s: %s", table[i].location, err.text);
		assert_string_equal(url, table[i].want);
	}
}

static void bad_locations_are_refused_without_their_query(void **state)
{
	static const char *const table[] = {
		"http://s.example/x?secret", "ftp://s.example/?secret", "file:///etc/passwd?secret",
		"https://user:secret@s.example/", "https://s.example:99999/secret",
		"http://r.example:8080/secret",
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		ib_autofree char *url = NULL;
		ib_autoerr err = {0};

		if (registry_url_resolve("https://r.example/v2/x", table[i], &url, &err) == 0)
			fail_msg("%s became %s", table[i], url);
		assert_null(strstr(err.text, "secret"));
	}
}

static void origins_differ_by_scheme_host_and_port(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} table[] = {
		{"https://r.example/a", "https://R.example/b?c", true},
		{"https://r.example/a", "https://r.example:443/b", true},
		{"http://r.example", "http://r.example:80/b", true},
		{"https://r.example/a", "http://r.example/a", false},
		{"https://r.example/a", "https://r.example:444/a", false},
		{"https://r.example/a", "https://s.example/a", false},
		{"https://r.example", "https://r.example.evil", false},
		{"https://r.example", "https://r.example@evil/", false},
		{"https://r.example/", "https://evil/r.example", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (registry_url_same_origin(table[i].a, table[i].b) != table[i].same)
			fail_msg("%s and %s", table[i].a, table[i].b);
}

static void a_query_is_appended_to_what_is_there(void **state)
{
	static const struct {
		const char *url, *want;
	} table[] = {
		{"https://r/u", "https://r/u?digest=sha256%3Aab"},
		{"https://r/u?_state=x%2B", "https://r/u?_state=x%2B&digest=sha256%3Aab"},
		{"https://r/u?", "https://r/u?digest=sha256%3Aab"},
		{"https://r/u?a&", "https://r/u?a&digest=sha256%3Aab"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		ib_autofree char *url = registry_url_add_query(table[i].url, "digest", "sha256:ab");

		assert_string_equal(url, table[i].want);
	}
}

static void escaping_leaves_only_unreserved_characters(void **state)
{
	ib_autofree char *s = registry_url_escape("aZ0-._~ +&=/:%\xc3\xa4\n");

	(void)state;
	assert_string_equal(s, "aZ0-._~%20%2B%26%3D%2F%3A%25%C3%A4%0A");
}

static void loopback_is_told_by_the_literal(void **state)
{
	static const struct {
		const char *host;
		bool is;
	} table[] = {
		{"localhost", true}, {"LOCALHOST:5000", true}, {"127.0.0.1:80", true}, {"127.1.2.3", true},
		{"[::1]", true}, {"[::1]:5000", true}, {"localhost.evil", false}, {"127.0.0.1.evil:80", false},
		{"128.0.0.1", false}, {"[::2]", false}, {"notlocalhost", false}, {"1270.0.0.1", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (registry_host_is_loopback(table[i].host) != table[i].is)
			fail_msg("%s", table[i].host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(locations_resolve_byte_for_byte),
		cmocka_unit_test(bad_locations_are_refused_without_their_query),
		cmocka_unit_test(origins_differ_by_scheme_host_and_port),
		cmocka_unit_test(a_query_is_appended_to_what_is_there),
		cmocka_unit_test(escaping_leaves_only_unreserved_characters),
		cmocka_unit_test(loopback_is_told_by_the_literal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
