#include "builder/exec/content-hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "builder/exec/ordered.h"
#include "oci/base/alloc.h"
#include "oci/base/pool.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define BATCH_PIECES 32
#define BATCH_BYTES (4 << 20)		/* a batch is handed over when it has this much to read */
#define MAX_THREADS 8			/* times two batches of files that are open: half of the usual 1,024 */
#define BUFFER (128 << 10)		/* fits a second-level cache: the hash reads what was just written */
#define MAX_PATHS (BATCH_PIECES * (2u << 20))	/* far above what a walk gives */

/* A file, or a chunk of a large one. */
struct piece {
	uint32_t source;
	size_t path_at;		/* in batch.paths */
	struct exec_stat_key key;
	int fd;			/* -1: content is known */
	int64_t offset, length;
	bool last;		/* of its file */
	uint64_t place;		/* in the stat cache, when known */
	struct exec_content content;	/* of the chunk, until it is taken */
};

struct batch {
	struct batch *next;	/* while it is spare */
	bool capabilities;
	struct piece piece[BATCH_PIECES];
	size_t n;
	int64_t to_read;
	struct ib_str paths;
	struct oci_hash *hash;	/* NULL until first used */
	char *buffer;		/* likewise */
};

struct exec_content_hash {
	struct exec_stat_cache *cache;
	bool capabilities;
	struct exec_ordered *queue;
	struct batch *batch;	/* being filled, or NULL */
	struct batch *spare;
	size_t under_way;	/* batches given to the queue and not yet taken */
	struct oci_hash *all;
	struct oci_hash *file;	/* of the chunk digests of the file at hand */
	int orphan;		/* -1, or a file whose last chunk will never be taken: threads may read it yet */
};

static void close_files(struct batch *batch)
{
	for (size_t i = 0; i < batch->n; i++)
		if (batch->piece[i].last)
			ib_closep(&batch->piece[i].fd);
}

static void batch_free(struct batch *batch)
{
	if (!batch)
		return;
	close_files(batch);
	ib_str_done(&batch->paths);
	oci_hash_free(batch->hash);
	free(batch->buffer);
	free(batch);
}

static int fail_read(const struct batch *batch, const struct piece *piece, struct ib_err *err)
{
	int sys = errno;
	ib_autofree char *shown = ib_printable(batch->paths.s + piece->path_at, 1024);

	return ib_fail_sys(err, sys, "read '%s'", shown);
}

static int hash_piece(struct batch *batch, struct piece *piece, struct ib_err *err)
{
	int64_t left = piece->length, at = piece->offset;
	struct oci_digest digest;

	while (left > 0) {
		ssize_t n = pread(piece->fd, batch->buffer, left < BUFFER ? (size_t)left : BUFFER, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_read(batch, piece, err);
		if (n == 0)	/* shorter than it was: its digest is that of what is there */
			break;
		oci_hash_update(batch->hash, batch->buffer, (size_t)n);
		at += n;
		left -= n;
	}
	oci_hash_final(batch->hash, &digest);
	memcpy(piece->content.digest, digest.raw, sizeof piece->content.digest);
	return 0;
}

static int read_capability(const struct batch *batch, struct piece *piece, struct ib_err *err)
{
	ssize_t n = fgetxattr(piece->fd, "security.capability", piece->content.capability, EXEC_CAPABILITY_MAX);

	if (n < 0 && errno != ENODATA && errno != EOPNOTSUPP)
		return fail_read(batch, piece, err);
	piece->content.capability_len = n < 0 ? 0 : (size_t)n;
	return 0;
}

static int run_batch(void *arg, struct ib_err *err)
{
	struct batch *batch = arg;

	if (ib_check_cancelled(err) < 0)
		return -1;
	if (!batch->hash)
		batch->hash = oci_hash_new(OCI_SHA256);
	if (!batch->buffer)
		batch->buffer = ib_malloc(BUFFER);
	for (size_t i = 0; i < batch->n; i++) {
		struct piece *piece = &batch->piece[i];

		if (piece->fd < 0)
			continue;
		if (hash_piece(batch, piece, err) < 0)
			return -1;
		if (batch->capabilities && piece->last && read_capability(batch, piece, err) < 0)
			return -1;
	}
	return 0;
}

/* The chunk's digest becomes the file's when it is the last one. */
static void join_chunks(struct exec_content_hash *hash, struct piece *piece)
{
	struct oci_digest digest;

	if (piece->last && piece->offset == 0)
		return;
	oci_hash_update(hash->file, piece->content.digest, sizeof piece->content.digest);
	if (!piece->last)
		return;
	oci_hash_final(hash->file, &digest);
	memcpy(piece->content.digest, digest.raw, sizeof piece->content.digest);
}

static void take_piece(struct exec_content_hash *hash, const struct batch *batch, struct piece *piece)
{
	uint8_t text[32 + 1 + EXEC_CAPABILITY_MAX];
	const struct exec_content *content = &piece->content;

	if (piece->fd >= 0)
		join_chunks(hash, piece);
	if (!piece->last)
		return;
	memcpy(text, content->digest, 32);
	text[32] = (uint8_t)content->capability_len;
	memcpy(text + 33, content->capability, content->capability_len);
	oci_hash_update(hash->all, text, 33 + content->capability_len);
	if (hash->cache)
		exec_stat_cache_put(hash->cache, piece->source, batch->paths.s + piece->path_at, &piece->key,
				    content, piece->place);
}

static void recycle(struct exec_content_hash *hash, struct batch *batch)
{
	close_files(batch);
	batch->n = 0;
	batch->to_read = 0;
	ib_str_reset(&batch->paths);
	batch->next = hash->spare;
	hash->spare = batch;
}

static void take_all(struct exec_content_hash *hash, struct batch *batch)
{
	for (size_t i = 0; i < batch->n; i++)
		take_piece(hash, batch, &batch->piece[i]);
	recycle(hash, batch);
}

static int take_batch(void *ctx, void *batch, struct ib_err *err)
{
	struct exec_content_hash *hash = ctx;

	(void)err;
	hash->under_way--;
	take_all(hash, batch);
	return 0;
}

static void drop_batch(void *ctx, void *batch)
{
	struct exec_content_hash *hash = ctx;

	hash->under_way--;
	recycle(hash, batch);
}

static const struct exec_ordered_ops batch_ops = {run_batch, take_batch, drop_batch};

struct exec_content_hash *exec_content_hash_new(struct exec_stat_cache *cache, bool capabilities)
{
	struct exec_content_hash *hash = ib_new(struct exec_content_hash);

	hash->cache = cache;
	hash->capabilities = capabilities;
	hash->queue = exec_ordered_new(&batch_ops, MAX_THREADS, hash);
	hash->all = oci_hash_new(OCI_SHA256);
	hash->file = oci_hash_new(OCI_SHA256);
	hash->orphan = -1;
	return hash;
}

void exec_content_hash_free(struct exec_content_hash *hash)
{
	struct batch *next;

	if (!hash)
		return;
	exec_ordered_free(hash->queue);
	ib_closep(&hash->orphan);
	batch_free(hash->batch);
	for (struct batch *batch = hash->spare; batch; batch = next) {
		next = batch->next;
		batch_free(batch);
	}
	oci_hash_free(hash->all);
	oci_hash_free(hash->file);
	free(hash);
}

/* Hand the batch over. One that needs no reading, with none before it under way, is taken at once. */
static int submit(struct exec_content_hash *hash, struct ib_err *err)
{
	struct batch *batch = ib_steal_ptr(&hash->batch);

	if (!batch)
		return 0;
	if (hash->under_way == 0 && batch->to_read == 0) {
		take_all(hash, batch);
		return ib_check_cancelled(err);
	}
	hash->under_way++;
	return exec_ordered_submit(hash->queue, batch, err);
}

static struct batch *batch_to_fill(struct exec_content_hash *hash)
{
	if (!hash->batch && hash->spare) {
		hash->batch = hash->spare;
		hash->spare = hash->batch->next;
	} else if (!hash->batch) {
		hash->batch = ib_new(struct batch);
		hash->batch->capabilities = hash->capabilities;
		hash->batch->paths = (struct ib_str)IB_STR(MAX_PATHS);
	}
	return hash->batch;
}

/* A new piece in the batch; its path is kept with its NUL. */
static struct piece *add_piece(struct batch *batch, uint32_t source, const char *path,
			       const struct exec_stat_key *key)
{
	struct piece *piece = &batch->piece[batch->n++];

	*piece = (struct piece){
		.source = source,
		.path_at = batch->paths.len,
		.key = *key,
		.fd = -1,
		.last = true,
	};
	ib_str_add(&batch->paths, path, strlen(path) + 1);
	return piece;
}

int exec_content_hash_add_known(struct exec_content_hash *hash, uint32_t source, const char *path,
				const struct stat *st, struct ib_err *err)
{
	struct exec_stat_key key = exec_stat_key_of(st);
	struct exec_content content;
	struct piece *piece;
	uint64_t place;

	if (!hash->cache || !exec_stat_cache_find(hash->cache, source, path, &key, &content, &place))
		return 0;
	piece = add_piece(batch_to_fill(hash), source, path, &key);
	piece->content = content;
	piece->place = place;
	if (hash->batch->n == BATCH_PIECES && submit(hash, err) < 0)
		return -1;
	return 1;
}

int exec_content_hash_add(struct exec_content_hash *hash, uint32_t source, const char *path,
			  const struct stat *st, int take_fd, struct ib_err *err)
{
	struct exec_stat_key key = exec_stat_key_of(st);
	int64_t at = 0;

	do {
		struct batch *batch = batch_to_fill(hash);
		struct piece *piece = add_piece(batch, source, path, &key);

		piece->fd = take_fd;
		piece->offset = at;
		piece->length = st->st_size - at < EXEC_CHUNK ? st->st_size - at : EXEC_CHUNK;
		at += piece->length;
		piece->last = at >= st->st_size;
		batch->to_read += piece->length + 1;	/* an empty one is to be opened, too */
		if ((batch->n == BATCH_PIECES || batch->to_read >= BATCH_BYTES) && submit(hash, err) < 0) {
			if (at < st->st_size)
				hash->orphan = take_fd;
			return -1;
		}
	} while (at < st->st_size);
	return 0;
}

int exec_content_hash_finish(struct exec_content_hash *hash, struct oci_digest *ret_digest, struct ib_err *err)
{
	if (submit(hash, err) < 0 || exec_ordered_drain(hash->queue, err) < 0)
		return -1;
	oci_hash_final(hash->all, ret_digest);
	return 0;
}
