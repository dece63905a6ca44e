#include "oci/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "oci/base/alloc.h"
#include "oci/base/cleanup.h"

#include "oci/base/poison.h"

static enum ib_log_level max_level = IB_LOG_WARNING;

void ib_log_set_level(enum ib_log_level level)
{
	max_level = level;
}

void ib_log(enum ib_log_level level, const char *fmt, ...)
{
	static const char *const names[] = {"", "warning: ", "", "debug: "};
	ib_autofree char *text = NULL, *line = NULL;
	int saved = errno;
	va_list ap;

	if (level > max_level)
		return;
	va_start(ap, fmt);
	text = ib_vasprintf(fmt, ap);
	va_end(ap);
	line = ib_asprintf("imgbuild: %s%s\n", names[level], text);
	/* One write(2), so that lines of several threads do not mix. */
	(void)!write(STDERR_FILENO, line, strlen(line));
	errno = saved;
}
