/*
 * registry/credential-helper.h - programs that keep credentials: docker-credential-NAME get.
 */
#ifndef REGISTRY_CREDENTIAL_HELPER_H
#define REGISTRY_CREDENTIAL_HELPER_H

#include "registry/credentials.h"

#define REGISTRY_HELPER_TIMEOUT_MS 30000	/* a keychain may have to be fetched over a network */

/*
 * Ask docker-credential-NAME (from PATH) for server. Only server goes in, on standard input; standard
 * error is discarded, as helpers print secrets there. Returns 1 with *ret_cred (the caller's), 0 when the
 * helper says it has none, -1 otherwise: it cannot be run, fails, answers nonsense, takes longer than
 * timeout_ms (it is killed), or IB_CANCELLED.
 */
int registry_credential_helper_get(const char *name, const char *server, int timeout_ms,
				   struct registry_credential *ret_cred, struct ib_err *err);

#endif
