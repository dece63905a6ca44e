/*
 * tests/fuzz/tar-seal.h - right checksums for headers that a fuzzer made, which would never get past them.
 */
#ifndef TESTS_FUZZ_TAR_SEAL_H
#define TESTS_FUZZ_TAR_SEAL_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static inline size_t seal_octal(const uint8_t *field, size_t n)
{
	size_t value = 0;

	for (size_t i = 0; i < n && field[i] >= '0' && field[i] <= '7'; i++)
		value = value << 3 | (size_t)(field[i] - '0');
	return value;
}

/* Seal the block at every place where a header is due, as far as that can be told. */
static inline void tar_seal(uint8_t *bytes, size_t n)
{
	static const uint8_t zero[512];
	size_t at = 0;

	while (at < n && n - at >= 512) {
		uint8_t *h = bytes + at;
		unsigned int sum = 8 * ' ';
		char text[8];
		size_t size;

		at += 512;
		if (memcmp(h, zero, 512) == 0)
			continue;
		for (size_t i = 0; i < 512; i++)
			sum += i >= 148 && i < 156 ? 0 : h[i];
		(void)snprintf(text, sizeof text, "%06o", sum & 0777777);
		memcpy(h + 148, text, 7);
		size = seal_octal(h + 124, 12);
		if (strchr("125346", h[156]) && h[156])	/* these have no content */
			size = 0;
		if (size > n)
			break;
		at += (size + 511) / 512 * 512;
	}
}

#endif
