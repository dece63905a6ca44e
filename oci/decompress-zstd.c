#include "oci/decompress-codec.h"

#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define MAX_WINDOW_LOG 27	/* 128 MiB: what `zstd --long` makes and every reader takes */

struct zstd {
	ZSTD_DCtx *ctx;
	bool between;	/* frames: the last one is complete */
};

static void *zstd_new(void)
{
	struct zstd *z = ib_new(struct zstd);

	z->ctx = ZSTD_createDCtx();
	/* Fails only for want of memory, or of the parameter itself. */
	if (!z->ctx || ZSTD_isError(ZSTD_DCtx_setParameter(z->ctx, ZSTD_d_windowLogMax, MAX_WINDOW_LOG)))
		abort();
	return z;
}

static void zstd_free(void *state)
{
	struct zstd *z = state;

	ZSTD_freeDCtx(z->ctx);
	free(z);
}

static int fail_zstd(size_t result, struct ib_err *err)
{
	ZSTD_ErrorCode code = ZSTD_getErrorCode(result);

	if (code == ZSTD_error_frameParameter_windowTooLarge)
		return ib_fail(err, IB_LIMIT, "zstd: window of more than %u MiB", (1u << MAX_WINDOW_LOG) >> 20);
	if (code == ZSTD_error_memory_allocation)
		return ib_fail(err, IB_LIMIT, "zstd: no memory for the window");
	return ib_fail(err, IB_INVALID, "zstd: corrupt data (%s)", ZSTD_getErrorString(code));
}

/* Frames that follow each other, skippable ones too, are libzstd's business. */
static int zstd_step(void *state, struct decompress_io *io, struct ib_err *err)
{
	struct zstd *z = state;
	ZSTD_inBuffer in = {io->in, io->n_in, 0};
	ZSTD_outBuffer out = {io->out, io->n_out, 0};
	size_t result, before;

	if (z->between && io->n_in == 0)	/* libzstd would ask for the next frame */
		return 1;
	do {
		before = in.pos + out.pos;
		result = ZSTD_decompressStream(z->ctx, &out, &in);
		if (ZSTD_isError(result))
			return fail_zstd(result, err);
	} while (out.pos < out.size && in.pos < in.size && in.pos + out.pos > before);
	io->in += in.pos;
	io->n_in -= in.pos;
	io->out += out.pos;
	io->n_out -= out.pos;
	z->between = result == 0;
	return z->between;
}

const struct decompress_codec decompress_zstd = {zstd_new, zstd_free, zstd_step};
