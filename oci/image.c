#include "oci/image.h"

#include <stdlib.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"
#include "oci/document.h"
#include "oci/store-internal.h"

#include "oci/base/poison.h"

#define MAX_INDEX_DEPTH 2	/* an index, and one in it, as BuildKit and index.json make them */

void oci_image_free(struct oci_image *image)
{
	if (!image)
		return;
	oci_descriptor_done(&image->desc);
	oci_manifest_free(image->manifest);
	oci_config_free(image->config);
	free(image);
}

static int descend(struct oci_store *store, const struct oci_platform *wanted, struct oci_descriptor *desc,
		   struct ib_err *err)
{
	IB_CLEANUP(oci_index_freep) struct oci_index *index = NULL;
	ib_autofree char *bytes = NULL, *offered = NULL;
	const struct oci_descriptor *chosen;
	size_t len;

	if (oci_store_get_bytes(store, desc, OCI_MANIFEST_MAX_BYTES, &bytes, &len, err) < 0 ||
	    oci_index_parse(bytes, len, desc->media, &index, err) < 0)
		return -1;
	chosen = oci_index_choose(index, wanted, &offered);
	if (!chosen) {
		ib_autofree char *text = oci_platform_str(wanted);

		return ib_fail(err, IB_NOTFOUND, "image is not there for %s; it is for: %s", text,
			       *offered ? offered : "no platform at all");
	}
	oci_descriptor_copy(desc, chosen);
	return 0;
}

static int find_manifest(struct oci_store *store, const struct oci_platform *wanted,
			 struct oci_descriptor *desc, struct ib_err *err)
{
	oci_autoplatform host = {0};

	if (!wanted) {
		oci_platform_host(&host);
		wanted = &host;
	}
	for (int depth = 0; oci_media_is_index(desc->media); depth++) {
		if (depth == MAX_INDEX_DEPTH)
			return ib_fail(err, IB_INVALID, "image indexes are nested too deeply");
		if (descend(store, wanted, desc, err) < 0)
			return -1;
	}
	if (!oci_media_is_manifest(desc->media)) {
		ib_autofree char *shown = ib_printable(oci_descriptor_media_str(desc), 100);

		return ib_fail(err, IB_INVALID, "'%s' is no image", shown);
	}
	return 0;
}

static int load_manifest(struct oci_store *store, struct oci_image *image, struct ib_err *err)
{
	ib_autofree char *bytes = NULL;
	size_t len;

	if (oci_store_get_bytes(store, &image->desc, OCI_MANIFEST_MAX_BYTES, &bytes, &len, err) < 0)
		return -1;
	return oci_manifest_parse(bytes, len, image->desc.media, &image->manifest, err);
}

static int load_config(struct oci_store *store, struct oci_image *image, struct ib_err *err)
{
	const struct oci_descriptor *desc = &image->manifest->config;
	ib_autofree char *bytes = NULL;
	size_t len;

	if (desc->media != OCI_MEDIA_CONFIG && desc->media != OCI_MEDIA_DOCKER_CONFIG) {
		ib_autofree char *shown = ib_printable(oci_descriptor_media_str(desc), 100);

		return ib_fail(err, IB_INVALID, "manifest is of no image: its config is '%s'", shown);
	}
	if (oci_store_get_bytes(store, desc, OCI_CONFIG_MAX_BYTES, &bytes, &len, err) < 0)
		return -1;
	return oci_config_parse(bytes, len, &image->config, err);
}

static int check_layers(const struct oci_image *image, struct ib_err *err)
{
	const struct oci_manifest *m = image->manifest;

	if (m->n_layers != image->config->n_diff_ids)
		return ib_fail(err, IB_INVALID, "manifest has %zu layers, but its config %zu diff IDs", m->n_layers,
			       image->config->n_diff_ids);
	for (size_t i = 0; i < m->n_layers; i++) {
		const struct oci_descriptor *layer = &m->layers[i];

		if (!oci_media_is_layer(layer->media) && layer->media != OCI_MEDIA_FOREIGN_LAYER) {
			ib_autofree char *shown = ib_printable(oci_descriptor_media_str(layer), 100);

			return ib_fail(err, IB_UNSUPPORTED, "layer %zu is of the unknown type '%s'", i, shown);
		}
	}
	return 0;
}

int oci_image_load(struct oci_store *store, const struct oci_descriptor *desc,
		   const struct oci_platform *wanted, struct oci_image **ret_image, struct ib_err *err)
{
	IB_CLEANUP(oci_image_freep) struct oci_image *image = ib_new(struct oci_image);
	char text[OCI_DIGEST_SIZE];

	oci_descriptor_copy(&image->desc, desc);
	if (find_manifest(store, wanted, &image->desc, err) < 0)
		return -1;
	if (load_manifest(store, image, err) < 0 || load_config(store, image, err) < 0 ||
	    check_layers(image, err) < 0)
		return ib_wrap(err, "manifest %s", oci_digest_str(&image->desc.digest, text));
	*ret_image = ib_steal_ptr(&image);
	return 0;
}

/* A base may be of the other family than what is written. */
static int layers_in_family(const struct oci_descriptor *layers, size_t n, bool docker,
			    struct oci_descriptor *copies, struct ib_err *err)
{
	for (size_t i = 0; i < n; i++) {
		oci_descriptor_copy(&copies[i], &layers[i]);
		if (oci_media_in_family(layers[i].media, docker, &copies[i].media, err) < 0)
			return -1;
	}
	return 0;
}

static void add_platform(struct oci_descriptor *desc, const struct oci_platform *platform)
{
	if (!platform->os || !*platform->os || !platform->architecture || !*platform->architecture)
		return;
	desc->platform = ib_new(struct oci_platform);
	oci_platform_copy(desc->platform, platform);
}

static int write_documents(struct oci_store *store, const struct oci_config *config,
			   const struct oci_descriptor *layers, size_t n_layers, bool docker,
			   const struct ib_json *annotations, struct oci_descriptor *desc, struct ib_err *err)
{
	struct oci_descriptor config_desc = {.media = docker ? OCI_MEDIA_DOCKER_CONFIG : OCI_MEDIA_CONFIG};
	ib_autofree char *config_bytes = NULL, *bytes = NULL;
	struct oci_small_blob blobs[2] = {0};

	config_bytes = oci_config_write(config, &blobs[0].n);
	if (blobs[0].n > OCI_CONFIG_MAX_BYTES)
		return ib_fail(err, IB_LIMIT, "image config grew to %zu bytes; %u are allowed", blobs[0].n,
			       OCI_CONFIG_MAX_BYTES);
	oci_digest_of(config_bytes, blobs[0].n, &config_desc.digest);
	config_desc.size = (int64_t)blobs[0].n;
	oci_manifest_write(docker ? OCI_MEDIA_DOCKER_MANIFEST : OCI_MEDIA_MANIFEST, &config_desc, layers, n_layers,
			   annotations, &bytes, &blobs[1].n, desc);
	if (blobs[1].n > OCI_MANIFEST_MAX_BYTES)
		return ib_fail(err, IB_LIMIT, "manifest grew to %zu bytes; %u are allowed", blobs[1].n,
			       OCI_MANIFEST_MAX_BYTES);
	blobs[0].bytes = config_bytes;
	blobs[0].digest = config_desc.digest;
	blobs[1].bytes = bytes;
	blobs[1].digest = desc->digest;
	return oci_store_put_small(store, blobs, 2, err);
}

int oci_image_write(struct oci_store *store, const struct oci_config *config,
		    const struct oci_descriptor *layers, size_t n_layers, bool docker,
		    const struct ib_json *annotations, struct oci_descriptor *ret_desc, struct ib_err *err)
{
	struct oci_descriptor *copies = ib_calloc(n_layers ? n_layers : 1, sizeof *copies);
	oci_autodescriptor desc = {0};
	int r = -1;

	if (n_layers != config->n_diff_ids)
		ib_fail(err, IB_INVALID, "image of %zu layers has %zu diff IDs", n_layers, config->n_diff_ids);
	else if (layers_in_family(layers, n_layers, docker, copies, err) == 0)
		r = write_documents(store, config, copies, n_layers, docker, annotations, &desc, err);
	oci_document_descriptors_free(copies, n_layers);
	if (r < 0)
		return ib_wrap(err, "cannot write the image");
	add_platform(&desc, &config->platform);
	oci_descriptor_done(ret_desc);
	*ret_desc = desc;
	desc = (struct oci_descriptor){0};
	return 0;
}
