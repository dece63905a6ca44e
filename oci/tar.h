/*
 * oci/tar.h - tar streams as layers use them (image-spec layer.md; POSIX pax; GNU long names and sparse
 * files when reading).
 *
 * Both sides are exact in bytes: names are byte strings, never converted. The reader trusts nothing: every
 * length has a limit, numbers are checked, and the stream may end only where tar says so.
 */
#ifndef OCI_TAR_H
#define OCI_TAR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "oci/reader.h"

#define OCI_TAR_MAX_NAME 4095		/* PATH_MAX less its NUL: no longer path can be opened */
#define OCI_TAR_MAX_PAX (1u << 20)	/* bytes of one pax header */
#define OCI_TAR_MAX_XATTRS 256		/* per entry */
#define OCI_TAR_MAX_XATTR_VALUE 65536	/* XATTR_SIZE_MAX of Linux */

struct oci_xattr {
	char *name;	/* "security.capability" */
	void *value;
	size_t size;
};

/* One entry. Strings and arrays belong to whoever filled it. */
struct oci_tar_entry {
	char *name;		/* as in the archive when read (may be hostile); as to be written when writing */
	mode_t mode;		/* S_IFMT type and permission bits; S_IFREG for hard links too */
	bool hardlink;		/* link names the earlier entry */
	char *link;		/* symlink target or hard link target, else NULL */
	uint64_t uid, gid;
	int64_t size;		/* of the file's content; 0 for anything but regular files */
	struct timespec mtime;
	uint32_t major, minor;	/* devices */
	struct oci_xattr *xattrs;
	size_t n_xattrs;
};

void oci_tar_entry_done(struct oci_tar_entry *entry);

struct oci_tar_reader;

/* Reads the (decompressed) stream src, which stays the caller's and outlives it. */
struct oci_tar_reader *oci_tar_reader_new(struct oci_reader *src);
void oci_tar_reader_free(struct oci_tar_reader *reader);
IB_DEFINE_FREE(oci_tar_reader);

/*
 * The next entry: 1 with *ret_entry, borrowed until the next call; 0 at the end; -1. Content not read is
 * skipped. Types that have no place in a file tree (volume labels, global headers ...) are passed over;
 * unknown vendor types are IB_INVALID. Errors name the entry.
 */
int oci_tar_next(struct oci_tar_reader *reader, const struct oci_tar_entry **ret_entry, struct ib_err *err);

/*
 * Content of the current entry, in order: 1 with a piece (borrowed until the next call) at *ret_offset, 0
 * at its end, -1. Gaps between pieces, and up to size, are holes of a sparse file.
 */
int oci_tar_read(struct oci_tar_reader *reader, const void **ret_bytes, size_t *ret_n, int64_t *ret_offset,
		 struct ib_err *err);

/* Bytes go out through this; -1 with err. */
typedef int oci_tar_sink(void *ctx, const void *bytes, size_t n, struct ib_err *err);

struct oci_tar_writer;
struct oci_tar_writer *oci_tar_writer_new(oci_tar_sink *sink, void *ctx);
void oci_tar_writer_free(struct oci_tar_writer *writer);
IB_DEFINE_FREE(oci_tar_writer);

/*
 * Begin an entry: ustar where all fits, a pax header in front where something does not (long or non-ASCII
 * names, sizes and ids beyond octal fields, xattrs as SCHILY.xattr.*). uname and gname stay empty; mtime is
 * written in whole seconds (rounded down). Exactly entry->size bytes of content follow through
 * oci_tar_write(). Directories get their trailing '/' here.
 */
int oci_tar_begin(struct oci_tar_writer *writer, const struct oci_tar_entry *entry, struct ib_err *err);
int oci_tar_write(struct oci_tar_writer *writer, const void *bytes, size_t n, struct ib_err *err);
int oci_tar_end(struct oci_tar_writer *writer, struct ib_err *err);	/* two zero blocks */

#endif
