/*
 * oci/import.h - what the importers of archives and layouts share.
 */
#ifndef OCI_IMPORT_H
#define OCI_IMPORT_H

#include "oci/archive.h"
#include "oci/intake.h"

#define OCI_IMPORT_MAX_DOCUMENTS 4096	/* manifests and indexes looked at in one import */

/* Add an image, or a name to the one of that digest that is there. name may be NULL. */
void oci_archive_list_add(struct oci_archive_list *list, const struct oci_descriptor *desc, const char *name);

/* Where the blobs of an index.json are. */
struct oci_import_source {
	/* Is a blob of this digest there? */
	bool (*has)(void *ctx, const struct oci_digest *digest);
	/* Bring one into the intake; NULL where all that there is has come already. */
	int (*fetch)(void *ctx, struct oci_intake *intake, const struct oci_descriptor *desc, struct ib_err *err);
	void *ctx;
};

/* The images of an index.json: everything they refer to is marked as needed. */
int oci_import_index(struct oci_intake *intake, const char *index_json, size_t len,
		     const struct oci_import_source *source, struct oci_archive_list *list, struct ib_err *err);

/* A document made here; needed. */
int oci_import_document(struct oci_intake *intake, const char *bytes, size_t len, struct ib_err *err);

struct oci_members;

struct oci_import_layers {	/* how the layers of a docker-archive are stored */
	struct oci_store *store;
	struct ib_pool *pool;
	const struct oci_compression_setting *setting;	/* NULL: as they are */
};

/* The images of a docker-archive's manifest.json. */
int oci_import_docker(struct oci_intake *intake, const struct oci_members *members, const char *manifest_json,
		      size_t len, const struct oci_import_layers *layers, struct oci_archive_list *list,
		      struct ib_err *err);

#endif
