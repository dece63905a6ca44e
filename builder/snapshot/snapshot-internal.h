/*
 * builder/snapshot/snapshot-internal.h - shared by the files of snapshot/.
 */
#ifndef BUILDER_SNAPSHOT_SNAPSHOT_INTERNAL_H
#define BUILDER_SNAPSHOT_SNAPSHOT_INTERNAL_H

#include <stdatomic.h>

#include "builder/snapshot/snapshot.h"

#define BOOT_ID_SIZE 64	/* a UUID, a newline, room */

struct builder_snapshots {	/* fixed once open, but for the counter */
	int dir;		/* ROOT/snapshots */
	int chains;		/* ROOT/snapshots/chain */
	char *path;		/* ROOT/snapshots, absolute */
	int work;		/* ROOT/work/PROCESS, locked */
	int works;		/* ROOT/work */
	char *work_name, *work_path;
	enum builder_snapshotter kind;
	bool keep_owner, keep_devices;
	char boot_id[BOOT_ID_SIZE];
	atomic_uint counter;
};

/* workdir.c: make and lock ROOT/work/PROCESS; remove what dead processes left. */
int snapshot_workdir_open(struct builder_snapshots *snapshots, int root, const char *root_path,
			  struct ib_err *err);
void snapshot_workdir_close(struct builder_snapshots *snapshots);
void snapshot_sweep(struct builder_snapshots *snapshots);

/* probe.c: what can be done here. kind is what was asked for. */
int snapshot_probe(struct builder_snapshots *snapshots, enum builder_snapshotter kind, struct ib_err *err);

/* The ID that chain's link names (caller's), if its directory is whole and of this boot; else NULL. */
char *snapshot_lookup(struct builder_snapshots *snapshots, const struct oci_chain_id *chain);

/* snapshot.c: as builder_snapshot_new(), with nothing taken over from a parent, which is set later. */
int snapshot_create(struct builder_snapshots *snapshots, struct builder_snapshot **ret_snapshot,
		    struct ib_err *err);
void snapshot_set_parent(struct builder_snapshot *snapshot, struct builder_snapshot *parent);

#endif
