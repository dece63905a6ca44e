/*
 * oci/diff-links.h - which recorded file has which inode, so that its later names become links to it.
 */
#ifndef OCI_DIFF_LINKS_H
#define OCI_DIFF_LINKS_H

#include <sys/stat.h>

#include "oci/base/cleanup.h"

struct diff_links;
struct diff_links *diff_links_new(void);
void diff_links_free(struct diff_links *links);
IB_DEFINE_FREE(diff_links);

/*
 * The name under which the file of st was recorded first, borrowed until the next call; or NULL, and then
 * path is remembered as that name. To be called for each name that is recorded. A file is forgotten when
 * all its links were seen; at most DIFF_LINKS_MAX are remembered, later ones stay separate files.
 */
const char *diff_links_seen(struct diff_links *links, const struct stat *st, const char *path);

#define DIFF_LINKS_MAX (1u << 17)	/* some 25 MiB of names: a large Conda tree links 50,000 */

#endif
