/*
 * builder/exec/far-walk.h - the far part of a large directory, walked by a thread of its own while the near part
 * is still being looked at: a context of tens of thousands of files takes two processors' time instead of one's.
 */
#ifndef BUILDER_EXEC_FAR_WALK_H
#define BUILDER_EXEC_FAR_WALK_H

#include "builder/exec/selection.h"

struct exec_far_walk;	/* owned by the thread that made it */

/* What the thread found, in walk order. Borrowed until the next call. */
struct exec_far_entry {
	const char *path;	/* as in exec_source_entry */
	const char *full;
	const char *target;	/* of a link; NULL otherwise */
	struct stat st;
};

/*
 * Start a thread that walks the entries of dir from the path first (below dir, in walk order) to the end. It
 * keeps a bounded number of them ahead. NULL when no thread can be had: the caller walks on by himself. tree's
 * ignore file must have no exceptions.
 */
struct exec_far_walk *exec_far_walk_start(const struct exec_tree *tree, const char *dir, const char *first);

/* Stops the thread wherever it is. */
void exec_far_walk_free(struct exec_far_walk *walk);
IB_DEFINE_FREE(exec_far_walk);

/* 1, 0 at the end, -1. Waits for the thread. */
int exec_far_walk_next(struct exec_far_walk *walk, const struct exec_far_entry **ret_entry, struct ib_err *err);

#endif
