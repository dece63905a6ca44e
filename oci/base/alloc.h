/*
 * oci/base/alloc.h - small allocations that do not fail.
 *
 * Each build has a process of its own, so running out of memory for a small object ends that process
 * through one function and needs no error path anywhere. Any length that comes from outside is checked
 * against a named limit before it gets here. All results are the caller's, to be freed with free().
 */
#ifndef OCI_BASE_ALLOC_H
#define OCI_BASE_ALLOC_H

#include <stdarg.h>
#include <stddef.h>

void *ib_malloc(size_t size) __attribute__((malloc, returns_nonnull));
void *ib_calloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull)); /* zeroed */
void *ib_realloc(void *take_p, size_t n, size_t size);	/* room for n elements of size bytes */
char *ib_strdup(const char *s) __attribute__((malloc, returns_nonnull, nonnull));
char *ib_strdup_null(const char *s) __attribute__((malloc));	/* NULL gives NULL */
char *ib_strndup(const char *s, size_t max) __attribute__((malloc, returns_nonnull, nonnull));
void *ib_memdup(const void *p, size_t size) __attribute__((malloc, returns_nonnull));
char *ib_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), malloc, returns_nonnull));
char *ib_vasprintf(const char *fmt, va_list ap)
	__attribute__((format(printf, 1, 0), malloc, returns_nonnull));

#define ib_new(type) ((type *)ib_calloc(1, sizeof(type)))

/* Make room for one more element in a growing array; capacity doubles, so n appends cost O(n). */
#define ib_grow(array, n, cap) \
	do { \
		if ((n) == (cap)) { \
			(cap) = (cap) ? 2 * (cap) : 8; \
			(array) = ib_realloc((array), (cap), sizeof *(array)); \
		} \
	} while (0)

#endif
