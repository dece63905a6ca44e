#include "builder/dockerfile/json-form.h"

#include <stdint.h>
#include <string.h>

#include "builder/dockerfile/rune.h"
#include "oci/base/json.h"

#include "oci/base/poison.h"

#define REPLACEMENT 0xfffdu	/* what stands for a lone surrogate or a malformed byte */

static const char *skip_blanks(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

static void add_rune(struct ib_str *out, uint32_t rune)
{
	char bytes[4];
	size_t n = 0;

	if (rune < 0x80) {
		bytes[n++] = (char)rune;
	} else if (rune < 0x800) {
		bytes[n++] = (char)(0xc0 | rune >> 6);
	} else if (rune < 0x10000) {
		bytes[n++] = (char)(0xe0 | rune >> 12);
		bytes[n++] = (char)(0x80 | (rune >> 6 & 0x3f));
	} else {
		bytes[n++] = (char)(0xf0 | rune >> 18);
		bytes[n++] = (char)(0x80 | (rune >> 12 & 0x3f));
		bytes[n++] = (char)(0x80 | (rune >> 6 & 0x3f));
	}
	if (rune >= 0x80)
		bytes[n++] = (char)(0x80 | (rune & 0x3f));
	ib_str_add(out, bytes, n);
}

/* Four hexadecimal digits at p; false if they are not there. */
static bool hex4(const char *p, uint32_t *ret_value)
{
	static const char digits[] = "00112233445566778899aAbBcCdDeEfF";
	uint32_t value = 0;

	for (int i = 0; i < 4; i++) {
		const char *digit = p[i] ? strchr(digits, p[i]) : NULL;

		if (!digit)
			return false;
		value = value << 4 | (uint32_t)(digit - digits) / 2;
	}
	*ret_value = value;
	return true;
}

/* Behind "\u". Returns what follows the escape, of both halves of a pair, or NULL. */
static const char *unescape_unicode(const char *p, struct ib_str *out)
{
	uint32_t rune, low;

	if (!hex4(p, &rune))
		return NULL;
	p += 4;
	if (rune >= 0xd800 && rune < 0xdc00 && p[0] == '\\' && p[1] == 'u' && hex4(p + 2, &low) &&
	    low >= 0xdc00 && low < 0xe000) {
		rune = 0x10000 + ((rune - 0xd800) << 10) + (low - 0xdc00);
		p += 6;
	}
	add_rune(out, rune >= 0xd800 && rune < 0xe000 ? REPLACEMENT : rune);
	return p;
}

/* Behind a backslash. */
static const char *unescape(const char *p, struct ib_str *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *found = *p ? strchr(from, *p) : NULL;

	if (*p == 'u')
		return unescape_unicode(p + 1, out);
	if (!found)
		return NULL;
	ib_str_addc(out, to[found - from]);
	return p + 1;
}

/* Behind the opening quote. Returns what follows the closing one, or NULL. */
static const char *parse_string(const char *p, struct ib_str *out)
{
	while (p && *p != '"') {
		size_t n;
		uint32_t rune = rune_at(p, &n);

		if (rune < 0x20)
			return NULL;
		if (rune == '\\') {
			p = unescape(p + 1, out);
			continue;
		}
		add_rune(out, rune >= RUNE_BAD_BYTE ? REPLACEMENT : rune);
		p += n;
	}
	return p ? p + 1 : NULL;
}

static int fail_mixed(struct ib_err *err)
{
	return ib_fail(err, IB_USAGE,
		       "when using JSON array syntax, arrays must be comprised of strings only");
}

/* An element that is no string: an error if the text is JSON at all. */
static int judge(const char *text, struct ib_err *err)
{
	ib_autoerr invalid = {0};
	ib_autojson *value = ib_json_parse(text, strlen(text), &invalid);

	return value ? fail_mixed(err) : 0;
}

static int add_string(struct ib_str *string, struct ib_strv *args, struct ib_err *err)
{
	if (string->len && memchr(string->s, 0, string->len))
		return ib_fail(err, IB_USAGE, "a NUL character in a JSON string");
	ib_strv_take(args, ib_str_steal(string));
	return 0;
}

/* The elements behind '['. */
static int parse_elements(const char *text, const char *p, struct ib_strv *args, struct ib_err *err)
{
	ib_autostr string = IB_STR(SIZE_MAX / 2);	/* never longer than the text */

	for (p = skip_blanks(p); *p == '"'; p = skip_blanks(p + 1)) {
		p = parse_string(p + 1, &string);
		if (!p)
			return 0;
		if (add_string(&string, args, err) < 0)
			return -1;
		p = skip_blanks(p);
		if (*p == ']')
			return !*skip_blanks(p + 1);
		if (*p != ',')
			return 0;
	}
	if (*p == ']' && !args->n)
		return !*skip_blanks(p + 1);
	return judge(text, err);
}

int dockerfile_json_form(const char *text, struct ib_strv *ret_args, struct ib_err *err)
{
	ib_autostrv args = {0};
	int r;

	if (*text != '[')
		return 0;
	r = parse_elements(text, text + 1, &args, err);
	if (r == 1) {
		ib_strv_done(ret_args);
		*ret_args = args;
		args = (struct ib_strv){0};
	}
	return r;
}
