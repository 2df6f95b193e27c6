#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "link/fec_policy.h"

#define RTT (50 * VS_MSEC)
#define PERCENT(share_q16) ((share_q16) * 100.0 / 65536)

/* Reports of `judged` datagrams each, of which chance, evenly spread, has lost so many in a thousand. */
struct line {
	struct vs_fec_policy policy;
	uint64_t now;
	unsigned lost_milli;
	unsigned burst; /* index of the class of bursts */
	uint64_t queue_usec;
	unsigned owed;  /* thousandths of a datagram that are yet to be lost */
};

static void report(struct line *l, unsigned judged)
{
	struct vs_report_news news = { .judged = judged };
	l->owed += judged * l->lost_milli;
	news.lost = VS_MIN((uint64_t)(l->owed / 1000), news.judged);
	l->owed -= (unsigned)news.lost * 1000;
	news.loss_q16 = (uint32_t)(news.lost * 65536 / judged);
	if (news.lost)
		news.bursts[l->burst] = 1;
	l->now += 20 * VS_MSEC;
	vs_fec_policy_report(&l->policy, l->now, &news, l->queue_usec, RTT);
}

static void report_many(struct line *l, unsigned datagrams)
{
	for (unsigned i = 0; i < datagrams; i += 2)
		report(l, 2);
}

static double percent(const struct line *l)
{
	return PERCENT(vs_fec_policy_share(&l->policy, l->now));
}

static void test_shares(void **state)
{
	(void)state;
	static const struct {
		unsigned lost_milli, burst;
		double low, high; /* of the share, percent */
	} cases[] = {
		{ 0, 0, 0, 0 },     { 1, 0, 5, 26 },    { 5, 0, 13, 26 },   { 10, 0, 19, 28 },
		{ 20, 0, 27, 34 },  { 50, 0, 43, 50 },  { 100, 0, 62, 68 }, { 200, 0, 88, 92 },
		{ 50, 1, 61, 70 },  { 50, 2, 80, 92 },  { 20, 2, 51, 66 },
	};
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct line l = { .now = VS_SEC, .lost_milli = cases[i].lost_milli, .burst = cases[i].burst };
		report_many(&l, 4000);
		assert_true(percent(&l) >= cases[i].low && percent(&l) <= cases[i].high);
	}
}

static void test_first_loss_brings_parity_at_once(void **state)
{
	(void)state;
	struct line l = { .now = VS_SEC };
	report_many(&l, 2000);
	assert_true(percent(&l) == 0);
	l.owed = 1000;
	report(&l, 2);
	assert_true(percent(&l) > 15);
}

static void test_it_ends_when_nothing_is_lost(void **state)
{
	(void)state;
	struct line l = { .now = VS_SEC, .lost_milli = 50 };
	report_many(&l, 2000);
	uint64_t last = l.policy.lost_usec;
	l.lost_milli = l.owed = 0;
	while (l.now + 20 * VS_MSEC <= last + VS_FEC_HOLD) {
		report(&l, 2);
		assert_true(percent(&l) > 0);
	}
	report(&l, 2);
	assert_true(percent(&l) == 0);
	/* Time alone ends it as well: there may be no reports any more. */
	l.owed = 1000;
	report(&l, 2);
	assert_true(percent(&l) > 0);
	l.now += VS_FEC_HOLD + 1;
	assert_true(percent(&l) == 0);
}

static void test_congestion_adds_nothing(void **state)
{
	(void)state;
	struct line l = { .now = VS_SEC, .lost_milli = 100, .queue_usec = RTT };
	report_many(&l, 2000);
	assert_true(percent(&l) == 0);
	/* Nor where parity is sent already; it may become less, and ends if all loss is of that kind. */
	l.queue_usec = 0;
	l.lost_milli = 10;
	report_many(&l, 2000);
	double before = percent(&l);
	assert_true(before > 0);
	l.queue_usec = RTT;
	l.lost_milli = 200;
	report_many(&l, 2000);
	assert_true(percent(&l) <= before);
	l.now += VS_FEC_HOLD;
	report_many(&l, 20);
	assert_true(percent(&l) == 0);
}

static void test_what_a_queue_is(void **state)
{
	(void)state;
	static const struct {
		uint64_t queue_usec, min_rtt_usec;
		bool congested;
	} cases[] = {
		{ 0, 0, false },
		{ 5 * VS_MSEC, 0, false },
		{ 5 * VS_MSEC + 1, 0, true },
		{ 5 * VS_MSEC + 1, 10 * VS_MSEC, true },
		{ 12500, RTT, false },
		{ 12501, RTT, true },
	};
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++)
		assert_int_equal(vs_fec_is_congested(cases[i].queue_usec, cases[i].min_rtt_usec), cases[i].congested);
}

/* What a peer says may be anything. */
static void test_extremes(void **state)
{
	(void)state;
	struct vs_fec_policy p = { 0 };
	struct vs_report_news news = { .judged = UINT32_MAX, .lost = UINT32_MAX, .loss_q16 = UINT32_MAX };
	memset(news.bursts, 0xff, sizeof(news.bursts));
	for (unsigned i = 0; i < 100; i++)
		vs_fec_policy_report(&p, 1 + i, &news, 0, 0);
	/* All lost, in the longest bursts: 2 * sqrt(25). */
	assert_true(PERCENT(vs_fec_policy_share(&p, 100)) <= 1000);
	assert_true(PERCENT(vs_fec_policy_share(&p, 100)) >= 200);
	news = (struct vs_report_news){ .lost = 3, .loss_q16 = 65536 };
	struct vs_fec_policy fresh = { 0 };
	vs_fec_policy_report(&fresh, 1, &news, 0, 0);
	assert_int_equal(vs_fec_policy_share(&fresh, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_first_loss_brings_parity_at_once),
		cmocka_unit_test(test_it_ends_when_nothing_is_lost),
		cmocka_unit_test(test_congestion_adds_nothing),
		cmocka_unit_test(test_what_a_queue_is),
		cmocka_unit_test(test_extremes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
