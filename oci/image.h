/*
 * oci/image.h - an image in a store: from a descriptor (index or manifest) to manifest and config of one
 * platform, with everything checked against everything.
 */
#ifndef OCI_IMAGE_H
#define OCI_IMAGE_H

#include "oci/config.h"
#include "oci/manifest.h"
#include "oci/store.h"

struct oci_image {
	struct oci_descriptor desc;	/* of the manifest chosen */
	struct oci_manifest *manifest;
	struct oci_config *config;
};

void oci_image_free(struct oci_image *image);
IB_DEFINE_FREE(oci_image);

/*
 * Load. An index is descended (two levels at most) to the manifest for wanted (NULL: the host's). Layers
 * and diff IDs must be as many. A manifest of another platform is not refused here. Fails with
 * IB_NOTFOUND (a blob, or no such platform: the ones there are named), IB_INVALID.
 */
int oci_image_load(struct oci_store *store, const struct oci_descriptor *desc,
		   const struct oci_platform *wanted, struct oci_image **ret_image, struct ib_err *err);

/*
 * Write config and manifest of an image whose layers are in the store; *ret_desc is the manifest's.
 * docker selects Docker schema 2 media types. annotations may be NULL.
 */
int oci_image_write(struct oci_store *store, const struct oci_config *config,
		    const struct oci_descriptor *layers, size_t n_layers, bool docker,
		    const struct ib_json *annotations, struct oci_descriptor *ret_desc, struct ib_err *err);

#endif
