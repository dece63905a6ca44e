#include "oci/intake.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/base/pool.h"
#include "oci/store-internal.h"

#include "oci/base/poison.h"

struct blob {
	struct oci_digest digest;
	int64_t size;
	char *bytes;			/* of a small one, else NULL */
	struct oci_blob_writer *writer; /* of a large one, else NULL */
	bool needed;
};

struct oci_intake {
	struct oci_store *store;
	struct blob *blobs;
	size_t n, cap;
	size_t n_open, memory;
	size_t *needed;			/* indexes of blobs, in the order in which they were needed */
	size_t n_needed, cap_needed;

	/* the blob that is being written */
	struct blob now;
	struct oci_hash *hash;		/* NULL: present, its bytes are dropped */
	struct oci_digest want;
	bool has_want;
	int64_t seen;
};

struct oci_intake *oci_intake_new(struct oci_store *store)
{
	struct oci_intake *intake = ib_new(struct oci_intake);

	intake->store = store;
	return intake;
}

static void blob_done(struct blob *blob)
{
	free(blob->bytes);
	oci_blob_writer_free(blob->writer);
	*blob = (struct blob){0};
}

void oci_intake_free(struct oci_intake *intake)
{
	if (!intake)
		return;
	for (size_t i = 0; i < intake->n; i++)
		blob_done(&intake->blobs[i]);
	blob_done(&intake->now);
	oci_hash_free(intake->hash);
	free(intake->needed);
	free(intake->blobs);
	free(intake);
}

static struct blob *find(struct oci_intake *intake, const struct oci_digest *digest)
{
	for (size_t i = 0; i < intake->n; i++)
		if (oci_digest_equal(&intake->blobs[i].digest, digest))
			return &intake->blobs[i];
	return NULL;
}

static int fail_missing(struct ib_err *err, const struct oci_digest *digest)
{
	char text[OCI_DIGEST_SIZE];

	return ib_fail(err, IB_NOTFOUND, "blob %s is not in the archive", oci_digest_str(digest, text));
}

static int make_room(struct oci_intake *intake, struct ib_err *err)
{
	struct blob *now = &intake->now;

	if (now->size >= OCI_INTAKE_SMALL || intake->memory + (size_t)now->size > OCI_INTAKE_MAX_MEMORY)
		return oci_blob_writer_new(intake->store, &now->writer, err);
	now->bytes = ib_malloc((size_t)now->size + 1);
	return 0;
}

int oci_intake_begin(struct oci_intake *intake, int64_t size, const struct oci_digest *want, struct ib_err *err)
{
	blob_done(&intake->now);
	intake->now.size = size;
	intake->has_want = want != NULL;
	intake->seen = 0;
	oci_hash_free(ib_steal_ptr(&intake->hash));
	if (want) {
		intake->want = *want;
		/* The store's copy was verified when it came: whatever is said here does not matter. */
		if (oci_intake_size(intake, want) == size)
			return 0;
	}
	intake->hash = oci_hash_new(want ? want->algo : OCI_SHA256);
	return make_room(intake, err);
}

int oci_intake_write(struct oci_intake *intake, const void *bytes, size_t n, struct ib_err *err)
{
	struct blob *now = &intake->now;

	if ((int64_t)n > now->size - intake->seen)
		return ib_fail(err, IB_MISMATCH, "content is longer than its %" PRId64 " bytes", now->size);
	if (intake->hash) {
		oci_hash_update(intake->hash, bytes, n);
		if (now->bytes)
			memcpy(now->bytes + intake->seen, bytes, n);
		else if (oci_blob_writer_write(now->writer, bytes, n, err) < 0)
			return -1;
	}
	intake->seen += (int64_t)n;
	return 0;
}

/* Keep what was written, unless the same bytes are here under another name. */
static int keep(struct oci_intake *intake, struct ib_err *err)
{
	struct blob *now = &intake->now;

	if (oci_intake_size(intake, &now->digest) == now->size) {
		blob_done(now);
		return 0;
	}
	if (now->bytes)
		intake->memory += (size_t)now->size;
	else if (oci_blob_writer_start(now->writer, err) < 0)
		return -1;
	else if (intake->n_open < OCI_INTAKE_MAX_OPEN)
		intake->n_open++;
	else if (oci_blob_writer_park(now->writer, err) < 0)
		return -1;
	ib_grow(intake->blobs, intake->n, intake->cap);
	intake->blobs[intake->n++] = *now;
	*now = (struct blob){0};
	return 0;
}

int oci_intake_end(struct oci_intake *intake, struct oci_digest *ret_digest, struct ib_err *err)
{
	struct blob *now = &intake->now;

	if (intake->seen != now->size)
		return ib_fail(err, IB_MISMATCH, "content ends after %" PRId64 " of %" PRId64 " bytes", intake->seen,
			       now->size);
	if (!intake->hash) {
		*ret_digest = intake->want;
		return 0;
	}
	oci_hash_final(intake->hash, &now->digest);
	if (intake->has_want && !oci_digest_equal(&now->digest, &intake->want))
		return oci_fail_mismatch(err, &intake->want, &now->digest);
	*ret_digest = now->digest;
	return keep(intake, err);
}

#define COPY_BYTES (128u << 10)

int oci_intake_copy(struct oci_intake *intake, struct oci_reader *src, const struct oci_descriptor *want,
		    struct ib_err *err)
{
	ib_autofree char *buf = ib_malloc(COPY_BYTES);
	char text[OCI_DIGEST_SIZE];
	struct oci_digest digest;
	ssize_t n;

	if (oci_intake_begin(intake, want->size, &want->digest, err) < 0)
		return -1;
	while ((n = oci_reader_read(src, buf, COPY_BYTES, err)) > 0)
		if (oci_intake_write(intake, buf, (size_t)n, err) < 0 || ib_check_cancelled(err) < 0)
			return ib_wrap(err, "blob %s", oci_digest_str(&want->digest, text));
	if (n < 0)
		return -1;
	return oci_intake_end(intake, &digest, err);
}

int64_t oci_intake_size(struct oci_intake *intake, const struct oci_digest *digest)
{
	const struct blob *blob = find(intake, digest);

	return blob ? blob->size : oci_store_blob_size(intake->store, digest);
}

int oci_intake_open(struct oci_intake *intake, const struct oci_digest *digest, struct oci_reader **ret_reader,
		    struct ib_err *err)
{
	const struct blob *blob = find(intake, digest);
	char text[OCI_DIGEST_SIZE];
	int64_t size;
	int fd;

	if (blob && blob->bytes) {
		*ret_reader = oci_memory_reader_new(blob->bytes, (size_t)blob->size);
		return 0;
	}
	if (!blob && oci_store_blob_size(intake->store, digest) < 0)
		return fail_missing(err, digest);
	fd = blob ? oci_blob_writer_reopen(blob->writer, err) : oci_store_get(intake->store, digest, &size, err);
	if (fd < 0)
		return -1;
	*ret_reader = oci_file_reader_new(fd, oci_digest_str(digest, text));
	return 0;
}

static int check_size(struct oci_intake *intake, const struct oci_descriptor *desc, struct ib_err *err)
{
	int64_t size = oci_intake_size(intake, &desc->digest);
	char text[OCI_DIGEST_SIZE];

	if (size < 0)
		return fail_missing(err, &desc->digest);
	if (size != desc->size)
		return ib_fail(err, IB_MISMATCH, "blob %s: has %" PRId64 " bytes instead of %" PRId64,
			       oci_digest_str(&desc->digest, text), size, desc->size);
	return 0;
}

int oci_intake_get_bytes(struct oci_intake *intake, const struct oci_descriptor *desc, size_t max,
			 char **ret_bytes, size_t *ret_len, struct ib_err *err)
{
	IB_CLEANUP(oci_reader_freep) struct oci_reader *reader = NULL;
	ib_autofree char *bytes = NULL;
	char text[OCI_DIGEST_SIZE];

	if (check_size(intake, desc, err) < 0)
		return -1;
	if ((uint64_t)desc->size > max)
		return ib_fail(err, IB_LIMIT, "blob %s is larger than %zu bytes", oci_digest_str(&desc->digest, text),
			       max);
	if (!find(intake, &desc->digest))
		return oci_store_get_bytes(intake->store, desc, max, ret_bytes, ret_len, err);
	if (oci_intake_open(intake, &desc->digest, &reader, err) < 0)
		return -1;
	bytes = ib_malloc((size_t)desc->size + 1);
	if (oci_reader_read_full(reader, bytes, (size_t)desc->size, err) < 0)
		return -1;
	bytes[desc->size] = '\0';
	*ret_bytes = ib_steal_ptr(&bytes);
	*ret_len = (size_t)desc->size;
	return 0;
}

int oci_intake_need(struct oci_intake *intake, const struct oci_descriptor *desc, struct ib_err *err)
{
	struct blob *blob = find(intake, &desc->digest);

	if (check_size(intake, desc, err) < 0)
		return -1;
	if (blob && !blob->needed) {
		blob->needed = true;
		ib_grow(intake->needed, intake->n_needed, intake->cap_needed);
		intake->needed[intake->n_needed++] = (size_t)(blob - intake->blobs);
	}
	return 0;
}

size_t oci_intake_mark(const struct oci_intake *intake)
{
	return intake->n_needed;
}

void oci_intake_rollback(struct oci_intake *intake, size_t mark)
{
	while (intake->n_needed > mark)
		intake->blobs[intake->needed[--intake->n_needed]].needed = false;
}

static int make_file(struct oci_intake *intake, struct blob *b, struct ib_err *err)
{
	if (b->writer)
		return 0;
	if (oci_blob_writer_new(intake->store, &b->writer, err) < 0)
		return -1;
	return oci_blob_writer_write(b->writer, b->bytes, (size_t)b->size, err);
}

/* The small ones become files now, as many as may be open; the disk begins with all of them at once. */
static int start_small(struct oci_intake *intake, struct ib_err *err)
{
	for (size_t i = 0; i < intake->n_needed && intake->n_open < OCI_INTAKE_MAX_OPEN; i++) {
		struct blob *b = &intake->blobs[intake->needed[i]];

		if (b->writer)
			continue;
		if (make_file(intake, b, err) < 0 || oci_blob_writer_start(b->writer, err) < 0)
			return -1;
		intake->n_open++;
	}
	return 0;
}

int oci_intake_commit(struct oci_intake *intake, struct ib_err *err)
{
	if (start_small(intake, err) < 0)
		return -1;
	for (size_t i = 0; i < intake->n_needed; i++) {
		struct blob *b = &intake->blobs[intake->needed[i]];

		if (make_file(intake, b, err) < 0 || oci_blob_writer_commit(b->writer, &b->digest, err) < 0)
			return -1;
	}
	return 0;
}
