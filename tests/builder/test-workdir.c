#include "builder/exec/copy.h"
#include "tests/builder/files.h"

#include "oci/base/poison.h"

struct row {
	const char *name, *lower, *path, *user, *expect, *error;
};

static const struct row rows[] = {
	{"the root is always there", NULL, "/", NULL, "", NULL},
	{"parents are made, too", NULL, "/q/r", NULL, "d 755 0:0 42 q\nd 755 0:0 42 q/r\n", NULL},
	{"a path is cleaned", NULL, "/x/../y/", NULL, "d 755 0:0 42 y\n", NULL},
	{"what is made belongs to the user", NULL, "/q/r", "12", "d 755 12:12 42 q\nd 755 12:12 42 q/r\n", NULL},
	{"a user and a group", NULL, "/q", "12:13", "d 755 12:13 42 q\n", NULL},
	{"a name is looked up", "d 755 0:0 1 etc\nf 644 0:0 1 etc/passwd u:x:7:8::/:/bin/sh\n", "/q", "u",
	 "d 755 7:8 42 q\n", NULL},
	{"an unknown name is root", NULL, "/q", "nobody-knows", "d 755 0:0 42 q\n", NULL},
	{"what exists is not touched and not written", "d 711 3:3 5 q\nd 700 4:4 6 q/r\n", "/q/r", "12", "", NULL},
	{"existing parents keep what they have", "d 711 3:3 5 q\n", "/q/r", "12", "d 711 3:3 5 q\nd 755 12:12 42 q/r\n",
	 NULL},
	{"links are followed", "d 711 3:3 5 q\nl - 0:0 5 l q\n", "/l/r", NULL, "d 711 3:3 5 q\nd 755 0:0 42 q/r\n", NULL},
	{"a link to a directory is a directory", "d 711 3:3 5 q\nl - 0:0 5 l q\n", "/l", NULL, "", NULL},
	{"a dangling link is where the directory goes", "l - 0:0 5 l a/b\n", "/l", NULL,
	 "d 755 0:0 42 a\nd 755 0:0 42 a/b\n", NULL},
	{"a file is no directory", "f 644 0:0 5 ff\n", "/ff", NULL, NULL, "mkdir /ff: not a directory"},
	{"nothing is below a file", "f 644 0:0 5 ff\n", "/ff/g", NULL, NULL, "mkdir /ff/g: not a directory"},
	{"a link to a file is no directory", "f 644 0:0 5 ff\nl - 0:0 5 l ff\n", "/l", NULL, NULL,
	 "mkdir /l: not a directory"},
};

struct fixture {
	const struct row *row;
	struct files *files;
	int lower, upper;
};

static int set_up(void **state)
{
	struct fixture *f = ib_new(struct fixture);

	f->row = *state;
	f->files = files_new();
	f->lower = files_sub(f->files, "lower");
	f->upper = files_sub(f->files, "upper");
	if (f->row->lower)
		files_make(f->lower, f->row->lower);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	close(f->lower);
	close(f->upper);
	files_free(f->files);
	free(f);
	return 0;
}

static void check_row(void **state)
{
	const struct fixture *f = *state;
	IB_CLEANUP(oci_union_freep) struct oci_union *lower =
		files_union(f->row->lower ? dup(f->lower) : -1, OCI_UNION_OVERLAY);
	struct exec_target target = {f->upper, lower, geteuid() == 0, geteuid() == 0, NULL, NULL};
	const int64_t mtime = 42;
	ib_autoerr err = {0};
	int r = exec_workdir_run(f->row->path, f->row->user, &mtime, &target, &err);

	if (f->row->error) {
		assert_int_equal(r, -1);
		assert_string_equal(err.text, f->row->error);
		assert_int_equal(err.code, IB_USAGE);
		return;
	}
	if (r < 0)
		fail_msg("%s", err.text);
	files_expect(f->upper, f->row->expect);
}

int main(void)
{
	struct CMUnitTest tests[sizeof rows / sizeof *rows];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		tests[i] = (struct CMUnitTest){rows[i].name, check_row, set_up, tear_down, (void *)(uintptr_t)&rows[i]};
	return _cmocka_run_group_tests("workdir", tests, sizeof tests / sizeof *tests, NULL, NULL);
}
