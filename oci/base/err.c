#include "oci/base/err.h"

#include "oci/base/alloc.h"

#include <stdarg.h>
#include <string.h>

#include "oci/base/poison.h"

void ib_err_clear(struct ib_err *err)
{
	int saved = errno;

	free(err->text);
	*err = (struct ib_err){0};
	errno = saved;
}

static void set(struct ib_err *err, enum ib_code code, int sys, char *take_text)
{
	free(err->text);
	*err = (struct ib_err){.code = code, .sys = sys, .text = take_text};
}

int (ib_fail)(struct ib_err *err, enum ib_code code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set(err, code, 0, ib_vasprintf(fmt, ap));
	va_end(ap);
	return -1;
}

int (ib_fail_sys)(struct ib_err *err, int sys, const char *fmt, ...)
{
	ib_autofree char *what = NULL;
	va_list ap;
	char buf[128];

	va_start(ap, fmt);
	what = ib_vasprintf(fmt, ap);
	va_end(ap);
	set(err, ib_code_of_errno(sys), sys,
	    ib_asprintf("%s: %s", what, strerror_r(sys, buf, sizeof buf)));
	return -1;
}

int (ib_wrap)(struct ib_err *err, const char *fmt, ...)
{
	ib_autofree char *what = NULL;
	char *text;
	va_list ap;

	va_start(ap, fmt);
	what = ib_vasprintf(fmt, ap);
	va_end(ap);
	text = ib_asprintf("%s: %s", what, err->text ? err->text : "unknown failure");
	free(err->text);
	err->text = text;
	return -1;
}

int (ib_err_hint)(struct ib_err *err, const char *fmt, ...)
{
	ib_autofree char *hint = NULL;
	char *text;
	va_list ap;

	va_start(ap, fmt);
	hint = ib_vasprintf(fmt, ap);
	va_end(ap);
	text = ib_asprintf("%s%s", err->text ? err->text : "", hint);
	free(err->text);
	err->text = text;
	return -1;
}

void ib_err_move(struct ib_err *to, struct ib_err *take_from)
{
	if (to == take_from)
		return;
	ib_err_clear(to);
	*to = *take_from;
	*take_from = (struct ib_err){0};
}

enum ib_code ib_code_of_errno(int sys)
{
	switch (sys) {
	case ENOENT:
	case ENOTDIR:
		return IB_NOTFOUND;
	case EEXIST:
	case ENOTEMPTY:
		return IB_EXISTS;
	case ENOSPC:
	case EDQUOT:
		return IB_NOSPACE;
	case EACCES:
	case EPERM:
	case EROFS:
		return IB_DENIED;
	case ENAMETOOLONG:
	case ELOOP:
	case E2BIG:
	case EMFILE:
	case ENFILE:
		return IB_LIMIT;
	case ENOSYS:
	case EOPNOTSUPP:
		return IB_UNSUPPORTED;
	case EBUSY:
	case EAGAIN:
		return IB_BUSY;
	case ECONNREFUSED:
	case ECONNRESET:
	case EPIPE:
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case ENETUNREACH:
		return IB_NETWORK;
	default:
		return IB_IO;
	}
}

int ib_exit_status(enum ib_code code)
{
	switch (code) {
	case IB_OK:
		return 0;
	case IB_USAGE:
		return 2;
	case IB_CANCELLED:
		return 130;
	case IB_INVALID:
	case IB_NOTFOUND:
	case IB_EXISTS:
	case IB_MISMATCH:
	case IB_LIMIT:
	case IB_NOSPACE:
	case IB_DENIED:
	case IB_UNSUPPORTED:
	case IB_NETWORK:
	case IB_BUSY:
	case IB_FAILED:
	case IB_IO:
		return 1;
	}
	return 1;
}
