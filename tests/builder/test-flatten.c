/* Layers copied into one tree, and what was done to that turned into a layer again. */
#include "tests/builder/files.h"

#include <sys/resource.h>
#include <sys/xattr.h>

#include "builder/snapshot/flatten.h"
#include "oci/base/fd.h"

#include "oci/base/poison.h"

struct fixture {
	struct files *lower[2];	/* lowest first */
	struct files *work;	/* full and upper, side by side */
	struct oci_union *tree;
	int full, upper;
};

static int setup(void **state)
{
	struct fixture *f = ib_new(struct fixture);

	*state = f;
	for (int i = 0; i < 2; i++)
		f->lower[i] = files_new();
	f->work = files_new();
	f->tree = oci_union_new();
	for (int i = 0; i < 2; i++)
		oci_union_push(f->tree, fcntl(f->lower[i]->fd, F_DUPFD_CLOEXEC, 3), OCI_UNION_OVERLAY);
	assert_int_equal(mkdirat(f->work->fd, "full", 0755), 0);
	assert_int_equal(mkdirat(f->work->fd, "upper", 0755), 0);
	f->full = openat(f->work->fd, "full", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->upper = openat(f->work->fd, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->full >= 0 && f->upper >= 0);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	oci_union_free(f->tree);
	(void)close(f->full);
	(void)close(f->upper);
	for (int i = 0; i < 2; i++)
		files_free(f->lower[i]);
	files_free(f->work);
	free(f);
	return 0;
}

static bool is_root(void)
{
	return geteuid() == 0;
}

static void flatten(struct fixture *f)
{
	ib_autoerr err = {0};

	if (builder_flatten(f->tree, f->full, is_root(), &err) < 0)
		fail_msg("%s", err.text);
}

static void capture(struct fixture *f)
{
	ib_autoerr err = {0};

	if (builder_capture(f->tree, f->full, f->upper, is_root(), &err) < 0)
		fail_msg("%s", err.text);
}

/* What the layers show together. */
static char *list_tree(struct oci_union *u)
{
	IB_CLEANUP(oci_union_walk_freep) struct oci_union_walk *walk = NULL;
	ib_autofree struct files_seen *seen = ib_new(struct files_seen);
	const struct oci_walk_entry *e;
	ib_autoerr err = {0};
	ib_autostr out = IB_STR(1 << 20);

	assert_int_equal(oci_union_walk_new(u, "", 0, &walk, &err), 0);
	while (oci_union_walk_next(walk, &e, &err) > 0)
		files_list_one(&out, seen, e);
	assert_null(err.text);
	return ib_str_steal(&out);
}

/* Whiteouts have the time they were made; tests write 0. */
static void no_time(struct fixture *f, const char *whiteout)
{
	const struct timespec times[2] = {{0}, {0}};

	assert_int_equal(utimensat(f->upper, whiteout, times, AT_SYMLINK_NOFOLLOW), 0);
}

/* Capture, and find that the layers with the new one on top show what the full tree showed. */
static void capture_and_compare(struct fixture *f)
{
	ib_autofree char *before = files_list(f->full), *after = NULL;

	capture(f);
	oci_union_push(f->tree, fcntl(f->upper, F_DUPFD_CLOEXEC, 3), OCI_UNION_OVERLAY);
	after = list_tree(f->tree);
	assert_string_equal(after, before);
}

static void copy_has_everything(void **state)
{
	struct fixture *f = *state;
	const char *all = "d 755 0:0 100 d\n"
			  "f 4755 1:2 200 d/suid text\n"
			  "h - - - d/twin d/suid\n"
			  "f 644 0:0 0 empty\n"
			  "f 600 0:0 300 holes %1048576\n"
			  "f 600 0:0 300 large *100000\n"
			  "l - 0:0 50 link ../outside\n"
			  "p 640 0:0 70 pipe\n"
			  "d 1777 5:5 400 tmp\n";

	files_make(f->lower[0]->fd, all);
	flatten(f);
	files_expect(f->full, all);
}

static void copy_shows_what_the_layers_show(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *opaque = ib_asprintf("%s/opaque", f->lower[1]->path);

	files_make(f->lower[0]->fd, "d 755 0:0 100 both\nf 644 0:0 1 both/below B\nf 644 0:0 1 both/same old\n"
				    "f 644 0:0 1 gone G\nd 755 0:0 2 opaque\nf 644 0:0 3 opaque/hidden H\n");
	files_make(f->lower[1]->fd, "d 700 0:0 500 both\nf 644 0:0 9 both/same new\nc 600 - 0 gone 0,0\n"
				    "d 755 0:0 7 opaque\nf 644 0:0 8 opaque/seen S\n");
	assert_int_equal(setxattr(opaque, OCI_UNION_OPAQUE, "y", 1, 0), 0);
	flatten(f);
	files_expect(f->full, "d 700 0:0 500 both\nf 644 0:0 1 both/below B\nf 644 0:0 9 both/same new\n"
			      "d 755 0:0 7 opaque\nf 644 0:0 8 opaque/seen S\n");
}

static void copy_keeps_attributes_but_not_marks(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *from = ib_asprintf("%s/d", f->lower[0]->path);
	ib_autofree char *to = ib_asprintf("%s/full/d", f->work->path);
	char value[8] = "";

	files_make(f->lower[0]->fd, "d 755 0:0 1 d\n");
	assert_int_equal(setxattr(from, "user.test", "v", 1, 0), 0);
	assert_int_equal(setxattr(from, OCI_UNION_OPAQUE, "y", 1, 0), 0);
	flatten(f);
	assert_int_equal(getxattr(to, "user.test", value, sizeof value), 1);
	assert_string_equal(value, "v");
	assert_int_equal(getxattr(to, OCI_UNION_OPAQUE, value, sizeof value), -1);
}

static void unreadable_directories_are_copied(void **state)
{
	struct fixture *f = *state;

	/* 0300 can be written and entered, but not looked up from: the copy gets its mode last */
	files_make(f->lower[0]->fd, "d 755 0:0 1 a\nd 555 0:0 1 a/closed\nf 444 0:0 1 a/closed/x X\nf 644 0:0 1 b B\n");
	flatten(f);
	files_expect(f->full, "d 755 0:0 1 a\nd 555 0:0 1 a/closed\nf 444 0:0 1 a/closed/x X\nf 644 0:0 1 b B\n");
}

static void untouched_copy_gives_an_empty_layer(void **state)
{
	struct fixture *f = *state;

	files_make(f->lower[0]->fd, "d 755 0:0 1 a\nf 644 0:0 1 a/x X\nl - 0:0 1 l x\np 644 0:0 1 p\n");
	files_make(f->lower[1]->fd, "d 755 0:0 2 a\nf 644 0:0 2 a/y Y\nh - - - a/z a/y\n");
	flatten(f);
	capture(f);
	files_expect(f->upper, "");
}

static void changes_are_captured(void **state)
{
	struct fixture *f = *state;

	files_make(f->lower[0]->fd, "d 755 0:0 1 a\nd 755 0:0 1 a/b\nf 644 0:0 1 a/b/change old\nf 644 0:0 1 a/b/keep K\n"
				    "f 644 0:0 1 a/remove R\nd 755 0:0 1 gone\nf 644 0:0 1 gone/x X\n"
				    "d 755 0:0 1 mode\nf 644 0:0 1 mode/x X\nf 644 0:0 1 z Z\n");
	flatten(f);
	assert_int_equal(unlinkat(f->full, "a/remove", 0), 0);
	assert_int_equal(unlinkat(f->full, "gone/x", 0), 0);
	assert_int_equal(unlinkat(f->full, "gone", AT_REMOVEDIR), 0);
	files_make(f->full, "f 600 0:0 9 a/b/change new\nd 755 0:0 8 new\nd 755 0:0 8 new/sub\nf 644 0:0 8 new/sub/n N\n"
			    "d 700 0:0 5 mode\nd 755 0:0 7 a/b\nd 755 0:0 6 a\n");
	capture(f);
	no_time(f, "a/remove");
	no_time(f, "gone");
	files_expect(f->upper, "d 755 0:0 6 a\nd 755 0:0 7 a/b\nf 600 0:0 9 a/b/change new\nc 0 0:0 0 a/remove 0,0\n"
		    "c 0 0:0 0 gone 0,0\nd 700 0:0 5 mode\nd 755 0:0 8 new\nd 755 0:0 8 new/sub\n"
		    "f 644 0:0 8 new/sub/n N\n");
}

static void replaced_types_are_captured(void **state)
{
	struct fixture *f = *state;

	files_make(f->lower[0]->fd, "d 755 0:0 1 dir\nf 644 0:0 1 dir/x X\nf 644 0:0 1 file F\nl - 0:0 1 link a\n"
				    "d 755 0:0 1 tolink\nf 644 0:0 1 tolink/x X\n");
	flatten(f);
	assert_int_equal(unlinkat(f->full, "dir/x", 0), 0);
	assert_int_equal(unlinkat(f->full, "dir", AT_REMOVEDIR), 0);
	assert_int_equal(unlinkat(f->full, "file", 0), 0);
	assert_int_equal(unlinkat(f->full, "link", 0), 0);
	assert_int_equal(unlinkat(f->full, "tolink/x", 0), 0);
	assert_int_equal(unlinkat(f->full, "tolink", AT_REMOVEDIR), 0);
	files_make(f->full, "f 644 0:0 2 dir now-a-file\nd 755 0:0 2 file\nf 644 0:0 2 file/in I\nl - 0:0 1 link b\n"
			    "l - 0:0 3 tolink dir\n");
	capture_and_compare(f);
	files_expect(f->upper, "f 644 0:0 2 dir now-a-file\nd 755 0:0 2 file\nf 644 0:0 2 file/in I\nl - 0:0 1 link b\n"
		    "l - 0:0 3 tolink dir\n");
}

static void same_size_and_time_do_not_hide_a_change(void **state)
{
	struct fixture *f = *state;

	files_make(f->lower[0]->fd, "f 644 0:0 1 x one\nf 644 0:0 1 y two\n");
	flatten(f);
	files_make(f->full, "f 644 0:0 1 x ONE\n");
	capture(f);
	files_expect(f->upper, "f 644 0:0 1 x ONE\n");
}

static void hard_links_stay_links(void **state)
{
	struct fixture *f = *state;

	files_make(f->lower[0]->fd, "d 755 0:0 1 d\nf 644 0:0 1 other O\n");
	flatten(f);
	files_make(f->full, "f 644 0:0 2 a A\nh - - - d/b a\nd 755 0:0 3 d\n");
	capture_and_compare(f);
	files_expect(f->upper, "f 644 0:0 2 a A\nd 755 0:0 3 d\nh - - - d/b a\n");
}

static void root_directory_takes_its_metadata_along(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	flatten(f);
	assert_int_equal(fchmod(f->full, 0711), 0);
	capture(f);
	assert_int_equal(fstat(f->upper, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
}

static void removal_shows_in_the_stack(void **state)
{
	struct fixture *f = *state;

	files_make(f->lower[0]->fd, "d 755 0:0 1 a\nf 644 0:0 1 a/1 x\nf 644 0:0 1 a/2 x\n");
	files_make(f->lower[1]->fd, "d 755 0:0 1 a\nf 644 0:0 1 a/3 x\nd 755 0:0 1 a-b\nf 644 0:0 1 a.c x\n");
	flatten(f);
	assert_int_equal(unlinkat(f->full, "a/2", 0), 0);
	assert_int_equal(unlinkat(f->full, "a.c", 0), 0);
	files_make(f->full, "f 644 0:0 1 a-b/new N\nd 755 0:0 4 a-b\nd 755 0:0 4 a\n");
	capture_and_compare(f);
}

#define DEEP 300
#define DEEP_NAME "a-name-of-sixty-bytes-so-that-the-path-becomes-very-long-in-all"

/* The bottom of the deep tree in dir; the caller's. */
static int go_deep(int dir, bool make)
{
	int at = fcntl(dir, F_DUPFD_CLOEXEC, 3);

	for (int i = 0; i < DEEP; i++) {
		int next;

		if (make)
			assert_int_equal(mkdirat(at, DEEP_NAME, 0755), 0);
		next = openat(at, DEEP_NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		(void)close(at);
		at = next;
	}
	return at;
}

static void deep_trees_cost_no_descriptors(void **state)
{
	struct fixture *f = *state;
	struct rlimit before, few = {.rlim_cur = 256};	/* two walks hold 96 each */
	int at = go_deep(f->lower[0]->fd, true);

	files_make(at, "f 644 0:0 1 bottom B\n");
	(void)close(at);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	flatten(f);
	at = go_deep(f->full, false);
	files_make(at, "f 644 0:0 1 bottom changed\n");
	(void)close(at);
	capture(f);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	at = go_deep(f->upper, false);
	assert_int_equal(faccessat(at, "bottom", F_OK, 0), 0);
	(void)close(at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(copy_has_everything),
		T(copy_shows_what_the_layers_show),
		T(copy_keeps_attributes_but_not_marks),
		T(unreadable_directories_are_copied),
		T(untouched_copy_gives_an_empty_layer),
		T(changes_are_captured),
		T(replaced_types_are_captured),
		T(same_size_and_time_do_not_hide_a_change),
		T(hard_links_stay_links),
		T(root_directory_takes_its_metadata_along),
		T(removal_shows_in_the_stack),
		T(deep_trees_cost_no_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
