#include "builder/progress/text.h"

#include <stdio.h>
#include <string.h>

#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define ESCAPE_MAX 2048	/* longer "sequences" are somebody hiding output: shown as they are */
#define TAB_WIDTH 8

size_t progress_utf8(const char *s, size_t n, uint32_t *ret_point)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char lead = (unsigned char)s[0];
	size_t len = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
	uint32_t point = len == 1 ? lead : lead & (0xffu >> (len + 1));

	if (n == 0 || len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if (((unsigned char)s[i] & 0xc0) != 0x80)
			return 0;
		point = point << 6 | ((unsigned char)s[i] & 0x3f);
	}
	if (point < smallest[len] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
		return 0;
	if (ret_point)
		*ret_point = point;
	return len;
}

/* ESC ] ... BEL, or ESC P ... ESC \ (ECMA-48 "control strings"). */
static size_t control_string(const char *s, size_t n)
{
	for (size_t i = 2; i < n && i < ESCAPE_MAX; i++) {
		if (s[i] == '\a' && s[1] == ']')
			return i + 1;
		if (s[i] == '\033')
			return i + 1 < n && s[i + 1] == '\\' ? i + 2 : 0;
	}
	return 0;
}

/* Length of the complete escape sequence at s, which is ESC; 0 when it is none. */
static size_t escape_sequence(const char *s, size_t n)
{
	size_t i = 1;
	bool csi = n > 1 && s[1] == '[';

	if (n > 1 && s[1] && strchr("]PX^_", s[1]))
		return control_string(s, n);
	if (csi) {
		i++;
		while (i < n && i < ESCAPE_MAX && s[i] >= '0' && s[i] <= '?')
			i++;
	}
	while (i < n && i < ESCAPE_MAX && s[i] >= ' ' && s[i] <= '/')
		i++;
	return i < n && s[i] >= (csi ? '@' : '0') && s[i] <= '~' ? i + 1 : 0;
}

/* Length of the run of printable ASCII at s: nearly all of all output. */
static size_t plain_run(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n && ((s[i] >= ' ' && s[i] < 0x7f) || s[i] == '\t'))
		i++;
	return i;
}

void progress_text_add(struct ib_str *out, const char *bytes, size_t n)
{
	while (n) {
		uint32_t point = 0;
		size_t len = plain_run(bytes, n);

		if (len) {
			ib_str_add(out, bytes, len);
		} else if (*bytes == '\033' && (len = escape_sequence(bytes, n)) > 0) {
			/* dropped */
		} else if ((len = progress_utf8(bytes, n, &point)) > 0 && point >= 0xa0) {
			ib_str_add(out, bytes, len);
		} else {
			ib_str_addf(out, "\\x%02x", (unsigned char)*bytes);
			len = 1;
		}
		bytes += len;
		n -= len;
	}
}

char *progress_text_one_line(const char *text, size_t max)
{
	size_t len = strnlen(text, max);
	ib_autofree char *flat = ib_strndup(text, len);
	ib_autostr out = IB_STR(4 * len + 3);	/* every byte may become \xNN */

	for (char *p = flat; *p; p++)
		if (*p == '\n' || *p == '\t' || *p == '\r')
			*p = ' ';
	progress_text_add(&out, flat, text[len] ? progress_text_cut(flat, len) : len);
	if (text[len])
		ib_str_adds(&out, "…");
	return ib_str_steal(&out);
}

size_t progress_text_cut(const char *s, size_t n)
{
	for (size_t back = 1; back <= 3 && back < n; back++) {
		unsigned char c = (unsigned char)s[n - back];

		if (c >= 0xc2)
			return progress_utf8(s + n - back, back, NULL) ? n : n - back;
		if (c < 0x80)
			break;
	}
	return n;
}

/* Cells of one code point. The tables are rough: the terminal view is drawn with wrapping turned off. */
static size_t cells(uint32_t point)
{
	static const struct {
		uint32_t first, last;
		size_t width;
	} ranges[] = {
		{0x0300, 0x036f, 0},   {0x1100, 0x115f, 2},   {0x1ab0, 0x1aff, 0}, {0x1dc0, 0x1dff, 0},
		{0x200b, 0x200f, 0},   {0x2028, 0x202e, 0},   {0x2060, 0x206f, 0}, {0x20d0, 0x20ff, 0},
		{0x2e80, 0xa4cf, 2},   {0xac00, 0xd7a3, 2},   {0xf900, 0xfaff, 2}, {0xfe00, 0xfe0f, 0},
		{0xfe20, 0xfe2f, 0},   {0xfe30, 0xfe6f, 2},   {0xff00, 0xff60, 2}, {0xffe0, 0xffe6, 2},
		{0x1f300, 0x1f64f, 2}, {0x1f900, 0x1f9ff, 2}, {0x20000, 0x3fffd, 2},
	};

	for (size_t i = 0; i < sizeof ranges / sizeof *ranges && ranges[i].first <= point; i++)
		if (point <= ranges[i].last)
			return ranges[i].width;
	return 1;
}

/* The next character of safe text: its bytes, and the cells it takes at column. */
static size_t next_cell(const char *text, size_t column, size_t *ret_cells)
{
	uint32_t point = ' ';
	size_t len = progress_utf8(text, strlen(text), &point);

	*ret_cells = point == '\t' ? TAB_WIDTH - column % TAB_WIDTH : cells(point);
	return len ? len : 1;
}

size_t progress_text_width(const char *text)
{
	size_t column = 0;

	while (*text) {
		size_t width;

		text += next_cell(text, column, &width);
		column += width;
	}
	return column;
}

size_t progress_text_fit(struct ib_str *out, const char *text, size_t width)
{
	bool cut = progress_text_width(text) > width;
	size_t room = cut && width ? width - 1 : width;
	size_t column = 0;

	while (*text) {
		size_t wide;
		size_t len = next_cell(text, column, &wide);

		if (column + wide > room)
			break;
		if (*text == '\t')
			ib_str_addf(out, "%*s", (int)wide, "");
		else
			ib_str_add(out, text, len);
		column += wide;
		text += len;
	}
	if (cut && width) {
		ib_str_adds(out, "…");
		column++;
	}
	return column;
}

const char *progress_size(int64_t bytes, char buf[static 32])
{
	static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
	double value = (double)bytes / 1000;
	size_t unit = 0;

	if (bytes < 1000) {
		(void)snprintf(buf, 32, "%jdB", (intmax_t)bytes);
		return buf;
	}
	while (value >= 999.95 && unit + 1 < sizeof units / sizeof *units) {
		value /= 1000;
		unit++;
	}
	(void)snprintf(buf, 32, "%.1f%s", value, units[unit]);
	return buf;
}
