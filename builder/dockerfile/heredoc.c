#include "builder/dockerfile/heredoc.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "builder/dockerfile/lex.h"
#include "builder/dockerfile/lines.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

void dockerfile_heredoc_done(struct dockerfile_heredoc *heredoc)
{
	free(heredoc->name);
	free(heredoc->body);
	*heredoc = (struct dockerfile_heredoc){0};
}

/* "3<<-" at text. Returns what follows, or NULL. */
static const char *parse_operator(const char *text, struct dockerfile_heredoc *heredoc)
{
	size_t digits = strspn(text, "0123456789");
	const char *p = text + digits;

	if (p[0] != '<' || p[1] != '<')
		return NULL;
	for (size_t i = 0; i < digits && heredoc->fd < INT_MAX / 10 - 1; i++)
		heredoc->fd = 10 * heredoc->fd + (text[i] - '0');
	p += 2;
	heredoc->strip_tabs = *p == '-';
	return p + heredoc->strip_tabs;
}

/* The one word that name consists of, as the mood of lex reads it; NULL if there is another number of them. */
static char *one_word(const struct dockerfile_lex *lex, const char *name)
{
	ib_autostrv words = {0};
	ib_autoerr broken = {0};	/* unbalanced quotes make no name, which is no failure */

	if (dockerfile_lex_words(lex, name, &words, &broken) < 0 || words.n != 1)
		return NULL;
	return ib_steal_ptr(&words.v[0]);
}

int dockerfile_heredoc_parse(const char *text, struct dockerfile_heredoc *ret_heredoc)
{
	static const struct dockerfile_lex value = {.escape = '\\', .keep_unset = true};
	static const struct dockerfile_lex quoted = {
	    .escape = '\\', .keep_unset = true, .keep_quotes = true};
	struct dockerfile_heredoc heredoc = {0};
	const char *name = parse_operator(text, &heredoc);
	ib_autofree char *with_quotes = NULL;

	if (!name)
		return 0;
	name += strspn(name, " \t\f\r\n");
	if (strchr(name, '<'))
		return 0;
	heredoc.name = one_word(&value, name);
	with_quotes = one_word(&quoted, name);
	if (!heredoc.name || !with_quotes) {
		dockerfile_heredoc_done(&heredoc);
		return 0;
	}
	heredoc.expand = strcmp(heredoc.name, with_quotes) == 0;
	*ret_heredoc = heredoc;
	return 1;
}

static bool is_terminator(const struct dockerfile_heredoc *heredoc, const char *line, size_t n)
{
	while (n && (line[n - 1] == '\n' || line[n - 1] == '\r'))
		n--;
	while (heredoc->strip_tabs && n && *line == '\t') {
		line++;
		n--;
	}
	return strlen(heredoc->name) == n && memcmp(line, heredoc->name, n) == 0;
}

static int read_body(struct dockerfile_heredoc *heredoc, struct dockerfile_lines *lines, struct ib_err *err)
{
	const char *start = lines->at, *line;
	ib_autofree char *shown = NULL;
	size_t n;

	while (dockerfile_lines_raw(lines, &line, &n)) {
		if (!is_terminator(heredoc, line, n))
			continue;
		heredoc->body = ib_strndup(start, (size_t)(line - start));
		return 0;
	}
	shown = ib_printable(heredoc->name, 64);
	return ib_fail(err, IB_USAGE, "unterminated heredoc %s", shown);
}

static int add_word(struct dockerfile_instruction *in, const char *word, struct ib_err *err)
{
	struct dockerfile_heredoc heredoc;

	if (!dockerfile_heredoc_parse(word, &heredoc))
		return 0;
	if (in->n_heredocs == HEREDOCS_MAX) {
		dockerfile_heredoc_done(&heredoc);
		return ib_fail(err, IB_LIMIT, "more than %d heredocs in one instruction", HEREDOCS_MAX);
	}
	in->heredocs = ib_realloc(in->heredocs, in->n_heredocs + 1, sizeof *in->heredocs);
	in->heredocs[in->n_heredocs++] = heredoc;
	return 0;
}

int dockerfile_heredocs_read(struct dockerfile_instruction *in, const char *line,
			     struct dockerfile_lines *lines, struct ib_err *err)
{
	static const struct dockerfile_lex lex = {
		.escape = '\\', .keep_quotes = true, .keep_escapes = true, .keep_unset = true,
	};
	ib_autostrv words = {0};
	ib_autoerr broken = {0};

	if (dockerfile_lex_words(&lex, line, &words, &broken) < 0) {
		if (broken.code != IB_LIMIT)
			return 0;	/* what the shell's grammar does not explain holds no heredoc */
		ib_err_move(err, &broken);
		return -1;
	}
	for (size_t i = 0; i < words.n; i++)
		if (add_word(in, words.v[i], err) < 0)
			return -1;
	for (size_t i = 0; i < in->n_heredocs; i++)
		if (read_body(&in->heredocs[i], lines, err) < 0)
			return -1;
	return 0;
}

static bool is_heredoc(const char *word)
{
	struct dockerfile_heredoc heredoc = {0};

	if (!strstr(word, "<<") || !dockerfile_heredoc_parse(word, &heredoc))
		return false;
	dockerfile_heredoc_done(&heredoc);
	return true;
}

/* How many arguments from the one at i on make a heredoc: "<<EOF" one, "<< EOF" two, anything else none. */
static size_t heredoc_args(const struct ib_strv *args, size_t i)
{
	ib_autofree char *both = NULL;

	if (is_heredoc(args->v[i]))
		return 1;
	if (!ib_ends(args->v[i], "<<") || i + 1 == args->n)
		return 0;
	both = ib_asprintf("%s %s", args->v[i], args->v[i + 1]);
	return is_heredoc(both) ? 2 : 0;
}

static bool named_later(const struct dockerfile_instruction *in, size_t at)
{
	for (size_t i = at + 1; i < in->n_heredocs; i++)
		if (strcmp(in->heredocs[i].name, in->heredocs[at].name) == 0)
			return true;
	return false;
}

/* Of files with one name, written one after the other, the last is left. */
static void drop_overwritten(struct dockerfile_instruction *in)
{
	size_t kept = 0;

	for (size_t i = 0; i < in->n_heredocs; i++) {
		if (named_later(in, i))
			dockerfile_heredoc_done(&in->heredocs[i]);
		else
			in->heredocs[kept++] = in->heredocs[i];
	}
	in->n_heredocs = kept;
}

int dockerfile_heredocs_to_sources(struct dockerfile_instruction *in, const char *keyword,
				   struct ib_err *err)
{
	ib_autostrv args = {0};
	size_t words = 0;

	for (size_t i = 0; i < in->args.n; i += words ? words : 1) {
		words = heredoc_args(&in->args, i);
		if (words && i + words == in->args.n)
			return ib_fail(err, IB_USAGE, "%s cannot accept a heredoc as a destination",
				       keyword);
		if (!words || !in->n_heredocs)
			ib_strv_add(&args, in->args.v[i]);
	}
	ib_strv_done(&in->args);
	in->args = args;
	args = (struct ib_strv){0};
	drop_overwritten(in);
	return 0;
}
