#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "oci/base/alloc.h"
#include "registry/blob-internal.h"
#include "registry/request.h"

#include "oci/base/poison.h"

#define SKIP_BYTES 65536

struct blob_reader {
	struct oci_reader base;
	struct registry_conn *conn;
	struct oci_digest digest;
	int64_t size;		/* promised */
	int64_t at;		/* bytes given out so far */
	const atomic_bool *stop;
	struct registry_retry retry;
	struct registry_http_stream *stream;	/* NULL: to be opened, from at on */
	bool ended;
};

static char *path_of(const struct oci_digest *digest)
{
	char text[OCI_DIGEST_SIZE];

	return ib_asprintf("blobs/%s", oci_digest_str(digest, text));
}

/* Does "bytes K-E/T" continue where we stopped, in a blob of the size we expect? */
static bool continues(const struct blob_reader *r, const char *range)
{
	long long from, to, total;
	int n = 0;

	if (!range || strncasecmp(range, "bytes ", 6) != 0)
		return false;
	range += 6;
	if (sscanf(range, "%lld-%lld/%n", &from, &to, &n) != 2 || !n || from != r->at || to < from)
		return false;
	return strcmp(range + n, "*") == 0 || (ib_parse_int(range + n, 0, INT64_MAX, &total) && total == r->size);
}

/* The server starts over: what we have already goes by unseen, it was hashed before. */
static int skip(struct blob_reader *r, struct ib_err *err)
{
	ib_autofree char *buf = ib_malloc(SKIP_BYTES);
	int64_t left = r->at;

	while (left > 0) {
		ssize_t n = registry_http_stream_read(r->stream, buf, left < SKIP_BYTES ? (size_t)left : SKIP_BYTES, err);

		if (n < 0)
			return -1;
		if (n == 0)
			return ib_fail(err, IB_MISMATCH, "ends after %" PRId64 " of %" PRId64 " bytes", r->at - left,
				       r->size);
		left -= n;
	}
	return 0;
}

/* A head that we can read the rest of the blob behind: 1; no use, but another try may be: 0; -1. */
static int judge(struct blob_reader *r, enum registry_fault *ret_fault, struct ib_err *err)
{
	int status = registry_http_stream_status(r->stream);
	int64_t length = registry_http_stream_length(r->stream);

	if (status == 206 && r->at > 0) {
		if (continues(r, registry_http_stream_header(r->stream, "content-range", 0)))
			return 1;
		*ret_fault = REGISTRY_FAULT_REFUSED;
		return ib_fail(err, IB_INVALID, "a part was asked for, and another one sent");
	}
	if (status != 200)
		return 0;
	if (length >= 0 && length != r->size) {
		*ret_fault = REGISTRY_FAULT_REFUSED;
		return ib_fail(err, IB_MISMATCH, "%" PRId64 " bytes are sent for a blob of %" PRId64, length, r->size);
	}
	if (skip(r, err) == 0)
		return 1;
	*ret_fault = registry_http_stream_fault(r->stream);
	return -1;
}

static void drop_stream(struct blob_reader *r)
{
	registry_http_stream_free(r->stream);
	r->stream = NULL;
}

/* One try to have r->stream at r->at. Fills answer with a refusal. */
static int open_once(struct blob_reader *r, struct registry_answer *answer, enum registry_fault *ret_fault,
		     struct ib_err *err)
{
	ib_autofree char *path = path_of(&r->digest);
	struct registry_call call = {
		.method = REGISTRY_GET, .path = path, .range_from = r->at, .stop = r->stop,
	};
	int rc;

	*ret_fault = REGISTRY_FAULT_NONE;
	if (registry_call_open(r->conn, &call, &r->stream, ret_fault, err) < 0)
		return -1;
	rc = judge(r, ret_fault, err);
	if (rc == 1)
		return 0;
	if (rc == 0) {
		if (registry_answer_read(&r->stream, REGISTRY_ERROR_MAX_BYTES, answer, err) == 0)
			(void)registry_call_fail(r->conn, answer, err);
		else
			*ret_fault = registry_http_stream_fault(r->stream);
	}
	drop_stream(r);
	return -1;
}

static int open_stream(struct blob_reader *r, struct ib_err *err)
{
	for (;;) {
		registry_autoanswer answer = {0};
		enum registry_fault fault;

		if (open_once(r, &answer, &fault, err) == 0)
			return 0;
		if (registry_call_next(r->conn, &r->retry, fault, &answer, err) < 0)
			return -1;
	}
}

static ssize_t blob_end(struct blob_reader *r)
{
	r->ended = true;
	registry_http_stream_finish(r->stream);	/* the connection is free for the next blob */
	return 0;
}

static ssize_t blob_read(struct oci_reader *base, void *buf, size_t n, struct ib_err *err)
{
	struct blob_reader *r = (struct blob_reader *)base;

	while (!r->ended) {
		struct registry_answer none = {0};
		enum registry_fault fault;
		ssize_t got;

		if (!r->stream && open_stream(r, err) < 0)
			return -1;
		got = registry_http_stream_read(r->stream, buf, n, err);
		if (got > 0) {
			r->at += got;
			registry_retry_progress(&r->retry);
			return got;
		}
		if (got == 0)
			return blob_end(r);
		fault = registry_http_stream_fault(r->stream);
		drop_stream(r);
		if (r->at >= r->size && fault == REGISTRY_FAULT_BROKEN) {
			ib_err_clear(err);	/* all is here; only the end of the connection was rude */
			r->ended = true;
			return 0;
		}
		if (registry_call_next(r->conn, &r->retry, fault, &none, err) < 0)
			return -1;
	}
	return 0;
}

static void blob_free(struct oci_reader *base)
{
	struct blob_reader *r = (struct blob_reader *)base;

	registry_http_stream_free(r->stream);
	free(r);
}

int registry_blob_open_stoppable(struct registry_conn *conn, const struct oci_descriptor *desc,
				 const atomic_bool *stop, struct oci_reader **ret_reader, struct ib_err *err)
{
	static const struct oci_reader_ops ops = {blob_read, blob_free};
	IB_CLEANUP(oci_reader_freep) struct oci_reader *reader = NULL;
	struct blob_reader *r = ib_new(struct blob_reader);

	reader = &r->base;
	r->base.ops = &ops;
	r->conn = conn;
	r->digest = desc->digest;
	r->size = desc->size;
	r->stop = stop;
	r->retry = (struct registry_retry){.policy = &conn->session->retry, .stop = stop};
	if (open_stream(r, err) < 0) {
		char text[OCI_DIGEST_SIZE];

		return ib_wrap(err, "blob %s", oci_digest_str(&desc->digest, text));
	}
	*ret_reader = ib_steal_ptr(&reader);
	return 0;
}

int registry_blob_open(struct registry_conn *conn, const struct oci_descriptor *desc,
		       struct oci_reader **ret_reader, struct ib_err *err)
{
	return registry_blob_open_stoppable(conn, desc, NULL, ret_reader, err);
}

int registry_blob_exists_stoppable(struct registry_conn *conn, const struct oci_descriptor *desc,
				   const atomic_bool *stop, struct ib_err *err)
{
	ib_autofree char *path = path_of(&desc->digest);
	struct registry_call call = {.method = REGISTRY_HEAD, .path = path, .stop = stop};
	registry_autoanswer answer = {0};

	if (registry_call(conn, &call, 0, &answer, err) < 0)
		return -1;
	if (answer.status == 200)
		return 1;
	return answer.status == 404 ? 0 : registry_call_fail(conn, &answer, err);
}

int registry_blob_exists(struct registry_conn *conn, const struct oci_descriptor *desc, struct ib_err *err)
{
	char text[OCI_DIGEST_SIZE];
	int rc = registry_blob_exists_stoppable(conn, desc, NULL, err);

	return rc < 0 ? ib_wrap(err, "blob %s", oci_digest_str(&desc->digest, text)) : rc;
}
