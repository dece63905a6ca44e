/*
 * registry/base64.h - base64 (RFC 4648) for Basic sign-in, credential files and the claims of a JWT.
 */
#ifndef REGISTRY_BASE64_H
#define REGISTRY_BASE64_H

#include <stddef.h>

/* With padding, standard alphabet. The caller's. */
char *registry_base64_encode(const void *bytes, size_t n);

/*
 * The bytes of n characters of either alphabet, with or without padding; NUL-terminated beyond *ret_len.
 * NULL for anything else. The caller's.
 */
char *registry_base64_decode(const char *text, size_t n, size_t *ret_len);

#endif
