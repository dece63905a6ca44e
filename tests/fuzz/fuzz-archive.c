/*
 * The input: an archive of images. Whatever it holds, what is imported is whole, and what fails leaves nothing.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "oci/archive.h"
#include "oci/base/remove.h"
#include "tests/fuzz/fuzz.h"

#include "oci/base/poison.h"

static int refuse_blob(void *ctx, const struct oci_digest *digest, int64_t size, struct ib_err *err)
{
	(void)ctx;
	(void)digest;
	(void)size;
	return ib_fail(err, IB_EXISTS, "a blob was left behind");
}

static void import(const char *dir, const uint8_t *data, size_t size)
{
	IB_CLEANUP(oci_store_freep) struct oci_store *store = NULL;
	IB_CLEANUP(oci_reader_freep) struct oci_reader *src = oci_memory_reader_new(data, size);
	struct oci_archive_list list = {0};
	ib_autoerr err = {0};

	fuzz_check(oci_store_open(dir, true, &store, &err) == 0);
	if (oci_archive_import(store, src, NULL, NULL, &list, &err) < 0) {
		ib_err_clear(&err);
		fuzz_check(oci_store_each_blob(store, refuse_blob, NULL, &err) == 0);
	}
	for (size_t i = 0; i < list.n; i++)
		fuzz_check(oci_store_verify(store, &list.v[i].desc, &err) == 0 || err.code == IB_LIMIT);
	oci_archive_list_done(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char dir[] = "/dev/shm/ib-fuzz-XXXXXX";	/* memory: a disk would be worn out */
	ib_autoerr err = {0};

	if (!mkdtemp(dir)) {
		(void)snprintf(dir, sizeof dir, "/tmp/ib-fuzz-XXXXXX");
		fuzz_check(mkdtemp(dir) != NULL);
	}
	import(dir, data, size);
	fuzz_check(ib_remove_tree(AT_FDCWD, dir, &err) == 0);
	return 0;
}
