#include "builder/dockerfile/lex.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "builder/dockerfile/expand-pattern.h"
#include "builder/dockerfile/rune.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

/* One pass over one source. Operands of ${} are scanned by recursion. */
struct scan {
	const struct dockerfile_lex *lex;
	const char *p;
	bool keep_escapes;
	int depth;
	uint64_t work;
	struct ib_err *err;
};

/* Where text goes: one string, or words that white space ends. */
struct out {
	struct ib_str text;
	struct ib_strv *words;	/* NULL: one string */
	size_t total;		/* bytes of all words */
};

static int scan_until(struct scan *s, char stop, struct out *out);

static int fail(struct scan *s, const char *text)
{
	return ib_fail(s->err, IB_USAGE, "%s", text);
}

static void end_word(struct out *out)
{
	if (out->text.len)
		ib_strv_take(out->words, ib_str_steal(&out->text));
}

static void put_split(struct out *out, const char *bytes, size_t n)
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

/* Quoted text is not split even when words are wanted. */
static int put(struct scan *s, struct out *out, const char *bytes, size_t n, bool quoted)
{
	s->work += n;
	out->total += n;
	if (out->total > BUILDER_EXPAND_MAX || s->work > LEX_MAX_WORK)
		return ib_fail(s->err, IB_LIMIT, "the expanded text is larger than %u MiB",
			       BUILDER_EXPAND_MAX >> 20);
	if (quoted || !out->words)
		ib_str_add(&out->text, bytes, n);
	else
		put_split(out, bytes, n);
	if (out->words && out->words->n > LEX_MAX_WORDS)
		return ib_fail(s->err, IB_LIMIT, "more than %u words", LEX_MAX_WORDS);
	return 0;
}

/* Bytes of the variable name at p: digits, or one special parameter, or letters, digits and '_'. */
static size_t name_len(const char *p)
{
	size_t n = 0, len;

	if (isdigit((unsigned char)*p))
		return strspn(p, "0123456789");
	if (*p && strchr("@*#?-$!", *p))
		return 1;
	while (rune_is_name(rune_at(p + n, &len)))
		n += len;
	return n;
}

static void note_undefined(struct ib_strv *undefined, const char *name)
{
	if (undefined && undefined->n < LEX_MAX_UNDEFINED && !ib_strv_has(undefined, name))
		ib_strv_add(undefined, name);
}

static const char *look_up(struct scan *s, const char *name)
{
	const struct builder_expander *x = s->lex->expander;
	const char *value = x ? x->lookup(x->ctx, name) : NULL;

	if (x && !value)
		note_undefined(x->undefined, name);
	return value;
}

/* $name, at the name. */
static int scan_plain(struct scan *s, struct out *out, bool quoted)
{
	size_t n = name_len(s->p);
	ib_autofree char *name = ib_strndup(s->p, n);
	const char *value;

	s->p += n;
	if (!n)
		return put(s, out, "$", 1, quoted);
	value = look_up(s, name);
	if (value)
		return put(s, out, value, strlen(value), quoted);
	return s->lex->keep_unset ? put(s, out, s->p - n - 1, n + 1, quoted) : 0;
}

/* A reference ${name op operand}. Operands are NULL where op has none. */
struct reference {
	char *name;
	char op[8];		/* as written: "-", ":-", "/", ":" and any one character ... */
	bool null_is_unset;	/* op begins with ':' */
	char kind;		/* '-' '+' '?' '#' '%' '/', else 0 */
	bool twice;		/* ## %% // */
	char *operand;
	char *replacement;
};

static void reference_done(struct reference *ref)
{
	free(ref->name);
	free(ref->operand);
	free(ref->replacement);
}

#define autoreference IB_CLEANUP(reference_done) struct reference

static int fail_modifier(struct scan *s, const struct reference *ref)
{
	ib_autofree char *shown = ib_printable(ref->op, sizeof ref->op);

	return ib_fail(s->err, IB_USAGE, "unsupported modifier (%s) in substitution", shown);
}

/* The operator at s->p, which is moved behind it. */
static int scan_operator(struct scan *s, struct reference *ref)
{
	const char *start = s->p;
	size_t len;

	if (*s->p == ':') {
		ref->null_is_unset = true;
		s->p++;
	}
	(void)rune_at(s->p, &len);
	if (!*s->p)
		return fail(s, "syntax error: missing '}'");
	memcpy(ref->op, start, (size_t)(s->p - start) + len);
	if (strchr("-+?#%", *s->p) || (*s->p == '/' && !ref->null_is_unset))
		ref->kind = *s->p;
	s->p += len;
	/* The name of a heredoc may hold what only looks like a substitution. */
	if (!ref->kind && !(s->lex->keep_unset && ref->null_is_unset))
		return fail_modifier(s, ref);
	if (ref->kind && strchr("#%/", ref->kind) && *s->p == ref->kind) {
		ref->twice = true;
		s->p++;
	}
	return 0;
}

/* The text up to stop, expanded. What is missing when the source ends first is stop, whatever else is open. */
static int scan_operand(struct scan *s, char stop, bool keep_escapes, const char *missing, char **ret_text)
{
	struct out out = {.text = IB_STR(BUILDER_EXPAND_MAX)};
	bool outer = s->keep_escapes;
	int r;

	s->keep_escapes = keep_escapes;
	r = scan_until(s, stop, &out);
	s->keep_escapes = outer;
	*ret_text = ib_str_steal(&out.text);
	if (r < 0 && !*s->p && s->err->code == IB_USAGE)
		return fail(s, missing);
	return r;
}

static int scan_operands(struct scan *s, struct reference *ref)
{
	static const char no_brace[] = "syntax error: missing '}'";
	bool pattern = ref->kind && strchr("#%/", ref->kind);

	if (ref->kind == '/' &&
	    scan_operand(s, '/', true, "syntax error: missing '/' in ${}", &ref->operand) < 0)
		return -1;
	return scan_operand(s, '}', pattern, no_brace, ref->kind == '/' ? &ref->replacement : &ref->operand);
}

/* Behind "${": fill ref and move behind its '}'. */
static int scan_reference(struct scan *s, struct reference *ref)
{
	size_t n = name_len(s->p);

	if (!*s->p)
		return fail(s, "syntax error: missing '}'");
	if (strchr("{}:", *s->p))
		return fail(s, "syntax error: bad substitution");
	ref->name = ib_strndup(s->p, n);
	s->p += n;
	if (*s->p == '}') {
		s->p++;
		return 0;
	}
	if (scan_operator(s, ref) < 0)
		return -1;
	return scan_operands(s, ref);
}

static int put_unset(struct scan *s, struct out *out, const struct reference *ref, bool quoted)
{
	ib_autostr text = IB_STR(BUILDER_EXPAND_MAX);

	ib_str_addf(&text, "${%s%s", ref->name, ref->op);
	ib_str_adds(&text, ref->twice ? (char[]){ref->kind, 0} : "");
	ib_str_adds(&text, ref->operand ? ref->operand : "");
	ib_str_adds(&text, ref->replacement ? "/" : "");
	ib_str_adds(&text, ref->replacement ? ref->replacement : "");
	ib_str_addc(&text, '}');
	return put(s, out, text.s, text.len, quoted);
}

static int fail_required(struct scan *s, const struct reference *ref, bool set)
{
	ib_autofree char *name = ib_printable(ref->name, 200);
	ib_autofree char *message = ib_printable(ref->operand, 500);

	if (*message)
		return ib_fail(s->err, IB_USAGE, "%s: %s", name, message);
	return ib_fail(s->err, IB_USAGE, "%s: is not allowed to be %s", name, set ? "empty" : "unset");
}

static int put_pattern(struct scan *s, struct out *out, const struct reference *ref, const char *value,
		       bool quoted)
{
	ib_autostr text = IB_STR(BUILDER_EXPAND_MAX);
	int r;

	if (ref->kind == '/')
		r = dockerfile_pattern_replace(ref->operand, value, ref->replacement, ref->twice, &s->work,
					       &text, s->err);
	else
		r = dockerfile_pattern_trim(ref->operand, value, ref->kind == '%', ref->twice, &s->work,
					    &text, s->err);
	if (r < 0)
		return -1;
	if (text.overflow)
		return ib_fail(s->err, IB_LIMIT, "the expanded text is larger than %u MiB",
			       BUILDER_EXPAND_MAX >> 20);
	return put(s, out, text.len ? text.s : "", text.len, quoted);
}

static int put_reference(struct scan *s, struct out *out, const struct reference *ref, bool quoted)
{
	const char *value = look_up(s, ref->name);
	bool there = value && (*value || !ref->null_is_unset);

	if (!value && s->lex->keep_unset)
		return put_unset(s, out, ref, quoted);
	switch (ref->kind) {
	case '+':
		return there ? put(s, out, ref->operand, strlen(ref->operand), quoted) : 0;
	case '?':
		if (!there)
			return fail_required(s, ref, value != NULL);
		break;
	case '-':
		if (!there)
			value = ref->operand;
		break;
	case '#':
	case '%':
	case '/':
		return put_pattern(s, out, ref, value ? value : "", quoted);
	}
	return value ? put(s, out, value, strlen(value), quoted) : 0;
}

/* At '$'. */
static int scan_dollar(struct scan *s, struct out *out, bool quoted)
{
	autoreference ref = {0};

	s->p++;
	if (*s->p != '{')
		return scan_plain(s, out, quoted);
	s->p++;
	if (s->depth == LEX_MAX_DEPTH)
		return ib_fail(s->err, IB_LIMIT, "variables are nested deeper than %d levels", LEX_MAX_DEPTH);
	s->depth++;
	if (scan_reference(s, &ref) < 0)
		return -1;
	s->depth--;
	return put_reference(s, out, &ref, quoted);
}

/* At a single quote: all up to the next one is as it is. */
static int scan_single(struct scan *s, struct out *out)
{
	const char *start = s->p + 1;
	const char *end = strchr(start, '\'');
	bool keep = s->lex->keep_quotes;

	if (!end) {
		s->p = start + strlen(start);
		return fail(s, "unexpected end of statement while looking for matching single-quote");
	}
	s->p = end + 1;
	return put(s, out, keep ? start - 1 : start, (size_t)(end - start) + (keep ? 2 : 0), true);
}

/* At the escape character inside double quotes, where it only escapes '"', '$' and itself. */
static int scan_quoted_escape(struct scan *s, struct out *out)
{
	char escape = *s->p++;

	if (s->keep_escapes && put(s, out, &escape, 1, true) < 0)
		return -1;
	if (!*s->p)
		return 0;
	if (*s->p == '"' || *s->p == '$' || *s->p == escape)
		return put(s, out, s->p++, 1, true);
	return put(s, out, &escape, 1, true);
}

static int scan_double(struct scan *s, struct out *out)
{
	const char stops[] = {'"', '$', s->lex->escape, '\0'};
	bool keep = s->lex->keep_quotes;
	int r = put(s, out, s->p++, keep, true);

	while (r == 0 && *s->p && *s->p != '"') {
		size_t run = strcspn(s->p, stops);

		s->p += run;
		if (run)
			r = put(s, out, s->p - run, run, true);
		else if (*s->p == '$')
			r = scan_dollar(s, out, true);
		else
			r = scan_quoted_escape(s, out);
	}
	if (r < 0)
		return -1;
	if (!*s->p)
		return fail(s, "unexpected end of statement while looking for matching double-quote");
	return put(s, out, s->p++, keep, true);
}

/* At the escape character outside quotes: the next one is ordinary; at the end it vanishes. */
static int scan_escape(struct scan *s, struct out *out)
{
	size_t len;

	if (s->keep_escapes && put(s, out, s->p, 1, true) < 0)
		return -1;
	s->p++;
	if (!*s->p)
		return 0;
	(void)rune_at(s->p, &len);
	s->p += len;
	return put(s, out, s->p - len, len, true);
}

/* At '<': the blanks between "<<" and the name of a heredoc do not end its word. */
static int scan_less(struct scan *s, struct out *out)
{
	size_t n = s->p[1] == '<' ? 2 + strspn(s->p + 2, " \t\r\n") : 1;

	s->p += n;
	return put(s, out, s->p - n, n, true);
}

static int scan_special(struct scan *s, struct out *out)
{
	if (*s->p == s->lex->escape)
		return scan_escape(s, out);
	switch (*s->p) {
	case '$':
		return scan_dollar(s, out, false);
	case '\'':
		return scan_single(s, out);
	case '"':
		return scan_double(s, out);
	default:
		return scan_less(s, out);
	}
}

/* Scan up to stop, which is consumed, or to the end of the source where stop is 0. */
static int scan_until(struct scan *s, char stop, struct out *out)
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
		if ((run ? put(s, out, s->p - run, run, false) : scan_special(s, out)) < 0)
			return -1;
	}
	if (!stop)
		return 0;
	if (!*s->p)
		return ib_fail(s->err, IB_USAGE, "unexpected end of statement while looking for matching %c",
			       stop);
	s->p++;
	return 0;
}

static struct scan scan_of(const struct dockerfile_lex *lex, const char *source, struct ib_err *err)
{
	return (struct scan){.lex = lex, .p = source, .keep_escapes = lex->keep_escapes, .err = err};
}

int dockerfile_lex_text(const struct dockerfile_lex *lex, const char *source, char **ret_text,
			struct ib_err *err)
{
	struct scan s = scan_of(lex, source, err);
	struct out out = {.text = IB_STR(BUILDER_EXPAND_MAX)};

	if (scan_until(&s, 0, &out) < 0) {
		ib_str_done(&out.text);
		return -1;
	}
	*ret_text = ib_str_steal(&out.text);
	return 0;
}

int dockerfile_lex_words(const struct dockerfile_lex *lex, const char *source, struct ib_strv *ret_words,
			 struct ib_err *err)
{
	struct scan s = scan_of(lex, source, err);
	ib_autostrv words = {0};
	struct out out = {.text = IB_STR(BUILDER_EXPAND_MAX), .words = &words};
	int r = scan_until(&s, 0, &out);

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
