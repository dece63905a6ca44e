/* Against Debian's docker-registry, with skopeo as the second opinion. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fixture.h"
#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "peer.h"

struct registry {
	struct peer peer;
	int port;
};

#define SIGNED_IN "{\"auths\":{\"127.0.0.1:%d\":{\"auth\":\"dXNlcjpwYXNzd29yZA==\"}}}"	/* user:password */
#define WRONG "{\"auths\":{\"127.0.0.1:%d\":{\"auth\":\"dXNlcjp3cm9uZw==\"}}}"		/* user:wrong */
#define IDENTITY "{\"auths\":{\"127.0.0.1:%d\":{\"identitytoken\":\"refresh-me\"}}}"

/* Start a registry that keeps its blobs in the fixture's directory; more goes below http and beside it. */
static void start(struct registry *r, struct fixture *f, const char *http_more, const char *more)
{
	ib_autofree char *config = NULL, *path = ib_asprintf("%s/registry.yml", f->dir);
	const char *argv[] = {"docker-registry", "serve", path, NULL};

	r->port = peer_free_port();
	config = ib_asprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
			     "storage:\n  filesystem: {rootdirectory: %s/registry}\n  delete: {enabled: true}\n"
			     "http:\n  addr: 127.0.0.1:%d\n%s%s", f->dir, r->port, http_more, more);
	peer_write_file(f->dir, "registry.yml", config);
	assert_true(peer_start(&r->peer, argv));
	peer_wait_for_port(r->port);
}

static int setup(void **state)
{
	*state = fixture_new(NULL);
	return 0;
}

static int teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

static struct registry_conn *conn_to(struct fixture *f, const struct registry *r, const char *name, bool push,
				     struct registry_reference *ref)
{
	ib_autofree char *text = ib_asprintf("127.0.0.1:%d/%s", r->port, name);

	return fixture_conn(f, text, push, ref);
}

static void sign_in(struct fixture *f, const struct registry *r, const char *format)
{
	char *mark = strstr(format, "%d");
	ib_autofree char *config = ib_asprintf("%.*s%d%s", (int)(mark - format), format, r->port, mark + 2);

	fixture_session(f, config);
}

static int push(struct fixture *f, const struct registry *r, const char *name, const struct oci_descriptor *desc,
		struct ib_err *err)
{
	registry_autoreference ref = {0};
	struct registry_conn *conn = conn_to(f, r, name, true, &ref);
	const char *tags[] = {ref.tag};

	return registry_push(conn, f->store, desc, tags, 1, NULL, err);
}

static int pull(struct fixture *f, const struct registry *r, const char *name, struct oci_store *store,
		struct oci_descriptor *ret_desc, struct ib_err *err)
{
	registry_autoreference ref = {0};
	struct registry_conn *conn = conn_to(f, r, name, false, &ref);
	struct oci_platform amd64 = {.os = ib_strdup("linux"), .architecture = ib_strdup("amd64")};
	int rc = registry_pull(conn, &ref, store, &amd64, true, NULL, ret_desc, err);

	oci_platform_done(&amd64);
	return rc;
}

static void ok(int rc, const struct ib_err *err)
{
	if (rc < 0)
		fail_msg("%s", err->text);
}

/* Does skopeo, which checks every digest, take the image to a directory of its own? */
static void skopeo_reads(struct fixture *f, const struct registry *r, const char *name, const char *creds)
{
	ib_autofree char *from = ib_asprintf("docker://127.0.0.1:%d/%s", r->port, name);
	ib_autofree char *to = ib_asprintf("oci:%s/skopeo:x", f->dir);
	const char *argv[] = {"skopeo", "copy", "-q", "--all", "--src-tls-verify=false", "--src-creds", creds, from, to,
			      NULL};

	if (peer_in_path("skopeo"))
		assert_int_equal(peer_run(argv, NULL), 0);
	else
		puts("skopeo is missing: nobody reads back");
}

static void an_image_goes_out_and_comes_back(void **state)
{
	struct fixture *f = *state;
	IB_CLEANUP(oci_store_freep) struct oci_store *other = fixture_store(f, "other");
	struct oci_descriptor desc = {0}, back = {0};
	struct registry r;
	ib_autoerr err = {0};

	start(&r, f, "", "");
	fixture_image(f, "amd64", 10, 300000, 1, &desc);
	ok(push(f, &r, "team/app:1", &desc, &err), &err);
	ok(pull(f, &r, "team/app:1", other, &back, &err), &err);
	assert_true(oci_digest_equal(&desc.digest, &back.digest));
	assert_int_equal(back.size, desc.size);
	ok(oci_store_verify(other, &back, &err), &err);
	skopeo_reads(f, &r, "team/app:1", "a:b");
	peer_stop(&r.peer);
	/* What is there by its digest needs no registry. */
	{
		char text[OCI_DIGEST_SIZE];
		ib_autofree char *name = ib_asprintf("team/app@%s", oci_digest_str(&desc.digest, text));

		ok(pull(f, &r, name, other, &back, &err), &err);
	}
	assert_int_equal(pull(f, &r, "team/app:1", other, &back, &err), -1);
	assert_int_equal(err.code, IB_NETWORK);
}

struct sum {
	int64_t last;
	int calls;
};

static void watch(void *ctx, const struct oci_descriptor *desc, int64_t bytes)
{
	struct sum *sum = ctx;

	(void)desc;
	sum->last = bytes;
	sum->calls++;
}

static void a_large_blob_goes_in_one_piece_and_is_not_sent_twice(void **state)
{
	struct fixture *f = *state;
	registry_autoreference ref = {0};
	struct oci_descriptor desc = {0};
	oci_autodescriptor layer = {0};
	IB_CLEANUP(oci_manifest_freep) struct oci_manifest *m = NULL;
	ib_autofree char *bytes = NULL;
	struct registry_conn *conn;
	struct sum sum = {0};
	struct registry r;
	bool sent;
	size_t len;
	ib_autoerr err = {0};

	start(&r, f, "", "");
	fixture_image(f, "amd64", 1, 40 << 20, 2, &desc);	/* over the size from which on Expect is sent */
	ok(oci_store_get_bytes(f->store, &desc, 1 << 20, &bytes, &len, &err), &err);
	ok(oci_manifest_parse(bytes, len, OCI_MEDIA_MANIFEST, &m, &err), &err);
	oci_descriptor_copy(&layer, &m->layers[0]);
	conn = conn_to(f, &r, "big", true, &ref);
	assert_int_equal(registry_blob_exists(conn, &layer, &err), 0);
	ok(registry_blob_push(conn, f->store, &layer, watch, &sum, &sent, &err), &err);
	assert_true(sent);
	assert_int_equal(sum.last, layer.size);
	assert_in_range(sum.calls, 2, 1000);
	assert_int_equal(registry_blob_exists(conn, &layer, &err), 1);
	ok(registry_blob_push(conn, f->store, &layer, NULL, NULL, &sent, &err), &err);
	assert_false(sent);
	peer_stop(&r.peer);
}

static void what_is_not_there_is_not_found(void **state)
{
	struct fixture *f = *state;
	struct oci_descriptor desc = {0};
	struct registry r;
	ib_autofree char *want = NULL;
	ib_autoerr err = {0};

	start(&r, f, "", "");
	want = ib_asprintf("manifest nope: 404 from 127.0.0.1:%d: manifest_unknown: manifest unknown", r.port);
	fixture_image(f, "amd64", 1, 100, 3, &desc);
	ok(push(f, &r, "team/app:1", &desc, &err), &err);
	assert_int_equal(pull(f, &r, "team/app:nope", f->store, &desc, &err), -1);
	assert_int_equal(err.code, IB_NOTFOUND);
	assert_int_equal(err.http, 404);
	assert_string_equal(err.text, want);
	peer_stop(&r.peer);
}

/* Write an index of two images; *ret_desc is its descriptor. */
static void make_index(struct fixture *f, struct oci_descriptor *ret_desc)
{
	IB_CLEANUP(oci_index_freep) struct oci_index *index = ib_new(struct oci_index);
	static const char *const architectures[] = {"arm64", "amd64"};
	ib_autofree char *bytes = NULL;
	ib_autoerr err = {0};
	size_t len;

	index->media = OCI_MEDIA_INDEX;
	for (size_t i = 0; i < 2; i++) {
		ib_grow(index->manifests, index->n_manifests, index->cap);
		index->manifests[index->n_manifests] = (struct oci_descriptor){0};
		fixture_image(f, architectures[i], 2, 1000, 10 + (unsigned)i, &index->manifests[index->n_manifests]);
		index->manifests[index->n_manifests].platform = ib_new(struct oci_platform);
		ok(oci_platform_parse(architectures[i], index->manifests[index->n_manifests++].platform, &err), &err);
	}
	bytes = oci_index_write(index, &len);
	*ret_desc = (struct oci_descriptor){.media = OCI_MEDIA_INDEX, .size = (int64_t)len};
	ok(oci_store_put_bytes(f->store, bytes, len, &ret_desc->digest, &err), &err);
}

static void an_index_is_pushed_whole_and_pulled_for_one_platform(void **state)
{
	struct fixture *f = *state;
	IB_CLEANUP(oci_store_freep) struct oci_store *other = fixture_store(f, "other");
	IB_CLEANUP(oci_index_freep) struct oci_index *index = NULL;
	struct oci_descriptor desc, back = {0};
	ib_autofree char *bytes = NULL;
	struct registry r;
	size_t len;
	ib_autoerr err = {0};

	start(&r, f, "", "");
	make_index(f, &desc);
	ok(push(f, &r, "multi:1", &desc, &err), &err);
	skopeo_reads(f, &r, "multi:1", "a:b");
	ok(pull(f, &r, "multi:1", other, &back, &err), &err);
	assert_true(oci_digest_equal(&back.digest, &desc.digest));
	ok(oci_store_get_bytes(other, &back, 1 << 20, &bytes, &len, &err), &err);
	ok(oci_index_parse(bytes, len, OCI_MEDIA_INDEX, &index, &err), &err);
	ok(oci_store_verify(other, &index->manifests[1], &err), &err);	/* amd64 */
	assert_false(oci_store_has(other, &index->manifests[0].digest, -1));
	/* The other platform is missing there, so it cannot be pushed on. */
	{
		struct oci_store *mine = f->store;

		f->store = other;
		assert_int_equal(push(f, &r, "multi:2", &back, &err), -1);
		assert_int_equal(err.code, IB_NOTFOUND);
		f->store = mine;
	}
	peer_stop(&r.peer);
}

static void write_htpasswd(struct fixture *f)
{
	const char *argv[] = {"htpasswd", "-Bbn", "user", "password", NULL};
	ib_autofree char *line = NULL;

	assert_int_equal(peer_run(argv, &line), 0);
	peer_write_file(f->dir, "htpasswd", line);
}

static void basic_is_sent_when_it_is_asked_for(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *auth = ib_asprintf("auth:\n  htpasswd: {realm: test, path: %s/htpasswd}\n", f->dir);
	struct oci_descriptor desc = {0}, back = {0};
	struct registry r;
	ib_autoerr err = {0};

	if (!peer_in_path("htpasswd"))
		skip();
	write_htpasswd(f);
	start(&r, f, "", auth);
	fixture_image(f, "amd64", 3, 1000, 4, &desc);
	assert_int_equal(push(f, &r, "team/app:1", &desc, &err), -1);
	assert_int_equal(err.http, 401);
	assert_non_null(strstr(err.text, "run `docker login 127.0.0.1:"));
	sign_in(f, &r, WRONG);
	assert_int_equal(push(f, &r, "team/app:1", &desc, &err), -1);
	assert_int_equal(err.http, 401);
	assert_int_equal(err.code, IB_DENIED);
	assert_null(strstr(err.text, "wrong"));
	sign_in(f, &r, SIGNED_IN);
	ok(push(f, &r, "team/app:1", &desc, &err), &err);
	ok(pull(f, &r, "team/app:1", f->store, &back, &err), &err);
	skopeo_reads(f, &r, "team/app:1", "user:password");
	peer_stop(&r.peer);
}

struct tokens {
	struct peer peer;
	int port;
};

/* A key, a certificate for it with this subject alternative name, in the fixture's directory. */
static void make_key(struct fixture *f, const char *name)
{
	ib_autofree char *key = ib_asprintf("%s/%s.key", f->dir, name), *cert = ib_asprintf("%s/%s.crt", f->dir, name);
	const char *argv[] = {"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
			      "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert, NULL};

	assert_int_equal(peer_run(argv, NULL), 0);
}

static void start_tokens(struct tokens *t, struct fixture *f)
{
	ib_autofree char *key = ib_asprintf("%s/token.key", f->dir), *cert = ib_asprintf("%s/token.crt", f->dir);
	const char *argv[] = {peer_python("jwt cryptography"), TEST_DIR "/token_server.py", key, cert, "registry.test", NULL};
	ib_autofree char *line = NULL;
	long long port;

	make_key(f, "token");
	assert_true(peer_start(&t->peer, argv));
	line = peer_line(&t->peer);
	assert_true(ib_parse_int(line, 1, 65535, &port));
	t->port = (int)port;
}

static void start_with_tokens(struct registry *r, struct tokens *t, struct fixture *f)
{
	ib_autofree char *auth = NULL;

	start_tokens(t, f);
	auth = ib_asprintf("auth:\n  token:\n    realm: http://127.0.0.1:%d/token\n    service: registry.test\n"
			   "    issuer: imgbuild-test\n    rootcertbundle: %s/token.crt\n", t->port, f->dir);
	start(r, f, "", auth);
}

/* What the token server was asked, as a JSON list. The caller's. */
static char *asked(const struct tokens *t)
{
	ib_autofree char *code = ib_asprintf("import urllib.request as u\n"
					     "print(u.urlopen('http://127.0.0.1:%d/log').read().decode())", t->port);
	const char *argv[] = {peer_python(""), "-c", code, NULL};
	char *text = NULL;

	assert_int_equal(peer_run(argv, &text), 0);
	return text;
}

static bool can_sign(void)
{
	if (peer_in_path("openssl") && peer_python("jwt cryptography"))
		return true;
	puts("openssl, python3-jwt or python3-cryptography is missing: no token server");
	return false;
}

static void one_token_serves_a_whole_push(void **state)
{
	struct fixture *f = *state;
	struct oci_descriptor desc = {0};
	struct registry r;
	struct tokens t;
	ib_autofree char *log = NULL;
	ib_autoerr err = {0};

	if (!can_sign())
		skip();
	start_with_tokens(&r, &t, f);
	sign_in(f, &r, SIGNED_IN);
	fixture_image(f, "amd64", 8, 50000, 5, &desc);
	ok(push(f, &r, "team/app:1", &desc, &err), &err);
	log = asked(&t);
	/* Four threads came at once, and the registry's own challenge asked for less. */
	assert_string_equal(log, "[\"GET user repository:team/app:pull,push\"]\n");
	peer_stop(&r.peer);
	peer_stop(&t.peer);
}

static void an_identity_token_is_exchanged(void **state)
{
	struct fixture *f = *state;
	struct oci_descriptor desc = {0}, back = {0};
	struct registry r;
	struct tokens t;
	ib_autofree char *log = NULL;
	ib_autoerr err = {0};

	if (!can_sign())
		skip();
	start_with_tokens(&r, &t, f);
	sign_in(f, &r, IDENTITY);
	fixture_image(f, "amd64", 2, 1000, 6, &desc);
	ok(push(f, &r, "team/app:1", &desc, &err), &err);
	ok(pull(f, &r, "team/app:1", f->store, &back, &err), &err);
	log = asked(&t);
	assert_string_equal(log, "[\"POST user repository:team/app:pull,push\", \"POST user repository:team/app:pull\"]\n");
	peer_stop(&r.peer);
	peer_stop(&t.peer);
}

static void nobody_pulls_what_is_public_and_no_more(void **state)
{
	struct fixture *f = *state;
	IB_CLEANUP(oci_store_freep) struct oci_store *other = fixture_store(f, "other");
	struct oci_descriptor desc = {0}, back = {0};
	struct registry r;
	struct tokens t;
	ib_autoerr err = {0};

	if (!can_sign())
		skip();
	start_with_tokens(&r, &t, f);
	sign_in(f, &r, SIGNED_IN);
	fixture_image(f, "amd64", 2, 1000, 8, &desc);
	ok(push(f, &r, "public/app:1", &desc, &err), &err);
	ok(push(f, &r, "private/app:1", &desc, &err), &err);
	fixture_session(f, NULL);
	ok(pull(f, &r, "public/app:1", other, &back, &err), &err);
	assert_int_equal(pull(f, &r, "private/app:1", other, &back, &err), -1);
	assert_int_equal(err.code, IB_DENIED);
	assert_int_equal(err.http, 401);
	assert_non_null(strstr(err.text, "run `docker login 127.0.0.1:"));
	assert_int_equal(push(f, &r, "public/app:2", &desc, &err), -1);
	assert_int_equal(err.http, 401);
	peer_stop(&r.peer);
	peer_stop(&t.peer);
}

static void a_token_server_that_refuses_is_told_apart(void **state)
{
	struct fixture *f = *state;
	struct oci_descriptor desc = {0};
	struct registry r;
	struct tokens t;
	ib_autofree char *want = NULL;
	ib_autoerr err = {0};

	if (!can_sign())
		skip();
	start_with_tokens(&r, &t, f);
	sign_in(f, &r, WRONG);
	want = ib_asprintf("cannot sign in to 127.0.0.1:%d: 401 from 127.0.0.1:%d: unauthorized: incorrect username or "
			   "password; the credentials are those of %s/config.json", r.port, t.port, f->dir);
	fixture_image(f, "amd64", 1, 1000, 9, &desc);
	assert_int_equal(push(f, &r, "team/app:1", &desc, &err), -1);
	assert_non_null(strstr(err.text, want));
	assert_int_equal(err.code, IB_DENIED);
	peer_stop(&r.peer);
	peer_stop(&t.peer);
}

static void certificates_are_checked_even_on_loopback(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *tls = ib_asprintf("  tls: {certificate: %s/tls.crt, key: %s/tls.key}\n", f->dir, f->dir);
	ib_autofree char *dir = NULL, *path = ib_asprintf("%s/tls.crt", f->dir), *pem = NULL;
	struct oci_descriptor desc = {0}, back = {0};
	struct registry r;
	size_t len;
	ib_autoerr err = {0};

	if (!peer_in_path("openssl"))
		skip();
	make_key(f, "tls");
	start(&r, f, tls, "");
	fixture_image(f, "amd64", 4, 100000, 11, &desc);
	assert_int_equal(push(f, &r, "team/app:1", &desc, &err), -1);
	assert_int_equal(err.code, IB_NETWORK);
	assert_non_null(strstr(err.text, "certificate"));

	dir = ib_asprintf(".config/containers/certs.d/127.0.0.1:%d", r.port);
	{
		ib_autoclose int home = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		ok(ib_mkdirs(home, dir, 0700, &err), &err);
		ok(ib_read_file(AT_FDCWD, path, 65536, &pem, &len, &err), &err);
	}
	free(dir);
	dir = ib_asprintf("%s/.config/containers/certs.d/127.0.0.1:%d", f->dir, r.port);
	peer_write_file(dir, "ca.crt", pem);
	fixture_session(f, NULL);
	ok(push(f, &r, "team/app:1", &desc, &err), &err);
	ok(pull(f, &r, "team/app:1", f->store, &back, &err), &err);

	peer_write_file(dir, "client.cert", pem);
	fixture_session(f, NULL);
	assert_int_equal(push(f, &r, "team/app:1", &desc, &err), -1);
	assert_int_equal(err.code, IB_USAGE);
	assert_non_null(strstr(err.text, "client.cert has no client.key beside it; an authority's file ends in .crt"));
	peer_stop(&r.peer);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(an_image_goes_out_and_comes_back),
		test(a_large_blob_goes_in_one_piece_and_is_not_sent_twice),
		test(what_is_not_there_is_not_found),
		test(an_index_is_pushed_whole_and_pulled_for_one_platform),
		test(basic_is_sent_when_it_is_asked_for),
		test(one_token_serves_a_whole_push),
		test(an_identity_token_is_exchanged),
		test(nobody_pulls_what_is_public_and_no_more),
		test(a_token_server_that_refuses_is_told_apart),
		test(certificates_are_checked_even_on_loopback),
	};

	if (!peer_in_path("docker-registry")) {
		puts("docker-registry is missing: no peer to talk to");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
