#include "registry/transfer.h"

#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/base/pool.h"

#include "oci/base/poison.h"

#define USUAL_PARALLEL 4
#define MAX_PARALLEL 16

void registry_blobs_done(struct registry_blobs *blobs)
{
	free(blobs->v);
	*blobs = (struct registry_blobs){0};
}

void registry_blobs_add(struct registry_blobs *blobs, const struct oci_descriptor *desc)
{
	for (size_t i = 0; i < blobs->n; i++)
		if (oci_digest_equal(&blobs->v[i]->digest, &desc->digest))
			return;
	ib_grow(blobs->v, blobs->n, blobs->cap);
	blobs->v[blobs->n++] = desc;
}

struct run {
	registry_blob_fn *fn;
	void *ctx;
	atomic_bool stop;	/* set by the job that fails first, polled by the others */
};

struct job {
	struct run *run;
	const struct oci_descriptor *desc;
	struct ib_err err;
	bool first;		/* to fail */
};

static void job_run(void *arg)
{
	struct job *job = arg;

	if (atomic_load(&job->run->stop) || ib_cancelled())
		return;
	if (job->run->fn(job->run->ctx, job->desc, &job->run->stop, &job->err) < 0)
		job->first = !atomic_exchange(&job->run->stop, true);
}

static int largest_first(const void *a, const void *b)
{
	const struct oci_descriptor *const *x = a, *const *y = b;

	return ((*y)->size > (*x)->size) - ((*y)->size < (*x)->size);
}

static void run_in_pool(struct job *jobs, size_t n, size_t parallel)
{
	struct ib_pool *pool = ib_pool_new(parallel < n ? parallel : n);

	for (size_t i = 0; i < n; i++)
		ib_pool_submit(pool, job_run, &jobs[i]);
	ib_pool_free(pool);	/* waits */
}

int registry_transfer_run(struct registry_blobs *blobs, size_t parallel, registry_blob_fn *fn, void *ctx,
			  struct ib_err *err)
{
	struct run run = {.fn = fn, .ctx = ctx};
	struct job *jobs = ib_calloc(blobs->n ? blobs->n : 1, sizeof *jobs);
	int rc = 0;

	if (blobs->n > 1)
		qsort(blobs->v, blobs->n, sizeof *blobs->v, largest_first);
	for (size_t i = 0; i < blobs->n; i++)
		jobs[i] = (struct job){.run = &run, .desc = blobs->v[i]};
	if (parallel == 0)
		parallel = USUAL_PARALLEL;
	if (blobs->n == 1 || parallel == 1)
		for (size_t i = 0; i < blobs->n; i++)
			job_run(&jobs[i]);
	else if (blobs->n)
		run_in_pool(jobs, blobs->n, parallel < MAX_PARALLEL ? parallel : MAX_PARALLEL);
	for (size_t i = 0; i < blobs->n; i++) {
		if (jobs[i].first) {
			ib_err_move(err, &jobs[i].err);
			rc = -1;
		}
		ib_err_clear(&jobs[i].err);	/* stopped because of the first */
	}
	free(jobs);
	return rc == 0 ? ib_check_cancelled(err) : rc;
}
