#include "oci/compression.h"

#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/decompress-codec.h"

#include "oci/base/poison.h"

#define INPUT_BYTES (128u << 10)
#define SNIFF_BYTES 6	/* what oci_compression_sniff() asks for */

struct decompress_reader {
	struct oci_reader base;
	struct oci_reader *inner;
	enum oci_compression compression;
	const struct decompress_codec *codec;	/* NULL: bytes pass as they are */
	void *state;
	unsigned char *input;
	struct decompress_io io;
};

static const struct decompress_codec *const codecs[] = {	/* by enum oci_compression */
	NULL, &decompress_gzip, &decompress_zstd, &decompress_bzip2, &decompress_xz,
};

static int refill(struct decompress_reader *r, struct ib_err *err)
{
	ssize_t got = oci_reader_read(r->inner, r->input, INPUT_BYTES, err);

	if (got < 0)
		return -1;
	r->io.in = r->input;
	r->io.n_in = (size_t)got;
	r->io.in_ended = got == 0;
	return 0;
}

/* The inner stream is always read to its end, so that whoever verifies it sees all of it. */
static ssize_t decompress_read(struct oci_reader *base, void *buf, size_t n, struct ib_err *err)
{
	struct decompress_reader *r = (struct decompress_reader *)base;

	r->io.out = buf;
	r->io.n_out = n;
	for (;;) {
		size_t in = r->io.n_in;
		int at_end = r->codec->step(r->state, &r->io, err);

		if (at_end < 0)
			return -1;
		if (r->io.n_out < n)
			return (ssize_t)(n - r->io.n_out);
		if (r->io.n_in && r->io.n_in == in)
			return ib_fail(err, IB_INVALID, "%s: corrupt data", oci_compression_name(r->compression));
		if (r->io.n_in)
			continue;
		if (r->io.in_ended && at_end)
			return 0;
		if (r->io.in_ended)
			return ib_fail(err, IB_INVALID, "%s: ends too early", oci_compression_name(r->compression));
		if (refill(r, err) < 0)
			return -1;
	}
}

static ssize_t plain_read(struct oci_reader *base, void *buf, size_t n, struct ib_err *err)
{
	struct decompress_reader *r = (struct decompress_reader *)base;

	if (r->io.n_in == 0)
		return oci_reader_read(r->inner, buf, n, err);
	if (n > r->io.n_in)
		n = r->io.n_in;
	memcpy(buf, r->io.in, n);
	r->io.in += n;
	r->io.n_in -= n;
	return (ssize_t)n;
}

static void decompress_free(struct oci_reader *base)
{
	struct decompress_reader *r = (struct decompress_reader *)base;

	if (r->codec)
		r->codec->free(r->state);
	oci_reader_free(r->inner);
	free(r->input);
	free(r);
}

int oci_decompress_reader_new(struct oci_reader *take_inner, enum oci_compression *ret_found,
			      struct oci_reader **ret_reader, struct ib_err *err)
{
	static const struct oci_reader_ops ops = {decompress_read, decompress_free};
	static const struct oci_reader_ops plain_ops = {plain_read, decompress_free};
	struct decompress_reader *r = ib_new(struct decompress_reader);
	ssize_t got;

	r->inner = take_inner;
	r->input = ib_malloc(INPUT_BYTES);
	got = oci_reader_read_full(r->inner, r->input, SNIFF_BYTES, err);
	if (got < 0) {
		decompress_free(&r->base);
		return -1;
	}
	r->io.in = r->input;
	r->io.n_in = (size_t)got;
	r->compression = oci_compression_sniff(r->input, (size_t)got);
	r->codec = codecs[r->compression];
	r->state = r->codec ? r->codec->new() : NULL;
	r->base.ops = r->codec ? &ops : &plain_ops;
	if (ret_found)
		*ret_found = r->compression;
	*ret_reader = &r->base;
	return 0;
}
