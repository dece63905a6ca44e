/*
 * builder/exec/ordered.h - batches of work done by several threads, their results taken in order.
 *
 * The owner fills batches and submits them; threads run them; the owner takes each back in the order of
 * submission, so that what is made of the results does not depend on the threads. At most a fixed number of
 * batches is under way: submitting waits for the oldest then. A single batch is run by the owner itself and
 * no thread is ever started for it.
 */
#ifndef BUILDER_EXEC_ORDERED_H
#define BUILDER_EXEC_ORDERED_H

#include <stddef.h>

#include "oci/base/err.h"

struct exec_ordered;	/* owned by one thread */

struct exec_ordered_ops {
	/* On any thread: do the work, fill *err on failure. Touches nothing but the batch. */
	int (*run)(void *batch, struct ib_err *err);

	/* On the owner's thread, after run() succeeded. The batch is the owner's again. */
	int (*take)(void *ctx, void *batch, struct ib_err *err);

	/* On the owner's thread, instead of take(), for batches that failed or come after a failure. */
	void (*drop)(void *ctx, void *batch);
};

/*
 * One thread per processor, but at most max_threads, and EXEC_ORDERED_DEPTH batches under way for each: what a
 * batch holds (descriptors, memory) is bounded by that.
 */
#define EXEC_ORDERED_DEPTH 2
struct exec_ordered *exec_ordered_new(const struct exec_ordered_ops *ops, size_t max_threads, void *ctx);

/* Waits for what runs and drops it. */
void exec_ordered_free(struct exec_ordered *queue);
IB_DEFINE_FREE(exec_ordered);

/* Hand a batch over, taking finished ones back. After a failure the queue takes no more. */
int exec_ordered_submit(struct exec_ordered *queue, void *take_batch, struct ib_err *err);

/* Wait for all batches and take them. */
int exec_ordered_drain(struct exec_ordered *queue, struct ib_err *err);

#endif
