#include <signal.h>
#include <sys/resource.h>

#include "tests/oci/layer-fixture.h"

#include "oci/base/poison.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static const struct oci_compression_setting settings[] = {
	{.compression = OCI_GZIP}, {.compression = OCI_ZSTD}, {.compression = OCI_UNCOMPRESSED}};

/* n bytes that compress to about a half: words of a linear congruential generator (Knuth's MMIX). */
static char *some_bytes(size_t n)
{
	char *bytes = ib_malloc(n);
	uint64_t x = 1;

	for (size_t i = 0; i < n; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		bytes[i] = (char)("0123456789abcdef"[x >> 60]);
	}
	return bytes;
}

static struct oci_layer_writer *new_writer(const struct fixture *f, struct ib_pool *pool,
					   const struct oci_compression_setting *setting)
{
	struct oci_layer_writer *w = NULL;
	ib_autoerr err = {0};

	if (oci_layer_writer_new(f->store, pool, setting, &w, &err) < 0)
		fail_msg("%s", err.text);
	return w;
}

static void finish(struct oci_layer_writer *w, struct oci_layer *ret_layer)
{
	ib_autoerr err = {0};

	if (oci_layer_writer_finish(w, ret_layer, &err) < 0)
		fail_msg("%s", err.text);
}

static void write_raw(const struct fixture *f, struct ib_pool *pool, const struct oci_compression_setting *s,
		      const char *bytes, size_t n, struct oci_layer *ret_layer)
{
	autowriter *w = new_writer(f, pool, s);
	ib_autoerr err = {0};

	/* In uneven pieces: where blocks end must not depend on them. */
	for (size_t at = 0, piece = 1; at < n; at += piece, piece = piece * 3 % 100003) {
		piece = piece < n - at ? piece : n - at;
		if (oci_layer_writer_raw(w, bytes + at, piece, &err) < 0)
			fail_msg("%s", err.text);
	}
	assert_int_equal(oci_layer_writer_bytes(w), n);
	finish(w, ret_layer);
}

static void an_empty_layer_is_1024_zero_bytes(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < 3; i++) {
		autowriter *w = new_writer(f, f->pool, &settings[i]);
		char text[OCI_DIGEST_SIZE];
		autolayer layer = {0};

		finish(w, &layer);
		assert_int_equal(layer.tar_size, 1024);
		/* head -c 1024 /dev/zero | sha256sum: the empty layer of every builder */
		assert_string_equal(oci_digest_str(&layer.diff_id.digest, text),
				    "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef");
		assert_true(oci_store_has(f->store, &layer.desc.digest, layer.desc.size));
	}
	assert_int_equal(count_blobs(f), 3);
}

static void media_types_follow_the_compression(void **state)
{
	static const char *const media[] = {"application/vnd.oci.image.layer.v1.tar+gzip",
					    "application/vnd.oci.image.layer.v1.tar+zstd",
					    "application/vnd.oci.image.layer.v1.tar"};
	struct fixture *f = *state;

	for (size_t i = 0; i < 3; i++) {
		autowriter *w = new_writer(f, f->pool, &settings[i]);
		autolayer layer = {0};

		finish(w, &layer);
		assert_string_equal(oci_descriptor_media_str(&layer.desc), media[i]);
	}
}

static void output_does_not_depend_on_threads(void **state)
{
	static const size_t threads[] = {1, 2, 8};
	struct fixture *f = *state;
	size_t n = 9 * OCI_LAYER_BLOCK + 12345;
	ib_autofree char *bytes = some_bytes(n);

	for (size_t i = 0; i < 3; i++) {
		autolayer first = {0};

		for (size_t k = 0; k < 3; k++) {
			IB_CLEANUP(ib_pool_freep) struct ib_pool *pool = ib_pool_new(threads[k]);
			autolayer layer = {0};

			write_raw(f, pool, &settings[i], bytes, n, k ? &layer : &first);
			if (k)
				assert_true(oci_digest_equal(&layer.desc.digest, &first.desc.digest));
		}
	}
	assert_int_equal(count_blobs(f), 3);
}

static void other_tools_read_the_output(void **state)
{
	static const char *const commands[] = {"gzip -t <'%s'; zcat <'%s' | sha256sum",
					       "zstd -qt '%s'; zstd -qdc '%s' | sha256sum",
					       "sha256sum <'%s'; : '%s'"};
	struct fixture *f = *state;
	size_t sizes[] = {0, 1, OCI_LAYER_BLOCK, OCI_LAYER_BLOCK + 1, 5 * OCI_LAYER_BLOCK};
	ib_autofree char *bytes = some_bytes(5 * OCI_LAYER_BLOCK);

	for (size_t i = 0; i < 3; i++) {
		for (size_t k = 0; k < 5; k++) {
			autolayer layer = {0};
			char hex[OCI_DIGEST_SIZE];
			autowriter *w = new_writer(f, f->pool, &settings[i]);
			ib_autoerr err = {0};

			assert_int_equal(oci_layer_writer_raw(w, bytes, sizes[k], &err), 0);
			finish(w, &layer);
			ib_autofree char *path = blob_path(f, &layer);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"	/* from the table above */
			ib_autofree char *command = ib_asprintf(commands[i], path, path);
#pragma GCC diagnostic pop
			ib_autofree char *got = output_of(f, command);
			assert_memory_equal(got, oci_digest_hex(&layer.diff_id.digest, hex), 64);
			assert_int_equal(layer.tar_size, sizes[k]);
			ib_autofree char *sum_command = ib_asprintf("sha256sum <'%s'; stat -c %%s '%s'", path, path);
			ib_autofree char *sum = output_of(f, sum_command);
			ib_autofree char *want = ib_asprintf("%s  -\n%jd\n", oci_digest_hex(&layer.desc.digest, hex),
							     (intmax_t)layer.desc.size);
			assert_string_equal(sum, want);
		}
	}
}

static void gzip_members_tell_neither_time_nor_host(void **state)
{
	struct fixture *f = *state;
	autowriter *w = new_writer(f, f->pool, &settings[0]);
	autolayer layer = {0};

	finish(w, &layer);
	ib_autofree char *path = blob_path(f, &layer);
	ib_autofree char *command = ib_asprintf("od -An -tx1 -N10 '%s'", path);
	ib_autofree char *got = output_of(f, command);
	/* RFC 1952: magic, deflate, no flags, mtime 0, no extra flags, unknown system */
	assert_string_equal(got, " 1f 8b 08 00 00 00 00 00 00 ff\n");
}

static void random_data_is_stored_between_compressed_data(void **state)
{
	struct fixture *f = *state;
	size_t n = 3 * OCI_LAYER_BLOCK;
	ib_autofree char *bytes = some_bytes(n);
	uint64_t x = 7;
	autolayer layer = {0};

	for (size_t i = OCI_LAYER_BLOCK; i < 2 * OCI_LAYER_BLOCK; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		bytes[i] = (char)(x >> 56);
	}
	write_raw(f, f->pool, &settings[0], bytes, n, &layer);
	/* Two blocks of hexadecimal digits, four bits each, and one that stays as it is. */
	assert_in_range(layer.desc.size, 2 * OCI_LAYER_BLOCK, OCI_LAYER_BLOCK * 23 / 10);
	ib_autofree char *path = blob_path(f, &layer);
	ib_autofree char *command = ib_asprintf("gzip -t <'%s'; zcat <'%s' | sha256sum", path, path);
	ib_autofree char *got = output_of(f, command);
	char hex[OCI_DIGEST_SIZE];
	assert_memory_equal(got, oci_digest_hex(&layer.diff_id.digest, hex), 64);
}

static struct oci_tar_entry file_entry(char *name, int64_t size)
{
	return (struct oci_tar_entry){.name = name, .mode = S_IFREG | 0644, .size = size};
}

static void files_are_read_whole_and_holes_are_zeros(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;
	char small[] = "small", sparse[] = "sparse", tail[] = "tail";
	autowriter *w = new_writer(f, f->pool, &settings[0]);
	ib_autoerr err = {0};
	autolayer layer = {0};
	struct oci_tar_entry entry;

	tree_file(t, "small", "some text\n");
	tree_file(t, "sparse", "begin");
	ib_autoclose int a = openat(t->fd, "small", O_RDONLY | O_CLOEXEC);
	ib_autoclose int b = openat(t->fd, "sparse", O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(b, "middle", 6, 3000000), 6);
	assert_int_equal(ftruncate(b, 7000001), 0);
	entry = file_entry(small, 10);
	assert_int_equal(oci_layer_writer_file(w, &entry, a, &err), 0);
	entry = file_entry(sparse, 7000001);
	assert_int_equal(oci_layer_writer_file(w, &entry, b, &err), 0);
	entry = file_entry(tail, 10);
	assert_int_equal(oci_layer_writer_file(w, &entry, a, &err), 0);
	finish(w, &layer);

	ib_autofree char *path = blob_path(f, &layer);
	ib_autofree char *command = ib_asprintf("cd '%s'; mkdir x; tar xzf '%s' -C x; cmp small x/small; "
						"cmp sparse x/sparse; cmp small x/tail; ls x | wc -l",
						t->path, path);
	ib_autofree char *got = output_of(f, command);
	assert_string_equal(got, "3\n");
}

static void a_file_that_shrinks_is_named(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;
	char name[] = "dir/f";
	autowriter *w = new_writer(f, f->pool, &settings[0]);
	struct oci_tar_entry entry = file_entry(name, 100);
	ib_autoerr err = {0};

	tree_file(t, "f", "only this");
	ib_autoclose int fd = openat(t->fd, "f", O_RDONLY | O_CLOEXEC);
	assert_int_equal(oci_layer_writer_file(w, &entry, fd, &err), -1);
	assert_int_equal(err.code, IB_MISMATCH);
	assert_string_equal(err.text, "'dir/f': the file became shorter while it was read");
}

static void a_sparse_file_that_shrinks_is_named(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;
	char name[] = "f";
	autowriter *w = new_writer(f, f->pool, &settings[0]);
	struct oci_tar_entry entry = file_entry(name, 10000000);
	ib_autoerr err = {0};

	tree_file(t, "f", "");
	ib_autoclose int fd = openat(t->fd, "f", O_RDWR | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, 5000000), 0);
	assert_int_equal(oci_layer_writer_file(w, &entry, fd, &err), -1);
	assert_int_equal(err.code, IB_MISMATCH);
}

static void a_writer_that_is_given_up_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	size_t n = 6 * OCI_LAYER_BLOCK;
	ib_autofree char *bytes = some_bytes(n);
	ib_autoerr err = {0};

	for (size_t i = 0; i < 3; i++) {
		struct oci_layer_writer *w = new_writer(f, f->pool, &settings[i]);

		assert_int_equal(oci_layer_writer_raw(w, bytes, n, &err), 0);
		oci_layer_writer_free(w);
	}
	assert_int_equal(count_blobs(f), 0);
}

static void a_full_disk_is_an_error_of_the_caller(void **state)
{
	struct fixture *f = *state;
	size_t n = 16 * OCI_LAYER_BLOCK;
	ib_autofree char *bytes = some_bytes(n);
	autowriter *w = new_writer(f, f->pool, &settings[0]);
	struct rlimit before, small;
	ib_autoerr err = {0};
	autolayer layer = {0};
	int r;

	/* The nearest thing to a full disk that needs no disk of one's own. */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = (struct rlimit){.rlim_cur = OCI_LAYER_BLOCK, .rlim_max = before.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	r = oci_layer_writer_raw(w, bytes, n, &err);
	if (r == 0)
		r = oci_layer_writer_finish(w, &layer, &err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(r, -1);
	assert_int_equal(err.code, IB_IO);
	assert_string_equal(err.text, "write a blob: File too large");
	oci_layer_writer_free(ib_steal_ptr(&w));
	assert_int_equal(count_blobs(f), 0);
}

struct nested {
	const struct fixture *f;
	struct ib_pool *pool;
	const char *bytes;
	size_t n;
	int done;	/* one byte is written there at the end; -1: nowhere */
	struct oci_layer layer;
};

static void write_nested(void *arg)
{
	struct nested *n = arg;

	write_raw(n->f, n->pool, &settings[0], n->bytes, n->n, &n->layer);
	if (n->done >= 0)
		assert_int_equal(write(n->done, "", 1), 1);
}

static void a_writer_may_run_on_the_only_thread_of_its_pool(void **state)
{
	struct fixture *f = *state;
	size_t n = 12 * OCI_LAYER_BLOCK;
	ib_autofree char *bytes = some_bytes(n);
	struct ib_pool *pool = ib_pool_new(1);
	struct nested arg = {.f = f, .pool = pool, .bytes = bytes, .n = n};
	int ends[2];
	char byte;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	arg.done = ends[1];
	ib_pool_submit(pool, write_nested, &arg);
	assert_int_equal(read(ends[0], &byte, 1), 1);	/* would wait for ever */
	ib_pool_free(pool);
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(arg.layer.tar_size, n);
	assert_true(oci_store_has(f->store, &arg.layer.desc.digest, arg.layer.desc.size));
	oci_layer_done(&arg.layer);
}

static void writers_share_a_pool(void **state)
{
	struct fixture *f = *state;
	size_t n = 10 * OCI_LAYER_BLOCK;
	ib_autofree char *bytes = some_bytes(n);
	struct ib_pool *outer = ib_pool_new(3);
	struct nested arg[6];

	for (size_t i = 0; i < 6; i++) {
		arg[i] = (struct nested){.f = f, .pool = f->pool, .bytes = bytes + i, .n = n - i, .done = -1};
		ib_pool_submit(outer, write_nested, &arg[i]);
	}
	ib_pool_free(outer);
	for (size_t i = 0; i < 6; i++) {
		struct oci_digest want;

		oci_digest_of(bytes + i, n - i, &want);
		assert_true(oci_digest_equal(&want, &arg[i].layer.diff_id.digest));
		oci_layer_done(&arg[i].layer);
	}
	assert_int_equal(count_blobs(f), 6);
}

static void expect_bounded_memory(struct fixture *f)
{
	ib_autofree char *bytes = some_bytes(OCI_LAYER_BLOCK);
	autowriter *w = new_writer(f, f->pool, &settings[1]);
	struct rusage before, after;
	ib_autoerr err = {0};
	autolayer layer = {0};

	getrusage(RUSAGE_SELF, &before);
	for (int i = 0; i < 300; i++)
		assert_int_equal(oci_layer_writer_raw(w, bytes, OCI_LAYER_BLOCK, &err), 0);
	finish(w, &layer);
	getrusage(RUSAGE_SELF, &after);
	/* Six blocks in and out, and the tables of three compressors, for 300 MiB of input. */
	assert_in_range(after.ru_maxrss - before.ru_maxrss, 0, 40 * 1024);
}

static void memory_is_bounded(void **state)
{
	if (SANITIZED) {
		print_message("skipped: a sanitizer's memory would be measured\n");
		skip();
	}
	expect_bounded_memory(*state);
}

static void a_layer_is_compressed_anew_with_the_same_diff_id(void **state)
{
	struct fixture *f = *state;
	size_t n = 3 * OCI_LAYER_BLOCK + 512;
	ib_autofree char *bytes = some_bytes(n);
	autolayer gz = {0}, zst = {0}, wrong = {0};
	struct oci_diff_id other;
	ib_autoerr err = {0};

	write_raw(f, f->pool, &settings[0], bytes, n, &gz);
	if (oci_layer_recompress(f->store, f->pool, &gz.desc, &gz.diff_id, &settings[1], &zst, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(oci_digest_equal(&zst.diff_id.digest, &gz.diff_id.digest));
	assert_int_equal(zst.tar_size, n);
	ib_autofree char *path = blob_path(f, &zst);
	ib_autofree char *command = ib_asprintf("zstd -qdc '%s' | sha256sum", path);
	ib_autofree char *got = output_of(f, command);
	char hex[OCI_DIGEST_SIZE];
	assert_memory_equal(got, oci_digest_hex(&gz.diff_id.digest, hex), 64);

	other = gz.diff_id;
	other.digest.raw[0] ^= 1;
	assert_int_equal(count_blobs(f), 2);
	assert_int_equal(
		oci_layer_recompress(f->store, f->pool, &gz.desc, &other, &settings[2], &wrong, &err), -1);
	assert_int_equal(err.code, IB_MISMATCH);
	assert_int_equal(count_blobs(f), 2);
}

/* In a process of its own, for cancelling cannot be undone. 0: all was as it should be. */
static int cancelled_child(const struct fixture *f, const char *bytes)
{
	struct ib_pool *pool = ib_pool_new(2);
	autowriter *w = new_writer(f, pool, &settings[0]);
	ib_autoerr err = {0};

	if (oci_layer_writer_raw(w, bytes, OCI_LAYER_BLOCK, &err) < 0)
		return 1;
	ib_cancel();
	if (oci_layer_writer_raw(w, bytes, OCI_LAYER_BLOCK, &err) == 0)
		return 2;
	return err.code == IB_CANCELLED ? 0 : 3;
}

static void cancelling_ends_a_writer(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *bytes = some_bytes(OCI_LAYER_BLOCK);
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(cancelled_child(f, bytes));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(memory_is_bounded),	/* first, while the peak is low */
		fixture_test(an_empty_layer_is_1024_zero_bytes),
		fixture_test(media_types_follow_the_compression),
		fixture_test(output_does_not_depend_on_threads),
		fixture_test(other_tools_read_the_output),
		fixture_test(gzip_members_tell_neither_time_nor_host),
		fixture_test(random_data_is_stored_between_compressed_data),
		fixture_test(files_are_read_whole_and_holes_are_zeros),
		fixture_test(a_file_that_shrinks_is_named),
		fixture_test(a_sparse_file_that_shrinks_is_named),
		fixture_test(a_writer_that_is_given_up_leaves_nothing),
		fixture_test(a_full_disk_is_an_error_of_the_caller),
		fixture_test(a_writer_may_run_on_the_only_thread_of_its_pool),
		fixture_test(writers_share_a_pool),
		fixture_test(a_layer_is_compressed_anew_with_the_same_diff_id),
		fixture_test(cancelling_ends_a_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
