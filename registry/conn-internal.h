/*
 * registry/conn-internal.h - sessions, hosts and connections, for the files of this folder and their tests.
 */
#ifndef REGISTRY_CONN_INTERNAL_H
#define REGISTRY_CONN_INTERNAL_H

#include <pthread.h>

#include "oci/base/str.h"
#include "registry/credentials.h"
#include "registry/registry.h"
#include "registry/retry.h"
#include "registry/token.h"

enum registry_scheme { REGISTRY_SCHEME_UNKNOWN, REGISTRY_SCHEME_HTTPS, REGISTRY_SCHEME_HTTP };
enum registry_signin { REGISTRY_SIGNIN_NONE, REGISTRY_SIGNIN_BASIC, REGISTRY_SIGNIN_BEARER };

/* What a session learns about one registry. Lives as long as the session. */
struct registry_host {
	struct registry_host *next;
	char *name;			/* fixed: as in references; credentials are looked up by it */
	char *api;			/* fixed: host[:port] on the wire */
	bool may_plain;			/* fixed: plain HTTP is allowed where there is no TLS */

	pthread_mutex_t deciding;	/* held while the scheme is found out, requests included */

	pthread_mutex_t lock;		/* guards all below; leaf */
	enum registry_scheme scheme;
	enum registry_signin signin;	/* what its last challenge asked for */
	char *realm, *service;		/* of a Bearer challenge */
	int64_t pause_until_ns;		/* it said 429: nobody asks before this */
};

struct registry_session {
	struct registry_http *http;
	struct registry_credentials *credentials;
	struct registry_tokens *tokens;
	struct registry_retry_policy retry;	/* fixed */
	struct ib_strv plain_http;		/* fixed */

	pthread_mutex_t lock;			/* guards hosts; leaf */
	struct registry_host *hosts;
};

struct registry_conn {
	struct registry_session *session;	/* borrowed */
	struct registry_host *host;		/* the session's */
	char *repository;

	pthread_mutex_t lock;			/* guards all below; held while sources of credentials are asked */
	struct ib_strv scopes;
	bool cred_known;
	struct registry_credential cred;
};

/* As registry_session_new(), with other waits: for tests. */
int registry_session_new_with(const struct registry_options *options, const struct registry_timeouts *timeouts,
			      const struct registry_retry_policy *retry, struct registry_session **ret_session,
			      struct ib_err *err);

/* The session's knowledge of a host as references name it. */
struct registry_host *registry_session_host(struct registry_session *session, const char *name);

/*
 * "https://HOST" or "http://HOST". Where plain HTTP is allowed, the first call asks HOST for TLS; a failure
 * that looks like none being spoken there decides for HTTP, once. The caller's.
 */
int registry_host_base(struct registry_session *session, struct registry_host *host, const atomic_bool *stop,
		       char **ret_base, struct ib_err *err);

#endif
