#include "builder/exec/far-walk.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "builder/exec/stat-cache.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define BATCH_ENTRIES 256
#define MAX_BATCHES 128		/* ahead: some 32,000 entries, 8 MiB */

/* One entry; its strings are in the batch's text. */
struct found {
	size_t path, full, target;	/* offsets; target 0: none */
	struct stat st;
};

struct batch {
	struct batch *next;
	struct found entry[BATCH_ENTRIES];
	size_t n;
	struct ib_str text;
};

struct exec_far_walk {
	const struct exec_tree *tree;	/* fixed, as are the next three */
	char *dir, *first;
	size_t first_len;
	pthread_t thread;

	struct batch *reading;		/* the caller's own, as the next two */
	size_t at;
	struct exec_far_entry out;

	pthread_mutex_t lock;		/* guards what follows; leaf */
	pthread_cond_t changed;
	struct batch *head, **tail;
	size_t batches;
	bool stopped;			/* by the caller */
	bool ended;			/* by the thread; failed says how */
	bool failed;
	struct ib_err err;
};

static struct batch *batch_new(void)
{
	struct batch *batch = ib_new(struct batch);

	batch->text = (struct ib_str)IB_STR(SIZE_MAX / 2);
	ib_str_addc(&batch->text, '\0');	/* offset 0 is nobody's */
	return batch;
}

static void batch_free(struct batch *batch)
{
	if (!batch)
		return;
	ib_str_done(&batch->text);
	free(batch);
}

/* Hand a batch over, waiting while the caller is far behind. false: nobody wants more. */
static bool hand_over(struct exec_far_walk *walk, struct batch *take_batch)
{
	bool stopped;

	pthread_mutex_lock(&walk->lock);
	while (!walk->stopped && walk->batches >= MAX_BATCHES)
		pthread_cond_wait(&walk->changed, &walk->lock);
	stopped = walk->stopped;
	*walk->tail = take_batch;
	walk->tail = &take_batch->next;
	walk->batches++;
	pthread_cond_broadcast(&walk->changed);
	pthread_mutex_unlock(&walk->lock);
	return !stopped;
}

static size_t add_text(struct batch *batch, const char *text, size_t n)
{
	size_t at = batch->text.len;

	ib_str_add(&batch->text, text, n);
	ib_str_addc(&batch->text, '\0');
	return at;
}

static int add(struct batch *batch, const struct exec_source_entry *entry, struct ib_err *err)
{
	struct found *found = &batch->entry[batch->n];
	char target[PATH_MAX];
	ssize_t n = 0;

	if (S_ISLNK(entry->st->st_mode) && (n = readlinkat(entry->dirfd, entry->name, target, sizeof target)) < 0)
		return ib_fail_sys(err, errno, "read '%s'", entry->full);
	found->st = *entry->st;
	found->full = add_text(batch, entry->full, strlen(entry->full));
	found->path = found->full + (size_t)(entry->path - entry->full);
	found->target = S_ISLNK(entry->st->st_mode) ? add_text(batch, target, (size_t)n) : 0;
	batch->n++;
	return 0;
}

/* Is it before the far part? Then it is not entered, unless the far part begins in it. */
static bool is_near(const struct exec_far_walk *walk, struct exec_source_walk *source,
		    const struct exec_source_entry *entry)
{
	size_t n = strlen(entry->path);

	if (exec_path_order(entry->path, n, walk->first, walk->first_len) >= 0)
		return false;
	if (S_ISDIR(entry->st->st_mode) && !(strncmp(walk->first, entry->path, n) == 0 && walk->first[n] == '/'))
		exec_source_walk_skip(source);
	return true;
}

static int walk_all(struct exec_far_walk *walk, struct ib_err *err)
{
	IB_CLEANUP(exec_source_walk_freep) struct exec_source_walk *source = NULL;
	const struct exec_source_entry *entry;
	struct batch *batch = batch_new();
	int r;

	r = exec_source_walk_new(walk->tree, walk->dir, &source, err) < 0 ? -1 : 1;
	while (r > 0 && (r = exec_source_walk_next(source, &entry, err)) > 0) {
		if (is_near(walk, source, entry))
			continue;
		r = add(batch, entry, err) < 0 ? -1 : 1;
		if (r < 0 || batch->n < BATCH_ENTRIES)
			continue;
		if (!hand_over(walk, batch))
			return 0;
		batch = batch_new();
	}
	(void)hand_over(walk, batch);	/* the last one: nobody is asked whether more is wanted */
	return r;
}

static void *run(void *arg)
{
	struct exec_far_walk *walk = arg;
	ib_autoerr err = {0};
	int r = walk_all(walk, &err);

	pthread_mutex_lock(&walk->lock);
	walk->ended = true;
	walk->failed = r < 0;
	ib_err_move(&walk->err, &err);
	pthread_cond_broadcast(&walk->changed);
	pthread_mutex_unlock(&walk->lock);
	return NULL;
}

static int start_thread(struct exec_far_walk *walk)
{
	sigset_t all, before;
	int r;

	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&walk->thread, NULL, run, walk);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

static void release(struct exec_far_walk *walk)
{
	batch_free(walk->reading);
	while (walk->head) {
		struct batch *next = walk->head->next;

		batch_free(walk->head);
		walk->head = next;
	}
	ib_err_clear(&walk->err);
	pthread_cond_destroy(&walk->changed);
	pthread_mutex_destroy(&walk->lock);
	free(walk->dir);
	free(walk->first);
	free(walk);
}

struct exec_far_walk *exec_far_walk_start(const struct exec_tree *tree, const char *dir, const char *first)
{
	struct exec_far_walk *walk = ib_new(struct exec_far_walk);

	walk->tree = tree;
	walk->dir = ib_strdup(dir);
	walk->first = ib_strdup(first);
	walk->first_len = strlen(first);
	walk->tail = &walk->head;
	pthread_mutex_init(&walk->lock, NULL);
	pthread_cond_init(&walk->changed, NULL);
	if (start_thread(walk) == 0)
		return walk;
	release(walk);
	return NULL;
}

void exec_far_walk_free(struct exec_far_walk *walk)
{
	if (!walk)
		return;
	pthread_mutex_lock(&walk->lock);
	walk->stopped = true;
	pthread_cond_broadcast(&walk->changed);
	pthread_mutex_unlock(&walk->lock);
	pthread_join(walk->thread, NULL);
	release(walk);
}

/* The next batch, in walk->reading: 1, 0 at the end, -1. */
static int next_batch(struct exec_far_walk *walk, struct ib_err *err)
{
	int r = 1;

	batch_free(ib_steal_ptr(&walk->reading));
	walk->at = 0;
	pthread_mutex_lock(&walk->lock);
	while (!walk->head && !walk->ended)
		pthread_cond_wait(&walk->changed, &walk->lock);
	if (walk->head) {
		walk->reading = walk->head;
		walk->head = walk->reading->next;
		if (!walk->head)
			walk->tail = &walk->head;
		walk->batches--;
		pthread_cond_broadcast(&walk->changed);
	} else {
		r = walk->failed ? -1 : 0;
		if (walk->failed)
			ib_err_move(err, &walk->err);
	}
	pthread_mutex_unlock(&walk->lock);
	return r;
}

int exec_far_walk_next(struct exec_far_walk *walk, const struct exec_far_entry **ret_entry, struct ib_err *err)
{
	const struct found *found;
	const char *text;

	while (!walk->reading || walk->at == walk->reading->n) {
		int r = next_batch(walk, err);

		if (r <= 0)
			return r;
	}
	found = &walk->reading->entry[walk->at++];
	text = walk->reading->text.s;
	walk->out = (struct exec_far_entry){
		.path = text + found->path,
		.full = text + found->full,
		.target = found->target ? text + found->target : NULL,
		.st = found->st,
	};
	*ret_entry = &walk->out;
	return 1;
}
