/*
 * oci/layer-write.h - the one way a layer is made: entries -> tar -> diff ID -> blocks compressed on all
 * cores -> digest -> blob (DESIGN decision 3; layer.md).
 *
 * Output depends on the entries and the compression setting alone, never on threads, time or host. The
 * pipeline holds a fixed number of fixed-size blocks, whatever the layer weighs. Compressed blocks are
 * independent gzip members or zstd frames of OCI_LAYER_BLOCK bytes of input each.
 */
#ifndef OCI_LAYER_WRITE_H
#define OCI_LAYER_WRITE_H

#include "oci/base/pool.h"
#include "oci/compression.h"
#include "oci/store.h"
#include "oci/tar.h"

#define OCI_LAYER_BLOCK (1u << 20)	/* bytes of tar in one compressed block: larger gains under 1 % */

struct oci_layer_writer;	/* owned by one thread */

/*
 * Start a layer. pool does the compressing, may be shared by any number of writers, and outlives them;
 * a writer never keeps more than 2 * threads + 2 blocks in flight.
 * With a NULL store nothing is kept or compressed: only the diff ID and the size of the tar are found out, and
 * the descriptor of the result stays empty.
 */
int oci_layer_writer_new(struct oci_store *store, struct ib_pool *pool,
			 const struct oci_compression_setting *setting,
			 struct oci_layer_writer **ret_writer, struct ib_err *err);
void oci_layer_writer_free(struct oci_layer_writer *writer);
IB_DEFINE_FREE(oci_layer_writer);

/* The tar stream to add entries to; borrowed. Its failures are also this writer's. */
struct oci_tar_writer *oci_layer_writer_tar(struct oci_layer_writer *writer);

/*
 * Instead of oci_tar_*: append bytes of a finished tar stream, to compress again what exists (a layer in
 * another compression). The two ways are not mixed.
 */
int oci_layer_writer_raw(struct oci_layer_writer *writer, const void *bytes, size_t n, struct ib_err *err);

/* Begin an entry and stream the content of fd (exactly entry->size bytes; holes are skipped over by
 * SEEK_DATA). A file that shrinks meanwhile is IB_MISMATCH, naming it. */
int oci_layer_writer_file(struct oci_layer_writer *writer, const struct oci_tar_entry *entry, int fd,
			  struct ib_err *err);

/* Bytes of tar taken so far, for progress; may be called from any thread. */
int64_t oci_layer_writer_bytes(const struct oci_layer_writer *writer);

struct oci_layer {
	struct oci_descriptor desc;	/* media type, digest and size of the blob; done by oci_layer_done() */
	struct oci_diff_id diff_id;
	int64_t tar_size;		/* uncompressed bytes */
};

void oci_layer_done(struct oci_layer *layer);

/* Write the end of the archive (unless raw), wait for all blocks, commit the blob. */
int oci_layer_writer_finish(struct oci_layer_writer *writer, struct oci_layer *ret_layer, struct ib_err *err);

/*
 * The same layer in another compression: decompress src, which must hash to diff_id, and write it anew.
 */
int oci_layer_recompress(struct oci_store *store, struct ib_pool *pool, const struct oci_descriptor *src,
			 const struct oci_diff_id *diff_id, const struct oci_compression_setting *setting,
			 struct oci_layer *ret_layer, struct ib_err *err);

#endif
