#include "builder/dockerfile/rune.h"

#include "builder/dockerfile/rune-names.h"

#include "oci/base/poison.h"

static bool continues(unsigned char byte)
{
	return (byte & 0xc0) == 0x80;
}

/* Length and first bits that a leading byte announces; 0 for a byte that leads nothing. */
static size_t leading(unsigned char byte, uint32_t *ret_bits)
{
	if (byte >= 0xc2 && byte < 0xe0) {
		*ret_bits = byte & 0x1f;
		return 2;
	}
	if ((byte & 0xf0) == 0xe0) {
		*ret_bits = byte & 0x0f;
		return 3;
	}
	if (byte >= 0xf0 && byte < 0xf5) {
		*ret_bits = byte & 0x07;
		return 4;
	}
	return 0;
}

uint32_t rune_at(const char *s, size_t *ret_len)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *byte = (const unsigned char *)s;
	uint32_t rune = 0;
	size_t n;

	*ret_len = 1;
	if (*byte < 0x80)
		return *byte;
	n = leading(*byte, &rune);
	for (size_t i = 1; i < n; i++) {
		if (!continues(byte[i]))
			return RUNE_BAD_BYTE + *byte;
		rune = rune << 6 | (byte[i] & 0x3f);
	}
	if (!n || rune < least[n] || rune > 0x10ffff || (rune >= 0xd800 && rune < 0xe000))
		return RUNE_BAD_BYTE + *byte;
	*ret_len = n;
	return rune;
}

uint32_t rune_before(const char *s, size_t end, size_t *ret_len)
{
	size_t n = 1;

	while (n < 4 && n < end && continues((unsigned char)s[end - n]))
		n++;
	for (; n > 1; n--) {
		uint32_t rune = rune_at(s + end - n, ret_len);

		if (*ret_len == n)
			return rune;
	}
	*ret_len = 1;
	return (unsigned char)s[end - 1] < 0x80 ? (unsigned char)s[end - 1] :
						  RUNE_BAD_BYTE + (unsigned char)s[end - 1];
}

bool rune_is_space(uint32_t rune)
{
	if (rune < 0x80)
		return rune == ' ' || (rune >= '\t' && rune <= '\r');
	return rune == 0x85 || rune == 0xa0 || rune == 0x1680 || (rune >= 0x2000 && rune <= 0x200a) ||
	       rune == 0x2028 || rune == 0x2029 || rune == 0x202f || rune == 0x205f || rune == 0x3000;
}

static bool in_names(uint32_t rune)
{
	size_t low = 0, high = sizeof rune_names / sizeof *rune_names;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (rune > rune_names[middle].last)
			low = middle + 1;
		else
			high = middle;
	}
	return low < sizeof rune_names / sizeof *rune_names && rune >= rune_names[low].first;
}

bool rune_is_name(uint32_t rune)
{
	if (rune < 0x80)
		return (rune >= 'a' && rune <= 'z') || (rune >= 'A' && rune <= 'Z') ||
		       (rune >= '0' && rune <= '9') || rune == '_';
	return in_names(rune);
}

size_t rune_space_len(const char *s)
{
	size_t n;

	return rune_is_space(rune_at(s, &n)) ? n : 0;
}

const char *rune_skip_spaces(const char *s)
{
	size_t n;

	while ((n = rune_space_len(s)) > 0)
		s += n;
	return s;
}

size_t rune_trimmed_len(const char *s, size_t n)
{
	size_t len;

	while (n && rune_is_space(rune_before(s, n, &len)))
		n -= len;
	return n;
}
