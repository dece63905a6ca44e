#include "registry/token.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "oci/base/alloc.h"
#include "oci/base/clock.h"
#include "oci/base/json.h"
#include "registry/answer.h"
#include "registry/base64.h"
#include "registry/scope.h"
#include "registry/url.h"

#include "oci/base/poison.h"

#define DEFAULT_SECONDS 60		/* distribution: when expires_in is absent */
#define MAX_SECONDS (24 * 3600)
#define MAX_ANSWER_BYTES 65536		/* tokens of 8 KiB are the longest seen */
#define MAX_TOKEN_BYTES 32768		/* it has to fit into a header */
#define RENEW_BEFORE_SECONDS 45
#define MAX_REDIRECTS 3
#define WAIT_MS 50			/* how late a waiting thread may notice a cancellation */

struct entry {
	struct entry *next;
	char *key;
	char *token;		/* NULL: none yet, or dropped */
	int64_t renew_ns;	/* on the monotonic clock: no clock of a server has a say */
	bool fetching;
	unsigned failures;	/* fetches that failed; error is the last one's */
	struct ib_err error;
};

struct registry_tokens {
	struct registry_http *http;			/* fixed */
	const struct registry_retry_policy *policy;	/* fixed */

	pthread_mutex_t lock;				/* guards the list and its entries; leaf */
	pthread_cond_t changed;
	struct entry *entries;
};

struct registry_tokens *registry_tokens_new(struct registry_http *http, const struct registry_retry_policy *policy)
{
	struct registry_tokens *tokens = ib_new(struct registry_tokens);
	pthread_condattr_t attr;

	tokens->http = http;
	tokens->policy = policy;
	pthread_mutex_init(&tokens->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&tokens->changed, &attr);
	pthread_condattr_destroy(&attr);
	return tokens;
}

void registry_tokens_free(struct registry_tokens *tokens)
{
	if (!tokens)
		return;
	while (tokens->entries) {
		struct entry *e = tokens->entries;

		tokens->entries = e->next;
		registry_secret_free(e->token);
		ib_err_clear(&e->error);
		free(e->key);
		free(e);
	}
	pthread_cond_destroy(&tokens->changed);
	pthread_mutex_destroy(&tokens->lock);
	free(tokens);
}

/* Seconds until the exp claim of a JWT, or -1 when token is none or has none. */
static int64_t jwt_seconds(const char *token, int64_t now)
{
	const char *payload = strchr(token, '.'), *end = payload ? strchr(payload + 1, '.') : NULL;
	ib_autofree char *text = NULL;
	ib_autoerr err = {0};	/* an opaque token is no failure */
	ib_autojson *json = NULL;
	int64_t exp;
	size_t len;

	if (!end)
		return -1;
	text = registry_base64_decode(payload + 1, (size_t)(end - payload - 1), &len);
	json = text ? ib_json_parse(text, len, &err) : NULL;
	return json && ib_json_get_int(json, "exp", &exp) && exp > now ? exp - now : -1;
}

/* A header value: nothing that could end the line. */
static bool is_sendable(const char *token)
{
	size_t n = strlen(token);

	for (size_t i = 0; i < n; i++)
		if (token[i] <= ' ' || token[i] > '~')
			return false;
	return n > 0 && n <= MAX_TOKEN_BYTES;
}

static void wipe(struct ib_json *json)
{
	for (size_t i = 0; json && i < json->n; i++)
		if (json->child[i]->text)
			explicit_bzero(json->child[i]->text, json->child[i]->len);
}

int registry_token_parse(const char *body, size_t len, int64_t now, char **ret_token, int64_t *ret_seconds,
			 struct ib_err *err)
{
	ib_autoerr why = {0};	/* would quote the answer, which holds the token */
	ib_autojson *json = ib_json_parse(body, len, &why);
	const char *token = json ? ib_json_get_string(json, "token") : NULL;
	int64_t seconds;

	if (json && (!token || !*token))
		token = ib_json_get_string(json, "access_token");
	if (!token || !is_sendable(token)) {
		wipe(json);
		return ib_fail(err, IB_INVALID, "the token server's answer holds no token");
	}
	if (!ib_json_get_int(json, "expires_in", &seconds) || seconds <= 0)
		seconds = jwt_seconds(token, now);
	if (seconds < 0)
		seconds = DEFAULT_SECONDS;
	*ret_seconds = seconds < MAX_SECONDS ? seconds : MAX_SECONDS;
	*ret_token = ib_strdup(token);
	wipe(json);
	return 0;
}

static void replace(char **url, char *take_next)
{
	free(*url);
	*url = take_next;
}

static char *get_url(const struct registry_token_request *r)
{
	char *url = ib_strdup(r->realm);

	if (r->service)
		replace(&url, registry_url_add_query(url, "service", r->service));
	for (size_t i = 0; i < r->scopes->n; i++)
		replace(&url, registry_url_add_query(url, "scope", r->scopes->v[i]));
	if (r->cred->kind == REGISTRY_PASSWORD)
		replace(&url, registry_url_add_query(url, "account", r->cred->user));
	replace(&url, registry_url_add_query(url, "client_id", "imgbuild"));
	return url;
}

static char *refresh_form(const struct registry_token_request *r)
{
	ib_autofree char *joined = registry_scope_join(r->scopes);
	ib_autofree char *service = registry_url_escape(r->service ? r->service : "");
	ib_autofree char *scope = registry_url_escape(joined);
	registry_autosecret *secret = registry_url_escape(r->cred->secret);

	return ib_asprintf("grant_type=refresh_token&service=%s&client_id=imgbuild%s%s&refresh_token=%s", service,
			   *scope ? "&scope=" : "", scope, secret);
}

/* One try, redirects on the same server included. */
static int exchange(struct registry_tokens *tokens, struct registry_http_request *http, struct registry_answer *answer,
		    enum registry_fault *ret_fault, struct ib_err *err)
{
	ib_autofree char *url = ib_strdup(http->url);

	for (int hops = 0;; hops++) {
		IB_CLEANUP(registry_http_stream_freep) struct registry_http_stream *stream = NULL;
		const char *location;
		char *next;
		int status;

		http->url = url;
		stream = registry_http_stream_new(tokens->http, http);
		if (registry_http_stream_start(stream, err) < 0) {
			*ret_fault = registry_http_stream_fault(stream);
			return -1;
		}
		status = registry_http_stream_status(stream);
		location = registry_http_stream_header(stream, "location", 0);
		if (status < 300 || status >= 400 || !location) {
			if (registry_answer_read(&stream, MAX_ANSWER_BYTES, answer, err) == 0)
				return 0;
			*ret_fault = registry_http_stream_fault(stream);
			return -1;
		}
		*ret_fault = REGISTRY_FAULT_REFUSED;
		/* A credential goes nowhere but to the server that the registry named. */
		if (hops == MAX_REDIRECTS || http->method != REGISTRY_GET)
			return ib_fail(err, IB_INVALID, "the token server redirects");
		if (registry_url_resolve(url, location, &next, err) < 0)
			return -1;
		if (!registry_url_same_origin(url, next)) {
			free(next);
			return ib_fail(err, IB_INVALID, "the token server redirects to another one");
		}
		replace(&url, next);
	}
}

static int fetch(struct registry_tokens *tokens, const struct registry_token_request *r, char **ret_token,
		 int64_t *ret_seconds, struct ib_err *err)
{
	bool refresh = r->cred->kind == REGISTRY_IDENTITY_TOKEN;
	ib_autofree char *url = refresh ? ib_strdup(r->realm) : get_url(r);
	registry_autosecret *form = refresh ? refresh_form(r) : NULL;
	registry_autosecret *authorization = r->cred->kind == REGISTRY_PASSWORD ? registry_credential_basic(r->cred) : NULL;
	struct registry_retry retry = {.policy = tokens->policy, .stop = r->stop};

	for (;;) {
		registry_autoanswer answer = {0};
		enum registry_fault fault = REGISTRY_FAULT_NONE;
		struct registry_http_request http = {
			.method = refresh ? REGISTRY_POST : REGISTRY_GET,
			.url = url,
			.authorization = authorization,
			.accept = "application/json",
			.content_type = "application/x-www-form-urlencoded",
			.body = form,
			.body_size = form ? (int64_t)strlen(form) : 0,
			.stop = r->stop,
		};

		if (exchange(tokens, &http, &answer, &fault, err) == 0) {
			if (answer.status == 200)
				return registry_token_parse(answer.body, answer.len, time(NULL), ret_token, ret_seconds,
							    err);
			(void)registry_answer_fail(&answer, err);
		}
		if (registry_retry_next(&retry, fault, answer.status,
					answer.stream ? registry_http_stream_header(answer.stream, "retry-after", 0) :
							NULL,
					err) < 0)
			return -1;
	}
}

static char *key_of(const struct registry_token_request *r)
{
	ib_autofree char *scopes = registry_scope_join(r->scopes);
	ib_autofree char *identity = registry_credential_identity(r->cred);

	return ib_asprintf("%s\n%s\n%s\n%s", r->realm, r->service ? r->service : "", scopes, identity);
}

static struct entry *find(struct registry_tokens *tokens, const struct registry_token_request *r)
{
	ib_autofree char *key = key_of(r);
	struct entry *e = tokens->entries;

	while (e && strcmp(e->key, key) != 0)
		e = e->next;
	if (!e) {
		e = ib_new(struct entry);
		e->key = ib_steal_ptr(&key);
		e->next = tokens->entries;
		tokens->entries = e;
	}
	return e;
}

/* Wait while another thread fetches; 0 when it is done, -1 when stopped, or with that thread's failure. */
static int wait_for_other(struct registry_tokens *tokens, struct entry *e, const struct registry_token_request *r,
			  struct ib_err *err)
{
	unsigned failures = e->failures;

	while (e->fetching) {
		struct timespec until;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += WAIT_MS * 1000000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000;
		}
		(void)pthread_cond_timedwait(&tokens->changed, &tokens->lock, &until);
		if (registry_wait(0, r->stop, err) < 0)
			return -1;
	}
	/* That thread's transfer being stopped is no reason for this one to fail: it fetches itself. */
	if (e->failures == failures || e->error.code == IB_CANCELLED)
		return 0;
	ib_fail(err, e->error.code, "%s", e->error.text);
	err->http = e->error.http;
	return -1;
}

static void store(struct registry_tokens *tokens, struct entry *e, char *take_token, int64_t seconds,
		  const struct ib_err *err)
{
	int64_t early = seconds > 2 * RENEW_BEFORE_SECONDS ? RENEW_BEFORE_SECONDS : seconds / 2;

	pthread_mutex_lock(&tokens->lock);
	e->fetching = false;
	registry_secret_free(e->token);
	e->token = take_token;
	e->renew_ns = ib_monotonic_ns() + (seconds - early) * 1000000000;
	if (!take_token) {
		e->failures++;
		ib_fail(&e->error, err->code, "%s", err->text);
		e->error.http = err->http;
	}
	pthread_cond_broadcast(&tokens->changed);
	pthread_mutex_unlock(&tokens->lock);
}

/* 1: *ret_token is a copy of the kept one; 0: the caller fetches it for *ret_entry; -1. */
static int kept(struct registry_tokens *tokens, const struct registry_token_request *r, struct entry **ret_entry,
		char **ret_token, struct ib_err *err)
{
	struct entry *e;
	int rc;

	pthread_mutex_lock(&tokens->lock);
	e = find(tokens, r);
	rc = wait_for_other(tokens, e, r, err);
	if (rc == 0 && e->token && ib_monotonic_ns() < e->renew_ns) {
		*ret_token = ib_strdup(e->token);
		rc = 1;
	} else if (rc == 0) {
		e->fetching = true;
		*ret_entry = e;
	}
	pthread_mutex_unlock(&tokens->lock);
	return rc;
}

int registry_tokens_get(struct registry_tokens *tokens, const struct registry_token_request *request,
			char **ret_token, struct ib_err *err)
{
	struct entry *e;
	int64_t seconds = 0;
	char *token = NULL;
	int rc = kept(tokens, request, &e, ret_token, err);

	if (rc != 0)
		return rc < 0 ? -1 : 0;
	rc = fetch(tokens, request, &token, &seconds, err);
	if (rc == 0)
		*ret_token = ib_strdup(token);
	store(tokens, e, token, seconds, err);
	return rc;
}

void registry_tokens_drop(struct registry_tokens *tokens, const char *token)
{
	pthread_mutex_lock(&tokens->lock);
	for (struct entry *e = tokens->entries; e; e = e->next) {
		if (e->token && strcmp(e->token, token) == 0) {
			registry_secret_free(e->token);
			e->token = NULL;
		}
	}
	pthread_mutex_unlock(&tokens->lock);
}
