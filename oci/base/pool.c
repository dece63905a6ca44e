#include "oci/base/pool.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "oci/base/alloc.h"

#include "oci/base/poison.h"

static atomic_bool cancelled;

void ib_cancel(void)
{
	atomic_store(&cancelled, true);
}

bool ib_cancelled(void)
{
	return atomic_load_explicit(&cancelled, memory_order_relaxed);
}

int ib_check_cancelled(struct ib_err *err)
{
	return ib_cancelled() ? ib_fail(err, IB_CANCELLED, "interrupted") : 0;
}

struct work {
	struct work *next;
	ib_pool_fn *fn;
	void *arg;
};

struct ib_pool {
	size_t max;			/* fixed: no lock */

	pthread_mutex_t lock;		/* guards all below; leaf: nothing is called while held */
	pthread_cond_t changed;
	struct work *head, **tail;
	size_t queued, idle, started;
	pthread_t *threads;
	bool closing;
};

static void *worker(void *arg)
{
	struct ib_pool *pool = arg;

	pthread_mutex_lock(&pool->lock);
	for (;;) {
		struct work *w;

		pool->idle++;
		while (!pool->head && !pool->closing)
			pthread_cond_wait(&pool->changed, &pool->lock);
		pool->idle--;
		w = pool->head;
		if (!w)
			break;
		pool->head = w->next;
		pool->queued--;
		if (!pool->head)
			pool->tail = &pool->head;
		pthread_mutex_unlock(&pool->lock);
		w->fn(w->arg);
		free(w);
		pthread_mutex_lock(&pool->lock);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

struct ib_pool *ib_pool_new(size_t threads)
{
	struct ib_pool *pool = ib_new(struct ib_pool);

	pool->max = threads ? threads : 1;
	pool->threads = ib_calloc(pool->max, sizeof *pool->threads);
	pool->tail = &pool->head;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->changed, NULL);
	return pool;
}

/* Start one more worker, with all signals blocked: signals are the main thread's. Called with the lock. */
static void start_worker(struct ib_pool *pool)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&pool->threads[pool->started], NULL, worker, pool) == 0)
		pool->started++;
	else if (pool->started == 0)
		abort();	/* without one thread nothing queued would ever run */
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void ib_pool_submit(struct ib_pool *pool, ib_pool_fn *fn, void *arg)
{
	struct work *w = ib_new(struct work);

	w->fn = fn;
	w->arg = arg;
	pthread_mutex_lock(&pool->lock);
	assert(!pool->closing);
	*pool->tail = w;
	pool->tail = &w->next;
	pool->queued++;
	if (pool->idle < pool->queued && pool->started < pool->max)
		start_worker(pool);
	pthread_cond_signal(&pool->changed);
	pthread_mutex_unlock(&pool->lock);
}

void ib_pool_free(struct ib_pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->closing = true;
	pthread_cond_broadcast(&pool->changed);
	pthread_mutex_unlock(&pool->lock);
	for (size_t i = 0; i < pool->started; i++)
		pthread_join(pool->threads[i], NULL);
	pthread_cond_destroy(&pool->changed);
	pthread_mutex_destroy(&pool->lock);
	free(pool->threads);
	free(pool);
}

size_t ib_pool_threads(const struct ib_pool *pool)
{
	return pool->max;
}

size_t ib_processors(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	if (sched_getaffinity(0, sizeof set, &set) < 0 || CPU_COUNT(&set) < 1)
		return 1;
	return (size_t)CPU_COUNT(&set);
}
