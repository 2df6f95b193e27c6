/* vswitchc/carrier_choice: the order of passes, when better carriers are looked for, and how soon again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "vswitchc/carrier_choice.h"

#define UDP VS_CARRIER_UDP
#define FAKETCP VS_CARRIER_FAKETCP
#define TCP VS_CARRIER_TCP

#define BIT(kind) (1u << (kind))
#define AUTO (BIT(UDP) | BIT(FAKETCP) | BIT(TCP))
#define START (1000 * VS_SEC)

static struct vs_carrier_choice choice;

static void expect_passes(const enum vs_carrier_kind *kinds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(vs_carrier_choice_kind(&choice), kinds[i]);
		vs_carrier_choice_next(&choice);
	}
}

#define EXPECT_PASSES(...)                                                   \
	do {                                                                 \
		static const enum vs_carrier_kind kinds_[] = { __VA_ARGS__ }; \
		expect_passes(kinds_, VS_ARRAY_SIZE(kinds_));                 \
	} while (0)

/* One search: these kinds, in this order, and no more. */
static void expect_search(uint64_t now, const enum vs_carrier_kind *kinds, size_t n)
{
	enum vs_carrier_kind kind;
	for (size_t i = 0; i < n; i++) {
		assert_true(vs_carrier_choice_better(&choice, now, &kind));
		assert_int_equal(kind, kinds[i]);
	}
	assert_false(vs_carrier_choice_better(&choice, now, &kind));
}

#define EXPECT_SEARCH(now, ...)                                                \
	do {                                                                   \
		static const enum vs_carrier_kind kinds_[] = { __VA_ARGS__ };   \
		expect_search(now, kinds_, VS_ARRAY_SIZE(kinds_));              \
	} while (0)

static void test_order_of_passes(void **state)
{
	(void)state;
	vs_carrier_choice_init(&choice, AUTO);
	EXPECT_PASSES(UDP, UDP, FAKETCP, TCP, UDP, UDP, FAKETCP, TCP, UDP);
}

static void test_only_what_is_wanted(void **state)
{
	static const struct {
		unsigned wanted;
		enum vs_carrier_kind passes[4];
	} cases[] = {
		{ BIT(UDP), { UDP, UDP, UDP, UDP } },
		{ BIT(FAKETCP), { FAKETCP, FAKETCP, FAKETCP, FAKETCP } },
		{ BIT(TCP), { TCP, TCP, TCP, TCP } },
		{ BIT(UDP) | BIT(TCP), { UDP, UDP, TCP, UDP } },
		{ BIT(FAKETCP) | BIT(TCP), { FAKETCP, TCP, FAKETCP, TCP } },
	};
	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		vs_carrier_choice_init(&choice, cases[i].wanted);
		expect_passes(cases[i].passes, VS_ARRAY_SIZE(cases[i].passes));
	}
}

static void test_only_what_the_port_allows(void **state)
{
	(void)state;
	vs_carrier_choice_init(&choice, AUTO);
	assert_true(vs_carrier_choice_allow(&choice, BIT(TCP)));
	EXPECT_PASSES(TCP, TCP);
	assert_false(vs_carrier_choice_has(&choice, UDP));
	/* The port has been changed: now in the middle of a round. */
	assert_true(vs_carrier_choice_allow(&choice, BIT(UDP) | BIT(FAKETCP)));
	EXPECT_PASSES(UDP, UDP, FAKETCP, UDP);

	/* Who has none of them goes on asking by what he has: the port may change again. */
	vs_carrier_choice_init(&choice, BIT(UDP));
	assert_false(vs_carrier_choice_allow(&choice, BIT(TCP)));
	EXPECT_PASSES(UDP, UDP);
	assert_true(vs_carrier_choice_has(&choice, UDP));
}

static void test_what_the_host_cannot_do(void **state)
{
	(void)state;
	vs_carrier_choice_init(&choice, AUTO);
	EXPECT_PASSES(UDP, UDP);
	assert_int_equal(vs_carrier_choice_kind(&choice), FAKETCP);
	assert_true(vs_carrier_choice_give_up(&choice, FAKETCP));
	EXPECT_PASSES(TCP, UDP, UDP, TCP);
	/* The last one stays, whatever comes of it. */
	assert_true(vs_carrier_choice_give_up(&choice, TCP));
	assert_false(vs_carrier_choice_give_up(&choice, UDP));
	EXPECT_PASSES(UDP, UDP, UDP);

	/* Allowed was only what is now given up. */
	vs_carrier_choice_init(&choice, AUTO);
	assert_true(vs_carrier_choice_allow(&choice, BIT(FAKETCP)));
	assert_true(vs_carrier_choice_give_up(&choice, FAKETCP));
	EXPECT_PASSES(UDP, UDP, TCP);
}

static void test_a_broken_connection_is_made_again_first(void **state)
{
	(void)state;
	vs_carrier_choice_init(&choice, AUTO);
	vs_carrier_choice_connected(&choice, TCP, START);
	vs_carrier_choice_lost(&choice, VS_LOSS_BROKEN, START + VS_SEC);
	EXPECT_PASSES(TCP, UDP, UDP, FAKETCP, TCP, UDP);
	/* The best one is first anyway, and not three times. */
	vs_carrier_choice_connected(&choice, UDP, START);
	vs_carrier_choice_lost(&choice, VS_LOSS_BROKEN, START + VS_SEC);
	EXPECT_PASSES(UDP, UDP, FAKETCP);
	/* One that has become silent is no better than the others. */
	vs_carrier_choice_connected(&choice, TCP, START);
	vs_carrier_choice_lost(&choice, VS_LOSS_SILENT, START + VS_SEC);
	EXPECT_PASSES(UDP, UDP, FAKETCP, TCP);
	/* Nor is one that is not allowed any more. */
	vs_carrier_choice_connected(&choice, TCP, START);
	vs_carrier_choice_lost(&choice, VS_LOSS_BROKEN, START + VS_SEC);
	assert_true(vs_carrier_choice_allow(&choice, BIT(UDP)));
	EXPECT_PASSES(UDP, UDP, UDP);
}

static void test_a_mirage_is_not_followed(void **state)
{
	(void)state;
	vs_carrier_choice_init(&choice, AUTO);
	vs_carrier_choice_connected(&choice, UDP, START);
	vs_carrier_choice_lost(&choice, VS_LOSS_MIRAGE, START + VS_SEC);
	EXPECT_PASSES(FAKETCP, TCP, UDP, UDP, FAKETCP);
	/* After the worst one it is the best one's turn again. */
	vs_carrier_choice_connected(&choice, TCP, START);
	vs_carrier_choice_lost(&choice, VS_LOSS_MIRAGE, START + VS_SEC);
	EXPECT_PASSES(UDP, UDP, FAKETCP);
	/* Where there is no other, it has to do. */
	vs_carrier_choice_init(&choice, BIT(UDP));
	vs_carrier_choice_connected(&choice, UDP, START);
	vs_carrier_choice_lost(&choice, VS_LOSS_MIRAGE, START + VS_SEC);
	EXPECT_PASSES(UDP, UDP);
}

static void test_the_best_has_no_better(void **state)
{
	(void)state;
	vs_carrier_choice_init(&choice, AUTO);
	assert_int_equal(vs_carrier_choice_deadline(&choice), VS_NEVER);
	vs_carrier_choice_connected(&choice, UDP, START);
	assert_int_equal(vs_carrier_choice_deadline(&choice), VS_NEVER);
	/* The best of those there are. */
	vs_carrier_choice_init(&choice, BIT(FAKETCP) | BIT(TCP));
	vs_carrier_choice_connected(&choice, FAKETCP, START);
	assert_int_equal(vs_carrier_choice_deadline(&choice), VS_NEVER);
}

static void test_searches_become_rare(void **state)
{
	static const uint64_t seconds[] = { 10, 20, 40, 80, 160, 300, 300 };
	uint64_t now = START;
	(void)state;
	vs_carrier_choice_init(&choice, AUTO);
	vs_carrier_choice_connected(&choice, TCP, now);
	for (size_t i = 0; i < VS_ARRAY_SIZE(seconds); i++) {
		assert_int_equal(vs_carrier_choice_deadline(&choice), now + seconds[i] * VS_SEC);
		now = vs_carrier_choice_deadline(&choice);
		EXPECT_SEARCH(now, UDP, UDP, FAKETCP);
	}
	/* New keys of the same link change nothing about that. */
	uint64_t deadline = vs_carrier_choice_deadline(&choice);
	vs_carrier_choice_connected(&choice, TCP, now + VS_SEC);
	assert_int_equal(vs_carrier_choice_deadline(&choice), deadline);
}

static void test_a_search_starts_with_the_best(void **state)
{
	enum vs_carrier_kind kind;
	(void)state;
	vs_carrier_choice_init(&choice, AUTO);
	vs_carrier_choice_connected(&choice, TCP, START);
	assert_true(vs_carrier_choice_better(&choice, START, &kind));
	assert_true(vs_carrier_choice_better(&choice, START, &kind));
	assert_true(vs_carrier_choice_better(&choice, START, &kind));
	assert_int_equal(kind, FAKETCP);
	vs_carrier_choice_connected(&choice, FAKETCP, START);
	assert_int_equal(vs_carrier_choice_deadline(&choice), START + VS_CHOICE_BETTER_MIN);
	EXPECT_SEARCH(START, UDP, UDP);
}

/* On TCP; UDP is found, and lasts `lasts`; then TCP again. When is the next search? */
static uint64_t interval_after_return(uint64_t lasts)
{
	enum vs_carrier_kind kind;
	uint64_t now = START;
	vs_carrier_choice_init(&choice, BIT(UDP) | BIT(TCP));
	vs_carrier_choice_connected(&choice, TCP, now);
	now = vs_carrier_choice_deadline(&choice);
	assert_true(vs_carrier_choice_better(&choice, now, &kind));
	vs_carrier_choice_connected(&choice, UDP, now);
	assert_int_equal(vs_carrier_choice_deadline(&choice), VS_NEVER);
	now += lasts;
	vs_carrier_choice_lost(&choice, VS_LOSS_SILENT, now);
	vs_carrier_choice_connected(&choice, TCP, now);
	return vs_carrier_choice_deadline(&choice) - now;
}

static void test_a_return_that_does_not_last(void **state)
{
	(void)state;
	assert_int_equal(interval_after_return(VS_CHOICE_PROVEN - 1), 2 * VS_CHOICE_BETTER_MIN);
	assert_int_equal(interval_after_return(VS_CHOICE_PROVEN), VS_CHOICE_BETTER_MIN);
}

static void test_a_first_loss_costs_nothing(void **state)
{
	(void)state;
	/* Nobody has returned to anything yet. */
	vs_carrier_choice_init(&choice, AUTO);
	vs_carrier_choice_connected(&choice, UDP, START);
	vs_carrier_choice_lost(&choice, VS_LOSS_SILENT, START + VS_SEC);
	vs_carrier_choice_connected(&choice, TCP, START + 2 * VS_SEC);
	assert_int_equal(vs_carrier_choice_deadline(&choice), START + 2 * VS_SEC + VS_CHOICE_BETTER_MIN);
}

static void test_a_trial_that_fails(void **state)
{
	enum vs_carrier_kind kind;
	(void)state;
	vs_carrier_choice_init(&choice, AUTO);
	vs_carrier_choice_connected(&choice, TCP, START);
	assert_true(vs_carrier_choice_better(&choice, START, &kind));
	vs_carrier_choice_refuted(&choice, START);
	assert_int_equal(vs_carrier_choice_deadline(&choice), START + 2 * VS_CHOICE_BETTER_MIN);
	/* And the next search begins with the best again. */
	EXPECT_SEARCH(START, UDP, UDP, FAKETCP);
}

static void test_no_search_without_a_link(void **state)
{
	(void)state;
	vs_carrier_choice_init(&choice, AUTO);
	vs_carrier_choice_connected(&choice, TCP, START);
	vs_carrier_choice_lost(&choice, VS_LOSS_BROKEN, START + VS_SEC);
	assert_int_equal(vs_carrier_choice_deadline(&choice), VS_NEVER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_of_passes),
		cmocka_unit_test(test_only_what_is_wanted),
		cmocka_unit_test(test_only_what_the_port_allows),
		cmocka_unit_test(test_what_the_host_cannot_do),
		cmocka_unit_test(test_a_broken_connection_is_made_again_first),
		cmocka_unit_test(test_a_mirage_is_not_followed),
		cmocka_unit_test(test_the_best_has_no_better),
		cmocka_unit_test(test_searches_become_rare),
		cmocka_unit_test(test_a_search_starts_with_the_best),
		cmocka_unit_test(test_a_return_that_does_not_last),
		cmocka_unit_test(test_a_first_loss_costs_nothing),
		cmocka_unit_test(test_a_trial_that_fails),
		cmocka_unit_test(test_no_search_without_a_link),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
