/*
 * builder/dockerfile/rune.h - code points of UTF-8 text, as the lexers of Dockerfiles and patterns see them.
 *
 * Text need not be valid: a byte that begins no well-formed sequence is a rune of its own, beyond Unicode, so
 * that it equals nothing but itself. All strings end in NUL.
 */
#ifndef BUILDER_DOCKERFILE_RUNE_H
#define BUILDER_DOCKERFILE_RUNE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUNE_BAD_BYTE 0x110000u	/* plus the byte */
#define RUNE_END 0x120000u	/* larger than every rune: free for the tokens of a pattern */

/* The rune at s and its bytes (1 to 4). At the final NUL: 0, one byte. */
uint32_t rune_at(const char *s, size_t *ret_len);

/* The rune that ends at s + end, end > 0, and its bytes. */
uint32_t rune_before(const char *s, size_t end, size_t *ret_len);

bool rune_is_space(uint32_t rune);	/* Unicode's White_Space */
bool rune_is_name(uint32_t rune);	/* a letter or digit of any script, or '_' */

/* Bytes of the white space that s begins with, 0 if none. */
size_t rune_space_len(const char *s);

/* The first byte of s that is no white space. */
const char *rune_skip_spaces(const char *s);

/* The length of s without the white space at its end; n is its length with it. */
size_t rune_trimmed_len(const char *s, size_t n);

#endif
