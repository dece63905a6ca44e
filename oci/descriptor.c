#include "oci/descriptor.h"

#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define MAX_MEDIA_TYPE 255	/* RFC 6838: 127 on either side of the slash */

void oci_descriptor_done(struct oci_descriptor *desc)
{
	int saved = errno;

	if (desc->platform)
		oci_platform_done(desc->platform);
	free(desc->platform);
	free(desc->media_text);
	free(desc->artifact_type);
	ib_json_free(desc->annotations);
	*desc = (struct oci_descriptor){0};
	errno = saved;
}

void oci_descriptor_copy(struct oci_descriptor *to, const struct oci_descriptor *from)
{
	struct oci_descriptor copy = *from;

	copy.media_text = ib_strdup_null(from->media_text);
	copy.artifact_type = ib_strdup_null(from->artifact_type);
	if (from->platform) {
		copy.platform = ib_new(struct oci_platform);
		oci_platform_copy(copy.platform, from->platform);
	}
	if (from->annotations)
		copy.annotations = ib_json_copy(from->annotations);
	oci_descriptor_done(to);
	*to = copy;
}

const char *oci_descriptor_media_str(const struct oci_descriptor *desc)
{
	return desc->media_text ? desc->media_text : oci_media_str(desc->media);
}

const char *oci_descriptor_annotation(const struct oci_descriptor *desc, const char *key)
{
	return ib_json_get_string(desc->annotations, key);
}

void oci_descriptor_annotate(struct oci_descriptor *desc, const char *key, const char *value)
{
	if (!desc->annotations)
		desc->annotations = ib_json_object();
	ib_json_set(desc->annotations, key, ib_json_string(value));
}

static int parse_media(const struct ib_json *json, struct oci_descriptor *desc, struct ib_err *err)
{
	const char *text = ib_json_get_string(json, "mediaType");

	if (!text || !*text)
		return ib_fail(err, IB_INVALID, "descriptor has no mediaType");
	if (strlen(text) > MAX_MEDIA_TYPE)
		return ib_fail(err, IB_INVALID, "descriptor has a mediaType of more than %d bytes", MAX_MEDIA_TYPE);
	desc->media = oci_media_parse(text);
	if (desc->media == OCI_MEDIA_OTHER || desc->media == OCI_MEDIA_FOREIGN_LAYER)
		desc->media_text = ib_strdup(text);
	return 0;
}

static int parse_platform(const struct ib_json *json, struct oci_descriptor *desc, struct ib_err *err)
{
	const struct ib_json *p = ib_json_get(json, "platform");
	const char *os, *architecture;

	if (!p)
		return 0;
	if (p->type != IB_JSON_OBJECT)
		return ib_fail(err, IB_INVALID, "platform of a descriptor is no object");
	os = ib_json_get_string(p, "os");
	architecture = ib_json_get_string(p, "architecture");
	desc->platform = ib_new(struct oci_platform);
	desc->platform->os = ib_strdup(os ? os : "");
	desc->platform->architecture = ib_strdup(architecture ? architecture : "");
	desc->platform->variant = ib_strdup_null(ib_json_get_string(p, "variant"));
	desc->platform->os_version = ib_strdup_null(ib_json_get_string(p, "os.version"));
	return 0;
}

static int parse_annotations(const struct ib_json *json, struct oci_descriptor *desc, struct ib_err *err)
{
	const struct ib_json *annotations = ib_json_get(json, "annotations");

	if (!annotations)
		return 0;
	if (annotations->type != IB_JSON_OBJECT)
		return ib_fail(err, IB_INVALID, "annotations of a descriptor are no object");
	for (size_t i = 0; i < annotations->n; i++)
		if (annotations->child[i]->type != IB_JSON_STRING)
			return ib_fail(err, IB_INVALID, "an annotation of a descriptor is no string");
	desc->annotations = ib_json_copy(annotations);
	return 0;
}

int oci_descriptor_parse(const struct ib_json *json, struct oci_descriptor *ret_desc, struct ib_err *err)
{
	oci_autodescriptor desc = {0};
	const char *digest = ib_json_get_string(json, "digest");

	if (!json || json->type != IB_JSON_OBJECT)
		return ib_fail(err, IB_INVALID, "descriptor is no object");
	if (parse_media(json, &desc, err) < 0)
		return -1;
	if (!digest)
		return ib_fail(err, IB_INVALID, "descriptor has no digest");
	if (oci_digest_parse(digest, &desc.digest, err) < 0)
		return ib_wrap(err, "descriptor");
	if (!ib_json_get_int(json, "size", &desc.size) || desc.size < 0)
		return ib_fail(err, IB_INVALID, "descriptor of %s has no valid size", digest);
	if (parse_platform(json, &desc, err) < 0 || parse_annotations(json, &desc, err) < 0)
		return -1;
	desc.artifact_type = ib_strdup_null(ib_json_get_string(json, "artifactType"));
	oci_descriptor_done(ret_desc);
	*ret_desc = desc;
	desc = (struct oci_descriptor){0};
	return 0;
}

static void set_string(struct ib_json *object, const char *key, const char *value)
{
	if (value && *value)
		ib_json_set(object, key, ib_json_string(value));
}

static struct ib_json *platform_json(const struct oci_platform *platform)
{
	struct ib_json *json = ib_json_object();

	ib_json_set(json, "architecture", ib_json_string(platform->architecture ? platform->architecture : ""));
	ib_json_set(json, "os", ib_json_string(platform->os ? platform->os : ""));
	set_string(json, "os.version", platform->os_version);
	set_string(json, "variant", platform->variant);
	return json;
}

struct ib_json *oci_descriptor_json(const struct oci_descriptor *desc)
{
	struct ib_json *json = ib_json_object();
	char digest[OCI_DIGEST_SIZE];

	ib_json_set(json, "mediaType", ib_json_string(oci_descriptor_media_str(desc)));
	ib_json_set(json, "digest", ib_json_string(oci_digest_str(&desc->digest, digest)));
	ib_json_set(json, "size", ib_json_int(desc->size));
	if (desc->annotations && desc->annotations->n) {
		struct ib_json *annotations = ib_json_copy(desc->annotations);

		ib_json_sort(annotations);
		ib_json_set(json, "annotations", annotations);
	}
	if (desc->platform)
		ib_json_set(json, "platform", platform_json(desc->platform));
	set_string(json, "artifactType", desc->artifact_type);
	return json;
}
