#include "tests/oci/archive-fixture.h"

#include <sys/resource.h>

#include "oci/base/fd.h"
#include "oci/image.h"

#define OCI "application/vnd.oci.image."

static void make_image(struct fixture *f, enum oci_media media, const char *layer_text, struct oci_descriptor *ret_desc)
{
	IB_CLEANUP(oci_config_freep) struct oci_config *config = oci_config_new();
	struct oci_descriptor layer = {.media = media, .size = (int64_t)strlen(layer_text)};
	struct oci_diff_id id;
	ib_autoerr err = {0};

	assert_int_equal(oci_store_put_bytes(f->store, layer_text, strlen(layer_text), &layer.digest, &err), 0);
	assert_int_equal(oci_platform_parse("linux/amd64", &config->platform, &err), 0);
	id.digest = layer.digest;
	oci_config_add_layer(config, &id);
	assert_int_equal(oci_image_write(f->store, config, &layer, 1, false, NULL, ret_desc, &err), 0);
}

static void export_ok(struct fixture *f, const struct oci_archive_image *images, size_t n, bool docker)
{
	ib_autoerr err = {0};

	ib_str_reset(&f->tar);
	if (oci_archive_export(f->store, images, n, docker, append_to_str, &f->tar, &err) < 0)
		fail_msg("%s", err.text);
}

/* The archive as a list of lines "mode size name", and the text of one file in it. */
static void list_archive(struct fixture *f, struct ib_strv *lines, const char *wanted, struct ib_str *text)
{
	IB_CLEANUP(oci_reader_freep) struct oci_reader *src = oci_memory_reader_new(f->tar.s, f->tar.len);
	IB_CLEANUP(oci_tar_reader_freep) struct oci_tar_reader *in = oci_tar_reader_new(src);
	const struct oci_tar_entry *e;
	ib_autoerr err = {0};
	const void *bytes;
	int64_t offset;
	size_t n;

	while (oci_tar_next(in, &e, &err) > 0) {
		assert_int_equal(e->mtime.tv_sec, 0);
		assert_int_equal(e->uid, 0);
		ib_strv_take(lines, ib_asprintf("%o %s", e->mode, e->name));
		while (strcmp(e->name, wanted) == 0 && oci_tar_read(in, &bytes, &n, &offset, &err) > 0)
			ib_str_add(text, bytes, n);
	}
	assert_int_equal(err.code, IB_OK);
}

static void an_oci_archive_has_the_layout_and_the_names_that_buildkit_gives(void **state)
{
	static const char *const names[] = {"docker.io/library/x:v1", "localhost:5000/y:v2"};
	struct fixture *f = *state;
	oci_autodescriptor desc = {0};
	ib_autostrv lines = {0};
	ib_autostr index = IB_STR(1 << 16);
	struct oci_archive_image image = {&desc, names, 2, NULL};

	make_image(f, OCI_MEDIA_LAYER, "layer", &desc);
	export_ok(f, &image, 1, false);
	list_archive(f, &lines, "index.json", &index);
	assert_int_equal(lines.n, 7);
	assert_string_equal(lines.v[0], "40755 blobs/");
	assert_string_equal(lines.v[1], "40755 blobs/sha256/");
	assert_string_equal(lines.v[5], "100444 index.json");
	assert_string_equal(lines.v[6], "100444 oci-layout");
	assert_true(strcmp(lines.v[2], lines.v[3]) < 0 && strcmp(lines.v[3], lines.v[4]) < 0);
	assert_non_null(strstr(index.s, "\"annotations\":{\"io.containerd.image.name\":\"docker.io/library/x:v1\","
					"\"org.opencontainers.image.ref.name\":\"v1\"}"));
	assert_non_null(strstr(index.s, "\"annotations\":{\"io.containerd.image.name\":\"localhost:5000/y:v2\","
					"\"org.opencontainers.image.ref.name\":\"v2\"}"));
}

static void a_docker_archive_has_a_manifest_json_with_familiar_names(void **state)
{
	static const char *const names[] = {"docker.io/library/x:v1", "docker.io/team/y:v2", "localhost:5000/z:3"};
	struct fixture *f = *state;
	oci_autodescriptor desc = {0};
	ib_autostrv lines = {0};
	ib_autostr json = IB_STR(1 << 16);
	struct oci_archive_image image = {&desc, names, 3, NULL};

	make_image(f, OCI_MEDIA_LAYER, "layer", &desc);
	export_ok(f, &image, 1, true);
	list_archive(f, &lines, "manifest.json", &json);
	assert_int_equal(lines.n, 8);
	assert_true(ib_starts(json.s, "[{\"Config\":\"blobs/sha256/"));
	assert_non_null(strstr(json.s, "\"RepoTags\":[\"x:v1\",\"team/y:v2\",\"localhost:5000/z:3\"],\"Layers\":[\"blobs/sha256/"));
}

static void the_same_images_give_the_same_bytes_and_shared_blobs_stand_once(void **state)
{
	struct fixture *f = *state;
	oci_autodescriptor a = {0}, b = {0};
	struct oci_archive_image images[] = {{&a, NULL, 0, NULL}, {&b, NULL, 0, NULL}, {&a, NULL, 0, NULL}};
	ib_autostrv lines = {0};
	ib_autostr text = IB_STR(1);
	ib_autofree char *first = NULL;
	size_t len;

	make_image(f, OCI_MEDIA_LAYER, "layer", &a);
	make_image(f, OCI_MEDIA_LAYER, "other", &b);
	export_ok(f, images, 3, false);
	first = ib_memdup(f->tar.s, f->tar.len);
	len = f->tar.len;
	export_ok(f, images, 3, false);
	assert_int_equal(f->tar.len, len);
	assert_memory_equal(f->tar.s, first, len);
	list_archive(f, &lines, "", &text);
	assert_int_equal(lines.n, 2 + 6 + 2);
}

static void what_was_exported_is_imported_with_its_digest(void **state)
{
	static const char *const names[] = {"docker.io/library/x:v1"};
	struct fixture *f = *state;

	for (int docker = 0; docker < 2; docker++) {
		oci_autodescriptor desc = {0};
		struct oci_archive_image image = {&desc, names, 1, NULL};
		struct oci_archive_list list = {0};
		IB_CLEANUP(oci_store_freep) struct oci_store *other = NULL;
		IB_CLEANUP(oci_reader_freep) struct oci_reader *src = NULL;
		ib_autofree char *path = ib_asprintf("%s/other%d", f->dir, docker);
		ib_autoerr err = {0};

		make_image(f, OCI_MEDIA_LAYER, "layer", &desc);
		export_ok(f, &image, 1, docker);
		assert_int_equal(oci_store_open(path, true, &other, &err), 0);
		src = oci_memory_reader_new(f->tar.s, f->tar.len);
		assert_int_equal(oci_archive_import(other, src, f->pool, NULL, &list, &err), 0);
		assert_int_equal(list.n, 1);
		assert_true(oci_digest_equal(&list.v[0].desc.digest, &desc.digest));
		assert_string_equal(list.v[0].names.v[0], names[0]);
		assert_int_equal(oci_store_verify(other, &list.v[0].desc, &err), 0);
		oci_archive_list_done(&list);
	}
}

static void what_docker_cannot_load_is_refused_with_the_way_out(void **state)
{
	struct fixture *f = *state;
	oci_autodescriptor zstd = {0};
	struct oci_descriptor index = {.media = OCI_MEDIA_INDEX};
	struct oci_archive_image images[] = {{&zstd, NULL, 0, NULL}, {&index, NULL, 0, NULL}};
	const char *const parts[] = {"force-compression=true", "one platform"};

	make_image(f, OCI_MEDIA_LAYER_ZSTD, "layer", &zstd);
	for (size_t i = 0; i < 2; i++) {
		ib_autoerr err = {0};

		ib_str_reset(&f->tar);
		assert_int_equal(oci_archive_export(f->store, &images[i], 1, true, append_to_str, &f->tar, &err), -1);
		assert_int_equal(err.code, IB_UNSUPPORTED);
		assert_non_null(strstr(err.text, parts[i]));
		assert_int_equal(f->tar.len, 0);
	}
}

static void a_missing_blob_is_found_before_anything_is_written(void **state)
{
	struct fixture *f = *state;
	oci_autodescriptor desc = {0};
	struct oci_archive_image image = {&desc, NULL, 0, NULL};
	struct oci_digest layer;
	ib_autoerr err = {0};

	make_image(f, OCI_MEDIA_LAYER, "layer", &desc);
	oci_digest_of("layer", 5, &layer);
	assert_int_equal(oci_store_remove_blob(f->store, &layer, &err), 0);
	ib_str_reset(&f->tar);
	assert_int_equal(oci_archive_export(f->store, &image, 1, false, append_to_str, &f->tar, &err), -1);
	assert_int_equal(err.code, IB_NOTFOUND);
	assert_int_equal(f->tar.len, 0);
}

static int count(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void a_layout_directory_holds_what_the_specification_names_and_nothing_else(void **state)
{
	static const char *const names[] = {"docker.io/library/x:v1"};
	struct fixture *f = *state;
	oci_autodescriptor desc = {0};
	struct oci_archive_image image = {&desc, names, 1, NULL};
	ib_autofree char *path = ib_asprintf("%s/new/layout", f->dir), *blobs = ib_asprintf("%s/blobs/sha256", path);
	struct oci_archive_list list = {0};
	ib_autoerr err = {0};
	struct stat st;

	make_image(f, OCI_MEDIA_LAYER, "layer", &desc);
	assert_int_equal(oci_layout_export(f->store, &image, 1, path, &err), 0);
	assert_int_equal(count(path), 3);
	assert_int_equal(count(blobs), 3);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0500, 0500);
	assert_int_equal(oci_layout_import(f->store, path, &list, &err), 0);
	assert_int_equal(list.n, 1);
	assert_string_equal(list.v[0].names.v[0], names[0]);
	oci_archive_list_done(&list);
}

static void a_layout_is_added_to_and_a_tag_moves(void **state)
{
	static const char *const v1[] = {"docker.io/library/x:v1"}, *const v2[] = {"docker.io/library/x:v2"};
	struct fixture *f = *state;
	oci_autodescriptor a = {0}, b = {0};
	struct oci_archive_image first[] = {{&a, v1, 1, NULL}, {&a, v2, 1, NULL}}, second = {&b, v1, 1, NULL};
	ib_autofree char *path = ib_asprintf("%s/layout", f->dir);
	struct oci_archive_list list = {0};
	ib_autoerr err = {0};

	make_image(f, OCI_MEDIA_LAYER, "a", &a);
	make_image(f, OCI_MEDIA_LAYER, "b", &b);
	assert_int_equal(oci_layout_export(f->store, first, 2, path, &err), 0);
	assert_int_equal(oci_layout_export(f->store, &second, 1, path, &err), 0);
	assert_int_equal(oci_layout_import(f->store, path, &list, &err), 0);
	assert_int_equal(list.n, 2);
	assert_true(oci_digest_equal(&list.v[0].desc.digest, &a.digest));
	assert_string_equal(list.v[0].names.v[0], v2[0]);
	assert_string_equal(list.v[1].names.v[0], v1[0]);
	oci_archive_list_done(&list);
}

static void spit(const char *dir, const char *name, const char *text)
{
	ib_autofree char *path = ib_asprintf("%s/%s", dir, name);
	ib_autoclose int fd = -1;

	(void)unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(ib_write_full(fd, text, strlen(text)), 0);
}

static void a_layout_that_lies_is_refused_and_leaves_nothing(void **state)
{
	static const char *const v1[] = {"docker.io/library/x:v1"};
	struct fixture *f = *state;
	oci_autodescriptor desc = {0};
	struct oci_archive_image image = {&desc, v1, 1, NULL};
	struct oci_digest layer;
	char hex[OCI_DIGEST_SIZE];
	ib_autofree char *path = ib_asprintf("%s/layout", f->dir), *blobs = ib_asprintf("%s/blobs/sha256", path),
			 *index = ib_asprintf("%s/index.json", path), *blob = NULL;
	ib_autoerr setup_err = {0};

	make_image(f, OCI_MEDIA_LAYER, "layer", &desc);
	assert_int_equal(oci_layout_export(f->store, &image, 1, path, &setup_err), 0);
	oci_digest_of("layer", 5, &layer);
	oci_digest_hex(&layer, hex);
	blob = ib_asprintf("%s/%s", blobs, hex);
	for (int i = 0; i < 5; i++) {
		IB_CLEANUP(oci_store_freep) struct oci_store *other = NULL;
		ib_autofree char *root = ib_asprintf("%s/other%d", f->dir, i), *there = ib_asprintf("%s/blobs/sha256", root);
		struct oci_archive_list list = {0};
		ib_autoerr err = {0};

		assert_int_equal(oci_store_open(root, true, &other, &err), 0);
		if (i == 0)
			spit(blobs, hex, "lAyer");
		if (i == 1)
			spit(blobs, hex, "longer layer");
		if (i == 2)
			assert_int_equal(unlink(blob), 0);
		if (i == 3)
			assert_int_equal(mkfifo(blob, 0600), 0);
		if (i == 4) {
			assert_int_equal(unlink(index), 0);
			assert_int_equal(symlink("/etc/passwd", index), 0);
		}
		assert_int_equal(oci_layout_import(other, path, &list, &err), -1);
		assert_int_equal(list.n, 0);
		assert_int_equal(count(there), 0);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_oci_archive_has_the_layout_and_the_names_that_buildkit_gives),
		T(a_docker_archive_has_a_manifest_json_with_familiar_names),
		T(the_same_images_give_the_same_bytes_and_shared_blobs_stand_once),
		T(what_was_exported_is_imported_with_its_digest),
		T(what_docker_cannot_load_is_refused_with_the_way_out),
		T(a_missing_blob_is_found_before_anything_is_written),
		T(a_layout_directory_holds_what_the_specification_names_and_nothing_else),
		T(a_layout_is_added_to_and_a_tag_moves),
		T(a_layout_that_lies_is_refused_and_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
