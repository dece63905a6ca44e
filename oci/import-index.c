#include <string.h>

#include "oci/base/alloc.h"
#include "oci/document.h"
#include "oci/import.h"
#include "oci/store-internal.h"

#include "oci/base/poison.h"

#define MAX_DEPTH 3	/* an index in index.json, one in it, a manifest */

struct walk {
	struct oci_intake *intake;
	const struct oci_import_source *source;
	size_t documents;
};

int oci_import_document(struct oci_intake *intake, const char *bytes, size_t len, struct ib_err *err)
{
	struct oci_descriptor desc = {.size = (int64_t)len};

	oci_digest_of(bytes, len, &desc.digest);
	if (oci_intake_begin(intake, desc.size, &desc.digest, err) < 0 ||
	    oci_intake_write(intake, bytes, len, err) < 0 || oci_intake_end(intake, &desc.digest, err) < 0)
		return -1;
	return oci_intake_need(intake, &desc, err);
}

static int need(struct walk *w, const struct oci_descriptor *desc, struct ib_err *err)
{
	const struct oci_import_source *source = w->source;

	if (source->fetch && oci_intake_size(w->intake, &desc->digest) < 0 && source->has(source->ctx, &desc->digest) &&
	    source->fetch(source->ctx, w->intake, desc, err) < 0)
		return -1;
	return oci_intake_need(w->intake, desc, err);
}

static int read_document(struct walk *w, const struct oci_descriptor *desc, char **ret_bytes, size_t *ret_len,
			 struct ib_err *err)
{
	if (++w->documents > OCI_IMPORT_MAX_DOCUMENTS)
		return ib_fail(err, IB_LIMIT, "more than %d manifests", OCI_IMPORT_MAX_DOCUMENTS);
	if (desc->size > (int64_t)OCI_MANIFEST_MAX_BYTES)
		return ib_fail(err, IB_LIMIT, "manifest is larger than %u bytes", OCI_MANIFEST_MAX_BYTES);
	if (need(w, desc, err) < 0)
		return -1;
	return oci_intake_get_bytes(w->intake, desc, OCI_MANIFEST_MAX_BYTES, ret_bytes, ret_len, err);
}

static int take_manifest(struct walk *w, const struct oci_descriptor *desc, struct ib_err *err)
{
	IB_CLEANUP(oci_manifest_freep) struct oci_manifest *m = NULL;
	ib_autofree char *bytes = NULL;
	size_t len;

	if (read_document(w, desc, &bytes, &len, err) < 0 ||
	    oci_manifest_parse(bytes, len, desc->media, &m, err) < 0 || need(w, &m->config, err) < 0)
		return -1;
	for (size_t i = 0; i < m->n_layers; i++) {
		if (need(w, &m->layers[i], err) == 0)
			continue;
		if (err->code != IB_NOTFOUND || m->layers[i].media != OCI_MEDIA_FOREIGN_LAYER)
			return -1;
		ib_err_clear(err);	/* such layers are fetched from their own place, when they are wanted */
	}
	return 0;
}

static int take(struct walk *w, struct oci_descriptor *desc, int depth, struct ib_err *err);

/*
 * `docker save` writes the index of all platforms with the blobs of one. What is left out is no error:
 * the image becomes the one manifest there is, or an index of those that are there.
 */
static int settle(struct walk *w, struct oci_descriptor *desc, const struct oci_index *index, struct ib_err *err)
{
	const struct oci_descriptor *only = NULL;
	ib_autofree char *bytes = NULL;
	size_t images = 0, len;

	for (size_t i = 0; i < index->n_manifests; i++) {
		const struct oci_descriptor *m = &index->manifests[i];

		if (!oci_descriptor_annotation(m, "vnd.docker.reference.type")) {
			only = m;
			images++;
		}
	}
	if (images == 0)
		return ib_fail(err, IB_NOTFOUND, "none of the images of an index is in the archive");
	if (images == 1) {
		oci_descriptor_copy(desc, only);
		return 0;
	}
	bytes = oci_index_write(index, &len);
	oci_digest_of(bytes, len, &desc->digest);
	desc->size = (int64_t)len;
	return oci_import_document(w->intake, bytes, len, err);
}

/*
 * 1 when the child is taken, 0 when it is left out: neither is its document in the source, nor all that
 * belongs to it in the store.
 */
static int take_child(struct walk *w, struct oci_descriptor *child, int depth, struct ib_err *err)
{
	const struct oci_import_source *source = w->source;
	struct oci_digest digest = child->digest;
	size_t mark = oci_intake_mark(w->intake);

	if (take(w, child, depth, err) == 0)
		return 1;
	if (err->code != IB_NOTFOUND || source->has(source->ctx, &digest))
		return -1;
	ib_err_clear(err);	/* a platform that was not saved */
	oci_intake_rollback(w->intake, mark);
	return 0;
}

static int take_index(struct walk *w, struct oci_descriptor *desc, int depth, struct ib_err *err)
{
	IB_CLEANUP(oci_index_freep) struct oci_index *index = NULL;
	ib_autofree char *bytes = NULL;
	bool changed = false;
	size_t len, kept = 0;

	if (read_document(w, desc, &bytes, &len, err) < 0 ||
	    oci_index_parse(bytes, len, desc->media, &index, err) < 0)
		return -1;
	for (size_t i = 0; i < index->n_manifests; i++) {
		struct oci_descriptor child = index->manifests[i];
		struct oci_digest before = child.digest;
		int r;

		index->manifests[i] = (struct oci_descriptor){0};
		r = take_child(w, &child, depth + 1, err);
		changed = changed || r == 0 || !oci_digest_equal(&before, &child.digest);
		if (r > 0)
			index->manifests[kept++] = child;
		else
			oci_descriptor_done(&child);
		if (r < 0)
			return -1;
	}
	index->n_manifests = kept;
	return changed ? settle(w, desc, index, err) : 0;
}

/* Mark what desc refers to. desc may become another one: see settle(). */
static int take(struct walk *w, struct oci_descriptor *desc, int depth, struct ib_err *err)
{
	char text[OCI_DIGEST_SIZE];
	int r;

	if (depth == MAX_DEPTH)
		return ib_fail(err, IB_INVALID, "image indexes are nested too deeply");
	oci_digest_str(&desc->digest, text);
	if (oci_media_is_index(desc->media))
		r = take_index(w, desc, depth, err);
	else if (oci_media_is_manifest(desc->media))
		r = take_manifest(w, desc, err);
	else
		r = need(w, desc, err);
	return r < 0 && err->code != IB_NOTFOUND ? ib_wrap(err, "image %s", text) : r;
}

static const char *name_of(const struct oci_descriptor *entry)
{
	const char *name = oci_descriptor_annotation(entry, OCI_ANNOTATION_CONTAINERD);

	return name ? name : oci_descriptor_annotation(entry, OCI_ANNOTATION_REF_NAME);
}

int oci_import_index(struct oci_intake *intake, const char *index_json, size_t len,
		     const struct oci_import_source *source, struct oci_archive_list *list, struct ib_err *err)
{
	IB_CLEANUP(oci_index_freep) struct oci_index *index = NULL;
	struct walk w = {intake, source, 0};

	if (oci_index_json_parse(index_json, len, &index, err) < 0)
		return ib_wrap(err, "index.json");
	for (size_t i = 0; i < index->n_manifests; i++) {
		oci_autodescriptor desc = {0};

		oci_descriptor_copy(&desc, &index->manifests[i]);
		if (!oci_media_is_index(desc.media) && !oci_media_is_manifest(desc.media))
			continue;	/* image-layout.md: what is not understood is passed over */
		if (take(&w, &desc, 0, err) < 0)
			return -1;
		oci_archive_list_add(list, &desc, name_of(&index->manifests[i]));
	}
	return 0;
}
