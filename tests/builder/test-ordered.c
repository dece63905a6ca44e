#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "builder/exec/ordered.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

struct job {
	int number, result;
	bool fails;
};

struct owner {
	int taken[200], n_taken, n_dropped;
};

static int run(void *batch, struct ib_err *err)
{
	struct job *job = batch;
	volatile int work = 0;

	/* Early jobs take longer, so that threads finish out of order. */
	while (work < (200 - job->number) * 2000)
		work = work + 1;
	job->result = job->number * job->number;
	return job->fails ? ib_fail(err, IB_IO, "job %d", job->number) : 0;
}

static int take(void *ctx, void *batch, struct ib_err *err)
{
	struct owner *owner = ctx;
	struct job *job = batch;

	(void)err;
	assert_int_equal(job->result, job->number * job->number);
	owner->taken[owner->n_taken++] = job->number;
	free(job);
	return 0;
}

static void drop(void *ctx, void *batch)
{
	struct owner *owner = ctx;

	owner->n_dropped++;
	free(batch);
}

static const struct exec_ordered_ops ops = {run, take, drop};

static struct job *job_new(int number, bool fails)
{
	struct job *job = ib_new(struct job);

	job->number = number;
	job->fails = fails;
	return job;
}

static void batches_are_taken_in_the_order_of_submission(void **state)
{
	struct owner owner = {.n_taken = 0};
	struct exec_ordered *queue = exec_ordered_new(&ops, 3, &owner);
	ib_autoerr err = {0};

	(void)state;
	for (int i = 0; i < 150; i++)
		assert_int_equal(exec_ordered_submit(queue, job_new(i, false), &err), 0);
	assert_int_equal(exec_ordered_drain(queue, &err), 0);
	for (int i = 150; i < 200; i++)
		assert_int_equal(exec_ordered_submit(queue, job_new(i, false), &err), 0);
	assert_int_equal(exec_ordered_drain(queue, &err), 0);
	exec_ordered_free(queue);
	assert_int_equal(owner.n_taken, 200);
	for (int i = 0; i < 200; i++)
		assert_int_equal(owner.taken[i], i);
	assert_int_equal(owner.n_dropped, 0);
}

static void a_failure_is_that_of_the_first_batch_and_nothing_after_it_is_taken(void **state)
{
	struct owner owner = {.n_taken = 0};
	struct exec_ordered *queue = exec_ordered_new(&ops, 3, &owner);
	ib_autoerr err = {0};
	int submitted = 0, r = 0;

	(void)state;
	for (; submitted < 100 && r == 0; submitted++)
		r = exec_ordered_submit(queue, job_new(submitted, submitted == 40 || submitted == 41), &err);
	if (r == 0)
		r = exec_ordered_drain(queue, &err);
	exec_ordered_free(queue);
	assert_int_equal(r, -1);
	assert_string_equal(err.text, "job 40");
	assert_int_equal(owner.n_taken, 40);
	assert_int_equal(owner.n_dropped, submitted - 40);
}

static void a_single_batch_that_fails_is_told_when_drained(void **state)
{
	struct owner owner = {.n_taken = 0};
	struct exec_ordered *queue = exec_ordered_new(&ops, 1, &owner);
	ib_autoerr err = {0};

	(void)state;
	assert_int_equal(exec_ordered_submit(queue, job_new(7, true), &err), 0);
	assert_int_equal(exec_ordered_drain(queue, &err), -1);
	assert_string_equal(err.text, "job 7");
	exec_ordered_free(queue);
	assert_int_equal(owner.n_dropped, 1);
}

static void what_was_never_run_is_dropped(void **state)
{
	struct owner owner = {.n_taken = 0};
	struct exec_ordered *queue = exec_ordered_new(&ops, 2, &owner);
	ib_autoerr err = {0};

	(void)state;
	assert_int_equal(exec_ordered_submit(queue, job_new(1, false), &err), 0);
	exec_ordered_free(queue);
	assert_int_equal(owner.n_dropped, 1);
	assert_int_equal(owner.n_taken, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(batches_are_taken_in_the_order_of_submission),
		cmocka_unit_test(a_failure_is_that_of_the_first_batch_and_nothing_after_it_is_taken),
		cmocka_unit_test(a_single_batch_that_fails_is_told_when_drained),
		cmocka_unit_test(what_was_never_run_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
