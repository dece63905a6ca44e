/*
 * oci/layer-diff.h - a layer out of an upper directory: which entries a step changed, in the manner of
 * overlayfs (upper directory) and of BuildKit (what counts as a change).
 *
 * Rules (layer.md "Representing Changes"; what BuildKit writes): entries in walk order, parents of a change
 * first, once, with their present metadata; whiteouts as dir/.wh.NAME with mode 0 and time 0, never
 * .wh..wh..opq: an opaque directory is compared with the lower one child by child. An entry that equals the
 * lower one (mode, owner, device, security.capability; for anything but directories also size and mtime;
 * link target) is not recorded, nor is a directory whose time alone changed. Hard links among recorded
 * files are kept; sockets are skipped; of extended attributes only security.capability is written. The
 * root has no entry.
 */
#ifndef OCI_LAYER_DIFF_H
#define OCI_LAYER_DIFF_H

#include "oci/layer-write.h"
#include "oci/union.h"

struct oci_diff_options {
	/* Clamp mtimes later than this, when clamp is set (rewrite-timestamp). */
	bool clamp;
	int64_t clamp_seconds;
};

/*
 * Write what upper (a directory of the OVERLAY form) changes over lower into writer. options may be NULL.
 * *ret_entries counts what was recorded (0: an empty layer). Reads files in upper while others may read
 * them too; nobody may write to it.
 */
int oci_layer_diff(struct oci_layer_writer *writer, int upper_fd, struct oci_union *lower,
		   const struct oci_diff_options *options, int64_t *ret_entries, struct ib_err *err);

/* Compare two full trees instead (no overlay): old and new as unions, whole scan of both. Same output. */
int oci_layer_diff_trees(struct oci_layer_writer *writer, struct oci_union *new_tree,
			 struct oci_union *old_tree, const struct oci_diff_options *options,
			 int64_t *ret_entries, struct ib_err *err);

#endif
