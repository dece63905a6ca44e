#include <stdlib.h>

#include "oci/base/alloc.h"
#include "registry/blob-internal.h"
#include "registry/manifest-internal.h"
#include "registry/registry.h"
#include "registry/transfer.h"

#include "oci/base/poison.h"

#define MAX_INDEX_DEPTH 2	/* an index of indexes; nobody nests deeper */
#define MAX_DOCUMENTS 1000	/* in one push; the largest official indexes have some dozens */

struct push {
	struct registry_conn *conn;
	struct oci_store *store;
	const struct registry_transfer *transfer;	/* may be NULL */

	struct oci_manifest **manifests;	/* own the descriptors of blobs */
	size_t n_manifests, manifests_cap;
	struct oci_descriptor *documents;	/* in the order in which they may be sent; the root is the last */
	size_t n_documents, documents_cap;
	struct registry_blobs blobs;
};

static void push_done(struct push *p)
{
	for (size_t i = 0; i < p->n_manifests; i++)
		oci_manifest_free(p->manifests[i]);
	for (size_t i = 0; i < p->n_documents; i++)
		oci_descriptor_done(&p->documents[i]);
	free(p->manifests);
	free(p->documents);
	registry_blobs_done(&p->blobs);
}

static int add_document(struct push *p, const struct oci_descriptor *desc, struct ib_err *err)
{
	if (p->n_documents == MAX_DOCUMENTS)
		return ib_fail(err, IB_LIMIT, "over %d manifests", MAX_DOCUMENTS);
	ib_grow(p->documents, p->n_documents, p->documents_cap);
	p->documents[p->n_documents] = (struct oci_descriptor){0};
	oci_descriptor_copy(&p->documents[p->n_documents++], desc);
	return 0;
}

static int add_manifest(struct push *p, const char *bytes, size_t len, const struct oci_descriptor *desc,
			struct ib_err *err)
{
	struct oci_manifest *m;

	if (oci_manifest_parse(bytes, len, desc->media, &m, err) < 0)
		return -1;
	ib_grow(p->manifests, p->n_manifests, p->manifests_cap);
	p->manifests[p->n_manifests++] = m;
	registry_blobs_add(&p->blobs, &m->config);
	for (size_t i = 0; i < m->n_layers; i++)
		if (m->layers[i].media != OCI_MEDIA_FOREIGN_LAYER)	/* its home is not a registry */
			registry_blobs_add(&p->blobs, &m->layers[i]);
	return 0;
}

/* Gather desc and all below it; children come before their parent. */
static int gather(struct push *p, const struct oci_descriptor *desc, int depth, struct ib_err *err)
{
	IB_CLEANUP(oci_index_freep) struct oci_index *index = NULL;
	ib_autofree char *bytes = NULL;
	char text[OCI_DIGEST_SIZE];
	size_t len;

	if (!oci_media_is_index(desc->media) && !oci_media_is_manifest(desc->media))
		return ib_fail(err, IB_UNSUPPORTED, "%s is neither manifest nor index",
			       oci_digest_str(&desc->digest, text));
	if (depth > MAX_INDEX_DEPTH)
		return ib_fail(err, IB_LIMIT, "indexes are nested over %d deep", MAX_INDEX_DEPTH);
	if (oci_store_get_bytes(p->store, desc, OCI_MANIFEST_MAX_BYTES, &bytes, &len, err) < 0)
		return -1;
	if (oci_media_is_manifest(desc->media)) {
		if (add_manifest(p, bytes, len, desc, err) < 0)
			return -1;
		return add_document(p, desc, err);
	}
	if (oci_index_parse(bytes, len, desc->media, &index, err) < 0)
		return -1;
	for (size_t i = 0; i < index->n_manifests; i++)
		if (gather(p, &index->manifests[i], depth + 1, err) < 0)
			return -1;
	return add_document(p, desc, err);
}

static int push_blob(void *ctx, const struct oci_descriptor *desc, const atomic_bool *stop, struct ib_err *err)
{
	const struct push *p = ctx;
	struct registry_blob_watch watch = {.stop = stop};

	if (p->transfer) {
		watch.progress = p->transfer->progress;
		watch.ctx = p->transfer->ctx;
	}
	return registry_blob_push_stoppable(p->conn, p->store, desc, &watch, NULL, err);
}

static int push_blobs(struct push *p, struct ib_err *err)
{
	return registry_transfer_run(&p->blobs, p->transfer ? p->transfer->parallel : 0, push_blob, p, err);
}

static int put(struct push *p, const char *tag, const struct oci_descriptor *desc, struct ib_err *err)
{
	ib_autofree char *bytes = NULL;
	bool missing;
	size_t len;

	if (oci_store_get_bytes(p->store, desc, OCI_MANIFEST_MAX_BYTES, &bytes, &len, err) < 0)
		return -1;
	if (registry_manifest_put_checked(p->conn, tag, desc, bytes, len, &missing, err) == 0)
		return 0;
	if (!missing)
		return -1;
	ib_err_clear(err);	/* replicas lag, and collections race: look for each blob again, then it must do */
	if (push_blobs(p, err) < 0)
		return -1;
	return registry_manifest_put_checked(p->conn, tag, desc, bytes, len, &missing, err);
}

int registry_push(struct registry_conn *conn, struct oci_store *store, const struct oci_descriptor *desc,
		  const char *const *tags, size_t n_tags, const struct registry_transfer *transfer,
		  struct ib_err *err)
{
	IB_CLEANUP(push_done) struct push p = {.conn = conn, .store = store, .transfer = transfer};

	if (gather(&p, desc, 0, err) < 0 || push_blobs(&p, err) < 0)
		return -1;
	for (size_t i = 0; i + 1 < p.n_documents; i++)
		if (put(&p, NULL, &p.documents[i], err) < 0)
			return -1;
	for (size_t i = 0; i < n_tags; i++)
		if (put(&p, tags[i], desc, err) < 0)
			return -1;
	return n_tags ? 0 : put(&p, NULL, desc, err);
}
