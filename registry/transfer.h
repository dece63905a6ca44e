/*
 * registry/transfer.h - many blobs side by side.
 */
#ifndef REGISTRY_TRANSFER_H
#define REGISTRY_TRANSFER_H

#include <stdatomic.h>

#include "registry/registry.h"

/* Blobs to be moved; each digest once. The descriptors are borrowed. */
struct registry_blobs {
	const struct oci_descriptor **v;
	size_t n, cap;
};

void registry_blobs_done(struct registry_blobs *blobs);
void registry_blobs_add(struct registry_blobs *blobs, const struct oci_descriptor *desc);

/* Move one blob; runs on any thread. stop is set when another one failed. */
typedef int registry_blob_fn(void *ctx, const struct oci_descriptor *desc, const atomic_bool *stop,
			     struct ib_err *err);

/*
 * Call fn for all blobs, parallel of them at once (0: 4), the largest first. The first failure stops the others
 * and is the one that is told. blobs is left sorted.
 */
int registry_transfer_run(struct registry_blobs *blobs, size_t parallel, registry_blob_fn *fn, void *ctx,
			  struct ib_err *err);

#endif
