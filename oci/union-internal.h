/*
 * oci/union-internal.h - what the files of the union share: its layers, and a chain of merged directories
 * from the root down to the one in hand. For oci/union*.c, oci/layer-diff.c and their tests.
 */
#ifndef OCI_UNION_INTERNAL_H
#define OCI_UNION_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "oci/base/str.h"
#include "oci/union.h"

#define UNION_MAX_PATH (1u << 20)	/* bytes of a path: far deeper than any path can be opened */
#define UNION_MAX_OPEN 96		/* descriptors of one stack, beyond those of its two topmost levels */

struct union_layer {
	int fd;
	enum oci_union_kind kind;
	bool opaque;	/* its root hides all lower roots */
	int sys;	/* errno of finding that out, reported when the layer is first used */
};

struct oci_union {
	struct union_layer *layer;	/* lowest first */
	size_t n, cap;
};

bool union_is_whiteout(const struct oci_union *u, size_t layer, const struct stat *st);

/* Does this directory carry the opaque mark? 1, 0, or -1 with errno. */
int union_fd_opaque(int fd);

/* "'path': strerror(sys)". Returns -1. */
int union_fail(struct ib_err *err, int sys, const char *path);

/* One layer's directory within a merged one. */
struct union_part {
	int fd;		/* -1 while the level is closed */
	uint32_t layer;
};

/* One merged directory: its parts that are not hidden, topmost layer first. */
struct union_level {
	size_t first, n;	/* in union_stack.part */
	size_t path_len;	/* of its path in union_stack.path */
};

/*
 * The merged directories from the root (level 0) to the one in hand. Every descriptor was opened relative
 * to its parent's, following no link, so renames by somebody else lead to errors and never out of the
 * layers. Levels far from the top are closed when there are many and opened again when they are reached.
 */
struct union_stack {
	const struct oci_union *u;
	bool readable;		/* directories are opened for getdents(2) */
	struct ib_str path;	/* of the top level */
	struct union_part *part;
	size_t n_parts, cap_parts;
	struct union_level *level;
	size_t n, cap;
	size_t open;		/* descriptors held; those of level 0 are the union's */
	size_t first_open;	/* levels in [1, first_open) are closed */
};

enum union_found {
	UNION_NOTHING,	/* no such name, or a whiteout hides it */
	UNION_DIR,
	UNION_OTHER,	/* something that is no directory */
};

/* Start at the root. */
int union_stack_init(struct union_stack *stack, const struct oci_union *u, bool readable, struct ib_err *err);
void union_stack_done(struct union_stack *stack);
#define union_autostack IB_CLEANUP(union_stack_done) struct union_stack

/*
 * Enter the directory called name. from, when not NULL, names the only parts of the top level (indices,
 * ascending) that have to be asked. Returns enum union_found, the level being added for UNION_DIR, or -1.
 */
int union_stack_push(struct union_stack *stack, const char *name, const uint16_t *from, size_t n_from,
		     struct ib_err *err);
void union_stack_pop(struct union_stack *stack);	/* not the root */

/* Push the directories of a clean path below the top. Returns as push; stops at the first that is none. */
int union_stack_descend(struct union_stack *stack, const char *path, size_t len, struct ib_err *err);

/* The parts of the top level, open. Borrowed until the stack changes. NULL on failure. */
const struct union_part *union_stack_parts(struct union_stack *stack, size_t *ret_n, struct ib_err *err);

/*
 * What is called name in the top level: 1 with *ret_st and *ret_part (borrowed until the stack changes), 0
 * when there is nothing, -1.
 */
int union_stack_stat(struct union_stack *stack, const char *name, struct stat *ret_st,
		     const struct union_part **ret_part, struct ib_err *err);

/* The target of a link, read relative to dirfd; the caller's. path stands in errors. NULL on failure. */
char *union_readlink(int dirfd, const char *name, const char *path, struct ib_err *err);

#endif
