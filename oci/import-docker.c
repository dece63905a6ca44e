#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/config.h"
#include "oci/document.h"
#include "oci/import.h"
#include "oci/members.h"

#include "oci/base/poison.h"

struct image {	/* one entry of manifest.json on its way */
	struct oci_descriptor config_desc;
	struct oci_config *config;
	size_t *layers;		/* indexes into import.known, lowest first */
	size_t n_layers;
};

static void image_done(struct image *image)
{
	oci_descriptor_done(&image->config_desc);
	oci_config_free(image->config);
	free(image->layers);
}

/* Images share layers: each file is looked at once, and compressed once. */
struct layer {
	struct oci_digest from;		/* of the file in the archive */
	struct oci_digest diff;
	struct oci_descriptor stored;	/* what it is in the store; media is set from the beginning */
	bool settled;
};

struct import {
	struct oci_intake *intake;
	const struct oci_members *members;
	const struct oci_import_layers *how;
	struct layer *known;
	size_t n_known, cap_known;
};

static void import_done(struct import *import)
{
	for (size_t i = 0; i < import->n_known; i++)
		oci_descriptor_done(&import->known[i].stored);
	free(import->known);
}

static int find(const struct import *import, const char *name, struct oci_descriptor *desc, struct ib_err *err)
{
	if (!oci_members_find(import->members, name, &desc->digest, &desc->size)) {
		ib_autofree char *shown = ib_printable(name, 200);

		return ib_fail(err, IB_NOTFOUND, "'%s' is not in the archive", shown);
	}
	return 0;
}

/* Names promise: HEX.json, sha256:HEX. Others promise nothing. */
static int check_promise(const char *name, const struct oci_digest *got, struct ib_err *err)
{
	const char *base = strrchr(name, '/');
	ib_autofree char *text = NULL;
	struct oci_digest want;
	ib_autoerr no = {0};

	base = base ? base + 1 : name;
	if (ib_starts(base, "sha256:"))
		base += strlen("sha256:");
	text = ib_asprintf("sha256:%.64s", base);
	if (oci_digest_parse(text, &want, &no) < 0 || (base[64] && strcmp(base + 64, ".json") != 0))
		return 0;
	return oci_digest_equal(&want, got) ? 0 : oci_fail_mismatch(err, &want, got);
}

static int read_config(const struct import *import, const char *name, struct image *image, struct ib_err *err)
{
	ib_autofree char *bytes = NULL;
	size_t len;

	if (find(import, name, &image->config_desc, err) < 0 ||
	    check_promise(name, &image->config_desc.digest, err) < 0 ||
	    oci_intake_get_bytes(import->intake, &image->config_desc, OCI_CONFIG_MAX_BYTES, &bytes, &len, err) < 0)
		return -1;
	image->config_desc.media = OCI_MEDIA_CONFIG;
	return oci_config_parse(bytes, len, &image->config, err);
}

static int sniff(struct oci_intake *intake, const struct oci_digest *digest, enum oci_compression *ret_found,
		 struct ib_err *err)
{
	IB_CLEANUP(oci_reader_freep) struct oci_reader *reader = NULL;
	char magic[8];
	ssize_t n;

	if (oci_intake_open(intake, digest, &reader, err) < 0)
		return -1;
	n = oci_reader_read_full(reader, magic, sizeof magic, err);
	if (n < 0)
		return -1;
	*ret_found = oci_compression_sniff(magic, (size_t)n);
	return 0;
}

static int diff_id_of(struct oci_intake *intake, const struct oci_digest *digest, struct oci_digest *ret_diff,
		      struct ib_err *err)
{
	IB_CLEANUP(oci_reader_freep) struct oci_reader *reader = NULL;
	struct oci_reader *plain;

	if (oci_intake_open(intake, digest, &reader, err) < 0 ||
	    oci_decompress_reader_new(ib_steal_ptr(&reader), NULL, &plain, err) < 0)
		return -1;
	reader = oci_hash_reader_new(plain, ret_diff);
	return oci_reader_drain(reader, err);
}

static int look_at(struct import *import, const struct oci_descriptor *file, size_t *ret_known, struct ib_err *err)
{
	struct layer layer = {.from = file->digest, .diff = file->digest};
	enum oci_compression found;

	for (*ret_known = 0; *ret_known < import->n_known; ++*ret_known)
		if (oci_digest_equal(&import->known[*ret_known].from, &file->digest))
			return 0;
	layer.stored.digest = file->digest;
	layer.stored.size = file->size;
	if (sniff(import->intake, &file->digest, &found, err) < 0 ||
	    oci_compression_media(found, false, &layer.stored.media, err) < 0)
		return -1;
	if (found != OCI_UNCOMPRESSED && diff_id_of(import->intake, &file->digest, &layer.diff, err) < 0)
		return -1;
	ib_grow(import->known, import->n_known, import->cap_known);
	import->known[import->n_known++] = layer;
	return 0;
}

/* The layer as it is in the archive must be what the config says. */
static int check_layer(struct import *import, const char *path, const struct oci_diff_id *want,
		       size_t *ret_known, struct ib_err *err)
{
	struct oci_descriptor file = {0};
	char a[OCI_DIGEST_SIZE], b[OCI_DIGEST_SIZE];
	ib_autofree char *shown = ib_printable(path, 200);
	const struct oci_digest *diff;

	if (find(import, path, &file, err) < 0)
		return -1;
	if (look_at(import, &file, ret_known, err) < 0)
		return ib_wrap(err, "layer '%s'", shown);
	diff = &import->known[*ret_known].diff;
	if (!oci_digest_equal(diff, &want->digest))
		return ib_fail(err, IB_MISMATCH, "layer '%s': its diff ID is %s, but the image wants %s", shown,
			       oci_digest_str(diff, a), oci_digest_str(&want->digest, b));
	return 0;
}

static int check_layers(struct import *import, const struct ib_json *paths, struct image *image,
			struct ib_err *err)
{
	for (size_t i = 0; i < image->n_layers; i++) {
		const struct ib_json *path = paths->child[i];

		if (path->type != IB_JSON_STRING)
			return ib_fail(err, IB_INVALID, "'Layers' is no array of strings");
		if (check_layer(import, path->text, &image->config->diff_ids[i], &image->layers[i], err) < 0)
			return -1;
	}
	return 0;
}

static int compress(struct import *import, struct layer *layer, struct ib_err *err)
{
	IB_CLEANUP(oci_reader_freep) struct oci_reader *reader = NULL;
	IB_CLEANUP(oci_layer_writer_freep) struct oci_layer_writer *writer = NULL;
	ib_autofree char *buf = ib_malloc(OCI_LAYER_BLOCK);
	struct oci_layer made = {0};
	ssize_t n;

	if (oci_intake_open(import->intake, &layer->from, &reader, err) < 0 ||
	    oci_layer_writer_new(import->how->store, import->how->pool, import->how->setting, &writer, err) < 0)
		return -1;
	while ((n = oci_reader_read(reader, buf, OCI_LAYER_BLOCK, err)) > 0)
		if (oci_layer_writer_raw(writer, buf, (size_t)n, err) < 0)
			return -1;
	if (n < 0 || oci_layer_writer_finish(writer, &made, err) < 0)
		return -1;
	oci_descriptor_copy(&layer->stored, &made.desc);
	oci_layer_done(&made);
	return 0;
}

/* Last, when all else has been checked: compressed layers are in the store at once. */
static int settle_layer(struct import *import, struct layer *layer, struct ib_err *err)
{
	const struct oci_compression_setting *setting = import->how->setting;

	if (layer->settled)
		return 0;
	layer->settled = true;
	if (!setting || setting->compression == OCI_UNCOMPRESSED || layer->stored.media != OCI_MEDIA_LAYER)
		return oci_intake_need(import->intake, &layer->stored, err);
	return compress(import, layer, err);
}

static int write_manifest(struct import *import, const struct image *image, struct oci_descriptor *ret_desc,
			  struct ib_err *err)
{
	const struct oci_platform *platform = &image->config->platform;
	struct oci_descriptor *layers = ib_calloc(image->n_layers ? image->n_layers : 1, sizeof *layers);
	ib_autofree char *bytes = NULL;
	size_t len;

	for (size_t i = 0; i < image->n_layers; i++)
		oci_descriptor_copy(&layers[i], &import->known[image->layers[i]].stored);
	oci_manifest_write(OCI_MEDIA_MANIFEST, &image->config_desc, layers, image->n_layers, NULL, &bytes, &len,
			   ret_desc);
	oci_document_descriptors_free(layers, image->n_layers);
	if (*platform->os && *platform->architecture) {
		ret_desc->platform = ib_new(struct oci_platform);
		oci_platform_copy(ret_desc->platform, platform);
	}
	return oci_import_document(import->intake, bytes, len, err);
}

static int settle(struct import *import, const struct image *image, struct oci_descriptor *ret_desc,
		  struct ib_err *err)
{
	for (size_t i = 0; i < image->n_layers; i++)
		if (settle_layer(import, &import->known[image->layers[i]], err) < 0)
			return ib_wrap(err, "layer %zu", i);
	if (oci_intake_need(import->intake, &image->config_desc, err) < 0)
		return -1;
	return write_manifest(import, image, ret_desc, err);
}

static int check_image(struct import *import, const struct ib_json *entry, struct image *image, struct ib_err *err)
{
	const char *config = ib_json_get_string(entry, "Config");
	const struct ib_json *layers = ib_json_get(entry, "Layers");
	size_t n = layers ? layers->n : 0;

	if (!config)
		return ib_fail(err, IB_INVALID, "has no 'Config'");
	if (layers && layers->type != IB_JSON_ARRAY)
		return ib_fail(err, IB_INVALID, "'Layers' is no array");
	if (read_config(import, config, image, err) < 0)
		return -1;
	if (n != image->config->n_diff_ids)
		return ib_fail(err, IB_INVALID, "has %zu layers, but its config %zu diff IDs", n,
			       image->config->n_diff_ids);
	image->n_layers = n;
	image->layers = ib_calloc(n ? n : 1, sizeof *image->layers);
	return check_layers(import, layers, image, err);
}

static int add_names(struct oci_archive_list *list, const struct oci_descriptor *desc,
		     const struct ib_json *entry, struct ib_err *err)
{
	const struct ib_json *tags = ib_json_get(entry, "RepoTags");

	if (tags && tags->type != IB_JSON_ARRAY)
		return ib_fail(err, IB_INVALID, "'RepoTags' is no array");
	oci_archive_list_add(list, desc, NULL);
	for (size_t i = 0; tags && i < tags->n; i++) {
		if (tags->child[i]->type != IB_JSON_STRING)
			return ib_fail(err, IB_INVALID, "'RepoTags' is no array of strings");
		oci_archive_list_add(list, desc, tags->child[i]->text);
	}
	return 0;
}

/* Everything is checked before anything is compressed. */
static int import_images(struct import *import, const struct ib_json *json, struct image *images,
			 struct oci_archive_list *list, struct ib_err *err)
{
	for (size_t i = 0; i < json->n; i++)
		if (check_image(import, json->child[i], &images[i], err) < 0)
			return ib_wrap(err, "manifest.json[%zu]", i);
	for (size_t i = 0; i < json->n; i++) {
		oci_autodescriptor desc = {0};

		if (settle(import, &images[i], &desc, err) < 0 || add_names(list, &desc, json->child[i], err) < 0)
			return ib_wrap(err, "manifest.json[%zu]", i);
	}
	return 0;
}

int oci_import_docker(struct oci_intake *intake, const struct oci_members *members, const char *manifest_json,
		      size_t len, const struct oci_import_layers *layers, struct oci_archive_list *list,
		      struct ib_err *err)
{
	IB_CLEANUP(import_done) struct import import = {.intake = intake, .members = members, .how = layers};
	ib_autojson *json = ib_json_parse(manifest_json, len, err);
	struct image *images;
	int r;

	if (!json)
		return ib_wrap(err, "manifest.json");
	if (json->type != IB_JSON_ARRAY)
		return ib_fail(err, IB_INVALID, "manifest.json is no array");
	if (json->n > OCI_IMPORT_MAX_DOCUMENTS)
		return ib_fail(err, IB_LIMIT, "manifest.json has more than %d images", OCI_IMPORT_MAX_DOCUMENTS);
	images = ib_calloc(json->n ? json->n : 1, sizeof *images);
	r = import_images(&import, json, images, list, err);
	for (size_t i = 0; i < json->n; i++)
		image_done(&images[i]);
	free(images);
	return r;
}
