/*
 * bench-layer DIR SETTING [THREADS]: write all of DIR as one layer into a store that is thrown away, and say how
 * fast that was. Not a test.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "oci/base/alloc.h"
#include "oci/base/clock.h"
#include "oci/base/remove.h"
#include "oci/base/str.h"
#include "oci/layer-diff.h"

#include "oci/base/poison.h"

static int write_layer(struct oci_store *store, const char *dir, const char *setting, size_t threads,
		       struct oci_layer *ret_layer, int64_t *ret_entries, struct ib_err *err)
{
	IB_CLEANUP(ib_pool_freep) struct ib_pool *pool = ib_pool_new(threads);
	IB_CLEANUP(oci_layer_writer_freep) struct oci_layer_writer *writer = NULL;
	IB_CLEANUP(oci_union_freep) struct oci_union *nothing = oci_union_new();
	struct oci_compression_setting compression;
	ib_autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return ib_fail_sys(err, errno, "open '%s'", dir);
	if (oci_compression_parse(setting, &compression, err) < 0 ||
	    oci_layer_writer_new(store, pool, &compression, &writer, err) < 0 ||
	    oci_layer_diff(writer, fd, nothing, NULL, ret_entries, err) < 0)
		return -1;
	return oci_layer_writer_finish(writer, ret_layer, err);
}

static int run(const char *root, const char *dir, const char *setting, size_t threads, struct ib_err *err)
{
	IB_CLEANUP(oci_store_freep) struct oci_store *store = NULL;
	struct oci_layer layer = {0};
	char digest[OCI_DIGEST_SIZE];
	int64_t entries, start;
	struct rusage usage;
	double seconds;

	if (oci_store_open(root, true, &store, err) < 0)
		return -1;
	start = ib_monotonic_ns();
	if (write_layer(store, dir, setting, threads, &layer, &entries, err) < 0)
		return -1;
	seconds = (double)(ib_monotonic_ns() - start) / 1e9;
	getrusage(RUSAGE_SELF, &usage);
	printf("%s: %" PRId64 " entries, %" PRId64 " -> %" PRId64 " bytes, %.3f s, %.0f MB/s, CPU %.2f s, "
	       "peak RSS %.1f MiB\n%s\n",
	       setting, entries, layer.tar_size, layer.desc.size, seconds, (double)layer.tar_size / 1e6 / seconds,
	       (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
	       (double)usage.ru_maxrss / 1024, oci_digest_str(&layer.desc.digest, digest));
	oci_layer_done(&layer);
	return 0;
}

int main(int argc, char **argv)
{
	const char *tmp = getenv("TMPDIR");
	ib_autofree char *root = ib_asprintf("%s/imgbuild-bench-XXXXXX", tmp ? tmp : "/tmp");
	ib_autoerr err = {0}, ignored = {0};
	long long threads = (long long)ib_processors();
	int r;

	if (argc < 3 || (argc > 3 && !ib_parse_int(argv[3], 1, 1024, &threads))) {
		fprintf(stderr, "usage: bench-layer DIR SETTING [THREADS]\n");
		return 2;
	}
	if (!mkdtemp(root)) {
		perror(root);
		return 1;
	}
	r = run(root, argv[1], argv[2], (size_t)threads, &err);
	if (r < 0)
		fprintf(stderr, "bench-layer: %s\n", err.text);
	(void)ib_remove_tree(AT_FDCWD, root, &ignored);	/* a leftover in /tmp is all that can come of it */
	return r < 0;
}
