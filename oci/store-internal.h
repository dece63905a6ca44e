/*
 * oci/store-internal.h - what the files of the store share.
 */
#ifndef OCI_STORE_INTERNAL_H
#define OCI_STORE_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "oci/store.h"

struct oci_store {
	int dir;		/* ROOT; fixed after opening */
	char *path;		/* of ROOT, absolute */
	int blobs[2];		/* ROOT/blobs/ALGO by enum oci_algo; sha512 is -1 until there is one */
	pthread_mutex_t lock;	/* guards blobs[OCI_SHA512]; leaf */
};

/* The directory for blobs of that algorithm, borrowed; -1 when it is not there (there are no such blobs). */
int oci_store_blob_dir(struct oci_store *store, enum oci_algo algo);

/* The same, made when missing. */
int oci_store_make_blob_dir(struct oci_store *store, enum oci_algo algo, struct ib_err *err);

/* As oci_store_open(); a directory that is made gets this mode. */
int oci_store_open_as(const char *path, bool create, mode_t mode, struct oci_store **ret_store,
		      struct ib_err *err);

/* Size of a blob, or -1 when there is none. */
int64_t oci_store_blob_size(struct oci_store *store, const struct oci_digest *digest);

/*
 * Put several small blobs, which wait for the disk together, in this order. Their digests must be those of
 * their bytes.
 */
struct oci_small_blob {
	const void *bytes;
	size_t n;
	struct oci_digest digest;
};

#define OCI_SMALL_BLOBS 4	/* at once */
int oci_store_put_small(struct oci_store *store, const struct oci_small_blob *blobs, size_t n, struct ib_err *err);

/* What was written so far, readable from its beginning; the descriptor is the caller's. */
int oci_blob_writer_reopen(struct oci_blob_writer *writer, struct ib_err *err);

/*
 * Set the disk to work on all that was written, without waiting: those who commit several blobs start them
 * all first, and the first commit then carries most of the others.
 */
int oci_blob_writer_start(struct oci_blob_writer *writer, struct ib_err *err);

/*
 * Give a writer's file a temporary name and close it, for those who have many of them: nothing more can be
 * written, reading back and committing work as before.
 */
int oci_blob_writer_park(struct oci_blob_writer *writer, struct ib_err *err);

/*
 * Put entries into index.json: each takes the place of those with the same org.opencontainers.image.ref.name,
 * or without one of those that have none and the same digest. Nothing is written when nothing changes.
 */
int oci_store_put_entries(struct oci_store *store, const struct oci_descriptor *entries, size_t n,
			  struct ib_err *err);

#define OCI_ANNOTATION_REF_NAME "org.opencontainers.image.ref.name"	/* image-spec annotations.md */
#define OCI_ANNOTATION_CONTAINERD "io.containerd.image.name"

/* flock(2) of the file name in ROOT, which is made when missing. Returns the descriptor that holds it. */
int oci_store_flock(int dir, const char *name, bool exclusive, bool wait, struct ib_err *err);

/* Remove what killed writers left. Only while nobody writes: under the exclusive lock. */
void oci_store_sweep(struct oci_store *store);

/* Is it a name of a file not yet complete, as ib_tmpfile() and ib_replace_file() give them? */
bool oci_store_is_temporary(const char *name);

#endif
