/*
 * oci/diff-file.h - regular files of a tree that is compared: opening them, the one attribute layers keep.
 */
#ifndef OCI_DIFF_FILE_H
#define OCI_DIFF_FILE_H

#include <stddef.h>
#include <sys/stat.h>

#include "oci/base/err.h"

#define DIFF_CAPABILITY "security.capability"

struct diff_capability {
	unsigned char bytes[64];	/* the kernel's largest, version 3, has 24 */
	size_t n;			/* 0: none */
};

/* Open the regular file that st is of; another in its place is IB_MISMATCH. path stands in errors. */
int diff_open(int dirfd, const char *name, const struct stat *st, const char *path, struct ib_err *err);

int diff_capability(int fd, struct diff_capability *ret_cap, const char *path, struct ib_err *err);

#endif
