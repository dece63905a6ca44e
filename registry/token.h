/*
 * registry/token.h - access tokens: fetched from a token server, kept until shortly before they expire.
 *
 * One token per realm, service, set of scopes and identity; while one thread fetches it, the others that want
 * the same one wait for that answer.
 */
#ifndef REGISTRY_TOKEN_H
#define REGISTRY_TOKEN_H

#include "registry/credentials.h"
#include "registry/retry.h"
#include "oci/base/str.h"

struct registry_tokens;		/* may be shared between threads */

/* http and policy are borrowed and outlive the cache. */
struct registry_tokens *registry_tokens_new(struct registry_http *http, const struct registry_retry_policy *policy);
void registry_tokens_free(struct registry_tokens *tokens);
IB_DEFINE_FREE(registry_tokens);

struct registry_token_request {
	const char *realm;		/* URL of the token server; its query is kept */
	const char *service;		/* or NULL */
	const struct ib_strv *scopes;	/* registry_scope_merge() made it */
	const struct registry_credential *cred;	/* anonymous, password or identity token */
	const atomic_bool *stop;	/* may be NULL */
};

/*
 * A token for request: GET with Basic for a password, GET for nobody, POST of the refresh_token grant for an
 * identity token. Fails with IB_DENIED when the server refuses the credential, IB_NETWORK, IB_INVALID.
 * *ret_token is the caller's; registry_secret_free() it.
 */
int registry_tokens_get(struct registry_tokens *tokens, const struct registry_token_request *request,
			char **ret_token, struct ib_err *err);

/* A registry refused this token: forget it. */
void registry_tokens_drop(struct registry_tokens *tokens, const char *token);

/*
 * What a token server's answer says: the token (the caller's) and how many seconds it lives: expires_in, else
 * the exp claim of a JWT (now is the time of day), else 60. Fails with IB_INVALID.
 */
int registry_token_parse(const char *body, size_t len, int64_t now, char **ret_token, int64_t *ret_seconds,
			 struct ib_err *err);

#endif
