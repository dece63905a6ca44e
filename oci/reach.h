/*
 * oci/reach.h - everything that an index or manifest refers to: what is verified, exported, or kept when
 * blobs are collected.
 */
#ifndef OCI_REACH_H
#define OCI_REACH_H

#include "oci/store.h"

enum oci_reach_flags {
	/* Documents that are missing or broken end their branch instead of the walk: for collection. */
	OCI_REACH_LENIENT = 1u << 0,
};

/* -1 with err stops the walk. */
typedef int oci_reach_fn(void *ctx, const struct oci_descriptor *desc, struct ib_err *err);

/*
 * Call fn for desc and everything below it, a document after what it refers to, in the order of the
 * documents; what is referred to twice comes twice. Foreign layers that are not in the store are left out.
 * Fails with IB_NOTFOUND (a document is missing), IB_INVALID (broken, or nested too deeply), or as fn.
 */
int oci_reach(struct oci_store *store, const struct oci_descriptor *desc, unsigned int flags, oci_reach_fn *fn,
	      void *ctx, struct ib_err *err);

#endif
