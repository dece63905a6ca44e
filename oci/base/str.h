/*
 * oci/base/str.h - bounded strings, string lists, and text from outside made safe to print.
 */
#ifndef OCI_BASE_STR_H
#define OCI_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "oci/base/cleanup.h"

/*
 * A growing byte string with a maximum. Zero-initialise with IB_STR(max); s is NULL or NUL-terminated.
 * Appending past max sets overflow and drops the excess: callers check overflow once, at the end.
 */
struct ib_str {
	char *s;
	size_t len;
	size_t cap;
	size_t max;	/* longest len allowed */
	bool overflow;
};

#define IB_STR(limit) {.max = (limit)}

void ib_str_done(struct ib_str *str);
#define ib_autostr IB_CLEANUP(ib_str_done) struct ib_str

void ib_str_add(struct ib_str *str, const void *bytes, size_t n);
void ib_str_adds(struct ib_str *str, const char *s);
void ib_str_addc(struct ib_str *str, char c);
void ib_str_addf(struct ib_str *str, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ib_str_reset(struct ib_str *str);	/* empty, keeps the memory */
char *ib_str_steal(struct ib_str *str);	/* never NULL; str is empty afterwards */

/* A list of strings that it owns; v[n] is NULL once anything was added. */
struct ib_strv {
	char **v;
	size_t n;
	size_t cap;
};

void ib_strv_done(struct ib_strv *list);
#define ib_autostrv IB_CLEANUP(ib_strv_done) struct ib_strv

void ib_strv_add(struct ib_strv *list, const char *s);
void ib_strv_take(struct ib_strv *list, char *take_s);
void ib_strv_copy(struct ib_strv *to, const struct ib_strv *from);	/* replaces what *to held */
bool ib_strv_has(const struct ib_strv *list, const char *s);
void ib_strv_sort(struct ib_strv *list);				/* byte order */

bool ib_starts(const char *s, const char *prefix);
bool ib_ends(const char *s, const char *suffix);

/* Length (1..4) of the well-formed UTF-8 sequence that s begins with, 0 if it does not. */
size_t ib_utf8_length(const char *s);

/*
 * A copy of at most max bytes of s that may be shown to a person: control bytes and invalid UTF-8 appear
 * as \xNN, a cut is marked with "...". For everything that came from a peer, an archive or a file.
 */
char *ib_printable(const char *s, size_t max);

/*
 * The candidate that word was probably meant to be: the one at the smallest edit distance, at most two
 * and at most half of the word's length; NULL if there is none. Two neighbours that changed places are one
 * edit. Case is ignored. Borrowed from list.
 */
const char *ib_nearest(const char *word, const char *const *candidates, size_t n);

/* Whole-string decimal number in [min, max]; false if it is anything else. */
bool ib_parse_int(const char *s, long long min, long long max, long long *ret_value);

#endif
