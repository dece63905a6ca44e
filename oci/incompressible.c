#include "oci/incompressible.h"

#include <stdint.h>
#include <string.h>

#include "oci/base/poison.h"

#define SAMPLE 4096	/* bytes */
#define SAMPLES 16
#define HASH_BITS 11

/*
 * The squares of the byte counts add up to RANDOM for random bytes, with a standard deviation of some 360. All
 * samples together may have a quarter more, which Huffman codes could shorten by 1.5 %, and one of them twice
 * as much; 32-bit floats, the most random data that is worth compressing (8 %), have three times as much.
 */
#define RANDOM (SAMPLE * SAMPLE / 256 + SAMPLE)
#define MAX_SQUARES (SAMPLES * RANDOM * 5 / 4)
#define MAX_SQUARES_ONCE (RANDOM * 2)
#define MAX_REPEATS (SAMPLE / 64)	/* random data repeats four bytes never, archives now and then */

static uint32_t count_squares(const uint8_t *p)
{
	uint16_t count[256] = {0};
	uint32_t squares = 0;

	for (size_t i = 0; i < SAMPLE; i++)
		count[p[i]]++;
	for (size_t i = 0; i < 256; i++)
		squares += (uint32_t)count[i] * count[i];
	return squares;
}

/* Byte by byte, so that every machine reads the same number. */
static uint32_t four_bytes(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Evenly spread bytes can still be a pattern. */
static bool without_repeats(const uint8_t *p)
{
	uint16_t last[1u << HASH_BITS] = {0};	/* position of the last four bytes of that hash */
	size_t repeats = 0;

	for (size_t i = 1; i + 4 <= SAMPLE; i++) {
		uint32_t word = four_bytes(p + i);
		uint16_t *slot = &last[word * 2654435761u >> (32 - HASH_BITS)];

		repeats += *slot && four_bytes(p + *slot) == word;
		*slot = (uint16_t)i;
	}
	return repeats <= MAX_REPEATS;
}

bool block_is_incompressible(const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint32_t sum = 0;

	if (n < SAMPLE * SAMPLES)
		return false;
	for (size_t i = 0; i < SAMPLES; i++) {
		const uint8_t *sample = p + (n - SAMPLE) / (SAMPLES - 1) * i;
		uint32_t squares = count_squares(sample);

		sum += squares;
		if (squares > MAX_SQUARES_ONCE || !without_repeats(sample))
			return false;
	}
	return sum <= MAX_SQUARES;
}
