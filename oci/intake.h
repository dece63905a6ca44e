/*
 * oci/intake.h - blobs on their way into a store.
 *
 * What an archive holds is not known to be part of an image before all of it was seen. Until then blobs
 * are hashed and kept without a name (small ones in memory), so that a failed import leaves nothing and
 * takes nothing away that another process has begun to use. One thread.
 */
#ifndef OCI_INTAKE_H
#define OCI_INTAKE_H

#include "oci/store.h"

#define OCI_INTAKE_SMALL (64u << 10)		/* bytes; configs and manifests as a rule */
#define OCI_INTAKE_MAX_MEMORY (16u << 20)	/* bytes of small blobs together; more become files as well */
#define OCI_INTAKE_MAX_OPEN 256			/* files held open; more get temporary names */

struct oci_intake;

struct oci_intake *oci_intake_new(struct oci_store *store);	/* store stays the caller's */
void oci_intake_free(struct oci_intake *intake);		/* drops what was not committed */
IB_DEFINE_FREE(oci_intake);

/*
 * A blob of that many bytes: begin, write all of it, end. want says what it must hash to (else end fails
 * with IB_MISMATCH), NULL: its sha256 is found out. One that is present in the store already is not kept.
 */
int oci_intake_begin(struct oci_intake *intake, int64_t size, const struct oci_digest *want, struct ib_err *err);
int oci_intake_write(struct oci_intake *intake, const void *bytes, size_t n, struct ib_err *err);
int oci_intake_end(struct oci_intake *intake, struct oci_digest *ret_digest, struct ib_err *err);

/* All of src as one blob; one byte too many, or too few, is IB_MISMATCH. src stays the caller's. */
int oci_intake_copy(struct oci_intake *intake, struct oci_reader *src, const struct oci_descriptor *want,
		    struct ib_err *err);

/* Size of a blob that is here or in the store, -1 when it is in neither. */
int64_t oci_intake_size(struct oci_intake *intake, const struct oci_digest *digest);

/* A small one into memory, as oci_store_get_bytes(). IB_NOTFOUND: "blob ... is not in the archive". */
int oci_intake_get_bytes(struct oci_intake *intake, const struct oci_descriptor *desc, size_t max,
			 char **ret_bytes, size_t *ret_len, struct ib_err *err);

/* Its content, from the beginning. Ends before the intake is freed. */
int oci_intake_open(struct oci_intake *intake, const struct oci_digest *digest, struct oci_reader **ret_reader,
		    struct ib_err *err);

/* An image needs this blob: fails with IB_NOTFOUND, or IB_MISMATCH when its size is another. */
int oci_intake_need(struct oci_intake *intake, const struct oci_descriptor *desc, struct ib_err *err);

/* Take back what was needed since the mark, for an image that turned out incomplete. */
size_t oci_intake_mark(const struct oci_intake *intake);
void oci_intake_rollback(struct oci_intake *intake, size_t mark);

/* Give all needed blobs their names in the store. */
int oci_intake_commit(struct oci_intake *intake, struct ib_err *err);

#endif
