#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "builder/exec/chmod.h"

#include "oci/base/poison.h"

static mode_t change(const char *text, mode_t mode)
{
	ib_autoerr err = {0};
	struct exec_chmod how;

	if (exec_chmod_parse(text, &how, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return exec_chmod_entry(&how, mode);
}

/* Expected values: setmode(3) and getmode(3) of libbsd, under umask 0. */
static void modes_are_changed_as_bsd_does(void **state)
{
	static const struct {
		const char *text;
		mode_t from, to;
	} rows[] = {
		{"0", 04755, 0}, {"755", 0600, 0755}, {"0644", 07777, 0644}, {"07777", 0, 07777}, {"00755", 0, 0755},
		{"+x", 0644, 0755}, {"a+x", 0644, 0755}, {"u+x", 0644, 0744}, {"ug+x", 0644, 0754},
		{"go-rwx", 0777, 0700}, {"a-w", 0666, 0444}, {"-w", 0666, 0444}, {"=", 0777, 0}, {"=r", 0777, 0444},
		{"u=rw,go=r", 0777, 0644}, {"u=rwX,go=rX", 0600, 0644}, {"u=rwX,go=rX", 0700, 0755},
		{"u=rwX,go=rX", S_IFDIR | 0600, 0755}, {"+X", 0644, 0644}, {"+X", 0645, 0755},
		{"g=u", 0740, 0770}, {"o=g", 0750, 0755}, {"u=g", 0751, 0551}, {"go=u-w", 0700, 0755},
		{"u+s", 0755, 04755}, {"g+s", 0755, 02755}, {"+s", 0755, 06755}, {"o+s", 0755, 0755},
		{"+t", 0755, 01755}, {"u+t", 0755, 01755}, {"o+t", 0755, 0755}, {"-t", 01755, 0755},
		{"u=rwx", 04755, 0755}, {"g=rx", 02755, 0755}, {"a=rx", 06777, 0555}, {"=rx", 01777, 01555},
		{"u+x,u-x", 0644, 0644}, {"+x-w", 0666, 0555}, {"ugo=rwx", 0, 0777}, {"u+r+w+x", 0, 0700},
		{"go=", 0777, 0700}, {"u=", 0777, 077}, {"a-w,u+s", 0755, 04555},
		{"g=o", 0604, 0644}, {"u+g", 0070, 0770}, {"g-o", 0775, 0725}, {"u=rwx,g=u", 0, 0770},
		{"", 04711, 04711},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		mode_t got = change(rows[i].text, rows[i].from);

		if (got != rows[i].to)
			fail_msg("%s on %o: %o instead of %o", rows[i].text, rows[i].from, got, rows[i].to);
	}
}

static void bad_modes_are_refused(void **state)
{
	static const char octal[] = "it should be octal string and between 0 and 07777", symbolic[] = "invalid syntax";
	static const struct {
		const char *text, *error;
	} rows[] = {
		{"99", octal}, {"8", octal}, {"10000", octal}, {"777777777777777777777", octal}, {"0o755", symbolic},
		{"755x", symbolic}, {"u=rwx,755", symbolic}, {"u", symbolic}, {"rwx", symbolic}, {"u+q", symbolic},
		{",", symbolic}, {"u+x,", symbolic}, {",u+x", symbolic}, {"u+x,,g+x", symbolic}, {" 755", symbolic},
		{"-755", symbolic}, {"+x ", symbolic}, {"u+rwxa", symbolic},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		ib_autoerr err = {0};
		struct exec_chmod how;

		assert_int_equal(exec_chmod_parse(rows[i].text, &how, &err), -1);
		assert_int_equal(err.code, IB_USAGE);
		assert_non_null(strstr(err.text, rows[i].error));
		assert_non_null(strstr(err.text, rows[i].text));
	}
}

static void too_many_steps_are_refused(void **state)
{
	ib_autoerr err = {0};
	struct exec_chmod how;
	char text[2 * (EXEC_CHMOD_MAX_STEPS + 1) + 1];

	(void)state;
	for (size_t i = 0; i < sizeof text - 1; i += 2)
		memcpy(text + i, "+x", 3);
	assert_int_equal(exec_chmod_parse(text, &how, &err), -1);
	text[2 * EXEC_CHMOD_MAX_STEPS] = '\0';
	ib_err_clear(&err);
	assert_int_equal(exec_chmod_parse(text, &how, &err), 0);
}

static void created_parents_have_octal_permissions_only(void **state)
{
	static const struct {
		const char *text;
		mode_t mode;
	} rows[] = {{NULL, 0755}, {"", 0755}, {"600", 0600}, {"04755", 0755}, {"1777", 0777}, {"go-rwx", 0755}, {"0", 0}};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		ib_autoerr err = {0};
		struct exec_chmod how;

		assert_int_equal(exec_chmod_parse(rows[i].text, &how, &err), 0);
		assert_int_equal(exec_chmod_parent(&how), rows[i].mode);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(modes_are_changed_as_bsd_does),
		cmocka_unit_test(bad_modes_are_refused),
		cmocka_unit_test(too_many_steps_are_refused),
		cmocka_unit_test(created_parents_have_octal_permissions_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
