/* Super-frames in a link's queue: they leave whole or in pieces, as the line's rate is, and are dropped and marked as
 * if they were what they stand for. */
#include "base/gso.h"
#include "link/framing.h"
#include "queue_fixture.h"
#include "superframe.h"

#define SEGMENT 1000u
#define SEGMENT_FRAME (14u + 20 + 20 + SEGMENT)
#define KBIT UINT64_C(125) /* bytes a second */

/* Of TCP, `segments` of them from number `first` of their flow on. */
static struct vs_frame *super_of(struct fixture *f, uint32_t flow, uint32_t first, uint32_t segments, enum vs_ecn ecn)
{
	const struct superframe s = { .name = "tcp4", .tcp_flags = 0x10, .payload = segments * SEGMENT,
				      .gso_size = SEGMENT };
	struct superframe_parts at = superframe_parts(&s);
	struct vs_frame *frame = superframe_new(f->pool, &s);

	assert_non_null(frame);
	uint8_t *b = vs_frame_bytes(frame);
	b[at.l3 + 1] = (uint8_t)ecn;
	vs_put_be16(b + at.l3 + 10, 0);
	vs_put_be16(b + at.l3 + 10, (uint16_t)~superframe_sum(0, b + at.l3, 20));
	vs_put_be32(b + at.l4 + 4, first * SEGMENT);
	frame->flow_hash = flow;
	vs_framing_prepend(frame);
	return frame;
}

static void send_super(struct fixture *f, uint32_t flow, uint32_t first, uint32_t segments)
{
	vs_queue_send(f->queue, super_of(f, flow, first, segments, VS_ECN_NOT_ECT), f->now);
}

static struct vs_frame *take_frame(struct fixture *f)
{
	struct vs_frame *shown;
	struct vs_flow *flow = vs_queue_peek(f->queue, f->now, &shown);

	return flow ? vs_queue_take(f->queue, flow, f->now) : NULL;
}

/* Number in its flow of the first segment of a frame of super_of(), and how many it stands for. */
static uint32_t first_segment(const struct vs_frame *frame)
{
	return vs_get_be32(vs_frame_cbytes(frame) + 38) / SEGMENT;
}

static uint32_t segments_of(const struct vs_frame *frame)
{
	return (frame->len - (SEGMENT_FRAME - SEGMENT)) / SEGMENT;
}

/* Whether the frame can go on the wire: framed as it is, and valid or complete. */
static void check_sendable(const struct vs_frame *frame)
{
	const struct superframe s = { .name = "tcp4" };
	const uint8_t *header = vs_frame_cbytes(frame) - vs_framing_size(frame);

	assert_int_equal((frame->len - (SEGMENT_FRAME - SEGMENT)) % SEGMENT, 0);
	assert_int_equal(frame->super, segments_of(frame) > 1);
	if (frame->super) {
		assert_true(vs_gso_valid(frame));
		assert_int_equal(vs_get_be16(header), VS_FLAG_SUPER);
		assert_int_equal(vs_get_be32(header + 2), frame->len);
		assert_memory_equal(header + 6, frame->vnet, VS_VNET_SIZE);
	} else {
		assert_true(superframe_checksums_ok(vs_frame_cbytes(frame), frame->len, superframe_parts(&s), false,
						    false));
		assert_int_equal(vs_get_be16(header), VS_FLAG_FRAME);
		assert_int_equal(vs_get_be16(header + 2), frame->len);
	}
}

/* Takes a frame and asserts that it is sendable and which segments it has. */
static void expect_segments(struct fixture *f, uint32_t first, uint32_t segments)
{
	struct vs_frame *frame = take_frame(f);

	assert_non_null(frame);
	check_sendable(frame);
	assert_int_equal(first_segment(frame), first);
	assert_int_equal(segments_of(frame), segments);
	vs_frame_unref(frame);
}

static void expect_empty(const struct fixture *f)
{
	assert_int_equal(stats(f).frames + stats(f).bytes + stats(f).flows, 0);
}

/* On a line of unknown or of high rate they leave whole, without a copy. */
static void test_super_frames_leave_whole(void **state)
{
	(void)state;
	static const uint64_t rates[] = { 0, 1000000 * KBIT };
	struct fixture f;
	for (size_t i = 0; i < VS_ARRAY_SIZE(rates); i++) {
		init(&f, patient);
		vs_queue_set_rate(f.queue, rates[i]);
		struct vs_frame *frame = super_of(&f, 1, 0, 60, VS_ECN_NOT_ECT);
		vs_queue_send(f.queue, vs_frame_ref(frame), f.now);
		assert_ptr_equal(take_frame(&f), frame);
		vs_frame_unref(frame);
		vs_frame_unref(frame);
		expect_empty(&f);
		fini(&f);
	}
}

/* Pieces are what the line sends in a millisecond, at least a segment. */
static void test_super_frames_in_pieces(void **state)
{
	(void)state;
	static const struct { uint64_t kbit; uint32_t piece; } rows[] = {
		{ 100, 1 }, { 1000, 1 }, { 16000, 1 }, { 17000, 2 }, { 100000, 12 }, { 400000, 49 },
	};
	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		struct fixture f;
		init(&f, patient);
		vs_queue_set_rate(f.queue, rows[i].kbit * KBIT);
		send_super(&f, 1, 7, 60);
		for (uint32_t n = 0; n < 60; n += rows[i].piece)
			expect_segments(&f, 7 + n, VS_MIN(rows[i].piece, 60 - n));
		expect_empty(&f);
		assert_int_equal(stats(&f).dropped_codel + stats(&f).dropped_full, 0);
		fini(&f);
	}
}

/* The rate is that of the moment at which a piece leaves. */
static void test_rate_changes_between_pieces(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, patient);
	send_super(&f, 1, 0, 60);
	vs_queue_set_rate(f.queue, 1000 * KBIT);
	expect_segments(&f, 0, 1);
	vs_queue_set_rate(f.queue, 100000 * KBIT);
	expect_segments(&f, 1, 12);
	vs_queue_set_rate(f.queue, 0);
	expect_segments(&f, 13, 47);
	expect_empty(&f);
	fini(&f);
}

/* Another flow's frames never stand behind more than a quantum of a super-frame, and they share the line in bytes. */
static void test_pieces_take_turns(void **state)
{
	(void)state;
	struct fixture f;
	uint32_t pieces = 0, others = 0;
	init(&f, patient);
	vs_queue_set_rate(f.queue, 1000 * KBIT);
	send_super(&f, 1, 0, 60);
	for (uint32_t i = 0; i < 60; i++)
		vs_queue_send(f.queue, frame_of(&f, 2, SEGMENT_FRAME, 1, VS_ECN_NOT_ECT), f.now);
	for (uint32_t i = 0; i < 120; i++) {
		struct vs_frame *frame = take_frame(&f);
		assert_int_equal(frame->len, SEGMENT_FRAME);
		pieces += frame->flow_hash == 1;
		others += frame->flow_hash == 2;
		assert_in_range(pieces, others > 2 ? others - 2 : 0, others + 2);
		vs_frame_unref(frame);
		if (i == 50) {
			send(&f, 3, 100, 77);
			assert_int_equal(take(&f), 77); /* a sparse flow's goes next */
		}
	}
	expect_empty(&f);
	fini(&f);
}

/* Frames that cannot be divided: the rest of the flow does not suffer. */
static void test_super_frames_that_cannot_be_divided(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, patient);
	vs_queue_set_rate(f.queue, 1000 * KBIT);
	struct vs_frame *flawed = super_of(&f, 1, 0, 60, VS_ECN_NOT_ECT);
	memset(flawed->vnet, 0xff, VS_VNET_SIZE);
	vs_queue_send(f.queue, flawed, f.now);
	send_super(&f, 1, 60, 2);
	struct vs_frame *frame = take_frame(&f);
	assert_ptr_equal(frame, flawed);
	vs_frame_unref(frame);
	expect_segments(&f, 60, 1);
	expect_segments(&f, 61, 1);
	expect_empty(&f);
	fini(&f);
}

/* Others that hold the frame see nothing of what becomes of it here. */
static void test_shared_super_frame_is_copied(void **state)
{
	(void)state;
	static const uint64_t rates[] = { 0, 1000 * KBIT, 100000 * KBIT };
	for (size_t i = 0; i < VS_ARRAY_SIZE(rates); i++) {
		struct vs_frame *held[40];
		struct fixture f;
		uint32_t got = 0, next = 0;
		init(&f, defaults);
		vs_queue_set_rate(f.queue, rates[i]);
		for (uint32_t k = 0; k < VS_ARRAY_SIZE(held); k++) {
			held[k] = super_of(&f, 1, 10 * k, 10, VS_ECN_NOT_ECT);
			vs_queue_send(f.queue, vs_frame_ref(held[k]), f.now);
		}
		for (struct vs_frame *frame; (frame = take_frame(&f)); vs_frame_unref(frame)) {
			check_sendable(frame);
			assert_true(first_segment(frame) >= next);
			next = first_segment(frame) + segments_of(frame);
			got += segments_of(frame);
			f.now += segments_of(frame) * VS_MSEC;
		}
		assert_true(stats(&f).dropped_codel > 0);
		assert_int_equal(got + stats(&f).dropped_codel, 10 * VS_ARRAY_SIZE(held));
		for (uint32_t k = 0; k < VS_ARRAY_SIZE(held); k++) {
			struct vs_frame *fresh = super_of(&f, 1, 10 * k, 10, VS_ECN_NOT_ECT);
			assert_false(vs_frame_is_shared(held[k]));
			assert_int_equal(held[k]->len, fresh->len);
			assert_memory_equal(vs_frame_cbytes(held[k]), vs_frame_cbytes(fresh), fresh->len);
			vs_frame_unref(fresh);
			vs_frame_unref(held[k]);
		}
		fini(&f);
	}
}

/* CoDel takes a segment at a time, off the front, and counts it as one; nothing else is lost. */
static void test_codel_drops_a_segment_of_a_super_frame(void **state)
{
	(void)state;
	struct fixture f;
	uint32_t next = 0;
	uint64_t dropped = 0;
	init(&f, defaults);
	for (uint32_t i = 0; i < 100; i++)
		send_super(&f, 1, 10 * i, 10);
	for (uint32_t i = 0; i < 100; i++) {
		f.now += 10 * VS_MSEC;
		struct vs_frame *frame = take_frame(&f);
		assert_non_null(frame);
		check_sendable(frame);
		uint32_t missing = first_segment(frame) - next;
		assert_int_equal(missing, stats(&f).dropped_codel - dropped);
		assert_int_equal(segments_of(frame), 10 - missing);
		assert_int_equal(stats(&f).bytes, (99 - i) * (SEGMENT_FRAME + 9 * SEGMENT));
		dropped = stats(&f).dropped_codel;
		next += 10;
		vs_frame_unref(frame);
	}
	expect_empty(&f);
	assert_in_range(dropped, 10, 40);
	assert_int_equal(f.drops.count[VS_DROP_QUEUE_CODEL], dropped);
	fini(&f);
}

/* Judged by the piece, a flow is told of congestion at the very moments at which it is without super-frames. */
static void test_pieces_meet_the_drop_schedule(void **state)
{
	(void)state;
	struct fixture f;
	unsigned seen = 0;
	init(&f, defaults);
	vs_queue_set_rate(f.queue, 8000 * KBIT);
	for (uint32_t i = 0; i < 20; i++)
		send_super(&f, 1, 50 * i, 50);
	for (unsigned ms = 1; ms <= 500; ms++) {
		f.now += VS_MSEC;
		expect_segments(&f, ms - 1 + (uint32_t)stats(&f).dropped_codel +
					    (seen < VS_ARRAY_SIZE(signals_ms) && ms == signals_ms[seen]), 1);
		if (stats(&f).dropped_codel == seen)
			continue;
		assert_int_equal(ms, signals_ms[seen++]);
		assert_int_equal(stats(&f).dropped_codel, seen);
	}
	assert_int_equal(seen, VS_ARRAY_SIZE(signals_ms));
	fini(&f);
}

static void test_super_frames_are_marked(void **state)
{
	(void)state;
	static const struct { uint64_t rate; uint32_t piece; } rows[] = { { 0, 10 }, { 1000 * KBIT, 1 } };
	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		struct fixture f;
		uint32_t marked = 0, got = 0;
		init(&f, defaults);
		vs_queue_set_rate(f.queue, rows[i].rate);
		for (uint32_t k = 0; k < 40; k++)
			vs_queue_send(f.queue, super_of(&f, 1, 10 * k, 10, VS_ECN_ECT0), f.now);
		for (struct vs_frame *frame; (frame = take_frame(&f)); vs_frame_unref(frame)) {
			check_sendable(frame);
			assert_int_equal(first_segment(frame), got);
			assert_int_equal(segments_of(frame), rows[i].piece);
			got += rows[i].piece;
			marked += vs_ecn_get(frame) == VS_ECN_CE;
			f.now += rows[i].piece * VS_MSEC;
		}
		assert_int_equal(got, 400);
		assert_in_range(marked, 3, 10);
		assert_int_equal(marked, stats(&f).ecn_marked);
		assert_int_equal(stats(&f).dropped_codel, 0);
		fini(&f);
	}
}

/* Without a buffer a super-frame leaves whole, or is dropped whole. */
static void test_super_frames_without_a_buffer(void **state)
{
	(void)state;
	static const uint64_t rates[] = { 0, 1000 * KBIT };
	for (size_t i = 0; i < VS_ARRAY_SIZE(rates); i++) {
		struct vs_pool *empty = vs_pool_new(100);
		struct vs_frame *held[40];
		struct fixture f;
		uint32_t got = 0;
		init(&f, defaults);
		vs_queue_free(f.queue);
		f.queue = vs_queue_new(&defaults, empty, &f.drops);
		assert_non_null(f.queue);
		vs_queue_set_rate(f.queue, rates[i]);
		for (uint32_t k = 0; k < VS_ARRAY_SIZE(held); k++) {
			held[k] = super_of(&f, 1, 10 * k, 10, k % 2 ? VS_ECN_ECT0 : VS_ECN_NOT_ECT);
			vs_queue_send(f.queue, vs_frame_ref(held[k]), f.now);
		}
		for (struct vs_frame *frame; (frame = take_frame(&f)); got++) {
			assert_int_equal(segments_of(frame), 10);
			vs_frame_unref(frame);
			f.now += 10 * VS_MSEC;
		}
		assert_true(stats(&f).dropped_codel > 0);
		assert_int_equal(stats(&f).ecn_marked, 0);
		assert_int_equal(got + stats(&f).dropped_codel, VS_ARRAY_SIZE(held));
		expect_empty(&f);
		for (uint32_t k = 0; k < VS_ARRAY_SIZE(held); k++)
			vs_frame_unref(held[k]);
		fini(&f);
		vs_pool_free(empty);
	}
}

/* What is left of a divided frame is parked, pushed out and purged like any other. */
static void test_rest_of_a_super_frame(void **state)
{
	(void)state;
	struct vs_queue_config config = patient;
	struct fixture f;
	config.limit_frames = 4;
	init(&f, config);
	vs_queue_set_rate(f.queue, 1000 * KBIT);
	send_super(&f, 1, 0, 10);
	expect_segments(&f, 0, 1);
	park_next(&f, 3); /* a piece is in front of the rest by now */
	assert_int_equal(stats(&f).frames, 2);
	assert_int_equal(stats(&f).bytes, 2 * SEGMENT_FRAME + 7 * SEGMENT);
	assert_null(take_frame(&f));
	vs_queue_wake(f.queue, 3);
	expect_segments(&f, 1, 1);
	expect_segments(&f, 2, 1);
	for (uint32_t i = 1; i <= 4; i++)
		send_super(&f, 2, 10 * i, 10);
	assert_true(stats(&f).frames <= 4);
	assert_true(stats(&f).dropped_full > 0);
	for (int i = 0; i < 5; i++)
		vs_frame_unref(take_frame(&f));
	vs_queue_purge(f.queue);
	expect_empty(&f);
	fini(&f);
}

/* However many flows have a piece in front, the limit on frames holds when the next frame comes. */
static void test_pieces_of_many_flows(void **state)
{
	(void)state;
	struct vs_queue_config config = patient;
	struct fixture f;
	config.limit_frames = 70; /* more than the nodes there are at first */
	init(&f, config);
	vs_queue_set_rate(f.queue, 1000 * KBIT);
	for (uint32_t i = 0; i < 70; i++)
		send_super(&f, i, 0, 10);
	for (uint32_t i = 0; i < 70; i++)
		park_next(&f, i % VS_LANES_MAX);
	assert_int_equal(stats(&f).frames, 2 * 70);
	send_super(&f, 100, 0, 10);
	assert_true(stats(&f).frames <= 70);
	assert_int_equal(f.drops.count[VS_DROP_NO_BUFFER], 0);
	for (unsigned lane = 0; lane < VS_LANES_MAX; lane++)
		vs_queue_wake(f.queue, lane);
	for (struct vs_frame *frame; (frame = take_frame(&f)); vs_frame_unref(frame))
		check_sendable(frame);
	expect_empty(&f);
	fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_super_frames_leave_whole),
		cmocka_unit_test(test_super_frames_in_pieces),
		cmocka_unit_test(test_rate_changes_between_pieces),
		cmocka_unit_test(test_pieces_take_turns),
		cmocka_unit_test(test_super_frames_that_cannot_be_divided),
		cmocka_unit_test(test_shared_super_frame_is_copied),
		cmocka_unit_test(test_codel_drops_a_segment_of_a_super_frame),
		cmocka_unit_test(test_pieces_meet_the_drop_schedule),
		cmocka_unit_test(test_super_frames_are_marked),
		cmocka_unit_test(test_super_frames_without_a_buffer),
		cmocka_unit_test(test_rest_of_a_super_frame),
		cmocka_unit_test(test_pieces_of_many_flows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
