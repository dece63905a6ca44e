/*
 * builder/exec/image.h - images that a build starts from or copies from: found in the store by name, or in
 * their registry.
 */
#ifndef BUILDER_EXEC_IMAGE_H
#define BUILDER_EXEC_IMAGE_H

#include "builder/progress/progress.h"
#include "oci/image.h"
#include "registry/registry.h"

/* All images of a build; may be shared between threads once they are resolved. */
struct exec_images;

/* An image whose manifest and configuration are in the store; its layers may still be in the registry. */
struct exec_image;

/* pull: ask the registry even when the store has the name. session is made when first needed. */
struct exec_images *exec_images_new(struct oci_store *store, const struct registry_options *registry, bool pull,
				    struct builder_progress *progress);
void exec_images_free(struct exec_images *images);
IB_DEFINE_FREE(exec_images);

/*
 * Find name for platform. A single manifest of another platform is taken with a warning; an index must have
 * the platform. The result is owned by images.
 */
int exec_image_resolve(struct exec_images *images, const char *name, const struct oci_platform *platform,
		       struct exec_image **ret_image, struct ib_err *err);

const struct oci_config *exec_image_config(const struct exec_image *image);
const char *exec_image_name(const struct exec_image *image);	/* the full reference */
size_t exec_image_layers(const struct exec_image *image);
const struct oci_descriptor *exec_image_layer(const struct exec_image *image, size_t index);
const struct oci_descriptor *exec_image_desc(const struct exec_image *image);	/* of its manifest */

/*
 * Open layer index as a stream of its compressed bytes, verified; what comes from the registry goes into the
 * store on the way and is there once the end was read.
 */
int exec_image_layer_open(struct exec_image *image, size_t index, struct oci_reader **ret_reader,
			  struct ib_err *err);

/* Fetch the layers that are not in the store yet, side by side, and give the image its name there. */
int exec_image_fetch(struct exec_image *image, int progress_step, struct ib_err *err);

/* The name alone, when all layers are there already; nothing is fetched. */
int exec_image_name_if_complete(struct exec_image *image, struct ib_err *err);

#endif
