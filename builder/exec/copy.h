/*
 * builder/exec/copy.h - COPY, ADD of local files and archives, and WORKDIR: files written into a new layer.
 *
 * A new layer is a directory of the OCI_UNION_OVERLAY form (builder/snapshot/snapshot.h) that lies on lower.
 * Nothing is mounted: what exists is looked up in lower, what is new is written to the layer's directory,
 * and the layer holds nothing but what the step changes. Rules: Dockerfile reference "COPY", "ADD",
 * "WORKDIR", as BuildKit behaves.
 */
#ifndef BUILDER_EXEC_COPY_H
#define BUILDER_EXEC_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "builder/context/pattern.h"
#include "oci/base/str.h"
#include "oci/digest.h"
#include "oci/union.h"

/* Where files come from: a build context, a stage, an image. */
struct exec_tree {
	struct oci_union *tree;
	const struct builder_ignore *ignore;	/* what is left out; NULL: nothing */
	bool context;		/* a local directory: owners are 0:0, extended attributes do not count */
	const char *stat_cache_dir;	/* absolute; NULL: contents are always read (see exec_selection_digest) */
	const char *identity;	/* names this tree among those with a stat cache: its absolute path */
};

struct builder_context;

/* A context as sources of COPY and ADD; borrows all of it. */
struct exec_tree exec_context_tree(const struct builder_context *context);

/* A file that stands in the Dockerfile itself. */
struct exec_inline_file {
	const char *name;
	const char *content;
	size_t size;
};

/* All that an instruction says, expanded. Strings are borrowed. */
struct exec_copy {
	bool add;		/* ADD: archives are unpacked */
	const char *const *sources;	/* as written, after expansion */
	size_t n_sources;
	const struct exec_inline_file *inline_files;
	size_t n_inline_files;
	const char *dest;	/* absolute (joined to WORKDIR), uncleaned: a trailing "/" or "/." matters */
	const char *chown;	/* "user:group" or NULL */
	const char *chmod;	/* octal or symbolic, or NULL */
	int64_t now;		/* seconds: mtime of inline files and of directories that have to be created */
};

/* The sources found: links followed, wildcards expanded, in order. */
struct exec_selection;

/*
 * Find the sources. Fails with IB_NOTFOUND ('"/zz": not found', with a hint when the ignore file leaves it
 * out), IB_USAGE (bad pattern, "COPY requires at least two arguments" is checked earlier). The selection
 * borrows copy and tree.
 */
int exec_selection_new(const struct exec_copy *copy, const struct exec_tree *tree,
		       struct exec_selection **ret_selection, struct ib_err *err);
void exec_selection_free(struct exec_selection *selection);
IB_DEFINE_FREE(exec_selection);

/*
 * The digest of all that counts for the cache: base names of the sources, and per entry type, mode, owner
 * (not for a context), size, content, link target, device, security.capability; never mtime or where
 * a source lies. Unchanged files of a context are told by the stat cache (device, inode, size, mtime, ctime)
 * and not read again; entries younger than the clock's tick are not trusted.
 */
int exec_selection_digest(struct exec_selection *selection, struct oci_digest *ret_digest, struct ib_err *err);

/* Files and bytes of file content in the selection, known after exec_selection_digest(). */
void exec_selection_size(const struct exec_selection *selection, int64_t *ret_files, int64_t *ret_bytes);

/* What can be made here (builder_snapshots_keep_owner() and its like). */
struct exec_target {
	int upper_fd;			/* the new layer's directory */
	struct oci_union *lower;	/* what it lies on; may have no layers, never NULL */
	bool keep_owner, keep_devices;
	/* Content written so far, told on the thread that copies; may be NULL. */
	void (*progress)(void *ctx, int64_t bytes);
	void *ctx;
};

/*
 * Copy the selection. Fails with IB_USAGE for what the instruction forbids ("cannot copy to non-directory:
 * ...", "cannot replace to directory ... with file", bad --chmod), IB_NOSPACE, IB_CANCELLED.
 */
int exec_copy_run(struct exec_selection *selection, const struct exec_target *target, struct ib_err *err);

/*
 * WORKDIR: make path (absolute, uncleaned) with its parents, 0755, owned by user ("name", "uid", "uid:gid" as
 * USER has it; names looked up in lower, unknown ones are 0); existing directories are untouched. mtime is
 * set to *mtime when not NULL.
 */
int exec_workdir_run(const char *path, const char *user, const int64_t *mtime, const struct exec_target *target,
		     struct ib_err *err);

/*
 * Owner of files, by the rules of --chown: "root" and numbers need no lookup; a name alone has its passwd
 * group; a number alone is also the group; an unknown name is 0.
 */
int exec_owner_lookup(struct oci_union *root, const char *text, uid_t *ret_uid, gid_t *ret_gid,
		      struct ib_err *err);

/* The user of a process, by the rules of RUN. groups is the caller's to free; home is never NULL. */
struct exec_user {
	uid_t uid;
	gid_t gid;
	gid_t *groups;
	size_t n_groups;
	char *home;
};

void exec_user_done(struct exec_user *user);

/*
 * text is "", "name", "uid", "name:group", "uid:gid". Without group: supplementary groups out of
 * /etc/group. Fails with IB_NOTFOUND: "unable to find user nope: no matching entries in passwd file".
 */
int exec_user_lookup(struct oci_union *root, const char *text, struct exec_user *ret_user, struct ib_err *err);

#endif
