/* Parts of a build that are neither planning nor execution: names, times, the files that tell its IDs. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "builder/build-internal.h"
#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/image.h"

#include "oci/base/poison.h"

static int read_file(const char *path, struct dockerfile **ret_df, char **ret_excerpt, struct ib_err *err)
{
	ib_autofree char *bytes = NULL;
	size_t n;

	if (ib_read_file(AT_FDCWD, path, BUILDER_DOCKERFILE_MAX_BYTES, &bytes, &n, err) < 0)
		return -1;
	return dockerfile_parse_shown(bytes, n, path, ret_df, ret_excerpt, err);
}

static int read_stdin(struct dockerfile **ret_df, char **ret_excerpt, struct ib_err *err)
{
	ib_autofree char *bytes = NULL;
	size_t n;

	if (ib_read_all(STDIN_FILENO, BUILDER_DOCKERFILE_MAX_BYTES, "standard input", &bytes, &n, err) < 0)
		return -1;
	return dockerfile_parse_shown(bytes, n, "-", ret_df, ret_excerpt, err);
}

int builder_dockerfile_read(const char *path, const char *context, struct dockerfile **ret_df,
			    char **ret_excerpt, struct ib_err *err)
{
	static const char *const names[] = {"Dockerfile", "dockerfile"};

	if (path && strcmp(path, "-") == 0)
		return read_stdin(ret_df, ret_excerpt, err);
	for (size_t i = 0; i < 2; i++) {
		/* "." adds nothing to a name that stands in every message. */
		ib_autofree char *found = path ? ib_strdup(path) : strcmp(context, ".") == 0 ?
					  ib_strdup(names[i]) : ib_asprintf("%s/%s", context, names[i]);

		if (!path && access(found, F_OK) < 0)
			continue;
		if (read_file(found, ret_df, ret_excerpt, err) == 0)
			return 0;
		if (err->sys) {	/* it could not be read: the command line names what isn't there */
			err->code = IB_USAGE;
			return ib_wrap(err, "failed to read dockerfile");
		}
		return -1;
	}
	return ib_fail(err, IB_USAGE, "failed to read dockerfile: there is no Dockerfile in '%s'; name one with "
		       "--file", context);
}

int builder_names_normalise(const struct ib_strv *typed, struct ib_strv *ret_names, struct ib_err *err)
{
	for (size_t i = 0; i < typed->n; i++) {
		registry_autoreference ref = {0};
		ib_autofree char *name = NULL;

		if (registry_reference_parse(typed->v[i], &ref, err) < 0)
			return ib_wrap(err, "--tag");
		if (ref.has_digest)
			return ib_fail(err, IB_USAGE, "--tag '%s': a name that is given can't hold a digest",
				       typed->v[i]);
		name = registry_reference_str(&ref);
		if (!ib_strv_has(ret_names, name))
			ib_strv_add(ret_names, name);
	}
	return 0;
}

static struct timespec clamped(const struct plan *plan, struct timespec ts)
{
	struct timespec epoch = {.tv_sec = plan->epoch};

	return plan->has_epoch && ts.tv_sec >= epoch.tv_sec ? epoch : ts;
}

/* Layers that the image got since its base stage's image: their entries are the non-empty new ones. */
static size_t image_history(const struct plan *plan)
{
	const struct plan_stage *stage = &plan->stages[plan->target];

	while (stage->base == PLAN_BASE_STAGE)
		stage = &plan->stages[stage->base_stage];
	return stage->base_history;
}

/*
 * An entry that made a layer has the time its layer was first made, so that a build that is all cached gives
 * the same bytes. One that made none has the time of the nearest layer before it, of the first one if there
 * is none before, of the base if there is none at all.
 */
static void fill_times(struct oci_config *config, const struct plan *plan, size_t first,
		       const struct exec_result *done)
{
	struct oci_time last = {0};
	size_t layer = done->n_base_layers;

	for (size_t i = 0; i < first; i++)
		if (config->history[i].created.set)
			last = config->history[i].created;
	if (last.set)	/* the base's time, but for new entries */
		last.ts = clamped(plan, last.ts);
	if (layer < done->n_layers)
		last = (struct oci_time){.set = true, .ts = clamped(plan, done->layers[layer].created)};
	for (size_t i = first; i < config->n_history; i++) {
		struct oci_history *entry = &config->history[i];

		if (!entry->empty_layer && layer < done->n_layers)
			last = (struct oci_time){.set = true,
						 .ts = clamped(plan, done->layers[layer++].created)};
		entry->created = last;
	}
	config->created = last;
}

void builder_config_finish(struct oci_config *config, const struct plan *plan, const struct exec_result *done)
{
	for (size_t i = done->n_base_layers; i < done->n_layers; i++)
		oci_config_add_layer(config, &done->layers[i].diff_id);
	fill_times(config, plan, image_history(plan), done);
}

int builder_config_digest(struct oci_store *store, const struct oci_descriptor *manifest,
			  struct oci_digest *ret_digest, struct ib_err *err)
{
	IB_CLEANUP(oci_manifest_freep) struct oci_manifest *parsed = NULL;
	ib_autofree char *bytes = NULL;
	size_t n;

	if (oci_store_get_bytes(store, manifest, OCI_MANIFEST_MAX_BYTES, &bytes, &n, err) < 0 ||
	    oci_manifest_parse(bytes, n, manifest->media, &parsed, err) < 0)
		return -1;
	*ret_digest = parsed->config.digest;
	return 0;
}

/* The directory that a file is written to; *ret_name, borrowed from path, is its name there. */
static int open_parent(const char *path, const char **ret_name, struct ib_err *err)
{
	ib_autofree char *dir = ib_strdup(path);
	char *slash = strrchr(dir, '/');
	int fd;

	*ret_name = slash ? path + (slash - dir) + 1 : path;
	if (slash)
		slash[slash == dir] = '\0';
	fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? ib_fail_sys(err, errno, "open the directory of '%s'", path) : fd;
}

static int write_text(const char *path, const char *text, struct ib_err *err)
{
	const char *name;
	ib_autoclose int fd = open_parent(path, &name, err);

	return fd < 0 ? -1 : ib_replace_file(fd, name, text, strlen(text), 0644, err);
}

static int check_destination(const char *option, const char *path, struct ib_err *err)
{
	const char *name;
	ib_autoclose int fd = open_parent(path, &name, err);
	struct stat st;

	if (fd < 0) {
		err->code = IB_USAGE;
		return ib_wrap(err, "%s", option);
	}
	if (!*name || (fstatat(fd, name, &st, 0) == 0 && S_ISDIR(st.st_mode)))
		return ib_fail(err, IB_USAGE, "%s: '%s' is a directory; name a file", option, path);
	return 0;
}

int builder_check_destinations(const struct builder_build_options *options, struct ib_err *err)
{
	if (options->iidfile && check_destination("--iidfile", options->iidfile, err) < 0)
		return -1;
	if (options->metadata_file && check_destination("--metadata-file", options->metadata_file, err) < 0)
		return -1;
	for (size_t i = 0; i < options->n_outputs; i++) {
		const struct builder_output *output = &options->outputs[i];

		if (output->dest && output->type != BUILDER_OUTPUT_LOCAL && !output->directory &&
		    !builder_output_writes_stdout(output) &&
		    check_destination("--output", output->dest, err) < 0)
			return -1;
	}
	return 0;
}

static char *metadata(const struct builder_build_result *result, const struct ib_strv *names)
{
	ib_autojson *json = ib_json_object();
	ib_autostr joined = IB_STR(1u << 20), out = IB_STR(IB_JSON_MAX_BYTES);
	char text[OCI_DIGEST_SIZE];

	ib_json_set(json, "containerimage.config.digest", ib_json_string(oci_digest_str(&result->config, text)));
	ib_json_set(json, "containerimage.descriptor", oci_descriptor_json(&result->manifest));
	ib_json_set(json, "containerimage.digest",
		    ib_json_string(oci_digest_str(&result->manifest.digest, text)));
	for (size_t i = 0; i < names->n; i++)
		ib_str_addf(&joined, "%s%s", i ? "," : "", names->v[i]);
	if (names->n)
		ib_json_set(json, "image.name", ib_json_string(joined.s));
	ib_json_print_pretty(json, &out);
	ib_str_addc(&out, '\n');
	return ib_str_steal(&out);
}

int builder_write_ids(const struct builder_build_options *options, const struct builder_build_result *result,
		      const struct ib_strv *names, struct ib_err *err)
{
	char text[OCI_DIGEST_SIZE];

	if (options->iidfile && write_text(options->iidfile, oci_digest_str(&result->config, text), err) < 0)
		return -1;
	if (options->metadata_file) {
		ib_autofree char *json = metadata(result, names);

		return write_text(options->metadata_file, json, err);
	}
	return 0;
}
