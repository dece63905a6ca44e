#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "oci/manifest.h"

#define D1 "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define D2 "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define OCI "application/vnd.oci.image."
#define DOCKER "application/vnd.docker."
#define CONFIG "{\"mediaType\":\"" OCI "config.v1+json\",\"digest\":\"" D1 "\",\"size\":7023}"
#define LAYER "{\"mediaType\":\"" OCI "layer.v1.tar+gzip\",\"digest\":\"" D2 "\",\"size\":32654}"
#define MANIFEST(more) "{\"schemaVersion\":2," more "\"config\":" CONFIG ",\"layers\":[" LAYER "]}"
#define INDEX(list) "{\"schemaVersion\":2,\"mediaType\":\"" OCI "index.v1+json\",\"manifests\":[" list "]}"

static void a_manifest_gives_its_config_and_layers(void **state)
{
	static const char text[] = MANIFEST("\"mediaType\":\"" OCI "manifest.v1+json\",\"x\":1,");
	IB_CLEANUP(oci_manifest_freep) struct oci_manifest *m = NULL;
	ib_autoerr err = {0};
	char digest[OCI_DIGEST_SIZE];
	int64_t x;

	(void)state;
	assert_int_equal(oci_manifest_parse(text, strlen(text), OCI_MEDIA_OTHER, &m, &err), 0);
	assert_int_equal(m->media, OCI_MEDIA_MANIFEST);
	assert_int_equal(m->config.media, OCI_MEDIA_CONFIG);
	assert_int_equal(m->config.size, 7023);
	assert_int_equal(m->n_layers, 1);
	assert_int_equal(m->layers[0].media, OCI_MEDIA_LAYER_GZIP);
	assert_string_equal(oci_digest_str(&m->layers[0].digest, digest), D2);
	assert_true(ib_json_get_int(m->json, "x", &x));	/* what we do not know is kept */
}

static void the_type_of_a_manifest_comes_from_its_field_its_descriptor_or_its_shape(void **state)
{
	static const struct {
		const char *text;
		enum oci_media expected, media;
	} cases[] = {
		{MANIFEST(""), OCI_MEDIA_OTHER, OCI_MEDIA_MANIFEST},
		{MANIFEST(""), OCI_MEDIA_DOCKER_MANIFEST, OCI_MEDIA_DOCKER_MANIFEST},
		{MANIFEST("\"mediaType\":\"" DOCKER "distribution.manifest.v2+json\","), OCI_MEDIA_OTHER,
		 OCI_MEDIA_DOCKER_MANIFEST},
		{MANIFEST("\"mediaType\":\"" OCI "manifest.v1+json\","), OCI_MEDIA_MANIFEST, OCI_MEDIA_MANIFEST},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		IB_CLEANUP(oci_manifest_freep) struct oci_manifest *m = NULL;
		ib_autoerr err = {0};

		assert_int_equal(oci_manifest_parse(cases[i].text, strlen(cases[i].text), cases[i].expected, &m, &err), 0);
		assert_int_equal(m->media, cases[i].media);
	}
}

static void a_manifest_without_layers_as_go_writes_it_is_fine(void **state)
{
	static const char text[] = "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":null}";
	IB_CLEANUP(oci_manifest_freep) struct oci_manifest *m = NULL;
	ib_autoerr err = {0};

	(void)state;
	assert_int_equal(oci_manifest_parse(text, strlen(text), OCI_MEDIA_OTHER, &m, &err), 0);
	assert_int_equal(m->n_layers, 0);
}

static void hostile_manifests_are_refused(void **state)
{
	static const struct {
		const char *text, *part;	/* part of the message */
		enum oci_media expected;
	} cases[] = {
		{"", "not valid JSON", OCI_MEDIA_OTHER},
		{"[]", "no JSON object", OCI_MEDIA_OTHER},
		{"{}", "no schemaVersion 2", OCI_MEDIA_OTHER},
		{"{\"schemaVersion\":\"2\"}", "no schemaVersion 2", OCI_MEDIA_OTHER},
		{"{\"schemaVersion\":3}", "no schemaVersion 2", OCI_MEDIA_OTHER},
		{"{\"schemaVersion\":2}", "not an image manifest", OCI_MEDIA_OTHER},
		{"{\"schemaVersion\":1,\"fsLayers\":[]}", "schema 1", OCI_MEDIA_OTHER},
		{"{\"schemaVersion\":2,\"fsLayers\":[]}", "schema 1", OCI_MEDIA_OTHER},
		{MANIFEST("\"manifests\":[],"), "at once", OCI_MEDIA_OTHER},
		{MANIFEST("\"schemaVersion\":2,"), "duplicate key", OCI_MEDIA_OTHER},
		{MANIFEST("\"mediaType\":3,"), "no string", OCI_MEDIA_OTHER},
		{MANIFEST("\"mediaType\":\"text/html\","), "'text/html' is not", OCI_MEDIA_OTHER},
		{MANIFEST("\"mediaType\":\"" OCI "index.v1+json\","), "is not the media type", OCI_MEDIA_OTHER},
		{MANIFEST("\"mediaType\":\"" OCI "manifest.v1+json\","), "but came as", OCI_MEDIA_DOCKER_MANIFEST},
		{MANIFEST(""), "is not the media type", OCI_MEDIA_INDEX},
		{"{\"schemaVersion\":2,\"config\":7,\"layers\":[]}", "config of a manifest", OCI_MEDIA_OTHER},
		{"{\"schemaVersion\":2,\"config\":{},\"layers\":[]}", "no mediaType", OCI_MEDIA_OTHER},
		{"{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":{}}", "no array", OCI_MEDIA_OTHER},
		{"{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[1]}", "layers[0]", OCI_MEDIA_OTHER},
		{"{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[" LAYER ",{\"mediaType\":\"a/b\"}]}",
		 "layers[1]", OCI_MEDIA_OTHER},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct oci_manifest *m = NULL;
		ib_autoerr err = {0};

		assert_int_equal(oci_manifest_parse(cases[i].text, strlen(cases[i].text), cases[i].expected, &m, &err), -1);
		assert_int_equal(err.code, IB_INVALID);
		assert_non_null(strstr(err.text, cases[i].part));
		assert_null(m);
	}
}

static void hostile_descriptors_are_refused(void **state)
{
	static const char *const cases[] = {
		"{\"mediaType\":\"\",\"digest\":\"" D1 "\",\"size\":1}",
		"{\"mediaType\":\"a/b\",\"size\":1}",
		"{\"mediaType\":\"a/b\",\"digest\":\"../../etc/passwd\",\"size\":1}",
		"{\"mediaType\":\"a/b\",\"digest\":\"sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855\",\"size\":1}",
		"{\"mediaType\":\"a/b\",\"digest\":\"md5:d41d8cd98f00b204e9800998ecf8427e\",\"size\":1}",
		"{\"mediaType\":\"a/b\",\"digest\":\"" D1 "\"}",
		"{\"mediaType\":\"a/b\",\"digest\":\"" D1 "\",\"size\":-1}",
		"{\"mediaType\":\"a/b\",\"digest\":\"" D1 "\",\"size\":1.5}",
		"{\"mediaType\":\"a/b\",\"digest\":\"" D1 "\",\"size\":\"1\"}",
		"{\"mediaType\":\"a/b\",\"digest\":\"" D1 "\",\"size\":9223372036854775808}",
		"{\"mediaType\":\"a/b\",\"digest\":\"" D1 "\",\"size\":1,\"platform\":[]}",
		"{\"mediaType\":\"a/b\",\"digest\":\"" D1 "\",\"size\":1,\"annotations\":{\"a\":1}}",
		"{\"mediaType\":\"a/b\",\"digest\":\"" D1 "\",\"size\":1,\"annotations\":\"a\"}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ib_autoerr err = {0};
		ib_autojson *json = ib_json_parse(cases[i], strlen(cases[i]), &err);
		oci_autodescriptor desc = {0};

		assert_non_null(json);
		assert_int_equal(oci_descriptor_parse(json, &desc, &err), -1);
		assert_int_equal(err.code, IB_INVALID);
	}
}

static void a_descriptor_comes_back_as_it_was(void **state)
{
	static const char text[] =
		"{\"mediaType\":\"application/vnd.example+json\",\"digest\":\"" D1 "\",\"size\":9007199254740993,"
		"\"annotations\":{\"a\":\"1\",\"b\":\"2\"},"
		"\"platform\":{\"architecture\":\"arm\",\"os\":\"linux\",\"os.version\":\"9\",\"variant\":\"v7\"},"
		"\"artifactType\":\"x/y\"}";
	ib_autoerr err = {0};
	ib_autojson *json = ib_json_parse(text, strlen(text), &err), *again = NULL;
	oci_autodescriptor desc = {0}, copy = {0};
	ib_autostr out = IB_STR(4096);

	(void)state;
	assert_int_equal(oci_descriptor_parse(json, &desc, &err), 0);
	oci_descriptor_copy(&copy, &desc);
	again = oci_descriptor_json(&copy);
	ib_json_print(again, &out);
	assert_string_equal(out.s, text);
}

static void every_media_type_is_read_as_it_is_written(void **state)
{
	(void)state;
	for (enum oci_media m = OCI_MEDIA_INDEX; m <= OCI_MEDIA_EMPTY; m++)
		assert_int_equal(oci_media_parse(oci_media_str(m)), m);
	assert_int_equal(oci_media_parse(OCI "index.v1+json; charset=utf-8"), OCI_MEDIA_INDEX);
	assert_int_equal(oci_media_parse(OCI "index.v1+jsonx"), OCI_MEDIA_OTHER);
	assert_int_equal(oci_media_parse(OCI "index"), OCI_MEDIA_OTHER);
	assert_int_equal(oci_media_parse(""), OCI_MEDIA_OTHER);
}

static void more_layers_than_can_be_mounted_are_refused(void **state)
{
	ib_autostr text = IB_STR(1u << 20);
	ib_autoerr err = {0};
	struct oci_manifest *m = NULL;

	(void)state;
	ib_str_adds(&text, "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[");
	for (int i = 0; i <= OCI_MAX_LAYERS; i++)
		ib_str_addf(&text, "%s" LAYER, i ? "," : "");
	ib_str_adds(&text, "]}");
	assert_int_equal(oci_manifest_parse(text.s, text.len, OCI_MEDIA_OTHER, &m, &err), -1);
	assert_int_equal(err.code, IB_LIMIT);
}

static void a_manifest_larger_than_registries_take_is_refused(void **state)
{
	ib_autofree char *text = malloc(OCI_MANIFEST_MAX_BYTES + 1);
	ib_autoerr err = {0};
	struct oci_manifest *m = NULL;

	(void)state;
	memset(text, ' ', OCI_MANIFEST_MAX_BYTES + 1);
	assert_int_equal(oci_manifest_parse(text, OCI_MANIFEST_MAX_BYTES + 1, OCI_MEDIA_OTHER, &m, &err), -1);
	assert_int_equal(err.code, IB_LIMIT);
}

/* The digest is sha256sum's of the expected text. */
static void a_written_manifest_has_the_order_of_the_specification(void **state)
{
	static const char expected[] =
		"{\"schemaVersion\":2,\"mediaType\":\"" OCI "manifest.v1+json\",\"config\":" CONFIG
		",\"layers\":[" LAYER "],\"annotations\":{\"a\":\"\\u003cb\\u003e\",\"c\":\"d\"}}";
	static const char annotations[] = "{\"c\":\"d\",\"a\":\"<b>\"}";
	static const char parts[] = MANIFEST("");
	IB_CLEANUP(oci_manifest_freep) struct oci_manifest *m = NULL;
	ib_autoerr err = {0};
	ib_autojson *json = ib_json_parse(annotations, strlen(annotations), &err);
	oci_autodescriptor desc = {0};
	ib_autofree char *bytes = NULL;
	struct oci_digest digest;
	size_t len;

	(void)state;
	assert_int_equal(oci_manifest_parse(parts, strlen(parts), OCI_MEDIA_OTHER, &m, &err), 0);
	oci_manifest_write(OCI_MEDIA_MANIFEST, &m->config, m->layers, m->n_layers, json, &bytes, &len, &desc);
	assert_string_equal(bytes, expected);
	assert_int_equal(len, strlen(expected));
	assert_int_equal(desc.size, len);
	oci_digest_of(expected, len, &digest);
	assert_true(oci_digest_equal(&digest, &desc.digest));
}

#define ENTRY(digest, platform) \
	"{\"mediaType\":\"" OCI "manifest.v1+json\",\"digest\":\"" digest "\",\"size\":1" platform "}"
#define AMD64 ",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}"
#define ARMV6 ",\"platform\":{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v6\"}"
#define ARMV7 ",\"platform\":{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v7\"}"
#define ATTESTATION \
	",\"annotations\":{\"vnd.docker.reference.type\":\"attestation-manifest\"}," \
	"\"platform\":{\"os\":\"unknown\",\"architecture\":\"unknown\"}"

static struct oci_index *parse_index(const char *text)
{
	struct oci_index *index = NULL;
	ib_autoerr err = {0};

	assert_int_equal(oci_index_parse(text, strlen(text), OCI_MEDIA_OTHER, &index, &err), 0);
	return index;
}

static void the_best_platform_of_an_index_is_chosen_and_the_first_of_equals(void **state)
{
	static const struct {
		const char *text, *wanted, *digest;	/* digest NULL: none */
	} cases[] = {
		{INDEX(ENTRY(D1, ARMV6) "," ENTRY(D2, ARMV7)), "linux/arm/v7", D2},
		{INDEX(ENTRY(D1, ARMV6) "," ENTRY(D2, ARMV7)), "linux/arm/v6", D1},
		{INDEX(ENTRY(D1, AMD64) "," ENTRY(D2, AMD64)), "linux/amd64", D1},
		{INDEX(ENTRY(D1, ATTESTATION) "," ENTRY(D2, AMD64)), "linux/amd64", D2},
		{INDEX(ENTRY(D1, "") "," ENTRY(D2, AMD64)), "linux/amd64", D2},
		{INDEX(ENTRY(D1, "")), "linux/amd64", D1},
		{INDEX(ENTRY(D1, ",\"artifactType\":\"a/b\"")), "linux/amd64", NULL},
		{INDEX(ENTRY(D1, AMD64)), "linux/arm64", NULL},
		{INDEX(""), "linux/amd64", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		IB_CLEANUP(oci_index_freep) struct oci_index *index = parse_index(cases[i].text);
		oci_autoplatform wanted = {0};
		ib_autofree char *offered = NULL;
		const struct oci_descriptor *got;
		ib_autoerr err = {0};
		char text[OCI_DIGEST_SIZE];

		assert_int_equal(oci_platform_parse(cases[i].wanted, &wanted, &err), 0);
		got = oci_index_choose(index, &wanted, &offered);
		if (cases[i].digest)
			assert_string_equal(oci_digest_str(&got->digest, text), cases[i].digest);
		else
			assert_null(got);
	}
}

static void platforms_on_offer_are_listed_when_none_serves(void **state)
{
	IB_CLEANUP(oci_index_freep) struct oci_index *index =
		parse_index(INDEX(ENTRY(D1, ARMV6) "," ENTRY(D2, ATTESTATION) "," ENTRY(D2, AMD64)));
	oci_autoplatform wanted = {0};
	ib_autofree char *offered = NULL;
	ib_autoerr err = {0};

	(void)state;
	assert_int_equal(oci_platform_parse("s390x", &wanted, &err), 0);
	assert_null(oci_index_choose(index, &wanted, &offered));
	assert_string_equal(offered, "linux/arm/v6, linux/amd64");
}

static void a_written_index_keeps_unknown_members(void **state)
{
	static const char text[] = "{\"schemaVersion\":2,\"mediaType\":\"" OCI "index.v1+json\",\"manifests\":["
				   ENTRY(D1, "") "],\"annotations\":{\"k\":\"v\"},\"later\":[1,{\"x\":null}]}";
	IB_CLEANUP(oci_index_freep) struct oci_index *index = parse_index(text);
	ib_autofree char *bytes = NULL;
	size_t len;

	(void)state;
	bytes = oci_index_write(index, &len);
	assert_string_equal(bytes, text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_manifest_gives_its_config_and_layers),
		cmocka_unit_test(the_type_of_a_manifest_comes_from_its_field_its_descriptor_or_its_shape),
		cmocka_unit_test(a_manifest_without_layers_as_go_writes_it_is_fine),
		cmocka_unit_test(hostile_manifests_are_refused),
		cmocka_unit_test(hostile_descriptors_are_refused),
		cmocka_unit_test(a_descriptor_comes_back_as_it_was),
		cmocka_unit_test(every_media_type_is_read_as_it_is_written),
		cmocka_unit_test(more_layers_than_can_be_mounted_are_refused),
		cmocka_unit_test(a_manifest_larger_than_registries_take_is_refused),
		cmocka_unit_test(a_written_manifest_has_the_order_of_the_specification),
		cmocka_unit_test(the_best_platform_of_an_index_is_chosen_and_the_first_of_equals),
		cmocka_unit_test(platforms_on_offer_are_listed_when_none_serves),
		cmocka_unit_test(a_written_index_keeps_unknown_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
