/*
 * oci/tar-header.h - internal to the tar reader and writer: blocks as they are stored, numbers, pax
 * records, sparse maps.
 */
#ifndef OCI_TAR_HEADER_H
#define OCI_TAR_HEADER_H

#include <stddef.h>

#include "oci/tar.h"

#define TAR_BLOCK 512

struct tar_header {	/* POSIX ustar; older and GNU headers differ from magic on */
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char linkname[100];
	char magic[6];
	char version[2];
	char uname[32];
	char gname[32];
	char devmajor[8];
	char devminor[8];
	char prefix[155];
	char padding[12];
};

_Static_assert(sizeof(struct tar_header) == TAR_BLOCK, "a header is one block");

/*
 * A number field: octal text, or the base-256 form of GNU. An empty field is 0. False when it is neither or
 * beyond int64_t.
 */
bool tar_number_parse(const char *field, size_t n, int64_t *ret_value);

/* Decimal digits only, all n bytes of them; false when there are none or too many. */
bool tar_decimal_parse(const char *s, size_t n, int64_t *ret_value);

/* Octal digits and a NUL filling the field; false when value needs more room (the field is then zero). */
bool tar_number_format(char *field, size_t n, uint64_t value);

/* The sum over the header with blanks for its checksum field, as POSIX has it. */
unsigned int tar_checksum(const struct tar_header *header);

/* Whether the stored checksum is right; sums of signed bytes, as some old writers made them, count too. */
bool tar_checksum_ok(const struct tar_header *header);

/* A stretch of content that is stored; between them are holes. */
struct tar_segment {
	int64_t offset, size;
};

#define TAR_MAX_SEGMENTS (1u << 18)	/* 4 MiB of map: a 64 GiB file with a hole every 256 KiB */

/* Maps grow by appending and are checked as they grow: ascending, disjoint, not beyond int64_t. */
struct tar_map {
	struct tar_segment *v;
	size_t n, cap;
	int64_t stored;		/* sum of sizes */
};

void tar_map_done(struct tar_map *map);
int tar_map_add(struct tar_map *map, int64_t offset, int64_t size, struct ib_err *err);

/* What the blocks in front of the content say, one block at a time; *ret_more: another one follows. */
int tar_map_add_gnu(struct tar_map *map, const void *block, bool extension, bool *ret_more,
		    struct ib_err *err);

struct tar_map_text {	/* pax sparse 1.0: "count\noffset\nsize\n..."; zero-initialised */
	int64_t number;		/* digits so far */
	int64_t left;		/* numbers still to come */
	int64_t offset;
	bool started, in_digits;
};

int tar_map_add_text(struct tar_map *map, struct tar_map_text *state, const char *block, bool *ret_more,
		     struct ib_err *err);

/* The size of the file as an old GNU sparse header has it. */
bool tar_gnu_real_size(const void *block, int64_t *ret_size);

/* What pax headers say about an entry. Records that tell nothing about a file in a layer are dropped. */
struct tar_pax {
	char *path, *linkpath;	/* NULL: not given */
	bool has_uid, has_gid, has_size, has_mtime;
	int64_t uid, gid, size;
	struct timespec mtime;
	struct oci_xattr *xattrs;
	size_t n_xattrs, cap_xattrs;

	/* GNU.sparse.* */
	char *sparse_path;
	int64_t sparse_major;	/* 1: the map stands in front of the content */
	bool has_real_size;
	int64_t real_size;
	bool has_map;		/* 0.0 and 0.1: the map is in the records */
	struct tar_map map;
	int64_t pending_offset; /* 0.0: an offset whose size comes next, else -1 */
};

void tar_pax_init(struct tar_pax *pax);
void tar_pax_done(struct tar_pax *pax);

/* Replace what *to holds. */
void tar_pax_copy(struct tar_pax *to, const struct tar_pax *from);

/*
 * Add the records in these bytes to *pax; a record replaces an earlier one of its name, an empty value
 * removes it. Fails with IB_INVALID or IB_LIMIT.
 */
int tar_pax_parse(struct tar_pax *pax, const char *bytes, size_t n, struct ib_err *err);

/* The stream that an archive is read from, in a window that slides over it. */
struct tar_stream {
	struct oci_reader *src;	/* borrowed */
	char *buf;
	size_t start, end;	/* bytes of buf that were read and not consumed */
	int64_t position;	/* in the stream, of buf[start] */
	bool ended;		/* src is */
};

#define TAR_STREAM_BYTES (256u << 10)	/* stays in the second-level cache between being read and used */

void tar_stream_init(struct tar_stream *s, struct oci_reader *src);
void tar_stream_done(struct tar_stream *s);

/*
 * Have n bytes (at most TAR_STREAM_BYTES) in one piece; fewer only at the end. *ret_bytes is borrowed until
 * the next call that reads; *ret_n is all that is there. Polls for cancellation.
 */
int tar_stream_peek(struct tar_stream *s, size_t n, const char **ret_bytes, size_t *ret_n, struct ib_err *err);
void tar_stream_consume(struct tar_stream *s, size_t n);	/* of what was peeked */

/* The next block, not consumed; NULL at the end of the stream. Ends within a block: IB_INVALID. */
int tar_stream_block(struct tar_stream *s, const void **ret_block, struct ib_err *err);

/* Pass over n bytes; IB_INVALID when there are fewer. */
int tar_stream_skip(struct tar_stream *s, int64_t n, struct ib_err *err);

/* Copy n bytes; IB_INVALID when there are fewer. */
int tar_stream_copy(struct tar_stream *s, char *to, size_t n, struct ib_err *err);
int tar_stream_drain(struct tar_stream *s, struct ib_err *err);

/* Zero bytes that follow content of this size. */
static inline unsigned int tar_padding(int64_t size)
{
	return (unsigned int)(-(uint64_t)size % TAR_BLOCK);
}

/* The content of one entry. Zero-initialised: none. */
struct tar_content {
	int64_t left;			/* bytes that are still in the stream */
	unsigned int padding;		/* zero bytes after them */
	struct tar_segment whole;	/* the map of a file without holes */
	struct tar_map map;		/* of a sparse file */
	const struct tar_segment *segments;
	size_t n, at;
	int64_t in_segment;		/* bytes of segments[at] that were handed out */
};

/*
 * Begin the content of a regular file of stored_size bytes in the stream, whose header is the next block;
 * the header and the sparse map are consumed. pax may be NULL. *ret_size is what the file has unpacked.
 */
int tar_content_begin(struct tar_content *c, struct tar_stream *s, int64_t stored_size,
		      const struct tar_pax *pax, int64_t *ret_size, struct ib_err *err);

/* As oci_tar_read(). */
int tar_content_read(struct tar_content *c, struct tar_stream *s, const void **ret_bytes, size_t *ret_n,
		     int64_t *ret_offset, struct ib_err *err);

/* Pass over what was not read. */
int tar_content_end(struct tar_content *c, struct tar_stream *s, struct ib_err *err);

#endif
