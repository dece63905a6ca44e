/* Expected values: Docker's normal form as its documentation and reference grammar give it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"
#include "registry/reference.h"

#define HEX64 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SHA256 "sha256:" HEX64

static void references_take_their_normal_form(void **state)
{
	static const struct {
		const char *text, *host, *repository, *tag, *full, *familiar;
	} table[] = {
		{"debian", "docker.io", "library/debian", "latest", "docker.io/library/debian:latest", "debian:latest"},
		{"debian:12", "docker.io", "library/debian", "12", "docker.io/library/debian:12", "debian:12"},
		{"team/app", "docker.io", "team/app", "latest", "docker.io/team/app:latest", "team/app:latest"},
		{"docker.io/debian", "docker.io", "library/debian", "latest", "docker.io/library/debian:latest",
		 "debian:latest"},
		{"index.docker.io/team/app:1", "docker.io", "team/app", "1", "docker.io/team/app:1", "team/app:1"},
		{"docker.io/library/debian", "docker.io", "library/debian", "latest", "docker.io/library/debian:latest",
		 "debian:latest"},
		{"library/debian", "docker.io", "library/debian", "latest", "docker.io/library/debian:latest",
		 "debian:latest"},
		/* No slash: never a host. */
		{"myhost:5000", "docker.io", "library/myhost", "5000", "docker.io/library/myhost:5000", "myhost:5000"},
		{"localhost", "docker.io", "library/localhost", "latest", "docker.io/library/localhost:latest",
		 "localhost:latest"},
		{"localhost/app", "localhost", "app", "latest", "localhost/app:latest", "localhost/app:latest"},
		{"localhost:5000/app:v1", "localhost:5000", "app", "v1", "localhost:5000/app:v1",
		 "localhost:5000/app:v1"},
		{"registry.example/a/b/c:x_1.2-3", "registry.example", "a/b/c", "x_1.2-3",
		 "registry.example/a/b/c:x_1.2-3", "registry.example/a/b/c:x_1.2-3"},
		{"Foo/bar", "Foo", "bar", "latest", "Foo/bar:latest", "Foo/bar:latest"},
		{"[::1]:5000/app", "[::1]:5000", "app", "latest", "[::1]:5000/app:latest", "[::1]:5000/app:latest"},
		{"[fe80::1]/app", "[fe80::1]", "app", "latest", "[fe80::1]/app:latest", "[fe80::1]/app:latest"},
		{"127.0.0.1:5000/app", "127.0.0.1:5000", "app", "latest", "127.0.0.1:5000/app:latest",
		 "127.0.0.1:5000/app:latest"},
		{"a-b.c/d.e_f__g---h/i", "a-b.c", "d.e_f__g---h/i", "latest", "a-b.c/d.e_f__g---h/i:latest",
		 "a-b.c/d.e_f__g---h/i:latest"},
		{"a:_TAG", "docker.io", "library/a", "_TAG", "docker.io/library/a:_TAG", "a:_TAG"},
		/* A digest alone brings no tag; both may stand together. */
		{"debian@" SHA256, "docker.io", "library/debian", NULL, "docker.io/library/debian@" SHA256,
		 "debian@" SHA256},
		{"debian:12@" SHA256, "docker.io", "library/debian", "12", "docker.io/library/debian:12@" SHA256,
		 "debian:12@" SHA256},
		/* A short form must lead back to the same image. */
		{"docker.io/localhost/app", "docker.io", "localhost/app", "latest", "docker.io/localhost/app:latest",
		 "docker.io/localhost/app:latest"},
		{"docker.io/a.b/app", "docker.io", "a.b/app", "latest", "docker.io/a.b/app:latest",
		 "docker.io/a.b/app:latest"},
		{"docker.io/library/" HEX64 ":1", "docker.io", "library/" HEX64, "1",
		 "docker.io/library/" HEX64 ":1", "docker.io/library/" HEX64 ":1"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		registry_autoreference ref = {0};
		ib_autoerr err = {0};
		ib_autofree char *full = NULL, *familiar = NULL;

		if (registry_reference_parse(table[i].text, &ref, &err) < 0)
			fail_msg("%s: %s", table[i].text, err.text);
		assert_string_equal(ref.host, table[i].host);
		assert_string_equal(ref.repository, table[i].repository);
		if (table[i].tag)
			assert_string_equal(ref.tag, table[i].tag);
		else
			assert_null(ref.tag);
		assert_int_equal(ref.has_digest, strchr(table[i].text, '@') != NULL);
		full = registry_reference_str(&ref);
		familiar = registry_reference_familiar(&ref);
		assert_string_equal(full, table[i].full);
		assert_string_equal(familiar, table[i].familiar);
	}
}

static void both_forms_parse_back_to_the_same_reference(void **state)
{
	static const char *const texts[] = {"debian:12", "docker.io/localhost/a", "[::1]:80/x@" SHA256, "a.b/c:d@" SHA256};

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		registry_autoreference a = {0}, b = {0}, c = {0};
		ib_autoerr err = {0};
		ib_autofree char *full = NULL, *familiar = NULL, *again = NULL, *third = NULL;

		assert_int_equal(registry_reference_parse(texts[i], &a, &err), 0);
		full = registry_reference_str(&a);
		familiar = registry_reference_familiar(&a);
		assert_int_equal(registry_reference_parse(full, &b, &err), 0);
		assert_int_equal(registry_reference_parse(familiar, &c, &err), 0);
		again = registry_reference_str(&b);
		third = registry_reference_str(&c);
		assert_string_equal(full, again);
		assert_string_equal(full, third);
	}
}

static void bad_references_are_refused_with_a_reason(void **state)
{
	static const struct {
		const char *text, *why;
	} table[] = {
		{"", "empty reference"},
		{"Debian", "lower case"},
		{"team/App", "lower case"},
		{HEX64, "image id"},
		{"a:", "a tag has"},
		{"a:.x", "a tag has"},
		{"a:-x", "a tag has"},
		{"a:b:c", "a tag has"},
		{"a:t\xc3\xa4g", "a tag has"},
		{"a//b", "repository is not valid"},
		{"/a", "repository is not valid"},
		{"a/", "repository is not valid"},
		{"a..b", "repository is not valid"},
		{"a___b", "repository is not valid"},
		{"-a", "repository is not valid"},
		{"a-", "repository is not valid"},
		{"a b", "repository is not valid"},
		{"registry.example/", "repository is missing"},
		{"registry.example/:x", "repository is missing"},
		{"-x.y/a", "host is not valid"},
		{"x-.y/a", "host is not valid"},
		{"x..y/a", "host is not valid"},
		{"x.y:port/a", "host is not valid"},
		{"x.y:/a", "host is not valid"},
		{"x.y:0/a", "host is not valid"},
		{"x.y:65536/a", "host is not valid"},
		{"[::1/a", "host is not valid"},
		{"https://registry.example/a", "host is not valid"},
		{"user@x.y/a", "host is not valid"},
		{"a@sha256:abc", "the digest is not"},
		{"a@sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855", "the digest is not"},
		{"a@md5:d41d8cd98f00b204e9800998ecf8427e", "the digest is not"},
		{"a@", "the digest is not"},
		{"a@" SHA256 "@" SHA256, "the digest is not"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		registry_autoreference ref = {0};
		ib_autoerr err = {0};

		assert_int_equal(registry_reference_parse(table[i].text, &ref, &err), -1);
		assert_int_equal(err.code, IB_USAGE);
		if (!strstr(err.text, table[i].why))
			fail_msg("'%s': %s", table[i].text, err.text);
		assert_null(ref.host);
	}
}

/* name of n times c, with tail */
static char *repeat(const char *head, char c, size_t n, const char *tail)
{
	ib_autofree char *run = ib_malloc(n + 1);

	memset(run, c, n);
	run[n] = '\0';
	return ib_asprintf("%s%s%s", head, run, tail);
}

static void lengths_are_limited_at_the_byte(void **state)
{
	/* "docker.io/library/" has 18 bytes; 255 - 18 = 237. A tag has at most 128. */
	const struct {
		char *text;
		int rc;
	} table[] = {
		{repeat("", 'a', 237, ""), 0},
		{repeat("", 'a', 238, ""), -1},
		{repeat("a:", 'b', 128, ""), 0},
		{repeat("a:", 'b', 129, ""), -1},
		{repeat("", 'a', 100000, ""), -1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		registry_autoreference ref = {0};
		ib_autoerr err = {0};

		assert_int_equal(registry_reference_parse(table[i].text, &ref, &err), table[i].rc);
		free(table[i].text);
	}
}

static void a_copy_lives_on_its_own(void **state)
{
	registry_autoreference a = {0}, b = {0};
	ib_autoerr err = {0};
	ib_autofree char *text = NULL;

	(void)state;
	assert_int_equal(registry_reference_parse("x.y/z:1@" SHA256, &a, &err), 0);
	registry_reference_copy(&b, &a);
	registry_reference_done(&a);
	text = registry_reference_str(&b);
	assert_string_equal(text, "x.y/z:1@" SHA256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(references_take_their_normal_form),
		cmocka_unit_test(both_forms_parse_back_to_the_same_reference),
		cmocka_unit_test(bad_references_are_refused_with_a_reason),
		cmocka_unit_test(lengths_are_limited_at_the_byte),
		cmocka_unit_test(a_copy_lives_on_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
