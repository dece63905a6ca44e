/*
 * registry/manifest-internal.h - parts of manifest.c for push.c and for tests.
 */
#ifndef REGISTRY_MANIFEST_INTERNAL_H
#define REGISTRY_MANIFEST_INTERNAL_H

#include "registry/registry.h"

/*
 * What these bytes are: type (of Content-Type; NULL when missing or generic) and the document's mediaType must
 * agree; without either its shape decides. Fails with IB_INVALID, or IB_UNSUPPORTED (schema 1, anything that
 * is neither manifest nor index).
 */
int registry_manifest_media(const char *type, const char *bytes, size_t len, enum oci_media *ret_media,
			    struct ib_err *err);

/* As registry_manifest_put(); on failure *ret_blobs_missing says whether the registry lacks blobs of it. */
int registry_manifest_put_checked(struct registry_conn *conn, const char *tag, const struct oci_descriptor *desc,
				  const char *bytes, size_t len, bool *ret_blobs_missing, struct ib_err *err);

#endif
