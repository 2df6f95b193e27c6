#include "link/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"

#define INTERVAL (10 * VS_MSEC)

/* Receives the counters from first to last, each of which is worth a report. */
static void receive(struct vs_report_rx *r, uint64_t first, uint64_t last, uint64_t now)
{
	for (uint64_t c = first; c <= last; c++)
		vs_report_rx_datagram(r, c, now, VS_REPORT_DENSE);
}

/* The report that is due at `now`. */
static struct vs_report take(struct vs_report_rx *r, uint64_t now)
{
	struct vs_report report;

	assert_true(vs_report_rx_output(r, 0x123456, now, &report));
	assert_int_equal(report.session, 0x123456);
	return report;
}

/* A report in which everything received so far has been judged: a dummy datagram follows, and two reports. */
static struct vs_report take_all(struct vs_report_rx *r, uint64_t now)
{
	receive(r, r->next, r->next, now);
	take(r, now + INTERVAL);
	receive(r, r->next, r->next, now + INTERVAL);
	return take(r, now + 2 * INTERVAL);
}

static void assert_equal(const struct vs_report *a, const struct vs_report *b)
{
	assert_int_equal(a->session, b->session);
	assert_int_equal(a->highest, b->highest);
	assert_int_equal(a->judged, b->judged);
	assert_int_equal(a->received, b->received);
	assert_int_equal(a->lost, b->lost);
	assert_memory_equal(a->bursts, b->bursts, sizeof(a->bursts));
	assert_int_equal(a->queue_usec, b->queue_usec);
	assert_int_equal(a->jitter_usec, b->jitter_usec);
	assert_int_equal(a->age_usec, b->age_usec);
}

static void test_encoding(void **state)
{
	const struct vs_report in = {
		.session = 0xabcdef,
		.highest = 0x0102030405060708,
		.judged = 0x0102030405060700,
		.received = 0x0102030405000000,
		.lost = 77,
		.bursts = { 1, 2, 3, 4, 5, UINT32_MAX },
		.queue_usec = 1000,
		.jitter_usec = VS_REPORT_UNKNOWN,
		.age_usec = 0x11223344,
	};
	static const uint8_t head[] = { 0, 0xab, 0xcd, 0xef, 1, 2, 3, 4, 5, 6, 7, 8 };
	uint8_t wire[VS_REPORT_SIZE + 5] = { 0 };
	struct vs_report out;

	(void)state;
	vs_report_encode(&in, wire);
	assert_memory_equal(wire, head, sizeof(head));
	/* What a later version appends is skipped; anything shorter is refused. */
	for (size_t len = 0; len < sizeof(wire); len++) {
		struct vs_view view = vs_view_of(wire, len);
		assert_int_equal(vs_report_decode(&view, &out), len >= VS_REPORT_SIZE);
		if (len >= VS_REPORT_SIZE)
			assert_equal(&in, &out);
	}
	wire[0] = 0xff; /* reserved */
	struct vs_view view = vs_view_of(wire, sizeof(wire));
	assert_true(vs_report_decode(&view, &out));
	assert_int_equal(out.session, 0xabcdef);
}

static void test_contradictions_are_refused(void **state)
{
	static const struct vs_report cases[] = {
		{ .highest = 10, .judged = 12 },
		{ .highest = 10, .judged = 5, .lost = 6 },
		{ .highest = 10, .received = 12 },
		{ .highest = UINT64_MAX },
	};

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		uint8_t wire[VS_REPORT_SIZE];
		struct vs_report out;
		vs_report_encode(&cases[i], wire);
		struct vs_view view = vs_view_of(wire, sizeof(wire));
		assert_false(vs_report_decode(&view, &out));
	}
}

static void test_when_reports_are_due(void **state)
{
	struct vs_report_rx r;
	struct vs_report report;

	(void)state;
	vs_report_rx_init(&r);
	assert_int_equal(vs_report_rx_deadline(&r), VS_NEVER);
	assert_false(vs_report_rx_output(&r, 0, VS_NEVER - 1, &report));
	vs_report_rx_datagram(&r, 0, 1000, 0); /* a report elicits nothing */
	assert_int_equal(vs_report_rx_deadline(&r), VS_NEVER);
	receive(&r, 1, 1, 2000);
	receive(&r, 2, 2, 5000);
	assert_int_equal(vs_report_rx_deadline(&r), 2000 + INTERVAL);
	assert_false(vs_report_rx_output(&r, 0, 1999 + INTERVAL, &report));
	report = take(&r, 2500 + INTERVAL);
	assert_int_equal(report.highest, 2);
	assert_int_equal(report.received, 3);
	assert_int_equal(report.age_usec, 2500 + INTERVAL - 5000);
	assert_int_equal(vs_report_rx_deadline(&r), VS_NEVER);

	/* Many bytes do not wait for longer than the interval. */
	vs_report_rx_set_rtt(&r, 200 * VS_MSEC);
	receive(&r, 3, 3, VS_SEC);
	assert_int_equal(vs_report_rx_deadline(&r), VS_SEC + 50 * VS_MSEC);
	take(&r, VS_SEC + 50 * VS_MSEC);
	vs_report_rx_set_rtt(&r, 4 * VS_MSEC);
	receive(&r, 4, 4, 2 * VS_SEC);
	assert_int_equal(vs_report_rx_deadline(&r), 2 * VS_SEC + INTERVAL);
}

/* A sparse stream costs four reports a second, and one that is slower than that one a datagram; but what is missing is
 * told of at once. */
static void test_few_bytes_wait(void **state)
{
	(void)state;
	static const struct {
		uint64_t srtt_usec, every_usec;
		size_t bytes;
		unsigned reports; /* in ten seconds */
	} cases[] = {
		{ 50 * VS_MSEC, 20 * VS_MSEC, 150, 38 },  { 50 * VS_MSEC, 500 * VS_MSEC, 150, 20 },
		{ 800 * VS_MSEC, 20 * VS_MSEC, 150, 18 }, { 50 * VS_MSEC, 20 * VS_MSEC, 1400, 167 },
		{ 50 * VS_MSEC, 1 * VS_MSEC, 1400, 770 }, { 1 * VS_MSEC, 1 * VS_MSEC, 1400, 1000 },
	};
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct vs_report_rx r;
		struct vs_report report;
		unsigned reports = 0;
		uint64_t counter = 0, next = VS_SEC;
		vs_report_rx_init(&r);
		vs_report_rx_set_rtt(&r, cases[i].srtt_usec);
		for (uint64_t now = VS_SEC; now < 11 * VS_SEC; now += 500) {
			if (now >= next) {
				vs_report_rx_datagram(&r, counter++, now, cases[i].bytes);
				next += cases[i].every_usec;
			}
			reports += vs_report_rx_output(&r, 1, now, &report);
		}
		print_message("%zu bytes every %u us: %u reports\n", cases[i].bytes, (unsigned)cases[i].every_usec,
			      reports);
		assert_in_range(reports, cases[i].reports * 9 / 10, cases[i].reports * 11 / 10);
	}
}

static void test_a_gap_hurries(void **state)
{
	struct vs_report_rx r;

	(void)state;
	vs_report_rx_init(&r);
	vs_report_rx_datagram(&r, 0, 0, 100);
	take(&r, INTERVAL);
	vs_report_rx_datagram(&r, 1, VS_SEC, 100);
	assert_int_equal(vs_report_rx_deadline(&r), VS_SEC + VS_REPORT_SPARSE_MIN);
	/* Also where what shows it asks for nothing itself: then with the next that does. */
	vs_report_rx_datagram(&r, 3, VS_SEC + 1000, 0);
	assert_int_equal(vs_report_rx_deadline(&r), VS_SEC + INTERVAL);
	take(&r, VS_SEC + INTERVAL);
	struct vs_report report = take(&r, VS_SEC + 2 * INTERVAL);
	assert_int_equal(report.lost, 1);
	assert_int_equal(vs_report_rx_deadline(&r), VS_NEVER);
	vs_report_rx_datagram(&r, 5, 2 * VS_SEC, 0);
	assert_int_equal(vs_report_rx_deadline(&r), VS_NEVER);
	vs_report_rx_datagram(&r, 6, 2 * VS_SEC, 100);
	assert_int_equal(vs_report_rx_deadline(&r), 2 * VS_SEC + INTERVAL);
}

static void test_a_gap_is_not_loss_at_once(void **state)
{
	struct vs_report_rx r;

	(void)state;
	vs_report_rx_init(&r);
	receive(&r, 0, 9, 0);
	receive(&r, 11, 20, 0);
	struct vs_report report = take(&r, INTERVAL);
	assert_int_equal(report.judged, 0);
	assert_int_equal(report.lost, 0);
	/* Nothing more comes, but one more report is owed. */
	assert_int_equal(vs_report_rx_deadline(&r), 2 * INTERVAL);
	report = take(&r, 2 * INTERVAL);
	assert_int_equal(report.judged, 21);
	assert_int_equal(report.lost, 1);
	assert_int_equal(vs_report_rx_deadline(&r), VS_NEVER);
}

static void test_reordering_is_not_loss(void **state)
{
	struct vs_report_rx r;

	(void)state;
	vs_report_rx_init(&r);
	receive(&r, 5, 9, 0);
	take(&r, INTERVAL);
	receive(&r, 0, 4, INTERVAL);
	struct vs_report report = take_all(&r, 2 * INTERVAL);
	assert_int_equal(report.lost, 0);
	for (int i = 0; i < VS_REPORT_BURSTS; i++)
		assert_int_equal(report.bursts[i], 0);
	assert_int_equal(report.received, report.highest + 1);
}

static void test_late_datagram_is_taken_off(void **state)
{
	struct vs_report_rx r;

	(void)state;
	vs_report_rx_init(&r);
	receive(&r, 1, 9, 0);
	struct vs_report report = take_all(&r, 0);
	assert_int_equal(report.lost, 1);
	receive(&r, 0, 0, 5 * INTERVAL);
	report = take_all(&r, 5 * INTERVAL);
	assert_int_equal(report.lost, 0);
}

/* Somebody can have used a counter before the peer, where nothing is sealed. It counts once, and nothing is lost
 * less. */
static void test_a_counter_counts_once(void **state)
{
	struct vs_report_rx r;

	(void)state;
	vs_report_rx_init(&r);
	receive(&r, 0, 9, 0);
	receive(&r, 5, 9, 0); /* not judged yet */
	struct vs_report report = take_all(&r, INTERVAL);
	assert_int_equal(report.received, 12);
	assert_int_equal(report.judged, 11);
	receive(&r, 0, 9, 5 * INTERVAL); /* judged */
	report = take_all(&r, 5 * INTERVAL);
	assert_int_equal(report.received, 14);
	assert_int_equal(report.highest, 13);
	assert_int_equal(report.lost, 0);
}

static void test_gap_is_judged_by_distance(void **state)
{
	struct vs_report_rx r;

	(void)state;
	vs_report_rx_init(&r);
	receive(&r, 1, VS_REPORT_REORDER - 1, 0);
	assert_int_equal(r.lost, 0);
	receive(&r, VS_REPORT_REORDER, VS_REPORT_REORDER, 0);
	assert_int_equal(r.lost, 1);
}

static void test_bursts(void **state)
{
	static const struct {
		uint64_t length;
		unsigned bin;
	} cases[] = {
		{ 1, 0 }, { 2, 1 },  { 3, 2 },  { 4, 2 },   { 5, 3 },
		{ 8, 3 }, { 9, 4 }, { 16, 4 }, { 17, 5 }, { 1000, 5 }, { UINT64_C(1) << 60, 5 },
	};

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct vs_report_rx r;
		vs_report_rx_init(&r);
		receive(&r, 0, 99, 0);
		receive(&r, 100 + cases[i].length, 110 + cases[i].length, 0);
		struct vs_report report = take_all(&r, 0);
		assert_int_equal(report.lost, cases[i].length);
		for (unsigned bin = 0; bin < VS_REPORT_BURSTS; bin++)
			assert_int_equal(report.bursts[bin], bin == cases[i].bin);
	}
}

/* A burst that spans two reports is one burst. */
static void test_burst_across_reports(void **state)
{
	struct vs_report_rx r;

	(void)state;
	vs_report_rx_init(&r);
	receive(&r, 0, 0, 0);
	take(&r, INTERVAL);
	receive(&r, 11, 11, INTERVAL);
	/* Judged up to within the burst, by distance. */
	receive(&r, 5 + VS_REPORT_REORDER, 5 + VS_REPORT_REORDER, INTERVAL);
	assert_int_equal(r.lost, 5);
	receive(&r, 12, 4 + VS_REPORT_REORDER, INTERVAL);
	take(&r, 2 * INTERVAL);
	struct vs_report report = take_all(&r, 2 * INTERVAL);
	assert_int_equal(report.lost, 10);
	assert_int_equal(report.bursts[4], 1);
	assert_int_equal(report.bursts[3], 0);
}

/* Totals against what was really lost, over random loss and reordering within the window. */
static void test_random_loss(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++) {
		struct vs_report_rx r;
		uint64_t lost = 0, now = 0, held = UINT64_MAX;
		vs_report_rx_init(&r);
		srandom(seed);
		for (uint64_t c = 0; c < 20000; c++, now += 100) {
			struct vs_report ignored;
			if (random() % 100 < 20)
				lost++;
			else if (held == UINT64_MAX && random() % 100 < 10)
				held = c;
			else
				receive(&r, c, c, now);
			if (held != UINT64_MAX && c - held > 30) {
				receive(&r, held, held, now);
				held = UINT64_MAX;
			}
			vs_report_rx_output(&r, 0, now, &ignored);
		}
		if (held != UINT64_MAX)
			receive(&r, held, held, now);
		receive(&r, 20000, 20000, now);
		struct vs_report report = take_all(&r, now + INTERVAL);
		assert_int_equal(report.lost, lost);
		assert_int_equal(report.received + report.lost, report.highest + 1);
	}
}

static void test_delay_and_jitter(void **state)
{
	struct vs_report_rx r;
	uint64_t now = VS_SEC;

	(void)state;
	vs_report_rx_init(&r);
	receive(&r, 0, 0, now);
	struct vs_report report = take(&r, now + INTERVAL);
	assert_int_equal(report.queue_usec, VS_REPORT_UNKNOWN);
	assert_int_equal(report.jitter_usec, VS_REPORT_UNKNOWN);

	/* The peer's clock is far from ours and wraps on the way. */
	uint32_t clock = UINT32_MAX - 500000;
	for (int i = 0; i < 200; i++, now += 1000)
		vs_report_rx_stamp(&r, clock += 1000, now);
	receive(&r, 1, 1, now);
	report = take(&r, now + INTERVAL);
	assert_int_equal(report.queue_usec, 0);
	assert_int_equal(report.jitter_usec, 0);
	/* A queue of 8 ms builds up and stays. */
	now += 8000;
	for (int i = 0; i < 500; i++, now += 1000)
		vs_report_rx_stamp(&r, clock += 1000, now);
	receive(&r, 2, 2, now);
	report = take(&r, now + INTERVAL);
	assert_in_range(report.queue_usec, 7900, 8100);
	assert_in_range(report.jitter_usec, 0, 10);
	/* Every other datagram is 2 ms later than its neighbours. */
	for (int i = 0; i < 500; i++, now += 1000)
		vs_report_rx_stamp(&r, clock += 1000, now + (i % 2 ? 2000 : 0));
	receive(&r, 3, 3, now);
	report = take(&r, now + INTERVAL);
	assert_in_range(report.jitter_usec, 1900, 2100);
	/* A route that is longer for good counts as the least once the minute is over. */
	for (int i = 0; i < 700; i++, now += 100 * VS_MSEC)
		vs_report_rx_stamp(&r, clock += 100 * VS_MSEC, now);
	receive(&r, 4, 4, now);
	report = take(&r, now + INTERVAL);
	assert_in_range(report.queue_usec, 0, 10);
}

/* Sends the counters from first to last, `gap` apart; returns the time after. */
static uint64_t send(struct vs_report_tx *t, uint64_t first, uint64_t last, uint64_t now, uint64_t gap)
{
	for (uint64_t c = first; c <= last; c++, now += gap)
		vs_report_tx_sent(t, c, now);
	return now;
}

static void test_evaluation(void **state)
{
	struct vs_report_tx t;
	struct vs_report_news news;
	struct vs_report report = { .highest = 99, .judged = 80, .received = 90, .lost = 8, .bursts = { 4, 2 } };

	(void)state;
	vs_report_tx_init(&t);
	assert_int_equal(vs_report_tx_input(&t, &report, 0, &news), VS_REPORT_BAD); /* nothing was sent */
	send(&t, 0, 199, 0, 1000);
	assert_int_equal(vs_report_tx_input(&t, &report, 200000, &news), VS_REPORT_NEW);
	assert_int_equal(news.judged, 80);
	assert_int_equal(news.lost, 8);
	assert_int_equal(news.loss_q16, 8 * 65536 / 80);
	assert_int_equal(news.bursts[0], 4);

	/* Only what is new counts, and what is old does not count at all. */
	struct vs_report later = { .highest = 199, .judged = 180, .received = 180, .lost = 33, .bursts = { 29, 2 } };
	assert_int_equal(vs_report_tx_input(&t, &later, 210000, &news), VS_REPORT_NEW);
	assert_int_equal(news.judged, 100);
	assert_int_equal(news.loss_q16, 65536 / 4);
	assert_int_equal(news.bursts[0], 25);
	assert_int_equal(vs_report_tx_input(&t, &report, 220000, &news), VS_REPORT_OLD);
	assert_int_equal(vs_report_tx_input(&t, &later, 220000, &news), VS_REPORT_NEW);
	assert_int_equal(news.judged, 0);
	assert_int_equal(news.loss_q16, 0);
	assert_int_equal(news.rtt_usec, 0);
	later.highest = 200;
	assert_int_equal(vs_report_tx_input(&t, &later, 230000, &news), VS_REPORT_BAD);
}

static void test_late_arrivals_give_no_negative_loss(void **state)
{
	struct vs_report_tx t;
	struct vs_report_news news;
	struct vs_report report = { .highest = 99, .judged = 50, .received = 80, .lost = 10 };

	(void)state;
	vs_report_tx_init(&t);
	send(&t, 0, 99, 0, 1000);
	assert_int_equal(vs_report_tx_input(&t, &report, 200000, &news), VS_REPORT_NEW);
	report.judged = 60;
	report.lost = 3;
	assert_int_equal(vs_report_tx_input(&t, &report, 200000, &news), VS_REPORT_NEW);
	assert_int_equal(news.lost, 0);
	assert_int_equal(news.loss_q16, 0);
}

static void test_probes_and_failed_sends_are_not_loss(void **state)
{
	struct vs_report_tx t;
	struct vs_report_rx r;
	struct vs_report_news news;

	(void)state;
	vs_report_tx_init(&t);
	vs_report_rx_init(&r);
	send(&t, 0, 101, 0, 10);
	vs_report_tx_exclude(&t, 30); /* a probe, lost */
	vs_report_tx_exclude(&t, 31); /* a probe that arrives */
	vs_report_tx_exclude(&t, 51); /* failed sends, told in any order and twice */
	vs_report_tx_exclude(&t, 50);
	vs_report_tx_exclude(&t, 51);
	vs_report_tx_exclude(&t, 52);
	vs_report_tx_exclude(&t, 52);
	vs_report_tx_exclude(&t, 50);
	vs_report_tx_include(&t, 31);
	for (uint64_t c = 0; c < 100; c++)
		if (c != 30 && c != 70 && (c < 50 || c > 52))
			receive(&r, c, c, c * 10);
	struct vs_report report = take_all(&r, INTERVAL);
	assert_int_equal(report.judged, 101);
	assert_int_equal(report.lost, 5);
	assert_int_equal(vs_report_tx_input(&t, &report, VS_SEC, &news), VS_REPORT_NEW);
	assert_int_equal(news.judged, 97);
	assert_int_equal(news.lost, 1);
}

/* An exclusion is charged to the report that judges its counter, not to one before. */
static void test_exclusion_waits_for_judgement(void **state)
{
	struct vs_report_tx t;
	struct vs_report_news news;
	struct vs_report first = { .highest = 99, .judged = 50, .received = 90, .lost = 5 };
	struct vs_report second = { .highest = 99, .judged = 100, .received = 90, .lost = 10 };

	(void)state;
	vs_report_tx_init(&t);
	send(&t, 0, 99, 0, 10);
	for (uint64_t c = 48; c < 53; c++)
		vs_report_tx_exclude(&t, c);
	assert_int_equal(vs_report_tx_input(&t, &first, VS_SEC, &news), VS_REPORT_NEW);
	assert_int_equal(news.lost, 3);
	assert_int_equal(news.judged, 48);
	assert_int_equal(vs_report_tx_input(&t, &second, VS_SEC, &news), VS_REPORT_NEW);
	assert_int_equal(news.lost, 2);
	assert_int_equal(news.judged, 47);
}

static void test_exclusions_are_bounded(void **state)
{
	struct vs_report_tx t;
	struct vs_report_news news;
	struct vs_report report = { .highest = 999, .judged = 1000, .received = 900, .lost = 100 };

	(void)state;
	vs_report_tx_init(&t);
	send(&t, 0, 999, 0, 10);
	for (uint64_t c = 100; c < 300; c += 2)
		vs_report_tx_exclude(&t, c);
	vs_report_tx_exclude(&t, 5); /* older than all that are kept */
	assert_int_equal(vs_report_tx_input(&t, &report, VS_SEC, &news), VS_REPORT_NEW);
	assert_int_equal(news.lost, 100 - VS_REPORT_EXCLUDED);
}

static void test_rtt(void **state)
{
	static const struct {
		uint64_t gap, rtt;
	} cases[] = {
		{ 20 * VS_MSEC, 5 * VS_MSEC }, /* sparse: exact */
		{ VS_MSEC, 50 * VS_MSEC },
		{ 10, 200 },
		{ 10, 100 * VS_MSEC },
		{ 50, 600 * VS_MSEC },
	};

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		uint64_t gap = cases[i].gap, rtt = cases[i].rtt;
		uint64_t age = 3000, highest = VS_MAX(UINT64_C(100), 2 * VS_SEC / gap);
		uint64_t sent_at = VS_SEC + highest * gap, now = sent_at + rtt + age;
		struct vs_report report = { .highest = highest, .received = 1, .age_usec = (uint32_t)age };
		struct vs_report_news news;
		struct vs_report_tx t;

		vs_report_tx_init(&t);
		vs_report_tx_set_rtt(&t, rtt);
		send(&t, 0, (now - VS_SEC) / gap, VS_SEC, gap);
		assert_int_equal(vs_report_tx_input(&t, &report, now, &news), VS_REPORT_NEW);
		assert_in_range(news.rtt_usec, rtt, rtt + VS_MAX(rtt / 16, 400) + gap);
		if (gap >= VS_MAX(rtt / 16, 400))
			assert_int_equal(news.rtt_usec, rtt);
	}
}

/* The send time of what was sent long ago is forgotten, and no round-trip time is made up. */
static void test_forgotten_send_time(void **state)
{
	struct vs_report_tx t;
	struct vs_report_news news;
	struct vs_report report = { .highest = 3, .received = 1 };

	(void)state;
	vs_report_tx_init(&t);
	send(&t, 0, 5000, 0, 1000);
	assert_int_equal(vs_report_tx_input(&t, &report, 6 * VS_SEC, &news), VS_REPORT_NEW);
	assert_int_equal(news.rtt_usec, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encoding),
		cmocka_unit_test(test_contradictions_are_refused),
		cmocka_unit_test(test_when_reports_are_due),
		cmocka_unit_test(test_few_bytes_wait),
		cmocka_unit_test(test_a_gap_hurries),
		cmocka_unit_test(test_a_gap_is_not_loss_at_once),
		cmocka_unit_test(test_reordering_is_not_loss),
		cmocka_unit_test(test_late_datagram_is_taken_off),
		cmocka_unit_test(test_a_counter_counts_once),
		cmocka_unit_test(test_gap_is_judged_by_distance),
		cmocka_unit_test(test_bursts),
		cmocka_unit_test(test_burst_across_reports),
		cmocka_unit_test(test_random_loss),
		cmocka_unit_test(test_delay_and_jitter),
		cmocka_unit_test(test_evaluation),
		cmocka_unit_test(test_late_arrivals_give_no_negative_loss),
		cmocka_unit_test(test_probes_and_failed_sends_are_not_loss),
		cmocka_unit_test(test_exclusion_waits_for_judgement),
		cmocka_unit_test(test_exclusions_are_bounded),
		cmocka_unit_test(test_rtt),
		cmocka_unit_test(test_forgotten_send_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
