#include "oci/base/alloc.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "oci/base/poison.h"

static void out_of_memory(void) __attribute__((noreturn));

static void out_of_memory(void)
{
	static const char text[] = "imgbuild: out of memory\n";

	(void)!write(STDERR_FILENO, text, sizeof text - 1);
	abort();
}

void *ib_malloc(size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		out_of_memory();
	return p;
}

void *ib_calloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		out_of_memory();
	return p;
}

void *ib_realloc(void *take_p, size_t n, size_t size)
{
	void *p;

	if (size && n > SIZE_MAX / size)
		out_of_memory();
	p = realloc(take_p, n && size ? n * size : 1);
	if (!p)
		out_of_memory();
	return p;
}

char *ib_strdup(const char *s)
{
	return ib_memdup(s, strlen(s) + 1);
}

char *ib_strdup_null(const char *s)
{
	return s ? ib_strdup(s) : NULL;
}

char *ib_strndup(const char *s, size_t max)
{
	size_t n = strnlen(s, max);
	char *copy = ib_malloc(n + 1);

	memcpy(copy, s, n);
	copy[n] = '\0';
	return copy;
}

void *ib_memdup(const void *p, size_t size)
{
	void *copy = ib_malloc(size);

	if (size)
		memcpy(copy, p, size);
	return copy;
}

char *ib_vasprintf(const char *fmt, va_list ap)
{
	char *s = NULL;

	if (vasprintf(&s, fmt, ap) < 0)
		out_of_memory();
	return s;
}

char *ib_asprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = ib_vasprintf(fmt, ap);
	va_end(ap);
	return s;
}
