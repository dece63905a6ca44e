/*
 * oci/digest.h - digests, and the three hashes of an image that must not be mixed up (descriptor.md
 * "Digests"; config.md "Layer DiffID", "Layer ChainID").
 */
#ifndef OCI_DIGEST_H
#define OCI_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "oci/base/err.h"

enum oci_algo { OCI_SHA256, OCI_SHA512 };

struct oci_digest {	/* of bytes as stored */
	enum oci_algo algo;
	uint8_t raw[64];	/* the first 32 or 64 count, the rest is zero */
};

struct oci_diff_id {	/* of the uncompressed tar of one layer */
	struct oci_digest digest;
};

struct oci_chain_id {	/* of a stack of layers; all zero (oci_chain_id_is_empty) for no layer */
	struct oci_digest digest;
};

#define OCI_DIGEST_SIZE (7 + 128 + 1)	/* "sha512:" and its hex digits and the NUL */

/* Parse "sha256:<64 lower-case hex>" or "sha512:<128>". Fails with IB_INVALID. */
int oci_digest_parse(const char *text, struct oci_digest *ret_digest, struct ib_err *err);

/* The text form. Returns buf. */
const char *oci_digest_str(const struct oci_digest *digest, char buf[static OCI_DIGEST_SIZE]);

/* Only the hex digits, as used in file names. Returns buf. */
const char *oci_digest_hex(const struct oci_digest *digest, char buf[static OCI_DIGEST_SIZE]);

const char *oci_algo_name(enum oci_algo algo);	/* "sha256" */
bool oci_digest_equal(const struct oci_digest *a, const struct oci_digest *b);
bool oci_digest_is_zero(const struct oci_digest *digest);	/* never set */

/* A running hash; owned by one thread. */
struct oci_hash;
struct oci_hash *oci_hash_new(enum oci_algo algo);
void oci_hash_free(struct oci_hash *hash);
IB_DEFINE_FREE(oci_hash);
void oci_hash_update(struct oci_hash *hash, const void *bytes, size_t n);

/* The digest of all so far; the hash is ready for a new input afterwards. */
void oci_hash_final(struct oci_hash *hash, struct oci_digest *ret_digest);

/* sha256 of these bytes. */
void oci_digest_of(const void *bytes, size_t n, struct oci_digest *ret_digest);

/* ChainID(parent, layer): for an empty parent the diff ID itself, else sha256("parent diff"). */
void oci_chain_id_append(const struct oci_chain_id *parent, const struct oci_diff_id *layer,
			 struct oci_chain_id *ret_chain);
bool oci_chain_id_is_empty(const struct oci_chain_id *chain);

/*
 * Wording of the one failure that matters most: content that is not what its descriptor says.
 * Returns -1 with IB_MISMATCH.
 */
int oci_fail_mismatch(struct ib_err *err, const struct oci_digest *want, const struct oci_digest *got);

#endif
