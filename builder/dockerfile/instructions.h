/*
 * builder/dockerfile/instructions.h - the syntax of each instruction.
 */
#ifndef BUILDER_DOCKERFILE_INSTRUCTIONS_H
#define BUILDER_DOCKERFILE_INSTRUCTIONS_H

#include "builder/dockerfile/dockerfile.h"
#include "builder/dockerfile/flags.h"

struct dockerfile_syntax {
	const char *keyword;
	/*
	 * Put the arguments, trimmed text, into the instruction, whose flags are there already. Fails with
	 * IB_USAGE.
	 */
	int (*parse)(struct dockerfile_instruction *in, const char *text, char escape, struct ib_err *err);
	const struct dockerfile_flag_spec *flags;	/* the known ones */
	size_t n_flags;
	bool ignores_flags;	/* takes any, and forgets them */
	bool heredocs;		/* may have them */
};

/* By enum dockerfile_op. */
const struct dockerfile_syntax *dockerfile_syntax_of(enum dockerfile_op op);

/* The op of a keyword in any case. Fails with IB_USAGE and names the nearest one. */
int dockerfile_op_parse(const char *keyword, enum dockerfile_op *ret_op, struct ib_err *err);

#endif
