/* Owners of files and users of processes. */
#include "builder/exec/copy.h"
#include "tests/builder/files.h"

#include "oci/base/poison.h"

#define PASSWD \
	"root:x:0:0:root:/root:/bin/bash\n" \
	"\n" \
	"# a comment\n" \
	"broken:x:one:1\n" \
	"short\n" \
	"daemon:x:1:2:daemon:/usr/sbin:/usr/sbin/nologin\n" \
	"daemon:x:9:9:a second one:/:/bin/sh\n" \
	"www:x:33:34::/var/www\n" \
	"nohome:x:50:51\n" \
	"12:x:99:98::/twelve:/bin/sh\n" \
	"big:x:4294967294:4294967295::/:/bin/sh\n" \
	"last:x:60:61::/last:/bin/sh"
#define GROUP \
	"root:x:0:\n" \
	"staff:x:50:www,daemon\n" \
	"bad:x:q:www\n" \
	"adm:x:4:syslog,www,other\n" \
	"wwwx:x:7:wwwx\n" \
	"twelve:x:77:12\n" \
	"last:x:88:last"

struct fixture {
	struct files *files;
	struct oci_union *root;
};

static void write_file(int dir, const char *path, const char *text)
{
	ib_autoclose int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static int set_up(void **state)
{
	struct fixture *f = ib_new(struct fixture);
	int root;

	f->files = files_new();
	root = files_sub(f->files, "root");
	files_make(root, "d 755 - - etc\nd 755 - - usr\nl - - - etc/passwd /usr/passwd\n");
	write_file(root, "usr/passwd", PASSWD);
	write_file(root, "etc/group", GROUP);
	f->root = files_union(root, OCI_UNION_OVERLAY);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	oci_union_free(f->root);
	files_free(f->files);
	free(f);
	return 0;
}

struct owner_row {
	const char *text;
	uid_t uid;
	gid_t gid;
};

static void check_owners(struct oci_union *root, const struct owner_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		ib_autoerr err = {0};
		uid_t uid = 12345;
		gid_t gid = 12345;

		assert_int_equal(exec_owner_lookup(root, rows[i].text, &uid, &gid, &err), 0);
		if (uid != rows[i].uid || gid != rows[i].gid)
			fail_msg("%s: %u:%u", rows[i].text, uid, gid);
	}
}

static void owners_of_files(void **state)
{
	static const struct owner_row rows[] = {
		{"7", 7, 7}, {"7:8", 7, 8}, {"root", 0, 0}, {"root:root", 0, 0}, {"daemon", 1, 2}, {"www", 33, 34},
		{":50", 0, 50}, {":staff", 0, 50}, {"5:", 5, 0}, {"daemon:", 1, 2}, {"daemon:nogrp2", 1, 2},
		{"www:adm", 33, 4}, {"www:7", 33, 7}, {"nouser", 0, 0}, {"nouser:staff", 0, 50}, {"nouser:9", 0, 9},
		{"5:nogrp", 5, 0}, {"12", 12, 12}, {"broken", 0, 0}, {"big", 0, 0}, {"last:last", 60, 88},
		{"4294967294", 4294967294u, 4294967294u}, {"4294967295", 0, 0}, {"-1", 0, 0}, {"+7", 0, 0}, {"", 0, 0},
		{":", 0, 0}, {"www:root", 33, 0}, {"1:2:3", 1, 0},
	};
	struct fixture *f = *state;

	check_owners(f->root, rows, sizeof rows / sizeof *rows);
}

static void without_user_files_names_are_root(void **state)
{
	static const struct owner_row rows[] = {{"daemon:adm", 0, 0}, {"7", 7, 7}, {"daemon:4", 0, 4}};
	IB_CLEANUP(oci_union_freep) struct oci_union *empty = oci_union_new();

	(void)state;
	check_owners(empty, rows, sizeof rows / sizeof *rows);
}

static void a_user_file_that_is_none_is_an_error(void **state)
{
	struct fixture *f = *state;
	IB_CLEANUP(oci_union_freep) struct oci_union *odd = NULL;
	int root = files_sub(f->files, "odd");
	ib_autoerr err = {0};
	uid_t uid;
	gid_t gid;

	files_make(root, "d 755 - - etc\np 644 - - etc/passwd\n");
	odd = files_union(root, OCI_UNION_OVERLAY);
	assert_int_equal(exec_owner_lookup(odd, "daemon", &uid, &gid, &err), -1);
	assert_true(ib_starts(err.text, "/etc/passwd: "));
}

static void users_of_processes(void **state)
{
	static const struct {
		const char *text, *home;
		uid_t uid;
		gid_t gid, groups[3];
		size_t n_groups;
	} rows[] = {
		{"", "/root", 0, 0, {0}, 0},
		{"0", "/root", 0, 0, {0}, 0},
		{"root", "/root", 0, 0, {0}, 0},
		{"www", "/var/www", 33, 34, {50, 4}, 2},
		{"33", "/var/www", 33, 34, {50, 4}, 2},
		{"www:adm", "/var/www", 33, 4, {0}, 0},
		{"www:4", "/var/www", 33, 4, {0}, 0},
		{"33:34", "/var/www", 33, 34, {0}, 0},
		{"daemon", "/usr/sbin", 1, 2, {50}, 1},
		{"12", "/", 12, 0, {0}, 0},
		{"1000:1000", "/", 1000, 1000, {0}, 0},
		{"nohome", "/", 50, 51, {0}, 0},
		{"last", "/last", 60, 61, {88}, 1},
		{"www:", "/var/www", 33, 34, {50, 4}, 2},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct exec_user user = {0};
		ib_autoerr err = {0};

		if (exec_user_lookup(f->root, rows[i].text, &user, &err) < 0)
			fail_msg("%s: %s", rows[i].text, err.text);
		assert_int_equal(user.uid, rows[i].uid);
		assert_int_equal(user.gid, rows[i].gid);
		assert_string_equal(user.home, rows[i].home);
		assert_int_equal(user.n_groups, rows[i].n_groups);
		if (user.n_groups)
			assert_memory_equal(user.groups, rows[i].groups, user.n_groups * sizeof *user.groups);
		exec_user_done(&user);
	}
}

static void unknown_users_cannot_run_anything(void **state)
{
	static const struct {
		const char *text, *error;
		enum ib_code code;
	} rows[] = {
		{"nope", "unable to find user nope: no matching entries in passwd file", IB_NOTFOUND},
		{"nope:4", "unable to find user nope: no matching entries in passwd file", IB_NOTFOUND},
		{"www:nogrp", "unable to find group nogrp: no matching entries in group file", IB_NOTFOUND},
		{"broken", "unable to find user broken: no matching entries in passwd file", IB_NOTFOUND},
		{"2147483648", "user 2147483648: uids and gids must be in range 0-2147483647", IB_USAGE},
		{"0:2147483648", "user 2147483648: uids and gids must be in range 0-2147483647", IB_USAGE},
		{"-1", "unable to find user -1: no matching entries in passwd file", IB_NOTFOUND},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct exec_user user = {0};
		ib_autoerr err = {0};

		assert_int_equal(exec_user_lookup(f->root, rows[i].text, &user, &err), -1);
		assert_string_equal(err.text, rows[i].error);
		assert_int_equal(err.code, rows[i].code);
		assert_null(user.home);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(owners_of_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_user_files_names_are_root, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_user_file_that_is_none_is_an_error, set_up, tear_down),
		cmocka_unit_test_setup_teardown(users_of_processes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(unknown_users_cannot_run_anything, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
