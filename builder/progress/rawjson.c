#include "builder/progress/reader.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "builder/progress/spool.h"
#include "oci/base/alloc.h"
#include "oci/base/clock.h"
#include "oci/base/json.h"
#include "oci/digest.h"

#include "oci/base/poison.h"

/*
 * BuildKit's client.SolveStatus, one object per line: vertexes, statuses, logs and warnings, of which each
 * line here has one.
 */
#define STATUS_NS 150000000	/* how often a transfer is reported */
#define LOG_MAX (32u << 10)	/* bytes of output in one object */
#define RECORD_MAX (4u << 20)	/* text of one object; all that goes into it is limited */

struct rawjson {
	struct progress_reader reader;
	const struct progress_model *model;
	struct progress_spool *spool;
};

static void set_time(struct rawjson *raw, struct ib_json *object, const char *key, int64_t monotonic_ns)
{
	int64_t ns = raw->model->epoch_ns + monotonic_ns;
	struct timespec ts = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
	char text[IB_RFC3339_SIZE];

	ib_json_set(object, key, ib_json_string(ib_rfc3339(&ts, text)));
}

/* A vertex is known by a digest; ours only has to be unlike those of the other steps. */
static void set_vertex(struct ib_json *object, const char *key, const struct progress_step *step)
{
	ib_autofree char *identity = ib_asprintf("%d %s", step->number, step->name);
	struct oci_digest digest;
	char text[OCI_DIGEST_SIZE];

	oci_digest_of(identity, strlen(identity), &digest);
	ib_json_set(object, key, ib_json_string(oci_digest_str(&digest, text)));
}

static void set_base64(struct ib_json *object, const char *key, const void *bytes, size_t n)
{
	ib_autofree char *text = ib_malloc(4 * ((n + 2) / 3) + 1);

	(void)EVP_EncodeBlock((unsigned char *)text, bytes, (int)n);
	ib_json_set(object, key, ib_json_string(text));
}

/* {"KIND":[object]} and a newline. */
static void put(struct rawjson *raw, const char *kind, struct ib_json *take_object)
{
	ib_autojson *line = ib_json_object();
	ib_autostr out = IB_STR(RECORD_MAX);
	struct ib_json *array = ib_json_array();

	ib_json_append(array, take_object);
	ib_json_set(line, kind, array);
	ib_json_print(line, &out);
	ib_str_addc(&out, '\n');
	progress_spool_add(raw->spool, out.s, out.len);
}

static void raw_changed(struct progress_reader *reader, struct progress_step *step)
{
	struct rawjson *raw = (struct rawjson *)reader;
	struct ib_json *vertex = ib_json_object();

	set_vertex(vertex, "digest", step);
	ib_json_set(vertex, "name", ib_json_string(step->name));
	if (step->state != PROGRESS_WAITING)
		set_time(raw, vertex, "started", step->started_ns);
	if (progress_step_over(step))
		set_time(raw, vertex, "completed", step->ended_ns);
	if (step->state == PROGRESS_CACHED)
		ib_json_set(vertex, "cached", ib_json_bool(true));
	if (step->failure)
		ib_json_set(vertex, "error", ib_json_string(step->failure));
	put(raw, "vertexes", vertex);
}

static void raw_output(struct progress_reader *reader, struct progress_step *step, int stream,
		       const void *bytes, size_t n)
{
	struct rawjson *raw = (struct rawjson *)reader;
	const char *p = bytes;

	while (n) {
		struct ib_json *log = ib_json_object();
		size_t len = n < LOG_MAX ? n : LOG_MAX;

		set_vertex(log, "vertex", step);
		ib_json_set(log, "stream", ib_json_int(stream));
		set_base64(log, "data", p, len);
		set_time(raw, log, "timestamp", ib_monotonic_ns());
		put(raw, "logs", log);
		p += len;
		n -= len;
	}
}

static void raw_transfer(struct progress_reader *reader, struct progress_step *step,
			 struct progress_transfer *transfer)
{
	struct rawjson *raw = (struct rawjson *)reader;
	int64_t now_ns = ib_monotonic_ns();
	struct ib_json *status;

	if (!transfer->ended_ns && transfer->shown_ns && now_ns - transfer->shown_ns < STATUS_NS)
		return;
	transfer->shown_ns = now_ns;
	status = ib_json_object();
	ib_json_set(status, "id", ib_json_string(transfer->id));
	set_vertex(status, "vertex", step);
	ib_json_set(status, "name", ib_json_string(transfer->id));
	ib_json_set(status, "current", ib_json_int(transfer->current));
	ib_json_set(status, "total", ib_json_int(transfer->total));
	set_time(raw, status, "timestamp", now_ns);
	set_time(raw, status, "started", transfer->started_ns);
	if (transfer->ended_ns)
		set_time(raw, status, "completed", transfer->ended_ns);
	put(raw, "statuses", status);
}

static void raw_warning(struct progress_reader *reader, struct progress_step *step, const char *text)
{
	struct rawjson *raw = (struct rawjson *)reader;
	struct ib_json *warning = ib_json_object();

	if (step)
		set_vertex(warning, "vertex", step);
	ib_json_set(warning, "level", ib_json_int(1));
	set_base64(warning, "short", text, strlen(text));
	put(raw, "warnings", warning);
}

static void raw_free(struct progress_reader *reader)
{
	struct rawjson *raw = (struct rawjson *)reader;

	progress_spool_free(raw->spool);
	free(raw);
}

struct progress_reader *progress_rawjson_new(const struct progress_model *model, int fd)
{
	static const struct progress_ops ops = {
		.changed = raw_changed,
		.raw = raw_output,
		.transfer = raw_transfer,
		.warning = raw_warning,
		.free = raw_free,
	};
	struct rawjson *raw = ib_new(struct rawjson);

	raw->reader.ops = &ops;
	raw->model = model;
	raw->spool = progress_spool_new(fd);
	return &raw->reader;
}
