/* HEALTHCHECK. */
#include <string.h>

#include "builder/dockerfile/duration.h"
#include "builder/plan/plan-internal.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define HISTORY_MAX (16u << 20)

static int read_interval(const struct plan_eval *eval, const char *flag, int64_t *ret_ns, struct ib_err *err)
{
	const char *text = dockerfile_flag(eval->instruction, flag);

	*ret_ns = 0;
	if (!text)
		return 0;
	if (dockerfile_duration_parse(text, ret_ns, err) < 0)
		return -1;
	if (*ret_ns < 0 || (*ret_ns > 0 && *ret_ns < 1000000))
		return ib_fail(err, IB_USAGE, "Interval \"%s\" cannot be less than 1ms", flag);
	return 0;
}

static int read_retries(const struct plan_eval *eval, int64_t *ret_retries, struct ib_err *err)
{
	const char *text = dockerfile_flag(eval->instruction, "retries");
	ib_autofree char *shown = NULL;
	long long value = 0;

	if (text && *text && !ib_parse_int(text, 0, INT32_MAX, &value)) {
		shown = ib_printable(text, 64);
		return ib_fail(err, IB_USAGE, "--retries must be a number of at least 0 (not %s)", shown);
	}
	*ret_retries = value;
	return 0;
}

static void print_field(struct ib_str *out, const char *name, int64_t ns)
{
	ib_str_addf(out, " %s:", name);
	plan_duration_print(ns, out);
}

static char *history_text(const struct oci_healthcheck *check)
{
	ib_autostr out = IB_STR(HISTORY_MAX);

	ib_str_adds(&out, "HEALTHCHECK {Test:[");
	for (size_t i = 0; i < check->test.n; i++)
		ib_str_addf(&out, "%s%s", i ? " " : "", check->test.v[i]);
	ib_str_addc(&out, ']');
	print_field(&out, "Interval", check->interval_ns);
	print_field(&out, "Timeout", check->timeout_ns);
	print_field(&out, "StartPeriod", check->start_period_ns);
	print_field(&out, "StartInterval", check->start_interval_ns);
	ib_str_addf(&out, " Retries:%jd}", (intmax_t)check->retries);
	return ib_str_steal(&out);
}

static int read_flags(const struct plan_eval *eval, struct oci_healthcheck *check, struct ib_err *err)
{
	if (read_interval(eval, "interval", &check->interval_ns, err) < 0 ||
	    read_interval(eval, "timeout", &check->timeout_ns, err) < 0 ||
	    read_interval(eval, "start-period", &check->start_period_ns, err) < 0 ||
	    read_interval(eval, "start-interval", &check->start_interval_ns, err) < 0)
		return -1;
	return read_retries(eval, &check->retries, err);
}

int plan_healthcheck(struct plan_eval *eval, struct ib_err *err)
{
	const struct ib_strv *args = &eval->instruction->args;
	bool none = strcmp(args->v[0], "NONE") == 0;
	struct oci_healthcheck parsed = {0}, **field = &eval->stage->config->healthcheck;

	/* With NONE the flags are accepted and mean nothing, as in BuildKit. */
	if (!none && read_flags(eval, &parsed, err) < 0)
		return -1;
	ib_strv_add(&parsed.test, none ? "NONE" : eval->instruction->json ? "CMD" : "CMD-SHELL");
	for (size_t i = 1; i < args->n; i++)
		ib_strv_add(&parsed.test, args->v[i]);
	if (*field)
		ib_strv_done(&(*field)->test);
	else
		*field = ib_new(struct oci_healthcheck);
	**field = parsed;
	plan_history(eval, history_text(*field), true);
	return 0;
}
