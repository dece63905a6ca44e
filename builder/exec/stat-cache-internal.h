/*
 * builder/exec/stat-cache-internal.h - the file of a stat cache, shared by what reads and what writes it.
 */
#ifndef BUILDER_EXEC_STAT_CACHE_INTERNAL_H
#define BUILDER_EXEC_STAT_CACHE_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "builder/exec/stat-cache.h"

/* Numbers are in the machine's own order: a cache never leaves its machine. */
struct cache_head {
	char magic[32];
	uint8_t key[32];
};

/* Followed by the path and the capability, without NULs between. */
struct cache_record {
	uint64_t check;		/* of all that follows: a crash may leave pages of zeros */
	struct exec_stat_key stat;
	uint8_t digest[32];
	uint32_t source;
	uint16_t path_len;
	uint16_t capability_len;
};

#define CACHE_MAGIC "imgbuild stat cache 1\n"
#define CACHE_MAX_PATH 8192	/* longer ones are not recorded */
#define CACHE_MAX_RECORD (sizeof(struct cache_record) + CACHE_MAX_PATH + EXEC_CAPABILITY_MAX)

/* The check of a record whose variable part follows it in memory. */
uint64_t cache_record_check(const struct cache_record *record);

/* Reading: records one by one through a buffer. */
struct cache_reader {
	int fd;			/* -1: there is none, or no more */
	char *buffer;
	size_t at, end;		/* what is in the buffer and not yet used */
	uint64_t offset;	/* in the file, of at */
	const struct cache_record *record;	/* the current one, in the buffer; NULL before the first and at the end */
	uint64_t record_end;	/* offset in the file */
};

void cache_reader_open(struct cache_reader *reader, int dir, const char *name, const uint8_t key[static 32]);
void cache_reader_next(struct cache_reader *reader);	/* record is NULL at the end or at the first damage */
void cache_reader_done(struct cache_reader *reader);

/*
 * The file that lies in the middle of a large cache, so that a walk can be divided in two. False when the cache
 * is small, or not there.
 */
bool cache_reader_middle(const struct cache_reader *reader, uint32_t *ret_source,
			 char path[static CACHE_MAX_PATH + 1]);

/* Order of the walk: <0, 0, >0. Neither path needs a NUL. */
int cache_order(uint32_t source, const char *path, size_t len, const struct cache_record *record);

/* Writing: a nameless file that takes the name when it is complete. Failures are kept until then. */
struct cache_writer {
	int fd;			/* -1: not started, or failed */
	char *temp;		/* its name, where the file system has no nameless files */
	char *buffer;
	size_t len;
};

/* Start with the first bytes of the old file, which hold good, or with a new head for bytes = 0. */
void cache_writer_start(struct cache_writer *writer, int dir, const uint8_t key[static 32], int old_fd,
			uint64_t bytes);
void cache_writer_add(struct cache_writer *writer, uint32_t source, const char *path,
		      const struct exec_stat_key *key, const struct exec_content *content);
void cache_writer_publish(struct cache_writer *writer, int dir, const char *name);
void cache_writer_done(struct cache_writer *writer, int dir);

#endif
