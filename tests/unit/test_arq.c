/* Both halves of the ARQ without the link around them: segments go from one to the other by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "link/arq_rx.h"
#include "link/arq_tx.h"

#define ROOM 1400
#define SEGMENTS_MAX 4096
#define RTT (20 * VS_MSEC)

/* A segment on its way, with its bytes. */
struct carried {
	struct vs_segment seg;
	uint8_t data[ROOM];
};

struct arq {
	struct vs_pool *pool;
	struct vs_rtt rtt;
	struct vs_congestion *congestion;
	struct vs_drops tx_drops, rx_drops;
	struct vs_arq_tx *tx;
	struct vs_arq_rx *rx;  /* of the data */
	struct vs_arq_rx *own; /* the sender's own receiver, for headers */
	struct vs_deframed arrived;
	uint64_t now;
	uint32_t next_number, expected;
	struct carried *carried; /* written by the last flush() */
	unsigned carried_n;
	uint32_t seed;
};

struct arq_options {
	uint32_t first_sn;
	uint32_t window;
	size_t budget;
	uint64_t max_age_usec;
};

static void open_arq(struct arq *a, struct arq_options o)
{
	*a = (struct arq){ .now = 10 * VS_SEC, .seed = 1 };
	a->pool = vs_pool_new(64 << 20);
	vs_rtt_init(&a->rtt, 0, 0);
	a->congestion = vs_congestion_new(VS_CONGESTION_NONE, ROOM, a->now);
	a->carried = calloc(SEGMENTS_MAX, sizeof(*a->carried));
	struct vs_arq_tx_config tx = {
		.lanes = VS_LANES_MAX,
		.send_window = o.window ? o.window : VS_WINDOW_MAX,
		.max_age_usec = o.max_age_usec,
		.first_sn = o.first_sn,
		.rtt = &a->rtt,
		.congestion = a->congestion,
		.drops = &a->tx_drops,
	};
	struct vs_arq_rx_config rx = {
		.lanes = VS_LANES_MAX,
		.budget = o.budget ? o.budget : 4 << 20,
		.first_sn = o.first_sn,
		.pool = a->pool,
		.drops = &a->rx_drops,
	};
	a->tx = vs_arq_tx_new(&tx);
	a->rx = vs_arq_rx_new(&rx);
	a->own = vs_arq_rx_new(&rx);
	assert_true(a->congestion && a->tx && a->rx && a->own && a->carried);
	vs_frame_list_init(&a->arrived.frames, 8192);
	vs_frame_list_init(&a->arrived.control, 16);
}

static void close_arq(struct arq *a)
{
	vs_arq_tx_free(a->tx);
	vs_arq_rx_free(a->rx);
	vs_arq_rx_free(a->own);
	vs_congestion_free(a->congestion);
	vs_frame_list_fini(&a->arrived.frames);
	vs_frame_list_fini(&a->arrived.control);
	free(a->carried);
	vs_pool_free(a->pool); /* asserts that no frame is left */
}

static uint32_t next_random(struct arq *a)
{
	a->seed = a->seed * 1664525 + 1013904223;
	return a->seed >> 8;
}

/* --- Sending --- */

static struct vs_frame *make_frame(struct arq *a, size_t len)
{
	struct vs_frame *frame = vs_frame_new(a->pool, len);
	assert_non_null(frame);
	memset(vs_frame_bytes(frame), (int)a->next_number, len);
	vs_put_be32(vs_frame_bytes(frame), a->next_number++);
	vs_framing_prepend(frame);
	return frame;
}

/* One frame of `len` bytes as one message, in segments of at most `mss` bytes. Returns the last segment's number. */
static uint32_t admit(struct arq *a, unsigned lane, size_t len, uint32_t mss)
{
	struct vs_frame *frame = make_frame(a, len);
	uint32_t last_sn;
	assert_int_equal(vs_arq_tx_admit(a->tx, lane, frame, frame->offset - VS_FRAMING_HEADER,
					 VS_FRAMING_HEADER + frame->len, mss, mss, a->now, &last_sn),
			 0);
	return last_sn;
}

static void carry(struct arq *a, const struct vs_parts *parts)
{
	uint8_t text[ROOM];
	size_t len = 0;
	for (size_t i = 0; i < parts->n; i++) {
		memcpy(text + len, parts->iov[i].iov_base, parts->iov[i].iov_len);
		len += parts->iov[i].iov_len;
	}
	struct vs_view view = vs_view_of(text, len);
	while (view.len) {
		assert_true(a->carried_n < SEGMENTS_MAX);
		struct carried *c = &a->carried[a->carried_n++];
		assert_true(vs_segment_decode(&view, &c->seg));
		memcpy(c->data, c->seg.data, c->seg.len);
		c->seg.data = c->data;
	}
}

/* Adds everything that may go now, one datagram after the other, to a->carried. */
static unsigned flush_more(struct arq *a)
{
	for (;;) {
		static struct vs_parts parts;
		vs_parts_init(&parts, ROOM);
		vs_arq_tx_write_urgent(a->tx, a->own, a->now, &parts);
		vs_arq_tx_write_lost(a->tx, a->own, a->now, &parts);
		while (vs_arq_tx_write_waiting(a->tx, a->own, a->now, &parts))
			;
		if (!parts.len)
			return a->carried_n;
		carry(a, &parts);
	}
}

static unsigned flush(struct arq *a)
{
	a->carried_n = 0;
	return flush_more(a);
}

/* `n` messages, all sent. */
static void send_many(struct arq *a, unsigned n, size_t len, uint32_t mss)
{
	a->carried_n = 0;
	for (unsigned i = 0; i < n; i++) {
		admit(a, 0, len, mss);
		flush_more(a);
	}
}

/* --- Receiving --- */

static void arrive(struct arq *a, const struct vs_segment *seg)
{
	assert_int_equal(vs_arq_rx_input(a->rx, seg, a->now, &a->arrived), 0);
}

/* Takes the frames that have arrived, in order; returns how many. */
static unsigned take_frames(struct arq *a)
{
	struct vs_frame *frame;
	unsigned n = 0;
	while ((frame = vs_frame_list_pop(&a->arrived.frames))) {
		const uint8_t *p = vs_frame_cbytes(frame);
		uint32_t number = vs_get_be32(p);
		assert_true((int32_t)(number - a->expected) >= 0);
		a->expected = number + 1;
		for (uint32_t i = 4; i < frame->len; i++)
			assert_int_equal(p[i], (uint8_t)number);
		vs_frame_unref(frame);
		n++;
	}
	return n;
}

static size_t write_acks(struct arq *a, uint8_t *out, size_t room)
{
	return vs_arq_rx_write_acks(a->rx, a->now, out, room);
}

/* All ACKs that are owed reach the sender, `after` microseconds later. Returns how many segments that were. */
static unsigned acknowledge(struct arq *a, uint64_t after)
{
	uint8_t text[4096];
	struct vs_view view = vs_view_of(text, write_acks(a, text, sizeof(text)));
	struct vs_segment seg;
	unsigned n = 0;
	a->now += after;
	for (; view.len; n++) {
		assert_true(vs_segment_decode(&view, &seg));
		assert_int_equal(seg.cmd, VS_CMD_ACK);
		assert_true(vs_arq_tx_input(a->tx, &seg, a->now));
	}
	vs_arq_tx_input_done(a->tx, a->now);
	return n;
}

static struct vs_arq_tx_stats tx_stats(const struct arq *a)
{
	struct vs_arq_tx_stats stats;
	vs_arq_tx_stats(a->tx, &stats);
	return stats;
}

static struct vs_arq_rx_stats rx_stats(const struct arq *a)
{
	struct vs_arq_rx_stats stats;
	vs_arq_rx_stats(a->rx, &stats);
	return stats;
}

/* A round trip without losses, so that the round-trip time is known. */
static void settle_in(struct arq *a, unsigned lane)
{
	admit(a, lane, 100, ROOM);
	flush(a);
	for (unsigned i = 0; i < a->carried_n; i++)
		arrive(a, &a->carried[i].seg);
	acknowledge(a, RTT);
	assert_int_equal(take_frames(a), 1);
	assert_true(vs_arq_tx_idle(a->tx));
}

/* --- Sequence numbers --- */

/* Messages of one to three segments with losses and reordering on both ways, over the wrap of the numbers. */
static void test_all_arrive_across_the_wrap(void **state)
{
	(void)state;
	static const uint32_t starts[] = { 0, UINT32_MAX - 100, UINT32_MAX - 1, 0x7fffffc0 };
	for (size_t k = 0; k < VS_ARRAY_SIZE(starts); k++) {
		struct arq a;
		open_arq(&a, (struct arq_options){ .first_sn = starts[k] });
		unsigned got = 0, sent = 0;
		for (unsigned round = 0; round < 2000 && got < 600; round++) {
			while (sent < 600 && vs_arq_tx_lane_ready(a.tx, 3, 3)) {
				admit(&a, 3, 60 + next_random(&a) % 2500, ROOM - VS_SEGMENT_HEADER);
				sent++;
				flush(&a);
				for (unsigned i = a.carried_n; i--;) /* backwards */
					if (next_random(&a) % 100 >= 20)
						arrive(&a, &a.carried[i].seg);
			}
			got += take_frames(&a);
			if (next_random(&a) % 100 >= 20)
				acknowledge(&a, RTT);
			else
				write_acks(&a, (uint8_t[4096]){ 0 }, 4096);
			a.now += VS_MSEC;
			vs_arq_tx_timeout(a.tx, a.now);
			flush(&a);
			for (unsigned i = 0; i < a.carried_n; i++)
				if (next_random(&a) % 100 >= 20)
					arrive(&a, &a.carried[i].seg);
		}
		assert_int_equal(got, 600);
		close_arq(&a);
	}
}

/* Of a window some segments are lost; one ACK must say of each exactly what became of it. */
static void test_bitmap_at_word_and_ring_boundaries(void **state)
{
	(void)state;
	static const struct {
		uint32_t first_sn;
		unsigned count;
		unsigned lost[4];
	} cases[] = {
		{ 0, 10, { 0, 9, 9, 9 } },      { 0, 64, { 0, 63, 63, 63 } },   { 0, 65, { 0, 63, 64, 64 } },
		{ 0, 66, { 0, 64, 65, 65 } },   { 0, 200, { 0, 1, 64, 128 } },  { 63, 130, { 0, 1, 65, 129 } },
		{ 33, 128, { 0, 31, 32, 127 } }, { UINT32_MAX - 10, 100, { 0, 10, 11, 75 } },
		{ 1, 1000, { 0, 511, 512, 999 } }, { 5, 200, { 50, 51, 114, 199 } },
	};
	for (size_t k = 0; k < VS_ARRAY_SIZE(cases); k++) {
		struct arq a;
		unsigned lost = 0;
		open_arq(&a, (struct arq_options){ .first_sn = cases[k].first_sn });
		send_many(&a, cases[k].count, 60, ROOM);
		assert_int_equal(a.carried_n, cases[k].count);
		for (unsigned i = 0; i < cases[k].count; i++) {
			bool lose = false;
			for (unsigned j = 0; j < 4; j++)
				lose |= cases[k].lost[j] == i;
			lost += lose;
			if (!lose)
				arrive(&a, &a.carried[i].seg);
		}
		assert_int_equal(acknowledge(&a, 1), 1);
		assert_int_equal(tx_stats(&a).inflight + tx_stats(&a).waiting, lost);
		close_arq(&a);
	}
}

/* --- Acknowledgements --- */

static void test_malformed_acks(void **state)
{
	(void)state;
	struct arq a;
	open_arq(&a, (struct arq_options){ .first_sn = 100 });
	send_many(&a, 4, 60, ROOM);
	uint8_t payload[VS_ACK_DELAY_SIZE + 600];
	memset(payload, 0xff, sizeof(payload));
	vs_put_be32(payload, 0);
	struct vs_segment ack = { .cmd = VS_CMD_ACK, .wnd = 300, .una = 100, .sn = 100, .ts = (uint32_t)a.now,
				  .data = payload, .len = VS_ACK_DELAY_SIZE };
	struct vs_segment bad = ack;
	bad.una = 105;
	assert_false(vs_arq_tx_input(a.tx, &bad, a.now)); /* acknowledges what was never sent */
	bad.una = 104 + UINT32_C(0x80000000);
	bad.cmd = VS_CMD_WINS;
	assert_true(vs_arq_tx_input(a.tx, &bad, a.now)); /* as far behind as can be: old */
	bad = ack;
	bad.conv = VS_LANES_MAX;
	assert_false(vs_arq_tx_input(a.tx, &bad, a.now));
	bad.conv = 1; /* a lane that was never used */
	bad.una = 101;
	assert_false(vs_arq_tx_input(a.tx, &bad, a.now));
	bad.una = 100;
	assert_true(vs_arq_tx_input(a.tx, &bad, a.now));
	bad = ack;
	bad.sn = 104; /* never sent: ignored */
	assert_true(vs_arq_tx_input(a.tx, &bad, a.now));
	bad.sn = 99;
	assert_true(vs_arq_tx_input(a.tx, &bad, a.now));
	assert_int_equal(tx_stats(&a).inflight, 4);
	bad = ack;
	bad.len = 2; /* too short for a delay: a plain KCP's */
	assert_true(vs_arq_tx_input(a.tx, &bad, a.now));
	assert_int_equal(tx_stats(&a).inflight, 3);
	ack.len = sizeof(payload); /* a bitmap that goes on far beyond what was sent */
	assert_true(vs_arq_tx_input(a.tx, &ack, a.now));
	vs_arq_tx_input_done(a.tx, a.now);
	assert_int_equal(tx_stats(&a).inflight, 0);
	assert_false(vs_arq_tx_idle(a.tx) && tx_stats(&a).spurious);
	close_arq(&a);
}

static void test_impossible_times_give_no_sample(void **state)
{
	(void)state;
	static const struct {
		uint32_t ts_ago, delay;
		bool sample;
	} cases[] = {
		{ 20000, 0, true },          { 20000, 20000, true },    { 20000, 20001, false },
		{ 20000, VS_ACK_DELAY_NONE, false }, { 70000000, 0, false }, { UINT32_MAX - 5, 0, false },
	};
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct arq a;
		uint8_t payload[VS_ACK_DELAY_SIZE];
		open_arq(&a, (struct arq_options){ 0 });
		admit(&a, 0, 60, ROOM);
		flush(&a);
		a.now += 100 * VS_SEC;
		vs_put_be32(payload, cases[i].delay);
		struct vs_segment ack = { .cmd = VS_CMD_ACK, .una = 1, .ts = (uint32_t)a.now - cases[i].ts_ago,
					  .data = payload, .len = sizeof(payload) };
		assert_true(vs_arq_tx_input(a.tx, &ack, a.now));
		vs_arq_tx_input_done(a.tx, a.now);
		assert_int_equal(vs_rtt_known(&a.rtt), cases[i].sample);
		close_arq(&a);
	}
}

/* The ACK of a lane is lost. Those of other lanes that follow repeat it, a few times, without an echo of time. */
static void test_acks_are_repeated_beside_others(void **state)
{
	(void)state;
	struct arq a;
	open_arq(&a, (struct arq_options){ 0 });
	settle_in(&a, 2);
	uint64_t srtt = a.rtt.srtt_usec;
	admit(&a, 0, 60, ROOM);
	flush(&a);
	arrive(&a, &a.carried[0].seg);
	uint8_t lost[256];
	assert_true(write_acks(&a, lost, sizeof(lost)) >= VS_SEGMENT_HEADER + VS_ACK_DELAY_SIZE);
	unsigned repeats = 0;
	while (repeats < 100) {
		assert_int_equal(write_acks(&a, lost, sizeof(lost)), 0); /* never by itself */
		admit(&a, 2, 60, ROOM);
		flush(&a);
		arrive(&a, &a.carried[0].seg);
		if (acknowledge(&a, RTT) == 1)
			break;
		repeats++;
		assert_true(vs_arq_tx_idle(a.tx));
	}
	assert_in_range(repeats, 2, 20);
	/* Had its echo counted, the last repetition would have said many round trips. */
	assert_int_equal(a.rtt.srtt_usec, srtt);
	assert_int_equal(tx_stats(&a).retransmitted, 0);
	assert_int_equal(take_frames(&a), repeats + 2);
	close_arq(&a);
}

/* --- Losses and reordering --- */

static void test_later_arrivals_prove_a_loss(void **state)
{
	(void)state;
	struct arq a;
	open_arq(&a, (struct arq_options){ 0 });
	settle_in(&a, 0);
	uint32_t lost_sn = admit(&a, 0, 60, ROOM);
	flush(&a);
	a.now += 10 * VS_MSEC;
	admit(&a, 5, 60, ROOM); /* in another lane: the path is one */
	flush(&a);
	arrive(&a, &a.carried[0].seg);
	acknowledge(&a, RTT);
	assert_int_equal(tx_stats(&a).lost, 1);
	assert_int_equal(flush(&a), 1);
	assert_int_equal(a.carried[0].seg.sn, lost_sn);
	assert_int_equal(a.carried[0].seg.conv, 0);
	close_arq(&a);
}

/* The una of a data segment speaks of its own lane only: what it says of time waits for the next ACK, which brings the
 * other lanes' news as well. */
static void test_una_of_data_condemns_no_other_lane(void **state)
{
	(void)state;
	struct arq a;
	uint8_t lost[256];
	open_arq(&a, (struct arq_options){ 0 });
	settle_in(&a, 0);
	admit(&a, 0, 60, ROOM);
	flush(&a);
	arrive(&a, &a.carried[0].seg);
	a.now += 10 * VS_MSEC;
	uint32_t sn = admit(&a, 5, 60, ROOM);
	flush(&a);
	arrive(&a, &a.carried[0].seg);
	assert_true(write_acks(&a, lost, sizeof(lost)) > 0);
	a.now += RTT;
	struct vs_segment data = { .conv = 5, .cmd = VS_CMD_PUSH, .una = sn + 1, .wnd = 300 };
	assert_true(vs_arq_tx_input(a.tx, &data, a.now));
	vs_arq_tx_input_done(a.tx, a.now);
	assert_int_equal(tx_stats(&a).inflight, 1);
	assert_int_equal(tx_stats(&a).lost, 0);
	admit(&a, 6, 60, ROOM);
	flush(&a);
	arrive(&a, &a.carried[0].seg);
	acknowledge(&a, RTT);
	assert_int_equal(tx_stats(&a).lost, 0);
	assert_true(vs_arq_tx_idle(a.tx));
	close_arq(&a);
}

/* The window is full of what the receiver has no room for, and what it waits for is known to be lost. */
static void test_probe_sends_what_is_lost_first(void **state)
{
	(void)state;
	struct arq a;
	open_arq(&a, (struct arq_options){ .budget = 20 * 1024 });
	vs_congestion_free(a.congestion);
	a.congestion = vs_congestion_new(VS_CONGESTION_CUBIC, ROOM, a.now);
	vs_arq_tx_set_congestion(a.tx, a.congestion);
	settle_in(&a, 0);
	unsigned got = 0;
	for (unsigned i = 0; i < 100; i++) {
		static struct vs_parts parts;
		vs_parts_init(&parts, ROOM);
		a.carried_n = 0;
		admit(&a, 0, 1000, ROOM);
		vs_arq_tx_write_waiting(a.tx, a.own, a.now, &parts);
		carry(&a, &parts);
		a.now += 10;
		if (i > 0)
			arrive(&a, &a.carried[0].seg);
	}
	acknowledge(&a, RTT);
	for (unsigned i = 0; i < 2000 && !vs_arq_tx_idle(a.tx); i++) {
		a.now = VS_MAX(a.now + VS_MSEC, VS_MIN(vs_arq_tx_deadline(a.tx), a.now + VS_SEC));
		vs_arq_tx_timeout(a.tx, a.now);
		flush(&a);
		for (unsigned k = 0; k < a.carried_n; k++)
			arrive(&a, &a.carried[k].seg);
		acknowledge(&a, RTT);
		got += take_frames(&a);
	}
	assert_int_equal(got, 100);
	close_arq(&a);
}

/* Sent just before one that arrived, so overdue only after the reordering window. */
static void test_reordering_window_is_waited_for(void **state)
{
	(void)state;
	struct arq a;
	open_arq(&a, (struct arq_options){ 0 });
	settle_in(&a, 0);
	admit(&a, 0, 60, ROOM);
	flush(&a);
	a.now += 100;
	admit(&a, 1, 60, ROOM);
	flush(&a);
	arrive(&a, &a.carried[0].seg);
	acknowledge(&a, RTT);
	assert_int_equal(tx_stats(&a).lost, 0);
	uint64_t deadline = vs_arq_tx_deadline(a.tx);
	assert_int_equal(deadline, a.now - 100 + tx_stats(&a).reorder_usec);
	a.now = deadline - 1;
	vs_arq_tx_timeout(a.tx, a.now);
	assert_int_equal(tx_stats(&a).lost, 0);
	a.now = deadline;
	vs_arq_tx_timeout(a.tx, a.now);
	assert_int_equal(tx_stats(&a).lost, 1);
	close_arq(&a);
}

/* Sends two segments, of which the first comes `late` after the second's round trip. */
static void overtake(struct arq *a, uint64_t late)
{
	admit(a, 0, 60, ROOM);
	flush(a);
	struct carried held = a->carried[0];
	held.seg.data = held.data;
	a->now += 100;
	admit(a, 1, 60, ROOM);
	flush(a);
	arrive(a, &a->carried[0].seg);
	acknowledge(a, RTT);
	a->now += late;
	vs_arq_tx_timeout(a->tx, a->now);
	bool resent = flush(a) > 0;
	struct carried again = a->carried[0];
	again.seg.data = again.data;
	if (resent)
		arrive(a, &again.seg);
	if (resent)
		acknowledge(a, RTT);
	arrive(a, &held.seg);
	acknowledge(a, 0);
	assert_true(vs_arq_tx_idle(a->tx));
}

/* An original that comes even after its retransmission has been acknowledged still teaches. */
static void test_reordering_is_learned(void **state)
{
	(void)state;
	struct arq a;
	open_arq(&a, (struct arq_options){ 0 });
	settle_in(&a, 0);
	assert_int_equal(tx_stats(&a).reorder_usec, RTT / 4);
	overtake(&a, 12 * VS_MSEC);
	assert_int_equal(tx_stats(&a).lost, 1);
	assert_in_range(tx_stats(&a).reorder_usec, 12 * VS_MSEC, 50 * VS_MSEC);
	overtake(&a, 12 * VS_MSEC);
	assert_int_equal(tx_stats(&a).lost, 1);
	close_arq(&a);
}

/* A lost ACK whose news come later is no reordering: the window must not grow. */
static void test_lost_acks_are_not_reordering(void **state)
{
	(void)state;
	struct arq a;
	uint8_t lost[4096];
	open_arq(&a, (struct arq_options){ 0 });
	settle_in(&a, 0);
	for (unsigned i = 0; i < 20; i++) {
		admit(&a, 0, 60, ROOM);
		flush(&a);
		arrive(&a, &a.carried[0].seg);
		if (i % 2 == 0)
			write_acks(&a, lost, sizeof(lost));
		else
			acknowledge(&a, RTT);
		a.now += 2 * VS_MSEC;
		take_frames(&a);
		settle_in(&a, 7);
	}
	assert_true(tx_stats(&a).reorder_usec <= RTT / 2);
	close_arq(&a);
}

/* The congestion window counts as open until it is full, for lost segments as for new ones: where it is open, something
 * goes. */
static void test_open_window_lets_lost_segments_go(void **state)
{
	(void)state;
	struct arq a;
	open_arq(&a, (struct arq_options){ 0 });
	vs_congestion_free(a.congestion);
	a.congestion = vs_congestion_new(VS_CONGESTION_CUBIC, ROOM, a.now);
	vs_arq_tx_set_congestion(a.tx, a.congestion);
	settle_in(&a, 0);
	for (unsigned i = 0; i < 200; i++) {
		static struct vs_parts parts;
		admit(&a, 0, 1300, ROOM);
		vs_parts_init(&parts, ROOM);
		a.carried_n = 0;
		assert_true(vs_arq_tx_write_waiting(a.tx, a.own, a.now, &parts));
		carry(&a, &parts);
		a.now += 100;
	}
	arrive(&a, &a.carried[0].seg);
	acknowledge(&a, 3 * RTT);
	assert_true(tx_stats(&a).lost > 100);
	flush(&a);
	assert_true(vs_arq_tx_has_lost(a.tx));
	assert_true(vs_arq_tx_inflight(a.tx) >= vs_congestion_window(a.congestion));
	close_arq(&a);
}

/* KCP's fast retransmission: so many that were sent later have arrived. Time alone would not tell yet. */
static void test_resend(void **state)
{
	static const struct {
		uint8_t resend;
		unsigned arrive;
		unsigned lost;
	} rows[] = { { 0, 4, 0 }, { 2, 1, 0 }, { 2, 2, 1 }, { 2, 4, 1 }, { 4, 3, 0 }, { 4, 4, 1 }, { 5, 4, 0 } };
	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		struct vs_kcp_config knobs = vs_kcp_config_default();
		struct arq a;
		open_arq(&a, (struct arq_options){ 0 });
		settle_in(&a, 0);
		knobs.resend = rows[i].resend;
		vs_arq_tx_set_knobs(a.tx, &knobs);
		send_many(&a, 5, 60, ROOM);
		uint32_t first = a.carried[0].seg.sn;
		/* In any order: what counts is when they were sent. */
		for (unsigned n = rows[i].arrive; n > 0; n--)
			arrive(&a, &a.carried[n].seg);
		acknowledge(&a, RTT);
		assert_int_equal(tx_stats(&a).lost, rows[i].lost);
		assert_int_equal(flush(&a), rows[i].lost);
		if (rows[i].lost)
			assert_int_equal(a.carried[0].seg.sn, first);
		/* What was sent again was sent last: nothing has overtaken it. */
		acknowledge(&a, 0);
		assert_int_equal(tx_stats(&a).lost, rows[i].lost);
		close_arq(&a);
	}
}

/* --- Probes --- */

/* Each probe timeout without an answer is twice the one before; with nodelay half as long again. */
static void test_nodelay(void **state)
{
	uint64_t gaps[2][2];
	(void)state;
	for (unsigned nodelay = 0; nodelay < 2; nodelay++) {
		struct vs_kcp_config knobs = vs_kcp_config_default();
		struct arq a;
		open_arq(&a, (struct arq_options){ 0 });
		settle_in(&a, 0);
		knobs.nodelay = nodelay;
		vs_arq_tx_set_knobs(a.tx, &knobs);
		admit(&a, 0, 60, ROOM);
		flush(&a);
		for (unsigned i = 0; i < 2; i++) {
			uint64_t deadline = vs_arq_tx_deadline(a.tx);
			gaps[nodelay][i] = deadline - a.now;
			a.now = deadline;
			assert_int_equal(vs_arq_tx_timeout(a.tx, a.now), VS_ARQ_PROBE);
			assert_int_equal(flush(&a), 1);
		}
		close_arq(&a);
	}
	assert_int_equal(gaps[0][0], gaps[1][0]);
	assert_int_equal(gaps[0][1], 2 * gaps[0][0]);
	assert_int_equal(gaps[1][1], gaps[1][0] + gaps[1][0] / 2);
}

/* Lanes start afresh on both sides: what was not acknowledged comes, and in order; what waited behind a gap does not wait
 * any more. */
static void test_restart(void **state)
{
	(void)state;
	struct arq a;
	open_arq(&a, (struct arq_options){ 0 });
	settle_in(&a, 0);
	send_many(&a, 6, 60, ROOM);
	arrive(&a, &a.carried[0].seg);
	acknowledge(&a, RTT);
	assert_int_equal(take_frames(&a), 1);
	/* The second is lost. Whether the third is whole cannot be known without it; the fourth is. */
	arrive(&a, &a.carried[2].seg);
	arrive(&a, &a.carried[3].seg);
	assert_int_equal(take_frames(&a), 0);
	vs_arq_rx_restart(a.rx, &a.arrived);
	assert_int_equal(take_frames(&a), 1);
	assert_int_equal(rx_stats(&a).held, 0);
	vs_arq_tx_restart(a.tx, 64, ROOM / 2);
	a.expected = 0;
	unsigned n = 0;
	while (flush(&a))
		for (unsigned i = 0; i < a.carried_n; i++, n++) {
			assert_int_equal(a.carried[i].seg.sn, n);
			arrive(&a, &a.carried[i].seg);
		}
	assert_int_equal(n, 5);
	assert_int_equal(take_frames(&a), 5);
	acknowledge(&a, RTT);
	assert_true(vs_arq_tx_idle(a.tx));
	close_arq(&a);
}

static void test_probe_goes_when_nothing_is_heard(void **state)
{
	(void)state;
	struct arq a;
	open_arq(&a, (struct arq_options){ 0 });
	settle_in(&a, 0);
	uint32_t sn = admit(&a, 0, 60, ROOM);
	flush(&a);
	uint64_t sent = a.now, gap = 0;
	for (unsigned i = 0; i < 6; i++) {
		uint64_t deadline = vs_arq_tx_deadline(a.tx);
		assert_true(deadline > a.now);
		assert_true(deadline - a.now >= gap && deadline - a.now <= 400 * VS_MSEC);
		gap = deadline - a.now;
		a.now = deadline - 1;
		assert_int_equal(vs_arq_tx_timeout(a.tx, a.now), VS_ARQ_NOTHING);
		a.now = deadline;
		assert_int_equal(vs_arq_tx_timeout(a.tx, a.now), VS_ARQ_PROBE);
		assert_true(vs_arq_tx_urgent(a.tx, a.now));
		assert_int_equal(flush(&a), 1);
		assert_int_equal(a.carried[0].seg.sn, sn);
		assert_false(vs_arq_tx_urgent(a.tx, a.now));
	}
	assert_true(a.now - sent > RTT);
	assert_int_equal(tx_stats(&a).probes, 6);
	assert_int_equal(tx_stats(&a).lost, 0);
	arrive(&a, &a.carried[0].seg);
	acknowledge(&a, RTT);
	assert_int_equal(vs_arq_tx_deadline(a.tx), VS_NEVER);
	close_arq(&a);
}

/* --- SKIP --- */

static void test_old_messages_are_given_up(void **state)
{
	(void)state;
	struct arq a;
	open_arq(&a, (struct arq_options){ .max_age_usec = VS_SEC });
	settle_in(&a, 0);
	admit(&a, 0, 3000, 1000); /* four segments */
	flush(&a);
	uint64_t end = a.now + 3 * VS_SEC;
	bool skipped = false;
	unsigned skips = 0;
	while (a.now < end) {
		a.now = vs_arq_tx_deadline(a.tx);
		vs_arq_tx_timeout(a.tx, a.now);
		flush(&a);
		for (unsigned i = 0; i < a.carried_n; i++) {
			bool skip = a.carried[i].seg.cmd == VS_CMD_SKIP;
			assert_false(skipped && !skip); /* what was given up is not sent any more */
			skipped |= skip;
			skips += skip;
		}
	}
	assert_true(skips >= 4); /* repeated until the receiver knows */
	assert_int_equal(tx_stats(&a).skipped, 1);
	assert_int_equal(a.tx_drops.count[VS_DROP_MAX_AGE], 1);
	assert_int_equal(a.carried[0].seg.sn, 5);
	arrive(&a, &a.carried[0].seg);
	acknowledge(&a, RTT);
	assert_true(vs_arq_tx_idle(a.tx));
	settle_in(&a, 0); /* the lane goes on */
	close_arq(&a);
}

/* Of five messages some segments arrive; SKIP then gives up all before a number. */
static void test_skip_delivers_what_is_whole(void **state)
{
	(void)state;
	/* Messages 0 ... 4 of two segments each: numbers 0-1, 2-3, 4-5, 6-7, 8-9. */
	static const struct {
		uint16_t arrive;   /* bit: segment arrives before the SKIP */
		uint32_t skip;     /* to this number */
		unsigned frames;   /* delivered by then */
		uint32_t una;
	} cases[] = {
		{ 0x000, 2, 0, 2 },  { 0x000, 10, 0, 10 }, { 0x002, 2, 0, 2 },
		{ 0x001, 2, 0, 2 },   /* half a message in the deframer */
		{ 0x00c, 2, 1, 4 },   /* what follows is in order now */
		{ 0x03c, 6, 1, 6 },   /* behind a gap, the first message's start is not known: only the second */
		{ 0x3f0, 4, 3, 10 }, { 0x0f3, 4, 3, 8 },   { 0x0c3, 6, 2, 8 },
		{ 0x003, 2, 1, 2 },   /* all there: nothing to give up */
		{ 0x00f, 2, 2, 4 },   /* late: the receiver is ahead */
	};
	for (size_t k = 0; k < VS_ARRAY_SIZE(cases); k++) {
		struct arq a;
		open_arq(&a, (struct arq_options){ .first_sn = 0 });
		send_many(&a, 5, 1500, 1000);
		assert_int_equal(a.carried_n, 10);
		for (unsigned i = 0; i < 10; i++)
			if (cases[k].arrive >> i & 1)
				arrive(&a, &a.carried[i].seg);
		struct vs_segment skip = { .cmd = VS_CMD_SKIP, .sn = cases[k].skip };
		arrive(&a, &skip);
		assert_int_equal(take_frames(&a), cases[k].frames);
		assert_int_equal(vs_arq_rx_una(a.rx, 0), cases[k].una);
		arrive(&a, &skip); /* again: nothing happens, but it is answered */
		assert_int_equal(vs_arq_rx_una(a.rx, 0), cases[k].una);
		assert_true(vs_arq_rx_deadline(a.rx) != VS_NEVER);
		/* Everything else comes after all: the rest is delivered, nothing twice. */
		for (unsigned i = 0; i < 10; i++)
			arrive(&a, &a.carried[i].seg);
		take_frames(&a);
		assert_int_equal(vs_arq_rx_una(a.rx, 0), 10);
		assert_int_equal(a.expected, cases[k].skip == 10 ? 0 : 5);
		assert_int_equal(rx_stats(&a).held, 0);
		close_arq(&a);
	}
}

static void test_skip_beyond_the_window_is_refused(void **state)
{
	(void)state;
	struct arq a;
	open_arq(&a, (struct arq_options){ .first_sn = UINT32_MAX - 3 });
	struct vs_segment skip = { .cmd = VS_CMD_SKIP, .sn = UINT32_MAX - 3 + VS_WINDOW_MAX + 1 };
	arrive(&a, &skip);
	assert_int_equal(vs_arq_rx_una(a.rx, 0), UINT32_MAX - 3);
	assert_int_equal(a.rx_drops.count[VS_DROP_OUT_OF_WINDOW], 1);
	skip.sn--;
	arrive(&a, &skip);
	assert_int_equal(vs_arq_rx_una(a.rx, 0), VS_WINDOW_MAX - 4);
	close_arq(&a);
}

/* --- Limits --- */

static void test_window_limits(void **state)
{
	(void)state;
	struct arq a;
	open_arq(&a, (struct arq_options){ .window = 1000 });
	/* Before the peer has said anything, its window is the least that there is. */
	unsigned n = 0;
	for (; vs_arq_tx_lane_ready(a.tx, 0, 1); n++) {
		admit(&a, 0, 60, ROOM);
		flush(&a);
		arrive(&a, &a.carried[0].seg);
	}
	assert_int_equal(n, VS_WINDOW_MIN);
	assert_true(vs_arq_tx_lane_ready(a.tx, 1, 1)); /* other lanes have their own */
	uint8_t acks[4096];
	struct vs_view view = vs_view_of(acks, write_acks(&a, acks, sizeof(acks)));
	struct vs_segment ack;
	assert_true(vs_segment_decode(&view, &ack));
	a.now += RTT;
	assert_true(vs_arq_tx_input(a.tx, &ack, a.now));
	assert_int_equal(vs_arq_tx_input_done(a.tx, a.now), 1); /* lane 0 has gained room */
	for (n = 0; vs_arq_tx_lane_ready(a.tx, 0, 1); n++) {
		admit(&a, 0, 60, ROOM);
		flush(&a);
	}
	assert_int_equal(n, 1000); /* now the sender's own */
	assert_int_equal(take_frames(&a), VS_WINDOW_MIN);
	close_arq(&a);
}

static void test_segments_beyond_the_window_are_refused(void **state)
{
	(void)state;
	struct arq a;
	open_arq(&a, (struct arq_options){ .first_sn = 7 });
	uint8_t byte = 0;
	struct vs_segment push = { .cmd = VS_CMD_PUSH, .sn = 7 + VS_WINDOW_MAX, .data = &byte, .len = 1 };
	arrive(&a, &push);
	assert_int_equal(a.rx_drops.count[VS_DROP_OUT_OF_WINDOW], 1);
	assert_int_equal(vs_arq_rx_deadline(a.rx), VS_NEVER);
	push.sn--;
	arrive(&a, &push);
	assert_true(rx_stats(&a).held > 0);
	push.conv = VS_LANES_MAX;
	arrive(&a, &push);
	assert_int_equal(a.rx_drops.count[VS_DROP_BAD_LANE], 1);
	close_arq(&a);
}

/* Over budget nothing more is kept, but the lane moves: what comes in order needs no room. */
static void test_budget_is_kept_and_the_lane_moves(void **state)
{
	(void)state;
	struct arq a;
	const size_t budget = 50 * 1024;
	open_arq(&a, (struct arq_options){ .budget = budget });
	send_many(&a, 200, 1000, ROOM);
	assert_int_equal(a.carried_n, 200);
	for (unsigned i = 199; i > 0; i--) {
		arrive(&a, &a.carried[i].seg);
		assert_true(rx_stats(&a).held <= budget + 1664);
		assert_int_equal(vs_arq_rx_window(a.rx), VS_WINDOW_MIN);
	}
	unsigned dropped = (unsigned)a.rx_drops.count[VS_DROP_NO_BUFFER];
	assert_true(dropped > 100);
	/* What was dropped is not acknowledged. */
	acknowledge(&a, RTT);
	assert_int_equal(tx_stats(&a).inflight + tx_stats(&a).waiting, dropped + 1);
	for (unsigned i = 0; i < 200; i++)
		arrive(&a, &a.carried[i].seg);
	assert_int_equal(take_frames(&a), 200);
	assert_int_equal(rx_stats(&a).held, 0);
	close_arq(&a);
}

static void test_lanes_are_picked_so_that_flows_keep_order(void **state)
{
	(void)state;
	struct arq a;
	open_arq(&a, (struct arq_options){ 0 });
	struct vs_flow flow = { .lane = -1 };
	assert_int_equal(vs_arq_tx_pick_lane(a.tx, &flow, 77), 0); /* idle */
	flow.lane = 0;
	flow.last_sn = admit(&a, 0, 60, ROOM);
	flush(&a);
	assert_int_equal(vs_arq_tx_pick_lane(a.tx, &flow, 77), 0); /* its own while unacknowledged */
	struct vs_flow other = { .lane = -1 };
	assert_int_equal(vs_arq_tx_pick_lane(a.tx, &other, 77), 1);
	for (unsigned lane = 1; lane < VS_LANES_MAX; lane++)
		admit(&a, lane, 60, ROOM);
	assert_int_equal(vs_arq_tx_pick_lane(a.tx, &other, 77), 77 % VS_LANES_MAX); /* none is idle */
	arrive(&a, &a.carried[0].seg);
	admit(&a, 0, 60, ROOM);
	acknowledge(&a, RTT);
	/* Its last frame has arrived, but another's is in its lane now; with no idle lane, that of its hash. */
	assert_int_equal(vs_arq_tx_pick_lane(a.tx, &flow, 77), 77 % VS_LANES_MAX);
	close_arq(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_arrive_across_the_wrap),
		cmocka_unit_test(test_bitmap_at_word_and_ring_boundaries),
		cmocka_unit_test(test_malformed_acks),
		cmocka_unit_test(test_impossible_times_give_no_sample),
		cmocka_unit_test(test_acks_are_repeated_beside_others),
		cmocka_unit_test(test_later_arrivals_prove_a_loss),
		cmocka_unit_test(test_una_of_data_condemns_no_other_lane),
		cmocka_unit_test(test_probe_sends_what_is_lost_first),
		cmocka_unit_test(test_reordering_window_is_waited_for),
		cmocka_unit_test(test_reordering_is_learned),
		cmocka_unit_test(test_lost_acks_are_not_reordering),
		cmocka_unit_test(test_open_window_lets_lost_segments_go),
		cmocka_unit_test(test_resend),
		cmocka_unit_test(test_nodelay),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_probe_goes_when_nothing_is_heard),
		cmocka_unit_test(test_old_messages_are_given_up),
		cmocka_unit_test(test_skip_delivers_what_is_whole),
		cmocka_unit_test(test_skip_beyond_the_window_is_refused),
		cmocka_unit_test(test_window_limits),
		cmocka_unit_test(test_segments_beyond_the_window_are_refused),
		cmocka_unit_test(test_budget_is_kept_and_the_lane_moves),
		cmocka_unit_test(test_lanes_are_picked_so_that_flows_keep_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
