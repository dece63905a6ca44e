/*
 * oci/document.h - what image manifests and image indexes have in common as JSON documents. For the files
 * of this folder.
 */
#ifndef OCI_DOCUMENT_H
#define OCI_DOCUMENT_H

#include "oci/descriptor.h"

/*
 * Parse at most max bytes and check what both kinds demand: schemaVersion 2, one kind at a time, a media
 * type of the kind asked for that agrees with expected. Fails with IB_INVALID or IB_LIMIT.
 */
int oci_document_parse(const char *bytes, size_t len, size_t max, enum oci_media expected, bool index,
		       struct ib_json **ret_json, enum oci_media *ret_media, struct ib_err *err);

/*
 * The descriptors in the array member key (missing or null: none). On failure too *ret_v and *ret_n hold
 * what was read and are the caller's to free.
 */
int oci_document_descriptors(const struct ib_json *json, const char *key, struct oci_descriptor **ret_v,
			     size_t *ret_n, struct ib_err *err);
void oci_document_descriptors_free(struct oci_descriptor *take_v, size_t n);

/* Compact text with Go's escapes; the caller's. */
char *oci_document_print(const struct ib_json *json, size_t *ret_len);

/* As oci_index_parse(), with the limit of an index.json, which lists every name of a store. */
struct oci_index;
int oci_index_json_parse(const char *bytes, size_t len, struct oci_index **ret_index, struct ib_err *err);

#endif
