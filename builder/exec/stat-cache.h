/*
 * builder/exec/stat-cache.h - what the files of a selection contained when they were read last.
 *
 * One file per selection, read and written as a stream: a head, then one record per regular file in the order
 * of the walk. A record holds for a file whose device, inode, size, mtime and ctime are the same still. The
 * kernel's clock ticks: a change within one tick of the last one could leave the same ctime, so files that
 * young are not recorded. A cache is only a hint. One that cannot be read, or that is damaged, is as good as
 * none; one that cannot be written is not an error either. Writers do not disturb each other or readers: a
 * new file is written aside and takes the place of the old one whole.
 */
#ifndef BUILDER_EXEC_STAT_CACHE_H
#define BUILDER_EXEC_STAT_CACHE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "oci/digest.h"

#define EXEC_CAPABILITY_MAX 64	/* bytes of security.capability; version 3 has 24 */

/* All that counts of a file's content. */
struct exec_content {
	uint8_t digest[32];
	uint8_t capability[EXEC_CAPABILITY_MAX];
	size_t capability_len;	/* 0: the file has none */
};

/* What tells that a file is the same. */
struct exec_stat_key {
	uint64_t dev, ino, size;
	int64_t mtime, ctime;
	uint32_t mtime_ns, ctime_ns;
};

struct exec_stat_key exec_stat_key_of(const struct stat *st);

struct exec_stat_cache;	/* owned by one thread */

/*
 * Order of a walk: bytes, with '/' before everything, so that what is in a directory comes before names that
 * extend its own. <0, 0, >0.
 */
int exec_path_order(const char *a, size_t a_len, const char *b, size_t b_len);

/* The cache of the selection that key names, in the directory dir (made when missing). Never NULL. */
struct exec_stat_cache *exec_stat_cache_open(const char *dir, const struct oci_digest *key);

/*
 * What is known of the file; false when nothing is. Files are asked for in the order of the walk: by source,
 * then by path, where '/' comes before all other bytes. *ret_place is for exec_stat_cache_put().
 */
bool exec_stat_cache_find(struct exec_stat_cache *cache, uint32_t source, const char *path,
			  const struct exec_stat_key *key, struct exec_content *ret_content, uint64_t *ret_place);

/*
 * The path of a file in the middle of what the cache knows (caller's), to divide a walk of this source there;
 * NULL when the cache is small or begins with another source.
 */
char *exec_stat_cache_middle(const struct exec_stat_cache *cache, uint32_t source);

/*
 * Note the content of a file, in the order of the walk; place is 0 when it was not found. May lag behind
 * exec_stat_cache_find(). As long as all was found nothing is written.
 */
void exec_stat_cache_put(struct exec_stat_cache *cache, uint32_t source, const char *path,
			 const struct exec_stat_key *key, const struct exec_content *content, uint64_t place);

/* The walk is at its end: what was noted becomes the cache, if it differs. */
void exec_stat_cache_finish(struct exec_stat_cache *cache);

/* Without finish, what was noted is forgotten. */
void exec_stat_cache_free(struct exec_stat_cache *cache);
IB_DEFINE_FREE(exec_stat_cache);

#endif
