/*
 * builder/snapshot/copy-entry.h - content and metadata of one file or directory, from one place to another.
 */
#ifndef BUILDER_SNAPSHOT_COPY_ENTRY_H
#define BUILDER_SNAPSHOT_COPY_ENTRY_H

#include <stdbool.h>
#include <sys/stat.h>

#include "oci/base/err.h"

/* The content of from, an open file that st describes, into the empty file to. 0, or -1 with errno. */
int snapshot_copy_content(int from, const struct stat *st, int to);

/*
 * Extended attributes but overlayfs's own, of which the layers' marks have no meaning in another place. What
 * cannot be set here is left out. 0, or -1 with errno.
 */
int snapshot_copy_xattrs(int from, int to);

/* Owner (with keep_owner), mode and mtime of st to the open file or directory fd. 0, or -1 with errno. */
int snapshot_set_metadata(int fd, const struct stat *st, bool keep_owner);

/* Create the link, fifo or device that st describes as name in to_dir, source of links being in from_dir. */
int snapshot_copy_special(int from_dir, const char *name, const struct stat *st, int to_dir, bool keep_owner);

/* "'path': strerror(errno)". Returns -1. */
int snapshot_fail(struct ib_err *err, const char *what, const char *path);

#endif
