/*
 * tests/oci/tar-builder.h - tar archives byte by byte, right or wrong as a test wants them; nothing here is
 * our writer's.
 */
#ifndef TESTS_OCI_TAR_BUILDER_H
#define TESTS_OCI_TAR_BUILDER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tar_bytes {
	char *s;
	size_t n;
};

static inline char *tb_room(struct tar_bytes *t, size_t n)
{
	t->s = realloc(t->s, t->n + n + 1);
	if (!t->s)
		abort();
	memset(t->s + t->n, 0, n + 1);
	t->n += n;
	return t->s + t->n - n;
}

static inline void tb_zeros(struct tar_bytes *t, size_t n)
{
	(void)tb_room(t, n);
}

/* Content, filled up to a whole block. */
static inline void tb_data(struct tar_bytes *t, const void *bytes, size_t n)
{
	char *p = tb_room(t, (n + 511) / 512 * 512);

	if (n)
		memcpy(p, bytes, n);
}

static inline void tb_octal(char *field, int width, unsigned long long value)
{
	char text[32];

	(void)snprintf(text, sizeof text, "%0*llo", width - 1, value);
	memcpy(field, text, (size_t)width);
}

/* The checksum of the block at h, as POSIX defines it: unsigned bytes, blanks for the field itself. */
static inline void tb_seal(char *h)
{
	unsigned int sum = 0;

	memset(h + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += (unsigned char)h[i];
	tb_octal(h + 148, 7, sum);
}

/* A ustar header: sealed, and returned to be changed (and sealed again). Valid until the next is added. */
static inline char *tb_header(struct tar_bytes *t, char type, const char *name, const char *link,
			      unsigned int mode, unsigned long long size)
{
	char *h = tb_room(t, 512);

	memcpy(h, name, strnlen(name, 100));
	tb_octal(h + 100, 8, mode);
	tb_octal(h + 108, 8, 0);
	tb_octal(h + 116, 8, 0);
	tb_octal(h + 124, 12, size);
	tb_octal(h + 136, 12, 1000000000);
	h[156] = type;
	if (link)
		memcpy(h + 157, link, strnlen(link, 100));
	memcpy(h + 257, "ustar\00000", 8);
	tb_seal(h);
	return h;
}

static inline void tb_file(struct tar_bytes *t, const char *name, const char *text)
{
	(void)tb_header(t, '0', name, NULL, 0644, strlen(text));
	tb_data(t, text, strlen(text));
}

/* A header of the kind that describes the next entry: 'x', 'g', 'L', 'K'. */
static inline void tb_meta(struct tar_bytes *t, char type, const void *bytes, size_t n)
{
	(void)tb_header(t, type, "meta", NULL, 0644, n);
	tb_data(t, bytes, n);
}

struct tb_record {
	const char *key, *value;
	size_t n;	/* of the value; 0: up to its NUL */
};

/* A pax header of these records, up to one without a key. */
static inline void tb_records(struct tar_bytes *t, char type, const struct tb_record *records)
{
	struct tar_bytes all = {0};

	for (; records->key; records++) {
		size_t n = records->n ? records->n : strlen(records->value);
		size_t len = strlen(records->key) + n + 3, digits = 1;
		char *p;

		for (size_t limit = 10; len + digits >= limit; limit *= 10)
			digits++;
		len += digits;
		p = tb_room(&all, len);
		memcpy(p + snprintf(p, len, "%zu %s=", len, records->key), records->value, n);
		p[len - 1] = '\n';
	}
	tb_meta(t, type, all.s, all.n);
	free(all.s);
}

static inline void tb_pax(struct tar_bytes *t, char type, const char *key, const void *value, size_t n)
{
	tb_records(t, type, (const struct tb_record[]){{key, value, n}, {NULL, NULL, 0}});
}

static inline void tb_pax_text(struct tar_bytes *t, const char *key, const char *value)
{
	tb_pax(t, 'x', key, value, strlen(value));
}

static inline void tb_end(struct tar_bytes *t)
{
	tb_zeros(t, 1024);
}

static inline void tb_done(struct tar_bytes *t)
{
	free(t->s);
	*t = (struct tar_bytes){0};
}

#endif
