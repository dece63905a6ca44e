/*
 * registry/http.h - one HTTP exchange: a request is sent, its answer comes back as a stream.
 *
 * Nothing here follows redirects, signs in or tries again; request.h does. TLS 1.2 or newer, certificates
 * always checked, HTTP/1.1: each transfer has a connection of its own, where HTTP/2 would only add flow
 * control. Connections are kept: a client opens no more of them to a host than it has exchanges running
 * at once.
 */
#ifndef REGISTRY_HTTP_H
#define REGISTRY_HTTP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "oci/base/err.h"

#define REGISTRY_ERROR_MAX_BYTES 65536	/* of the body of a refusal that are read */

enum registry_method { REGISTRY_GET, REGISTRY_HEAD, REGISTRY_POST, REGISTRY_PUT };

/* Why an exchange broke off. Which of them are worth another try is retry.h's business. */
enum registry_fault {
	REGISTRY_FAULT_NONE,
	REGISTRY_FAULT_STOPPED,		/* cancelled */
	REGISTRY_FAULT_NAME,		/* the host's name is unknown */
	REGISTRY_FAULT_CONNECT,		/* nobody answers there */
	REGISTRY_FAULT_TLS,		/* no TLS there, or none that we speak */
	REGISTRY_FAULT_CERTIFICATE,
	REGISTRY_FAULT_PROXY,		/* the proxy wants to know who we are */
	REGISTRY_FAULT_BROKEN,		/* cut, reset, truncated or stalled */
	REGISTRY_FAULT_REFUSED,		/* we refuse what came (too many header bytes, no HTTP), or cannot go on */
};

struct registry_timeouts {
	int connect_ms;
	int stall_ms;	/* no byte moves */
	int answer_ms;	/* after the last byte of a body: a registry hashes or copies before it answers */
};

struct registry_http;	/* a client; may be shared between threads */

/* Nothing of libcurl is touched before the first exchange: a build without network pays nothing. */
struct registry_http *registry_http_new(const struct registry_timeouts *timeouts);	/* NULL: the usual */
void registry_http_free(struct registry_http *http);	/* after all its streams */
IB_DEFINE_FREE(registry_http);

typedef void registry_http_sent_fn(void *ctx, int64_t bytes);

struct registry_http_request {	/* everything is borrowed until the stream is finished */
	enum registry_method method;
	const char *url;
	const char *authorization;	/* value of the header, or NULL */
	const char *accept;		/* or NULL */
	const char *content_type;	/* of the body, or NULL */
	int64_t range_from;		/* > 0: only bytes from here on */
	const void *body;		/* POST, PUT; NULL: from body_fd, at offset 0, not moving its own */
	int body_fd;
	int64_t body_size;
	registry_http_sent_fn *sent;	/* may be NULL; called by the thread that drives */
	void *ctx;
	const atomic_bool *stop;	/* may be NULL; set by anybody, ends the exchange like ib_cancel() does */
};

/* One exchange; owned by one thread at a time. */
struct registry_http_stream;
struct registry_http_stream *registry_http_stream_new(struct registry_http *http,
						      const struct registry_http_request *request);
void registry_http_stream_free(struct registry_http_stream *stream);
IB_DEFINE_FREE(registry_http_stream);

/* Send the request and wait for the head of the final answer. */
int registry_http_stream_start(struct registry_http_stream *stream, struct ib_err *err);

/* 1..n bytes of the body, 0 at its end, -1: err, and registry_http_stream_fault() says what kind. */
ssize_t registry_http_stream_read(struct registry_http_stream *stream, void *buf, size_t n, struct ib_err *err);

/*
 * Give the connection back, for others to use when the body was read to its end; status, url and headers
 * stay readable.
 */
void registry_http_stream_finish(struct registry_http_stream *stream);

enum registry_fault registry_http_stream_fault(const struct registry_http_stream *stream);
int registry_http_stream_status(const struct registry_http_stream *stream);
const char *registry_http_stream_url(const struct registry_http_stream *stream);	/* borrowed */
int64_t registry_http_stream_length(const struct registry_http_stream *stream);	/* Content-Length, or -1 */

/* The value of the nth header of that name (case ignored), or NULL. Borrowed. */
const char *registry_http_stream_header(const struct registry_http_stream *stream, const char *name, size_t nth);

#endif
