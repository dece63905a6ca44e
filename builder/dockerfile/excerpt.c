#include "builder/dockerfile/dockerfile.h"

#include <string.h>

#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define CONTEXT 2		/* lines shown before and after */
#define LINES_MAX 20		/* lines shown of one instruction; a heredoc may have thousands */
#define LINE_MAX_BYTES 200	/* bytes shown of one line */
#define EXCERPT_MAX (64u << 10)

/* The line at p, which ends at end, without its end. */
static void add_line(struct ib_str *out, int number, bool culprit, const char *p, const char *end)
{
	ib_autofree char *line = ib_strndup(p, (size_t)(end - p));
	ib_autofree char *shown = NULL;
	size_t n = strlen(line);

	while (n && line[n - 1] == '\r')
		line[--n] = '\0';
	for (char *tab = line; (tab = strchr(tab, '\t')); tab++)
		*tab = ' ';
	shown = ib_printable(line, LINE_MAX_BYTES);
	ib_str_addf(out, "%4d | %s %s\n", number, culprit ? ">>>" : "   ", shown);
}

char *dockerfile_excerpt(const struct dockerfile *df, int line, int end_line)
{
	static const char rule[] = "--------------------\n";
	ib_autostr out = IB_STR(EXCERPT_MAX);
	int shown_end = end_line - line < LINES_MAX ? end_line : line + LINES_MAX - 1;
	const char *p = df->source, *end = df->source + df->source_len;

	ib_str_addf(&out, "%s:%d\n%s", df->name, line, rule);
	for (int number = 1; p < end && number <= end_line + CONTEXT; number++) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));

		if (number >= line - CONTEXT && (number <= shown_end || number > end_line))
			add_line(&out, number, number >= line && number <= end_line, p,
				 newline ? newline : end);
		else if (number == shown_end + 1)
			ib_str_adds(&out, "     | ...\n");
		p = newline ? newline + 1 : end;
	}
	ib_str_adds(&out, rule);
	return ib_str_steal(&out);
}
