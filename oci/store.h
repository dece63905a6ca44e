/*
 * oci/store.h - content-addressed blobs in an OCI image layout (image-layout.md, "Blobs"), and the names
 * of its index.json.
 *
 * A store is a directory that any number of processes may use at once. A blob appears whole or not at
 * all, never changes afterwards, and its bytes always hash to its name. Names are changed under a lock
 * and appear after everything they point at.
 *
 * ROOT/oci-layout, ROOT/index.json, ROOT/blobs/sha256/HEX; ROOT/index.lock guards index.json; other files
 * in ROOT belong to other rooms.
 */
#ifndef OCI_STORE_H
#define OCI_STORE_H

#include <stdbool.h>

#include "oci/descriptor.h"
#include "oci/manifest.h"
#include "oci/reader.h"

struct oci_store;	/* opaque; may be shared between threads */

/*
 * Open the layout at path, making it when create. Fails with IB_INVALID for a directory that holds
 * something else than a layout of version 1.0.0.
 */
int oci_store_open(const char *path, bool create, struct oci_store **ret_store, struct ib_err *err);
void oci_store_free(struct oci_store *store);
IB_DEFINE_FREE(oci_store);
int oci_store_dirfd(const struct oci_store *store);	/* borrowed */
const char *oci_store_path(const struct oci_store *store);	/* as given, made absolute; borrowed */

/* Is a blob of this digest and size there? (size < 0: any size) */
bool oci_store_has(struct oci_store *store, const struct oci_digest *digest, int64_t size);

/*
 * Open a blob for reading; *ret_size its length. Content is trusted: it was verified when it came in.
 * Returns a descriptor that is the caller's. Fails with IB_NOTFOUND ("blob sha256:... is not in the store").
 */
int oci_store_get(struct oci_store *store, const struct oci_digest *digest, int64_t *ret_size,
		  struct ib_err *err);

/* A small blob (config, manifest) into memory, at most max bytes. */
int oci_store_get_bytes(struct oci_store *store, const struct oci_descriptor *desc, size_t max,
			char **ret_bytes, size_t *ret_len, struct ib_err *err);

/* Put bytes; *ret_digest is their sha256. Putting what is there succeeds at once. */
int oci_store_put_bytes(struct oci_store *store, const void *bytes, size_t n,
			struct oci_digest *ret_digest, struct ib_err *err);

/*
 * Copy src to its end into the store under want->digest; one byte past want->size stops it, so a hostile
 * source cannot fill the disk. Where the blob is present src is not read. Fails with IB_MISMATCH, IB_NOSPACE,
 * IB_CANCELLED; nothing is left behind.
 */
int oci_store_put(struct oci_store *store, struct oci_reader *src, const struct oci_descriptor *want,
		  struct ib_err *err);

/*
 * A blob being written: the caller hashes; commit gives it its name. Not fsynced until commit. One thread.
 * Freeing an uncommitted writer leaves nothing.
 */
struct oci_blob_writer;
int oci_blob_writer_new(struct oci_store *store, struct oci_blob_writer **ret_writer, struct ib_err *err);
void oci_blob_writer_free(struct oci_blob_writer *writer);
IB_DEFINE_FREE(oci_blob_writer);
int oci_blob_writer_write(struct oci_blob_writer *writer, const void *bytes, size_t n, struct ib_err *err);
int64_t oci_blob_writer_size(const struct oci_blob_writer *writer);

/*
 * digest must be that of all bytes written: the caller verified or computed it. The data is flushed to the
 * disk, then the blob gets its name; one that is present already costs nothing. After a power cut the blob
 * is whole or missing, as long as oci_store_flush() was not called.
 */
int oci_blob_writer_commit(struct oci_blob_writer *writer, const struct oci_digest *digest,
			   struct ib_err *err);

/*
 * Make the names of all blobs committed so far survive a power cut. oci_store_name_set() does it before it
 * names an image; whoever records digests elsewhere asks oci_store_has() before he believes them.
 */
int oci_store_flush(struct oci_store *store, struct ib_err *err);

/* Remove a blob; one that is not there is success. For collection only, under oci_store_lock(). */
int oci_store_remove_blob(struct oci_store *store, const struct oci_digest *digest, struct ib_err *err);

/* Call fn for every blob; stops at the first -1. */
typedef int oci_blob_fn(void *ctx, const struct oci_digest *digest, int64_t size, struct ib_err *err);
int oci_store_each_blob(struct oci_store *store, oci_blob_fn *fn, void *ctx, struct ib_err *err);

/*
 * Use and collection: whoever builds, pulls or pushes holds the shared lock; whoever removes blobs holds
 * the exclusive one. The lock goes with the returned descriptor (or the process). With wait false a held
 * lock is IB_BUSY.
 */
int oci_store_lock(struct oci_store *store, bool exclusive, bool wait, struct ib_err *err);

/*
 * Names. name is a full reference ("docker.io/library/myimage:v1"); it stands in the annotation
 * org.opencontainers.image.ref.name of the index.json entry (and, for containerd, io.containerd.image.name);
 * what name_get gives does not have them. Setting a name moves it; nothing is written when nothing changes.
 */
int oci_store_name_get(struct oci_store *store, const char *name, struct oci_descriptor *ret_desc,
		       struct ib_err *err);	/* IB_NOTFOUND */
int oci_store_name_set(struct oci_store *store, const char *const *names, size_t n_names,
		       const struct oci_descriptor *desc, struct ib_err *err);
int oci_store_name_remove(struct oci_store *store, const char *name, struct ib_err *err);	/* IB_NOTFOUND */
int oci_store_index(struct oci_store *store, struct oci_index **ret_index, struct ib_err *err);

/*
 * Every blob reachable from desc (an index, manifest, or anything else: itself only) is present and hashes
 * to its name. The first flaw is the error; a caller that wants all checks blob by blob.
 */
int oci_store_verify(struct oci_store *store, const struct oci_descriptor *desc, struct ib_err *err);

#endif
