/*
 * builder/exec/content-open.h - opening the files that are copied.
 */
#ifndef BUILDER_EXEC_CONTENT_OPEN_H
#define BUILDER_EXEC_CONTENT_OPEN_H

#include <sys/stat.h>

#include "oci/base/err.h"

/*
 * Open the regular file name in dirfd for reading and look at what was opened: a stranger may have put
 * something else there since the walk saw it. Its access time stays as it is where we may ask for that.
 * A descriptor, or -1 with errno (ESTALE: no regular file any more).
 */
int exec_content_open(int dirfd, const char *name, struct stat *ret_st);

/* "read '/path': no such file": why path could not be read or copied (verb), out of errno. Returns -1. */
int exec_content_fail(struct ib_err *err, const char *verb, const char *path);

#endif
