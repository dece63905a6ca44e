/* ADD of archives, which libarchive writes here. */
#include <archive.h>
#include <archive_entry.h>

#include "builder/exec/copy.h"
#include "tests/builder/files.h"

#include "oci/base/poison.h"

struct fixture {
	struct files *files;
	int context, lower, upper;
};

static int set_up(void **state)
{
	struct fixture *f = ib_new(struct fixture);

	f->files = files_new();
	f->context = files_sub(f->files, "context");
	f->lower = files_sub(f->files, "lower");
	f->upper = files_sub(f->files, "upper");
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	close(f->context);
	close(f->lower);
	close(f->upper);
	files_free(f->files);
	free(f);
	return 0;
}

struct member {
	char type;		/* f, d, l (symlink), h (hard link) */
	const char *name, *text;	/* content or target */
	mode_t mode;
	int id;			/* uid and gid */
};

static void add_member(struct archive *a, const struct member *m)
{
	struct archive_entry *e = archive_entry_new();

	archive_entry_set_pathname(e, m->name);
	archive_entry_set_filetype(e, m->type == 'd' ? AE_IFDIR : m->type == 'l' ? AE_IFLNK : AE_IFREG);
	archive_entry_set_perm(e, m->mode);
	archive_entry_set_uid(e, m->id);
	archive_entry_set_gid(e, m->id);
	archive_entry_set_mtime(e, 500, 0);
	if (m->type == 'l')
		archive_entry_set_symlink(e, m->text);
	else if (m->type == 'h')
		archive_entry_set_hardlink(e, m->text);
	else if (m->type == 'f')
		archive_entry_set_size(e, (int64_t)strlen(m->text));
	assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
	if (m->type == 'f')
		assert_int_equal(archive_write_data(a, m->text, strlen(m->text)), (ssize_t)strlen(m->text));
	archive_entry_free(e);
}

/* Write an archive of these members, up to one without a name, into the context. */
static void write_archive(const struct fixture *f, const char *name, int filter, const struct member *members)
{
	struct archive *a = archive_write_new();
	int fd = openat(f->context, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(archive_write_set_format_pax_restricted(a), ARCHIVE_OK);
	assert_true(archive_write_add_filter(a, filter) >= ARCHIVE_WARN);
	assert_int_equal(archive_write_open_fd(a, fd), ARCHIVE_OK);
	for (; members->name; members++)
		add_member(a, members);
	assert_int_equal(archive_write_free(a), ARCHIVE_OK);
	close(fd);
}

static int add(const struct fixture *f, const char *source, const char *dest, const char *chown, const char *chmod_,
	       struct ib_err *err)
{
	IB_CLEANUP(oci_union_freep) struct oci_union *tree = files_union(dup(f->context), OCI_UNION_PLAIN);
	IB_CLEANUP(oci_union_freep) struct oci_union *lower = files_union(dup(f->lower), OCI_UNION_OVERLAY);
	IB_CLEANUP(exec_selection_freep) struct exec_selection *selection = NULL;
	struct exec_target target = {f->upper, lower, geteuid() == 0, geteuid() == 0, NULL, NULL};
	struct exec_tree from = {.tree = tree, .context = true};
	struct exec_copy copy = {.add = true, .sources = &source, .n_sources = 1, .dest = dest, .chown = chown,
				 .chmod = chmod_, .now = 1000};

	if (exec_selection_new(&copy, &from, &selection, err) < 0)
		return -1;
	return exec_copy_run(selection, &target, err);
}

static void must_add(const struct fixture *f, const char *source, const char *dest)
{
	ib_autoerr err = {0};

	if (add(f, source, dest, NULL, NULL, &err) < 0)
		fail_msg("%s", err.text);
}

static const struct member plain[] = {
	{'d', "d", NULL, 0750, 5}, {'f', "d/a", "A", 04711, 6}, {'l', "d/l", "a", 0777, 7}, {'h', "b", "d/a", 0644, 0},
	{0},
};

#define PLAIN_AT_N \
	"d 755 0:0 1000 n\nf 4711 6:6 500 n/b A\nd 750 5:5 500 n/d\nh - - - n/d/a n/b\nl - 7:7 500 n/d/l a\n"

static void archives_of_every_compression_are_unpacked(void **state)
{
	static const int filters[] = {ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_BZIP2,
				      ARCHIVE_FILTER_XZ, ARCHIVE_FILTER_ZSTD};

	tear_down(state);
	for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
		set_up(state);
		write_archive(*state, "no-archive-by-its-name.txt", filters[i], plain);
		must_add(*state, "no-archive-by-its-name.txt", "/n");
		files_expect(((struct fixture *)*state)->upper, PLAIN_AT_N);
		tear_down(state);
	}
	set_up(state);
}

static void a_link_to_an_archive_is_unpacked(void **state)
{
	struct fixture *f = *state;

	write_archive(f, "t.tar", ARCHIVE_FILTER_NONE, plain);
	assert_int_equal(symlinkat("t.tar", f->context, "l"), 0);
	must_add(f, "l", "/n");
	files_expect(f->upper, PLAIN_AT_N);
}

static void an_archive_that_a_wildcard_matches_is_unpacked(void **state)
{
	struct fixture *f = *state;

	write_archive(f, "t.tar", ARCHIVE_FILTER_NONE, plain);
	must_add(f, "*.tar", "/n");
	files_expect(f->upper, PLAIN_AT_N);
}

static void an_archive_in_a_directory_is_not_unpacked(void **state)
{
	static const struct member none[] = {{'f', "a", "", 0644, 0}, {0}};
	struct fixture *f = *state;
	struct stat st;

	assert_int_equal(mkdirat(f->context, "d", 0755), 0);
	write_archive(f, "d/t.tar", ARCHIVE_FILTER_NONE, none);
	must_add(f, "d", "/n");
	assert_int_equal(fstatat(f->upper, "n/t.tar", &st, 0), 0);
	assert_int_equal(fstatat(f->upper, "n/a", &st, 0), -1);
}

static void what_is_no_archive_is_copied(void **state)
{
	/* gzip of "x", by gzip(1); 1024 zero bytes are an archive without entries. */
	static const unsigned char gz[] = {0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 3, 0xab, 0, 0,
					   0x83, 0x16, 0xdc, 0x8c, 1, 0, 0, 0};
	struct fixture *f = *state;
	ib_autofree char *zeros = ib_calloc(1, 1024);
	int fd = openat(f->context, "x.tgz", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	struct stat st;

	assert_int_equal(write(fd, gz, sizeof gz), sizeof gz);
	close(fd);
	fd = openat(f->context, "zeros.tar", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(write(fd, zeros, 1024), 1024);
	close(fd);
	files_make(f->context, "f 644 0:0 9 e.tar\nf 644 0:0 9 text.tar no archive\n");
	must_add(f, "[etxz]*", "/n/");
	assert_int_equal(fstatat(f->upper, "n/x.tgz", &st, 0), 0);
	assert_int_equal(st.st_size, sizeof gz);
	assert_int_equal(fstatat(f->upper, "n/zeros.tar", &st, 0), 0);
	assert_int_equal(st.st_size, 1024);
	assert_int_equal(fstatat(f->upper, "n/e.tar", &st, 0), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(fstatat(f->upper, "n/text.tar", &st, 0), 0);
}

static void a_truncated_archive_is_an_error(void **state)
{
	struct fixture *f = *state;
	ib_autoerr err = {0};
	int fd;

	write_archive(f, "t.tar", ARCHIVE_FILTER_NONE, plain);
	fd = openat(f->context, "t.tar", O_WRONLY | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, 1100), 0);
	close(fd);
	assert_int_equal(add(f, "t.tar", "/n", NULL, NULL, &err), -1);
	assert_int_equal(err.code, IB_INVALID);
	assert_true(ib_starts(err.text, "unpack '/t.tar': "));
}

static void flags_give_an_owner_but_no_mode(void **state)
{
	struct fixture *f = *state;
	ib_autoerr err = {0};

	write_archive(f, "t.tar", ARCHIVE_FILTER_NONE, plain);
	assert_int_equal(add(f, "t.tar", "/n", "5:6", "777", &err), 0);
	files_expect(f->upper,
		     "d 755 5:6 1000 n\nf 4711 5:6 500 n/b A\nd 750 5:6 500 n/d\nh - - - n/d/a n/b\nl - 5:6 500 n/d/l a\n");
}

static void an_existing_destination_and_what_is_in_it_keep_their_metadata(void **state)
{
	static const struct member members[] = {{'f', "s/a", "A", 0644, 0}, {'f', "f", "new", 0600, 0}, {0}};
	struct fixture *f = *state;

	files_make(f->lower, "d 711 3:3 20 n\nd 700 4:4 21 n/s\nf 644 0:0 22 n/f old\n");
	write_archive(f, "t.tar", ARCHIVE_FILTER_NONE, members);
	must_add(f, "t.tar", "/n");
	files_expect(f->upper, "d 711 3:3 20 n\nf 600 0:0 500 n/f new\nd 700 4:4 21 n/s\nf 644 0:0 500 n/s/a A\n");
}

static void the_root_of_the_archive_is_the_destination(void **state)
{
	static const struct member members[] = {{'d', "./", NULL, 0700, 9}, {'f', "./a", "A", 0644, 0}, {0}};
	struct fixture *f = *state;

	write_archive(f, "t.tar", ARCHIVE_FILTER_NONE, members);
	must_add(f, "t.tar", "/n");
	files_expect(f->upper, "d 700 9:9 500 n\nf 644 0:0 500 n/a A\n");
}

static void names_and_links_stay_inside_the_destination(void **state)
{
	static const struct member members[] = {
		{'f', "../../out", "1", 0644, 0}, {'f', "/abs", "2", 0644, 0}, {'l', "up", "../../..", 0777, 0},
		{'f', "up/via", "3", 0644, 0}, {'l', "root", "/", 0777, 0}, {'f', "root/via2", "4", 0644, 0}, {0},
	};
	struct fixture *f = *state;

	write_archive(f, "t.tar", ARCHIVE_FILTER_NONE, members);
	must_add(f, "t.tar", "/n/m");
	files_expect(f->upper,
		     "d 755 0:0 1000 n\nd 755 0:0 1000 n/m\nf 644 0:0 500 n/m/abs 2\nf 644 0:0 500 n/m/out 1\n"
		     "l - 0:0 500 n/m/root /\nl - 0:0 500 n/m/up ../../..\nf 644 0:0 500 n/m/via 3\n"
		     "f 644 0:0 500 n/m/via2 4\n");
}

static void names_of_whiteouts_are_ordinary(void **state)
{
	static const struct member members[] = {{'f', ".wh.a", "x", 0644, 0}, {'f', ".wh..wh..opq", "", 0644, 0}, {0}};
	struct fixture *f = *state;

	files_make(f->lower, "d 755 0:0 20 n\nf 644 0:0 22 n/a old\n");
	write_archive(f, "t.tar", ARCHIVE_FILTER_NONE, members);
	must_add(f, "t.tar", "/n");
	files_expect(f->upper, "d 755 0:0 20 n\nf 644 0:0 500 n/.wh..wh..opq\nf 644 0:0 500 n/.wh.a x\n");
}

static void a_file_as_destination_is_an_error(void **state)
{
	struct fixture *f = *state;
	ib_autoerr err = {0};

	files_make(f->lower, "f 644 0:0 22 n old\n");
	write_archive(f, "t.tar", ARCHIVE_FILTER_NONE, plain);
	assert_int_equal(add(f, "t.tar", "/n", NULL, NULL, &err), -1);
	assert_string_equal(err.text, "mkdir /n: not a directory");
	assert_int_equal(err.code, IB_USAGE);
}

static void two_archives_go_over_each_other(void **state)
{
	static const struct member one[] = {{'d', "x", NULL, 0700, 0}, {'f', "x/a", "1", 0644, 0}, {'f', "y", "1", 0644, 0}, {0}};
	static const struct member two[] = {{'f', "x/b", "2", 0644, 0}, {'f', "y", "2", 0600, 0}, {0}};
	struct fixture *f = *state;

	write_archive(f, "1.tar", ARCHIVE_FILTER_NONE, one);
	write_archive(f, "2.tar", ARCHIVE_FILTER_NONE, two);
	must_add(f, "?.tar", "/n/");
	files_expect(f->upper, "d 755 0:0 1000 n\nd 700 0:0 500 n/x\nf 644 0:0 500 n/x/a 1\nf 644 0:0 500 n/x/b 2\n"
			       "f 600 0:0 500 n/y 2\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(archives_of_every_compression_are_unpacked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_link_to_an_archive_is_unpacked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_archive_that_a_wildcard_matches_is_unpacked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_archive_in_a_directory_is_not_unpacked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_archive_is_copied, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_truncated_archive_is_an_error, set_up, tear_down),
		cmocka_unit_test_setup_teardown(flags_give_an_owner_but_no_mode, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_existing_destination_and_what_is_in_it_keep_their_metadata, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(the_root_of_the_archive_is_the_destination, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_and_links_stay_inside_the_destination, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_of_whiteouts_are_ordinary, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_file_as_destination_is_an_error, set_up, tear_down),
		cmocka_unit_test_setup_teardown(two_archives_go_over_each_other, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
