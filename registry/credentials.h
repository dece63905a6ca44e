/*
 * registry/credentials.h - who we are to a registry, and the sources that may know it.
 *
 * A source answers for a host; a chain asks its sources in order and takes the first answer. Secrets are
 * wiped when freed and enter neither error nor log.
 */
#ifndef REGISTRY_CREDENTIALS_H
#define REGISTRY_CREDENTIALS_H

#include <stdbool.h>

#include "oci/base/err.h"

enum registry_credential_kind {
	REGISTRY_ANONYMOUS,
	REGISTRY_PASSWORD,		/* user and secret */
	REGISTRY_IDENTITY_TOKEN,	/* secret is an OAuth refresh token */
	REGISTRY_BEARER_TOKEN,		/* secret goes into Authorization: Bearer as it is */
};

struct registry_credential {
	enum registry_credential_kind kind;
	char *user;	/* REGISTRY_PASSWORD only */
	char *secret;
	char *origin;	/* "/root/.docker/config.json": for messages */
};

void registry_credential_done(struct registry_credential *cred);
#define registry_autocredential IB_CLEANUP(registry_credential_done) struct registry_credential

/* A name for exactly this credential that tells nothing about it: keys caches. The caller's. */
char *registry_credential_identity(const struct registry_credential *cred);

/* "Basic ..." for REGISTRY_PASSWORD: a value of Authorization. The caller's; registry_secret_free() it. */
char *registry_credential_basic(const struct registry_credential *cred);

/* free(), for a string that held a secret. NULL is allowed. */
void registry_secret_free(char *take_secret);
static inline void registry_secret_freep(char **p)
{
	registry_secret_free(*p);
}
#define registry_autosecret IB_CLEANUP(registry_secret_freep) char

struct registry_credential_source;
struct registry_credential_ops {
	/*
	 * 1 and *ret_cred (the caller's) when the source knows host's credential, 0 when it does not, -1 when
	 * it should but cannot. repository narrows the choice where the source can tell. Any thread, one at a time.
	 */
	int (*get)(struct registry_credential_source *source, const char *host, const char *repository,
		   struct registry_credential *ret_cred, struct ib_err *err);
	void (*free)(struct registry_credential_source *source);
};

/* First member of every implementation's struct. */
struct registry_credential_source {
	const struct registry_credential_ops *ops;
};

struct registry_credentials;	/* the chain; may be shared between threads */

struct registry_credentials *registry_credentials_new(void);
void registry_credentials_free(struct registry_credentials *chain);
IB_DEFINE_FREE(registry_credentials);

/* Add a source behind those there are. Before the chain is shared. */
void registry_credentials_add(struct registry_credentials *chain, struct registry_credential_source *take_source);

/* The first answer; REGISTRY_ANONYMOUS when no source knows host. */
int registry_credentials_get(struct registry_credentials *chain, const char *host, const char *repository,
			     struct registry_credential *ret_cred, struct ib_err *err);

#endif
