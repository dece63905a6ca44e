/*
 * builder/dockerfile/expand.h - variables and quotes in words (Dockerfile reference, "Environment
 * replacement").
 *
 * Expanded values are bounded (IB_LIMIT beyond BUILDER_EXPAND_MAX bytes), so nested definitions cannot
 * grow without end.
 */
#ifndef BUILDER_DOCKERFILE_EXPAND_H
#define BUILDER_DOCKERFILE_EXPAND_H

#include "oci/base/err.h"
#include "oci/base/str.h"

#define BUILDER_EXPAND_MAX (16u << 20)

struct builder_expander {
	char escape;	/* '\\' or '`' */
	/* The value of a variable, NULL when unset. Borrowed until the next change. */
	const char *(*lookup)(void *ctx, const char *name);
	void *ctx;
	/* Names that were unset are added, once each, up to LEX_MAX_UNDEFINED (lex.h); may be NULL. */
	struct ib_strv *undefined;
};

/*
 * One word: quotes removed, escapes and variables (all operators) replaced. Fails with IB_USAGE (unbalanced
 * quote, bad substitution, unsupported modifier, ${v:?message}) or IB_LIMIT (size, nesting, steps of patterns).
 * *ret_text is the caller's.
 */
int builder_expand_word(const struct builder_expander *expander, const char *word, char **ret_text,
			struct ib_err *err);

/* As above, and the result is split at blanks outside quotes, even those that came out of variables (EXPOSE). */
int builder_expand_words(const struct builder_expander *expander, const char *word,
			 struct ib_strv *ret_words, struct ib_err *err);

/* The body of an unquoted COPY/ADD heredoc: '$' replaced, '\x' is x, quotes are ordinary; escape is '\'. */
int builder_expand_heredoc(const struct builder_expander *expander, const char *body, char **ret_text,
			   struct ib_err *err);

#endif
