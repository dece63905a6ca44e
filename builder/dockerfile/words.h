/*
 * builder/dockerfile/words.h - how the arguments of instructions fall into words.
 */
#ifndef BUILDER_DOCKERFILE_WORDS_H
#define BUILDER_DOCKERFILE_WORDS_H

#include "builder/dockerfile/dockerfile.h"

/* Bytes at s that are of the blanks which separate a keyword and plain words: [\t\v\f\r ]. */
size_t dockerfile_blank_len(const char *s);
size_t dockerfile_word_len(const char *s);	/* up to the next of them */

/* FROM, ADD, COPY, VOLUME, EXPOSE: split at blanks, quotes mean nothing. */
void dockerfile_words_plain(const char *text, struct ib_strv *words);

/* ARG: words that white space outside quotes ends. Quotes and escapes are kept. */
void dockerfile_words_quoted(const char *text, char escape, struct ib_strv *words);

/* The pairs of ENV and LABEL (keyword names them in errors), or of ARG, into the instruction. */
int dockerfile_words_pairs(struct dockerfile_instruction *in, const char *keyword, const char *text,
			   char escape, struct ib_err *err);
int dockerfile_words_args(struct dockerfile_instruction *in, const char *text, char escape,
			  struct ib_err *err);

#endif
