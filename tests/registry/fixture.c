#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "oci/base/alloc.h"
#include "oci/base/remove.h"
#include "peer.h"

/* Long enough for a loaded machine, short enough for a test that waits for them on purpose. */
static const struct registry_timeouts timeouts = {.connect_ms = 5000, .stall_ms = 1000, .answer_ms = 20000};
static const struct registry_retry_policy retry = {.tries = 4, .base_ms = 5, .cap_ms = 50, .after_cap_ms = 2000};

struct fixture *fixture_new(const char *config)
{
	struct fixture *f = ib_new(struct fixture);
	const char *tmp = getenv("TMPDIR");

	f->dir = ib_asprintf("%s/imgbuild-registry-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->dir));
	setenv("HOME", f->dir, 1);
	f->store = fixture_store(f, "store");
	fixture_session(f, config);
	return f;
}

void fixture_free(struct fixture *f)
{
	ib_autoerr err = {0};

	registry_conn_free(f->conn);
	registry_session_free(f->session);
	oci_store_free(f->store);
	assert_int_equal(ib_remove_tree(AT_FDCWD, f->dir, &err), 0);
	free(f->dir);
	free(f);
}

void fixture_session(struct fixture *f, const char *config)
{
	struct registry_options options = {.docker_config = f->dir};
	ib_autoerr err = {0};

	registry_conn_free(f->conn);
	f->conn = NULL;
	registry_session_free(f->session);
	peer_write_file(f->dir, "config.json", config ? config : "{}");
	assert_int_equal(registry_session_new_with(&options, &timeouts, &retry, &f->session, &err), 0);
}

struct registry_conn *fixture_conn(struct fixture *f, const char *text, bool push, struct registry_reference *ret_ref)
{
	ib_autoerr err = {0};

	if (registry_reference_parse(text, ret_ref, &err) < 0)
		fail_msg("%s", err.text);
	registry_conn_free(f->conn);
	assert_int_equal(registry_conn_new(f->session, ret_ref, push, &f->conn, &err), 0);
	return f->conn;
}

struct oci_store *fixture_store(struct fixture *f, const char *name)
{
	ib_autofree char *path = ib_asprintf("%s/%s", f->dir, name);
	struct oci_store *store;
	ib_autoerr err = {0};

	if (oci_store_open(path, true, &store, &err) < 0)
		fail_msg("%s", err.text);
	return store;
}

static char *gzip(const void *bytes, size_t n, size_t *ret_len)
{
	z_stream z = {0};
	size_t room;
	char *out;

	assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	room = deflateBound(&z, n);
	out = ib_malloc(room);
	z.next_in = (Bytef *)(uintptr_t)bytes;	/* zlib's const is a build option */
	z.avail_in = (uInt)n;
	z.next_out = (Bytef *)out;
	z.avail_out = (uInt)room;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	*ret_len = z.total_out;
	deflateEnd(&z);
	return out;
}

static void make_layer(struct fixture *f, size_t n, uint64_t seed, struct oci_descriptor *ret_desc,
		       struct oci_digest *ret_diff_id)
{
	ib_autofree uint64_t *words = ib_calloc(n / 8 + 1, 8);
	ib_autofree char *packed = NULL;
	ib_autoerr err = {0};
	size_t len;

	seed = seed * 2654435761u + 88172645463325252u;
	for (size_t i = 0; i < n / 8; i++) {	/* xorshift64 */
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		words[i] = seed;
	}
	oci_digest_of(words, n, ret_diff_id);
	packed = gzip(words, n, &len);
	*ret_desc = (struct oci_descriptor){.media = OCI_MEDIA_LAYER_GZIP, .size = (int64_t)len};
	if (oci_store_put_bytes(f->store, packed, len, &ret_desc->digest, &err) < 0)
		fail_msg("%s", err.text);
}

void fixture_image(struct fixture *f, const char *architecture, size_t n_layers, size_t layer_bytes, unsigned seed,
		   struct oci_descriptor *ret_desc)
{
	ib_autofree struct oci_descriptor *layers = ib_calloc(n_layers, sizeof *layers);
	struct oci_descriptor config = {.media = OCI_MEDIA_CONFIG};
	ib_autostr json = IB_STR(65536);
	ib_autofree char *bytes = NULL;
	struct oci_digest digest;
	char text[OCI_DIGEST_SIZE];
	ib_autoerr err = {0};
	size_t len;

	ib_str_addf(&json, "{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":{\"User\":\"u%u\"},", architecture, seed);
	ib_str_adds(&json, "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[");
	for (size_t i = 0; i < n_layers; i++) {
		make_layer(f, layer_bytes, seed * 1000 + i, &layers[i], &digest);
		ib_str_addf(&json, "%s\"%s\"", i ? "," : "", oci_digest_str(&digest, text));
	}
	ib_str_adds(&json, "]}}");
	config.size = (int64_t)json.len;
	assert_int_equal(oci_store_put_bytes(f->store, json.s, json.len, &config.digest, &err), 0);
	oci_manifest_write(OCI_MEDIA_MANIFEST, &config, layers, n_layers, NULL, &bytes, &len, ret_desc);
	assert_int_equal(oci_store_put_bytes(f->store, bytes, len, &digest, &err), 0);
	assert_true(oci_digest_equal(&digest, &ret_desc->digest));
}
