/*
 * builder/context/pattern-class.h - "[a-z]" in patterns.
 */
#ifndef BUILDER_CONTEXT_PATTERN_CLASS_H
#define BUILDER_CONTEXT_PATTERN_CLASS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The class whose '[' is at p: what follows its ']', or NULL when it is malformed. *ret_match: is rune in it?
 */
const char *pattern_class(const char *p, uint32_t rune, bool *ret_match);

#endif
