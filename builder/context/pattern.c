#include "builder/context/pattern.h"

#include <string.h>

#include "builder/context/pattern-class.h"
#include "builder/dockerfile/rune.h"

#include "oci/base/poison.h"

/* One end of a range at p. Returns what follows, of which there must be something, or NULL. */
static const char *range_end(const char *p, uint32_t *ret_rune)
{
	size_t n;

	if (*p == '-' || *p == ']')
		return NULL;
	if (*p == '\\')
		p++;
	*ret_rune = rune_at(p, &n);
	if (!*p || *ret_rune >= RUNE_BAD_BYTE || !p[n])
		return NULL;
	return p + n;
}

const char *pattern_class(const char *p, uint32_t rune, bool *ret_match)
{
	bool negated = p[1] == '^', match = false, first = true;
	uint32_t low, high;

	for (p += negated ? 2 : 1; first || *p != ']'; first = false) {
		p = range_end(p, &low);
		high = low;
		if (p && *p == '-')
			p = range_end(p + 1, &high);
		if (!p)
			return NULL;
		match |= low <= rune && rune <= high;
	}
	*ret_match = match != negated;
	return p + 1;
}

static bool well_formed(const char *p)
{
	bool match;

	while (p && *p) {
		if (*p == '[')
			p = pattern_class(p, 0, &match);
		else if (*p == '\\')
			p = p[1] ? p + 2 : NULL;
		else
			p++;
	}
	return p;
}

/* The end of what stands between stars in a well-formed pattern. */
static const char *chunk_end(const char *p)
{
	bool match;

	while (*p && *p != '*') {
		if (*p == '[')
			p = pattern_class(p, 0, &match);
		else
			p += *p == '\\' ? 2 : 1;
	}
	return p;
}

/* Match the chunk, which has no star, at the start of name. Returns the rest of name or NULL. */
static const char *match_chunk(const char *p, const char *end, const char *name)
{
	for (; p < end; p++) {
		bool match = false;
		size_t n;
		uint32_t rune = rune_at(name, &n);

		if (!rune)
			return NULL;
		switch (*p) {
		case '[':
			p = pattern_class(p, rune, &match) - 1;
			if (!match)
				return NULL;
			name += n;
			continue;
		case '?':
			if (rune == '/')
				return NULL;
			name += n;
			continue;
		case '\\':
			p++;
			break;
		}
		if (*p != *name++)
			return NULL;
	}
	return name;
}

/* Match a chunk that follows a star: at the first place where it fits, and at the end if it is the last. */
static const char *match_after_star(const char *p, const char *end, const char *name)
{
	for (;; name++) {
		const char *rest = match_chunk(p, end, name);

		if (rest && (*end || !*rest))
			return rest;
		if (!*name || *name == '/')
			return NULL;
	}
}

/*
 * After a star the first fit is final. That gives up nothing, as no star crosses a '/' - except where a class
 * matches one, and there filepath.Match gives up the same. So time stays O(pattern * name).
 */
int builder_pattern_match(const char *pattern, const char *name, struct ib_err *err)
{
	if (!well_formed(pattern))
		return ib_fail(err, IB_USAGE, "syntax error in pattern");
	while (*pattern) {
		bool star = *pattern == '*';
		const char *end;

		pattern += strspn(pattern, "*");
		end = chunk_end(pattern);
		if (star && end == pattern)
			return !strchr(name, '/');
		name = star ? match_after_star(pattern, end, name) : match_chunk(pattern, end, name);
		if (!name)
			return 0;
		pattern = end;
	}
	return !*name;
}

bool builder_pattern_has_wildcard(const char *text)
{
	return strpbrk(text, "*?[\\") != NULL;
}
