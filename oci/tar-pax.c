#include "oci/tar-header.h"

#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define MAX_XATTR_NAME 255	/* XATTR_NAME_MAX of Linux */

static void xattr_done(struct oci_xattr *x)
{
	free(x->name);
	free(x->value);
}

void tar_pax_init(struct tar_pax *pax)
{
	*pax = (struct tar_pax){.pending_offset = -1};
}

void tar_pax_done(struct tar_pax *pax)
{
	for (size_t i = 0; i < pax->n_xattrs; i++)
		xattr_done(&pax->xattrs[i]);
	free(pax->xattrs);
	free(pax->path);
	free(pax->linkpath);
	free(pax->sparse_path);
	tar_map_done(&pax->map);
	tar_pax_init(pax);
}

void tar_pax_copy(struct tar_pax *to, const struct tar_pax *from)
{
	tar_pax_done(to);
	*to = *from;
	to->path = ib_strdup_null(from->path);
	to->linkpath = ib_strdup_null(from->linkpath);
	to->sparse_path = ib_strdup_null(from->sparse_path);
	to->map.v = ib_memdup(from->map.v, from->map.n * sizeof *from->map.v);
	to->map.cap = from->map.n;
	to->xattrs = ib_calloc(from->n_xattrs, sizeof *from->xattrs);
	to->cap_xattrs = from->n_xattrs;
	for (size_t i = 0; i < from->n_xattrs; i++) {
		to->xattrs[i] = from->xattrs[i];
		to->xattrs[i].name = ib_strdup(from->xattrs[i].name);
		to->xattrs[i].value = ib_memdup(from->xattrs[i].value, from->xattrs[i].size);
	}
}

/* One record, "%d %s=%s\n" of POSIX. The key is NUL-terminated; the value is bytes. */
struct record {
	const char *key;
	size_t key_len;
	const char *value;
	size_t n;
};

static int bad_value(const struct record *r, struct ib_err *err)
{
	ib_autofree char *key = ib_printable(r->key, 64);
	ib_autofree char *text = ib_strndup(r->value, r->n);
	ib_autofree char *value = ib_printable(text, 64);

	return ib_fail(err, IB_INVALID, "pax record %s has the bad value '%s'", key, value);
}

static int parse_text(char **field, const struct record *r, struct ib_err *err)
{
	if (memchr(r->value, '\0', r->n))
		return bad_value(r, err);
	if (r->n > OCI_TAR_MAX_NAME)
		return ib_fail(err, IB_LIMIT, "%s of %zu bytes is longer than %d", r->key, r->n,
			       OCI_TAR_MAX_NAME);
	free(*field);
	*field = r->n ? ib_strndup(r->value, r->n) : NULL;
	return 0;
}

static int parse_path(struct tar_pax *pax, const struct record *r, struct ib_err *err)
{
	return parse_text(&pax->path, r, err);
}

static int parse_linkpath(struct tar_pax *pax, const struct record *r, struct ib_err *err)
{
	return parse_text(&pax->linkpath, r, err);
}

static int parse_sparse_path(struct tar_pax *pax, const struct record *r, struct ib_err *err)
{
	return parse_text(&pax->sparse_path, r, err);
}

static int parse_number(int64_t *field, bool *has, const struct record *r, struct ib_err *err)
{
	*has = r->n > 0;
	return r->n == 0 || tar_decimal_parse(r->value, r->n, field) ? 0 : bad_value(r, err);
}

static int parse_uid(struct tar_pax *pax, const struct record *r, struct ib_err *err)
{
	return parse_number(&pax->uid, &pax->has_uid, r, err);
}

static int parse_gid(struct tar_pax *pax, const struct record *r, struct ib_err *err)
{
	return parse_number(&pax->gid, &pax->has_gid, r, err);
}

static int parse_size(struct tar_pax *pax, const struct record *r, struct ib_err *err)
{
	return parse_number(&pax->size, &pax->has_size, r, err);
}

/* Seconds with an optional fraction, of which nanoseconds are kept; rounded down when negative. */
static bool time_parse(const char *s, size_t n, struct timespec *ret_time)
{
	bool negative = n && s[0] == '-';
	const char *dot;
	int64_t seconds, fraction = 0;
	size_t digits;

	s += negative;
	n -= negative;
	dot = memchr(s, '.', n);
	if (!tar_decimal_parse(s, dot ? (size_t)(dot - s) : n, &seconds))
		return false;
	digits = dot ? n - (size_t)(dot - s) - 1 : 0;
	for (size_t i = 0; i < digits; i++)
		if (dot[1 + i] < '0' || dot[1 + i] > '9')
			return false;
	for (size_t i = 0; i < 9; i++)
		fraction = 10 * fraction + (i < digits ? dot[1 + i] - '0' : 0);
	if (negative) {
		seconds = -seconds - (fraction > 0);
		fraction = fraction ? 1000000000 - fraction : 0;
	}
	*ret_time = (struct timespec){.tv_sec = seconds, .tv_nsec = fraction};
	return true;
}

static int parse_mtime(struct tar_pax *pax, const struct record *r, struct ib_err *err)
{
	pax->has_mtime = r->n > 0;
	return r->n == 0 || time_parse(r->value, r->n, &pax->mtime) ? 0 : bad_value(r, err);
}

static int parse_sparse_major(struct tar_pax *pax, const struct record *r, struct ib_err *err)
{
	bool has;

	if (parse_number(&pax->sparse_major, &has, r, err) < 0)
		return -1;
	return has && pax->sparse_major <= 1 ? 0 : bad_value(r, err);
}

static int parse_real_size(struct tar_pax *pax, const struct record *r, struct ib_err *err)
{
	return parse_number(&pax->real_size, &pax->has_real_size, r, err);
}

static int parse_sparse_offset(struct tar_pax *pax, const struct record *r, struct ib_err *err)
{
	if (pax->pending_offset >= 0 || !tar_decimal_parse(r->value, r->n, &pax->pending_offset))
		return bad_value(r, err);
	return 0;
}

static int parse_sparse_bytes(struct tar_pax *pax, const struct record *r, struct ib_err *err)
{
	int64_t offset = pax->pending_offset, size;

	if (offset < 0 || !tar_decimal_parse(r->value, r->n, &size))
		return bad_value(r, err);
	pax->pending_offset = -1;
	pax->has_map = true;
	return tar_map_add(&pax->map, offset, size, err);
}

/* 0.1: "offset,size,offset,size" */
static int parse_sparse_map(struct tar_pax *pax, const struct record *r, struct ib_err *err)
{
	const char *s = r->value, *end = r->value + r->n;
	int64_t number[2];

	tar_map_done(&pax->map);
	pax->has_map = true;
	for (size_t i = 0; s < end; i ^= 1) {
		const char *comma = memchr(s, ',', (size_t)(end - s));
		const char *stop = comma ? comma : end;

		if (!tar_decimal_parse(s, (size_t)(stop - s), &number[i]))
			return bad_value(r, err);
		if (i == 1 && tar_map_add(&pax->map, number[0], number[1], err) < 0)
			return -1;
		if (i == 0 && !comma)
			return bad_value(r, err);
		s = comma ? comma + 1 : end;
	}
	return 0;
}

static const struct {
	const char *key;
	int (*parse)(struct tar_pax *pax, const struct record *r, struct ib_err *err);
} keys[] = {
	{"path", parse_path},
	{"linkpath", parse_linkpath},
	{"uid", parse_uid},
	{"gid", parse_gid},
	{"size", parse_size},
	{"mtime", parse_mtime},
	{"GNU.sparse.major", parse_sparse_major},
	{"GNU.sparse.name", parse_sparse_path},
	{"GNU.sparse.realsize", parse_real_size},
	{"GNU.sparse.size", parse_real_size},
	{"GNU.sparse.offset", parse_sparse_offset},
	{"GNU.sparse.numbytes", parse_sparse_bytes},
	{"GNU.sparse.map", parse_sparse_map},
};

static int add_xattr(struct tar_pax *pax, const char *name, const void *value, size_t n, struct ib_err *err)
{
	struct oci_xattr x;
	size_t i = 0;

	if (!*name || strlen(name) > MAX_XATTR_NAME)
		return ib_fail(err, *name ? IB_LIMIT : IB_INVALID, "bad name of an extended attribute");
	if (n > OCI_TAR_MAX_XATTR_VALUE)
		return ib_fail(err, IB_LIMIT, "extended attribute of more than %d bytes", OCI_TAR_MAX_XATTR_VALUE);
	while (i < pax->n_xattrs && strcmp(pax->xattrs[i].name, name) != 0)
		i++;
	if (i == OCI_TAR_MAX_XATTRS)
		return ib_fail(err, IB_LIMIT, "more than %d extended attributes", OCI_TAR_MAX_XATTRS);
	x = (struct oci_xattr){ib_strdup(name), ib_memdup(value, n), n};
	if (i < pax->n_xattrs) {
		xattr_done(&pax->xattrs[i]);
	} else {
		ib_grow(pax->xattrs, pax->n_xattrs, pax->cap_xattrs);
		pax->n_xattrs++;
	}
	pax->xattrs[i] = x;
	return 0;
}

static int base64_digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *p = c ? strchr(digits, c) : NULL;

	return p ? (int)(p - digits) : -1;
}

/* Padding is optional: libarchive writes none. False when s is no base64. */
static bool base64_decode(const char *s, size_t n, unsigned char *out, size_t *ret_n)
{
	unsigned int bits = 0, have = 0;
	size_t len = 0;

	while (n && s[n - 1] == '=')
		n--;
	for (size_t i = 0; i < n; i++) {
		int digit = base64_digit(s[i]);

		if (digit < 0)
			return false;
		bits = bits << 6 | (unsigned int)digit;
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[len++] = (unsigned char)(bits >> have);
			bits &= (1u << have) - 1;
		}
	}
	*ret_n = len;
	return n % 4 != 1;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 :
	       c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* libarchive writes names of attributes as in URLs. */
static void percent_decode(char *s)
{
	char *to = s;

	for (; *s; s++) {
		int high = s[0] == '%' ? hex_digit(s[1]) : -1;
		int low = high >= 0 ? hex_digit(s[2]) : -1;

		*to++ = low >= 0 ? (char)(high << 4 | low) : *s;
		s += low >= 0 ? 2 : 0;
	}
	*to = '\0';
}

static int parse_libarchive_xattr(struct tar_pax *pax, const char *key, const struct record *r,
				  struct ib_err *err)
{
	ib_autofree char *name = ib_strdup(key);
	ib_autofree unsigned char *value = ib_malloc(r->n);
	size_t n;

	percent_decode(name);
	if (!base64_decode(r->value, r->n, value, &n))
		return bad_value(r, err);
	return add_xattr(pax, name, value, n, err);
}

static int parse_record(struct tar_pax *pax, const struct record *r, struct ib_err *err)
{
	static const char schily[] = "SCHILY.xattr.", libarchive[] = "LIBARCHIVE.xattr.";

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (strcmp(r->key, keys[i].key) == 0)
			return keys[i].parse(pax, r, err);
	if (ib_starts(r->key, schily))
		return add_xattr(pax, r->key + sizeof schily - 1, r->value, r->n, err);
	if (ib_starts(r->key, libarchive))
		return parse_libarchive_xattr(pax, r->key + sizeof libarchive - 1, r, err);
	return 0;	/* uname, comment, atime ...: nothing a layer keeps */
}

/* The record at *pp, which moves behind it. The key's text is the caller's. */
static bool split_record(const char **pp, const char *end, struct record *r, char **ret_key)
{
	const char *p = *pp, *blank = memchr(p, ' ', (size_t)(end - p)), *equals;
	int64_t n;

	if (!blank || !tar_decimal_parse(p, (size_t)(blank - p), &n) || n > end - p ||
	    n < blank - p + 2 || p[n - 1] != '\n')
		return false;
	*pp = p + n;
	p += n - 1;	/* the newline */
	blank++;
	equals = memchr(blank, '=', (size_t)(p - blank));
	if (!equals || equals == blank || memchr(blank, '\0', (size_t)(equals - blank)))
		return false;
	*ret_key = ib_strndup(blank, (size_t)(equals - blank));
	*r = (struct record){*ret_key, (size_t)(equals - blank), equals + 1, (size_t)(p - equals) - 1};
	return true;
}

int tar_pax_parse(struct tar_pax *pax, const char *bytes, size_t n, struct ib_err *err)
{
	const char *end = bytes + n;

	while (bytes < end) {
		ib_autofree char *key = NULL;
		struct record r;

		if (!split_record(&bytes, end, &r, &key))
			return ib_fail(err, IB_INVALID, "malformed pax record");
		if (parse_record(pax, &r, err) < 0)
			return -1;
	}
	return pax->pending_offset < 0 ? 0 : ib_fail(err, IB_INVALID, "bad sparse map");
}
