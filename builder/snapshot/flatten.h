/*
 * builder/snapshot/flatten.h - running a step where overlayfs is refused: a full copy of the files, and
 * afterwards what differs in it, as a layer directory.
 */
#ifndef BUILDER_SNAPSHOT_FLATTEN_H
#define BUILDER_SNAPSHOT_FLATTEN_H

#include <stdbool.h>

#include "oci/union.h"

/*
 * Copy the whole tree into the empty directory full_fd: content (reflinked or copied, sparse stays sparse),
 * modes, owners (unless keep_owner is false), times, extended attributes, hard links within a layer, devices
 * and fifos (left out where they can't be made).
 */
int builder_flatten(struct oci_union *tree, int full_fd, bool keep_owner, struct ib_err *err);

/*
 * Move what full_fd has otherwise than tree into the empty directory upper_fd, in the form of an
 * OCI_UNION_OVERLAY layer: changed and new entries, whiteouts, opaque directories. Parents of changes come
 * along with their metadata. full_fd is used up: files are renamed out of it. Both are on one file system.
 */
int builder_capture(struct oci_union *tree, int full_fd, int upper_fd, bool keep_owner, struct ib_err *err);

#endif
