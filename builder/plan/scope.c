#include "builder/plan/scope.h"

#include <string.h>
#include <uthash.h>

#include "oci/base/alloc.h"

#include "oci/base/poison.h"

struct variable {
	char *name, *value;
	UT_hash_handle hh;	/* uthash keeps the order of insertion */
};

struct plan_scope {
	struct variable *variables;
};

struct plan_scope *plan_scope_new(void)
{
	return ib_new(struct plan_scope);
}

void plan_scope_free(struct plan_scope *scope)
{
	struct variable *v, *next;

	if (!scope)
		return;
	HASH_ITER(hh, scope->variables, v, next) {
		HASH_DEL(scope->variables, v);
		free(v->name);
		free(v->value);
		free(v);
	}
	free(scope);
}

void plan_scope_set(struct plan_scope *scope, const char *name, const char *value)
{
	struct variable *v;

	HASH_FIND_STR(scope->variables, name, v);
	if (v) {
		free(v->value);
		v->value = ib_strdup(value);
		return;
	}
	v = ib_new(struct variable);
	v->name = ib_strdup(name);
	v->value = ib_strdup(value);
	HASH_ADD_KEYPTR(hh, scope->variables, v->name, strlen(v->name), v);
}

struct plan_scope *plan_scope_copy(const struct plan_scope *scope)
{
	struct plan_scope *copy = plan_scope_new();

	for (const struct variable *v = scope->variables; v; v = v->hh.next)
		plan_scope_set(copy, v->name, v->value);
	return copy;
}

const char *plan_scope_get(const struct plan_scope *scope, const char *name)
{
	const struct variable *v;

	HASH_FIND_STR(scope->variables, name, v);
	return v ? v->value : NULL;
}

void plan_scope_env(const struct plan_scope *scope, struct ib_strv *env)
{
	for (const struct variable *v = scope->variables; v; v = v->hh.next)
		ib_strv_take(env, ib_asprintf("%s=%s", v->name, v->value));
}

void plan_scope_names(const struct plan_scope *scope, struct ib_strv *names)
{
	for (const struct variable *v = scope->variables; v; v = v->hh.next)
		ib_strv_add(names, v->name);
}

static const char *lookup(void *ctx, const char *name)
{
	return plan_scope_get(ctx, name);
}

struct builder_expander plan_scope_expander(const struct plan_scope *scope, char escape)
{
	/* The expander's context is void * for all its users; this one only reads it. */
	union {
		const struct plan_scope *in;
		void *out;
	} ctx = {.in = scope};

	return (struct builder_expander){.escape = escape, .lookup = lookup, .ctx = ctx.out};
}
