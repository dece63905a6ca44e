#include "builder/context/context.h"
#include "builder/exec/copy.h"
#include "tests/builder/files.h"

#include "oci/base/poison.h"

static int set_up(void **state)
{
	struct files *f = files_new();

	files_make(f->fd, "d 755 - - ctx\nf 644 - - ctx/a A\nd 755 - - df\nf 644 - - df/Dockerfile FROM scratch\n");
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	files_free(*state);
	return 0;
}

static char *path_in(const struct files *f, const char *name)
{
	return ib_asprintf("%s/%s", f->path, name);
}

static struct builder_context *open_context(const struct files *f, const char *dockerfile)
{
	ib_autofree char *path = path_in(f, "ctx"), *df = dockerfile ? path_in(f, dockerfile) : NULL;
	struct builder_context *context = NULL;
	ib_autoerr err = {0};

	if (builder_context_open(path, df, "/nowhere", &context, &err) < 0)
		fail_msg("%s", err.text);
	return context;
}

static void expect_error(const struct files *f, const char *name, enum ib_code code, const char *text)
{
	ib_autofree char *path = path_in(f, name);
	struct builder_context *context = NULL;
	ib_autoerr err = {0};

	assert_int_equal(builder_context_open(path, NULL, NULL, &context, &err), -1);
	assert_int_equal(err.code, code);
	if (!strstr(err.text, text))
		fail_msg("%s", err.text);
	assert_null(context);
}

static void a_directory_is_a_tree_of_the_context_kind(void **state)
{
	const struct files *f = *state;
	IB_CLEANUP(builder_context_freep) struct builder_context *context = open_context(f, NULL);
	struct exec_tree tree = exec_context_tree(context);
	ib_autofree char *real = realpath(f->path, NULL), *want = ib_asprintf("%s/ctx", real);
	ib_autoerr err = {0};
	struct stat st;

	assert_true(tree.context);
	assert_null(tree.ignore);
	assert_null(context->ignore_name);
	assert_string_equal(tree.identity, want);
	assert_string_equal(tree.stat_cache_dir, "/nowhere");
	assert_int_equal(oci_union_stat(tree.tree, "a", &st, NULL, &err), 0);
}

static void the_context_has_its_own_ignore_file(void **state)
{
	const struct files *f = *state;
	IB_CLEANUP(builder_context_freep) struct builder_context *context = NULL;

	files_make(f->fd, "f 644 - - ctx/.dockerignore a\n");
	context = open_context(f, "df/Dockerfile");
	assert_string_equal(context->ignore_name, ".dockerignore");
	assert_true(builder_ignore_excludes(context->ignore, "a"));
	assert_false(builder_ignore_excludes(context->ignore, "b"));
}

static void the_dockerfile_s_ignore_file_takes_its_place(void **state)
{
	const struct files *f = *state;
	IB_CLEANUP(builder_context_freep) struct builder_context *context = NULL;
	ib_autofree char *name = path_in(f, "df/Dockerfile.dockerignore");

	files_make(f->fd, "f 644 - - ctx/.dockerignore a\nf 644 - - df/Dockerfile.dockerignore b\n");
	context = open_context(f, "df/Dockerfile");
	assert_string_equal(context->ignore_name, name);
	assert_false(builder_ignore_excludes(context->ignore, "a"));
	assert_true(builder_ignore_excludes(context->ignore, "b"));
}

static void an_ignore_file_below_the_root_is_none(void **state)
{
	const struct files *f = *state;
	IB_CLEANUP(builder_context_freep) struct builder_context *context = NULL;

	files_make(f->fd, "d 755 - - ctx/d\nf 644 - - ctx/d/.dockerignore a\n");
	context = open_context(f, "df/Dockerfile");
	assert_null(context->ignore);
}

static void an_ignore_file_never_leads_out_of_the_context(void **state)
{
	const struct files *f = *state;
	IB_CLEANUP(builder_context_freep) struct builder_context *context = NULL;

	files_make(f->fd, "f 644 - - secret a\nl - - - ctx/.dockerignore ../secret\n");
	context = open_context(f, NULL);
	assert_null(context->ignore);
}

static void a_missing_directory_is_an_error(void **state)
{
	expect_error(*state, "nope", IB_USAGE, "/nope': no such directory");
}

static void a_file_is_no_context(void **state)
{
	expect_error(*state, "ctx/a", IB_USAGE, "/ctx/a' is not a directory");
}

static void a_bad_pattern_is_an_error_with_its_line(void **state)
{
	const struct files *f = *state;

	files_make(f->fd, "f 644 - - ctx/.dockerignore a[\n");
	expect_error(f, "ctx", IB_USAGE, ".dockerignore");
}

static void a_directory_is_no_ignore_file(void **state)
{
	const struct files *f = *state;

	files_make(f->fd, "d 755 - - ctx/.dockerignore\n");
	expect_error(f, "ctx", IB_USAGE, ".dockerignore is not a regular file");
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		ROW(a_directory_is_a_tree_of_the_context_kind),
		ROW(the_context_has_its_own_ignore_file),
		ROW(the_dockerfile_s_ignore_file_takes_its_place),
		ROW(an_ignore_file_below_the_root_is_none),
		ROW(an_ignore_file_never_leads_out_of_the_context),
		ROW(a_missing_directory_is_an_error),
		ROW(a_file_is_no_context),
		ROW(a_bad_pattern_is_an_error_with_its_line),
		ROW(a_directory_is_no_ignore_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
