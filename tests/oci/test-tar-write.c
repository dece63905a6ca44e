#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/base/str.h"
#include "oci/tar.h"

static int to_str(void *ctx, const void *bytes, size_t n, struct ib_err *err)
{
	(void)err;
	ib_str_add(ctx, bytes, n);
	return 0;
}

static void write_one(struct oci_tar_writer *w, const struct oci_tar_entry *e, const char *content)
{
	ib_autoerr err = {0};

	if (oci_tar_begin(w, e, &err) < 0 || oci_tar_write(w, content, (size_t)e->size, &err) < 0)
		fail_msg("%s", err.text);
}

#define TEXT(s) ((char *)(uintptr_t)(s))	/* entries have mutable strings; the writer changes none */

static void a_plain_file_is_one_ustar_header(void **state)
{
	ib_autostr out = IB_STR(1u << 20);
	IB_CLEANUP(oci_tar_writer_freep) struct oci_tar_writer *w = oci_tar_writer_new(to_str, &out);
	const struct oci_tar_entry e = {.name = TEXT("etc/passwd"), .mode = S_IFREG | 04755, .uid = 1000,
					.gid = 2097151, .size = 3, .mtime = {1234567890, 999999999}};
	ib_autoerr err = {0};

	(void)state;
	write_one(w, &e, "abc");
	assert_int_equal(oci_tar_end(w, &err), 0);
	/* header, content, end; fields as POSIX lays them out */
	assert_int_equal(out.len, 512 + 512 + 1024);
	assert_string_equal(out.s, "etc/passwd");
	assert_string_equal(out.s + 100, "0004755");
	assert_string_equal(out.s + 108, "0001750");
	assert_string_equal(out.s + 116, "7777777");
	assert_string_equal(out.s + 124, "00000000003");
	assert_string_equal(out.s + 136, "11145401322");
	assert_int_equal(out.s[156], '0');
	assert_memory_equal(out.s + 257, "ustar\00000", 8);
	assert_string_equal(out.s + 265, "");	/* no user name */
	assert_string_equal(out.s + 297, "");	/* no group name */
	assert_memory_equal(out.s + 512, "abc\0", 4);
}

/* 8^7 - 1 fits the field of an id, 8^11 - 1 that of a size or time: only what is larger takes a pax header. */
static void pax_is_used_only_where_something_does_not_fit(void **state)
{
	char n100[101], n101[102], split[257], unsplit[258];
	struct oci_xattr xattr = {TEXT("user.a"), TEXT("v"), 1};
	memset(n100, 'a', 100), n100[100] = '\0';
	memset(n101, 'a', 101), n101[101] = '\0';
	memset(split, 'b', 256), split[256] = '\0', split[155] = '/';
	memset(unsplit, 'c', 257), unsplit[257] = '\0', unsplit[156] = '/';
	const struct {
		struct oci_tar_entry e;
		bool pax;
	} cases[] = {
		{{.name = TEXT("f"), .mode = S_IFREG, .uid = 2097151, .gid = 2097151}, false},
		{{.name = TEXT("f"), .mode = S_IFREG, .uid = 2097152}, true},
		{{.name = TEXT("f"), .mode = S_IFREG, .gid = 4294967294}, true},
		{{.name = TEXT("f"), .mode = S_IFREG, .mtime = {8589934591, 0}}, false},
		{{.name = TEXT("f"), .mode = S_IFREG, .mtime = {8589934592, 0}}, true},
		{{.name = TEXT("f"), .mode = S_IFREG, .mtime = {-1, 0}}, true},
		{{.name = TEXT("f"), .mode = S_IFREG, .size = 8589934591}, false},
		{{.name = TEXT("f"), .mode = S_IFREG, .size = 8589934592}, true},
		{{.name = n100, .mode = S_IFREG}, false},
		{{.name = n101, .mode = S_IFREG}, true},
		{{.name = n100, .mode = S_IFDIR}, true},	/* with its '/' */
		{{.name = split, .mode = S_IFREG}, false},
		{{.name = unsplit, .mode = S_IFREG}, true},
		{{.name = TEXT("\xc3\xa9"), .mode = S_IFREG}, true},
		{{.name = TEXT("l"), .mode = S_IFLNK, .link = n100}, false},
		{{.name = TEXT("l"), .mode = S_IFLNK, .link = n101}, true},
		{{.name = TEXT("f"), .mode = S_IFREG, .xattrs = &xattr, .n_xattrs = 1}, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ib_autostr out = IB_STR(1u << 20);
		IB_CLEANUP(oci_tar_writer_freep) struct oci_tar_writer *w = oci_tar_writer_new(to_str, &out);
		ib_autoerr err = {0};

		assert_int_equal(oci_tar_begin(w, &cases[i].e, &err), 0);
		if ((out.len != 512) != cases[i].pax)
			fail_msg("case %zu: %zu bytes", i, out.len);
	}
}

/* Everything that is hard at once; what tools say about it is in the table below. */
static void write_hard(struct ib_str *out)
{
	IB_CLEANUP(oci_tar_writer_freep) struct oci_tar_writer *w = oci_tar_writer_new(to_str, out);
	struct oci_xattr xattrs[] = {{TEXT("user.z"), TEXT("last"), 4}, {TEXT("user.bin"), TEXT("a\0\n=b"), 5}};
	char deep[301];
	memset(deep, 'p', 300), deep[300] = '\0', deep[99] = '/', deep[199] = '/';
	const struct oci_tar_entry entries[] = {
		{.name = TEXT("dir"), .mode = S_IFDIR | 01777, .mtime = {5, 0}},
		{.name = TEXT("dir/old"), .mode = S_IFREG | 0640, .size = 3, .gid = 3000000, .mtime = {-86400, 0}},
		{.name = deep, .mode = S_IFREG | 0644, .uid = 4294967294},
		{.name = TEXT("h\xc3\xa9llo"), .mode = S_IFREG | 0600, .xattrs = xattrs, .n_xattrs = 2},
		{.name = TEXT("link"), .mode = S_IFLNK | 0777, .link = TEXT("\xe2\x82\xac")},
		{.name = TEXT("hard"), .mode = S_IFREG | 0640, .hardlink = true, .link = TEXT("dir/old")},
		{.name = TEXT("null"), .mode = S_IFCHR | 0666, .major = 1, .minor = 3},
		{.name = TEXT("fifo"), .mode = S_IFIFO | 0600},
	};
	ib_autoerr err = {0};

	for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
		write_one(w, &entries[i], "old");
	assert_int_equal(oci_tar_end(w, &err), 0);
}

static void what_is_written_is_read_back(void **state)
{
	ib_autostr out = IB_STR(1u << 20);
	ib_autoerr err = {0};
	const struct oci_tar_entry *e;
	const void *piece;
	int64_t offset;
	size_t n;

	(void)state;
	write_hard(&out);
	IB_CLEANUP(oci_reader_freep) struct oci_reader *src = oci_memory_reader_new(out.s, out.len);
	IB_CLEANUP(oci_tar_reader_freep) struct oci_tar_reader *tar = oci_tar_reader_new(src);
	assert_int_equal(oci_tar_next(tar, &e, &err), 1);
	assert_string_equal(e->name, "dir/");
	assert_int_equal(e->mode, S_IFDIR | 01777);
	assert_int_equal(oci_tar_next(tar, &e, &err), 1);
	assert_int_equal(e->gid, 3000000);
	assert_int_equal(e->mtime.tv_sec, -86400);
	assert_int_equal(oci_tar_read(tar, &piece, &n, &offset, &err), 1);
	assert_memory_equal(piece, "old", 3);
	assert_int_equal(oci_tar_next(tar, &e, &err), 1);
	assert_int_equal(strlen(e->name), 300);
	assert_int_equal(e->uid, 4294967294);
	assert_int_equal(oci_tar_next(tar, &e, &err), 1);
	assert_int_equal(e->n_xattrs, 2);
	assert_string_equal(e->xattrs[0].name, "user.bin");	/* in the order of names */
	assert_memory_equal(e->xattrs[0].value, "a\0\n=b", 5);
	assert_int_equal(oci_tar_next(tar, &e, &err), 1);
	assert_string_equal(e->link, "\xe2\x82\xac");
	assert_int_equal(oci_tar_next(tar, &e, &err), 1);
	assert_true(e->hardlink);
	assert_string_equal(e->link, "dir/old");
	assert_int_equal(oci_tar_next(tar, &e, &err), 1);
	assert_int_equal(e->major * 1000 + e->minor, 1003);
	assert_int_equal(oci_tar_next(tar, &e, &err), 1);
	assert_int_equal(oci_tar_next(tar, &e, &err), 0);
}

/* Each prints, one per entry, what the hard archive above must give: the names' lengths and the ids. */
static const struct {
	const char *tool, *command, *want;
} tools[] = {
	{"/usr/bin/tar", "TZ=UTC LC_ALL=C.UTF-8 tar --numeric-owner -tvf a.tar | awk '{print $1, $2, $4, (length($0) > 300)}'",
	 "drwxrwxrwt 0/0 1970-01-01 0\n-rw-r----- 0/3000000 1969-12-31 0\n-rw-r--r-- 4294967294/0 1970-01-01 1\n"
	 "-rw------- 0/0 1970-01-01 0\nlrwxrwxrwx 0/0 1970-01-01 0\nhrw-r----- 0/0 1970-01-01 0\n"
	 "crw-rw-rw- 0/0 1970-01-01 0\nprw------- 0/0 1970-01-01 0\n"},
	{"/usr/bin/bsdtar", "TZ=UTC LC_ALL=C.UTF-8 bsdtar --numeric-owner -tvf a.tar | awk '{print $1, $3, $4}'",
	 "drwxrwxrwt 0 0\n-rw-r----- 0 3000000\n-rw-r--r-- 4294967294 0\n-rw------- 0 0\nlrwxrwxrwx 0 0\n"
	 "hrw-r----- 0 0\ncrw-rw-rw- 0 0\nprw------- 0 0\n"},
	{"/usr/bin/python3",
	 "/usr/bin/python3 -c 'import tarfile\n"
	 "for m in tarfile.open(\"a.tar\"): print(m.type.decode(), \"%o\" % m.mode, m.uid, m.gid, int(m.mtime),"
	 " ascii(m.name[:9]), ascii(m.linkname), ascii(m.pax_headers.get(\"SCHILY.xattr.user.bin\")))'",
	 "5 1777 0 0 5 'dir' '' None\n0 640 0 3000000 -86400 'dir/old' '' None\n"
	 "0 644 4294967294 0 0 'ppppppppp' '' None\n0 600 0 0 0 'h\\xe9llo' '' 'a\\x00\\n=b'\n"
	 "2 777 0 0 0 'link' '\\u20ac' None\n1 640 0 0 0 'hard' 'dir/old' None\n"
	 "3 666 0 0 0 'null' '' None\n6 600 0 0 0 'fifo' '' None\n"},
};

static void other_tools_read_it(void **state)
{
	char dir[] = "/tmp/test-tar-write-XXXXXX";
	ib_autostr out = IB_STR(1u << 20);
	ib_autofree char *path = NULL;
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	path = ib_asprintf("%s/a.tar", dir);
	write_hard(&out);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(out.s, 1, out.len, f), out.len);
	assert_int_equal(fclose(f), 0);
	for (size_t i = 0; i < sizeof tools / sizeof *tools; i++) {
		ib_autofree char *line = ib_asprintf("cd %s && %s", dir, tools[i].command);
		char got[4096];
		size_t n;

		if (access(tools[i].tool, X_OK) < 0)
			continue;
		f = popen(line, "r");
		assert_non_null(f);
		n = fread(got, 1, sizeof got - 1, f);
		got[n] = '\0';
		assert_int_equal(pclose(f), 0);
		assert_string_equal(got, tools[i].want);
	}
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void content_must_be_as_long_as_announced(void **state)
{
	ib_autostr out = IB_STR(1u << 20);
	IB_CLEANUP(oci_tar_writer_freep) struct oci_tar_writer *w = oci_tar_writer_new(to_str, &out);
	const struct oci_tar_entry e = {.name = TEXT("f"), .mode = S_IFREG, .size = 3};
	ib_autoerr err = {0};

	(void)state;
	assert_int_equal(oci_tar_begin(w, &e, &err), 0);
	assert_int_equal(oci_tar_write(w, "ab", 2, &err), 0);
	assert_int_equal(oci_tar_begin(w, &e, &err), -1);
	assert_int_equal(err.code, IB_MISMATCH);
	assert_string_equal(err.text, "'f': 1 bytes of its content are missing");
	assert_int_equal(oci_tar_write(w, "cd", 2, &err), -1);
	assert_int_equal(err.code, IB_MISMATCH);
}

static void what_tar_cannot_hold_is_refused(void **state)
{
	static char name[4097];
	struct oci_xattr equals = {TEXT("user.a=b"), TEXT(""), 0};
	memset(name, 'n', 4096);
	const struct {
		struct oci_tar_entry e;
		enum ib_code code;
	} cases[] = {
		{{.name = TEXT(""), .mode = S_IFREG}, IB_INVALID},
		{{.name = name, .mode = S_IFREG}, IB_LIMIT},
		{{.name = TEXT("l"), .mode = S_IFLNK, .link = TEXT("")}, IB_INVALID},
		{{.name = TEXT("s"), .mode = S_IFSOCK}, IB_UNSUPPORTED},
		{{.name = TEXT("c"), .mode = S_IFCHR, .major = 1u << 21}, IB_UNSUPPORTED},
		{{.name = TEXT("f"), .mode = S_IFREG, .xattrs = &equals, .n_xattrs = 1}, IB_UNSUPPORTED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ib_autostr out = IB_STR(1u << 20);
		IB_CLEANUP(oci_tar_writer_freep) struct oci_tar_writer *w = oci_tar_writer_new(to_str, &out);
		ib_autoerr err = {0};

		assert_int_equal(oci_tar_begin(w, &cases[i].e, &err), -1);
		assert_int_equal(err.code, cases[i].code);
		assert_int_equal(out.len, 0);	/* nothing was written */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_file_is_one_ustar_header),
		cmocka_unit_test(pax_is_used_only_where_something_does_not_fit),
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(other_tools_read_it),
		cmocka_unit_test(content_must_be_as_long_as_announced),
		cmocka_unit_test(what_tar_cannot_hold_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
