#include "builder/exec/ordered.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "oci/base/alloc.h"
#include "oci/base/pool.h"

#include "oci/base/poison.h"

struct slot {
	struct exec_ordered *queue;
	void *batch;
	int result;		/* set by the thread that ran it, before done */
	struct ib_err err;	/* likewise */
	bool done;		/* guarded by the queue's lock */
};

struct exec_ordered {
	const struct exec_ordered_ops *ops;	/* fixed: no lock */
	void *ctx;
	struct ib_pool *pool;			/* NULL until a second batch comes */
	size_t threads;
	void *first;				/* submitted, not yet given to the pool */

	struct slot *slots;			/* a ring; the owner's but for done */
	size_t n_slots, head, used;

	pthread_mutex_t lock;			/* guards slot.done; leaf */
	pthread_cond_t finished;
};

struct exec_ordered *exec_ordered_new(const struct exec_ordered_ops *ops, size_t max_threads, void *ctx)
{
	struct exec_ordered *queue = ib_new(struct exec_ordered);

	queue->ops = ops;
	queue->ctx = ctx;
	queue->threads = ib_processors();
	if (queue->threads > max_threads)
		queue->threads = max_threads;
	queue->n_slots = queue->threads * EXEC_ORDERED_DEPTH;
	queue->slots = ib_calloc(queue->n_slots, sizeof *queue->slots);
	pthread_mutex_init(&queue->lock, NULL);
	pthread_cond_init(&queue->finished, NULL);
	return queue;
}

static void run_slot(void *arg)
{
	struct slot *slot = arg;
	struct exec_ordered *queue = slot->queue;

	slot->result = queue->ops->run(slot->batch, &slot->err);
	pthread_mutex_lock(&queue->lock);
	slot->done = true;
	pthread_cond_signal(&queue->finished);
	pthread_mutex_unlock(&queue->lock);
}

static void start(struct exec_ordered *queue, void *batch)
{
	struct slot *slot = &queue->slots[(queue->head + queue->used) % queue->n_slots];

	*slot = (struct slot){.queue = queue, .batch = batch};
	queue->used++;
	ib_pool_submit(queue->pool, run_slot, slot);
}

/* The oldest batch, waited for. Its slot is free afterwards. */
static struct slot wait_oldest(struct exec_ordered *queue)
{
	struct slot *slot = &queue->slots[queue->head];

	pthread_mutex_lock(&queue->lock);
	while (!slot->done)
		pthread_cond_wait(&queue->finished, &queue->lock);
	pthread_mutex_unlock(&queue->lock);
	queue->head = (queue->head + 1) % queue->n_slots;
	queue->used--;
	return *slot;
}

static int finish(struct exec_ordered *queue, void *batch, int result, struct ib_err *take_err, struct ib_err *err)
{
	if (result == 0)
		return queue->ops->take(queue->ctx, batch, err);
	queue->ops->drop(queue->ctx, batch);
	ib_err_move(err, take_err);
	return -1;
}

static int take_oldest(struct exec_ordered *queue, struct ib_err *err)
{
	struct slot slot = wait_oldest(queue);

	return finish(queue, slot.batch, slot.result, &slot.err, err);
}

static bool oldest_is_done(struct exec_ordered *queue)
{
	bool done;

	pthread_mutex_lock(&queue->lock);
	done = queue->used > 0 && queue->slots[queue->head].done;
	pthread_mutex_unlock(&queue->lock);
	return done;
}

int exec_ordered_submit(struct exec_ordered *queue, void *take_batch, struct ib_err *err)
{
	if (!queue->pool && !queue->first) {
		queue->first = take_batch;
		return 0;
	}
	if (!queue->pool)
		queue->pool = ib_pool_new(queue->threads);
	if (queue->first)
		start(queue, ib_steal_ptr(&queue->first));
	while (queue->used == queue->n_slots || oldest_is_done(queue)) {
		if (take_oldest(queue, err) < 0) {
			queue->ops->drop(queue->ctx, take_batch);
			return -1;
		}
	}
	start(queue, take_batch);
	return 0;
}

int exec_ordered_drain(struct exec_ordered *queue, struct ib_err *err)
{
	if (queue->first) {
		void *batch = ib_steal_ptr(&queue->first);
		ib_autoerr failure = {0};
		int result = queue->ops->run(batch, &failure);

		if (finish(queue, batch, result, &failure, err) < 0)
			return -1;
	}
	while (queue->used > 0)
		if (take_oldest(queue, err) < 0)
			return -1;
	return 0;
}

void exec_ordered_free(struct exec_ordered *queue)
{
	if (!queue)
		return;
	if (queue->first)
		queue->ops->drop(queue->ctx, queue->first);
	while (queue->used > 0) {
		struct slot slot = wait_oldest(queue);

		ib_err_clear(&slot.err);	/* somebody failed before: that failure is the one to tell */
		queue->ops->drop(queue->ctx, slot.batch);
	}
	ib_pool_free(queue->pool);
	pthread_cond_destroy(&queue->finished);
	pthread_mutex_destroy(&queue->lock);
	free(queue->slots);
	free(queue);
}
