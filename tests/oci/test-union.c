#include "tests/oci/tree.h"

#include "oci/base/poison.h"

#define autounion IB_CLEANUP(oci_union_freep) struct oci_union

static void cleaning_a_path_is_lexical(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"", ""},	      {"/", ""},	     {"a", "a"},	 {"/a/b/", "a/b"},
		{"a//b", "a/b"},      {"./a/./b/.", "a/b"},  {"a/../b", "b"},	 {"../../a", "a"},
		{"a/b/../../c", "c"}, {"a/..", ""},	     {"..a/b..", "..a/b.."}, {"///", ""},
		{"a/../..", ""},      {"...", "..."},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		ib_autofree char *out = oci_union_clean(rows[i].in);

		assert_string_equal(out, rows[i].out);
	}
}

static void the_root_of_an_empty_union_is_a_plain_directory(void **state)
{
	autounion *u = oci_union_new();
	ib_autoerr err = {0};
	struct stat st;

	(void)state;
	assert_int_equal(oci_union_stat(u, "", &st, NULL, &err), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0755);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(oci_union_stat(u, "a", &st, NULL, &err), -1);
	assert_int_equal(err.code, IB_NOTFOUND);
}

static void expect_layer(struct oci_union *u, const char *path, int layer)
{
	ib_autoerr err = {0};
	size_t got = 99;
	struct stat st;

	if (oci_union_stat(u, path, &st, &got, &err) < 0) {
		assert_int_equal(err.code, IB_NOTFOUND);
		assert_int_equal(layer, -1);
	} else {
		assert_int_equal(got, layer);
	}
}

static void upper_layers_hide_lower_ones(void **state)
{
	struct tree *t = *state;

	tree_dir(t, "0");
	tree_dir(t, "1");
	tree_dir(t, "2");
	tree_dir(t, "0/d");
	tree_file(t, "0/d/low", "0");
	tree_file(t, "0/d/gone", "0");
	tree_file(t, "0/d/both", "0");
	tree_dir(t, "0/x");
	tree_file(t, "0/x/f", "0");
	tree_dir(t, "1/d");
	tree_file(t, "1/d/both", "1");
	tree_whiteout(t, "1/d/gone");
	tree_file(t, "1/x", "a file over a directory");
	tree_dir(t, "2/x");
	tree_file(t, "2/x/g", "a directory over a file over a directory");

	autounion *u = tree_layers(t, OCI_UNION_OVERLAY, "0", "1", "2");
	expect_layer(u, "", 2);
	expect_layer(u, "d", 1);
	expect_layer(u, "d/low", 0);
	expect_layer(u, "d/both", 1);
	expect_layer(u, "d/gone", -1);
	expect_layer(u, "d/gone/x", -1);
	expect_layer(u, "x", 2);
	expect_layer(u, "x/g", 2);
	expect_layer(u, "x/f", -1);
	expect_layer(u, "d/low/x", -1);
}

static void an_opaque_directory_hides_what_is_below_it(void **state)
{
	struct tree *t = *state;

	tree_dir(t, "0");
	tree_dir(t, "0/d");
	tree_file(t, "0/d/low", "0");
	tree_dir(t, "0/e");
	tree_file(t, "0/e/low", "0");
	tree_dir(t, "1");
	tree_dir(t, "1/d");
	tree_dir(t, "1/e");
	tree_dir(t, "2");
	tree_dir(t, "2/d");
	tree_opaque(t, "1/d", "y");
	tree_opaque(t, "1/e", "x");	/* no opaque mark: overlayfs uses it for something else */

	autounion *u = tree_layers(t, OCI_UNION_OVERLAY, "0", "1", "2");
	expect_layer(u, "d/low", -1);
	expect_layer(u, "e/low", 0);

	autounion *plain = tree_layers(t, OCI_UNION_PLAIN, "0", "1", "2");
	expect_layer(plain, "d/low", 0);
}

static void an_opaque_root_hides_all_lower_layers(void **state)
{
	struct tree *t = *state;

	tree_dir(t, "0");
	tree_file(t, "0/low", "0");
	tree_dir(t, "1");
	tree_file(t, "1/top", "1");
	tree_opaque(t, "1", "y");

	autounion *u = tree_layers(t, OCI_UNION_OVERLAY, "0", "1");
	expect_layer(u, "low", -1);
	expect_layer(u, "top", 1);
}

static void a_device_0_0_in_a_plain_layer_is_a_file(void **state)
{
	struct tree *t = *state;

	tree_dir(t, "0");
	tree_file(t, "0/f", "0");
	tree_dir(t, "1");
	tree_whiteout(t, "1/f");

	autounion *u = tree_layers(t, OCI_UNION_PLAIN, "0", "1");
	expect_layer(u, "f", 1);
}

static void a_link_as_parent_is_not_found(void **state)
{
	struct tree *t = *state;

	tree_dir(t, "0");
	tree_dir(t, "0/d");
	tree_file(t, "0/d/f", "0");
	tree_link(t, "0/l", "d");

	autounion *u = tree_layers(t, OCI_UNION_PLAIN, "0");
	expect_layer(u, "l", 0);
	expect_layer(u, "l/f", -1);
}

static void expect_resolved(struct oci_union *u, const char *path, bool follow, const char *want, bool exists)
{
	ib_autoerr err = {0};
	ib_autofree char *got = NULL;
	bool there = !exists;

	if (oci_union_resolve(u, path, follow, &got, &there, &err) < 0)
		fail_msg("%s: %s", path, err.text);
	assert_string_equal(got, want);
	assert_int_equal(there, exists);
}

static void links_are_resolved_inside_the_tree(void **state)
{
	struct tree *t = *state;

	tree_dir(t, "0");
	tree_dir(t, "0/usr");
	tree_dir(t, "0/usr/bin");
	tree_file(t, "0/usr/bin/sh", "#");
	tree_link(t, "0/bin", "usr/bin");
	tree_link(t, "0/abs", "/usr/bin/");
	tree_link(t, "0/out", "../../../../usr");
	tree_link(t, "0/usr/up", "../bin/sh");
	tree_link(t, "0/dangling", "usr/new/file");
	tree_link(t, "0/usr/bin/awk", "/etc/alternatives/awk");
	tree_link(t, "0/file", "usr/bin/sh");

	autounion *u = tree_layers(t, OCI_UNION_PLAIN, "0");
	expect_resolved(u, "", true, "", true);
	expect_resolved(u, "bin/sh", true, "usr/bin/sh", true);
	expect_resolved(u, "bin", true, "usr/bin", true);
	expect_resolved(u, "bin", false, "bin", true);
	expect_resolved(u, "abs/sh", false, "usr/bin/sh", true);
	expect_resolved(u, "out/bin/sh", true, "usr/bin/sh", true);
	expect_resolved(u, "usr/up", true, "usr/bin/sh", true);
	expect_resolved(u, "dangling", true, "usr/new/file", false);
	expect_resolved(u, "dangling", false, "dangling", true);
	expect_resolved(u, "dangling/x", true, "usr/new/file/x", false);
	expect_resolved(u, "bin/awk", true, "etc/alternatives/awk", false);
	expect_resolved(u, "bin/awk", false, "usr/bin/awk", true);
	expect_resolved(u, "new/a/b", true, "new/a/b", false);
	expect_resolved(u, "bin/new", true, "usr/bin/new", false);
	expect_resolved(u, "out/gone/../bin", true, "usr/bin", true);
}

static void resolving_below_a_file_is_enotdir(void **state)
{
	struct tree *t = *state;
	ib_autofree char *got = NULL;
	ib_autoerr err = {0};
	bool exists;

	tree_dir(t, "0");
	tree_file(t, "0/f", "0");
	tree_link(t, "0/l", "f");

	autounion *u = tree_layers(t, OCI_UNION_PLAIN, "0");
	assert_int_equal(oci_union_resolve(u, "f/x", true, &got, &exists, &err), -1);
	assert_int_equal(err.code, IB_NOTFOUND);
	assert_int_equal(err.sys, ENOTDIR);
	assert_int_equal(oci_union_resolve(u, "l/x/y", true, &got, &exists, &err), -1);
	assert_int_equal(err.sys, ENOTDIR);
}

static void a_link_of_an_upper_layer_leads_into_a_lower_one(void **state)
{
	struct tree *t = *state;

	tree_dir(t, "0");
	tree_dir(t, "0/lib");
	tree_file(t, "0/lib/so", "0");
	tree_dir(t, "1");
	tree_dir(t, "1/lib");
	tree_link(t, "1/l", "lib/so");
	tree_link(t, "1/g", "lib/gone");
	tree_whiteout(t, "1/lib/gone");

	autounion *u = tree_layers(t, OCI_UNION_OVERLAY, "0", "1");
	expect_resolved(u, "l", true, "lib/so", true);
	expect_resolved(u, "g", true, "lib/gone", false);
}

static void link_loops_are_refused_and_long_chains_are_not(void **state)
{
	struct tree *t = *state;
	ib_autofree char *got = NULL;
	ib_autoerr err = {0};
	bool exists;

	tree_dir(t, "0");
	tree_link(t, "0/a", "b");
	tree_link(t, "0/b", "a");
	tree_link(t, "0/self", "self/x");
	for (int i = 0; i < 256; i++) {
		ib_autofree char *name = ib_asprintf("0/c%d", i), *target = ib_asprintf("c%d", i + 1);

		tree_link(t, name, target);
	}

	autounion *u = tree_layers(t, OCI_UNION_PLAIN, "0");
	assert_int_equal(oci_union_resolve(u, "a", true, &got, &exists, &err), -1);
	assert_int_equal(err.code, IB_LIMIT);
	assert_int_equal(err.sys, ELOOP);
	assert_int_equal(oci_union_resolve(u, "self", true, &got, &exists, &err), -1);
	assert_int_equal(err.sys, ELOOP);
	expect_resolved(u, "c1", true, "c256", false);	/* 255 links */
	assert_int_equal(oci_union_resolve(u, "c0", true, &got, &exists, &err), -1);
	assert_int_equal(err.sys, ELOOP);
}

static void only_regular_files_are_opened(void **state)
{
	struct tree *t = *state;
	ib_autoerr err = {0};
	char text[8] = "";

	tree_dir(t, "0");
	tree_dir(t, "0/d");
	tree_file(t, "0/d/f", "abc");
	tree_link(t, "0/l", "/etc/passwd");
	assert_int_equal(mkfifoat(t->fd, "0/fifo", 0644), 0);

	autounion *u = tree_layers(t, OCI_UNION_PLAIN, "0");
	ib_autoclose int fd = oci_union_open(u, "d/f", &err);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, sizeof text), 3);
	assert_string_equal(text, "abc");
	assert_int_equal(oci_union_open(u, "d", &err), -1);
	assert_int_equal(err.code, IB_INVALID);
	assert_int_equal(oci_union_open(u, "fifo", &err), -1);
	assert_int_equal(err.code, IB_INVALID);
	assert_string_equal(err.text, "'fifo' is not a regular file");
	assert_int_equal(oci_union_open(u, "l", &err), -1);
	assert_int_equal(oci_union_open(u, "none", &err), -1);
	assert_int_equal(err.code, IB_NOTFOUND);
}

static void a_small_file_is_read_through_links(void **state)
{
	struct tree *t = *state;
	ib_autofree char *bytes = NULL, *target = NULL;
	ib_autoerr err = {0};
	size_t len;

	tree_dir(t, "0");
	tree_dir(t, "0/run");
	tree_file(t, "0/run/real", "root:x:0:0::/root:/bin/sh\n");
	tree_dir(t, "0/etc");
	tree_link(t, "0/etc/passwd", "/run/real");

	autounion *u = tree_layers(t, OCI_UNION_PLAIN, "0");
	assert_int_equal(oci_union_read_file(u, "etc/passwd", 100, &bytes, &len, &err), 0);
	assert_string_equal(bytes, "root:x:0:0::/root:/bin/sh\n");
	assert_int_equal(len, 26);
	assert_int_equal(oci_union_readlink(u, "etc/passwd", &target, &err), 0);
	assert_string_equal(target, "/run/real");
	free(ib_steal_ptr(&bytes));
	assert_int_equal(oci_union_read_file(u, "etc/passwd", 25, &bytes, &len, &err), -1);
	assert_int_equal(err.code, IB_LIMIT);
	assert_int_equal(oci_union_read_file(u, "etc/group", 100, &bytes, &len, &err), -1);
	assert_int_equal(err.code, IB_NOTFOUND);
}

static void a_stack_of_120_layers_finds_everything(void **state)
{
	struct tree *t = *state;
	autounion *u = oci_union_new();
	size_t before;

	for (int i = 0; i < 120; i++) {
		ib_autofree char *root = ib_asprintf("%d", i), *d = ib_asprintf("%d/d", i),
				 *e = ib_asprintf("%d/d/e", i), *f = ib_asprintf("%d/d/e/f%d", i, i);

		tree_dir(t, root);
		tree_dir(t, d);
		tree_dir(t, e);
		tree_file(t, f, "");
		oci_union_push(u, tree_open(t, root), OCI_UNION_OVERLAY);
	}
	before = tree_open_fds();
	for (int i = 0; i < 120; i++) {
		ib_autofree char *f = ib_asprintf("d/e/f%d", i);

		expect_layer(u, f, i);
	}
	expect_layer(u, "d/e/none", -1);
	assert_int_equal(tree_open_fds(), before);
}

static void a_copy_outlives_its_original(void **state)
{
	struct tree *t = *state;
	ib_autoerr err = {0};

	tree_dir(t, "0");
	tree_file(t, "0/f", "");
	struct oci_union *u = tree_layers(t, OCI_UNION_PLAIN, "0");
	autounion *copy = oci_union_copy(u, &err);
	assert_non_null(copy);
	oci_union_free(u);
	assert_int_equal(oci_union_layers(copy), 1);
	expect_layer(copy, "f", 0);
}

static void paths_that_cannot_exist_are_errors(void **state)
{
	struct tree *t = *state;
	ib_autofree char *name = ib_malloc(301), *got = NULL;
	ib_autoerr err = {0};
	struct stat st;
	bool exists;

	memset(name, 'n', 300);
	name[300] = '\0';
	tree_dir(t, "0");
	autounion *u = tree_layers(t, OCI_UNION_PLAIN, "0");
	assert_int_equal(oci_union_stat(u, name, &st, NULL, &err), -1);
	assert_int_equal(err.code, IB_LIMIT);
	assert_int_equal(oci_union_resolve(u, name, true, &got, &exists, &err), -1);
	assert_int_equal(err.code, IB_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cleaning_a_path_is_lexical),
		cmocka_unit_test(the_root_of_an_empty_union_is_a_plain_directory),
		tree_test(upper_layers_hide_lower_ones),
		tree_test(an_opaque_directory_hides_what_is_below_it),
		tree_test(an_opaque_root_hides_all_lower_layers),
		tree_test(a_device_0_0_in_a_plain_layer_is_a_file),
		tree_test(a_link_as_parent_is_not_found),
		tree_test(links_are_resolved_inside_the_tree),
		tree_test(resolving_below_a_file_is_enotdir),
		tree_test(a_link_of_an_upper_layer_leads_into_a_lower_one),
		tree_test(link_loops_are_refused_and_long_chains_are_not),
		tree_test(only_regular_files_are_opened),
		tree_test(a_small_file_is_read_through_links),
		tree_test(a_stack_of_120_layers_finds_everything),
		tree_test(a_copy_outlives_its_original),
		tree_test(paths_that_cannot_exist_are_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
