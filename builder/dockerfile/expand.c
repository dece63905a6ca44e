#include "builder/dockerfile/expand.h"

#include "builder/dockerfile/lex.h"

#include "oci/base/poison.h"

static struct dockerfile_lex lexer_of(const struct builder_expander *expander)
{
	return (struct dockerfile_lex){.expander = expander, .escape = expander->escape};
}

static int wrap(struct ib_err *err, const char *word)
{
	ib_autofree char *shown = ib_printable(word, 200);

	return ib_wrap(err, "cannot expand '%s'", shown);
}

int builder_expand_word(const struct builder_expander *expander, const char *word, char **ret_text,
			struct ib_err *err)
{
	struct dockerfile_lex lex = lexer_of(expander);

	return dockerfile_lex_text(&lex, word, ret_text, err) < 0 ? wrap(err, word) : 0;
}

int builder_expand_words(const struct builder_expander *expander, const char *word,
			 struct ib_strv *ret_words, struct ib_err *err)
{
	struct dockerfile_lex lex = lexer_of(expander);

	return dockerfile_lex_words(&lex, word, ret_words, err) < 0 ? wrap(err, word) : 0;
}

int builder_expand_heredoc(const struct builder_expander *expander, const char *body, char **ret_text,
			   struct ib_err *err)
{
	/* Whatever the Dockerfile's escape is, heredocs are the shell's. */
	struct dockerfile_lex lex = {.expander = expander, .escape = '\\', .plain_quotes = true};

	return dockerfile_lex_text(&lex, body, ret_text, err) < 0 ? wrap(err, body) : 0;
}
