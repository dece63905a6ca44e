#include "oci/tar-header.h"

#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/base/pool.h"

#include "oci/base/poison.h"

void tar_stream_init(struct tar_stream *s, struct oci_reader *src)
{
	*s = (struct tar_stream){.src = src, .buf = ib_malloc(TAR_STREAM_BYTES)};
}

void tar_stream_done(struct tar_stream *s)
{
	free(s->buf);
	*s = (struct tar_stream){0};
}

static int refill(struct tar_stream *s, size_t n, struct ib_err *err)
{
	memmove(s->buf, s->buf + s->start, s->end - s->start);
	s->end -= s->start;
	s->start = 0;
	while (s->end < n && !s->ended) {
		ssize_t got;

		if (ib_check_cancelled(err) < 0)
			return -1;
		got = oci_reader_read(s->src, s->buf + s->end, TAR_STREAM_BYTES - s->end, err);
		if (got < 0)
			return -1;
		s->end += (size_t)got;
		s->ended = got == 0;
	}
	return 0;
}

int tar_stream_peek(struct tar_stream *s, size_t n, const char **ret_bytes, size_t *ret_n, struct ib_err *err)
{
	if (s->end - s->start < n && !s->ended && refill(s, n, err) < 0)
		return -1;
	*ret_bytes = s->buf + s->start;
	*ret_n = s->end - s->start;
	return 0;
}

void tar_stream_consume(struct tar_stream *s, size_t n)
{
	s->start += n;
	s->position += (int64_t)n;
}

int tar_stream_block(struct tar_stream *s, const void **ret_block, struct ib_err *err)
{
	const char *bytes;
	size_t n;

	if (tar_stream_peek(s, TAR_BLOCK, &bytes, &n, err) < 0)
		return -1;
	if (n > 0 && n < TAR_BLOCK)
		return ib_fail(err, IB_INVALID, "archive ends within a block");
	*ret_block = n ? bytes : NULL;
	return 0;
}

/* What is there next, at most max bytes and at least one; consumed, and borrowed until the next read. */
static int take(struct tar_stream *s, int64_t max, const char **ret_bytes, size_t *ret_n, struct ib_err *err)
{
	size_t n;

	if (tar_stream_peek(s, 1, ret_bytes, &n, err) < 0)
		return -1;
	if (n == 0)
		return ib_fail(err, IB_INVALID, "archive ends too early");
	if ((int64_t)n > max)
		n = (size_t)max;
	tar_stream_consume(s, n);
	*ret_n = n;
	return 0;
}

int tar_stream_skip(struct tar_stream *s, int64_t n, struct ib_err *err)
{
	while (n > 0) {
		const char *bytes;
		size_t got = 0;

		if (take(s, n, &bytes, &got, err) < 0)
			return -1;
		n -= (int64_t)got;
	}
	return 0;
}

int tar_stream_copy(struct tar_stream *s, char *to, size_t n, struct ib_err *err)
{
	while (n > 0) {
		const char *bytes;
		size_t got = 0;

		if (take(s, (int64_t)n, &bytes, &got, err) < 0)
			return -1;
		memcpy(to, bytes, got);
		to += got;
		n -= got;
	}
	return 0;
}

int tar_stream_drain(struct tar_stream *s, struct ib_err *err)
{
	const char *bytes;
	size_t n;

	do {
		if (tar_stream_peek(s, 1, &bytes, &n, err) < 0)
			return -1;
		tar_stream_consume(s, n);
	} while (n);
	return 0;
}
