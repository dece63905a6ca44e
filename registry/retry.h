/*
 * registry/retry.h - what is worth another try, how often, and after which wait. The rules are here alone.
 */
#ifndef REGISTRY_RETRY_H
#define REGISTRY_RETRY_H

#include "registry/http.h"

struct registry_retry_policy {
	int tries;		/* of one request, the first included */
	int base_ms;		/* first wait; doubled each time, with full jitter */
	int cap_ms;		/* longest wait of our own */
	int after_cap_ms;	/* longest wait that a Retry-After may impose */
};

extern const struct registry_retry_policy registry_retry_usual;

struct registry_retry {		/* one request; owned by its thread */
	const struct registry_retry_policy *policy;
	const atomic_bool *stop;	/* may be NULL; as in a request */
	int failed;			/* tries so far that failed */
};

/*
 * After a failure that err describes: a broken exchange (fault), or an answer (status, with its Retry-After
 * or NULL). Waits and returns 0 with err cleared when the request should be sent again; returns -1 with err
 * as it was when not, or with IB_CANCELLED.
 */
int registry_retry_next(struct registry_retry *retry, enum registry_fault fault, int status,
			const char *retry_after, struct ib_err *err);

/* Bytes have moved: what failed before says nothing any more. */
void registry_retry_progress(struct registry_retry *retry);

bool registry_retry_fault(enum registry_fault fault);	/* worth another try at all? */
bool registry_retry_status(int status);

/* Seconds or an HTTP date, in milliseconds from now; a time that is past is 0. -1 for anything else. */
int64_t registry_retry_after_ms(const char *value);

/* Wait; IB_CANCELLED when stopped meanwhile. */
int registry_wait(int64_t ms, const atomic_bool *stop, struct ib_err *err);

#endif
