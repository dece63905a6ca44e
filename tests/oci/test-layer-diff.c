#include <sys/mount.h>
#include <sys/sysmacros.h>

#include "oci/layer-diff.h"
#include "tests/oci/layer-fixture.h"

#include "oci/base/poison.h"

static const struct oci_compression_setting uncompressed = {.compression = OCI_UNCOMPRESSED};

/* What GNU tar lists, without owners and times: "MODE SIZE NAME[ -> TARGET| link to FIRST]" per line. */
#define SHORT "awk '{ $2 = $4 = $5 = \"\"; print }'"
/* All of it, in UTC. */
#define LONG "cat"

static char *list(const struct fixture *f, const struct oci_layer *layer, const char *how)
{
	ib_autofree char *path = blob_path(f, layer);
	ib_autofree char *command = ib_asprintf("TZ=UTC tar --numeric-owner --full-time --quoting-style=literal -tvf '%s' | %s | tr -s ' '", path, how);

	return output_of(f, command);
}

static void diff_upper(struct fixture *f, const char *upper, struct oci_union *lower,
		       const struct oci_diff_options *options, struct oci_layer *ret_layer)
{
	autowriter *w = NULL;
	ib_autoclose int fd = tree_open(&f->tree, upper);
	ib_autoerr err = {0};
	int64_t entries = -1;

	assert_int_equal(oci_layer_writer_new(f->store, f->pool, &uncompressed, &w, &err), 0);
	if (oci_layer_diff(w, fd, lower, options, &entries, &err) < 0 ||
	    oci_layer_writer_finish(w, ret_layer, &err) < 0)
		fail_msg("%s", err.text);
	ib_autofree char *path = blob_path(f, ret_layer);
	ib_autofree char *command = ib_asprintf("tar tf '%s' | wc -l", path);
	ib_autofree char *count = output_of(f, command);
	ib_autofree char *want = ib_asprintf("%jd\n", (intmax_t)entries);
	assert_string_equal(count, want);
}

static void expect_diff(struct fixture *f, const char *upper, struct oci_union *lower, const char *want)
{
	autolayer layer = {0};

	diff_upper(f, upper, lower, NULL, &layer);
	ib_autofree char *got = list(f, &layer, SHORT);
	assert_string_equal(got, want);
}

static void expect_trees(struct fixture *f, struct oci_union *new_tree, struct oci_union *old_tree,
			 const char *want)
{
	autowriter *w = NULL;
	autolayer layer = {0};
	ib_autoerr err = {0};
	int64_t entries;

	assert_int_equal(oci_layer_writer_new(f->store, f->pool, &uncompressed, &w, &err), 0);
	if (oci_layer_diff_trees(w, new_tree, old_tree, NULL, &entries, &err) < 0 ||
	    oci_layer_writer_finish(w, &layer, &err) < 0)
		fail_msg("%s", err.text);
	ib_autofree char *got = list(f, &layer, SHORT);
	assert_string_equal(got, want);
}

static struct oci_union *lower_of(struct fixture *f)
{
	return tree_layers(&f->tree, OCI_UNION_OVERLAY, "low");
}

static void everything_is_new_over_nothing(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;
	autounion *nothing = oci_union_new();

	tree_dir(t, "up");
	tree_dir(t, "up/b");
	tree_file(t, "up/b/f", "abc");
	tree_link(t, "up/b/l", "../nowhere");
	tree_file(t, "up/b-a", "");
	tree_dir(t, "up/empty");
	assert_int_equal(mkfifoat(t->fd, "up/fifo", 0600), 0);
	assert_int_equal(fchmodat(t->fd, "up/b/f", 04755, 0), 0);
	assert_int_equal(fchmodat(t->fd, "up/empty", 01777, 0), 0);
	expect_diff(f, "up", nothing,
		    "drwxr-xr-x 0 b/\n"
		    "-rwsr-xr-x 3 b/f\n"
		    "lrwxrwxrwx 0 b/l -> ../nowhere\n"
		    "-rw-r--r-- 0 b-a\n"
		    "drwxrwxrwt 0 empty/\n"
		    "prw------- 0 fifo\n");
}

static void an_unchanged_upper_is_an_empty_layer(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;
	autolayer layer = {0};
	char text[OCI_DIGEST_SIZE];

	tree_dir(t, "low");
	tree_dir(t, "low/d");
	tree_file(t, "low/d/f", "same");
	tree_mtime(t, "low/d/f", 1000, 0);
	tree_dir(t, "up");
	tree_dir(t, "up/d");	/* its time differs: no change of a directory */
	tree_file(t, "up/d/f", "same");
	tree_mtime(t, "up/d/f", 1000, 0);
	autounion *low = lower_of(f);
	diff_upper(f, "up", low, NULL, &layer);
	assert_int_equal(layer.tar_size, 1024);
	assert_string_equal(oci_digest_str(&layer.diff_id.digest, text),
			    "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef");
}

static void what_counts_as_a_change(void **state)
{
	static const struct {
		const char *name, *low, *up;
		mode_t low_mode, up_mode;
		time_t low_time, up_time;
		long low_ns, up_ns;
		bool change;
	} rows[] = {
		{"a-mode", "x", "x", 0644, 0600, 1, 1, 0, 0, true},
		{"b-time", "x", "x", 0644, 0644, 1, 2, 0, 0, true},
		{"c-size", "x", "xx", 0644, 0644, 1, 1, 5, 5, true},
		{"d-content-at-whole-seconds", "x", "y", 0644, 0644, 1, 1, 0, 0, true},
		{"e-same-at-whole-seconds", "x", "x", 0644, 0644, 1, 1, 0, 0, false},
		{"f-nanoseconds", "x", "x", 0644, 0644, 1, 1, 5, 6, true},
		{"g-same-nanoseconds-prove-sameness", "x", "y", 0644, 0644, 1, 1, 5, 5, false},
		{"h-empty", "", "", 0644, 0644, 1, 1, 0, 0, false},
	};
	struct fixture *f = *state;
	const struct tree *t = &f->tree;
	ib_autostr want = IB_STR(4096);

	tree_dir(t, "low");
	tree_dir(t, "up");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		ib_autofree char *low = ib_asprintf("low/%s", rows[i].name);
		ib_autofree char *up = ib_asprintf("up/%s", rows[i].name);

		tree_file(t, low, rows[i].low);
		tree_file(t, up, rows[i].up);
		assert_int_equal(fchmodat(t->fd, low, rows[i].low_mode, 0), 0);
		assert_int_equal(fchmodat(t->fd, up, rows[i].up_mode, 0), 0);
		tree_mtime(t, low, rows[i].low_time, rows[i].low_ns);
		tree_mtime(t, up, rows[i].up_time, rows[i].up_ns);
		if (rows[i].change)
			ib_str_addf(&want, "%s %zu %s\n", rows[i].up_mode == 0600 ? "-rw-------" : "-rw-r--r--",
				    strlen(rows[i].up), rows[i].name);
	}
	autounion *low = lower_of(f);
	expect_diff(f, "up", low, want.s);
}

static void large_files_of_equal_time_are_compared_to_their_end(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;
	ib_autofree char *text = ib_malloc(500001);

	memset(text, 'x', 500000);
	text[500000] = '\0';
	tree_dir(t, "low");
	tree_dir(t, "up");
	tree_file(t, "low/a", text);
	tree_file(t, "up/a", text);
	tree_file(t, "low/b", text);
	text[499999] = 'y';
	tree_file(t, "up/b", text);
	tree_mtime(t, "low/a", 7, 0);
	tree_mtime(t, "up/a", 7, 0);
	tree_mtime(t, "low/b", 7, 0);
	tree_mtime(t, "up/b", 7, 0);
	autounion *low = lower_of(f);
	expect_diff(f, "up", low, "-rw-r--r-- 500000 b\n");
}

static void links_change_by_target_and_by_time(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;

	tree_dir(t, "low");
	tree_dir(t, "up");
	tree_link(t, "low/same", "x");
	tree_link(t, "up/same", "x");
	tree_link(t, "low/target", "x");
	tree_link(t, "up/target", "y");
	tree_link(t, "low/time", "x");
	tree_link(t, "up/time", "x");
	tree_mtime(t, "low/same", 5, 0);
	tree_mtime(t, "up/same", 5, 0);
	tree_mtime(t, "low/target", 5, 0);
	tree_mtime(t, "up/target", 5, 0);
	tree_mtime(t, "low/time", 5, 0);
	tree_mtime(t, "up/time", 6, 0);
	autounion *low = lower_of(f);
	expect_diff(f, "up", low, "lrwxrwxrwx 0 target -> y\nlrwxrwxrwx 0 time -> x\n");
}

/* dockerfile.md section 9: "/a/b/f new -> a/, a/b/, a/b/f" */
static void parents_come_first_once_and_only_for_changes(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;

	tree_dir(t, "low");
	tree_dir(t, "low/a");
	tree_dir(t, "low/a/b");
	tree_dir(t, "low/q");
	tree_dir(t, "low/z");
	tree_dir(t, "up");
	tree_dir(t, "up/a");
	tree_dir(t, "up/a/b");
	tree_file(t, "up/a/b/f", "");
	tree_file(t, "up/a/b/g", "");
	tree_file(t, "up/a/c", "");
	tree_dir(t, "up/q");	/* touched only: nothing in it changed */
	tree_dir(t, "up/z");
	assert_int_equal(fchmodat(t->fd, "up/z", 0700, 0), 0);
	autounion *low = lower_of(f);
	expect_diff(f, "up", low,
		    "drwxr-xr-x 0 a/\ndrwxr-xr-x 0 a/b/\n-rw-r--r-- 0 a/b/f\n-rw-r--r-- 0 a/b/g\n"
		    "-rw-r--r-- 0 a/c\ndrwx------ 0 z/\n");
}

static void whiteouts_stand_for_what_was_there(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;

	tree_dir(t, "low");
	tree_dir(t, "low/d");
	tree_file(t, "low/d/gone", "");
	tree_dir(t, "low/d/gone-dir");
	tree_file(t, "low/d/gone-dir/x", "");
	tree_dir(t, "low/e");
	tree_dir(t, "up");
	tree_dir(t, "up/d");
	tree_whiteout(t, "up/d/gone");
	tree_whiteout(t, "up/d/gone-dir");
	tree_whiteout(t, "up/d/never-there");
	tree_dir(t, "up/e");
	tree_whiteout(t, "up/e/never-there");	/* made and removed: not even the parent */
	tree_dir(t, "up/n");
	tree_whiteout(t, "up/n/never-there");
	autounion *low = lower_of(f);
	expect_diff(f, "up", low,
		    "drwxr-xr-x 0 d/\n---------- 0 d/.wh.gone\n---------- 0 d/.wh.gone-dir\ndrwxr-xr-x 0 n/\n");
}

static void whiteouts_have_no_mode_owner_or_time(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;
	autolayer layer = {0};

	tree_dir(t, "low");
	tree_file(t, "low/f", "");
	tree_dir(t, "up");
	tree_whiteout(t, "up/f");
	autounion *low = lower_of(f);
	diff_upper(f, "up", low, NULL, &layer);
	ib_autofree char *got = list(f, &layer, LONG);
	assert_string_equal(got, "---------- 0/0 0 1970-01-01 00:00:00 .wh.f\n");
}

static void other_types_replace_without_whiteouts(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;

	tree_dir(t, "low");
	tree_file(t, "low/a-file", "");
	tree_dir(t, "low/b-dir");
	tree_file(t, "low/b-dir/x", "");
	tree_dir(t, "low/c-dir");
	tree_file(t, "low/c-dir/x", "");
	tree_dir(t, "up");
	tree_dir(t, "up/a-file");
	tree_file(t, "up/a-file/n", "");
	tree_file(t, "up/b-dir", "now a file");
	tree_link(t, "up/c-dir", "b-dir");
	autounion *low = lower_of(f);
	const char *want = "drwxr-xr-x 0 a-file/\n-rw-r--r-- 0 a-file/n\n-rw-r--r-- 10 b-dir\n"
			   "lrwxrwxrwx 0 c-dir -> b-dir\n";
	expect_diff(f, "up", low, want);
	autounion *full = tree_layers(t, OCI_UNION_PLAIN, "up");
	expect_trees(f, full, low, want);
}

static void an_opaque_directory_is_compared_name_by_name(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;

	tree_dir(t, "low");
	tree_dir(t, "low/o");
	tree_file(t, "low/o/a", "");
	tree_file(t, "low/o/kept", "k");
	tree_mtime(t, "low/o/kept", 5, 0);
	tree_dir(t, "low/o/sub");
	tree_file(t, "low/o/sub/x", "");
	tree_file(t, "low/o/sub/y", "y");
	tree_file(t, "low/o/z", "");
	tree_dir(t, "low/o/zz");
	tree_file(t, "low/o/zz/deep", "");
	tree_dir(t, "up");
	tree_dir(t, "up/o");
	tree_opaque(t, "up/o", "y");
	tree_file(t, "up/o/b", "new");
	tree_file(t, "up/o/kept", "k");
	tree_mtime(t, "up/o/kept", 5, 0);
	tree_dir(t, "up/o/sub");
	tree_file(t, "up/o/sub/y", "yy");
	tree_file(t, "up/p", "after");
	autounion *low = lower_of(f);
	expect_diff(f, "up", low,
		    "drwxr-xr-x 0 o/\n---------- 0 o/.wh.a\n-rw-r--r-- 3 o/b\ndrwxr-xr-x 0 o/sub/\n"
		    "---------- 0 o/sub/.wh.x\n-rw-r--r-- 2 o/sub/y\n---------- 0 o/.wh.z\n"
		    "---------- 0 o/.wh.zz\n-rw-r--r-- 5 p\n");
}

static void an_opaque_directory_over_nothing_is_a_new_one(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;

	tree_dir(t, "low");
	tree_dir(t, "up");
	tree_dir(t, "up/o");
	tree_opaque(t, "up/o", "y");
	tree_file(t, "up/o/f", "");
	autounion *low = lower_of(f);
	expect_diff(f, "up", low, "drwxr-xr-x 0 o/\n-rw-r--r-- 0 o/f\n");
}

static void a_lower_stack_is_seen_merged(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;

	tree_dir(t, "l0");
	tree_dir(t, "l0/d");
	tree_file(t, "l0/d/hidden", "");
	tree_file(t, "l0/d/f", "old");
	tree_dir(t, "l1");
	tree_dir(t, "l1/d");
	tree_whiteout(t, "l1/d/hidden");
	tree_dir(t, "l1/d/e");
	tree_file(t, "l1/d/e/x", "");
	tree_dir(t, "up");
	tree_dir(t, "up/d");
	tree_opaque(t, "up/d", "y");
	autounion *low = tree_layers(t, OCI_UNION_OVERLAY, "l0", "l1");
	expect_diff(f, "up", low, "drwxr-xr-x 0 d/\n---------- 0 d/.wh.e\n---------- 0 d/.wh.f\n");
}

static void hard_links_within_the_layer_are_kept(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;
	autounion *nothing = oci_union_new();

	tree_dir(t, "up");
	tree_dir(t, "up/d");
	tree_file(t, "up/d/one", "content");
	assert_int_equal(linkat(t->fd, "up/d/one", t->fd, "up/three", 0), 0);
	assert_int_equal(linkat(t->fd, "up/d/one", t->fd, "up/d/two", 0), 0);
	tree_file(t, "elsewhere", "x");
	assert_int_equal(linkat(t->fd, "elsewhere", t->fd, "up/alone", 0), 0);
	expect_diff(f, "up", nothing,
		    "-rw-r--r-- 1 alone\ndrwxr-xr-x 0 d/\n-rw-r--r-- 7 d/one\n"
		    "hrw-r--r-- 0 d/two link to d/one\nhrw-r--r-- 0 three link to d/one\n");
}

static void the_first_recorded_name_is_the_file(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;

	tree_dir(t, "low");
	tree_file(t, "low/a", "same");
	tree_mtime(t, "low/a", 9, 0);
	tree_dir(t, "up");
	tree_file(t, "up/a", "same");
	tree_mtime(t, "up/a", 9, 0);
	assert_int_equal(linkat(t->fd, "up/a", t->fd, "up/b", 0), 0);
	assert_int_equal(linkat(t->fd, "up/a", t->fd, "up/c", 0), 0);
	autounion *low = lower_of(f);
	expect_diff(f, "up", low, "-rw-r--r-- 4 b\nhrw-r--r-- 0 c link to b\n");
}

static void sockets_are_no_part_of_a_layer(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;

	tree_dir(t, "low");
	tree_file(t, "low/was-a-file", "");
	tree_dir(t, "up");
	assert_int_equal(mknodat(t->fd, "up/new", S_IFSOCK | 0666, 0), 0);
	assert_int_equal(mknodat(t->fd, "up/was-a-file", S_IFSOCK | 0666, 0), 0);
	autounion *low = lower_of(f);
	expect_diff(f, "up", low, "---------- 0 .wh.was-a-file\n");
	autounion *full = tree_layers(t, OCI_UNION_PLAIN, "up");
	expect_trees(f, full, low, "---------- 0 .wh.was-a-file\n");
}

static void reserved_names_are_refused(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;
	autounion *nothing = oci_union_new();
	autowriter *w = NULL;
	ib_autoerr err = {0};
	int64_t entries;

	tree_dir(t, "up");
	tree_file(t, "up/.wh.x", "");
	ib_autoclose int fd = tree_open(t, "up");
	assert_int_equal(oci_layer_writer_new(f->store, f->pool, &uncompressed, &w, &err), 0);
	assert_int_equal(oci_layer_diff(w, fd, nothing, NULL, &entries, &err), -1);
	assert_int_equal(err.code, IB_UNSUPPORTED);
	assert_string_equal(err.text, "'.wh.x': layers cannot hold names that begin with .wh.");
}

static void times_are_clamped_on_request(void **state)
{
	const struct oci_diff_options options = {.clamp = true, .clamp_seconds = 1000000000};
	struct fixture *f = *state;
	const struct tree *t = &f->tree;
	autounion *nothing = oci_union_new();
	autolayer layer = {0};

	tree_dir(t, "up");
	tree_file(t, "up/early", "");
	tree_mtime(t, "up/early", 86400, 999999999);
	tree_file(t, "up/late", "");
	tree_mtime(t, "up/late", 1700000000, 5);
	diff_upper(f, "up", nothing, &options, &layer);
	ib_autofree char *got = list(f, &layer, "awk '{ $2 = \"\"; print }'");
	assert_string_equal(got, "-rw-r--r-- 0 1970-01-02 00:00:00 early\n"
				 "-rw-r--r-- 0 2001-09-09 01:46:40 late\n");
}

static void need_root(void)
{
	if (geteuid() != 0) {
		print_message("skipped: only root can set this up\n");
		skip();
	}
}

static void owners_and_devices_are_recorded(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;
	autolayer layer = {0};

	need_root();
	tree_dir(t, "low");
	tree_file(t, "low/owner", "");
	tree_mtime(t, "low/owner", 0, 0);
	assert_int_equal(mknodat(t->fd, "low/null", S_IFCHR | 0666, makedev(1, 3)), 0);
	tree_dir(t, "up");
	tree_file(t, "up/owner", "");
	assert_int_equal(fchownat(t->fd, "up/owner", 12, 3000000, 0), 0);
	tree_mtime(t, "up/owner", 0, 0);
	assert_int_equal(mknodat(t->fd, "up/null", S_IFCHR | 0666, makedev(1, 5)), 0);
	tree_mtime(t, "low/null", 0, 0);
	tree_mtime(t, "up/null", 0, 0);
	autounion *low = lower_of(f);
	diff_upper(f, "up", low, NULL, &layer);
	ib_autofree char *got = list(f, &layer, LONG);
	assert_string_equal(got, "crw-r--r-- 0/0 1,5 1970-01-01 00:00:00 null\n"
				 "-rw-r--r-- 12/3000000 0 1970-01-01 00:00:00 owner\n");
}

/* cap_net_raw=ep, as setcap writes it: VFS_CAP_REVISION_2 with the effective bit, permitted bit 13. */
static const unsigned char ping[20] = {0x01, 0x00, 0x00, 0x02, 0x00, 0x20};

static void capabilities_count_and_other_attributes_do_not(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;
	autolayer layer = {0};

	need_root();
	tree_dir(t, "low");
	tree_file(t, "low/cap", "x");
	tree_file(t, "low/user", "x");
	tree_mtime(t, "low/cap", 5, 0);
	tree_mtime(t, "low/user", 5, 0);
	tree_dir(t, "up");
	tree_file(t, "up/cap", "x");
	tree_file(t, "up/user", "x");
	ib_autoclose int cap = openat(t->fd, "up/cap", O_RDONLY | O_CLOEXEC);
	ib_autoclose int user = openat(t->fd, "up/user", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fsetxattr(cap, "security.capability", ping, sizeof ping, 0), 0);
	assert_int_equal(fsetxattr(user, "user.comment", "x", 1, 0), 0);
	tree_mtime(t, "up/cap", 5, 0);
	tree_mtime(t, "up/user", 5, 0);
	autounion *low = lower_of(f);
	diff_upper(f, "up", low, NULL, &layer);
	ib_autofree char *got = list(f, &layer, SHORT);
	assert_string_equal(got, "-rw-r--r-- 1 cap\n");
	/* The pax record's raw bytes, as POSIX describes it: 2 + 1 + 32 + 1 + 20 + 1 = 57. */
	ib_autofree char *path = blob_path(f, &layer);
	ib_autofree char *command = ib_asprintf(
		"LC_ALL=C grep -c -a -P '57 SCHILY.xattr.security.capability=\\x01\\x00\\x00\\x02\\x00\\x20' '%s'", path);
	ib_autofree char *count = output_of(f, command);
	assert_string_equal(count, "1\n");
}

static int mount_overlay(const struct tree *t)
{
	const char *p = t->path;
	ib_autofree char *options = ib_asprintf("lowerdir=%s/low,upperdir=%s/up,workdir=%s/work,userxattr", p, p, p);
	ib_autofree char *target = ib_asprintf("%s/merged", p);

	tree_dir(t, "up");
	tree_dir(t, "work");
	tree_dir(t, "merged");
	return mount("overlay", target, "overlay", 0, options);
}

/* Mount low, then run a script in the mount; skip where nothing can be mounted. */
static void run_in_overlay(struct fixture *f, const char *script)
{
	const struct tree *t = &f->tree;

	need_root();
	if (mount_overlay(t) < 0) {
		print_message("skipped: no overlay mount here: %s\n", strerror(errno));
		skip();
	}
	ib_autofree char *target = ib_asprintf("%s/merged", t->path);
	ib_autofree char *command = ib_asprintf("(cd '%s'; set -e; umask 022; %s) || echo failed", target, script);
	ib_autofree char *out = output_of(f, command);
	assert_int_equal(umount2(target, MNT_DETACH), 0);
	assert_string_equal(out, "");
}

static void expect_overlay(struct fixture *f, const char *script, const char *want)
{
	run_in_overlay(f, script);
	autounion *low = lower_of(f);
	expect_diff(f, "up", low, want);
}

static void what_overlayfs_leaves_is_understood(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;

	tree_dir(t, "low");
	tree_dir(t, "low/etc");
	tree_file(t, "low/etc/passwd", "root");
	tree_file(t, "low/etc/shadow", "x");
	tree_file(t, "low/etc/untouched", "x");
	tree_dir(t, "low/var");
	tree_dir(t, "low/var/cache");
	tree_file(t, "low/var/cache/old", "x");
	tree_dir(t, "low/usr");
	tree_dir(t, "low/usr/lib");
	tree_file(t, "low/usr/lib/one", "1");
	assert_int_equal(linkat(t->fd, "low/usr/lib/one", t->fd, "low/usr/lib/two", 0), 0);
	tree_dir(t, "low/opt");
	tree_file(t, "low/opt/f", "x");
	tree_dir(t, "low/srv");
	expect_overlay(f,
		       "echo more >>etc/passwd;"			   /* copied up and changed */
		       "rm etc/shadow;"					   /* whiteout */
		       "chmod 644 etc/untouched;"			   /* copied up, same as before */
		       "rm -r var/cache; mkdir var/cache; echo >var/cache/n;" /* opaque */
		       "echo 2 >>usr/lib/two;"				   /* one name of a hard link */
		       "rm -r opt; echo x >opt;"			   /* a file for a directory */
		       "touch srv/x; rm srv/x;"				   /* made and removed */
		       "mkdir new; echo a >new/a; ln new/a new/b",
		       "drwxr-xr-x 0 etc/\n-rw-r--r-- 9 etc/passwd\n---------- 0 etc/.wh.shadow\n"
		       "drwxr-xr-x 0 new/\n-rw-r--r-- 2 new/a\nhrw-r--r-- 0 new/b link to new/a\n"
		       "-rw-r--r-- 2 opt\n"
		       "drwxr-xr-x 0 usr/\ndrwxr-xr-x 0 usr/lib/\n-rw-r--r-- 3 usr/lib/two\n"
		       "drwxr-xr-x 0 var/\ndrwxr-xr-x 0 var/cache/\n-rw-r--r-- 1 var/cache/n\n"
		       "---------- 0 var/cache/.wh.old\n");
}

static void a_renamed_directory_is_whole_under_its_new_name(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;

	tree_dir(t, "low");
	tree_dir(t, "low/old");
	tree_dir(t, "low/old/sub");
	tree_file(t, "low/old/sub/f", "f");
	expect_overlay(f, "mv old new",
		       "drwxr-xr-x 0 new/\ndrwxr-xr-x 0 new/sub/\n-rw-r--r-- 1 new/sub/f\n---------- 0 .wh.old\n");
}

static void both_ways_of_comparing_agree(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;

	tree_dir(t, "low");
	tree_dir(t, "low/a");
	tree_file(t, "low/a/f", "1");
	tree_file(t, "low/a-b", "2");
	tree_dir(t, "low/b");
	tree_dir(t, "low/b/c");
	tree_file(t, "low/b/c/f", "3");
	tree_file(t, "low/z", "4");
	run_in_overlay(f, "rm -r a; mkdir -p b/n/m; echo >b/n/m/f; echo >>b/c/f; rm z; mkdir z; ln -s z y");
	autounion *low = lower_of(f);
	autounion *merged = tree_layers(t, OCI_UNION_OVERLAY, "low", "up");
	const char *want = "---------- 0 .wh.a\ndrwxr-xr-x 0 b/\ndrwxr-xr-x 0 b/c/\n-rw-r--r-- 2 b/c/f\n"
			   "drwxr-xr-x 0 b/n/\ndrwxr-xr-x 0 b/n/m/\n-rw-r--r-- 1 b/n/m/f\n"
			   "lrwxrwxrwx 0 y -> z\ndrwxr-xr-x 0 z/\n";
	expect_diff(f, "up", low, want);
	expect_trees(f, merged, low, want);
}

static void trees_are_compared_in_walk_order(void **state)
{
	struct fixture *f = *state;
	const struct tree *t = &f->tree;

	tree_dir(t, "old");
	tree_dir(t, "old/a");
	tree_file(t, "old/a/x", "");
	tree_file(t, "old/a!", "");	/* '!' sorts before '/', but after the directory's content */
	tree_dir(t, "old/c");
	tree_file(t, "old/c/x", "");
	tree_dir(t, "new");
	tree_dir(t, "new/a");
	tree_file(t, "new/a/y", "");
	tree_file(t, "new/b", "");
	tree_dir(t, "new/c");
	tree_file(t, "new/c/x", "");
	tree_mtime(t, "old/c/x", 1, 1);
	tree_mtime(t, "new/c/x", 1, 1);
	autounion *old_tree = tree_layers(t, OCI_UNION_PLAIN, "old");
	autounion *new_tree = tree_layers(t, OCI_UNION_PLAIN, "new");
	expect_trees(f, new_tree, old_tree,
		     "drwxr-xr-x 0 a/\n---------- 0 a/.wh.x\n-rw-r--r-- 0 a/y\n---------- 0 .wh.a!\n"
		     "-rw-r--r-- 0 b\n");
	expect_trees(f, old_tree, old_tree, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(everything_is_new_over_nothing),
		fixture_test(an_unchanged_upper_is_an_empty_layer),
		fixture_test(what_counts_as_a_change),
		fixture_test(large_files_of_equal_time_are_compared_to_their_end),
		fixture_test(links_change_by_target_and_by_time),
		fixture_test(parents_come_first_once_and_only_for_changes),
		fixture_test(whiteouts_stand_for_what_was_there),
		fixture_test(whiteouts_have_no_mode_owner_or_time),
		fixture_test(other_types_replace_without_whiteouts),
		fixture_test(an_opaque_directory_is_compared_name_by_name),
		fixture_test(an_opaque_directory_over_nothing_is_a_new_one),
		fixture_test(a_lower_stack_is_seen_merged),
		fixture_test(hard_links_within_the_layer_are_kept),
		fixture_test(the_first_recorded_name_is_the_file),
		fixture_test(sockets_are_no_part_of_a_layer),
		fixture_test(reserved_names_are_refused),
		fixture_test(times_are_clamped_on_request),
		fixture_test(owners_and_devices_are_recorded),
		fixture_test(capabilities_count_and_other_attributes_do_not),
		fixture_test(what_overlayfs_leaves_is_understood),
		fixture_test(a_renamed_directory_is_whole_under_its_new_name),
		fixture_test(both_ways_of_comparing_agree),
		fixture_test(trees_are_compared_in_walk_order),
	};

	umask(022);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
