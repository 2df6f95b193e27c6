#include "link/rate_sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/compiler.h"

#define SIZE 1000u
#define COUNT 10u

struct burst {
	struct vs_rate_estimator e;
	struct vs_congestion_tx tx[COUNT];
	uint64_t sent[COUNT];
};

/* COUNT datagrams, `gap` apart, the first at `at`. */
static void send_burst(struct burst *b, uint64_t at, uint64_t gap)
{
	for (unsigned i = 0; i < COUNT; i++) {
		b->sent[i] = at + i * gap;
		vs_rate_sent(&b->e, b->sent[i], i * SIZE, &b->tx[i]);
	}
}

static void deliver(struct burst *b, unsigned i, uint64_t now)
{
	vs_rate_delivered(&b->e, now, SIZE, b->sent[i], &b->tx[i]);
}

static struct vs_rate_sample take(struct burst *b, uint64_t min_rtt)
{
	struct vs_rate_sample s;

	vs_rate_take(&b->e, min_rtt, &s);
	return s;
}

/* Sent at once, acknowledged 1 ms apart: the acknowledgements tell the rate. */
static void test_ack_rate_bounds(void **state)
{
	struct burst b;
	struct vs_rate_sample s = { 0 };

	(void)state;
	vs_rate_init(&b.e, 0);
	send_burst(&b, 100, 0);
	for (unsigned i = 0; i < COUNT; i++) {
		deliver(&b, i, 100 + 10000 + i * 1000);
		s = take(&b, 10000);
	}
	/* 10 datagrams in the 19 ms since the first was sent. */
	assert_int_equal(s.rate, COUNT * SIZE * VS_SEC / 19000);
	assert_int_equal(s.acked, SIZE);
	assert_false(s.app_limited);
	assert_int_equal(b.e.delivered, COUNT * SIZE);
}

/* A later window: steady state, one datagram a millisecond. */
static void test_steady_state_is_exact(void **state)
{
	enum { N = 100, RTT = 20 };
	struct vs_rate_estimator e;
	struct vs_congestion_tx tx[N];
	struct vs_rate_sample s = { 0 };

	(void)state;
	vs_rate_init(&e, 0);
	for (unsigned t = 0; t < N; t++) {
		if (t >= RTT) {
			vs_rate_delivered(&e, 1000 * t, SIZE, 1000 * (t - RTT), &tx[t - RTT]);
			vs_rate_take(&e, RTT * 1000, &s);
		}
		vs_rate_sent(&e, 1000 * t, VS_MIN(t, (unsigned)RTT) * SIZE, &tx[t]);
	}
	assert_int_equal(s.rate, 1000 * SIZE);
	assert_true(s.prior_delivered > 0 && s.prior_delivered < e.delivered);
}

/* Sent 1 ms apart, acknowledged in one lump: the sending tells the rate. */
static void test_lump_does_not_inflate(void **state)
{
	struct burst b;

	(void)state;
	vs_rate_init(&b.e, 0);
	send_burst(&b, 100, 1000);
	for (unsigned i = 0; i < COUNT; i++)
		deliver(&b, i, 30100);
	struct vs_rate_sample s = take(&b, 10000);
	assert_int_equal(s.acked, COUNT * SIZE);
	assert_int_equal(s.rate, COUNT * SIZE * VS_SEC / 30000);
}

static void test_interval_below_min_rtt_is_invalid(void **state)
{
	struct burst b;

	(void)state;
	vs_rate_init(&b.e, 0);
	send_burst(&b, 100, 0);
	deliver(&b, 0, 100 + 5000);
	assert_int_equal(take(&b, 10000).rate, 0);
	deliver(&b, 1, 100 + 5000);
	assert_int_equal(take(&b, 5000).rate, 2 * SIZE * VS_SEC / 5000);
}

static void test_empty_batch(void **state)
{
	struct burst b;

	(void)state;
	vs_rate_init(&b.e, 0);
	struct vs_rate_sample s = take(&b, 0);
	assert_int_equal(s.rate, 0);
	assert_int_equal(s.acked, 0);
}

static void test_app_limited_until_delivered(void **state)
{
	struct burst b, c;

	(void)state;
	vs_rate_init(&b.e, 0);
	vs_rate_app_limited(&b.e, 0);
	assert_true(vs_rate_is_app_limited(&b.e));
	send_burst(&b, 100, 0);
	deliver(&b, 0, 10000);
	assert_true(take(&b, 0).app_limited);
	/* The limit was at what was in flight then (nothing): it is passed, but what was sent under it stays marked. */
	assert_false(vs_rate_is_app_limited(&b.e));
	deliver(&b, 1, 10001);
	assert_true(take(&b, 0).app_limited);

	c.e = b.e;
	send_burst(&c, 20000, 0);
	deliver(&c, 0, 30000);
	assert_false(take(&c, 0).app_limited);
}

static void test_silence_does_not_count(void **state)
{
	struct burst b;
	struct vs_rate_sample s;

	(void)state;
	vs_rate_init(&b.e, 0);
	send_burst(&b, 100, 0);
	for (unsigned i = 0; i < COUNT; i++)
		deliver(&b, i, 10100);
	take(&b, 0);
	send_burst(&b, 60 * VS_SEC, 0);
	for (unsigned i = 0; i < COUNT; i++)
		deliver(&b, i, 60 * VS_SEC + 10000);
	s = take(&b, 10000);
	assert_int_equal(s.rate, COUNT * SIZE * VS_SEC / 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ack_rate_bounds),
		cmocka_unit_test(test_steady_state_is_exact),
		cmocka_unit_test(test_lump_does_not_inflate),
		cmocka_unit_test(test_interval_below_min_rtt_is_invalid),
		cmocka_unit_test(test_empty_batch),
		cmocka_unit_test(test_app_limited_until_delivered),
		cmocka_unit_test(test_silence_does_not_count),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
