/*
 * registry/request.h - a request to a registry with all that belongs to one: scheme, sign-in, redirects, retries.
 */
#ifndef REGISTRY_REQUEST_H
#define REGISTRY_REQUEST_H

#include "registry/answer.h"
#include "registry/conn-internal.h"

struct registry_call {	/* everything is borrowed */
	enum registry_method method;
	const char *path;		/* below /v2/REPOSITORY/, as it goes on the wire; or NULL and */
	const char *url;		/* an address that this registry handed out */
	const char *accept;
	const char *content_type;
	int64_t range_from;
	const void *body;		/* as in struct registry_http_request */
	int body_fd;
	int64_t body_size;
	registry_http_sent_fn *sent;
	void *ctx;
	const atomic_bool *stop;
	enum registry_fault *ret_fault;	/* registry_call(): send it once only, as the caller knows better when to
					 * repeat it, and say here why there is no answer */
};

/*
 * Send a call once, and again after a challenge that could be met; follow redirects, without Authorization
 * unless they stay on scheme, host and port. Returns the stream at the head of its answer, whatever the status.
 * On failure *ret_fault says what kind.
 */
int registry_call_open(struct registry_conn *conn, const struct registry_call *call,
		       struct registry_http_stream **ret_stream, enum registry_fault *ret_fault, struct ib_err *err);

/*
 * Send a call until there is a final answer, and read it; more than max bytes are refused. Fails when there is
 * no answer, or when it says "later" for too long; any other status is for the caller to judge.
 */
int registry_call(struct registry_conn *conn, const struct registry_call *call, size_t max,
		  struct registry_answer *ret_answer, struct ib_err *err);

/* registry_answer_fail() with what the user can do about it. */
int registry_call_fail(struct registry_conn *conn, const struct registry_answer *answer, struct ib_err *err);

/* After a failure with this answer (stream NULL: none): wait and return 0 to try again, or -1. See retry.h. */
int registry_call_next(struct registry_conn *conn, struct registry_retry *retry, enum registry_fault fault,
		       const struct registry_answer *answer, struct ib_err *err);

#endif
