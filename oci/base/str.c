#include "oci/base/str.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"

#include "oci/base/poison.h"

void ib_str_done(struct ib_str *str)
{
	ib_freep(&str->s);
	*str = (struct ib_str){.max = str->max};
}

void ib_str_add(struct ib_str *str, const void *bytes, size_t n)
{
	if (n > str->max - str->len) {
		n = str->max - str->len;
		str->overflow = true;
	}
	if (str->len + n + 1 > str->cap) {
		size_t cap = str->cap ? str->cap : 64;

		while (cap < str->len + n + 1)
			cap *= 2;
		str->s = ib_realloc(str->s, cap, 1);
		str->cap = cap;
	}
	if (n)
		memcpy(str->s + str->len, bytes, n);
	str->len += n;
	str->s[str->len] = '\0';
}

void ib_str_adds(struct ib_str *str, const char *s)
{
	ib_str_add(str, s, strlen(s));
}

void ib_str_addc(struct ib_str *str, char c)
{
	ib_str_add(str, &c, 1);
}

void ib_str_addf(struct ib_str *str, const char *fmt, ...)
{
	ib_autofree char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	s = ib_vasprintf(fmt, ap);
	va_end(ap);
	ib_str_adds(str, s);
}

void ib_str_reset(struct ib_str *str)
{
	str->len = 0;
	str->overflow = false;
	if (str->s)
		str->s[0] = '\0';
}

char *ib_str_steal(struct ib_str *str)
{
	char *s = str->s ? ib_steal_ptr(&str->s) : ib_strdup("");

	*str = (struct ib_str){.max = str->max};
	return s;
}

void ib_strv_done(struct ib_strv *list)
{
	int saved = errno;

	for (size_t i = 0; i < list->n; i++)
		free(list->v[i]);
	free(list->v);
	*list = (struct ib_strv){0};
	errno = saved;
}

void ib_strv_take(struct ib_strv *list, char *take_s)
{
	if (list->n + 1 >= list->cap) {
		list->cap = list->cap ? 2 * list->cap : 8;
		list->v = ib_realloc(list->v, list->cap, sizeof *list->v);
	}
	list->v[list->n++] = take_s;
	list->v[list->n] = NULL;
}

void ib_strv_add(struct ib_strv *list, const char *s)
{
	ib_strv_take(list, ib_strdup(s));
}

void ib_strv_copy(struct ib_strv *to, const struct ib_strv *from)
{
	struct ib_strv copy = {0};

	for (size_t i = 0; i < from->n; i++)
		ib_strv_add(&copy, from->v[i]);
	ib_strv_done(to);
	*to = copy;
}

bool ib_strv_has(const struct ib_strv *list, const char *s)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->v[i], s) == 0)
			return true;
	return false;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void ib_strv_sort(struct ib_strv *list)
{
	if (list->n > 1)
		qsort(list->v, list->n, sizeof *list->v, compare);
}

bool ib_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool ib_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

size_t ib_utf8_length(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 :
		   (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong three- and four-byte forms, surrogates and beyond U+10FFFF. */
	if ((n == 3 && s[0] == 0xe0 && s[1] < 0xa0) || (n == 3 && s[0] == 0xed && s[1] >= 0xa0) ||
	    (n == 4 && s[0] == 0xf0 && s[1] < 0x90) || (n == 4 && s[0] == 0xf4 && s[1] >= 0x90))
		return 0;
	return n;
}

/* The same, or 0 for a control character (C0, DEL, C1). */
static size_t utf8_printable(const char *s)
{
	unsigned char first = (unsigned char)s[0], second = first ? (unsigned char)s[1] : 0;

	if (first < 0x20 || first == 0x7f || (first == 0xc2 && second < 0xa0))
		return 0;
	return ib_utf8_length(s);
}

char *ib_printable(const char *s, size_t max)
{
	ib_autostr out = IB_STR(4 * max + 3);
	size_t i = 0;

	while (s[i] && i < max) {
		size_t n = utf8_printable(s + i);

		if (n)
			ib_str_add(&out, s + i, n);
		else
			ib_str_addf(&out, "\\x%02x", (unsigned char)s[i]);
		i += n ? n : 1;
	}
	if (s[i])
		ib_str_adds(&out, "...");
	return ib_str_steal(&out);
}

#define NEAREST_MAX 40	/* no keyword, flag or stage name worth a guess is longer */

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Edit distance, case ignored; two neighbours that changed places are one edit, as typing makes them so. */
static size_t distance(const char *a, const char *b)
{
	size_t rows[3][NEAREST_MAX + 1];
	size_t *before = rows[0], *above = rows[1], *row = rows[2];
	size_t n = strlen(a), m = strlen(b);

	if (n > NEAREST_MAX || m > NEAREST_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t *oldest = before;

		before = above;
		above = row;
		row = oldest;
		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);

			row[j] = least(above[j - 1] + (x != y), least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
			    y == tolower((unsigned char)a[i - 2]))
				row[j] = least(row[j], before[j - 2] + 1);
		}
	}
	return row[m];
}

const char *ib_nearest(const char *word, const char *const *candidates, size_t n)
{
	const char *best = NULL;
	size_t best_distance = 3;

	for (size_t i = 0; i < n; i++) {
		size_t d = distance(word, candidates[i]);

		if (d < best_distance && 2 * d < strlen(word) + 1) {
			best = candidates[i];
			best_distance = d;
		}
	}
	return best;
}

bool ib_parse_int(const char *s, long long min, long long max, long long *ret_value)
{
	long long value;
	char *end;

	if (!isdigit((unsigned char)s[0]) && !(s[0] == '-' && isdigit((unsigned char)s[1])))
		return false;
	errno = 0;
	value = strtoll(s, &end, 10);
	if (errno || *end || value < min || value > max)
		return false;
	*ret_value = value;
	return true;
}
