/*
 * oci/export.h - what the exporters of archives and layouts share.
 */
#ifndef OCI_EXPORT_H
#define OCI_EXPORT_H

#include "oci/archive.h"

/*
 * The entries of an index.json for these images: one per name, or one for an image without names. Names are
 * given as BuildKit gives them: io.containerd.image.name in full, org.opencontainers.image.ref.name the tag.
 * To be freed with oci_document_descriptors_free().
 */
void oci_export_entries(const struct oci_archive_image *images, size_t n_images,
			struct oci_descriptor **ret_entries, size_t *ret_n);

/*
 * The manifest.json that `docker load` reads, for blobs that stand in blobs/. IB_UNSUPPORTED for what Docker
 * cannot load: an index, zstd or foreign layers. *ret_json is the caller's.
 */
int oci_export_docker(struct oci_store *store, const struct oci_archive_image *images, size_t n_images,
		      struct ib_json **ret_json, struct ib_err *err);

#endif
