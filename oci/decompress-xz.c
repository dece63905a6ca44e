#include "oci/decompress-codec.h"

#include <lzma.h>
#include <stdlib.h>

#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define MAX_MEMORY (160u << 20)	/* a window of 128 MiB and what surrounds it; xz -9 needs 65 */

struct xz {
	lzma_stream stream;
	bool ended;
};

static void *xz_new(void)
{
	struct xz *x = ib_new(struct xz);

	if (lzma_stream_decoder(&x->stream, MAX_MEMORY, LZMA_CONCATENATED) != LZMA_OK)
		abort();	/* memory */
	return x;
}

static void xz_free(void *state)
{
	struct xz *x = state;

	lzma_end(&x->stream);
	free(x);
}

/* liblzma goes from one stream to the next by itself, and therefore has to be told of the end. */
static int xz_step(void *state, struct decompress_io *io, struct ib_err *err)
{
	struct xz *x = state;
	lzma_ret result;

	if (x->ended)
		return 1;
	x->stream.next_in = io->in;
	x->stream.avail_in = io->n_in;
	x->stream.next_out = io->out;
	x->stream.avail_out = io->n_out;
	result = lzma_code(&x->stream, io->in_ended ? LZMA_FINISH : LZMA_RUN);
	io->in = x->stream.next_in;
	io->n_in = x->stream.avail_in;
	io->out = x->stream.next_out;
	io->n_out = x->stream.avail_out;
	if (result == LZMA_MEMLIMIT_ERROR)
		return ib_fail(err, IB_LIMIT, "xz: needs more than %u MiB of memory",
			       MAX_MEMORY >> 20);
	x->ended = result == LZMA_STREAM_END;
	if (result == LZMA_OK || result == LZMA_STREAM_END || result == LZMA_BUF_ERROR)
		return x->ended;
	return ib_fail(err, IB_INVALID, "xz: corrupt data");
}

const struct decompress_codec decompress_xz = {xz_new, xz_free, xz_step};
