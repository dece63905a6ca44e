/* COPY by a table: what is below, what is in the context, the instruction, what the new layer holds then. */
#include "builder/exec/copy.h"
#include "tests/builder/files.h"

#include "oci/base/poison.h"

struct row {
	const char *name;	/* a sentence */
	const char *lower, *context, *ignore;
	const char *sources;	/* separated by blanks; "<<" in front: the name of a file "hi" of the Dockerfile */
	const char *dest, *chown, *chmod;
	bool add, stage;	/* ADD; --from a stage */
	bool root_only;
	const char *expect;	/* the new layer, or: */
	enum ib_code code;
	const char *error;	/* part of the text */
};

/* The context that the cases share: a="A", b="B", d with x and s/y. */
#define CONTEXT "f 644 0:0 10 a A\nf 640 0:0 11 b B\nd 2770 0:0 12 d\nf 600 0:0 13 d/x X\nd 711 0:0 14 d/s\nf 644 0:0 15 d/s/y Y\n"
#define PASSWD "d 755 0:0 5 etc\nf 644 0:0 5 etc/passwd root:x:0:0::/root:/bin/sh\n"

static const struct row rows[] = {
	{"several files onto one file: the last one wins", .context = CONTEXT, .sources = "a b", .dest = "/n",
	 .expect = "f 640 0:0 11 n B\n"},
	{"a wildcard without a match copies nothing, not even the destination", .context = CONTEXT,
	 .sources = "zz*", .dest = "/n/", .expect = ""},
	{"a plain source that is missing is an error", .context = CONTEXT, .sources = "zz", .dest = "/n/",
	 .code = IB_NOTFOUND, .error = "\"/zz\": not found"},
	{"a source below a file is not found", .context = CONTEXT, .sources = "a/b", .dest = "/n/",
	 .code = IB_NOTFOUND, .error = "\"/a/b\": not found"},
	{"a wildcard without a match beside a plain source", .context = CONTEXT, .sources = "zz* a", .dest = "/n/",
	 .expect = "d 755 0:0 1000 n\nf 644 0:0 10 n/a A\n"},
	{"the contents of a directory, whose own mode goes nowhere", .context = CONTEXT, .sources = "d",
	 .dest = "/n/", .expect = "d 755 0:0 12 n\nd 711 0:0 14 n/s\nf 644 0:0 15 n/s/y Y\nf 600 0:0 13 n/x X\n"},
	{"a directory without a slash at the destination does the same", .context = CONTEXT, .sources = "d",
	 .dest = "/n", .expect = "d 755 0:0 12 n\nd 711 0:0 14 n/s\nf 644 0:0 15 n/s/y Y\nf 600 0:0 13 n/x X\n"},
	{"a directory below the source keeps its mode", .context = CONTEXT, .sources = ".", .dest = "/n/",
	 .ignore = "d/s\nb",
	 .expect = "d 755 0:0 77 n\nf 644 0:0 10 n/a A\nd 2770 0:0 12 n/d\nf 600 0:0 13 n/d/x X\n"},
	{"the empty source is the whole context", .context = "f 644 0:0 10 a A\n", .sources = "", .dest = "/w/",
	 .expect = "d 755 0:0 77 w\nf 644 0:0 10 w/a A\n"},
	{"an existing destination keeps mode and owner, directories in it do not",
	 .lower = "d 711 9:9 20 n\nd 700 9:9 21 n/s\n", .context = CONTEXT, .sources = "d", .dest = "/n",
	 .expect = "d 711 9:9 12 n\nd 711 0:0 14 n/s\nf 644 0:0 15 n/s/y Y\nf 600 0:0 13 n/x X\n"},
	{"an existing destination of a file keeps its time, too", .lower = "d 711 9:9 20 n\nd 755 1:1 21 n/m\n",
	 .context = CONTEXT, .sources = "a", .dest = "/n/m/",
	 .expect = "d 711 9:9 20 n\nd 755 1:1 21 n/m\nf 644 0:0 10 n/m/a A\n"},
	{"an existing directory is the destination without a slash", .lower = "d 755 0:0 20 n\n",
	 .context = CONTEXT, .sources = "a", .dest = "/n", .expect = "d 755 0:0 20 n\nf 644 0:0 10 n/a A\n"},
	{"a file cannot replace a directory in the destination", .lower = "d 755 0:0 20 n\nd 755 0:0 20 n/a\n",
	 .context = CONTEXT, .sources = "a", .dest = "/n/", .code = IB_USAGE,
	 .error = "cannot replace to directory /n/a with file"},
	{"a file cannot replace a directory that the same instruction made",
	 .context = "f 644 0:0 10 a A\nd 755 0:0 9 e\nd 755 0:0 9 e/a\n", .sources = "e a", .dest = "/n/",
	 .code = IB_USAGE, .error = "cannot replace to directory /n/a with file"},
	{"a directory cannot be copied onto a file", .lower = "f 644 0:0 20 n A\n", .context = CONTEXT,
	 .sources = "d", .dest = "/n", .code = IB_USAGE, .error = "cannot copy to non-directory: /n"},
	{"a directory in the tree cannot replace a file", .lower = "d 755 0:0 1 n\nf 644 0:0 20 n/s A\n",
	 .context = CONTEXT, .sources = "d", .dest = "/n", .code = IB_USAGE,
	 .error = "cannot copy to non-directory: /n/s"},
	{"a destination below a file is an error", .lower = "f 644 0:0 20 ff A\n", .context = CONTEXT,
	 .sources = "a", .dest = "/ff/g/", .code = IB_USAGE, .error = "mkdir /ff/g: not a directory"},
	{"a destination with a slash that is a file is an error", .lower = "f 644 0:0 20 ff A\n",
	 .context = CONTEXT, .sources = "a", .dest = "/ff/", .code = IB_USAGE,
	 .error = "mkdir /ff: not a directory"},
	{"a dangling link as destination makes its target", .lower = "l - 0:0 20 lf /t/tf\nd 755 3:3 21 t\n",
	 .context = CONTEXT, .sources = "a", .dest = "/lf",
	 .expect = "d 755 3:3 21 t\nf 644 0:0 10 t/tf A\n"},
	{"a link to a directory as destination is followed, as are its parents",
	 .lower = "d 755 0:0 20 t\nd 750 0:0 21 t/u\nl - 0:0 20 n t\nl - 0:0 20 t/v ../n/u\n", .context = CONTEXT,
	 .sources = "a", .dest = "/n/v/", .expect = "d 755 0:0 20 t\nd 750 0:0 21 t/u\nf 644 0:0 10 t/u/a A\n"},
	{"a link as destination cannot lead out of the root", .lower = "l - 0:0 20 n ../../../../out\n",
	 .context = CONTEXT, .sources = "a", .dest = "/n/", .expect = "d 755 0:0 1000 out\nf 644 0:0 10 out/a A\n"},
	{"links in a chain without end are an error", .lower = "l - 0:0 20 n m\nl - 0:0 20 m n\n",
	 .context = CONTEXT, .sources = "a", .dest = "/n/x", .code = IB_LIMIT, .error = "destination /n/x"},
	{"a link in the tree is not followed by a directory",
	 .lower = "d 755 0:0 20 n\nl - 0:0 20 n/s /o\nd 755 0:0 20 o\n", .context = CONTEXT, .sources = "d",
	 .dest = "/n/", .code = IB_USAGE, .error = "cannot copy to non-directory: /n/s"},
	{"a link in the destination is replaced by a file of its name",
	 .lower = "d 755 0:0 20 n\nl - 0:0 20 n/a /o\nf 644 0:0 20 o O\n", .context = CONTEXT, .sources = "a",
	 .dest = "/n/", .expect = "d 755 0:0 20 n\nf 644 0:0 10 n/a A\n"},
	{"a link as source is followed and keeps its own name", .context = "f 644 0:0 10 a A\nl - 0:0 11 l a\n",
	 .sources = "l", .dest = "/n/", .expect = "d 755 0:0 1000 n\nf 644 0:0 10 n/l A\n"},
	{"a link in a copied directory stays a link, dangling or not",
	 .context = "f 644 0:0 10 a A\nl - 0:0 11 l a\nl - 0:0 12 z /nowhere/at all\n", .sources = ".",
	 .dest = "/n/", .expect = "d 755 0:0 77 n\nf 644 0:0 10 n/a A\nl - 0:0 11 n/l a\nl - 0:0 12 n/z /nowhere/at all\n"},
	{"a matched link is followed, too", .context = "d 755 0:0 9 e\nf 644 0:0 10 e/a A\nl - 0:0 11 lx e\n",
	 .sources = "l*", .dest = "/n", .expect = "d 755 0:0 9 n\nf 644 0:0 10 n/a A\n"},
	{"a dangling link as source is not found", .context = "l - 0:0 11 l /etc/hostname-of-the-host\n",
	 .sources = "l", .dest = "/n", .code = IB_NOTFOUND, .error = "\"/l\": not found"},
	{"links of a source never lead out of the context",
	 .context = "d 755 0:0 1 e\nf 644 0:0 10 e/passwd mine\nl - 0:0 11 l ../../../../../e/passwd\n",
	 .sources = "l", .dest = "/n", .expect = "f 644 0:0 10 n mine\n"},
	{"dots cannot lead out of the context", .context = CONTEXT, .sources = "../../a", .dest = "/n",
	 .expect = "f 644 0:0 10 n A\n"},
	{"a star flattens directories and takes names with a dot",
	 .context = CONTEXT "f 644 0:0 16 .h H\n", .sources = "*", .dest = "/n/",
	 .expect = "d 755 0:0 12 n\nf 644 0:0 16 n/.h H\nf 644 0:0 10 n/a A\nf 640 0:0 11 n/b B\nd 711 0:0 14 n/s\n"
		   "f 644 0:0 15 n/s/y Y\nf 600 0:0 13 n/x X\n"},
	{"two stars are one", .context = CONTEXT, .sources = "**/x", .dest = "/n/",
	 .expect = "d 755 0:0 1000 n\nf 600 0:0 13 n/x X\n"},
	{"a star does not cross directories", .context = CONTEXT, .sources = "**/y", .dest = "/n/", .expect = ""},
	{"a wildcard below a directory", .context = CONTEXT, .sources = "d/*/y", .dest = "/n",
	 .expect = "f 644 0:0 15 n Y\n"},
	{"a wildcard below a directory that is missing matches nothing", .context = CONTEXT, .sources = "q/*",
	 .dest = "/n/", .expect = ""},
	{"a bracket in brackets is literal", .context = "f 644 0:0 10 arr[0].txt A\n", .sources = "arr[[]0].txt",
	 .dest = "/n", .expect = "f 644 0:0 10 n A\n"},
	{"a malformed pattern is an error", .context = CONTEXT, .sources = "a[", .dest = "/n", .code = IB_USAGE,
	 .error = "syntax error in pattern"},
	{"a name that the image does not know is root", .lower = PASSWD, .context = CONTEXT, .sources = "a",
	 .dest = "/n/", .chown = "nouser", .expect = "d 755 0:0 1000 n\nf 644 0:0 10 n/a A\n"},
	{"a number as owner is the group, too, of parents as well", .context = CONTEXT, .sources = "a",
	 .dest = "/k/f", .chown = "7", .expect = "d 755 7:7 1000 k\nf 644 7:7 10 k/f A\n"},
	{"an owner is given to all that is copied", .context = CONTEXT "l - 0:0 16 d/l x\n", .sources = "d",
	 .dest = "/n", .chown = "5:6",
	 .expect = "d 755 5:6 12 n\nl - 5:6 16 n/l x\nd 711 5:6 14 n/s\nf 644 5:6 15 n/s/y Y\nf 600 5:6 13 n/x X\n"},
	{"octal modes are those of created parents", .context = CONTEXT, .sources = "a", .dest = "/n/",
	 .chmod = "600", .root_only = true,	/* nobody else can look into a directory of this mode */
	 .expect = "d 600 0:0 1000 n\nf 600 0:0 10 n/a A\n"},
	{"symbolic modes are not", .context = CONTEXT, .sources = "a", .dest = "/n/", .chmod = "go-rwx",
	 .expect = "d 755 0:0 1000 n\nf 600 0:0 10 n/a A\n"},
	{"set-id bits do not go to created parents", .context = CONTEXT, .sources = "a", .dest = "/n/",
	 .chmod = "04755", .expect = "d 755 0:0 1000 n\nf 4755 0:0 10 n/a A\n"},
	{"octal modes are those of files and directories, not of links",
	 .context = "d 755 0:0 9 d\nd 755 0:0 9 d/e\nf 644 0:0 10 d/e/a A\nl - 0:0 11 d/l e\n", .sources = "d",
	 .dest = "/n", .chmod = "0710",
	 .expect = "d 710 0:0 9 n\nd 710 0:0 9 n/e\nf 710 0:0 10 n/e/a A\nl - 0:0 11 n/l e\n"},
	{"an existing destination keeps its mode against --chmod", .lower = "d 711 0:0 20 n\n",
	 .context = CONTEXT, .sources = "a", .dest = "/n/", .chmod = "777",
	 .expect = "d 711 0:0 20 n\nf 777 0:0 10 n/a A\n"},
	{"X is for directories and what is executable",
	 .context = "d 700 0:0 9 d\nd 700 0:0 9 d/e\nf 600 0:0 9 d/f\nf 700 0:0 9 d/g\n", .sources = "d",
	 .dest = "/n", .chmod = "u=rwX,go=rX",
	 .expect = "d 755 0:0 9 n\nd 755 0:0 9 n/e\nf 644 0:0 9 n/f\nf 755 0:0 9 n/g\n"},
	{"a bad mode is an error", .context = CONTEXT, .sources = "a", .dest = "/n", .chmod = "99",
	 .code = IB_USAGE,
	 .error = "invalid chmod parameter: '99'. it should be octal string and between 0 and 07777"},
	{"modes with set-id and sticky bits are kept", .context = "d 1777 0:0 9 d\nf 6755 0:0 9 d/a A\nf 1644 0:0 9 d/b B\nd 3775 0:0 9 d/c\n",
	 .sources = "d", .dest = "/n", .chown = "3:4",
	 .expect = "d 755 3:4 9 n\nf 6755 3:4 9 n/a A\nf 1644 3:4 9 n/b B\nd 3775 3:4 9 n/c\n"},
	{"nothing is inherited from a set-group-ID directory", .lower = "d 2775 0:9 9 n\n",
	 .context = "d 755 0:0 9 d\nd 755 0:0 9 d/c\nf 644 0:0 9 d/c/a A\n", .sources = "d", .dest = "/n",
	 .expect = "d 2775 0:9 9 n\nd 755 0:0 9 n/c\nf 644 0:0 9 n/c/a A\n"},
	{"nor from one that an earlier source made", .stage = true, .root_only = true,
	 .context = "d 755 0:0 9 d\nd 2775 0:9 9 d/c\nd 755 0:0 9 e\nd 2775 0:9 9 e/c\nf 644 0:0 9 e/c/f F\nd 755 0:0 9 e/c/g\n",
	 .sources = "d e", .dest = "/n",
	 .expect = "d 755 0:0 9 n\nd 2775 0:9 9 n/c\nf 644 0:0 9 n/c/f F\nd 755 0:0 9 n/c/g\n"},
	{"directories that may not be written to are filled", .context = "d 555 0:0 9 d\nd 500 0:0 9 d/c\nf 400 0:0 9 d/c/a A\n",
	 .sources = "d d", .dest = "/n",
	 .expect = "d 755 0:0 9 n\nd 500 0:0 9 n/c\nf 400 0:0 9 n/c/a A\n"},
	{"owners of a context count for nothing", .context = "d 755 8:8 9 d\nf 644 7:7 9 d/a A\nl - 7:7 9 d/l a\n",
	 .sources = "d", .dest = "/n", .expect = "d 755 0:0 9 n\nf 644 0:0 9 n/a A\nl - 0:0 9 n/l a\n"},
	{"owners of a stage are kept", .context = "d 755 8:8 9 d\nd 755 6:5 9 d/e\nf 644 7:7 9 d/e/a A\nl - 7:7 9 d/l a\n",
	 .sources = "d", .dest = "/n", .stage = true,
	 .expect = "d 755 0:0 9 n\nd 755 6:5 9 n/e\nf 644 7:7 9 n/e/a A\nl - 7:7 9 n/l a\n"},
	{"hard links are kept within one copy", .context = "d 755 0:0 9 d\nf 644 0:0 9 d/a A\nd 755 0:0 9 d/e\nh - - - d/e/b d/a\nh - - - d/c d/a\n",
	 .sources = "d", .dest = "/n",
	 .expect = "d 755 0:0 9 n\nf 644 0:0 9 n/a A\nh - - - n/c n/a\nd 755 0:0 9 n/e\nh - - - n/e/b n/a\n"},
	{"hard links are not kept among several sources", .context = "f 644 0:0 9 a A\nh - - - b a\n",
	 .sources = "a b", .dest = "/n/", .expect = "d 755 0:0 1000 n\nf 644 0:0 9 n/a A\nf 644 0:0 9 n/b A\n"},
	{"hard links are not kept among matches", .context = "f 644 0:0 9 a A\nh - - - b a\n",
	 .sources = "?", .dest = "/n/", .expect = "d 755 0:0 1000 n\nf 644 0:0 9 n/a A\nf 644 0:0 9 n/b A\n"},
	{"a name that was overwritten is not linked to",
	 .context = "d 755 0:0 9 d\nf 644 0:0 9 d/a A\nd 755 0:0 9 e\nf 644 0:0 9 e/a other\nd 755 0:0 9 g\nh - - - g/b d/a\n",
	 .sources = "d e g", .dest = "/n",
	 .expect = "d 755 0:0 9 n\nf 644 0:0 9 n/a other\nf 644 0:0 9 n/b A\n"},
	{"fifos are copied, sockets become empty files", .context = "d 755 0:0 9 d\np 640 0:0 9 d/p\ns 600 0:0 8 d/s\n",
	 .sources = "d", .dest = "/n", .expect = "d 755 0:0 9 n\np 640 0:0 9 n/p\nf 600 0:0 8 n/s\n"},
	{"devices are copied", .context = "d 755 0:0 9 d\nc 640 0:0 9 d/c 1,3\n", .sources = "d", .dest = "/n",
	 .root_only = true, .expect = "d 755 0:0 9 n\nc 640 0:0 9 n/c 1,3\n"},
	{"a device that would hide a file is refused", .context = "d 755 0:0 9 d\nc 640 0:0 9 d/c 0,0\n",
	 .sources = "d", .dest = "/n", .root_only = true, .code = IB_UNSUPPORTED, .error = "0:0"},
	{"large, empty and sparse files", .context = "d 755 0:0 9 d\nf 644 0:0 9 d/a *3000001\nf 644 0:0 9 d/b\nf 644 0:0 9 d/c %5000000\nf 644 0:0 9 d/e *300000\n",
	 .sources = "d", .dest = "/n",
	 .expect = "d 755 0:0 9 n\nf 644 0:0 9 n/a *3000001\nf 644 0:0 9 n/b\nf 644 0:0 9 n/c %5000000\nf 644 0:0 9 n/e *300000\n"},
	{"what the ignore file leaves out is missing", .context = CONTEXT, .ignore = "a", .sources = "a",
	 .dest = "/n", .code = IB_NOTFOUND, .error = "\"/a\": not found (it is there, but the ignore file leaves it out)"},
	{"what the ignore file leaves out is not matched", .context = CONTEXT, .ignore = "a", .sources = "[ab]",
	 .dest = "/n/", .expect = "d 755 0:0 1000 n\nf 640 0:0 11 n/b B\n"},
	{"a link to what the ignore file leaves out is missing", .context = CONTEXT "l - 0:0 1 l a\n", .ignore = "a",
	 .sources = "l", .dest = "/n", .code = IB_NOTFOUND, .error = "\"/l\": not found"},
	{"what is taken back comes with its parents", .context = CONTEXT, .ignore = "*\n!d/s", .sources = ".",
	 .dest = "/n/", .expect = "d 755 0:0 77 n\nd 2770 0:0 12 n/d\nd 711 0:0 14 n/d/s\nf 644 0:0 15 n/d/s/y Y\n"},
	{"a directory that is left out but for one file is there", .context = CONTEXT, .ignore = "d\n!d/s/y",
	 .sources = "d", .dest = "/n/", .expect = "d 755 0:0 12 n\nd 711 0:0 14 n/s\nf 644 0:0 15 n/s/y Y\n"},
	{"a directory whose contents are left out stays, empty", .context = CONTEXT, .ignore = "d/**\na\nb",
	 .sources = ".", .dest = "/n/", .expect = "d 755 0:0 77 n\nd 2770 0:0 12 n/d\n"},
	{"a destination with a dot at its end is a directory", .context = CONTEXT, .sources = "a", .dest = "/w/.",
	 .expect = "d 755 0:0 1000 w\nf 644 0:0 10 w/a A\n"},
	{"copying to the root", .context = CONTEXT, .sources = "d", .dest = "/",
	 .expect = "d 711 0:0 14 s\nf 644 0:0 15 s/y Y\nf 600 0:0 13 x X\n"},
	{"a file of the Dockerfile", .context = "", .sources = "<<EOF", .dest = "/e",
	 .expect = "f 644 0:0 1000 e hi\n"},
	{"a file of the Dockerfile has the flags' mode and owner", .context = "", .sources = "<<EOF", .dest = "/e/",
	 .chown = "1:2", .chmod = "a+x", .expect = "d 755 1:2 1000 e\nf 755 1:2 1000 e/EOF hi\n"},
	{"files of the Dockerfile come after the sources", .context = CONTEXT, .sources = "<<a a", .dest = "/e",
	 .expect = "f 644 0:0 1000 e hi\n"},
	{"sources are merged, later ones on top", .context = "d 755 0:0 9 d\nd 700 0:0 8 d/c\nf 644 0:0 7 d/c/a A\nd 755 0:0 6 e\nd 711 0:0 5 e/c\nf 600 0:0 4 e/c/a other\nl - 0:0 3 e/c/b a\n",
	 .sources = "d e d", .dest = "/n",
	 .expect = "d 755 0:0 9 n\nd 700 0:0 8 n/c\nf 644 0:0 7 n/c/a A\nl - 0:0 3 n/c/b a\n"},
	{"COPY does not look into an archive's name", .context = "f 644 0:0 9 t.tgz A\n", .sources = "t.tgz",
	 .dest = "/n", .expect = "f 644 0:0 9 n A\n"},
};

struct fixture {
	const struct row *row;
	struct files *files;
	int context, lower, upper;
};

static int set_up(void **state)
{
	struct fixture *f = ib_new(struct fixture);
	const struct timespec times[2] = {{.tv_sec = 77}, {.tv_sec = 77}};

	f->row = *state;
	f->files = files_new();
	f->context = files_sub(f->files, "context");
	f->lower = files_sub(f->files, "lower");
	f->upper = files_sub(f->files, "upper");
	if (f->row->context)
		files_make(f->context, f->row->context);
	if (f->row->lower)
		files_make(f->lower, f->row->lower);
	assert_int_equal(futimens(f->context, times), 0);
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

struct sources {
	const char *plain[8];
	struct exec_inline_file files[8];
	size_t n_plain, n_files;
};

/* Cut text (kept by the caller) at its blanks. */
static void split_sources(char *text, struct sources *s)
{
	char *word;

	while ((word = strsep(&text, " "))) {
		if (ib_starts(word, "<<"))
			s->files[s->n_files++] = (struct exec_inline_file){word + 2, "hi", 2};
		else
			s->plain[s->n_plain++] = word;
	}
}

static int run(const struct fixture *f, struct ib_err *err)
{
	const struct row *row = f->row;
	ib_autofree char *text = ib_strdup(row->sources);
	IB_CLEANUP(oci_union_freep) struct oci_union *tree = files_union(dup(f->context), OCI_UNION_PLAIN);
	IB_CLEANUP(oci_union_freep) struct oci_union *lower =
		files_union(row->lower ? dup(f->lower) : -1, OCI_UNION_OVERLAY);
	IB_CLEANUP(builder_ignore_freep) struct builder_ignore *ignore = NULL;
	IB_CLEANUP(exec_selection_freep) struct exec_selection *selection = NULL;
	struct sources s = {.n_plain = 0};
	struct exec_target target = {f->upper, lower, geteuid() == 0, geteuid() == 0, NULL, NULL};
	struct exec_tree from = {.tree = tree, .context = !row->stage};
	struct exec_copy copy = {.add = row->add, .dest = row->dest, .chown = row->chown, .chmod = row->chmod,
				 .now = 1000};

	split_sources(text, &s);
	copy.sources = s.plain;
	copy.n_sources = s.n_plain;
	copy.inline_files = s.files;
	copy.n_inline_files = s.n_files;
	if (row->ignore) {
		assert_int_equal(builder_ignore_parse(row->ignore, strlen(row->ignore), "ignore", &ignore, err), 0);
		from.ignore = ignore;
	}
	if (exec_selection_new(&copy, &from, &selection, err) < 0)
		return -1;
	return exec_copy_run(selection, &target, err);
}

static void check_row(void **state)
{
	const struct fixture *f = *state;
	const struct row *row = f->row;
	ib_autoerr err = {0};
	int r;

	if (row->root_only && geteuid() != 0)
		skip();
	r = run(f, &err);
	if (row->code) {
		assert_int_equal(r, -1);
		assert_non_null(strstr(err.text, row->error));
		assert_int_equal(err.code, row->code);
		return;
	}
	if (r < 0)
		fail_msg("%s", err.text);
	if (row->expect)
		files_expect(f->upper, row->expect);
}

int main(void)
{
	struct CMUnitTest tests[sizeof rows / sizeof *rows];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		tests[i] = (struct CMUnitTest){rows[i].name, check_row, set_up, tear_down, (void *)(uintptr_t)&rows[i]};
	return _cmocka_run_group_tests("copy", tests, sizeof tests / sizeof *tests, NULL, NULL);
}
