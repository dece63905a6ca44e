#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <cmocka.h>

#include "oci/base/alloc.h"
#include "oci/platform.h"

/* The names are those of the Docker and containerd documentation. */
static void names_are_brought_to_their_normal_form(void **state)
{
	static const struct {
		const char *text, *normal;
	} cases[] = {
		{"linux/amd64", "linux/amd64"},	   {"Linux/AMD64", "linux/amd64"},
		{"linux/x86_64", "linux/amd64"},   {"linux/x86-64", "linux/amd64"},
		{"linux/amd64/v1", "linux/amd64"}, {"linux/amd64/v2", "linux/amd64/v2"},
		{"arm64", "linux/arm64"},	   {"aarch64", "linux/arm64"},
		{"linux/arm64/v8", "linux/arm64"}, {"linux/arm64/8", "linux/arm64"},
		{"linux/arm64/v9", "linux/arm64/v9"},
		{"arm", "linux/arm/v7"},	   {"linux/arm/7", "linux/arm/v7"},
		{"armhf", "linux/arm/v7"},	   {"armel", "linux/arm/v6"},
		{"linux/arm/v6", "linux/arm/v6"},  {"i386", "linux/386"},
		{"linux/ppc64le", "linux/ppc64le"},
		{"windows/amd64", "windows/amd64"}, {"macos/arm64", "darwin/arm64"},
		{"linux/riscv64", "linux/riscv64"}, {"linux/e2k/v3", "linux/e2k/v3"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ib_autoerr err = {0};
		oci_autoplatform p = {0};
		ib_autofree char *text = NULL;

		assert_int_equal(oci_platform_parse(cases[i].text, &p, &err), 0);
		text = oci_platform_str(&p);
		assert_string_equal(text, cases[i].normal);
	}
}

static void what_is_no_platform_is_refused_as_usage(void **state)
{
	static const char *const cases[] = {
		"", "/", "linux/", "/amd64", "linux//v7", "linux/arm/v7/x", "lin ux/amd64", "linux/am\ndd",
		"nonsense", "linux/amd64,linux/arm64",
		"linux/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ib_autoerr err = {0};
		oci_autoplatform p = {0};

		assert_int_equal(oci_platform_parse(cases[i], &p, &err), -1);
		assert_int_equal(err.code, IB_USAGE);
		assert_null(p.os);
	}
}

static int match(const char *wanted, const char *os, const char *arch, const char *variant)
{
	ib_autoerr err = {0};
	oci_autoplatform want = {0};
	oci_autoplatform offered = {ib_strdup(os), ib_strdup(arch), ib_strdup_null(variant), NULL};

	assert_int_equal(oci_platform_parse(wanted, &want, &err), 0);
	return oci_platform_match(&want, &offered);
}

static void offers_match_in_whatever_form_an_index_has_them(void **state)
{
	(void)state;
	assert_true(match("linux/arm64", "linux", "arm64", "v8") > 0);
	assert_true(match("linux/arm64", "linux", "arm64", NULL) > 0);
	assert_true(match("linux/amd64", "linux", "amd64", "v1") > 0);
	assert_true(match("linux/arm/v7", "linux", "arm", NULL) > 0);
	assert_true(match("linux/arm/v7", "linux", "arm", "7") > 0);
	assert_true(match("linux/s390x", "linux", "s390x", "") > 0);
	assert_int_equal(match("linux/amd64", "windows", "amd64", NULL), 0);
	assert_int_equal(match("linux/amd64", "linux", "arm64", NULL), 0);
	assert_int_equal(match("linux/amd64", "unknown", "unknown", NULL), 0);
	assert_int_equal(match("linux/amd64", "", "", NULL), 0);
}

static void a_lower_variant_serves_but_the_exact_one_serves_better(void **state)
{
	(void)state;
	assert_true(match("linux/arm/v7", "linux", "arm", "v6") > 0);
	assert_true(match("linux/arm/v7", "linux", "arm", "v7") > match("linux/arm/v7", "linux", "arm", "v6"));
	assert_true(match("linux/arm/v7", "linux", "arm", "v6") > match("linux/arm/v7", "linux", "arm", "v5"));
	assert_int_equal(match("linux/arm/v6", "linux", "arm", "v7"), 0);
	assert_int_equal(match("linux/amd64", "linux", "amd64", "v3"), 0);
	assert_true(match("linux/amd64/v3", "linux", "amd64", NULL) > 0);
}

static void the_host_is_a_linux_of_its_machine(void **state)
{
	oci_autoplatform host = {0};
	ib_autofree char *text = NULL;
	struct utsname name;

	(void)state;
	oci_platform_host(&host);
	assert_string_equal(host.os, "linux");
	assert_int_equal(uname(&name), 0);
	text = oci_platform_str(&host);
	if (strcmp(name.machine, "x86_64") == 0)
		assert_string_equal(text, "linux/amd64");
	if (strcmp(name.machine, "aarch64") == 0)
		assert_string_equal(text, "linux/arm64");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_brought_to_their_normal_form),
		cmocka_unit_test(what_is_no_platform_is_refused_as_usage),
		cmocka_unit_test(offers_match_in_whatever_form_an_index_has_them),
		cmocka_unit_test(a_lower_variant_serves_but_the_exact_one_serves_better),
		cmocka_unit_test(the_host_is_a_linux_of_its_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
