/*
 * registry/reference.h - references: what a user types to name an image ([domain/]path[:tag][@digest]).
 */
#ifndef REGISTRY_REFERENCE_H
#define REGISTRY_REFERENCE_H

#include <stdbool.h>

#include "oci/base/err.h"
#include "oci/digest.h"

struct registry_reference {
	char *host;		/* "docker.io", "localhost:5000", "[::1]:5000" */
	char *repository;	/* "library/debian" */
	char *tag;		/* "latest" unless a digest came without a tag; else NULL */
	bool has_digest;
	struct oci_digest digest;
};

void registry_reference_done(struct registry_reference *ref);
#define registry_autoreference IB_CLEANUP(registry_reference_done) struct registry_reference

/*
 * Parse by the distribution grammar, with Docker's normal form: no domain is docker.io, one component there
 * gets library/, index.docker.io is docker.io, neither tag nor digest is :latest. Fails with IB_USAGE and
 * says what is wrong (upper case, a bare 64-digit id, bad tag, bad digest, over 255 bytes).
 */
int registry_reference_parse(const char *text, struct registry_reference *ret_ref, struct ib_err *err);
void registry_reference_copy(struct registry_reference *to, const struct registry_reference *from);

/* "docker.io/library/debian:12@sha256:...": the full form, names the image in the store. The caller's. */
char *registry_reference_str(const struct registry_reference *ref);

/* "debian:12": the short form, for people. The caller's. */
char *registry_reference_familiar(const struct registry_reference *ref);

#endif
