/*
 * oci/archive.h - images as files: OCI layouts (directory or tar) and docker-archives, in and out of a
 * store; a root filesystem tar made an image.
 *
 * Blobs are copied with their digests verified; nothing in an archive is trusted. An archive names blobs
 * in any order and may be a pipe: everything is streamed once.
 */
#ifndef OCI_ARCHIVE_H
#define OCI_ARCHIVE_H

#include "oci/compression.h"
#include "oci/layer-write.h"
#include "oci/manifest.h"
#include "oci/reader.h"
#include "oci/store.h"

/* One image to write: what it is and the names it gets in the archive (may be none). */
struct oci_archive_image {
	const struct oci_descriptor *desc;	/* manifest or index in the store */
	const char *const *names;		/* full references */
	size_t n_names;
	const struct ib_json *annotations;	/* for the index.json entry, or NULL */
};

/* Write an OCI layout below the directory at path (made when missing; a layout there is added to). */
int oci_layout_export(struct oci_store *store, const struct oci_archive_image *images, size_t n_images,
		      const char *path, struct ib_err *err);

/*
 * Write a tar: an OCI layout and, when docker, manifest.json beside it so that `docker load` of any age
 * reads it (index in an image: IB_UNSUPPORTED then). Entries have mtime 0; same images, same bytes.
 */
int oci_archive_export(struct oci_store *store, const struct oci_archive_image *images, size_t n_images,
		       bool docker, oci_tar_sink *sink, void *ctx, struct ib_err *err);

/* An image that was found, with the names the archive gave it. */
struct oci_archive_found {
	struct oci_descriptor desc;
	struct ib_strv names;	/* full references as written there, not normalised; may be empty */
};

struct oci_archive_list {
	struct oci_archive_found *v;
	size_t n, cap;
};

void oci_archive_list_done(struct oci_archive_list *list);

/* Copy all images of the layout directory at path into the store. Names are the caller's to set. */
int oci_layout_import(struct oci_store *store, const char *path, struct oci_archive_list *ret_list,
		      struct ib_err *err);

/*
 * The same from a stream: an OCI archive, a docker-archive (`docker save` of any age, layers repeated or
 * linked), compressed or not; told by its content. Layers of a docker-archive are stored as they are
 * (uncompressed) unless setting, which may be NULL, asks to compress them. Of an index whose images are not
 * all there, as `docker save` writes it, the one that is there is taken, or an index of those that are.
 *
 * A failed import leaves nothing in the store (but layers compressed so far, when it ends while compressing).
 * Fails with IB_INVALID, IB_MISMATCH (a blob or a diff ID), IB_NOTFOUND (a blob), IB_LIMIT, IB_NOSPACE.
 */
int oci_archive_import(struct oci_store *store, struct oci_reader *src, struct ib_pool *pool,
		       const struct oci_compression_setting *setting, struct oci_archive_list *ret_list,
		       struct ib_err *err);

struct oci_rootfs_options {
	struct oci_platform platform;
	const char *const *changes_env;	/* "K=V" */
	size_t n_changes_env;
	const char *message;		/* history comment, or NULL */
	struct timespec created;
};

/*
 * Make an image of one layer out of a root filesystem tar (compressed or not): the tar is checked entry by
 * entry and written anew as a layer. ret_desc is its manifest.
 */
int oci_rootfs_import(struct oci_store *store, struct oci_reader *src, struct ib_pool *pool,
		      const struct oci_compression_setting *setting, const struct oci_rootfs_options *options,
		      struct oci_descriptor *ret_desc, struct ib_err *err);

#endif
