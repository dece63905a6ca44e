#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"
#include "oci/document.h"
#include "oci/manifest.h"

#include "oci/base/poison.h"

void oci_index_free(struct oci_index *index)
{
	if (!index)
		return;
	oci_document_descriptors_free(index->manifests, index->n_manifests);
	ib_json_free(index->json);
	free(index);
}

static int parse(const char *bytes, size_t len, size_t max, enum oci_media expected,
		 struct oci_index **ret_index, struct ib_err *err)
{
	IB_CLEANUP(oci_index_freep) struct oci_index *index = ib_new(struct oci_index);

	if (oci_document_parse(bytes, len, max, expected, true, &index->json, &index->media, err) < 0)
		return -1;
	if (oci_document_descriptors(index->json, "manifests", &index->manifests, &index->n_manifests, err) < 0)
		return -1;
	index->cap = index->n_manifests;
	*ret_index = ib_steal_ptr(&index);
	return 0;
}

int oci_index_parse(const char *bytes, size_t len, enum oci_media expected, struct oci_index **ret_index,
		    struct ib_err *err)
{
	return parse(bytes, len, OCI_MANIFEST_MAX_BYTES, expected, ret_index, err);
}

int oci_index_json_parse(const char *bytes, size_t len, struct oci_index **ret_index, struct ib_err *err)
{
	return parse(bytes, len, IB_JSON_MAX_BYTES, OCI_MEDIA_INDEX, ret_index, err);
}

char *oci_index_write(const struct oci_index *index, size_t *ret_len)
{
	ib_autojson *json = ib_json_object();
	struct ib_json *list = ib_json_array();

	for (size_t i = 0; i < index->n_manifests; i++)
		ib_json_append(list, oci_descriptor_json(&index->manifests[i]));
	ib_json_set(json, "schemaVersion", ib_json_int(2));
	ib_json_set(json, "mediaType", ib_json_string(oci_media_str(index->media)));
	ib_json_set(json, "manifests", list);
	for (size_t i = 0; index->json && i < index->json->n; i++) {
		const struct ib_json *member = index->json->child[i];

		if (!ib_json_get(json, member->key))
			ib_json_set(json, member->key, ib_json_copy(member));
	}
	return oci_document_print(json, ret_len);
}

static bool is_attestation(const struct oci_descriptor *desc)
{
	return oci_descriptor_annotation(desc, "vnd.docker.reference.type") ||
	       (desc->platform && strcmp(desc->platform->os, "unknown") == 0);
}

#define OFFERED_MAX 1000	/* bytes of an error message */

static char *list_platforms(const struct oci_index *index)
{
	ib_autostr out = IB_STR(OFFERED_MAX);

	for (size_t i = 0; i < index->n_manifests; i++) {
		const struct oci_descriptor *desc = &index->manifests[i];
		ib_autofree char *text = NULL, *shown = NULL;

		if (!desc->platform || is_attestation(desc))
			continue;
		text = oci_platform_str(desc->platform);
		shown = ib_printable(text, 60);
		ib_str_addf(&out, "%s%s", out.len ? ", " : "", shown);
	}
	return ib_str_steal(&out);
}

const struct oci_descriptor *oci_index_choose(const struct oci_index *index, const struct oci_platform *wanted,
					      char **ret_offered)
{
	const struct oci_descriptor *best = NULL, *bare = NULL;
	int best_score = 0;

	for (size_t i = 0; i < index->n_manifests; i++) {
		const struct oci_descriptor *desc = &index->manifests[i];
		int score;

		if (is_attestation(desc) || (!oci_media_is_manifest(desc->media) && !oci_media_is_index(desc->media)))
			continue;
		/* Written without a platform by tools that know a single one; better than nothing. */
		if (!desc->platform) {
			bare = bare || desc->artifact_type ? bare : desc;
			continue;
		}
		score = oci_platform_match(wanted, desc->platform);
		if (score > best_score) {
			best = desc;
			best_score = score;
		}
	}
	if (!best)
		best = bare;
	if (!best && ret_offered)
		*ret_offered = list_platforms(index);
	return best;
}
