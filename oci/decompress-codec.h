/*
 * oci/decompress-codec.h - internal: what oci_decompress_reader_new() asks of each compression.
 */
#ifndef OCI_DECOMPRESS_CODEC_H
#define OCI_DECOMPRESS_CODEC_H

#include <stdbool.h>
#include <stddef.h>

#include "oci/base/err.h"

/* Both pointers move on as bytes are taken and given. */
struct decompress_io {
	const unsigned char *in;
	size_t n_in;
	unsigned char *out;
	size_t n_out;
	bool in_ended;	/* nothing follows these n_in bytes */
};

struct decompress_codec {
	void *(*new)(void);
	void (*free)(void *state);

	/*
	 * Work until input or output is used up. 1: the stream may end here (all frames are complete and
	 * verified); 0: more is needed; -1 with IB_INVALID or IB_LIMIT. Called again with more input after a
	 * 1 it goes on with the next frame.
	 */
	int (*step)(void *state, struct decompress_io *io, struct ib_err *err);
};

extern const struct decompress_codec decompress_gzip;
extern const struct decompress_codec decompress_zstd;
extern const struct decompress_codec decompress_bzip2;
extern const struct decompress_codec decompress_xz;

#endif
