#include "oci/reach.h"

#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define MAX_DEPTH 4		/* index.json's entry, an index, one in it, a manifest */
#define MAX_DOCUMENTS 4096	/* indexes that name each other many times must not keep us for days */

struct walk {
	struct oci_store *store;
	unsigned int flags;
	oci_reach_fn *fn;
	void *ctx;
	size_t documents;
};

static int visit(struct walk *w, const struct oci_descriptor *desc, int depth, struct ib_err *err);

static int visit_all(struct walk *w, const struct oci_descriptor *v, size_t n, int depth,
		     struct ib_err *err)
{
	for (size_t i = 0; i < n; i++)
		if (visit(w, &v[i], depth, err) < 0)
			return -1;
	return 0;
}

/* The document's children are to be visited by the caller: *ret_index or *ret_manifest, or neither. */
static int read_document(struct walk *w, const struct oci_descriptor *desc, struct oci_index **ret_index,
			 struct oci_manifest **ret_manifest, struct ib_err *err)
{
	ib_autofree char *bytes = NULL;
	char text[OCI_DIGEST_SIZE];
	bool index = oci_media_is_index(desc->media);
	size_t len;

	if (!index && !oci_media_is_manifest(desc->media))
		return 0;
	if (++w->documents > MAX_DOCUMENTS)
		return ib_fail(err, IB_LIMIT, "image refers to more than %d manifests", MAX_DOCUMENTS);
	if (oci_store_get_bytes(w->store, desc, OCI_MANIFEST_MAX_BYTES, &bytes, &len, err) == 0 &&
	    (index ? oci_index_parse(bytes, len, desc->media, ret_index, err) :
		     oci_manifest_parse(bytes, len, desc->media, ret_manifest, err)) == 0)
		return 0;
	if (w->flags & OCI_REACH_LENIENT) {
		ib_err_clear(err);	/* nothing can be known to hang on it */
		return 0;
	}
	return bytes ? ib_wrap(err, "%s", oci_digest_str(&desc->digest, text)) : -1;
}

/* What a manifest says it is about (OCI 1.1 "subject") is another image: not part of this one. */
static int visit(struct walk *w, const struct oci_descriptor *desc, int depth, struct ib_err *err)
{
	IB_CLEANUP(oci_index_freep) struct oci_index *index = NULL;
	IB_CLEANUP(oci_manifest_freep) struct oci_manifest *manifest = NULL;

	if (depth == MAX_DEPTH)
		return ib_fail(err, IB_INVALID, "image indexes are nested too deeply");
	if (desc->media == OCI_MEDIA_FOREIGN_LAYER && !oci_store_has(w->store, &desc->digest, desc->size))
		return 0;
	if (read_document(w, desc, &index, &manifest, err) < 0)
		return -1;
	if (index && visit_all(w, index->manifests, index->n_manifests, depth + 1, err) < 0)
		return -1;
	if (manifest && (visit(w, &manifest->config, depth + 1, err) < 0 ||
			 visit_all(w, manifest->layers, manifest->n_layers, depth + 1, err) < 0))
		return -1;
	return w->fn(w->ctx, desc, err);
}

int oci_reach(struct oci_store *store, const struct oci_descriptor *desc, unsigned int flags, oci_reach_fn *fn,
	      void *ctx, struct ib_err *err)
{
	struct walk w = {store, flags, fn, ctx, 0};

	return visit(&w, desc, 0, err);
}
