/*
 * tests/oci/apply-fixture.h - layers written as lists of items, unpacked, and what came out as text.
 */
#ifndef TESTS_OCI_APPLY_FIXTURE_H
#define TESTS_OCI_APPLY_FIXTURE_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "oci/base/alloc.h"
#include "oci/base/remove.h"
#include "oci/base/str.h"
#include "oci/layer-apply.h"
#include "tar-builder.h"

struct item {
	char type;	/* of tar; 'X': an extended attribute of the next item; NUL: the end */
	unsigned int mode;
	const char *name, *arg;	/* arg: content, link target, value */
	unsigned int uid, gid;
	long long mtime;
	unsigned int major, minor;
};

#define D(mode, name) {'5', mode, name, NULL, 0, 0, 1000, 0, 0}
#define F(name, text) {'0', 0644, name, text, 0, 0, 2000, 0, 0}
#define FM(mode, name, text) {'0', mode, name, text, 0, 0, 2000, 0, 0}
#define L(name, target) {'2', 0777, name, target, 0, 0, 3000, 0, 0}
#define H(name, target) {'1', 0644, name, target, 0, 0, 2000, 0, 0}
#define P(mode, name) {'6', mode, name, NULL, 0, 0, 2000, 0, 0}
#define C(name, major, minor) {'3', 0666, name, NULL, 0, 0, 2000, major, minor}
#define X(name, value) {'X', 0, name, value, 0, 0, 0, 0, 0}
#define W(name) {'0', 0, name, "", 0, 0, 0, 0, 0}
#define END {0, 0, NULL, NULL, 0, 0, 0, 0, 0}

static inline void build_item(struct tar_bytes *t, const struct item *i)
{
	size_t n = i->type == '0' ? strlen(i->arg) : 0;
	char *h;

	if (i->type == 'X') {
		ib_autofree char *key = ib_asprintf("SCHILY.xattr.%s", i->name);

		tb_pax_text(t, key, i->arg);
		return;
	}
	if (strlen(i->name) > 100)
		tb_pax_text(t, "path", i->name);
	h = tb_header(t, i->type, i->name, n || i->type == '0' ? NULL : i->arg, i->mode, n);
	tb_octal(h + 108, 8, i->uid);
	tb_octal(h + 116, 8, i->gid);
	tb_octal(h + 136, 12, (unsigned long long)i->mtime);
	tb_octal(h + 329, 8, i->major);
	tb_octal(h + 337, 8, i->minor);
	tb_seal(h);
	tb_data(t, i->arg, n);
}

static inline void build(struct tar_bytes *t, const struct item *items)
{
	for (; items->type; items++)
		build_item(t, items);
	tb_end(t);
}

static inline int apply_bytes(const struct tar_bytes *t, int target, const struct oci_apply_options *options,
			      struct oci_apply_result *result, struct ib_err *err)
{
	IB_CLEANUP(oci_reader_freep) struct oci_reader *src = oci_memory_reader_new(t->s, t->n);

	return oci_layer_apply(src, target, options, result, err);
}

static inline int apply_items(const struct item *items, int target, const struct oci_apply_options *options,
			      struct oci_apply_result *result, struct ib_err *err)
{
	struct tar_bytes t = {0};
	int done;

	build(&t, items);
	done = apply_bytes(&t, target, options, result, err);
	tb_done(&t);
	return done;
}

static inline int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static inline int not_dots(const struct dirent *de)
{
	return strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0;
}

static inline bool is_opaque(int fd)
{
	char value[2];

	return fgetxattr(fd, OCI_UNION_OPAQUE, value, sizeof value) == 1 && value[0] == 'y';
}

static inline void list_content(int dir, const char *name, struct ib_str *out)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW);
	char buf[64];
	ssize_t n = fd < 0 ? 0 : read(fd, buf, sizeof buf);

	ib_str_addc(out, ' ');
	ib_str_add(out, buf, n < 0 ? 0 : (size_t)n);
	if (fd >= 0)
		close(fd);
}

/*
 * A tree as text, one line per name in byte order: "d755 a", "D755 a" (opaque), "f644 a/f content", with "*2"
 * for its links, "l a/l target", "w a/x" (whiteout), "c1:3 dev", "p644 fifo".
 */
static inline void list_tree(int dir, const char *prefix, struct ib_str *out)
{
	struct dirent **names = NULL;
	int n = scandirat(dir, ".", &names, not_dots, by_name);

	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name;
		ib_autofree char *path = ib_asprintf("%s%s", prefix, name);
		struct stat st = {0};
		char target[256];
		ssize_t len;
		int fd;

		(void)fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW);
		switch (st.st_mode & S_IFMT) {
		case S_IFDIR:
			fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
			ib_str_addf(out, "%c%o %s\n", fd >= 0 && is_opaque(fd) ? 'D' : 'd', st.st_mode & 07777, path);
			if (fd >= 0) {
				ib_autofree char *below = ib_asprintf("%s/", path);

				list_tree(fd, below, out);
				close(fd);
			}
			break;
		case S_IFREG:
			ib_str_addf(out, "f%o", st.st_mode & 07777);
			if (st.st_nlink > 1)
				ib_str_addf(out, "*%u", (unsigned int)st.st_nlink);
			ib_str_addf(out, " %s", path);
			list_content(dir, name, out);
			ib_str_addc(out, '\n');
			break;
		case S_IFLNK:
			len = readlinkat(dir, name, target, sizeof target - 1);
			target[len < 0 ? 0 : len] = '\0';
			ib_str_addf(out, "l %s %s\n", path, target);
			break;
		case S_IFCHR:
			if (st.st_rdev == 0)
				ib_str_addf(out, "w %s\n", path);
			else
				ib_str_addf(out, "c%u:%u %s\n", major(st.st_rdev), minor(st.st_rdev), path);
			break;
		default:
			ib_str_addf(out, "%c%o %s\n", S_ISFIFO(st.st_mode) ? 'p' : '?', st.st_mode & 07777, path);
		}
		free(names[i]);
	}
	free(names);
}

/* A fresh place: a target, a lower layer, and something outside that nobody may touch. */
struct place {
	char dir[64];
	int fd, target, lower;
};

static inline int place_dir(int at, const char *name)
{
	if (mkdirat(at, name, 0755) < 0 || fchmodat(at, name, 0755, 0) < 0)
		abort();
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static inline void place_init(struct place *p)
{
	const char *tmp = getenv("TMPDIR");
	int outside;

	(void)snprintf(p->dir, sizeof p->dir, "%.40s/test-apply-XXXXXX", tmp && strlen(tmp) <= 40 ? tmp : "/tmp");
	if (!mkdtemp(p->dir))
		abort();
	p->fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	p->target = place_dir(p->fd, "target");
	p->lower = place_dir(p->fd, "lower");
	outside = place_dir(p->fd, "outside");
	close(openat(outside, "secret", O_WRONLY | O_CREAT, 0600));
	(void)fchmodat(outside, "secret", 0600, 0);	/* whatever the umask is */
	close(outside);
}

static inline void place_done(struct place *p)
{
	ib_autoerr err = {0};
	const char *slash = strrchr(p->dir, '/');

	close(p->target);
	close(p->lower);
	close(p->fd);
	if (slash) {
		ib_autofree char *parent = ib_strndup(p->dir, (size_t)(slash - p->dir));
		int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (ib_remove_tree(fd, slash + 1, &err) < 0)
			(void)fprintf(stderr, "%s\n", err.text);
		close(fd);
	}
}

#endif
