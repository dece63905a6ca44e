/* Snapshots: named, found, shared with other processes, distrusted after a reboot, unpacked, removed. */
#include "tests/builder/files.h"

#include "builder/snapshot/snapshot.h"
#include "oci/tar.h"

#include "oci/base/poison.h"

struct fixture {
	struct files *files;
	struct oci_store *store;
	struct builder_snapshots *s, *other;	/* other: as another process has them */
};

static struct builder_snapshots *open_snapshots(struct fixture *f)
{
	struct builder_snapshots *s = NULL;
	ib_autoerr err = {0};

	if (builder_snapshots_open(f->store, BUILDER_SNAPSHOT_COPY, &s, &err) < 0)
		fail_msg("%s", err.text);
	return s;
}

static int set_up(void **state)
{
	struct fixture *f = ib_new(struct fixture);
	ib_autofree char *root = NULL;
	ib_autoerr err = {0};

	f->files = files_new();
	root = ib_asprintf("%s/root", f->files->path);
	assert_int_equal(oci_store_open(root, true, &f->store, &err), 0);
	f->s = open_snapshots(f);
	f->other = open_snapshots(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	builder_snapshots_free(f->other);
	builder_snapshots_free(f->s);
	oci_store_free(f->store);
	files_free(f->files);
	free(f);
	return 0;
}

static struct oci_chain_id chain(uint8_t fill)
{
	struct oci_chain_id id = {{.algo = OCI_SHA256}};

	memset(id.digest.raw, fill, 32);
	return id;
}

/* A layer with one file of this name in it. */
static struct builder_snapshot *layer(struct builder_snapshots *s, struct builder_snapshot *parent, const char *name)
{
	ib_autofree char *spec = ib_asprintf("f 644 - 5 %s x\n", name);
	struct builder_snapshot *made = NULL;
	ib_autoerr err = {0};

	assert_int_equal(builder_snapshot_new(s, parent, &made, &err), 0);
	files_make(made->fd, spec);
	return made;
}

static void publish(struct builder_snapshot *snapshot, uint8_t fill)
{
	struct oci_chain_id id = chain(fill);
	ib_autoerr err = {0};

	assert_int_equal(builder_snapshot_publish(snapshot, &id, &err), 0);
}

static struct builder_snapshot *find(struct builder_snapshots *s, uint8_t fill, struct builder_snapshot *parent)
{
	struct oci_chain_id id = chain(fill);
	struct builder_snapshot *found = NULL;
	ib_autoerr err = {0};

	assert_int_equal(builder_snapshot_find(s, &id, parent, &found, &err), 0);
	assert_int_equal(builder_snapshots_has(s, &id), found != NULL);
	return found;
}

static bool exists(const struct fixture *f, const char *path)
{
	struct stat st;

	return fstatat(f->files->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool on_disk(const struct fixture *f, const char *id)
{
	ib_autofree char *path = ib_asprintf("root/snapshots/%s", id);

	return exists(f, path);
}

static void other_boot(const struct fixture *f, const char *id)
{
	ib_autofree char *path = ib_asprintf("root/snapshots/%s/boot", id);
	int fd = openat(f->files->fd, path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_int_equal(write(fd, "another\n", 8), 8);
	close(fd);
}

static void what_is_not_published_goes_with_its_last_user(void **state)
{
	struct fixture *f = *state;
	struct builder_snapshot *made = layer(f->s, NULL, "a");
	ib_autofree char *id = ib_strdup(made->id);

	builder_snapshot_unref(builder_snapshot_ref(made));
	assert_true(on_disk(f, id));
	builder_snapshot_unref(made);
	assert_false(on_disk(f, id));
}

static void what_is_published_is_found_by_others(void **state)
{
	struct fixture *f = *state;
	struct builder_snapshot *made = layer(f->s, NULL, "a"), *found;
	struct stat st;

	assert_null(find(f->other, 1, NULL));
	publish(made, 1);
	publish(made, 1);
	builder_snapshot_unref(made);
	found = find(f->other, 1, NULL);
	assert_non_null(found);
	assert_int_equal(fstatat(found->fd, "a", &st, 0), 0);
	assert_null(find(f->other, 2, NULL));
	builder_snapshot_unref(found);
}

static void the_first_of_two_keeps_the_name(void **state)
{
	struct fixture *f = *state;
	struct builder_snapshot *first = layer(f->s, NULL, "a"), *second = layer(f->other, NULL, "a"), *found;
	ib_autofree char *loser = ib_strdup(second->id);

	publish(first, 1);
	publish(second, 1);
	found = find(f->s, 1, NULL);
	assert_string_equal(found->id, first->id);
	assert_true(on_disk(f, loser));		/* its maker still works in it */
	builder_snapshot_unref(second);
	assert_false(on_disk(f, loser));
	builder_snapshot_unref(first);
	builder_snapshot_unref(found);
}

static void layers_of_another_boot_are_made_again(void **state)
{
	struct fixture *f = *state;
	struct builder_snapshot *old = layer(f->s, NULL, "a"), *made, *found;
	ib_autofree char *id = ib_strdup(old->id);

	publish(old, 1);
	builder_snapshot_unref(old);
	other_boot(f, id);
	assert_null(find(f->s, 1, NULL));
	made = layer(f->s, NULL, "a");
	publish(made, 1);
	assert_false(on_disk(f, id));
	found = find(f->other, 1, NULL);
	assert_string_equal(found->id, made->id);
	builder_snapshot_unref(found);
	builder_snapshot_unref(made);
}

/* Name in chain/ that leads to nothing of ours: where it points to. */
static void odd_names_are_not_followed(void **state)
{
	static const char *const targets[] = {"../gone", "../../../x", "/etc", "..", "../x/y", "a"};
	struct fixture *f = *state;
	struct oci_chain_id id = chain(1);
	char hex[OCI_DIGEST_SIZE];
	ib_autofree char *link = ib_asprintf("root/snapshots/chain/%s", oci_digest_hex(&id.digest, hex));

	for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
		struct builder_snapshot *made = layer(f->s, NULL, "a"), *found;

		(void)unlinkat(f->files->fd, link, 0);
		assert_int_equal(symlinkat(targets[i], f->files->fd, link), 0);
		assert_null(find(f->s, 1, NULL));
		publish(made, 1);
		found = find(f->s, 1, NULL);
		assert_string_equal(found->id, made->id);
		builder_snapshot_unref(found);
		builder_snapshot_unref(made);
	}
	assert_true(exists(f, "root"));
}

static void a_directory_that_is_gone_counts_as_missing(void **state)
{
	struct fixture *f = *state;
	struct builder_snapshot *made = layer(f->s, NULL, "a");
	struct oci_chain_id id = chain(1);
	struct builder_snapshot *found = NULL;
	ib_autofree char *fs = ib_asprintf("root/snapshots/%s/fs", made->id);
	ib_autoerr err = {0};

	publish(made, 1);
	builder_snapshot_unref(made);
	assert_int_equal(ib_remove_tree(f->files->fd, fs, &err), 0);
	assert_int_equal(builder_snapshot_find(f->s, &id, NULL, &found, &err), 0);
	assert_null(found);
}

static void a_stack_is_read_as_one_tree(void **state)
{
	struct fixture *f = *state;
	struct builder_snapshot *low = layer(f->s, NULL, "a"), *top = layer(f->s, low, "b");
	struct oci_union *tree = NULL;
	struct stat st;
	ib_autoerr err = {0};

	assert_int_equal(top->depth, 2);
	builder_snapshot_unref(low);	/* the one above holds it */
	assert_int_equal(builder_snapshot_union(top, &tree, &err), 0);
	assert_int_equal(oci_union_stat(tree, "a", &st, NULL, &err), 0);
	assert_int_equal(oci_union_stat(tree, "b", &st, NULL, &err), 0);
	oci_union_free(tree);
	builder_snapshot_unref(top);
	assert_int_equal(builder_snapshot_union(NULL, &tree, &err), 0);
	assert_int_equal(oci_union_stat(tree, "a", &st, NULL, &err), -1);
	oci_union_free(tree);
}

static void a_new_layer_has_its_parents_root_mode(void **state)
{
	struct fixture *f = *state;
	struct builder_snapshot *low = layer(f->s, NULL, "a"), *top;
	struct stat st;

	assert_int_equal(fchmod(low->fd, 01751), 0);
	top = layer(f->s, low, "b");
	assert_int_equal(fstat(top->fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 01751);
	builder_snapshot_unref(top);
	builder_snapshot_unref(low);
}

/* As a process leaves it that was killed: nobody holds the lock of its directory. */
static void what_dead_processes_left_is_swept(void **state)
{
	struct fixture *f = *state;
	struct builder_snapshot *kept = layer(f->s, NULL, "a");

	assert_int_equal(mkdirat(f->files->fd, "root/work/99.00000000dead", 0700), 0);
	assert_int_equal(mkdirat(f->files->fd, "root/work/99.00000000dead/run-0", 0700), 0);
	assert_int_equal(mkdirat(f->files->fd, "root/snapshots/99.00000000dead-0", 0700), 0);
	assert_int_equal(mkdirat(f->files->fd, "root/snapshots/99.00000000dead-1", 0700), 0);
	assert_int_equal(symlinkat("../99.00000000dead-1", f->files->fd, "root/snapshots/chain/named"), 0);
	builder_snapshots_free(open_snapshots(f));
	assert_false(exists(f, "root/work/99.00000000dead"));
	assert_false(exists(f, "root/snapshots/99.00000000dead-0"));
	assert_true(exists(f, "root/snapshots/99.00000000dead-1"));
	assert_true(on_disk(f, kept->id));	/* we live */
	builder_snapshot_unref(kept);
}

static int count(void *ctx, const struct oci_chain_id *id, int64_t bytes, struct ib_err *err)
{
	(void)err;
	assert_true(bytes > 0);
	*(unsigned int *)ctx += id->digest.raw[0];
	return 0;
}

static void layers_are_listed_and_removed(void **state)
{
	struct fixture *f = *state;
	struct oci_chain_id gone = chain(1);
	unsigned int sum = 0;
	ib_autoerr err = {0};

	for (uint8_t i = 1; i <= 3; i++) {
		struct builder_snapshot *made = layer(f->s, NULL, "a");

		publish(made, i);
		builder_snapshot_unref(made);
	}
	assert_int_equal(builder_snapshots_each(f->s, count, &sum, &err), 0);
	assert_int_equal(sum, 1 + 2 + 3);
	assert_int_equal(builder_snapshots_remove(f->s, &gone, &err), 0);
	assert_int_equal(builder_snapshots_remove(f->s, &gone, &err), 0);
	assert_null(find(f->s, 1, NULL));
	sum = 0;
	assert_int_equal(builder_snapshots_each(f->s, count, &sum, &err), 0);
	assert_int_equal(sum, 2 + 3);
}

/* Tars with one file each, for unpacking. */
struct tars {
	struct ib_str bytes[4];
	struct oci_diff_id ids[4];
	int opened[4];
	bool wrong;	/* answer with another layer's bytes */
};

static int add_bytes(void *ctx, const void *bytes, size_t n, struct ib_err *err)
{
	(void)err;
	ib_str_add(ctx, bytes, n);
	return 0;
}

static void make_tars(struct tars *tars)
{
	*tars = (struct tars){0};
	for (int i = 0; i < 4; i++) {
		struct oci_tar_writer *tar = oci_tar_writer_new(add_bytes, &tars->bytes[i]);
		struct oci_tar_entry entry = {.name = ib_asprintf("f%d", i), .mode = S_IFREG | 0644, .uid = getuid(), .gid = getgid()};
		ib_autoerr err = {0};

		tars->bytes[i] = (struct ib_str)IB_STR(1u << 20);
		assert_int_equal(oci_tar_begin(tar, &entry, &err), 0);
		assert_int_equal(oci_tar_end(tar, &err), 0);
		oci_tar_writer_free(tar);
		free(entry.name);
		oci_digest_of(tars->bytes[i].s, tars->bytes[i].len, &tars->ids[i].digest);
	}
}

static void tars_done(struct tars *tars)
{
	for (int i = 0; i < 4; i++)
		ib_str_done(&tars->bytes[i]);
}

static int open_tar(void *ctx, size_t index, struct oci_reader **ret_reader, struct ib_err *err)
{
	struct tars *tars = ctx;
	size_t shown = tars->wrong ? (index + 1) % 4 : index;

	(void)err;
	__atomic_add_fetch(&tars->opened[index], 1, __ATOMIC_RELAXED);
	*ret_reader = oci_memory_reader_new(tars->bytes[shown].s, tars->bytes[shown].len);
	return 0;
}

static int unpack(struct fixture *f, struct tars *tars, size_t n, struct ib_err *err)
{
	struct builder_unpack request = {.diff_ids = tars->ids, .n = n, .open = open_tar, .ctx = tars};
	struct builder_snapshot *top = NULL;

	if (builder_snapshot_unpack(f->s, &request, &top, err) < 0)
		return -1;
	assert_int_equal(top ? top->depth : 0, n);
	builder_snapshot_unref(top);
	return 0;
}

static void layers_are_unpacked_once(void **state)
{
	struct fixture *f = *state;
	ib_autoerr err = {0};
	struct tars tars;

	make_tars(&tars);
	assert_int_equal(unpack(f, &tars, 0, &err), 0);
	assert_int_equal(unpack(f, &tars, 2, &err), 0);
	assert_int_equal(unpack(f, &tars, 4, &err), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(tars.opened[i], 1);
	tars_done(&tars);
}

static void bytes_of_another_layer_are_refused(void **state)
{
	struct fixture *f = *state;
	unsigned int sum = 0;
	ib_autoerr err = {0};
	struct tars tars;

	make_tars(&tars);
	tars.wrong = true;
	assert_int_equal(unpack(f, &tars, 4, &err), -1);
	assert_int_equal(err.code, IB_MISMATCH);
	assert_int_equal(builder_snapshots_each(f->s, count, &sum, &err), 0);
	assert_int_equal(sum, 0);
	tars_done(&tars);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_not_published_goes_with_its_last_user),
		TEST(what_is_published_is_found_by_others),
		TEST(the_first_of_two_keeps_the_name),
		TEST(layers_of_another_boot_are_made_again),
		TEST(odd_names_are_not_followed),
		TEST(a_directory_that_is_gone_counts_as_missing),
		TEST(a_stack_is_read_as_one_tree),
		TEST(a_new_layer_has_its_parents_root_mode),
		TEST(what_dead_processes_left_is_swept),
		TEST(layers_are_listed_and_removed),
		TEST(layers_are_unpacked_once),
		TEST(bytes_of_another_layer_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
