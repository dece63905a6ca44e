#include "builder/context/ignore-pattern.h"

#include <stdlib.h>
#include <string.h>

#include "builder/context/pattern-class.h"
#include "builder/context/pattern.h"
#include "builder/dockerfile/rune.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

/* What a token's rune may be besides a character. "**" and its '/' are two states: outside and inside of it. */
enum {
	ONE = RUNE_END,		/* '?': any character but '/' */
	RUN,			/* '*': any number of those */
	ANYTHING,		/* "**" at the end: any number of any characters */
	DIRS_BEGIN,		/* "**" and '/': nothing, or any number of components */
	DIRS_INSIDE,
	CLASS,
};

static void add_token(struct ignore_pattern *p, uint32_t rune, const char *class)
{
	p->token[p->n++] = (struct ignore_token){.rune = rune, .class = class};
}

/* At "**". Returns what follows, the '/' included. */
static const char *compile_dirs(struct ignore_pattern *p, const char *s)
{
	bool slash = s[2] == '/';

	s += slash ? 3 : 2;
	if (!*s || (!p->n && !slash && !builder_pattern_has_wildcard(s))) {
		/* "**x" is every name that ends in x, while "**x*" and "a**x" are about components named so. */
		add_token(p, ANYTHING, NULL);
	} else {
		add_token(p, DIRS_BEGIN, NULL);
		add_token(p, DIRS_INSIDE, NULL);
	}
	return s;
}

/* One element of the pattern at s. Returns what follows. */
static const char *compile_one(struct ignore_pattern *p, const char *s)
{
	const char *start = s;
	bool match;
	size_t n;

	switch (*s) {
	case '*':
		if (s[1] == '*')
			return compile_dirs(p, s);
		add_token(p, RUN, NULL);
		return s + 1;
	case '?':
		add_token(p, ONE, NULL);
		return s + 1;
	case '[':
		s = pattern_class(s, 0, &match);
		add_token(p, CLASS, start);
		return s;
	case '\\':
		s++;
		break;
	}
	add_token(p, rune_at(s, &n), NULL);
	return s + n;
}

static enum ignore_shape shape_of(const struct ignore_pattern *p)
{
	if (!builder_pattern_has_wildcard(p->literal))
		return IGNORE_LITERAL;
	for (size_t i = p->any_depth ? 2 : 0; i < p->n; i++)
		if (p->token[i].rune == '/' || p->token[i].rune > RUN)
			return IGNORE_GENERAL;
	return IGNORE_NAME;
}

void ignore_pattern_init(struct ignore_pattern *p, char *take_text, bool exception)
{
	*p = (struct ignore_pattern){.text = take_text, .exception = exception};
	p->token = ib_calloc(strlen(p->text) + 1, sizeof *p->token);
	for (const char *s = p->text; *s;)
		s = compile_one(p, s);
	p->any_depth = p->n && p->token[0].rune == DIRS_BEGIN && strncmp(p->text, "**/", 3) == 0;
	p->literal = p->text + (p->any_depth ? 3 : 0);
	p->literal_len = strlen(p->literal);
	p->shape = shape_of(p);
}

void ignore_pattern_done(struct ignore_pattern *p)
{
	free(p->text);
	free(p->token);
}

/* Is the literal at s, up to the end of a component? */
static bool literal_at(const struct ignore_pattern *p, const char *s)
{
	return *s == *p->literal && strncmp(s, p->literal, p->literal_len) == 0 &&
	       (!s[p->literal_len] || s[p->literal_len] == '/');
}

/* The component of IGNORE_NAME against that at s. Only the last star ever needs another try. */
static bool name_at(const struct ignore_pattern *p, const char *s)
{
	size_t i = p->any_depth ? 2 : 0, star = SIZE_MAX;
	const char *retry = NULL;
	size_t n;

	while (*s && *s != '/') {
		uint32_t rune = rune_at(s, &n);

		if (i < p->n && p->token[i].rune == RUN) {
			star = i++;
			retry = s;
		} else if (i < p->n && (p->token[i].rune == rune || p->token[i].rune == ONE)) {
			i++;
			s += n;
		} else if (retry) {
			(void)rune_at(retry, &n);
			s = retry += n;
			i = star + 1;
		} else {
			return false;
		}
	}
	while (i < p->n && p->token[i].rune == RUN)
		i++;
	return i == p->n;
}

static bool component_matches(const struct ignore_pattern *p, const char *path)
{
	bool (*at)(const struct ignore_pattern *, const char *) =
		p->shape == IGNORE_LITERAL ? literal_at : name_at;

	if (!p->any_depth)
		return at(p, path);
	for (const char *s = path; s; s = strchr(s, '/')) {
		s += *s == '/';
		if (at(p, s))
			return true;
	}
	return false;
}

#define WORDS (IGNORE_PATTERN_MAX / 64 + 1)

/* State i: the tokens before i have matched. Only the words that the pattern needs are touched. */
struct states {
	uint64_t bits[WORDS];
	size_t words;
};

static void states_clear(struct states *states, const struct ignore_pattern *p)
{
	states->words = p->n / 64 + 1;
	memset(states->bits, 0, states->words * sizeof *states->bits);
}

static bool states_has(const struct states *states, size_t i)
{
	return states->bits[i / 64] >> i % 64 & 1;
}

/* Enter state i and those that follow without a character. */
static void enter(struct states *states, const struct ignore_pattern *p, size_t i)
{
	while (!states_has(states, i)) {
		states->bits[i / 64] |= UINT64_C(1) << i % 64;
		if (i == p->n)
			return;
		if (p->token[i].rune == DIRS_BEGIN) {
			states->bits[(i + 1) / 64] |= UINT64_C(1) << (i + 1) % 64;
			i += 2;
		} else if (p->token[i].rune == RUN || p->token[i].rune == ANYTHING) {
			i++;
		} else {
			return;
		}
	}
}

static void step_one(struct states *next, const struct ignore_pattern *p, size_t i, uint32_t rune)
{
	const struct ignore_token *token = &p->token[i];
	bool match = token->rune == rune;

	switch (token->rune) {
	case ONE:
		match = rune != '/';
		break;
	case CLASS:
		pattern_class(token->class, rune, &match);
		break;
	case RUN:
		if (rune != '/')
			enter(next, p, i);
		return;
	case ANYTHING:
		enter(next, p, i);
		return;
	case DIRS_INSIDE:
		next->bits[i / 64] |= UINT64_C(1) << i % 64;
		match = rune == '/';
		break;
	}
	if (match)
		enter(next, p, i + 1);
}

/* Take one character. Returns whether any state is left. */
static bool step(struct states *states, const struct ignore_pattern *p, uint32_t rune)
{
	struct states next;
	bool alive = false;

	states_clear(&next, p);
	for (size_t w = 0; w < states->words; w++) {
		for (uint64_t bits = states->bits[w]; bits; bits &= bits - 1) {
			size_t i = 64 * w + (size_t)__builtin_ctzll(bits);

			if (i < p->n)
				step_one(&next, p, i, rune);
		}
	}
	states->words = next.words;
	memcpy(states->bits, next.bits, next.words * sizeof *next.bits);
	for (size_t w = 0; w < states->words; w++)
		alive |= states->bits[w] != 0;
	return alive;
}

/*
 * Run the states over path. Returns whether it or a parent matches; if not, *ret_alive says whether something
 * below it still could.
 */
static bool simulate(const struct ignore_pattern *p, const char *path, bool *ret_alive)
{
	struct states states;
	size_t n;

	*ret_alive = true;
	states_clear(&states, p);
	enter(&states, p, 0);
	for (const char *s = path; *s && *ret_alive; s += n) {
		if (*s == '/' && states_has(&states, p->n))
			return true;
		*ret_alive = step(&states, p, rune_at(s, &n));
	}
	if (!*ret_alive)
		return false;
	if (states_has(&states, p->n))
		return true;
	*ret_alive = step(&states, p, '/');
	return false;
}

bool ignore_pattern_matches(const struct ignore_pattern *p, const char *path)
{
	bool alive;

	return p->shape == IGNORE_GENERAL ? simulate(p, path, &alive) : component_matches(p, path);
}

bool ignore_pattern_reaches_into(const struct ignore_pattern *p, const char *path)
{
	size_t n = strlen(path);
	bool alive;

	if (p->shape == IGNORE_GENERAL) {
		bool matches = simulate(p, path, &alive);

		return matches || alive;
	}
	if (p->any_depth)
		return true;
	return p->shape == IGNORE_LITERAL && strncmp(p->literal, path, n) == 0 && p->literal[n] == '/';
}
