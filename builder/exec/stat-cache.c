#include "builder/exec/stat-cache.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "builder/exec/stat-cache-internal.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define TICK_NS 20000000	/* two ticks of the slowest kernel clock (100 Hz) */
#define COARSE_NS 2000000000	/* file systems that keep whole seconds, or two */

struct exec_stat_cache {
	int dir;		/* -1: cannot be had */
	char name[OCI_DIGEST_SIZE];
	uint8_t key[32];
	struct timespec opened;
	struct cache_reader reader;
	struct cache_writer writer;
	bool writing;
	uint64_t good;		/* bytes of the old file that hold what was put so far; 0: none */
};

struct exec_stat_key exec_stat_key_of(const struct stat *st)
{
	return (struct exec_stat_key){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.mtime = st->st_mtim.tv_sec,
		.ctime = st->st_ctim.tv_sec,
		.mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
		.ctime_ns = (uint32_t)st->st_ctim.tv_nsec,
	};
}

struct exec_stat_cache *exec_stat_cache_open(const char *dir, const struct oci_digest *key)
{
	struct exec_stat_cache *cache = ib_new(struct exec_stat_cache);

	(void)mkdir(dir, 0700);	/* exists, or the open fails */
	cache->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	oci_digest_hex(key, cache->name);
	memcpy(cache->key, key->raw, sizeof cache->key);
	cache->writer.fd = -1;
	(void)clock_gettime(CLOCK_REALTIME_COARSE, &cache->opened);
	cache_reader_open(&cache->reader, cache->dir, cache->name, cache->key);
	return cache;
}

bool exec_stat_cache_find(struct exec_stat_cache *cache, uint32_t source, const char *path,
			  const struct exec_stat_key *key, struct exec_content *ret_content, uint64_t *ret_place)
{
	const struct cache_record *record;
	size_t len = strlen(path);
	int order = 1;

	*ret_place = 0;
	while ((record = cache->reader.record) && (order = cache_order(source, path, len, record)) > 0)
		cache_reader_next(&cache->reader);
	if (!record || order != 0 || memcmp(&record->stat, key, sizeof *key) != 0)
		return false;
	memcpy(ret_content->digest, record->digest, sizeof ret_content->digest);
	memcpy(ret_content->capability, (const char *)(record + 1) + record->path_len, record->capability_len);
	ret_content->capability_len = record->capability_len;
	*ret_place = cache->reader.record_end;
	return true;
}

char *exec_stat_cache_middle(const struct exec_stat_cache *cache, uint32_t source)
{
	ib_autofree char *path = ib_malloc(CACHE_MAX_PATH + 1);
	uint32_t found;

	if (!cache_reader_middle(&cache->reader, &found, path) || found != source)
		return NULL;
	return ib_steal_ptr(&path);
}

/* Could the file change yet without its ctime showing it? */
static bool is_young(const struct exec_stat_cache *cache, const struct exec_stat_key *key)
{
	int64_t margin = key->ctime_ns ? TICK_NS : COARSE_NS;
	int64_t seconds = cache->opened.tv_sec - key->ctime;

	if (seconds < 0 || seconds > 10)
		return seconds < 0;
	return seconds * 1000000000 + cache->opened.tv_nsec - key->ctime_ns < margin;
}

void exec_stat_cache_put(struct exec_stat_cache *cache, uint32_t source, const char *path,
			 const struct exec_stat_key *key, const struct exec_content *content, uint64_t place)
{
	if (!cache->writing && place) {
		cache->good = place;
		return;
	}
	if (is_young(cache, key))
		return;
	if (!cache->writing) {
		cache->writing = true;
		cache_writer_start(&cache->writer, cache->dir, cache->key, cache->reader.fd, cache->good);
	}
	cache_writer_add(&cache->writer, source, path, key, content);
}

void exec_stat_cache_finish(struct exec_stat_cache *cache)
{
	if (cache->writing)
		cache_writer_publish(&cache->writer, cache->dir, cache->name);
}

void exec_stat_cache_free(struct exec_stat_cache *cache)
{
	if (!cache)
		return;
	cache_reader_done(&cache->reader);
	cache_writer_done(&cache->writer, cache->dir);
	ib_closep(&cache->dir);
	free(cache);
}
