/*
 * builder/cache/collect.h - what takes space in a store, and freeing it.
 */
#ifndef BUILDER_CACHE_COLLECT_H
#define BUILDER_CACHE_COLLECT_H

#include <stdbool.h>
#include <stdint.h>

#include "oci/store.h"

struct builder_usage {
	int64_t image_blobs, image_bytes;	/* reachable from a name */
	int64_t cache_blobs, cache_bytes;	/* layers of cached steps, no image's */
	int64_t unused_blobs, unused_bytes;	/* neither */
	int64_t snapshots, snapshot_bytes;	/* unpacked layers */
};

/* Count. The caller holds the shared store lock. */
int builder_usage_read(struct oci_store *store, struct builder_usage *ret_usage, struct ib_err *err);

/* As an ordinary user: into the user namespace whose ids own the snapshots. Before any thread. */
int builder_collect_enter(struct ib_err *err);

/*
 * Remove blobs that neither a name nor a cached step needs; with all, the step cache and every snapshot as
 * well. Images with names stay. The caller holds the exclusive store lock. *ret_freed: bytes.
 */
int builder_collect(struct oci_store *store, bool all, int64_t *ret_freed, struct ib_err *err);

#endif
