/*
 * oci/descriptor.h - content descriptors and media types (image-spec descriptor.md, media-types.md).
 */
#ifndef OCI_DESCRIPTOR_H
#define OCI_DESCRIPTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "oci/base/json.h"
#include "oci/digest.h"
#include "oci/platform.h"

enum oci_media {
	OCI_MEDIA_OTHER,	/* text is in descriptor.media_text */
	OCI_MEDIA_INDEX,
	OCI_MEDIA_MANIFEST,
	OCI_MEDIA_CONFIG,
	OCI_MEDIA_LAYER,	/* uncompressed tar */
	OCI_MEDIA_LAYER_GZIP,
	OCI_MEDIA_LAYER_ZSTD,
	OCI_MEDIA_DOCKER_INDEX,		/* ...docker.distribution.manifest.list.v2+json */
	OCI_MEDIA_DOCKER_MANIFEST,	/* ...docker.distribution.manifest.v2+json */
	OCI_MEDIA_DOCKER_CONFIG,	/* ...docker.container.image.v1+json */
	OCI_MEDIA_DOCKER_LAYER_GZIP,	/* ...docker.image.rootfs.diff.tar.gzip */
	OCI_MEDIA_DOCKER_LAYER,		/* ...docker.image.rootfs.diff.tar */
	OCI_MEDIA_FOREIGN_LAYER,	/* any of the nondistributable or foreign layers */
	OCI_MEDIA_EMPTY,		/* application/vnd.oci.empty.v1+json */
};

const char *oci_media_str(enum oci_media media);	/* not for OCI_MEDIA_OTHER */
enum oci_media oci_media_parse(const char *text);	/* parameters after ';' are ignored */
bool oci_media_is_index(enum oci_media media);
bool oci_media_is_manifest(enum oci_media media);
bool oci_media_is_layer(enum oci_media media);		/* not foreign ones */

/*
 * The same thing in the Docker or in the OCI family; a manifest does not mix them. What has no counterpart
 * stays as it is, but a zstd layer asked for in the Docker family is IB_UNSUPPORTED.
 */
int oci_media_in_family(enum oci_media media, bool docker, enum oci_media *ret_media, struct ib_err *err);

struct oci_descriptor {
	enum oci_media media;
	char *media_text;		/* set when media is OCI_MEDIA_OTHER or OCI_MEDIA_FOREIGN_LAYER, else NULL */
	struct oci_digest digest;
	int64_t size;			/* bytes */
	struct oci_platform *platform;	/* NULL when none; owned */
	struct ib_json *annotations;	/* NULL when none; owned object of strings */
	char *artifact_type;		/* NULL when none; owned */
};

void oci_descriptor_done(struct oci_descriptor *desc);
#define oci_autodescriptor IB_CLEANUP(oci_descriptor_done) struct oci_descriptor
void oci_descriptor_copy(struct oci_descriptor *to, const struct oci_descriptor *from);	/* to is done first */

/* The media type as text, whatever it is. Borrowed. */
const char *oci_descriptor_media_str(const struct oci_descriptor *desc);

/* An annotation's value or NULL. Borrowed. */
const char *oci_descriptor_annotation(const struct oci_descriptor *desc, const char *key);
void oci_descriptor_annotate(struct oci_descriptor *desc, const char *key, const char *value);

/* Fails with IB_INVALID: no object, missing or wrong mediaType, digest, size (0 .. INT64_MAX). */
int oci_descriptor_parse(const struct ib_json *json, struct oci_descriptor *ret_desc, struct ib_err *err);
struct ib_json *oci_descriptor_json(const struct oci_descriptor *desc);	/* keys in the spec's order */

#endif
