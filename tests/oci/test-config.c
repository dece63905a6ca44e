#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "oci/config.h"

#define D1 "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define D2 "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define PATH_ENV "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* What BuildKit wrote for a Dockerfile of five lines with SOURCE_DATE_EPOCH=0. */
#define BUILDKIT_CONFIG \
	"{\"architecture\":\"amd64\",\"config\":{\"Env\":[\"" PATH_ENV "\"],\"Cmd\":[\"x\"],\"WorkingDir\":\"/w\"," \
	"\"ArgsEscaped\":true},\"created\":\"1970-01-01T00:00:00Z\",\"history\":[" \
	"{\"created\":\"1970-01-01T00:00:00Z\",\"created_by\":\"ARG X=1\",\"comment\":\"buildkit.dockerfile.v0\",\"empty_layer\":true}," \
	"{\"created\":\"1970-01-01T00:00:00Z\",\"created_by\":\"COPY a /n/a # buildkit\",\"comment\":\"buildkit.dockerfile.v0\"}," \
	"{\"created\":\"1970-01-01T00:00:00Z\",\"created_by\":\"WORKDIR /w\",\"comment\":\"buildkit.dockerfile.v0\"}," \
	"{\"created\":\"1970-01-01T00:00:00Z\",\"created_by\":\"CMD [\\\"x\\\"]\",\"comment\":\"buildkit.dockerfile.v0\",\"empty_layer\":true}]," \
	"\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D1 "\",\"" D2 "\"]}}"

static struct oci_config *parse(const char *text)
{
	struct oci_config *c = NULL;
	ib_autoerr err = {0};

	assert_int_equal(oci_config_parse(text, strlen(text), &c, &err), 0);
	return c;
}

static void assert_written(const struct oci_config *c, const char *expected)
{
	size_t len;
	ib_autofree char *bytes = oci_config_write(c, &len);

	assert_string_equal(bytes, expected);
	assert_int_equal(len, strlen(expected));
}

static void a_config_made_of_fields_has_the_bytes_that_buildkit_writes(void **state)
{
	IB_CLEANUP(oci_config_freep) struct oci_config *c = oci_config_new();
	char by[] = "ARG X=1", comment[] = "buildkit.dockerfile.v0", copy[] = "COPY a /n/a # buildkit",
	     workdir[] = "WORKDIR /w", cmd[] = "CMD [\"x\"]";
	struct oci_history h = {.created = {.set = true}, .created_by = by, .comment = comment, .empty_layer = true};
	struct oci_diff_id id;
	ib_autoerr err = {0};

	(void)state;
	assert_int_equal(oci_platform_parse("linux/amd64", &c->platform, &err), 0);
	oci_config_set_env(c, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	c->created.set = true;
	ib_strv_add(&c->cmd, "x");
	c->working_dir = strdup("/w");
	c->args_escaped = true;
	oci_config_add_history(c, &h);
	h.created_by = copy;
	h.empty_layer = false;
	oci_config_add_history(c, &h);
	h.created_by = workdir;
	oci_config_add_history(c, &h);
	h.created_by = cmd;
	h.empty_layer = true;
	oci_config_add_history(c, &h);
	assert_int_equal(oci_digest_parse(D1, &id.digest, &err), 0);
	oci_config_add_layer(c, &id);
	assert_int_equal(oci_digest_parse(D2, &id.digest, &err), 0);
	oci_config_add_layer(c, &id);
	assert_written(c, BUILDKIT_CONFIG);
}

static void a_config_read_and_copied_is_written_as_it_was(void **state)
{
	static const char *const cases[] = {
		BUILDKIT_CONFIG,
		"{\"architecture\":\"arm\",\"author\":\"A\",\"config\":{\"User\":\"u:g\",\"ExposedPorts\":"
		"{\"443/tcp\":{},\"80/tcp\":{}},\"Env\":[\"A=1\",\"B\"],\"Entrypoint\":[\"/e\"],\"Cmd\":[\"c\"],"
		"\"Volumes\":{\"/a\":{},\"b\":{}},\"WorkingDir\":\"/w\",\"Labels\":{\"a\":\"1\",\"z\":\"\"},"
		"\"StopSignal\":\"SIGRTMIN+3\",\"ArgsEscaped\":true,\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"true\"],"
		"\"Interval\":5000000000,\"Timeout\":1,\"StartPeriod\":2,\"StartInterval\":3,\"Retries\":4},"
		"\"OnBuild\":[\"RUN x\"],\"Shell\":[\"/bin/bash\",\"-c\"]},\"created\":\"2024-05-06T07:08:09.123456789Z\","
		"\"history\":[{\"created_by\":\"x\",\"author\":\"y\"}],\"os\":\"linux\",\"os.version\":\"1\","
		"\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]},\"variant\":\"v7\"}",
		"{\"architecture\":\"\",\"config\":{},\"history\":[],\"os\":\"\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		IB_CLEANUP(oci_config_freep) struct oci_config *c = parse(cases[i]);
		IB_CLEANUP(oci_config_freep) struct oci_config *copy = oci_config_copy(c);

		assert_written(copy, cases[i]);
	}
}

/* Go's encoding/json: json.Marshal("<a href=\"x\">&\u2028\u2029\b\f\x01\x7fé") */
static void strings_are_escaped_as_go_does_it(void **state)
{
	IB_CLEANUP(oci_config_freep) struct oci_config *c = oci_config_new();

	(void)state;
	ib_strv_add(&c->cmd, "<a href=\"x\">&\xe2\x80\xa8\xe2\x80\xa9\b\f\x01\x7f\xc3\xa9\\\t\n\r");
	ib_strv_add(&c->cmd, "latin1 \xe9 x\xe2\x80");
	assert_written(c, "{\"architecture\":\"\",\"config\":{\"Cmd\":[\"\\u003ca href=\\\"x\\\"\\u003e\\u0026\\u2028\\u2029"
			  "\\b\\f\\u0001\x7f\xc3\xa9\\\\\\t\\n\\r\",\"latin1 \\ufffd x\\ufffd\\ufffd\"]},"
			  "\"history\":[],\"os\":\"\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}");
}

static void sets_and_labels_are_sorted_and_without_duplicates(void **state)
{
	IB_CLEANUP(oci_config_freep) struct oci_config *c = oci_config_new();

	(void)state;
	ib_strv_add(&c->exposed_ports, "80/tcp");
	ib_strv_add(&c->exposed_ports, "443/tcp");
	ib_strv_add(&c->exposed_ports, "80/tcp");
	c->labels = ib_json_object();
	ib_json_set(c->labels, "b", ib_json_string("2"));
	ib_json_set(c->labels, "a", ib_json_string("1"));
	assert_written(c, "{\"architecture\":\"\",\"config\":{\"ExposedPorts\":{\"443/tcp\":{},\"80/tcp\":{}},"
			  "\"Labels\":{\"a\":\"1\",\"b\":\"2\"}},\"history\":[],\"os\":\"\","
			  "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}");
}

static void fields_nobody_defines_any_more_are_dropped(void **state)
{
	IB_CLEANUP(oci_config_freep) struct oci_config *c =
		parse("{\"id\":\"x\",\"container\":\"c\",\"docker_version\":\"1\",\"container_config\":{\"Cmd\":null},"
		      "\"config\":{\"Hostname\":\"h\",\"Image\":\"i\",\"Entrypoint\":null,\"Cmd\":[],\"OnBuild\":null},"
		      "\"os\":\"linux\",\"architecture\":\"amd64\",\"created\":null,"
		      "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":null},\"history\":null}");

	(void)state;
	assert_false(c->has_entrypoint);
	assert_true(c->has_cmd);
	assert_int_equal(c->cmd.n, 0);
	assert_written(c, "{\"architecture\":\"amd64\",\"config\":{},\"history\":[],\"os\":\"linux\","
			  "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}");
}

static void hostile_configs_are_refused(void **state)
{
	static const struct {
		const char *text, *part;
	} cases[] = {
		{"", "not valid JSON"},
		{"[]", "no JSON object"},
		{"{\"os\":1}", "'os' is no string"},
		{"{\"created\":\"yesterday\"}", "'created' is no RFC 3339 time"},
		{"{\"created\":12}", "'created' is no string"},
		{"{\"config\":[]}", "'config' is no object"},
		{"{\"config\":{\"Env\":{}}}", "config: 'Env' is no array"},
		{"{\"config\":{\"Env\":[1]}}", "'Env' is no array of strings"},
		{"{\"config\":{\"Env\":[\"A=\\u0000\"]}}", "NUL"},
		{"{\"config\":{\"User\":[]}}", "'User' is no string"},
		{"{\"config\":{\"User\":\"\xc1\x9a\"}}", "invalid UTF-8 in a string"},
		{"{\"config\":{\"User\":\"\xed\xa0\x80\"}}", "invalid UTF-8 in a string"},
		{"{\"config\":{\"Labels\":{\"\xe0\x80\x80\":\"\"}}}", "invalid UTF-8 in a key"},
		{"{\"config\":{\"Volumes\":[\"/a\"]}}", "'Volumes' is no object"},
		{"{\"config\":{\"Labels\":{\"a\":1}}}", "'Labels' is no object of strings"},
		{"{\"config\":{\"ArgsEscaped\":\"yes\"}}", "'ArgsEscaped' is no boolean"},
		{"{\"config\":{\"Healthcheck\":{\"Retries\":\"3\"}}}", "Healthcheck: 'Retries' is no integer"},
		{"{\"config\":{\"Healthcheck\":{\"Interval\":1e400}}}", "'Interval' is no integer"},
		{"{\"rootfs\":{\"type\":\"squashfs\",\"diff_ids\":[]}}", "not of the type"},
		{"{\"rootfs\":{\"diff_ids\":[\"abc\"]}}", "diff_ids[0]: 'abc' is not a sha256"},
		{"{\"rootfs\":{\"diff_ids\":[null]}}", "diff_ids[0] is no string"},
		{"{\"rootfs\":{\"diff_ids\":\"x\"}}", "'diff_ids' is no array"},
		{"{\"history\":[1]}", "history[0] is no object"},
		{"{\"history\":[{},{\"empty_layer\":1}]}", "history[1]: 'empty_layer' is no boolean"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct oci_config *c = NULL;
		ib_autoerr err = {0};

		assert_int_equal(oci_config_parse(cases[i].text, strlen(cases[i].text), &c, &err), -1);
		assert_int_equal(err.code, IB_INVALID);
		assert_non_null(strstr(err.text, cases[i].part));
		assert_null(c);
	}
}

static void a_document_of_millions_of_values_is_refused_before_it_fills_memory(void **state)
{
	size_t len = 4u << 20;
	ib_autofree char *text = malloc(len);
	struct oci_config *c = NULL;
	ib_autoerr err = {0};

	(void)state;
	for (size_t i = 0; i < len; i += 2)
		memcpy(text + i, i ? ",0" : "[0", 2);
	assert_int_equal(oci_config_parse(text, len, &c, &err), -1);
	assert_int_equal(err.code, IB_LIMIT);
}

static void environment_variables_are_updated_in_place(void **state)
{
	IB_CLEANUP(oci_config_freep) struct oci_config *c =
		parse("{\"config\":{\"Env\":[\"A=1\",\"BARE\",\"AB=2\",\"E=\"]}}");

	(void)state;
	assert_string_equal(oci_config_env(c, "A"), "1");
	assert_string_equal(oci_config_env(c, "BARE"), "");
	assert_string_equal(oci_config_env(c, "E"), "");
	assert_null(oci_config_env(c, "B"));
	assert_null(oci_config_env(c, "a"));
	oci_config_set_env(c, "BARE", "x");
	oci_config_set_env(c, "NEW", "y=z");
	assert_int_equal(c->env.n, 5);
	assert_string_equal(c->env.v[1], "BARE=x");
	assert_string_equal(c->env.v[4], "NEW=y=z");
	assert_string_equal(oci_config_env(c, "NEW"), "y=z");
}

/* printf 'D1 D2' | sha256sum */
static void the_chain_id_of_two_layers_is_the_digest_of_both_names(void **state)
{
	IB_CLEANUP(oci_config_freep) struct oci_config *c = parse(BUILDKIT_CONFIG);
	char text[OCI_DIGEST_SIZE];
	struct oci_chain_id chain;

	(void)state;
	oci_config_chain_id(c, 0, &chain);
	assert_true(oci_chain_id_is_empty(&chain));
	oci_config_chain_id(c, 1, &chain);
	assert_string_equal(oci_digest_str(&chain.digest, text), D1);
	oci_config_chain_id(c, 2, &chain);
	assert_string_equal(oci_digest_str(&chain.digest, text), "sha256:a893da35bd22286079f2f3931516d3423eb9b4945f2379e0f8a501ec3d665dd6");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_config_made_of_fields_has_the_bytes_that_buildkit_writes),
		cmocka_unit_test(a_config_read_and_copied_is_written_as_it_was),
		cmocka_unit_test(strings_are_escaped_as_go_does_it),
		cmocka_unit_test(sets_and_labels_are_sorted_and_without_duplicates),
		cmocka_unit_test(fields_nobody_defines_any_more_are_dropped),
		cmocka_unit_test(hostile_configs_are_refused),
		cmocka_unit_test(a_document_of_millions_of_values_is_refused_before_it_fills_memory),
		cmocka_unit_test(environment_variables_are_updated_in_place),
		cmocka_unit_test(the_chain_id_of_two_layers_is_the_digest_of_both_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
