#include <inttypes.h>
#include <stdlib.h>

#include "oci/base/alloc.h"
#include "registry/blob-internal.h"
#include "registry/manifest-internal.h"
#include "registry/registry.h"
#include "registry/transfer.h"

#include "oci/base/poison.h"

#define MAX_CONFIG_BYTES (16 << 20)	/* what the JSON parser takes at most */
#define MAX_INDEX_DEPTH 2		/* an index of indexes; nobody nests deeper */
#define PROGRESS_STEP (256 << 10)

struct pull {
	struct registry_conn *conn;
	struct oci_store *store;
	const struct registry_transfer *transfer;	/* may be NULL */
};

/* A reader that tells how much went through it. */
struct counter {
	struct oci_reader base;
	struct oci_reader *inner;
	const struct registry_transfer *transfer;
	const struct oci_descriptor *desc;
	int64_t at, told;
};

static ssize_t counter_read(struct oci_reader *base, void *buf, size_t n, struct ib_err *err)
{
	struct counter *c = (struct counter *)base;
	ssize_t got = oci_reader_read(c->inner, buf, n, err);

	if (got > 0)
		c->at += got;
	if (got >= 0 && c->at != c->told && (got == 0 || c->at - c->told >= PROGRESS_STEP)) {
		c->transfer->progress(c->transfer->ctx, c->desc, c->at);
		c->told = c->at;
	}
	return got;
}

static void counter_free(struct oci_reader *base)
{
	struct counter *c = (struct counter *)base;

	oci_reader_free(c->inner);
	free(c);
}

static struct oci_reader *counted(struct oci_reader *take_inner, const struct registry_transfer *transfer,
				  const struct oci_descriptor *desc)
{
	static const struct oci_reader_ops ops = {counter_read, counter_free};
	struct counter *c;

	if (!transfer || !transfer->progress)
		return take_inner;
	c = ib_new(struct counter);
	c->base.ops = &ops;
	c->inner = take_inner;
	c->transfer = transfer;
	c->desc = desc;
	return &c->base;
}

static int pull_blob(void *ctx, const struct oci_descriptor *desc, const atomic_bool *stop, struct ib_err *err)
{
	const struct pull *p = ctx;
	IB_CLEANUP(oci_reader_freep) struct oci_reader *reader = NULL;

	if (registry_blob_open_stoppable(p->conn, desc, stop, &reader, err) < 0)
		return -1;
	reader = counted(reader, p->transfer, desc);
	return oci_store_put(p->store, reader, desc, err);
}

static void want(const struct pull *p, const struct oci_descriptor *desc, struct registry_blobs *blobs)
{
	if (!oci_store_has(p->store, &desc->digest, desc->size))
		registry_blobs_add(blobs, desc);
	else if (p->transfer && p->transfer->progress)
		p->transfer->progress(p->transfer->ctx, desc, desc->size);
}

static int pull_parts(const struct pull *p, const struct oci_manifest *m, bool layers, struct ib_err *err)
{
	IB_CLEANUP(registry_blobs_done) struct registry_blobs blobs = {0};
	struct pull copy = *p;

	if (m->config.size > MAX_CONFIG_BYTES)
		return ib_fail(err, IB_LIMIT, "the configuration has %" PRId64 " bytes, over %d", m->config.size,
			       MAX_CONFIG_BYTES);
	want(p, &m->config, &blobs);
	for (size_t i = 0; layers && i < m->n_layers; i++)
		if (m->layers[i].media != OCI_MEDIA_FOREIGN_LAYER)	/* its home is not a registry */
			want(p, &m->layers[i], &blobs);
	return registry_transfer_run(&blobs, p->transfer ? p->transfer->parallel : 0, pull_blob, &copy, err);
}

/* The document that desc describes: out of the store, else out of the registry. Not put yet. */
static int document(const struct pull *p, const struct registry_reference *ref, const struct oci_descriptor *desc,
		    char **ret_bytes, size_t *ret_len, struct oci_descriptor *ret_got, struct ib_err *err)
{
	if (oci_store_has(p->store, &desc->digest, desc->size)) {
		oci_descriptor_copy(ret_got, desc);
		return oci_store_get_bytes(p->store, desc, OCI_MANIFEST_MAX_BYTES, ret_bytes, ret_len, err);
	}
	return registry_manifest_get(p->conn, ref, desc, ret_bytes, ret_len, ret_got, err);
}

struct target {
	const struct registry_reference *ref;
	const struct oci_platform *platform;
	bool layers;
};

static int pull_tree(const struct pull *p, const struct target *t, const struct oci_descriptor *desc, int depth,
		     struct ib_err *err);

static int pull_index(const struct pull *p, const struct target *t, const char *bytes, size_t len,
		      enum oci_media media, int depth, struct ib_err *err)
{
	IB_CLEANUP(oci_index_freep) struct oci_index *index = NULL;
	ib_autofree char *offered = NULL;
	const struct oci_descriptor *chosen;

	if (depth == MAX_INDEX_DEPTH)
		return ib_fail(err, IB_LIMIT, "indexes are nested over %d deep", MAX_INDEX_DEPTH);
	if (oci_index_parse(bytes, len, media, &index, err) < 0)
		return -1;
	chosen = oci_index_choose(index, t->platform, &offered);
	if (!chosen) {
		ib_autofree char *wanted = oci_platform_str(t->platform);
		ib_autofree char *shown = ib_printable(offered ? offered : "none", 400);

		return ib_fail(err, IB_NOTFOUND, "no image for %s; there is: %s", wanted, shown);
	}
	return pull_tree(p, t, chosen, depth + 1, err);
}

/* What a document points at comes before it: nothing in the store ever lacks its parts. */
static int pull_tree(const struct pull *p, const struct target *t, const struct oci_descriptor *desc, int depth,
		     struct ib_err *err)
{
	ib_autofree char *bytes = NULL;
	oci_autodescriptor got = {0};
	struct oci_digest stored;
	size_t len;
	int rc;

	if (document(p, t->ref, desc, &bytes, &len, &got, err) < 0)
		return -1;
	if (oci_media_is_index(got.media)) {
		rc = pull_index(p, t, bytes, len, got.media, depth, err);
	} else {
		IB_CLEANUP(oci_manifest_freep) struct oci_manifest *m = NULL;

		rc = oci_manifest_parse(bytes, len, got.media, &m, err);
		if (rc == 0)
			rc = pull_parts(p, m, t->layers, err);
	}
	return rc < 0 ? -1 : oci_store_put_bytes(p->store, bytes, len, &stored, err);
}

/* What the store has under ref's digest needs no question. */
static int resolve_stored(const struct pull *p, const struct registry_reference *ref,
			  struct oci_descriptor *ret_desc, struct ib_err *err)
{
	struct oci_descriptor desc = {.digest = ref->digest};
	ib_autoclose int fd = oci_store_get(p->store, &ref->digest, &desc.size, err);
	ib_autofree char *bytes = NULL;
	size_t len;

	if (fd < 0 || oci_store_get_bytes(p->store, &desc, OCI_MANIFEST_MAX_BYTES, &bytes, &len, err) < 0 ||
	    registry_manifest_media(NULL, bytes, len, &desc.media, err) < 0)
		return -1;
	*ret_desc = desc;
	return 0;
}

static int resolve(const struct pull *p, const struct registry_reference *ref, struct oci_descriptor *ret_desc,
		   struct ib_err *err)
{
	if (ref->has_digest && oci_store_has(p->store, &ref->digest, -1))
		return resolve_stored(p, ref, ret_desc, err);
	return registry_manifest_resolve(p->conn, ref, ret_desc, err);
}

int registry_pull(struct registry_conn *conn, const struct registry_reference *ref, struct oci_store *store,
		  const struct oci_platform *platform, bool layers, const struct registry_transfer *transfer,
		  struct oci_descriptor *ret_desc, struct ib_err *err)
{
	struct pull p = {.conn = conn, .store = store, .transfer = transfer};
	struct target t = {.ref = ref, .platform = platform, .layers = layers};
	oci_autodescriptor desc = {0};

	if (resolve(&p, ref, &desc, err) < 0 || pull_tree(&p, &t, &desc, 0, err) < 0)
		return -1;
	*ret_desc = desc;
	desc = (struct oci_descriptor){0};
	return 0;
}
