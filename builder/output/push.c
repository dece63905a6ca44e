/* --push: every name to its registry. */
#include "builder/output/output.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

static void show_progress(void *ctx, const struct oci_descriptor *desc, int64_t bytes)
{
	const struct builder_export *export = ctx;
	char text[OCI_DIGEST_SIZE];
	ib_autofree char *id = ib_asprintf("pushing %.19s", oci_digest_str(&desc->digest, text));

	builder_progress_transfer(export->progress, export->step, id, bytes, desc->size, bytes == desc->size);
}

static int push_one(struct registry_session *session, const struct builder_export *export, const char *name,
		    struct ib_err *err)
{
	IB_CLEANUP(registry_conn_freep) struct registry_conn *conn = NULL;
	/* The callback's context is void * for all its users; this one only reads it. */
	union {
		const struct builder_export *in;
		void *out;
	} ctx = {.in = export};
	struct registry_transfer transfer = {.progress = show_progress, .ctx = ctx.out};
	registry_autoreference ref = {0};
	const char *tag;

	if (registry_reference_parse(name, &ref, err) < 0)
		return -1;
	if (ref.has_digest)
		return ib_fail(err, IB_USAGE, "cannot push to '%s': a name with a digest can't be chosen", name);
	tag = ref.tag;
	if (registry_conn_new(session, &ref, true, &conn, err) < 0 ||
	    registry_push(conn, export->store, export->manifest, &tag, 1, &transfer, err) < 0)
		return ib_wrap(err, "cannot push %s", name);
	return 0;
}

int builder_export_push(const struct builder_export *export, struct ib_err *err)
{
	IB_CLEANUP(registry_session_freep) struct registry_session *session = NULL;

	if (!export->names.n)
		return ib_fail(err, IB_USAGE, "nothing to push: name the image with --tag");
	if (registry_session_new(export->registry, &session, err) < 0)
		return -1;
	for (size_t i = 0; i < export->names.n; i++)
		if (push_one(session, export, export->names.v[i], err) < 0)
			return -1;
	return 0;
}
