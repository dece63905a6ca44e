/*
 * builder/exec/copy-file.h - the content of one file.
 */
#ifndef BUILDER_EXEC_COPY_FILE_H
#define BUILDER_EXEC_COPY_FILE_H

#include <stddef.h>
#include <stdint.h>

#define EXEC_COPY_BUFFER (256u << 10)

/*
 * Copy the first size bytes of from, or what there is of them, to the empty file to. Shared with the source
 * where the file system can (FICLONE), sparse where the source (of blocks 512-byte units) is. buffer has
 * EXEC_COPY_BUFFER bytes. 0, or -1 with errno (ECANCELED after ib_cancel()).
 */
int exec_copy_content(int from, int to, int64_t size, int64_t blocks, char *buffer);

#endif
