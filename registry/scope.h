/*
 * registry/scope.h - sets of scopes ("repository:team/app:pull,push") that a token is asked for.
 */
#ifndef REGISTRY_SCOPE_H
#define REGISTRY_SCOPE_H

#include "oci/base/str.h"

/*
 * Add the scopes of text, which blanks separate: actions of one resource are united, and everything is kept
 * sorted, so that equal sets are equal lists. The resource may hold colons (a host with its port); what is no
 * TYPE:NAME:ACTIONS stays as it is. At most 64 scopes; more are dropped.
 */
void registry_scope_merge(struct ib_strv *scopes, const char *text);

/* All of them, joined by a blank. The caller's. */
char *registry_scope_join(const struct ib_strv *scopes);

#endif
