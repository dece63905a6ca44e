/* The cache database: keys, records, and what happens to a file that is no database. */
#include "tests/builder/files.h"

#include <pthread.h>
#include <sqlite3.h>

#include "builder/cache/cache.h"

#include "oci/base/poison.h"

struct fixture {
	struct files *files;
	struct builder_cache *cache;
};

static struct builder_cache *open_cache(const struct fixture *f)
{
	struct builder_cache *cache = NULL;
	ib_autoerr err = {0};

	if (builder_cache_open(f->files->path, &cache, &err) < 0)
		fail_msg("%s", err.text);
	return cache;
}

static int set_up(void **state)
{
	struct fixture *f = ib_new(struct fixture);

	f->files = files_new();
	f->cache = open_cache(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	builder_cache_free(f->cache);
	files_free(f->files);
	free(f);
	return 0;
}

static void reopen(struct fixture *f)
{
	builder_cache_free(f->cache);
	f->cache = open_cache(f);
}

static struct oci_digest digest(uint8_t fill)
{
	struct oci_digest d = {.algo = OCI_SHA256};

	memset(d.raw, fill, 32);
	return d;
}

static struct builder_key key(uint8_t fill)
{
	return (struct builder_key){digest(fill)};
}

static struct builder_result result(uint8_t fill)
{
	return (struct builder_result){{digest(fill)}, {digest((uint8_t)(fill + 100))}, {.tv_sec = fill, .tv_nsec = 5}};
}

static void store(struct fixture *f, uint8_t k, uint8_t r)
{
	struct builder_key id = key(k);
	struct builder_result value = result(r);

	builder_cache_store(f->cache, &id, &value);
}

/* The fill of the diff ID that the record holds; 0: there is none. */
static int find(struct fixture *f, uint8_t k)
{
	struct builder_key id = key(k);
	struct builder_result found;

	return builder_cache_find(f->cache, &id, &found) ? found.diff_id.digest.raw[0] : 0;
}

static void a_record_is_found_as_it_was_stored(void **state)
{
	struct fixture *f = *state;
	struct builder_key id = key(1);
	struct builder_result found, want = result(2);

	assert_int_equal(find(f, 1), 0);
	store(f, 1, 2);
	reopen(f);
	assert_true(builder_cache_find(f->cache, &id, &found));
	assert_true(oci_digest_equal(&found.diff_id.digest, &want.diff_id.digest));
	assert_true(oci_digest_equal(&found.chain.digest, &want.chain.digest));
	assert_int_equal(found.created.tv_sec, 2);
	assert_int_equal(found.created.tv_nsec, 5);
	assert_int_equal(find(f, 3), 0);
}

static void a_later_record_replaces_an_earlier_one(void **state)
{
	struct fixture *f = *state;

	store(f, 1, 2);
	store(f, 1, 3);
	assert_int_equal(find(f, 1), 3);
}

static void an_alias_leads_to_its_key(void **state)
{
	struct fixture *f = *state;
	struct builder_key alias = key(1), target = key(2), found;

	assert_false(builder_cache_find_alias(f->cache, &alias, &found));
	builder_cache_store_alias(f->cache, &alias, &target);
	assert_true(builder_cache_find_alias(f->cache, &alias, &found));
	assert_true(oci_digest_equal(&found.digest, &target.digest));
	builder_cache_forget_aliases(f->cache);
	assert_false(builder_cache_find_alias(f->cache, &alias, &found));
}

static void store_layer(struct fixture *f, uint8_t diff, uint8_t blob, enum oci_compression compression, int level)
{
	struct oci_layer layer = {.desc = {.digest = digest(blob), .size = blob}, .diff_id = {digest(diff)}, .tar_size = 9};
	struct oci_compression_setting setting = {compression, level};

	builder_cache_store_layer(f->cache, &layer, &setting);
}

/* The fill of the blob's digest; 0: there is none. */
static int find_layer(struct fixture *f, uint8_t diff, enum oci_compression compression, int level, bool any)
{
	struct oci_compression_setting setting = {compression, level};
	struct oci_diff_id id = {digest(diff)};
	struct oci_layer found;
	int fill;

	if (!builder_cache_find_layer(f->cache, &id, any ? NULL : &setting, any, &found))
		return 0;
	fill = found.desc.digest.raw[0];
	assert_int_equal(found.desc.size, fill);
	assert_int_equal(found.tar_size, 9);
	oci_layer_done(&found);
	return fill;
}

static void a_layer_is_found_by_its_setting_or_by_any(void **state)
{
	struct fixture *f = *state;
	struct oci_digest blob = digest(10), unknown = digest(99);

	store_layer(f, 1, 10, OCI_GZIP, 0);
	store_layer(f, 1, 11, OCI_ZSTD, 3);
	assert_int_equal(find_layer(f, 1, OCI_GZIP, 0, false), 10);
	assert_int_equal(find_layer(f, 1, OCI_GZIP, 9, false), 0);
	assert_int_equal(find_layer(f, 1, OCI_ZSTD, 3, false), 11);
	assert_true(find_layer(f, 1, OCI_GZIP, 0, true) > 0);
	assert_int_equal(find_layer(f, 2, OCI_GZIP, 0, true), 0);
	builder_cache_forget_blob(f->cache, &unknown);
	assert_int_equal(find_layer(f, 1, OCI_GZIP, 0, false), 10);
	builder_cache_forget_blob(f->cache, &blob);
	assert_int_equal(find_layer(f, 1, OCI_GZIP, 0, false), 0);
	assert_int_equal(find_layer(f, 1, OCI_GZIP, 0, true), 11);
}

static int forget_odd(void *ctx, const struct oci_diff_id *diff_id, int64_t used_seconds)
{
	int *seen = ctx;

	assert_true(used_seconds > 0);
	++*seen;
	return diff_id->digest.raw[0] % 2;
}

static void records_are_visited_and_forgotten(void **state)
{
	struct fixture *f = *state;
	ib_autoerr err = {0};
	int seen = 0;

	for (uint8_t i = 1; i <= 10; i++)
		store(f, i, i);
	assert_int_equal(builder_cache_each_step(f->cache, forget_odd, &seen, &err), 0);
	assert_int_equal(seen, 10);
	for (uint8_t i = 1; i <= 10; i++)
		assert_int_equal(find(f, i), i % 2 ? 0 : i);
}

/* Different fields must never give one key, however their bytes are cut. */
static void keys_are_framed(void **state)
{
	struct oci_digest keys[9];
	struct ib_strv one = {0}, two = {0};
	size_t n = 0;

	(void)state;
	ib_strv_add(&one, "ab");
	ib_strv_add(&two, "a");
	ib_strv_add(&two, "b");
	for (int i = 0; i < 9; i++) {
		struct builder_key_maker *maker = builder_key_new(i == 8 ? "other" : "kind");
		struct builder_key made;

		builder_key_text(maker, i == 0 ? "ta" : "t", i == 1 ? NULL : i == 2 ? "" : i == 0 ? "g" : "ag");
		if (i == 3 || i == 4)
			builder_key_list(maker, "l", i == 3 ? &one : &two);
		if (i == 5 || i == 6)
			builder_key_bytes(maker, "l", i == 5 ? "a\0b" : "a\0c", 3);
		if (i == 7) {
			struct builder_key parent = key(1);

			builder_key_parent(maker, &parent);
		}
		builder_key_finish(maker, &made);
		builder_key_maker_free(maker);
		for (size_t k = 0; k < n; k++)
			assert_false(oci_digest_equal(&keys[k], &made.digest));
		keys[n++] = made.digest;
	}
	ib_strv_done(&one);
	ib_strv_done(&two);
}

static void write_junk(const struct fixture *f, off_t offset, size_t n)
{
	ib_autofree char *path = ib_asprintf("%s/imgbuild.db", f->files->path), *junk = ib_malloc(n);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	memset(junk, 0xa5, n);
	assert_int_equal(pwrite(fd, junk, n, offset), (ssize_t)n);
	close(fd);
}

static void what_is_no_database_is_made_anew(void **state)
{
	struct fixture *f = *state;

	store(f, 1, 2);
	builder_cache_free(f->cache);
	write_junk(f, 0, 5000);
	f->cache = open_cache(f);
	assert_int_equal(find(f, 1), 0);
	store(f, 1, 3);
	reopen(f);
	assert_int_equal(find(f, 1), 3);
}

static void damaged_pages_cost_one_opening(void **state)
{
	struct fixture *f = *state;

	for (uint8_t i = 1; i < 100; i++)
		store(f, i, i);
	builder_cache_free(f->cache);	/* the last one to close it writes everything into the file itself */
	write_junk(f, 4096, 20000);
	f->cache = open_cache(f);
	assert_int_equal(find(f, 1), 0);
	reopen(f);
	store(f, 1, 3);
	reopen(f);
	assert_int_equal(find(f, 1), 3);
}

static void a_database_of_another_version_is_made_anew(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *path = ib_asprintf("%s/imgbuild.db", f->files->path);
	sqlite3 *handle;

	store(f, 1, 2);
	builder_cache_free(f->cache);
	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	assert_int_equal(sqlite3_exec(handle, "DROP TABLE step; PRAGMA user_version=1", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(handle);
	f->cache = open_cache(f);
	store(f, 1, 4);
	assert_int_equal(find(f, 1), 4);
}

static void a_database_removed_in_use_does_no_harm(void **state)
{
	struct fixture *f = *state;

	store(f, 1, 2);
	assert_int_equal(unlinkat(f->files->fd, "imgbuild.db", 0), 0);
	assert_int_equal(find(f, 1), 2);
	store(f, 2, 2);
	reopen(f);
	assert_int_equal(find(f, 1), 0);
	store(f, 1, 5);
	assert_int_equal(find(f, 1), 5);
}

static void what_cannot_be_a_database_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct builder_cache *none = NULL;
	ib_autofree char *root = ib_asprintf("%s/d", f->files->path);
	ib_autoerr err = {0};

	assert_int_equal(mkdirat(f->files->fd, "d", 0755), 0);
	assert_int_equal(mkdirat(f->files->fd, "d/imgbuild.db", 0755), 0);
	assert_int_equal(builder_cache_open(root, &none, &err), -1);
	assert_int_equal(err.code, IB_IO);
	assert_non_null(strstr(err.text, "d/imgbuild.db"));
	assert_null(none);
}

#define THREADS 4
#define ROUNDS 200

struct hammer {
	struct fixture *f;
	struct builder_cache *cache;
	uint8_t base;
};

static void *hammer(void *arg)
{
	const struct hammer *h = arg;
	struct fixture mine = {h->f->files, h->cache};

	for (int i = 0; i < ROUNDS; i++) {
		uint8_t k = (uint8_t)(h->base + i % 50 + 1);

		store(&mine, k, k);
		assert_int_equal(find(&mine, k), k);
	}
	return NULL;
}

/* Half of the threads share one handle, the others have another, as another process would. */
static void threads_and_handles_share_a_database(void **state)
{
	struct fixture *f = *state;
	struct builder_cache *other = open_cache(f);
	struct hammer hammers[THREADS];
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++) {
		hammers[i] = (struct hammer){f, i % 2 ? other : f->cache, (uint8_t)(i * 50)};
		assert_int_equal(pthread_create(&threads[i], NULL, hammer, &hammers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	builder_cache_free(other);
	for (uint8_t k = 1; k <= 200; k++)
		assert_int_equal(find(f, k), k);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_record_is_found_as_it_was_stored),
		TEST(a_later_record_replaces_an_earlier_one),
		TEST(an_alias_leads_to_its_key),
		TEST(a_layer_is_found_by_its_setting_or_by_any),
		TEST(records_are_visited_and_forgotten),
		cmocka_unit_test(keys_are_framed),
		TEST(what_is_no_database_is_made_anew),
		TEST(damaged_pages_cost_one_opening),
		TEST(a_database_of_another_version_is_made_anew),
		TEST(a_database_removed_in_use_does_no_harm),
		TEST(what_cannot_be_a_database_is_an_error),
		TEST(threads_and_handles_share_a_database),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
