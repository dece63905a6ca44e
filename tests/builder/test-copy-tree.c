/* Copies of trees that are too large for a table: deep, wide, interrupted. */
#include <sys/resource.h>

#include "builder/exec/copy.h"
#include "oci/base/pool.h"
#include "tests/builder/files.h"

#include "oci/base/poison.h"

struct fixture {
	struct files *files;
	int context, upper;
	int64_t progress;	/* told last */
};

static int set_up(void **state)
{
	struct fixture *f = ib_new(struct fixture);

	f->files = files_new();
	f->context = files_sub(f->files, "context");
	f->upper = files_sub(f->files, "upper");
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	close(f->context);
	close(f->upper);
	files_free(f->files);
	free(f);
	return 0;
}

static void note_progress(void *ctx, int64_t bytes)
{
	struct fixture *f = ctx;

	assert_true(bytes >= f->progress);
	f->progress = bytes;
}

/* spoil, when not NULL, is called between finding the sources and copying them. */
static int copy_all(struct fixture *f, void (*spoil)(struct fixture *f), struct ib_err *err)
{
	IB_CLEANUP(oci_union_freep) struct oci_union *tree = files_union(dup(f->context), OCI_UNION_PLAIN);
	IB_CLEANUP(oci_union_freep) struct oci_union *lower = files_union(-1, OCI_UNION_OVERLAY);
	IB_CLEANUP(exec_selection_freep) struct exec_selection *selection = NULL;
	const char *source = "src";
	struct exec_target target = {f->upper, lower, geteuid() == 0, geteuid() == 0, note_progress, f};
	struct exec_tree from = {.tree = tree, .context = true};
	struct exec_copy copy = {.sources = &source, .n_sources = 1, .dest = "/n"};

	if (exec_selection_new(&copy, &from, &selection, err) < 0)
		return -1;
	if (spoil)
		spoil(f);
	return exec_copy_run(selection, &target, err);
}

static struct oci_union_walk *walk_new(struct oci_union *u, const char *path)
{
	struct oci_union_walk *walk = NULL;
	ib_autoerr err = {0};

	assert_int_equal(oci_union_walk_new(u, path, 0, &walk, &err), 0);
	return walk;
}

/* The same names, types, modes, sizes and times; the number of entries. */
static int64_t expect_equal_trees(const struct fixture *f)
{
	IB_CLEANUP(oci_union_freep) struct oci_union *a = files_union(dup(f->context), OCI_UNION_PLAIN);
	IB_CLEANUP(oci_union_freep) struct oci_union *b = files_union(dup(f->upper), OCI_UNION_PLAIN);
	IB_CLEANUP(oci_union_walk_freep) struct oci_union_walk *wa = walk_new(a, "src"), *wb = walk_new(b, "n");
	const struct oci_walk_entry *ea, *eb;
	ib_autoerr err = {0};
	int64_t n = 0;

	for (; oci_union_walk_next(wa, &ea, &err) > 0; n++) {
		assert_int_equal(oci_union_walk_next(wb, &eb, &err), 1);
		assert_string_equal(ea->path + strlen("src"), eb->path + strlen("n"));
		assert_int_equal(ea->st.st_mode, eb->st.st_mode);
		if (S_ISREG(ea->st.st_mode))
			assert_int_equal(ea->st.st_size, eb->st.st_size);
		assert_int_equal(ea->st.st_mtim.tv_sec, eb->st.st_mtim.tv_sec);
		assert_int_equal(ea->st.st_mtim.tv_nsec, eb->st.st_mtim.tv_nsec);
	}
	assert_int_equal(oci_union_walk_next(wb, &eb, &err), 0);
	return n;
}

static void must_copy(struct fixture *f)
{
	ib_autoerr err = {0};

	if (copy_all(f, NULL, &err) < 0)
		fail_msg("%s", err.text);
}

static void put_file(int dir, const char *name, int bytes)
{
	ib_autoclose int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);

	assert_true(fd >= 0);
	for (int i = 0; i < bytes; i++)
		assert_int_equal(write(fd, "x", 1), 1);
}

#define DEEP 1500	/* levels; more than there are descriptors */

static void a_tree_deeper_than_there_are_descriptors(void **state)
{
	struct fixture *f = *state;
	const rlim_t few = 512;	/* half of what is usual */
	struct rlimit before;
	int at = dup(f->context);

	assert_int_equal(mkdirat(at, "src", 0755), 0);
	for (int i = 0; i < DEEP; i++) {
		int next = openat(at, i ? "d" : "src", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		assert_true(next >= 0);
		close(at);
		at = next;
		put_file(at, "a", 3);
		put_file(at, "z", 2);
		assert_int_equal(mkdirat(at, "d", 0711), 0);
	}
	close(at);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){few, before.rlim_max}), 0);
	must_copy(f);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(expect_equal_trees(f), 3 * DEEP);
	assert_int_equal(f->progress, 5 * DEEP);
}

static void make_wide(const struct fixture *f)
{
	int src;

	assert_int_equal(mkdirat(f->context, "src", 0755), 0);
	src = openat(f->context, "src", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 40; i++) {
		char name[64];

		(void)snprintf(name, sizeof name, "d%d", i % 7);
		(void)mkdirat(src, name, 0750);
		for (int k = 0; k < 50; k++) {
			(void)snprintf(name, sizeof name, "d%d/f%d-%d", i % 7, i, k);
			put_file(src, name, k);
		}
	}
	close(src);
}

static void a_tree_of_many_files(void **state)
{
	struct fixture *f = *state;

	make_wide(f);
	must_copy(f);
	assert_int_equal(expect_equal_trees(f), 2007);
	assert_int_equal(f->progress, 40 * (49 * 50 / 2));
}

static void remove_source(struct fixture *f)
{
	ib_autoerr err = {0};

	assert_int_equal(ib_remove_tree(f->context, "src", &err), 0);
}

static void a_source_that_vanishes_is_an_error(void **state)
{
	struct fixture *f = *state;
	ib_autoerr err = {0};

	make_wide(f);
	assert_int_equal(copy_all(f, remove_source, &err), -1);
	assert_string_equal(err.text, "\"/src\": not found");
	assert_int_equal(err.code, IB_NOTFOUND);
}

static void a_destination_that_is_taken_meanwhile_is_an_error(void **state)
{
	struct fixture *f = *state;
	ib_autoerr err = {0};

	/* The layer has a file of that name, which the walk does not expect in a directory it made. */
	make_wide(f);
	assert_int_equal(mkdirat(f->upper, "n", 0755), 0);
	put_file(f->upper, "n/d3", 1);
	assert_int_equal(copy_all(f, NULL, &err), -1);
	assert_string_equal(err.text, "cannot copy to non-directory: /n/d3");
	assert_int_equal(err.code, IB_USAGE);
}

static void interrupt(struct fixture *f)
{
	(void)f;
	ib_cancel();
}

/* Last of all: there is no way back from being cancelled. */
static void an_interrupted_copy_ends(void **state)
{
	struct fixture *f = *state;
	ib_autoerr err = {0};

	make_wide(f);
	assert_int_equal(copy_all(f, interrupt, &err), -1);
	assert_int_equal(err.code, IB_CANCELLED);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		ROW(a_tree_deeper_than_there_are_descriptors),
		ROW(a_tree_of_many_files),
		ROW(a_source_that_vanishes_is_an_error),
		ROW(a_destination_that_is_taken_meanwhile_is_an_error),
		ROW(an_interrupted_copy_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
