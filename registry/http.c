#include "registry/http.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "oci/base/alloc.h"
#include "registry/http-internal.h"

#include "oci/base/poison.h"

#define MAX_IDLE_SLOTS 16
#define MAX_SLOT_CONNECTIONS 4L	/* registry, token server, storage, and one to spare */

struct host_certs {
	struct host_certs *next;
	char *host;
	struct registry_certs certs;
};

struct registry_http {
	struct registry_timeouts timeouts;	/* fixed */

	pthread_mutex_t lock;			/* guards all below; leaf */
	struct registry_http_slot *idle;
	size_t n_idle;
	struct host_certs *certs;
	char *bundle;				/* the system's authorities; NULL: unknown or none */
	CURLSH *share;				/* names and TLS sessions; NULL until the first exchange */
	pthread_mutex_t share_lock[CURL_LOCK_DATA_LAST];
};

static const struct registry_timeouts usual = {
	.connect_ms = 30000,
	.stall_ms = 60000,
	.answer_ms = 300000,
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		abort();	/* out of memory: nothing else fails here */
}

struct registry_http *registry_http_new(const struct registry_timeouts *timeouts)
{
	struct registry_http *http = ib_new(struct registry_http);

	http->timeouts = timeouts ? *timeouts : usual;
	pthread_mutex_init(&http->lock, NULL);
	for (size_t i = 0; i < CURL_LOCK_DATA_LAST; i++)
		pthread_mutex_init(&http->share_lock[i], NULL);
	return http;
}

void registry_sigpipe_block(struct registry_sigpipe *guard)
{
	sigset_t pending;

	sigemptyset(&guard->pipe);
	sigaddset(&guard->pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &guard->pipe, &guard->before);
	guard->active = !sigismember(&guard->before, SIGPIPE);
	if (guard->active && sigpending(&pending) == 0)
		guard->pending = sigismember(&pending, SIGPIPE);
}

void registry_sigpipe_restore(const struct registry_sigpipe *guard)
{
	static const struct timespec now;

	if (!guard->active)
		return;
	if (!guard->pending)
		while (sigtimedwait(&guard->pipe, NULL, &now) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &guard->before, NULL);
}

static void slot_free(struct registry_http_slot *slot)
{
	struct registry_sigpipe guard = {0};

	registry_sigpipe_block(&guard);	/* closing TLS writes */
	curl_easy_cleanup(slot->easy);
	curl_multi_cleanup(slot->multi);
	registry_sigpipe_restore(&guard);
	free(slot->host);
	free(slot);
}

void registry_http_free(struct registry_http *http)
{
	if (!http)
		return;
	while (http->idle) {
		struct registry_http_slot *slot = http->idle;

		http->idle = slot->next;
		slot_free(slot);
	}
	while (http->certs) {
		struct host_certs *c = http->certs;

		http->certs = c->next;
		registry_certs_done(&c->certs);
		free(c->host);
		free(c);
	}
	free(http->bundle);
	if (http->share)
		curl_share_cleanup(http->share);
	for (size_t i = 0; i < CURL_LOCK_DATA_LAST; i++)
		pthread_mutex_destroy(&http->share_lock[i]);
	pthread_mutex_destroy(&http->lock);
	free(http);
}

const struct registry_timeouts *registry_http_timeouts(const struct registry_http *http)
{
	return &http->timeouts;
}

static void lock_share(CURL *easy, curl_lock_data data, curl_lock_access access, void *ctx)
{
	struct registry_http *http = ctx;

	(void)easy;
	(void)access;	/* held for microseconds: readers need not run side by side */
	pthread_mutex_lock(&http->share_lock[data]);
}

static void unlock_share(CURL *easy, curl_lock_data data, void *ctx)
{
	struct registry_http *http = ctx;

	(void)easy;
	pthread_mutex_unlock(&http->share_lock[data]);
}

/* Connections are not shared: libcurl does not allow that between threads. */
static CURLSH *share_new(struct registry_http *http)
{
	CURLSH *share = curl_share_init();

	if (!share)
		abort();
	curl_share_setopt(share, CURLSHOPT_USERDATA, http);
	curl_share_setopt(share, CURLSHOPT_LOCKFUNC, lock_share);
	curl_share_setopt(share, CURLSHOPT_UNLOCKFUNC, unlock_share);
	curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
	curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	return share;
}

CURLSH *registry_http_share(struct registry_http *http)
{
	CURLSH *share;

	pthread_mutex_lock(&http->lock);
	if (!http->share)
		http->share = share_new(http);
	share = http->share;
	pthread_mutex_unlock(&http->lock);
	return share;
}

static struct registry_http_slot *slot_new(void)
{
	struct registry_http_slot *slot = ib_new(struct registry_http_slot);

	pthread_once(&once, init);
	slot->multi = curl_multi_init();
	slot->easy = curl_easy_init();
	if (!slot->multi || !slot->easy)
		abort();
	curl_multi_setopt(slot->multi, CURLMOPT_MAXCONNECTS, MAX_SLOT_CONNECTIONS);
	return slot;
}

/* Unlink the idle slot that suits host best: one used for it, else the one used last. */
static struct registry_http_slot *take_idle(struct registry_http *http, const char *host)
{
	struct registry_http_slot **at = &http->idle, *slot;

	while (*at && strcasecmp((*at)->host, host) != 0)
		at = &(*at)->next;
	if (!*at)
		at = &http->idle;
	slot = *at;
	if (slot) {
		*at = slot->next;
		http->n_idle--;
	}
	return slot;
}

struct registry_http_slot *registry_http_slot_take(struct registry_http *http, const char *host)
{
	struct registry_http_slot *slot;

	pthread_mutex_lock(&http->lock);
	slot = take_idle(http, host);
	pthread_mutex_unlock(&http->lock);
	if (!slot)
		slot = slot_new();
	free(slot->host);
	slot->host = ib_strdup(host);
	slot->next = NULL;
	return slot;
}

void registry_http_slot_give(struct registry_http *http, struct registry_http_slot *take_slot)
{
	bool full;

	pthread_mutex_lock(&http->lock);
	full = http->n_idle == MAX_IDLE_SLOTS;
	if (!full) {
		take_slot->next = http->idle;
		http->idle = take_slot;
		http->n_idle++;
	}
	pthread_mutex_unlock(&http->lock);
	if (full)
		slot_free(take_slot);
}

const char *registry_http_bundle(void)
{
	const char *file = getenv("SSL_CERT_FILE");

	return file && *file ? file : NULL;
}

const char *registry_http_bundle_dir(void)
{
	const char *dir = getenv("SSL_CERT_DIR");

	return dir && *dir ? dir : NULL;
}

/* The file that libcurl would read, to be added to a registry's own authorities. */
static char *system_bundle(void)
{
	const char *file = registry_http_bundle();
	char *info = NULL, *copy;
	CURL *easy;

	if (file)
		return ib_strdup(file);
	pthread_once(&once, init);
	easy = curl_easy_init();
	if (!easy)
		abort();
	if (curl_easy_getinfo(easy, CURLINFO_CAINFO, &info) != CURLE_OK)
		info = NULL;
	copy = info && access(info, R_OK) == 0 ? ib_strdup(info) : NULL;
	curl_easy_cleanup(easy);
	return copy;
}

const struct registry_certs *registry_http_certs(struct registry_http *http, const char *host, struct ib_err *err)
{
	struct host_certs *c;

	/* Held while files are read: once per host, and who comes second needs the same answer. */
	pthread_mutex_lock(&http->lock);
	for (c = http->certs; c && strcasecmp(c->host, host) != 0; c = c->next)
		;
	if (!c) {
		if (!http->bundle)
			http->bundle = system_bundle();
		c = ib_new(struct host_certs);
		if (registry_certs_load(host, http->bundle, &c->certs, err) < 0) {
			free(ib_steal_ptr(&c));
		} else {
			c->host = ib_strdup(host);
			c->next = http->certs;
			http->certs = c;
		}
	}
	pthread_mutex_unlock(&http->lock);
	return c ? &c->certs : NULL;
}
