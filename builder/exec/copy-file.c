#include "builder/exec/copy-file.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "oci/base/fd.h"
#include "oci/base/pool.h"

#include "oci/base/poison.h"

#define LARGE (1 << 20)		/* below, one read and one write are as good as anything */
#define STEP (64 << 20)		/* bytes between two looks at ib_cancelled() */

/* Between file systems, or on one that cannot share blocks, asking again for each file would be a waste. */
static atomic_bool no_clone, no_range;

static int copy_by_buffer(int from, int to, int64_t at, int64_t end, char *buffer)
{
	while (at < end) {
		size_t want = end - at < EXEC_COPY_BUFFER ? (size_t)(end - at) : EXEC_COPY_BUFFER;
		ssize_t n = pread(from, buffer, want, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || ib_pwrite_full(to, buffer, (size_t)n, at) < 0)
			return -1;
		if (n == 0)
			break;
		at += n;
		if (ib_cancelled()) {
			errno = ECANCELED;
			return -1;
		}
	}
	return 0;
}

static bool is_refusal(int sys)
{
	return sys == EOPNOTSUPP || sys == EXDEV || sys == ENOSYS || sys == EINVAL || sys == ENOTTY || sys == EPERM;
}

static int copy_range(int from, int to, int64_t at, int64_t end, char *buffer)
{
	while (at < end && !atomic_load_explicit(&no_range, memory_order_relaxed)) {
		loff_t in = at, out = at;
		ssize_t n = copy_file_range(from, &in, to, &out, end - at < STEP ? (size_t)(end - at) : STEP, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && !is_refusal(errno))
			return -1;
		if (n < 0)
			atomic_store(&no_range, true);
		if (n == 0)	/* the end, or a file of /proc and its like, which only reading can tell */
			break;
		if (n > 0)
			at += n;
		if (ib_cancelled()) {
			errno = ECANCELED;
			return -1;
		}
	}
	return copy_by_buffer(from, to, at, end, buffer);
}

/* 1: the whole content is shared now. */
static int clone(int from, int to, int64_t size)
{
	if (size < LARGE || atomic_load_explicit(&no_clone, memory_order_relaxed))
		return 0;
	if (ioctl(to, FICLONE, from) == 0)
		return ftruncate(to, size) < 0 ? -1 : 1;	/* it may have grown meanwhile */
	if (!is_refusal(errno))
		return -1;
	atomic_store(&no_clone, true);
	return 0;
}

/* Only what is data; the length is set at the end, for there may be a hole. */
static int copy_sparse(int from, int to, int64_t size, char *buffer)
{
	int64_t at = 0;

	while (at < size) {
		off_t data = lseek(from, at, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			break;
		hole = data < 0 ? -1 : lseek(from, data, SEEK_HOLE);
		if (hole < 0)
			return -1;
		if (hole > size)
			hole = size;
		if (data < hole && copy_range(from, to, data, hole, buffer) < 0)
			return -1;
		at = hole > data ? hole : size;
	}
	return ftruncate(to, size);
}

int exec_copy_content(int from, int to, int64_t size, int64_t blocks, char *buffer)
{
	int cloned = clone(from, to, size);

	if (cloned)
		return cloned < 0 ? -1 : 0;
	if (blocks * 512 < size && size >= 4096)
		return copy_sparse(from, to, size, buffer);
	if (size < LARGE)
		return copy_by_buffer(from, to, 0, size, buffer);
	return copy_range(from, to, 0, size, buffer);
}
