#include "builder/dockerfile/words.h"

#include <string.h>

#include "builder/dockerfile/rune.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

static const char blanks[] = "\t\v\f\r ";

size_t dockerfile_blank_len(const char *s)
{
	return strspn(s, blanks);
}

size_t dockerfile_word_len(const char *s)
{
	return strcspn(s, blanks);
}

void dockerfile_words_plain(const char *text, struct ib_strv *words)
{
	for (const char *p = text + dockerfile_blank_len(text); *p; p += dockerfile_blank_len(p)) {
		size_t n = dockerfile_word_len(p);

		ib_strv_take(words, ib_strndup(p, n));
		p += n;
	}
}

/* An escape character at the very end of the text quotes nothing and is dropped. */
static bool dropped(const char *p, char escape)
{
	return *p == escape && !p[1];
}

/* Behind an opening quote: behind its end, or at the end of the text. */
static const char *skip_quoted(const char *p, char quote, char escape)
{
	while (*p && *p != quote && !(quote == '"' && dropped(p, escape)))
		p += quote == '"' && *p == escape ? 2 : 1;
	return *p == quote ? p + 1 : p;
}

/* The end of the word at p: white space, the end of the text, or an escape character that is dropped. */
static const char *word_end(const char *p, char escape)
{
	while (*p && !rune_space_len(p) && !dropped(p, escape)) {
		if (*p == '"' || *p == '\'')
			p = skip_quoted(p + 1, *p, escape);
		else
			p += *p == escape ? 2 : 1;
	}
	return p;
}

void dockerfile_words_quoted(const char *text, char escape, struct ib_strv *words)
{
	for (const char *p = rune_skip_spaces(text); *p; p = rune_skip_spaces(p)) {
		const char *end = word_end(p, escape);

		if (end > p)
			ib_strv_take(words, ib_strndup(p, (size_t)(end - p)));
		if (dropped(end, escape))
			break;
		p = end;
	}
}

/* name and value point to n and m bytes; a value of NULL was not given. */
static void add_pair(struct dockerfile_instruction *in, const char *name, size_t n, const char *value)
{
	in->pairs[in->n_pairs++] = (struct dockerfile_pair){
		.name = ib_strndup(name, n),
		.value = ib_strdup_null(value),
	};
}

static int split_words(struct dockerfile_instruction *in, const char *keyword, const struct ib_strv *words,
		       struct ib_err *err)
{
	for (size_t i = 0; i < words->n; i++) {
		const char *word = words->v[i];
		const char *equals = strchr(word, '=');

		if (!equals) {
			ib_autofree char *shown = ib_printable(word, 200);

			return ib_fail(err, IB_USAGE, "Syntax error - can't find = in \"%s\". "
				       "Must be of the form: name=value", shown);
		}
		if (equals == word)
			return ib_fail(err, IB_USAGE, "%s names can not be blank", keyword);
		add_pair(in, word, (size_t)(equals - word), equals + 1);
	}
	return 0;
}

/* "ENV name value": the name ends at the first blank, quoted or not, and the rest is one value. */
static int split_legacy(struct dockerfile_instruction *in, const char *keyword, const char *text,
			struct ib_err *err)
{
	size_t n = dockerfile_word_len(text);
	const char *value = text + n + dockerfile_blank_len(text + n);

	if (!text[n])
		return ib_fail(err, IB_USAGE, "%s must have two arguments", keyword);
	add_pair(in, text, n, value);
	in->legacy_pair = true;
	return 0;
}

int dockerfile_words_pairs(struct dockerfile_instruction *in, const char *keyword, const char *text,
			   char escape, struct ib_err *err)
{
	ib_autostrv words = {0};

	dockerfile_words_quoted(text, escape, &words);
	if (!words.n)
		return ib_fail(err, IB_USAGE, "%s requires at least one argument", keyword);
	in->pairs = ib_calloc(words.n, sizeof *in->pairs);
	if (!strchr(words.v[0], '='))
		return split_legacy(in, keyword, text, err);
	return split_words(in, keyword, &words, err);
}

int dockerfile_words_args(struct dockerfile_instruction *in, const char *text, char escape,
			  struct ib_err *err)
{
	ib_autostrv words = {0};

	dockerfile_words_quoted(text, escape, &words);
	if (!words.n)
		return ib_fail(err, IB_USAGE, "ARG requires at least one argument");
	in->pairs = ib_calloc(words.n, sizeof *in->pairs);
	for (size_t i = 0; i < words.n; i++) {
		const char *word = words.v[i];
		size_t n = strcspn(word, "=");

		if (!n)
			return ib_fail(err, IB_USAGE, "ARG names can not be blank");
		add_pair(in, word, n, word[n] ? word + n + 1 : NULL);
	}
	return 0;
}
