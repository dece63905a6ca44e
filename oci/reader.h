/*
 * oci/reader.h - byte streams that are pulled: a file, a download, a decompressor around either.
 *
 * A reader is owned by one thread. Readers stack: one that wraps another takes it and frees it. A failure
 * is final; after it only oci_reader_free() may be called.
 */
#ifndef OCI_READER_H
#define OCI_READER_H

#include <stdint.h>
#include <sys/types.h>

#include "oci/base/err.h"
#include "oci/descriptor.h"

struct oci_reader;
struct oci_blob_writer;

struct oci_reader_ops {
	/* 1..n bytes into buf, 0 at the end, -1 with err. */
	ssize_t (*read)(struct oci_reader *reader, void *buf, size_t n, struct ib_err *err);
	void (*free)(struct oci_reader *reader);
};

/* First member of every implementation's struct. */
struct oci_reader {
	const struct oci_reader_ops *ops;
};

ssize_t oci_reader_read(struct oci_reader *reader, void *buf, size_t n, struct ib_err *err);

/* Up to n bytes, fewer only at the end. */
ssize_t oci_reader_read_full(struct oci_reader *reader, void *buf, size_t n, struct ib_err *err);
void oci_reader_free(struct oci_reader *reader);
IB_DEFINE_FREE(oci_reader);

/* Read and discard to the end: what verifies sees all of it. */
int oci_reader_drain(struct oci_reader *reader, struct ib_err *err);

/* The bytes of fd from its offset to its end. Closes take_fd. name stands in errors. */
struct oci_reader *oci_file_reader_new(int take_fd, const char *name);

/* The bytes of a buffer that outlives the reader. */
struct oci_reader *oci_memory_reader_new(const void *bytes, size_t n);

/* What inner gives; freeing it leaves inner to its owner, who must outlive it. */
struct oci_reader *oci_borrowed_reader_new(struct oci_reader *inner);

/*
 * What inner gives, checked against want: more than want->size bytes, fewer, or another digest is
 * IB_MISMATCH, told at the end of the stream (the last read fails instead of returning 0). Callers act on
 * what they read only after the end was reached, or undo it. tee, when not NULL, is written with every
 * byte; it stays the caller's, and is not committed.
 */
struct oci_reader *oci_verify_reader_new(struct oci_reader *take_inner, const struct oci_descriptor *want,
					 struct oci_blob_writer *tee);

/* What inner gives, hashed; *ret_digest (outliving the reader) is set when the end is reached. */
struct oci_reader *oci_hash_reader_new(struct oci_reader *take_inner, struct oci_digest *ret_digest);

#endif
