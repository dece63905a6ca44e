#include "builder/exec/file-queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "builder/exec/content-open.h"
#include "builder/exec/copy-file.h"
#include "builder/exec/ordered.h"
#include "oci/base/alloc.h"
#include "oci/base/pool.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define BATCH_FILES 32
#define BATCH_BYTES (4 << 20)
#define MAX_THREADS 4	/* each holds up to 128 directories open; more would wait for the journal anyway */
#define MAX_PATHS (BATCH_FILES * (2u << 20))	/* far above what a walk gives */

/* A directory that files are read from, kept open while some are on their way. The owner's alone. */
struct from_dir {
	int fd;
	size_t refs;
	int walk_fd;		/* what the walk calls it: the same while it stays in the directory */
	size_t layer;
};

struct job {
	struct from_dir *from;
	struct exec_dir *to;
	size_t path_at, name_at;	/* in batch.paths: of the whole path, and of its last component */
};

struct batch {
	struct batch *next;	/* while it is spare */
	const struct exec_rules *rules;
	struct job job[BATCH_FILES];
	size_t n;
	int64_t bytes;
	struct ib_str paths;
	char *buffer;		/* NULL until first used */
};

struct exec_file_queue {
	const struct exec_rules *rules;
	struct exec_upper *upper;
	struct exec_ordered *queue;
	struct batch *batch;	/* being filled, or NULL */
	struct batch *spare;
	struct from_dir *from;	/* where the walk is, or NULL */
	int64_t written;
};

static void from_unref(struct from_dir *from)
{
	if (--from->refs > 0)
		return;
	ib_closep(&from->fd);
	free(from);
}

static int run_job(const struct batch *batch, const struct job *job)
{
	const char *name = batch->paths.s + job->name_at;
	struct stat st;
	ib_autoclose int from = exec_content_open(job->from->fd, name, &st);

	return from < 0 ? -1 : exec_file_write(batch->rules, from, &st, job->to->fd, name, batch->buffer);
}

static int run_batch(void *arg, struct ib_err *err)
{
	struct batch *batch = arg;

	if (ib_check_cancelled(err) < 0)
		return -1;
	if (!batch->buffer)
		batch->buffer = ib_malloc(EXEC_COPY_BUFFER);
	for (size_t i = 0; i < batch->n; i++)
		if (run_job(batch, &batch->job[i]) < 0)
			return exec_content_fail(err, "copy", batch->paths.s + batch->job[i].path_at);
	return 0;
}

static void recycle(struct exec_file_queue *queue, struct batch *batch)
{
	batch->n = 0;
	batch->bytes = 0;
	ib_str_reset(&batch->paths);
	batch->next = queue->spare;
	queue->spare = batch;
}

static void drop_batch(void *ctx, void *arg)
{
	struct batch *batch = arg;

	for (size_t i = 0; i < batch->n; i++) {
		from_unref(batch->job[i].from);
		exec_dir_drop(batch->job[i].to);
	}
	recycle(ctx, batch);
}

static int take_batch(void *ctx, void *arg, struct ib_err *err)
{
	struct exec_file_queue *queue = ctx;
	struct batch *batch = arg;
	int r = 0;

	exec_file_queue_count(queue, batch->bytes);
	for (size_t i = 0; i < batch->n; i++) {
		from_unref(batch->job[i].from);
		if (r == 0)
			r = exec_dir_unref(queue->upper, batch->job[i].to, err);
		else
			exec_dir_drop(batch->job[i].to);
	}
	recycle(queue, batch);
	return r;
}

static const struct exec_ordered_ops batch_ops = {run_batch, take_batch, drop_batch};

struct exec_file_queue *exec_file_queue_new(const struct exec_rules *rules, struct exec_upper *upper)
{
	struct exec_file_queue *queue = ib_new(struct exec_file_queue);

	queue->rules = rules;
	queue->upper = upper;
	queue->queue = exec_ordered_new(&batch_ops, MAX_THREADS, queue);
	return queue;
}

void exec_file_queue_free(struct exec_file_queue *queue)
{
	if (!queue)
		return;
	exec_ordered_free(queue->queue);
	if (queue->batch)
		drop_batch(queue, ib_steal_ptr(&queue->batch));
	exec_file_queue_moved(queue);
	while (queue->spare) {
		struct batch *batch = queue->spare;

		queue->spare = batch->next;
		ib_str_done(&batch->paths);
		free(batch->buffer);
		free(batch);
	}
	free(queue);
}

void exec_file_queue_moved(struct exec_file_queue *queue)
{
	if (queue->from)
		from_unref(ib_steal_ptr(&queue->from));
}

void exec_file_queue_count(struct exec_file_queue *queue, int64_t bytes)
{
	const struct exec_target *target = exec_upper_target(queue->upper);

	queue->written += bytes;
	if (target->progress)
		target->progress(target->ctx, queue->written);
}

static int submit(struct exec_file_queue *queue, struct ib_err *err)
{
	return queue->batch ? exec_ordered_submit(queue->queue, ib_steal_ptr(&queue->batch), err) : 0;
}

int exec_file_queue_drain(struct exec_file_queue *queue, struct ib_err *err)
{
	return submit(queue, err) < 0 ? -1 : exec_ordered_drain(queue->queue, err);
}

static struct batch *batch_to_fill(struct exec_file_queue *queue)
{
	if (!queue->batch && queue->spare) {
		queue->batch = queue->spare;
		queue->spare = queue->batch->next;
	} else if (!queue->batch) {
		queue->batch = ib_new(struct batch);
		queue->batch->rules = queue->rules;
		queue->batch->paths = (struct ib_str)IB_STR(MAX_PATHS);
	}
	return queue->batch;
}

/* The directory that holds the entry, kept open beyond the walk's next step. */
static struct from_dir *from_of(struct exec_file_queue *queue, const struct exec_source_entry *entry)
{
	struct from_dir *from = queue->from;
	int fd;

	if (from && from->walk_fd == entry->dirfd && from->layer == entry->layer)
		return from;
	fd = fcntl(entry->dirfd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return NULL;
	exec_file_queue_moved(queue);
	from = ib_new(struct from_dir);
	*from = (struct from_dir){.fd = fd, .refs = 1, .walk_fd = entry->dirfd, .layer = entry->layer};
	queue->from = from;
	return from;
}

int exec_file_queue_add(struct exec_file_queue *queue, const struct exec_source_entry *entry, struct ib_err *err)
{
	struct batch *batch = batch_to_fill(queue);
	struct from_dir *from = from_of(queue, entry);
	struct job *job;
	size_t len;

	if (!from)
		return exec_content_fail(err, "copy", entry->full);
	job = &batch->job[batch->n++];
	from->refs++;
	*job = (struct job){.from = from, .to = exec_dir_ref(exec_upper_dir(queue->upper))};
	len = strlen(entry->full);
	job->path_at = batch->paths.len;
	job->name_at = job->path_at + len - strlen(entry->name);
	ib_str_add(&batch->paths, entry->full, len + 1);
	batch->bytes += entry->st->st_size;
	if (batch->n == BATCH_FILES || batch->bytes >= BATCH_BYTES)
		return submit(queue, err);
	return 0;
}
