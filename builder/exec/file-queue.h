/*
 * builder/exec/file-queue.h - regular files on their way into a new layer, copied by several threads.
 *
 * One thread walks and makes the directories; files are handed over in batches. The directories on both sides
 * are held by reference until a file is there, so a directory of the layer gets its time after the last file.
 */
#ifndef BUILDER_EXEC_FILE_QUEUE_H
#define BUILDER_EXEC_FILE_QUEUE_H

#include "builder/exec/file-write.h"
#include "builder/exec/selection.h"
#include "builder/exec/upper.h"

struct exec_file_queue;	/* owned by one thread */

/* rules and upper outlive the queue. */
struct exec_file_queue *exec_file_queue_new(const struct exec_rules *rules, struct exec_upper *upper);

/* Waits for what is under way; metadata of directories is not set then. */
void exec_file_queue_free(struct exec_file_queue *queue);
IB_DEFINE_FREE(exec_file_queue);

/* Copy the regular file entry to the same name in the directory that upper stands in. */
int exec_file_queue_add(struct exec_file_queue *queue, const struct exec_source_entry *entry, struct ib_err *err);

/* The walk is in another directory from now on. */
void exec_file_queue_moved(struct exec_file_queue *queue);

/* Wait until all files are there. */
int exec_file_queue_drain(struct exec_file_queue *queue, struct ib_err *err);

/* Tell the target's progress of so many bytes more. */
void exec_file_queue_count(struct exec_file_queue *queue, int64_t bytes);

#endif
