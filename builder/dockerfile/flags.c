#include "builder/dockerfile/flags.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "builder/dockerfile/rune.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define FLAGS_MAX 16	/* known flags of one instruction: a bit each */

/* Add the character at p, or the one it escapes. Returns what follows. */
static const char *take_char(const char *p, char escape, struct ib_str *word)
{
	if (*p == escape) {
		p++;
		if (!*p)
			return p;
	}
	ib_str_addc(word, *p);
	return p + 1;
}

/* One flag word at p into word. Returns what follows. A quote that is never closed ends with the text. */
static const char *take_word(const char *p, char escape, struct ib_str *word)
{
	while (*p && !rune_space_len(p)) {
		char quote = *p;

		if (quote != '"' && quote != '\'') {
			p = take_char(p, escape, word);
			continue;
		}
		for (p++; *p && *p != quote;)
			p = take_char(p, escape, word);
		p += *p == quote;
	}
	return p;
}

const char *dockerfile_flags_split(const char *text, char escape, struct ib_strv *words)
{
	ib_autostr word = IB_STR(SIZE_MAX / 2);		/* never longer than the text */
	const char *p = rune_skip_spaces(text);

	while (p[0] == '-' && p[1] == '-') {
		p = rune_skip_spaces(take_word(p, escape, &word));
		if (strcmp(word.s, "--") == 0)
			break;
		ib_strv_take(words, ib_str_steal(&word));
	}
	return p;
}

static const struct dockerfile_flag_spec *find(const struct dockerfile_flag_spec *known, size_t n,
					       const char *name, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(known[i].name) == len && memcmp(known[i].name, name, len) == 0)
			return &known[i];
	return NULL;
}

static int fail_unknown(const struct dockerfile_flag_spec *known, size_t n, const char *name, size_t len,
			struct ib_err *err)
{
	const char *names[FLAGS_MAX];
	ib_autofree char *word = ib_strndup(name, len);
	ib_autofree char *shown = ib_printable(word, 200);
	const char *nearest;

	for (size_t i = 0; i < n; i++)
		names[i] = known[i].name;
	nearest = ib_nearest(word, names, n);
	ib_fail(err, IB_USAGE, "unknown flag: --%s", shown);
	return nearest ? ib_err_hint(err, " (did you mean --%s?)", nearest) : -1;
}

/* The value of a boolean flag: "true" or "false", or NULL if it is neither. */
static const char *truth(const char *value)
{
	if (!value || strcasecmp(value, "true") == 0)
		return "true";
	return strcasecmp(value, "false") == 0 ? "false" : NULL;
}

/* value is what follows '=', NULL without one. */
static int add_flag(struct dockerfile_instruction *in, const struct dockerfile_flag_spec *spec,
		    const char *value, struct ib_err *err)
{
	const char *kept = spec->kind == FLAG_BOOL ? truth(value) : value;

	if (spec->kind == FLAG_BOOL ? value && !*value : !value)
		return ib_fail(err, IB_USAGE, "missing a value on flag: --%s", spec->name);
	if (!kept) {
		ib_autofree char *shown = ib_printable(value, 200);

		return ib_fail(err, IB_USAGE, "expecting boolean value for flag --%s, not: %s", spec->name,
			       shown);
	}
	in->flags[in->n_flags++] = (struct dockerfile_flag){
		.name = ib_strdup(spec->name),
		.value = ib_strdup(kept),
	};
	return 0;
}

int dockerfile_flags_check(const struct dockerfile_flag_spec *known, size_t n, const struct ib_strv *words,
			   struct dockerfile_instruction *in, struct ib_err *err)
{
	unsigned seen = 0;

	if (words->n)
		in->flags = ib_calloc(words->n, sizeof *in->flags);
	for (size_t i = 0; i < words->n; i++) {
		const char *name = words->v[i] + 2;
		size_t len = strcspn(name, "=");
		const struct dockerfile_flag_spec *spec = find(known, n, name, len);
		unsigned bit;

		if (!spec)
			return fail_unknown(known, n, name, len, err);
		bit = 1u << (spec - known);
		if ((seen & bit) && spec->kind != FLAG_LIST)
			return ib_fail(err, IB_USAGE, "duplicate flag specified: --%s", spec->name);
		seen |= bit;
		if (add_flag(in, spec, name[len] ? name + len + 1 : NULL, err) < 0)
			return -1;
	}
	return 0;
}
