/*
 * registry/http-internal.h - what http.c (handles that are kept), http-setup.c and http-stream.c (one
 * exchange) share.
 */
#ifndef REGISTRY_HTTP_INTERNAL_H
#define REGISTRY_HTTP_INTERNAL_H

#include <curl/curl.h>
#include <signal.h>

#include "oci/base/str.h"
#include "registry/certs.h"
#include "registry/http.h"

/* An easy handle and the multi handle that drives it and keeps its connections. One thread at a time. */
struct registry_http_slot {
	struct registry_http_slot *next;
	CURLM *multi;
	CURL *easy;
	char *host;	/* it was used for last: the connection to it may be open */
};

/* A slot for an exchange with host; one that has a connection to it, if there is one. */
struct registry_http_slot *registry_http_slot_take(struct registry_http *http, const char *host);
void registry_http_slot_give(struct registry_http *http, struct registry_http_slot *take_slot);

const struct registry_timeouts *registry_http_timeouts(const struct registry_http *http);
CURLSH *registry_http_share(struct registry_http *http);

/* The system's authorities, as SSL_CERT_FILE and SSL_CERT_DIR name them; NULL for libcurl's own choice. */
const char *registry_http_bundle(void);
const char *registry_http_bundle_dir(void);

/* The certificates for host; borrowed until http is freed. NULL on failure. */
const struct registry_certs *registry_http_certs(struct registry_http *http, const char *host, struct ib_err *err);

#define REGISTRY_HTTP_BUFFER_BYTES (256l << 10)	/* what one read of the socket may give */

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
	char *spill;		/* REGISTRY_HTTP_BUFFER_BYTES for what the caller's buffer had no room for */
	size_t spill_at, spill_len;
	bool paused;		/* libcurl holds bytes that found no room at all */
};

/* Prepare the handles of s->slot for the exchange, and start it. */
int registry_http_stream_set_up(struct registry_http_stream *s, struct ib_err *err);

/*
 * A peer that goes away raises SIGPIPE in whoever writes to TLS. Blocking it around libcurl's work, and taking
 * back what was raised meanwhile, leaves the process's own disposition alone, which RUN steps inherit.
 */
struct registry_sigpipe {
	sigset_t pipe, before;
	bool active, pending;
};
void registry_sigpipe_block(struct registry_sigpipe *guard);
void registry_sigpipe_restore(const struct registry_sigpipe *guard);

#endif
