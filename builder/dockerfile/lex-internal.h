/*
 * builder/dockerfile/lex-internal.h - what the lexer and its references to variables share.
 */
#ifndef BUILDER_DOCKERFILE_LEX_INTERNAL_H
#define BUILDER_DOCKERFILE_LEX_INTERNAL_H

#include <stdint.h>

#include "builder/dockerfile/lex.h"

/* One pass over one source. Operands of ${} are scanned by recursion. */
struct lex_scan {
	const struct dockerfile_lex *lex;
	const char *p;
	bool keep_escapes;
	int depth;
	uint64_t work;
	struct ib_err *err;
};

/* Where text goes: one string, or words that white space ends. */
struct lex_out {
	struct ib_str text;
	struct ib_strv *words;	/* NULL: one string */
	size_t total;		/* bytes of all words */
};

/* Add n bytes. What is quoted is not split even when words are wanted. Fails with IB_LIMIT. */
int lex_put(struct lex_scan *s, struct lex_out *out, const char *bytes, size_t n, bool quoted);

/* Scan up to stop, which is consumed, or to the end of the source where stop is 0. */
int lex_until(struct lex_scan *s, char stop, struct lex_out *out);

/* At '$': a variable, or an ordinary character. */
int lex_dollar(struct lex_scan *s, struct lex_out *out, bool quoted);

int lex_fail(struct lex_scan *s, const char *text);		/* with IB_USAGE; returns -1 */
int lex_fail_size(struct lex_scan *s);			/* with IB_LIMIT */

#endif
