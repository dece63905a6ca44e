#include "registry/retry.h"

#include <curl/curl.h>
#include <poll.h>
#include <sys/random.h>
#include <time.h>

#include "oci/base/clock.h"
#include "oci/base/pool.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define WAIT_STEP_MS 50			/* how late a cancellation may be noticed */
#define CONNECT_TRIES 3			/* a host that refuses connections is down for long, or mistyped */
#define NAME_TRIES 2			/* name servers lie now and then, but not twice */
#define THROTTLED_BASE_MS 1500		/* 429 without Retry-After */

const struct registry_retry_policy registry_retry_usual = {
	.tries = 5,
	.base_ms = 700,
	.cap_ms = 30000,
	.after_cap_ms = 90000,
};

bool registry_retry_status(int status)
{
	return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

bool registry_retry_fault(enum registry_fault fault)
{
	switch (fault) {
	case REGISTRY_FAULT_BROKEN:
	case REGISTRY_FAULT_CONNECT:
	case REGISTRY_FAULT_NAME:
	case REGISTRY_FAULT_TLS:
		return true;
	case REGISTRY_FAULT_NONE:
	case REGISTRY_FAULT_STOPPED:
	case REGISTRY_FAULT_CERTIFICATE:
	case REGISTRY_FAULT_PROXY:
	case REGISTRY_FAULT_REFUSED:
		return false;
	}
	return false;
}

static int tries_for(const struct registry_retry_policy *policy, enum registry_fault fault)
{
	int most = fault == REGISTRY_FAULT_NAME ? NAME_TRIES :
		   fault == REGISTRY_FAULT_CONNECT || fault == REGISTRY_FAULT_TLS ? CONNECT_TRIES : policy->tries;

	return most < policy->tries ? most : policy->tries;
}

int64_t registry_retry_after_ms(const char *value)
{
	long long seconds;
	time_t when;

	if (ib_parse_int(value, -1000000, 1000000000, &seconds))
		return seconds < 0 ? 0 : seconds * 1000;
	when = curl_getdate(value, NULL);
	if (when < 0)
		return -1;
	return when <= time(NULL) ? 0 : (int64_t)(when - time(NULL)) * 1000;
}

/* Full jitter: clients that were thrown out together must not come back together. */
static int64_t jitter(int64_t ms)
{
	uint32_t r = 0;

	(void)!getrandom(&r, sizeof r, GRND_NONBLOCK);
	return ms > 0 ? (int64_t)(r % (uint64_t)(ms + 1)) : 0;
}

static int64_t wait_ms(const struct registry_retry *retry, int status, const char *retry_after)
{
	const struct registry_retry_policy *p = retry->policy;
	int64_t after = retry_after ? registry_retry_after_ms(retry_after) : -1;
	int64_t ms = p->base_ms;

	if (after >= 0)
		return after < p->after_cap_ms ? after : p->after_cap_ms;
	if (status == 429 && ms == registry_retry_usual.base_ms)
		ms = THROTTLED_BASE_MS;
	for (int i = 1; i < retry->failed && ms < p->cap_ms; i++)
		ms *= 2;
	return jitter(ms < p->cap_ms ? ms : p->cap_ms);
}

int registry_wait(int64_t ms, const atomic_bool *stop, struct ib_err *err)
{
	int64_t end = ib_monotonic_ns() + ms * 1000000;

	for (;;) {
		int64_t left = (end - ib_monotonic_ns()) / 1000000;

		if (ib_cancelled() || (stop && atomic_load_explicit(stop, memory_order_relaxed)))
			return ib_fail(err, IB_CANCELLED, "interrupted");
		if (left <= 0)
			return 0;
		(void)poll(NULL, 0, left < WAIT_STEP_MS ? (int)left : WAIT_STEP_MS);
	}
}

int registry_retry_next(struct registry_retry *retry, enum registry_fault fault, int status,
			const char *retry_after, struct ib_err *err)
{
	ib_autoerr stopped = {0};

	if (fault == REGISTRY_FAULT_NONE ? !registry_retry_status(status) : !registry_retry_fault(fault))
		return -1;
	if (++retry->failed >= tries_for(retry->policy, fault))
		return -1;
	if (registry_wait(wait_ms(retry, status, retry_after), retry->stop, &stopped) < 0) {
		ib_err_move(err, &stopped);
		return -1;
	}
	ib_err_clear(err);	/* what follows decides */
	return 0;
}

void registry_retry_progress(struct registry_retry *retry)
{
	retry->failed = 0;
}
