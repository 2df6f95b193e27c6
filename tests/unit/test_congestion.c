#include "link/congestion.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "path_model.h"

#define MBIT(n) (UINT64_C(125000) * (n))
#define KIB(n) (UINT64_C(1024) * (n))
#define NONE_WINDOW ((uint64_t)UINT32_MAX)

static const struct path_config wan = { .rate = MBIT(100), .rtt_usec = 50000, .queue_bytes = KIB(1024) };

/* Share of the bottleneck that a flow got since the counts were cleared, in thousandths. */
static unsigned share(const struct path *p, unsigned flow, uint64_t usec)
{
	return (unsigned)(p->flow[flow].delivered * 1000 * VS_SEC / usec / p->config.rate);
}

static void settle(struct path *p, uint64_t usec)
{
	path_run(p, usec);
	path_clear_counts(p);
}

/* --- The contract, for every kind --------------------------------------------------------------------------------- */

static void test_kinds(void **state)
{
	static const struct {
		enum vs_congestion_kind kind;
		const char *name, *first_state;
		uint64_t first_window;
	} cases[] = {
		{ VS_CONGESTION_BBR, "bbr", "startup", 32 * 1200 },
		{ VS_CONGESTION_CUBIC, "cubic", "slow_start", 32 * 1200 },
		{ VS_CONGESTION_NONE, "none", "unlimited", NONE_WINDOW },
	};

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct vs_congestion *cc = vs_congestion_new(cases[i].kind, 1200, 0);
		assert_non_null(cc);
		assert_string_equal(vs_congestion_kind_name(cases[i].kind), cases[i].name);
		assert_string_equal(vs_congestion_state(cc), cases[i].first_state);
		assert_int_equal(vs_congestion_window(cc), cases[i].first_window);
		assert_int_equal(vs_congestion_rate(cc), 0);
		assert_int_equal(vs_congestion_bandwidth(cc), 0);
		vs_congestion_free(cc);
	}
	vs_congestion_free(NULL);
}

static void test_reset_forgets_the_path(void **state)
{
	static const enum vs_congestion_kind kinds[] = { VS_CONGESTION_BBR, VS_CONGESTION_CUBIC };

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(kinds); i++) {
		struct path p;
		path_init(&p, &wan);
		struct path_flow *f = path_add(&p, kinds[i], 0);
		path_run(&p, VS_SEC);
		assert_true(vs_congestion_bandwidth(f->cc) > MBIT(20));
		assert_true(vs_congestion_window(f->cc) > 100 * 1400);
		vs_congestion_reset(f->cc, 1300, p.now);
		assert_int_equal(vs_congestion_window(f->cc), 32 * 1300);
		assert_int_equal(vs_congestion_bandwidth(f->cc), 0);
		assert_int_equal(vs_congestion_rate(f->cc), 0);
		path_fini(&p);
	}
}

static void test_none_never_limits(void **state)
{
	struct vs_congestion *cc = vs_congestion_new(VS_CONGESTION_NONE, 1200, 0);

	(void)state;
	vs_congestion_lost(cc, 100, 1200, 50, 0);
	vs_congestion_unlost(cc, 100, 1200);
	vs_congestion_timeout(cc, 100);
	vs_congestion_lost_unasked(cc, 100, 1200, 50, false);
	assert_int_equal(vs_congestion_window(cc), NONE_WINDOW);
	assert_int_equal(vs_congestion_rate(cc), 0);
	vs_congestion_free(cc);
}

/* --- bbr, one flow ------------------------------------------------------------------------------------------------ */

static void test_bbr_fills_the_line_without_a_queue(void **state)
{
	static const struct {
		const char *name;
		struct path_config path;
		uint64_t settle_usec, usec;
		unsigned min_share;      /* thousandths */
		uint64_t max_queue_usec; /* mean that a ping would see */
	} cases[] = {
#define WAN(queue) { .rate = MBIT(100), .rtt_usec = 50000, .queue_bytes = KIB(queue) }
		{ "64 KB", WAN(64), 2 * VS_SEC, 3 * VS_SEC, 930, 5000 },
		{ "256 KB", WAN(256), 2 * VS_SEC, 3 * VS_SEC, 960, 5000 },
		{ "1 MB", WAN(1024), 2 * VS_SEC, 3 * VS_SEC, 960, 5000 },
		{ "4 MB", WAN(4096), 2 * VS_SEC, 3 * VS_SEC, 960, 5000 },
#undef WAN
		{ "slow", { .rate = MBIT(1), .rtt_usec = 50000, .queue_bytes = KIB(512) },
		  3 * VS_SEC, 20 * VS_SEC, 950, 15000 },
		{ "satellite", { .rate = MBIT(20), .rtt_usec = 600000, .queue_bytes = KIB(512) },
		  20 * VS_SEC, 20 * VS_SEC, 950, 60000 },
		{ "wifi", { .rate = MBIT(100), .rtt_usec = 5000, .queue_bytes = KIB(512), .lump_usec = 20000 },
		  VS_SEC, 2 * VS_SEC, 900, 5000 },
#define LAN .rate = MBIT(1000), .rtt_usec = 100, .queue_bytes = KIB(1024)
		{ "lan", { LAN, .jitter_usec = 500 }, 200 * VS_MSEC, 500 * VS_MSEC, 950, 1500 },
		{ "lan, coarse timer", { LAN, .jitter_usec = 500, .timer_usec = 1000 },
		  200 * VS_MSEC, 500 * VS_MSEC, 950, 1500 },
		{ "lan, lumps", { LAN, .lump_usec = 1000 }, 200 * VS_MSEC, 500 * VS_MSEC, 950, 1500 },
#undef LAN
	};

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct path p;
		path_init(&p, &cases[i].path);
		path_add(&p, VS_CONGESTION_BBR, 0);
		settle(&p, cases[i].settle_usec);
		path_run(&p, cases[i].usec);
		unsigned got = share(&p, 0, cases[i].usec);
		uint64_t queue = path_queue_mean_usec(&p);
		path_fini(&p);
		if (got < cases[i].min_share || queue > cases[i].max_queue_usec)
			fail_msg("%s: %u/1000, mean queue %lu us", cases[i].name, got, (unsigned long)queue);
	}
}

static void test_bbr_holds_the_line_under_random_loss(void **state)
{
	static const struct {
		double loss;
		uint64_t queue;
		unsigned min_share;
	} cases[] = {
		{ .01, KIB(1024), 950 }, { .05, KIB(1024), 950 }, { .10, KIB(1024), 950 }, { .10, KIB(64), 920 },
		{ .20, KIB(1024), 950 }, { .30, KIB(1024), 900 }, { .40, KIB(1024), 850 },
	};

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct path_config config = wan;
		struct path p;
		config.loss = cases[i].loss;
		config.queue_bytes = cases[i].queue;
		path_init(&p, &config);
		path_add(&p, VS_CONGESTION_BBR, 0);
		settle(&p, 4 * VS_SEC);
		path_run(&p, 3 * VS_SEC);
		unsigned got = share(&p, 0, 3 * VS_SEC);
		uint64_t queue = path_queue_mean_usec(&p);
		path_fini(&p);
		if (got < cases[i].min_share || queue > 12000)
			fail_msg("loss %.2f: %u/1000, mean queue %lu us", cases[i].loss, got, (unsigned long)queue);
	}
}

/* Jitter looks like delay, and beside it random loss looks like a full queue: neither says anything about the rate. */
static void test_bbr_holds_a_slow_line_under_loss_and_jitter(void **state)
{
	struct path_config config = { .rate = MBIT(1), .rtt_usec = 20000, .queue_bytes = KIB(64), .loss = .25,
				      .jitter_usec = 16000 };
	struct path p;

	(void)state;
	path_init(&p, &config);
	path_add(&p, VS_CONGESTION_BBR, 0);
	settle(&p, 10 * VS_SEC);
	path_run(&p, 20 * VS_SEC);
	unsigned got = share(&p, 0, 20 * VS_SEC);
	path_fini(&p);
	if (got < 700)
		fail_msg("%u/1000", got);
}

/* A token bucket loses what is above its rate and delays nothing: it must be met, not fought. */
static void test_bbr_yields_to_a_policer(void **state)
{
	static const uint64_t bursts[] = { 30000, 250000, 2000000 };

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(bursts); i++) {
		struct path_config config = wan;
		struct path p;
		config.policer_rate = MBIT(20);
		config.policer_burst = bursts[i];
		path_init(&p, &config);
		path_add(&p, VS_CONGESTION_BBR, 0);
		settle(&p, 4 * VS_SEC);
		path_run(&p, 4 * VS_SEC);
		unsigned got = share(&p, 0, 4 * VS_SEC);
		uint64_t lost = p.flow[0].lost * 1000 / p.flow[0].sent;
		path_fini(&p);
		if (got < 180 || lost > 120)
			fail_msg("case %zu: %u/1000, lost %lu/1000", i, got, (unsigned long)lost);
	}
}

static void test_bbr_startup(void **state)
{
	struct path_config config = wan;
	struct path p;

	(void)state;
	config.queue_bytes = KIB(16384);
	path_init(&p, &config);
	path_add(&p, VS_CONGESTION_BBR, 0);
	path_run(&p, VS_SEC);
	/* A bottomless queue: startup fills one round trip of it at most, and gives it back within the second. */
	assert_true(p.queue_usec_max < 75000);
	assert_true(path_queue_usec(&p) < 15000);
	assert_true(share(&p, 0, VS_SEC) > 700);
	assert_memory_equal(vs_congestion_state(p.flow[0].cc), "probe_bw", 8);
	path_fini(&p);
}

static void test_bbr_follows_the_rate(void **state)
{
	struct path_config config = wan;
	struct path p;

	(void)state;
	config.queue_bytes = KIB(4096);
	path_init(&p, &config);
	struct path_flow *f = path_add(&p, VS_CONGESTION_BBR, 0);
	path_run(&p, 2 * VS_SEC);
	path_set_rate(&p, MBIT(10));
	path_run(&p, 1500 * VS_MSEC);
	assert_true(path_queue_usec(&p) < 50000);
	assert_in_range(vs_congestion_bandwidth(f->cc), MBIT(8), MBIT(12));
	settle(&p, VS_SEC);
	path_run(&p, 2 * VS_SEC);
	assert_true(share(&p, 0, 2 * VS_SEC) > 950);
	path_set_rate(&p, MBIT(100));
	settle(&p, 2 * VS_SEC);
	path_run(&p, VS_SEC);
	assert_true(share(&p, 0, VS_SEC) > 900);
	path_fini(&p);
}

/* The path gets longer (50 to 80 ms): PROBE_RTT finds out, and costs under one percent of a minute. */
static void test_bbr_probe_rtt(void **state)
{
	struct path_config config = { .rate = MBIT(20), .rtt_usec = 50000, .queue_bytes = KIB(512) };
	struct path p;
	bool seen = false;

	(void)state;
	path_init(&p, &config);
	struct path_flow *f = path_add(&p, VS_CONGESTION_BBR, 0);
	settle(&p, 2 * VS_SEC);
	p.config.rtt_usec = 80000;
	for (int i = 0; i < 1200; i++) {
		path_run(&p, 50 * VS_MSEC);
		seen = seen || strcmp(vs_congestion_state(f->cc), "probe_rtt") == 0;
	}
	assert_true(seen);
	assert_true(share(&p, 0, 60 * VS_SEC) > 970);
	/* Twice the new product of bandwidth and delay. */
	assert_in_range(vs_congestion_window(f->cc), MBIT(20) * 150 / 1000, MBIT(20) * 190 / 1000);
	path_fini(&p);
}

/* A sender that offers a fifth of the line must not make its controller think that this is all there is. */
static void test_bbr_app_limited(void **state)
{
	struct path p;

	(void)state;
	path_init(&p, &wan);
	struct path_flow *f = path_add(&p, VS_CONGESTION_BBR, 0);
	path_run(&p, 2 * VS_SEC);
	f->app_rate = MBIT(20);
	f->app_next_usec = p.now;
	settle(&p, 15 * VS_SEC);
	assert_true(vs_congestion_bandwidth(f->cc) > MBIT(90));
	path_run(&p, VS_SEC);
	assert_in_range(share(&p, 0, VS_SEC), 190, 210);
	f->app_rate = 0;
	settle(&p, 100 * VS_MSEC);
	path_run(&p, VS_SEC);
	assert_true(share(&p, 0, VS_SEC) > 930);
	path_fini(&p);
}

static void test_timeout_and_recovery(void **state)
{
	static const enum vs_congestion_kind kinds[] = { VS_CONGESTION_BBR, VS_CONGESTION_CUBIC };

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(kinds); i++) {
		struct path p;
		path_init(&p, &wan);
		struct path_flow *f = path_add(&p, kinds[i], 0);
		settle(&p, 2 * VS_SEC);
		p.config.loss = 1.0;
		path_run(&p, 2 * VS_SEC);
		assert_true(f->timeouts > 0);
		assert_true(vs_congestion_window(f->cc) <= 10 * PATH_DATAGRAM);
		p.config.loss = 0;
		settle(&p, 1500 * VS_MSEC);
		path_run(&p, VS_SEC);
		assert_true(share(&p, 0, VS_SEC) > (kinds[i] == VS_CONGESTION_BBR ? 900u : 500u));
		path_fini(&p);
	}
}

/* --- Sharing ------------------------------------------------------------------------------------------------------ */

static void test_flows_share(void **state)
{
	static const struct {
		enum vs_congestion_kind a, b;
		uint64_t queue;
	} cases[] = {
		{ VS_CONGESTION_BBR, VS_CONGESTION_BBR, KIB(64) },
		{ VS_CONGESTION_BBR, VS_CONGESTION_BBR, KIB(256) },
		{ VS_CONGESTION_BBR, VS_CONGESTION_BBR, KIB(1024) },
		{ VS_CONGESTION_BBR, VS_CONGESTION_CUBIC, KIB(640) },
		{ VS_CONGESTION_CUBIC, VS_CONGESTION_BBR, KIB(640) },
		{ VS_CONGESTION_BBR, VS_CONGESTION_CUBIC, KIB(1280) },
		{ VS_CONGESTION_CUBIC, VS_CONGESTION_CUBIC, KIB(640) },
	};

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct path_config config = wan;
		struct path p;
		config.queue_bytes = cases[i].queue;
		path_init(&p, &config);
		path_add(&p, cases[i].a, 0);
		path_add(&p, cases[i].b, VS_SEC);
		settle(&p, 6 * VS_SEC);
		path_run(&p, 10 * VS_SEC);
		unsigned a = share(&p, 0, 10 * VS_SEC), b = share(&p, 1, 10 * VS_SEC);
		path_fini(&p);
		/* A fifth of the fair share of 500, and the line is used. */
		if (a < 100 || b < 100 || a + b < 900)
			fail_msg("case %zu: %u and %u of 1000", i, a, b);
	}
}

/* --- cubic -------------------------------------------------------------------------------------------------------- */

static void test_cubic_sawtooth(void **state)
{
	struct path_config config = { .rate = MBIT(20), .rtt_usec = 20000, .queue_bytes = KIB(128) };
	struct path p;
	uint64_t low = UINT64_MAX, high = 0, before = 0;
	unsigned falls = 0;

	(void)state;
	path_init(&p, &config);
	struct path_flow *f = path_add(&p, VS_CONGESTION_CUBIC, 0);
	settle(&p, 10 * VS_SEC);
	for (int i = 0; i < 3000; i++) {
		path_run(&p, 10 * VS_MSEC);
		uint64_t w = vs_congestion_window(f->cc);
		if (w < before) {
			falls++;
			assert_in_range(w * 1000 / before, 690, 760);
		}
		low = VS_MIN(low, w);
		high = VS_MAX(high, w);
		before = w;
	}
	assert_in_range(falls, 3, 60);
	assert_in_range(low * 1000 / high, 600, 800);
	assert_true(share(&p, 0, 30 * VS_SEC) > 970);
	assert_string_equal(vs_congestion_state(f->cc), "avoidance");
	path_fini(&p);
}

/* HyStart++ leaves slow start before a queue of several round trips has built up, and without a loss. */
static void test_cubic_hystart(void **state)
{
	struct path_config config = wan;
	struct path p;

	(void)state;
	config.queue_bytes = KIB(4096);
	path_init(&p, &config);
	path_add(&p, VS_CONGESTION_CUBIC, 0);
	path_run(&p, VS_SEC);
	assert_int_equal(p.flow[0].lost, 0);
	assert_string_not_equal(vs_congestion_state(p.flow[0].cc), "slow_start");
	path_fini(&p);
}

static struct vs_congestion *loaded_cubic(void)
{
	struct vs_congestion *cc = vs_congestion_new(VS_CONGESTION_CUBIC, 1000, 0);
	struct vs_congestion_tx tx[32];
	struct vs_congestion_ack ack = { .rtt_usec = 10000, .min_rtt_usec = 10000, .srtt_usec = 10000 };

	for (unsigned i = 0; i < 32; i++)
		vs_congestion_sent(cc, 1000, 1000, i * 1000, &tx[i]);
	for (unsigned i = 0; i < 32; i++)
		vs_congestion_delivered(cc, 11000, 1000, 1000, &tx[i]);
	vs_congestion_ack(cc, 11000, &ack);
	return cc;
}

static void test_cubic_reduces_once_a_round_and_undoes(void **state)
{
	struct vs_congestion *cc = loaded_cubic();

	(void)state;
	assert_int_equal(vs_congestion_window(cc), 64000);
	assert_int_equal(vs_congestion_rate(cc), 2 * 64000 * 100);
	vs_congestion_lost(cc, 30000, 1000, 20000, 60000);
	assert_int_equal(vs_congestion_window(cc), 44800);
	assert_int_equal(vs_congestion_rate(cc), 44800 * 100 * 5 / 4);
	vs_congestion_lost(cc, 30000, 1000, 20001, 59000);
	vs_congestion_lost(cc, 35000, 1000, 29999, 58000);
	assert_int_equal(vs_congestion_window(cc), 44800);
	/* All three turn out to be reordering. */
	vs_congestion_unlost(cc, 36000, 1000);
	vs_congestion_unlost(cc, 36000, 1000);
	assert_int_equal(vs_congestion_window(cc), 44800);
	vs_congestion_unlost(cc, 36000, 1000);
	assert_int_equal(vs_congestion_window(cc), 64000);
	assert_string_equal(vs_congestion_state(cc), "slow_start");
	vs_congestion_unlost(cc, 36000, 1000); /* one too many: no effect */
	assert_int_equal(vs_congestion_window(cc), 64000);
	/* Data sent after the reduction is another matter. */
	vs_congestion_lost(cc, 50000, 1000, 40000, 60000);
	assert_int_equal(vs_congestion_window(cc), 44800);
	vs_congestion_free(cc);
}

static void test_cubic_unused_window_does_not_grow(void **state)
{
	struct path p;

	(void)state;
	path_init(&p, &wan);
	struct path_flow *f = path_add(&p, VS_CONGESTION_CUBIC, 0);
	f->app_rate = MBIT(2);
	path_run(&p, 5 * VS_SEC);
	assert_int_equal(vs_congestion_window(f->cc), 32 * PATH_DATAGRAM);
	path_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_reset_forgets_the_path),
		cmocka_unit_test(test_none_never_limits),
		cmocka_unit_test(test_bbr_fills_the_line_without_a_queue),
		cmocka_unit_test(test_bbr_holds_the_line_under_random_loss),
		cmocka_unit_test(test_bbr_holds_a_slow_line_under_loss_and_jitter),
		cmocka_unit_test(test_bbr_yields_to_a_policer),
		cmocka_unit_test(test_bbr_startup),
		cmocka_unit_test(test_bbr_follows_the_rate),
		cmocka_unit_test(test_bbr_probe_rtt),
		cmocka_unit_test(test_bbr_app_limited),
		cmocka_unit_test(test_timeout_and_recovery),
		cmocka_unit_test(test_flows_share),
		cmocka_unit_test(test_cubic_sawtooth),
		cmocka_unit_test(test_cubic_hystart),
		cmocka_unit_test(test_cubic_reduces_once_a_round_and_undoes),
		cmocka_unit_test(test_cubic_unused_window_does_not_grow),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
