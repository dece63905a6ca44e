/*
 * oci/compress-block.h - one block of a layer compressed whole: a gzip member (RFC 1952) or a zstd frame
 * (RFC 8878) that needs none of the others.
 */
#ifndef OCI_COMPRESS_BLOCK_H
#define OCI_COMPRESS_BLOCK_H

#include <stddef.h>

#include "oci/compression.h"

/* Tables of a compressor, costly to make and good for any number of blocks; used by one thread at a time. */
struct block_compressor;

/* setting is OCI_GZIP or OCI_ZSTD. Fails with IB_UNSUPPORTED when the library knows no such level. */
int block_compressor_new(const struct oci_compression_setting *setting, struct block_compressor **ret_compressor,
			 struct ib_err *err);
void block_compressor_free(struct block_compressor *compressor);
IB_DEFINE_FREE(block_compressor);

/* Room that the output of n bytes may take, whatever they are. */
size_t block_compress_bound(const struct oci_compression_setting *setting, size_t n);

/*
 * Compress n bytes (possibly none) into out, which has room for the bound. The same bytes and setting give
 * the same output, whatever was compressed before: no names, no time, no host in it.
 */
int block_compress(struct block_compressor *compressor, const void *in, size_t n, void *out, size_t room,
		   size_t *ret_n, struct ib_err *err);

#endif
