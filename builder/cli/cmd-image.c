/* imgbuild inspect, history, tag, rmi, version. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "builder/cli/cli.h"
#include "oci/base/alloc.h"
#include "oci/base/clock.h"
#include "oci/image.h"
#include "registry/reference.h"

#include "oci/base/poison.h"

struct common {
	const char *root, *format;
	bool no_trunc;
	struct ib_strv arguments;
	struct oci_store *store;
};

static void common_done(struct common *c)
{
	ib_strv_done(&c->arguments);
	oci_store_free(c->store);
}

/* Parse and open the store. As cli_parse(): 1 is help. */
static int begin(struct common *c, const struct cli_command *command, const struct cli_option *options, size_t n,
		 int argc, char **argv, size_t min, size_t max, struct ib_err *err)
{
	int r = cli_parse(command, options, n, argc, argv, &c->arguments, err);

	if (r != 0)
		return r;
	if (cli_expect(command, &c->arguments, min, max, err) < 0)
		return -1;
	return cli_store_open(c->root, &c->store, err);
}

static int load(struct common *c, const char *typed, struct oci_image **ret_image, char **ret_name,
		struct ib_err *err)
{
	oci_autodescriptor desc = {0};

	if (cli_image_find(c->store, typed, &desc, ret_name, err) < 0)
		return -1;
	return oci_image_load(c->store, &desc, NULL, ret_image, err);
}

static struct ib_json *layers_json(const struct oci_image *image)
{
	struct ib_json *layers = ib_json_array();

	for (size_t i = 0; i < image->manifest->n_layers; i++)
		ib_json_append(layers, oci_descriptor_json(&image->manifest->layers[i]));
	return layers;
}

/* The configuration as it is stored, and around it what the store knows. */
static int inspect_one(struct common *c, const char *typed, struct ib_json *out, struct ib_err *err)
{
	IB_CLEANUP(oci_image_freep) struct oci_image *image = NULL;
	ib_autofree char *name = NULL, *bytes = NULL;
	struct ib_json *json, *config;
	char text[OCI_DIGEST_SIZE];
	size_t n;

	if (load(c, typed, &image, &name, err) < 0 ||
	    oci_store_get_bytes(c->store, &image->manifest->config, OCI_CONFIG_MAX_BYTES, &bytes, &n, err) < 0)
		return -1;
	config = ib_json_parse(bytes, n, err);
	if (!config)
		return ib_wrap(err, "configuration of %s", typed);
	json = ib_json_object();
	ib_json_set(json, "Id", ib_json_string(oci_digest_str(&image->manifest->config.digest, text)));
	ib_json_set(json, "Digest", ib_json_string(oci_digest_str(&image->desc.digest, text)));
	if (name)
		ib_json_set(json, "Name", ib_json_string(name));
	ib_json_set(json, "MediaType", ib_json_string(oci_descriptor_media_str(&image->desc)));
	ib_json_set(json, "Layers", layers_json(image));
	ib_json_set(json, "Config", config);
	ib_json_append(out, json);
	return 0;
}

static int inspect(int argc, char **argv, struct ib_err *err)
{
	IB_CLEANUP(common_done) struct common c = {0};
	const struct cli_option options[] = {CLI_ROOT_OPTION(&c.root)};
	ib_autojson *out = ib_json_array();
	ib_autostr text = IB_STR(SIZE_MAX / 8);
	int r = begin(&c, &cli_inspect, options, 1, argc, argv, 1, SIZE_MAX, err);

	if (r != 0)
		return r < 0 ? -1 : 0;
	for (size_t i = 0; i < c.arguments.n; i++)
		if (inspect_one(&c, c.arguments.v[i], out, err) < 0)
			return -1;
	ib_json_print_pretty(out, &text);
	printf("%s\n", text.s);
	return cli_flush(err);
}

static void print_history(const struct oci_image *image, bool no_trunc)
{
	const struct oci_config *config = image->config;
	size_t layer = config->n_diff_ids;

	printf("%-20s  %8s  %s\n", "CREATED", "SIZE", "CREATED BY");
	for (size_t i = config->n_history; i-- > 0;) {
		const struct oci_history *entry = &config->history[i];
		ib_autofree char *by = ib_printable(entry->created_by ? entry->created_by : "",
						    no_trunc ? SIZE_MAX / 8 : 100);
		char when[IB_RFC3339_SIZE] = "", size[32] = "0B";
		struct timespec ts = {.tv_sec = entry->created.ts.tv_sec};

		if (entry->created.set)
			ib_rfc3339(&ts, when);
		if (!entry->empty_layer && layer > 0)
			cli_size(image->manifest->layers[--layer].size, size);
		printf("%-20s  %8s  %s\n", when, size, by);
	}
}

static int history(int argc, char **argv, struct ib_err *err)
{
	IB_CLEANUP(common_done) struct common c = {0};
	const struct cli_option options[] = {
		{"no-trunc", 0, CLI_FLAG, &c.no_trunc, NULL, "show commands in full"},
		CLI_ROOT_OPTION(&c.root),
	};
	IB_CLEANUP(oci_image_freep) struct oci_image *image = NULL;
	int r = begin(&c, &cli_history, options, 2, argc, argv, 1, 1, err);

	if (r != 0)
		return r < 0 ? -1 : 0;
	if (load(&c, c.arguments.v[0], &image, NULL, err) < 0)
		return -1;
	print_history(image, c.no_trunc);
	return cli_flush(err);
}

static int tag(int argc, char **argv, struct ib_err *err)
{
	IB_CLEANUP(common_done) struct common c = {0};
	const struct cli_option options[] = {CLI_ROOT_OPTION(&c.root)};
	registry_autoreference ref = {0};
	oci_autodescriptor desc = {0};
	ib_autofree char *name = NULL;
	const char *names[1];
	int r = begin(&c, &cli_tag, options, 1, argc, argv, 2, 2, err);

	if (r != 0)
		return r < 0 ? -1 : 0;
	if (cli_image_find(c.store, c.arguments.v[0], &desc, NULL, err) < 0 ||
	    registry_reference_parse(c.arguments.v[1], &ref, err) < 0)
		return -1;
	if (ref.has_digest)
		return ib_fail(err, IB_USAGE, "a name that is given can't hold a digest");
	names[0] = name = registry_reference_str(&ref);
	return oci_store_name_set(c.store, names, 1, &desc, err);
}

static int rmi(int argc, char **argv, struct ib_err *err)
{
	IB_CLEANUP(common_done) struct common c = {0};
	const struct cli_option options[] = {CLI_ROOT_OPTION(&c.root)};
	int r = begin(&c, &cli_rmi, options, 1, argc, argv, 1, SIZE_MAX, err);

	if (r != 0)
		return r < 0 ? -1 : 0;
	for (size_t i = 0; i < c.arguments.n; i++) {
		oci_autodescriptor desc = {0};
		ib_autofree char *name = NULL;

		if (cli_image_find(c.store, c.arguments.v[i], &desc, &name, err) < 0)
			return -1;
		if (!name)
			return ib_fail(err, IB_USAGE, "'%s' is no name; images without a name are removed by "
				       "`imgbuild prune`", c.arguments.v[i]);
		if (oci_store_name_remove(c.store, name, err) < 0)
			return -1;
		printf("Untagged: %s\n", name);
	}
	return cli_flush(err);
}

static int version(int argc, char **argv, struct ib_err *err)
{
	ib_autostrv arguments = {0};
	int r = cli_parse(&cli_version, NULL, 0, argc, argv, &arguments, err);

	if (r != 0)
		return r < 0 ? -1 : 0;
	if (cli_expect(&cli_version, &arguments, 0, 0, err) < 0)
		return -1;
	printf("imgbuild %s\n", IMGBUILD_VERSION);
	return cli_flush(err);
}

const struct cli_command cli_inspect = {
	"inspect", "[OPTIONS] IMAGE...", "Show an image's configuration and layers as JSON.", inspect,
};
const struct cli_command cli_history = {
	"history", "[OPTIONS] IMAGE", "Show how an image was made, latest step first.", history,
};
const struct cli_command cli_tag = {"tag", "[OPTIONS] IMAGE NAME[:TAG]", "Give an image another name.", tag};
const struct cli_command cli_rmi = {
	"rmi", "[OPTIONS] NAME[:TAG]...", "Remove names; `imgbuild prune` frees what no name needs.", rmi,
};
const struct cli_command cli_version = {"version", "", "Show the version.", version};
