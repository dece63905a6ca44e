/*
 * builder/exec/content-hash.h - one digest of the contents of many files, read by several threads.
 *
 * Files are added in order and the result depends on that order and the contents alone. A file's content is
 * its SHA-256; for files of more than EXEC_CHUNK bytes the SHA-256 of those of its chunks, so that all
 * threads work on a large file together. Few files are open and little is in memory at any time.
 */
#ifndef BUILDER_EXEC_CONTENT_HASH_H
#define BUILDER_EXEC_CONTENT_HASH_H

#include "builder/exec/stat-cache.h"

#define EXEC_CHUNK (8 << 20)

struct exec_content_hash;	/* owned by one thread */

/*
 * cache (NULL: none) is asked and told; it outlives the hash. With capabilities, security.capability is part
 * of the content.
 */
struct exec_content_hash *exec_content_hash_new(struct exec_stat_cache *cache, bool capabilities);
void exec_content_hash_free(struct exec_content_hash *hash);
IB_DEFINE_FREE(exec_content_hash);

/*
 * Add a file whose content is known from the cache. Returns 1, or 0 when it is not known and has to be added
 * with exec_content_hash_add(), or -1.
 */
int exec_content_hash_add_known(struct exec_content_hash *hash, uint32_t source, const char *path,
				const struct stat *st, struct ib_err *err);

/* Add a file by reading it: st->st_size bytes, or as many as there are. Closes take_fd when it is done. */
int exec_content_hash_add(struct exec_content_hash *hash, uint32_t source, const char *path,
			  const struct stat *st, int take_fd, struct ib_err *err);

/* The digest of all that was added. */
int exec_content_hash_finish(struct exec_content_hash *hash, struct oci_digest *ret_digest, struct ib_err *err);

#endif
