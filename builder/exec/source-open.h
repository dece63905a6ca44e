/*
 * builder/exec/source-open.h - opening the files that are copied.
 */
#ifndef BUILDER_EXEC_SOURCE_OPEN_H
#define BUILDER_EXEC_SOURCE_OPEN_H

#include <sys/stat.h>

/*
 * Open the regular file name in dirfd for reading and look at what was opened: a stranger may have put
 * something else there since the walk saw it. Its access time stays as it is where we may ask for that.
 * A descriptor, or -1 with errno (EINVAL: no regular file any more).
 */
int exec_source_open(int dirfd, const char *name, struct stat *ret_st);

#endif
