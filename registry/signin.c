#include "registry/signin.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "oci/base/alloc.h"
#include "registry/challenge.h"
#include "registry/scope.h"
#include "registry/url.h"

#include "oci/base/poison.h"

/* Ask the sources once per connection; *ret_cred is borrowed and does not change afterwards. */
static int credential(struct registry_conn *conn, const struct registry_credential **ret_cred, struct ib_err *err)
{
	int rc = 0;

	pthread_mutex_lock(&conn->lock);
	if (!conn->cred_known) {
		rc = registry_credentials_get(conn->session->credentials, conn->host->name, conn->repository,
					      &conn->cred, err);
		conn->cred_known = rc == 0;
	}
	pthread_mutex_unlock(&conn->lock);
	*ret_cred = &conn->cred;
	return rc;
}

static int bearer(struct registry_conn *conn, const char *realm, const char *service,
		  const struct registry_credential *cred, const atomic_bool *stop, char **ret_header,
		  struct ib_err *err)
{
	ib_autostrv scopes = {0};
	struct registry_token_request request = {
		.realm = realm, .service = service, .scopes = &scopes, .cred = cred, .stop = stop,
	};
	registry_autosecret *token = NULL;

	if (cred->kind == REGISTRY_BEARER_TOKEN) {
		*ret_header = ib_asprintf("Bearer %s", cred->secret);
		return 0;
	}
	pthread_mutex_lock(&conn->lock);
	ib_strv_copy(&scopes, &conn->scopes);
	pthread_mutex_unlock(&conn->lock);
	if (registry_tokens_get(conn->session->tokens, &request, &token, err) < 0) {
		(void)registry_signin_hint(conn, err);
		return ib_wrap(err, "cannot sign in to %s", conn->host->name);
	}
	*ret_header = ib_asprintf("Bearer %s", token);
	return 0;
}

int registry_signin_header(struct registry_conn *conn, const atomic_bool *stop, char **ret_header,
			   struct ib_err *err)
{
	struct registry_host *host = conn->host;
	ib_autofree char *realm = NULL, *service = NULL;
	const struct registry_credential *cred;
	enum registry_signin signin;

	pthread_mutex_lock(&host->lock);
	signin = host->signin;
	realm = ib_strdup_null(host->realm);
	service = ib_strdup_null(host->service);
	pthread_mutex_unlock(&host->lock);
	*ret_header = NULL;
	if (signin == REGISTRY_SIGNIN_NONE)
		return 0;
	if (credential(conn, &cred, err) < 0)
		return ib_wrap(err, "cannot sign in to %s", host->name);
	if (signin == REGISTRY_SIGNIN_BEARER)
		return bearer(conn, realm, service, cred, stop, ret_header, err);
	if (cred->kind == REGISTRY_PASSWORD)
		*ret_header = registry_credential_basic(cred);
	return 0;
}

static void learn(struct registry_conn *conn, enum registry_signin signin, const struct registry_challenge *c)
{
	struct registry_host *host = conn->host;

	pthread_mutex_lock(&host->lock);
	host->signin = signin;
	free(host->realm);
	free(host->service);
	host->realm = ib_strdup_null(c->realm);
	host->service = ib_strdup_null(c->service);
	pthread_mutex_unlock(&host->lock);
}

static int learn_bearer(struct registry_conn *conn, const struct registry_http_stream *stream,
			const struct registry_challenge *c, const char *used, struct ib_err *err)
{
	bool https = registry_url_is_https(c->realm);

	if (!https && strncasecmp(c->realm, "http://", 7) != 0)
		return ib_fail(err, IB_INVALID, "%s names a token server that is no https URL", conn->host->name);
	if (!https && registry_url_is_https(registry_http_stream_url(stream)))
		return ib_fail(err, IB_DENIED, "%s wants credentials sent over plain HTTP; refused", conn->host->name);
	learn(conn, REGISTRY_SIGNIN_BEARER, c);
	if (c->scope) {
		pthread_mutex_lock(&conn->lock);
		registry_scope_merge(&conn->scopes, c->scope);
		pthread_mutex_unlock(&conn->lock);
	}
	if (used && ib_starts(used, "Bearer "))
		registry_tokens_drop(conn->session->tokens, used + strlen("Bearer "));
	return 1;
}

int registry_signin_challenged(struct registry_conn *conn, const struct registry_http_stream *stream,
			       const char *used, struct ib_err *err)
{
	registry_autochallenges list = {0};
	const struct registry_challenge *c;
	const struct registry_credential *cred;
	const char *value;

	for (size_t i = 0; (value = registry_http_stream_header(stream, "www-authenticate", i)); i++)
		registry_challenges_parse(value, &list);
	c = registry_challenges_choose(&list);
	if (!c)
		return 0;
	if (strcasecmp(c->scheme, "Bearer") == 0)
		return learn_bearer(conn, stream, c, used, err);
	learn(conn, REGISTRY_SIGNIN_BASIC, c);
	if (used && ib_starts(used, "Basic "))
		return 0;	/* it was refused */
	if (credential(conn, &cred, err) < 0)
		return ib_wrap(err, "cannot sign in to %s", conn->host->name);
	return cred->kind == REGISTRY_PASSWORD;
}

int registry_signin_hint(struct registry_conn *conn, struct ib_err *err)
{
	const struct registry_credential *cred;
	ib_autoerr ignored = {0};	/* the refusal is what is told */

	if (err->http != 401 && err->http != 403)
		return -1;
	if (credential(conn, &cred, &ignored) < 0)
		return -1;
	if (cred->kind == REGISTRY_ANONYMOUS)
		return ib_err_hint(err, "; run `docker login %s`, or put credentials for %s in the Docker config file",
				   conn->host->name, conn->host->name);
	if (err->http == 401)
		return ib_err_hint(err, "; the credentials are those of %s", cred->origin);
	return -1;
}
