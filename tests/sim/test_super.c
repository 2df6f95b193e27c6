/* Super-frames on a slow line: one TCP stream (NewReno as far as it matters here) that sends whole super-frames, and
 * beside it a flow of small frames. Both must fare as they do where the stream is cut into ordinary frames before it
 * enters the switch: the small frames wait no longer, the stream's own delay and rate are the same, and what CoDel
 * takes of it, it takes by the segment. Every byte of the stream is compared.
 *
 * Sent undivided, super-frames of 44 segments had made the small frames wait 322 ms in the median at 1 Mbit/s and
 * 100 ms at 2 Mbit/s, in place of 7 and 3 ms, and the stream's own delay 1.2 s and 0.6 s. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/gso.h"
#include "sim/world.h"
#include "unit/superframe.h"

#define MBIT UINT64_C(1000000)
#define MSS 1448u
#define SUPER_SEGMENTS 44u
#define WINDOW_MAX 600u /* segments */
#define SENT_RING 4096u
#define ETHERTYPE_ACK 0x88b5
#define ETHERTYPE_SPARSE 0x88b6
#define SPARSE_USEC (20 * VS_MSEC)
#define RETRANSMIT_USEC (3 * VS_SEC)
#define WAITS_MAX 16384

struct waits {
	uint32_t usec[WAITS_MAX];
	size_t n;
};

/* A TCP sender and its receiver; all numbers are segments. */
struct stream {
	bool supers;
	uint32_t next, acked;       /* sender: to be sent; all before have arrived or are known to be lost */
	uint32_t recover, lost;     /* the loss that was reacted to; lost, as far as the sender knows */
	uint32_t cwnd, threshold, grown;
	uint64_t progress_usec;
	uint64_t sent_usec[SENT_RING];
	uint32_t expected, missing; /* receiver */
};

struct lan {
	struct sim_world *world;
	struct sim_event sparse_timer, stream_timer;
	struct stream stream;
	struct waits sparse, bulk;
};

static const struct superframe shape = { .name = "tcp4", .tcp_flags = 0x10, .gso_size = MSS };

static void note(struct waits *waits, uint64_t usec)
{
	if (waits->n < WAITS_MAX)
		waits->usec[waits->n++] = (uint32_t)usec;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static double percentile_ms(struct waits *waits, unsigned p)
{
	assert_true(waits->n > 0);
	qsort(waits->usec, waits->n, sizeof(*waits->usec), compare);
	return waits->usec[(waits->n - 1) * p / 100] / 1e3;
}

/* --- Sender ------------------------------------------------------------------------------------------------------- */

static struct vs_frame *stream_frame(struct vs_pool *pool, uint32_t first, uint32_t segments)
{
	struct superframe s = shape;
	s.payload = segments * MSS;
	struct superframe_parts at = superframe_parts(&s);
	struct vs_frame *frame = superframe_new(pool, &s);
	assert_non_null(frame);
	uint8_t *b = vs_frame_bytes(frame);
	b[at.l3 + 1] = 0; /* not ECN-capable */
	vs_put_be32(b + at.l4 + 4, first * MSS);
	for (uint32_t i = 0; i < s.payload; i++)
		b[at.payload + i] = superframe_payload_byte(first * MSS + i);
	return frame;
}

static void send_segments(struct lan *lan, uint32_t segments, uint64_t now)
{
	struct stream *s = &lan->stream;
	struct sim_client *c = &lan->world->clients[0];
	struct vs_frame *frame = stream_frame(c->pool, s->next, segments), *segment;
	struct vs_frame_list cut;
	for (uint32_t i = 0; i < segments; i++)
		s->sent_usec[(s->next + i) % SENT_RING] = now;
	s->next += segments;
	if (s->supers) {
		sim_client_send(c, frame);
		return;
	}
	vs_frame_list_init(&cut, SUPER_SEGMENTS);
	assert_int_equal(vs_gso_segment(c->pool, frame, 1514, &cut), 0);
	vs_frame_unref(frame);
	while ((segment = vs_frame_list_pop(&cut)))
		sim_client_send(c, segment);
	vs_frame_list_fini(&cut);
}

/* Waits until half of the window or a whole super-frame can go, so that there are long ones. */
static void fill_window(struct lan *lan, uint64_t now)
{
	struct stream *s = &lan->stream;
	uint32_t burst = VS_MIN(SUPER_SEGMENTS, VS_MAX(s->cwnd / 2, 1u));
	while (s->next - s->acked + burst <= s->cwnd)
		send_segments(lan, burst, now);
	sim_event_set(&lan->world->clock, &lan->stream_timer, s->progress_usec + RETRANSMIT_USEC);
}

static void time_out(struct sim_event *event, uint64_t now)
{
	struct lan *lan = VS_CONTAINER_OF(event, struct lan, stream_timer);
	struct stream *s = &lan->stream;
	s->acked = s->recover = s->next;
	s->cwnd = 2;
	s->progress_usec = now;
	fill_window(lan, now);
}

static void grow(struct stream *s, uint32_t acked)
{
	if (s->cwnd < s->threshold) {
		s->cwnd += acked;
	} else if ((s->grown += acked) >= s->cwnd) {
		s->grown = 0;
		s->cwnd++;
	}
	s->cwnd = VS_MIN(s->cwnd, WINDOW_MAX);
}

static void input_ack(struct lan *lan, const uint8_t *body, uint64_t now)
{
	struct stream *s = &lan->stream;
	uint32_t acked = vs_get_be32(body), lost = vs_get_be32(body + 4);
	if ((int32_t)(acked - s->acked) <= 0)
		return;
	grow(s, acked - s->acked);
	/* Once a window, as NewReno (RFC 6582). */
	if (lost != s->lost && (int32_t)(acked - s->recover) > 0) {
		s->threshold = s->cwnd = VS_MAX(s->cwnd / 2, 2u);
		s->recover = s->next;
	}
	s->lost = lost;
	s->acked = acked;
	s->progress_usec = now;
	fill_window(lan, now);
}

/* --- Receiver ----------------------------------------------------------------------------------------------------- */

static void send_small(struct lan *lan, unsigned from, uint16_t ethertype, const uint8_t body[8])
{
	struct sim_client *c = &lan->world->clients[from];
	struct vs_frame *frame = vs_frame_new(c->pool, 120);
	assert_non_null(frame);
	uint8_t *b = vs_frame_bytes(frame);
	memset(b, 0, frame->len);
	b[0] = b[6] = 2;
	b[5] = from ? 0xa : 0xb;
	b[11] = from ? 0xb : 0xa;
	vs_put_be16(b + 12, ethertype);
	memcpy(b + 14, body, 8);
	sim_client_send(c, frame);
}

static void input_segment(struct lan *lan, const struct vs_frame *frame, uint64_t now)
{
	struct superframe_parts at = superframe_parts(&shape);
	struct stream *s = &lan->stream;
	const uint8_t *b = vs_frame_cbytes(frame);
	uint32_t seq = vs_get_be32(b + at.l4 + 4), number = seq / MSS;
	assert_int_equal(frame->len, at.payload + MSS);
	assert_true(superframe_checksums_ok(b, frame->len, at, false, false));
	uint8_t payload[MSS];
	for (uint32_t i = 0; i < MSS; i++)
		payload[i] = superframe_payload_byte(seq + i);
	assert_memory_equal(b + at.payload, payload, MSS);
	assert_true((int32_t)(number - s->expected) >= 0 && (int32_t)(number - s->next) < 0);
	s->missing += number - s->expected;
	s->expected = number + 1;
	note(&lan->bulk, now - s->sent_usec[number % SENT_RING]);
}

static void input_stream(struct lan *lan, struct vs_frame *frame, uint64_t now)
{
	struct stream *s = &lan->stream;
	struct vs_frame_list cut;
	struct vs_frame *segment;
	uint8_t body[8];
	vs_frame_list_init(&cut, VS_GSO_SEGMENTS_MAX);
	if (frame->super)
		assert_int_equal(vs_gso_segment(lan->world->clients[1].pool, frame, 1514, &cut), 0);
	else
		assert_true(vs_frame_list_push(&cut, vs_frame_ref(frame)));
	while ((segment = vs_frame_list_pop(&cut))) {
		input_segment(lan, segment, now);
		vs_frame_unref(segment);
	}
	vs_frame_list_fini(&cut);
	vs_put_be32(body, s->expected);
	vs_put_be32(body + 4, s->missing);
	send_small(lan, 1, ETHERTYPE_ACK, body);
}

static void arrived(struct sim_world *world, int where, const struct vs_frame *frame, uint64_t sent_usec, uint64_t now)
{
	struct lan *lan = world->user;
	const uint8_t *b = vs_frame_cbytes(frame);
	uint16_t ethertype = vs_get_be16(b + 12);
	if (ethertype == ETHERTYPE_SPARSE && where == SIM_AT_SERVER)
		note(&lan->sparse, vs_time_since(sent_usec, vs_get_be64(b + 14)));
	if (ethertype == ETHERTYPE_ACK && where == SIM_AT_PC(0))
		input_ack(lan, b + 14, now);
	if (ethertype == 0x0800 && where == SIM_AT_PC(1))
		input_stream(lan, (struct vs_frame *)(uintptr_t)frame, now);
}

static void send_sparse(struct sim_event *event, uint64_t now)
{
	struct lan *lan = VS_CONTAINER_OF(event, struct lan, sparse_timer);
	uint8_t body[8];
	vs_put_be64(body, now);
	send_small(lan, 0, ETHERTYPE_SPARSE, body);
	sim_event_set(&lan->world->clock, event, now + SPARSE_USEC);
}

/* --- The runs ----------------------------------------------------------------------------------------------------- */

struct super_case {
	uint64_t rate_bps;
	unsigned lanes;
	enum vs_congestion_kind congestion;
	unsigned percentile; /* of the small frames' waits. Retransmitted ones count as waiting, of which cubic has
				more: it fills the line's queue until that drops */
	unsigned seconds;
};

struct outcome {
	double sparse_ms, bulk_ms; /* the percentile of the small frames' waits; the stream's median delay */
	double mbits;
};

static void open_lan(struct lan *lan, const struct super_case *c, bool supers)
{
	struct sim_config config = { .seed = 1, .clients = 2, .policy = vs_policy_default(), .datagram_max = 1472 };
	config.policy.has_aes = vs_cpu_has_aes();
	config.policy.datagram_max = 1472;
	config.policy.lanes = c->lanes;
	config.policy.congestion = c->congestion;
	for (unsigned i = 0; i < 2; i++)
		config.up[i] = config.down[i] = (struct vs_impair_config){ .delay_usec = 10 * VS_MSEC,
									   .rate_bps = 1000 * MBIT };
	config.up[0].rate_bps = c->rate_bps;
	memset(lan, 0, sizeof(*lan));
	lan->world = sim_world_new(&config);
	lan->world->arrived = arrived;
	lan->world->user = lan;
	lan->stream = (struct stream){ .supers = supers, .cwnd = 10, .threshold = UINT32_MAX };
	sim_event_init(&lan->world->clock, &lan->sparse_timer, send_sparse);
	sim_event_init(&lan->world->clock, &lan->stream_timer, time_out);
	sim_clock_run(&lan->world->clock, 2 * VS_SEC);
	assert_true(vs_link_takes_supers(lan->world->clients[0].end.link));
	lan->stream.progress_usec = lan->world->clock.now;
	sim_event_set(&lan->world->clock, &lan->sparse_timer, lan->world->clock.now);
	sim_event_set(&lan->world->clock, &lan->stream_timer, lan->world->clock.now);
}

/* What the stream has lost is what CoDel counts, by the segment; nothing else loses on this line. */
static void check_losses(const struct lan *lan)
{
	struct vs_link_stats stats;
	vs_link_stats(lan->world->clients[0].end.link, lan->world->clock.now, &stats);
	assert_int_equal(stats.queue.dropped_full, 0);
	assert_true(stats.queue.dropped_codel > 0);
	/* A loss shows only when what was behind it has arrived. */
	assert_in_range(lan->stream.missing, stats.queue.dropped_codel - 3, stats.queue.dropped_codel);
}

static struct outcome run(const struct super_case *c, bool supers)
{
	static struct lan lan;
	struct outcome out;
	const uint64_t warm_up = 10 * VS_SEC, usec = c->seconds * VS_SEC;
	open_lan(&lan, c, supers);
	sim_clock_run(&lan.world->clock, lan.world->clock.now + warm_up);
	lan.sparse.n = lan.bulk.n = 0;
	uint32_t before = lan.stream.expected - lan.stream.missing;
	sim_clock_run(&lan.world->clock, lan.world->clock.now + usec);
	assert_in_range(lan.sparse.n, usec / SPARSE_USEC - 50, usec / SPARSE_USEC + 50);
	out.mbits = 8.0 * MSS * (lan.stream.expected - lan.stream.missing - before) / (double)usec;
	out.sparse_ms = percentile_ms(&lan.sparse, c->percentile);
	out.bulk_ms = percentile_ms(&lan.bulk, 50);
	print_message("%4.1f Mbit/s, %2u lanes, %-5s, %-13s small frames wait: median %.1f ms, %u %% %.1f ms, most "
		      "%.1f ms; stream: delay %.0f ms, 99 %% %.0f ms, %.2f Mbit/s\n",
		      (double)c->rate_bps / 1e6, c->lanes, vs_congestion_kind_name(c->congestion),
		      supers ? "super-frames:" : "frames:", percentile_ms(&lan.sparse, 50), c->percentile,
		      out.sparse_ms, percentile_ms(&lan.sparse, 100), out.bulk_ms, percentile_ms(&lan.bulk, 99),
		      out.mbits);
	check_losses(&lan);
	sim_event_fini(&lan.world->clock, &lan.sparse_timer);
	sim_event_fini(&lan.world->clock, &lan.stream_timer);
	sim_world_stop(lan.world);
	assert_int_equal(lan.world->failures, 0);
	sim_world_free(lan.world);
	return out;
}

static void test_super_frames_do_not_block_the_line(void **state)
{
	(void)state;
	static const struct super_case cases[] = {
		{ 1 * MBIT, VS_LANES_MAX, VS_CONGESTION_BBR, 99, 50 },
		{ 2 * MBIT, VS_LANES_MAX, VS_CONGESTION_BBR, 99, 50 },
		{ 10 * MBIT, VS_LANES_MAX, VS_CONGESTION_BBR, 99, 20 },
		{ 50 * MBIT, VS_LANES_MAX, VS_CONGESTION_BBR, 99, 10 },
		{ 1 * MBIT, 1, VS_CONGESTION_BBR, 99, 50 },
		{ 2 * MBIT, 1, VS_CONGESTION_BBR, 99, 50 },
		{ 2 * MBIT, VS_LANES_MAX, VS_CONGESTION_CUBIC, 90, 50 },
	};
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct outcome frames = run(&cases[i], false), supers = run(&cases[i], true);
		double segment_ms = VS_MAX(8e3 * (MSS + 54) / (double)cases[i].rate_bps, 1.0);
		assert_true(supers.sparse_ms <= 1.2 * frames.sparse_ms + segment_ms);
		assert_true(supers.bulk_ms <= 1.2 * frames.bulk_ms + segment_ms);
		assert_true(supers.mbits >= 0.9 * frames.mbits);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_super_frames_do_not_block_the_line),
	};
	return vs_crypto_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
