/*
 * builder/snapshot/climber.h - standing in one directory of a tree that is written, going up and down in it.
 *
 * One descriptor serves any depth: ".." leads back, for nobody else moves directories here. A directory is
 * made with mode 0700, and gets its metadata when it is left, because writing to it changes its time and what
 * it will allow may not allow us to write.
 */
#ifndef BUILDER_SNAPSHOT_CLIMBER_H
#define BUILDER_SNAPSHOT_CLIMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "oci/base/err.h"

struct snapshot_climber {
	int fd;			/* the directory one stands in */
	bool keep_owner;
	struct stat *meta;	/* of the top and of each directory entered below it: what it will have */
	size_t depth, cap;	/* depth: directories entered */
};

/* Begin at top, of which a duplicate is kept; meta is what it gets in the end. */
int snapshot_climber_init(struct snapshot_climber *climber, int top, const struct stat *meta, bool keep_owner,
			  struct ib_err *err);
void snapshot_climber_done(struct snapshot_climber *climber);

/* Make the directory name and go into it. xattrs_from: -1, or an open directory whose attributes it gets. */
int snapshot_climber_down(struct snapshot_climber *climber, const char *name, const struct stat *meta,
			  int xattrs_from, struct ib_err *err);

/* Go up until depth directories are entered, finishing those left. */
int snapshot_climber_up(struct snapshot_climber *climber, size_t depth, struct ib_err *err);

/* Finish all, the top included. */
int snapshot_climber_finish(struct snapshot_climber *climber, struct ib_err *err);

#endif
