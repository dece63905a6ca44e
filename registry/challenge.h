/*
 * registry/challenge.h - the challenges of WWW-Authenticate (RFC 9110, 11.6.1; RFC 6750, 3).
 */
#ifndef REGISTRY_CHALLENGE_H
#define REGISTRY_CHALLENGE_H

#include <stddef.h>

#include "oci/base/cleanup.h"

struct registry_challenge {	/* every field is NULL when absent */
	char *scheme;		/* as sent; never NULL */
	char *realm;
	char *service;
	char *scope;		/* repeated ones joined by a space */
	char *error;
};

struct registry_challenges {
	struct registry_challenge *v;
	size_t n, cap;
};

void registry_challenges_done(struct registry_challenges *list);
#define registry_autochallenges IB_CLEANUP(registry_challenges_done) struct registry_challenges

/*
 * Append the challenges of one header value; call it once per header line. What does not follow the
 * grammar is skipped up to the next comma: an odd challenge must not hide the good one beside it.
 */
void registry_challenges_parse(const char *value, struct registry_challenges *list);

/* The one to answer: Bearer with a realm before Basic. NULL when there is neither. Borrowed from list. */
const struct registry_challenge *registry_challenges_choose(const struct registry_challenges *list);

#endif
