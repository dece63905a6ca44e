/*
 * oci/union.h - a stack of unpacked layers seen as one file tree, without mounting anything.
 *
 * Layers are directories. A layer of kind OCI_UNION_OVERLAY holds what overlayfs would: a character device
 * 0:0 hides the name below, a directory with the extended attribute user.overlay.opaque = "y" hides all
 * that lower layers have in it. A layer of kind OCI_UNION_PLAIN is taken as it is (a build context, a full
 * copy of a root filesystem). Directories merge, the top one's metadata counts; anything else hides what
 * is below.
 *
 * Nothing here writes. Nothing outside the layers is ever touched: no link is followed by the kernel, all
 * links are resolved here, inside the tree. A union may be shared between threads once it is complete;
 * walks belong to one thread each.
 */
#ifndef OCI_UNION_H
#define OCI_UNION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "oci/base/err.h"

#define OCI_UNION_OPAQUE "user.overlay.opaque"
#define OCI_UNION_MAX_LINKS 255		/* as BuildKit resolves; Linux itself stops at 40 */

enum oci_union_kind { OCI_UNION_OVERLAY, OCI_UNION_PLAIN };

struct oci_union;

struct oci_union *oci_union_new(void);
void oci_union_free(struct oci_union *u);
IB_DEFINE_FREE(oci_union);

/* Put a layer on top; the union keeps take_fd (an O_RDONLY or O_PATH directory descriptor). */
void oci_union_push(struct oci_union *u, int take_fd, enum oci_union_kind kind);

/* A new union of the same layers (descriptors duplicated). */
struct oci_union *oci_union_copy(const struct oci_union *u, struct ib_err *err);
size_t oci_union_layers(const struct oci_union *u);

/*
 * Paths are relative to the root, without leading '/', "." or ".." components; "" is the root itself.
 * oci_union_clean() makes one of any text, lexically (".." at the root stays there). The caller's.
 */
char *oci_union_clean(const char *path);

/*
 * What is at path, with no link followed anywhere: a link as a parent is IB_NOTFOUND like a missing one.
 * *ret_layer (may be NULL): index of the layer that has it, 0 the lowest. The root of an empty union is a
 * directory 0755 0:0. IB_NOTFOUND is not decorated: callers add words.
 */
int oci_union_stat(struct oci_union *u, const char *path, struct stat *ret_st, size_t *ret_layer,
		   struct ib_err *err);

/*
 * Follow links in every component of path (in the last one only with follow_last), inside the tree.
 * *ret_path is the literal path arrived at (caller's). Components that do not exist are kept as they are,
 * so that a path to be created is resolved too; *ret_exists says which it was. A component below something
 * that is no directory: IB_NOTFOUND with sys ENOTDIR. More than OCI_UNION_MAX_LINKS links: IB_LIMIT, ELOOP.
 */
int oci_union_resolve(struct oci_union *u, const char *path, bool follow_last, char **ret_path,
		      bool *ret_exists, struct ib_err *err);

/* Open the regular file at a literal path for reading (O_NOFOLLOW, checked by fstat). A descriptor or -1. */
int oci_union_open(struct oci_union *u, const char *path, struct ib_err *err);

/* The target of the link at a literal path. The caller's. */
int oci_union_readlink(struct oci_union *u, const char *path, char **ret_target, struct ib_err *err);

/*
 * The content of the regular file that path leads to (links followed), at most max bytes: /etc/passwd and
 * its like. IB_NOTFOUND when there is none.
 */
int oci_union_read_file(struct oci_union *u, const char *path, size_t max, char **ret_bytes, size_t *ret_len,
			struct ib_err *err);

/*
 * Walk the tree below a literal path (which is not itself visited unless it is no directory), depth first,
 * names of a directory in byte order, each directory before what is in it. Memory is bounded by the largest
 * directory, descriptors by a constant, whatever the depth.
 */
struct oci_union_walk;

enum oci_walk_flags {
	/*
	 * Walk a single OVERLAY layer as it is stored: whiteouts are visited (as S_IFCHR 0:0), opaque
	 * directories are marked, nothing is hidden.
	 */
	OCI_WALK_RAW = 1u << 0,
};

struct oci_walk_entry {
	const char *path;	/* relative to the root of the union; borrowed until the next call */
	const char *name;	/* its last component */
	int dirfd;		/* the layer's directory that holds it, for *at() calls; borrowed likewise */
	size_t layer;		/* the layer that it is in (the topmost, for a directory) */
	struct stat st;
	bool opaque;		/* RAW: a directory marked opaque */
};

int oci_union_walk_new(struct oci_union *u, const char *path, unsigned int flags,
		       struct oci_union_walk **ret_walk, struct ib_err *err);
void oci_union_walk_free(struct oci_union_walk *walk);
IB_DEFINE_FREE(oci_union_walk);

/* 1 with the next entry (borrowed), 0 at the end, -1. */
int oci_union_walk_next(struct oci_union_walk *walk, const struct oci_walk_entry **ret_entry,
			struct ib_err *err);

/* Do not visit what is in the directory that was returned last. */
void oci_union_walk_skip(struct oci_union_walk *walk);

#endif
