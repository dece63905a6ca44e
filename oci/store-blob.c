#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/base/pool.h"
#include "oci/base/str.h"
#include "oci/store-internal.h"

#include "oci/base/poison.h"

static int open_blob_dir(struct oci_store *store, enum oci_algo algo)
{
	ib_autofree char *path = ib_asprintf("blobs/%s", oci_algo_name(algo));

	if (store->blobs[algo] < 0)
		store->blobs[algo] = openat(store->dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return store->blobs[algo];
}

int oci_store_blob_dir(struct oci_store *store, enum oci_algo algo)
{
	int dir;

	pthread_mutex_lock(&store->lock);
	dir = open_blob_dir(store, algo);
	pthread_mutex_unlock(&store->lock);
	return dir;
}

int oci_store_make_blob_dir(struct oci_store *store, enum oci_algo algo, struct ib_err *err)
{
	ib_autofree char *path = NULL;
	int dir = oci_store_blob_dir(store, algo);

	if (dir >= 0)
		return dir;
	path = ib_asprintf("blobs/%s", oci_algo_name(algo));
	if (ib_mkdirs(store->dir, path, 0755, err) < 0)
		return -1;
	dir = oci_store_blob_dir(store, algo);
	return dir < 0 ? ib_fail_sys(err, errno, "open '%s'", path) : dir;
}

int64_t oci_store_blob_size(struct oci_store *store, const struct oci_digest *digest)
{
	int dir = oci_store_blob_dir(store, digest->algo);
	char hex[OCI_DIGEST_SIZE];
	struct stat st;

	if (dir < 0 || fstatat(dir, oci_digest_hex(digest, hex), &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISREG(st.st_mode))
		return -1;
	return st.st_size;
}

bool oci_store_has(struct oci_store *store, const struct oci_digest *digest, int64_t size)
{
	int64_t there = oci_store_blob_size(store, digest);

	return there >= 0 && (size < 0 || there == size);
}

int oci_store_get(struct oci_store *store, const struct oci_digest *digest, int64_t *ret_size,
		  struct ib_err *err)
{
	char text[OCI_DIGEST_SIZE], hex[OCI_DIGEST_SIZE];
	int dir = oci_store_blob_dir(store, digest->algo);
	ib_autoclose int fd = -1;
	struct stat st;

	oci_digest_str(digest, text);
	if (dir >= 0)	/* O_NONBLOCK: a layout that is imported may hold a fifo */
		fd = openat(dir, oci_digest_hex(digest, hex), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (dir < 0 || (fd < 0 && errno == ENOENT))
		return ib_fail(err, IB_NOTFOUND, "blob %s is not in the store", text);
	if (fd < 0 || fstat(fd, &st) < 0)
		return ib_fail_sys(err, errno, "open blob %s", text);
	if (!S_ISREG(st.st_mode))
		return ib_fail(err, IB_INVALID, "blob %s is not a regular file", text);
	*ret_size = st.st_size;
	return ib_steal_fd(&fd);
}

int oci_store_get_bytes(struct oci_store *store, const struct oci_descriptor *desc, size_t max,
			char **ret_bytes, size_t *ret_len, struct ib_err *err)
{
	ib_autofree char *bytes = NULL;
	char text[OCI_DIGEST_SIZE];
	struct oci_digest got;
	int64_t size;
	ib_autoclose int fd = oci_store_get(store, &desc->digest, &size, err);

	if (fd < 0)
		return -1;
	oci_digest_str(&desc->digest, text);
	if (size != desc->size)
		return ib_fail(err, IB_MISMATCH, "blob %s: has %" PRId64 " bytes instead of %" PRId64, text, size,
			       desc->size);
	if ((uint64_t)size > max)
		return ib_fail(err, IB_LIMIT, "blob %s is larger than %zu bytes", text, max);
	bytes = ib_malloc((size_t)size + 1);
	if (ib_read_full(fd, bytes, (size_t)size) != size)
		return ib_fail_sys(err, errno ? errno : EIO, "read blob %s", text);
	bytes[size] = '\0';
	/* Costs microseconds here, and a document that rotted on disk is found before it is believed. */
	if (desc->digest.algo == OCI_SHA256) {
		oci_digest_of(bytes, (size_t)size, &got);
		if (!oci_digest_equal(&got, &desc->digest))
			return oci_fail_mismatch(err, &desc->digest, &got);
	}
	*ret_bytes = ib_steal_ptr(&bytes);
	*ret_len = (size_t)size;
	return 0;
}

static int start_small(struct oci_store *store, const struct oci_small_blob *blob,
		       struct oci_blob_writer **ret_writer, struct ib_err *err)
{
	if (oci_store_has(store, &blob->digest, (int64_t)blob->n))
		return 0;
	if (oci_blob_writer_new(store, ret_writer, err) < 0 ||
	    oci_blob_writer_write(*ret_writer, blob->bytes, blob->n, err) < 0)
		return -1;
	return oci_blob_writer_start(*ret_writer, err);
}

int oci_store_put_small(struct oci_store *store, const struct oci_small_blob *blobs, size_t n, struct ib_err *err)
{
	struct oci_blob_writer *writers[OCI_SMALL_BLOBS] = {0};
	int r = 0;

	assert(n <= OCI_SMALL_BLOBS);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = start_small(store, &blobs[i], &writers[i], err);
	for (size_t i = 0; r == 0 && i < n; i++)
		if (writers[i])
			r = oci_blob_writer_commit(writers[i], &blobs[i].digest, err);
	for (size_t i = 0; i < n; i++)
		oci_blob_writer_free(writers[i]);
	return r;
}

int oci_store_put_bytes(struct oci_store *store, const void *bytes, size_t n,
			struct oci_digest *ret_digest, struct ib_err *err)
{
	struct oci_small_blob blob = {bytes, n, {0}};

	oci_digest_of(bytes, n, &blob.digest);
	*ret_digest = blob.digest;
	return oci_store_put_small(store, &blob, 1, err);
}

#define COPY_BYTES (256u << 10)

static int copy_verified(struct oci_reader *src, const struct oci_descriptor *want,
			 struct oci_blob_writer *writer, struct ib_err *err)
{
	IB_CLEANUP(oci_hash_freep) struct oci_hash *hash = oci_hash_new(want->digest.algo);
	ib_autofree char *buf = ib_malloc(COPY_BYTES);
	char text[OCI_DIGEST_SIZE];
	struct oci_digest got;
	int64_t size = 0;
	ssize_t n;

	while ((n = oci_reader_read(src, buf, COPY_BYTES, err)) > 0) {
		size += n;
		if (size > want->size)
			return ib_fail(err, IB_MISMATCH, "blob %s: is longer than its %" PRId64 " bytes",
				       oci_digest_str(&want->digest, text), want->size);
		oci_hash_update(hash, buf, (size_t)n);
		if (oci_blob_writer_write(writer, buf, (size_t)n, err) < 0 || ib_check_cancelled(err) < 0)
			return -1;
	}
	if (n < 0)
		return -1;
	if (size != want->size)
		return ib_fail(err, IB_MISMATCH, "blob %s: ends after %" PRId64 " of %" PRId64 " bytes",
			       oci_digest_str(&want->digest, text), size, want->size);
	oci_hash_final(hash, &got);
	return oci_digest_equal(&got, &want->digest) ? 0 : oci_fail_mismatch(err, &want->digest, &got);
}

int oci_store_put(struct oci_store *store, struct oci_reader *src, const struct oci_descriptor *want,
		  struct ib_err *err)
{
	IB_CLEANUP(oci_blob_writer_freep) struct oci_blob_writer *writer = NULL;

	if (oci_store_has(store, &want->digest, want->size))
		return 0;
	if (oci_blob_writer_new(store, &writer, err) < 0 || copy_verified(src, want, writer, err) < 0)
		return -1;
	return oci_blob_writer_commit(writer, &want->digest, err);
}

int oci_store_flush(struct oci_store *store, struct ib_err *err)
{
	for (enum oci_algo algo = OCI_SHA256; algo <= OCI_SHA512; algo++) {
		int dir = oci_store_blob_dir(store, algo);

		if (dir >= 0 && fsync(dir) < 0)
			return ib_fail_sys(err, errno, "flush blobs/%s", oci_algo_name(algo));
	}
	return 0;
}

int oci_store_remove_blob(struct oci_store *store, const struct oci_digest *digest, struct ib_err *err)
{
	int dir = oci_store_blob_dir(store, digest->algo);
	char text[OCI_DIGEST_SIZE];

	if (dir < 0 || unlinkat(dir, oci_digest_hex(digest, text), 0) == 0 || errno == ENOENT)
		return 0;
	return ib_fail_sys(err, errno, "remove blob %s", text);
}

static int each_in_dir(struct oci_store *store, enum oci_algo algo, oci_blob_fn *fn, void *ctx,
		       struct ib_err *err)
{
	int dir = oci_store_blob_dir(store, algo), fd, r = 0;
	const struct dirent *e;
	DIR *d;

	if (dir < 0)
		return 0;
	fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		ib_closep(&fd);
		return ib_fail_sys(err, errno, "read blobs/%s", oci_algo_name(algo));
	}
	while (r == 0 && (e = readdir(d))) {
		ib_autofree char *text = ib_asprintf("%s:%s", oci_algo_name(algo), e->d_name);
		struct oci_digest digest;
		int64_t size;
		ib_autoerr no = {0};

		/* Other names are not ours to judge; a blob may be removed by others while we look. */
		if (oci_digest_parse(text, &digest, &no) == 0 && (size = oci_store_blob_size(store, &digest)) >= 0)
			r = fn(ctx, &digest, size, err);
	}
	(void)closedir(d);	/* was only read */
	return r;
}

int oci_store_each_blob(struct oci_store *store, oci_blob_fn *fn, void *ctx, struct ib_err *err)
{
	if (each_in_dir(store, OCI_SHA256, fn, ctx, err) < 0)
		return -1;
	return each_in_dir(store, OCI_SHA512, fn, ctx, err);
}

bool oci_store_is_temporary(const char *name)
{
	return ib_starts(name, ".tmp-");
}

static void sweep_dir(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!d) {
		ib_closep(&fd);
		return;
	}
	while ((e = readdir(d)))
		if (oci_store_is_temporary(e->d_name))
			(void)unlinkat(dir, e->d_name, 0);	/* leftovers cost only space */
	(void)closedir(d);
}

void oci_store_sweep(struct oci_store *store)
{
	for (enum oci_algo algo = OCI_SHA256; algo <= OCI_SHA512; algo++) {
		int dir = oci_store_blob_dir(store, algo);

		if (dir >= 0)
			sweep_dir(dir);
	}
}
