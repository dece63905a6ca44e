/*
 * builder/dockerfile/flags.h - the --flags between an instruction's keyword and its arguments.
 */
#ifndef BUILDER_DOCKERFILE_FLAGS_H
#define BUILDER_DOCKERFILE_FLAGS_H

#include "builder/dockerfile/dockerfile.h"

enum dockerfile_flag_kind { FLAG_STRING, FLAG_LIST, FLAG_BOOL };

struct dockerfile_flag_spec {
	const char *name;
	enum dockerfile_flag_kind kind;
};

/* Cut the flag words off the front of text, quotes removed. Returns the arguments behind them. */
const char *dockerfile_flags_split(const char *text, char escape, struct ib_strv *words);

/* Check the words against the n known flags and put them into the instruction. */
int dockerfile_flags_check(const struct dockerfile_flag_spec *known, size_t n, const struct ib_strv *words,
			   struct dockerfile_instruction *in, struct ib_err *err);

#endif
