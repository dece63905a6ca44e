#include <string.h>

#include "oci/descriptor.h"

#include "oci/base/poison.h"

static const struct {
	const char *text;
	enum oci_media media;
} media_types[] = {	/* the first of a member is what is written */
	{"application/vnd.oci.image.index.v1+json", OCI_MEDIA_INDEX},
	{"application/vnd.oci.image.manifest.v1+json", OCI_MEDIA_MANIFEST},
	{"application/vnd.oci.image.config.v1+json", OCI_MEDIA_CONFIG},
	{"application/vnd.oci.image.layer.v1.tar", OCI_MEDIA_LAYER},
	{"application/vnd.oci.image.layer.v1.tar+gzip", OCI_MEDIA_LAYER_GZIP},
	{"application/vnd.oci.image.layer.v1.tar+zstd", OCI_MEDIA_LAYER_ZSTD},
	{"application/vnd.docker.distribution.manifest.list.v2+json", OCI_MEDIA_DOCKER_INDEX},
	{"application/vnd.docker.distribution.manifest.v2+json", OCI_MEDIA_DOCKER_MANIFEST},
	{"application/vnd.docker.container.image.v1+json", OCI_MEDIA_DOCKER_CONFIG},
	{"application/vnd.docker.image.rootfs.diff.tar.gzip", OCI_MEDIA_DOCKER_LAYER_GZIP},
	{"application/vnd.docker.image.rootfs.diff.tar", OCI_MEDIA_DOCKER_LAYER},
	{"application/vnd.oci.empty.v1+json", OCI_MEDIA_EMPTY},
	/* Never specified, written by containerd for a Docker manifest with zstd layers. */
	{"application/vnd.docker.image.rootfs.diff.tar.zstd", OCI_MEDIA_LAYER_ZSTD},
	{"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", OCI_MEDIA_FOREIGN_LAYER},
	{"application/vnd.docker.image.rootfs.foreign.diff.tar", OCI_MEDIA_FOREIGN_LAYER},
	{"application/vnd.oci.image.layer.nondistributable.v1.tar", OCI_MEDIA_FOREIGN_LAYER},
	{"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", OCI_MEDIA_FOREIGN_LAYER},
	{"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", OCI_MEDIA_FOREIGN_LAYER},
};

const char *oci_media_str(enum oci_media media)
{
	for (size_t i = 0; i < sizeof media_types / sizeof *media_types; i++)
		if (media_types[i].media == media)
			return media_types[i].text;
	return "";
}

enum oci_media oci_media_parse(const char *text)
{
	size_t n = strcspn(text, "; \t");

	for (size_t i = 0; i < sizeof media_types / sizeof *media_types; i++)
		if (strlen(media_types[i].text) == n && memcmp(media_types[i].text, text, n) == 0)
			return media_types[i].media;
	return OCI_MEDIA_OTHER;
}

bool oci_media_is_index(enum oci_media media)
{
	return media == OCI_MEDIA_INDEX || media == OCI_MEDIA_DOCKER_INDEX;
}

bool oci_media_is_manifest(enum oci_media media)
{
	return media == OCI_MEDIA_MANIFEST || media == OCI_MEDIA_DOCKER_MANIFEST;
}

bool oci_media_is_layer(enum oci_media media)
{
	return media == OCI_MEDIA_LAYER || media == OCI_MEDIA_LAYER_GZIP || media == OCI_MEDIA_LAYER_ZSTD ||
	       media == OCI_MEDIA_DOCKER_LAYER_GZIP || media == OCI_MEDIA_DOCKER_LAYER;
}

static const struct {
	enum oci_media oci, docker;
} families[] = {
	{OCI_MEDIA_INDEX, OCI_MEDIA_DOCKER_INDEX},	   {OCI_MEDIA_MANIFEST, OCI_MEDIA_DOCKER_MANIFEST},
	{OCI_MEDIA_CONFIG, OCI_MEDIA_DOCKER_CONFIG},	   {OCI_MEDIA_LAYER, OCI_MEDIA_DOCKER_LAYER},
	{OCI_MEDIA_LAYER_GZIP, OCI_MEDIA_DOCKER_LAYER_GZIP},
};

int oci_media_in_family(enum oci_media media, bool docker, enum oci_media *ret_media, struct ib_err *err)
{
	if (docker && media == OCI_MEDIA_LAYER_ZSTD)
		return ib_fail(err, IB_UNSUPPORTED,
			       "Docker manifests have no zstd layers; use OCI media types or gzip compression");
	for (size_t i = 0; i < sizeof families / sizeof *families; i++)
		if (media == families[i].oci || media == families[i].docker)
			media = docker ? families[i].docker : families[i].oci;
	*ret_media = media;
	return 0;
}
