#include "builder/dockerfile/duration.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "oci/base/str.h"

#include "oci/base/poison.h"

struct unit {
	const char *name;
	int64_t ns;
};

static int fail(const char *what, const char *text, struct ib_err *err)
{
	ib_autofree char *shown = ib_printable(text, 100);

	return ib_fail(err, IB_USAGE, "%s \"%s\"", what, shown);
}

/* The unit whose name is the n bytes at p, or NULL. */
static const struct unit *find_unit(const char *p, size_t n)
{
	static const struct unit units[] = {
		{"ns", 1}, {"us", 1000}, {"\302\265s", 1000}, {"\316\274s", 1000}, {"ms", 1000000},
		{"s", 1000000000}, {"m", INT64_C(60000000000)}, {"h", INT64_C(3600000000000)},
	};

	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (strlen(units[i].name) == n && memcmp(units[i].name, p, n) == 0)
			return &units[i];
	return NULL;
}

/* "12.5" at *p as whole and a fraction; false without any digit or when it is too large. */
static bool parse_number(const char **p, int64_t *ret_whole, double *ret_fraction)
{
	const char *s = *p;
	bool digits = false;
	double scale = 1;

	*ret_whole = 0;
	*ret_fraction = 0;
	for (; isdigit((unsigned char)*s); s++, digits = true)
		if (__builtin_mul_overflow(*ret_whole, 10, ret_whole) ||
		    __builtin_add_overflow(*ret_whole, *s - '0', ret_whole))
			return false;
	if (*s == '.')
		for (s++; isdigit((unsigned char)*s); s++, digits = true)
			*ret_fraction += (*s - '0') * (scale /= 10);
	*p = s;
	return digits;
}

/* One number with its unit at *p, added to *sum. */
static int parse_part(const char **p, const char *text, int64_t *sum, struct ib_err *err)
{
	const struct unit *unit;
	int64_t whole;
	double fraction;
	size_t n;

	if (!parse_number(p, &whole, &fraction))
		return fail("invalid duration", text, err);
	n = strcspn(*p, ".0123456789");
	if (!n)
		return fail("missing unit in duration", text, err);
	unit = find_unit(*p, n);
	if (!unit)
		return fail("unknown unit in duration", text, err);
	*p += n;
	if (__builtin_mul_overflow(whole, unit->ns, &whole) ||
	    __builtin_add_overflow(whole, (int64_t)(fraction * (double)unit->ns + 0.5), &whole) ||
	    __builtin_add_overflow(*sum, whole, sum))
		return fail("invalid duration", text, err);
	return 0;
}

int dockerfile_duration_parse(const char *text, int64_t *ret_ns, struct ib_err *err)
{
	bool negative = text[0] == '-';
	const char *p = text + (negative || text[0] == '+');
	int64_t sum = 0;

	if (!*p)
		return fail("invalid duration", text, err);
	if (strcmp(p, "0") == 0) {
		*ret_ns = 0;
		return 0;
	}
	while (*p)
		if (parse_part(&p, text, &sum, err) < 0)
			return -1;
	*ret_ns = negative ? -sum : sum;
	return 0;
}
