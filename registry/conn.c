#include "registry/conn-internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "oci/base/alloc.h"
#include "registry/docker-config.h"
#include "registry/scope.h"
#include "registry/url.h"

#include "oci/base/poison.h"

int registry_session_new_with(const struct registry_options *options, const struct registry_timeouts *timeouts,
			      const struct registry_retry_policy *retry, struct registry_session **ret_session,
			      struct ib_err *err)
{
	IB_CLEANUP(registry_session_freep) struct registry_session *s = ib_new(struct registry_session);

	pthread_mutex_init(&s->lock, NULL);
	s->retry = retry ? *retry : registry_retry_usual;
	s->http = registry_http_new(timeouts);
	s->tokens = registry_tokens_new(s->http, &s->retry);
	s->credentials = registry_credentials_new();
	registry_docker_config_sources(s->credentials, options->docker_config);
	for (size_t i = 0; i < options->n_plain_http; i++) {
		const char *host = options->plain_http[i];
		ib_autofree char *shown = ib_printable(host, 128);

		if (!*host || strpbrk(host, "/?#@ "))
			return ib_fail(err, IB_USAGE, "'%s' is not a host or host:port", shown);
		ib_strv_add(&s->plain_http, host);
	}
	*ret_session = ib_steal_ptr(&s);
	return 0;
}

int registry_session_new(const struct registry_options *options, struct registry_session **ret_session,
			 struct ib_err *err)
{
	static const struct registry_options none;

	return registry_session_new_with(options ? options : &none, NULL, NULL, ret_session, err);
}

static void host_free(struct registry_host *host)
{
	pthread_mutex_destroy(&host->deciding);
	pthread_mutex_destroy(&host->lock);
	free(host->name);
	free(host->api);
	free(host->realm);
	free(host->service);
	free(host);
}

void registry_session_free(struct registry_session *session)
{
	if (!session)
		return;
	while (session->hosts) {
		struct registry_host *host = session->hosts;

		session->hosts = host->next;
		host_free(host);
	}
	registry_tokens_free(session->tokens);
	registry_credentials_free(session->credentials);
	registry_http_free(session->http);
	ib_strv_done(&session->plain_http);
	pthread_mutex_destroy(&session->lock);
	free(session);
}

/* Listed with its port, or without one for all ports. */
static bool may_plain(const struct registry_session *session, const char *host)
{
	size_t n = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");

	if (registry_host_is_loopback(host))
		return true;
	for (size_t i = 0; i < session->plain_http.n; i++) {
		const char *listed = session->plain_http.v[i];

		if (strcasecmp(listed, host) == 0 || (strlen(listed) == n && strncasecmp(listed, host, n) == 0))
			return true;
	}
	return false;
}

static struct registry_host *host_new(const struct registry_session *session, const char *name)
{
	struct registry_host *host = ib_new(struct registry_host);

	host->name = ib_strdup(name);
	host->api = ib_strdup(strcmp(name, "docker.io") == 0 ? "registry-1.docker.io" : name);
	host->may_plain = may_plain(session, name);
	if (!host->may_plain)
		host->scheme = REGISTRY_SCHEME_HTTPS;
	pthread_mutex_init(&host->deciding, NULL);
	pthread_mutex_init(&host->lock, NULL);
	return host;
}

struct registry_host *registry_session_host(struct registry_session *session, const char *name)
{
	struct registry_host *host;

	pthread_mutex_lock(&session->lock);
	for (host = session->hosts; host && strcasecmp(host->name, name) != 0; host = host->next)
		;
	if (!host) {
		host = host_new(session, name);
		host->next = session->hosts;
		session->hosts = host;
	}
	pthread_mutex_unlock(&session->lock);
	return host;
}

static enum registry_scheme scheme_of(struct registry_host *host)
{
	enum registry_scheme scheme;

	pthread_mutex_lock(&host->lock);
	scheme = host->scheme;
	pthread_mutex_unlock(&host->lock);
	return scheme;
}

/*
 * Ask for TLS. Any answer in HTTP, whatever its status, decides for it; so does a certificate that is refused:
 * going on in plain HTTP then would hide it.
 */
static int ask_for_tls(struct registry_session *session, struct registry_host *host, const atomic_bool *stop,
		       struct ib_err *err)
{
	ib_autofree char *url = ib_asprintf("https://%s/v2/", host->api);
	struct registry_http_request request = {.method = REGISTRY_HEAD, .url = url, .stop = stop};
	IB_CLEANUP(registry_http_stream_freep) struct registry_http_stream *stream =
		registry_http_stream_new(session->http, &request);
	enum registry_scheme scheme = REGISTRY_SCHEME_HTTPS;
	ib_autoerr why = {0};	/* the next request tells, if it was not a lack of TLS */

	if (registry_http_stream_start(stream, &why) < 0) {
		switch (registry_http_stream_fault(stream)) {
		case REGISTRY_FAULT_STOPPED:
			ib_err_move(err, &why);
			return -1;
		case REGISTRY_FAULT_TLS:
		case REGISTRY_FAULT_CONNECT:
		case REGISTRY_FAULT_BROKEN:
			scheme = REGISTRY_SCHEME_HTTP;
			break;
		case REGISTRY_FAULT_NONE:
		case REGISTRY_FAULT_NAME:
		case REGISTRY_FAULT_CERTIFICATE:
		case REGISTRY_FAULT_PROXY:
		case REGISTRY_FAULT_REFUSED:
			break;
		}
	}
	pthread_mutex_lock(&host->lock);
	host->scheme = scheme;
	pthread_mutex_unlock(&host->lock);
	return 0;
}

int registry_host_base(struct registry_session *session, struct registry_host *host, const atomic_bool *stop,
		       char **ret_base, struct ib_err *err)
{
	int rc = 0;

	if (scheme_of(host) == REGISTRY_SCHEME_UNKNOWN) {
		pthread_mutex_lock(&host->deciding);
		if (scheme_of(host) == REGISTRY_SCHEME_UNKNOWN)
			rc = ask_for_tls(session, host, stop, err);
		pthread_mutex_unlock(&host->deciding);
	}
	if (rc < 0)
		return -1;
	*ret_base = ib_asprintf("%s://%s", scheme_of(host) == REGISTRY_SCHEME_HTTP ? "http" : "https", host->api);
	return 0;
}

int registry_conn_new(struct registry_session *session, const struct registry_reference *ref, bool push,
		      struct registry_conn **ret_conn, struct ib_err *err)
{
	struct registry_conn *conn = ib_new(struct registry_conn);
	ib_autofree char *scope = ib_asprintf("repository:%s:pull%s", ref->repository, push ? ",push" : "");

	(void)err;	/* nothing is sent yet: what could fail fails at the first request */
	conn->session = session;
	conn->host = registry_session_host(session, ref->host);
	conn->repository = ib_strdup(ref->repository);
	registry_scope_merge(&conn->scopes, scope);
	pthread_mutex_init(&conn->lock, NULL);
	*ret_conn = conn;
	return 0;
}

void registry_conn_free(struct registry_conn *conn)
{
	if (!conn)
		return;
	registry_credential_done(&conn->cred);
	ib_strv_done(&conn->scopes);
	pthread_mutex_destroy(&conn->lock);
	free(conn->repository);
	free(conn);
}
