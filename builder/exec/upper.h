/*
 * builder/exec/upper.h - writing into a new layer that lies on others.
 *
 * The writer stands in one directory of the layer and moves from there. A directory that exists below is made
 * in the layer with the metadata it has there ("copied up"); what is below it is asked for only then. While
 * one is written to, a directory of the layer has mode 0700 and no set-group-ID bit, so that nothing is
 * inherited and an ordinary user can write to what will be read-only; mode, owner and mtime come when it is
 * left. Paths are literal: links were followed before.
 */
#ifndef BUILDER_EXEC_UPPER_H
#define BUILDER_EXEC_UPPER_H

#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>

#include "builder/exec/copy.h"

struct exec_upper;	/* owned by one thread */

struct exec_metadata {
	mode_t mode;		/* 07777 */
	uid_t uid;
	gid_t gid;
	bool keep_mtime;	/* false: the time of writing stays */
	struct timespec mtime;
};

/*
 * A directory of the layer, counted by reference: files may still be written to it by others after it was
 * left. Whoever gives up the last reference sets its metadata.
 */
struct exec_dir {
	int fd;
	size_t refs;
	struct exec_metadata meta;	/* what it will have when it is left */

	/* For exec/upper.c alone. */
	bool in_lower;		/* a directory below shows through */
	bool may_have;		/* may hold names already */
	size_t path_len;
	dev_t dev;
	ino_t ino;
};

int exec_upper_new(const struct exec_target *target, struct exec_upper **ret_upper, struct ib_err *err);

/* Gives up what is still open; metadata of directories that were not left is not set. */
void exec_upper_free(struct exec_upper *upper);
IB_DEFINE_FREE(exec_upper);

/* What is there now, the layer included: to be looked at, not kept. Borrowed. */
struct oci_union *exec_upper_now(struct exec_upper *upper);
const struct exec_target *exec_upper_target(const struct exec_upper *upper);

/* The directory one stands in, and its path from the root. Borrowed until the next move. */
struct exec_dir *exec_upper_dir(struct exec_upper *upper);
const char *exec_upper_path(const struct exec_upper *upper);

/*
 * Go to the directory at path from wherever one stands; missing ones are made with the metadata made, others
 * keep theirs. Fails with IB_USAGE ("mkdir /a: not a directory").
 */
int exec_upper_goto(struct exec_upper *upper, const char *path, const struct exec_metadata *made,
		    struct ib_err *err);

/* "mkdir /path: not a directory". Returns -1 with IB_USAGE. */
int exec_fail_not_directory(struct ib_err *err, const char *path);

/* Leave all directories, so that they are what they will be. Only files under way may be missing. */
int exec_upper_leave(struct exec_upper *upper, struct ib_err *err);

/*
 * Go into the directory called name; made with mode 0700 and the metadata made when there is none. *ret_was
 * tells whether there was one, whose metadata it keeps then. Fails with IB_USAGE ("cannot copy to
 * non-directory").
 */
int exec_upper_down(struct exec_upper *upper, const char *name, const struct exec_metadata *made, bool *ret_was,
		    struct ib_err *err);
int exec_upper_up(struct exec_upper *upper, struct ib_err *err);

/*
 * Make room for anything but a directory: one of the layer that is called name is removed. Fails with
 * IB_USAGE ("cannot replace to directory ... with file"). *ret_removed tells that something was.
 */
int exec_upper_clear(struct exec_upper *upper, const char *name, bool *ret_removed, struct ib_err *err);

/* Does owner have to be set on what we create? */
bool exec_upper_needs_owner(const struct exec_upper *upper, uid_t uid, gid_t gid);

struct exec_dir *exec_dir_ref(struct exec_dir *dir);
int exec_dir_unref(struct exec_upper *upper, struct exec_dir *dir, struct ib_err *err);
void exec_dir_drop(struct exec_dir *dir);	/* unref after a failure: nothing is set */

#endif
