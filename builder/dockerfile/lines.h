/*
 * builder/dockerfile/lines.h - physical lines into logical ones: parser directives, comments, continuation.
 */
#ifndef BUILDER_DOCKERFILE_LINES_H
#define BUILDER_DOCKERFILE_LINES_H

#include <stdbool.h>

#include "oci/base/err.h"
#include "oci/base/str.h"

struct dockerfile_lines {
	const char *at, *end;		/* what was not read yet; *end is NUL */
	int line;			/* number of the physical line read last */

	char escape;
	bool in_directives;		/* directives may still come */
	bool shebang;			/* the first line is "#!...": of them only syntax counts */
	unsigned seen;			/* directives that came */
	char *syntax, *check;		/* their values or NULL; owned */

	/* The logical line found last. */
	struct ib_str text;
	int start;			/* its first physical line */
	struct ib_str comments;		/* those right above it, joined by newlines */
	bool empty_continuation;	/* it went on over an empty line */
};

/* Read from the n bytes at bytes, behind which stands a NUL, and which outlive the reader. */
void dockerfile_lines_init(struct dockerfile_lines *lines, const char *bytes, size_t n);
void dockerfile_lines_done(struct dockerfile_lines *lines);

/* The next logical line. Returns 1, 0 at the end, or -1 with IB_USAGE (a bad directive, on lines->line). */
int dockerfile_lines_next(struct dockerfile_lines *lines, struct ib_err *err);

/* The next physical line with its end, for the body of a heredoc. false at the end. */
bool dockerfile_lines_raw(struct dockerfile_lines *lines, const char **ret_line, size_t *ret_n);

/*
 * The frontend that a file names in ways which only other frontends' files use: "// syntax=" or a JSON object
 * with such a member. NULL if none. The caller's.
 */
char *dockerfile_lines_foreign_syntax(const char *bytes, size_t n);

#endif
