/*
 * builder/snapshot/snapshot.h - root filesystems on disk, layer by layer.
 *
 * ROOT/snapshots/ID/fs is one unpacked layer in the form of oci/union.h; the link ROOT/snapshots/chain/HEX
 * says which directory is the top layer of the chain ID HEX. A root filesystem is a stack of layers. A
 * directory never moves, so that it can be mounted by its path while it gets its name. ROOT/snapshots/ID/boot
 * holds the kernel's boot ID: snapshots are cache and are not flushed to disk, so those of another boot are
 * not trusted and are made again from their blobs. IDs begin with that of the process that made them:
 * ROOT/work/PROCESS is held by a lock while the process lives; what dead processes left unfinished is
 * removed when a store is opened.
 *
 * The same layer directories serve both ways of running a step: mounted with overlayfs, or, where that is
 * refused, copied together into one directory.
 */
#ifndef BUILDER_SNAPSHOT_SNAPSHOT_H
#define BUILDER_SNAPSHOT_SNAPSHOT_H

#include <stdbool.h>

#include "oci/digest.h"
#include "oci/layer-apply.h"
#include "oci/store.h"
#include "oci/union.h"

enum builder_snapshotter { BUILDER_SNAPSHOT_AUTO, BUILDER_SNAPSHOT_OVERLAY, BUILDER_SNAPSHOT_COPY };

struct builder_snapshots;	/* may be shared between threads */

/*
 * Open below the store's ROOT. AUTO probes once whether overlayfs can be mounted here (in a mount namespace
 * of its own, layers and all) and what owners and devices can be made.
 */
int builder_snapshots_open(struct oci_store *store, enum builder_snapshotter kind,
			   struct builder_snapshots **ret_snapshots, struct ib_err *err);
void builder_snapshots_free(struct builder_snapshots *snapshots);
IB_DEFINE_FREE(builder_snapshots);
enum builder_snapshotter builder_snapshots_kind(const struct builder_snapshots *snapshots);
bool builder_snapshots_keep_owner(const struct builder_snapshots *snapshots);	/* chown works for all ids */
bool builder_snapshots_keep_devices(const struct builder_snapshots *snapshots);

/* This process's directory below ROOT/work, for whatever must be on the same file system. Borrowed. */
int builder_snapshots_workdir(const struct builder_snapshots *snapshots);
const char *builder_snapshots_workpath(const struct builder_snapshots *snapshots);	/* absolute */

/*
 * One layer of a stack, counted by reference. parent is what it lies on (NULL for the lowest). Its
 * directory is complete and never changes any more once it is sealed.
 */
struct builder_snapshot {
	struct builder_snapshots *owner;
	struct builder_snapshot *parent;	/* referenced */
	size_t depth;		/* number of layers, this one included */
	int fd;			/* its directory (fs) */
	char *path;		/* its absolute path; never changes */
	char *id;		/* its name below ROOT/snapshots */
	int refs;		/* atomic; see _ref/_unref */
	bool published;		/* atomic: it stays on disk when the last reference goes */
};

struct builder_snapshot *builder_snapshot_ref(struct builder_snapshot *snapshot);	/* NULL gives NULL */
void builder_snapshot_unref(struct builder_snapshot *snapshot);	/* an unpublished one is removed from disk */
static inline void builder_snapshot_unrefp(struct builder_snapshot **p) { builder_snapshot_unref(*p); }
#define builder_autosnapshot IB_CLEANUP(builder_snapshot_unrefp) struct builder_snapshot

/* A new, empty, writable layer on parent (which may be NULL). fs has mode 0755 or the parent root's. */
int builder_snapshot_new(struct builder_snapshots *snapshots, struct builder_snapshot *parent,
			 struct builder_snapshot **ret_snapshot, struct ib_err *err);

/*
 * Give a finished layer its chain ID's name on disk. If another process was faster, its directory keeps the
 * name and this one is removed when nobody uses it any more. Safe while the layer is in use.
 */
int builder_snapshot_publish(struct builder_snapshot *snapshot, const struct oci_chain_id *chain,
			     struct ib_err *err);

/* The published layer of chain on parent, or NULL in *ret_snapshot. Never an error for a missing one. */
int builder_snapshot_find(struct builder_snapshots *snapshots, const struct oci_chain_id *chain,
			  struct builder_snapshot *parent, struct builder_snapshot **ret_snapshot,
			  struct ib_err *err);

/* Is the layer of chain there, without opening it? */
bool builder_snapshots_has(struct builder_snapshots *snapshots, const struct oci_chain_id *chain);

/* The stack as a tree to read: NULL snapshot is the empty tree. The caller's. */
int builder_snapshot_union(const struct builder_snapshot *snapshot, struct oci_union **ret_union,
			   struct ib_err *err);

/*
 * Where the bytes of a layer come from when its snapshot is not there: opens the compressed blob as a
 * verified stream (out of the store, or a registry and then into the store on the way). index counts from
 * the lowest layer.
 */
typedef int builder_layer_open_fn(void *ctx, size_t index, struct oci_reader **ret_reader, struct ib_err *err);

/* Told how far unpacking is: bytes of the tar of layer index. */
typedef void builder_unpack_progress_fn(void *ctx, size_t index, int64_t bytes, bool done);

struct builder_unpack {
	const struct oci_diff_id *diff_ids;	/* lowest first */
	size_t n;
	builder_layer_open_fn *open;
	builder_unpack_progress_fn *progress;	/* may be NULL */
	void *ctx;
	size_t parallel;			/* layers at once; 0: 4 */
};

/*
 * The stack for these layers: those on disk are taken, the others unpacked side by side, each one checked
 * against its diff ID, and published. Layers that need their lower ones known (implied parents, links
 * among them) are unpacked again in order. *ret_snapshot is NULL for n = 0.
 */
int builder_snapshot_unpack(struct builder_snapshots *snapshots, const struct builder_unpack *unpack,
			    struct builder_snapshot **ret_snapshot, struct ib_err *err);

/* Remove a published layer that nobody uses. For collection, under the exclusive store lock. */
int builder_snapshots_remove(struct builder_snapshots *snapshots, const struct oci_chain_id *chain,
			     struct ib_err *err);

/* Every published chain ID with the bytes it takes on disk. */
typedef int builder_snapshot_fn(void *ctx, const struct oci_chain_id *chain, int64_t bytes, struct ib_err *err);
int builder_snapshots_each(struct builder_snapshots *snapshots, builder_snapshot_fn *fn, void *ctx,
			   struct ib_err *err);

#endif
