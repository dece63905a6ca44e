#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/base/pool.h"
#include "oci/document.h"
#include "oci/export.h"
#include "oci/reach.h"

#include "oci/base/poison.h"

#define LAYOUT_TEXT "{\"imageLayoutVersion\":\"1.0.0\"}"
#define COPY_BYTES (256u << 10)

struct blob {
	struct oci_digest digest;
	int64_t size;
};

struct export {
	struct oci_store *store;
	struct oci_tar_writer *tar;
	struct blob *blobs;
	size_t n, cap;
	char *buf;	/* COPY_BYTES */
};

static void export_done(struct export *x)
{
	oci_tar_writer_free(x->tar);
	free(x->blobs);
	free(x->buf);
}

static int collect(void *ctx, const struct oci_descriptor *desc, struct ib_err *err)
{
	struct export *x = ctx;
	int64_t size;
	ib_autoclose int fd = oci_store_get(x->store, &desc->digest, &size, err);

	if (fd < 0)
		return -1;	/* before anything is written: the archive is not to end in the middle */
	ib_grow(x->blobs, x->n, x->cap);
	x->blobs[x->n++] = (struct blob){desc->digest, size};
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct blob *x = a, *y = b;

	return x->digest.algo != y->digest.algo ? (int)x->digest.algo - (int)y->digest.algo :
						  memcmp(x->digest.raw, y->digest.raw, sizeof x->digest.raw);
}

/* Every blob once, in an order that is the same for the same images. */
static void sort_blobs(struct export *x)
{
	size_t kept = 0;

	if (x->n)
		qsort(x->blobs, x->n, sizeof *x->blobs, compare);
	for (size_t i = 0; i < x->n; i++)
		if (i == 0 || compare(&x->blobs[i], &x->blobs[kept - 1]) != 0)
			x->blobs[kept++] = x->blobs[i];
	x->n = kept;
}

static int write_dir(struct export *x, const char *name, struct ib_err *err)
{
	ib_autofree char *copy = ib_strdup(name);
	const struct oci_tar_entry entry = {.name = copy, .mode = S_IFDIR | 0755};

	return oci_tar_begin(x->tar, &entry, err);
}

static int begin_file(struct export *x, const char *name, mode_t mode, int64_t size, struct ib_err *err)
{
	ib_autofree char *copy = ib_strdup(name);
	const struct oci_tar_entry entry = {.name = copy, .mode = S_IFREG | mode, .size = size};

	return oci_tar_begin(x->tar, &entry, err);
}

static int write_text(struct export *x, const char *name, const char *text, size_t len, struct ib_err *err)
{
	if (begin_file(x, name, 0444, (int64_t)len, err) < 0)
		return -1;
	return oci_tar_write(x->tar, text, len, err);
}

static int write_blob(struct export *x, const struct blob *blob, struct ib_err *err)
{
	char text[OCI_DIGEST_SIZE];
	ib_autofree char *name = ib_asprintf("blobs/%s/%s", oci_algo_name(blob->digest.algo),
					     oci_digest_hex(&blob->digest, text));
	int64_t left;
	ib_autoclose int fd = oci_store_get(x->store, &blob->digest, &left, err);

	if (fd < 0)
		return -1;
	if (left != blob->size)
		return ib_fail(err, IB_MISMATCH, "blob %s changes its size", oci_digest_str(&blob->digest, text));
	if (begin_file(x, name, 0444, left, err) < 0)
		return -1;
	while (left > 0) {
		ssize_t n = ib_read_full(fd, x->buf, left < COPY_BYTES ? (size_t)left : COPY_BYTES);

		if (n <= 0)
			return ib_fail_sys(err, n < 0 ? errno : EIO, "read blob %s",
					   oci_digest_str(&blob->digest, text));
		if (oci_tar_write(x->tar, x->buf, (size_t)n, err) < 0 || ib_check_cancelled(err) < 0)
			return -1;
		left -= n;
	}
	return 0;
}

static int write_blobs(struct export *x, struct ib_err *err)
{
	for (size_t i = 0; i < x->n; i++) {
		enum oci_algo algo = x->blobs[i].digest.algo;
		ib_autofree char *dir = ib_asprintf("blobs/%s", oci_algo_name(algo));

		if ((i == 0 || algo != x->blobs[i - 1].digest.algo) && write_dir(x, dir, err) < 0)
			return -1;
		if (write_blob(x, &x->blobs[i], err) < 0)
			return -1;
	}
	return 0;
}

static int write_index(struct export *x, const struct oci_archive_image *images, size_t n_images,
		       struct ib_err *err)
{
	struct oci_index index = {.media = OCI_MEDIA_INDEX};
	ib_autofree char *bytes = NULL;
	size_t len;

	oci_export_entries(images, n_images, &index.manifests, &index.n_manifests);
	bytes = oci_index_write(&index, &len);
	oci_document_descriptors_free(index.manifests, index.n_manifests);
	return write_text(x, "index.json", bytes, len, err);
}

static int write_all(struct export *x, const struct oci_archive_image *images, size_t n_images,
		     const struct ib_json *docker, struct ib_err *err)
{
	if (write_dir(x, "blobs", err) < 0 || write_blobs(x, err) < 0 ||
	    write_index(x, images, n_images, err) < 0)
		return -1;
	if (docker) {
		size_t len;
		ib_autofree char *bytes = oci_document_print(docker, &len);

		if (write_text(x, "manifest.json", bytes, len, err) < 0)
			return -1;
	}
	if (write_text(x, "oci-layout", LAYOUT_TEXT, strlen(LAYOUT_TEXT), err) < 0)
		return -1;
	return oci_tar_end(x->tar, err);
}

int oci_archive_export(struct oci_store *store, const struct oci_archive_image *images, size_t n_images,
		       bool docker, oci_tar_sink *sink, void *ctx, struct ib_err *err)
{
	IB_CLEANUP(export_done) struct export x = {.store = store};
	ib_autojson *json = NULL;

	if (docker && oci_export_docker(store, images, n_images, &json, err) < 0)
		return -1;
	for (size_t i = 0; i < n_images; i++)
		if (oci_reach(store, images[i].desc, 0, collect, &x, err) < 0)
			return -1;
	sort_blobs(&x);
	x.tar = oci_tar_writer_new(sink, ctx);
	x.buf = ib_malloc(COPY_BYTES);
	return write_all(&x, images, n_images, json, err);
}
