#include "builder/dockerfile/lex.h"

#include <string.h>

#include "builder/dockerfile/lex-internal.h"
#include "builder/dockerfile/rune.h"

#include "oci/base/poison.h"

int lex_fail(struct lex_scan *s, const char *text)
{
	return ib_fail(s->err, IB_USAGE, "%s", text);
}

static void end_word(struct lex_out *out)
{
	if (out->text.len)
		ib_strv_take(out->words, ib_str_steal(&out->text));
}

static void put_split(struct lex_out *out, const char *bytes, size_t n)
{
	const char *end = bytes + n, *start = bytes;

	for (const char *p = bytes; p < end;) {
		size_t space = rune_space_len(p);

		if (space) {
			ib_str_add(&out->text, start, (size_t)(p - start));
			end_word(out);
			start = p + space;
		}
		p += space ? space : 1;
	}
	if (start < end)
		ib_str_add(&out->text, start, (size_t)(end - start));
}

int lex_fail_size(struct lex_scan *s)
{
	return ib_fail(s->err, IB_LIMIT, "the expanded text is larger than %u MiB",
		       BUILDER_EXPAND_MAX >> 20);
}

int lex_put(struct lex_scan *s, struct lex_out *out, const char *bytes, size_t n, bool quoted)
{
	s->work += n;
	out->total += n;
	if (out->total > BUILDER_EXPAND_MAX || s->work > LEX_MAX_WORK)
		return lex_fail_size(s);
	if (quoted || !out->words)
		ib_str_add(&out->text, bytes, n);
	else
		put_split(out, bytes, n);
	if (out->words && out->words->n > LEX_MAX_WORDS)
		return ib_fail(s->err, IB_LIMIT, "more than %u words", LEX_MAX_WORDS);
	return 0;
}

/* At a single quote: all up to the next one is as it is. */
static int scan_single(struct lex_scan *s, struct lex_out *out)
{
	const char *start = s->p + 1;
	const char *end = strchr(start, '\'');
	bool keep = s->lex->keep_quotes;

	if (!end) {
		s->p = start + strlen(start);
		return lex_fail(s, "unexpected end of statement while looking for matching single-quote");
	}
	s->p = end + 1;
	return lex_put(s, out, keep ? start - 1 : start, (size_t)(end - start) + (keep ? 2 : 0), true);
}

/* At the escape character inside double quotes, where it only escapes '"', '$' and itself. */
static int scan_quoted_escape(struct lex_scan *s, struct lex_out *out)
{
	char escape = *s->p++;

	if (s->keep_escapes && lex_put(s, out, &escape, 1, true) < 0)
		return -1;
	if (!*s->p)
		return 0;
	if (*s->p == '"' || *s->p == '$' || *s->p == escape)
		return lex_put(s, out, s->p++, 1, true);
	return lex_put(s, out, &escape, 1, true);
}

static int scan_double(struct lex_scan *s, struct lex_out *out)
{
	const char stops[] = {'"', '$', s->lex->escape, '\0'};
	bool keep = s->lex->keep_quotes;
	int r = lex_put(s, out, s->p++, keep, true);

	while (r == 0 && *s->p && *s->p != '"') {
		size_t run = strcspn(s->p, stops);

		s->p += run;
		if (run)
			r = lex_put(s, out, s->p - run, run, true);
		else if (*s->p == '$')
			r = lex_dollar(s, out, true);
		else
			r = scan_quoted_escape(s, out);
	}
	if (r < 0)
		return -1;
	if (!*s->p)
		return lex_fail(s, "unexpected end of statement while looking for matching double-quote");
	return lex_put(s, out, s->p++, keep, true);
}

/* At the escape character outside quotes: the next one is ordinary; at the end it vanishes. */
static int scan_escape(struct lex_scan *s, struct lex_out *out)
{
	size_t len;

	if (s->keep_escapes && lex_put(s, out, s->p, 1, true) < 0)
		return -1;
	s->p++;
	if (!*s->p)
		return 0;
	(void)rune_at(s->p, &len);
	s->p += len;
	return lex_put(s, out, s->p - len, len, true);
}

/* At '<': the blanks between "<<" and the name of a heredoc do not end its word. */
static int scan_less(struct lex_scan *s, struct lex_out *out)
{
	size_t n = s->p[1] == '<' ? 2 + strspn(s->p + 2, " \t\r\n") : 1;

	s->p += n;
	return lex_put(s, out, s->p - n, n, true);
}

static int scan_special(struct lex_scan *s, struct lex_out *out)
{
	if (*s->p == s->lex->escape)
		return scan_escape(s, out);
	switch (*s->p) {
	case '$':
		return lex_dollar(s, out, false);
	case '\'':
		return scan_single(s, out);
	case '"':
		return scan_double(s, out);
	default:
		return scan_less(s, out);
	}
}

int lex_until(struct lex_scan *s, char stop, struct lex_out *out)
{
	char specials[8], *next = specials;

	*next++ = s->lex->escape;
	*next++ = '$';
	if (!s->lex->plain_quotes) {
		*next++ = '\'';
		*next++ = '"';
	}
	if (out->words)
		*next++ = '<';
	*next++ = stop;
	*next = '\0';
	while (*s->p && *s->p != stop) {
		size_t run = strcspn(s->p, specials);

		s->p += run;
		if ((run ? lex_put(s, out, s->p - run, run, false) : scan_special(s, out)) < 0)
			return -1;
	}
	if (!stop)
		return 0;
	if (!*s->p)
		return ib_fail(s->err, IB_USAGE,
			       "unexpected end of statement while looking for matching %c", stop);
	s->p++;
	return 0;
}

static struct lex_scan scan_of(const struct dockerfile_lex *lex, const char *source, struct ib_err *err)
{
	return (struct lex_scan){.lex = lex, .p = source, .keep_escapes = lex->keep_escapes, .err = err};
}

int dockerfile_lex_text(const struct dockerfile_lex *lex, const char *source, char **ret_text,
			struct ib_err *err)
{
	struct lex_scan s = scan_of(lex, source, err);
	struct lex_out out = {.text = IB_STR(BUILDER_EXPAND_MAX)};

	if (lex_until(&s, 0, &out) < 0) {
		ib_str_done(&out.text);
		return -1;
	}
	*ret_text = ib_str_steal(&out.text);
	return 0;
}

int dockerfile_lex_words(const struct dockerfile_lex *lex, const char *source, struct ib_strv *ret_words,
			 struct ib_err *err)
{
	struct lex_scan s = scan_of(lex, source, err);
	ib_autostrv words = {0};
	struct lex_out out = {.text = IB_STR(BUILDER_EXPAND_MAX), .words = &words};
	int r = lex_until(&s, 0, &out);

	if (r == 0)
		end_word(&out);
	ib_str_done(&out.text);
	if (r < 0)
		return -1;
	ib_strv_done(ret_words);
	*ret_words = words;
	words = (struct ib_strv){0};
	return 0;
}
