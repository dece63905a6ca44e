#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/base/remove.h"
#include "oci/store.h"

/* FIPS 180-4, "abc". */
#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ABC512 \
	"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a" \
	"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"

struct fixture {
	char dir[64];	/* holds the store "s" */
	char *root;
	struct oci_store *store;
};

static int setup(void **state)
{
	struct fixture *f = ib_new(struct fixture);
	const char *tmp = getenv("TMPDIR");
	ib_autoerr err = {0};

	(void)snprintf(f->dir, sizeof f->dir, "%.40s/ib-store-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->dir));
	f->root = ib_asprintf("%s/deep/er/s", f->dir);
	assert_int_equal(oci_store_open(f->root, true, &f->store, &err), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	ib_autoerr err = {0};

	oci_store_free(f->store);
	assert_int_equal(ib_remove_tree(AT_FDCWD, f->dir, &err), 0);
	free(f->root);
	free(f);
	return 0;
}

static char *slurp(struct fixture *f, const char *name)
{
	char *bytes;
	size_t len;
	ib_autoerr err = {0};

	assert_int_equal(ib_read_file(oci_store_dirfd(f->store), name, 1 << 20, &bytes, &len, &err), 0);
	return bytes;
}

static void spit(struct fixture *f, const char *name, const char *text)
{
	ib_autoerr err = {0};

	assert_int_equal(ib_replace_file(oci_store_dirfd(f->store), name, text, strlen(text), 0644, &err), 0);
}

static int count(struct fixture *f, const char *path)
{
	int fd = openat(oci_store_dirfd(f->store), path, O_RDONLY | O_DIRECTORY), n = 0;
	DIR *d = fdopendir(fd);

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static struct oci_descriptor want(const char *digest, int64_t size)
{
	struct oci_descriptor desc = {.media = OCI_MEDIA_LAYER, .size = size};
	ib_autoerr err = {0};

	assert_int_equal(oci_digest_parse(digest, &desc.digest, &err), 0);
	return desc;
}

static int put(struct fixture *f, const char *text, const struct oci_descriptor *desc, struct ib_err *err)
{
	IB_CLEANUP(oci_reader_freep) struct oci_reader *src = oci_memory_reader_new(text, strlen(text));

	return oci_store_put(f->store, src, desc, err);
}

static void a_new_store_is_an_image_layout(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *layout = slurp(f, "oci-layout"), *index = slurp(f, "index.json");

	assert_string_equal(layout, "{\"imageLayoutVersion\":\"1.0.0\"}");
	assert_string_equal(index, "{\"schemaVersion\":2,\"mediaType\":"
				   "\"application/vnd.oci.image.index.v1+json\",\"manifests\":[]}");
	assert_int_equal(count(f, "blobs"), 1);
	assert_int_equal(count(f, "blobs/sha256"), 0);
	assert_string_equal(oci_store_path(f->store), f->root);
}

static void a_put_blob_is_there_with_its_bytes_and_read_only(void **state)
{
	struct fixture *f = *state;
	struct oci_descriptor desc = want("sha256:" ABC, 3);
	ib_autofree char *bytes = NULL;
	ib_autoerr err = {0};
	struct stat st;
	size_t len;

	assert_false(oci_store_has(f->store, &desc.digest, 3));
	assert_int_equal(put(f, "abc", &desc, &err), 0);
	assert_true(oci_store_has(f->store, &desc.digest, 3));
	assert_true(oci_store_has(f->store, &desc.digest, -1));
	assert_false(oci_store_has(f->store, &desc.digest, 4));
	assert_int_equal(oci_store_get_bytes(f->store, &desc, 3, &bytes, &len, &err), 0);
	assert_string_equal(bytes, "abc");
	assert_int_equal(fstatat(oci_store_dirfd(f->store), "blobs/sha256/" ABC, &st, 0), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0444);
}

static void sha512_blobs_have_a_directory_of_their_own(void **state)
{
	struct fixture *f = *state;
	struct oci_descriptor desc = want("sha512:" ABC512, 3);
	ib_autoerr err = {0};
	struct stat st;

	assert_int_equal(put(f, "abc", &desc, &err), 0);
	assert_int_equal(fstatat(oci_store_dirfd(f->store), "blobs/sha512/" ABC512, &st, 0), 0);
	assert_true(oci_store_has(f->store, &desc.digest, 3));
	assert_int_equal(count(f, "blobs/sha256"), 0);
	assert_int_equal(oci_store_verify(f->store, &desc, &err), 0);
}

static void wrong_bytes_leave_nothing(void **state)
{
	static const struct {
		const char *bytes, *part;
	} cases[] = {
		{"abd", "content has another digest"},
		{"abcd", "is longer than its 3 bytes"},
		{"ab", "ends after 2 of 3 bytes"},
		{"", "ends after 0 of 3 bytes"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct oci_descriptor desc = want("sha256:" ABC, 3);
		ib_autoerr err = {0};

		assert_int_equal(put(f, cases[i].bytes, &desc, &err), -1);
		assert_int_equal(err.code, IB_MISMATCH);
		assert_non_null(strstr(err.text, cases[i].part));
		assert_non_null(strstr(err.text, "blob sha256:" ABC));
		assert_int_equal(count(f, "blobs/sha256"), 0);
	}
}

static void a_missing_blob_is_named(void **state)
{
	struct fixture *f = *state;
	struct oci_descriptor desc = want("sha256:" ABC, 3);
	ib_autoerr err = {0};
	int64_t size;

	assert_int_equal(oci_store_get(f->store, &desc.digest, &size, &err), -1);
	assert_int_equal(err.code, IB_NOTFOUND);
	assert_string_equal(err.text, "blob sha256:" ABC " is not in the store");
	assert_int_equal(oci_store_remove_blob(f->store, &desc.digest, &err), 0);
}

static void a_blob_that_rotted_on_disk_is_not_believed(void **state)
{
	struct fixture *f = *state;
	struct oci_descriptor desc = want("sha256:" ABC, 3);
	ib_autofree char *bytes = NULL;
	size_t len;

	for (int i = 0; i < 2; i++) {
		ib_autoerr err = {0};

		spit(f, "blobs/sha256/" ABC, i ? "abcd" : "xbc");
		assert_int_equal(oci_store_get_bytes(f->store, &desc, 100, &bytes, &len, &err), -1);
		assert_int_equal(err.code, IB_MISMATCH);
		ib_err_clear(&err);
		assert_int_equal(oci_store_verify(f->store, &desc, &err), -1);
		assert_int_equal(err.code, IB_MISMATCH);
	}
}

static void a_truncated_file_in_the_way_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct oci_descriptor desc = want("sha256:" ABC, 3);
	ib_autoerr err = {0};

	spit(f, "blobs/sha256/" ABC, "a");
	assert_int_equal(put(f, "abc", &desc, &err), 0);
	assert_int_equal(oci_store_verify(f->store, &desc, &err), 0);
}

static void a_symbolic_link_in_the_place_of_a_blob_is_not_followed(void **state)
{
	struct fixture *f = *state;
	struct oci_descriptor desc = want("sha256:" ABC, 3);
	ib_autoerr err = {0};
	int64_t size;

	spit(f, "secret", "abc");
	assert_int_equal(symlinkat("../../secret", oci_store_dirfd(f->store), "blobs/sha256/" ABC), 0);
	assert_false(oci_store_has(f->store, &desc.digest, -1));
	assert_int_equal(oci_store_get(f->store, &desc.digest, &size, &err), -1);
}

static void an_abandoned_writer_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct oci_blob_writer *w;
	ib_autoerr err = {0};

	assert_int_equal(oci_blob_writer_new(f->store, &w, &err), 0);
	assert_int_equal(oci_blob_writer_write(w, "abc", 3, &err), 0);
	oci_blob_writer_free(w);
	assert_int_equal(count(f, "blobs/sha256"), 0);
}

/* Pieces of every kind of size around the writer's buffer must come out as they went in. */
static void a_writer_keeps_order_whatever_the_sizes(void **state)
{
	static const size_t sizes[] = {1, 100, 65536, 70000, 131072, 5, 200000, 3, 131071, 9 << 20, 1};
	struct fixture *f = *state;
	ib_autofree char *data = ib_malloc(12 << 20);
	IB_CLEANUP(oci_blob_writer_freep) struct oci_blob_writer *w = NULL;
	struct oci_descriptor desc = {.media = OCI_MEDIA_LAYER};
	ib_autoerr err = {0};
	size_t at = 0;

	for (size_t i = 0; i < 12 << 20; i++)
		data[i] = (char)(i * 2654435761u >> 13);
	assert_int_equal(oci_blob_writer_new(f->store, &w, &err), 0);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; at += sizes[i++])
		assert_int_equal(oci_blob_writer_write(w, data + at, sizes[i], &err), 0);
	assert_int_equal(oci_blob_writer_size(w), at);
	oci_digest_of(data, at, &desc.digest);
	desc.size = (int64_t)at;
	assert_int_equal(oci_blob_writer_commit(w, &desc.digest, &err), 0);
	assert_int_equal(oci_store_verify(f->store, &desc, &err), 0);
	assert_int_equal(count(f, "blobs/sha256"), 1);
}

static int collect(void *ctx, const struct oci_digest *digest, int64_t size, struct ib_err *err)
{
	struct ib_strv *list = ctx;
	char text[OCI_DIGEST_SIZE];

	(void)err;
	ib_strv_take(list, ib_asprintf("%s %d", oci_digest_str(digest, text), (int)size));
	return 0;
}

static void each_blob_is_listed_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	struct oci_digest digest;
	ib_autostrv list = {0};
	ib_autoerr err = {0};

	assert_int_equal(oci_store_put_bytes(f->store, "abc", 3, &digest, &err), 0);
	assert_int_equal(oci_store_put_bytes(f->store, "abc", 3, &digest, &err), 0);
	spit(f, "blobs/sha256/README", "x");
	assert_int_equal(mkdirat(oci_store_dirfd(f->store),
				 "blobs/sha256/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 0755), 0);
	assert_int_equal(oci_store_each_blob(f->store, collect, &list, &err), 0);
	assert_int_equal(list.n, 1);
	assert_string_equal(list.v[0], "sha256:" ABC " 3");
}

static void leftovers_of_killed_writers_go_when_the_store_is_locked_alone(void **state)
{
	struct fixture *f = *state;
	ib_autoerr err = {0};

	spit(f, "blobs/sha256/.tmp-1-00", "x");
	ib_autoclose int lock = oci_store_lock(f->store, true, false, &err);
	assert_true(lock >= 0);
	assert_int_equal(count(f, "blobs/sha256"), 0);
}

static void shared_locks_go_together_and_exclusive_ones_alone(void **state)
{
	struct fixture *f = *state;
	ib_autoerr err = {0};
	ib_autoclose int a = oci_store_lock(f->store, false, false, &err);
	ib_autoclose int b = oci_store_lock(f->store, false, false, &err);

	assert_true(a >= 0 && b >= 0);
	assert_int_equal(oci_store_lock(f->store, true, false, &err), -1);
	assert_int_equal(err.code, IB_BUSY);
	ib_closep(&a);
	ib_closep(&b);
	a = b = -1;
	a = oci_store_lock(f->store, true, true, &err);
	assert_true(a >= 0);
	assert_int_equal(oci_store_lock(f->store, false, false, &err), -1);
}

static void a_directory_with_other_things_is_not_made_a_store(void **state)
{
	static const struct {
		const char *file, *text, *part;
	} cases[] = {
		{"thesis.tex", "x", "holds other things"},
		{"oci-layout", "x", "not valid JSON"},
		{"oci-layout", "{}", "no imageLayoutVersion"},
		{"oci-layout", "{\"imageLayoutVersion\":\"2.0.0\"}", "version '2.0.0'"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ib_autofree char *dir = ib_asprintf("%s/%zu", f->dir, i);
		ib_autofree char *file = ib_asprintf("%s/%s", dir, cases[i].file);
		struct oci_store *store = NULL;
		ib_autoerr err = {0};

		assert_int_equal(mkdir(dir, 0755), 0);
		ib_autoclose int fd = open(file, O_CREAT | O_WRONLY, 0644);
		assert_int_equal(ib_write_full(fd, cases[i].text, strlen(cases[i].text)), 0);
		assert_int_equal(oci_store_open(dir, true, &store, &err), -1);
		assert_int_equal(err.code, IB_INVALID);
		assert_non_null(strstr(err.text, cases[i].part));
		assert_non_null(strstr(err.text, dir));
		assert_null(store);
	}
}

static void a_missing_store_is_only_made_when_asked_for(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *path = ib_asprintf("%s/none", f->dir);
	struct oci_store *store = NULL;
	ib_autoerr err = {0};

	assert_int_equal(oci_store_open(path, false, &store, &err), -1);
	assert_int_equal(err.code, IB_NOTFOUND);
	assert_int_equal(access(path, F_OK), -1);
}

static void a_name_is_found_until_it_is_moved_or_removed(void **state)
{
	static const char *const names[] = {"docker.io/library/x:v1", "localhost:5000/x:v2"};
	struct fixture *f = *state;
	oci_autodescriptor got = {0};
	struct oci_descriptor a = want("sha256:" ABC, 3), b = want("sha512:" ABC512, 3);
	ib_autoerr err = {0};

	a.media = b.media = OCI_MEDIA_MANIFEST;
	assert_int_equal(oci_store_name_set(f->store, names, 2, &a, &err), 0);
	assert_int_equal(oci_store_name_get(f->store, names[1], &got, &err), 0);
	assert_true(oci_digest_equal(&got.digest, &a.digest));
	assert_null(got.annotations);
	assert_int_equal(oci_store_name_set(f->store, names, 1, &b, &err), 0);
	assert_int_equal(oci_store_name_get(f->store, names[0], &got, &err), 0);
	assert_true(oci_digest_equal(&got.digest, &b.digest));
	assert_int_equal(oci_store_name_remove(f->store, names[0], &err), 0);
	assert_int_equal(oci_store_name_get(f->store, names[0], &got, &err), -1);
	assert_int_equal(err.code, IB_NOTFOUND);
	assert_string_equal(err.text, "no image 'docker.io/library/x:v1' in the store");
	ib_err_clear(&err);
	assert_int_equal(oci_store_name_remove(f->store, names[0], &err), -1);
	assert_int_equal(err.code, IB_NOTFOUND);
	assert_int_equal(oci_store_name_get(f->store, names[1], &got, &err), 0);
}

static void setting_a_name_to_what_it_is_writes_nothing(void **state)
{
	static const char *const names[] = {"docker.io/library/x:v1"};
	struct fixture *f = *state;
	struct oci_descriptor a = want("sha256:" ABC, 3);
	struct stat before, after;
	ib_autoerr err = {0};

	a.media = OCI_MEDIA_MANIFEST;
	assert_int_equal(oci_store_name_set(f->store, names, 1, &a, &err), 0);
	assert_int_equal(fstatat(oci_store_dirfd(f->store), "index.json", &before, 0), 0);
	assert_int_equal(oci_store_name_set(f->store, names, 1, &a, &err), 0);
	assert_int_equal(fstatat(oci_store_dirfd(f->store), "index.json", &after, 0), 0);
	assert_int_equal(before.st_ino, after.st_ino);
}

static void entries_of_other_tools_stay_in_the_index(void **state)
{
	static const char *const names[] = {"docker.io/library/x:v1"};
	static const char theirs[] =
		"{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","
		"\"digest\":\"sha256:" ABC "\",\"size\":3,\"annotations\":{\"org.opencontainers.image.ref.name\":\"latest\"}},"
		"{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:" ABC "\",\"size\":3}],"
		"\"annotations\":{\"k\":\"v\"}}";
	struct fixture *f = *state;
	struct oci_descriptor a = want("sha512:" ABC512, 3);
	oci_autodescriptor got = {0};
	ib_autofree char *text = NULL;
	ib_autoerr err = {0};

	a.media = OCI_MEDIA_MANIFEST;
	spit(f, "index.json", theirs);
	assert_int_equal(oci_store_name_set(f->store, names, 1, &a, &err), 0);
	assert_int_equal(oci_store_name_get(f->store, "latest", &got, &err), 0);
	assert_int_equal(oci_store_name_remove(f->store, names[0], &err), 0);
	text = slurp(f, "index.json");
	assert_non_null(strstr(text, "\"digest\":\"sha256:" ABC "\",\"size\":3}]"));
	assert_non_null(strstr(text, "\"annotations\":{\"k\":\"v\"}"));
}

static void a_broken_index_is_an_error_and_not_an_empty_one(void **state)
{
	static const char *const names[] = {"x"};
	struct fixture *f = *state;
	struct oci_descriptor a = want("sha256:" ABC, 3);
	ib_autofree char *text = NULL;
	ib_autoerr err = {0};

	spit(f, "index.json", "{\"schemaVersion\":2,\"manif");
	assert_int_equal(oci_store_name_set(f->store, names, 1, &a, &err), -1);
	assert_int_equal(err.code, IB_INVALID);
	assert_non_null(strstr(err.text, "index.json"));
	text = slurp(f, "index.json");
	assert_string_equal(text, "{\"schemaVersion\":2,\"manif");
}

#define PROCESSES 8
#define ROUNDS 12

static void name_many(const char *root, int who)
{
	IB_CLEANUP(oci_store_freep) struct oci_store *store = NULL;
	struct oci_descriptor desc = {.media = OCI_MEDIA_MANIFEST, .size = 3};
	ib_autoerr err = {0};

	if (oci_store_open(root, true, &store, &err) < 0) {
		print_error("%s\n", err.text);
		_exit(1);
	}
	for (int i = 0; i < ROUNDS; i++) {
		ib_autofree char *name = ib_asprintf("x%d:%d", who, i);
		const char *names[] = {name};

		/* The same blob from all of them, and a name from each. */
		if (oci_store_put_bytes(store, &i, sizeof i, &desc.digest, &err) < 0 ||
		    oci_store_name_set(store, names, 1, &desc, &err) < 0) {
			print_error("%s\n", err.text);
			_exit(1);
		}
	}
}

static void processes_that_make_and_name_at_once_lose_nothing(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *root = ib_asprintf("%s/shared", f->dir);
	IB_CLEANUP(oci_store_freep) struct oci_store *store = NULL;
	IB_CLEANUP(oci_index_freep) struct oci_index *index = NULL;
	ib_autostrv blobs = {0};
	ib_autoerr err = {0};

	for (int i = 0; i < PROCESSES; i++)
		if (fork() == 0) {
			name_many(root, i);
			_exit(0);
		}
	for (int i = 0, status; i < PROCESSES; i++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	assert_int_equal(oci_store_open(root, false, &store, &err), 0);
	assert_int_equal(oci_store_index(store, &index, &err), 0);
	assert_int_equal(index->n_manifests, PROCESSES * ROUNDS);
	assert_int_equal(oci_store_each_blob(store, collect, &blobs, &err), 0);
	assert_int_equal(blobs.n, ROUNDS);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_new_store_is_an_image_layout),
		T(a_put_blob_is_there_with_its_bytes_and_read_only),
		T(sha512_blobs_have_a_directory_of_their_own),
		T(wrong_bytes_leave_nothing),
		T(a_missing_blob_is_named),
		T(a_blob_that_rotted_on_disk_is_not_believed),
		T(a_truncated_file_in_the_way_is_replaced),
		T(a_symbolic_link_in_the_place_of_a_blob_is_not_followed),
		T(an_abandoned_writer_leaves_nothing),
		T(a_writer_keeps_order_whatever_the_sizes),
		T(each_blob_is_listed_and_nothing_else),
		T(leftovers_of_killed_writers_go_when_the_store_is_locked_alone),
		T(shared_locks_go_together_and_exclusive_ones_alone),
		T(a_directory_with_other_things_is_not_made_a_store),
		T(a_missing_store_is_only_made_when_asked_for),
		T(a_name_is_found_until_it_is_moved_or_removed),
		T(setting_a_name_to_what_it_is_writes_nothing),
		T(entries_of_other_tools_stay_in_the_index),
		T(a_broken_index_is_an_error_and_not_an_empty_one),
		T(processes_that_make_and_name_at_once_lose_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
