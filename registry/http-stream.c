#include "registry/http.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "oci/base/alloc.h"
#include "oci/base/clock.h"
#include "oci/base/pool.h"
#include "oci/base/str.h"
#include "registry/http-internal.h"
#include "registry/url.h"

#include "oci/base/poison.h"

#define POLL_MS 100			/* how late a cancellation may be noticed */
#define SENT_STEP (256 << 10)		/* bytes between two reports of progress */

struct registry_http_stream *registry_http_stream_new(struct registry_http *http,
						      const struct registry_http_request *request)
{
	struct registry_http_stream *s = ib_new(struct registry_http_stream);

	s->http = http;
	s->request = *request;
	s->url = ib_strdup(request->url);
	s->host = registry_url_host(request->url);
	return s;
}

static enum registry_fault fault_of(CURLcode result, long connect_code)
{
	switch ((int)result) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return REGISTRY_FAULT_NAME;
	case CURLE_COULDNT_CONNECT:
		return REGISTRY_FAULT_CONNECT;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_USE_SSL_FAILED:
		return REGISTRY_FAULT_TLS;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_CIPHER:
		return REGISTRY_FAULT_CERTIFICATE;
	case CURLE_OPERATION_TIMEDOUT:	/* only connecting has a time limit of libcurl's */
		return REGISTRY_FAULT_CONNECT;
	case CURLE_SEND_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
	case CURLE_SSL_SHUTDOWN_FAILED:
		return REGISTRY_FAULT_BROKEN;
	case CURLE_RECV_ERROR:
	case CURLE_PROXY:
		return connect_code == 407 ? REGISTRY_FAULT_PROXY : REGISTRY_FAULT_BROKEN;
	default:
		return REGISTRY_FAULT_REFUSED;
	}
}

/* libcurl's own words, which hold host names and numbers but neither query nor header. */
static char *words(const struct registry_http_stream *s)
{
	const char *text = s->refusal ? s->refusal : s->error[0] ? s->error : curl_easy_strerror(s->result);
	char *shown = ib_printable(text, 200);

	/* Ours start in lower case; "OpenSSL/3.0 ..." and the like stay as they are. */
	if (shown[0] >= 'A' && shown[0] <= 'Z' && shown[1] >= 'a' && shown[1] <= 'z' && !ib_starts(shown, "Open"))
		shown[0] = (char)(shown[0] - 'A' + 'a');
	return shown;
}

static int fail_transfer(struct registry_http_stream *s, struct ib_err *err)
{
	ib_autofree char *why = words(s);
	long connect_code = 0;

	curl_easy_getinfo(s->slot->easy, CURLINFO_HTTP_CONNECTCODE, &connect_code);
	s->fault = s->refusal ? REGISTRY_FAULT_REFUSED : fault_of(s->result, connect_code);
	if (s->fault == REGISTRY_FAULT_PROXY)
		return ib_fail(err, IB_DENIED, "%s: the proxy answers 407: it wants a user and password", s->host);
	ib_fail(err, s->refusal ? IB_INVALID : IB_NETWORK, "%s: %s", s->host, why);
	if (s->fault == REGISTRY_FAULT_TLS && strstr(why, "wrong version number"))
		return ib_err_hint(err, "; does %s speak plain HTTP? Then it must be listed as such", s->host);
	return -1;
}

static int check_stop(struct registry_http_stream *s, struct ib_err *err)
{
	bool stop = s->request.stop && atomic_load_explicit(s->request.stop, memory_order_relaxed);

	if (!stop && !ib_cancelled())
		return 0;
	s->fault = REGISTRY_FAULT_STOPPED;
	return ib_fail(err, IB_CANCELLED, "interrupted");
}

static int check_stall(struct registry_http_stream *s, int64_t since_ns, struct ib_err *err)
{
	const struct registry_timeouts *t = registry_http_timeouts(s->http);
	bool answering = s->request.body_size > 0 && s->sent == s->request.body_size && !s->head_complete;
	int limit_ms = answering && t->answer_ms > t->stall_ms ? t->answer_ms : t->stall_ms;

	if (!s->connected)	/* looking up and connecting have their own limit, which comes first */
		limit_ms += t->connect_ms;
	if (ib_monotonic_ns() - since_ns < (int64_t)limit_ms * 1000000)
		return 0;
	s->fault = REGISTRY_FAULT_BROKEN;
	return ib_fail(err, IB_NETWORK, "%s: no byte moved for %d seconds", s->host, limit_ms / 1000);
}

static void report_sent(struct registry_http_stream *s)
{
	if (!s->request.sent || s->sent == s->reported)
		return;
	if (s->sent - s->reported < SENT_STEP && s->sent > s->reported && s->sent != s->request.body_size)
		return;
	s->reported = s->sent;
	s->request.sent(s->request.ctx, s->sent);
}

static void collect_result(struct registry_http_stream *s)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(s->slot->multi, &left))) {
		if (msg->msg != CURLMSG_DONE)
			continue;
		s->done = true;
		s->result = msg->data.result;
	}
}

/* Has what the driver was called for come to pass? */
static bool arrived(const struct registry_http_stream *s)
{
	if (s->done)
		return true;
	if (s->dst)
		return s->dst_len > 0;
	return s->head_complete && s->request.method != REGISTRY_HEAD;
}

static int drive_blocked(struct registry_http_stream *s, struct ib_err *err)
{
	int64_t since_ns = ib_monotonic_ns();

	for (;;) {
		int running;

		if (check_stop(s, err) < 0)
			return -1;
		if (s->paused) {
			s->paused = false;
			(void)curl_easy_pause(s->slot->easy, CURLPAUSE_CONT);	/* a failure shows as the result */
		}
		if (curl_multi_perform(s->slot->multi, &running) != CURLM_OK)
			abort();
		collect_result(s);
		report_sent(s);
		if (arrived(s))
			return 0;
		if (s->moved) {
			since_ns = ib_monotonic_ns();
			s->connected = true;
			s->moved = false;
		}
		if (check_stall(s, since_ns, err) < 0)
			return -1;
		if (curl_multi_poll(s->slot->multi, NULL, 0, POLL_MS, NULL) != CURLM_OK)
			abort();
	}
}

static int drive(struct registry_http_stream *s, struct ib_err *err)
{
	struct registry_sigpipe guard = {0};
	int rc;

	registry_sigpipe_block(&guard);
	rc = drive_blocked(s, err);
	registry_sigpipe_restore(&guard);
	return rc;
}

int registry_http_stream_start(struct registry_http_stream *s, struct ib_err *err)
{
	s->slot = registry_http_slot_take(s->http, s->host);
	if (registry_http_stream_set_up(s, err) < 0) {
		s->fault = REGISTRY_FAULT_REFUSED;
		return -1;
	}
	if (drive(s, err) < 0)
		return -1;
	/* A body that broke off already is told by the first read. */
	return s->head_complete ? 0 : fail_transfer(s, err);
}

static size_t take_spill(struct registry_http_stream *s, void *buf, size_t n)
{
	if (n > s->spill_len - s->spill_at)
		n = s->spill_len - s->spill_at;
	memcpy(buf, s->spill + s->spill_at, n);
	s->spill_at += n;
	if (s->spill_at == s->spill_len)
		s->spill_at = s->spill_len = 0;
	return n;
}

ssize_t registry_http_stream_read(struct registry_http_stream *s, void *buf, size_t n, struct ib_err *err)
{
	int rc;

	if (s->spill_len)
		return (ssize_t)take_spill(s, buf, n);
	if (!s->done) {
		s->dst = buf;
		s->dst_size = n;
		s->dst_len = 0;
		rc = drive(s, err);
		s->dst = NULL;
		s->dst_size = 0;
		if (rc < 0)
			return -1;
		n = s->dst_len;
		s->dst_len = 0;
		if (n)
			return (ssize_t)n;
	}
	return s->result == CURLE_OK ? 0 : fail_transfer(s, err);
}

void registry_http_stream_finish(struct registry_http_stream *s)
{
	struct registry_sigpipe guard = {0};

	if (!s->slot)
		return;
	registry_sigpipe_block(&guard);
	/* Closes the connection unless the answer was read to its end. */
	(void)curl_multi_remove_handle(s->slot->multi, s->slot->easy);
	curl_easy_reset(s->slot->easy);	/* what it pointed to goes away */
	registry_sigpipe_restore(&guard);
	registry_http_slot_give(s->http, ib_steal_ptr(&s->slot));
	for (struct curl_slist *h = s->headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(s->headers);
	s->headers = NULL;
	free(ib_steal_ptr(&s->spill));
}

void registry_http_stream_free(struct registry_http_stream *s)
{
	if (!s)
		return;
	registry_http_stream_finish(s);
	ib_strv_done(&s->lines);
	free(s->spill);
	free(s->url);
	free(s->host);
	free(s);
}

enum registry_fault registry_http_stream_fault(const struct registry_http_stream *s)
{
	return s->fault;
}

int registry_http_stream_status(const struct registry_http_stream *s)
{
	return s->status;
}

const char *registry_http_stream_url(const struct registry_http_stream *s)
{
	return s->url;
}

const char *registry_http_stream_header(const struct registry_http_stream *s, const char *name, size_t nth)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < s->lines.n; i++) {
		const char *line = s->lines.v[i];

		if (strncasecmp(line, name, n) != 0 || line[n] != ':')
			continue;
		if (nth-- == 0)
			return line + n + 1 + strspn(line + n + 1, " \t");
	}
	return NULL;
}

int64_t registry_http_stream_length(const struct registry_http_stream *s)
{
	const char *value = registry_http_stream_header(s, "content-length", 0);
	long long length;

	return value && ib_parse_int(value, 0, INT64_MAX, &length) ? length : -1;
}
