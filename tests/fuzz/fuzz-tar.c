/*
 * The input: a tar archive, its checksums put right. Content stays within its entry and in order; what was
 * read can be written, and then reads the same.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"
#include "oci/tar.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/tar-seal.h"

#include "oci/base/poison.h"

static int to_str(void *ctx, const void *bytes, size_t n, struct ib_err *err)
{
	(void)err;
	ib_str_add(ctx, bytes, n);
	return 0;
}

static void read_content(struct oci_tar_reader *tar, const struct oci_tar_entry *e)
{
	ib_autoerr err = {0};
	int64_t offset, end = 0;
	const void *bytes;
	size_t n;

	while (oci_tar_read(tar, &bytes, &n, &offset, &err) > 0) {
		fuzz_check(n > 0 && offset >= end && offset <= e->size && (int64_t)n <= e->size - offset);
		end = offset + (int64_t)n;
	}
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* A header alone, for content of any size need not be made up. */
static void write_and_read(const struct oci_tar_entry *e)
{
	ib_autostr out = IB_STR(4u << 20);
	IB_CLEANUP(oci_tar_writer_freep) struct oci_tar_writer *w = oci_tar_writer_new(to_str, &out);
	const struct oci_tar_entry *back;
	ib_autoerr err = {0};
	size_t n = strlen(e->name);

	if (oci_tar_begin(w, e, &err) < 0)
		return;	/* an empty name, an attribute with '=' */
	IB_CLEANUP(oci_reader_freep) struct oci_reader *src = oci_memory_reader_new(out.s, out.len);
	IB_CLEANUP(oci_tar_reader_freep) struct oci_tar_reader *tar = oci_tar_reader_new(src);
	fuzz_check(oci_tar_next(tar, &back, &err) == 1);
	fuzz_check(strncmp(back->name, e->name, n) == 0);
	fuzz_check(back->mode == e->mode && back->hardlink == e->hardlink && same_text(back->link, e->link));
	fuzz_check(back->uid == e->uid && back->gid == e->gid && back->size == e->size);
	fuzz_check(back->mtime.tv_sec == e->mtime.tv_sec && back->n_xattrs == e->n_xattrs);
	fuzz_check(back->major == e->major && back->minor == e->minor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ib_autofree uint8_t *bytes = ib_memdup(data, size);
	IB_CLEANUP(oci_reader_freep) struct oci_reader *src = NULL;
	IB_CLEANUP(oci_tar_reader_freep) struct oci_tar_reader *tar = NULL;
	const struct oci_tar_entry *e;
	ib_autoerr err = {0};
	char rest;

	tar_seal(bytes, size);
	src = oci_memory_reader_new(bytes, size);
	tar = oci_tar_reader_new(src);
	while (oci_tar_next(tar, &e, &err) > 0) {
		fuzz_check(strlen(e->name) <= OCI_TAR_MAX_NAME && e->size >= 0);
		fuzz_check(S_ISREG(e->mode) || e->size == 0);
		write_and_read(e);
		read_content(tar, e);
	}
	if (err.code == IB_OK)
		fuzz_check(oci_reader_read(src, &rest, 1, &err) == 0);
	return 0;
}
