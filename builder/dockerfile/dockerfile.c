#include "builder/dockerfile/dockerfile.h"

#include <string.h>

#include "builder/dockerfile/heredoc.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

void dockerfile_instruction_done(struct dockerfile_instruction *in)
{
	for (size_t i = 0; i < in->n_flags; i++) {
		free(in->flags[i].name);
		free(in->flags[i].value);
	}
	for (size_t i = 0; i < in->n_pairs; i++) {
		free(in->pairs[i].name);
		free(in->pairs[i].value);
	}
	for (size_t i = 0; i < in->n_heredocs; i++)
		dockerfile_heredoc_done(&in->heredocs[i]);
	free(in->flags);
	free(in->pairs);
	free(in->heredocs);
	free(in->keyword);
	free(in->original);
	free(in->description);
	ib_strv_done(&in->args);
	*in = (struct dockerfile_instruction){0};
}

void dockerfile_free(struct dockerfile *df)
{
	if (!df)
		return;
	for (size_t i = 0; i < df->n; i++)
		dockerfile_instruction_done(&df->instructions[i]);
	free(df->instructions);
	free(df->syntax);
	free(df->check);
	free(df->name);
	free(df->source);
	ib_strv_done(&df->warnings);
	free(df);
}

const char *dockerfile_flag(const struct dockerfile_instruction *in, const char *name)
{
	const char *value = NULL;

	for (size_t i = 0; i < in->n_flags; i++)
		if (strcmp(in->flags[i].name, name) == 0)
			value = in->flags[i].value;
	return value;
}

bool dockerfile_flag_true(const struct dockerfile_instruction *in, const char *name)
{
	const char *value = dockerfile_flag(in, name);

	return value && strcmp(value, "true") == 0;
}

char *dockerfile_heredoc_text(const struct dockerfile_heredoc *heredoc)
{
	char *text = ib_malloc(strlen(heredoc->body) + 1), *to = text;

	for (const char *p = heredoc->body; *p;) {
		const char *end = strchrnul(p, '\n');

		while (heredoc->strip_tabs && *p == '\t')
			p++;
		end += *end == '\n';
		memcpy(to, p, (size_t)(end - p));
		to += end - p;
		p = end;
	}
	*to = '\0';
	return text;
}
