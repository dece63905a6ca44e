#include "registry/credentials.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/digest.h"
#include "registry/base64.h"

#include "oci/base/poison.h"

void registry_secret_free(char *take_secret)
{
	if (!take_secret)
		return;
	explicit_bzero(take_secret, strlen(take_secret));
	free(take_secret);
}

void registry_credential_done(struct registry_credential *cred)
{
	registry_secret_free(cred->secret);
	free(cred->user);
	free(cred->origin);
	*cred = (struct registry_credential){0};
}

char *registry_credential_identity(const struct registry_credential *cred)
{
	registry_autosecret *all = ib_asprintf("%d:%s:%s", (int)cred->kind, cred->user ? cred->user : "",
					       cred->secret ? cred->secret : "");
	struct oci_digest digest;
	char hex[OCI_DIGEST_SIZE];

	oci_digest_of(all, strlen(all), &digest);
	return ib_strdup(oci_digest_hex(&digest, hex));
}

char *registry_credential_basic(const struct registry_credential *cred)
{
	registry_autosecret *pair = ib_asprintf("%s:%s", cred->user, cred->secret);
	registry_autosecret *encoded = registry_base64_encode(pair, strlen(pair));

	return ib_asprintf("Basic %s", encoded);
}

struct registry_credentials {
	struct registry_credential_source **v;	/* fixed once shared: no lock */
	size_t n, cap;
	pthread_mutex_t lock;			/* held while a source is asked: a helper runs once, not four times */
};

struct registry_credentials *registry_credentials_new(void)
{
	struct registry_credentials *chain = ib_new(struct registry_credentials);

	pthread_mutex_init(&chain->lock, NULL);
	return chain;
}

void registry_credentials_free(struct registry_credentials *chain)
{
	if (!chain)
		return;
	for (size_t i = 0; i < chain->n; i++)
		chain->v[i]->ops->free(chain->v[i]);
	pthread_mutex_destroy(&chain->lock);
	free(chain->v);
	free(chain);
}

void registry_credentials_add(struct registry_credentials *chain, struct registry_credential_source *take_source)
{
	ib_grow(chain->v, chain->n, chain->cap);
	chain->v[chain->n++] = take_source;
}

int registry_credentials_get(struct registry_credentials *chain, const char *host, const char *repository,
			     struct registry_credential *ret_cred, struct ib_err *err)
{
	int found = 0;

	pthread_mutex_lock(&chain->lock);
	for (size_t i = 0; i < chain->n && found == 0; i++)
		found = chain->v[i]->ops->get(chain->v[i], host, repository, ret_cred, err);
	pthread_mutex_unlock(&chain->lock);
	if (found == 0)
		*ret_cred = (struct registry_credential){.kind = REGISTRY_ANONYMOUS};
	return found < 0 ? -1 : 0;
}
