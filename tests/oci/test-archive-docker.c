#include "tests/oci/archive-fixture.h"

#include <zlib.h>

#include "oci/base/fd.h"
#include "oci/image.h"

static int import(struct fixture *f, const struct oci_compression_setting *setting, struct oci_archive_list *list,
		  struct ib_err *err)
{
	IB_CLEANUP(oci_reader_freep) struct oci_reader *src = oci_memory_reader_new(f->tar.s, f->tar.len);

	return oci_archive_import(f->store, src, f->pool, setting, list, err);
}

static void import_ok(struct fixture *f, const struct oci_compression_setting *setting,
		      struct oci_archive_list *list)
{
	ib_autoerr err = {0};

	if (import(f, setting, list, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < list->n; i++)
		assert_int_equal(oci_store_verify(f->store, &list->v[i].desc, &err), 0);
}

/* A config with the diff IDs of these texts. The caller's. */
static char *config_of(const char *const *layers, size_t n)
{
	ib_autostr ids = IB_STR(1 << 16);

	for (size_t i = 0; i < n; i++) {
		ib_autofree char *digest = digest_of(layers[i], strlen(layers[i]));

		ib_str_addf(&ids, "%s\"%s\"", i ? "," : "", digest);
	}
	return ib_asprintf("{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[%s]}}",
			   ids.s ? ids.s : "");
}

static struct oci_image *load(struct fixture *f, const struct oci_archive_list *list, size_t i)
{
	struct oci_image *image = NULL;
	ib_autoerr err = {0};

	if (oci_image_load(f->store, &list->v[i].desc, NULL, &image, &err) < 0)
		fail_msg("%s", err.text);
	return image;
}

static void layers_are_stored_as_they_are_and_the_config_keeps_its_digest(void **state)
{
	static const char *const layers[] = {"one", "two"};
	struct fixture *f = *state;
	ib_autofree char *config = config_of(layers, 2), *id = digest_of(config, strlen(config)),
			 *name = ib_asprintf("%s.json", id + 7), *text = NULL;
	IB_CLEANUP(oci_image_freep) struct oci_image *image = NULL;
	struct oci_archive_list list = {0};
	char shown[OCI_DIGEST_SIZE];

	add(f, "aa/layer.tar", "one");
	add(f, "aa/VERSION", "1.0");
	add(f, "bb/layer.tar", "two");
	add(f, name, config);
	text = ib_asprintf("[{\"Config\":\"%s\",\"RepoTags\":[\"x:1\",\"y:2\"],\"Layers\":[\"aa/layer.tar\",\"bb/layer.tar\"]}]",
			   name);
	add(f, "manifest.json", text);
	end_archive(f);
	import_ok(f, NULL, &list);
	assert_int_equal(list.n, 1);
	assert_int_equal(list.v[0].names.n, 2);
	assert_string_equal(list.v[0].names.v[1], "y:2");
	image = load(f, &list, 0);
	assert_string_equal(oci_digest_str(&image->manifest->config.digest, shown), id);
	assert_int_equal(image->manifest->n_layers, 2);
	assert_int_equal(image->manifest->layers[1].media, OCI_MEDIA_LAYER);
	assert_int_equal(image->manifest->layers[1].size, 3);
	assert_string_equal(list.v[0].desc.platform->architecture, "amd64");
	assert_int_equal(count_blobs(f), 4);
	oci_archive_list_done(&list);
}

/* docker save of 1.10 to 24: a layer that is there twice is a link to the first. */
static void linked_layers_stand_for_what_they_link_to(void **state)
{
	static const char *const layers[] = {"one", "one", "one"};
	struct fixture *f = *state;
	ib_autofree char *config = config_of(layers, 3);
	IB_CLEANUP(oci_image_freep) struct oci_image *image = NULL;
	struct oci_archive_list list = {0};

	add(f, "manifest.json", "[{\"Config\":\"c.json\",\"RepoTags\":null,"
				"\"Layers\":[\"aa/layer.tar\",\"bb/layer.tar\",\"cc/layer.tar\"]}]");
	add_entry(f, "bb/layer.tar", S_IFLNK | 0777, "../aa/layer.tar", false, NULL, 0);	/* before its target */
	add(f, "aa/layer.tar", "one");
	add_entry(f, "cc/layer.tar", S_IFREG | 0644, "bb/layer.tar", true, NULL, 0);
	add(f, "c.json", config);
	end_archive(f);
	import_ok(f, NULL, &list);
	image = load(f, &list, 0);
	assert_int_equal(image->manifest->n_layers, 3);
	assert_int_equal(count_blobs(f), 3);
	oci_archive_list_done(&list);
}

static void links_in_a_ring_are_not_followed_forever(void **state)
{
	static const char *const layers[] = {"one"};
	struct fixture *f = *state;
	ib_autofree char *config = config_of(layers, 1);
	struct oci_archive_list list = {0};
	ib_autoerr err = {0};

	add_entry(f, "a", S_IFLNK | 0777, "b", false, NULL, 0);
	add_entry(f, "b", S_IFLNK | 0777, "a", false, NULL, 0);
	add(f, "c.json", config);
	add(f, "manifest.json", "[{\"Config\":\"c.json\",\"Layers\":[\"a\"]}]");
	end_archive(f);
	assert_int_equal(import(f, NULL, &list, &err), -1);
	assert_int_equal(err.code, IB_NOTFOUND);
}

static void of_two_entries_of_one_name_the_later_counts(void **state)
{
	static const char *const layers[] = {"new"};
	struct fixture *f = *state;
	ib_autofree char *config = config_of(layers, 1);
	struct oci_archive_list list = {0};

	add(f, "l.tar", "old");
	add(f, "manifest.json", "[]");
	add(f, "./l.tar", "new");
	add(f, "c.json", config);
	add(f, "manifest.json", "[{\"Config\":\"c.json\",\"Layers\":[\"l.tar\"]}]");
	end_archive(f);
	import_ok(f, NULL, &list);
	assert_int_equal(list.n, 1);
	assert_int_equal(count_blobs(f), 3);
	oci_archive_list_done(&list);
}

static void add_gzipped(struct fixture *f, const char *name, const char *text)
{
	unsigned char gz[4096];
	z_stream z = {.next_out = gz, .avail_out = sizeof gz};
	ib_autofree char *copy = ib_strdup(text);

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (unsigned char *)copy;
	z.avail_in = (unsigned int)strlen(text);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	add_bytes(f, name, gz, z.total_out);
	deflateEnd(&z);
}

/* As kaniko and crane write them. */
static void compressed_layers_stay_compressed_and_their_diff_id_is_checked(void **state)
{
	static const char *const layers[] = {"one"};
	struct fixture *f = *state;
	ib_autofree char *config = config_of(layers, 1), *id = digest_of(config, strlen(config)), *text = NULL;
	IB_CLEANUP(oci_image_freep) struct oci_image *image = NULL;
	struct oci_archive_list list = {0};

	add(f, id, config);
	add_gzipped(f, "l.tar.gz", "one");
	text = ib_asprintf("[{\"Config\":\"%s\",\"RepoTags\":[\"x:1\"],\"Layers\":[\"l.tar.gz\"]}]", id);
	add(f, "manifest.json", text);
	end_archive(f);
	import_ok(f, NULL, &list);
	image = load(f, &list, 0);
	assert_int_equal(image->manifest->layers[0].media, OCI_MEDIA_LAYER_GZIP);
	oci_archive_list_done(&list);
}

static void uncompressed_layers_are_compressed_when_asked_for(void **state)
{
	static const char *const layers[] = {"one", "two", "one"};
	static const struct oci_compression_setting gzip = {OCI_GZIP, 0};
	struct fixture *f = *state;
	ib_autofree char *config = config_of(layers, 3);
	IB_CLEANUP(oci_image_freep) struct oci_image *image = NULL;
	struct oci_archive_list list = {0};

	add(f, "c.json", config);
	add(f, "1", "one");
	add(f, "2", "two");
	add(f, "manifest.json", "[{\"Config\":\"c.json\",\"Layers\":[\"1\",\"2\",\"1\"]},"
				"{\"Config\":\"c.json\",\"RepoTags\":[\"again:1\"],\"Layers\":[\"1\",\"2\",\"1\"]}]");
	end_archive(f);
	import_ok(f, &gzip, &list);
	assert_int_equal(list.n, 1);
	image = load(f, &list, 0);
	assert_int_equal(image->manifest->layers[0].media, OCI_MEDIA_LAYER_GZIP);
	assert_true(oci_digest_equal(&image->manifest->layers[0].digest, &image->manifest->layers[2].digest));
	assert_int_equal(count_blobs(f), 4);	/* the uncompressed ones are not there */
	oci_archive_list_done(&list);
}

static void images_that_are_not_what_they_say_are_refused_and_leave_nothing(void **state)
{
	static const struct {
		const char *manifest, *part;
		enum ib_code code;
	} cases[] = {
		{"[{\"Config\":\"c.json\",\"Layers\":[\"l2\"]}]", "layer 'l2': its diff ID is", IB_MISMATCH},
		{"[{\"Config\":\"c.json\",\"Layers\":[\"gz2\"]}]", "layer 'gz2': its diff ID is", IB_MISMATCH},
		{"[{\"Config\":\"c.json\",\"Layers\":[\"broken.gz\"]}]", "layer 'broken.gz'", IB_INVALID},
		{"[{\"Config\":\"c.json\",\"Layers\":[]}]", "has 0 layers, but its config 1", IB_INVALID},
		{"[{\"Config\":\"c.json\"}]", "has 0 layers, but its config 1", IB_INVALID},
		{"[{\"Config\":\"c.json\",\"Layers\":[\"l1\",\"l1\"]}]", "has 2 layers", IB_INVALID},
		{"[{\"Config\":\"c.json\",\"Layers\":[4]}]", "no array of strings", IB_INVALID},
		{"[{\"Config\":\"c.json\",\"Layers\":[\"gone\"]}]", "'gone' is not in the archive", IB_NOTFOUND},
		{"[{\"Config\":\"c.json\",\"Layers\":[\"l1\"],\"RepoTags\":\"x\"}]", "'RepoTags' is no array", IB_INVALID},
		{"[{\"Config\":\"c.json\",\"Layers\":[\"l1\"],\"RepoTags\":[1]}]", "'RepoTags' is no array", IB_INVALID},
		{"[{\"Config\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855.json\",\"Layers\":[\"l1\"]}]",
		 "content has another digest", IB_MISMATCH},
		{"[{\"Config\":\"c.json\",\"Layers\":[\"l1\"]},{\"Config\":\"c.json\",\"Layers\":[\"l2\"]}]",
		 "manifest.json[1]", IB_MISMATCH},
	};
	static const char *const layers[] = {"one"};
	struct fixture *f = *state;
	ib_autofree char *config = config_of(layers, 1);

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct oci_archive_list list = {0};
		ib_autoerr err = {0};

		begin_archive(f);
		add(f, "c.json", config);
		add(f, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855.json", config);
		add(f, "l1", "one");
		add(f, "l2", "two");
		add_gzipped(f, "gz2", "two");
		add(f, "broken.gz", "\x1f\x8b\x08 and so on");
		add(f, "manifest.json", cases[i].manifest);
		end_archive(f);
		assert_int_equal(import(f, NULL, &list, &err), -1);
		if (!strstr(err.text, cases[i].part))
			fail_msg("%s: %s", cases[i].manifest, err.text);
		assert_int_equal(err.code, cases[i].code);
		assert_int_equal(count_blobs(f), 0);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(layers_are_stored_as_they_are_and_the_config_keeps_its_digest),
		T(linked_layers_stand_for_what_they_link_to),
		T(links_in_a_ring_are_not_followed_forever),
		T(of_two_entries_of_one_name_the_later_counts),
		T(compressed_layers_stay_compressed_and_their_diff_id_is_checked),
		T(uncompressed_layers_are_compressed_when_asked_for),
		T(images_that_are_not_what_they_say_are_refused_and_leave_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
