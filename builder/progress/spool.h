/*
 * builder/progress/spool.h - text on its way to a descriptor that may be slow.
 *
 * Adding never waits for the reader of the descriptor: a thread writes, what it has not written yet is kept
 * in memory up to a limit and beyond that in a nameless temporary file. Only where no such file can be had
 * does adding wait. Nothing is lost unless the descriptor fails, after which all is dropped.
 */
#ifndef BUILDER_PROGRESS_SPOOL_H
#define BUILDER_PROGRESS_SPOOL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

struct progress_spool;	/* may be shared between threads */

/* fd stays the caller's. The thread starts with the first byte. */
struct progress_spool *progress_spool_new(int fd);

/* Waits until all is written; once the process is cancelled, no longer than the descriptor takes bytes. */
void progress_spool_free(struct progress_spool *spool);

void progress_spool_add(struct progress_spool *spool, const char *bytes, size_t n);

/*
 * Write all n bytes in pieces that a pipe takes whole, waiting for room. Gives up after a second without
 * room when *closing and the process is cancelled. Returns 0, or -1 when the descriptor failed.
 */
int progress_write(int fd, const char *bytes, size_t n, const atomic_bool *closing);

/* Start a thread that takes no signals: they belong to the threads of the build. 0, or an errno. */
int progress_thread(pthread_t *ret_thread, void *(*run)(void *arg), void *arg);

#endif
