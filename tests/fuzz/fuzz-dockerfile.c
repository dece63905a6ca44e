/*
 * Parsing any bytes ends, with a Dockerfile that holds what its header says or with an error; a trigger found in
 * it parses or not; excerpts of it can be made.
 */
#include <string.h>

#include "builder/dockerfile/dockerfile.h"
#include "tests/fuzz/fuzz.h"

#include "oci/base/poison.h"

static void check_trigger(const struct dockerfile_instruction *in, char escape)
{
	struct dockerfile_instruction *trigger = NULL;
	ib_autoerr err = {0};

	if (dockerfile_parse_trigger(in->args.v[0], escape, &trigger, &err) < 0) {
		fuzz_check(err.text && !trigger);
		return;
	}
	fuzz_check(trigger->op != DOCKERFILE_FROM && trigger->op != DOCKERFILE_ONBUILD);
	dockerfile_instruction_done(trigger);
	free(trigger);
}

static void check_instruction(const struct dockerfile *df, const struct dockerfile_instruction *in)
{
	ib_autofree char *excerpt = dockerfile_excerpt(df, in->line, in->end_line);

	fuzz_check(strlen(excerpt) > 0);
	fuzz_check(in->keyword && in->original && in->line >= 1 && in->line <= in->end_line);
	for (size_t i = 0; i < in->n_flags; i++)
		fuzz_check(dockerfile_flag(in, in->flags[i].name) != NULL);
	for (size_t i = 0; i < in->n_pairs; i++)
		fuzz_check(in->pairs[i].name && *in->pairs[i].name);
	for (size_t i = 0; i < in->n_heredocs; i++)
		fuzz_check(in->heredocs[i].body && *in->heredocs[i].name);
	fuzz_check(in->args.n || in->n_pairs || in->json);
	if (in->op == DOCKERFILE_ONBUILD)
		check_trigger(in, df->escape);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dockerfile *df = NULL;
	ib_autoerr err = {0};
	int line = 0;

	if (dockerfile_parse((const char *)data, size, "D", &df, &err) < 0) {
		fuzz_check(!df && err.text && strncmp(err.text, "D:", 2) == 0);
		return 0;
	}
	for (size_t i = 0; i < df->n; i++) {
		fuzz_check(df->instructions[i].line > line);
		line = df->instructions[i].end_line;
		check_instruction(df, &df->instructions[i]);
	}
	dockerfile_free(df);
	return 0;
}
