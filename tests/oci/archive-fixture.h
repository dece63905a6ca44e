/*
 * tests/oci/archive-fixture.h - a store in a fresh directory, and archives made by hand.
 */
#ifndef TESTS_OCI_ARCHIVE_FIXTURE_H
#define TESTS_OCI_ARCHIVE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "oci/archive.h"
#include "oci/base/alloc.h"
#include "oci/base/remove.h"
#include "oci/tar.h"

struct fixture {
	char dir[64];
	char *root;		/* of store */
	struct oci_store *store;
	struct ib_pool *pool;
	struct ib_str tar;	/* the archive that is being made */
	struct oci_tar_writer *out;
};

static inline int append_to_str(void *ctx, const void *bytes, size_t n, struct ib_err *err)
{
	(void)err;
	ib_str_add(ctx, bytes, n);
	return 0;
}

static inline void begin_archive(struct fixture *f)
{
	oci_tar_writer_free(f->out);
	ib_str_done(&f->tar);
	f->tar = (struct ib_str)IB_STR(64u << 20);
	f->out = oci_tar_writer_new(append_to_str, &f->tar);
}

static inline int setup(void **state)
{
	struct fixture *f = ib_new(struct fixture);
	const char *tmp = getenv("TMPDIR");
	ib_autoerr err = {0};

	(void)snprintf(f->dir, sizeof f->dir, "%.40s/ib-archive-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->dir));
	f->root = ib_asprintf("%s/store", f->dir);
	assert_int_equal(oci_store_open(f->root, true, &f->store, &err), 0);
	f->pool = ib_pool_new(2);
	begin_archive(f);
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;
	ib_autoerr err = {0};

	oci_tar_writer_free(f->out);
	ib_str_done(&f->tar);
	ib_pool_free(f->pool);
	oci_store_free(f->store);
	assert_int_equal(ib_remove_tree(AT_FDCWD, f->dir, &err), 0);
	free(f->root);
	free(f);
	return 0;
}

static inline void add_entry(struct fixture *f, const char *name, mode_t mode, const char *link, bool hard,
		      const void *bytes, size_t n)
{
	ib_autofree char *copy = ib_strdup(name), *target = ib_strdup_null(link);
	const struct oci_tar_entry entry = {
		.name = copy, .mode = mode, .link = target, .hardlink = hard, .size = (int64_t)n,
	};
	ib_autoerr err = {0};

	assert_int_equal(oci_tar_begin(f->out, &entry, &err), 0);
	if (n)
		assert_int_equal(oci_tar_write(f->out, bytes, n, &err), 0);
}

static inline void add_bytes(struct fixture *f, const char *name, const void *bytes, size_t n)
{
	add_entry(f, name, S_IFREG | 0644, NULL, false, bytes, n);
}

static inline void add(struct fixture *f, const char *name, const char *text)
{
	add_bytes(f, name, text, strlen(text));
}

static inline void end_archive(struct fixture *f)
{
	ib_autoerr err = {0};

	assert_int_equal(oci_tar_end(f->out, &err), 0);
}

/* Blobs of the store, temporary files included. */
static inline int count_blobs(struct fixture *f)
{
	int fd = openat(oci_store_dirfd(f->store), "blobs/sha256", O_RDONLY | O_DIRECTORY), n = 0;
	DIR *d = fdopendir(fd);

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

/* "sha256:HEX" of a text. The caller's. */
static inline char *digest_of(const void *bytes, size_t n)
{
	struct oci_digest digest;
	char text[OCI_DIGEST_SIZE];

	oci_digest_of(bytes, n, &digest);
	return ib_strdup(oci_digest_str(&digest, text));
}

#endif
