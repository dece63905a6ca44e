/*
 * oci/layer-write-internal.h - what the files that write layers share.
 */
#ifndef OCI_LAYER_WRITE_INTERNAL_H
#define OCI_LAYER_WRITE_INTERNAL_H

#include "oci/layer-write.h"

/* As oci_layer_writer_finish(), but a tar that does not hash to want is IB_MISMATCH and leaves no blob. */
int layer_writer_finish_as(struct oci_layer_writer *writer, const struct oci_diff_id *want,
			   struct oci_layer *ret_layer, struct ib_err *err);

#endif
