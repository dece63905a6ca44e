#include "tests/oci/tree.h"

#include "oci/base/str.h"

#include "oci/base/poison.h"

#define autounion IB_CLEANUP(oci_union_freep) struct oci_union
#define autowalk IB_CLEANUP(oci_union_walk_freep) struct oci_union_walk

/* "path@layer path@layer ...", a directory with '/', a whiteout with '!', an opaque directory with '*'. */
static char *listing(struct oci_union *u, const char *path, unsigned int flags, const char *skip_at)
{
	ib_autostr out = IB_STR(1u << 20);
	autowalk *walk = NULL;
	const struct oci_walk_entry *e;
	ib_autoerr err = {0};
	int r;

	if (oci_union_walk_new(u, path, flags, &walk, &err) < 0)
		fail_msg("%s", err.text);
	while ((r = oci_union_walk_next(walk, &e, &err)) > 0) {
		struct stat st;

		assert_int_equal(fstatat(e->dirfd, e->name, &st, AT_SYMLINK_NOFOLLOW), 0);
		assert_int_equal(st.st_ino, e->st.st_ino);
		ib_str_addf(&out, "%s%s%s%s%s@%zu", out.len ? " " : "", e->path,
			    S_ISDIR(e->st.st_mode) ? "/" : "", S_ISCHR(e->st.st_mode) ? "!" : "",
			    e->opaque ? "*" : "", e->layer);
		if (skip_at && strcmp(e->path, skip_at) == 0)
			oci_union_walk_skip(walk);
	}
	if (r < 0)
		fail_msg("%s", err.text);
	return ib_str_steal(&out);
}

static void expect_listing(struct oci_union *u, const char *path, unsigned int flags, const char *want)
{
	ib_autofree char *got = listing(u, path, flags, NULL);

	assert_string_equal(got, want);
}

static void names_come_in_byte_order_and_directories_before_their_content(void **state)
{
	struct tree *t = *state;

	tree_dir(t, "0");
	tree_dir(t, "0/a");
	tree_file(t, "0/a/z", "");
	tree_file(t, "0/a-b", "");
	tree_file(t, "0/a.c", "");
	tree_file(t, "0/B", "");
	tree_file(t, "0/\xc3\xa9", "");
	tree_dir(t, "0/empty");
	tree_file(t, "0/.hidden", "");
	autounion *u = tree_layers(t, OCI_UNION_PLAIN, "0");
	expect_listing(u, "", 0, ".hidden@0 B@0 a/@0 a/z@0 a-b@0 a.c@0 empty/@0 \xc3\xa9@0");
}

static void an_empty_union_has_no_entries(void **state)
{
	autounion *u = oci_union_new();

	(void)state;
	expect_listing(u, "", 0, "");
}

static void layers_merge_and_whiteouts_hide(void **state)
{
	struct tree *t = *state;

	tree_dir(t, "0");
	tree_dir(t, "0/d");
	tree_file(t, "0/d/gone", "");
	tree_file(t, "0/d/low", "");
	tree_dir(t, "0/d/sub");
	tree_file(t, "0/d/sub/low", "");
	tree_dir(t, "0/o");
	tree_file(t, "0/o/low", "");
	tree_dir(t, "0/x");
	tree_file(t, "0/x/low", "");
	tree_dir(t, "1");
	tree_dir(t, "1/d");
	tree_whiteout(t, "1/d/gone");
	tree_dir(t, "1/d/sub");
	tree_file(t, "1/d/sub/top", "");
	tree_dir(t, "1/o");
	tree_opaque(t, "1/o", "y");
	tree_file(t, "1/o/top", "");
	tree_file(t, "1/x", "");
	tree_dir(t, "2");
	tree_dir(t, "2/x");

	autounion *u = tree_layers(t, OCI_UNION_OVERLAY, "0", "1", "2");
	expect_listing(u, "", 0,
		       "d/@1 d/low@0 d/sub/@1 d/sub/low@0 d/sub/top@1 o/@1 o/top@1 x/@2");
	expect_listing(u, "d/sub", 0, "d/sub/low@0 d/sub/top@1");
	expect_listing(u, "d/low", 0, "d/low@0");

	autounion *raw = tree_layers(t, OCI_UNION_OVERLAY, "1");
	expect_listing(raw, "", OCI_WALK_RAW, "d/@0 d/gone!@0 d/sub/@0 d/sub/top@0 o/*@0 o/top@0 x@0");
}

static void a_skipped_directory_is_not_entered(void **state)
{
	struct tree *t = *state;

	tree_dir(t, "0");
	tree_dir(t, "0/a");
	tree_file(t, "0/a/x", "");
	tree_dir(t, "0/b");
	tree_file(t, "0/b/x", "");
	autounion *u = tree_layers(t, OCI_UNION_PLAIN, "0");
	ib_autofree char *got = listing(u, "", 0, "a");
	assert_string_equal(got, "a/@0 b/@0 b/x@0");
}

static void a_start_that_is_not_there_is_an_error(void **state)
{
	static const char *const paths[] = {"none", "f/x", "l/x", "d/none"};
	struct tree *t = *state;

	tree_dir(t, "0");
	tree_dir(t, "0/d");
	tree_file(t, "0/f", "");
	tree_link(t, "0/l", "d");
	autounion *u = tree_layers(t, OCI_UNION_PLAIN, "0");
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		autowalk *walk = NULL;
		ib_autoerr err = {0};

		assert_int_equal(oci_union_walk_new(u, paths[i], 0, &walk, &err), -1);
		assert_int_equal(err.code, IB_NOTFOUND);
	}
	expect_listing(u, "l", 0, "l@0");
}

/* A chain of directories much deeper than PATH_MAX, in both layers, with files after the way down. */
#define DEPTH 1500	/* 4,500 bytes of path */
static void make_deep(const struct tree *t, const char *root, int depth, const char *file)
{
	int fd = tree_open(t, root);

	for (int i = 0; i < depth; i++) {
		int next;

		assert_int_equal(mkdirat(fd, "dd", 0755), 0);
		next = openat(fd, file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		assert_true(next >= 0);
		close(next);
		next = openat(fd, "dd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(fd);
		fd = next;
	}
	close(fd);
}

static void a_tree_deeper_than_any_path_is_walked_with_few_descriptors(void **state)
{
	struct tree *t = *state;
	const struct oci_walk_entry *e;
	size_t n = 0, before, most = 0;
	autowalk *walk = NULL;
	ib_autoerr err = {0};
	int r;

	tree_dir(t, "0");
	tree_dir(t, "1");
	make_deep(t, "0", DEPTH, "y");
	make_deep(t, "1", DEPTH / 2, "z");
	autounion *u = tree_layers(t, OCI_UNION_OVERLAY, "0", "1");
	before = tree_open_fds();
	assert_int_equal(oci_union_walk_new(u, "", 0, &walk, &err), 0);
	while ((r = oci_union_walk_next(walk, &e, &err)) > 0) {
		struct stat st;

		if (n % 64 == 0) {
			size_t now = tree_open_fds() - before;

			most = now > most ? now : most;
		}
		assert_int_equal(fstatat(e->dirfd, e->name, &st, AT_SYMLINK_NOFOLLOW), 0);
		assert_int_equal(st.st_ino, e->st.st_ino);
		n++;
	}
	if (r < 0)
		fail_msg("%s", err.text);
	assert_int_equal(n, 2 * DEPTH + DEPTH / 2);
	assert_true(most > 0 && most <= 128);
	oci_union_walk_free(ib_steal_ptr(&walk));
	assert_int_equal(tree_open_fds(), before);
}

static void a_directory_swapped_for_a_link_is_not_followed(void **state)
{
	struct tree *t = *state;
	const struct oci_walk_entry *e;
	autowalk *walk = NULL;
	ib_autoerr err = {0};

	tree_dir(t, "out");
	tree_file(t, "out/secret", "");
	tree_dir(t, "0");
	tree_dir(t, "0/d");
	autounion *u = tree_layers(t, OCI_UNION_PLAIN, "0");
	assert_int_equal(oci_union_walk_new(u, "", 0, &walk, &err), 0);
	assert_int_equal(oci_union_walk_next(walk, &e, &err), 1);
	assert_string_equal(e->path, "d");
	assert_int_equal(unlinkat(t->fd, "0/d", AT_REMOVEDIR), 0);
	tree_link(t, "0/d", "../out");
	assert_int_equal(oci_union_walk_next(walk, &e, &err), 0);
}

static void files_removed_during_the_walk_are_passed_over(void **state)
{
	struct tree *t = *state;
	const struct oci_walk_entry *e;
	autowalk *walk = NULL;
	ib_autoerr err = {0};

	tree_dir(t, "0");
	tree_file(t, "0/a", "");
	tree_file(t, "0/b", "");
	tree_file(t, "0/c", "");
	autounion *u = tree_layers(t, OCI_UNION_PLAIN, "0");
	assert_int_equal(oci_union_walk_new(u, "", 0, &walk, &err), 0);
	assert_int_equal(oci_union_walk_next(walk, &e, &err), 1);
	assert_int_equal(unlinkat(t->fd, "0/b", 0), 0);
	assert_int_equal(oci_union_walk_next(walk, &e, &err), 1);
	assert_string_equal(e->path, "c");
	assert_int_equal(oci_union_walk_next(walk, &e, &err), 0);
}

static void an_unreadable_directory_can_be_skipped_but_not_entered(void **state)
{
	struct tree *t = *state;
	const struct oci_walk_entry *e;
	autowalk *walk = NULL, *again = NULL;
	ib_autoerr err = {0};

	if (geteuid() == 0) {
		print_message("skipped: root reads every directory\n");
		skip();
	}
	tree_dir(t, "0");
	tree_dir(t, "0/d");
	assert_int_equal(fchmodat(t->fd, "0/d", 0, 0), 0);
	autounion *u = tree_layers(t, OCI_UNION_PLAIN, "0");
	assert_int_equal(oci_union_walk_new(u, "", 0, &walk, &err), 0);
	assert_int_equal(oci_union_walk_next(walk, &e, &err), 1);
	oci_union_walk_skip(walk);
	assert_int_equal(oci_union_walk_next(walk, &e, &err), 0);
	assert_int_equal(oci_union_walk_new(u, "", 0, &again, &err), 0);
	assert_int_equal(oci_union_walk_next(again, &e, &err), 1);
	assert_int_equal(oci_union_walk_next(again, &e, &err), -1);
	assert_int_equal(err.code, IB_DENIED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		tree_test(names_come_in_byte_order_and_directories_before_their_content),
		cmocka_unit_test(an_empty_union_has_no_entries),
		tree_test(layers_merge_and_whiteouts_hide),
		tree_test(a_skipped_directory_is_not_entered),
		tree_test(a_start_that_is_not_there_is_an_error),
		tree_test(a_tree_deeper_than_any_path_is_walked_with_few_descriptors),
		tree_test(a_directory_swapped_for_a_link_is_not_followed),
		tree_test(files_removed_during_the_walk_are_passed_over),
		tree_test(an_unreadable_directory_can_be_skipped_but_not_entered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
