/*
 * The input: a byte that chooses how, and a layer, its checksums put right. Whatever is in it, nothing outside
 * the target is touched, and what was unpacked can be removed.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "oci/base/alloc.h"
#include "oci/base/remove.h"
#include "oci/layer-apply.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/tar-seal.h"

#include "oci/base/poison.h"

static int make_dir(int at, const char *name)
{
	int fd = mkdirat(at, name, 0755) < 0 ? -1 : openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	fuzz_check(fd >= 0);
	return fd;
}

/* What lies below: a directory, a file in it, links that lead out. */
static struct oci_union *make_lower(int at)
{
	struct oci_union *u = oci_union_new();
	int fd = make_dir(at, "lower");

	(void)close(make_dir(fd, "d"));
	(void)close(openat(fd, "d/f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	fuzz_check(symlinkat("../../outside", fd, "l") == 0 && symlinkat("/d", fd, "d/l") == 0);
	oci_union_push(u, fd, OCI_UNION_OVERLAY);
	return u;
}

static void apply(int at, uint8_t how, struct oci_reader *src)
{
	IB_CLEANUP(oci_union_freep) struct oci_union *lower = how & 4 ? make_lower(at) : NULL;
	ib_autoclose int target = make_dir(at, "target");
	struct oci_apply_options options = {
		.form = how % 3 == 0 ? OCI_APPLY_OVERLAY : how % 3 == 1 ? OCI_APPLY_MERGED : OCI_APPLY_ARCHIVE,
		.lower = lower,
		.max_bytes = 1 << 20,
	};
	struct oci_apply_result result = {0};
	ib_autoerr err = {0};

	if (oci_layer_apply(src, target, &options, &result, &err) < 0)
		fuzz_check(err.code != IB_OK && err.text);
	free(result.first_device);
}

static size_t entries(int at, const char *name)
{
	DIR *dir = fdopendir(openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	size_t n = 0;

	fuzz_check(dir != NULL);
	while (readdir(dir))
		n++;
	(void)closedir(dir);
	return n - 2;	/* "." and ".." */
}

static void run(int at, const uint8_t *data, size_t size)
{
	ib_autofree uint8_t *bytes = ib_memdup(data + 1, size - 1);
	IB_CLEANUP(oci_reader_freep) struct oci_reader *src = oci_memory_reader_new(bytes, size - 1);
	ib_autoclose int outside = make_dir(at, "outside");
	ib_autoclose int secret = openat(outside, "secret", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct stat before[2], after[2];

	fuzz_check(fstat(outside, &before[0]) == 0 && fstat(secret, &before[1]) == 0);
	tar_seal(bytes, size - 1);
	apply(at, data[0], src);
	fuzz_check(fstat(outside, &after[0]) == 0 && fstat(secret, &after[1]) == 0);
	for (int i = 0; i < 2; i++)	/* a changed time shows that something was made, linked or set */
		fuzz_check(before[i].st_mode == after[i].st_mode && before[i].st_size == after[i].st_size &&
			   before[i].st_ctim.tv_sec == after[i].st_ctim.tv_sec &&
			   before[i].st_ctim.tv_nsec == after[i].st_ctim.tv_nsec);
	fuzz_check(entries(at, ".") == (data[0] & 4 ? 3u : 2u));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char dir[] = "/dev/shm/ib-fuzz-XXXXXX";	/* memory: a disk would be worn out */
	ib_autoclose int at = -1;
	ib_autoerr err = {0};

	if (size < 1)
		return 0;
	if (!mkdtemp(dir)) {
		(void)snprintf(dir, sizeof dir, "/tmp/ib-fuzz-XXXXXX");
		fuzz_check(mkdtemp(dir) != NULL);
	}
	at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fuzz_check(at >= 0);
	run(at, data, size);
	fuzz_check(ib_remove_tree(AT_FDCWD, dir, &err) == 0);
	return 0;
}
