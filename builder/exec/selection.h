/*
 * builder/exec/selection.h - what is in a selection: sources, the items that they name, and what is below an
 * item that is a directory. For builder/exec/ and its tests.
 */
#ifndef BUILDER_EXEC_SELECTION_H
#define BUILDER_EXEC_SELECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "builder/exec/copy.h"

/*
 * One source, its wildcards expanded. Matches are kept as text alone, one after the other, for there may be a
 * million of them: per match a byte ('l': a link that is still to be followed, '-': anything else), its path
 * below base, NUL.
 */
struct exec_source {
	const char *text;	/* as written; borrowed */
	char *written;		/* cleaned, links not followed */
	char *base;		/* literal path of the plain source, or of the directory that matches lie in */
	bool wildcard;
	char *matches;
	size_t matches_len;
};

struct exec_selection {
	const struct exec_copy *copy;
	const struct exec_tree *tree;
	struct exec_source *sources;
	size_t n_sources;
	int64_t files, bytes;	/* -1 until the digest is known */
};

/* One thing to copy: a source or a match. Borrowed from the cursor until it moves on. */
struct exec_item {
	const struct exec_inline_file *inline_file;	/* when set, nothing below but name is */
	const char *name;	/* base name as written or matched */
	const char *path;	/* literal path in the tree, links followed */
	const char *shown;	/* path as written or matched: tells apart matches that lead to one place */
	size_t source;		/* index */
	struct stat st;
};

/* Where one is in the items of a selection. Zero-initialised; done with exec_cursor_done(). */
struct exec_cursor {
	size_t source, at;	/* at: in exec_source.matches */
	struct exec_item item;
	char *path, *shown;
};

/* 1 with the next item, in order: sources as written, their matches in walk order, files of the Dockerfile. */
int exec_cursor_next(struct exec_cursor *cursor, const struct exec_selection *selection,
		     const struct exec_item **ret_item, struct ib_err *err);
void exec_cursor_done(struct exec_cursor *cursor);
#define exec_autocursor IB_CLEANUP(exec_cursor_done) struct exec_cursor

/* '"/path": not found'. Returns -1 with IB_NOTFOUND. */
int exec_fail_not_found(struct ib_err *err, const char *path);

/*
 * The entries below a directory of a tree that the ignore file leaves in, depth first, in byte order.
 * A directory that is left out but has something in it that is taken back comes too, right before it.
 */
struct exec_source_walk;

struct exec_source_entry {
	const char *path;	/* below the directory; borrowed until the next call, as is all else */
	const char *name;	/* its last component */
	const char *full;	/* from the root of the tree */
	int dirfd;		/* holds name in one layer; -1 for a directory that came late */
	size_t layer;
	const struct stat *st;
};

int exec_source_walk_new(const struct exec_tree *tree, const char *dir, struct exec_source_walk **ret_walk,
			 struct ib_err *err);
void exec_source_walk_free(struct exec_source_walk *walk);
IB_DEFINE_FREE(exec_source_walk);

/* 1, 0 at the end, -1. */
int exec_source_walk_next(struct exec_source_walk *walk, const struct exec_source_entry **ret_entry,
			  struct ib_err *err);

/* Leave out what is in the directory returned last. Has no effect for one that came late. */
void exec_source_walk_skip(struct exec_source_walk *walk);

#endif
