#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"
#include "oci/tar.h"
#include "tar-builder.h"

/* Gives its bytes n at a time, so that every boundary falls everywhere. */
struct slow_reader {
	struct oci_reader base;
	struct oci_reader *inner;
	size_t n;
};

static ssize_t slow_read(struct oci_reader *base, void *buf, size_t n, struct ib_err *err)
{
	struct slow_reader *r = (struct slow_reader *)base;

	return oci_reader_read(r->inner, buf, n < r->n ? n : r->n, err);
}

static void slow_free(struct oci_reader *base)
{
	oci_reader_free(((struct slow_reader *)base)->inner);
	free(base);
}

static struct oci_reader *slow_reader_new(struct oci_reader *take_inner, size_t n)
{
	static const struct oci_reader_ops ops = {slow_read, slow_free};
	struct slow_reader *r = ib_new(struct slow_reader);

	*r = (struct slow_reader){{&ops}, take_inner, n};
	return &r->base;
}

static void show_entry(struct ib_str *out, const struct oci_tar_entry *e)
{
	ib_str_addf(out, "%o %ju:%ju %jd %jd.%09ld %s", e->mode, (uintmax_t)e->uid, (uintmax_t)e->gid,
		    (intmax_t)e->size, (intmax_t)e->mtime.tv_sec, e->mtime.tv_nsec, e->name);
	if (e->link)
		ib_str_addf(out, " %s %s", e->hardlink ? "=" : "->", e->link);
	if (S_ISCHR(e->mode) || S_ISBLK(e->mode))
		ib_str_addf(out, " %u:%u", e->major, e->minor);
	for (size_t i = 0; i < e->n_xattrs; i++) {
		ib_str_addf(out, " %s=", e->xattrs[i].name);
		ib_str_add(out, e->xattrs[i].value, e->xattrs[i].size);
	}
}

/* All of an archive as text: a line per entry, "@offset:bytes" per run of content. */
static int show(const void *bytes, size_t n, size_t step, struct ib_str *out, struct ib_err *err)
{
	IB_CLEANUP(oci_reader_freep)
	struct oci_reader *src = slow_reader_new(oci_memory_reader_new(bytes, n), step);
	IB_CLEANUP(oci_tar_reader_freep) struct oci_tar_reader *tar = oci_tar_reader_new(src);
	const struct oci_tar_entry *e;
	char end;
	int got;

	while ((got = oci_tar_next(tar, &e, err)) > 0) {
		int64_t offset, next = -1;
		const void *piece;
		size_t size;

		show_entry(out, e);
		while ((got = oci_tar_read(tar, &piece, &size, &offset, err)) > 0) {
			if (offset != next)
				ib_str_addf(out, " @%jd:", (intmax_t)offset);
			ib_str_add(out, piece, size);
			next = offset + (int64_t)size;
		}
		if (got < 0)
			return -1;
		ib_str_addc(out, '\n');
	}
	if (got == 0) {	/* the source was read to its end, and the end stays the end */
		assert_int_equal(oci_tar_next(tar, &e, err), 0);
		assert_int_equal(oci_reader_read(src, &end, 1, err), 0);
	}
	return got;
}

static void expect_steps(const struct tar_bytes *t, const char *want)
{
	static const size_t steps[] = {1, 511, 513, 1u << 20};

	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		ib_autoerr err = {0};
		ib_autostr out = IB_STR(1u << 20);

		if (show(t->s, t->n, steps[i], &out, &err) < 0)
			fail_msg("step %zu: %s", steps[i], err.text);
		assert_string_equal(out.s ? out.s : "", want);
	}
}

static void number_binary(char *field, int width, long long value)
{
	for (int i = width - 1; i >= 0; i--, value >>= 8)
		field[i] = (char)value;
	field[0] = (char)(field[0] | 0x80);
}

static void good_plain(struct tar_bytes *t)
{
	(void)tb_header(t, '5', "d/", NULL, 0755, 0);
	tb_file(t, "d/f", "hello");
	(void)tb_header(t, '1', "d/h", "d/f", 0644, 0);
	(void)tb_header(t, '2', "d/l", "../x", 0777, 0);
	char *h = tb_header(t, '3', "null", NULL, 0666, 0);
	tb_octal(h + 329, 8, 1);
	tb_octal(h + 337, 8, 3);
	tb_seal(h);
	(void)tb_header(t, '6', "fifo", NULL, 0600, 0);
	tb_end(t);
}

static void good_no_end_marker(struct tar_bytes *t)
{
	tb_file(t, "f", "x");
}

static void good_one_zero_block(struct tar_bytes *t)
{
	tb_file(t, "f", "x");
	tb_zeros(t, 512);
}

static void good_garbage_after_end(struct tar_bytes *t)
{
	tb_file(t, "f", "x");
	tb_end(t);
	memset(tb_room(t, 5000), 0xff, 5000);
}

static void good_empty(struct tar_bytes *t)
{
	(void)t;
}

static void good_v7(struct tar_bytes *t)
{
	char *h = tb_header(t, '\0', "dir/", NULL, 0700, 0);

	memset(h + 257, 0, 255);
	tb_seal(h);
	h = tb_header(t, '\0', "dir/f", NULL, 0600, 1);
	memset(h + 257, 'p', 255);	/* leftovers where ustar has its magic and prefix */
	tb_seal(h);
	tb_data(t, "v", 1);
	tb_end(t);
}

static void good_signed_checksum(struct tar_bytes *t)
{
	char *h = tb_header(t, '0', "f\xe9", NULL, 0644, 0);
	int sum = 8 * ' ';

	for (int i = 0; i < 512; i++)
		sum += i >= 148 && i < 156 ? 0 : (signed char)h[i];
	memset(h + 148, 0, 8);
	tb_octal(h + 148, 7, (unsigned int)sum);
	tb_end(t);
}

static void good_prefix(struct tar_bytes *t)
{
	char *h = tb_header(t, '0', "name", NULL, 0644, 0);

	memcpy(h + 345, "pre/fix", 7);
	tb_seal(h);
	tb_end(t);
}

static void good_star_prefix(struct tar_bytes *t)
{
	char *h = tb_header(t, '0', "name", NULL, 0644, 0);

	memcpy(h + 345, "pre", 3);
	memcpy(h + 345 + 131, "00000001234 00000001234 ", 24);	/* atime, ctime */
	memcpy(h + 508, "tar", 4);
	tb_seal(h);
	tb_end(t);
}

static void good_gnu_times_are_no_prefix(struct tar_bytes *t)
{
	char *h = tb_header(t, '0', "name", NULL, 0644, 0);

	memcpy(h + 257, "ustar  ", 8);
	memcpy(h + 345, "00000001234", 12);
	tb_seal(h);
	tb_end(t);
}

static void good_gnu_long(struct tar_bytes *t)
{
	char name[151], link[121];

	memset(name, 'n', 150);
	name[150] = '\0';
	memset(link, 'l', 120);
	link[120] = '\0';
	tb_meta(t, 'K', link, 121);
	tb_meta(t, 'L', name, 151);
	(void)tb_header(t, '2', "short", "short", 0777, 0);
	tb_file(t, "next", "");
	tb_end(t);
}

static void good_binary_numbers(struct tar_bytes *t)
{
	char *h = tb_header(t, '0', "f", NULL, 0644, 0);

	number_binary(h + 108, 8, 3000000);
	number_binary(h + 116, 8, 4294967294);
	number_binary(h + 124, 12, 2);
	number_binary(h + 136, 12, -5);
	tb_seal(h);
	tb_data(t, "ok", 2);
	tb_end(t);
}

static void good_pax(struct tar_bytes *t)
{
	static const struct tb_record records[] = {
		{"path", "d\xc3\xa9j\xc3\xa0/name", 0},
		{"uid", "3000000", 0},
		{"gid", "4000000", 0},
		{"mtime", "-1.2500001", 0},
		{"size", "3", 0},
		{"uname", "me", 0},
		{"comment", "a=b c", 0},
		{"SCHILY.xattr.user.a", "1\n2=3\0!", 7},
		{"SCHILY.xattr.user.empty", "", 0},
		{NULL, NULL, 0},
	};

	tb_records(t, 'x', records);
	(void)tb_header(t, '0', "shadow", NULL, 0644, 0);
	tb_data(t, "abc", 3);
	tb_file(t, "plain", "");
	tb_end(t);
}

static void good_pax_linkpath(struct tar_bytes *t)
{
	tb_pax_text(t, "linkpath", "to/somewhere");
	(void)tb_header(t, '2', "l", "shadow", 0777, 0);
	tb_end(t);
}

static void good_pax_libarchive_xattr(struct tar_bytes *t)
{
	tb_pax_text(t, "LIBARCHIVE.xattr.user.a%20b", "aGVsbG8");	/* RFC 4648: "hello" */
	(void)tb_header(t, '0', "f", NULL, 0644, 0);
	tb_end(t);
}

static void good_pax_global(struct tar_bytes *t)
{
	tb_pax(t, 'g', "comment", "made by git", 11);
	tb_pax(t, 'g', "uid", "7", 1);
	tb_file(t, "a", "");
	tb_pax_text(t, "uid", "8");
	tb_file(t, "b", "");
	tb_pax_text(t, "uid", "");	/* an empty value: the header's counts again */
	tb_file(t, "c", "");
	tb_file(t, "d", "");
	tb_pax(t, 'g', "uid", "", 0);
	tb_file(t, "e", "");
	tb_end(t);
}

static void good_pax_huge_value(struct tar_bytes *t)
{
	char value[40000];

	memset(value, 'v', sizeof value);
	tb_pax(t, 'x', "comment", value, sizeof value);
	tb_file(t, "f", "");
	tb_end(t);
}

static void good_size_of_others_is_ignored(struct tar_bytes *t)
{
	(void)tb_header(t, '1', "h", "f", 0644, 999);
	(void)tb_header(t, '5', "d/", NULL, 0755, 999);
	tb_file(t, "f", "");
	tb_end(t);
}

static void good_passed_over(struct tar_bytes *t)
{
	(void)tb_header(t, 'V', "label", NULL, 0, 0);
	(void)tb_header(t, 'A', "acl", NULL, 0, 3);
	tb_data(t, "acl", 3);
	(void)tb_header(t, 'D', "d", NULL, 0755, 3);
	tb_data(t, "Yf", 3);
	(void)tb_header(t, '7', "contiguous", NULL, 0644, 1);
	tb_data(t, "c", 1);
	tb_end(t);
}

static void sparse_piece(char *at, unsigned long long offset, unsigned long long size)
{
	tb_octal(at, 12, offset);
	tb_octal(at + 12, 12, size);
}

static void good_gnu_sparse(struct tar_bytes *t)
{
	char *h = tb_header(t, 'S', "s", NULL, 0644, 6);

	memcpy(h + 257, "ustar  ", 8);
	for (int i = 0; i < 4; i++)
		sparse_piece(h + 386 + 24 * i, (unsigned int)(i + 1) * 1000, 1);
	h[482] = 1;
	tb_octal(h + 483, 12, 100000);
	tb_seal(h);
	h = tb_room(t, 512);
	sparse_piece(h, 50000, 2);
	sparse_piece(h + 24, 100000, 0);
	tb_data(t, "abcdef", 6);
	tb_file(t, "next", "n");
	tb_end(t);
}

static void good_pax_sparse_00(struct tar_bytes *t)
{
	static const struct tb_record records[] = {
		{"GNU.sparse.size", "100", 0},	  {"GNU.sparse.numblocks", "2", 0},
		{"GNU.sparse.offset", "10", 0},	  {"GNU.sparse.numbytes", "2", 0},
		{"GNU.sparse.offset", "50", 0},	  {"GNU.sparse.numbytes", "1", 0},
		{NULL, NULL, 0},
	};

	tb_records(t, 'x', records);
	(void)tb_header(t, '0', "s", NULL, 0644, 3);
	tb_data(t, "abc", 3);
	tb_end(t);
}

static void good_pax_sparse_01(struct tar_bytes *t)
{
	static const struct tb_record records[] = {
		{"GNU.sparse.name", "dir/real", 0},
		{"GNU.sparse.size", "100", 0},
		{"GNU.sparse.map", "10,2,50,1", 0},
		{NULL, NULL, 0},
	};

	tb_records(t, 'x', records);
	(void)tb_header(t, '0', "shadow", NULL, 0644, 3);
	tb_data(t, "abc", 3);
	tb_end(t);
}

static const struct tb_record sparse_10[] = {
	{"GNU.sparse.major", "1", 0},	       {"GNU.sparse.minor", "0", 0}, {"GNU.sparse.name", "real", 0},
	{"GNU.sparse.realsize", "100", 0},     {NULL, NULL, 0},
};

static void good_pax_sparse_10(struct tar_bytes *t)
{
	tb_records(t, 'x', sparse_10);
	(void)tb_header(t, '0', "shadow", NULL, 0644, 515);
	tb_data(t, "2\n10\n2\n50\n1\n", 12);
	tb_data(t, "abc", 3);
	tb_file(t, "next", "n");
	tb_end(t);
}

/* 300 pieces of one byte: the map takes more than one block. */
static void good_pax_sparse_10_long_map(struct tar_bytes *t)
{
	struct tar_bytes map = {0};
	char bytes[300], number[32];

	for (int i = -1; i < 300; i++) {
		int n = i < 0 ? snprintf(number, sizeof number, "300\n") :
				snprintf(number, sizeof number, "%d\n%d\n", 1000 + i, 1);

		memcpy(tb_room(&map, (size_t)n), number, (size_t)n);
	}
	memset(bytes, 'b', sizeof bytes);
	tb_records(t, 'x', (const struct tb_record[]){{"GNU.sparse.major", "1", 0},
						       {"GNU.sparse.realsize", "2000", 0},
						       {NULL, NULL, 0}});
	(void)tb_header(t, '0', "s", NULL, 0644, (map.n + 511) / 512 * 512 + 300);
	tb_data(t, map.s, map.n);
	tb_data(t, bytes, sizeof bytes);
	tb_end(t);
	tb_done(&map);
}

#define N50 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
#define L40 "llllllllllllllllllllllllllllllllllllllll"
#define B100 N100_("b")
#define N100_(c) N10_(c) N10_(c) N10_(c) N10_(c) N10_(c) N10_(c) N10_(c) N10_(c) N10_(c) N10_(c)
#define N10_(c) c c c c c c c c c c

static const struct {
	const char *name;
	void (*build)(struct tar_bytes *t);
	const char *want;
} good[] = {
	{"every type", good_plain,
	 "40755 0:0 0 1000000000.000000000 d/\n"
	 "100644 0:0 5 1000000000.000000000 d/f @0:hello\n"
	 "100644 0:0 0 1000000000.000000000 d/h = d/f\n"
	 "120777 0:0 0 1000000000.000000000 d/l -> ../x\n"
	 "20666 0:0 0 1000000000.000000000 null 1:3\n"
	 "10600 0:0 0 1000000000.000000000 fifo\n"},
	{"no end marker", good_no_end_marker, "100644 0:0 1 1000000000.000000000 f @0:x\n"},
	{"one zero block", good_one_zero_block, "100644 0:0 1 1000000000.000000000 f @0:x\n"},
	{"garbage after the end", good_garbage_after_end, "100644 0:0 1 1000000000.000000000 f @0:x\n"},
	{"nothing at all", good_empty, ""},
	{"v7", good_v7,
	 "40700 0:0 0 1000000000.000000000 dir/\n"
	 "100600 0:0 1 1000000000.000000000 dir/f @0:v\n"},
	{"checksum of signed bytes", good_signed_checksum, "100644 0:0 0 1000000000.000000000 f\xe9\n"},
	{"prefix", good_prefix, "100644 0:0 0 1000000000.000000000 pre/fix/name\n"},
	{"prefix of star", good_star_prefix, "100644 0:0 0 1000000000.000000000 pre/name\n"},
	{"GNU times in the prefix", good_gnu_times_are_no_prefix, "100644 0:0 0 1000000000.000000000 name\n"},
	{"GNU long names", good_gnu_long,
	 "120777 0:0 0 1000000000.000000000 " N50 N50 N50 " -> " L40 L40 L40 "\n"
	 "100644 0:0 0 1000000000.000000000 next\n"},
	{"base-256 numbers", good_binary_numbers, "100644 3000000:4294967294 2 -5.000000000 f @0:ok\n"},
	{"pax", good_pax,
	 "100644 3000000:4000000 3 -2.749999900 d\xc3\xa9j\xc3\xa0/name user.a=1\n2=3\0! user.empty= @0:abc\n"
	 "100644 0:0 0 1000000000.000000000 plain\n"},
	{"pax linkpath", good_pax_linkpath, "120777 0:0 0 1000000000.000000000 l -> to/somewhere\n"},
	{"xattr of libarchive", good_pax_libarchive_xattr,
	 "100644 0:0 0 1000000000.000000000 f user.a b=hello\n"},
	{"pax global", good_pax_global,
	 "100644 7:0 0 1000000000.000000000 a\n"
	 "100644 8:0 0 1000000000.000000000 b\n"
	 "100644 0:0 0 1000000000.000000000 c\n"
	 "100644 7:0 0 1000000000.000000000 d\n"
	 "100644 0:0 0 1000000000.000000000 e\n"},
	{"pax of many blocks", good_pax_huge_value, "100644 0:0 0 1000000000.000000000 f\n"},
	{"sizes of links and directories", good_size_of_others_is_ignored,
	 "100644 0:0 0 1000000000.000000000 h = f\n"
	 "40755 0:0 0 1000000000.000000000 d/\n"
	 "100644 0:0 0 1000000000.000000000 f\n"},
	{"what is passed over", good_passed_over,
	 "40755 0:0 0 1000000000.000000000 d\n"
	 "100644 0:0 1 1000000000.000000000 contiguous @0:c\n"},
	{"GNU sparse", good_gnu_sparse,
	 "100644 0:0 100000 1000000000.000000000 s @1000:a @2000:b @3000:c @4000:d @50000:ef\n"
	 "100644 0:0 1 1000000000.000000000 next @0:n\n"},
	{"pax sparse 0.0", good_pax_sparse_00, "100644 0:0 100 1000000000.000000000 s @10:ab @50:c\n"},
	{"pax sparse 0.1", good_pax_sparse_01, "100644 0:0 100 1000000000.000000000 dir/real @10:ab @50:c\n"},
	{"pax sparse 1.0", good_pax_sparse_10,
	 "100644 0:0 100 1000000000.000000000 real @10:ab @50:c\n"
	 "100644 0:0 1 1000000000.000000000 next @0:n\n"},
	{"pax sparse 1.0, long map", good_pax_sparse_10_long_map,
	 "100644 0:0 2000 1000000000.000000000 s @1000:" B100 B100 B100 "\n"},
};

static void every_dialect_is_read_at_every_boundary(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		struct tar_bytes t = {0};

		print_message("  %s\n", good[i].name);
		good[i].build(&t);
		expect_steps(&t, good[i].want);
		tb_done(&t);
	}
}

static void bad_checksum(struct tar_bytes *t)
{
	tb_header(t, '0', "f", NULL, 0644, 0)[0] = 'g';
	tb_end(t);
}

static void bad_no_tar(struct tar_bytes *t)
{
	memset(tb_room(t, 2048), 'x', 2048);
}

static void bad_short_header(struct tar_bytes *t)
{
	tb_file(t, "f", "");
	t->n = 100;
}

static void bad_short_content(struct tar_bytes *t)
{
	(void)tb_header(t, '0', "file", NULL, 0644, 2000);
	tb_data(t, "x", 1);
}

static void bad_no_padding(struct tar_bytes *t)
{
	tb_file(t, "file", "x");
	t->n = 513;
}

static void bad_lone_zero_block(struct tar_bytes *t)
{
	tb_zeros(t, 512);
	tb_file(t, "hidden", "");
	tb_end(t);
}

static void bad_type(struct tar_bytes *t)
{
	(void)tb_header(t, 'Z', "vendor", NULL, 0644, 0);
	tb_end(t);
}

static void bad_multivolume(struct tar_bytes *t)
{
	(void)tb_header(t, 'M', "rest of a file", NULL, 0644, 0);
	tb_end(t);
}

static void bad_octal(struct tar_bytes *t)
{
	char *h = tb_header(t, '0', "file", NULL, 0644, 0);

	memcpy(h + 108, "0000089", 8);
	tb_seal(h);
	tb_end(t);
}

static void bad_negative_size(struct tar_bytes *t)
{
	char *h = tb_header(t, '0', "file", NULL, 0644, 0);

	number_binary(h + 124, 12, -1);
	tb_seal(h);
	tb_end(t);
}

static void bad_overflowing_size(struct tar_bytes *t)
{
	char *h = tb_header(t, '0', "file", NULL, 0644, 0);

	memset(h + 124, 0x7f, 12);
	h[124] = (char)0x80;
	tb_seal(h);
	tb_end(t);
}

static void bad_size_beyond_padding(struct tar_bytes *t)
{
	tb_pax_text(t, "size", "9223372036854775807");
	tb_file(t, "file", "");
	tb_end(t);
}

static void bad_negative_owner(struct tar_bytes *t)
{
	char *h = tb_header(t, '0', "file", NULL, 0644, 0);

	number_binary(h + 108, 8, -1);
	tb_seal(h);
	tb_end(t);
}

static void bad_pax_number(struct tar_bytes *t)
{
	tb_pax_text(t, "uid", "-1");
	tb_file(t, "file", "");
	tb_end(t);
}

static void bad_pax_time(struct tar_bytes *t)
{
	tb_pax_text(t, "mtime", "1.5e3");
	tb_file(t, "file", "");
	tb_end(t);
}

static void bad_pax_nul(struct tar_bytes *t)
{
	tb_pax(t, 'x', "path", "good\0evil", 9);
	tb_file(t, "file", "");
	tb_end(t);
}

static void bad_pax_long_path(struct tar_bytes *t)
{
	char name[4096];

	memset(name, 'n', sizeof name);
	tb_pax(t, 'x', "path", name, sizeof name);
	tb_file(t, "file", "");
	tb_end(t);
}

static void bad_gnu_long_path(struct tar_bytes *t)
{
	char name[5000];

	memset(name, 'n', sizeof name);
	tb_meta(t, 'L', name, sizeof name);
	tb_file(t, "file", "");
	tb_end(t);
}

static void bad_pax_too_long(struct tar_bytes *t)
{
	(void)tb_header(t, 'x', "meta", NULL, 0644, (1u << 20) + 1);
	tb_zeros(t, (1u << 20) + 512);
	tb_end(t);
}

static void bad_pax_truncated(struct tar_bytes *t)
{
	(void)tb_header(t, 'x', "meta", NULL, 0644, 5000);
	tb_data(t, "10 size=3\n", 10);
}

static void bad_pax_alone(struct tar_bytes *t)
{
	tb_pax_text(t, "path", "nobody");
	tb_end(t);
}

static void bad_long_alone(struct tar_bytes *t)
{
	tb_meta(t, 'L', "nobody", 7);
}

static void with_pax_bytes(struct tar_bytes *t, const char *bytes)
{
	tb_meta(t, 'x', bytes, strlen(bytes));
	tb_file(t, "file", "");
	tb_end(t);
}

static void bad_record_length(struct tar_bytes *t)
{
	with_pax_bytes(t, "99 size=3\n");
}

static void bad_record_short(struct tar_bytes *t)
{
	with_pax_bytes(t, "8 size=3\n");
}

static void bad_record_zero(struct tar_bytes *t)
{
	with_pax_bytes(t, "0 size=3\n");
}

static void bad_record_no_key(struct tar_bytes *t)
{
	with_pax_bytes(t, "6 =ab\n");
}

static void bad_record_no_equals(struct tar_bytes *t)
{
	with_pax_bytes(t, "7 size\n");
}

static void bad_xattr_no_name(struct tar_bytes *t)
{
	tb_pax_text(t, "SCHILY.xattr.", "v");
	tb_file(t, "file", "");
}

static void bad_xattr_large(struct tar_bytes *t)
{
	static char value[65537];

	tb_pax(t, 'x', "SCHILY.xattr.user.a", value, sizeof value);
	tb_file(t, "file", "");
}

static void bad_xattr_many(struct tar_bytes *t)
{
	struct tb_record records[258] = {{NULL, NULL, 0}};
	char names[257][32];

	for (int i = 0; i < 257; i++) {
		(void)snprintf(names[i], sizeof names[i], "SCHILY.xattr.user.%d", i);
		records[i] = (struct tb_record){names[i], "v", 1};
	}
	tb_records(t, 'x', records);
	tb_file(t, "file", "");
}

static void bad_xattr_base64(struct tar_bytes *t)
{
	tb_pax_text(t, "LIBARCHIVE.xattr.user.a", "not base64!");
	tb_file(t, "file", "");
}

static void gnu_sparse(struct tar_bytes *t, unsigned long long offset, unsigned long long size,
		       unsigned long long stored, unsigned long long real)
{
	char *h = tb_header(t, 'S', "sparse", NULL, 0644, stored);

	sparse_piece(h + 386, 0, 1);
	sparse_piece(h + 410, offset, size);
	tb_octal(h + 483, 12, real);
	tb_seal(h);
	tb_data(t, "abcdefgh", 8);
	tb_end(t);
}

static void bad_sparse_overlap(struct tar_bytes *t)
{
	gnu_sparse(t, 0, 1, 2, 100);
}

static void bad_sparse_beyond(struct tar_bytes *t)
{
	gnu_sparse(t, 100, 1, 2, 100);
}

static void bad_sparse_unused(struct tar_bytes *t)
{
	gnu_sparse(t, 10, 1, 3, 100);
}

static void bad_sparse_missing(struct tar_bytes *t)
{
	gnu_sparse(t, 10, 5, 2, 100);
}

static void bad_sparse_endless(struct tar_bytes *t)
{
	char *h = tb_header(t, 'S', "sparse", NULL, 0644, 0);

	h[482] = 1;
	tb_octal(h + 483, 12, 100);
	tb_seal(h);
}

static void sparse_map(struct tar_bytes *t, const char *map)
{
	tb_records(t, 'x', (const struct tb_record[]){{"GNU.sparse.size", "100", 0},
						      {"GNU.sparse.map", map, 0},
						      {NULL, NULL, 0}});
	tb_file(t, "sparse", "abc");
	tb_end(t);
}

static void bad_sparse_map_odd(struct tar_bytes *t)
{
	sparse_map(t, "10,2,50");
}

static void bad_sparse_map_text(struct tar_bytes *t)
{
	sparse_map(t, "10,x");
}

static void bad_sparse_map_overflow(struct tar_bytes *t)
{
	sparse_map(t, "9223372036854775807,3");
}

static void bad_sparse_no_size(struct tar_bytes *t)
{
	tb_pax_text(t, "GNU.sparse.map", "0,3");
	tb_file(t, "sparse", "abc");
	tb_end(t);
}

static void bad_sparse_offset_alone(struct tar_bytes *t)
{
	tb_pax_text(t, "GNU.sparse.offset", "1");
	tb_file(t, "sparse", "");
}

static void bad_sparse_major(struct tar_bytes *t)
{
	tb_pax_text(t, "GNU.sparse.major", "2");
	tb_file(t, "sparse", "");
}

static void sparse_text(struct tar_bytes *t, const char *map)
{
	tb_records(t, 'x', sparse_10);
	(void)tb_header(t, '0', "shadow", NULL, 0644, 512);
	tb_data(t, map, strlen(map));
	tb_end(t);
}

static void bad_sparse_text_letters(struct tar_bytes *t)
{
	sparse_text(t, "1\nten\n");
}

static void bad_sparse_text_many(struct tar_bytes *t)
{
	sparse_text(t, "99999999\n0\n");
}

static void bad_sparse_text_endless(struct tar_bytes *t)
{
	sparse_text(t, "1\n10\n\n");
}

static void bad_sparse_text_long(struct tar_bytes *t)
{
	char digits[513];

	memset(digits, '0', 512);
	digits[512] = '\0';
	sparse_text(t, digits);
}

static void bad_sparse_text_huge_number(struct tar_bytes *t)
{
	sparse_text(t, "1\n99999999999999999999\n1\n");
}

static const struct {
	void (*build)(struct tar_bytes *t);
	enum ib_code code;
	const char *text;	/* part of the message */
} bad[] = {
	{bad_checksum, IB_INVALID, "tar header at byte 0: wrong checksum"},
	{bad_no_tar, IB_INVALID, "wrong checksum, or no tar archive"},
	{bad_short_header, IB_INVALID, "ends within a block"},
	{bad_short_content, IB_INVALID, "'file': archive ends"},
	{bad_no_padding, IB_INVALID, "'file': archive ends"},
	{bad_lone_zero_block, IB_INVALID, "lone zero block"},
	{bad_type, IB_INVALID, "unknown type"},
	{bad_multivolume, IB_INVALID, "unknown type"},
	{bad_octal, IB_INVALID, "'file': bad number"},
	{bad_negative_size, IB_INVALID, "'file': bad size"},
	{bad_overflowing_size, IB_INVALID, "'file': bad size"},
	{bad_size_beyond_padding, IB_INVALID, "'file': bad size"},
	{bad_negative_owner, IB_INVALID, "'file': negative owner"},
	{bad_pax_number, IB_INVALID, "pax record uid has the bad value '-1'"},
	{bad_pax_time, IB_INVALID, "pax record mtime has the bad value '1.5e3'"},
	{bad_pax_nul, IB_INVALID, "pax record path has the bad value 'good'"},
	{bad_pax_long_path, IB_LIMIT, "path of 4096 bytes is longer than 4095"},
	{bad_gnu_long_path, IB_LIMIT, "name of more than 4095 bytes"},
	{bad_pax_too_long, IB_LIMIT, "extended header of more than 1048576 bytes"},
	{bad_pax_truncated, IB_INVALID, "ends too early"},
	{bad_pax_alone, IB_INVALID, "where an entry was announced"},
	{bad_long_alone, IB_INVALID, "where an entry was announced"},
	{bad_record_length, IB_INVALID, "malformed pax record"},
	{bad_record_short, IB_INVALID, "malformed pax record"},
	{bad_record_zero, IB_INVALID, "malformed pax record"},
	{bad_record_no_key, IB_INVALID, "malformed pax record"},
	{bad_record_no_equals, IB_INVALID, "malformed pax record"},
	{bad_xattr_no_name, IB_INVALID, "extended attribute"},
	{bad_xattr_large, IB_LIMIT, "extended attribute of more than 65536 bytes"},
	{bad_xattr_many, IB_LIMIT, "more than 256 extended attributes"},
	{bad_xattr_base64, IB_INVALID, "not base64!"},
	{bad_sparse_overlap, IB_INVALID, "'sparse': bad sparse map"},
	{bad_sparse_beyond, IB_INVALID, "'sparse': the sparse map does not fit"},
	{bad_sparse_unused, IB_INVALID, "'sparse': the sparse map does not fit"},
	{bad_sparse_missing, IB_INVALID, "'sparse': the sparse map does not fit"},
	{bad_sparse_endless, IB_INVALID, "'sparse': archive ends in the sparse map"},
	{bad_sparse_map_odd, IB_INVALID, "GNU.sparse.map has the bad value"},
	{bad_sparse_map_text, IB_INVALID, "GNU.sparse.map has the bad value"},
	{bad_sparse_map_overflow, IB_INVALID, "bad sparse map"},
	{bad_sparse_no_size, IB_INVALID, "'sparse': sparse file without a size"},
	{bad_sparse_offset_alone, IB_INVALID, "bad sparse map"},
	{bad_sparse_major, IB_INVALID, "GNU.sparse.major has the bad value '2'"},
	{bad_sparse_text_letters, IB_INVALID, "'real': bad sparse map"},
	{bad_sparse_text_many, IB_LIMIT, "sparse map of more than"},
	{bad_sparse_text_endless, IB_INVALID, "'real': bad sparse map"},
	{bad_sparse_text_long, IB_INVALID, "'real': content ends in the sparse map"},
	{bad_sparse_text_huge_number, IB_INVALID, "'real': bad sparse map"},
};

static void what_is_wrong_is_refused_by_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		ib_autoerr err = {0};
		ib_autostr out = IB_STR(1u << 20);
		struct tar_bytes t = {0};

		bad[i].build(&t);
		if (show(t.s, t.n, 4096, &out, &err) == 0)
			fail_msg("%s: not refused", bad[i].text);
		if (err.code != bad[i].code || !strstr(err.text, bad[i].text))
			fail_msg("%s: %d %s", bad[i].text, err.code, err.text);
		tb_done(&t);
	}
}

/* Any prefix of an archive that is not whole entries is refused, and none is read beyond its end. */
static void every_truncation_is_noticed(void **state)
{
	struct tar_bytes t = {0};

	(void)state;
	good_pax(&t);
	for (size_t n = 0; n < t.n - 1024; n++) {
		char *copy = ib_memdup(t.s, n);	/* its end is seen by the sanitizer */
		ib_autoerr err = {0};
		ib_autostr out = IB_STR(1u << 20);
		/* before the first header, or after the first entry with its content */
		int want = n == 0 || n == 512 * 4 ? 0 : -1;

		if (show(copy, n, 1u << 20, &out, &err) != want)
			fail_msg("%zu of %zu bytes: %s", n, t.n, want ? "taken as whole" : err.text);
		free(copy);
	}
	tb_done(&t);
}

static void content_that_is_not_read_is_skipped(void **state)
{
	struct tar_bytes t = {0};
	ib_autoerr err = {0};
	const struct oci_tar_entry *e;
	const void *piece;
	int64_t offset;
	size_t n;

	(void)state;
	tb_file(&t, "one", "1111");
	tb_file(&t, "two", "2");
	tb_end(&t);
	IB_CLEANUP(oci_reader_freep) struct oci_reader *src = slow_reader_new(oci_memory_reader_new(t.s, t.n), 514);
	IB_CLEANUP(oci_tar_reader_freep) struct oci_tar_reader *tar = oci_tar_reader_new(src);

	assert_int_equal(oci_tar_next(tar, &e, &err), 1);
	assert_int_equal(oci_tar_read(tar, &piece, &n, &offset, &err), 1);
	assert_int_equal(oci_tar_next(tar, &e, &err), 1);
	assert_string_equal(e->name, "two");
	assert_int_equal(oci_tar_next(tar, &e, &err), 0);
	tb_done(&t);
}

static bool have_tool(const char *name)
{
	char path[64];

	(void)snprintf(path, sizeof path, "/usr/bin/%s", name);
	return access(path, X_OK) == 0;
}

/* Run a shell command in dir; its output is t. */
static void run_tool(const char *dir, const char *command, struct tar_bytes *t)
{
	ib_autofree char *line = ib_asprintf("cd %s && %s", dir, command);
	FILE *f = popen(line, "r");
	char buf[4096];
	size_t n;

	assert_non_null(f);
	while ((n = fread(buf, 1, sizeof buf, f)) > 0)
		memcpy(tb_room(t, n), buf, n);
	assert_int_equal(pclose(f), 0);
}

static const struct {
	const char *tool, *command;
	bool sparse;	/* holes are kept as such */
} tools[] = {
	{"tar", "tar --format=v7 -cf - --sort=name f s", false},
	{"tar", "tar --format=oldgnu -S -cf - --sort=name f s", true},
	{"tar", "tar --format=gnu -S -cf - --sort=name f s", true},
	{"tar", "tar --format=ustar -cf - --sort=name f s", false},
	{"tar", "tar --format=posix -S --sparse-version=0.0 -cf - f s", true},
	{"tar", "tar --format=posix -S --sparse-version=0.1 -cf - f s", true},
	{"tar", "tar --format=posix -S --sparse-version=1.0 -cf - f s", true},
	{"bsdtar", "bsdtar --format=pax -cf - f s", true},
	{"bsdtar", "bsdtar --format=gnutar -cf - f s", false},
	{"bsdtar", "bsdtar --format=ustar -cf - f s", false},
	{"python3", "/usr/bin/python3 -c 'import tarfile,sys; t=tarfile.open(fileobj=sys.stdout.buffer,mode=\"w|\");"
		    " t.add(\"f\"); t.add(\"s\")'", false},
};

/* "f" of 3 bytes, then "s": 1 MiB with "x" at 500000 and nothing else. */
static void check_tools_archive(const struct tar_bytes *t, bool sparse)
{
	IB_CLEANUP(oci_reader_freep) struct oci_reader *src = oci_memory_reader_new(t->s, t->n);
	IB_CLEANUP(oci_tar_reader_freep) struct oci_tar_reader *tar = oci_tar_reader_new(src);
	ib_autoerr err = {0};
	const struct oci_tar_entry *e;
	const char *piece;
	int64_t offset, sum = 0, bytes = 0;
	size_t n;

	assert_int_equal(oci_tar_next(tar, &e, &err), 1);
	assert_string_equal(e->name, "f");
	assert_int_equal(e->size, 3);
	assert_int_equal(e->mtime.tv_sec, 1234567890);
	assert_int_equal(oci_tar_next(tar, &e, &err), 1);
	assert_string_equal(e->name, "s");
	assert_int_equal(e->size, 1 << 20);
	while (oci_tar_read(tar, (const void **)&piece, &n, &offset, &err) > 0) {
		bytes += (int64_t)n;
		for (size_t i = 0; i < n; i++)
			sum += piece[i] ? piece[i] * (offset + (int64_t)i) : 0;
	}
	assert_int_equal(sum, 'x' * 500000);
	if (sparse)
		assert_true(bytes < 1 << 20);
	assert_int_equal(oci_tar_next(tar, &e, &err), 0);
}

static void archives_of_other_tools_are_read(void **state)
{
	char dir[] = "/tmp/test-tar-read-XXXXXX";
	struct tar_bytes none = {0};

	(void)state;
	assert_non_null(mkdtemp(dir));
	run_tool(dir, "printf abc >f && truncate -s 1M s && printf x | dd of=s bs=1 seek=500000 conv=notrunc 2>&1 |"
		      " cat >/dev/null && touch -d @1234567890 f s", &none);
	for (size_t i = 0; i < sizeof tools / sizeof *tools; i++) {
		struct tar_bytes t = {0};

		if (!have_tool(tools[i].tool))
			continue;
		print_message("  %s\n", tools[i].command);
		run_tool(dir, tools[i].command, &t);
		check_tools_archive(&t, tools[i].sparse);
		tb_done(&t);
	}
	run_tool(dir, "rm f s && rmdir \"$PWD\"", &none);
	tb_done(&none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_dialect_is_read_at_every_boundary),
		cmocka_unit_test(what_is_wrong_is_refused_by_name),
		cmocka_unit_test(every_truncation_is_noticed),
		cmocka_unit_test(content_that_is_not_read_is_skipped),
		cmocka_unit_test(archives_of_other_tools_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
