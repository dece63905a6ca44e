#include "oci/layer-write.h"

#include "oci/base/alloc.h"
#include "oci/compression.h"
#include "oci/layer-write-internal.h"
#include "oci/reader.h"

#include "oci/base/poison.h"

#define COPY_BYTES (256u << 10)

/* What the layer blob decompresses to. */
static int open_tar(struct oci_store *store, const struct oci_descriptor *src, struct oci_reader **ret_reader,
		    struct ib_err *err)
{
	char text[OCI_DIGEST_SIZE];
	int64_t size;
	int fd = oci_store_get(store, &src->digest, &size, err);

	if (fd < 0)
		return -1;
	return oci_decompress_reader_new(oci_file_reader_new(fd, oci_digest_str(&src->digest, text)), NULL,
					 ret_reader, err);
}

static int copy_all(struct oci_reader *reader, struct oci_layer_writer *writer, struct ib_err *err)
{
	ib_autofree char *buf = ib_malloc(COPY_BYTES);
	ssize_t n;

	while ((n = oci_reader_read(reader, buf, COPY_BYTES, err)) > 0) {
		if (oci_layer_writer_raw(writer, buf, (size_t)n, err) < 0)
			return -1;
	}
	/* A layer of no bytes at all is raw too. */
	return n < 0 ? -1 : oci_layer_writer_raw(writer, NULL, 0, err);
}

int oci_layer_recompress(struct oci_store *store, struct ib_pool *pool, const struct oci_descriptor *src,
			 const struct oci_diff_id *diff_id, const struct oci_compression_setting *setting,
			 struct oci_layer *ret_layer, struct ib_err *err)
{
	IB_CLEANUP(oci_reader_freep) struct oci_reader *reader = NULL;
	IB_CLEANUP(oci_layer_writer_freep) struct oci_layer_writer *writer = NULL;
	char text[OCI_DIGEST_SIZE];

	if (oci_layer_writer_new(store, pool, setting, &writer, err) < 0)
		return -1;
	if (open_tar(store, src, &reader, err) < 0 || copy_all(reader, writer, err) < 0 ||
	    layer_writer_finish_as(writer, diff_id, ret_layer, err) < 0)
		return ib_wrap(err, "layer %s", oci_digest_str(&src->digest, text));
	return 0;
}
