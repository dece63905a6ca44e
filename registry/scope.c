#include "registry/scope.h"

#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define MAX_SCOPES 64
#define MAX_ACTIONS 32

/* Length of "TYPE:NAME" in "TYPE:NAME:ACTIONS", or 0; without any action it is none. */
static size_t resource_length(const char *scope)
{
	const char *first = strchr(scope, ':'), *last = strrchr(scope, ':');

	if (!first || last == first || !last[1 + strspn(last + 1, ",")])
		return 0;
	return (size_t)(last - scope);
}

static void add_actions(struct ib_strv *actions, const char *text)
{
	while (*(text += strspn(text, ","))) {
		size_t n = strcspn(text, ",");
		ib_autofree char *action = ib_strndup(text, n);

		if (!ib_strv_has(actions, action) && actions->n < MAX_ACTIONS)
			ib_strv_add(actions, action);
		text += n;
	}
}

/* "repository:a:pull" and "repository:a:push" -> "repository:a:pull,push" */
static char *unite(const char *a, const char *b, size_t resource)
{
	ib_autostrv actions = {0};
	ib_autostr text = IB_STR(strlen(a) + strlen(b) + 2);

	add_actions(&actions, a + resource + 1);
	add_actions(&actions, b + resource + 1);
	ib_strv_sort(&actions);
	ib_str_add(&text, a, resource);
	for (size_t i = 0; i < actions.n; i++) {
		ib_str_addc(&text, i ? ',' : ':');
		ib_str_adds(&text, actions.v[i]);
	}
	return ib_str_steal(&text);
}

static void merge_one(struct ib_strv *scopes, const char *scope)
{
	size_t n = resource_length(scope);

	for (size_t i = 0; i < scopes->n; i++) {
		char *old = scopes->v[i];

		if (strcmp(old, scope) == 0)
			return;
		if (!n || resource_length(old) != n || strncmp(old, scope, n) != 0)
			continue;
		scopes->v[i] = unite(old, scope, n);
		free(old);
		return;
	}
	if (scopes->n < MAX_SCOPES)
		ib_strv_take(scopes, n ? unite(scope, scope, n) : ib_strdup(scope));
}

void registry_scope_merge(struct ib_strv *scopes, const char *text)
{
	while (*(text += strspn(text, " "))) {
		size_t n = strcspn(text, " ");
		ib_autofree char *scope = ib_strndup(text, n);

		merge_one(scopes, scope);
		text += n;
	}
	ib_strv_sort(scopes);
}

char *registry_scope_join(const struct ib_strv *scopes)
{
	size_t n = 1;

	for (size_t i = 0; i < scopes->n; i++)
		n += strlen(scopes->v[i]) + 1;

	ib_autostr text = IB_STR(n);

	for (size_t i = 0; i < scopes->n; i++) {
		if (i)
			ib_str_addc(&text, ' ');
		ib_str_adds(&text, scopes->v[i]);
	}
	return ib_str_steal(&text);
}
