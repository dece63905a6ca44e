/*
 * tests/fuzz/fuzz.h - what a fuzz target defines. It aborts when what it checks does not hold.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* assert() that a release build keeps. */
static inline void fuzz_check(int holds)
{
	if (!holds)
		abort();
}

#endif
