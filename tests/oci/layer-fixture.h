/*
 * tests/oci/layer-fixture.h - a fresh directory with a store in it and a pool, and other people's tools to
 * read layers with.
 */
#ifndef TESTS_OCI_LAYER_FIXTURE_H
#define TESTS_OCI_LAYER_FIXTURE_H

#include <dirent.h>
#include <spawn.h>
#include <sys/wait.h>

#include "oci/base/fd.h"
#include "oci/base/pool.h"
#include "oci/layer-write.h"
#include "oci/store.h"
#include "tests/oci/tree.h"

extern char **environ;

struct fixture {
	struct tree tree;	/* first: it is a tree for all of tree.h */
	struct oci_store *store;
	struct ib_pool *pool;
};

static inline int fixture_setup(void **state)
{
	struct fixture *f = ib_new(struct fixture);
	struct tree *t;
	void *made;
	ib_autoerr err = {0};

	(void)tree_setup(&made);
	t = made;
	f->tree = *t;
	free(t);
	ib_autofree char *root = ib_asprintf("%s/store", f->tree.path);
	if (oci_store_open(root, true, &f->store, &err) < 0)
		fail_msg("%s", err.text);
	f->pool = ib_pool_new(2);
	*state = f;
	return 0;
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	struct tree *t = ib_memdup(&f->tree, sizeof f->tree);
	void *made = t;

	ib_pool_free(f->pool);
	oci_store_free(f->store);
	free(f);
	return tree_teardown(&made);
}

#define fixture_test(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

/* What a shell command prints; it must succeed. The caller's. */
static inline char *output_of(const struct fixture *f, const char *command)
{
	ib_autofree char *out = ib_asprintf("%s/output", f->tree.path);
	ib_autofree char *line = ib_asprintf("set -e; exec >'%s'; %s", out, command);
	char sh[] = "sh", dash_c[] = "-c";
	char *argv[] = {sh, dash_c, line, NULL};
	ib_autoerr err = {0};
	size_t len;
	char *text;
	int status;
	pid_t pid;

	assert_int_equal(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status != 0)
		fail_msg("status %d of: %s", status, command);
	assert_int_equal(ib_read_file(AT_FDCWD, out, 1u << 24, &text, &len, &err), 0);
	return text;
}

static inline char *blob_path(const struct fixture *f, const struct oci_layer *layer)
{
	char hex[OCI_DIGEST_SIZE];

	return ib_asprintf("%s/store/blobs/sha256/%s", f->tree.path, oci_digest_hex(&layer->desc.digest, hex));
}

static inline size_t count_blobs(const struct fixture *f)
{
	ib_autofree char *path = ib_asprintf("%s/store/blobs/sha256", f->tree.path);
	const struct dirent *e;
	DIR *dir = opendir(path);
	size_t n = 0;

	assert_non_null(dir);
	while ((e = readdir(dir)))
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
}

#define autolayer IB_CLEANUP(oci_layer_done) struct oci_layer
#define autowriter IB_CLEANUP(oci_layer_writer_freep) struct oci_layer_writer
#define autounion IB_CLEANUP(oci_union_freep) struct oci_union

#endif
