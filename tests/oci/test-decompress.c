#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"
#include "oci/compression.h"

#define MAX_BYTES (16u << 20)

/* Gives its bytes n at a time. */
struct slow_reader {
	struct oci_reader base;
	const char *bytes;
	size_t left, n;
	bool ended;
	bool *ret_ended;
};

static ssize_t slow_read(struct oci_reader *base, void *buf, size_t n, struct ib_err *err)
{
	struct slow_reader *r = (struct slow_reader *)base;

	(void)err;
	n = n < r->n ? n : r->n;
	n = n < r->left ? n : r->left;
	memcpy(buf, r->bytes, n);
	r->bytes += n;
	r->left -= n;
	if (n == 0)
		*r->ret_ended = true;
	return (ssize_t)n;
}

static void slow_free(struct oci_reader *base)
{
	free(base);
}

static int decompress(const struct ib_str *in, size_t in_step, size_t out_step, struct ib_str *out,
		      enum oci_compression *found, bool *ret_ended, struct ib_err *err)
{
	static const struct oci_reader_ops ops = {slow_read, slow_free};
	struct slow_reader *slow = ib_new(struct slow_reader);
	IB_CLEANUP(oci_reader_freep) struct oci_reader *r = NULL;
	ib_autofree char *buf = ib_malloc(out_step);
	ssize_t n;

	*ret_ended = false;
	*slow = (struct slow_reader){{&ops}, in->s ? in->s : "", in->len, in_step, false, ret_ended};
	if (oci_decompress_reader_new(&slow->base, found, &r, err) < 0)
		return -1;
	while ((n = oci_reader_read(r, buf, out_step, err)) > 0)
		ib_str_add(out, buf, (size_t)n);
	if (n == 0)	/* the end stays the end */
		assert_int_equal(oci_reader_read(r, buf, out_step, err), 0);
	return n < 0 ? -1 : 0;
}

/* The output of a shell command, or false when its tool is missing. */
static bool run_tool(const char *tool, const char *command, struct ib_str *out)
{
	char buf[65536];
	FILE *f;
	size_t n;

	if (access(tool, X_OK) < 0)
		return false;
	f = popen(command, "r");
	assert_non_null(f);
	while ((n = fread(buf, 1, sizeof buf, f)) > 0)
		ib_str_add(out, buf, n);
	assert_int_equal(pclose(f), 0);
	return true;
}

#define TEXT_COMMAND "seq 100000"		/* 588,895 bytes */
#define HALVES(z) "( seq 50000 | " z "; seq 50001 100000 | " z " )"

static const struct {
	const char *tool, *command;
	enum oci_compression compression;
} streams[] = {
	{"/usr/bin/seq", TEXT_COMMAND, OCI_UNCOMPRESSED},
	{"/bin/gzip", TEXT_COMMAND " | gzip", OCI_GZIP},
	{"/bin/gzip", TEXT_COMMAND " | gzip -1", OCI_GZIP},
	{"/bin/gzip", HALVES("gzip -9"), OCI_GZIP},
	{"/bin/gzip", "( seq 100000 | gzip; : | gzip; : | gzip )", OCI_GZIP},
	{"/bin/gzip", "( seq 100000 | gzip; head -c 1000 /dev/zero )", OCI_GZIP},
	{"/bin/gzip", "d=$(mktemp -d) && cd $d && seq 100000 >name && gzip -c name && rm name && rmdir $d", OCI_GZIP},
	{"/usr/bin/zstd", TEXT_COMMAND " | zstd -q", OCI_ZSTD},
	{"/usr/bin/zstd", HALVES("zstd -q -19"), OCI_ZSTD},
	{"/usr/bin/zstd", "seq 100000 | zstd -q --long=27", OCI_ZSTD},
	{"/usr/bin/zstd", "( printf 'P*M\\030\\003\\000\\000\\000abc'; " TEXT_COMMAND
			  " | zstd -q; printf '_*M\\030\\000\\000\\000\\000' )", OCI_ZSTD},
	{"/bin/bzip2", TEXT_COMMAND " | bzip2", OCI_BZIP2},
	{"/bin/bzip2", HALVES("bzip2 -1"), OCI_BZIP2},
	{"/usr/bin/xz", TEXT_COMMAND " | xz", OCI_XZ},
	{"/usr/bin/xz", HALVES("xz -9"), OCI_XZ},
};

static void every_compression_is_told_and_undone(void **state)
{
	static const size_t steps[][2] = {{1, 100000}, {100000, 1}, {13, 17}, {1u << 20, 1u << 20}};
	ib_autostr want = IB_STR(MAX_BYTES);

	(void)state;
	assert_true(run_tool("/usr/bin/seq", TEXT_COMMAND, &want));
	assert_int_equal(want.len, 588895);	/* 9*2 + 90*3 + 900*4 + 9000*5 + 90000*6 + 7 */
	for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
		ib_autostr in = IB_STR(MAX_BYTES);

		if (!run_tool(streams[i].tool, streams[i].command, &in))
			continue;
		print_message("  %s\n", streams[i].command);
		for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
			enum oci_compression found = OCI_XZ;
			ib_autostr out = IB_STR(MAX_BYTES);
			ib_autoerr err = {0};
			bool ended;

			if (decompress(&in, steps[k][0], steps[k][1], &out, &found, &ended, &err) < 0)
				fail_msg("%s", err.text);
			assert_int_equal(found, streams[i].compression);
			assert_int_equal(out.len, want.len);
			assert_memory_equal(out.s, want.s, want.len);
			assert_true(ended);	/* whoever verifies the blob saw all of it */
		}
	}
}

static void truncation_and_damage_are_refused(void **state)
{
	static const size_t cuts[] = {1, 3, 8, 9, 100, 1000};

	(void)state;
	for (size_t i = 1; i < sizeof streams / sizeof *streams; i++) {
		ib_autostr in = IB_STR(MAX_BYTES);

		if (strstr(streams[i].command, "/dev/zero") || strstr(streams[i].command, ": |") ||
		    strstr(streams[i].command, "printf") || !run_tool(streams[i].tool, streams[i].command, &in))
			continue;	/* those end with what may be missing */
		for (size_t k = 0; k < sizeof cuts / sizeof *cuts; k++) {
			struct ib_str cut = {.s = in.s, .len = in.len - cuts[k]};
			ib_autostr out = IB_STR(MAX_BYTES);
			ib_autoerr err = {0};
			bool ended;

			assert_int_equal(decompress(&cut, 4096, 65536, &out, NULL, &ended, &err), -1);
			assert_int_equal(err.code, IB_INVALID);
		}
		for (size_t at = in.len / 3; at < in.len; at += in.len / 3 - 1) {
			ib_autostr out = IB_STR(MAX_BYTES);
			ib_autoerr err = {0};
			bool ended;

			in.s[at] ^= 0x55;
			if (decompress(&in, 4096, 65536, &out, NULL, &ended, &err) == 0)
				fail_msg("%s: damage at %zu not noticed", streams[i].command, at);
			assert_int_equal(err.code, IB_INVALID);
			in.s[at] ^= 0x55;
		}
	}
}

static const struct {
	const char *command, *text;
	enum ib_code code;
} bad[] = {
	{"( seq 9 | gzip; echo this is garbage )", "gzip: ", IB_INVALID},
	{"( seq 9 | gzip; printf '\\000\\000\\001' )", "gzip: garbage after the end", IB_INVALID},
	{"( seq 9 | gzip; seq 9 | bzip2 )", "gzip: ", IB_INVALID},
	{"( seq 9 | bzip2; echo this is garbage )", "bzip2: corrupt data", IB_INVALID},
	{"( seq 9 | xz; echo this is garbage )", "xz: corrupt data", IB_INVALID},
	{"( seq 9 | zstd -q; echo this is garbage )", "zstd: corrupt data", IB_INVALID},
	{"head -c 3000000 /dev/zero | zstd -q --ultra --long=30", "zstd: window of more than 128 MiB", IB_LIMIT},
	{"printf '\\037\\213\\010'", "gzip: ends too early", IB_INVALID},
	{"printf '\\050\\265\\057\\375'", "zstd: ends too early", IB_INVALID},
	{"head -c 1000 /dev/zero | xz --lzma2=dict=512MiB", "xz: needs more than 160 MiB", IB_LIMIT},
};

static void what_is_no_stream_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		ib_autostr in = IB_STR(MAX_BYTES), out = IB_STR(MAX_BYTES);
		ib_autoerr err = {0};
		bool ended;

		if (!run_tool("/usr/bin/zstd", bad[i].command, &in))
			skip();
		if (decompress(&in, 4096, 65536, &out, NULL, &ended, &err) == 0)
			fail_msg("%s: not refused", bad[i].command);
		if (err.code != bad[i].code || !strstr(err.text, bad[i].text))
			fail_msg("%s: %d %s", bad[i].command, err.code, err.text);
	}
}

static void an_empty_or_short_stream_is_uncompressed(void **state)
{
	static const char *const texts[] = {"", "a", "\x1f", "BZh", "BZh9x"};

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		ib_autostr in = IB_STR(100), out = IB_STR(100);
		enum oci_compression found = OCI_XZ;
		ib_autoerr err = {0};
		bool ended;

		ib_str_adds(&in, texts[i]);
		assert_int_equal(decompress(&in, 1, 10, &out, &found, &ended, &err), 0);
		assert_int_equal(found, OCI_UNCOMPRESSED);
		assert_string_equal(out.s ? out.s : "", texts[i]);
	}
}

static void settings_are_parsed(void **state)
{
	static const struct {
		const char *text;
		enum oci_compression compression;
		int level;	/* -1: refused with wrong */
		const char *wrong;
	} cases[] = {
		{"gzip", OCI_GZIP, 0, NULL},
		{"gzip:12", OCI_GZIP, 12, NULL},
		{"zstd:19", OCI_ZSTD, 19, NULL},
		{"none", OCI_UNCOMPRESSED, 0, NULL},
		{"uncompressed", OCI_UNCOMPRESSED, 0, NULL},
		{"gzip:13", OCI_GZIP, -1, "gzip has levels 1 to 12, not '13'"},
		{"gzip:0", OCI_GZIP, -1, "gzip has levels 1 to 12, not '0'"},
		{"zstd:20", OCI_GZIP, -1, "zstd has levels 1 to 19, not '20'"},
		{"zstd:", OCI_GZIP, -1, "zstd has levels 1 to 19, not ''"},
		{"none:1", OCI_GZIP, -1, "compression uncompressed has no level"},
		{"gzp", OCI_GZIP, -1, "unknown compression 'gzp'; use gzip, zstd or uncompressed (did you mean gzip?)"},
		{"bzip2", OCI_GZIP, -1, "unknown compression 'bzip2'; use gzip, zstd or uncompressed (did you mean gzip?)"},
		{"lzma", OCI_GZIP, -1, "unknown compression 'lzma'; use gzip, zstd or uncompressed"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct oci_compression_setting setting = {OCI_XZ, 99};
		ib_autoerr err = {0};
		int done = oci_compression_parse(cases[i].text, &setting, &err);

		assert_int_equal(done, cases[i].level < 0 ? -1 : 0);
		if (done < 0) {
			assert_int_equal(err.code, IB_USAGE);
			assert_string_equal(err.text, cases[i].wrong);
			continue;
		}
		assert_int_equal(setting.compression, cases[i].compression);
		assert_int_equal(setting.level, cases[i].level);
	}
}

static void docker_has_no_zstd_layers(void **state)
{
	enum oci_media media = OCI_MEDIA_OTHER;
	ib_autoerr err = {0};

	(void)state;
	assert_int_equal(oci_compression_media(OCI_ZSTD, false, &media, &err), 0);
	assert_int_equal(media, OCI_MEDIA_LAYER_ZSTD);
	assert_int_equal(oci_compression_media(OCI_GZIP, true, &media, &err), 0);
	assert_int_equal(media, OCI_MEDIA_DOCKER_LAYER_GZIP);
	assert_int_equal(oci_compression_media(OCI_ZSTD, true, &media, &err), -1);
	assert_int_equal(err.code, IB_UNSUPPORTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_compression_is_told_and_undone),
		cmocka_unit_test(truncation_and_damage_are_refused),
		cmocka_unit_test(what_is_no_stream_is_refused),
		cmocka_unit_test(an_empty_or_short_stream_is_uncompressed),
		cmocka_unit_test(settings_are_parsed),
		cmocka_unit_test(docker_has_no_zstd_layers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
