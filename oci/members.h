/*
 * oci/members.h - the names of an archive and what stands behind them. For the importers.
 */
#ifndef OCI_MEMBERS_H
#define OCI_MEMBERS_H

#include <stdbool.h>

#include "oci/digest.h"

#define OCI_MEMBERS_MAX 16384			/* entries; a layer of an old docker-archive has three */
#define OCI_MEMBERS_MAX_NAMES (4u << 20)	/* bytes of their names together */

struct oci_members;
struct oci_members *oci_members_new(void);
void oci_members_free(struct oci_members *members);
IB_DEFINE_FREE(oci_members);

/*
 * The plain form of an archive's path, "a/b": the caller's. NULL for what leaves the archive: absolute
 * paths, and ".." unless inside, where it is applied (links do that). from is the path of the link whose
 * target it is, relative to whose directory it counts; or NULL.
 */
char *oci_members_clean(const char *path, const char *from);

/* Add a file, or a link (target is clean). Of two entries of a name the later counts. IB_LIMIT. */
int oci_members_add(struct oci_members *members, const char *name, const struct oci_digest *digest, int64_t size,
		    struct ib_err *err);
int oci_members_add_link(struct oci_members *members, const char *name, const char *target, struct ib_err *err);

/* Sort, after the last was added and before any is looked for. */
void oci_members_sort(struct oci_members *members);

/* The file of that name, through links; false when there is none. */
bool oci_members_find(const struct oci_members *members, const char *name, struct oci_digest *ret_digest,
		      int64_t *ret_size);

#endif
