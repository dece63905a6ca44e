/*
 * oci/store-internal.h - what the files of the store share.
 */
#ifndef OCI_STORE_INTERNAL_H
#define OCI_STORE_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>

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

/* flock(2) of the file name in ROOT, which is made when missing. Returns the descriptor that holds it. */
int oci_store_flock(int dir, const char *name, bool exclusive, bool wait, struct ib_err *err);

/* Remove what killed writers left. Only while nobody writes: under the exclusive lock. */
void oci_store_sweep(struct oci_store *store);

/* Is it a name of a file not yet complete, as ib_tmpfile() and ib_replace_file() give them? */
bool oci_store_is_temporary(const char *name);

#endif
