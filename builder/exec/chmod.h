/*
 * builder/exec/chmod.h - the modes that --chmod gives: octal, or symbolic in the manner of BSD's setmode(3).
 */
#ifndef BUILDER_EXEC_CHMOD_H
#define BUILDER_EXEC_CHMOD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "oci/base/err.h"

#define EXEC_CHMOD_MAX_STEPS 64		/* "op perms" pairs in one value; nobody needs ten */

struct exec_chmod_step {
	char op;		/* + - = */
	mode_t who;		/* bits that the step may touch */
	mode_t bits;		/* out of 07777, before who is applied */
	bool exec_if;		/* X */
	char copy[3];		/* classes whose bits are copied: u, g, o */
	unsigned int n_copy;
};

struct exec_chmod {
	bool given;		/* false: modes stay as they are */
	bool octal;
	mode_t mode;		/* octal */
	struct exec_chmod_step steps[EXEC_CHMOD_MAX_STEPS];
	size_t n_steps;
};

/* Parse the value of the flag; NULL and "" are no flag. Fails with IB_USAGE. */
int exec_chmod_parse(const char *text, struct exec_chmod *ret_chmod, struct ib_err *err);

/* The permission bits (07777) of a copied entry whose source has mode (with its type). Links have none. */
mode_t exec_chmod_entry(const struct exec_chmod *how, mode_t mode);

/* The permission bits of a directory that had to be created: 0755, or octal bits without the set-id ones. */
mode_t exec_chmod_parent(const struct exec_chmod *how);

#endif
