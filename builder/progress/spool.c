#include "builder/progress/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "oci/base/alloc.h"
#include "oci/base/cleanup.h"
#include "oci/base/fd.h"
#include "oci/base/pool.h"

#include "oci/base/poison.h"

#define MEMORY_MAX (256u << 10)	/* text kept in memory; more goes to the temporary file */
#define PIECE 4096u		/* PIPE_BUF: what poll() promises room for */
#define POLL_MS 200
#define PATIENCE_MS 1000	/* for a descriptor that takes nothing after an interrupt */

struct progress_spool {
	int fd;			/* fixed */
	atomic_bool closing;	/* set once, by free */

	pthread_mutex_t lock;	/* guards all below; leaf */
	pthread_cond_t changed;
	pthread_t thread;
	bool threaded;		/* thread runs; else add writes by itself */
	bool failed;		/* the descriptor is gone: drop everything */
	char *text;		/* older than what is in the file */
	size_t len, cap;
	int file;		/* -1 until needed */
	off_t file_start, file_end;	/* what of the file is still to be written */
};

int progress_thread(pthread_t *ret_thread, void *(*run)(void *arg), void *arg)
{
	sigset_t all, before;
	int failure;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	failure = pthread_create(ret_thread, NULL, run, arg);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return failure;
}

int progress_write(int fd, const char *bytes, size_t n, const atomic_bool *closing)
{
	int waited_ms = 0;

	while (n) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		ssize_t done;

		if (poll(&p, 1, POLL_MS) == 0) {
			waited_ms += POLL_MS;
			if (waited_ms >= PATIENCE_MS && atomic_load(closing) && ib_cancelled())
				return -1;
			continue;
		}
		done = write(fd, bytes, n < PIECE ? n : PIECE);
		if (done < 0 && errno != EAGAIN && errno != EINTR)
			return -1;
		if (done > 0) {
			bytes += done;
			n -= (size_t)done;
			waited_ms = 0;
		}
	}
	return 0;
}

struct progress_spool *progress_spool_new(int fd)
{
	struct progress_spool *spool = ib_new(struct progress_spool);

	spool->fd = fd;
	spool->file = -1;
	(void)pthread_mutex_init(&spool->lock, NULL);
	(void)pthread_cond_init(&spool->changed, NULL);
	return spool;
}

/* Move the oldest text into *chunk, which grows as needed; returns its length. Called with the lock held. */
static size_t take(struct progress_spool *spool, char **chunk, size_t *cap)
{
	size_t len = spool->len, text_cap = spool->cap;
	char *text = spool->text;
	ssize_t got;

	if (len) {
		spool->text = *chunk;
		spool->cap = *cap;
		spool->len = 0;
		*chunk = text;
		*cap = text_cap;
		return len;
	}
	if (*cap < MEMORY_MAX) {
		*chunk = ib_realloc(*chunk, MEMORY_MAX, 1);
		*cap = MEMORY_MAX;
	}
	len = (size_t)(spool->file_end - spool->file_start);
	got = pread(spool->file, *chunk, len < MEMORY_MAX ? len : MEMORY_MAX, spool->file_start);
	if (got <= 0) {
		spool->failed = true;	/* our own file: the disk is failing */
		return 0;
	}
	spool->file_start += got;
	if (spool->file_start == spool->file_end) {
		spool->file_start = spool->file_end = 0;
		ib_closep(&spool->file);	/* gives the disk space back */
		spool->file = -1;
	}
	return (size_t)got;
}

static void *run(void *arg)
{
	struct progress_spool *spool = arg;
	ib_autofree char *chunk = NULL;
	size_t cap = 0;

	(void)pthread_mutex_lock(&spool->lock);
	while (!spool->failed) {
		size_t n;

		if (!spool->len && spool->file_start == spool->file_end) {
			if (atomic_load(&spool->closing))
				break;
			(void)pthread_cond_wait(&spool->changed, &spool->lock);
			continue;
		}
		n = take(spool, &chunk, &cap);
		(void)pthread_cond_broadcast(&spool->changed);
		(void)pthread_mutex_unlock(&spool->lock);
		int failure = progress_write(spool->fd, chunk, n, &spool->closing);

		(void)pthread_mutex_lock(&spool->lock);
		if (failure < 0)
			spool->failed = true;
	}
	(void)pthread_cond_broadcast(&spool->changed);
	(void)pthread_mutex_unlock(&spool->lock);
	return NULL;
}

/* Append to the temporary file; false when there is none or it is full. */
static bool spill(struct progress_spool *spool, const char *bytes, size_t n)
{
	const char *dir = getenv("TMPDIR");

	if (spool->file < 0)
		spool->file = open(dir && *dir ? dir : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (spool->file < 0 || ib_pwrite_full(spool->file, bytes, n, spool->file_end) < 0)
		return false;
	spool->file_end += (off_t)n;
	return true;
}

static void append(struct progress_spool *spool, const char *bytes, size_t n)
{
	if (spool->len + n > spool->cap) {
		size_t cap = spool->cap ? spool->cap : PIECE;

		while (cap < spool->len + n)
			cap *= 2;
		spool->text = ib_realloc(spool->text, cap, 1);
		spool->cap = cap;
	}
	memcpy(spool->text + spool->len, bytes, n);
	spool->len += n;
}

/* Called with the lock held. */
static void add(struct progress_spool *spool, const char *bytes, size_t n)
{
	while (!spool->failed) {
		bool in_file = spool->file_start < spool->file_end;

		if (!in_file && (!spool->len || spool->len + n <= MEMORY_MAX)) {
			append(spool, bytes, n);
			break;
		}
		if (spill(spool, bytes, n))
			break;
		(void)pthread_cond_wait(&spool->changed, &spool->lock);
	}
	(void)pthread_cond_broadcast(&spool->changed);
}

void progress_spool_add(struct progress_spool *spool, const char *bytes, size_t n)
{
	if (n == 0)
		return;
	(void)pthread_mutex_lock(&spool->lock);
	if (!spool->threaded)
		spool->threaded = progress_thread(&spool->thread, run, spool) == 0;
	if (spool->threaded)
		add(spool, bytes, n);
	else if (!spool->failed && progress_write(spool->fd, bytes, n, &spool->closing) < 0)
		spool->failed = true;
	(void)pthread_mutex_unlock(&spool->lock);
}

void progress_spool_free(struct progress_spool *spool)
{
	if (!spool)
		return;
	(void)pthread_mutex_lock(&spool->lock);
	atomic_store(&spool->closing, true);
	(void)pthread_cond_broadcast(&spool->changed);
	(void)pthread_mutex_unlock(&spool->lock);
	if (spool->threaded)
		(void)pthread_join(spool->thread, NULL);
	ib_closep(&spool->file);
	(void)pthread_cond_destroy(&spool->changed);
	(void)pthread_mutex_destroy(&spool->lock);
	free(spool->text);
	free(spool);
}
