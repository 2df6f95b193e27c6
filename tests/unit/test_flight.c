#include "link/flight.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"

#define DATAGRAM 1200u
#define RTT (50 * VS_MSEC)
#define START (10 * VS_SEC)

/* A link in miniature: what it sends, and reports about it as a peer would make them. */
struct fixture {
	struct vs_congestion *cc;
	struct vs_rtt rtt;
	struct vs_flight flight;
	struct vs_report last;
	uint64_t counter, now;
	uint64_t queue_usec; /* that delays the path */
};

static void open_fixture(struct fixture *f, enum vs_congestion_kind kind)
{
	*f = (struct fixture){ .cc = vs_congestion_new(kind, DATAGRAM, START), .now = START };
	assert_non_null(f->cc);
	vs_rtt_init(&f->rtt, 0, 0);
	vs_rtt_sample(&f->rtt, START, RTT);
}

static void close_fixture(struct fixture *f)
{
	vs_flight_release(&f->flight);
	vs_congestion_free(f->cc);
}

static void send(struct fixture *f, unsigned count, uint64_t every)
{
	for (unsigned i = 0; i < count; i++, f->now += every)
		vs_flight_sent(&f->flight, f->cc, &f->rtt, f->counter++, DATAGRAM, f->now);
}

/* All up to `highest` is judged, and `lost` of it did not come. */
static void report(struct fixture *f, uint64_t highest, uint64_t lost, bool delayed)
{
	uint64_t passed = highest + 1 - f->last.judged;
	struct vs_report_news news = {
		.judged = passed,
		.passed = passed,
		.received = passed - lost,
		.lost = lost,
		.loss_q16 = (uint32_t)(lost * 65536 / VS_MAX(passed, UINT64_C(1))),
		.rtt_usec = RTT + f->queue_usec,
	};
	vs_rtt_sample(&f->rtt, f->now, news.rtt_usec);
	f->last = (struct vs_report){ .highest = highest, .judged = highest + 1 };
	vs_flight_report(&f->flight, f->cc, &f->rtt, &f->last, &news, delayed, f->now);
}

static void test_reports_end_the_flight(void **state)
{
	(void)state;
	struct fixture f;
	open_fixture(&f, VS_CONGESTION_BBR);
	assert_int_equal(vs_flight_deadline(&f.flight, &f.rtt), VS_NEVER);
	send(&f, 20, 5 * VS_MSEC);
	assert_int_equal(f.flight.bytes, 20 * DATAGRAM);
	report(&f, 4, 0, false);
	assert_int_equal(f.flight.bytes, 15 * DATAGRAM);
	report(&f, 14, 3, false); /* what is lost flies no more, either */
	assert_int_equal(f.flight.bytes, 5 * DATAGRAM);
	report(&f, 14, 0, false);
	assert_int_equal(f.flight.bytes, 5 * DATAGRAM);
	report(&f, 19, 0, false);
	assert_int_equal(f.flight.bytes, 0);
	assert_int_equal(vs_flight_deadline(&f.flight, &f.rtt), VS_NEVER);
	close_fixture(&f);
}

/* More than the ring holds: pieces grow, and nothing is forgotten. */
static void test_many_pieces(void **state)
{
	(void)state;
	struct fixture f;
	open_fixture(&f, VS_CONGESTION_BBR);
	send(&f, 1000, 5 * VS_MSEC);
	assert_int_equal(f.flight.bytes, 1000 * DATAGRAM);
	report(&f, VS_FLIGHT_PIECES - 2, 0, false);
	assert_int_equal(f.flight.bytes, (1000 - VS_FLIGHT_PIECES + 1) * DATAGRAM);
	report(&f, 998, 0, false);
	assert_int_not_equal(f.flight.bytes, 0);
	report(&f, 999, 0, false);
	assert_int_equal(f.flight.bytes, 0);
	close_fixture(&f);
}

/* A line that takes `line` bytes a second and an endless supply: returns what is sent in the last of `seconds`. Reports
 * come every 12.5 ms. Every `every`th datagram is lost (0: none). */
static uint64_t fill_line(struct fixture *f, uint64_t line, unsigned seconds, unsigned every)
{
	const uint64_t step = 500, interval = 12500;
	uint64_t begin = f->now, end = f->now + seconds * VS_SEC, next_report = f->now + interval;
	uint64_t queue_end[4096], credit = 0, sent_in_last = 0, told = 0, free_at = f->now;
	for (; f->now < end; f->now += step) {
		uint64_t rate = vs_congestion_rate(f->cc);
		credit = VS_MIN(credit + (rate ? rate : line * 4) * step / VS_SEC, UINT64_C(4) * DATAGRAM);
		while (credit >= DATAGRAM && f->flight.bytes < vs_congestion_window(f->cc)) {
			free_at = VS_MAX(free_at, f->now) + DATAGRAM * VS_SEC / line;
			queue_end[f->counter % VS_ARRAY_SIZE(queue_end)] = free_at + RTT;
			vs_flight_sent(&f->flight, f->cc, &f->rtt, f->counter++, DATAGRAM, f->now);
			credit -= DATAGRAM;
			sent_in_last += f->now >= end - VS_SEC ? DATAGRAM : 0;
		}
		f->queue_usec = vs_time_since(free_at, f->now);
		if (f->now < next_report)
			continue;
		next_report += interval;
		uint64_t first = told;
		while (told < f->counter && queue_end[told % VS_ARRAY_SIZE(queue_end)] <= f->now)
			told++;
		if (told > first)
			report(f, told - 1, every ? told / every - first / every : 0, f->queue_usec > RTT / 4);
	}
	assert_true(f->now > begin);
	return sent_in_last;
}

static void test_finds_the_line(void **state)
{
	(void)state;
	static const struct {
		enum vs_congestion_kind kind;
		unsigned every;
	} cases[] = {
		{ VS_CONGESTION_BBR, 0 }, { VS_CONGESTION_BBR, 20 }, { VS_CONGESTION_BBR, 8 }, { VS_CONGESTION_CUBIC, 20 },
	};
	const uint64_t line = 2500000;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct fixture f;
		open_fixture(&f, cases[i].kind);
		uint64_t sent = fill_line(&f, line, 10, cases[i].every);
		print_message("%s, one of %u lost: %.2f of the line\n", vs_congestion_kind_name(cases[i].kind),
			      cases[i].every, (double)sent / (double)line);
		assert_in_range(sent, line * 80 / 100, line * 125 / 100);
		close_fixture(&f);
	}
}

/* What is lost without delay is noise, up to 15 %; an algorithm that knows of no noise is then not told. */
static void test_noise(void **state)
{
	(void)state;
	static const struct {
		unsigned lost_of_20;
		bool delayed, cut;
	} cases[] = { { 0, false, false }, { 1, false, false }, { 2, false, false }, { 1, true, true }, { 8, false, true } };
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct fixture f;
		open_fixture(&f, VS_CONGESTION_CUBIC);
		uint64_t least = vs_congestion_window(f.cc), first = least;
		for (unsigned n = 0; n < 40; n++) {
			send(&f, 20, VS_MSEC);
			report(&f, f.counter - 1, cases[i].lost_of_20, cases[i].delayed);
			least = VS_MIN(least, vs_congestion_window(f.cc));
		}
		assert_int_equal(least < first, cases[i].cut);
		close_fixture(&f);
	}
}

/* A path that is gone holds the link up for a moment and no longer; the end of a stream that is lost says nothing. */
static void test_timeout(void **state)
{
	(void)state;
	for (unsigned count = 1; count <= 32; count += 31) {
		struct fixture f;
		open_fixture(&f, VS_CONGESTION_CUBIC);
		uint64_t window = vs_congestion_window(f.cc);
		send(&f, count, 0);
		uint64_t deadline = vs_flight_deadline(&f.flight, &f.rtt);
		assert_in_range(deadline, f.now + RTT + VS_REPORT_SPARSE_MIN, f.now + VS_SEC);
		vs_flight_timeout(&f.flight, f.cc, &f.rtt, deadline - 1);
		assert_int_equal(f.flight.bytes, count * DATAGRAM);
		vs_flight_timeout(&f.flight, f.cc, &f.rtt, deadline);
		assert_int_equal(f.flight.bytes, 0);
		assert_int_equal(vs_congestion_window(f.cc) < window, count > 1);
		close_fixture(&f);
	}
}

/* A new session's counters begin anew. */
static void test_forgets(void **state)
{
	(void)state;
	struct fixture f;
	open_fixture(&f, VS_CONGESTION_BBR);
	send(&f, 10, VS_MSEC);
	vs_flight_forget(&f.flight);
	assert_int_equal(f.flight.bytes, 0);
	f.counter = 0;
	send(&f, 3, VS_MSEC);
	report(&f, 1, 0, false);
	assert_int_equal(f.flight.bytes, DATAGRAM);
	close_fixture(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reports_end_the_flight), cmocka_unit_test(test_many_pieces),
		cmocka_unit_test(test_finds_the_line),         cmocka_unit_test(test_noise),
		cmocka_unit_test(test_timeout),                cmocka_unit_test(test_forgets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
