#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fec_shards.h"
#include "link/fec_rx.h"

#define DATAGRAM_MAX 1472
#define SEQS 4096

/* A receiver, and how often it has delivered each sequence number. */
struct receiver {
	struct vs_fec_rx rx;
	struct vs_drops drops;
	uint32_t base; /* sequence number of delivered[0] */
	uint8_t delivered[SEQS];
};

static void open_receiver(struct receiver *r, uint32_t base)
{
	memset(r, 0, sizeof(*r));
	vs_fec_rx_init(&r->rx, &r->drops);
	vs_fec_rx_set_datagram_max(&r->rx, DATAGRAM_MAX);
	r->base = base;
}

static void close_receiver(struct receiver *r)
{
	vs_fec_rx_release(&r->rx);
}

/* Which sequence number a plaintext is of: it has to be that one, byte by byte. */
static void deliver(struct receiver *r, const uint8_t *text, size_t len)
{
	for (uint32_t i = 0; i < SEQS; i++) {
		uint8_t expected[SHARD_MAX];
		if (shard_text(r->base + i, expected) != len || memcmp(expected, text, len) != 0)
			continue;
		r->delivered[i]++;
		return;
	}
	fail_msg("a plaintext of %zu bytes is nobody's", len);
}

static void take_all(struct receiver *r)
{
	const uint8_t *text;
	size_t len;
	while ((text = vs_fec_rx_take(&r->rx, &len)))
		deliver(r, text, len);
}

static void give_data(struct receiver *r, uint32_t seq)
{
	struct shard s = shard_data(seq);
	size_t len;
	const uint8_t *text = vs_fec_rx_data(&r->rx, s.body, s.len, &len);
	if (text)
		deliver(r, text, len);
	take_all(r);
}

static void give_parity(struct receiver *r, uint32_t first, uint8_t count, uint8_t row)
{
	struct shard s = shard_parity(first, count, row);
	vs_fec_rx_parity(&r->rx, s.body, s.len);
	take_all(r);
}

static unsigned count_delivered(const struct receiver *r, unsigned from, unsigned n)
{
	unsigned sum = 0;
	for (unsigned i = from; i < from + n; i++) {
		assert_in_range(r->delivered[i], 0, 1);
		sum += r->delivered[i];
	}
	return sum;
}

/* --- The code --- */

static void test_coefficients(void **state)
{
	(void)state;
	for (unsigned row = 0; row < 256; row += 17)
		for (uint32_t seq = 0; seq < 256; seq++)
			assert_int_equal(vs_fec_coefficient((uint8_t)row, seq), shard_coefficient((uint8_t)row, seq));
}

/* Data in order and then the parities; all the other way round; parities in order and then the data. */
static unsigned shard_in_order(unsigned order, unsigned step, unsigned data, unsigned all)
{
	return order == 0 ? step : order == 1 ? all - 1 - step : (step + data) % all;
}

/* Six data and three parities over all of them: every pattern of losses, in three orders. As many lost data as parities
 * that arrive come back, and no more. */
static void test_every_pattern(void **state)
{
	(void)state;
	static const uint32_t bases[] = { 0, 125, UINT32_MAX - 2, INT32_MAX - 3u };
	const unsigned data = 6, parities = 3;
	for (unsigned pattern = 0; pattern < 1u << (data + parities); pattern++) {
		for (unsigned order = 0; order < 3; order++) {
			uint32_t base = bases[(pattern + order) % 4];
			unsigned lost = 0, helpers = 0;
			struct receiver r;
			open_receiver(&r, base);
			for (unsigned step = 0; step < data + parities; step++) {
				unsigned i = shard_in_order(order, step, data, data + parities);
				bool arrives = !(pattern >> i & 1);
				lost += i < data && !arrives;
				helpers += i >= data && arrives;
				if (arrives && i < data)
					give_data(&r, base + i);
				else if (arrives)
					give_parity(&r, base, (uint8_t)data, (uint8_t)(200 + i));
			}
			unsigned expected = lost <= helpers ? data : data - lost;
			assert_int_equal(count_delivered(&r, 0, data), expected);
			assert_int_equal(r.drops.count[VS_DROP_BAD_FEC], 0);
			close_receiver(&r);
		}
	}
}

/* Windows that overlap, at each place of the ring and across the wrap of sequence numbers: what a parity a datum later
 * brings back, and what takes two of them. */
static void test_sliding(void **state)
{
	(void)state;
	for (uint32_t base = UINT32_MAX - 200; base != 200; base++) {
		struct receiver r;
		open_receiver(&r, base);
		/* D D P, window 4: the first and the third datum are lost, and the first parity. */
		give_data(&r, base + 1);
		give_data(&r, base + 3);
		assert_int_equal(count_delivered(&r, 0, 4), 2);
		give_parity(&r, base, 4, 7);
		assert_int_equal(count_delivered(&r, 0, 4), 2);
		give_data(&r, base + 4);
		give_parity(&r, base + 1, 4, 8);
		assert_int_equal(count_delivered(&r, 0, 5), 5);
		assert_int_equal(r.rx.recovered, 2);
		close_receiver(&r);
	}
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Random windows, losses, delays and repetitions, for many seeds: all that is delivered is genuine and is delivered
 * once; and with a parity each second datum over 16, five in a hundred lost, hardly any stays lost. */
static void test_random_streams(void **state)
{
	(void)state;
	unsigned missing = 0;
	for (uint32_t run = 0; run < 20; run++) {
		static struct receiver r;
		uint32_t seed = run, base = UINT32_MAX - 500 * run, late[8] = { 0 };
		unsigned late_n = 0;
		open_receiver(&r, base);
		for (unsigned i = 0; i < 1000; i++) {
			uint32_t fate = next_random(&seed) % 100;
			if (fate >= 10)
				give_data(&r, base + i);
			else if (fate >= 5 && late_n < 8)
				late[late_n++] = base + i;
			if (fate == 50)
				give_data(&r, base + i);
			if (late_n && next_random(&seed) % 8 == 0)
				give_data(&r, late[--late_n]);
			if (i % 2 && i >= 16 && next_random(&seed) % 100 >= 5)
				give_parity(&r, base + i - 15, 16, (uint8_t)(i / 2));
		}
		missing += 900 - count_delivered(&r, 20, 900);
		count_delivered(&r, 0, 1000);
		assert_int_equal(r.drops.count[VS_DROP_BAD_FEC], 0);
		close_receiver(&r);
	}
	assert_in_range(missing, 0, 3);
}

/* --- Once each --- */

static void test_duplicates_and_late_originals(void **state)
{
	(void)state;
	struct receiver r;
	open_receiver(&r, 1000);
	give_data(&r, 1000);
	give_data(&r, 1000);
	assert_int_equal(r.drops.count[VS_DROP_FEC_DUPLICATE], 1);
	give_data(&r, 1002);
	give_parity(&r, 1000, 3, 0);
	assert_int_equal(r.delivered[1], 1);
	give_data(&r, 1001);
	assert_int_equal(r.drops.count[VS_DROP_FEC_DUPLICATE], 2);
	/* The other way round: the original is there first, and the parity finds nothing to do. */
	give_data(&r, 1004);
	give_data(&r, 1003);
	give_parity(&r, 1000, 5, 1);
	assert_int_equal(r.rx.recovered, 1);
	/* The same parity again adds nothing either. */
	give_parity(&r, 1003, 3, 2);
	give_parity(&r, 1003, 3, 2);
	assert_int_equal(count_delivered(&r, 0, 6), 6);
	assert_int_equal(r.rx.recovered, 2);
	close_receiver(&r);
}

/* How old a datum may be: below the ring it is still known whether it has come, below that nothing is. */
static void test_ages(void **state)
{
	(void)state;
	static const struct {
		uint32_t back; /* from the highest */
		bool delivered;
	} cases[] = {
		{ 1, true },
		{ VS_FEC_SHARDS - 1, true },
		{ VS_FEC_SHARDS, true },
		{ VS_FEC_SEEN - 1, true },
		{ VS_FEC_SEEN, false },
		{ VS_FEC_SEEN + 1, false },
	};
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct receiver r;
		uint32_t top = 5000;
		open_receiver(&r, top - SEQS + 1);
		/* In two steps, so that the ring has been passed through. */
		give_data(&r, top - VS_FEC_SEEN - 50);
		give_data(&r, top);
		give_data(&r, top - cases[i].back);
		assert_int_equal(r.delivered[SEQS - 1 - cases[i].back], cases[i].delivered);
		assert_int_equal(r.drops.count[VS_DROP_FEC_LATE], !cases[i].delivered);
		give_data(&r, top - cases[i].back);
		assert_int_equal(r.delivered[SEQS - 1 - cases[i].back], cases[i].delivered);
		close_receiver(&r);
	}
}

static void test_parity_at_the_edge_of_the_ring(void **state)
{
	(void)state;
	static const struct {
		unsigned later; /* data after the window */
		bool regained;
	} cases[] = { { VS_FEC_SHARDS - VS_FEC_WINDOW_MAX, true }, { VS_FEC_SHARDS - VS_FEC_WINDOW_MAX + 1, false } };
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct receiver r;
		open_receiver(&r, 0);
		for (uint32_t seq = 0; seq < VS_FEC_WINDOW_MAX + cases[i].later; seq++)
			if (seq != 5)
				give_data(&r, seq);
		give_parity(&r, 0, VS_FEC_WINDOW_MAX, 3);
		assert_int_equal(r.delivered[5], cases[i].regained);
		assert_int_equal(r.drops.count[VS_DROP_FEC_LATE], !cases[i].regained);
		close_receiver(&r);
	}
}

/* An equation that still waits is worth nothing once one of its data has no place any more. */
static void test_equations_end_with_their_data(void **state)
{
	(void)state;
	struct receiver r;
	open_receiver(&r, 0);
	give_data(&r, 0);
	give_parity(&r, 0, 3, 1);
	for (uint32_t seq = 3; seq < 3 + VS_FEC_SHARDS; seq++)
		give_data(&r, seq);
	assert_int_equal(r.rx.unrecovered, 2);
	/* Their originals, very late, are delivered all the same, and nothing comes of the equation. */
	give_data(&r, 1);
	assert_int_equal(r.rx.recovered, 0);
	assert_int_equal(count_delivered(&r, 0, 3), 2);
	close_receiver(&r);
}

/* --- Beginnings --- */

static void test_first_shard_is_a_parity(void **state)
{
	(void)state;
	struct receiver r;
	open_receiver(&r, 70);
	give_parity(&r, 70, 2, 9);
	give_data(&r, 71);
	assert_int_equal(count_delivered(&r, 0, 2), 2);
	assert_int_equal(r.rx.unrecovered, 0);
	close_receiver(&r);
}

static void test_overtaken_at_the_start(void **state)
{
	(void)state;
	struct receiver r;
	open_receiver(&r, 70);
	give_data(&r, 73);
	give_data(&r, 71);
	give_parity(&r, 70, 4, 9);
	give_data(&r, 72);
	assert_int_equal(count_delivered(&r, 0, 4), 4);
	/* What was before the first shard was not missed. */
	for (uint32_t seq = 74; seq < 74 + 2 * VS_FEC_SHARDS; seq++)
		give_data(&r, seq);
	assert_int_equal(r.rx.unrecovered, 0);
	close_receiver(&r);
}

static void test_far_jumps(void **state)
{
	(void)state;
	static const uint32_t jumps[] = { VS_FEC_SHARDS, VS_FEC_SEEN - 1, VS_FEC_SEEN, VS_FEC_SEEN + 1, 1u << 30,
					  INT32_MAX };
	for (size_t i = 0; i < VS_ARRAY_SIZE(jumps); i++) {
		struct receiver r;
		open_receiver(&r, 10);
		give_data(&r, 10);
		give_parity(&r, 10, 3, 1);
		r.base += jumps[i];
		memset(r.delivered, 0, sizeof(r.delivered));
		give_data(&r, r.base);
		give_data(&r, r.base + 2);
		give_parity(&r, r.base, 3, 2);
		assert_int_equal(count_delivered(&r, 0, 3), 3);
		close_receiver(&r);
	}
}

static void test_reset(void **state)
{
	(void)state;
	struct receiver r;
	open_receiver(&r, 0);
	give_data(&r, 1000);
	vs_fec_rx_reset(&r.rx);
	assert_false(vs_fec_rx_holds(&r.rx));
	/* The peer counts from elsewhere; that it was there before means nothing. */
	give_data(&r, 3);
	give_data(&r, 1000);
	assert_int_equal(r.delivered[3], 1);
	assert_int_equal(r.delivered[1000], 2);
	close_receiver(&r);
}

/* --- Memory --- */

static void test_release(void **state)
{
	(void)state;
	struct receiver r;
	open_receiver(&r, 0);
	assert_false(vs_fec_rx_holds(&r.rx));
	give_data(&r, 0);
	give_data(&r, 2);
	assert_true(vs_fec_rx_holds(&r.rx));
	vs_fec_rx_release(&r.rx);
	assert_false(vs_fec_rx_holds(&r.rx));
	/* What has been delivered is still known; the bytes that would bring back the second are not there. */
	give_data(&r, 2);
	assert_int_equal(r.drops.count[VS_DROP_FEC_DUPLICATE], 1);
	give_parity(&r, 0, 3, 4);
	assert_int_equal(r.rx.recovered, 0);
	give_data(&r, 4);
	give_parity(&r, 3, 2, 5);
	assert_int_equal(r.rx.recovered, 1);
	assert_int_equal(r.delivered[3], 1);
	close_receiver(&r);
}

/* More equations than are kept: the first ones go, and what has one left still comes. */
static void test_too_many_equations(void **state)
{
	(void)state;
	struct receiver r;
	open_receiver(&r, 0);
	give_data(&r, 0);
	for (unsigned i = 0; i < 60; i++)
		give_parity(&r, 1, 63, (uint8_t)i);
	assert_int_equal(r.rx.recovered, 0);
	for (uint32_t seq = 1; seq <= 63 - VS_FEC_EQUATIONS_MAX; seq++)
		give_data(&r, seq);
	assert_int_equal(r.rx.recovered, VS_FEC_EQUATIONS_MAX);
	assert_int_equal(count_delivered(&r, 0, 64), 64);
	close_receiver(&r);
}

/* --- What cannot be --- */

static void test_bad_shards(void **state)
{
	(void)state;
	struct receiver r;
	uint8_t body[DATAGRAM_MAX] = { 0 };
	size_t len;
	const size_t symbol_max = DATAGRAM_MAX - VS_SEAL_OVERHEAD - VS_FEC_PARITY_HEADER;
	open_receiver(&r, 0);
	for (len = 0; len <= 4; len++)
		assert_null(vs_fec_rx_data(&r.rx, body, len, &len));
	assert_null(vs_fec_rx_data(&r.rx, body, 4 + symbol_max - VS_FEC_LENGTH + 1, &len));
	assert_int_equal(r.drops.count[VS_DROP_BAD_FEC], 6);
	static const struct {
		uint8_t count;
		size_t symbol;
	} cases[] = { { 0, 10 }, { VS_FEC_WINDOW_MAX + 1, 10 }, { 255, 10 }, { 3, 0 }, { 3, 1 }, { 3, 2 } };
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		body[4] = cases[i].count;
		vs_fec_rx_parity(&r.rx, body, 6 + cases[i].symbol);
	}
	body[4] = 3;
	vs_fec_rx_parity(&r.rx, body, 6 + symbol_max + 1);
	for (len = 0; len < 6; len++)
		vs_fec_rx_parity(&r.rx, body, len);
	assert_int_equal(r.drops.count[VS_DROP_BAD_FEC], 6 + 6 + 1 + 6);
	assert_false(vs_fec_rx_holds(&r.rx));
	assert_int_equal(r.rx.parities, 0);
	close_receiver(&r);
}

/* A symbol whose own length is none: nothing is delivered of it. */
static void test_lying_symbols(void **state)
{
	(void)state;
	static const uint16_t lengths[] = { 0, 9, UINT16_MAX };
	for (size_t i = 0; i < VS_ARRAY_SIZE(lengths); i++) {
		struct receiver r;
		uint8_t symbol[10] = { 0 }, body[16];
		open_receiver(&r, 0);
		vs_put_be16(symbol, lengths[i]);
		vs_put_be32(body, 40);
		body[4] = 1;
		body[5] = 77;
		vs_fec_multiply(vs_fec_coefficient(77, 40), symbol, sizeof(symbol), body + 6);
		vs_fec_rx_parity(&r.rx, body, sizeof(body));
		size_t len;
		assert_null(vs_fec_rx_take(&r.rx, &len));
		assert_int_equal(r.drops.count[VS_DROP_BAD_FEC], 1);
		/* The datum itself is not taken for one that has come. */
		r.base = 40;
		give_data(&r, 40);
		assert_int_equal(r.delivered[0], 1);
		close_receiver(&r);
	}
}

/* A parity that is shorter than what it is said to cover is not believed. */
static void test_short_parity(void **state)
{
	(void)state;
	struct receiver r;
	open_receiver(&r, 0);
	give_data(&r, 5); /* 186 bytes */
	struct shard s = shard_parity(5, 2, 1);
	vs_fec_rx_parity(&r.rx, s.body, 6 + 100);
	take_all(&r);
	assert_int_equal(r.rx.recovered, 0);
	give_parity(&r, 5, 2, 1);
	assert_int_equal(r.rx.recovered, 1);
	close_receiver(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_coefficients),
		cmocka_unit_test(test_every_pattern),
		cmocka_unit_test(test_sliding),
		cmocka_unit_test(test_random_streams),
		cmocka_unit_test(test_duplicates_and_late_originals),
		cmocka_unit_test(test_ages),
		cmocka_unit_test(test_parity_at_the_edge_of_the_ring),
		cmocka_unit_test(test_equations_end_with_their_data),
		cmocka_unit_test(test_first_shard_is_a_parity),
		cmocka_unit_test(test_overtaken_at_the_start),
		cmocka_unit_test(test_far_jumps),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_release),
		cmocka_unit_test(test_too_many_equations),
		cmocka_unit_test(test_bad_shards),
		cmocka_unit_test(test_lying_symbols),
		cmocka_unit_test(test_short_parity),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
