#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "oci/base/alloc.h"
#include "oci/base/clock.h"
#include "oci/base/fd.h"
#include "oci/store-internal.h"

#include "oci/base/poison.h"

#define BUFFER_BYTES (128u << 10)	/* gathers small writes; larger ones go straight through */
#define WRITEBACK_BYTES (8 << 20)	/* how much is written before the disk is set to work */

struct oci_blob_writer {
	struct oci_store *store;
	int fd;			/* nameless, or named temp below; -1 once parked or committed */
	char *temp;		/* NULL with O_TMPFILE, unless parked */
	char *buffer;		/* NULL until needed */
	size_t filled;
	int64_t size;		/* all that was given to us */
	int64_t flushed;	/* write(2)n so far */
	int64_t started;	/* writeback was started up to here */
};

int oci_blob_writer_new(struct oci_store *store, struct oci_blob_writer **ret_writer, struct ib_err *err)
{
	IB_CLEANUP(oci_blob_writer_freep) struct oci_blob_writer *w = ib_new(struct oci_blob_writer);
	int dir = oci_store_make_blob_dir(store, OCI_SHA256, err);

	w->store = store;
	w->fd = -1;
	if (dir < 0)
		return -1;
	w->fd = ib_tmpfile(dir, &w->temp, err);
	if (w->fd < 0)
		return -1;
	*ret_writer = ib_steal_ptr(&w);
	return 0;
}

void oci_blob_writer_free(struct oci_blob_writer *w)
{
	if (!w)
		return;
	ib_closep(&w->fd);
	if (w->temp)
		(void)unlinkat(oci_store_blob_dir(w->store, OCI_SHA256), w->temp, 0);
	free(w->temp);
	free(w->buffer);
	free(w);
}

int64_t oci_blob_writer_size(const struct oci_blob_writer *w)
{
	return w->size;
}

static int write_through(struct oci_blob_writer *w, const void *bytes, size_t n, struct ib_err *err)
{
	if (ib_write_full(w->fd, bytes, n) < 0)
		return ib_fail_sys(err, errno, "write a blob");
	w->flushed += (int64_t)n;
	if (w->flushed - w->started >= WRITEBACK_BYTES) {
		/* The disk works while we compute: commit then waits for little. A hint, so unchecked. */
		(void)sync_file_range(w->fd, w->started, w->flushed - w->started, SYNC_FILE_RANGE_WRITE);
		w->started = w->flushed;
	}
	return 0;
}

static int flush_buffer(struct oci_blob_writer *w, struct ib_err *err)
{
	size_t n = w->filled;

	w->filled = 0;
	return n ? write_through(w, w->buffer, n, err) : 0;
}

int oci_blob_writer_write(struct oci_blob_writer *w, const void *bytes, size_t n, struct ib_err *err)
{
	w->size += (int64_t)n;
	if (n > BUFFER_BYTES - w->filled && flush_buffer(w, err) < 0)
		return -1;
	if (n >= BUFFER_BYTES / 2 && w->filled == 0)
		return write_through(w, bytes, n, err);
	if (!w->buffer)
		w->buffer = ib_malloc(BUFFER_BYTES);
	memcpy(w->buffer + w->filled, bytes, n);
	w->filled += n;
	return 0;
}

int oci_blob_writer_start(struct oci_blob_writer *w, struct ib_err *err)
{
	if (w->fd < 0)
		return 0;	/* parked */
	if (flush_buffer(w, err) < 0)
		return -1;
	(void)sync_file_range(w->fd, 0, 0, SYNC_FILE_RANGE_WRITE);	/* a hint */
	return 0;
}

int oci_blob_writer_reopen(struct oci_blob_writer *w, struct ib_err *err)
{
	char self[32];
	int fd;

	if (w->fd < 0) {
		fd = openat(oci_store_blob_dir(w->store, OCI_SHA256), w->temp, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		return fd < 0 ? ib_fail_sys(err, errno, "read back a blob") : fd;
	}
	if (flush_buffer(w, err) < 0)
		return -1;
	(void)snprintf(self, sizeof self, "/proc/self/fd/%d", w->fd);	/* a new offset, unlike dup(2) */
	fd = open(self, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? ib_fail_sys(err, errno, "read back a blob") : fd;
}

int oci_blob_writer_park(struct oci_blob_writer *w, struct ib_err *err)
{
	static atomic_uint counter;	/* with the process, enough for a name of its own */

	if (flush_buffer(w, err) < 0)
		return -1;
	if (!w->temp) {
		ib_autofree char *name = ib_asprintf(".tmp-%d-%jx-%u", (int)getpid(), (uintmax_t)ib_monotonic_ns(),
						     atomic_fetch_add(&counter, 1));

		if (ib_tmpfile_link(w->fd, NULL, oci_store_blob_dir(w->store, OCI_SHA256), name, 0, err) < 0)
			return -1;
		w->temp = ib_steal_ptr(&name);
	}
	ib_closep(&w->fd);
	w->fd = -1;
	free(ib_steal_ptr(&w->buffer));
	return 0;
}

/* A file of that name but another length is no blob: somebody else's writing was cut off. */
static int clear_way(struct oci_blob_writer *w, int dir, const char *hex, bool *ret_present, struct ib_err *err)
{
	struct stat st;

	*ret_present = false;
	if (fstatat(dir, hex, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	*ret_present = S_ISREG(st.st_mode) && st.st_size == w->size;
	if (*ret_present || unlinkat(dir, hex, 0) == 0 || errno == ENOENT)
		return 0;
	return ib_fail_sys(err, errno, "replace blob %s", hex);
}

/* A temporary name stands in the directory for sha256; linking wants it beside the new name. */
static int move_temp(struct oci_blob_writer *w, int dir, struct ib_err *err)
{
	int from = oci_store_blob_dir(w->store, OCI_SHA256);

	if (!w->temp || from == dir)
		return 0;
	if (renameat(from, w->temp, dir, w->temp) < 0)
		return ib_fail_sys(err, errno, "publish a blob");
	return 0;
}

static int publish(struct oci_blob_writer *w, int dir, const char *hex, struct ib_err *err)
{
	ib_autofree char *temp = NULL;

	/* The data must be down before the name can be: a blob is whole, after a power cut as well. */
	if (fchmod(w->fd, 0444) < 0 || fdatasync(w->fd) < 0)
		return ib_fail_sys(err, errno, "flush blob %s", hex);
	if (move_temp(w, dir, err) < 0)
		return -1;
	temp = ib_steal_ptr(&w->temp);	/* gone in any case */
	return ib_tmpfile_link(w->fd, temp, dir, hex, 1, err);
}

int oci_blob_writer_commit(struct oci_blob_writer *w, const struct oci_digest *digest, struct ib_err *err)
{
	int dir = oci_store_make_blob_dir(w->store, digest->algo, err);
	char hex[OCI_DIGEST_SIZE];
	bool present;

	if (dir < 0 || flush_buffer(w, err) < 0 ||
	    clear_way(w, dir, oci_digest_hex(digest, hex), &present, err) < 0)
		return -1;
	if (!present && w->fd < 0) {
		w->fd = oci_blob_writer_reopen(w, err);
		if (w->fd < 0)
			return -1;
	}
	if (!present && publish(w, dir, hex, err) < 0)
		return -1;
	ib_closep(&w->fd);
	w->fd = -1;
	return 0;
}
