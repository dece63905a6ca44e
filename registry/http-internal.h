/*
 * registry/http-internal.h - what http.c (handles that are kept) and http-stream.c (one exchange) share.
 */
#ifndef REGISTRY_HTTP_INTERNAL_H
#define REGISTRY_HTTP_INTERNAL_H

#include <curl/curl.h>
#include <signal.h>

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
