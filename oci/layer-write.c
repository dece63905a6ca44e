#include "oci/layer-write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"
#include "oci/layer-pipeline.h"
#include "oci/layer-write-internal.h"

#include "oci/base/poison.h"

#define SPARSE_MIN 65536	/* smaller files are not asked for holes: it would cost a system call each */

struct oci_layer_writer {
	struct layer_pipeline *pipeline;
	struct oci_tar_writer *tar;
	enum oci_media media;
	bool raw;
};

/* Bytes of tar. Content that was read into the pipeline's room already is only counted. */
static int take_bytes(void *ctx, const void *bytes, size_t n, struct ib_err *err)
{
	struct oci_layer_writer *w = ctx;

	while (n) {
		uint8_t *room;
		size_t piece;

		if (layer_pipeline_room(w->pipeline, &room, &piece, err) < 0)
			return -1;
		piece = piece < n ? piece : n;
		if (bytes != room)
			memcpy(room, bytes, piece);
		layer_pipeline_fill(w->pipeline, piece);
		bytes = (const char *)bytes + piece;
		n -= piece;
	}
	return 0;
}

int oci_layer_writer_new(struct oci_store *store, struct ib_pool *pool,
			 const struct oci_compression_setting *setting,
			 struct oci_layer_writer **ret_writer, struct ib_err *err)
{
	IB_CLEANUP(oci_layer_writer_freep) struct oci_layer_writer *w = ib_new(struct oci_layer_writer);

	if (oci_compression_media(setting->compression, false, &w->media, err) < 0)
		return -1;
	w->pipeline = layer_pipeline_open(store, pool, setting);
	w->tar = oci_tar_writer_new(take_bytes, w);
	*ret_writer = ib_steal_ptr(&w);
	return 0;
}

void oci_layer_writer_free(struct oci_layer_writer *w)
{
	if (!w)
		return;
	oci_tar_writer_free(w->tar);
	layer_pipeline_free(w->pipeline);
	free(w);
}

struct oci_tar_writer *oci_layer_writer_tar(struct oci_layer_writer *w)
{
	return w->tar;
}

int oci_layer_writer_raw(struct oci_layer_writer *w, const void *bytes, size_t n, struct ib_err *err)
{
	w->raw = true;
	return take_bytes(w, bytes, n, err);
}

static int wrap_name(const struct oci_tar_entry *entry, struct ib_err *err)
{
	ib_autofree char *shown = ib_printable(entry->name, 256);

	return ib_wrap(err, "'%s'", shown);
}

static int fail_read(const struct oci_tar_entry *entry, struct ib_err *err)
{
	(void)ib_fail_sys(err, errno, "read");
	return wrap_name(entry, err);
}

static int fail_shrunk(const struct oci_tar_entry *entry, struct ib_err *err)
{
	(void)ib_fail(err, IB_MISMATCH, "the file became shorter while it was read");
	return wrap_name(entry, err);
}

/* The file's bytes [from, to), read straight into the block. */
static int copy_data(struct oci_layer_writer *w, const struct oci_tar_entry *entry, int fd, int64_t from,
		     int64_t to, struct ib_err *err)
{
	while (from < to) {
		uint8_t *room;
		size_t n;
		ssize_t r;

		if (layer_pipeline_room(w->pipeline, &room, &n, err) < 0)
			return -1;
		r = pread(fd, room, to - from < (int64_t)n ? (size_t)(to - from) : n, from);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return fail_read(entry, err);
		if (r == 0)
			return fail_shrunk(entry, err);
		if (oci_tar_write(w->tar, room, (size_t)r, err) < 0)
			return -1;
		from += r;
	}
	return 0;
}

static int copy_zeros(struct oci_layer_writer *w, int64_t n, struct ib_err *err)
{
	while (n > 0) {
		uint8_t *room;
		size_t piece;

		if (layer_pipeline_room(w->pipeline, &room, &piece, err) < 0)
			return -1;
		piece = n < (int64_t)piece ? (size_t)n : piece;
		memset(room, 0, piece);
		if (oci_tar_write(w->tar, room, piece, err) < 0)
			return -1;
		n -= (int64_t)piece;
	}
	return 0;
}

/* The next data at or after from: [*ret_data, *ret_end), empty at size when the rest is a hole. */
static int find_data(int fd, int64_t from, int64_t size, int64_t *ret_data, int64_t *ret_end)
{
	off_t data = lseek(fd, from, SEEK_DATA), end;

	if (data < 0 && errno != ENXIO)
		return -1;
	if (data < 0 || data > size)
		data = size;
	end = data < size ? lseek(fd, data, SEEK_HOLE) : size;
	if (end < 0)
		return -1;
	*ret_data = data;
	*ret_end = end < size ? end : size;
	return 0;
}

static int copy_sparse(struct oci_layer_writer *w, const struct oci_tar_entry *entry, int fd, struct ib_err *err)
{
	int64_t at = 0, data, end;
	struct stat st;

	while (at < entry->size) {
		if (find_data(fd, at, entry->size, &data, &end) < 0)
			return fail_read(entry, err);
		if (copy_zeros(w, data - at, err) < 0 || copy_data(w, entry, fd, data, end, err) < 0)
			return -1;
		at = end;
	}
	/* Where nothing is read nothing tells that the end came closer. */
	if (fstat(fd, &st) < 0)
		return fail_read(entry, err);
	return st.st_size < entry->size ? fail_shrunk(entry, err) : 0;
}

static bool has_holes(int fd, int64_t size)
{
	struct stat st;

	return size >= SPARSE_MIN && fstat(fd, &st) == 0 && (int64_t)st.st_blocks * 512 < st.st_size &&
	       lseek(fd, 0, SEEK_HOLE) >= 0;
}

int oci_layer_writer_file(struct oci_layer_writer *w, const struct oci_tar_entry *entry, int fd,
			  struct ib_err *err)
{
	if (oci_tar_begin(w->tar, entry, err) < 0)
		return -1;
	if (has_holes(fd, entry->size))
		return copy_sparse(w, entry, fd, err);
	return copy_data(w, entry, fd, 0, entry->size, err);
}

int64_t oci_layer_writer_bytes(const struct oci_layer_writer *w)
{
	return layer_pipeline_bytes(w->pipeline);
}

void oci_layer_done(struct oci_layer *layer)
{
	oci_descriptor_done(&layer->desc);
}

int layer_writer_finish_as(struct oci_layer_writer *w, const struct oci_diff_id *want,
			   struct oci_layer *ret_layer, struct ib_err *err)
{
	struct layer_pipeline_result result;

	if (!w->raw && oci_tar_end(w->tar, err) < 0)
		return -1;
	if (layer_pipeline_finish(w->pipeline, want ? &want->digest : NULL, &result, err) < 0)
		return -1;
	*ret_layer = (struct oci_layer){
		.desc = {.media = w->media, .digest = result.blob, .size = result.blob_size},
		.diff_id = {.digest = result.tar},
		.tar_size = result.tar_size,
	};
	return 0;
}

int oci_layer_writer_finish(struct oci_layer_writer *w, struct oci_layer *ret_layer, struct ib_err *err)
{
	return layer_writer_finish_as(w, NULL, ret_layer, err);
}
