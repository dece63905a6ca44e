/* Layers unpacked into snapshots, several at once. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "builder/snapshot/snapshot-internal.h"
#include "oci/base/alloc.h"
#include "oci/base/pool.h"
#include "oci/compression.h"

#include "oci/base/poison.h"

#define PARALLEL 4	/* layers at once: more only fight for the same disk and processors */

struct unpacking {
	struct builder_snapshots *snapshots;
	const struct builder_unpack *request;
	struct oci_chain_id *chains;
	struct builder_snapshot **layers;	/* one per index; NULL until there */
	bool *again;				/* unpacked without its lower layers, which matter */

	pthread_mutex_t lock;	/* guards failure */
	struct ib_err failure;
	bool failed;
};

/* The tar of a layer as it goes by: bytes counted for progress. */
struct counting_reader {
	struct oci_reader base;
	struct oci_reader *inner;
	const struct builder_unpack *request;
	size_t index;
	int64_t bytes, told;
};

#define TELL_BYTES (4 << 20)

static ssize_t counting_read(struct oci_reader *base, void *buf, size_t n, struct ib_err *err)
{
	struct counting_reader *r = (struct counting_reader *)base;
	ssize_t got = oci_reader_read(r->inner, buf, n, err);

	if (got <= 0 || !r->request->progress)
		return got;
	r->bytes += got;
	if (r->bytes - r->told >= TELL_BYTES) {
		r->told = r->bytes;
		r->request->progress(r->request->ctx, r->index, r->bytes, false);
	}
	return got;
}

static void counting_free(struct oci_reader *base)
{
	struct counting_reader *r = (struct counting_reader *)base;

	if (r->request->progress)
		r->request->progress(r->request->ctx, r->index, r->bytes, true);
	oci_reader_free(r->inner);
	free(r);
}

static struct oci_reader *counting_new(struct oci_reader *take_inner, const struct builder_unpack *request,
				       size_t index)
{
	static const struct oci_reader_ops ops = {counting_read, counting_free};
	struct counting_reader *r = ib_new(struct counting_reader);

	r->base.ops = &ops;
	r->inner = take_inner;
	r->request = request;
	r->index = index;
	return &r->base;
}

/* The verified, decompressed, hashed and counted stream of a layer. */
static int open_layer(const struct unpacking *u, size_t index, struct oci_digest *ret_diff,
		      struct oci_reader **ret_reader, struct ib_err *err)
{
	struct oci_reader *blob, *tar;

	if (u->request->open(u->request->ctx, index, &blob, err) < 0 ||
	    oci_decompress_reader_new(blob, NULL, &tar, err) < 0)
		return -1;
	*ret_reader = counting_new(oci_hash_reader_new(tar, ret_diff), u->request, index);
	return 0;
}

static int check_diff(const struct unpacking *u, size_t index, const struct oci_digest *got, struct ib_err *err)
{
	const struct oci_digest *want = &u->request->diff_ids[index].digest;
	char text[OCI_DIGEST_SIZE];

	if (oci_digest_equal(want, got))
		return 0;
	return ib_fail(err, IB_MISMATCH, "its tar has the digest %s, which is not what the image's configuration "
		       "says", oci_digest_str(got, text));
}

static int unpack_layer(struct unpacking *u, size_t index, struct oci_union *lower,
			struct builder_snapshot **ret_snapshot, bool *ret_again, struct ib_err *err)
{
	const struct builder_snapshots *s = u->snapshots;
	const struct oci_apply_options options = {
		.form = OCI_APPLY_OVERLAY,
		.lower = lower,
		.keep_owner = s->keep_owner,
		.keep_devices = s->keep_devices,
	};
	IB_CLEANUP(oci_reader_freep) struct oci_reader *reader = NULL;
	struct oci_apply_result result = {0};
	builder_autosnapshot *snapshot = NULL;
	struct oci_digest diff = {0};
	char text[OCI_DIGEST_SIZE];
	int r;

	if (snapshot_create(u->snapshots, &snapshot, err) < 0)
		return -1;
	r = open_layer(u, index, &diff, &reader, err);
	if (r == 0)
		r = oci_layer_apply(reader, snapshot->fd, &options, &result, err);
	free(result.first_device);
	if (r < 0 || check_diff(u, index, &diff, err) < 0)
		return ib_wrap(err, "unpack layer %s", oci_digest_str(&u->request->diff_ids[index].digest, text));
	*ret_again = result.needs_lower;
	*ret_snapshot = ib_steal_ptr(&snapshot);
	return 0;
}

static void fail(struct unpacking *u, struct ib_err *err)
{
	pthread_mutex_lock(&u->lock);
	if (!u->failed)
		ib_err_move(&u->failure, err);
	u->failed = true;
	pthread_mutex_unlock(&u->lock);
}

static bool has_failed(struct unpacking *u)
{
	bool failed;

	pthread_mutex_lock(&u->lock);
	failed = u->failed;
	pthread_mutex_unlock(&u->lock);
	return failed;
}

struct job {
	struct unpacking *u;
	size_t index;
};

/* The lowest layer lies on nothing; what the others lie on may not be there yet. */
static void run_job(void *arg)
{
	const struct job *job = arg;
	struct unpacking *u = job->u;
	IB_CLEANUP(oci_union_freep) struct oci_union *nothing = job->index == 0 ? oci_union_new() : NULL;
	ib_autoerr err = {0};

	if (has_failed(u))
		return;
	if (unpack_layer(u, job->index, nothing, &u->layers[job->index], &u->again[job->index], &err) < 0)
		fail(u, &err);
}

static int run_jobs(struct unpacking *u, size_t first, struct ib_err *err)
{
	ib_autofree struct job *jobs = ib_calloc(u->request->n, sizeof *jobs);
	struct ib_pool *pool = ib_pool_new(u->request->parallel ? u->request->parallel : PARALLEL);

	for (size_t i = first; i < u->request->n; i++) {
		ib_autofree char *id = snapshot_lookup(u->snapshots, &u->chains[i]);

		jobs[i] = (struct job){u, i};
		if (!id)
			ib_pool_submit(pool, run_job, &jobs[i]);
	}
	ib_pool_free(pool);	/* waits */
	if (!u->failed)
		return 0;
	ib_err_move(err, &u->failure);
	return -1;
}

/* Layer index on top of *top: found on disk, or new and to be published. */
static int stack_layer(struct unpacking *u, size_t index, struct builder_snapshot **top, struct ib_err *err)
{
	struct builder_snapshot *layer = NULL;
	bool unused;

	if (!u->layers[index] &&
	    builder_snapshot_find(u->snapshots, &u->chains[index], *top, &layer, err) < 0)
		return -1;
	if (!layer && (!u->layers[index] || u->again[index])) {
		IB_CLEANUP(oci_union_freep) struct oci_union *lower = NULL;

		builder_snapshot_unref(ib_steal_ptr(&u->layers[index]));
		if (builder_snapshot_union(*top, &lower, err) < 0 ||
		    unpack_layer(u, index, lower, &u->layers[index], &unused, err) < 0)
			return -1;
	}
	if (!layer) {
		layer = ib_steal_ptr(&u->layers[index]);
		snapshot_set_parent(layer, *top);
		if (builder_snapshot_publish(layer, &u->chains[index], err) < 0) {
			builder_snapshot_unref(layer);
			return -1;
		}
	}
	builder_snapshot_unref(*top);	/* the layer holds it now */
	*top = layer;
	return 0;
}

static int unpack(struct unpacking *u, struct builder_snapshot **ret_snapshot, struct ib_err *err)
{
	builder_autosnapshot *top = NULL;
	struct oci_chain_id chain = {0};
	size_t missing = u->request->n;

	for (size_t i = 0; i < u->request->n; i++) {
		ib_autofree char *id = NULL;

		oci_chain_id_append(&chain, &u->request->diff_ids[i], &chain);
		u->chains[i] = chain;
		id = snapshot_lookup(u->snapshots, &chain);
		if (!id && missing == u->request->n)
			missing = i;
	}
	if (missing < u->request->n && run_jobs(u, missing, err) < 0)
		return -1;
	for (size_t i = 0; i < u->request->n; i++)
		if (stack_layer(u, i, &top, err) < 0)
			return -1;
	*ret_snapshot = ib_steal_ptr(&top);
	return 0;
}

int builder_snapshot_unpack(struct builder_snapshots *snapshots, const struct builder_unpack *request,
			    struct builder_snapshot **ret_snapshot, struct ib_err *err)
{
	struct unpacking u = {
		.snapshots = snapshots,
		.request = request,
		.chains = ib_calloc(request->n, sizeof *u.chains),
		.layers = ib_calloc(request->n, sizeof *u.layers),
		.again = ib_calloc(request->n, sizeof *u.again),
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
	int r = unpack(&u, ret_snapshot, err);

	for (size_t i = 0; i < request->n; i++)
		builder_snapshot_unref(u.layers[i]);
	free(u.chains);
	free(u.layers);
	free(u.again);
	ib_err_clear(&u.failure);
	pthread_mutex_destroy(&u.lock);
	return r;
}
