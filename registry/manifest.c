#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "oci/base/alloc.h"
#include "registry/manifest-internal.h"
#include "registry/registry.h"
#include "registry/request.h"

#include "oci/base/poison.h"

/* Without it old registries convert to schema 1, or say that there is no such manifest. */
static const char accept_types[] =
	"application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, "
	"application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

static char *path_of(const struct registry_reference *ref, const struct oci_digest *digest)
{
	char text[OCI_DIGEST_SIZE];

	if (!digest && ref->has_digest)
		digest = &ref->digest;
	return ib_asprintf("manifests/%s", digest ? oci_digest_str(digest, text) : ref->tag);
}

static bool header_digest(const struct registry_http_stream *stream, struct oci_digest *ret_digest)
{
	const char *value = registry_http_stream_header(stream, "docker-content-digest", 0);
	ib_autoerr err = {0};	/* an algorithm that we do not know says nothing */

	return value && oci_digest_parse(value, ret_digest, &err) == 0;
}

static void digest_of(enum oci_algo algo, const char *bytes, size_t len, struct oci_digest *ret_digest)
{
	IB_CLEANUP(oci_hash_freep) struct oci_hash *hash = oci_hash_new(algo);

	oci_hash_update(hash, bytes, len);
	oci_hash_final(hash, ret_digest);
}

/* Content-Type without its parameters; NULL when it says nothing about manifests. */
static char *header_type(const struct registry_http_stream *stream)
{
	static const char *const generic[] = {"application/json", "text/plain", "application/octet-stream"};
	const char *value = registry_http_stream_header(stream, "content-type", 0);
	ib_autofree char *type = value ? ib_strndup(value, strcspn(value, "; \t")) : NULL;

	if (!type || !*type)
		return NULL;
	for (size_t i = 0; i < sizeof generic / sizeof *generic; i++)
		if (strcasecmp(type, generic[i]) == 0)
			return NULL;
	return ib_steal_ptr(&type);
}

/* image-spec: with no type told anywhere, the shape tells. */
static enum oci_media shape(const struct ib_json *json)
{
	if (ib_json_get(json, "manifests"))
		return OCI_MEDIA_INDEX;
	return ib_json_get(json, "config") && ib_json_get(json, "layers") ? OCI_MEDIA_MANIFEST : OCI_MEDIA_OTHER;
}

static int refuse_type(const char *type, const struct ib_json *json, struct ib_err *err)
{
	ib_autofree char *shown = type ? ib_printable(type, 120) : NULL;
	int64_t version;

	if ((type && strstr(type, "docker.distribution.manifest.v1+")) ||
	    (ib_json_get_int(json, "schemaVersion", &version) && version == 1))
		return ib_fail(err, IB_UNSUPPORTED, "docker schema 1 manifests are not supported; push the image again");
	if (shown)
		return ib_fail(err, IB_UNSUPPORTED, "media type '%s' is neither image manifest nor index", shown);
	return ib_fail(err, IB_INVALID, "content is neither image manifest nor index");
}

int registry_manifest_media(const char *type, const char *bytes, size_t len, enum oci_media *ret_media,
			    struct ib_err *err)
{
	ib_autojson *json = ib_json_parse(bytes, len, err);
	const char *inside = ib_json_get_string(json, "mediaType");
	enum oci_media media;

	if (!json)
		return -1;
	if (type && inside && strcasecmp(type, inside) != 0) {
		ib_autofree char *a = ib_printable(type, 120), *b = ib_printable(inside, 120);

		return ib_fail(err, IB_INVALID, "sent as '%s', but its mediaType is '%s'", a, b);
	}
	if (!type)
		type = inside;
	media = type ? oci_media_parse(type) : shape(json);
	if (!oci_media_is_index(media) && !oci_media_is_manifest(media))
		return refuse_type(type, json, err);
	*ret_media = media;
	return 0;
}

/* Descriptor out of the headers of a HEAD; false when they do not say enough. */
static bool from_headers(const struct registry_http_stream *stream, const struct registry_reference *ref,
			 struct oci_descriptor *ret_desc)
{
	ib_autofree char *type = header_type(stream);
	enum oci_media media = type ? oci_media_parse(type) : OCI_MEDIA_OTHER;
	int64_t size = registry_http_stream_length(stream);
	struct oci_digest digest;

	if (!oci_media_is_index(media) && !oci_media_is_manifest(media))
		return false;
	if (size <= 0 || size > (int64_t)OCI_MANIFEST_MAX_BYTES || !header_digest(stream, &digest))
		return false;
	if (ref->has_digest && !oci_digest_equal(&digest, &ref->digest))
		return false;	/* GET hashes the bytes and says what they are */
	*ret_desc = (struct oci_descriptor){.media = media, .digest = digest, .size = size};
	return true;
}

int registry_manifest_resolve(struct registry_conn *conn, const struct registry_reference *ref,
			      struct oci_descriptor *ret_desc, struct ib_err *err)
{
	ib_autofree char *path = path_of(ref, NULL), *bytes = NULL;
	struct registry_call call = {.method = REGISTRY_HEAD, .path = path, .accept = accept_types};
	registry_autoanswer answer = {0};
	size_t len;

	if (registry_call(conn, &call, 0, &answer, err) < 0)
		return -1;
	if (answer.status == 200 && from_headers(answer.stream, ref, ret_desc))
		return 0;
	/* Old registries leave headers out; and only GET's refusals have words. */
	return registry_manifest_get(conn, ref, NULL, &bytes, &len, ret_desc, err);
}

static int check_digest(const struct registry_answer *answer, const struct oci_digest *want,
			struct oci_digest *ret_digest, struct ib_err *err)
{
	struct oci_digest said;
	bool has_said = header_digest(answer->stream, &said);

	digest_of(want ? want->algo : OCI_SHA256, answer->body, answer->len, ret_digest);
	if (want && !oci_digest_equal(want, ret_digest))
		return oci_fail_mismatch(err, want, ret_digest);
	if (has_said && said.algo == ret_digest->algo && !oci_digest_equal(&said, ret_digest))
		return oci_fail_mismatch(err, &said, ret_digest);
	return 0;
}

static int judge(const struct registry_answer *answer, const struct registry_reference *ref,
		 const struct oci_descriptor *want, struct oci_descriptor *ret_desc, struct ib_err *err)
{
	const struct oci_digest *digest = want ? &want->digest : ref->has_digest ? &ref->digest : NULL;
	ib_autofree char *type = header_type(answer->stream);

	ret_desc->size = (int64_t)answer->len;
	if (check_digest(answer, digest, &ret_desc->digest, err) < 0)
		return -1;
	return registry_manifest_media(type, answer->body, answer->len, &ret_desc->media, err);
}

int registry_manifest_get(struct registry_conn *conn, const struct registry_reference *ref,
			  const struct oci_descriptor *desc, char **ret_bytes, size_t *ret_len,
			  struct oci_descriptor *ret_desc, struct ib_err *err)
{
	ib_autofree char *path = path_of(ref, desc ? &desc->digest : NULL);
	struct registry_call call = {.method = REGISTRY_GET, .path = path, .accept = accept_types};
	registry_autoanswer answer = {0};
	struct oci_descriptor got = {0};

	if (registry_call(conn, &call, OCI_MANIFEST_MAX_BYTES, &answer, err) < 0)
		return ib_wrap(err, "manifest %s", path + strlen("manifests/"));
	if (answer.status != 200) {
		(void)registry_call_fail(conn, &answer, err);
		return ib_wrap(err, "manifest %s", path + strlen("manifests/"));
	}
	if (judge(&answer, ref, desc, &got, err) < 0)
		return ib_wrap(err, "manifest %s", path + strlen("manifests/"));
	if (ret_desc)
		*ret_desc = got;
	*ret_bytes = ib_steal_ptr(&answer.body);
	*ret_len = answer.len;
	answer.len = 0;
	return 0;
}

int registry_manifest_put_checked(struct registry_conn *conn, const char *tag, const struct oci_descriptor *desc,
				  const char *bytes, size_t len, bool *ret_blobs_missing, struct ib_err *err)
{
	char text[OCI_DIGEST_SIZE];
	const char *name = tag ? tag : oci_digest_str(&desc->digest, text);
	ib_autofree char *path = ib_asprintf("manifests/%s", name);
	struct registry_call call = {
		.method = REGISTRY_PUT,
		.path = path,
		.content_type = oci_descriptor_media_str(desc),
		.body = bytes,
		.body_size = (int64_t)len,
	};
	registry_autoanswer answer = {0};
	struct oci_digest said;

	*ret_blobs_missing = false;
	if (registry_call(conn, &call, REGISTRY_ERROR_MAX_BYTES, &answer, err) < 0)
		return ib_wrap(err, "manifest %s", name);
	if (answer.status < 200 || answer.status > 299) {
		*ret_blobs_missing = registry_answer_says(&answer, "MANIFEST_BLOB_UNKNOWN");
		(void)registry_call_fail(conn, &answer, err);
		return ib_wrap(err, "manifest %s", name);
	}
	if (header_digest(answer.stream, &said) && said.algo == desc->digest.algo &&
	    !oci_digest_equal(&said, &desc->digest)) {
		(void)oci_fail_mismatch(err, &desc->digest, &said);
		return ib_wrap(err, "manifest %s", name);
	}
	return 0;
}

int registry_manifest_put(struct registry_conn *conn, const char *tag, const struct oci_descriptor *desc,
			  const char *bytes, size_t len, struct ib_err *err)
{
	bool missing;

	return registry_manifest_put_checked(conn, tag, desc, bytes, len, &missing, err);
}
