/* bench/histogram: percentiles, exact where values are small and within a bucket's width where they are not. */
#include "bench/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_empty(void **state)
{
	struct histogram h = { 0 };
	(void)state;
	assert_int_equal(histogram_percentile(&h, 500), 0);
}

static void test_small_values_are_exact(void **state)
{
	struct histogram h = { 0 };
	(void)state;
	for (uint64_t usec = 1; usec <= 100; usec++)
		histogram_add(&h, usec);
	assert_int_equal(h.count, 100);
	assert_int_equal(h.max, 100);
	assert_int_equal(histogram_percentile(&h, 10), 1);
	assert_int_equal(histogram_percentile(&h, 500), 50);
	assert_int_equal(histogram_percentile(&h, 990), 99);
	assert_int_equal(histogram_percentile(&h, 1000), 100);
}

/* Of many sizes: a value alone in the histogram is told with an error of at most a bucket, and never above itself. */
static void test_relative_error(void **state)
{
	(void)state;
	for (uint64_t usec = 1; usec < UINT64_C(1) << 31; usec = usec * 21 / 20 + 1) {
		struct histogram h = { 0 };
		histogram_add(&h, usec);
		histogram_add(&h, UINT32_MAX);
		uint64_t told = histogram_percentile(&h, 500);
		assert_true(told >= usec);
		assert_true((told - usec) * 64 <= usec);
	}
}

static void test_percentiles_never_exceed_the_largest(void **state)
{
	struct histogram h = { 0 };
	(void)state;
	for (int i = 0; i < 10; i++)
		histogram_add(&h, 1000001);
	assert_int_equal(histogram_percentile(&h, 500), 1000001);
	assert_int_equal(histogram_percentile(&h, 999), 1000001);
}

static void test_beyond_the_last_octave(void **state)
{
	struct histogram h = { 0 };
	(void)state;
	histogram_add(&h, UINT64_MAX);
	assert_int_equal(h.max, UINT64_MAX);
	assert_true(histogram_percentile(&h, 500) >= UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_small_values_are_exact),
		cmocka_unit_test(test_relative_error),
		cmocka_unit_test(test_percentiles_never_exceed_the_largest),
		cmocka_unit_test(test_beyond_the_last_octave),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
