#include "oci/layer-pipeline.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "oci/base/alloc.h"
#include "oci/compress-block.h"
#include "oci/layer-write.h"

#include "oci/base/poison.h"

#define MAX_BLOCKS 34	/* 2 MiB each: beyond 16 threads memory is dearer than the last bit of speed */

/* One block of tar and what became of it. Allocated when first used, reused ever after. */
struct block {
	uint8_t *in, *out;	/* out is in when nothing is compressed */
	size_t n_in, n_out;
	bool compressed;
};

/*
 * Blocks are numbered as they are filled; number i lives in block[i % n_blocks]. All counters below are
 * such numbers: written <= taken <= filled, hashed <= filled, and no block is filled anew before it is
 * both hashed and written. Compressing is done by anybody in any order; hashing the tar and writing the
 * output by one thread at a time (hashing, writing), in order, whichever thread finds them undone.
 *
 * Jobs in the pool hold a reference each: those that start late find nothing to do.
 */
struct layer_pipeline {
	struct oci_store *store;	/* fixed, as are the next five */
	struct ib_pool *pool;
	struct oci_compression_setting setting;
	size_t n_blocks;
	size_t room;			/* of a block's out */
	struct block *block;

	size_t used;			/* of the block being filled; the filling thread's own */
	bool filling;			/* likewise: there is such a block */
	atomic_int_least64_t bytes;

	pthread_mutex_t lock;		/* guards all below; leaf: nothing is called while held */
	pthread_cond_t changed;
	uint64_t filled, taken, hashed, written;
	bool hashing, writing;
	bool whole;			/* the layer is one block: nothing is written before its end */
	bool stopped;			/* err is set, or the pipeline is closed */
	struct ib_err err;
	size_t refs, active;		/* active: threads at work on a block */
	struct block_compressor **idle;	/* compressors not in use */
	size_t n_idle, cap_idle;

	struct oci_hash *tar_hash;	/* whoever is hashing */
	struct oci_hash *blob_hash;	/* whoever is writing, as the rest */
	struct oci_blob_writer *writer;	/* NULL until something is written */
};

struct layer_pipeline *layer_pipeline_open(struct oci_store *store, struct ib_pool *pool,
					   const struct oci_compression_setting *setting)
{
	struct layer_pipeline *p = ib_new(struct layer_pipeline);

	p->store = store;
	p->pool = pool;
	p->setting = *setting;
	if (!store)	/* nothing is kept, so nothing is compressed */
		p->setting.compression = OCI_UNCOMPRESSED;
	p->n_blocks = 2 * ib_pool_threads(pool) + 2;
	if (p->n_blocks > MAX_BLOCKS)
		p->n_blocks = MAX_BLOCKS;
	p->block = ib_calloc(p->n_blocks, sizeof *p->block);
	if (p->setting.compression != OCI_UNCOMPRESSED)
		p->room = block_compress_bound(setting, OCI_LAYER_BLOCK);
	p->tar_hash = oci_hash_new(OCI_SHA256);
	p->blob_hash = oci_hash_new(OCI_SHA256);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	p->refs = 1;
	return p;
}

static void destroy(struct layer_pipeline *p)
{
	for (size_t i = 0; i < p->n_blocks; i++) {
		if (p->block[i].out != p->block[i].in)
			free(p->block[i].out);
		free(p->block[i].in);
	}
	free(p->block);
	for (size_t i = 0; i < p->n_idle; i++)
		block_compressor_free(p->idle[i]);
	free(p->idle);
	oci_hash_free(p->tar_hash);
	oci_hash_free(p->blob_hash);
	ib_err_clear(&p->err);
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static struct block *block_at(const struct layer_pipeline *p, uint64_t number)
{
	return &p->block[number % p->n_blocks];
}

/* Called with the lock. The first failure counts; the others follow from it. */
static void stop(struct layer_pipeline *p, struct ib_err *take_err)
{
	if (!p->stopped)
		ib_err_move(&p->err, take_err);
	ib_err_clear(take_err);
	p->stopped = true;
	pthread_cond_broadcast(&p->changed);
}

/* Called with the lock, which is given up meanwhile, as by the other stages below. */
static void hash_blocks(struct layer_pipeline *p)
{
	if (p->hashing)
		return;	/* that thread will find what is new */
	p->hashing = true;
	while (!p->stopped && p->hashed < p->filled) {
		const struct block *b = block_at(p, p->hashed);

		pthread_mutex_unlock(&p->lock);
		oci_hash_update(p->tar_hash, b->in, b->n_in);
		pthread_mutex_lock(&p->lock);
		p->hashed++;
		pthread_cond_signal(&p->changed);
	}
	p->hashing = false;
}

static int write_block(struct layer_pipeline *p, const struct block *b, struct ib_err *err)
{
	if (!p->store)
		return 0;
	if (!p->writer && oci_blob_writer_new(p->store, &p->writer, err) < 0)
		return -1;
	if (p->setting.compression != OCI_UNCOMPRESSED)	/* else the tar's digest is the blob's */
		oci_hash_update(p->blob_hash, b->out, b->n_out);
	return oci_blob_writer_write(p->writer, b->out, b->n_out, err);
}

static void write_blocks(struct layer_pipeline *p)
{
	if (p->writing || p->whole)
		return;
	p->writing = true;
	while (!p->stopped && p->written < p->taken && block_at(p, p->written)->compressed) {
		struct block *b = block_at(p, p->written);
		ib_autoerr err = {0};
		int r;

		pthread_mutex_unlock(&p->lock);
		r = write_block(p, b, &err);
		pthread_mutex_lock(&p->lock);
		b->compressed = false;
		p->written++;
		if (r < 0)
			stop(p, &err);
		pthread_cond_signal(&p->changed);
	}
	p->writing = false;
}

/* A compressor that nobody uses, or NULL when one has to be made. Called with the lock. */
static struct block_compressor *take_compressor(struct layer_pipeline *p)
{
	return p->n_idle ? p->idle[--p->n_idle] : NULL;
}

static void give_back(struct layer_pipeline *p, struct block_compressor *take_compressor)
{
	if (!take_compressor)
		return;
	ib_grow(p->idle, p->n_idle, p->cap_idle);
	p->idle[p->n_idle++] = take_compressor;
}

static int compress(struct layer_pipeline *p, struct block *b, struct block_compressor **compressor,
		    struct ib_err *err)
{
	if (p->setting.compression == OCI_UNCOMPRESSED) {
		b->out = b->in;
		b->n_out = b->n_in;
		return 0;
	}
	if (!*compressor && block_compressor_new(&p->setting, compressor, err) < 0)
		return -1;
	if (!b->out)
		b->out = ib_malloc(p->room);
	return block_compress(*compressor, b->in, b->n_in, b->out, p->room, &b->n_out, err);
}

/* Compress one block and push on whatever can go on. Called with the lock; a block is there. */
static void work(struct layer_pipeline *p)
{
	struct block_compressor *compressor = take_compressor(p);
	struct block *b = block_at(p, p->taken++);
	ib_autoerr err = {0};
	int r;

	p->active++;
	pthread_mutex_unlock(&p->lock);
	r = compress(p, b, &compressor, &err);
	pthread_mutex_lock(&p->lock);
	b->compressed = r == 0;
	if (r < 0)
		stop(p, &err);
	give_back(p, compressor);
	hash_blocks(p);
	write_blocks(p);
	p->active--;
	pthread_cond_signal(&p->changed);
}

/* Drops the reference, and the lock. */
static void release(struct layer_pipeline *p)
{
	bool last = --p->refs == 0;

	pthread_mutex_unlock(&p->lock);
	if (last)
		destroy(p);
}

static void job(void *arg)
{
	struct layer_pipeline *p = arg;

	pthread_mutex_lock(&p->lock);
	if (!p->stopped && p->taken < p->filled)
		work(p);
	release(p);
}

void layer_pipeline_free(struct layer_pipeline *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopped = true;
	while (p->active)
		pthread_cond_wait(&p->changed, &p->lock);
	/* Now: the store may be gone when the last job is. */
	oci_blob_writer_free(p->writer);
	p->writer = NULL;
	release(p);
}

static int fail_stopped(struct layer_pipeline *p, struct ib_err *err)
{
	return ib_fail(err, p->err.code, "%s", p->err.text);
}

/* Wait for a block that may be filled. Called with the lock. */
static int wait_for_block(struct layer_pipeline *p, struct ib_err *err)
{
	for (;;) {
		uint64_t done = p->hashed < p->written ? p->hashed : p->written;

		if (p->stopped)
			return fail_stopped(p, err);
		if (p->filled - done < p->n_blocks)
			return 0;
		if (p->taken < p->filled)	/* work, rather than wait for a pool that may be busy elsewhere */
			work(p);
		else
			pthread_cond_wait(&p->changed, &p->lock);
	}
}

static int start_block(struct layer_pipeline *p, struct ib_err *err)
{
	struct block *b;
	int r;

	if (ib_check_cancelled(err) < 0)
		return -1;
	pthread_mutex_lock(&p->lock);
	r = wait_for_block(p, err);
	b = block_at(p, p->filled);
	pthread_mutex_unlock(&p->lock);
	if (r < 0)
		return -1;
	if (!b->in)
		b->in = ib_malloc(OCI_LAYER_BLOCK);
	p->used = 0;
	p->filling = true;
	return 0;
}

int layer_pipeline_room(struct layer_pipeline *p, uint8_t **ret_room, size_t *ret_n, struct ib_err *err)
{
	if (!p->filling && start_block(p, err) < 0)
		return -1;
	/* Unlocked: only this thread changes filled, and the block is nobody else's yet. */
	*ret_room = block_at(p, p->filled)->in + p->used;
	*ret_n = OCI_LAYER_BLOCK - p->used;
	return 0;
}

/* Hand the block over. Called with the lock. */
static void end_block(struct layer_pipeline *p)
{
	block_at(p, p->filled)->n_in = p->used;
	p->filled++;
	p->filling = false;
}

void layer_pipeline_fill(struct layer_pipeline *p, size_t n)
{
	p->used += n;
	atomic_fetch_add_explicit(&p->bytes, (int64_t)n, memory_order_relaxed);
	if (p->used < OCI_LAYER_BLOCK)
		return;
	pthread_mutex_lock(&p->lock);
	end_block(p);
	p->refs++;
	pthread_mutex_unlock(&p->lock);
	ib_pool_submit(p->pool, job, p);
}

int64_t layer_pipeline_bytes(const struct layer_pipeline *p)
{
	return atomic_load_explicit(&p->bytes, memory_order_relaxed);
}

/* Help until all blocks are through. */
static int drain(struct layer_pipeline *p, struct ib_err *err)
{
	int r = 0;

	pthread_mutex_lock(&p->lock);
	p->whole = p->filled == 0;
	if (p->filling)
		end_block(p);
	while (!p->stopped && (p->taken < p->filled || p->hashed < p->filled || p->active)) {
		if (p->taken < p->filled)
			work(p);
		else
			pthread_cond_wait(&p->changed, &p->lock);
	}
	if (p->stopped)
		r = fail_stopped(p, err);
	pthread_mutex_unlock(&p->lock);
	return r;
}

/* All that was to be written stands in one block: it is looked for before any file is made. */
static int commit_whole(struct layer_pipeline *p, struct layer_pipeline_result *result, struct ib_err *err)
{
	const struct block *b = block_at(p, 0);

	result->blob_size = (int64_t)b->n_out;
	return oci_store_put_bytes(p->store, b->out, b->n_out, &result->blob, err);
}

static int commit_written(struct layer_pipeline *p, struct layer_pipeline_result *result, struct ib_err *err)
{
	if (p->setting.compression == OCI_UNCOMPRESSED)
		result->blob = result->tar;
	else
		oci_hash_final(p->blob_hash, &result->blob);
	result->blob_size = oci_blob_writer_size(p->writer);
	return oci_blob_writer_commit(p->writer, &result->blob, err);
}

int layer_pipeline_finish(struct layer_pipeline *p, const struct oci_digest *want,
			  struct layer_pipeline_result *ret_result, struct ib_err *err)
{
	struct layer_pipeline_result result = {.tar_size = layer_pipeline_bytes(p)};

	if (result.tar_size == 0 && start_block(p, err) < 0)	/* no input is one empty member or frame */
		return -1;
	if (drain(p, err) < 0)
		return -1;
	oci_hash_final(p->tar_hash, &result.tar);
	if (want && !oci_digest_equal(want, &result.tar))
		return oci_fail_mismatch(err, want, &result.tar);
	if (p->store && (p->whole ? commit_whole : commit_written)(p, &result, err) < 0)
		return -1;
	*ret_result = result;
	return 0;
}
