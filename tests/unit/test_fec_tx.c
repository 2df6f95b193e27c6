#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "link/fec_rx.h"
#include "link/fec_tx.h"

#define DATAGRAM_MAX 1472
#define RTT (50 * VS_MSEC)

static void open_sender(struct vs_fec_tx *tx, unsigned k, unsigned m)
{
	vs_fec_tx_init(tx);
	vs_fec_tx_set_datagram_max(tx, DATAGRAM_MAX);
	vs_fec_tx_set_rtt(tx, RTT);
	if (k)
		vs_fec_tx_set_share(tx, vs_fec_share(k, m), vs_fec_window(k));
}

static bool send_text(struct vs_fec_tx *tx, const uint8_t *text, size_t len, uint64_t now, uint32_t *seq)
{
	struct vs_parts parts;
	vs_parts_init(&parts, DATAGRAM_MAX);
	vs_parts_view(&parts, text, len);
	return vs_fec_tx_data(tx, &parts, now, seq);
}

/* A datum of `len` bytes, all of them its number. */
static uint32_t send_datum(struct vs_fec_tx *tx, size_t len, uint64_t now)
{
	uint8_t text[DATAGRAM_MAX];
	uint32_t seq;
	memset(text, (uint8_t)tx->next, len);
	assert_true(send_text(tx, text, len, now, &seq));
	return seq;
}

struct parity {
	uint32_t first;
	uint8_t count, row;
	size_t len; /* of the plaintext */
};

static bool take_parity(struct vs_fec_tx *tx, uint64_t now, struct parity *out)
{
	struct vs_parts parts;
	uint8_t text[DATAGRAM_MAX];
	vs_parts_init(&parts, DATAGRAM_MAX);
	if (!vs_fec_tx_output(tx, now, &parts))
		return false;
	*out = (struct parity){ .len = vs_parts_gather(text, parts.iov, parts.n) };
	assert_int_equal(text[0], VS_KIND_FEC_PARITY);
	out->first = vs_get_be32(text + 1);
	out->count = text[5];
	out->row = text[6];
	return true;
}

static unsigned take_all(struct vs_fec_tx *tx, uint64_t now)
{
	struct parity parity;
	unsigned n = 0;
	while (vs_fec_tx_deadline(tx) <= now)
		n += take_parity(tx, now, &parity);
	return n;
}

/* --- How much --- */

static void test_ratio(void **state)
{
	(void)state;
	static const struct {
		unsigned k, m;
		uint64_t gap_usec;
	} cases[] = { { 1, 1, 20000 }, { 2, 1, 20000 }, { 1, 2, 20000 }, { 1, 4, 20000 },  { 10, 3, 20000 },
		      { 2, 1, 100 },   { 20, 10, 100 }, { 64, 1, 100 },  { 10, 3, 0 },      { 64, 64, 1 } };
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct vs_fec_tx tx;
		uint64_t now = VS_SEC;
		unsigned parities = 0, data = 64 * 100;
		open_sender(&tx, cases[i].k, cases[i].m);
		for (unsigned n = 0; n < data; n++) {
			/* What fell due since the last datum, when it did. */
			while (vs_fec_tx_deadline(&tx) < now) {
				struct parity parity;
				parities += take_parity(&tx, vs_fec_tx_deadline(&tx), &parity);
			}
			send_datum(&tx, 100, now);
			parities += take_all(&tx, now);
			now += cases[i].gap_usec;
		}
		unsigned expected = data * cases[i].m / cases[i].k;
		assert_in_range(parities, expected - expected / 50 - 4, expected + expected / 50 + 4);
		vs_fec_tx_release(&tx);
	}
}

static void test_overhead(void **state)
{
	(void)state;
	struct vs_fec_tx tx;
	open_sender(&tx, 2, 1);
	assert_int_equal(vs_fec_tx_overhead(&tx), 0);
	for (unsigned n = 0; n < 1000; n++) {
		send_datum(&tx, 100, VS_SEC + n * 100);
		take_all(&tx, VS_SEC + n * 100);
	}
	assert_in_range(vs_fec_tx_overhead(&tx), VS_FEC_SHARE_ONE * 48 / 100, VS_FEC_SHARE_ONE * 52 / 100);
	assert_in_range(vs_fec_tx_parity_cost(&tx), VS_FEC_SHARE_ONE * 99 / 100, VS_FEC_SHARE_ONE * 101 / 100);
	/* One large datum in eight makes all parities large. */
	for (unsigned n = 0; n < 4000; n++) {
		send_datum(&tx, n % 8 ? 100 : 1300, 2 * VS_SEC + n * 100);
		take_all(&tx, 2 * VS_SEC + n * 100);
	}
	assert_true(vs_fec_tx_parity_cost(&tx) > 3 * VS_FEC_SHARE_ONE);
	vs_fec_tx_release(&tx);
}

static void test_nothing_without_a_share(void **state)
{
	(void)state;
	struct vs_fec_tx tx;
	uint32_t seq;
	open_sender(&tx, 0, 0);
	assert_false(send_text(&tx, (const uint8_t *)"x", 1, VS_SEC, &seq));
	assert_false(vs_fec_tx_holds(&tx));
	assert_int_equal(vs_fec_tx_deadline(&tx), VS_NEVER);
	/* A share that ends takes with it what was still to come. */
	vs_fec_tx_set_share(&tx, vs_fec_share(4, 1), 24);
	send_datum(&tx, 10, VS_SEC);
	assert_true(vs_fec_tx_deadline(&tx) != VS_NEVER);
	vs_fec_tx_set_share(&tx, 0, 0);
	assert_int_equal(vs_fec_tx_deadline(&tx), VS_NEVER);
	vs_fec_tx_release(&tx);
}

static void test_sizes(void **state)
{
	(void)state;
	struct vs_fec_tx tx;
	struct parity parity;
	uint8_t text[DATAGRAM_MAX] = { 0 };
	uint32_t seq;
	const size_t most = DATAGRAM_MAX - VS_SEAL_OVERHEAD - VS_FEC_RESERVE;
	open_sender(&tx, 1, 1);
	assert_false(send_text(&tx, text, most + 1, VS_SEC, &seq));
	assert_true(send_text(&tx, text, most, VS_SEC, &seq));
	assert_true(take_parity(&tx, VS_SEC, &parity));
	/* The parity of the largest fills a datagram exactly. */
	assert_int_equal(parity.len + VS_SEAL_OVERHEAD, DATAGRAM_MAX);
	vs_fec_tx_release(&tx);
}

/* --- What is covered --- */

static void test_windows(void **state)
{
	(void)state;
	static const struct {
		unsigned k, window;
	} cases[] = { { 1, 24 }, { 10, 24 }, { 12, 24 }, { 13, 26 }, { 20, 40 }, { 32, 64 }, { 64, 64 } };
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct vs_fec_tx tx;
		struct parity parity = { 0 };
		uint8_t row = 0;
		open_sender(&tx, cases[i].k, 1);
		for (unsigned n = 0; n < 1000; n++) {
			uint32_t seq = send_datum(&tx, 20, VS_SEC + n);
			while (take_parity(&tx, VS_SEC + n, &parity)) {
				/* Up to the last datum, and no row soon again. */
				assert_int_equal(parity.first + parity.count, seq + 1);
				assert_int_equal(parity.row, row);
				row = (uint8_t)((row + 1) % VS_FEC_POINTS);
			}
		}
		assert_int_equal(parity.count, cases[i].window);
		vs_fec_tx_release(&tx);
	}
}

/* One full frame among small ones makes no more than four parities as long as itself; a mixture of both is covered as
 * any other. */
static void test_long_datum(void **state)
{
	(void)state;
	static const struct {
		unsigned k, m, every; /* datum of which one is long */
		unsigned window;      /* at the end */
		unsigned long_most;   /* parities for each long datum */
	} cases[] = { { 1, 2, 100, 24, 4 }, { 1, 1, 100, 24, 4 }, { 2, 1, 100, 24, 4 }, { 1, 2, 3, 24, 6 } };
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct vs_fec_tx tx;
		struct parity parity = { 0 };
		unsigned longer = 0, n = 0;
		uint64_t now = VS_SEC;
		open_sender(&tx, cases[i].k, cases[i].m);
		for (n = 0; n < 600; n++, now += 2 * VS_MSEC) {
			send_datum(&tx, n % cases[i].every == cases[i].every / 2 ? 1300 : 100, now);
			while (vs_fec_tx_deadline(&tx) < now + 2 * VS_MSEC)
				longer += take_parity(&tx, vs_fec_tx_deadline(&tx), &parity) && parity.len > 1300;
		}
		assert_int_equal(parity.count, cases[i].window);
		assert_in_range(longer, 4 * (n / cases[i].every), cases[i].long_most * (n / cases[i].every));
		vs_fec_tx_release(&tx);
	}
}

static void test_old_data_are_not_covered(void **state)
{
	(void)state;
	struct vs_fec_tx tx;
	struct parity parity;
	open_sender(&tx, 4, 1);
	uint64_t now = VS_SEC;
	for (unsigned n = 0; n < 3; n++)
		send_datum(&tx, 1000, now);
	now += VS_FEC_AGE_MAX + 1;
	uint32_t seq = send_datum(&tx, 20, now);
	assert_true(take_parity(&tx, now, &parity));
	assert_int_equal(parity.first, seq);
	assert_int_equal(parity.count, 1);
	assert_int_equal(parity.len, VS_FEC_PARITY_HEADER + VS_FEC_LENGTH + 20);
	vs_fec_tx_release(&tx);
}

static void test_release(void **state)
{
	(void)state;
	struct vs_fec_tx tx;
	struct parity parity;
	open_sender(&tx, 2, 1);
	send_datum(&tx, 20, VS_SEC);
	assert_true(vs_fec_tx_holds(&tx));
	vs_fec_tx_release(&tx);
	assert_false(vs_fec_tx_holds(&tx));
	assert_int_equal(vs_fec_tx_deadline(&tx), VS_NEVER);
	/* Sequence numbers go on, and what was before is not covered. */
	assert_int_equal(send_datum(&tx, 20, VS_SEC + 1), 1);
	assert_int_equal(send_datum(&tx, 20, VS_SEC + 2), 2);
	assert_true(take_parity(&tx, VS_SEC + 2, &parity));
	assert_int_equal(parity.first, 1);
	/* Another size of datagrams takes other memory. */
	vs_fec_tx_set_datagram_max(&tx, DATAGRAM_MAX);
	assert_true(vs_fec_tx_holds(&tx));
	vs_fec_tx_set_datagram_max(&tx, 9000);
	assert_false(vs_fec_tx_holds(&tx));
	vs_fec_tx_release(&tx);
}

/* --- When --- */

static void test_flush(void **state)
{
	(void)state;
	struct vs_fec_tx tx;
	struct parity parity;
	open_sender(&tx, 10, 1);
	/* A datum alone: soon. */
	uint64_t now = VS_SEC;
	send_datum(&tx, 20, now);
	uint64_t deadline = vs_fec_tx_deadline(&tx);
	assert_in_range(deadline - now, VS_FEC_FLUSH_MIN, RTT / 2);
	assert_false(take_parity(&tx, deadline - 1, &parity));
	assert_true(take_parity(&tx, deadline, &parity));
	assert_int_equal(vs_fec_tx_deadline(&tx), VS_NEVER);
	/* An even stream: only when it stops, and then once. */
	unsigned flushed = 0;
	for (unsigned n = 0; n < 200; n++) {
		now += 20 * VS_MSEC;
		flushed += n > 20 && vs_fec_tx_deadline(&tx) < now;
		take_all(&tx, now);
		send_datum(&tx, 20, now);
		take_all(&tx, now);
	}
	assert_int_equal(flushed, 0);
	send_datum(&tx, 20, now += 20 * VS_MSEC);
	deadline = vs_fec_tx_deadline(&tx);
	assert_in_range(deadline - now, 30 * VS_MSEC, VS_FEC_FLUSH_CAP);
	assert_true(take_parity(&tx, deadline, &parity));
	assert_int_equal(take_all(&tx, deadline + VS_SEC), 0);
	vs_fec_tx_release(&tx);
}

/* Data at line speed that stop: within a millisecond or two. */
static void test_flush_follows_the_traffic(void **state)
{
	(void)state;
	struct vs_fec_tx tx;
	open_sender(&tx, 10, 1);
	for (unsigned n = 0; n < 205; n++) {
		send_datum(&tx, 1000, VS_SEC + n * 120);
		take_all(&tx, VS_SEC + n * 120);
	}
	uint64_t now = VS_SEC + 204 * 120;
	assert_in_range(vs_fec_tx_deadline(&tx) - now, VS_FEC_FLUSH_MIN, 2 * VS_MSEC);
	assert_true(vs_fec_tx_cover_usec(&tx) < 10 * VS_MSEC);
	vs_fec_tx_release(&tx);
}

/* Two parities a datum: the first with it, the second a little later. At line speed both go at once. */
static void test_stagger(void **state)
{
	(void)state;
	struct vs_fec_tx tx;
	struct parity parity;
	open_sender(&tx, 1, 2);
	uint64_t now = VS_SEC;
	for (unsigned n = 0; n < 50; n++) {
		send_datum(&tx, 20, now);
		assert_true(take_parity(&tx, now, &parity));
		uint64_t second = vs_fec_tx_deadline(&tx);
		if (n > 20)
			assert_in_range(second - now, VS_MSEC, VS_FEC_STAGGER_MAX);
		assert_true(take_parity(&tx, second, &parity));
		assert_int_equal(vs_fec_tx_deadline(&tx), VS_NEVER);
		now += 20 * VS_MSEC;
	}
	for (unsigned n = 0; n < 200; n++) {
		now += 1;
		send_datum(&tx, 20, now);
		unsigned taken = take_all(&tx, now);
		if (n > 100)
			assert_int_equal(taken, 2);
	}
	vs_fec_tx_release(&tx);
}

/* --- Against blocks --- */

/* What PROTOCOL.md says of a window beside blocks: 50 packets a second each way, 5 % lost, half as many parities as
 * data, round trips of 50 ms. */

#define STREAM 40000u
#define GAP (20 * VS_MSEC)
#define NEVER_CAME UINT32_MAX

static uint64_t random_state;

static bool loses(unsigned percent)
{
	random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (random_state >> 33) % 100 < percent;
}

static void note(uint32_t *delays, const uint8_t *text, uint64_t now)
{
	uint32_t number = vs_get_be32(text);
	assert_int_equal(delays[number], NEVER_CAME);
	delays[number] = (uint32_t)(now - VS_SEC - number * GAP);
}

static void take_recovered(struct vs_fec_rx *rx, uint32_t *delays, uint64_t now)
{
	const uint8_t *text;
	size_t len;
	while ((text = vs_fec_rx_take(rx, &len)))
		note(delays, text, now);
}

static void stream_parities(struct vs_fec_tx *tx, struct vs_fec_rx *rx, uint64_t until, uint32_t *delays)
{
	uint64_t now;
	while ((now = vs_fec_tx_deadline(tx)) < until) {
		struct vs_parts parts;
		uint8_t text[DATAGRAM_MAX];
		vs_parts_init(&parts, DATAGRAM_MAX);
		if (!vs_fec_tx_output(tx, now, &parts) || loses(5))
			continue;
		size_t len = vs_parts_gather(text, parts.iov, parts.n);
		vs_fec_rx_parity(rx, text + VS_KIND_SIZE, len - VS_KIND_SIZE);
		take_recovered(rx, delays, now);
	}
}

/* How late each packet comes through our own sender and receiver at K:M. */
static void stream_by_window(unsigned k, unsigned m, uint32_t *delays)
{
	struct vs_fec_tx tx;
	struct vs_fec_rx rx;
	struct vs_drops drops = { 0 };
	open_sender(&tx, k, m);
	vs_fec_rx_init(&rx, &drops);
	vs_fec_rx_set_datagram_max(&rx, DATAGRAM_MAX);
	for (uint32_t i = 0; i < STREAM; i++) {
		uint64_t now = VS_SEC + i * GAP;
		uint8_t body[4 + 64] = { 0 };
		uint32_t seq;
		size_t len;
		stream_parities(&tx, &rx, now, delays);
		vs_put_be32(body + 4, i);
		assert_true(send_text(&tx, body + 4, 64, now, &seq));
		vs_put_be32(body, seq);
		if (loses(5))
			continue;
		const uint8_t *text = vs_fec_rx_data(&rx, body, sizeof(body), &len);
		assert_non_null(text);
		note(delays, text, now);
		take_recovered(&rx, delays, now);
	}
	vs_fec_tx_release(&tx);
	vs_fec_rx_release(&rx);
}

/* The same with blocks of K data and then M parities, by counting: any K of K + M do. */
static void stream_by_blocks(unsigned k, unsigned m, uint32_t *delays)
{
	for (uint32_t first = 0; first + k <= STREAM; first += k) {
		unsigned lost = 0, parities = 0;
		for (uint32_t i = first; i < first + k; i++) {
			delays[i] = loses(5) ? NEVER_CAME : 0;
			lost += delays[i] != 0;
		}
		for (unsigned i = 0; i < m; i++)
			parities += !loses(5);
		for (uint32_t i = first; i < first + k; i++)
			if (delays[i] && lost <= parities)
				delays[i] = (uint32_t)((first + k - 1 - i) * GAP);
	}
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

struct trips {
	double lost_percent, p99_msec;
};

/* Each packet there is answered by one back. */
static struct trips judge(void (*stream)(unsigned, unsigned, uint32_t *), unsigned k, unsigned m)
{
	static uint32_t there[STREAM], back[STREAM], trips[STREAM];
	unsigned n = 0, all = STREAM - 200;
	memset(there, 0xff, sizeof(there));
	memset(back, 0xff, sizeof(back));
	stream(k, m, there);
	stream(k, m, back);
	for (unsigned i = 0; i < all; i++)
		if (there[i] != NEVER_CAME && back[i] != NEVER_CAME)
			trips[n++] = (uint32_t)RTT + there[i] + back[i];
	qsort(trips, n, sizeof(trips[0]), compare);
	struct trips t = { 100.0 * (all - n) / all, trips[n * 99 / 100] / 1e3 };
	print_message("%u:%u: %.3f %% of round trips lost, 99 %% within %.0f ms\n", k, m, t.lost_percent, t.p99_msec);
	return t;
}

static void test_window_against_blocks(void **state)
{
	(void)state;
	random_state = 1;
	struct trips window = judge(stream_by_window, 2, 1), cheap = judge(stream_by_window, 5, 2);
	struct trips twice = judge(stream_by_window, 1, 2);
	assert_true(window.lost_percent < 0.1 && window.p99_msec <= 2.8 * 50);
	assert_true(cheap.lost_percent < 0.1 && cheap.p99_msec <= 2.8 * 50);
	assert_true(twice.lost_percent < 0.1 && twice.p99_msec <= 1.3 * 50);
	/* Blocks at the same price: short ones lose too much, long ones come too late. */
	static const unsigned blocks[][2] = { { 2, 1 }, { 4, 2 }, { 6, 3 }, { 8, 4 }, { 10, 5 }, { 20, 10 } };
	for (size_t i = 0; i < VS_ARRAY_SIZE(blocks); i++) {
		struct trips block = judge(stream_by_blocks, blocks[i][0], blocks[i][1]);
		assert_true(block.lost_percent > 0.1 || block.p99_msec > window.p99_msec);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ratio),
		cmocka_unit_test(test_overhead),
		cmocka_unit_test(test_nothing_without_a_share),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_long_datum),
		cmocka_unit_test(test_old_data_are_not_covered),
		cmocka_unit_test(test_release),
		cmocka_unit_test(test_flush),
		cmocka_unit_test(test_flush_follows_the_traffic),
		cmocka_unit_test(test_stagger),
		cmocka_unit_test(test_window_against_blocks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
