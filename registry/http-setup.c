/*
 * What libcurl is told about one exchange, and what it tells us: options and callbacks.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "registry/credentials.h"
#include "registry/http-internal.h"
#include "registry/url.h"

#include "oci/base/poison.h"

#define MAX_HEADER_BYTES 65536		/* of one answer; a challenge with many scopes has some KiB */
#define MAX_HEADER_LINES 256
#define UPLOAD_BUFFER_BYTES (512l << 10)
#define EXPECT_BYTES (16 << 20)		/* from this size on it pays to ask before sending */

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
	if (len - direct > REGISTRY_HTTP_BUFFER_BYTES - s->spill_len) {
		s->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	if (direct)
		memcpy(s->dst + s->dst_len, bytes, direct);
	s->dst_len += direct;
	if (len > direct) {
		if (!s->spill)
			s->spill = ib_malloc(REGISTRY_HTTP_BUFFER_BYTES);
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
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, REGISTRY_HTTP_BUFFER_BYTES);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, s);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, s);
}

int registry_http_stream_set_up(struct registry_http_stream *s, struct ib_err *err)
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
