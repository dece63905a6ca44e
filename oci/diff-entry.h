/*
 * oci/diff-entry.h - what the two ways of comparing trees share: is an entry unchanged, and recording one
 * that is not, after its parents.
 */
#ifndef OCI_DIFF_ENTRY_H
#define OCI_DIFF_ENTRY_H

#include <stdbool.h>
#include <sys/stat.h>

#include "oci/base/str.h"
#include "oci/diff-links.h"
#include "oci/layer-diff.h"

/* A directory above the entry in hand. */
struct diff_parent {
	size_t path_len;
	struct stat st;
	bool recorded;
};

/* Entries on their way into a layer. They come in the order of a walk. */
struct diff_recorder {
	struct oci_layer_writer *writer;
	struct oci_diff_options options;
	struct diff_links *links;
	struct ib_str path;		/* of the last parent */
	struct diff_parent *parent;	/* from the top down */
	size_t n, cap;
	struct ib_str name;		/* of the entry being written */
	int64_t entries;
};

void diff_recorder_init(struct diff_recorder *rec, struct oci_layer_writer *writer,
			const struct oci_diff_options *options);
void diff_recorder_done(struct diff_recorder *rec);

/* A directory that is not recorded for itself, but perhaps for what is in it. */
void diff_pass(struct diff_recorder *rec, const struct oci_walk_entry *entry);

/* Record an entry. Not for sockets. Names that layers reserve for whiteouts are IB_UNSUPPORTED. */
int diff_record(struct diff_recorder *rec, const struct oci_walk_entry *entry, struct ib_err *err);

/* Record that path, which is in the lower tree, is gone. */
int diff_remove(struct diff_recorder *rec, const char *path, struct ib_err *err);

/* One side of a comparison. */
struct diff_side {
	int dirfd;
	const char *name;
	const struct stat *st;
};

/*
 * Do both look the same, by the rules of layer-diff.h? 1, 0 or -1. Where both times are whole seconds, as
 * after unpacking or touch -d, equal times prove nothing and the content is compared. path stands in errors.
 */
int diff_same(const struct diff_side *a, const struct diff_side *b, const char *path, struct ib_err *err);

/* Record what new_tree changes over old_tree below path, a directory in both. For oci/layer-diff.c. */
int diff_trees(struct diff_recorder *rec, struct oci_union *new_tree, struct oci_union *old_tree,
	       const char *path, struct ib_err *err);

#endif
