/*
 * oci/layer-pipeline.h - bytes of a tar stream on their way into a blob: blocks are filled by one thread,
 * compressed by many, hashed and written in their order by whoever gets there.
 */
#ifndef OCI_LAYER_PIPELINE_H
#define OCI_LAYER_PIPELINE_H

#include <stddef.h>
#include <stdint.h>

#include "oci/base/pool.h"
#include "oci/compression.h"
#include "oci/store.h"

/* Owned by the thread that fills it. */
struct layer_pipeline;

/* A NULL store keeps nothing: only the tar is hashed. store and pool outlive it; work it left in the pool is harmless once it is closed. */
struct layer_pipeline *layer_pipeline_open(struct oci_store *store, struct ib_pool *pool,
					   const struct oci_compression_setting *setting);
void layer_pipeline_free(struct layer_pipeline *pipeline);
IB_DEFINE_FREE(layer_pipeline);

/*
 * Room in the block being filled: *ret_n >= 1 bytes, the same place until layer_pipeline_fill(). Waits
 * while all blocks are in flight, compressing meanwhile. Fails with what went wrong in any thread.
 */
int layer_pipeline_room(struct layer_pipeline *pipeline, uint8_t **ret_room, size_t *ret_n, struct ib_err *err);

/* The first n bytes of the room were filled. */
void layer_pipeline_fill(struct layer_pipeline *pipeline, size_t n);

/* Bytes filled so far; any thread. */
int64_t layer_pipeline_bytes(const struct layer_pipeline *pipeline);

struct layer_pipeline_result {
	struct oci_digest tar, blob;
	int64_t tar_size, blob_size;
};

/*
 * Wait for all blocks and commit the blob, if the tar hashes to want (NULL: whatever it is); else
 * IB_MISMATCH and nothing is left.
 */
int layer_pipeline_finish(struct layer_pipeline *pipeline, const struct oci_digest *want,
			  struct layer_pipeline_result *ret_result, struct ib_err *err);

#endif
