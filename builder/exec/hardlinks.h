/*
 * builder/exec/hardlinks.h - which files with several names were copied already, and to where.
 *
 * Made for very many: a context may be full of files whose other names lie outside of it.
 */
#ifndef BUILDER_EXEC_HARDLINKS_H
#define BUILDER_EXEC_HARDLINKS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct exec_hardlinks {	/* zero-initialised */
	struct exec_hardlink *slot;	/* open addressing, a power of two of them */
	size_t n, n_slots;
	char *paths;			/* one after the other, each with its NUL */
	size_t paths_len, paths_cap;
};

void exec_hardlinks_done(struct exec_hardlinks *links);
void exec_hardlinks_forget(struct exec_hardlinks *links);	/* all of them */

/* Where the file st was copied to; NULL when it was not. Borrowed until the next addition. */
const char *exec_hardlinks_find(const struct exec_hardlinks *links, const struct stat *st);

/* The file st, not known so far, was copied to dir/name (dir may be ""). */
void exec_hardlinks_add(struct exec_hardlinks *links, const struct stat *st, const char *dir, const char *name);

#endif
