/*
 * tests/builder/files.h - file trees as text, made and listed.
 *
 * One line per entry: TYPE MODE OWNER TIME PATH [REST]
 *   d 755 0:0 100 n          directory
 *   f 644 0:0 100 n/a A      file with content (none: empty; "*N": N bytes, "%N": N bytes, all hole)
 *   l - 0:0 100 n/l target   symbolic link
 *   h - - - n/b n/a          further name of a file
 *   p 644 0:0 100 n/p        fifo
 *   s 644 0:0 100 n/s        socket
 *   c 600 0:0 100 n/c 1,3    character device
 * In what is made "-" stands for 644 or 755, ourselves, time 0. An ordinary user sees no owners.
 */
#ifndef TESTS_BUILDER_FILES_H
#define TESTS_BUILDER_FILES_H

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
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "oci/base/alloc.h"
#include "oci/base/remove.h"
#include "oci/base/str.h"
#include "oci/union.h"

#define FILES_UNUSED __attribute__((unused))

/* A directory of our own, removed at the end. */
struct files {
	char *path;
	int fd;
};

FILES_UNUSED static struct files *files_new(void)
{
	const char *tmp = getenv("TMPDIR");
	struct files *files = ib_new(struct files);

	umask(0);
	files->path = ib_asprintf("%s/imgbuild-files-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(files->path));
	files->fd = open(files->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(files->fd >= 0);
	return files;
}

FILES_UNUSED static void files_free(struct files *files)
{
	ib_autoerr err = {0};

	if (!files)
		return;
	ib_closep(&files->fd);
	assert_int_equal(ib_remove_tree(AT_FDCWD, files->path, &err), 0);
	free(files->path);
	free(files);
}

struct files_line {
	char type;
	unsigned int mode;
	int uid, gid;
	long time;
	char path[256], rest[256];
};

static void files_parse(const char *text, struct files_line *line)
{
	char mode[16], owner[32], when[24];
	int n = 0, got;

	*line = (struct files_line){.uid = -1, .gid = -1};
	got = sscanf(text, "%c %15s %31s %23s %255s%n", &line->type, mode, owner, when, line->path, &n);
	assert_int_equal(got, 5);
	if (text[n] == ' ')
		(void)snprintf(line->rest, sizeof line->rest, "%s", text + n + 1);
	line->mode = *mode == '-' ? (line->type == 'd' ? 0755 : 0644) : (unsigned int)strtoul(mode, NULL, 8);
	if (*owner != '-')
		(void)sscanf(owner, "%d:%d", &line->uid, &line->gid);
	line->time = *when == '-' ? 0 : strtol(when, NULL, 10);
}

static void files_fill(int fd, const char *rest)
{
	long size = *rest == '*' || *rest == '%' ? strtol(rest + 1, NULL, 10) : 0;

	if (*rest == '%') {
		assert_int_equal(ftruncate(fd, size), 0);
	} else if (*rest == '*') {
		for (long i = 0; i < size; i += 8) {
			char piece[9];

			(void)snprintf(piece, sizeof piece, "%07lx\n", i % 0xfffffff);
			assert_true(write(fd, piece, (size_t)(size - i < 8 ? size - i : 8)) > 0);
		}
	} else if (*rest) {
		assert_int_equal(write(fd, rest, strlen(rest)), (ssize_t)strlen(rest));
	}
}

static void files_make_socket(int dir, const char *path)
{
	/* mknod(2) makes one without bind(2)'s limit on the path's length. */
	assert_int_equal(mknodat(dir, path, S_IFSOCK | 0600, 0), 0);
}

/* Does an ordinary user skip the line? Devices are root's. */
static bool files_make_one(int dir, const struct files_line *line)
{
	int fd, a, b;

	switch (line->type) {
	case 'd':
		assert_true(mkdirat(dir, line->path, 0700) == 0 || errno == EEXIST);
		return true;
	case 'f':
		fd = openat(dir, line->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		files_fill(fd, line->rest);
		close(fd);
		return true;
	case 'l':
		assert_int_equal(symlinkat(line->rest, dir, line->path), 0);
		return true;
	case 'h':
		assert_int_equal(linkat(dir, line->rest, dir, line->path, 0), 0);
		return true;
	case 'p':
		assert_int_equal(mkfifoat(dir, line->path, 0600), 0);
		return true;
	case 's':
		files_make_socket(dir, line->path);
		return true;
	case 'c':
		assert_int_equal(sscanf(line->rest, "%d,%d", &a, &b), 2);
		return mknodat(dir, line->path, S_IFCHR | 0600, makedev((unsigned int)a, (unsigned int)b)) == 0;
	}
	fail_msg("unknown type in '%c %s'", line->type, line->path);
	return false;
}

static void files_set_metadata(int dir, const struct files_line *line)
{
	const struct timespec times[2] = {{.tv_sec = line->time}, {.tv_sec = line->time}};

	if (line->type == 'h')
		return;
	if (line->uid >= 0 && geteuid() == 0)
		assert_int_equal(fchownat(dir, line->path, (uid_t)line->uid, (gid_t)line->gid, AT_SYMLINK_NOFOLLOW),
				 0);
	if (line->type != 'l')
		assert_int_equal(fchmodat(dir, line->path, line->mode, 0), 0);
	assert_int_equal(utimensat(dir, line->path, times, AT_SYMLINK_NOFOLLOW), 0);
}

/* Make the entries of spec (lines as above) below dir: parents first, as written. */
FILES_UNUSED static void files_make(int dir, const char *spec)
{
	struct files_line line[64];
	size_t n = 0;
	ib_autofree char *copy = ib_strdup(spec);
	char *rest = copy, *text;

	while ((text = strsep(&rest, "\n"))) {
		if (!*text)
			continue;
		assert_true(n < 64);
		files_parse(text, &line[n]);
		if (files_make_one(dir, &line[n]))
			n++;
	}
	while (n-- > 0)		/* what is in a directory before its time is set */
		files_set_metadata(dir, &line[n]);
}

static char *files_content(int dirfd, const char *name, const struct stat *st)
{
	char *text = ib_calloc(1, 260);
	int fd;

	if (st->st_size > 250) {
		(void)snprintf(text, 260, "%c%jd", st->st_blocks * 512 < st->st_size ? '%' : '*',
			       (intmax_t)st->st_size);
		return text;
	}
	fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, 259), st->st_size);
	close(fd);
	return text;
}

/* The first path listed with this inode. */
struct files_seen {
	ino_t ino[64];
	char path[64][256];
	size_t n;
};

static const char *files_first(struct files_seen *seen, const struct oci_walk_entry *e)
{
	if (!S_ISREG(e->st.st_mode) || e->st.st_nlink < 2)
		return NULL;
	for (size_t i = 0; i < seen->n; i++)
		if (seen->ino[i] == e->st.st_ino)
			return seen->path[i];
	assert_true(seen->n < 64);
	seen->ino[seen->n] = e->st.st_ino;
	(void)snprintf(seen->path[seen->n++], 256, "%s", e->path);
	return NULL;
}

static void files_list_rest(struct ib_str *out, const struct oci_walk_entry *e)
{
	char target[256] = "";
	ib_autofree char *content = NULL;

	switch (e->st.st_mode & S_IFMT) {
	case S_IFREG:
		content = files_content(e->dirfd, e->name, &e->st);
		ib_str_addf(out, "%s%s", *content ? " " : "", content);
		break;
	case S_IFLNK:
		assert_true(readlinkat(e->dirfd, e->name, target, sizeof target - 1) > 0);
		ib_str_addf(out, " %s", target);
		break;
	case S_IFCHR:
		ib_str_addf(out, " %u,%u", major(e->st.st_rdev), minor(e->st.st_rdev));
		break;
	}
}

static void files_list_one(struct ib_str *out, struct files_seen *seen, const struct oci_walk_entry *e)
{
	static const char types[] = "?pc?d?b?f?l?s";	/* by S_IFMT >> 12 */
	const char *first = files_first(seen, e);

	if (first) {
		ib_str_addf(out, "h - - - %s %s\n", e->path, first);
		return;
	}
	ib_str_addf(out, "%c ", types[e->st.st_mode >> 12]);
	if (S_ISLNK(e->st.st_mode))
		ib_str_adds(out, "- ");
	else
		ib_str_addf(out, "%o ", e->st.st_mode & 07777);
	ib_str_addf(out, "%u:%u %jd %s", e->st.st_uid, e->st.st_gid, (intmax_t)e->st.st_mtim.tv_sec, e->path);
	files_list_rest(out, e);
	ib_str_addc(out, '\n');
}

/* All that is below dir, in byte order. The caller's. */
FILES_UNUSED static char *files_list(int dir)
{
	IB_CLEANUP(oci_union_freep) struct oci_union *u = oci_union_new();
	IB_CLEANUP(oci_union_walk_freep) struct oci_union_walk *walk = NULL;
	struct files_seen *seen = ib_new(struct files_seen);
	const struct oci_walk_entry *e;
	ib_autoerr err = {0};
	ib_autostr out = IB_STR(1 << 20);

	oci_union_push(u, fcntl(dir, F_DUPFD_CLOEXEC, 0), OCI_UNION_OVERLAY);
	assert_int_equal(oci_union_walk_new(u, "", OCI_WALK_RAW, &walk, &err), 0);
	while (oci_union_walk_next(walk, &e, &err) > 0)
		files_list_one(&out, seen, e);
	assert_null(err.text);
	free(seen);
	return ib_str_steal(&out);
}

/* The third word of every line becomes "-": an ordinary user's files are all his own. */
static char *files_without_owners(const char *list)
{
	ib_autostr out = IB_STR(1 << 20);
	int word = 0;

	for (; *list; list++) {
		if (*list == ' ')
			word++;
		else if (*list == '\n')
			word = 0;
		else if (word == 2)
			continue;
		ib_str_addc(&out, *list);
	}
	return ib_str_steal(&out);
}

FILES_UNUSED static void files_expect(int dir, const char *expect)
{
	ib_autofree char *got = files_list(dir);

	if (geteuid() == 0) {
		assert_string_equal(got, expect);
	} else {
		ib_autofree char *a = files_without_owners(got), *b = files_without_owners(expect);

		assert_string_equal(a, b);
	}
}

/* A fresh directory called name below files, open. */
FILES_UNUSED static int files_sub(const struct files *files, const char *name)
{
	int fd;

	assert_int_equal(mkdirat(files->fd, name, 0755), 0);
	fd = openat(files->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

FILES_UNUSED static struct oci_union *files_union(int take_fd, enum oci_union_kind kind)
{
	struct oci_union *u = oci_union_new();

	if (take_fd >= 0)
		oci_union_push(u, take_fd, kind);
	return u;
}

#endif
