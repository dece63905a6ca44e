/*
 * oci/base/err.h - errors with context.
 *
 * One convention everywhere: a function that can fail returns 0, or -1 with *err filled. err is never
 * NULL and lives on the caller's stack, zero-initialised (ib_autoerr err = {0}). The lowest frame says
 * what failed, each frame above puts in front the one noun it alone knows. code is for programs (retry,
 * exit status), text is for people: lower case, no full stop, bytes from outside passed through
 * ib_printable() first. Credentials, tokens and query strings never enter an error.
 */
#ifndef OCI_BASE_ERR_H
#define OCI_BASE_ERR_H

#include "oci/base/cleanup.h"

enum ib_code {
	IB_OK,
	IB_USAGE,	/* the command line or an input file (Dockerfile, ignore file ...) is wrong: exit 2 */
	IB_INVALID,	/* content that breaks its format: a manifest, a layer, an answer */
	IB_NOTFOUND,	/* a name, blob, stage or file that is not there */
	IB_EXISTS,	/* something is in the way */
	IB_MISMATCH,	/* length or digest is not what was promised */
	IB_LIMIT,	/* a named limit was passed */
	IB_NOSPACE,	/* disk or quota full */
	IB_DENIED,	/* permission refused, by the system or by a registry */
	IB_UNSUPPORTED, /* not built, or not possible on this machine */
	IB_NETWORK,	/* connection, TLS or name failure; may be worth another try */
	IB_BUSY,	/* somebody else holds it */
	IB_FAILED,	/* a command that was run ended with another status than 0 */
	IB_CANCELLED,	/* interrupted by the user: exit 130 */
	IB_IO,		/* any other system call failure */
};

struct ib_err {
	enum ib_code code;
	int sys;	/* errno of the failed call, or 0 */
	int http;	/* HTTP status of a refused request, or 0 */
	char *text;	/* owned */
};

/* Frees the text and makes err reusable. Says at the call site, beside a reason, that a failure is harmless. */
void ib_err_clear(struct ib_err *err);

#define ib_autoerr IB_CLEANUP(ib_err_clear) struct ib_err

/* Fill err, replacing what it held. Both return -1. */
int ib_fail(struct ib_err *err, enum ib_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* As ib_fail(), with ": strerror(sys)" appended and the code derived from sys. */
int ib_fail_sys(struct ib_err *err, int sys, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Put "context: " in front of the text of a filled err. Returns -1. */
int ib_wrap(struct ib_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Append to the text of a filled err: a hint ("; did you mean ...") or a detail. Returns -1. */
int ib_err_hint(struct ib_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Move *take_from into *to, clearing what *to held. take_from is empty afterwards. */
void ib_err_move(struct ib_err *to, struct ib_err *take_from);

/*
 * The result is spelled out for whoever reads the caller alone, compilers and analysers above all: they
 * could not know otherwise that a failed call leaves by its failing path.
 */
#define ib_fail(...) __extension__({ (void)ib_fail(__VA_ARGS__); -1; })
#define ib_fail_sys(...) __extension__({ (void)ib_fail_sys(__VA_ARGS__); -1; })
#define ib_wrap(...) __extension__({ (void)ib_wrap(__VA_ARGS__); -1; })
#define ib_err_hint(...) __extension__({ (void)ib_err_hint(__VA_ARGS__); -1; })

/* The code that an errno stands for. */
enum ib_code ib_code_of_errno(int sys);

/* The documented exit status of a command that ended with this code: 0, 1, 2 or 130. */
int ib_exit_status(enum ib_code code);

#endif
