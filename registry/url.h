/*
 * registry/url.h - URLs that a registry hands out, taken byte for byte (RFC 3986).
 *
 * Upload locations and redirects carry signed state in path and query: nothing here decodes, folds or
 * reorders them.
 */
#ifndef REGISTRY_URL_H
#define REGISTRY_URL_H

#include <stdbool.h>

#include "oci/base/err.h"

/*
 * location, seen from base, as an absolute http or https URL without fragment. The same host handed out as
 * http by a registry behind a TLS-terminating proxy stays https. Fails with IB_INVALID for another scheme,
 * for user information, for https that would become http, and for over 16 KiB. *ret_url is the caller's.
 */
int registry_url_resolve(const char *base, const char *location, char **ret_url, struct ib_err *err);

/* Same scheme, host and port: the only place where what was said to one may be said to the other. */
bool registry_url_same_origin(const char *a, const char *b);

bool registry_url_is_https(const char *url);

/* "host" or "host:port" as written, for people and for looking up settings. The caller's. */
char *registry_url_host(const char *url);

/* url with key=value appended after "?" or "&"; value is escaped. The caller's. */
char *registry_url_add_query(const char *url, const char *key, const char *value);

/* value escaped for a query or a form body: all but unreserved characters. The caller's. */
char *registry_url_escape(const char *value);

/* localhost, 127.0.0.0/8 or [::1], with or without a port. */
bool registry_host_is_loopback(const char *host);

#endif
