#include <string.h>

#include "oci/base/alloc.h"
#include "oci/export.h"
#include "oci/store-internal.h"

#include "oci/base/poison.h"

/* The tag of "host:5000/path:tag@digest"; NULL when it has none. The caller's. */
static char *tag_of(const char *name)
{
	size_t n = strcspn(name, "@");
	ib_autofree char *copy = ib_strndup(name, n);
	const char *slash = strrchr(copy, '/');
	const char *colon = strrchr(slash ? slash : copy, ':');

	return colon && colon[1] ? ib_strdup(colon + 1) : NULL;
}

static void make_entry(const struct oci_archive_image *image, const char *name, struct oci_descriptor *entry)
{
	ib_autofree char *tag = name ? tag_of(name) : NULL;
	const struct ib_json *more = image->annotations;

	oci_descriptor_copy(entry, image->desc);
	for (size_t i = 0; more && i < more->n; i++)
		if (more->child[i]->type == IB_JSON_STRING)
			oci_descriptor_annotate(entry, more->child[i]->key, more->child[i]->text);
	if (name)
		oci_descriptor_annotate(entry, OCI_ANNOTATION_CONTAINERD, name);
	if (tag)
		oci_descriptor_annotate(entry, OCI_ANNOTATION_REF_NAME, tag);
}

void oci_export_entries(const struct oci_archive_image *images, size_t n_images,
			struct oci_descriptor **ret_entries, size_t *ret_n)
{
	struct oci_descriptor *entries;
	size_t n = 0;

	for (size_t i = 0; i < n_images; i++)
		n += images[i].n_names ? images[i].n_names : 1;
	*ret_entries = entries = ib_calloc(n ? n : 1, sizeof *entries);
	*ret_n = n;
	for (size_t i = 0; i < n_images; i++) {
		for (size_t k = 0; k < images[i].n_names; k++)
			make_entry(&images[i], images[i].names[k], entries++);
		if (!images[i].n_names)
			make_entry(&images[i], NULL, entries++);
	}
}

/* "debian:12" for "docker.io/library/debian:12": what docker save writes. */
static const char *familiar(const char *name)
{
	static const char hub[] = "docker.io/", official[] = "library/";

	if (!ib_starts(name, hub))
		return name;
	name += strlen(hub);
	return ib_starts(name, official) && !strchr(name + strlen(official), '/') ? name + strlen(official) : name;
}

static struct ib_json *blob_path(const struct oci_digest *digest)
{
	char hex[OCI_DIGEST_SIZE];
	ib_autofree char *path = ib_asprintf("blobs/%s/%s", oci_algo_name(digest->algo), oci_digest_hex(digest, hex));

	return ib_json_string(path);
}

/* Docker reads the first bytes of a layer, not its media type; but there are things it knows not. */
static int check_layer(const struct oci_descriptor *layer, struct ib_err *err)
{
	if (layer->media == OCI_MEDIA_LAYER_ZSTD)
		return ib_fail(err, IB_UNSUPPORTED,
			       "a docker archive cannot have zstd layers; write it with compression=gzip and "
			       "force-compression=true, or as type=oci");
	if (!oci_media_is_layer(layer->media))
		return ib_fail(err, IB_UNSUPPORTED, "a docker archive cannot have layers of the type '%s'",
			       oci_descriptor_media_str(layer));
	return 0;
}

static int describe(struct oci_store *store, const struct oci_archive_image *image, struct ib_json *entry,
		    struct ib_err *err)
{
	IB_CLEANUP(oci_manifest_freep) struct oci_manifest *m = NULL;
	struct ib_json *tags = ib_json_array(), *layers = ib_json_array();
	ib_autofree char *bytes = NULL;
	size_t len;

	ib_json_set(entry, "Config", ib_json_null());
	ib_json_set(entry, "RepoTags", tags);
	ib_json_set(entry, "Layers", layers);
	if (!oci_media_is_manifest(image->desc->media))
		return ib_fail(err, IB_UNSUPPORTED, "a docker archive holds images of one platform; choose one");
	if (oci_store_get_bytes(store, image->desc, OCI_MANIFEST_MAX_BYTES, &bytes, &len, err) < 0 ||
	    oci_manifest_parse(bytes, len, image->desc->media, &m, err) < 0)
		return -1;
	ib_json_set(entry, "Config", blob_path(&m->config.digest));
	for (size_t i = 0; i < image->n_names; i++)
		ib_json_append(tags, ib_json_string(familiar(image->names[i])));
	for (size_t i = 0; i < m->n_layers; i++) {
		if (check_layer(&m->layers[i], err) < 0)
			return -1;
		ib_json_append(layers, blob_path(&m->layers[i].digest));
	}
	return 0;
}

int oci_export_docker(struct oci_store *store, const struct oci_archive_image *images, size_t n_images,
		      struct ib_json **ret_json, struct ib_err *err)
{
	ib_autojson *json = ib_json_array();

	for (size_t i = 0; i < n_images; i++) {
		ib_json_append(json, ib_json_object());
		if (describe(store, &images[i], json->child[i], err) < 0)
			return -1;
	}
	*ret_json = ib_steal_ptr(&json);
	return 0;
}
