/*
 * oci/incompressible.h - data that deflate would work on in vain: archives, images, encrypted files.
 */
#ifndef OCI_INCOMPRESSIBLE_H
#define OCI_INCOMPRESSIBLE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Do samples all over these bytes look random? A guess that errs towards no; most data is told by its first
 * sample, in microseconds. It depends on the bytes alone, for layers do.
 */
bool block_is_incompressible(const void *bytes, size_t n);

#endif
