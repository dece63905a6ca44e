#include "tests/oci/archive-fixture.h"

#include <sys/resource.h>
#include <zlib.h>

#include "oci/base/fd.h"
#include "oci/image.h"

#define OCI "application/vnd.oci.image."
#define LAYOUT "{\"imageLayoutVersion\":\"1.0.0\"}"

/* A reader that gives few bytes at a time, as pipes do. */
struct dripping_reader {
	struct oci_reader base;
	const char *bytes;
	size_t left;
};

static ssize_t drip(struct oci_reader *base, void *buf, size_t n, struct ib_err *err)
{
	struct dripping_reader *r = (struct dripping_reader *)base;

	(void)err;
	n = n < 100 ? n : 100;
	n = n < r->left ? n : r->left;
	if (n)
		memcpy(buf, r->bytes, n);
	r->bytes += n;
	r->left -= n;
	return (ssize_t)n;
}

static void drip_free(struct oci_reader *base)
{
	(void)base;	/* lives on a stack */
}

static int import_bytes(struct fixture *f, const void *bytes, size_t n, struct oci_archive_list *list,
			struct ib_err *err)
{
	static const struct oci_reader_ops ops = {drip, drip_free};
	struct dripping_reader src = {{&ops}, bytes, n};

	return oci_archive_import(f->store, &src.base, f->pool, NULL, list, err);
}

static int import(struct fixture *f, struct oci_archive_list *list, struct ib_err *err)
{
	return import_bytes(f, f->tar.s, f->tar.len, list, err);
}

static void import_ok(struct fixture *f, struct oci_archive_list *list)
{
	ib_autoerr err = {0};

	if (import(f, list, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < list->n; i++)
		assert_int_equal(oci_store_verify(f->store, &list->v[i].desc, &err), 0);
}

/* Put text into the archive as a blob; its descriptor, the caller's. */
static char *add_blob(struct fixture *f, const char *media, const char *text, const char *more)
{
	ib_autofree char *digest = digest_of(text, strlen(text));
	ib_autofree char *name = ib_asprintf("blobs/sha256/%s", digest + 7);

	add(f, name, text);
	return ib_asprintf("{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu%s}", media, digest, strlen(text), more);
}

/* A whole image with one layer of that text; the descriptor of its manifest. */
static char *add_image(struct fixture *f, const char *layer_text, const char *more)
{
	ib_autofree char *diff = digest_of(layer_text, strlen(layer_text));
	ib_autofree char *layer = add_blob(f, OCI "layer.v1.tar", layer_text, "");
	ib_autofree char *config_text =
		ib_asprintf("{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\","
			    "\"diff_ids\":[\"%s\"]}}", diff);
	ib_autofree char *config = add_blob(f, OCI "config.v1+json", config_text, "");
	ib_autofree char *text = ib_asprintf("{\"schemaVersion\":2,\"config\":%s,\"layers\":[%s]}", config, layer);

	return add_blob(f, OCI "manifest.v1+json", text, more);
}

static void add_index(struct fixture *f, const char *entries)
{
	ib_autofree char *text = ib_asprintf("{\"schemaVersion\":2,\"manifests\":[%s]}", entries);

	add(f, "oci-layout", LAYOUT);
	add(f, "index.json", text);
	end_archive(f);
}

#define NAMED(name) ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"" name "\"}"
#define PLATFORM(arch) ",\"platform\":{\"os\":\"linux\",\"architecture\":\"" arch "\"}"

static void an_oci_archive_gives_its_images_and_their_names(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *a = add_image(f, "one", NAMED("v1")), *b = add_image(f, "two", "");
	ib_autofree char *entries = ib_asprintf("%s,%s", a, b);
	struct oci_archive_list list = {0};

	add_index(f, entries);
	import_ok(f, &list);
	assert_int_equal(list.n, 2);
	assert_int_equal(list.v[0].names.n, 1);
	assert_string_equal(list.v[0].names.v[0], "v1");
	assert_int_equal(list.v[1].names.n, 0);
	assert_null(list.v[0].desc.annotations);
	assert_int_equal(count_blobs(f), 6);
	oci_archive_list_done(&list);
}

static void entries_of_one_digest_are_one_image_with_several_names(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *a = add_image(f, "one", ",\"annotations\":{\"io.containerd.image.name\":\"docker.io/library/a:1\","
						  "\"org.opencontainers.image.ref.name\":\"1\"}");
	ib_autofree char *b = add_image(f, "one", NAMED("two"));
	ib_autofree char *entries = ib_asprintf("%s,%s", a, b);
	struct oci_archive_list list = {0};

	add_index(f, entries);
	import_ok(f, &list);
	assert_int_equal(list.n, 1);
	assert_int_equal(list.v[0].names.n, 2);
	assert_string_equal(list.v[0].names.v[0], "docker.io/library/a:1");
	assert_string_equal(list.v[0].names.v[1], "two");
	assert_int_equal(count_blobs(f), 3);
	oci_archive_list_done(&list);
}

static void the_index_may_come_before_what_it_names(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *a = add_image(f, "one", "");
	ib_autofree char *text = ib_asprintf("{\"schemaVersion\":2,\"manifests\":[%s]}", a);
	struct oci_archive_list list = {0};

	begin_archive(f);
	add(f, "./oci-layout", LAYOUT);
	add(f, "./index.json", text);
	add_entry(f, "blobs", S_IFDIR | 0755, NULL, false, NULL, 0);
	free(add_image(f, "one", ""));
	end_archive(f);
	import_ok(f, &list);
	assert_int_equal(list.n, 1);
	oci_archive_list_done(&list);
}

static void blobs_that_no_image_uses_are_not_kept(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *a = add_image(f, "one", ""), *big = ib_malloc(200000);
	struct oci_archive_list list = {0};

	memset(big, 'x', 199999);
	big[199999] = '\0';
	free(add_blob(f, "x/y", "stray", ""));
	free(add_blob(f, "x/y", big, ""));
	add(f, "README", "hello");
	add_index(f, a);
	import_ok(f, &list);
	assert_int_equal(count_blobs(f), 3);
	oci_archive_list_done(&list);
}

static void a_gzipped_archive_is_read_as_it_is(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *a = add_image(f, "one", "");
	ib_autofree unsigned char *gz = ib_malloc(1 << 20);
	struct oci_archive_list list = {0};
	z_stream z = {.next_out = gz, .avail_out = 1 << 20};
	ib_autoerr err = {0};

	add_index(f, a);
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (unsigned char *)f->tar.s;
	z.avail_in = (unsigned int)f->tar.len;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(import_bytes(f, gz, z.total_out, &list, &err), 0);
	assert_int_equal(list.n, 1);
	deflateEnd(&z);
	oci_archive_list_done(&list);
}

static char *index_text(const char *entries)
{
	return ib_asprintf("{\"schemaVersion\":2,\"mediaType\":\"" OCI "index.v1+json\",\"manifests\":[%s]}", entries);
}

static void a_nested_index_brings_all_its_images(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *a = add_image(f, "one", PLATFORM("amd64")), *b = add_image(f, "two", PLATFORM("arm64"));
	ib_autofree char *entries = ib_asprintf("%s,%s", a, b), *text = index_text(entries);
	ib_autofree char *inner = add_blob(f, OCI "index.v1+json", text, NAMED("multi"));
	struct oci_archive_list list = {0};

	add_index(f, inner);
	import_ok(f, &list);
	assert_int_equal(list.n, 1);
	assert_int_equal(list.v[0].desc.media, OCI_MEDIA_INDEX);
	assert_int_equal(list.v[0].desc.size, strlen(text));
	assert_int_equal(count_blobs(f), 7);
	oci_archive_list_done(&list);
}

/* What docker save writes for an image of which one platform was pulled. */
static void of_an_index_saved_with_one_platform_that_one_is_the_image(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *gone = add_image(f, "one", PLATFORM("amd64")), *here = NULL, *entries = NULL, *text = NULL,
			 *inner = NULL;
	struct oci_archive_list list = {0};
	IB_CLEANUP(oci_image_freep) struct oci_image *image = NULL;
	ib_autoerr err = {0};

	begin_archive(f);
	here = add_image(f, "two", PLATFORM("arm64"));
	entries = ib_asprintf("%s,%s", gone, here);
	text = index_text(entries);
	inner = add_blob(f, OCI "index.v1+json", text, NAMED("multi"));
	add_index(f, inner);
	import_ok(f, &list);
	assert_int_equal(list.n, 1);
	assert_int_equal(list.v[0].desc.media, OCI_MEDIA_MANIFEST);
	assert_string_equal(list.v[0].names.v[0], "multi");
	assert_int_equal(oci_image_load(f->store, &list.v[0].desc, NULL, &image, &err), 0);
	oci_archive_list_done(&list);
}

static void of_an_index_saved_with_two_of_three_platforms_an_index_of_two_is_made(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *gone = add_image(f, "one", PLATFORM("amd64")), *b = NULL, *c = NULL, *entries = NULL,
			 *text = NULL, *inner = NULL;
	struct oci_archive_list list = {0};

	begin_archive(f);
	b = add_image(f, "two", PLATFORM("arm64"));
	c = add_image(f, "three", PLATFORM("s390x"));
	entries = ib_asprintf("%s,%s,%s", b, gone, c);
	text = index_text(entries);
	inner = add_blob(f, OCI "index.v1+json", text, "");
	add_index(f, inner);
	import_ok(f, &list);	/* verified: nothing that it names is missing */
	assert_int_equal(list.v[0].desc.media, OCI_MEDIA_INDEX);
	assert_true(list.v[0].desc.size < (int64_t)strlen(text));
	oci_archive_list_done(&list);
}

static void an_index_whose_images_are_all_missing_is_refused(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *gone = add_image(f, "one", PLATFORM("amd64")), *text = index_text(gone), *inner = NULL;
	struct oci_archive_list list = {0};
	ib_autoerr err = {0};

	begin_archive(f);
	inner = add_blob(f, OCI "index.v1+json", text, "");
	add_index(f, inner);
	assert_int_equal(import(f, &list, &err), -1);
	assert_int_equal(err.code, IB_NOTFOUND);
	assert_int_equal(count_blobs(f), 0);
}

static void a_blob_that_is_in_the_store_needs_not_be_in_the_archive(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *a = add_image(f, "one", "");
	struct oci_archive_list list = {0};

	add_index(f, a);
	import_ok(f, &list);
	begin_archive(f);
	add_index(f, a);
	import_ok(f, &list);
	assert_int_equal(list.n, 1);
	oci_archive_list_done(&list);
}

static void more_large_blobs_than_files_may_be_open_are_taken(void **state)
{
	struct fixture *f = *state;
	ib_autostr layers = IB_STR(1 << 20);
	ib_autofree char *big = ib_malloc(70000), *config = NULL, *manifest = NULL, *desc = NULL;
	struct oci_archive_list list = {0};
	struct rlimit before, limit;

	memset(big, 'x', 69999);
	big[69999] = '\0';
	for (int i = 0; i < 400; i++) {
		ib_autofree char *layer = NULL;

		(void)snprintf(big, 10, "%08d", i);
		layer = add_blob(f, OCI "layer.v1.tar", big, "");
		ib_str_addf(&layers, "%s%s", i ? "," : "", layer);
	}
	config = add_blob(f, OCI "config.v1+json", "{}", "");
	manifest = ib_asprintf("{\"schemaVersion\":2,\"config\":%s,\"layers\":[%s]}", config, layers.s);
	desc = add_blob(f, OCI "manifest.v1+json", manifest, "");
	add_index(f, desc);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	limit.rlim_cur = 300;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	import_ok(f, &list);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(count_blobs(f), 402);
	oci_archive_list_done(&list);
}

static void an_archive_cut_off_anywhere_fails_and_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *a = add_image(f, "one", "");

	add_index(f, a);	/* last: what is cut off is needed */
	for (size_t n = 0; n + 1024 < f->tar.len; n += 256) {
		struct oci_archive_list list = {0};
		ib_autoerr err = {0};

		assert_int_equal(import_bytes(f, f->tar.s, n, &list, &err), -1);
		assert_int_equal(list.n, 0);
		assert_int_equal(count_blobs(f), 0);
	}
}

#define D1 "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void hostile_archives_are_refused_and_leave_nothing(void **state)
{
	static const struct {
		const char *name, *text, *part;
		enum ib_code code;
	} cases[] = {
		{"blobs/sha256/" "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "not empty",
		 "content has another digest", IB_MISMATCH},
		{"../escape", "x", "leads out of the archive", IB_INVALID},
		{"a/../../escape", "x", "leads out of the archive", IB_INVALID},
		{"blobs/../index.json", "x", "leads out of the archive", IB_INVALID},
		{"/etc/passwd", "x", "leads out of the archive", IB_INVALID},
		{"README", "no image here", "neither index.json nor manifest.json", IB_INVALID},
		{"index.json", "", "index.json: ", IB_INVALID},
		{"index.json", "[1", "not valid JSON", IB_INVALID},
		{"index.json", "{\"schemaVersion\":1}", "schema 1", IB_INVALID},
		{"index.json", "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" OCI "manifest.v1+json\","
			       "\"digest\":\"" D1 "\",\"size\":0}]}", "is not in the archive", IB_NOTFOUND},
		{"index.json", "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" OCI "manifest.v1+json\","
			       "\"digest\":\"" D1 "\",\"size\":9000000000}]}", "larger than", IB_LIMIT},
		{"manifest.json", "{}", "is no array", IB_INVALID},
		{"manifest.json", "[{}]", "has no 'Config'", IB_INVALID},
		{"manifest.json", "[3]", "has no 'Config'", IB_INVALID},
		{"manifest.json", "[{\"Config\":\"c.json\",\"Layers\":[]}]", "'c.json' is not in the archive", IB_NOTFOUND},
		{"manifest.json", "[{\"Config\":\"../../etc/passwd\",\"Layers\":[]}]", "is not in the archive", IB_NOTFOUND},
		{"manifest.json", "[{\"Config\":\"manifest.json\",\"Layers\":[]}]", "no JSON object", IB_INVALID},
		{"manifest.json", "[{\"Config\":\"c.json\",\"Layers\":{}}]", "'Layers' is no array", IB_INVALID},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct oci_archive_list list = {0};
		ib_autoerr err = {0};

		begin_archive(f);
		free(add_image(f, "one", ""));
		add(f, cases[i].name, cases[i].text);
		end_archive(f);
		assert_int_equal(import(f, &list, &err), -1);
		if (!strstr(err.text, cases[i].part))
			fail_msg("%s: %s", cases[i].name, err.text);
		assert_int_equal(err.code, cases[i].code);
		assert_int_equal(count_blobs(f), 0);
	}
}

static void links_and_devices_that_make_no_sense_are_refused(void **state)
{
	static const struct {
		const char *link;
		mode_t mode;
		bool hard;
	} cases[] = {
		{"/etc/passwd", S_IFLNK, false},
		{"../../x", S_IFLNK, false},
		{"../x", S_IFREG, true},
		{NULL, S_IFIFO, false},
		{NULL, S_IFCHR, false},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct oci_archive_list list = {0};
		ib_autoerr err = {0};

		begin_archive(f);
		add_entry(f, "a/b", cases[i].mode | 0644, cases[i].link, cases[i].hard, NULL, 0);
		end_archive(f);
		assert_int_equal(import(f, &list, &err), -1);
		assert_int_equal(err.code, IB_INVALID);
		assert_non_null(strstr(err.text, "'a/b'"));
	}
}

/* Each level names the one below a hundred times: 100^3 manifests to look at. */
static void indexes_that_multiply_are_stopped(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *desc = add_image(f, "one", "");
	struct oci_archive_list list = {0};
	ib_autoerr err = {0};

	for (int level = 0; level < 2; level++) {
		ib_autostr entries = IB_STR(1 << 20);
		ib_autofree char *text = NULL;

		for (int i = 0; i < 100; i++)
			ib_str_addf(&entries, "%s%s", i ? "," : "", desc);
		text = index_text(entries.s);
		free(desc);
		desc = add_blob(f, OCI "index.v1+json", text, "");
	}
	add_index(f, desc);
	assert_int_equal(import(f, &list, &err), -1);
	assert_int_equal(err.code, IB_LIMIT);
	assert_int_equal(count_blobs(f), 0);
}

static void an_archive_of_endless_names_is_stopped(void **state)
{
	struct fixture *f = *state;
	struct oci_archive_list list = {0};
	ib_autoerr err = {0};

	for (int i = 0; i < 20000; i++) {
		ib_autofree char *name = ib_asprintf("%d", i);

		add(f, name, "");
	}
	end_archive(f);
	assert_int_equal(import(f, &list, &err), -1);
	assert_int_equal(err.code, IB_LIMIT);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_oci_archive_gives_its_images_and_their_names),
		T(entries_of_one_digest_are_one_image_with_several_names),
		T(the_index_may_come_before_what_it_names),
		T(blobs_that_no_image_uses_are_not_kept),
		T(a_gzipped_archive_is_read_as_it_is),
		T(a_nested_index_brings_all_its_images),
		T(of_an_index_saved_with_one_platform_that_one_is_the_image),
		T(of_an_index_saved_with_two_of_three_platforms_an_index_of_two_is_made),
		T(an_index_whose_images_are_all_missing_is_refused),
		T(a_blob_that_is_in_the_store_needs_not_be_in_the_archive),
		T(more_large_blobs_than_files_may_be_open_are_taken),
		T(an_archive_cut_off_anywhere_fails_and_leaves_nothing),
		T(hostile_archives_are_refused_and_leave_nothing),
		T(links_and_devices_that_make_no_sense_are_refused),
		T(indexes_that_multiply_are_stopped),
		T(an_archive_of_endless_names_is_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
