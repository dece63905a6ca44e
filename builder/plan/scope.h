/*
 * builder/plan/scope.h - the variables of a stage: one namespace of ENV and ARG, later assignment wins
 * (Dockerfile reference, "Environment replacement", "Scope").
 */
#ifndef BUILDER_PLAN_SCOPE_H
#define BUILDER_PLAN_SCOPE_H

#include "builder/dockerfile/expand.h"
#include "oci/base/str.h"

struct plan_scope;	/* one thread */

struct plan_scope *plan_scope_new(void);
struct plan_scope *plan_scope_copy(const struct plan_scope *scope);
void plan_scope_free(struct plan_scope *scope);
IB_DEFINE_FREE(plan_scope);

void plan_scope_set(struct plan_scope *scope, const char *name, const char *value);
const char *plan_scope_get(const struct plan_scope *scope, const char *name);	/* NULL: unset; borrowed */

/* "K=V" in order of first assignment, as a process gets them. Appended to *env. */
void plan_scope_env(const struct plan_scope *scope, struct ib_strv *env);

/* The names alone, in the same order. */
void plan_scope_names(const struct plan_scope *scope, struct ib_strv *names);

/* An expander that reads this scope; valid as long as the scope is. */
struct builder_expander plan_scope_expander(const struct plan_scope *scope, char escape);

#endif
