/* Names of signals, as STOPSIGNAL takes them. */
#include <string.h>
#include <strings.h>

#include "builder/plan/plan-internal.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

static const char *const names[] = {
	"ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
	"PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
	"TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
};

/* RTMIN+1 .. RTMIN+15, RTMAX-1 .. RTMAX-14 */
static bool is_realtime(const char *name)
{
	long long n;

	if (strncasecmp(name, "RTMIN+", 6) == 0)
		return ib_parse_int(name + 6, 1, 15, &n);
	return strncasecmp(name, "RTMAX-", 6) == 0 && ib_parse_int(name + 6, 1, 14, &n);
}

int plan_signal_check(const char *text, struct ib_err *err)
{
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	ib_autofree char *shown = NULL;
	long long number;

	if (ib_parse_int(text, INT32_MIN, INT32_MAX, &number) && number != 0)
		return 0;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcasecmp(name, names[i]) == 0)
			return 0;
	if (is_realtime(name))
		return 0;
	shown = ib_printable(text, 64);
	return ib_fail(err, IB_USAGE, "invalid signal: %s", shown);
}
