#include "oci/tar-header.h"

#include "oci/base/poison.h"

#define PIECE_BYTES (64u << 10)	/* content comes in pieces of at least this, unless it ends */

/* The map in the header that is the next block, and in the blocks that extend it. */
static int read_gnu_map(struct tar_content *c, struct tar_stream *s, int64_t *ret_size, struct ib_err *err)
{
	bool extension = false, more = true;

	while (more) {
		const void *block;

		if (tar_stream_block(s, &block, err) < 0)
			return -1;
		if (!block)
			return ib_fail(err, IB_INVALID, "archive ends in the sparse map");
		if (!extension && !tar_gnu_real_size(block, ret_size))
			return ib_fail(err, IB_INVALID, "bad size");
		if (tar_map_add_gnu(&c->map, block, extension, &more, err) < 0)
			return -1;
		tar_stream_consume(s, TAR_BLOCK);
		extension = true;
	}
	return 0;
}

/* pax sparse 1.0: the map is the first blocks of the content. */
static int read_text_map(struct tar_content *c, struct tar_stream *s, struct ib_err *err)
{
	struct tar_map_text state = {0};
	bool more = true;

	while (more) {
		const void *block;

		if (tar_stream_block(s, &block, err) < 0)
			return -1;
		if (!block || c->left < TAR_BLOCK)
			return ib_fail(err, IB_INVALID, "content ends in the sparse map");
		if (tar_map_add_text(&c->map, &state, block, &more, err) < 0)
			return -1;
		tar_stream_consume(s, TAR_BLOCK);
		c->left -= TAR_BLOCK;
	}
	return 0;
}

static int read_pax_map(struct tar_content *c, struct tar_stream *s, const struct tar_pax *pax,
			int64_t *ret_size, struct ib_err *err)
{
	if (!pax->has_real_size)
		return ib_fail(err, IB_INVALID, "sparse file without a size");
	*ret_size = pax->real_size;
	tar_stream_consume(s, TAR_BLOCK);
	if (pax->sparse_major == 1)
		return read_text_map(c, s, err);
	for (size_t i = 0; i < pax->map.n; i++)
		if (tar_map_add(&c->map, pax->map.v[i].offset, pax->map.v[i].size, err) < 0)
			return -1;
	return 0;
}

static int use_map(struct tar_content *c, int64_t size, struct ib_err *err)
{
	const struct tar_segment *last = c->map.n ? &c->map.v[c->map.n - 1] : NULL;

	if (c->map.stored != c->left || (last && last->offset + last->size > size))
		return ib_fail(err, IB_INVALID, "the sparse map does not fit the content");
	c->segments = c->map.v;
	c->n = c->map.n;
	return 0;
}

int tar_content_begin(struct tar_content *c, struct tar_stream *s, int64_t stored_size,
		      const struct tar_pax *pax, int64_t *ret_size, struct ib_err *err)
{
	const void *header;
	bool gnu;

	if (tar_stream_block(s, &header, err) < 0)
		return -1;
	gnu = ((const struct tar_header *)header)->type == 'S';
	c->left = stored_size;
	c->padding = tar_padding(stored_size);
	if (pax && (pax->has_map || pax->sparse_major == 1)) {
		if (read_pax_map(c, s, pax, ret_size, err) < 0)
			return -1;
		return use_map(c, *ret_size, err);
	}
	if (gnu) {
		if (read_gnu_map(c, s, ret_size, err) < 0)
			return -1;
		return use_map(c, *ret_size, err);
	}
	tar_stream_consume(s, TAR_BLOCK);
	c->whole = (struct tar_segment){0, stored_size};
	c->segments = &c->whole;
	c->n = 1;
	*ret_size = stored_size;
	return 0;
}

int tar_content_read(struct tar_content *c, struct tar_stream *s, const void **ret_bytes, size_t *ret_n,
		     int64_t *ret_offset, struct ib_err *err)
{
	const struct tar_segment *segment;
	const char *bytes;
	int64_t n;
	size_t have;

	while (c->at < c->n && c->in_segment == c->segments[c->at].size) {
		c->at++;
		c->in_segment = 0;
	}
	if (c->at == c->n)
		return 0;
	segment = &c->segments[c->at];
	n = segment->size - c->in_segment;
	if (tar_stream_peek(s, n < PIECE_BYTES ? (size_t)n : PIECE_BYTES, &bytes, &have, err) < 0)
		return -1;
	if (have == 0)
		return ib_fail(err, IB_INVALID, "archive ends in the content");
	if (n > (int64_t)have)
		n = (int64_t)have;
	tar_stream_consume(s, (size_t)n);
	*ret_bytes = bytes;
	*ret_n = (size_t)n;
	*ret_offset = segment->offset + c->in_segment;
	c->in_segment += n;
	c->left -= n;
	return 1;
}

int tar_content_end(struct tar_content *c, struct tar_stream *s, struct ib_err *err)
{
	int64_t n = c->left + c->padding;

	tar_map_done(&c->map);
	*c = (struct tar_content){0};
	return tar_stream_skip(s, n, err);
}
