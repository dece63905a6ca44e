#include <inttypes.h>

#include "oci/base/pool.h"
#include "oci/reach.h"

#include "oci/base/poison.h"

#define BLOCK 65536

static int check_blob(void *ctx, const struct oci_descriptor *desc, struct ib_err *err)
{
	struct oci_store *store = ctx;
	IB_CLEANUP(oci_reader_freep) struct oci_reader *reader = NULL;
	char text[OCI_DIGEST_SIZE], buf[BLOCK];
	int64_t size;
	ssize_t n;
	int fd = oci_store_get(store, &desc->digest, &size, err);

	if (fd < 0)
		return -1;
	reader = oci_file_reader_new(fd, oci_digest_str(&desc->digest, text));
	reader = oci_verify_reader_new(ib_steal_ptr(&reader), desc, NULL);
	while ((n = oci_reader_read(reader, buf, sizeof buf, err)) > 0)
		if (ib_check_cancelled(err) < 0)
			return -1;
	return n < 0 ? -1 : 0;
}

int oci_store_verify(struct oci_store *store, const struct oci_descriptor *desc, struct ib_err *err)
{
	return oci_reach(store, desc, 0, check_blob, store, err);
}
