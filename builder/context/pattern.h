/*
 * builder/context/pattern.h - wildcards of COPY/ADD sources (Go's filepath.Match) and of ignore files.
 */
#ifndef BUILDER_CONTEXT_PATTERN_H
#define BUILDER_CONTEXT_PATTERN_H

#include <stdbool.h>

#include "oci/base/err.h"

/*
 * filepath.Match: the whole name must match; '*' and '?' never match '/', [a-z] [^a] classes, \c literal.
 * 1, 0, or -1 with IB_USAGE ("syntax error in pattern"), told even where the name mismatches earlier.
 * Time is O(pattern * name).
 */
int builder_pattern_match(const char *pattern, const char *name, struct ib_err *err);

bool builder_pattern_has_wildcard(const char *text);	/* has * ? [ or \ */

/* A list of ignore-file patterns: .dockerignore, --exclude, --parents. May be shared between threads. */
struct builder_ignore;

/* Parse the text of an ignore file. name stands in errors. Fails with IB_USAGE, naming the line. */
int builder_ignore_parse(const char *text, size_t len, const char *name, struct builder_ignore **ret_ignore,
			 struct ib_err *err);

/* An empty list, to which patterns are added one by one. */
struct builder_ignore *builder_ignore_new(void);
int builder_ignore_add(struct builder_ignore *ignore, const char *pattern, struct ib_err *err);
void builder_ignore_free(struct builder_ignore *ignore);
IB_DEFINE_FREE(builder_ignore);

/*
 * Is path (relative, clean) left out? A pattern matches a path or any of its parents; the last match in
 * file order decides; '!' takes back.
 */
bool builder_ignore_excludes(const struct builder_ignore *ignore, const char *path);

/* Might something below the excluded directory path be taken back, so that it must be walked? */
bool builder_ignore_reaches_into(const struct builder_ignore *ignore, const char *path);

bool builder_ignore_is_empty(const struct builder_ignore *ignore);
bool builder_ignore_has_exceptions(const struct builder_ignore *ignore);

/* All patterns, normalised, one per line: for cache keys. The caller's. */
char *builder_ignore_str(const struct builder_ignore *ignore);

#endif
