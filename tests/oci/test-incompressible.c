#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "oci/base/alloc.h"
#include "oci/base/cleanup.h"
#include "oci/incompressible.h"

#include "oci/base/poison.h"

#define N (1u << 20)

/* High bytes of Knuth's MMIX generator. */
static uint8_t *random_bytes(size_t n)
{
	uint8_t *p = ib_malloc(n);
	uint64_t x = 42;

	for (size_t i = 0; i < n; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		p[i] = (uint8_t)(x >> 56);
	}
	return p;
}

static void random_bytes_are_incompressible(void **state)
{
	ib_autofree uint8_t *p = random_bytes(N);

	(void)state;
	assert_true(block_is_incompressible(p, N));
	assert_true(block_is_incompressible(p, N / 2 + 7));
}

static void a_compressible_part_is_noticed(void **state)
{
	ib_autofree uint8_t *p = random_bytes(N);

	(void)state;
	memset(p + N / 2, 'x', N / 8);
	assert_false(block_is_incompressible(p, N));
}

static void evenly_spread_patterns_are_compressible(void **state)
{
	ib_autofree uint8_t *p = ib_malloc(N);

	(void)state;
	for (size_t i = 0; i < N; i++)
		p[i] = (uint8_t)i;
	assert_false(block_is_incompressible(p, N));
	for (size_t i = 0; i < N; i++)	/* a permutation of 256 bytes, over and over */
		p[i] = (uint8_t)(i * 167 + 13);
	assert_false(block_is_incompressible(p, N));
}

static void floating_point_numbers_are_compressible(void **state)
{
	ib_autofree uint8_t *random = random_bytes(N);
	ib_autofree float *p = ib_malloc(N);

	(void)state;
	/* About a normal distribution, as weights have: the mean of four bytes each. */
	for (size_t i = 0; i < N / sizeof *p; i++)
		p[i] = (float)(random[4 * i] + random[4 * i + 1] + random[4 * i + 2] - 383) *
		       (1.0f + (float)random[4 * i + 3] / 1000.0f) / 1e4f;
	assert_false(block_is_incompressible(p, N));
}

static void little_is_not_worth_asking(void **state)
{
	ib_autofree uint8_t *p = random_bytes(N);

	(void)state;
	assert_false(block_is_incompressible(p, 0));
	assert_false(block_is_incompressible(p, 65535));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_bytes_are_incompressible),
		cmocka_unit_test(a_compressible_part_is_noticed),
		cmocka_unit_test(evenly_spread_patterns_are_compressible),
		cmocka_unit_test(floating_point_numbers_are_compressible),
		cmocka_unit_test(little_is_not_worth_asking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
