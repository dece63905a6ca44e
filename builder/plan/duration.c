/* Durations as Go writes them; reading them is builder/dockerfile/duration.h. */
#include <string.h>

#include "builder/plan/plan-internal.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

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
