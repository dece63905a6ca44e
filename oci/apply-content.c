#include "oci/layer-apply-internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "oci/base/fd.h"

#include "oci/base/poison.h"

#define HOLE_BYTES (64u << 10)	/* blocks of this many zero bytes, so aligned, are not written */
#define EDGE_BYTES 4096u	/* nor what a piece begins or ends with of one, in a larger file */

static bool is_zero(const char *p, size_t n)
{
	return p[0] == '\0' && memcmp(p, p + 1, n - 1) == 0;
}

/* Bytes from offset on to the next boundary, at most n. */
static size_t block_of(int64_t offset, size_t n)
{
	size_t block = HOLE_BYTES - (size_t)((uint64_t)offset % HOLE_BYTES);

	return block < n ? block : n;
}

/* The length of what at p is to be written in one go: all up to the first block of zeros. */
static size_t written_run(const char *p, size_t n, int64_t offset, size_t smallest)
{
	size_t run = 0;

	while (run < n) {
		size_t block = block_of(offset + (int64_t)run, n - run);

		if (block >= smallest && is_zero(p + run, block))
			break;
		run += block;
	}
	return run;
}

/* Where content goes. */
struct output {
	int fd;
	size_t smallest;	/* hole */
	int64_t end;		/* of the file, by now */
};

/* Write one piece but for its holes. */
static int write_piece(struct output *out, const char *p, size_t n, int64_t offset, struct ib_err *err)
{
	while (n) {
		size_t run = written_run(p, n, offset, out->smallest);

		if (run && ib_pwrite_full(out->fd, p, run, offset) < 0)
			return ib_fail_sys(err, errno, "write");
		if (run)
			out->end = offset + (int64_t)run;
		else
			run = block_of(offset, n);	/* the hole */
		p += run;
		n -= run;
		offset += (int64_t)run;
	}
	return 0;
}

int apply_content(struct apply *a, struct oci_tar_reader *tar, int fd, int64_t size, struct ib_err *err)
{
	struct output out = {.fd = fd, .smallest = size > HOLE_BYTES ? EDGE_BYTES : HOLE_BYTES};
	int64_t max = a->options->max_bytes, offset;
	const void *bytes;
	size_t n;
	int got;

	while ((got = oci_tar_read(tar, &bytes, &n, &offset, err)) > 0) {
		a->result.bytes += (int64_t)n;
		if (max && a->result.bytes > max)
			return ib_fail(err, IB_LIMIT, "unpacks to more than %jd bytes", (intmax_t)max);
		if (write_piece(&out, bytes, n, offset, err) < 0)
			return -1;
	}
	if (got < 0) {
		a->named = true;	/* by the reader */
		return -1;
	}
	if (out.end < size && ftruncate(fd, size) < 0)
		return ib_fail_sys(err, errno, "set size");
	return 0;
}
