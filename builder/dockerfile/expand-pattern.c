#include "builder/dockerfile/expand-pattern.h"

#include <stdlib.h>
#include <string.h>

#include "builder/dockerfile/lex.h"
#include "builder/dockerfile/rune.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define ANY_RUN RUNE_END
#define ANY_ONE (RUNE_END + 1)
#define NOWHERE SIZE_MAX

/*
 * State i means that the tokens before i have matched. For each state the search remembers the leftmost
 * place where a match that is now in it began; of two ways into a state only that one can win.
 */
struct pattern {
	uint32_t *token;
	size_t n;
	size_t *from, *next;	/* n + 1 states each */
	uint64_t *work;
};

static void pattern_done(struct pattern *p)
{
	free(p->token);
	free(p->from);
	free(p->next);
}

#define autopattern IB_CLEANUP(pattern_done) struct pattern

static int fail_escape(const char *text, const char *escaped, size_t len, struct ib_err *err)
{
	ib_autofree char *shown = ib_printable(text, 200);
	ib_autofree char *what = ib_strndup(escaped, len);
	ib_autofree char *printed = ib_printable(what, 4);

	return ib_fail(err, IB_USAGE, "invalid pattern (%s) in substitution: invalid escape '\\%s'", shown,
		       printed);
}

static int pattern_parse(struct pattern *p, const char *text, struct ib_err *err)
{
	p->token = ib_calloc(strlen(text) + 1, sizeof *p->token);
	for (const char *s = text; *s;) {
		size_t len;
		uint32_t rune = rune_at(s, &len);

		s += len;
		if (rune == '\\') {
			rune = rune_at(s, &len);
			if (!rune || rune > 0x7f || !strchr("*?\\/}", (int)rune))
				return fail_escape(text, s, len, err);
			s += len;
		} else if (rune == '*') {
			rune = ANY_RUN;
		} else if (rune == '?') {
			rune = ANY_ONE;
		}
		p->token[p->n++] = rune;
	}
	p->from = ib_calloc(p->n + 1, sizeof *p->from);
	p->next = ib_calloc(p->n + 1, sizeof *p->next);
	return 0;
}

/* Enter state i, and those that follow without a character. */
static void enter(const struct pattern *p, size_t *states, size_t i, size_t start)
{
	for (;; i++) {
		if (states[i] != NOWHERE && states[i] <= start)
			return;
		states[i] = start;
		if (i == p->n || p->token[i] != ANY_RUN)
			return;
	}
}

static void clear(const struct pattern *p, size_t *states)
{
	for (size_t i = 0; i <= p->n; i++)
		states[i] = NOWHERE;
}

/* Take one character. Returns whether any state is left. */
static bool step(struct pattern *p, uint32_t rune)
{
	size_t *swap = p->from;
	bool alive = false;

	clear(p, p->next);
	for (size_t i = 0; i < p->n; i++) {
		if (p->from[i] == NOWHERE)
			continue;
		if (p->token[i] == ANY_RUN && rune != '\n')
			enter(p, p->next, i, p->from[i]);
		else if (p->token[i] == rune || (p->token[i] == ANY_ONE && rune != '\n'))
			enter(p, p->next, i + 1, p->from[i]);
		else
			continue;
		alive = true;
	}
	p->from = p->next;
	p->next = swap;
	return alive;
}

/* A match that begins later than the one found can't win any more. */
static void drop_later(struct pattern *p, size_t start)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->from[i] != NOWHERE && p->from[i] > start)
			p->from[i] = NOWHERE;
}

static int charge(struct pattern *p, struct ib_err *err)
{
	*p->work += p->n + 1;
	if (*p->work > LEX_MAX_WORK)
		return ib_fail(err, IB_LIMIT, "a substitution takes too many steps");
	return 0;
}

struct match {
	size_t start, end;
	bool found;
};

/* The leftmost longest match in value at or after at. */
static int find(struct pattern *p, const char *value, size_t at, struct match *ret_match,
		struct ib_err *err)
{
	struct match best = {0};
	bool alive = true;

	clear(p, p->from);
	for (size_t pos = at;;) {
		size_t len;

		if (charge(p, err) < 0)
			return -1;
		if (!best.found)
			enter(p, p->from, 0, pos);
		if (p->from[p->n] != NOWHERE && (!best.found || p->from[p->n] <= best.start)) {
			best = (struct match){.start = p->from[p->n], .end = pos, .found = true};
			drop_later(p, best.start);
		}
		if (!value[pos] || (best.found && !alive))
			break;
		alive = step(p, rune_at(value + pos, &len));
		pos += len;
	}
	*ret_match = best;
	return 0;
}

/* The end of the shortest or longest match that begins at the start of value; NOWHERE if there is none. */
static int find_prefix(struct pattern *p, const char *value, bool longest, size_t *ret_end,
		       struct ib_err *err)
{
	bool alive = true;
	size_t pos = 0;

	*ret_end = NOWHERE;
	clear(p, p->from);
	enter(p, p->from, 0, 0);
	while (alive) {
		size_t len;

		if (charge(p, err) < 0)
			return -1;
		if (p->from[p->n] != NOWHERE)
			*ret_end = pos;
		if (!value[pos] || (*ret_end != NOWHERE && !longest))
			break;
		alive = step(p, rune_at(value + pos, &len));
		pos += len;
	}
	return 0;
}

static void reverse(struct pattern *p)
{
	for (size_t i = 0; i < p->n / 2; i++) {
		uint32_t token = p->token[i];

		p->token[i] = p->token[p->n - 1 - i];
		p->token[p->n - 1 - i] = token;
	}
}

/* As find_prefix(), from the end of value backwards: where the suffix begins. p is reversed. */
static int find_suffix(struct pattern *p, const char *value, bool longest, size_t *ret_start,
		       struct ib_err *err)
{
	size_t pos = strlen(value);
	bool alive = true;

	*ret_start = NOWHERE;
	clear(p, p->from);
	enter(p, p->from, 0, 0);
	while (alive) {
		size_t len;

		if (charge(p, err) < 0)
			return -1;
		if (p->from[p->n] != NOWHERE)
			*ret_start = pos;
		if (!pos || (*ret_start != NOWHERE && !longest))
			break;
		alive = step(p, rune_before(value, pos, &len));
		pos -= len;
	}
	return 0;
}

int dockerfile_pattern_trim(const char *pattern, const char *value, bool suffix, bool longest,
			    uint64_t *work, struct ib_str *out, struct ib_err *err)
{
	autopattern p = {.work = work};
	size_t at;

	if (pattern_parse(&p, pattern, err) < 0)
		return -1;
	if (suffix)
		reverse(&p);
	if ((suffix ? find_suffix : find_prefix)(&p, value, longest, &at, err) < 0)
		return -1;
	if (at == NOWHERE)
		ib_str_adds(out, value);
	else if (suffix)
		ib_str_add(out, value, at);
	else
		ib_str_adds(out, value + at);
	return 0;
}

int dockerfile_pattern_replace(const char *pattern, const char *value, const char *replacement, bool all,
			       uint64_t *work, struct ib_str *out, struct ib_err *err)
{
	autopattern p = {.work = work};
	size_t copied = 0, pos = 0;

	if (pattern_parse(&p, pattern, err) < 0)
		return -1;
	for (;;) {
		struct match m;
		size_t len;

		if (find(&p, value, pos, &m, err) < 0)
			return -1;
		if (!m.found || out->overflow)
			break;
		ib_str_add(out, value + copied, m.start - copied);
		/* An empty match right after another one is the same place seen twice. */
		if (m.end > copied || m.start == 0)
			ib_str_adds(out, replacement);
		copied = m.end;
		if (!all || !value[pos])
			break;
		(void)rune_at(value + pos, &len);
		pos = m.end > pos + len ? m.end : pos + len;
	}
	ib_str_adds(out, value + copied);
	return 0;
}
