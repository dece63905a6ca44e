#include "builder/dockerfile/lex-internal.h"

#include <ctype.h>
#include <string.h>

#include "builder/dockerfile/expand-pattern.h"
#include "builder/dockerfile/rune.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

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

static const char *look_up(struct lex_scan *s, const char *name)
{
	const struct builder_expander *x = s->lex->expander;
	const char *value = x ? x->lookup(x->ctx, name) : NULL;

	if (x && !value)
		note_undefined(x->undefined, name);
	return value;
}

/* $name, at the name. */
static int scan_plain(struct lex_scan *s, struct lex_out *out, bool quoted)
{
	size_t n = name_len(s->p);
	ib_autofree char *name = ib_strndup(s->p, n);
	const char *value;

	s->p += n;
	if (!n)
		return lex_put(s, out, "$", 1, quoted);
	value = look_up(s, name);
	if (value)
		return lex_put(s, out, value, strlen(value), quoted);
	return s->lex->keep_unset ? lex_put(s, out, s->p - n - 1, n + 1, quoted) : 0;
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

static int fail_modifier(struct lex_scan *s, const struct reference *ref)
{
	ib_autofree char *shown = ib_printable(ref->op, sizeof ref->op);

	return ib_fail(s->err, IB_USAGE, "unsupported modifier (%s) in substitution", shown);
}

/* The operator at s->p, which is moved behind it. */
static int scan_operator(struct lex_scan *s, struct reference *ref)
{
	const char *start = s->p;
	size_t len;

	if (*s->p == ':') {
		ref->null_is_unset = true;
		s->p++;
	}
	(void)rune_at(s->p, &len);
	if (!*s->p)
		return lex_fail(s, "syntax error: missing '}'");
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
static int scan_operand(struct lex_scan *s, char stop, bool keep_escapes, const char *missing,
			char **ret_text)
{
	struct lex_out out = {.text = IB_STR(BUILDER_EXPAND_MAX)};
	bool outer = s->keep_escapes;
	int r;

	s->keep_escapes = keep_escapes;
	r = lex_until(s, stop, &out);
	s->keep_escapes = outer;
	*ret_text = ib_str_steal(&out.text);
	if (r < 0 && !*s->p && s->err->code == IB_USAGE)
		return lex_fail(s, missing);
	return r;
}

static int scan_operands(struct lex_scan *s, struct reference *ref)
{
	static const char no_brace[] = "syntax error: missing '}'";
	bool pattern = ref->kind && strchr("#%/", ref->kind);

	if (ref->kind == '/' &&
	    scan_operand(s, '/', true, "syntax error: missing '/' in ${}", &ref->operand) < 0)
		return -1;
	return scan_operand(s, '}', pattern, no_brace,
			    ref->kind == '/' ? &ref->replacement : &ref->operand);
}

/* Behind "${": fill ref and move behind its '}'. */
static int scan_reference(struct lex_scan *s, struct reference *ref)
{
	size_t n = name_len(s->p);

	if (!*s->p)
		return lex_fail(s, "syntax error: missing '}'");
	if (strchr("{}:", *s->p))
		return lex_fail(s, "syntax error: bad substitution");
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

static int put_unset(struct lex_scan *s, struct lex_out *out, const struct reference *ref, bool quoted)
{
	ib_autostr text = IB_STR(BUILDER_EXPAND_MAX);

	ib_str_addf(&text, "${%s%s", ref->name, ref->op);
	ib_str_adds(&text, ref->twice ? (char[]){ref->kind, 0} : "");
	ib_str_adds(&text, ref->operand ? ref->operand : "");
	ib_str_adds(&text, ref->replacement ? "/" : "");
	ib_str_adds(&text, ref->replacement ? ref->replacement : "");
	ib_str_addc(&text, '}');
	return lex_put(s, out, text.s, text.len, quoted);
}

static int fail_required(struct lex_scan *s, const struct reference *ref, bool set)
{
	ib_autofree char *name = ib_printable(ref->name, 200);
	ib_autofree char *message = ib_printable(ref->operand, 500);

	if (*message)
		return ib_fail(s->err, IB_USAGE, "%s: %s", name, message);
	return ib_fail(s->err, IB_USAGE, "%s: is not allowed to be %s", name, set ? "empty" : "unset");
}

static int put_pattern(struct lex_scan *s, struct lex_out *out, const struct reference *ref,
		       const char *value, bool quoted)
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
		return lex_fail_size(s);
	return lex_put(s, out, text.len ? text.s : "", text.len, quoted);
}

static int put_reference(struct lex_scan *s, struct lex_out *out, const struct reference *ref, bool quoted)
{
	const char *value = look_up(s, ref->name);
	bool there = value && (*value || !ref->null_is_unset);

	if (!value && s->lex->keep_unset)
		return put_unset(s, out, ref, quoted);
	switch (ref->kind) {
	case '+':
		return there ? lex_put(s, out, ref->operand, strlen(ref->operand), quoted) : 0;
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
	return value ? lex_put(s, out, value, strlen(value), quoted) : 0;
}

int lex_dollar(struct lex_scan *s, struct lex_out *out, bool quoted)
{
	autoreference ref = {0};

	s->p++;
	if (*s->p != '{')
		return scan_plain(s, out, quoted);
	s->p++;
	if (s->depth == LEX_MAX_DEPTH)
		return ib_fail(s->err, IB_LIMIT, "variables are nested deeper than %d levels",
			       LEX_MAX_DEPTH);
	s->depth++;
	if (scan_reference(s, &ref) < 0)
		return -1;
	s->depth--;
	return put_reference(s, out, &ref, quoted);
}
