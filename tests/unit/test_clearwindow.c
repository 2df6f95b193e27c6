#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "link/clearwindow.h"

#define FAR VS_CLEAR_AHEAD

static void test_nothing_before_a_seal(void **state)
{
	static struct vs_clearwindow w;

	(void)state;
	vs_clearwindow_init(&w);
	assert_int_equal(vs_clearwindow_note(&w, 0), VS_CLEAR_TOO_FAR);
	assert_int_equal(vs_clearwindow_note(&w, 1), VS_CLEAR_TOO_FAR);
	vs_clearwindow_sealed(&w, 0);
	assert_int_equal(vs_clearwindow_note(&w, 1), VS_CLEAR_NEW);
	assert_int_equal(vs_clearwindow_note(&w, 1), VS_CLEAR_SEEN);
}

static void test_edges(void **state)
{
	static const struct {
		uint64_t sealed, counter;
		enum vs_clear_verdict verdict;
	} cases[] = {
		{100, 100 + FAR, VS_CLEAR_NEW},
		{100, 101 + FAR, VS_CLEAR_TOO_FAR},
		{100, UINT64_MAX, VS_CLEAR_TOO_FAR},
		{100, 0, VS_CLEAR_NEW},
		{5000, 5001 - VS_REPLAY_WINDOW, VS_CLEAR_NEW},
		{5000, 5000 - VS_REPLAY_WINDOW, VS_CLEAR_SEEN},
		{UINT64_C(1) << 60, (UINT64_C(1) << 60) + FAR, VS_CLEAR_NEW},
		{VS_REJECT_AFTER_DATAGRAMS - 1, VS_REJECT_AFTER_DATAGRAMS - 2, VS_CLEAR_NEW},
	};
	static struct vs_clearwindow w;

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		vs_clearwindow_init(&w);
		vs_clearwindow_sealed(&w, cases[i].sealed);
		assert_int_equal(vs_clearwindow_note(&w, cases[i].counter), cases[i].verdict);
		if (cases[i].verdict == VS_CLEAR_NEW)
			assert_int_equal(vs_clearwindow_note(&w, cases[i].counter), VS_CLEAR_SEEN);
	}
}

/* An invented counter, however far ahead, takes the place of its own genuine datagram and of no other. */
static void test_a_forged_counter_shuts_nobody_out(void **state)
{
	static struct vs_clearwindow w;

	(void)state;
	vs_clearwindow_init(&w);
	vs_clearwindow_sealed(&w, 0);
	assert_int_equal(vs_clearwindow_note(&w, FAR), VS_CLEAR_NEW);
	for (uint64_t c = 1; c < FAR; c++)
		assert_int_equal(vs_clearwindow_note(&w, c), VS_CLEAR_NEW);
	assert_int_equal(vs_clearwindow_note(&w, FAR), VS_CLEAR_SEEN);
}

static void test_next(void **state)
{
	static struct vs_clearwindow w;

	(void)state;
	vs_clearwindow_init(&w);
	vs_clearwindow_sealed(&w, 10);
	assert_int_equal(vs_clearwindow_next(&w, 11, 500), 500);
	assert_int_equal(vs_clearwindow_note(&w, 12), VS_CLEAR_NEW);
	assert_int_equal(vs_clearwindow_note(&w, 300), VS_CLEAR_NEW);
	assert_int_equal(vs_clearwindow_next(&w, 11, 500), 12);
	assert_int_equal(vs_clearwindow_next(&w, 13, 500), 300);
	assert_int_equal(vs_clearwindow_next(&w, 13, 200), 200);
	assert_int_equal(vs_clearwindow_next(&w, 301, 500), 500);
	assert_int_equal(vs_clearwindow_next(&w, 500, 500), 500);
	assert_int_equal(vs_clearwindow_next(&w, 700, 500), 500);
}

/* Against a model that remembers every counter, over more than one round of the ring. */
static void test_model(void **state)
{
	enum { COUNTERS = 64 * VS_CLEARWINDOW_BITS };
	static struct vs_clearwindow w;
	static bool seen[COUNTERS];
	uint64_t sealed = 0;
	uint32_t seed = 1;

	(void)state;
	vs_clearwindow_init(&w);
	vs_clearwindow_sealed(&w, 0);
	for (int i = 0; i < 2000000; i++) {
		seed = seed * 1664525 + 1013904223;
		uint32_t r = seed >> 8;
		if (r % 16 == 0) {
			sealed += r / 16 % (r % 8192 == 0 ? 5 * VS_CLEARWINDOW_BITS : 100);
			vs_clearwindow_sealed(&w, sealed);
			continue;
		}
		uint64_t back = r / 16 % (FAR + VS_REPLAY_WINDOW + 20);
		if (back > sealed + FAR + 10)
			continue;
		uint64_t counter = sealed + FAR + 10 - back;
		if (counter >= COUNTERS)
			break;
		enum vs_clear_verdict want = VS_CLEAR_NEW;
		if (counter > sealed + FAR)
			want = VS_CLEAR_TOO_FAR;
		else if (counter + VS_REPLAY_WINDOW <= sealed || seen[counter])
			want = VS_CLEAR_SEEN;
		assert_int_equal(vs_clearwindow_note(&w, counter), want);
		seen[counter] |= want == VS_CLEAR_NEW;
	}
	assert_true(sealed > 2 * VS_CLEARWINDOW_BITS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_before_a_seal),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_a_forged_counter_shuts_nobody_out),
		cmocka_unit_test(test_next),
		cmocka_unit_test(test_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
