/*
 * Expanding any word ends, within the limits. The input: the value of $v, a NUL, the value of $w, a NUL, the word.
 * A word without anything special stands for itself.
 */
#include <string.h>

#include "builder/dockerfile/expand.h"
#include "oci/base/alloc.h"
#include "tests/fuzz/fuzz.h"

#include "oci/base/poison.h"

static const char *look_up(void *ctx, const char *name)
{
	const char *const *values = ctx;

	if (strcmp(name, "v") == 0)
		return values[0];
	return strcmp(name, "w") == 0 ? values[1] : NULL;
}

static void expand(const struct builder_expander *x, const char *word)
{
	ib_autofree char *text = NULL, *body = NULL;
	ib_autoerr err = {0}, err2 = {0}, err3 = {0};
	ib_autostrv words = {0};

	if (builder_expand_word(x, word, &text, &err) < 0)
		fuzz_check(err.text && !text);
	else
		fuzz_check(strlen(text) <= BUILDER_EXPAND_MAX);
	if (text && !strpbrk(word, "$'\"\\`"))
		fuzz_check(strcmp(text, word) == 0);
	/* Where words end does not decide whether there are any. */
	fuzz_check((builder_expand_words(x, word, &words, &err2) < 0) == !text);
	for (size_t i = 0; i < words.n; i++)
		fuzz_check(*words.v[i]);
	if (builder_expand_heredoc(x, word, &body, &err3) < 0)
		fuzz_check(err3.text && !body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ib_autofree char *copy = ib_malloc(size + 3);
	const char *values[2];
	const char *word;

	if (size)
		memcpy(copy, data, size);
	memset(copy + size, 0, 3);
	values[0] = copy;
	values[1] = values[0] + strlen(values[0]) + 1;
	word = values[1] + strlen(values[1]) + 1;
	for (const char *escape = "\\`"; *escape; escape++) {
		ib_autostrv undefined = {0};
		struct builder_expander x = {
			.escape = *escape, .lookup = look_up, .ctx = values, .undefined = &undefined,
		};

		expand(&x, word);
	}
	return 0;
}
