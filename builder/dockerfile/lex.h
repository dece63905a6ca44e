/*
 * builder/dockerfile/lex.h - the shell-like lexer under expansion and heredoc detection.
 *
 * One lexer in several moods: it makes values of words, or it only finds out where words end and keeps
 * quotes, escapes and variables as they are. Time and memory are bounded whatever the text says: nesting by
 * LEX_MAX_DEPTH, each text by BUILDER_EXPAND_MAX, all work of a call by LEX_MAX_WORK.
 */
#ifndef BUILDER_DOCKERFILE_LEX_H
#define BUILDER_DOCKERFILE_LEX_H

#include <stdbool.h>

#include "builder/dockerfile/expand.h"

#define LEX_MAX_DEPTH 128		/* ${a:-${b:-...}}; people nest two or three */
#define LEX_MAX_WORK (UINT64_C(1) << 26) /* bytes copied and pattern steps: a quarter of a second */
#define LEX_MAX_WORDS (1u << 20)	/* words of one text; there are 65,536 ports to expose */
#define LEX_MAX_UNDEFINED 256		/* names reported as unset; a linter shows far fewer */

struct dockerfile_lex {
	const struct builder_expander *expander;	/* NULL: no variable is set */
	char escape;
	bool keep_quotes;	/* quotes stay in the text */
	bool keep_escapes;	/* so do escape characters */
	bool keep_unset;	/* and references to variables that are not set */
	bool plain_quotes;	/* quotes are ordinary characters */
};

/* All of source as one text. Fails as builder_expand_word(). *ret_text is the caller's. */
int dockerfile_lex_text(const struct dockerfile_lex *lex, const char *source, char **ret_text,
			struct ib_err *err);

/*
 * The words of source. They end at white space outside quotes, that of a variable's value too; but blanks
 * right after "<<" belong to the word. Empty words are dropped.
 */
int dockerfile_lex_words(const struct dockerfile_lex *lex, const char *source, struct ib_strv *ret_words,
			 struct ib_err *err);

#endif
