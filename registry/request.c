#include "registry/request.h"

#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/base/clock.h"
#include "registry/signin.h"
#include "registry/url.h"

#include "oci/base/poison.h"

#define MAX_REDIRECTS 10

struct attempt {
	struct registry_conn *conn;
	const struct registry_call *call;
	char *base;		/* of the registry: Authorization goes nowhere else */
	char *url;		/* asked next */
	char *authorization;	/* sent with the last request, or NULL */
	int hops;
	bool challenged;	/* one challenge was met already */
	enum registry_fault fault;
};

static void attempt_done(struct attempt *a)
{
	free(a->base);
	free(a->url);
	registry_secret_free(a->authorization);
}

/* Somebody's 429 holds for all transfers with that host. */
static int wait_for_host(struct registry_host *host, const atomic_bool *stop, struct ib_err *err)
{
	int64_t until;

	pthread_mutex_lock(&host->lock);
	until = host->pause_until_ns;
	pthread_mutex_unlock(&host->lock);
	return until ? registry_wait((until - ib_monotonic_ns()) / 1000000, stop, err) : 0;
}

static int attempt_init(struct attempt *a, struct ib_err *err)
{
	const struct registry_call *call = a->call;

	a->fault = REGISTRY_FAULT_REFUSED;
	if (registry_host_base(a->conn->session, a->conn->host, call->stop, &a->base, err) < 0)
		return -1;
	a->url = call->url ? ib_strdup(call->url) :
			     ib_asprintf("%s/v2/%s/%s", a->base, a->conn->repository, call->path);
	return 0;
}

/* One exchange with a->url. */
static int exchange(struct attempt *a, struct registry_http_stream **ret_stream, struct ib_err *err)
{
	const struct registry_call *call = a->call;
	struct registry_http_request request = {
		.method = call->method,
		.url = a->url,
		.accept = call->accept,
		.content_type = call->content_type,
		.range_from = call->range_from,
		.body = call->body,
		.body_fd = call->body_fd,
		.body_size = call->body_size,
		.sent = call->sent,
		.ctx = call->ctx,
		.stop = call->stop,
	};
	IB_CLEANUP(registry_http_stream_freep) struct registry_http_stream *stream = NULL;

	registry_secret_free(ib_steal_ptr(&a->authorization));
	if (registry_url_same_origin(a->base, a->url)) {
		a->fault = REGISTRY_FAULT_REFUSED;	/* signing in has tried again by itself */
		if (wait_for_host(a->conn->host, call->stop, err) < 0 ||
		    registry_signin_header(a->conn, call->stop, &a->authorization, err) < 0)
			return -1;
	}
	request.authorization = a->authorization;
	stream = registry_http_stream_new(a->conn->session->http, &request);
	if (registry_http_stream_start(stream, err) < 0) {
		a->fault = registry_http_stream_fault(stream);
		return -1;
	}
	*ret_stream = ib_steal_ptr(&stream);
	return 0;
}

static bool redirects(enum registry_method method, int status)
{
	bool repeats = method == REGISTRY_GET || method == REGISTRY_HEAD;

	/* Only these two keep method and body. */
	if (status == 307 || status == 308)
		return true;
	return repeats && (status == 301 || status == 302 || status == 303);
}

/* 1: a->url is where the answer sends us; 0: it does not; -1. */
static int follow(struct attempt *a, const struct registry_http_stream *stream, struct ib_err *err)
{
	const char *location = registry_http_stream_header(stream, "location", 0);
	ib_autofree char *host = registry_url_host(a->url);
	char *next;

	if (!redirects(a->call->method, registry_http_stream_status(stream)) || !location)
		return 0;
	a->fault = REGISTRY_FAULT_REFUSED;
	if (++a->hops > MAX_REDIRECTS)
		return ib_fail(err, IB_INVALID, "%s: over %d redirects", host, MAX_REDIRECTS);
	if (registry_url_resolve(a->url, location, &next, err) < 0)
		return ib_wrap(err, "%s redirects", host);
	free(a->url);
	a->url = next;
	return 1;
}

/* Read what little there is, so that the connection can be used again. */
static void discard(struct registry_http_stream *stream)
{
	registry_autoanswer answer = {0};
	ib_autoerr err = {0};	/* the connection is closed then; nothing else is lost */

	if (registry_answer_read(&stream, REGISTRY_ERROR_MAX_BYTES, &answer, &err) < 0)
		registry_http_stream_free(stream);
}

/* 1: go on with what was learnt from the answer; 0: it is final; -1. */
static int react(struct attempt *a, const struct registry_http_stream *stream, struct ib_err *err)
{
	bool ours = registry_url_same_origin(a->base, a->url);

	if (registry_http_stream_status(stream) != 401 || !ours || a->challenged)
		return follow(a, stream, err);
	a->challenged = true;
	a->fault = REGISTRY_FAULT_REFUSED;
	return registry_signin_challenged(a->conn, stream, a->authorization, err);
}

int registry_call_open(struct registry_conn *conn, const struct registry_call *call,
		       struct registry_http_stream **ret_stream, enum registry_fault *ret_fault, struct ib_err *err)
{
	IB_CLEANUP(attempt_done) struct attempt a = {.conn = conn, .call = call};
	int rc = attempt_init(&a, err);

	while (rc == 0) {
		IB_CLEANUP(registry_http_stream_freep) struct registry_http_stream *stream = NULL;

		rc = exchange(&a, &stream, err);
		if (rc < 0)
			break;
		rc = react(&a, stream, err);
		if (rc == 0) {
			*ret_stream = ib_steal_ptr(&stream);
			return 0;
		}
		if (rc == 1) {
			discard(ib_steal_ptr(&stream));
			rc = 0;
		}
	}
	*ret_fault = err->code == IB_CANCELLED ? REGISTRY_FAULT_STOPPED : a.fault;
	return -1;
}

int registry_call_fail(struct registry_conn *conn, const struct registry_answer *answer, struct ib_err *err)
{
	(void)registry_answer_fail(answer, err);
	return registry_signin_hint(conn, err);
}

/* Docker Hub counts pulls over hours: no wait of ours outlasts that. */
static bool is_quota(const struct registry_answer *answer)
{
	return answer->status == 429 && strstr(answer->body, "pull rate limit");
}

static void pause_host(struct registry_host *host, const char *retry_after, const struct registry_retry *retry)
{
	int64_t ms = retry_after ? registry_retry_after_ms(retry_after) : -1;
	int64_t until;

	if (ms <= 0)
		return;
	if (ms > retry->policy->after_cap_ms)
		ms = retry->policy->after_cap_ms;
	until = ib_monotonic_ns() + ms * 1000000;
	pthread_mutex_lock(&host->lock);
	if (until > host->pause_until_ns)
		host->pause_until_ns = until;
	pthread_mutex_unlock(&host->lock);
}

/* A signed address of another host expired: the registry gives a new one. */
static bool is_expired(const struct registry_conn *conn, const struct registry_answer *answer)
{
	ib_autofree char *host = NULL;

	if (answer->status != 403)
		return false;
	host = registry_url_host(registry_http_stream_url(answer->stream));
	return strcmp(host, conn->host->api) != 0;
}

int registry_call_next(struct registry_conn *conn, struct registry_retry *retry, enum registry_fault fault,
		       const struct registry_answer *answer, struct ib_err *err)
{
	const char *after = answer->stream ? registry_http_stream_header(answer->stream, "retry-after", 0) : NULL;

	if (answer->stream && is_quota(answer))
		return -1;
	if (answer->status == 429)
		pause_host(conn->host, after, retry);
	return registry_retry_next(retry, fault, is_expired(conn, answer) ? 503 : answer->status, after, err);
}

/* One try, body included. */
static int call_once(struct registry_conn *conn, const struct registry_call *call, size_t max,
		     struct registry_answer *ret_answer, enum registry_fault *ret_fault, struct ib_err *err)
{
	IB_CLEANUP(registry_http_stream_freep) struct registry_http_stream *stream = NULL;

	*ret_fault = REGISTRY_FAULT_NONE;
	if (registry_call_open(conn, call, &stream, ret_fault, err) < 0)
		return -1;
	if (registry_answer_read(&stream, max, ret_answer, err) == 0)
		return 0;
	*ret_fault = registry_http_stream_fault(stream);
	if (*ret_fault == REGISTRY_FAULT_NONE)
		*ret_fault = REGISTRY_FAULT_REFUSED;	/* too much of it */
	return -1;
}

int registry_call(struct registry_conn *conn, const struct registry_call *call, size_t max,
		  struct registry_answer *ret_answer, struct ib_err *err)
{
	struct registry_retry retry = {.policy = &conn->session->retry, .stop = call->stop};

	if (call->ret_fault)
		return call_once(conn, call, max, ret_answer, call->ret_fault, err);
	for (;;) {
		registry_autoanswer answer = {0};
		enum registry_fault fault;

		if (call_once(conn, call, max, &answer, &fault, err) == 0) {
			if (!registry_retry_status(answer.status) && !is_expired(conn, &answer)) {
				*ret_answer = answer;
				answer = (struct registry_answer){0};
				return 0;
			}
			(void)registry_call_fail(conn, &answer, err);
		}
		if (registry_call_next(conn, &retry, fault, &answer, err) < 0)
			return -1;
	}
}
