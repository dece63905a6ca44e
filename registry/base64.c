#include "registry/base64.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"

#include "oci/base/poison.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *registry_base64_encode(const void *bytes, size_t n)
{
	const uint8_t *in = bytes;
	char *text = ib_malloc((n + 2) / 3 * 4 + 1), *out = text;

	for (size_t i = 0; i < n; i += 3) {
		size_t left = n - i;
		uint32_t v = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
			     (left > 2 ? in[i + 2] : 0);

		*out++ = alphabet[v >> 18];
		*out++ = alphabet[v >> 12 & 63];
		*out++ = left > 1 ? alphabet[v >> 6 & 63] : '=';
		*out++ = left > 2 ? alphabet[v & 63] : '=';
	}
	*out = '\0';
	return text;
}

static int value_of(char c)
{
	const char *p;

	if (c == '-')
		return 62;
	if (c == '_')
		return 63;
	p = c ? strchr(alphabet, c) : NULL;
	return p ? (int)(p - alphabet) : -1;
}

char *registry_base64_decode(const char *text, size_t n, size_t *ret_len)
{
	char *bytes, *out;
	uint32_t v = 0;

	for (int padding = 0; padding < 2 && n && text[n - 1] == '='; padding++)
		n--;
	if (n % 4 == 1)
		return NULL;
	bytes = out = ib_malloc(n / 4 * 3 + 3);
	for (size_t i = 0; i < n; i++) {
		int bits = value_of(text[i]);

		if (bits < 0) {
			free(bytes);
			return NULL;
		}
		v = v << 6 | (uint32_t)bits;
		if (i % 4 == 1)
			*out++ = (char)(v >> 4);
		else if (i % 4 == 2)
			*out++ = (char)(v >> 2);
		else if (i % 4 == 3)
			*out++ = (char)v;
	}
	*out = '\0';
	*ret_len = (size_t)(out - bytes);
	return bytes;
}
