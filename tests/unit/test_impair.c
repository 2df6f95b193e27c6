#include "emu/impair.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define START UINT64_C(5000000)

/* What a run of equal packets, one each `gap_usec`, met. */
struct run {
	unsigned packets, delivered, copies, bursts, overtaken;
	uint64_t delay_min, delay_max, delay_sum;
	uint64_t first_at, last_at;
};

static struct run run(struct vs_impair *imp, unsigned packets, size_t size, uint64_t gap_usec)
{
	struct run r = { .packets = packets, .delay_min = VS_NEVER };
	uint64_t latest = 0;
	bool losing = false;

	for (unsigned i = 0; i < packets; i++) {
		struct vs_impair_verdict v;
		uint64_t now = START + i * gap_usec;
		vs_impair_input(imp, now, size, &v);
		if (!v.copies) {
			r.bursts += !losing;
			losing = true;
			continue;
		}
		losing = false;
		uint64_t delay = v.at[0] - now;
		r.delivered++;
		r.copies += v.copies;
		r.overtaken += v.at[0] < latest;
		latest = VS_MAX(latest, v.at[0]);
		r.delay_min = VS_MIN(r.delay_min, delay);
		r.delay_max = VS_MAX(r.delay_max, delay);
		r.delay_sum += delay;
		r.first_at = r.first_at ? r.first_at : v.at[0];
		r.last_at = latest;
		for (unsigned c = 0; c < v.copies; c++)
			assert_true(v.at[c] >= now);
	}
	return r;
}

static struct run run_config(const struct vs_impair_config *config, unsigned packets, size_t size, uint64_t gap_usec)
{
	struct vs_impair *imp = vs_impair_new(config, 7);

	assert_non_null(imp);
	struct run r = run(imp, packets, size, gap_usec);
	vs_impair_free(imp);
	return r;
}

static void test_perfect_line(void **state)
{
	struct vs_impair_config config = { 0 };
	struct run r = run_config(&config, 1000, 1500, 10);

	(void)state;
	assert_int_equal(r.delivered, 1000);
	assert_int_equal(r.copies, 1000);
	assert_int_equal(r.delay_max, 0);
}

static void test_delay_and_jitter(void **state)
{
	static const struct {
		struct vs_impair_config config;
		uint64_t least, most;
		bool overtakes;
	} cases[] = {
		{ { .delay_usec = 25000 }, 25000, 25000, false },
		{ { .delay_usec = 25000, .jitter_usec = 5000, .jitter_reorders = true }, 20000, 30000, true },
		{ { .delay_usec = 25000, .jitter_usec = 5000 }, 20000, 30000, false },
		{ { .delay_usec = 25000, .jitter_usec = 3000, .jitter_normal = true, .jitter_reorders = true }, 7000, 43000, true },
		{ { .delay_usec = 1000, .jitter_usec = 5000, .jitter_reorders = true }, 0, 6000, true },
	};

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct run r = run_config(&cases[i].config, 20000, 1000, 100);
		assert_int_equal(r.delivered, 20000);
		assert_in_range(r.delay_min, cases[i].least, cases[i].most);
		assert_in_range(r.delay_max, cases[i].least, cases[i].most);
		assert_int_equal(r.overtaken > 0, cases[i].overtakes);
		/* The whole of the range is used. */
		assert_true(r.delay_max - r.delay_min >= cases[i].config.jitter_usec);
	}
}

static void test_normal_jitter_has_its_deviation(void **state)
{
	struct vs_impair_config config = {
		.delay_usec = 100000, .jitter_usec = 10000, .jitter_normal = true, .jitter_reorders = true,
	};
	struct vs_impair *imp = vs_impair_new(&config, 3);
	double sum = 0, squares = 0;
	const int n = 50000;

	(void)state;
	for (int i = 0; i < n; i++) {
		struct vs_impair_verdict v;
		vs_impair_input(imp, START, 100, &v);
		double off = (double)(v.at[0] - START) - 100000;
		sum += off;
		squares += off * off;
	}
	assert_true(sum / n > -300 && sum / n < 300);
	assert_true(squares / n > 0.97e8 && squares / n < 1.03e8);
	vs_impair_free(imp);
}

static void test_loss_rate_and_bursts(void **state)
{
	static const struct {
		double loss, burst;
	} cases[] = { { 0.01, 0 }, { 0.3, 1 }, { 0.05, 4 }, { 0.3, 10 }, { 0.6, 3 } };
	const unsigned n = 400000;

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		double p = cases[i].loss;
		struct vs_impair_config config = { .loss = p, .burst = cases[i].burst };
		struct run r = run_config(&config, n, 1000, 10);
		double got = (double)(n - r.delivered) / n, length = (double)(n - r.delivered) / r.bursts;
		/* Independent losses come in runs too, of 1 / (1 - p) on average. */
		double want = cases[i].burst > 1 ? cases[i].burst : 1 / (1 - p);
		assert_true(got > 0.95 * p && got < 1.05 * p);
		assert_true(length > 0.95 * want && length < 1.05 * want);
	}
}

static void test_certain_loss(void **state)
{
	static const double bursts[] = { 0, 8 };

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(bursts); i++) {
		struct vs_impair_config config = { .loss = 1, .burst = bursts[i] };
		assert_int_equal(run_config(&config, 1000, 100, 1).delivered, 0);
	}
}

static bool lose_each_third_large(void *arg, uint64_t index, uint64_t now, size_t size)
{
	unsigned *asked = arg;

	assert_int_equal(index, *asked);
	assert_true(now >= START);
	++*asked;
	return size > 500 && index % 3 == 2;
}

static void test_loss_rule(void **state)
{
	unsigned asked = 0;
	struct vs_impair_config config = { .rule = lose_each_third_large, .rule_arg = &asked };

	(void)state;
	assert_int_equal(run_config(&config, 300, 1000, 1).delivered, 200);
	asked = 0;
	assert_int_equal(run_config(&config, 300, 100, 1).delivered, 300);
	assert_int_equal(asked, 300);
}

static void test_duplicates(void **state)
{
	struct vs_impair_config config = { .delay_usec = 1000, .duplicate = 0.25 };
	struct run r = run_config(&config, 40000, 100, 10);

	(void)state;
	assert_int_equal(r.delivered, 40000);
	assert_in_range(r.copies, 49500, 50500);
}

static void test_reordering_holds_some_back(void **state)
{
	struct vs_impair_config config = { .delay_usec = 1000, .reorder = 0.1, .reorder_usec = 500 };
	struct vs_impair *imp = vs_impair_new(&config, 11);
	struct run r = run(imp, 10000, 100, 100);

	(void)state;
	assert_int_equal(r.delay_min, 1000);
	assert_int_equal(r.delay_max, 1500);
	assert_in_range(vs_impair_stats(imp)->held_back, 900, 1100);
	/* Those that follow a packet that was held back pass it: up to five a time. */
	assert_true(r.overtaken > 3000);
	vs_impair_free(imp);
}

static void test_rate_spaces_packets(void **state)
{
	/* 1250 bytes at 10 Mbit/s: one a millisecond. Sent in one go, with room for all. */
	struct vs_impair_config config = { .rate_bps = 10000000, .queue_bytes = 1250 * 100, .delay_usec = 5000 };
	struct run r = run_config(&config, 100, 1250, 0);

	(void)state;
	assert_int_equal(r.delivered, 100);
	assert_int_equal(r.first_at, START + 6000);
	assert_int_equal(r.last_at, START + 105000);
}

static void test_queue_drops_its_tail(void **state)
{
	static const struct {
		uint64_t rate, queue;
		unsigned taken; /* of a burst of packets of 1000 bytes */
	} cases[] = {
		{ 8000000, 10000, 10 }, { 8000000, 10999, 10 }, { 8000000, 500, 1 },
		{ 8000000, 0, 100 },   /* default: 100 ms at 1 MB/s */
		{ 80000, 0, 15 },      /* default: its minimum */
	};

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct vs_impair_config config = { .rate_bps = cases[i].rate, .queue_bytes = cases[i].queue };
		struct vs_impair *imp = vs_impair_new(&config, 1);
		struct run r = run(imp, 200, 1000, 0);
		const struct vs_impair_stats *stats = vs_impair_stats(imp);
		assert_int_equal(r.delivered, cases[i].taken);
		assert_int_equal(stats->fates[VS_IMPAIR_QUEUE_FULL], 200 - cases[i].taken);
		assert_int_equal(stats->queue_bytes_max, 1000 * cases[i].taken);
		vs_impair_free(imp);
	}
}

static void test_queue_drains(void **state)
{
	struct vs_impair_config config = { .rate_bps = 8000000, .queue_bytes = 4000 };
	struct vs_impair *imp = vs_impair_new(&config, 1);

	(void)state;
	run(imp, 4, 1000, 0);
	assert_int_equal(vs_impair_queue_bytes(imp, START), 4000);
	assert_int_equal(vs_impair_queue_usec(imp, START), 4000);
	assert_int_equal(vs_impair_queue_bytes(imp, START + 2500), 1500);
	assert_int_equal(vs_impair_queue_bytes(imp, START + 4000), 0);
	assert_int_equal(vs_impair_queue_bytes(imp, START + VS_SEC), 0);
	vs_impair_free(imp);
}

static void test_throughput_is_the_rate(void **state)
{
	/* Twice as much offered as goes. */
	struct vs_impair_config config = { .rate_bps = 1000000000 };
	struct run r = run_config(&config, 200000, 1250, 5);

	(void)state;
	assert_in_range(r.delivered, 100000, 111000);
	assert_in_range(r.last_at - START, (uint64_t)r.delivered * 10 - 10, (uint64_t)r.delivered * 10 + 10);
}

static void test_mtu(void **state)
{
	struct vs_impair_config config = { .mtu = 1280 };
	struct vs_impair *imp = vs_impair_new(&config, 1);
	struct vs_impair_verdict v;

	(void)state;
	vs_impair_input(imp, START, 1280, &v);
	assert_int_equal(v.fate, VS_IMPAIR_DELIVERED);
	vs_impair_input(imp, START, 1281, &v);
	assert_int_equal(v.fate, VS_IMPAIR_TOO_BIG);
	assert_int_equal(v.copies, 0);
	vs_impair_free(imp);
}

static void test_scheduled_changes(void **state)
{
	struct vs_impair_config config = { .mtu = 1500 };
	struct vs_impair *imp = vs_impair_new(&config, 1);

	(void)state;
	/* Not in the order in which they happen. */
	assert_int_equal(vs_impair_schedule(imp, START + 200, VS_IMPAIR_MTU, 1400), 0);
	assert_int_equal(vs_impair_schedule(imp, START + 100, VS_IMPAIR_MTU, 1280), 0);
	assert_int_equal(vs_impair_schedule(imp, START + 100, VS_IMPAIR_DELAY, 7), 0);
	assert_int_equal(vs_impair_schedule(imp, START + 100, VS_IMPAIR_DELAY, 8), 0);
	assert_int_equal(vs_impair_config(imp, START + 99)->mtu, 1500);
	assert_int_equal(vs_impair_config(imp, START + 100)->mtu, 1280);
	assert_int_equal(vs_impair_config(imp, START + 100)->delay_usec, 8);
	assert_int_equal(vs_impair_config(imp, START + 500)->mtu, 1400);
	vs_impair_free(imp);
}

static void test_outage(void **state)
{
	struct vs_impair_config config = { .delay_usec = 10 };
	struct vs_impair *imp = vs_impair_new(&config, 1);

	(void)state;
	assert_int_equal(vs_impair_outage(imp, START + 300, START + 500), 0);
	struct run r = run(imp, 1000, 100, 1);
	assert_int_equal(r.delivered, 800);
	assert_int_equal(r.bursts, 1);
	assert_int_equal(vs_impair_stats(imp)->fates[VS_IMPAIR_OUTAGE], 200);
	vs_impair_free(imp);
}

static void test_schedule_is_bounded(void **state)
{
	struct vs_impair_config config = { 0 };
	struct vs_impair *imp = vs_impair_new(&config, 1);

	(void)state;
	for (unsigned i = 0; i + 1 < VS_IMPAIR_CHANGES_MAX; i++)
		assert_int_equal(vs_impair_schedule(imp, START + i, VS_IMPAIR_MTU, i), 0);
	assert_int_equal(vs_impair_outage(imp, START, START + 1), -ENOSPC);
	assert_int_equal(vs_impair_schedule(imp, START, VS_IMPAIR_MTU, 1), 0);
	assert_int_equal(vs_impair_schedule(imp, START, VS_IMPAIR_MTU, 1), -ENOSPC);
	/* What has taken effect makes room. */
	vs_impair_config(imp, START);
	assert_int_equal(vs_impair_schedule(imp, START + 1, VS_IMPAIR_MTU, 1), 0);
	vs_impair_free(imp);
}

static void test_values_out_of_range(void **state)
{
	static const struct {
		enum vs_impair_field field;
		double value;
	} bad[] = {
		{ VS_IMPAIR_LOSS, 1.01 }, { VS_IMPAIR_LOSS, -0.1 }, { VS_IMPAIR_DUPLICATE, 2 }, { VS_IMPAIR_DELAY, -1 },
		{ VS_IMPAIR_DELAY, 1e10 }, { VS_IMPAIR_RATE, 1e13 }, { VS_IMPAIR_FIELDS, 0 }, { VS_IMPAIR_DOWN, 2 },
	};
	struct vs_impair_config config = { .mtu = 5 }, before = config;
	struct vs_impair *imp = vs_impair_new(&config, 1);

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(bad); i++) {
		assert_int_equal(vs_impair_config_set(&config, bad[i].field, bad[i].value), -ERANGE);
		assert_int_equal(vs_impair_schedule(imp, START, bad[i].field, bad[i].value), -ERANGE);
	}
	assert_memory_equal(&config, &before, sizeof(config));
	vs_impair_free(imp);
}

static void test_every_field_can_be_set(void **state)
{
	struct vs_impair_config config = { 0 };

	(void)state;
	for (int f = 0; f < VS_IMPAIR_FIELDS; f++) {
		struct vs_impair_config before = config;
		assert_int_equal(vs_impair_config_set(&config, (enum vs_impair_field)f, 1), 0);
		assert_memory_not_equal(&config, &before, sizeof(config));
	}
}

static void test_same_seed_same_line(void **state)
{
	struct vs_impair_config config = {
		.delay_usec = 20000, .jitter_usec = 5000, .loss = 0.1, .burst = 3, .duplicate = 0.05, .reorder = 0.05,
		.reorder_usec = 3000, .rate_bps = 50000000,
	};
	struct vs_impair *a = vs_impair_new(&config, 99), *b = vs_impair_new(&config, 99);
	struct vs_impair *other = vs_impair_new(&config, 100);
	unsigned differs = 0;

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		struct vs_impair_verdict va, vb, vo;
		vs_impair_input(a, START + i * 100, 900, &va);
		vs_impair_input(b, START + i * 100, 900, &vb);
		vs_impair_input(other, START + i * 100, 900, &vo);
		assert_memory_equal(&va, &vb, sizeof(va));
		differs += va.copies != vo.copies || va.at[0] != vo.at[0];
	}
	assert_true(differs > 1000);
	vs_impair_free(a);
	vs_impair_free(b);
	vs_impair_free(other);
}

static void test_counts_add_up(void **state)
{
	struct vs_impair_config config = { .loss = 0.2, .rate_bps = 8000000, .queue_bytes = 5000, .duplicate = 0.1 };
	struct vs_impair *imp = vs_impair_new(&config, 5);
	uint64_t sum = 0;

	(void)state;
	struct run r = run(imp, 3000, 1000, 700);
	const struct vs_impair_stats *s = vs_impair_stats(imp);
	for (int f = 0; f < VS_IMPAIR_FATES; f++)
		sum += s->fates[f];
	assert_int_equal(s->packets, 3000);
	assert_int_equal(s->bytes, 3000000);
	assert_int_equal(sum, 3000);
	assert_int_equal(s->fates[VS_IMPAIR_DELIVERED], r.delivered);
	assert_int_equal(s->bytes_delivered, r.delivered * 1000);
	assert_int_equal(r.copies, r.delivered + s->duplicated);
	assert_true(s->fates[VS_IMPAIR_QUEUE_FULL] > 0 && s->fates[VS_IMPAIR_LOST] > 0);
	vs_impair_free(imp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_perfect_line),
		cmocka_unit_test(test_delay_and_jitter),
		cmocka_unit_test(test_normal_jitter_has_its_deviation),
		cmocka_unit_test(test_loss_rate_and_bursts),
		cmocka_unit_test(test_certain_loss),
		cmocka_unit_test(test_loss_rule),
		cmocka_unit_test(test_duplicates),
		cmocka_unit_test(test_reordering_holds_some_back),
		cmocka_unit_test(test_rate_spaces_packets),
		cmocka_unit_test(test_queue_drops_its_tail),
		cmocka_unit_test(test_queue_drains),
		cmocka_unit_test(test_throughput_is_the_rate),
		cmocka_unit_test(test_mtu),
		cmocka_unit_test(test_scheduled_changes),
		cmocka_unit_test(test_outage),
		cmocka_unit_test(test_schedule_is_bounded),
		cmocka_unit_test(test_values_out_of_range),
		cmocka_unit_test(test_every_field_can_be_set),
		cmocka_unit_test(test_same_seed_same_line),
		cmocka_unit_test(test_counts_add_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
