/*
 * builder/dockerfile/expand-pattern.h - the patterns of ${v#p} ${v%p} ${v/p/r}: '*' any run, '?' one
 * character, neither of them a newline, and a backslash before '*', '?', '\', '/' and '}'.
 *
 * Matching simulates the pattern's states, so it never backtracks. *work counts steps up to LEX_MAX_WORK,
 * beyond which everything fails with IB_LIMIT; a bad escape fails with IB_USAGE.
 */
#ifndef BUILDER_DOCKERFILE_EXPAND_PATTERN_H
#define BUILDER_DOCKERFILE_EXPAND_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

#include "oci/base/err.h"
#include "oci/base/str.h"

/* Append value without the shortest or longest prefix, or suffix, that matches. */
int dockerfile_pattern_trim(const char *pattern, const char *value, bool suffix, bool longest,
			    uint64_t *work, struct ib_str *out, struct ib_err *err);

/* Append value with its first or all leftmost longest matches replaced. */
int dockerfile_pattern_replace(const char *pattern, const char *value, const char *replacement, bool all,
			       uint64_t *work, struct ib_str *out, struct ib_err *err);

#endif
