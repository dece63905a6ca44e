/*
 * registry/certs.h - certificates for one registry, out of certs.d directories.
 *
 * HOST[:PORT]/ in /etc/docker/certs.d, /etc/containers/certs.d, ~/.config/containers/certs.d and
 * ~/.config/docker/certs.d: *.crt are further authorities, NAME.cert with NAME.key is a client's pair.
 */
#ifndef REGISTRY_CERTS_H
#define REGISTRY_CERTS_H

#include <stddef.h>

#include "oci/base/err.h"

struct registry_certs {
	char *authorities;	/* PEM: the system's and the further ones; NULL: the system's alone */
	size_t authorities_len;
	char *client_cert;	/* paths; NULL when there is no pair */
	char *client_key;
};

/*
 * What the directories hold for host. system_bundle is the file of the system's authorities, NULL if there is
 * none. Fails with IB_USAGE for a .cert without its .key or the reverse; on what cannot be read.
 */
int registry_certs_load(const char *host, const char *system_bundle, struct registry_certs *ret_certs,
			struct ib_err *err);
void registry_certs_done(struct registry_certs *certs);

#endif
