/* imgbuild pull, push. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "builder/cli/cli.h"
#include "builder/progress/progress.h"
#include "oci/base/alloc.h"
#include "oci/image.h"
#include "registry/registry.h"

#include "oci/base/poison.h"

struct transfer {
	const char *root, *platform, *progress_mode;
	struct ib_strv plain_http, arguments;
	bool quiet;
	struct oci_store *store;
	int lock;	/* shared: nothing is collected meanwhile */
	struct builder_progress *progress;
	int step;
	struct registry_session *session;
	struct registry_conn *conn;
	struct registry_reference ref;
};

static void transfer_done(struct transfer *t)
{
	registry_conn_free(t->conn);
	registry_session_free(t->session);
	registry_reference_done(&t->ref);
	builder_progress_free(t->progress);
	ib_closep(&t->lock);
	oci_store_free(t->store);
	ib_strv_done(&t->plain_http);
	ib_strv_done(&t->arguments);
}

static int parse(struct transfer *t, const struct cli_command *command, int argc, char **argv, struct ib_err *err)
{
	const struct cli_option options[] = {
		{"platform", 0, CLI_TEXT, &t->platform, "OS/ARCH", "platform of an image of several"},
		{"plain-http", 0, CLI_LIST, &t->plain_http, "HOST[:PORT]", "speak plain HTTP to this registry"},
		{"progress", 0, CLI_TEXT, &t->progress_mode, "auto|tty|plain|rawjson|quiet", "how progress is shown"},
		{"quiet", 'q', CLI_FLAG, &t->quiet, NULL, "show no progress"},
		CLI_ROOT_OPTION(&t->root),
	};
	int r = cli_parse(command, options, sizeof options / sizeof *options, argc, argv, &t->arguments, err);

	if (r != 0)
		return r;
	return cli_expect(command, &t->arguments, 1, 1, err);
}

/* Store, connection and progress for one image. */
static int begin(struct transfer *t, bool push, const char *reference, struct ib_err *err)
{
	enum builder_progress_mode mode = t->quiet ? BUILDER_PROGRESS_QUIET : BUILDER_PROGRESS_AUTO;
	struct registry_options options = {
		.plain_http = (const char *const *)t->plain_http.v,
		.n_plain_http = t->plain_http.n,
	};
	ib_autofree char *name = NULL, *text = NULL;

	if (t->progress_mode && builder_progress_mode_parse(t->progress_mode, &mode, err) < 0)
		return ib_wrap(err, "--progress");
	if (registry_reference_parse(reference, &t->ref, err) < 0 || cli_store_open(t->root, &t->store, err) < 0 ||
	    (t->lock = oci_store_lock(t->store, false, true, err)) < 0 ||
	    registry_session_new(&options, &t->session, err) < 0 ||
	    registry_conn_new(t->session, &t->ref, push, &t->conn, err) < 0)
		return -1;
	name = registry_reference_str(&t->ref);
	text = ib_asprintf("%s %s", push ? "push" : "pull", name);
	t->progress = builder_progress_new(mode, STDERR_FILENO);
	t->step = builder_progress_step(t->progress, text);
	builder_progress_start(t->progress, t->step);
	return 0;
}

static void show(void *ctx, const struct oci_descriptor *desc, int64_t bytes)
{
	const struct transfer *t = ctx;
	char text[OCI_DIGEST_SIZE];
	ib_autofree char *id = ib_asprintf("%.19s", oci_digest_str(&desc->digest, text));

	builder_progress_transfer(t->progress, t->step, id, bytes, desc->size, bytes == desc->size);
}

static int read_platform(const char *text, struct oci_platform *ret_platform, struct ib_err *err)
{
	if (!text) {
		oci_platform_host(ret_platform);
		return 0;
	}
	return oci_platform_parse(text, ret_platform, err) < 0 ? ib_wrap(err, "--platform") : 0;
}

/* The manifest for the platform gets the name: other platforms of an index are not fetched. */
static int pull_image(struct transfer *t, struct ib_err *err)
{
	const struct registry_transfer transfer = {.progress = show, .ctx = t};
	IB_CLEANUP(oci_image_freep) struct oci_image *image = NULL;
	oci_autoplatform platform = {0};
	oci_autodescriptor desc = {0};
	ib_autofree char *name = registry_reference_str(&t->ref);
	const char *names[] = {name};
	char text[OCI_DIGEST_SIZE];

	if (read_platform(t->platform, &platform, err) < 0 ||
	    registry_pull(t->conn, &t->ref, t->store, &platform, true, &transfer, &desc, err) < 0 ||
	    oci_image_load(t->store, &desc, &platform, &image, err) < 0 ||
	    oci_store_name_set(t->store, names, 1, &image->desc, err) < 0)
		return ib_wrap(err, "cannot pull %s", name);
	printf("%s\n", oci_digest_str(&image->desc.digest, text));
	return cli_flush(err);
}

static int pull(int argc, char **argv, struct ib_err *err)
{
	IB_CLEANUP(transfer_done) struct transfer t = {.lock = -1};
	int r = parse(&t, &cli_pull, argc, argv, err);

	if (r != 0)
		return r < 0 ? -1 : 0;
	if (begin(&t, false, t.arguments.v[0], err) < 0)
		return -1;
	r = pull_image(&t, err);
	builder_progress_end(t.progress, t.step, r < 0 ? err : NULL);
	return r;
}

static int push_image(struct transfer *t, const char *name, struct ib_err *err)
{
	const struct registry_transfer transfer = {.progress = show, .ctx = t};
	oci_autodescriptor desc = {0};
	const char *tags[] = {t->ref.tag};
	char text[OCI_DIGEST_SIZE];

	if (cli_image_find(t->store, t->arguments.v[0], &desc, NULL, err) < 0)
		return -1;
	if (registry_push(t->conn, t->store, &desc, tags, t->ref.tag ? 1 : 0, &transfer, err) < 0)
		return ib_wrap(err, "cannot push %s", name);
	printf("%s\n", oci_digest_str(&desc.digest, text));
	return cli_flush(err);
}

static int push(int argc, char **argv, struct ib_err *err)
{
	IB_CLEANUP(transfer_done) struct transfer t = {.lock = -1};
	int r = parse(&t, &cli_push, argc, argv, err);

	if (r != 0)
		return r < 0 ? -1 : 0;
	if (begin(&t, true, t.arguments.v[0], err) < 0)
		return -1;
	r = push_image(&t, t.arguments.v[0], err);
	builder_progress_end(t.progress, t.step, r < 0 ? err : NULL);
	return r;
}

const struct cli_command cli_pull = {
	"pull", "[OPTIONS] NAME[:TAG|@DIGEST]", "Fetch an image from its registry into the store.", pull,
};
const struct cli_command cli_push = {
	"push", "[OPTIONS] NAME[:TAG]", "Send an image to the registry that its name says.", push,
};
