/* Durations as Go writes and reads them. */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "builder/plan/plan-internal.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

static const struct {
	const char *name;
	int64_t ns;
} units[] = {	/* longer names before their beginnings */
	{"ns", 1}, {"us", 1000}, {"\xc2\xb5s", 1000}, {"\xce\xbcs", 1000}, {"ms", 1000000},
	{"s", 1000000000}, {"m", INT64_C(60000000000)}, {"h", INT64_C(3600000000000)},
};

#define N_UNITS (sizeof units / sizeof *units)

static int invalid(const char *text, struct ib_err *err)
{
	ib_autofree char *shown = ib_printable(text, 64);

	return ib_fail(err, IB_USAGE, "invalid duration \"%s\"", shown);
}

static size_t find_unit(const char *p)
{
	for (size_t i = 0; i < N_UNITS; i++)
		if (strncmp(p, units[i].name, strlen(units[i].name)) == 0)
			return i;
	return N_UNITS;
}

int plan_duration_parse(const char *text, int64_t *ret_ns, struct ib_err *err)
{
	const char *p = text;
	double total = 0;
	int sign = 1;

	if (*p == '-' || *p == '+')
		sign = *p++ == '-' ? -1 : 1;
	if (strcmp(p, "0") == 0) {
		*ret_ns = 0;
		return 0;
	}
	if (!*p)
		return invalid(text, err);
	while (*p) {
		char *end;
		double number;
		size_t unit;

		if (!isdigit((unsigned char)*p) && *p != '.')
			return invalid(text, err);
		number = strtod(p, &end);
		/* strtod takes more than Go does: no hexadecimal, no exponent. */
		for (const char *q = p; q < end; q++)
			if (!isdigit((unsigned char)*q) && *q != '.')
				return invalid(text, err);
		unit = find_unit(end);
		if (unit == N_UNITS && !*end)
			return ib_fail(err, IB_USAGE, "missing unit in duration \"%s\"", text);
		if (unit == N_UNITS || end == p)
			return invalid(text, err);
		total += number * (double)units[unit].ns;
		p = end + strlen(units[unit].name);
	}
	if (total > 9.2e18)
		return invalid(text, err);
	*ret_ns = sign * (int64_t)llround(total);
	return 0;
}

/* value / unit with as many decimals as it needs. */
static void print_fraction(int64_t value, int64_t unit, int decimals, const char *name, struct ib_str *out)
{
	ib_autofree char *text = ib_asprintf("%jd.%0*jd", (intmax_t)(value / unit), decimals,
					     (intmax_t)(value % unit));
	size_t n = strlen(text);

	while (text[n - 1] == '0')
		n--;
	if (text[n - 1] == '.')
		n--;
	ib_str_add(out, text, n);
	ib_str_adds(out, name);
}

void plan_duration_print(int64_t ns, struct ib_str *out)
{
	int64_t seconds = ns / 1000000000;

	if (ns < 0) {
		ib_str_addc(out, '-');
		plan_duration_print(-ns, out);
	} else if (ns == 0) {
		ib_str_adds(out, "0s");
	} else if (ns < 1000) {
		ib_str_addf(out, "%jdns", (intmax_t)ns);
	} else if (ns < 1000000) {
		print_fraction(ns, 1000, 3, "\xc2\xb5s", out);
	} else if (ns < 1000000000) {
		print_fraction(ns, 1000000, 6, "ms", out);
	} else {
		if (seconds >= 3600)
			ib_str_addf(out, "%jdh", (intmax_t)(seconds / 3600));
		if (seconds >= 60)
			ib_str_addf(out, "%jdm", (intmax_t)(seconds / 60 % 60));
		print_fraction(ns - seconds / 60 * INT64_C(60000000000), 1000000000, 9, "s", out);
	}
}
