/*
 * The input: a path, a NUL, an ignore file. Matching ends, parents that are left out take what is below them along,
 * what is taken back below an excluded directory is announced by it, and the normalised text means the same.
 */
#include <string.h>

#include "builder/context/pattern.h"
#include "builder/dockerfile/rune.h"
#include "oci/base/alloc.h"
#include "tests/fuzz/fuzz.h"

#include "oci/base/poison.h"

/* As callers promise: relative and clean. */
static int is_clean(const char *path)
{
	return *path && *path != '/' && !strstr(path, "//") && path[strlen(path) - 1] != '/' &&
	       strcmp(path, ".") != 0;
}

static void check_parents(const struct builder_ignore *ignore, const char *path)
{
	int excluded = builder_ignore_excludes(ignore, path);
	ib_autofree char *parent = ib_strdup(path);

	for (char *slash; (slash = strrchr(parent, '/'));) {
		*slash = '\0';
		if (!builder_ignore_excludes(ignore, parent))
			continue;
		if (!excluded)
			fuzz_check(builder_ignore_reaches_into(ignore, parent));
		if (!builder_ignore_has_exceptions(ignore))
			fuzz_check(excluded);
	}
}

/*
 * The normalised text stands for the list in cache keys: added line by line it must make the same list again. Only
 * blanks before a '/' at the end are trimmed anew each time, so those texts are passed over.
 */
static void check_text(const struct builder_ignore *ignore, const char *path)
{
	IB_CLEANUP(builder_ignore_freep) struct builder_ignore *again = builder_ignore_new();
	ib_autofree char *text = builder_ignore_str(ignore);
	ib_autofree char *text2 = NULL;

	for (const char *p = text; *p; p += rune_space_len(p) ? rune_space_len(p) : 1)
		if (*p != '\n' && rune_space_len(p))
			return;
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		ib_autoerr err = {0};

		*end = '\0';
		fuzz_check(builder_ignore_add(again, line, &err) == 0);
		*end = '\n';
	}
	text2 = builder_ignore_str(again);
	fuzz_check(strcmp(text, text2) == 0);
	fuzz_check(builder_ignore_excludes(ignore, path) == builder_ignore_excludes(again, path));
}

static void check_match(const char *pattern, const char *name)
{
	ib_autoerr err = {0};
	int match = builder_pattern_match(pattern, name, &err);

	fuzz_check((match < 0) == (err.text != NULL));
	if (!builder_pattern_has_wildcard(pattern))
		fuzz_check(match == (strcmp(pattern, name) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
	ib_autofree char *path = ib_strndup((const char *)data, nul ? (size_t)(nul - data) : size);
	size_t len = nul ? size - (size_t)(nul + 1 - data) : 0;
	ib_autofree char *text = len ? ib_memdup(nul + 1, len) : NULL;
	ib_autofree char *pattern = ib_strndup(text ? text : "", len);
	struct builder_ignore *ignore = NULL;
	ib_autoerr err = {0};

	check_match(pattern, path);
	if (builder_ignore_parse(text, len, "x", &ignore, &err) < 0) {
		fuzz_check(!ignore && err.text);
		return 0;
	}
	if (is_clean(path)) {
		check_parents(ignore, path);
		check_text(ignore, path);
	}
	builder_ignore_free(ignore);
	return 0;
}
