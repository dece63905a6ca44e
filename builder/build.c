#include "builder/build.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "builder/build-internal.h"
#include "builder/context/context.h"
#include "builder/exec/engine.h"
#include "oci/base/alloc.h"
#include "oci/base/clock.h"
#include "oci/base/fd.h"

#include "oci/base/poison.h"

void builder_build_result_done(struct builder_build_result *result)
{
	oci_descriptor_done(&result->manifest);
	free(result->excerpt);
	*result = (struct builder_build_result){0};
}

/* All that one build holds, freed in the reverse order of its making. */
struct build {
	const struct builder_build_env *env;
	const struct builder_build_options *options;
	struct builder_build_result *result;
	struct dockerfile *df;
	struct builder_context *context;
	struct exec_tree context_tree;
	struct builder_cache *cache;
	struct exec_images *images;
	struct plan *plan;
	struct plan_options plan_options;
	struct oci_platform host;
	struct exec_engine *engine;
	struct exec_result done;
	bool clamp;
	int lock;	/* shared: nothing is collected meanwhile */
};

static void build_done(struct build *b)
{
	exec_engine_free(b->engine);
	exec_result_done(&b->done);
	plan_free(b->plan);
	exec_images_free(b->images);
	builder_cache_free(b->cache);
	builder_context_free(b->context);
	oci_platform_done(&b->host);
	dockerfile_free(b->df);
	ib_closep(&b->lock);
}

static int find_image(void *ctx, const char *name, const struct oci_platform *platform, void **ret_handle,
		      const struct oci_config **ret_config, struct ib_err *err)
{
	struct build *b = ctx;
	struct exec_image *image;

	if (exec_image_resolve(b->images, name, platform, &image, err) < 0)
		return -1;
	*ret_handle = image;
	*ret_config = exec_image_config(image);
	return 0;
}

static void keep_excerpt(struct build *b, int line, int end_line)
{
	if (line && !b->result->excerpt)
		b->result->excerpt = dockerfile_excerpt(b->df, line, end_line);
}

static int make_plan(struct build *b, struct ib_err *err)
{
	const struct builder_build_options *o = b->options;
	int r;

	oci_platform_host(&b->host);
	b->plan_options = (struct plan_options){
		.build_args = &o->build_args,
		.target = o->target,
		.labels = &o->labels,
		.platform = &o->platform,
		.build_platform = &b->host,
		.network = o->network,
		.base = find_image,
		.ctx = b,
	};
	r = plan_new(b->df, &b->plan_options, &b->plan, err);
	if (r < 0 && b->plan)
		keep_excerpt(b, b->plan->failed_line, b->plan->failed_end_line);
	return r;
}

static int open_parts(struct build *b, struct ib_err *err)
{
	const struct builder_build_options *o = b->options;
	const char *root = oci_store_path(b->env->store);
	ib_autofree char *stat_cache = ib_asprintf("%s/cache/stat", root);
	bool from_stdin = o->dockerfile && strcmp(o->dockerfile, "-") == 0;

	if (builder_dockerfile_read(o->dockerfile, o->context, &b->df, &b->result->excerpt, err) < 0)
		return -1;
	for (size_t i = 0; i < b->df->warnings.n; i++)
		builder_progress_warning(b->env->progress, 0, b->df->warnings.v[i]);
	if (ib_mkdirs(oci_store_dirfd(b->env->store), "cache/stat", 0700, err) < 0 ||
	    builder_context_open(o->context, from_stdin ? NULL : b->df->name, stat_cache, &b->context, err) < 0 ||
	    builder_cache_open(root, &b->cache, err) < 0)
		return -1;
	b->context_tree = exec_context_tree(b->context);
	b->images = exec_images_new(b->env->store, &o->registry, o->pull, b->env->progress);
	return 0;
}

static int execute(struct build *b, struct ib_err *err)
{
	const struct exec_env env = {
		.store = b->env->store,
		.cache = b->cache,
		.progress = b->env->progress,
		.images = b->images,
		.launcher = b->env->launcher,
		.no_run_reason = b->env->no_run_reason,
		.snapshotter = b->options->snapshotter,
		.context = &b->context_tree,
		.context_name = b->options->context,
		.threads = b->options->threads,
	};
	const struct exec_options options = {
		.no_cache = b->options->no_cache,
		.compression = b->options->compression,
		.clamp_times = b->clamp,
	};
	struct exec_place place;

	if (exec_engine_new(&env, b->plan, &options, &b->engine, err) < 0)
		return -1;
	if (exec_engine_run(b->engine, &b->done, &place, err) == 0)
		return 0;
	if (err->code == IB_CANCELLED || !place.line)
		return -1;
	keep_excerpt(b, place.line, place.end_line);
	return ib_wrap(err, "%s:%d", b->df->name, place.line);
}

static bool needs_image(const struct builder_build_options *options)
{
	for (size_t i = 0; i < options->n_outputs; i++)
		if (builder_output_needs_image(&options->outputs[i]))
			return true;
	return options->iidfile || options->metadata_file;
}

/* The base's blobs have to be in the store for everything that is written out of it. */
static int fetch_base(struct build *b, int step, struct ib_err *err)
{
	const struct plan_stage *stage = &b->plan->stages[b->plan->target];

	while (stage->base == PLAN_BASE_STAGE)
		stage = &b->plan->stages[stage->base_stage];
	if (stage->base != PLAN_BASE_IMAGE)
		return 0;
	return exec_image_fetch(b->plan->images[stage->base_image].handle, step, err);
}

/* Copied images whose layers all came in on the way have their names from now on. */
static int name_images(struct build *b, struct ib_err *err)
{
	for (size_t i = 0; i < b->plan->n_images; i++)
		if (exec_image_name_if_complete(b->plan->images[i].handle, err) < 0)
			return -1;
	return 0;
}

static int make_image(struct build *b, int step, struct ib_err *err)
{
	struct oci_config *config = b->plan->stages[b->plan->target].config;
	ib_autofree struct oci_descriptor *layers = ib_calloc(b->done.n_layers, sizeof *layers);
	int r = fetch_base(b, step, err);
	size_t n = 0;

	for (; r == 0 && n < b->done.n_layers; n++)
		r = exec_engine_layer_blob(b->engine, &b->done, n, &b->options->compression, &layers[n], err);
	if (r == 0) {
		builder_config_finish(config, b->plan, &b->done);
		r = oci_image_write(b->env->store, config, layers, n, false, NULL, &b->result->manifest, err);
	}
	for (size_t i = 0; i < n; i++)
		oci_descriptor_done(&layers[i]);
	if (r < 0)
		return -1;
	b->result->has_image = true;
	return builder_config_digest(b->env->store, &b->result->manifest, &b->result->config, err);
}

static int write_outputs(struct build *b, const struct ib_strv *names, int step, struct ib_err *err)
{
	const struct oci_config *config = b->plan->stages[b->plan->target].config;
	IB_CLEANUP(oci_union_freep) struct oci_union *tree = NULL;
	char created[IB_RFC3339_SIZE];

	for (size_t i = 0; i < b->options->n_outputs; i++) {
		const struct builder_output *output = &b->options->outputs[i];
		struct builder_export export = {
			.store = b->env->store,
			.progress = b->env->progress,
			.step = step,
			.manifest = &b->result->manifest,
			.names = *names,
			.clamp = b->plan->has_epoch,
			.epoch = b->plan->epoch,
			.registry = &b->options->registry,
			.created = config->created.set ? ib_rfc3339(&config->created.ts, created) : NULL,
		};
		ib_autostrv own = {0};

		if (output->names.n) {
			if (builder_names_normalise(&output->names, &own, err) < 0)
				return -1;
			export.names = own;
		}
		if (!builder_output_needs_image(output) && output->type != BUILDER_OUTPUT_CACHE_ONLY && !tree &&
		    exec_engine_tree(b->engine, &tree, err) < 0)
			return -1;
		export.tree = tree;
		if (builder_output_write(output, &export, err) < 0)
			return -1;
	}
	return 0;
}

static int finish(struct build *b, const struct ib_strv *names, struct ib_err *err)
{
	int step = builder_progress_step(b->env->progress, "exporting");
	int r = 0;

	builder_progress_start(b->env->progress, step);
	if (needs_image(b->options))
		r = make_image(b, step, err);
	if (r == 0)
		r = name_images(b, err);
	if (r == 0)
		r = write_outputs(b, names, step, err);
	if (r == 0)
		r = builder_write_ids(b->options, b->result, names, err);
	builder_progress_end(b->env->progress, step, r < 0 ? err : NULL);
	return r;
}

static int check_output(const struct builder_output *output, const struct builder_build_options *options,
			struct ib_err *err)
{
	bool pushes = output->type == BUILDER_OUTPUT_REGISTRY || output->push;
	ib_autostrv names = {0};

	/* zstd layers in a docker-archive: no engine that reads those archives can unpack them. */
	if (builder_output_needs_docker_layers(output) && options->compression.compression == OCI_ZSTD)
		return ib_fail(err, IB_USAGE, "Docker archives have no zstd layers; use --compression gzip "
			       "or --output type=oci");
	if (pushes && !output->names.n && !options->tags.n)
		return ib_fail(err, IB_USAGE, "nothing to push: name the image with --tag");
	return builder_names_normalise(&output->names, &names, err);
}

/* What can be known to fail is said before the work, not after it. */
static int check_outputs(const struct builder_build_options *options, struct ib_err *err)
{
	for (size_t i = 0; i < options->n_outputs; i++)
		if (check_output(&options->outputs[i], options, err) < 0)
			return -1;
	return 0;
}

static int build(struct build *b, struct ib_err *err)
{
	ib_autostrv names = {0};

	if (check_outputs(b->options, err) < 0 || builder_check_destinations(b->options, err) < 0 ||
	    builder_names_normalise(&b->options->tags, &names, err) < 0 ||
	    (b->lock = oci_store_lock(b->env->store, false, true, err)) < 0 || open_parts(b, err) < 0 ||
	    make_plan(b, err) < 0)
		return -1;
	b->clamp = b->plan->has_epoch && !b->options->keep_times;
	if (execute(b, err) < 0)
		return -1;
	return finish(b, &names, err);
}

int builder_build(const struct builder_build_env *env, const struct builder_build_options *options,
		  struct builder_build_result *ret_result, struct ib_err *err)
{
	struct build b = {.env = env, .options = options, .result = ret_result, .lock = -1};
	int r = build(&b, err);

	build_done(&b);
	return r;
}
