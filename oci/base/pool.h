/*
 * oci/base/pool.h - a pool of worker threads, and the one flag that stops everything.
 */
#ifndef OCI_BASE_POOL_H
#define OCI_BASE_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "oci/base/cleanup.h"
#include "oci/base/err.h"

/*
 * Cancellation of the whole process, set by a signal handler (async-signal-safe) or by the first failure
 * of a build. Long loops poll it between blocks and end with IB_CANCELLED.
 */
void ib_cancel(void);
bool ib_cancelled(void);
int ib_check_cancelled(struct ib_err *err);	/* 0, or -1 with IB_CANCELLED "interrupted" */

/* Opaque; may be shared between threads. */
struct ib_pool;

/* Work to be done: runs once, on one of the pool's threads. What it needs is in arg, handed over whole. */
typedef void ib_pool_fn(void *arg);

/* A pool of up to threads workers (at least one); they start when first needed. */
struct ib_pool *ib_pool_new(size_t threads);

/* Waits for all submitted work, then ends the threads. */
void ib_pool_free(struct ib_pool *pool);
IB_DEFINE_FREE(ib_pool);

/* Queue work, first in first out. Never blocks; callers bound how much they queue. */
void ib_pool_submit(struct ib_pool *pool, ib_pool_fn *fn, void *arg);

size_t ib_pool_threads(const struct ib_pool *pool);

/* Number of processors this process may use (sched_getaffinity), at least 1. */
size_t ib_processors(void);

#endif
