#include "oci/decompress-codec.h"

#include <isa-l/igzip_lib.h>
#include <stdint.h>
#include <stdlib.h>

#include "oci/base/alloc.h"

#include "oci/base/poison.h"

struct gzip {
	struct inflate_state state;
	bool between;	/* members: the last one is complete */
	bool padding;	/* only zero bytes may follow */
};

static void gzip_start(struct gzip *g)
{
	isal_inflate_reset(&g->state);
	g->state.crc_flag = ISAL_GZIP;	/* header and trailer are its business, the checksum too */
	g->between = false;
}

static void *gzip_new(void)
{
	struct gzip *g = ib_new(struct gzip);

	isal_inflate_init(&g->state);
	gzip_start(g);
	return g;
}

static const char *why(int result)
{
	switch (result) {
	case ISAL_INCORRECT_CHECKSUM:
		return "wrong checksum";
	case ISAL_INVALID_WRAPPER:
	case ISAL_UNSUPPORTED_METHOD:
		return "no gzip header where one is due";
	default:
		return "corrupt data";
	}
}

/* Tapes pad archives with zeros, which gzip ignores; anything else is no end of a stream. */
static int skip_padding(struct decompress_io *io, struct ib_err *err)
{
	while (io->n_in && *io->in == 0) {
		io->in++;
		io->n_in--;
	}
	return io->n_in ? ib_fail(err, IB_INVALID, "gzip: garbage after the end") : 1;
}

static int gzip_inflate(struct gzip *g, struct decompress_io *io, struct ib_err *err)
{
	struct inflate_state *s = &g->state;
	uint32_t in = io->n_in > UINT32_MAX ? UINT32_MAX : (uint32_t)io->n_in;
	uint32_t out = io->n_out > UINT32_MAX ? UINT32_MAX : (uint32_t)io->n_out;
	int result;

	s->next_in = (uint8_t *)(uintptr_t)io->in;	/* not const in its API; only read */
	s->avail_in = in;
	s->next_out = io->out;
	s->avail_out = out;
	result = isal_inflate(s);
	io->in += in - s->avail_in;
	io->n_in -= in - s->avail_in;
	io->out += out - s->avail_out;
	io->n_out -= out - s->avail_out;
	if (result < 0 || result == ISAL_NEED_DICT)
		return ib_fail(err, IB_INVALID, "gzip: %s", why(result));
	g->between = s->block_state == ISAL_BLOCK_FINISH;
	return 0;
}

static int gzip_step(void *state, struct decompress_io *io, struct ib_err *err)
{
	struct gzip *g = state;

	for (;;) {
		size_t in = io->n_in, out = io->n_out;

		if (g->between && io->n_in && !g->padding) {
			g->padding = *io->in == 0;
			if (!g->padding)
				gzip_start(g);
		}
		if (g->padding)
			return skip_padding(io, err);
		if (g->between)
			return 1;
		if (gzip_inflate(g, io, err) < 0)
			return -1;
		if (io->n_out == 0 || (io->n_in == in && io->n_out == out && !g->between))
			return g->between;
	}
}

const struct decompress_codec decompress_gzip = {gzip_new, free, gzip_step};
