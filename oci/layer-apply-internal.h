/*
 * oci/layer-apply-internal.h - what the files of unpacking share.
 *
 * Every directory is opened relative to its parent's descriptor, following no link; links among the parents
 * of an entry are read and followed here. So nothing outside the target is reached, whatever the archive
 * says. Only this thread writes to the target.
 */
#ifndef OCI_LAYER_APPLY_INTERNAL_H
#define OCI_LAYER_APPLY_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "oci/layer-apply.h"
#include "oci/tar.h"

#define APPLY_OPEN_DIRS 64	/* several layers are unpacked at once, within 1024 descriptors */
#define APPLY_MAX_RECORD (2u << 20)	/* paths: 32 MiB */

/*
 * A directory of the target that is open. What creating names in it does to its time, and what it takes to
 * be allowed to, is undone when it is closed; so no list of directories is kept, however many there are.
 */
struct apply_dir {
	char *path;		/* literal: no component of it is a link; "" is the root */
	size_t len;
	int fd;			/* O_RDONLY */
	mode_t mode;		/* permission bits it is to have when closed */
	struct timespec mtime;	/* likewise */
	bool touched;		/* its time is another one now */
	bool opened_up;		/* it lacks bits that its owner needs, and has them now */
	bool hides_lower;	/* it or a parent is opaque: nothing of the lower layers shows here */
	bool default_acl;	/* what is made in it inherits an access list */
	bool recorded;		/* it and its parents are in apply.record */
	bool gone;		/* removed, and only kept for its pins */
	unsigned int pins;	/* not closed while held */
	uint64_t used;		/* higher: more recently */
};

struct apply_dirs {
	struct apply_dir *v[APPLY_OPEN_DIRS];
	size_t n;
	struct apply_dir *last;	/* the one found last, or NULL */
	uint64_t clock;
};

/* Hashes of paths; see apply_record_has(). */
struct apply_record {
	uint64_t *slot;		/* 0: free */
	size_t n, cap;
	bool full;
};

struct apply {
	bool named;		/* the failure has the entry's name in front already */
	const struct oci_apply_options *options;
	struct oci_apply_result result;
	bool overlay;		/* the target is one layer of an overlay */
	bool layer;		/* names beginning with .wh. are whiteouts */
	struct apply_dirs dirs;
	struct apply_dir *root;	/* pinned */
	struct apply_record record;	/* MERGED: what this layer put there */
	struct timespec entry_mtime;	/* of the entry in hand, for parents that it implies */
};

/* apply-name.c */

#define APPLY_MAX_COMPONENT 255

/*
 * Clean the name of an entry into path: no leading '/', ".", ".." or empty components; "" is the root. A
 * ".." at the root stays there when confine, else it is IB_INVALID. IB_LIMIT: a component is too long.
 */
int apply_name_clean(const char *name, bool confine, char path[static OCI_TAR_MAX_NAME + 1],
		     struct ib_err *err);

/* apply-dirs.c */

int apply_dirs_init(struct apply *a, int target, struct ib_err *err);
void apply_dirs_done(struct apply *a);				/* closes all as they are */
int apply_dirs_flush(struct apply *a, struct ib_err *err);	/* puts back what was changed, and closes all */

/* The lowest directory that is open among the literal path's parents and itself; at least the root. */
struct apply_dir *apply_dirs_nearest(struct apply *a, const char *path, size_t len);

/*
 * The directory called name in parent. 1 with *ret_dir, which stays until another directory is opened or
 * removed unless it is pinned; 0 with errno (ENOENT, or ENOTDIR for anything but a directory); -1.
 */
int apply_dirs_open(struct apply *a, struct apply_dir *parent, const char *name, struct apply_dir **ret_dir,
		    struct ib_err *err);

/*
 * Make it first. The new one has permissions for us alone, no owner set, and no time yet. Returns as above;
 * 0 with EEXIST.
 */
int apply_dirs_make(struct apply *a, struct apply_dir *parent, const char *name, struct apply_dir **ret_dir,
		    struct ib_err *err);

static inline void apply_dir_pin(struct apply_dir *dir)
{
	dir->pins++;
}

void apply_dir_unpin(struct apply_dir *dir);

/* Hide the lower layers below dir. */
int apply_dir_make_opaque(struct apply *a, struct apply_dir *dir, struct ib_err *err);

/* Remove what is called name in dir, a tree too. */
int apply_remove(struct apply *a, struct apply_dir *dir, const char *name, struct ib_err *err);

/* apply-resolve.c */

enum apply_missing {
	APPLY_MAKE,	/* directories that are missing everywhere are made */
	APPLY_LOOK,	/* ... are reported; those of the lower layers are still copied up */
};

/*
 * The directory in the target that holds the last component of a clean path, links in the others being
 * followed inside the target (and lower). 1 with *ret_dir as from apply_dirs_open() and *ret_name, which
 * points into path; 0 when it is missing; -1.
 */
int apply_resolve_parent(struct apply *a, const char *path, enum apply_missing missing,
			 struct apply_dir **ret_dir, const char **ret_name, struct ib_err *err);

/* apply-metadata.c */

struct apply_metadata {
	uid_t uid;
	gid_t gid;
	mode_t mode;
	struct timespec mtime;
	const struct oci_xattr *xattrs;
	size_t n_xattrs;
};

/* Fails with IB_INVALID when an owner is out of range. */
int apply_metadata_of(const struct apply *a, const struct oci_tar_entry *e, struct apply_metadata *ret_metadata,
		      struct ib_err *err);
int apply_metadata_file(const struct apply *a, int fd, const struct apply_dir *parent,
			const struct apply_metadata *m, struct ib_err *err);
int apply_metadata_dir(const struct apply *a, struct apply_dir *dir, const struct apply_metadata *m,
		       struct ib_err *err);

/* Of anything but a file or directory, by name. */
int apply_metadata_at(const struct apply *a, const struct apply_dir *dir, const char *name,
		      const struct apply_metadata *m, struct ib_err *err);

/* apply-lower.c */

/* Something in the lower layers. */
struct apply_lower {
	struct stat st;
	int dirfd;	/* O_PATH; the directory that holds it; owned */
	char *name;	/* its name there; owned */
	char *path;	/* literal, from the root of the union; owned */
};

void apply_lower_done(struct apply_lower *lower);
#define apply_autolower IB_CLEANUP(apply_lower_done) struct apply_lower

/*
 * Look up name in the lower layers' counterpart of dir: 1, 0 when there is nothing or lower is hidden there,
 * -1. Without lower layers to ask, 0, and the result is marked as depending on them.
 */
int apply_lower_find(struct apply *a, const struct apply_dir *dir, const char *name,
		     struct apply_lower *ret_lower, struct ib_err *err);

/* Give dir, which was just made, the metadata of its lower counterpart. */
int apply_lower_copy_dir(const struct apply *a, const struct apply_lower *lower, struct apply_dir *dir,
			 struct ib_err *err);

/* Copy what is no directory to name in dir. */
int apply_lower_copy_up(struct apply *a, const struct apply_lower *lower, struct apply_dir *dir,
			const char *name, struct ib_err *err);

/* apply-entry.c */

/* The content of the current entry goes to fd. */
int apply_content(struct apply *a, struct oci_tar_reader *tar, int fd, int64_t size, struct ib_err *err);

/* Unpack one entry at a clean path. */
int apply_entry(struct apply *a, struct oci_tar_reader *tar, const struct oci_tar_entry *e, const char *path,
		struct ib_err *err);

/* A device node that is not to be made. */
void apply_leave_out(struct apply *a, const char *name);

/* apply-whiteout.c */

/* 1 when the clean path is a whiteout, which is then carried out; 0 when it is an ordinary name; -1. */
int apply_whiteout(struct apply *a, const char *path, struct ib_err *err);

/* apply-record.c */

/* Note that this layer put something at name in dir. */
void apply_record_add(struct apply *a, struct apply_dir *dir, const char *name);

/* Did it? 1, 0, or -1 with IB_LIMIT when the record was not large enough to tell. */
int apply_record_has(const struct apply *a, const char *dir, const char *name, struct ib_err *err);
void apply_record_done(struct apply_record *record);

#endif
