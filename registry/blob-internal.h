/*
 * registry/blob-internal.h - blob transfers that may be stopped one by one, for pull.c and push.c.
 */
#ifndef REGISTRY_BLOB_INTERNAL_H
#define REGISTRY_BLOB_INTERNAL_H

#include <stdatomic.h>

#include "registry/registry.h"

/* As the functions of registry.h without _stoppable; stop (may be NULL) ends them with IB_CANCELLED. */
int registry_blob_open_stoppable(struct registry_conn *conn, const struct oci_descriptor *desc,
				 const atomic_bool *stop, struct oci_reader **ret_reader, struct ib_err *err);
int registry_blob_exists_stoppable(struct registry_conn *conn, const struct oci_descriptor *desc,
				   const atomic_bool *stop, struct ib_err *err);

struct registry_blob_watch {
	registry_progress_fn *progress;	/* may be NULL */
	void *ctx;
	const atomic_bool *stop;	/* may be NULL */
};
int registry_blob_push_stoppable(struct registry_conn *conn, struct oci_store *store,
				 const struct oci_descriptor *desc, const struct registry_blob_watch *watch,
				 bool *ret_sent, struct ib_err *err);

#endif
