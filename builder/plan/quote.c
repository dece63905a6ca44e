/* Strings as Go's %q prints them: history texts hold argv that way. */

#include "builder/plan/plan-internal.h"

#include "oci/base/poison.h"

/* Decode one well-formed UTF-8 sequence; 0 when s is none. */
static size_t decode(const unsigned char *s, uint32_t *ret_rune)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = s[0] < 0x80 ? 1 : (s[0] & 0xe0) == 0xc0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 :
		   (s[0] & 0xf8) == 0xf0 ? 4 : 0;
	uint32_t rune = n < 2 ? s[0] : s[0] & (0x7fu >> n);

	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		rune = rune << 6 | (s[i] & 0x3f);
	}
	if (!n || rune < least[n] || rune > 0x10ffff || (rune >= 0xd800 && rune < 0xe000))
		return 0;
	*ret_rune = rune;
	return n;
}

/*
 * Does Go print it as it is? Everything but controls, separators other than the blank, format characters
 * and what is unassigned or private: the ranges below are those that occur in text.
 */
static bool prints(uint32_t rune)
{
	static const struct {
		uint32_t first, last;
	} hidden[] = {
		{0x00, 0x1f}, {0x7f, 0xa0}, {0xad, 0xad}, {0x600, 0x605}, {0x61c, 0x61c}, {0x6dd, 0x6dd},
		{0x70f, 0x70f}, {0x1680, 0x1680}, {0x180e, 0x180e}, {0x2000, 0x200f}, {0x2028, 0x202f},
		{0x205f, 0x206f}, {0x3000, 0x3000}, {0xe000, 0xf8ff}, {0xfeff, 0xfeff}, {0xfff0, 0xfffb},
		{0xfffe, 0xffff}, {0xe0000, 0xe00ff}, {0xf0000, 0x10ffff},
	};

	for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
		if (rune >= hidden[i].first && rune <= hidden[i].last)
			return false;
	return true;
}

static void quote_rune(struct ib_str *out, const unsigned char *s, size_t n, uint32_t rune)
{
	static const char names[] = "abtnvfr";	/* 0x07 .. 0x0d */

	if (rune == '"' || rune == '\\')
		ib_str_addf(out, "\\%c", (int)rune);
	else if (rune >= 0x07 && rune <= 0x0d)
		ib_str_addf(out, "\\%c", names[rune - 0x07]);
	else if (prints(rune))
		ib_str_add(out, s, n);
	else if (rune < 0x20 || rune == 0x7f)
		ib_str_addf(out, "\\x%02x", rune);
	else
		ib_str_addf(out, "\\%c%0*x", rune > 0xffff ? 'U' : 'u', rune > 0xffff ? 8 : 4, rune);
}

void plan_quote(struct ib_str *out, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	ib_str_addc(out, '"');
	while (*p) {
		uint32_t rune;
		size_t n = decode(p, &rune);

		if (n)
			quote_rune(out, p, n, rune);
		else
			ib_str_addf(out, "\\x%02x", *p);
		p += n ? n : 1;
	}
	ib_str_addc(out, '"');
}
