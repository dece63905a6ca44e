/*
 * oci/compression.h - how layers are compressed, and the reader that undoes it.
 */
#ifndef OCI_COMPRESSION_H
#define OCI_COMPRESSION_H

#include "oci/descriptor.h"
#include "oci/reader.h"

enum oci_compression {
	OCI_UNCOMPRESSED,
	OCI_GZIP,
	OCI_ZSTD,
	OCI_BZIP2,	/* read only: ADD unpacks it, layers never have it */
	OCI_XZ,		/* read only */
};

struct oci_compression_setting {
	enum oci_compression compression;
	int level;	/* 0: the default of that compression */
};

/*
 * Parse "gzip", "zstd:7", "none", "uncompressed". Fails with IB_USAGE: unknown name (the nearest is named),
 * level out of range (gzip 1..12, zstd 1..19).
 */
int oci_compression_parse(const char *text, struct oci_compression_setting *ret_setting, struct ib_err *err);
const char *oci_compression_name(enum oci_compression compression);

/* The layer media type, in the OCI or the Docker family (IB_UNSUPPORTED: Docker has no zstd). */
int oci_compression_media(enum oci_compression compression, bool docker, enum oci_media *ret_media,
			  struct ib_err *err);

/* What the first bytes of a stream say it is. n >= 6 bytes suffice; fewer are fine. */
enum oci_compression oci_compression_sniff(const void *bytes, size_t n);

/*
 * The decompressed bytes of inner, whatever its compression: told by its first bytes. Concatenated gzip
 * members and zstd frames are one stream. Window and memory are bounded (zstd windows over 128 MiB are
 * refused with IB_LIMIT). Truncated or corrupt input is IB_INVALID. *ret_found may be NULL.
 */
int oci_decompress_reader_new(struct oci_reader *take_inner, enum oci_compression *ret_found,
			      struct oci_reader **ret_reader, struct ib_err *err);

#endif
