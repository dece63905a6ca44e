/*
 * builder/cache/cache.h - what earlier builds found out: which step gave which layer, and which blobs hold
 * a layer (ROOT/imgbuild.db, SQLite in WAL mode).
 *
 * Everything here can be deleted and costs only work done again: a missing or damaged database is made
 * anew. Several processes and threads may use one database.
 */
#ifndef BUILDER_CACHE_CACHE_H
#define BUILDER_CACHE_CACHE_H

#include <stdbool.h>
#include <time.h>

#include "oci/compression.h"
#include "oci/layer-write.h"

struct builder_cache;	/* may be shared between threads */

/* Open below root (a directory descriptor, path for messages). Fails only when no database can be made. */
int builder_cache_open(const char *root, struct builder_cache **ret_cache, struct ib_err *err);
void builder_cache_free(struct builder_cache *cache);
IB_DEFINE_FREE(builder_cache);

/*
 * A key is being made: every field is framed by a tag and its length, so that different inputs never give
 * equal bytes.
 */
struct builder_key {
	struct oci_digest digest;
};

struct builder_key_maker;
struct builder_key_maker *builder_key_new(const char *kind);
void builder_key_maker_free(struct builder_key_maker *maker);
IB_DEFINE_FREE(builder_key_maker);
void builder_key_bytes(struct builder_key_maker *maker, const char *tag, const void *bytes, size_t n);
void builder_key_text(struct builder_key_maker *maker, const char *tag, const char *text);	/* NULL: absent */
void builder_key_list(struct builder_key_maker *maker, const char *tag, const struct ib_strv *list);
void builder_key_parent(struct builder_key_maker *maker, const struct builder_key *parent);
void builder_key_finish(struct builder_key_maker *maker, struct builder_key *ret_key);

/* The result of a step. */
struct builder_result {
	struct oci_diff_id diff_id;
	struct oci_chain_id chain;	/* the layer with those that it was made on */
	struct timespec created;	/* when the layer was first made */
};

/* true with *ret_result when the step is known; marks it used. Failures of the database count as unknown. */
bool builder_cache_find(struct builder_cache *cache, const struct builder_key *key,
			struct builder_result *ret_result);
void builder_cache_store(struct builder_cache *cache, const struct builder_key *key,
			 const struct builder_result *result);

/*
 * A second name for a key: a step whose cheap key (how its inputs are made) leads to the key of its inputs'
 * content.
 */
bool builder_cache_find_alias(struct builder_cache *cache, const struct builder_key *alias,
			      struct builder_key *ret_key);
void builder_cache_store_alias(struct builder_cache *cache, const struct builder_key *alias,
			       const struct builder_key *key);

/*
 * The blob of a layer in exactly this compression setting, or, with any, in whatever there is (the latest).
 * The caller checks that the store has it.
 */
bool builder_cache_find_layer(struct builder_cache *cache, const struct oci_diff_id *diff_id,
			      const struct oci_compression_setting *setting, bool any, struct oci_layer *ret_layer);
void builder_cache_store_layer(struct builder_cache *cache, const struct oci_layer *layer,
			       const struct oci_compression_setting *setting);

/* For collection: every step result, with the time of its last use; forget what fn says (returns 1). */
typedef int builder_cache_step_fn(void *ctx, const struct oci_diff_id *diff_id, int64_t used_seconds);
int builder_cache_each_step(struct builder_cache *cache, builder_cache_step_fn *fn, void *ctx,
			    struct ib_err *err);

/* Every blob a layer is known by. */
typedef int builder_cache_layer_fn(void *ctx, const struct oci_diff_id *diff_id,
				   const struct oci_digest *digest, int64_t size);
int builder_cache_each_layer(struct builder_cache *cache, builder_cache_layer_fn *fn, void *ctx,
			     struct ib_err *err);
void builder_cache_forget_blob(struct builder_cache *cache, const struct oci_digest *digest);

#endif
