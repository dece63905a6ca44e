#include "oci/decompress-codec.h"

#include <bzlib.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>

#include "oci/base/alloc.h"

#include "oci/base/poison.h"

struct bzip2 {
	bz_stream stream;
	bool between;	/* streams: the last one is complete and closed */
};

static void bzip2_start(struct bzip2 *b)
{
	b->stream = (bz_stream){0};
	if (BZ2_bzDecompressInit(&b->stream, 0, 0) != BZ_OK)	/* memory */
		abort();
	b->between = false;
}

static void *bzip2_new(void)
{
	struct bzip2 *b = ib_new(struct bzip2);

	bzip2_start(b);
	return b;
}

static void bzip2_free(void *state)
{
	struct bzip2 *b = state;

	if (!b->between)
		(void)BZ2_bzDecompressEnd(&b->stream);
	free(b);
}

static int bzip2_step(void *state, struct decompress_io *io, struct ib_err *err)
{
	struct bzip2 *b = state;
	unsigned int in = io->n_in > UINT_MAX ? UINT_MAX : (unsigned int)io->n_in;
	unsigned int out = io->n_out > UINT_MAX ? UINT_MAX : (unsigned int)io->n_out;
	int result;

	if (b->between && in == 0)
		return 1;
	if (b->between)
		bzip2_start(b);
	b->stream.next_in = (char *)(uintptr_t)io->in;	/* not const in its API; only read */
	b->stream.avail_in = in;
	b->stream.next_out = (char *)io->out;
	b->stream.avail_out = out;
	result = BZ2_bzDecompress(&b->stream);
	io->in += in - b->stream.avail_in;
	io->n_in -= in - b->stream.avail_in;
	io->out += out - b->stream.avail_out;
	io->n_out -= out - b->stream.avail_out;
	if (result == BZ_STREAM_END) {
		(void)BZ2_bzDecompressEnd(&b->stream);
		b->between = true;
		return 1;
	}
	return result == BZ_OK ? 0 : ib_fail(err, IB_INVALID, "bzip2: corrupt data");
}

const struct decompress_codec decompress_bzip2 = {bzip2_new, bzip2_free, bzip2_step};
