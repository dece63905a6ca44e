/*
 * oci/manifest.h - image manifests and image indexes (image-spec manifest.md, image-index.md; Docker
 * schema 2). Documents that were read keep their bytes, so their digest stays what it was.
 */
#ifndef OCI_MANIFEST_H
#define OCI_MANIFEST_H

#include "oci/descriptor.h"

#define OCI_MANIFEST_MAX_BYTES (4u << 20)	/* what registries accept at most */
#define OCI_MAX_LAYERS 500			/* overlayfs takes no deeper stack */

struct oci_manifest {
	enum oci_media media;	/* OCI_MEDIA_MANIFEST or OCI_MEDIA_DOCKER_MANIFEST */
	struct oci_descriptor config;
	struct oci_descriptor *layers;	/* lowest first */
	size_t n_layers;
	struct ib_json *json;	/* the whole document, unknown fields included; NULL for one being made */
};

void oci_manifest_free(struct oci_manifest *manifest);
IB_DEFINE_FREE(oci_manifest);

/*
 * Parse. expected is the media type that the descriptor or the Content-Type gave (OCI_MEDIA_OTHER when
 * unknown): a mediaType in the document must agree with it. Fails with IB_INVALID (also for a document
 * with both layers and manifests, and for schema 1, each with its own words) or IB_LIMIT.
 */
int oci_manifest_parse(const char *bytes, size_t len, enum oci_media expected,
		       struct oci_manifest **ret_manifest, struct ib_err *err);

/* Make a manifest of these parts: its bytes (caller's) and descriptor. annotations may be NULL. */
void oci_manifest_write(enum oci_media media, const struct oci_descriptor *config,
			const struct oci_descriptor *layers, size_t n_layers,
			const struct ib_json *annotations, char **ret_bytes, size_t *ret_len,
			struct oci_descriptor *ret_desc);

struct oci_index {
	enum oci_media media;	/* OCI_MEDIA_INDEX or OCI_MEDIA_DOCKER_INDEX */
	struct oci_descriptor *manifests;
	size_t n_manifests, cap;
	struct ib_json *json;	/* as read, NULL for one being made */
};

void oci_index_free(struct oci_index *index);
IB_DEFINE_FREE(oci_index);
int oci_index_parse(const char *bytes, size_t len, enum oci_media expected, struct oci_index **ret_index,
		    struct ib_err *err);

/* Serialise: unknown top-level fields of index->json are kept, manifests are written anew. */
char *oci_index_write(const struct oci_index *index, size_t *ret_len);

/*
 * The entry for wanted, skipping attestations (platform unknown/unknown). Best match, first in order wins.
 * NULL when none serves; *ret_offered (caller's) then lists the platforms there are, for the message.
 */
const struct oci_descriptor *oci_index_choose(const struct oci_index *index, const struct oci_platform *wanted,
					      char **ret_offered);

#endif
