/* Against tests/registry/liar.py: registries that break the protocol, each in its own way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fixture.h"
#include "oci/base/alloc.h"
#include "oci/base/clock.h"
#include "oci/base/pool.h"
#include "peer.h"
#include "registry/answer.h"
#include "registry/blob-internal.h"

#define SIZE 300000	/* of a blob: liar.py */
#define BASIC "Basic dXNlcjpwYXNzd29yZA=="	/* user:password */

static struct peer liar;
static int port, other_port;

static int group_setup(void **state)
{
	const char *argv[] = {peer_python(""), TEST_DIR "/liar.py", NULL};
	ib_autofree char *line = NULL;

	(void)state;
	/* Loopback is reached directly, whatever the environment says. */
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("https_proxy", "http://127.0.0.1:1", 1);
	unsetenv("no_proxy");
	unsetenv("NO_PROXY");
	if (!peer_start(&liar, argv))
		return -1;
	line = peer_line(&liar);
	return sscanf(line, "%d %d", &port, &other_port) == 2 ? 0 : -1;
}

static int group_teardown(void **state)
{
	(void)state;
	peer_stop(&liar);
	return 0;
}

static int setup(void **state)
{
	ib_autofree char *config = ib_asprintf("{\"auths\":{\"127.0.0.1:%d\":{\"auth\":\"dXNlcjpwYXNzd29yZA==\"}}}", port);

	*state = fixture_new(config);
	return 0;
}

static int teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

static struct registry_conn *connect_to(struct fixture *f, const char *repo, struct registry_reference *ref)
{
	ib_autofree char *text = ib_asprintf("127.0.0.1:%d/%s:1", port, repo);

	return fixture_conn(f, text, true, ref);
}

/* The descriptor of repo's blob: its name, repeated. */
static void blob_of(const char *repo, struct oci_descriptor *ret_desc)
{
	ib_autofree char *bytes = ib_malloc(SIZE);
	size_t n = strlen(repo);

	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = repo[i % n];
	*ret_desc = (struct oci_descriptor){.media = OCI_MEDIA_LAYER, .size = SIZE};
	oci_digest_of(bytes, SIZE, &ret_desc->digest);
}

/* What the liar saw, one request per line. The caller's. */
static char *seen(struct fixture *f)
{
	ib_autofree char *url = ib_asprintf("http://127.0.0.1:%d/log", port);
	struct registry_http_request request = {.method = REGISTRY_GET, .url = url};
	IB_CLEANUP(registry_http_stream_freep) struct registry_http_stream *stream =
		registry_http_stream_new(f->session->http, &request);
	registry_autoanswer answer = {0};
	ib_autoerr err = {0};

	assert_int_equal(registry_http_stream_start(stream, &err), 0);
	assert_int_equal(registry_answer_read(&stream, 10 << 20, &answer, &err), 0);
	answer.len = 0;
	return ib_steal_ptr(&answer.body);
}

static size_t occurrences(const char *text, const char *what)
{
	size_t n = 0;

	while ((text = strstr(text, what))) {
		n++;
		text += strlen(what);
	}
	return n;
}

/* Read repo's blob to its end, checked. */
static int fetch(struct fixture *f, const char *repo, struct ib_err *err)
{
	registry_autoreference ref = {0};
	struct registry_conn *conn = connect_to(f, repo, &ref);
	IB_CLEANUP(oci_reader_freep) struct oci_reader *reader = NULL;
	struct oci_descriptor desc;

	blob_of(strcmp(repo, "expired") == 0 ? "redirect" : repo, &desc);
	if (registry_blob_open(conn, &desc, &reader, err) < 0)
		return -1;
	reader = oci_verify_reader_new(reader, &desc, NULL);
	return oci_reader_drain(reader, err);
}

static void a_blob_arrives_whole(void **state)
{
	ib_autoerr err = {0};

	if (fetch(*state, "good", &err) < 0)
		fail_msg("%s", err.text);
}

static void wrong_blobs_are_refused(void **state)
{
	static const struct {
		const char *repo, *text;
		enum ib_code code;
	} table[] = {
		{"wrongdigest", "content has another digest", IB_MISMATCH},
		{"otherlength", "150000 bytes are sent for a blob of 300000", IB_MISMATCH},
		{"toolong", "is longer than its 300000 bytes", IB_MISMATCH},
		{"short", "127.0.0.1", IB_NETWORK},
		{"badrange", "a part was asked for, and another one sent", IB_INVALID},
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		ib_autoerr err = {0};

		assert_int_equal(fetch(*state, table[i].repo, &err), -1);
		if (err.code != table[i].code || !strstr(err.text, table[i].text))
			fail_msg("%s: %d %s", table[i].repo, err.code, err.text);
	}
}

static void a_cut_blob_is_resumed_where_it_stopped(void **state)
{
	ib_autoerr err = {0};
	ib_autofree char *log = NULL;
	const char *line;
	long from;

	if (fetch(*state, "cut", &err) < 0)
		fail_msg("%s", err.text);
	log = seen(*state);
	assert_int_equal(occurrences(log, "GET /v2/cut/blobs/"), 2);
	line = strstr(log, "range=bytes=");
	assert_non_null(line);
	from = strtol(line + strlen("range=bytes="), NULL, 10);
	assert_in_range(from, 1, SIZE / 2);
}

static void a_server_without_ranges_may_start_over(void **state)
{
	ib_autoerr err = {0};

	if (fetch(*state, "cutnorange", &err) < 0)
		fail_msg("%s", err.text);
}

static void a_stalled_transfer_is_given_up_and_resumed(void **state)
{
	ib_autoerr err = {0};

	if (fetch(*state, "stall", &err) < 0)
		fail_msg("%s", err.text);
}

static void authorization_stays_with_the_registry(void **state)
{
	ib_autoerr err = {0};
	ib_autofree char *log = NULL;
	const char *other;

	if (fetch(*state, "redirect", &err) < 0)
		fail_msg("%s", err.text);
	log = seen(*state);
	assert_non_null(strstr(log, "main GET /v2/redirect/blobs/"));
	assert_non_null(strstr(log, "auth=" BASIC));
	/* The signed address byte for byte, and nothing of ours. */
	other = strstr(log, "other GET /docker//registry/../blob?sig=a%2Bb%3D&x=&se=1:2 auth=- ");
	assert_non_null(other);
	assert_null(strstr(strstr(log, "other GET"), "auth=Basic"));
}

static void an_expired_redirect_is_asked_for_again(void **state)
{
	ib_autoerr err = {0};

	if (fetch(*state, "expired", &err) < 0)
		fail_msg("%s", err.text);
}

static int get_manifest(struct fixture *f, const char *repo, struct oci_descriptor *ret_desc, struct ib_err *err)
{
	registry_autoreference ref = {0};
	struct registry_conn *conn = connect_to(f, repo, &ref);
	ib_autofree char *bytes = NULL;
	size_t len;

	return registry_manifest_get(conn, &ref, NULL, &bytes, &len, ret_desc, err);
}

static void bad_manifests_are_refused_in_words(void **state)
{
	static const struct {
		const char *repo, *text;
		enum ib_code code;
		int http;
	} table[] = {
		{"bigmanifest", "manifest 1: 127.0.0.1:PORT: the answer is over 4194304 bytes", IB_LIMIT, 0},
		{"headers", "manifest 1: 127.0.0.1:PORT: the answer has too many header bytes", IB_INVALID, 0},
		{"mismatchtype",
		 "manifest 1: sent as 'application/vnd.oci.image.index.v1+json', but its mediaType is "
		 "'application/vnd.oci.image.manifest.v1+json'", IB_INVALID, 0},
		{"schema1", "manifest 1: docker schema 1 manifests are not supported; push the image again",
		 IB_UNSUPPORTED, 0},
		{"html", "manifest 1: 502 from 127.0.0.1:PORT: bad gateway", IB_NETWORK, 502},
		{"html403", "manifest 1: 403 from 127.0.0.1:PORT: forbidden", IB_DENIED, 403},
		{"denied", "manifest 1: 403 from 127.0.0.1:PORT: denied: no push\\x1b[31m scope", IB_DENIED, 403},
		{"loop", "manifest 1: 127.0.0.1:PORT: over 10 redirects", IB_INVALID, 0},
		{"quota", "manifest 1: 429 from 127.0.0.1:PORT: toomanyrequests: You have reached your pull rate limit.",
		 IB_NETWORK, 429},
		{"badrealm", "manifest 1: 127.0.0.1:PORT names a token server that is no https URL", IB_INVALID, 0},
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		ib_autofree char *number = ib_asprintf("%d", port);
		ib_autostr want = IB_STR(1000);
		const char *mark = strstr(table[i].text, "PORT");
		ib_autoerr err = {0};

		ib_str_add(&want, table[i].text, mark ? (size_t)(mark - table[i].text) : strlen(table[i].text));
		if (mark) {
			ib_str_adds(&want, number);
			ib_str_adds(&want, mark + 4);
		}
		assert_int_equal(get_manifest(*state, table[i].repo, NULL, &err), -1);
		assert_string_equal(err.text, want.s);
		assert_int_equal(err.code, table[i].code);
		assert_int_equal(err.http, table[i].http);
	}
}

static void a_digest_that_does_not_fit_is_a_mismatch(void **state)
{
	ib_autoerr err = {0};

	assert_int_equal(get_manifest(*state, "liedigest", NULL, &err), -1);
	assert_int_equal(err.code, IB_MISMATCH);
}

static void answers_that_break_off_are_tried_again_and_then_reported(void **state)
{
	static const char *const repos[] = {"short", "garbage"};

	for (size_t i = 0; i < sizeof repos / sizeof *repos; i++) {
		ib_autoerr err = {0};

		assert_int_equal(get_manifest(*state, repos[i], NULL, &err), -1);
		assert_true(err.code == IB_NETWORK || err.code == IB_INVALID);
	}
}

static void a_throttled_request_waits_as_told(void **state)
{
	struct oci_descriptor desc = {0};
	ib_autoerr err = {0};

	if (get_manifest(*state, "limit", &desc, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(desc.media, OCI_MEDIA_MANIFEST);
}

static void a_generic_type_gives_way_to_the_document(void **state)
{
	struct oci_descriptor desc = {0};
	ib_autoerr err = {0};

	if (get_manifest(*state, "plaintype", &desc, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(desc.media, OCI_MEDIA_MANIFEST);
}

static void refused_credentials_are_named_by_their_file(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *want = ib_asprintf("manifest 1: 401 from 127.0.0.1:%d: unauthorized: authentication required; "
					     "the credentials are those of %s/config.json", port, f->dir);
	ib_autoerr err = {0};

	assert_int_equal(get_manifest(f, "challenge", NULL, &err), -1);
	assert_string_equal(err.text, want);
}

static void without_credentials_the_way_out_is_told(void **state)
{
	ib_autofree char *want = ib_asprintf("manifest 1: 401 from 127.0.0.1:%d: unauthorized: authentication required; "
					     "run `docker login 127.0.0.1:%d`, or put credentials for 127.0.0.1:%d in the "
					     "Docker config file", port, port, port);
	ib_autoerr err = {0};

	fixture_session(*state, "{}");
	assert_int_equal(get_manifest(*state, "challenge", NULL, &err), -1);
	assert_string_equal(err.text, want);
	assert_int_equal(err.code, IB_DENIED);
}

/* Put repo's blob into the store and push it. */
static int push(struct fixture *f, const char *repo, bool *ret_sent, struct ib_err *err)
{
	registry_autoreference ref = {0};
	struct registry_conn *conn = connect_to(f, repo, &ref);
	ib_autofree char *bytes = ib_malloc(SIZE);
	struct oci_descriptor desc;
	struct oci_digest digest;

	blob_of(repo, &desc);
	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = repo[i % strlen(repo)];
	assert_int_equal(oci_store_put_bytes(f->store, bytes, SIZE, &digest, err), 0);
	return registry_blob_push(conn, f->store, &desc, NULL, NULL, ret_sent, err);
}

static void uploads_reach_registries_of_every_kind(void **state)
{
	static const char *const repos[] = {
		"upload-absolute", "upload-relative", "upload-bare", "upload-other", "upload-lost",
		"upload-gone", "upload-digest",
	};

	for (size_t i = 0; i < sizeof repos / sizeof *repos; i++) {
		bool sent = false;
		ib_autoerr err = {0};

		if (push(*state, repos[i], &sent, &err) < 0)
			fail_msg("%s: %s", repos[i], err.text);
		assert_true(sent);
		assert_int_equal(push(*state, repos[i], &sent, &err), 0);
		assert_false(sent);
	}
}

static void a_token_that_expires_before_the_upload_is_renewed(void **state)
{
	bool sent = false;
	ib_autofree char *log = NULL;
	ib_autoerr err = {0};

	if (push(*state, "upload-401", &sent, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(sent);
	log = seen(*state);
	assert_non_null(strstr(log, "GET /token?service=liar&scope=repository%3Aupload-401%3Apull%2Cpush&account=user&"
				    "client_id=imgbuild auth=" BASIC));
	assert_non_null(strstr(log, "auth=Bearer T1 range=- type=application/octet-stream"));
	assert_non_null(strstr(log, "auth=Bearer T2 range=- type=application/octet-stream"));
}

static void upload_addresses_are_used_byte_for_byte(void **state)
{
	ib_autofree char *log = seen(*state);

	assert_non_null(strstr(log, "main PUT /v2/upload-relative/blobs/uploads/U1?_nouploadcache=false&"
				    "_state=a%2Bb%3D%3d&digest=sha256%3A"));
	assert_non_null(strstr(log, "main PUT /v2/upload-bare/blobs/uploads/U1?digest=sha256%3A"));
	/* On the other host: no credentials of the first. */
	assert_non_null(strstr(log, "other PUT /v2/upload-other/blobs/uploads/U"));
	for (const char *p = log; (p = strstr(p, "other PUT")); p++)
		assert_int_equal(strncmp(strstr(p, "auth="), "auth=- ", 7), 0);
	/* Whatever has a body says what it is. */
	assert_null(strstr(log, "form-urlencoded"));
	assert_non_null(strstr(log, "type=application/octet-stream"));
}

static void failing_uploads_are_reported(void **state)
{
	static const struct {
		const char *repo, *text;
		enum ib_code code;
	} table[] = {
		{"upload-noloc", "opens an upload without a Location", IB_INVALID},
		{"upload-ftp", "the address in Location is neither https nor http", IB_INVALID},
		{"upload-500", "500 from 127.0.0.1", IB_NETWORK},
		{"upload-early", "size_invalid: too much", IB_LIMIT},
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		ib_autoerr err = {0};

		assert_int_equal(push(*state, table[i].repo, NULL, &err), -1);
		if (err.code != table[i].code || !strstr(err.text, table[i].text))
			fail_msg("%s: %d %s", table[i].repo, err.code, err.text);
		assert_null(strstr(err.text, "secret"));
	}
}

static void a_damaged_blob_is_blamed_on_the_store(void **state)
{
	struct fixture *f = *state;
	registry_autoreference ref = {0};
	struct registry_conn *conn = connect_to(f, "upload-damaged", &ref);
	ib_autofree char *path = NULL;
	struct oci_descriptor desc = {.media = OCI_MEDIA_LAYER, .size = 5};
	char hex[OCI_DIGEST_SIZE];
	ib_autoerr err = {0};

	assert_int_equal(oci_store_put_bytes(f->store, "12345", 5, &desc.digest, &err), 0);
	path = ib_asprintf("%s/store/blobs/sha256", f->dir);
	peer_write_file(path, oci_digest_hex(&desc.digest, hex), "12349");
	assert_int_equal(registry_blob_push(conn, f->store, &desc, NULL, NULL, NULL, &err), -1);
	assert_int_equal(err.code, IB_MISMATCH);
	assert_non_null(strstr(err.text, "the blob in the store is damaged"));
}

static void ten_blobs_need_no_more_connections_than_run_at_once(void **state)
{
	struct fixture *f = *state;
	registry_autoreference ref = {0};
	struct registry_conn *conn = connect_to(f, "connections", &ref);
	struct registry_transfer transfer = {.parallel = 3};
	struct oci_descriptor desc = {0};
	const char *tags[] = {"1"};
	ib_autofree char *log = NULL;
	bool used[1000] = {false};
	size_t n = 0;
	ib_autoerr err = {0};

	fixture_image(f, "amd64", 10, 20000, 7, &desc);
	if (registry_push(conn, f->store, &desc, tags, 1, &transfer, &err) < 0)
		fail_msg("%s", err.text);
	log = seen(f);
	for (const char *p = log; (p = strstr(p, "/v2/connections/")); p++) {
		long c = strtol(strstr(p, "conn=") + 5, NULL, 10);

		assert_in_range(c, 0, 999);
		n += !used[c];
		used[c] = true;
	}
	assert_int_equal(occurrences(log, "PUT /v2/connections/blobs/uploads/"), 11);
	assert_in_range(n, 1, 3);
}

static void a_listed_host_is_reached_in_plain_http_through_the_proxy(void **state)
{
	static const char *const listed[] = {"registry.test"};
	static const struct registry_timeouts timeouts = {.connect_ms = 5000, .stall_ms = 5000, .answer_ms = 5000};
	static const struct registry_retry_policy retry = {.tries = 2, .base_ms = 1, .cap_ms = 1, .after_cap_ms = 1};
	struct registry_options options = {.plain_http = listed, .n_plain_http = 1};
	struct fixture *f = *state;
	ib_autofree char *proxy = ib_asprintf("http://127.0.0.1:%d", port), *log = NULL, *bytes = NULL;
	registry_autoreference ref = {0}, unlisted = {0};
	struct registry_conn *conn;
	size_t len;
	ib_autoerr err = {0};

	registry_session_free(f->session);
	assert_int_equal(registry_session_new_with(&options, &timeouts, &retry, &f->session, &err), 0);
	conn = fixture_conn(f, "registry.test/proxied:1", false, &ref);
	setenv("http_proxy", proxy, 1);
	setenv("https_proxy", proxy, 1);
	if (registry_manifest_get(conn, &ref, NULL, &bytes, &len, NULL, &err) < 0)
		fail_msg("%s", err.text);
	conn = fixture_conn(f, "unlisted.test/proxied:1", false, &unlisted);
	free(ib_steal_ptr(&bytes));
	assert_int_equal(registry_manifest_get(conn, &unlisted, NULL, &bytes, &len, NULL, &err), -1);
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("https_proxy", "http://127.0.0.1:1", 1);
	log = seen(f);
	assert_non_null(strstr(log, "main GET http://registry.test/v2/proxied/manifests/1 auth=- "));
	assert_null(strstr(log, "http://unlisted.test"));
}

static void *set_later(void *arg)
{
	struct timespec t = {.tv_nsec = 200000000};

	nanosleep(&t, NULL);
	atomic_store((atomic_bool *)arg, true);
	return NULL;
}

static void *cancel_later(void *arg)
{
	struct timespec t = {.tv_nsec = 200000000};

	(void)arg;
	nanosleep(&t, NULL);
	ib_cancel();
	return NULL;
}

static void a_hanging_transfer_stops_when_told(void **state)
{
	struct fixture *f = *state;
	registry_autoreference ref = {0};
	struct registry_conn *conn = connect_to(f, "hang", &ref);
	IB_CLEANUP(oci_reader_freep) struct oci_reader *reader = NULL;
	struct oci_descriptor desc;
	int64_t start = ib_monotonic_ns();
	atomic_bool stop = false;
	pthread_t thread;
	ib_autoerr err = {0};

	blob_of("hang", &desc);
	assert_int_equal(registry_blob_open_stoppable(conn, &desc, &stop, &reader, &err), 0);
	assert_int_equal(pthread_create(&thread, NULL, set_later, &stop), 0);
	assert_int_equal(oci_reader_drain(reader, &err), -1);
	pthread_join(thread, NULL);
	assert_int_equal(err.code, IB_CANCELLED);
	assert_true(ib_monotonic_ns() - start < 5000000000);	/* a loaded machine is no failure */
}

/* The last one: a process is cancelled once. */
static void cancellation_ends_a_request_that_gets_no_answer(void **state)
{
	int64_t start = ib_monotonic_ns();
	pthread_t thread;
	ib_autoerr err = {0};

	assert_int_equal(pthread_create(&thread, NULL, cancel_later, NULL), 0);
	assert_int_equal(get_manifest(*state, "hang", NULL, &err), -1);
	pthread_join(thread, NULL);
	assert_int_equal(err.code, IB_CANCELLED);
	assert_true(ib_monotonic_ns() - start < 5000000000);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(a_blob_arrives_whole),
		test(wrong_blobs_are_refused),
		test(a_cut_blob_is_resumed_where_it_stopped),
		test(a_server_without_ranges_may_start_over),
		test(a_stalled_transfer_is_given_up_and_resumed),
		test(authorization_stays_with_the_registry),
		test(an_expired_redirect_is_asked_for_again),
		test(bad_manifests_are_refused_in_words),
		test(a_digest_that_does_not_fit_is_a_mismatch),
		test(answers_that_break_off_are_tried_again_and_then_reported),
		test(a_throttled_request_waits_as_told),
		test(a_generic_type_gives_way_to_the_document),
		test(refused_credentials_are_named_by_their_file),
		test(without_credentials_the_way_out_is_told),
		test(uploads_reach_registries_of_every_kind),
		test(a_token_that_expires_before_the_upload_is_renewed),
		test(upload_addresses_are_used_byte_for_byte),
		test(failing_uploads_are_reported),
		test(a_damaged_blob_is_blamed_on_the_store),
		test(ten_blobs_need_no_more_connections_than_run_at_once),
		test(a_listed_host_is_reached_in_plain_http_through_the_proxy),
		test(a_hanging_transfer_stops_when_told),
		test(cancellation_ends_a_request_that_gets_no_answer),
	};

	if (!peer_python("")) {
		puts("python3 is missing: nobody to lie");
		return 77;
	}
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
