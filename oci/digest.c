#include "oci/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

static const struct {
	const char *name;
	size_t bytes;
} algos[] = {	/* by enum oci_algo */
	{"sha256", 32},
	{"sha512", 64},
};

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')	/* descriptor.md: lower case only */
		return c - 'a' + 10;
	return -1;
}

static bool parse_hex(const char *hex, uint8_t *raw, size_t bytes)
{
	if (strlen(hex) != 2 * bytes)
		return false;
	for (size_t i = 0; i < bytes; i++) {
		int high = nibble(hex[2 * i]), low = nibble(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		raw[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

int oci_digest_parse(const char *text, struct oci_digest *ret_digest, struct ib_err *err)
{
	ib_autofree char *shown = NULL;

	for (size_t i = 0; i < sizeof algos / sizeof *algos; i++) {
		size_t n = strlen(algos[i].name);
		struct oci_digest digest = {.algo = (enum oci_algo)i};

		if (strncmp(text, algos[i].name, n) == 0 && text[n] == ':' &&
		    parse_hex(text + n + 1, digest.raw, algos[i].bytes)) {
			*ret_digest = digest;
			return 0;
		}
	}
	shown = ib_printable(text, 160);
	return ib_fail(err, IB_INVALID, "'%s' is not a sha256 or sha512 digest", shown);
}

const char *oci_digest_hex(const struct oci_digest *digest, char buf[static OCI_DIGEST_SIZE])
{
	static const char hex[] = "0123456789abcdef";
	size_t bytes = algos[digest->algo].bytes;

	for (size_t i = 0; i < bytes; i++) {
		buf[2 * i] = hex[digest->raw[i] >> 4];
		buf[2 * i + 1] = hex[digest->raw[i] & 15];
	}
	buf[2 * bytes] = '\0';
	return buf;
}

const char *oci_digest_str(const struct oci_digest *digest, char buf[static OCI_DIGEST_SIZE])
{
	char hex[OCI_DIGEST_SIZE];
	const char *name = algos[digest->algo].name;
	size_t n = strlen(name), bytes = algos[digest->algo].bytes;

	oci_digest_hex(digest, hex);
	memcpy(buf, name, n);
	buf[n] = ':';
	memcpy(buf + n + 1, hex, 2 * bytes + 1);
	return buf;
}

const char *oci_algo_name(enum oci_algo algo)
{
	return algos[algo].name;
}

bool oci_digest_equal(const struct oci_digest *a, const struct oci_digest *b)
{
	return a->algo == b->algo && memcmp(a->raw, b->raw, sizeof a->raw) == 0;
}

bool oci_digest_is_zero(const struct oci_digest *digest)
{
	static const struct oci_digest zero;

	return memcmp(digest->raw, zero.raw, sizeof zero.raw) == 0;
}

struct oci_hash {
	enum oci_algo algo;
	EVP_MD_CTX *ctx;
};

static void start(struct oci_hash *hash)
{
	const EVP_MD *md = hash->algo == OCI_SHA512 ? EVP_sha512() : EVP_sha256();

	/* Fails only for want of memory or of the algorithm itself: nothing could work then. */
	if (EVP_DigestInit_ex(hash->ctx, md, NULL) != 1)
		abort();
}

struct oci_hash *oci_hash_new(enum oci_algo algo)
{
	struct oci_hash *hash = ib_new(struct oci_hash);

	hash->algo = algo;
	hash->ctx = EVP_MD_CTX_new();
	if (!hash->ctx)
		abort();
	start(hash);
	return hash;
}

void oci_hash_free(struct oci_hash *hash)
{
	if (!hash)
		return;
	EVP_MD_CTX_free(hash->ctx);
	free(hash);
}

void oci_hash_update(struct oci_hash *hash, const void *bytes, size_t n)
{
	if (EVP_DigestUpdate(hash->ctx, bytes, n) != 1)
		abort();
}

void oci_hash_final(struct oci_hash *hash, struct oci_digest *ret_digest)
{
	*ret_digest = (struct oci_digest){.algo = hash->algo};
	if (EVP_DigestFinal_ex(hash->ctx, ret_digest->raw, NULL) != 1)
		abort();
	start(hash);
}

void oci_digest_of(const void *bytes, size_t n, struct oci_digest *ret_digest)
{
	IB_CLEANUP(oci_hash_freep) struct oci_hash *hash = oci_hash_new(OCI_SHA256);

	oci_hash_update(hash, bytes, n);
	oci_hash_final(hash, ret_digest);
}

bool oci_chain_id_is_empty(const struct oci_chain_id *chain)
{
	return oci_digest_is_zero(&chain->digest);
}

void oci_chain_id_append(const struct oci_chain_id *parent, const struct oci_diff_id *layer,
			 struct oci_chain_id *ret_chain)
{
	char text[2 * OCI_DIGEST_SIZE], *p = text;
	char a[OCI_DIGEST_SIZE], b[OCI_DIGEST_SIZE];
	size_t n, m;

	if (oci_chain_id_is_empty(parent)) {
		ret_chain->digest = layer->digest;
		return;
	}
	n = strlen(oci_digest_str(&parent->digest, a));
	m = strlen(oci_digest_str(&layer->digest, b));
	memcpy(p, a, n);
	p[n] = ' ';
	memcpy(p + n + 1, b, m);
	oci_digest_of(text, n + 1 + m, &ret_chain->digest);
}

int oci_fail_mismatch(struct ib_err *err, const struct oci_digest *want, const struct oci_digest *got)
{
	char a[OCI_DIGEST_SIZE], b[OCI_DIGEST_SIZE];

	return ib_fail(err, IB_MISMATCH, "blob %s: content has another digest, %s", oci_digest_str(want, a),
		       oci_digest_str(got, b));
}
