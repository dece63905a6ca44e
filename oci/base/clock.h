/*
 * oci/base/clock.h - time as an input: RFC 3339 text, a monotonic clock.
 */
#ifndef OCI_BASE_CLOCK_H
#define OCI_BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define IB_RFC3339_SIZE 36	/* 2006-01-02T15:04:05.999999999Z and its NUL, with room to spare */

/* UTC with as many fraction digits as needed (none for whole seconds). Returns buf. */
const char *ib_rfc3339(const struct timespec *ts, char buf[static IB_RFC3339_SIZE]);

/* The reverse, with any zone offset; false when s is no RFC 3339 time. */
bool ib_rfc3339_parse(const char *s, struct timespec *ret_ts);

int64_t ib_monotonic_ns(void);
int ib_timespec_compare(const struct timespec *a, const struct timespec *b);	/* <0, 0, >0 */

/* "1.5s", "2m56s": for people. Returns buf. */
const char *ib_duration(int64_t ns, char buf[static 32]);

#endif
