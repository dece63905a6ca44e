/* imgbuild build: the default command. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "builder/build.h"
#include "builder/cli/cli.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

/* What the command line says, before it is understood. */
struct given {
	const char *root, *file, *target, *platform, *network, *progress, *compression, *iidfile, *metadata_file,
		*snapshotter, *image;
	struct ib_strv tags, build_args, labels, outputs, insecure;
	bool no_cache, pull, push, load, quiet;
	long long threads;
	struct ib_strv arguments;
};

static void given_done(struct given *g)
{
	ib_strv_done(&g->tags);
	ib_strv_done(&g->build_args);
	ib_strv_done(&g->labels);
	ib_strv_done(&g->outputs);
	ib_strv_done(&g->insecure);
	ib_strv_done(&g->arguments);
}

static int parse_command_line(struct given *g, int argc, char **argv, struct ib_err *err)
{
	const struct cli_option options[] = {
		{"tag", 't', CLI_LIST, &g->tags, "NAME[:TAG]", "name of the image; may be given several times"},
		{"image", 0, CLI_LIST, &g->tags, "NAME[:TAG]", "as --tag"},
		{"file", 'f', CLI_TEXT, &g->file, "FILE", "the Dockerfile; - for standard input"},
		{"build-arg", 0, CLI_LIST, &g->build_args, "NAME[=VALUE]", "value of an ARG; from the environment without =VALUE"},
		{"target", 0, CLI_TEXT, &g->target, "STAGE", "build this stage"},
		{"label", 0, CLI_LIST, &g->labels, "KEY=VALUE", "set a label of the image"},
		{"no-cache", 0, CLI_FLAG, &g->no_cache, NULL, "run every step"},
		{"pull", 0, CLI_FLAG, &g->pull, NULL, "ask the registry for newer base images"},
		{"platform", 0, CLI_TEXT, &g->platform, "OS/ARCH", "platform of the image"},
		{"network", 0, CLI_TEXT, &g->network, "default|none|host", "network of RUN steps"},
		{"output", 'o', CLI_LIST, &g->outputs, "SPEC", "where the result goes: type=oci|docker|tar|local|image|registry,dest=..."},
		{"push", 0, CLI_FLAG, &g->push, NULL, "as --output type=registry"},
		{"load", 0, CLI_FLAG, &g->load, NULL, "as --output type=docker: into the Docker engine"},
		{"iidfile", 0, CLI_TEXT, &g->iidfile, "FILE", "write the image ID there"},
		{"metadata-file", 0, CLI_TEXT, &g->metadata_file, "FILE", "write digests and names there, as JSON"},
		{"progress", 0, CLI_TEXT, &g->progress, "auto|tty|plain|rawjson|quiet", "how progress is shown"},
		{"quiet", 'q', CLI_FLAG, &g->quiet, NULL, "show no progress; print the image ID"},
		{"compression", 0, CLI_TEXT, &g->compression, "gzip|zstd|none[:LEVEL]", "compression of new layers"},
		{"plain-http", 0, CLI_LIST, &g->insecure, "HOST[:PORT]", "speak plain HTTP to this registry"},
		{"snapshotter", 0, CLI_TEXT, &g->snapshotter, "auto|overlay|copy", "how root filesystems are put together"},
		{"threads", 0, CLI_NUMBER, &g->threads, "N", "compress with N threads (default: one per processor)"},
		CLI_ROOT_OPTION(&g->root),
	};

	return cli_parse(&cli_build, options, sizeof options / sizeof *options, argc, argv, &g->arguments, err);
}

/* NAME=VALUE as it is; NAME alone with its value in the environment, or left out when it has none. */
static void add_build_args(const struct given *g, struct ib_strv *build_args)
{
	const char *epoch = getenv("SOURCE_DATE_EPOCH");

	if (epoch && *epoch)
		ib_strv_take(build_args, ib_asprintf("SOURCE_DATE_EPOCH=%s", epoch));
	for (size_t i = 0; i < g->build_args.n; i++) {
		const char *arg = g->build_args.v[i], *value = strchr(arg, '=') ? NULL : getenv(arg);

		if (strchr(arg, '='))
			ib_strv_add(build_args, arg);
		else if (value)
			ib_strv_take(build_args, ib_asprintf("%s=%s", arg, value));
	}
}

static int parse_network(const char *text, enum plan_network *ret_network, struct ib_err *err)
{
	static const char *const names[] = {"default", "none", "host"};
	ib_autofree char *shown = NULL;

	*ret_network = PLAN_NETWORK_DEFAULT;
	for (size_t i = 0; text && i < 3; i++)
		if (strcmp(text, names[i]) == 0) {
			*ret_network = (enum plan_network)i;
			return 0;
		}
	if (!text)
		return 0;
	shown = ib_printable(text, 64);
	return ib_fail(err, IB_USAGE, "--network: '%s' is none of default, none and host", shown);
}

static int parse_snapshotter(const char *text, enum builder_snapshotter *ret_kind, struct ib_err *err)
{
	ib_autofree char *shown = NULL;

	*ret_kind = BUILDER_SNAPSHOT_AUTO;
	if (!text || strcmp(text, "auto") == 0)
		return 0;
	*ret_kind = BUILDER_SNAPSHOT_OVERLAY;
	if (strcmp(text, "overlay") == 0)
		return 0;
	*ret_kind = BUILDER_SNAPSHOT_COPY;
	if (strcmp(text, "copy") == 0)
		return 0;
	shown = ib_printable(text, 64);
	return ib_fail(err, IB_USAGE, "--snapshotter: '%s' is none of auto, overlay and copy", shown);
}

static int parse_platform(const char *text, struct oci_platform *ret_platform, struct ib_err *err)
{
	ib_autofree char *wanted = NULL, *have = NULL;
	oci_autoplatform host = {0};

	oci_platform_host(&host);
	if (!text) {
		oci_platform_copy(ret_platform, &host);
		return 0;
	}
	if (strchr(text, ','))
		return ib_fail(err, IB_UNSUPPORTED, "--platform: several platforms at once are not built in this version");
	if (oci_platform_parse(text, ret_platform, err) < 0)
		return ib_wrap(err, "--platform");
	if (oci_platform_match(&host, ret_platform) > 0)
		return 0;
	wanted = oci_platform_str(ret_platform);
	have = oci_platform_str(&host);
	return ib_fail(err, IB_UNSUPPORTED, "--platform: %s is not this machine's platform, %s; others are not built "
		       "in this version", wanted, have);
}

/* The outputs asked for, or an image in the store. */
struct outputs {
	struct builder_output *v;
	size_t n;
	char *compression;
	int rewrite;
};

static void outputs_done(struct outputs *outputs)
{
	for (size_t i = 0; i < outputs->n; i++)
		builder_output_done(&outputs->v[i]);
	free(outputs->v);
	free(outputs->compression);
}

static void add_output(struct outputs *outputs, enum builder_output_type type)
{
	outputs->v[outputs->n++] = (struct builder_output){.type = type};
}

static int parse_outputs(const struct given *g, struct outputs *outputs, struct ib_err *err)
{
	outputs->v = ib_calloc(g->outputs.n + 2, sizeof *outputs->v);
	outputs->rewrite = -1;
	for (size_t i = 0; i < g->outputs.n; i++) {
		char *compression;
		int rewrite;

		if (builder_output_parse(g->outputs.v[i], &outputs->v[outputs->n], &compression, &rewrite, err) < 0)
			return -1;
		outputs->n++;
		if (compression) {
			free(outputs->compression);
			outputs->compression = compression;
		}
		if (rewrite >= 0)
			outputs->rewrite = rewrite;
	}
	if (g->push)
		add_output(outputs, BUILDER_OUTPUT_REGISTRY);
	if (g->load)
		add_output(outputs, BUILDER_OUTPUT_DOCKER);
	if (!outputs->n)
		add_output(outputs, BUILDER_OUTPUT_IMAGE);
	return 0;
}

static int check_together(const struct given *g, const struct outputs *outputs, struct ib_err *err)
{
	size_t to_stdout = 0;

	for (size_t i = 0; i < outputs->n; i++)
		to_stdout += builder_output_writes_stdout(&outputs->v[i]);
	if (to_stdout > 1 || (to_stdout && g->quiet))
		return ib_fail(err, IB_USAGE, "standard output can hold one result only");
	if (to_stdout && isatty(STDOUT_FILENO))
		return ib_fail(err, IB_USAGE, "an archive is not written to a terminal; redirect standard output");
	if (g->push && !g->tags.n)
		return ib_fail(err, IB_USAGE, "--push needs a name to push to; give one with --tag");
	if (g->quiet && g->progress && strcmp(g->progress, "quiet") != 0 && strcmp(g->progress, "none") != 0)
		return ib_fail(err, IB_USAGE, "--quiet and --progress=%s contradict each other", g->progress);
	return 0;
}

static int understand(const struct given *g, const struct outputs *outputs, struct builder_build_options *o,
		      struct ib_err *err)
{
	const char *compression = g->compression ? g->compression : outputs->compression;

	o->context = g->arguments.n ? g->arguments.v[0] : ".";
	o->dockerfile = g->file;
	o->target = g->target;
	o->no_cache = g->no_cache;
	o->pull = g->pull;
	o->threads = (size_t)g->threads;
	o->iidfile = g->iidfile;
	o->metadata_file = g->metadata_file;
	o->outputs = outputs->v;
	o->n_outputs = outputs->n;
	o->keep_times = outputs->rewrite == 0;
	o->compression.compression = OCI_GZIP;
	o->registry.plain_http = (const char *const *)g->insecure.v;
	o->registry.n_plain_http = g->insecure.n;
	ib_strv_copy(&o->tags, &g->tags);
	ib_strv_copy(&o->labels, &g->labels);
	add_build_args(g, &o->build_args);
	if (strcmp(o->context, "-") == 0 || strstr(o->context, "://"))
		return ib_fail(err, IB_UNSUPPORTED, "context '%s': only directories are built in this version",
			       o->context);
	if (compression && oci_compression_parse(compression, &o->compression, err) < 0)
		return ib_wrap(err, "--compression");
	if (parse_network(g->network, &o->network, err) < 0 ||
	    parse_snapshotter(g->snapshotter, &o->snapshotter, err) < 0)
		return -1;
	return parse_platform(g->platform, &o->platform, err);
}

static void options_done(struct builder_build_options *o)
{
	ib_strv_done(&o->build_args);
	ib_strv_done(&o->labels);
	ib_strv_done(&o->tags);
	oci_platform_done(&o->platform);
}

static void warn_of_one_id(struct builder_progress *progress, const char *reason)
{
	ib_autofree char *text = ib_asprintf("%s; every file will belong to root, and changing owners has no effect",
					     reason ? reason : "there is one id only");

	builder_progress_warning(progress, 0, text);
}

#define OPEN_FILES 65536

/*
 * A stack of layers is held open as a whole, by the step at work and by the layers being written: hundreds of
 * layers pass the usual 1024. What RUN starts has the limit we were given, for the launcher runs already.
 */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= OPEN_FILES)
		return;
	limit.rlim_cur = limit.rlim_max < OPEN_FILES ? limit.rlim_max : OPEN_FILES;
	(void)setrlimit(RLIMIT_NOFILE, &limit);	/* a build of few layers does with what there is */
}

/* The store, the launcher and the progress stream; the launcher comes before any thread. */
static int build_in(const struct given *g, const struct builder_build_options *options,
		    struct builder_build_result *result, struct ib_err *err)
{
	enum builder_progress_mode mode = g->quiet ? BUILDER_PROGRESS_QUIET : BUILDER_PROGRESS_AUTO;
	IB_CLEANUP(sandbox_launcher_freep) struct sandbox_launcher *launcher = NULL;
	IB_CLEANUP(builder_progress_freep) struct builder_progress *progress = NULL;
	IB_CLEANUP(oci_store_freep) struct oci_store *store = NULL;
	ib_autofree char *reason = NULL;
	enum sandbox_privilege privilege;
	struct builder_build_env env;

	if (g->progress && builder_progress_mode_parse(g->progress, &mode, err) < 0)
		return ib_wrap(err, "--progress");
	if (sandbox_enter(&privilege, &reason, err) < 0)
		return -1;
	if (privilege != SANDBOX_NOTHING && sandbox_launcher_start(&launcher, err) < 0)
		return -1;
	raise_file_limit();
	if (cli_store_open(g->root, &store, err) < 0)
		return -1;
	progress = builder_progress_new(mode, STDERR_FILENO);
	if (privilege == SANDBOX_SINGLE_ID)
		warn_of_one_id(progress, reason);
	env = (struct builder_build_env){
		.store = store,
		.progress = progress,
		.launcher = launcher,
		.no_run_reason = reason ? reason : "no namespaces",
	};
	return builder_build(&env, options, result, err);
}

static int report(const struct given *g, const struct builder_build_result *result, int r, struct ib_err *err)
{
	char text[OCI_DIGEST_SIZE];

	if (r < 0 && result->excerpt)
		fprintf(stderr, "%s", result->excerpt);
	if (r < 0)
		return -1;
	if (g->quiet && result->has_image)
		printf("%s\n", oci_digest_str(&result->config, text));
	return cli_flush(err);
}

static int run(int argc, char **argv, struct ib_err *err)
{
	IB_CLEANUP(given_done) struct given g = {0};
	IB_CLEANUP(outputs_done) struct outputs outputs = {0};
	IB_CLEANUP(options_done) struct builder_build_options options = {0};
	IB_CLEANUP(builder_build_result_done) struct builder_build_result result = {0};
	int r = parse_command_line(&g, argc, argv, err);

	if (r != 0)
		return r < 0 ? -1 : 0;
	if (cli_expect(&cli_build, &g.arguments, 0, 1, err) < 0 || parse_outputs(&g, &outputs, err) < 0 ||
	    check_together(&g, &outputs, err) < 0 || understand(&g, &outputs, &options, err) < 0)
		return -1;
	r = build_in(&g, &options, &result, err);
	return report(&g, &result, r, err);
}

const struct cli_command cli_build = {
	"build", "[OPTIONS] [CONTEXT]", "Build an image from a Dockerfile and a directory.", run,
};
