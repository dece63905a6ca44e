/*
 * builder/progress/text.h - bytes that a container printed, made safe to show: no control byte, no escape
 * sequence and no broken UTF-8 reaches a terminal or a log.
 */
#ifndef BUILDER_PROGRESS_TEXT_H
#define BUILDER_PROGRESS_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "oci/base/str.h"

/* Length of the well-formed UTF-8 sequence at s, of at most n bytes, or 0; its code point if asked for. */
size_t progress_utf8(const char *s, size_t n, uint32_t *ret_point);

/*
 * Append n bytes to out as one line of text. Complete escape sequences (colours, titles, cursor movement)
 * vanish; tabs stay; all other control bytes and whatever is no UTF-8 appear as \xNN.
 */
void progress_text_add(struct ib_str *out, const char *bytes, size_t n);

/* As above for a whole text of at most max bytes, its line ends and tabs as blanks, a cut marked. The caller's. */
char *progress_text_one_line(const char *text, size_t max);

/* The longest prefix of s, at most n bytes, that does not end inside a UTF-8 sequence; n if there is none. */
size_t progress_text_cut(const char *s, size_t n);

/*
 * Append text to out, up to width terminal cells: tabs become blanks, a cut is marked with "…". Returns the
 * number of cells used.
 */
size_t progress_text_fit(struct ib_str *out, const char *text, size_t width);

size_t progress_text_width(const char *text);	/* terminal cells */

/* "512B", "1.5kB", "12.5MB": decimal units, as registries and docker count. Returns buf. */
const char *progress_size(int64_t bytes, char buf[static 32]);

#endif
