#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/exec/stat-cache-internal.h"
#include "oci/base/alloc.h"
#include "oci/base/fd.h"

#include "oci/base/poison.h"

#define BUFFER (256u << 10)

uint64_t cache_record_check(const struct cache_record *record)
{
	const char *p = (const char *)record + sizeof record->check;
	size_t n = sizeof *record - sizeof record->check + record->path_len + record->capability_len;
	uint64_t h = n, word;

	/* Against damage only, so quick is all it has to be: there are 46,000 records in a Python. */
	for (; n >= sizeof word; p += sizeof word, n -= sizeof word) {
		memcpy(&word, p, sizeof word);
		h = (h ^ word) * 0x9e3779b97f4a7c15u;
		h ^= h >> 32;
	}
	word = 0;
	memcpy(&word, p, n);
	h = (h ^ word) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 29;
}

/* Make at least n bytes available at reader->at. */
static bool fill(struct cache_reader *reader, size_t n)
{
	ssize_t got;

	if (reader->end - reader->at >= n)
		return true;
	memmove(reader->buffer, reader->buffer + reader->at, reader->end - reader->at);
	reader->end -= reader->at;
	reader->at = 0;
	got = ib_read_full(reader->fd, reader->buffer + reader->end, BUFFER - reader->end);
	if (got > 0)
		reader->end += (size_t)got;
	return reader->end >= n;
}

static void consume(struct cache_reader *reader, size_t n)
{
	reader->at += n;
	reader->offset += n;
}

void cache_reader_done(struct cache_reader *reader)
{
	ib_closep(&reader->fd);
	reader->fd = -1;
	free(ib_steal_ptr(&reader->buffer));
	reader->record = NULL;
}

void cache_reader_open(struct cache_reader *reader, int dir, const char *name, const uint8_t key[static 32])
{
	struct cache_head want = {.magic = CACHE_MAGIC}, head;

	*reader = (struct cache_reader){.fd = -1};
	if (dir >= 0)
		reader->fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (reader->fd < 0)
		return;
	memcpy(want.key, key, sizeof want.key);
	reader->buffer = ib_malloc(BUFFER);
	if (!fill(reader, sizeof head)) {
		cache_reader_done(reader);
		return;
	}
	memcpy(&head, reader->buffer, sizeof head);
	if (memcmp(&head, &want, sizeof head) != 0) {
		cache_reader_done(reader);
		return;
	}
	consume(reader, sizeof head);
	reader->record_end = reader->offset;
	cache_reader_next(reader);
}

static bool read_record(struct cache_reader *reader, size_t *ret_size)
{
	struct cache_record *record;
	size_t n = sizeof *record;

	/* Records have a multiple of 8 bytes, but what moved to the buffer's start may not be aligned. */
	if (!fill(reader, n))
		return false;
	record = (void *)(reader->buffer + reader->at);
	if (record->path_len > CACHE_MAX_PATH || record->capability_len > EXEC_CAPABILITY_MAX)
		return false;
	n += (size_t)record->path_len + record->capability_len;
	n = (n + 7) & ~(size_t)7;
	if (!fill(reader, n))
		return false;
	record = (void *)(reader->buffer + reader->at);
	if (cache_record_check(record) != record->check)
		return false;
	reader->record = record;
	*ret_size = n;
	return true;
}

void cache_reader_next(struct cache_reader *reader)
{
	size_t n;

	reader->record = NULL;
	if (reader->fd < 0 || !read_record(reader, &n))
		return;
	consume(reader, n);
	reader->record_end = reader->offset;
}

int exec_path_order(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t n = a_len < b_len ? a_len : b_len;

	for (size_t i = 0; i < n; i++) {
		if (a[i] == b[i])
			continue;
		if (a[i] == '/' || b[i] == '/')
			return a[i] == '/' ? -1 : 1;
		return (unsigned char)a[i] < (unsigned char)b[i] ? -1 : 1;
	}
	return a_len == b_len ? 0 : a_len < b_len ? -1 : 1;
}

int cache_order(uint32_t source, const char *path, size_t len, const struct cache_record *record)
{
	if (source != record->source)
		return source < record->source ? -1 : 1;
	return exec_path_order(path, len, (const char *)(record + 1), record->path_len);
}

#define MIDDLE_MIN_BYTES (1 << 20)	/* some 6,000 files: fewer are looked at faster than divided */

bool cache_reader_middle(const struct cache_reader *reader, uint32_t *ret_source, char path[static CACHE_MAX_PATH + 1])
{
	ib_autofree char *window = ib_malloc(2 * CACHE_MAX_RECORD);
	struct stat st;
	ssize_t n;

	if (reader->fd < 0 || fstat(reader->fd, &st) < 0 || st.st_size < MIDDLE_MIN_BYTES)
		return false;
	n = pread(reader->fd, window, 2 * CACHE_MAX_RECORD, st.st_size / 2 & ~(off_t)7);
	/* Records begin at multiples of 8; their check tells one from what only looks like one. */
	for (ssize_t at = 0; at + (ssize_t)sizeof(struct cache_record) < n; at += 8) {
		const struct cache_record *record = (const void *)(window + at);

		if (record->path_len > CACHE_MAX_PATH || record->capability_len > EXEC_CAPABILITY_MAX ||
		    at + (ssize_t)sizeof *record + record->path_len + record->capability_len > n ||
		    cache_record_check(record) != record->check)
			continue;
		memcpy(path, record + 1, record->path_len);
		path[record->path_len] = '\0';
		*ret_source = record->source;
		return true;
	}
	return false;
}

static void flush(struct cache_writer *writer)
{
	if (writer->fd >= 0 && writer->len > 0 && ib_write_full(writer->fd, writer->buffer, writer->len) < 0)
		ib_closep(&writer->fd), writer->fd = -1;
	writer->len = 0;
}

static void add_bytes(struct cache_writer *writer, const void *bytes, size_t n)
{
	memcpy(writer->buffer + writer->len, bytes, n);
	writer->len += n;
}

static bool copy_start(int to, int from, uint64_t bytes)
{
	loff_t at = 0;

	while ((uint64_t)at < bytes)
		if (copy_file_range(from, &at, to, NULL, bytes - (uint64_t)at, 0) <= 0)
			return false;
	return true;
}

void cache_writer_start(struct cache_writer *writer, int dir, const uint8_t key[static 32], int old_fd,
			uint64_t bytes)
{
	struct cache_head head = {.magic = CACHE_MAGIC};
	ib_autoerr err = {0};	/* dropped: a cache that cannot be written is no failure */

	writer->fd = dir < 0 ? -1 : ib_tmpfile(dir, &writer->temp, &err);
	writer->buffer = ib_malloc(BUFFER);
	memcpy(head.key, key, sizeof head.key);
	if (writer->fd < 0)
		return;
	if (bytes == 0)
		add_bytes(writer, &head, sizeof head);
	else if (!copy_start(writer->fd, old_fd, bytes))
		ib_closep(&writer->fd), writer->fd = -1;
}

void cache_writer_add(struct cache_writer *writer, uint32_t source, const char *path,
		      const struct exec_stat_key *key, const struct exec_content *content)
{
	size_t path_len = strlen(path), start;
	struct cache_record record = {
		.stat = *key,
		.source = source,
		.path_len = (uint16_t)path_len,
		.capability_len = (uint16_t)content->capability_len,
	};

	if (writer->fd < 0 || path_len > CACHE_MAX_PATH)
		return;
	if (BUFFER - writer->len < CACHE_MAX_RECORD + 8)
		flush(writer);
	start = writer->len;
	memcpy(record.digest, content->digest, sizeof record.digest);
	add_bytes(writer, &record, sizeof record);
	add_bytes(writer, path, path_len);
	add_bytes(writer, content->capability, content->capability_len);
	while (writer->len % 8)
		writer->buffer[writer->len++] = 0;
	record.check = cache_record_check((const void *)(writer->buffer + start));
	memcpy(writer->buffer + start, &record.check, sizeof record.check);
}

/* Under a name of its own first, for linkat(2) does not replace. */
void cache_writer_publish(struct cache_writer *writer, int dir, const char *name)
{
	ib_autofree char *aside = ib_asprintf("%s.%d.%d", name, (int)getpid(), writer->fd);
	ib_autoerr err = {0};	/* dropped, as above */

	flush(writer);
	if (writer->fd < 0)
		return;
	(void)unlinkat(dir, aside, 0);	/* left by a process of our number that died */
	if (ib_tmpfile_link(writer->fd, writer->temp, dir, aside, 0, &err) == 0 &&
	    renameat(dir, aside, dir, name) < 0)
		(void)unlinkat(dir, aside, 0);
	free(ib_steal_ptr(&writer->temp));
}

void cache_writer_done(struct cache_writer *writer, int dir)
{
	ib_closep(&writer->fd);
	writer->fd = -1;
	if (writer->temp)
		(void)unlinkat(dir, writer->temp, 0);
	free(ib_steal_ptr(&writer->temp));
	free(ib_steal_ptr(&writer->buffer));
}
