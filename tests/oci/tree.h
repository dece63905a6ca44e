/*
 * tests/oci/tree.h - small file trees for tests: a fresh directory each, layers in it, marks of overlayfs.
 */
#ifndef TESTS_OCI_TREE_H
#define TESTS_OCI_TREE_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "oci/base/alloc.h"
#include "oci/base/remove.h"
#include "oci/union.h"

struct tree {
	char *path;	/* of a fresh directory */
	int fd;
};

static inline int tree_setup(void **state)
{
	const char *tmp = getenv("TMPDIR");
	struct tree *t = ib_new(struct tree);

	t->path = ib_asprintf("%s/imgbuild-test-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(t->path));
	t->fd = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(t->fd >= 0);
	*state = t;
	return 0;
}

static inline int tree_teardown(void **state)
{
	struct tree *t = *state;
	ib_autoerr err = {0};

	close(t->fd);
	assert_int_equal(ib_remove_tree(AT_FDCWD, t->path, &err), 0);
	free(t->path);
	free(t);
	return 0;
}

#define tree_test(fn) cmocka_unit_test_setup_teardown(fn, tree_setup, tree_teardown)

static inline void tree_dir(const struct tree *t, const char *path)
{
	assert_int_equal(mkdirat(t->fd, path, 0755), 0);
}

static inline void tree_file(const struct tree *t, const char *path, const char *text)
{
	int fd = openat(t->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static inline void tree_link(const struct tree *t, const char *path, const char *target)
{
	assert_int_equal(symlinkat(target, t->fd, path), 0);
}

/* Linux lets anybody make this one device; where it does not the test is skipped. */
static inline void tree_whiteout(const struct tree *t, const char *path)
{
	int r = mknodat(t->fd, path, S_IFCHR, makedev(0, 0));

	if (r < 0 && errno == EPERM) {
		print_message("skipped: no whiteout can be made here: %s\n", strerror(errno));
		skip();
	}
	assert_int_equal(r, 0);
}

static inline int tree_open(const struct tree *t, const char *path)
{
	int fd = openat(t->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static inline void tree_opaque(const struct tree *t, const char *path, const char *value)
{
	int fd = tree_open(t, path);
	int r = fsetxattr(fd, OCI_UNION_OPAQUE, value, strlen(value), 0);

	ib_closep(&fd);
	if (r < 0 && errno == EOPNOTSUPP) {
		print_message("skipped: no user attributes here: %s\n", strerror(errno));
		skip();
	}
	assert_int_equal(r, 0);
}

/* Times in whole seconds, of the thing itself. */
static inline void tree_mtime(const struct tree *t, const char *path, time_t seconds, long ns)
{
	struct timespec ts[2] = {{seconds, ns}, {seconds, ns}};

	assert_int_equal(utimensat(t->fd, path, ts, AT_SYMLINK_NOFOLLOW), 0);
}

/* A union of the directories named, lowest first, all of one kind. */
static inline struct oci_union *tree_union(const struct tree *t, enum oci_union_kind kind,
					   const char *const *layers, size_t n)
{
	struct oci_union *u = oci_union_new();

	for (size_t i = 0; i < n; i++)
		oci_union_push(u, tree_open(t, layers[i]), kind);
	return u;
}

#define tree_layers(t, kind, ...) \
	tree_union(t, kind, (const char *const[]){__VA_ARGS__}, \
		   sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static inline size_t tree_open_fds(void)
{
	size_t n = 0;

	for (int fd = 0; fd < 4096; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

#endif
