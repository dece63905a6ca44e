#include "oci/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/base/pool.h"
#include "oci/base/str.h"
#include "oci/store.h"

#include "oci/base/poison.h"

ssize_t oci_reader_read(struct oci_reader *reader, void *buf, size_t n, struct ib_err *err)
{
	return reader->ops->read(reader, buf, n, err);
}

ssize_t oci_reader_read_full(struct oci_reader *reader, void *buf, size_t n, struct ib_err *err)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = oci_reader_read(reader, (char *)buf + done, n - done, err);

		if (r < 0)
			return -1;
		if (r == 0)
			break;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

void oci_reader_free(struct oci_reader *reader)
{
	if (reader)
		reader->ops->free(reader);
}

#define DRAIN_BYTES 65536

int oci_reader_drain(struct oci_reader *reader, struct ib_err *err)
{
	ib_autofree char *buf = ib_malloc(DRAIN_BYTES);
	ssize_t r;

	while ((r = oci_reader_read(reader, buf, DRAIN_BYTES, err)) > 0)
		;
	return r < 0 ? -1 : 0;
}

#define WAIT_STEP_MS 100	/* how late an interrupt may be noticed */

struct file_reader {
	struct oci_reader base;
	int fd;
	bool waits;	/* a pipe or a terminal: bytes come when somebody sends them, or never */
	char *name;
};

/* The thread that reads need not be the one that signals wake, so it looks for itself. */
static int wait_for_bytes(const struct file_reader *r, struct ib_err *err)
{
	struct pollfd pollfd = {.fd = r->fd, .events = POLLIN};

	do {
		if (ib_check_cancelled(err) < 0)
			return -1;
	} while (poll(&pollfd, 1, WAIT_STEP_MS) <= 0);
	return 0;
}

static ssize_t file_read(struct oci_reader *base, void *buf, size_t n, struct ib_err *err)
{
	struct file_reader *r = (struct file_reader *)base;
	ssize_t got;

	do {
		if (r->waits && wait_for_bytes(r, err) < 0)
			return -1;
		got = read(r->fd, buf, n);
	} while (got < 0 && errno == EINTR);
	return got < 0 ? ib_fail_sys(err, errno, "read %s", r->name) : got;
}

static void file_free(struct oci_reader *base)
{
	struct file_reader *r = (struct file_reader *)base;

	ib_closep(&r->fd);
	free(r->name);
	free(r);
}

struct oci_reader *oci_file_reader_new(int take_fd, const char *name)
{
	static const struct oci_reader_ops ops = {file_read, file_free};
	struct file_reader *r = ib_new(struct file_reader);
	struct stat st;

	r->base.ops = &ops;
	r->fd = take_fd;
	r->waits = fstat(take_fd, &st) < 0 || !S_ISREG(st.st_mode);
	r->name = ib_printable(name, 256);
	return &r->base;
}

struct memory_reader {
	struct oci_reader base;
	const char *bytes;
	size_t left;
};

static ssize_t memory_read(struct oci_reader *base, void *buf, size_t n, struct ib_err *err)
{
	struct memory_reader *r = (struct memory_reader *)base;

	(void)err;	/* memory does not fail */
	if (n > r->left)
		n = r->left;
	if (n)
		memcpy(buf, r->bytes, n);
	r->bytes += n;
	r->left -= n;
	return (ssize_t)n;
}

static void memory_free(struct oci_reader *base)
{
	free(base);
}

struct oci_reader *oci_memory_reader_new(const void *bytes, size_t n)
{
	static const struct oci_reader_ops ops = {memory_read, memory_free};
	struct memory_reader *r = ib_new(struct memory_reader);

	r->base.ops = &ops;
	r->bytes = bytes;
	r->left = n;
	return &r->base;
}

struct borrowed_reader {
	struct oci_reader base;
	struct oci_reader *inner;
};

static ssize_t borrowed_read(struct oci_reader *base, void *buf, size_t n, struct ib_err *err)
{
	return oci_reader_read(((struct borrowed_reader *)base)->inner, buf, n, err);
}

static void borrowed_free(struct oci_reader *base)
{
	free(base);
}

struct oci_reader *oci_borrowed_reader_new(struct oci_reader *inner)
{
	static const struct oci_reader_ops ops = {borrowed_read, borrowed_free};
	struct borrowed_reader *r = ib_new(struct borrowed_reader);

	r->base.ops = &ops;
	r->inner = inner;
	return &r->base;
}

struct verify_reader {
	struct oci_reader base;
	struct oci_reader *inner;
	struct oci_digest want;
	int64_t size, seen;
	struct oci_hash *hash;
	struct oci_blob_writer *tee;
	bool ended;
};

static int verify_end(struct verify_reader *r, struct ib_err *err)
{
	char text[OCI_DIGEST_SIZE];
	struct oci_digest got;

	r->ended = true;
	if (r->seen != r->size)
		return ib_fail(err, IB_MISMATCH, "blob %s: ends after %" PRId64 " of %" PRId64 " bytes",
			       oci_digest_str(&r->want, text), r->seen, r->size);
	oci_hash_final(r->hash, &got);
	return oci_digest_equal(&got, &r->want) ? 0 : oci_fail_mismatch(err, &r->want, &got);
}

static ssize_t verify_read(struct oci_reader *base, void *buf, size_t n, struct ib_err *err)
{
	struct verify_reader *r = (struct verify_reader *)base;
	char text[OCI_DIGEST_SIZE];
	ssize_t got;

	if (r->ended)
		return 0;
	got = oci_reader_read(r->inner, buf, n, err);
	if (got < 0)
		return ib_wrap(err, "blob %s", oci_digest_str(&r->want, text));
	if (got == 0)
		return verify_end(r, err);
	if (got > r->size - r->seen)
		return ib_fail(err, IB_MISMATCH, "blob %s: is longer than its %" PRId64 " bytes",
			       oci_digest_str(&r->want, text), r->size);
	oci_hash_update(r->hash, buf, (size_t)got);
	r->seen += got;
	if (r->tee && oci_blob_writer_write(r->tee, buf, (size_t)got, err) < 0)
		return -1;
	return got;
}

static void verify_free(struct oci_reader *base)
{
	struct verify_reader *r = (struct verify_reader *)base;

	oci_reader_free(r->inner);
	oci_hash_free(r->hash);
	free(r);
}

struct oci_reader *oci_verify_reader_new(struct oci_reader *take_inner, const struct oci_descriptor *want,
					 struct oci_blob_writer *tee)
{
	static const struct oci_reader_ops ops = {verify_read, verify_free};
	struct verify_reader *r = ib_new(struct verify_reader);

	r->base.ops = &ops;
	r->inner = take_inner;
	r->want = want->digest;
	r->size = want->size;
	r->hash = oci_hash_new(want->digest.algo);
	r->tee = tee;
	return &r->base;
}

struct hash_reader {
	struct oci_reader base;
	struct oci_reader *inner;
	struct oci_hash *hash;
	struct oci_digest *ret_digest;
};

static ssize_t hash_read(struct oci_reader *base, void *buf, size_t n, struct ib_err *err)
{
	struct hash_reader *r = (struct hash_reader *)base;
	ssize_t got = oci_reader_read(r->inner, buf, n, err);

	if (got > 0)
		oci_hash_update(r->hash, buf, (size_t)got);
	if (got == 0 && r->ret_digest) {
		oci_hash_final(r->hash, r->ret_digest);
		r->ret_digest = NULL;	/* the end may be read again */
	}
	return got;
}

static void hash_free(struct oci_reader *base)
{
	struct hash_reader *r = (struct hash_reader *)base;

	oci_reader_free(r->inner);
	oci_hash_free(r->hash);
	free(r);
}

struct oci_reader *oci_hash_reader_new(struct oci_reader *take_inner, struct oci_digest *ret_digest)
{
	static const struct oci_reader_ops ops = {hash_read, hash_free};
	struct hash_reader *r = ib_new(struct hash_reader);

	r->base.ops = &ops;
	r->inner = take_inner;
	r->hash = oci_hash_new(OCI_SHA256);
	r->ret_digest = ret_digest;
	return &r->base;
}
