/*
 * registry/signin.h - what a registry wants to see in Authorization.
 */
#ifndef REGISTRY_SIGNIN_H
#define REGISTRY_SIGNIN_H

#include "registry/conn-internal.h"

/*
 * The value of Authorization for a request of conn to its own registry: what the last challenge asked for, or
 * NULL before the first one, and when nobody knows a credential for Basic. A token is fetched if need be.
 * *ret_header is the caller's; registry_secret_free() it.
 */
int registry_signin_header(struct registry_conn *conn, const atomic_bool *stop, char **ret_header,
			   struct ib_err *err);

/*
 * A request sent with used (or NULL) was answered by 401. Learns from its challenges. Returns 1 when another
 * header is worth a try, 0 when the 401 stands, -1 on failure.
 */
int registry_signin_challenged(struct registry_conn *conn, const struct registry_http_stream *stream,
			       const char *used, struct ib_err *err);

/* Add to a refusal (401 or 403) what the user can do about it. Returns -1. */
int registry_signin_hint(struct registry_conn *conn, struct ib_err *err);

#endif
