#include "oci/base/clock.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "oci/base/poison.h"

const char *ib_rfc3339(const struct timespec *ts, char buf[static IB_RFC3339_SIZE])
{
	struct tm tm;
	int n;

	if (!gmtime_r(&ts->tv_sec, &tm) || tm.tm_year + 1900 > 9999 || tm.tm_year + 1900 < 0)
		memset(&tm, 0, sizeof tm), tm.tm_year = 70, tm.tm_mday = 1;
	n = snprintf(buf, IB_RFC3339_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900,
		     tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
	if (ts->tv_nsec) {
		n += snprintf(buf + n, IB_RFC3339_SIZE - (size_t)n, ".%09ld", ts->tv_nsec);
		while (buf[n - 1] == '0')
			n--;
	}
	(void)snprintf(buf + n, IB_RFC3339_SIZE - (size_t)n, "Z");
	return buf;
}

static bool digits(const char **p, int n, int min, int max, int *ret)
{
	int value = 0;

	for (int i = 0; i < n; i++) {
		if (!isdigit((unsigned char)(*p)[i]))
			return false;
		value = value * 10 + ((*p)[i] - '0');
	}
	*p += n;
	*ret = value;
	return value >= min && value <= max;
}

static bool literal(const char **p, char upper)
{
	if (toupper((unsigned char)**p) != upper)
		return false;
	++*p;
	return true;
}

static bool zone(const char **p, long *ret_offset)
{
	int hours, minutes, sign = **p == '-' ? -1 : 1;

	*ret_offset = 0;
	if (literal(p, 'Z'))
		return true;
	if (**p != '+' && **p != '-')
		return false;
	++*p;
	if (!digits(p, 2, 0, 23, &hours) || !literal(p, ':') || !digits(p, 2, 0, 59, &minutes))
		return false;
	*ret_offset = sign * (hours * 3600L + minutes * 60L);
	return true;
}

bool ib_rfc3339_parse(const char *s, struct timespec *ret_ts)
{
	struct tm tm = {0};
	long offset, nsec = 0;
	int year, month;

	if (!digits(&s, 4, 0, 9999, &year) || !literal(&s, '-') || !digits(&s, 2, 1, 12, &month) ||
	    !literal(&s, '-') || !digits(&s, 2, 1, 31, &tm.tm_mday) || !literal(&s, 'T') ||
	    !digits(&s, 2, 0, 23, &tm.tm_hour) || !literal(&s, ':') || !digits(&s, 2, 0, 59, &tm.tm_min) ||
	    !literal(&s, ':') || !digits(&s, 2, 0, 60, &tm.tm_sec))
		return false;
	if (*s == '.') {
		long unit = 100000000;

		if (!isdigit((unsigned char)*++s))
			return false;
		for (; isdigit((unsigned char)*s); s++, unit /= 10)
			nsec += unit * (*s - '0');
	}
	if (!zone(&s, &offset) || *s)
		return false;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	*ret_ts = (struct timespec){.tv_sec = timegm(&tm) - offset, .tv_nsec = nsec};
	return true;
}

int64_t ib_monotonic_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);	/* cannot fail for this clock */
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

int ib_timespec_compare(const struct timespec *a, const struct timespec *b)
{
	if (a->tv_sec != b->tv_sec)
		return a->tv_sec < b->tv_sec ? -1 : 1;
	return (a->tv_nsec > b->tv_nsec) - (a->tv_nsec < b->tv_nsec);
}

const char *ib_duration(int64_t ns, char buf[static 32])
{
	int64_t s = ns / 1000000000;

	if (s < 60)
		(void)snprintf(buf, 32, "%.1fs", (double)ns / 1e9);
	else if (s < 3600)
		(void)snprintf(buf, 32, "%jdm%jds", (intmax_t)(s / 60), (intmax_t)(s % 60));
	else
		(void)snprintf(buf, 32, "%jdh%jdm%jds", (intmax_t)(s / 3600), (intmax_t)(s / 60 % 60),
			       (intmax_t)(s % 60));
	return buf;
}
