#include "link/replay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "link/wire.h"

static bool accept(struct vs_replay *r, uint64_t counter)
{
	if (!vs_replay_check(r, counter))
		return false;
	vs_replay_commit(r, counter);
	return true;
}

static void test_sequences(void **state)
{
	/* Steps are run one after another over the same window. */
	static const struct {
		uint64_t counter;
		bool accepted;
	} steps[] = {
		{ 0, true },     { 0, false },
		{ 1, true },     { 1, false },
		{ 9, true },     { 8, true },
		{ 7, true },     { 7, false },
		{ VS_REPLAY_WINDOW, true },
		{ 2, true }, /* all but one of the window behind */
		{ 2, false },
		{ VS_REPLAY_WINDOW + 3, true },
		{ 3, false }, /* one too old */
		{ 4, true },
		{ 100 * VS_REPLAY_WINDOW, true }, /* all that was known is far behind */
		{ VS_REPLAY_WINDOW + 4, false },
		{ 99 * VS_REPLAY_WINDOW + 1, true },
		{ 99 * VS_REPLAY_WINDOW, false },
		{ VS_REJECT_AFTER_DATAGRAMS - 1, true },
		{ VS_REJECT_AFTER_DATAGRAMS - 1, false },
		{ VS_REJECT_AFTER_DATAGRAMS, false },
		{ UINT64_MAX, false },
		{ VS_REJECT_AFTER_DATAGRAMS - VS_REPLAY_WINDOW, true },
	};
	struct vs_replay r;

	(void)state;
	vs_replay_init(&r);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (accept(&r, steps[i].counter) != steps[i].accepted)
			fail_msg("step %zu: counter %llu", i, (unsigned long long)steps[i].counter);
}

static void test_check_changes_nothing(void **state)
{
	struct vs_replay r, before;

	(void)state;
	vs_replay_init(&r);
	vs_replay_commit(&r, 77);
	before = r;
	assert_true(vs_replay_check(&r, 1u << 20));
	assert_false(vs_replay_check(&r, 77));
	assert_memory_equal(&r, &before, sizeof(r));
}

static void test_window_is_exact_at_every_alignment(void **state)
{
	(void)state;
	for (uint64_t high = 3 * VS_REPLAY_WINDOW; high < 3 * VS_REPLAY_WINDOW + 130; high++) {
		struct vs_replay r;
		vs_replay_init(&r);
		vs_replay_commit(&r, high);
		assert_true(vs_replay_check(&r, high - VS_REPLAY_WINDOW + 1));
		assert_false(vs_replay_check(&r, high - VS_REPLAY_WINDOW));
	}
}

/* The naive model remembers every counter. */
#define MODEL_COUNTERS 200000

static void run_against_model(unsigned seed)
{
	bool *seen = calloc(MODEL_COUNTERS, sizeof(*seen));
	uint64_t highest = 0;
	bool any = false;
	struct vs_replay r;

	assert_non_null(seen);
	vs_replay_init(&r);
	srandom(seed);
	for (int i = 0; i < 40000; i++) {
		uint64_t counter = highest;
		switch (random() % 8) {
		case 0:
			counter += (uint64_t)(random() % (i % 500 == 0 ? 5000 : 70));
			break;
		case 1:
			counter -= (uint64_t)random() % (VS_MIN(highest, 2 * VS_REPLAY_WINDOW) + 1);
			break;
		default:
			counter += (uint64_t)(random() % 5);
			counter -= VS_MIN(counter, 2);
		}
		if (counter >= MODEL_COUNTERS)
			break;
		bool fresh = !seen[counter] && (!any || counter + VS_REPLAY_WINDOW > highest);
		assert_int_equal(accept(&r, counter), fresh);
		seen[counter] = true;
		any = true;
		highest = VS_MAX(highest, counter);
	}
	free(seen);
}

static void test_random_against_model(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++)
		run_against_model(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequences),
		cmocka_unit_test(test_check_changes_nothing),
		cmocka_unit_test(test_window_is_exact_at_every_alignment),
		cmocka_unit_test(test_random_against_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
