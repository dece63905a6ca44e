#include "builder/cache/collect.h"

#include <string.h>
#include <uthash.h>

#include "builder/cache/cache.h"
#include "builder/sandbox/sandbox.h"
#include "builder/snapshot/snapshot.h"
#include "oci/base/alloc.h"
#include "oci/reach.h"

#include "oci/base/poison.h"

/* A set of digests. */
struct member {
	struct oci_digest digest;
	UT_hash_handle hh;
};

struct counting {
	struct oci_store *store;
	struct member *images, *cached;
	struct builder_usage *usage;
};

static bool has(const struct member *set, const struct oci_digest *digest)
{
	const struct member *m;

	HASH_FIND(hh, set, digest, sizeof *digest, m);
	return m != NULL;
}

static void add(struct member **set, const struct oci_digest *digest)
{
	struct member *m;

	if (has(*set, digest))
		return;
	m = ib_new(struct member);
	m->digest = *digest;
	HASH_ADD(hh, *set, digest, sizeof m->digest, m);
}

static void clear(struct member **set)
{
	struct member *m, *next;

	HASH_ITER(hh, *set, m, next) {
		HASH_DEL(*set, m);
		free(m);
	}
}

static void counting_done(struct counting *c)
{
	clear(&c->images);
	clear(&c->cached);
}

static int reach_blob(void *ctx, const struct oci_descriptor *desc, struct ib_err *err)
{
	struct counting *c = ctx;

	(void)err;	/* nothing here fails */
	add(&c->images, &desc->digest);
	return 0;
}

static int cached_blob(void *ctx, const struct oci_diff_id *diff_id, const struct oci_digest *digest, int64_t size)
{
	struct counting *c = ctx;

	(void)diff_id;
	(void)size;
	add(&c->cached, digest);
	return 0;
}

/* Which blobs names and cached steps stand for. */
static int mark(struct counting *c, struct ib_err *err)
{
	IB_CLEANUP(builder_cache_freep) struct builder_cache *cache = NULL;
	IB_CLEANUP(oci_index_freep) struct oci_index *index = NULL;

	if (oci_store_index(c->store, &index, err) < 0)
		return -1;
	for (size_t i = 0; i < index->n_manifests; i++)
		if (oci_reach(c->store, &index->manifests[i], OCI_REACH_LENIENT, reach_blob, c, err) < 0)
			return -1;
	if (builder_cache_open(oci_store_path(c->store), &cache, err) < 0)
		return -1;
	return builder_cache_each_layer(cache, cached_blob, c, err);
}

static int count_blob(void *ctx, const struct oci_digest *digest, int64_t size, struct ib_err *err)
{
	const struct counting *c = ctx;
	struct builder_usage *u = c->usage;
	bool image = has(c->images, digest), cached = has(c->cached, digest);

	(void)err;	/* counting does not fail */
	*(image ? &u->image_blobs : cached ? &u->cache_blobs : &u->unused_blobs) += 1;
	*(image ? &u->image_bytes : cached ? &u->cache_bytes : &u->unused_bytes) += size;
	return 0;
}

static int count_snapshot(void *ctx, const struct oci_chain_id *chain, int64_t bytes, struct ib_err *err)
{
	struct builder_usage *usage = ctx;

	(void)chain;
	(void)err;	/* as above */
	usage->snapshots++;
	usage->snapshot_bytes += bytes;
	return 0;
}

int builder_usage_read(struct oci_store *store, struct builder_usage *ret_usage, struct ib_err *err)
{
	IB_CLEANUP(builder_snapshots_freep) struct builder_snapshots *snapshots = NULL;
	IB_CLEANUP(counting_done) struct counting c = {.store = store, .usage = ret_usage};

	if (mark(&c, err) < 0 || oci_store_each_blob(store, count_blob, &c, err) < 0 ||
	    builder_snapshots_open(store, BUILDER_SNAPSHOT_COPY, &snapshots, err) < 0)
		return -1;
	return builder_snapshots_each(snapshots, count_snapshot, ret_usage, err);
}

int builder_collect_enter(struct ib_err *err)
{
	enum sandbox_privilege privilege;
	ib_autofree char *reason = NULL;

	/* Without it, what other ids own can't be removed and that is then said. */
	return sandbox_enter(&privilege, &reason, err);
}

/* Blobs and snapshots that shall go. */
struct doomed {
	struct counting *counting;
	bool all;
	struct oci_digest *blobs;
	size_t n_blobs, cap_blobs;
	struct oci_chain_id *chains;
	size_t n_chains, cap_chains;
	int64_t bytes;
};

static void doomed_done(struct doomed *d)
{
	free(d->blobs);
	free(d->chains);
}

static int doom_blob(void *ctx, const struct oci_digest *digest, int64_t size, struct ib_err *err)
{
	struct doomed *d = ctx;

	(void)err;	/* as above */
	if (has(d->counting->images, digest) || (!d->all && has(d->counting->cached, digest)))
		return 0;
	ib_grow(d->blobs, d->n_blobs, d->cap_blobs);
	d->blobs[d->n_blobs++] = *digest;
	d->bytes += size;
	return 0;
}

static int doom_snapshot(void *ctx, const struct oci_chain_id *chain, int64_t bytes, struct ib_err *err)
{
	struct doomed *d = ctx;

	(void)err;	/* as above */
	ib_grow(d->chains, d->n_chains, d->cap_chains);
	d->chains[d->n_chains++] = *chain;
	d->bytes += bytes;
	return 0;
}

static int forget_step(void *ctx, const struct oci_diff_id *diff_id, int64_t used_seconds)
{
	(void)ctx;
	(void)diff_id;
	(void)used_seconds;
	return 1;
}

/* What is known goes before what it is known about, so that a crash in between leaves nothing untrue. */
static int forget(struct doomed *d, struct builder_cache *cache, struct ib_err *err)
{
	if (d->all && builder_cache_each_step(cache, forget_step, NULL, err) < 0)
		return -1;
	if (d->all)
		builder_cache_forget_aliases(cache);
	for (size_t i = 0; i < d->n_blobs; i++)
		builder_cache_forget_blob(cache, &d->blobs[i]);
	return 0;
}

static int remove_all(const struct doomed *d, struct builder_snapshots *snapshots, struct ib_err *err)
{
	for (size_t i = 0; i < d->n_blobs; i++)
		if (oci_store_remove_blob(d->counting->store, &d->blobs[i], err) < 0)
			return -1;
	for (size_t i = 0; i < d->n_chains; i++)
		if (builder_snapshots_remove(snapshots, &d->chains[i], err) < 0)
			return -1;
	return 0;
}

int builder_collect(struct oci_store *store, bool all, int64_t *ret_freed, struct ib_err *err)
{
	IB_CLEANUP(builder_snapshots_freep) struct builder_snapshots *snapshots = NULL;
	IB_CLEANUP(builder_cache_freep) struct builder_cache *cache = NULL;
	IB_CLEANUP(counting_done) struct counting c = {.store = store};
	IB_CLEANUP(doomed_done) struct doomed d = {.counting = &c, .all = all};

	if (mark(&c, err) < 0 || oci_store_each_blob(store, doom_blob, &d, err) < 0 ||
	    builder_snapshots_open(store, BUILDER_SNAPSHOT_COPY, &snapshots, err) < 0 ||
	    builder_cache_open(oci_store_path(store), &cache, err) < 0)
		return -1;
	/* Snapshots are made again from blobs, or by running their steps: they are all cache. */
	if (all && builder_snapshots_each(snapshots, doom_snapshot, &d, err) < 0)
		return -1;
	if (forget(&d, cache, err) < 0 || remove_all(&d, snapshots, err) < 0)
		return -1;
	*ret_freed = d.bytes;
	return 0;
}
