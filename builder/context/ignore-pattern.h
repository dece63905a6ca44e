/*
 * builder/context/ignore-pattern.h - one pattern of an ignore file.
 */
#ifndef BUILDER_CONTEXT_IGNORE_PATTERN_H
#define BUILDER_CONTEXT_IGNORE_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IGNORE_PATTERN_MAX 4096		/* bytes: PATH_MAX, as for what it is matched with */

struct ignore_token {
	uint32_t rune;		/* or what it stands for, beyond RUNE_END */
	const char *class;	/* at its '[', in the pattern's text */
};

/* Most patterns are a plain path or concern one component; those are matched without simulating states. */
enum ignore_shape {
	IGNORE_LITERAL,		/* no wildcard but perhaps a leading "**" and '/' */
	IGNORE_NAME,		/* one component of '*', '?' and literals, perhaps behind such a one */
	IGNORE_GENERAL,
};

struct ignore_pattern {
	char *text;			/* normalised, without its '!' */
	bool exception;			/* had one */
	enum ignore_shape shape;
	bool any_depth;			/* the leading "**" and '/', for the first two shapes */
	const char *literal;		/* IGNORE_LITERAL: what follows it */
	size_t literal_len;
	struct ignore_token *token;
	size_t n;
};

/* Compile a well-formed pattern. take_text is the pattern's. */
void ignore_pattern_init(struct ignore_pattern *p, char *take_text, bool exception);
void ignore_pattern_done(struct ignore_pattern *p);

/* Does it match path or a parent of it? */
bool ignore_pattern_matches(const struct ignore_pattern *p, const char *path);

/* Might it match something below path, which it does not match? */
bool ignore_pattern_reaches_into(const struct ignore_pattern *p, const char *path);

#endif
