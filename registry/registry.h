/*
 * registry/registry.h - a connection to one repository of a registry (OCI distribution-spec 1.1).
 *
 * A session holds what all connections of a process share: credentials, tokens, connection cache. It may be
 * shared between threads; so may a connection, whose requests then run side by side.
 */
#ifndef REGISTRY_REGISTRY_H
#define REGISTRY_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "oci/manifest.h"
#include "oci/reader.h"
#include "oci/store.h"
#include "registry/reference.h"

struct registry_session;
struct registry_conn;

struct registry_options {
	/* Hosts[:port] that may be spoken to in plain HTTP; loopback always may. Borrowed for the call. */
	const char *const *plain_http;
	size_t n_plain_http;
	const char *docker_config;	/* directory of config.json; NULL: DOCKER_CONFIG or ~/.docker */
};

int registry_session_new(const struct registry_options *options, struct registry_session **ret_session,
			 struct ib_err *err);
void registry_session_free(struct registry_session *session);
IB_DEFINE_FREE(registry_session);

/* A connection to ref's repository. Nothing is sent yet. push: write access will be needed. */
int registry_conn_new(struct registry_session *session, const struct registry_reference *ref, bool push,
		      struct registry_conn **ret_conn, struct ib_err *err);
void registry_conn_free(struct registry_conn *conn);
IB_DEFINE_FREE(registry_conn);

/*
 * HEAD (falling back to GET) of ref's manifest: its descriptor. Fails with IB_NOTFOUND, IB_DENIED
 * ("401 from HOST: ..."), IB_NETWORK, IB_INVALID.
 */
int registry_manifest_resolve(struct registry_conn *conn, const struct registry_reference *ref,
			      struct oci_descriptor *ret_desc, struct ib_err *err);

/*
 * GET a manifest or index by ref (digest before tag) or, when desc is not NULL, by desc's digest. The bytes
 * hash to the digest and, for a tag, to Docker-Content-Digest; at most OCI_MANIFEST_MAX_BYTES. ret_desc
 * may be NULL.
 */
int registry_manifest_get(struct registry_conn *conn, const struct registry_reference *ref,
			  const struct oci_descriptor *desc, char **ret_bytes, size_t *ret_len,
			  struct oci_descriptor *ret_desc, struct ib_err *err);

/* PUT manifest bytes under tag, or under their digest when tag is NULL. */
int registry_manifest_put(struct registry_conn *conn, const char *tag, const struct oci_descriptor *desc,
			  const char *bytes, size_t len, struct ib_err *err);

/*
 * Open a blob as a stream of unverified bytes: the caller wraps it in oci_verify_reader_new(). Broken
 * connections are resumed by Range inside. One thread; several blobs of one connection side by side.
 */
int registry_blob_open(struct registry_conn *conn, const struct oci_descriptor *desc,
		       struct oci_reader **ret_reader, struct ib_err *err);

/* Is the blob there? 1, 0 or -1. */
int registry_blob_exists(struct registry_conn *conn, const struct oci_descriptor *desc, struct ib_err *err);

/* Called now and then with the bytes moved so far; any thread of the transfer. */
typedef void registry_progress_fn(void *ctx, const struct oci_descriptor *desc, int64_t bytes);

/* Upload one blob out of the store unless it is there. *ret_sent (may be NULL): false when it was. */
int registry_blob_push(struct registry_conn *conn, struct oci_store *store, const struct oci_descriptor *desc,
		       registry_progress_fn *progress, void *ctx, bool *ret_sent, struct ib_err *err);

struct registry_transfer {
	registry_progress_fn *progress;	/* may be NULL */
	void *ctx;
	size_t parallel;		/* blobs at once; 0: 4 */
};

/*
 * Pull all of ref into the store: manifest (for an index: the one for platform, and the index itself), config
 * and, with layers, layer blobs side by side; blobs that the store has are not fetched. ret_desc is what
 * ref names (the index for an index). The name is not set.
 */
int registry_pull(struct registry_conn *conn, const struct registry_reference *ref, struct oci_store *store,
		  const struct oci_platform *platform, bool layers, const struct registry_transfer *transfer,
		  struct oci_descriptor *ret_desc, struct ib_err *err);

/*
 * Push desc (manifest, or index with all manifests that the store has) out of the store: blobs side by side,
 * those that are there skipped; manifests after their blobs; then every tag. With an index whose other
 * platforms are missing in the store: IB_NOTFOUND.
 */
int registry_push(struct registry_conn *conn, struct oci_store *store, const struct oci_descriptor *desc,
		  const char *const *tags, size_t n_tags, const struct registry_transfer *transfer,
		  struct ib_err *err);

#endif
