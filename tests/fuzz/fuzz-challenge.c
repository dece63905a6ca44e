/* Parsing any header value ends, with a bounded list; what is chosen can be answered. */
#include <string.h>
#include <strings.h>

#include "oci/base/alloc.h"
#include "registry/challenge.h"
#include "registry/scope.h"
#include "tests/fuzz/fuzz.h"

#include "oci/base/poison.h"

static void check_scopes(const char *scope)
{
	ib_autostrv scopes = {0}, again = {0};
	ib_autofree char *first = NULL, *second = NULL;

	registry_scope_merge(&scopes, scope);
	first = registry_scope_join(&scopes);
	registry_scope_merge(&again, first);
	second = registry_scope_join(&again);
	fuzz_check(strcmp(first, second) == 0);	/* a normal form */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ib_autofree char *text = ib_malloc(size + 1);
	registry_autochallenges list = {0};
	const struct registry_challenge *c;

	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	registry_challenges_parse(text, &list);
	registry_challenges_parse(text, &list);	/* a second header line */
	fuzz_check(list.n <= 16);
	for (size_t i = 0; i < list.n; i++) {
		fuzz_check(list.v[i].scheme && *list.v[i].scheme);
		if (list.v[i].scope)
			check_scopes(list.v[i].scope);
	}
	c = registry_challenges_choose(&list);
	fuzz_check(!c || strcasecmp(c->scheme, "Basic") == 0 || (strcasecmp(c->scheme, "Bearer") == 0 && c->realm));
	return 0;
}
