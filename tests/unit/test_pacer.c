#include "link/pacer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/compiler.h"

#define DATAGRAM 1400u
#define START UINT64_C(123456789)

/* Sends for `usec`, waking at the deadline rounded up to the timer's granularity; returns the bytes sent. */
static uint64_t send_with_timer(struct vs_pacer *p, uint64_t usec, uint64_t granularity)
{
	uint64_t now = START, bytes = 0;

	while (now < START + usec) {
		while (vs_pacer_ready(p, now)) {
			vs_pacer_sent(p, now, DATAGRAM);
			bytes += DATAGRAM;
		}
		uint64_t at = vs_pacer_deadline(p);
		assert_true(at > now);
		now = (at + granularity - 1) / granularity * granularity;
	}
	return bytes;
}

static void test_rate_is_kept_whatever_the_timer(void **state)
{
	static const uint64_t rates[] = { 12500, 125000, 1250000, 12500000, 125000000, 1250000000 };
	static const uint64_t timers[] = { 1, 50, 1000, 4000 };

	(void)state;
	for (size_t r = 0; r < VS_ARRAY_SIZE(rates); r++) {
		for (size_t t = 0; t < VS_ARRAY_SIZE(timers); t++) {
			struct vs_pacer p;
			uint64_t usec = rates[r] > 10000000 ? 200 * VS_MSEC : 10 * VS_SEC;
			uint64_t want = rates[r] * usec / VS_SEC;
			uint64_t burst = rates[r] * VS_PACER_LATE_USEC / VS_SEC + 4 * DATAGRAM;

			vs_pacer_init(&p, DATAGRAM, START);
			vs_pacer_set_rate(&p, START, rates[r]);
			uint64_t got = send_with_timer(&p, usec, timers[t]);
			assert_true(got <= want + burst);
			assert_true(got >= want - want / 50);
		}
	}
}

static void test_unpaced(void **state)
{
	struct vs_pacer p;

	(void)state;
	vs_pacer_init(&p, DATAGRAM, START);
	for (int i = 0; i < 10000; i++) {
		assert_true(vs_pacer_ready(&p, START));
		vs_pacer_sent(&p, START, 65000);
	}
	assert_true(vs_pacer_deadline(&p) <= START);
}

static uint64_t burst_at(struct vs_pacer *p, uint64_t now)
{
	uint64_t bytes = 0;

	while (vs_pacer_ready(p, now)) {
		vs_pacer_sent(p, now, DATAGRAM);
		bytes += DATAGRAM;
	}
	return bytes;
}

static void test_idle_earns_a_bounded_burst(void **state)
{
	struct vs_pacer p;

	(void)state;
	vs_pacer_init(&p, DATAGRAM, START);
	vs_pacer_set_rate(&p, START, 12500000);
	burst_at(&p, START);
	/* The sender has been told to wait, sends when it may, and then has nothing for an hour. */
	uint64_t now = vs_pacer_deadline(&p);
	assert_true(vs_pacer_ready(&p, now));
	vs_pacer_sent(&p, now, DATAGRAM);
	uint64_t bytes = burst_at(&p, now + 3600 * VS_SEC);
	assert_true(bytes >= 12500 + 2 * DATAGRAM);
	assert_true(bytes <= 12500 + 3 * DATAGRAM);
}

static void test_slow_line_gets_no_burst(void **state)
{
	struct vs_pacer p;

	(void)state;
	vs_pacer_init(&p, DATAGRAM, START);
	vs_pacer_set_rate(&p, START, 125000);
	assert_true(burst_at(&p, START + VS_SEC) <= 3 * DATAGRAM);
}

static void test_late_sender_catches_up_within_limit(void **state)
{
	struct vs_pacer p;

	(void)state;
	vs_pacer_init(&p, DATAGRAM, START);
	vs_pacer_set_rate(&p, START, 125000000);
	burst_at(&p, START);
	assert_true(vs_pacer_deadline(&p) <= START + 300);
	/* 3 ms late: all of it is made up for. 1 s late: only five milliseconds' worth. */
	assert_in_range(burst_at(&p, START + 3 * VS_MSEC), 375000 - 2 * DATAGRAM, 375000 + DATAGRAM);
	assert_in_range(burst_at(&p, START + VS_SEC), 625000 - 2 * DATAGRAM, 625000 + DATAGRAM);
}

/* A batch may overdraw the credit; the debt is then waited out. */
static void test_debt(void **state)
{
	struct vs_pacer p;

	(void)state;
	vs_pacer_init(&p, DATAGRAM, START);
	vs_pacer_set_rate(&p, START, 1000000);
	burst_at(&p, START);
	int64_t before = p.credit;
	vs_pacer_sent(&p, START, 64000);
	assert_int_equal(before - p.credit, INT64_C(64000) * 1000000);
	assert_false(vs_pacer_ready(&p, START + 63 * VS_MSEC));
	assert_true(vs_pacer_ready(&p, vs_pacer_deadline(&p)));
}

static void test_rate_change_limits_debt(void **state)
{
	struct vs_pacer p;

	(void)state;
	vs_pacer_init(&p, DATAGRAM, START);
	vs_pacer_set_rate(&p, START, 1000000000);
	vs_pacer_sent(&p, START, 10000000);
	vs_pacer_set_rate(&p, START, 10000);
	assert_true(vs_pacer_deadline(&p) <= START + VS_SEC + VS_PACER_BATCH_USEC + 1);
	vs_pacer_set_rate(&p, START, 0);
	assert_true(vs_pacer_ready(&p, START));
}

static void test_absurd_rate_does_not_overflow(void **state)
{
	struct vs_pacer p;

	(void)state;
	vs_pacer_init(&p, DATAGRAM, 0);
	vs_pacer_set_rate(&p, 0, UINT64_MAX);
	for (uint64_t now = 10 * VS_MSEC; now < UINT64_MAX / 16; now *= 8) {
		assert_true(vs_pacer_ready(&p, now));
		vs_pacer_sent(&p, now, UINT32_MAX);
		assert_true(vs_pacer_deadline(&p) != VS_NEVER);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rate_is_kept_whatever_the_timer),
		cmocka_unit_test(test_unpaced),
		cmocka_unit_test(test_idle_earns_a_bounded_burst),
		cmocka_unit_test(test_slow_line_gets_no_burst),
		cmocka_unit_test(test_late_sender_catches_up_within_limit),
		cmocka_unit_test(test_debt),
		cmocka_unit_test(test_rate_change_limits_debt),
		cmocka_unit_test(test_absurd_rate_does_not_overflow),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
