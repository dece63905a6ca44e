#include "tests/oci/archive-fixture.h"

#include "oci/base/fd.h"
#include "oci/image.h"

static int import(struct fixture *f, const struct oci_rootfs_options *options, struct oci_descriptor *desc,
		  struct ib_err *err)
{
	static const struct oci_compression_setting setting = {OCI_UNCOMPRESSED, 0};
	IB_CLEANUP(oci_reader_freep) struct oci_reader *src = oci_memory_reader_new(f->tar.s, f->tar.len);

	return oci_rootfs_import(f->store, src, f->pool, &setting, options, desc, err);
}

static struct oci_rootfs_options options_for(const char *platform)
{
	struct oci_rootfs_options options = {.message = "Imported from -", .created = {.tv_sec = 1}};
	ib_autoerr err = {0};

	assert_int_equal(oci_platform_parse(platform, &options.platform, &err), 0);
	return options;
}

/* The names in the layer of an image. */
static void list_layer(struct fixture *f, const struct oci_image *image, struct ib_strv *names)
{
	int64_t size;
	ib_autoerr err = {0};
	int fd = oci_store_get(f->store, &image->manifest->layers[0].digest, &size, &err);
	IB_CLEANUP(oci_reader_freep) struct oci_reader *src = oci_file_reader_new(fd, "layer");
	IB_CLEANUP(oci_tar_reader_freep) struct oci_tar_reader *in = oci_tar_reader_new(src);
	const struct oci_tar_entry *e;

	while (oci_tar_next(in, &e, &err) > 0)
		ib_strv_take(names, ib_asprintf("%s%s%s %d", e->name, e->link ? "->" : "", e->link ? e->link : "", (int)e->size));
	assert_int_equal(err.code, IB_OK);
}

static void a_tar_becomes_an_image_of_one_layer_with_clean_names(void **state)
{
	static const char *const env[] = {"A=1", "B=x=y"};
	struct fixture *f = *state;
	struct oci_rootfs_options options = options_for("linux/arm64");
	IB_CLEANUP(oci_image_freep) struct oci_image *image = NULL;
	oci_autodescriptor desc = {0};
	ib_autostrv names = {0};
	ib_autoerr err = {0};

	options.changes_env = env;
	options.n_changes_env = 2;
	add_entry(f, "./", S_IFDIR | 0755, NULL, false, NULL, 0);
	add_entry(f, "./etc", S_IFDIR | 0755, NULL, false, NULL, 0);
	add(f, "/etc/passwd", "root");
	add_entry(f, "etc//link", S_IFLNK | 0777, "../../anywhere", false, NULL, 0);
	add_entry(f, "./hard", S_IFREG | 0644, "./etc/passwd", true, NULL, 0);
	end_archive(f);
	assert_int_equal(import(f, &options, &desc, &err), 0);
	assert_int_equal(oci_store_verify(f->store, &desc, &err), 0);
	assert_int_equal(oci_image_load(f->store, &desc, NULL, &image, &err), 0);
	assert_string_equal(image->config->platform.architecture, "arm64");
	assert_string_equal(oci_config_env(image->config, "B"), "x=y");
	assert_string_equal(image->config->history[0].comment, "Imported from -");
	assert_true(oci_digest_equal(&image->config->diff_ids[0].digest, &image->manifest->layers[0].digest));
	list_layer(f, image, &names);
	assert_int_equal(names.n, 4);
	assert_string_equal(names.v[0], "etc/ 0");
	assert_string_equal(names.v[1], "etc/passwd 4");
	assert_string_equal(names.v[2], "etc/link->../../anywhere 0");
	assert_string_equal(names.v[3], "hard->etc/passwd 0");
	oci_platform_done(&options.platform);
}

static void entries_that_have_no_place_in_a_root_are_refused_and_leave_nothing(void **state)
{
	static const struct {
		const char *name, *link, *part;
		mode_t mode;
		bool hard;
	} cases[] = {
		{"../x", NULL, "leads out of the root", S_IFREG | 0644, false},
		{"a/../../x", NULL, "leads out of the root", S_IFREG | 0644, false},
		{"x", "../../etc/shadow", "leads out of the root", S_IFREG | 0644, true},
		{"etc/.wh.passwd", NULL, "would delete files", S_IFREG, false},
		{".wh..wh..opq", NULL, "would delete files", S_IFREG, false},
		{"dev/x", NULL, "stands for a deleted file", S_IFCHR | 0644, false},
	};
	struct fixture *f = *state;
	struct oci_rootfs_options options = options_for("linux/amd64");

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		oci_autodescriptor desc = {0};
		ib_autoerr err = {0};

		begin_archive(f);
		add(f, "ok", "x");
		add_entry(f, cases[i].name, cases[i].mode, cases[i].link, cases[i].hard, NULL, 0);
		end_archive(f);
		assert_int_equal(import(f, &options, &desc, &err), -1);
		assert_int_equal(err.code, IB_INVALID);
		if (!strstr(err.text, cases[i].part))
			fail_msg("%s: %s", cases[i].name, err.text);
		assert_int_equal(count_blobs(f), 0);
	}
	oci_platform_done(&options.platform);
}

static void what_is_no_tar_or_no_variable_is_refused(void **state)
{
	static const char *const env[] = {"=x"};
	struct fixture *f = *state;
	struct oci_rootfs_options options = options_for("linux/amd64");
	oci_autodescriptor desc = {0};
	ib_autoerr err = {0};

	ib_str_reset(&f->tar);
	for (int i = 0; i < 600; i++)
		ib_str_adds(&f->tar, "nonsense");
	assert_int_equal(import(f, &options, &desc, &err), -1);
	assert_int_equal(err.code, IB_INVALID);
	ib_err_clear(&err);
	options.changes_env = env;
	options.n_changes_env = 1;
	assert_int_equal(import(f, &options, &desc, &err), -1);
	assert_int_equal(err.code, IB_USAGE);
	assert_int_equal(count_blobs(f), 0);
	oci_platform_done(&options.platform);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_tar_becomes_an_image_of_one_layer_with_clean_names),
		T(entries_that_have_no_place_in_a_root_are_refused_and_leave_nothing),
		T(what_is_no_tar_or_no_variable_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
