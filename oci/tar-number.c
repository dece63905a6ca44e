#include "oci/tar-header.h"

#include <string.h>

#include "oci/base/poison.h"

/* GNU base-256: big-endian two's complement; the first bit marks the form, the second is the sign. */
static bool parse_binary(const unsigned char *field, size_t n, int64_t *ret_value)
{
	bool negative = field[0] & 0x40;
	uint64_t value = negative ? UINT64_MAX : 0;

	for (size_t i = 0; i < n; i++) {
		unsigned char byte = field[i];

		if (i == 0)
			byte = negative ? byte | 0x80 : byte & 0x7f;
		/* What is shifted out must be nothing but sign. */
		if (value >> 56 != (negative ? 0xff : 0))
			return false;
		value = value << 8 | byte;
	}
	*ret_value = (int64_t)value;
	return (*ret_value < 0) == negative;
}

bool tar_number_parse(const char *field, size_t n, int64_t *ret_value)
{
	size_t i = 0;
	int64_t value = 0;

	if (field[0] & 0x80)
		return parse_binary((const unsigned char *)field, n, ret_value);
	while (i < n && (field[i] == ' ' || field[i] == '\0'))
		i++;
	/* At most 12 digits: no overflow. What follows the terminator is left over from something else. */
	for (; i < n && field[i] != ' ' && field[i] != '\0'; i++) {
		if (field[i] < '0' || field[i] > '7')
			return false;
		value = value << 3 | (field[i] - '0');
	}
	*ret_value = value;
	return true;
}

bool tar_decimal_parse(const char *s, size_t n, int64_t *ret_value)
{
	int64_t value = 0;

	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, s[i] - '0', &value))
			return false;
	}
	*ret_value = value;
	return n > 0;
}

bool tar_number_format(char *field, size_t n, uint64_t value)
{
	bool fits = value >> (3 * (n - 1)) == 0;

	if (!fits)
		value = 0;
	field[n - 1] = '\0';
	for (size_t i = n - 1; i-- > 0; value >>= 3)
		field[i] = (char)('0' + (value & 7));
	return fits;
}

static unsigned int sum_of_blanks(void)
{
	return ' ' * sizeof ((struct tar_header *)NULL)->checksum;
}

unsigned int tar_checksum(const struct tar_header *header)
{
	const unsigned char *bytes = (const unsigned char *)header;
	unsigned int sum = sum_of_blanks();

	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += bytes[i];
	for (size_t i = 0; i < sizeof header->checksum; i++)
		sum -= (unsigned char)header->checksum[i];
	return sum;
}

static int signed_checksum(const struct tar_header *header)
{
	const signed char *bytes = (const signed char *)header;
	int sum = (int)sum_of_blanks();

	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += bytes[i];
	for (size_t i = 0; i < sizeof header->checksum; i++)
		sum -= (signed char)header->checksum[i];
	return sum;
}

bool tar_checksum_ok(const struct tar_header *header)
{
	int64_t stored;

	if (!tar_number_parse(header->checksum, sizeof header->checksum, &stored))
		return false;
	return stored == tar_checksum(header) || stored == signed_checksum(header);
}
