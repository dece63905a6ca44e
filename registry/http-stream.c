#include "registry/http.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "oci/base/alloc.h"
#include "oci/base/clock.h"
#include "oci/base/pool.h"
#include "oci/base/str.h"
#include "registry/credentials.h"
#include "registry/http-internal.h"
#include "registry/url.h"

#include "oci/base/poison.h"

#define MAX_HEADER_BYTES 65536		/* of one answer; a challenge with many scopes has some KiB */
#define MAX_HEADER_LINES 256
#define BUFFER_BYTES (256l << 10)	/* what one read of the socket may give */
#define UPLOAD_BUFFER_BYTES (512l << 10)
#define EXPECT_BYTES (16 << 20)		/* from this size on it pays to ask before sending */
#define POLL_MS 100			/* how late a cancellation may be noticed */
#define SENT_STEP (256 << 10)		/* bytes between two reports of progress */

struct registry_http_stream {
	struct registry_http *http;
	struct registry_http_slot *slot;	/* NULL before start and after finish */
	struct registry_http_request request;
	char *url, *host;
	struct curl_slist *headers;
	char error[CURL_ERROR_SIZE];
	enum registry_fault fault;
	const char *refusal;	/* why one of our callbacks ended the exchange */

	bool done;		/* result is valid */
	CURLcode result;
	bool moved;		/* a byte went either way since the driver last looked */
	bool connected;		/* one ever did */

	int64_t sent, reported;	/* of the request's body */

	int status;
	bool head_complete;
	struct ib_strv lines;	/* headers of the answer */
	size_t header_bytes;

	char *dst;		/* the caller's buffer while it reads */
	size_t dst_size, dst_len;
	char *spill;		/* BUFFER_BYTES for what the caller's buffer had no room for */
	size_t spill_at, spill_len;
	bool paused;		/* libcurl holds bytes that found no room at all */
};

static size_t refuse(struct registry_http_stream *s, const char *why)
{
	s->refusal = why;
	return 0;	/* fewer than offered: libcurl gives up */
}

static void new_head(struct registry_http_stream *s, const char *line, size_t n)
{
	const char *space = memchr(line, ' ', n);

	ib_strv_done(&s->lines);
	s->status = 0;
	if (space && n - (size_t)(space - line) >= 4)
		for (int i = 1; i <= 3 && space[i] >= '0' && space[i] <= '9'; i++)
			s->status = 10 * s->status + space[i] - '0';
}

static size_t on_header(char *line, size_t size, size_t n, void *ctx)
{
	struct registry_http_stream *s = ctx;
	size_t len = size * n;

	s->moved = true;
	s->header_bytes += len;
	if (s->header_bytes > MAX_HEADER_BYTES || s->lines.n >= MAX_HEADER_LINES)
		return refuse(s, "the answer has too many header bytes");
	if (s->head_complete)
		return size * n;	/* trailers of a chunked body: nothing of ours stands there */
	while (len && (line[len - 1] == '\r' || line[len - 1] == '\n'))
		len--;
	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0)
		new_head(s, line, len);
	else if (len)
		ib_strv_take(&s->lines, ib_strndup(line, len));
	else if (s->status >= 200)
		s->head_complete = true;
	return size * n;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *ctx)
{
	struct registry_http_stream *s = ctx;
	size_t len = size * n, direct = s->dst_size - s->dst_len;

	s->moved = true;
	if (direct > len)
		direct = len;
	if (len - direct > BUFFER_BYTES - s->spill_len) {
		s->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	if (direct)
		memcpy(s->dst + s->dst_len, bytes, direct);
	s->dst_len += direct;
	if (len > direct) {
		if (!s->spill)
			s->spill = ib_malloc(BUFFER_BYTES);
		memcpy(s->spill + s->spill_len, bytes + direct, len - direct);
		s->spill_len += len - direct;
		s->dst_size = s->dst_len;	/* what follows comes after the spill */
	}
	return len;
}

static size_t on_upload(char *buf, size_t size, size_t n, void *ctx)
{
	struct registry_http_stream *s = ctx;
	int64_t left = s->request.body_size - s->sent;
	size_t len = size * n;
	ssize_t got;

	s->moved = true;
	if ((int64_t)len > left)
		len = (size_t)left;
	if (!len)
		return 0;
	if (s->request.body) {
		memcpy(buf, (const char *)s->request.body + s->sent, len);
		got = (ssize_t)len;
	} else {
		do
			got = pread(s->request.body_fd, buf, len, s->sent);
		while (got < 0 && errno == EINTR);
	}
	if (got <= 0) {
		(void)refuse(s, got < 0 ? "the file being sent cannot be read" : "the file being sent is too short");
		return CURL_READFUNC_ABORT;
	}
	s->sent += got;
	return (size_t)got;
}

/* libcurl starts over when a kept connection turns out to be closed. */
static int on_seek(void *ctx, curl_off_t offset, int origin)
{
	struct registry_http_stream *s = ctx;

	if (origin != SEEK_SET || offset < 0 || offset > s->request.body_size)
		return CURL_SEEKFUNC_FAIL;
	s->sent = offset;
	return CURL_SEEKFUNC_OK;
}

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

static void add_header(struct registry_http_stream *s, const char *name, const char *value)
{
	registry_autosecret *line = value ? ib_asprintf("%s: %s", name, value) : ib_asprintf("%s:", name);
	struct curl_slist *list = curl_slist_append(s->headers, line);

	if (!list)
		abort();
	s->headers = list;
}

static void set_headers(struct registry_http_stream *s)
{
	const struct registry_http_request *r = &s->request;

	if (r->authorization)
		add_header(s, "Authorization", r->authorization);
	if (r->accept)
		add_header(s, "Accept", r->accept);
	/* A transparently compressed layer would break lengths, ranges and digests. */
	add_header(s, "Accept-Encoding", "identity");
	if (r->method == REGISTRY_POST || r->method == REGISTRY_PUT) {
		add_header(s, "Content-Type", r->content_type ? r->content_type : "application/octet-stream");
		add_header(s, "Expect", r->body_size >= EXPECT_BYTES ? "100-continue" : NULL);
	}
	if (r->range_from > 0) {
		ib_autofree char *range = ib_asprintf("bytes=%" PRId64 "-", r->range_from);

		add_header(s, "Range", range);
	}
	curl_easy_setopt(s->slot->easy, CURLOPT_HTTPHEADER, s->headers);
}

static void set_method(struct registry_http_stream *s)
{
	const struct registry_http_request *r = &s->request;
	CURL *easy = s->slot->easy;

	switch (r->method) {
	case REGISTRY_GET:
		curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
		break;
	case REGISTRY_HEAD:
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
		break;
	case REGISTRY_POST:
		curl_easy_setopt(easy, CURLOPT_POST, 1L);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->body ? r->body : "");
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_size);
		break;
	case REGISTRY_PUT:
		curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->body_size);
		curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER_BYTES);
		curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_upload);
		curl_easy_setopt(easy, CURLOPT_READDATA, s);
		curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
		curl_easy_setopt(easy, CURLOPT_SEEKDATA, s);
		break;
	}
}

static int set_tls(struct registry_http_stream *s, struct ib_err *err)
{
	const struct registry_certs *certs = registry_http_certs(s->http, s->host, err);
	CURL *easy = s->slot->easy;

	if (!certs)
		return -1;
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	if (registry_http_bundle())
		curl_easy_setopt(easy, CURLOPT_CAINFO, registry_http_bundle());
	if (registry_http_bundle_dir())
		curl_easy_setopt(easy, CURLOPT_CAPATH, registry_http_bundle_dir());
	if (certs->authorities) {
		struct curl_blob blob = {certs->authorities, certs->authorities_len, CURL_BLOB_NOCOPY};

		curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
	}
	if (certs->client_cert) {
		curl_easy_setopt(easy, CURLOPT_SSLCERT, certs->client_cert);
		curl_easy_setopt(easy, CURLOPT_SSLKEY, certs->client_key);
	}
	return 0;
}

static void set_transport(struct registry_http_stream *s)
{
	CURL *easy = s->slot->easy;

	curl_easy_setopt(easy, CURLOPT_SHARE, registry_http_share(s->http));
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);	/* a name server that hangs must not hold us */
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, s->error);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "imgbuild/" IMGBUILD_VERSION);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)registry_http_timeouts(s->http)->connect_ms);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	if (registry_host_is_loopback(s->host) || ib_starts(s->host, "169.254.169.254"))
		curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, s);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, s);
}

static int set_up(struct registry_http_stream *s, struct ib_err *err)
{
	CURL *easy = s->slot->easy;

	curl_easy_reset(easy);	/* keeps connections */
	curl_easy_setopt(easy, CURLOPT_URL, s->url);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);	/* signed URLs are taken byte for byte */
	set_transport(s);
	set_method(s);
	set_headers(s);
	if (registry_url_is_https(s->url) && set_tls(s, err) < 0)
		return -1;
	if (curl_multi_add_handle(s->slot->multi, easy) != CURLM_OK)
		abort();
	return 0;
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
	if (set_up(s, err) < 0) {
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
