/*
 * oci/base/remove.h - removing trees that a stranger made.
 */
#ifndef OCI_BASE_REMOVE_H
#define OCI_BASE_REMOVE_H

#include "oci/base/err.h"

/*
 * Remove name below dir and all below it, however deep, without following links or crossing mounts.
 * A name that is not there is success. Directories without permission bits are opened up first.
 */
int ib_remove_tree(int dir, const char *name, struct ib_err *err);

#endif
