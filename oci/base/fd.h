/*
 * oci/base/fd.h - files by descriptor: opening inside a root, whole reads and writes, atomic replacement.
 *
 * Paths that came from a user, an archive or a registry are opened only through ib_open_in() (inside a
 * root filesystem or context: ".." and links stay inside) or ib_open_beneath() (inside our own store: no
 * link is followed and nothing leaves the directory).
 */
#ifndef OCI_BASE_FD_H
#define OCI_BASE_FD_H

#include <stdint.h>
#include <sys/types.h>

#include "oci/base/err.h"

/* openat2(2) with RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS and O_CLOEXEC. Returns a descriptor or -1. */
int ib_open_in(int root, const char *path, int flags, mode_t mode, struct ib_err *err);

/* openat2(2) with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS and O_CLOEXEC. Returns a descriptor or -1. */
int ib_open_beneath(int dir, const char *path, int flags, mode_t mode, struct ib_err *err);

/* Read up to n bytes, fewer only at the end of the file. Returns the count, or -1 with errno set. */
ssize_t ib_read_full(int fd, void *buf, size_t n);

/* Write all n bytes. Returns 0, or -1 with errno set. */
int ib_write_full(int fd, const void *buf, size_t n);
int ib_pwrite_full(int fd, const void *buf, size_t n, off_t offset);

/*
 * The rest of fd, NUL-terminated (the NUL is not counted in *ret_len). Fails with IB_LIMIT beyond max
 * bytes. what names the file in errors. *ret_bytes is the caller's.
 */
int ib_read_all(int fd, size_t max, const char *what, char **ret_bytes, size_t *ret_len,
		struct ib_err *err);

/* As above for the file path below dir (AT_FDCWD allowed), which must be a regular file. */
int ib_read_file(int dir, const char *path, size_t max, char **ret_bytes, size_t *ret_len,
		 struct ib_err *err);

/*
 * Replace the file name in dir by these bytes, whole or not at all: temporary file, fsync, rename,
 * fsync of the directory. Concurrent readers see the old content or the new.
 */
int ib_replace_file(int dir, const char *name, const void *bytes, size_t n, mode_t mode,
		    struct ib_err *err);

/* mkdir -p below dir, without following links; existing directories are kept. */
int ib_mkdirs(int dir, const char *path, mode_t mode, struct ib_err *err);

/*
 * A nameless file for writing in dir, to be named with ib_tmpfile_link(). Where the file system has no
 * O_TMPFILE a file under a temporary name stands in, and *ret_name (else NULL) holds that name.
 */
int ib_tmpfile(int dir, char **ret_name, struct ib_err *err);

/*
 * Give the file a name in dir, which must be the directory it was made in. A name that exists already is
 * success when keep_existing. temp_name is what ib_tmpfile() returned; that name is gone afterwards.
 */
int ib_tmpfile_link(int fd, const char *temp_name, int dir, const char *name, int keep_existing,
		    struct ib_err *err);

#endif
