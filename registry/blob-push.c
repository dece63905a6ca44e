#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "registry/blob-internal.h"
#include "registry/request.h"
#include "registry/url.h"

#include "oci/base/poison.h"

#define CHECK_BYTES 65536

struct upload {
	struct registry_conn *conn;
	const struct oci_descriptor *desc;
	const struct registry_blob_watch *watch;
	int fd;				/* the blob in the store */
	bool checked;			/* the store's copy was hashed again, and is good */
};

static void on_sent(void *ctx, int64_t bytes)
{
	const struct upload *u = ctx;

	if (u->watch->progress)
		u->watch->progress(u->watch->ctx, u->desc, bytes);
}

/* Open a session: where the blob is to be sent. */
static int begin(const struct upload *u, char **ret_url, struct ib_err *err)
{
	struct registry_call call = {.method = REGISTRY_POST, .path = "blobs/uploads/", .stop = u->watch->stop};
	registry_autoanswer answer = {0};
	ib_autofree char *url = NULL;
	char digest[OCI_DIGEST_SIZE];
	const char *location;

	if (registry_call(u->conn, &call, REGISTRY_ERROR_MAX_BYTES, &answer, err) < 0)
		return -1;
	if (answer.status != 202)
		return registry_call_fail(u->conn, &answer, err);
	location = registry_http_stream_header(answer.stream, "location", 0);
	if (!location)
		return ib_fail(err, IB_INVALID, "%s opens an upload without a Location", u->conn->host->name);
	if (registry_url_resolve(registry_http_stream_url(answer.stream), location, &url, err) < 0)
		return ib_wrap(err, "%s opens an upload", u->conn->host->name);
	*ret_url = registry_url_add_query(url, "digest", oci_digest_str(&u->desc->digest, digest));
	return 0;
}

/* Did bytes get lost on the way, or are they wrong here? */
static int check_local(struct upload *u, struct ib_err *err)
{
	IB_CLEANUP(oci_hash_freep) struct oci_hash *hash = oci_hash_new(u->desc->digest.algo);
	ib_autofree char *buf = ib_malloc(CHECK_BYTES);
	struct oci_digest got;
	off_t at = 0;
	ssize_t n;

	while ((n = pread(u->fd, buf, CHECK_BYTES, at)) > 0) {
		oci_hash_update(hash, buf, (size_t)n);
		at += n;
	}
	if (n < 0)
		return ib_fail_sys(err, errno, "read the blob");
	oci_hash_final(hash, &got);
	if (!oci_digest_equal(&got, &u->desc->digest))
		return ib_fail(err, IB_MISMATCH, "the blob in the store is damaged");
	u->checked = true;
	return 0;
}

/* The session is gone, or stands elsewhere than we think: a new one is the remedy. */
static bool session_lost(const struct registry_answer *answer)
{
	return answer->status == 416 || registry_answer_says(answer, "BLOB_UPLOAD_UNKNOWN") ||
	       registry_answer_says(answer, "BLOB_UPLOAD_INVALID");
}

/* One session from POST to PUT. 0: the registry has the blob; 1: from the start again; -1: for good. */
static int upload_once(struct upload *u, struct registry_retry *retry, struct ib_err *err)
{
	ib_autofree char *url = NULL;
	enum registry_fault fault = REGISTRY_FAULT_NONE;
	struct registry_call call = {
		.method = REGISTRY_PUT, .body_fd = u->fd, .body_size = u->desc->size,
		.sent = on_sent, .ctx = u, .stop = u->watch->stop, .ret_fault = &fault,
	};
	registry_autoanswer answer = {0};

	if (begin(u, &url, err) < 0)
		return -1;
	call.url = url;
	if (registry_call(u->conn, &call, REGISTRY_ERROR_MAX_BYTES, &answer, err) == 0) {
		if (answer.status >= 200 && answer.status <= 299)
			return 0;
		(void)registry_call_fail(u->conn, &answer, err);
		if (registry_answer_says(&answer, "DIGEST_INVALID") && !u->checked)
			return check_local(u, err) < 0 ? -1 : 1;
		if (session_lost(&answer))
			fault = REGISTRY_FAULT_BROKEN;
	}
	return registry_call_next(u->conn, retry, fault, &answer, err) < 0 ? -1 : 1;
}

static int upload(struct upload *u, bool *ret_sent, struct ib_err *err)
{
	struct registry_retry retry = {.policy = &u->conn->session->retry, .stop = u->watch->stop};

	for (;;) {
		/* At first: is there anything to do? Later: did the PUT whose answer we lost succeed? */
		int rc = registry_blob_exists_stoppable(u->conn, u->desc, u->watch->stop, err);

		if (rc < 0)
			return -1;
		if (rc == 1) {
			on_sent(u, u->desc->size);
			return 0;
		}
		*ret_sent = true;
		rc = upload_once(u, &retry, err);
		if (rc <= 0)
			return rc;
	}
}

int registry_blob_push_stoppable(struct registry_conn *conn, struct oci_store *store,
				 const struct oci_descriptor *desc, const struct registry_blob_watch *watch,
				 bool *ret_sent, struct ib_err *err)
{
	char text[OCI_DIGEST_SIZE];
	int64_t size = 0;
	ib_autoclose int fd = oci_store_get(store, &desc->digest, &size, err);
	struct upload u = {.conn = conn, .desc = desc, .watch = watch, .fd = fd};
	bool sent = false;

	if (fd < 0)
		return -1;
	oci_digest_str(&desc->digest, text);
	if (size != desc->size)
		return ib_fail(err, IB_MISMATCH, "blob %s: has %" PRId64 " bytes in the store, not %" PRId64, text, size,
			       desc->size);
	if (upload(&u, &sent, err) < 0)
		return ib_wrap(err, "blob %s", text);
	if (ret_sent)
		*ret_sent = sent;
	return 0;
}

int registry_blob_push(struct registry_conn *conn, struct oci_store *store, const struct oci_descriptor *desc,
		       registry_progress_fn *progress, void *ctx, bool *ret_sent, struct ib_err *err)
{
	struct registry_blob_watch watch = {.progress = progress, .ctx = ctx};

	return registry_blob_push_stoppable(conn, store, desc, &watch, ret_sent, err);
}
