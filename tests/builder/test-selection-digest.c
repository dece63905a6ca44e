/* The digest of a selection: what changes it, what does not, and what the stat cache saves. */
#include <poll.h>
#include <sys/inotify.h>
#include <sys/xattr.h>

#include "builder/exec/copy.h"
#include "tests/builder/files.h"

#include "oci/base/poison.h"

struct fixture {
	struct files *files;
	int context;
	char *cache;	/* directory of the stat cache */
};

static int set_up(void **state)
{
	struct fixture *f = ib_new(struct fixture);

	f->files = files_new();
	f->context = files_sub(f->files, "context");
	f->cache = ib_asprintf("%s/cache", f->files->path);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	close(f->context);
	files_free(f->files);
	free(f->cache);
	free(f);
	return 0;
}

struct options {
	bool stage, cache;
	const char *ignore;
	const struct exec_inline_file *file;
	int64_t files, bytes;	/* out */
};

static struct oci_digest digest_with(const struct fixture *f, const char *source, struct options *o)
{
	IB_CLEANUP(oci_union_freep) struct oci_union *tree = files_union(dup(f->context), OCI_UNION_PLAIN);
	IB_CLEANUP(exec_selection_freep) struct exec_selection *selection = NULL;
	IB_CLEANUP(builder_ignore_freep) struct builder_ignore *ignore = NULL;
	struct exec_tree from = {.tree = tree, .context = !o->stage, .stat_cache_dir = o->cache ? f->cache : NULL,
				 .identity = f->files->path};
	struct exec_copy copy = {.sources = &source, .n_sources = 1, .dest = "/n", .inline_files = o->file,
				 .n_inline_files = o->file != NULL};
	struct oci_digest digest = {0};
	ib_autoerr err = {0};

	if (o->ignore)
		assert_int_equal(builder_ignore_parse(o->ignore, strlen(o->ignore), "i", &ignore, &err), 0);
	from.ignore = ignore;
	if (exec_selection_new(&copy, &from, &selection, &err) < 0 ||
	    exec_selection_digest(selection, &digest, &err) < 0)
		fail_msg("%s", err.text);
	exec_selection_size(selection, &o->files, &o->bytes);
	return digest;
}

static struct oci_digest digest(const struct fixture *f, const char *source)
{
	return digest_with(f, source, &(struct options){0});
}

/* Does the digest of the whole context change from one tree to the other? */
static bool differ(const char *a, const char *b, bool stage)
{
	struct oci_digest d[2];
	const char *spec[] = {a, b};

	for (int i = 0; i < 2; i++) {
		void *state;

		set_up(&state);
		files_make(((struct fixture *)state)->context, spec[i]);
		d[i] = digest_with(state, ".", &(struct options){.stage = stage});
		tear_down(&state);
	}
	return !oci_digest_equal(&d[0], &d[1]);
}

static void what_counts_changes_the_digest(void **state)
{
	static const struct {
		const char *a, *b;
	} rows[] = {
		{"f 644 0:0 1 a A\n", "f 644 0:0 1 a B\n"},
		{"f 644 0:0 1 a A\n", "f 644 0:0 1 b A\n"},
		{"f 644 0:0 1 a A\n", "f 600 0:0 1 a A\n"},
		{"f 644 0:0 1 a A\n", "f 4644 0:0 1 a A\n"},
		{"f 644 0:0 1 a A\n", "f 644 0:0 1 a A\nf 644 0:0 1 b\n"},
		{"f 644 0:0 1 a A\nf 644 0:0 1 b B\n", "f 644 0:0 1 a B\nf 644 0:0 1 b A\n"},
		{"f 644 0:0 1 a AB\nf 644 0:0 1 b C\n", "f 644 0:0 1 a A\nf 644 0:0 1 b BC\n"},
		{"f 644 0:0 1 ab\nf 644 0:0 1 c\n", "f 644 0:0 1 a\nf 644 0:0 1 bc\n"},
		{"f 644 0:0 1 a b\n", "l - 0:0 1 a b\n"},
		{"l - 0:0 1 a b\n", "l - 0:0 1 a c\n"},
		{"l - 0:0 1 a b\n", "l - 0:0 1 ab b\n"},
		{"d 755 0:0 1 a\n", "f 755 0:0 1 a\n"},
		{"d 755 0:0 1 a\n", "d 700 0:0 1 a\n"},
		{"d 755 0:0 1 a\nd 755 0:0 1 a/b\n", "d 755 0:0 1 a\nd 755 0:0 1 b\n"},
		{"d 755 0:0 1 a\nf 644 0:0 1 a/b B\n", "d 755 0:0 1 a\nf 644 0:0 1 b B\n"},
		{"p 644 0:0 1 a\n", "f 644 0:0 1 a\n"},
		{"s 644 0:0 1 a\n", "f 644 0:0 1 a\n"},
		{"f 644 0:0 1 a *9000000\n", "f 644 0:0 1 a *9000001\n"},
		{"f 644 0:0 1 a *9000000\n", "f 644 0:0 1 a %9000000\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (!differ(rows[i].a, rows[i].b, false))
			fail_msg("same digest:\n%s and\n%s", rows[i].a, rows[i].b);
}

static void what_does_not_count_leaves_the_digest(void **state)
{
	(void)state;
	assert_false(differ("f 644 0:0 1 a A\n", "f 644 0:0 2000 a A\n", false));
	assert_false(differ("d 755 0:0 1 a\nf 644 0:0 1 a/b\n", "d 755 0:0 9 a\nf 644 0:0 1 a/b\n", false));
	assert_false(differ("f 644 0:0 1 a A\n", "f 644 7:7 1 a A\n", false));
	assert_false(differ("f 644 0:0 1 a *20000000\n", "f 644 0:0 7 a *20000000\n", false));
}

static void owners_count_for_a_stage(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: needs root\n");
		skip();
	}
	assert_true(differ("f 644 0:0 1 a A\n", "f 644 7:0 1 a A\n", true));
	assert_true(differ("f 644 0:0 1 a A\n", "f 644 0:7 1 a A\n", true));
	assert_false(differ("f 644 7:7 1 a A\n", "f 644 7:7 5 a A\n", true));
}

static bool set_capability(const struct fixture *f, const char *name)
{
	/* VFS_CAP_REVISION_2, cap_net_bind_service permitted and effective */
	static const unsigned char cap[20] = {1, 0, 0, 2, 0, 4};
	ib_autoclose int fd = openat(f->context, name, O_RDONLY | O_CLOEXEC);

	return fsetxattr(fd, "security.capability", cap, sizeof cap, 0) == 0;
}

static void capabilities_count_for_a_stage(void **state)
{
	struct fixture *f = *state;
	struct options o = {.stage = true};
	struct oci_digest before, after;

	files_make(f->context, "f 755 0:0 1 a A\n");
	before = digest_with(f, ".", &o);
	if (!set_capability(f, "a"))
		skip();
	after = digest_with(f, ".", &o);
	assert_false(oci_digest_equal(&before, &after));
}

static void a_device_counts_by_its_number(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: needs root\n");
		skip();
	}
	assert_true(differ("c 644 0:0 1 a 1,3\n", "c 644 0:0 1 a 1,5\n", false));
}

static void the_base_name_of_a_source_counts_but_not_where_it_lies(void **state)
{
	struct fixture *f = *state;
	struct oci_digest a, moved, renamed;

	files_make(f->context, "d 755 0:0 1 d\nf 644 0:0 1 a A\nf 644 0:0 1 b A\nf 644 0:0 1 d/a A\n");
	a = digest(f, "a");
	moved = digest(f, "d/a");
	renamed = digest(f, "b");
	assert_true(oci_digest_equal(&a, &moved));
	assert_false(oci_digest_equal(&a, &renamed));
}

static void only_what_is_selected_counts(void **state)
{
	struct fixture *f = *state;
	struct options ignored = {.ignore = "log"};
	struct oci_digest a, b;

	files_make(f->context, "f 644 0:0 1 a A\nf 644 0:0 1 log 1\n");
	a = digest(f, "a");
	files_make(f->context, "f 644 0:0 1 log 2\n");
	b = digest(f, "a");
	assert_true(oci_digest_equal(&a, &b));
	a = digest_with(f, ".", &ignored);
	files_make(f->context, "f 644 0:0 1 log 3\n");
	b = digest_with(f, ".", &ignored);
	assert_true(oci_digest_equal(&a, &b));
}

static void files_of_the_dockerfile_count(void **state)
{
	static const struct exec_inline_file hi = {"EOF", "hi", 2}, ho = {"EOF", "ho", 2}, named = {"EOT", "hi", 2};
	struct fixture *f = *state;
	struct oci_digest d[3];

	files_make(f->context, "f 644 0:0 1 a A\n");
	d[0] = digest_with(f, "a", &(struct options){.file = &hi});
	d[1] = digest_with(f, "a", &(struct options){.file = &ho});
	d[2] = digest_with(f, "a", &(struct options){.file = &named});
	assert_false(oci_digest_equal(&d[0], &d[1]));
	assert_false(oci_digest_equal(&d[0], &d[2]));
}

static void files_and_bytes_are_counted(void **state)
{
	struct fixture *f = *state;
	struct options o = {.ignore = "c"};

	files_make(f->context, "d 755 0:0 1 d\nf 644 0:0 1 d/a AAA\nf 644 0:0 1 b *1000\nf 644 0:0 1 c C\nf 644 0:0 1 e\n");
	digest_with(f, ".", &o);
	assert_int_equal(o.files, 3);
	assert_int_equal(o.bytes, 1003);
}

/* Wait until the kernel's clock has left the tick of the last change well behind: only then is it trusted. */
static void let_files_age(void)
{
	struct timespec start, now;

	clock_gettime(CLOCK_REALTIME, &start);
	do {
		struct pollfd none = {.fd = -1};

		(void)poll(&none, 1, 5);
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	} while ((now.tv_sec - start.tv_sec) * 1000000000 + now.tv_nsec - start.tv_nsec < 40000000);
}

/* How many files below the context's root are opened while the digest is told. */
static int count_opens(const struct fixture *f, struct oci_digest *ret_digest)
{
	ib_autofree char *path = ib_asprintf("%s/context", f->files->path);
	ib_autoclose int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	char events[4096] __attribute__((aligned(8)));
	ssize_t n;
	int opens = 0;

	assert_true(inotify_add_watch(watch, path, IN_OPEN) >= 0);
	*ret_digest = digest_with(f, ".", &(struct options){.cache = true});
	while ((n = read(watch, events, sizeof events)) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *e = (const void *)(events + at);

			opens += !(e->mask & IN_ISDIR);
			at += (ssize_t)(sizeof *e + e->len);
		}
	}
	return opens;
}

static void unchanged_files_are_not_opened_again(void **state)
{
	struct fixture *f = *state;
	struct oci_digest plain, first, second;

	files_make(f->context, "f 644 0:0 1 a A\nf 644 0:0 1 b B\nf 644 0:0 1 empty\nf 644 0:0 1 large *9000000\n");
	plain = digest(f, ".");
	let_files_age();
	assert_int_equal(count_opens(f, &first), 3);
	assert_int_equal(count_opens(f, &second), 0);
	assert_true(oci_digest_equal(&plain, &first));
	assert_true(oci_digest_equal(&first, &second));
}

static void a_changed_file_alone_is_opened_again(void **state)
{
	struct fixture *f = *state;
	struct oci_digest before, after, fresh;

	files_make(f->context, "f 644 0:0 1 a A\nf 644 0:0 1 b B\nf 644 0:0 1 c C\n");
	let_files_age();
	assert_int_equal(count_opens(f, &before), 3);
	files_make(f->context, "f 644 0:0 1 b X\n");	/* same size, same mtime: the ctime tells */
	let_files_age();
	assert_int_equal(count_opens(f, &after), 1);
	assert_false(oci_digest_equal(&before, &after));
	assert_int_equal(count_opens(f, &fresh), 0);
	assert_true(oci_digest_equal(&after, &fresh));
	fresh = digest(f, ".");
	assert_true(oci_digest_equal(&after, &fresh));
}

static void added_and_removed_files_are_seen(void **state)
{
	struct fixture *f = *state;
	struct oci_digest d, fresh;

	files_make(f->context, "f 644 0:0 1 b B\nf 644 0:0 1 d D\n");
	let_files_age();
	assert_int_equal(count_opens(f, &d), 2);
	files_make(f->context, "f 644 0:0 1 a A\nf 644 0:0 1 c C\nf 644 0:0 1 e E\n");
	let_files_age();
	assert_int_equal(count_opens(f, &d), 3);
	assert_int_equal(unlinkat(f->context, "b", 0), 0);
	assert_int_equal(count_opens(f, &d), 0);
	fresh = digest(f, ".");
	assert_true(oci_digest_equal(&d, &fresh));
}

static void files_too_young_to_be_trusted_are_read_again(void **state)
{
	struct fixture *f = *state;
	struct oci_digest d;

	let_files_age();
	files_make(f->context, "f 644 0:0 1 a A\n");
	assert_int_equal(count_opens(f, &d), 1);
	assert_int_equal(count_opens(f, &d), 1);
}

static char *cache_file(const struct fixture *f)
{
	IB_CLEANUP(oci_union_freep) struct oci_union *u = NULL;
	IB_CLEANUP(oci_union_walk_freep) struct oci_union_walk *walk = NULL;
	const struct oci_walk_entry *e;
	ib_autoerr err = {0};
	char *path;

	u = files_union(open(f->cache, O_RDONLY | O_DIRECTORY | O_CLOEXEC), OCI_UNION_PLAIN);
	assert_int_equal(oci_union_walk_new(u, "", 0, &walk, &err), 0);
	assert_int_equal(oci_union_walk_next(walk, &e, &err), 1);
	path = ib_asprintf("%s/%s", f->cache, e->path);
	assert_int_equal(oci_union_walk_next(walk, &e, &err), 0);	/* one, and nothing left over */
	return path;
}

static void any_damage_of_the_cache_is_harmless(void **state)
{
	struct fixture *f = *state;
	struct oci_digest want, got;
	ib_autofree char *path = NULL;
	struct stat st;

	files_make(f->context, "f 644 0:0 1 a A\nf 644 0:0 1 b B\nf 644 0:0 1 c C\n");
	want = digest(f, ".");
	let_files_age();
	(void)count_opens(f, &got);
	path = cache_file(f);
	assert_int_equal(stat(path, &st), 0);
	for (off_t at = 0; at < st.st_size; at += 7) {
		ib_autoclose int fd = open(path, O_RDWR | O_CLOEXEC);
		unsigned char byte;

		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 0x5a;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		(void)count_opens(f, &got);
		if (!oci_digest_equal(&want, &got))
			fail_msg("byte %jd of the cache was believed", (intmax_t)at);
	}
	for (off_t size = st.st_size; size >= 0; size -= 13) {
		assert_int_equal(truncate(path, size), 0);
		(void)count_opens(f, &got);
		assert_true(oci_digest_equal(&want, &got));
	}
}

static void a_cache_that_cannot_be_written_is_no_error(void **state)
{
	struct fixture *f = *state;
	struct oci_digest want, got;

	files_make(f->context, "f 644 0:0 1 a A\n");
	files_make(f->files->fd, "f 644 0:0 1 cache in the way\n");
	want = digest(f, ".");
	assert_int_equal(count_opens(f, &got), 1);
	assert_true(oci_digest_equal(&want, &got));
}

static void the_order_of_names_around_a_slash_fits_the_cache(void **state)
{
	struct fixture *f = *state;
	struct oci_digest d;

	/* '-' and '.' sort before '/', so as text a-b and a.b would come before what is in a. */
	files_make(f->context, "d 755 0:0 1 a\nf 644 0:0 1 a/b B\nf 644 0:0 1 a-b C\nf 644 0:0 1 a.b D\nf 644 0:0 1 a0 E\n");
	let_files_age();
	(void)count_opens(f, &d);
	assert_int_equal(count_opens(f, &d), 0);
}

static void many_files_and_chunks_give_one_digest_every_time(void **state)
{
	struct fixture *f = *state;
	struct oci_digest first, again;

	files_make(f->context, "d 755 0:0 1 d\nf 644 0:0 1 large *30000000\nf 644 0:0 1 other *17000000\n");
	for (int i = 0; i < 500; i++) {
		char spec[64];

		(void)snprintf(spec, sizeof spec, "f 644 0:0 1 d/%d *%d\n", i, i * 37);
		files_make(f->context, spec);
	}
	first = digest(f, ".");
	for (int i = 0; i < 3; i++) {
		again = digest(f, ".");
		assert_true(oci_digest_equal(&first, &again));
	}
}

/* The digest with the cache, twice: as it is found, and as it was left; both are that without one. */
static void expect_same_with_cache(const struct fixture *f, const char *ignore)
{
	struct oci_digest plain = digest_with(f, ".", &(struct options){.ignore = ignore});

	for (int i = 0; i < 2; i++) {
		struct options o = {.cache = true, .ignore = ignore};
		struct oci_digest cached = digest_with(f, ".", &o);

		assert_true(oci_digest_equal(&plain, &cached));
	}
}

static void a_walk_divided_between_threads_gives_the_same_digest(void **state)
{
	struct fixture *f = *state;

	/* 9,000 records pass the megabyte from which a cache divides the walk. */
	for (int i = 0; i < 9000; i++) {
		char spec[128];

		if (i % 300 == 0) {
			(void)snprintf(spec, sizeof spec, "d 755 0:0 1 d%02d\nl - 0:0 1 d%02d/link ../x%d\n", i / 300,
				       i / 300, i);
			files_make(f->context, spec);
		}
		(void)snprintf(spec, sizeof spec, "f 644 0:0 1 d%02d/a-name-of-some-length-%04d A%d\n", i / 300, i, i);
		files_make(f->context, spec);
	}
	let_files_age();
	expect_same_with_cache(f, NULL);
	files_make(f->context, "f 644 0:0 1 d00/a-name-of-some-length-0001 B1\n"
			       "f 644 0:0 1 d29/a-name-of-some-length-8999 B8999\nf 644 0:0 1 d30-new N\n");
	let_files_age();
	expect_same_with_cache(f, NULL);
	for (int i = 4400; i < 4600; i++) {	/* among them the one in the middle */
		char name[64];

		(void)snprintf(name, sizeof name, "d%02d/a-name-of-some-length-%04d", i / 300, i);
		assert_int_equal(unlinkat(f->context, name, 0), 0);
	}
	expect_same_with_cache(f, NULL);
	expect_same_with_cache(f, "d0*\n**/*7\n");
	expect_same_with_cache(f, "d*\n!d1*/*3\n");
}

static void expect_unreadable(const struct fixture *f)
{
	IB_CLEANUP(oci_union_freep) struct oci_union *tree = files_union(dup(f->context), OCI_UNION_PLAIN);
	IB_CLEANUP(exec_selection_freep) struct exec_selection *selection = NULL;
	const char *source = ".";
	struct exec_tree from = {.tree = tree, .context = true};
	struct exec_copy copy = {.sources = &source, .n_sources = 1, .dest = "/n"};
	struct oci_digest got;
	ib_autoerr err = {0};

	assert_int_equal(exec_selection_new(&copy, &from, &selection, &err), 0);
	assert_int_equal(exec_selection_digest(selection, &got, &err), -1);
	assert_int_equal(err.code, IB_DENIED);
	assert_true(ib_starts(err.text, "read '/d/a': "));
}

static void every_chunk_of_a_large_file_counts(void **state)
{
	struct fixture *f = *state;
	static const off_t places[] = {0, (8 << 20) - 1, 8 << 20, 19999999};
	struct oci_digest seen[5];
	ib_autoclose int fd = -1;

	files_make(f->context, "f 644 0:0 1 large %20000000\n");
	fd = openat(f->context, "large", O_WRONLY | O_CLOEXEC);
	seen[4] = digest(f, ".");
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(pwrite(fd, "x", 1, places[i]), 1);
		seen[i] = digest(f, ".");
		for (size_t k = 0; k < i; k++)
			assert_false(oci_digest_equal(&seen[k], &seen[i]));
		assert_false(oci_digest_equal(&seen[4], &seen[i]));
	}
}

static void a_file_that_cannot_be_read_is_an_error(void **state)
{
	const struct fixture *f = *state;

	if (geteuid() == 0) {
		print_message("skipped: root reads every file\n");
		skip();
	}
	files_make(f->context, "d 755 0:0 1 d\nf 0 0:0 1 d/a A\n");
	expect_unreadable(f);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		ROW(what_counts_changes_the_digest),
		ROW(what_does_not_count_leaves_the_digest),
		ROW(owners_count_for_a_stage),
		ROW(capabilities_count_for_a_stage),
		ROW(a_device_counts_by_its_number),
		ROW(the_base_name_of_a_source_counts_but_not_where_it_lies),
		ROW(only_what_is_selected_counts),
		ROW(files_of_the_dockerfile_count),
		ROW(files_and_bytes_are_counted),
		ROW(unchanged_files_are_not_opened_again),
		ROW(a_changed_file_alone_is_opened_again),
		ROW(added_and_removed_files_are_seen),
		ROW(files_too_young_to_be_trusted_are_read_again),
		ROW(any_damage_of_the_cache_is_harmless),
		ROW(a_cache_that_cannot_be_written_is_no_error),
		ROW(the_order_of_names_around_a_slash_fits_the_cache),
		ROW(many_files_and_chunks_give_one_digest_every_time),
		ROW(a_walk_divided_between_threads_gives_the_same_digest),
		ROW(every_chunk_of_a_large_file_counts),
		ROW(a_file_that_cannot_be_read_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
