#include "oci/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"
#include "oci/document.h"

#include "oci/base/poison.h"

/* Schema 1 had no type on the wire at times; its fields give it away. */
static bool is_schema1(const struct ib_json *json)
{
	int64_t version;

	return (ib_json_get_int(json, "schemaVersion", &version) && version == 1) ||
	       ib_json_get(json, "fsLayers");
}

static int check_shape(const struct ib_json *json, struct ib_err *err)
{
	int64_t version;

	if (json->type != IB_JSON_OBJECT)
		return ib_fail(err, IB_INVALID, "manifest is no JSON object");
	if (is_schema1(json))
		return ib_fail(err, IB_INVALID,
			       "manifest has Docker's schema 1, which is obsolete; push the image again "
			       "with a current client");
	if (!ib_json_get_int(json, "schemaVersion", &version) || version != 2)
		return ib_fail(err, IB_INVALID, "manifest has no schemaVersion 2");
	/* One document that two readers understand differently (CVE-2021-41190). */
	if (ib_json_get(json, "manifests") &&
	    (ib_json_get(json, "layers") || ib_json_get(json, "config")))
		return ib_fail(err, IB_INVALID, "manifest claims to be an image and an index at once");
	return 0;
}

static int check_media(const struct ib_json *json, enum oci_media expected, bool index,
		       enum oci_media *ret_media, struct ib_err *err)
{
	const struct ib_json *field = ib_json_get(json, "mediaType");
	const char *what = index ? "image index" : "image manifest";
	bool (*fits)(enum oci_media) = index ? oci_media_is_index : oci_media_is_manifest;
	enum oci_media media = expected;

	if (field && field->type != IB_JSON_STRING)
		return ib_fail(err, IB_INVALID, "mediaType of a manifest is no string");
	if (field && field->len) {
		ib_autofree char *shown = ib_printable(field->text, 100);

		media = oci_media_parse(field->text);
		if (!fits(media))
			return ib_fail(err, IB_INVALID, "'%s' is not the media type of an %s", shown, what);
		if (expected != OCI_MEDIA_OTHER && media != expected)
			return ib_fail(err, IB_INVALID, "manifest says it is '%s', but came as '%s'", shown,
				       oci_media_str(expected));
	} else if (media == OCI_MEDIA_OTHER) {
		if (!ib_json_get(json, index ? "manifests" : "config"))
			return ib_fail(err, IB_INVALID, "document is not an %s", what);
		media = index ? OCI_MEDIA_INDEX : OCI_MEDIA_MANIFEST;
	} else if (!fits(media)) {
		return ib_fail(err, IB_INVALID, "'%s' is not the media type of an %s", oci_media_str(media),
			       what);
	}
	*ret_media = media;
	return 0;
}

int oci_document_parse(const char *bytes, size_t len, size_t max, enum oci_media expected, bool index,
		       struct ib_json **ret_json, enum oci_media *ret_media, struct ib_err *err)
{
	ib_autojson *json = NULL;

	if (len > max)
		return ib_fail(err, IB_LIMIT, "manifest of %zu bytes is larger than %zu", len, max);
	json = ib_json_parse(bytes, len, err);
	if (!json)
		return ib_wrap(err, "manifest");
	if (check_shape(json, err) < 0 || check_media(json, expected, index, ret_media, err) < 0)
		return -1;
	*ret_json = ib_steal_ptr(&json);
	return 0;
}

int oci_document_descriptors(const struct ib_json *json, const char *key, struct oci_descriptor **ret_v,
			     size_t *ret_n, struct ib_err *err)
{
	const struct ib_json *list = ib_json_get(json, key);

	*ret_v = NULL;
	*ret_n = 0;
	if (!list)
		return 0;	/* null: what Go writes for an empty list */
	if (list->type != IB_JSON_ARRAY)
		return ib_fail(err, IB_INVALID, "'%s' of a manifest is no array", key);
	*ret_v = ib_calloc(list->n ? list->n : 1, sizeof **ret_v);
	for (; *ret_n < list->n; (*ret_n)++)
		if (oci_descriptor_parse(list->child[*ret_n], &(*ret_v)[*ret_n], err) < 0)
			return ib_wrap(err, "%s[%zu]", key, *ret_n);
	return 0;
}

void oci_document_descriptors_free(struct oci_descriptor *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		oci_descriptor_done(&v[i]);
	free(v);
}

char *oci_document_print(const struct ib_json *json, size_t *ret_len)
{
	ib_autostr out = IB_STR(SIZE_MAX / 2);	/* ours: as long as what went into it */

	ib_json_print_go(json, &out);
	*ret_len = out.len;
	return ib_str_steal(&out);
}

void oci_manifest_free(struct oci_manifest *m)
{
	if (!m)
		return;
	oci_descriptor_done(&m->config);
	oci_document_descriptors_free(m->layers, m->n_layers);
	ib_json_free(m->json);
	free(m);
}

int oci_manifest_parse(const char *bytes, size_t len, enum oci_media expected,
		       struct oci_manifest **ret_manifest, struct ib_err *err)
{
	IB_CLEANUP(oci_manifest_freep) struct oci_manifest *m = ib_new(struct oci_manifest);
	const struct ib_json *layers;

	if (oci_document_parse(bytes, len, OCI_MANIFEST_MAX_BYTES, expected, false, &m->json, &m->media, err) < 0)
		return -1;
	layers = ib_json_get(m->json, "layers");
	if (layers && layers->n > OCI_MAX_LAYERS)
		return ib_fail(err, IB_LIMIT, "manifest has %zu layers, more than %d", layers->n, OCI_MAX_LAYERS);
	if (oci_descriptor_parse(ib_json_get(m->json, "config"), &m->config, err) < 0)
		return ib_wrap(err, "config of a manifest");
	if (oci_document_descriptors(m->json, "layers", &m->layers, &m->n_layers, err) < 0)
		return -1;
	*ret_manifest = ib_steal_ptr(&m);
	return 0;
}

void oci_manifest_write(enum oci_media media, const struct oci_descriptor *config,
			const struct oci_descriptor *layers, size_t n_layers,
			const struct ib_json *annotations, char **ret_bytes, size_t *ret_len,
			struct oci_descriptor *ret_desc)
{
	ib_autojson *json = ib_json_object();
	struct ib_json *list = ib_json_array();

	for (size_t i = 0; i < n_layers; i++)
		ib_json_append(list, oci_descriptor_json(&layers[i]));
	ib_json_set(json, "schemaVersion", ib_json_int(2));
	ib_json_set(json, "mediaType", ib_json_string(oci_media_str(media)));
	ib_json_set(json, "config", oci_descriptor_json(config));
	ib_json_set(json, "layers", list);
	if (annotations && annotations->n) {
		struct ib_json *copy = ib_json_copy(annotations);

		ib_json_sort(copy);
		ib_json_set(json, "annotations", copy);
	}
	*ret_bytes = oci_document_print(json, ret_len);
	oci_descriptor_done(ret_desc);
	ret_desc->media = media;
	ret_desc->size = (int64_t)*ret_len;
	oci_digest_of(*ret_bytes, *ret_len, &ret_desc->digest);
}
