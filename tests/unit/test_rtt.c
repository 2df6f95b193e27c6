#include "link/rtt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/compiler.h"

static struct vs_rtt fresh(void)
{
	struct vs_rtt rtt;

	vs_rtt_init(&rtt, 0, 0);
	return rtt;
}

static void test_nothing_known(void **state)
{
	struct vs_rtt rtt = fresh();

	(void)state;
	assert_false(vs_rtt_known(&rtt));
	assert_int_equal(vs_rtt_min(&rtt), 0);
	assert_int_equal(vs_rtt_rto(&rtt), VS_RTO_INITIAL);
}

static void test_first_sample(void **state)
{
	struct vs_rtt rtt = fresh();

	(void)state;
	vs_rtt_sample(&rtt, 1000, 40000);
	assert_true(vs_rtt_known(&rtt));
	assert_int_equal(rtt.latest_usec, 40000);
	assert_int_equal(rtt.srtt_usec, 40000);
	assert_int_equal(rtt.rttvar_usec, 20000);
	assert_int_equal(vs_rtt_min(&rtt), 40000);
	assert_int_equal(vs_rtt_rto(&rtt), 40000 + 4 * 20000);
}

static void test_smoothing(void **state)
{
	struct vs_rtt rtt = fresh();

	(void)state;
	vs_rtt_sample(&rtt, 0, 80000);
	vs_rtt_sample(&rtt, 1, 160000);
	assert_int_equal(rtt.srtt_usec, 90000);
	/* |80000 - 160000| is above rttvar = 40000, so it rises at once by a quarter of the difference. */
	assert_int_equal(rtt.rttvar_usec, 50000);
}

/* A thousand equal samples within one round trip must not make the variance vanish; many round trips must. */
static void test_variance_decays_once_a_round_trip(void **state)
{
	struct vs_rtt rtt = fresh();

	(void)state;
	vs_rtt_sample(&rtt, 0, 100000);
	for (uint64_t t = 1; t < 1000; t++)
		vs_rtt_sample(&rtt, t * 99, 100000);
	assert_int_equal(rtt.rttvar_usec, 50000);
	vs_rtt_sample(&rtt, 100000, 100000);
	assert_int_equal(rtt.rttvar_usec, 37500);
	for (uint64_t t = 2; t < 100; t++)
		vs_rtt_sample(&rtt, t * 100000, 100000);
	assert_true(rtt.rttvar_usec < 100);
	assert_int_equal(vs_rtt_rto(&rtt), 100000 + VS_RTO_MIN_DEFAULT);
}

static void test_rto_bounds(void **state)
{
	static const struct {
		uint64_t min, max, sample, want;
	} cases[] = {
		{ 0, 0, 100, 100 + 30000 },           /* LAN: the floor on the variance term */
		{ 0, 0, 300000, 500000 },             /* the ceiling: 300 + 4 * 150 ms would be 900 */
		{ 0, 0, 600000, 630000 },             /* never below srtt + rto_min */
		{ 10000, 200000, 1000, 1000 + 10000 },
		{ 10000, 200000, 100000, 200000 },
	};

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct vs_rtt rtt;
		vs_rtt_init(&rtt, cases[i].min, cases[i].max);
		vs_rtt_sample(&rtt, 5, cases[i].sample);
		assert_int_equal(vs_rtt_rto(&rtt), cases[i].want);
	}
}

static void test_min_forgets_after_its_window(void **state)
{
	struct vs_rtt rtt = fresh();

	(void)state;
	vs_rtt_sample(&rtt, 0, 10000);
	for (uint64_t t = VS_SEC; t <= 10 * VS_SEC; t += 100 * VS_MSEC)
		vs_rtt_sample(&rtt, t, 30000);
	assert_int_equal(vs_rtt_min(&rtt), 10000);
	vs_rtt_sample(&rtt, 10 * VS_SEC + 1, 30000);
	assert_int_equal(vs_rtt_min(&rtt), 30000);
	vs_rtt_sample(&rtt, 11 * VS_SEC, 9000);
	assert_int_equal(vs_rtt_min(&rtt), 9000);
}

/* When the best expires, the answer is the best of what is younger, not just the newest. */
static void test_min_has_a_successor(void **state)
{
	struct vs_rtt rtt = fresh();

	(void)state;
	vs_rtt_sample(&rtt, 0, 10000);
	for (uint64_t t = 1; t <= 110; t++)
		vs_rtt_sample(&rtt, t * 100 * VS_MSEC, t == 60 ? 12000 : 50000);
	assert_int_equal(vs_rtt_min(&rtt), 12000);
}

static void test_odd_samples(void **state)
{
	struct vs_rtt rtt = fresh();

	(void)state;
	vs_rtt_sample(&rtt, 0, 61 * VS_SEC);
	assert_false(vs_rtt_known(&rtt));
	vs_rtt_sample(&rtt, 0, UINT64_MAX);
	assert_false(vs_rtt_known(&rtt));
	vs_rtt_sample(&rtt, 0, 0);
	assert_true(vs_rtt_known(&rtt));
	assert_int_equal(vs_rtt_min(&rtt), 1);
}

static void test_reset_keeps_bounds(void **state)
{
	struct vs_rtt rtt;

	(void)state;
	vs_rtt_init(&rtt, 10000, 200000);
	vs_rtt_sample(&rtt, 7, 50000);
	vs_rtt_reset(&rtt);
	assert_false(vs_rtt_known(&rtt));
	assert_int_equal(vs_rtt_min(&rtt), 0);
	assert_int_equal(rtt.rto_min_usec, 10000);
	assert_int_equal(rtt.rto_max_usec, 200000);
	assert_int_equal(vs_rtt_rto(&rtt), 200000);
}

static void test_minmax_tracks_a_true_maximum(void **state)
{
	struct vs_minmax m = { 0 };
	uint64_t values[400], x = 12345;

	(void)state;
	/* Against a plain search: never above the true maximum of the window (and a quarter), never below that of its
	 * youngest quarter. */
	for (uint64_t i = 0; i < VS_ARRAY_SIZE(values); i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		values[i] = (x >> 33) % 1000;
		uint64_t got = vs_minmax_max(&m, 40, i, values[i]);
		uint64_t high = 0, low = 0;
		for (uint64_t j = i > 40 ? i - 40 : 0; j <= i; j++) {
			high = VS_MAX(high, values[j]);
			if (j + 10 >= i)
				low = VS_MAX(low, values[j]);
		}
		assert_true(got <= high);
		assert_true(got >= low);
	}
	vs_minmax_reset(&m, 400, 5);
	assert_int_equal(vs_minmax_get(&m), 5);
	assert_int_equal(vs_minmax_max(&m, 40, 401, 4), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_known),
		cmocka_unit_test(test_first_sample),
		cmocka_unit_test(test_smoothing),
		cmocka_unit_test(test_variance_decays_once_a_round_trip),
		cmocka_unit_test(test_rto_bounds),
		cmocka_unit_test(test_min_forgets_after_its_window),
		cmocka_unit_test(test_min_has_a_successor),
		cmocka_unit_test(test_odd_samples),
		cmocka_unit_test(test_reset_keeps_bounds),
		cmocka_unit_test(test_minmax_tracks_a_true_maximum),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
