#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <grp.h>
#include <sys/wait.h>

#include "apply-fixture.h"
#include "oci/base/pool.h"

#define N50 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
#define N250 N50 N50 N50 N50 N50
#define N255 N250 "12345"

enum how {
	OVERLAY,	/* with lower: the items below, as a layer */
	ALONE,		/* OVERLAY, lower not known */
	MERGED,		/* items below were unpacked into the target first */
	ARCHIVE,	/* likewise */
	ADD,		/* ARCHIVE with lower */
};

struct apply_case {
	const char *name;
	enum how how;
	struct item below[8], items[8];
	const char *want;	/* the tree, or NULL: refused */
	enum ib_code code;
	const char *wrong;	/* part of the message */
	bool needs_lower;
};

#define OK(tree) tree, IB_OK, NULL, false
#define NEEDS(tree) tree, IB_OK, NULL, true
#define BAD(wrong) NULL, IB_INVALID, wrong, false
#define LIMIT(wrong) NULL, IB_LIMIT, wrong, false
#define NONE {END}

/* Expected trees follow from image-spec layer.md and from what the names say; none was copied from a run. */
static const struct apply_case cases[] = {
	/* names */
	{"absolute name", MERGED, NONE, {F("/a/f", "x"), END}, OK("d755 a\nf644 a/f x\n")},
	{"name to be cleaned", MERGED, NONE, {F("./a//./f", "x"), END}, OK("d755 a\nf644 a/f x\n")},
	{"dots inside", MERGED, NONE, {F("a/../b", "x"), END}, OK("f644 b x\n")},
	{"dots leading out", ALONE, NONE, {F("../x", "x"), END}, BAD("'../x': name leads out of the root")},
	{"dots leading out later", MERGED, NONE, {F("a/../../x", "x"), END}, BAD("name leads out of the root")},
	{"dots leading out, absolute", OVERLAY, NONE, {F("/../x", "x"), END}, BAD("name leads out of the root")},
	{"directory leading out", ALONE, NONE, {D(0755, "../../outside"), END}, BAD("leads out")},
	{"whiteout leading out", ALONE, NONE, {W("../.wh.outside"), END}, BAD("leads out")},
	{"archive, confined", ARCHIVE, NONE, {F("../../x", "x"), END}, OK("f644 x x\n")},
	{"archive, confined, absolute", ARCHIVE, NONE, {F("/../a/../../x", "x"), END}, OK("f644 x x\n")},
	{"file for the root", MERGED, NONE, {F("./", "x"), END}, OK("")},	/* so named, a directory */
	{"file named dot", MERGED, NONE, {F(".", "x"), END}, BAD("'.': the root is a directory")},
	{"link for the root", MERGED, NONE, {L("a/..", "/outside"), END}, BAD("the root is a directory")},
	{"component of 255", MERGED, NONE, {F(N255, "x"), END}, OK("f644 " N255 " x\n")},
	{"component of 256", MERGED, NONE, {F(N255 "6", "x"), END}, LIMIT("longer than 255 bytes")},
	{"backslash and newline", MERGED, NONE, {F("a\\b\nc", "x"), END}, OK("f644 a\\b\nc x\n")},

	/* links on the way */
	{"link to the root", MERGED, NONE, {L("l", "/"), F("l/f", "x"), END}, OK("f644 f x\nl l /\n")},
	{"absolute link stays inside", MERGED, NONE, {L("l", "/etc"), F("l/passwd", "x"), END},
	 OK("d755 etc\nf644 etc/passwd x\nl l /etc\n")},
	{"link out stays inside", OVERLAY, NONE, {L("l", "../../../outside"), F("l/secret", "x"), END},
	 OK("l l ../../../outside\nd755 outside\nf644 outside/secret x\n")},
	{"link out in an archive", ARCHIVE, NONE, {L("l", "../outside"), F("l/secret", "x"), END},
	 OK("l l ../outside\nd755 outside\nf644 outside/secret x\n")},
	{"link to a link", MERGED, NONE, {L("a", "b"), L("b", "c"), D(0700, "c"), F("a/f", "x"), END},
	 OK("l a b\nl b c\nd700 c\nf644 c/f x\n")},
	{"link in the middle", MERGED, NONE, {D(0755, "d"), D(0755, "d/e"), L("d/e/l", "../../x"),
	 F("d/e/l/y/f", "x"), END}, OK("d755 d\nd755 d/e\nl d/e/l ../../x\nd755 x\nd755 x/y\nf644 x/y/f x\n")},
	{"link to nothing", MERGED, NONE, {L("l", "no/where"), F("l/f", "x"), END},
	 OK("l l no/where\nd755 no\nd755 no/where\nf644 no/where/f x\n")},
	{"links in a circle", MERGED, NONE, {L("a", "b"), L("b", "a"), F("a/f", "x"), END},
	 LIMIT("more than 255 links")},
	{"link that grows", MERGED, NONE, {L("a", "a/a/a/a"), F("a/f", "x"), END}, LIMIT("links")},
	{"link to a file as parent", MERGED, NONE, {F("f", "x"), L("l", "f"), F("l/g", "x"), END},
	 BAD("'f' is not a directory")},
	{"file as parent", MERGED, NONE, {F("a", "x"), F("a/b", "x"), END}, BAD("'a/b': 'a' is not a directory")},
	{"fifo as parent", MERGED, NONE, {P(0644, "a"), F("a/b/c", "x"), END}, BAD("'a' is not a directory")},
	{"link replaced by a directory", MERGED, NONE, {L("d", "/outside"), D(0711, "d"), F("d/f", "x"), END},
	 OK("d711 d\nf644 d/f x\n")},
	{"directory replaced by a link", MERGED, NONE, {D(0755, "d"), F("d/f", "x"), L("d", "e"), F("d/g", "y"), END},
	 OK("l d e\nd755 e\nf644 e/g y\n")},
	{"last component is not followed", MERGED, NONE, {L("f", "../outside/secret"), F("f", "evil"), END},
	 OK("f644 f evil\n")},
	{"directory through a link keeps it", MERGED, NONE, {D(0755, "r"), L("l", "r"), D(0700, "l/s"), END},
	 OK("l l r\nd755 r\nd700 r/s\n")},

	/* hard links */
	{"hard link", MERGED, NONE, {F("a", "1"), H("b", "a"), END}, OK("f644*2 a 1\nf644*2 b 1\n")},
	{"hard link, absolute", MERGED, NONE, {F("a", "1"), H("d/b", "/./a"), END},
	 OK("f644*2 a 1\nd755 d\nf644*2 d/b 1\n")},
	{"hard link to a symbolic one", MERGED, NONE, {L("l", "../outside/secret"), H("h", "l"), F("h", "x"), END},
	 OK("f644 h x\nl l ../outside/secret\n")},
	{"hard link leading out", ALONE, NONE, {H("h", "../outside/secret"), END}, BAD("leads out")},
	{"hard link leading out, archive", ARCHIVE, NONE, {H("h", "../outside/secret"), END},
	 BAD("hard link to '../outside/secret': there is no such file")},
	{"hard link out by a link", MERGED, NONE, {L("l", "../outside"), H("h", "l/secret"), END},
	 BAD("there is no such file")},
	{"hard link to a directory", MERGED, NONE, {D(0755, "d"), H("h", "d"), END}, BAD("it is a directory")},
	{"hard link to the root", MERGED, NONE, {H("h", "/"), END}, BAD("it is a directory")},
	{"hard link to itself", MERGED, NONE, {F("f", "x"), H("f", "f"), END}, OK("f644 f x\n")},
	{"hard link to itself, missing", MERGED, NONE, {H("f", "f"), END}, BAD("there is no such file")},
	{"hard link to what comes later", MERGED, NONE, {H("b", "a"), F("a", "x"), END},
	 BAD("hard link to 'a': there is no such file")},
	{"hard link over a file", MERGED, NONE, {F("a", "1"), F("b", "2"), H("b", "a"), END},
	 OK("f644*2 a 1\nf644*2 b 1\n")},
	{"hard link over a tree", MERGED, NONE, {F("a", "1"), D(0755, "b"), F("b/c", "2"), H("b", "a"), END},
	 OK("f644*2 a 1\nf644*2 b 1\n")},
	{"hard link over its own source", MERGED, NONE, {D(0755, "d"), F("d/f", "x"), H("d", "d/f"), END},
	 BAD("it was below what the link replaces")},
	{"files are not written through links", MERGED, NONE, {F("a", "1"), H("b", "a"), F("b", "2"), END},
	 OK("f644 a 1\nf644 b 2\n")},
	{"hard link to a file as directory", MERGED, NONE, {F("f", "x"), H("h", "f/g"), END},
	 BAD("'f' is not a directory")},
	{"hard link without a target", MERGED, NONE, {H("h", ""), END}, BAD("it is a directory")},
	{"symbolic link without a target", MERGED, NONE, {L("l", ""), END}, BAD("link without a target")},

	/* replacing */
	{"file over a tree", MERGED, {D(0755, "a"), D(0755, "a/b"), F("a/b/c", "x"), END}, {F("a", "new"), END},
	 OK("f644 a new\n")},
	{"directory over a file", MERGED, NONE, {F("a", "x"), D(0755, "a"), END}, OK("d755 a\n")},
	{"directory over a directory", MERGED, {D(0755, "a"), F("a/f", "x"), END}, {D(0700, "a"), END},
	 OK("d700 a\nf644 a/f x\n")},
	{"fifo over a file", MERGED, NONE, {F("a", "x"), P(0622, "a"), END}, OK("p622 a\n")},
	{"the same name three times", MERGED, NONE, {F("a", "1"), F("./a", "2"), F("/a", "3"), END},
	 OK("f644 a 3\n")},
	{"modes", MERGED, NONE, {FM(04755, "u", ""), FM(0, "n", ""), D(01777, "t"), D(0555, "r"), F("r/f", "x"), END},
	 OK("f0 n \nd555 r\nf644 r/f x\nd1777 t\nf4755 u \n")},
	{"into a directory without permissions", MERGED, {D(0755, "a"), D(0500, "a/b"), D(0555, "a"), END},
	 {F("a/b/f", "x"), F("a/g", "y"), END}, OK("d555 a\nd500 a/b\nf644 a/b/f x\nf644 a/g y\n")},

	/* whiteouts in a layer of an overlay */
	{"whiteout", ALONE, NONE, {D(0755, "a"), W("a/.wh.f"), END}, OK("d755 a\nw a/f\n")},
	{"whiteout at the root", ALONE, NONE, {W(".wh.f"), END}, OK("w f\n")},
	{"opaque", ALONE, NONE, {D(0755, "a"), F("a/f", "x"), W("a/.wh..wh..opq"), F("a/g", "y"), END},
	 OK("D755 a\nf644 a/f x\nf644 a/g y\n")},
	{"opaque before its directory", OVERLAY, {D(0755, "a"), END}, {W("a/.wh..wh..opq"), D(0700, "a"), END},
	 OK("D700 a\n")},
	{"whiteout, then a file", ALONE, NONE, {W(".wh.f"), F("f", "x"), END}, OK("f644 f x\n")},
	{"file, then its whiteout", ALONE, NONE, {F("f", "x"), W(".wh.f"), END}, OK("f644 f x\n")},
	{"whiteout, then a directory", ALONE, NONE, {W(".wh.a"), D(0755, "a"), F("a/f", "x"), END},
	 OK("D755 a\nf644 a/f x\n")},
	{"whiteout, then a file in it", ALONE, NONE, {W(".wh.a"), F("a/f", "x"), END}, OK("D755 a\nf644 a/f x\n")},
	{"directory, then its whiteout", ALONE, NONE, {D(0755, "a"), F("a/f", "x"), W(".wh.a"), END},
	 OK("D755 a\nf644 a/f x\n")},
	{"whiteout twice", ALONE, NONE, {W(".wh.f"), W(".wh.f"), END}, OK("w f\n")},
	{"directory over a file of the layer", ALONE, NONE, {F("a", "x"), D(0755, "a"), END}, OK("D755 a\n")},
	{"hard link to a whiteout", OVERLAY, {F("f", "low"), END}, {W(".wh.f"), H("g", "f"), END},
	 BAD("this layer removes it")},
	{"whiteout of no name", ALONE, NONE, {W("a/.wh."), END}, BAD("'a/.wh.': bad name of a whiteout")},
	{"whiteout of dot", ALONE, NONE, {W(".wh.."), END}, BAD("bad name of a whiteout")},
	{"whiteout of dots", MERGED, NONE, {D(0755, "a"), W("a/.wh..."), END}, BAD("bad name of a whiteout")},
	{"whiteout as a parent", ALONE, NONE, {F("a/.wh.b/c", "x"), END}, BAD("bad name of a whiteout")},
	{"what aufs left", ALONE, NONE, {F(".wh..wh.aufs", ""), D(0700, ".wh..wh.plnk"), F(".wh..wh.plnk/1.2", ""),
	 F("f", "x"), END}, OK("f644 f x\n")},
	{"mark of overlayfs", ALONE, NONE, {X(OCI_UNION_OPAQUE, "y"), D(0755, "a"), X("trusted.overlay.opaque", "y"),
	 D(0755, "b"), END}, OK("d755 a\nd755 b\n")},
	{"whiteout by a link", OVERLAY, {D(0755, "real"), F("real/f", "x"), L("l", "real"), END},
	 {W("l/.wh.f"), END}, OK("d755 real\nw real/f\n")},

	/* whiteouts in a full tree */
	{"removes a file", MERGED, {F("a", "1"), F("b", "2"), END}, {W(".wh.a"), END}, OK("f644 b 2\n")},
	{"removes a tree", MERGED, {D(0755, "a"), D(0555, "a/b"), F("a/b/c", "x"), END}, {W(".wh.a"), END}, OK("")},
	{"removes a link, not its target", MERGED, {D(0755, "d"), F("d/f", "x"), L("l", "d"), END}, {W(".wh.l"), END},
	 OK("d755 d\nf644 d/f x\n")},
	{"removes nothing", MERGED, NONE, {W(".wh.a"), END}, OK("")},
	{"is removed and comes again", MERGED, {F("a", "1"), END}, {W(".wh.a"), F("a", "2"), END}, OK("f644 a 2\n")},
	{"comes and is not removed", MERGED, {F("a", "1"), END}, {F("a", "2"), W(".wh.a"), END}, OK("f644 a 2\n")},
	{"removes what lower layers had in it", MERGED, {D(0755, "a"), F("a/x", "1"), END},
	 {F("a/n", "2"), W(".wh.a"), END}, OK("d755 a\nf644 a/n 2\n")},
	{"opaque removes", MERGED, {D(0755, "a"), F("a/x", "1"), D(0755, "a/s"), F("a/s/y", "1"), END},
	 {D(0711, "a"), F("a/n", "2"), W("a/.wh..wh..opq"), END}, OK("d711 a\nf644 a/n 2\n")},
	{"opaque removes below what stays", MERGED, {D(0755, "a"), D(0755, "a/s"), F("a/s/y", "1"), F("a/x", "1"), END},
	 {F("a/s/n", "2"), W("a/.wh..wh..opq"), END}, OK("d755 a\nd755 a/s\nf644 a/s/n 2\n")},
	{"opaque root", MERGED, {D(0755, "a"), F("f", "1"), END}, {F("g", "2"), W(".wh..wh..opq"), END},
	 OK("f644 g 2\n")},
	{"an archive has no whiteouts", ARCHIVE, {F("f", "1"), END}, {F(".wh.f", "x"), F(".wh..wh..opq", "y"), END},
	 OK("f644 .wh..wh..opq y\nf644 .wh.f x\nf644 f 1\n")},

	/* with the layers below */
	{"parent copied up", OVERLAY, {D(0755, "a"), D(01770, "a/b"), F("a/b/f", "1"), END}, {F("a/b/g", "2"), END},
	 OK("d755 a\nd1770 a/b\nf644 a/b/g 2\n")},
	{"parent in no layer", OVERLAY, NONE, {F("a/b", "x"), END}, OK("d755 a\nf644 a/b x\n")},
	{"link below is followed", OVERLAY, {L("lib", "usr/lib"), D(0755, "usr"), D(0711, "usr/lib"), END},
	 {F("lib/x", "2"), END}, OK("d755 usr\nd711 usr/lib\nf644 usr/lib/x 2\n")},
	{"link below leads out", OVERLAY, {L("l", "/../../outside"), END}, {F("l/secret", "2"), END},
	 OK("d755 outside\nf644 outside/secret 2\n")},
	{"links in a circle below", OVERLAY, {L("a", "b"), L("b", "/a"), END}, {F("a/f", "x"), END},
	 LIMIT("more than 255 links")},
	{"file below as parent", OVERLAY, {F("a", "x"), END}, {F("a/b", "x"), END}, BAD("'a' is not a directory")},
	{"hard link to a file below", OVERLAY, {D(0711, "a"), FM(0600, "a/f", "low"), END}, {H("a/g", "a/f"), END},
	 OK("d711 a\nf600*2 a/f low\nf600*2 a/g low\n")},
	{"hard link to a link below", OVERLAY, {L("l", "t"), END}, {H("m", "l"), END}, OK("l l t\nl m t\n")},
	{"hard link to a directory below", OVERLAY, {D(0755, "d"), END}, {H("h", "d"), END}, BAD("it is a directory")},
	{"hard link to nothing below", OVERLAY, {D(0755, "d"), END}, {H("h", "d/f"), END},
	 BAD("there is no such file")},
	{"an opaque directory hides parents below", OVERLAY, {D(0755, "a"), D(0700, "a/b"), END},
	 {D(0755, "a"), W("a/.wh..wh..opq"), F("a/b/f", "x"), END}, OK("D755 a\nd755 a/b\nf644 a/b/f x\n")},
	{"a removed directory hides links below", OVERLAY, {D(0755, "a"), L("a/l", "/b"), END},
	 {W(".wh.a"), F("a/l/f", "x"), END}, OK("D755 a\nd755 a/l\nf644 a/l/f x\n")},
	{"an opaque directory hides files to link to", OVERLAY, {D(0755, "a"), F("a/f", "x"), END},
	 {W("a/.wh..wh..opq"), H("g", "a/f"), END}, BAD("there is no such file")},
	{"parent not known", ALONE, NONE, {F("a/f", "x"), END}, NEEDS("d755 a\nf644 a/f x\n")},
	{"parent of a whiteout not known", ALONE, NONE, {W("a/.wh.f"), END}, NEEDS("d755 a\nw a/f\n")},
	{"hard link to what is not known", ALONE, NONE, {H("g", "f"), F("h", "x"), END}, NEEDS("f644 h x\n")},
	{"nothing is needed in what is new", ALONE, NONE, {W(".wh.a"), F("a/b/c", "x"), END},
	 OK("D755 a\nd755 a/b\nf644 a/b/c x\n")},
	{"archive over lower", ADD, {D(0711, "a"), F("a/x", "1"), END}, {F("a/x", "2"), F("../a/.wh.y", "3"), END},
	 OK("d711 a\nf644 a/.wh.y 3\nf644 a/x 2\n")},
	{"archive replaces a directory below", ADD, {D(0711, "a"), F("a/x", "1"), END}, {F("a", "2"), END},
	 OK("f644 a 2\n")},
	{"archive replaces it twice", ADD, {D(0711, "a"), F("a/x", "1"), END}, {F("a", "2"), D(0755, "a"), END},
	 OK("D755 a\n")},
	{"archive follows links below", ADD, {L("l", "/r"), D(0700, "r"), END}, {F("l/f", "2"), END},
	 OK("d700 r\nf644 r/f 2\n")},
};

static struct oci_apply_options options_of(enum how how)
{
	return (struct oci_apply_options){
		.form = how == MERGED ? OCI_APPLY_MERGED :
			how == ARCHIVE || how == ADD ? OCI_APPLY_ARCHIVE : OCI_APPLY_OVERLAY,
		.keep_owner = geteuid() == 0,
		.keep_devices = geteuid() == 0,
	};
}

static int complain(const struct apply_case *c, const char *what, const char *got)
{
	(void)fprintf(stderr, "%s: %s\n%s\n", c->name, what, got ? got : "");
	return 1;
}

static int judge(const struct apply_case *c, const struct place *p, int done, const struct oci_apply_result *result,
		 const struct ib_err *err)
{
	ib_autostr tree = IB_STR(1u << 20), outside = IB_STR(4096);
	int fd = openat(p->fd, "outside", O_RDONLY | O_DIRECTORY);

	list_tree(fd, "", &outside);
	close(fd);
	if (strcmp(outside.s, "f600 secret \n") != 0)
		return complain(c, "touched what is outside", outside.s);
	if (!c->want) {
		if (done == 0)
			return complain(c, "not refused", c->wrong);
		return err->code != c->code || !strstr(err->text, c->wrong) ?
			       complain(c, "refused otherwise", err->text) : 0;
	}
	if (done < 0)
		return complain(c, "refused", err->text);
	if (result->needs_lower != c->needs_lower)
		return complain(c, "needs_lower is wrong", NULL);
	list_tree(p->target, "", &tree);
	return strcmp(tree.s ? tree.s : "", c->want) == 0 ? 0 : complain(c, "another tree", tree.s);
}

static int run_case(const struct apply_case *c)
{
	struct oci_apply_options options = options_of(c->how);
	IB_CLEANUP(oci_union_freep) struct oci_union *lower = NULL;
	struct oci_apply_result result = {0};
	bool layered = c->how == OVERLAY || c->how == ADD;
	ib_autoerr err = {0};
	struct place p;
	int wrong;

	place_init(&p);
	if (apply_items(c->below, layered ? p.lower : p.target, &options, NULL, &err) < 0)
		return complain(c, "below", err.text);
	if (layered) {
		lower = oci_union_new();
		oci_union_push(lower, dup(p.lower), OCI_UNION_OVERLAY);
		options.lower = lower;
	}
	wrong = judge(c, &p, apply_items(c->items, p.target, &options, &result, &err), &result, &err);
	place_done(&p);
	return wrong;
}

static int run_cases(void)
{
	int wrong = 0;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		wrong += run_case(&cases[i]);
	return wrong;
}

/* In a process of its own: as an ordinary user, and with a umask that must not matter. */
static int run_as(uid_t uid, mode_t mask, int (*run)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		umask(mask);
		if (uid && (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0))
			_exit(99);
		_exit(run() ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void every_case_comes_out_right(void **state)
{
	(void)state;
	assert_int_equal(run_cases(), 0);
}

static void every_case_comes_out_right_as_a_user(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();	/* the test before was this one */
	assert_int_equal(run_as(65534, 077, run_cases), 0);
}

static void umask_does_not_matter(void **state)
{
	(void)state;
	/* One that takes its own permissions away leaves a user no way to make anything. */
	assert_int_equal(run_as(0, geteuid() ? 077 : 0777, run_cases), 0);
}

static int must(int done, const struct ib_err *err)
{
	if (done < 0)
		fail_msg("%s", err->text);
	return done;
}

static long long mtime_of(int dir, const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_mtim.tv_nsec ? -1 : st.st_mtim.tv_sec;
}

/* More directories than are kept open, and every one is come back to when it has long been closed. */
static void times_of_directories_survive_what_is_put_in_them(void **state)
{
	struct oci_apply_options options = options_of(MERGED);
	struct tar_bytes t = {0};
	ib_autoerr err = {0};
	struct place p;
	char name[64];

	(void)state;
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < 200; i++) {
			struct item dir = D(i % 3 ? 0755 : 0500, name), file = F(name, "x");

			dir.mtime = 5000 + i;
			(void)snprintf(name, sizeof name, "d%d", i);
			if (round == 0)
				build_item(&t, &dir);
			(void)snprintf(name, sizeof name, "d%d/f%d", i, round);
			if (round > 0)
				build_item(&t, &file);
		}
	tb_end(&t);
	place_init(&p);
	must(apply_bytes(&t, p.target, &options, NULL, &err), &err);
	for (int i = 0; i < 200; i++) {
		struct stat st;

		(void)snprintf(name, sizeof name, "d%d", i);
		assert_int_equal(mtime_of(p.target, name), 5000 + i);
		assert_int_equal(fstatat(p.target, name, &st, 0), 0);
		assert_int_equal(st.st_mode & 07777, i % 3 ? 0755 : 0500);
	}
	place_done(&p);
	tb_done(&t);
}

static void times_of_all_else_are_kept(void **state)
{
	static const struct item items[] = {F("i/f", "x"), L("l", "t"), P(0600, "p"), H("h", "i/f"), END};
	struct oci_apply_options options = options_of(MERGED);
	ib_autoerr err = {0};
	struct place p;

	(void)state;
	place_init(&p);
	must(apply_items(items, p.target, &options, NULL, &err), &err);
	assert_int_equal(mtime_of(p.target, "i/f"), 2000);
	assert_int_equal(mtime_of(p.target, "l"), 3000);
	assert_int_equal(mtime_of(p.target, "p"), 2000);
	assert_int_equal(mtime_of(p.target, "i"), 2000);	/* implied: that of what implied it */
	place_done(&p);
}

static void metadata_of_the_root_is_set(void **state)
{
	static const struct item items[] = {D(0711, "./"), F("f", "x"), END};
	struct oci_apply_options options = options_of(ALONE);
	ib_autoerr err = {0};
	struct place p;
	struct stat st;

	(void)state;
	place_init(&p);
	must(apply_items(items, p.target, &options, NULL, &err), &err);
	assert_int_equal(fstat(p.target, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
	assert_int_equal(st.st_mtim.tv_sec, 1000);
	place_done(&p);
}

static void need_root(void)
{
	if (geteuid() != 0) {
		print_message("  only root may\n");
		skip();
	}
}

static void owner_is(int dir, const char *path, unsigned int uid, unsigned int gid, unsigned int mode)
{
	struct stat st;

	assert_int_equal(fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_uid, uid);
	assert_int_equal(st.st_gid, gid);
	assert_int_equal(st.st_mode & 07777, mode);
}

static void owners_are_kept_and_set_id_bits_with_them(void **state)
{
	static const struct item items[] = {
		{'5', 02755, "g", NULL, 7, 8, 1000, 0, 0},	/* what is made in it would get its group */
		{'0', 06755, "g/f", "x", 1000, 0, 2000, 0, 0},
		{'5', 0755, "g/d", NULL, 0, 0, 2000, 0, 0},
		{'2', 0777, "g/l", "t", 9, 10, 2000, 0, 0},
		{'0', 0644, "i/f", "x", 11, 12, 2000, 0, 0},
		END,
	};
	struct oci_apply_options options = options_of(MERGED);
	ib_autoerr err = {0};
	struct place p;

	(void)state;
	need_root();
	place_init(&p);
	must(apply_items(items, p.target, &options, NULL, &err), &err);
	owner_is(p.target, "g", 7, 8, 02755);
	owner_is(p.target, "g/f", 1000, 0, 06755);
	owner_is(p.target, "g/d", 0, 0, 0755);
	owner_is(p.target, "g/l", 9, 10, 0777);
	owner_is(p.target, "i/f", 11, 12, 0644);
	owner_is(p.target, "i", 0, 0, 0755);
	place_done(&p);
}

static void one_owner_is_forced_on_entries_only(void **state)
{
	static const struct item items[] = {{'0', 04755, "i/f", "x", 7, 7, 2000, 0, 0}, D(0755, "d"), END};
	struct oci_apply_options options = options_of(ARCHIVE);
	ib_autoerr err = {0};
	struct place p;

	(void)state;
	need_root();
	options.force_owner = true;
	options.uid = 1000;
	options.gid = 2000;
	place_init(&p);
	must(apply_items(items, p.target, &options, NULL, &err), &err);
	owner_is(p.target, "i/f", 1000, 2000, 04755);
	owner_is(p.target, "d", 1000, 2000, 0755);
	owner_is(p.target, "i", 0, 0, 0755);
	place_done(&p);
}

static void an_owner_beyond_32_bits_is_refused(void **state)
{
	struct oci_apply_options options = options_of(MERGED);
	struct tar_bytes t = {0};
	ib_autoerr err = {0};
	struct place p;

	(void)state;
	tb_pax_text(&t, "uid", "4294967295");
	tb_file(&t, "f", "x");
	options.keep_owner = true;
	place_init(&p);
	assert_int_equal(apply_bytes(&t, p.target, &options, NULL, &err), -1);
	assert_int_equal(err.code, IB_INVALID);
	assert_string_equal(err.text, "'f': owner 4294967295:0 is out of range");
	place_done(&p);
	tb_done(&t);
}

/* vfs_cap_data of linux/capability.h: revision 2, effective; cap_net_raw is bit 13. */
static const char capability[20] = "\x01\0\0\x02\0\x20\0\0";

static void attributes_are_kept(void **state)
{
	struct oci_apply_options options = options_of(MERGED);
	struct item file = FM(0444, "f", "x"), link = L("l", "t"), dir = D(0500, "d");
	struct tar_bytes t = {0};
	ib_autoerr err = {0};
	char value[64];
	struct place p;

	(void)state;
	file.uid = geteuid() ? 0 : 1000;	/* chown(2) drops capabilities */
	tb_records(&t, 'x', (const struct tb_record[]){{"SCHILY.xattr.security.capability", capability, 20},
						       {"SCHILY.xattr.user.a", "\0b", 2},
						       {"SCHILY.xattr.nosuch.space", "x", 1},
						       {NULL, NULL, 0}});
	build_item(&t, &file);
	tb_pax_text(&t, "SCHILY.xattr.user.onlink", "x");	/* Linux has none there */
	build_item(&t, &link);
	tb_pax_text(&t, "SCHILY.xattr.user.d", "dir");
	build_item(&t, &dir);
	tb_end(&t);
	place_init(&p);
	must(apply_bytes(&t, p.target, &options, NULL, &err), &err);
	ib_autofree char *f = ib_asprintf("%s/target/f", p.dir);
	ib_autofree char *d = ib_asprintf("%s/target/d", p.dir);
	assert_int_equal(getxattr(f, "user.a", value, sizeof value), 2);
	assert_memory_equal(value, "\0b", 2);
	assert_int_equal(getxattr(d, "user.d", value, sizeof value), 3);
	if (geteuid() == 0) {
		assert_int_equal(getxattr(f, "security.capability", value, sizeof value), 20);
		assert_memory_equal(value, capability, 20);
	}
	owner_is(p.target, "f", file.uid ? 1000 : geteuid(), file.uid ? 0 : getegid(), 0444);
	place_done(&p);
	tb_done(&t);
}

/* struct posix_acl_xattr_header and entries, little-endian: u::rwx, u:7:rwx, g::r-x, mask::rwx, o::--- */
static const char acl[] = "\2\0\0\0" "\1\0\7\0\xff\xff\xff\xff" "\2\0\7\0\7\0\0\0" "\4\0\5\0\xff\xff\xff\xff"
			  "\x10\0\7\0\xff\xff\xff\xff" "\x20\0\0\0\xff\xff\xff\xff";

static void inherited_access_lists_are_not_kept(void **state)
{
	static const struct item inside[] = {F("d/f", "x"), D(0755, "d/s"), F("d/s/g", "y"), END};
	struct oci_apply_options options = options_of(MERGED);
	struct item dir = D(0755, "d");
	struct tar_bytes t = {0};
	ib_autoerr err = {0};
	char value[64];
	struct place p;

	(void)state;
	tb_pax(&t, 'x', "SCHILY.xattr.system.posix_acl_default", acl, sizeof acl - 1);
	build_item(&t, &dir);
	build(&t, inside);
	place_init(&p);
	must(apply_bytes(&t, p.target, &options, NULL, &err), &err);
	ib_autofree char *d = ib_asprintf("%s/target/d", p.dir);
	ib_autofree char *f = ib_asprintf("%s/f", d), *s = ib_asprintf("%s/s", d), *g = ib_asprintf("%s/s/g", d);
	if (getxattr(d, "system.posix_acl_default", value, sizeof value) != sizeof acl - 1) {
		place_done(&p);
		tb_done(&t);
		skip();	/* a file system without access lists */
	}
	assert_int_equal(getxattr(f, "system.posix_acl_access", value, sizeof value), -1);
	assert_int_equal(getxattr(s, "system.posix_acl_default", value, sizeof value), -1);
	assert_int_equal(getxattr(g, "system.posix_acl_access", value, sizeof value), -1);
	owner_is(p.target, "d/f", geteuid(), getegid(), 0644);
	owner_is(p.target, "d/s/g", geteuid(), getegid(), 0644);
	place_done(&p);
	tb_done(&t);
}

static void zeros_become_holes(void **state)
{
	struct oci_apply_options options = options_of(MERGED);
	struct oci_apply_result result = {0};
	size_t n = 4u << 20;
	ib_autofree char *content = ib_calloc(n, 1), *back = ib_malloc(n);
	struct tar_bytes t = {0};
	ib_autoerr err = {0};
	struct place p;
	struct stat st;
	int fd;

	(void)state;
	content[100] = 'a';
	content[2000000] = 'b';
	for (int i = 0; i < 2; i++) {	/* the second ends with data */
		content[n - 1] = (char)i;
		(void)tb_header(&t, '0', i ? "g" : "f", NULL, 0644, n);
		tb_data(&t, content, n);
	}
	tb_end(&t);
	place_init(&p);
	must(apply_bytes(&t, p.target, &options, &result, &err), &err);
	assert_int_equal(result.entries, 2);
	assert_int_equal(result.bytes, 2 * n);
	for (int i = 0; i < 2; i++) {
		content[n - 1] = (char)i;
		fd = openat(p.target, i ? "g" : "f", O_RDONLY);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_size, n);
		assert_true(st.st_blocks * 512 <= 3 * 65536 + 4096);
		assert_int_equal(read(fd, back, n), n);
		assert_memory_equal(back, content, n);
		close(fd);
	}
	place_done(&p);
	tb_done(&t);
}

static void an_archive_larger_than_allowed_is_refused(void **state)
{
	static const struct item items[] = {F("a", "12345"), F("b", "123456"), END};
	struct oci_apply_options options = options_of(MERGED);
	ib_autoerr err = {0};
	struct place p;

	(void)state;
	options.max_bytes = 11;
	place_init(&p);
	must(apply_items(items, p.target, &options, NULL, &err), &err);
	options.max_bytes = 10;
	assert_int_equal(apply_items(items, p.target, &options, NULL, &err), -1);
	assert_int_equal(err.code, IB_LIMIT);
	assert_string_equal(err.text, "'b': unpacks to more than 10 bytes");
	place_done(&p);
}

static void devices_are_made_or_counted(void **state)
{
	static const struct item items[] = {C("null", 1, 3), C("zero", 1, 5), C("white", 0, 0), F("f", "x"), END};
	struct oci_apply_options options = options_of(ALONE);
	struct oci_apply_result result = {0};
	ib_autostr tree = IB_STR(4096);
	ib_autoerr err = {0};
	struct place p;

	(void)state;
	place_init(&p);
	options.keep_devices = false;
	must(apply_items(items, p.target, &options, &result, &err), &err);
	assert_int_equal(result.devices_left_out, 3);
	assert_string_equal(result.first_device, "null");
	free(result.first_device);
	if (geteuid() == 0) {
		options.keep_devices = true;
		must(apply_items(items, p.target, &options, &result, &err), &err);
		assert_int_equal(result.devices_left_out, 1);	/* it would be a whiteout */
		assert_string_equal(result.first_device, "white");
		free(result.first_device);
		list_tree(p.target, "", &tree);
		assert_string_equal(tree.s, "f644 f x\nc1:3 null\nc1:5 zero\n");
	}
	place_done(&p);
}

/* Each directory in the one before it: names end at 4095 bytes, long before the disk does. */
static void endless_nesting_ends(void **state)
{
	struct oci_apply_options options = options_of(MERGED);
	static char name[5002];
	struct tar_bytes t = {0};
	ib_autoerr err = {0};
	struct place p;

	(void)state;
	for (size_t n = 1; n < 5000; n += 100) {
		struct item dir = D(0755, name);

		memset(name, 'd', n);
		for (size_t i = 1; i < n; i += 2)
			name[i] = '/';
		build_item(&t, &dir);
	}
	tb_end(&t);
	place_init(&p);
	assert_int_equal(apply_bytes(&t, p.target, &options, NULL, &err), -1);
	assert_int_equal(err.code, IB_LIMIT);
	assert_non_null(strstr(err.text, "longer than 4095"));
	place_done(&p);
	tb_done(&t);
}

/* A link leads to a long path, so that a short name means one which nobody could open. */
static void a_path_too_long_by_links_is_refused(void **state)
{
	struct oci_apply_options options = options_of(MERGED);
	ib_autostr path = IB_STR(8192);
	struct tar_bytes t = {0};
	ib_autoerr err = {0};
	struct place p;

	(void)state;
	for (int i = 0; i < 16; i++) {
		struct item dir;

		ib_str_addf(&path, "%s" N250, i ? "/" : "");
		dir = (struct item)D(0755, path.s);
		build_item(&t, &dir);
	}
	tb_pax_text(&t, "linkpath", path.s);
	struct item link = L("l", "x"), file = F("l/" N250, "x");
	build_item(&t, &link);
	build_item(&t, &file);
	tb_end(&t);
	place_init(&p);
	assert_int_equal(apply_bytes(&t, p.target, &options, NULL, &err), -1);
	assert_int_equal(err.code, IB_LIMIT);
	place_done(&p);
	tb_done(&t);
}

static void what_is_copied_up_is_all_of_it(void **state)
{
	static const struct item above[] = {F("d/new", "x"), H("d/g", "d/f"), END};
	struct oci_apply_options options = options_of(OVERLAY);
	struct item dir = D(01750, "d"), file = FM(04711, "d/f", "low");
	struct tar_bytes t = {0};
	ib_autoerr err = {0};
	unsigned int uid = geteuid(), gid = getegid();
	char value[16];
	struct place p;

	(void)state;
	if (uid == 0) {
		dir.uid = uid = 5;
		dir.gid = gid = 6;
		file.uid = 5;
		file.gid = 6;
	}
	tb_pax_text(&t, "SCHILY.xattr.user.d", "dir");
	build_item(&t, &dir);
	tb_pax_text(&t, "SCHILY.xattr.user.f", "file");
	build_item(&t, &file);
	tb_end(&t);
	place_init(&p);
	must(apply_bytes(&t, p.lower, &options, NULL, &err), &err);
	options.lower = oci_union_new();
	oci_union_push(options.lower, dup(p.lower), OCI_UNION_OVERLAY);
	must(apply_items(above, p.target, &options, NULL, &err), &err);
	oci_union_free(options.lower);
	owner_is(p.target, "d", uid, gid, 01750);
	owner_is(p.target, "d/f", uid, gid, 04711);
	assert_int_equal(mtime_of(p.target, "d"), 1000);
	assert_int_equal(mtime_of(p.target, "d/g"), 2000);
	ib_autofree char *d = ib_asprintf("%s/target/d", p.dir), *f = ib_asprintf("%s/target/d/g", p.dir);
	assert_int_equal(getxattr(d, "user.d", value, sizeof value), 3);
	assert_int_equal(getxattr(f, "user.f", value, sizeof value), 4);
	place_done(&p);
	tb_done(&t);
}

/* The target is /opt/app of a tree whose lower layers are known: ADD with a destination. */
static void lower_may_be_looked_at_from_a_directory_of_it(void **state)
{
	static const struct item below[] = {D(0755, "opt"), D(0755, "opt/app"), D(0711, "opt/app/d"), D(0700, "d"),
					    L("opt/app/l", "/d"), END};
	static const struct item archive[] = {F("d/f", "x"), F("l/g", "y"), END};
	struct oci_apply_options options = options_of(ADD);
	ib_autostr tree = IB_STR(4096);
	ib_autoerr err = {0};
	struct place p;

	(void)state;
	place_init(&p);
	must(apply_items(below, p.lower, &options, NULL, &err), &err);
	options.lower = oci_union_new();
	options.lower_path = "opt/app";
	oci_union_push(options.lower, dup(p.lower), OCI_UNION_OVERLAY);
	must(apply_items(archive, p.target, &options, NULL, &err), &err);
	oci_union_free(options.lower);
	list_tree(p.target, "", &tree);
	assert_string_equal(tree.s, "d711 d\nf644 d/f x\nf644 d/g y\n");	/* links stay in the destination */
	place_done(&p);
}

static int cancelled_apply(void)
{
	static const struct item items[] = {F("a", "x"), END};
	struct oci_apply_options options = options_of(MERGED);
	ib_autoerr err = {0};
	struct place p;
	int done;

	place_init(&p);
	ib_cancel();
	done = apply_items(items, p.target, &options, NULL, &err);
	place_done(&p);
	return !(done == -1 && err.code == IB_CANCELLED);
}

static void interruption_is_noticed(void **state)
{
	(void)state;
	assert_int_equal(run_as(0, 022, cancelled_apply), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_case_comes_out_right),
		cmocka_unit_test(every_case_comes_out_right_as_a_user),
		cmocka_unit_test(umask_does_not_matter),
		cmocka_unit_test(times_of_directories_survive_what_is_put_in_them),
		cmocka_unit_test(times_of_all_else_are_kept),
		cmocka_unit_test(metadata_of_the_root_is_set),
		cmocka_unit_test(owners_are_kept_and_set_id_bits_with_them),
		cmocka_unit_test(one_owner_is_forced_on_entries_only),
		cmocka_unit_test(an_owner_beyond_32_bits_is_refused),
		cmocka_unit_test(attributes_are_kept),
		cmocka_unit_test(inherited_access_lists_are_not_kept),
		cmocka_unit_test(zeros_become_holes),
		cmocka_unit_test(an_archive_larger_than_allowed_is_refused),
		cmocka_unit_test(devices_are_made_or_counted),
		cmocka_unit_test(endless_nesting_ends),
		cmocka_unit_test(a_path_too_long_by_links_is_refused),
		cmocka_unit_test(what_is_copied_up_is_all_of_it),
		cmocka_unit_test(lower_may_be_looked_at_from_a_directory_of_it),
		cmocka_unit_test(interruption_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
