#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "link/codel.h"
#include "queue_fixture.h"

/* --- Order and fairness ------------------------------------------------------------------------------------------- */

static void test_empty(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, defaults);
	assert_false(vs_queue_ready(f.queue));
	assert_int_equal(take(&f), 0);
	vs_queue_wake(f.queue, 3);
	vs_queue_forget_lanes(f.queue);
	vs_queue_purge(f.queue);
	vs_queue_release(f.queue);
	vs_queue_free(NULL);
	fini(&f);
}

static void test_fifo_within_a_flow(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, patient);
	for (uint32_t i = 1; i <= 300; i++)
		send(&f, 5, 100, i);
	assert_int_equal(stats(&f).frames, 300);
	assert_int_equal(stats(&f).bytes, 30000);
	assert_int_equal(stats(&f).flows, 1);
	f.now += 123;
	for (uint32_t i = 1; i <= 300; i++)
		assert_int_equal(take(&f), i);
	assert_int_equal(take(&f), 0);
	assert_int_equal(stats(&f).sent, 300);
	assert_int_equal(stats(&f).delay_usec, 123);
	assert_int_equal(stats(&f).frames + stats(&f).bytes + stats(&f).flows, 0);
	fini(&f);
}

/* Flows of different frame sizes get the same number of bytes, to within a quantum and a frame. */
static void test_round_robin_in_bytes(void **state)
{
	(void)state;
	static const uint32_t sizes[] = { 1514, 700, 64, 9014 };
	struct fixture f;
	uint32_t served[4] = { 0 };
	init(&f, patient);
	for (uint32_t flow = 0; flow < 4; flow++)
		for (uint32_t i = 0; i < 400000 / sizes[flow] && i < 1000; i++)
			send(&f, flow, sizes[flow], flow + 1);
	assert_int_equal(stats(&f).dropped_full, 0);
	while (served[0] + served[1] + served[2] + served[3] < 200000) {
		uint32_t flow = take(&f) - 1;
		served[flow] += sizes[flow];
	}
	for (uint32_t flow = 0; flow < 4; flow++)
		assert_in_range(served[flow], 50000 - 2 * 9014, 50000 + 2 * 9014);
	fini(&f);
}

static void test_sparse_flow_goes_first(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, patient);
	for (uint32_t i = 0; i < 100; i++) {
		send(&f, 1, 1514, 1);
		send(&f, 2, 1514, 2);
	}
	for (int i = 0; i < 10; i++)
		take(&f);
	send(&f, 3, 100, 77);
	assert_int_equal(take(&f), 77);
	fini(&f);
}

/* A flow that sends its next frame once it was seen empty is always short of backlog, but it is not sparse. */
static void test_one_frame_at_a_time_gains_nothing(void **state)
{
	(void)state;
	struct fixture f;
	unsigned served[4] = { 0 };
	init(&f, patient);
	for (uint32_t i = 0; i < 300; i++) {
		send(&f, 1, 1514, 1);
		send(&f, 2, 1514, 2);
	}
	send(&f, 3, 1514, 3);
	for (uint32_t last = 0, i = 0; i < 300; i++) {
		uint32_t flow = take(&f);
		served[flow]++;
		if (last == 3)
			send(&f, 3, 1514, 3);
		last = flow;
	}
	for (uint32_t flow = 1; flow <= 3; flow++)
		assert_in_range(served[flow], 95, 105);
	fini(&f);
}

static void test_flows_by_hash_modulo_table(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, patient);
	send(&f, 9, 100, 1);
	send(&f, 9 + VS_QUEUE_FLOWS, 100, 2);
	send(&f, 10, 100, 3);
	assert_int_equal(stats(&f).flows, 2);
	fini(&f);
}

/* --- CoDel -------------------------------------------------------------------------------------------------------- */

static void test_control_law(void **state)
{
	(void)state;
	static const struct { uint32_t count; uint64_t spacing; } rows[] = {
		{ 1, 100000 }, { 2, 70710 }, { 3, 57735 }, { 4, 50000 }, { 100, 10000 }, { 1000000, 100 },
		{ UINT32_MAX, 1 },
	};
	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++)
		assert_in_range(vs_codel_spacing(100000, rows[i].count), rows[i].spacing, rows[i].spacing + 1);
}

static void drain_and_compare(struct fixture *f, enum vs_ecn ecn)
{
	unsigned seen = 0;
	for (uint32_t i = 0; i < 1000; i++)
		vs_queue_send(f->queue, frame_of(f, 1, 1514, i + 1, ecn), f->now);
	for (unsigned ms = 1; ms <= 500; ms++) {
		f->now += VS_MSEC;
		assert_int_not_equal(take(f), 0);
		struct vs_queue_stats s = stats(f);
		uint64_t signals = ecn == VS_ECN_NOT_ECT ? s.dropped_codel : s.ecn_marked;
		assert_int_equal(s.dropped_codel + s.ecn_marked, signals);
		if (signals == seen)
			continue;
		assert_int_equal(signals, seen + 1);
		assert_in_range(seen, 0, VS_ARRAY_SIZE(signals_ms) - 1);
		assert_int_equal(ms, signals_ms[seen++]);
	}
	assert_int_equal(seen, VS_ARRAY_SIZE(signals_ms));
}

static void test_drop_schedule(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, defaults);
	drain_and_compare(&f, VS_ECN_NOT_ECT);
	assert_int_equal(f.drops.count[VS_DROP_QUEUE_CODEL], VS_ARRAY_SIZE(signals_ms));
	assert_int_equal(stats(&f).frames, 1000 - 500 - VS_ARRAY_SIZE(signals_ms));
	fini(&f);
}

static void test_mark_schedule(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, defaults);
	drain_and_compare(&f, VS_ECN_ECT0);
	assert_int_equal(f.drops.count[VS_DROP_QUEUE_CODEL], 0);
	assert_int_equal(stats(&f).frames, 500);
	fini(&f);
}

/* Congestion that returns soon is met at the rate where it stopped, one that returns late with a single signal. */
static void test_reentry(void **state)
{
	(void)state;
	static const struct { uint64_t pause_usec; uint32_t count; } rows[] = { { VS_SEC, 9 }, { 10 * VS_SEC, 1 } };
	const struct vs_codel_config config = { 5000, 100000 };
	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		struct vs_codel codel = { .count = 0 };
		uint64_t now = START;
		while (codel.count < 10)
			vs_codel_judge(&codel, &config, now += VS_MSEC, 20000, false);
		assert_true(codel.dropping);
		assert_false(vs_codel_judge(&codel, &config, now += rows[i].pause_usec, 1000, false));
		assert_false(codel.dropping);
		assert_false(vs_codel_judge(&codel, &config, now += VS_MSEC, 20000, false));
		assert_true(vs_codel_judge(&codel, &config, now += 100 * VS_MSEC, 20000, false));
		assert_int_equal(codel.count, rows[i].count);
	}
}

static void test_short_backlog_is_left_alone(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, defaults);
	/* Never more than two full-sized frames, each 50 ms late. */
	for (uint32_t i = 1; i <= 100; i++) {
		send(&f, 1, 1514, 2 * i);
		send(&f, 1, 1514, 2 * i + 1);
		f.now += 50 * VS_MSEC;
		assert_int_equal(take(&f), 2 * i);
		assert_int_equal(take(&f), 2 * i + 1);
	}
	assert_int_equal(stats(&f).dropped_codel, 0);
	fini(&f);
}

static void test_late_frames_of_one_flow_do_not_hurt_another(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, defaults);
	for (uint32_t i = 0; i < 400; i++)
		send(&f, 1, 1514, 1);
	for (unsigned ms = 1; ms <= 600; ms++) {
		f.now += VS_MSEC;
		send(&f, 2, 200, 2);
		while (take(&f) == 2)
			;
	}
	assert_true(stats(&f).dropped_codel > 0);
	assert_int_equal(stats(&f).sent + stats(&f).dropped_codel + stats(&f).frames, 1000);
	assert_true(stats(&f).frames <= 1);
	fini(&f);
}

static void test_shared_frame_is_copied_to_be_marked(void **state)
{
	(void)state;
	struct fixture f;
	struct vs_frame *held[300];
	unsigned marked = 0;
	init(&f, defaults);
	for (uint32_t i = 0; i < 300; i++) {
		held[i] = frame_of(&f, 1, 1514, i, VS_ECN_ECT1);
		vs_queue_send(f.queue, vs_frame_ref(held[i]), f.now);
	}
	for (uint32_t i = 0; i < 300; i++) {
		struct vs_frame *shown;
		f.now += VS_MSEC;
		struct vs_flow *flow = vs_queue_peek(f.queue, f.now, &shown);
		struct vs_frame *frame = vs_queue_take(f.queue, flow, f.now);
		assert_int_equal(id_of(frame), i);
		assert_int_equal(frame != held[i], vs_ecn_get(frame) == VS_ECN_CE);
		assert_int_equal(frame->flow_hash, 1);
		marked += vs_ecn_get(frame) == VS_ECN_CE;
		vs_frame_unref(frame);
		assert_int_equal(vs_ecn_get(held[i]), VS_ECN_ECT1);
		assert_false(vs_frame_is_shared(held[i]));
		vs_frame_unref(held[i]);
	}
	assert_int_equal(marked, 3);
	assert_int_equal(stats(&f).ecn_marked, 3);
	fini(&f);
}

/* --- Limits ------------------------------------------------------------------------------------------------------- */

static void test_flood_hurts_only_itself(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, patient);
	for (uint32_t i = 1; i <= 20; i++)
		send(&f, 2, 100, i);
	for (uint32_t i = 1; i <= 10000; i++) {
		send(&f, 1, 100, 1000 + i);
		assert_true(stats(&f).frames <= patient.limit_frames);
	}
	assert_int_equal(f.drops.count[VS_DROP_QUEUE_FULL], stats(&f).dropped_full);
	assert_int_equal(stats(&f).dropped_full + stats(&f).frames, 10020);
	unsigned polite = 0;
	uint32_t last = 0;
	for (uint32_t id; (id = take(&f)); last = id)
		polite += id <= 20;
	assert_int_equal(polite, 20);
	assert_int_equal(last, 11000); /* dropped at the head: the newest have stayed */
	fini(&f);
}

static void test_fattest_in_bytes_and_batch(void **state)
{
	(void)state;
	struct vs_queue_config config = patient;
	struct fixture f;
	config.limit_frames = 300;
	init(&f, config);
	for (uint32_t i = 0; i < 200; i++)
		send(&f, 1, 64, 1);
	for (uint32_t i = 0; i < 100; i++)
		send(&f, 2, 1000, 2);
	send(&f, 3, 64, 3);
	assert_int_equal(stats(&f).dropped_full, 50); /* half of flow 2, which has fewer frames but more bytes */
	while (stats(&f).dropped_full == 50)
		send(&f, 1, 9000, 1);
	assert_in_range(stats(&f).dropped_full, 51, 50 + 64);
	fini(&f);
}

static void test_limit_of_bytes(void **state)
{
	(void)state;
	struct vs_queue_config config = patient;
	struct fixture f;
	config.limit_bytes = 10000;
	init(&f, config);
	for (uint32_t i = 1; i <= 1000; i++) {
		send(&f, i % 3, 60 + i, i);
		assert_true(stats(&f).bytes <= 10000);
		assert_true(stats(&f).frames > 0);
	}
	uint32_t before = stats(&f).frames;
	send(&f, 1, 10001, 9); /* could never fit, and must not push others of its flow out */
	assert_int_equal(stats(&f).frames, before);
	assert_int_equal(stats(&f).dropped_full, f.drops.count[VS_DROP_QUEUE_FULL]);
	fini(&f);
}

static void test_limit_of_one_frame(void **state)
{
	(void)state;
	struct vs_queue_config config = patient;
	struct fixture f;
	config.limit_frames = 1;
	init(&f, config);
	for (uint32_t i = 1; i <= 100; i++) {
		send(&f, 1, 100, i);
		assert_int_equal(stats(&f).frames, 1);
	}
	assert_int_equal(take(&f), 100);
	fini(&f);
}

/* --- Peek, park, wake --------------------------------------------------------------------------------------------- */

static void test_peek_is_idempotent(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, defaults);
	for (uint32_t i = 1; i <= 100; i++) {
		send(&f, 1, 1514, i);
		send(&f, 2, 1514, 1000 + i);
	}
	for (uint32_t i = 0; i < 150; i++) {
		struct vs_frame *first, *again;
		f.now += 3 * VS_MSEC;
		struct vs_flow *flow = vs_queue_peek(f.queue, f.now, &first);
		uint64_t dropped = stats(&f).dropped_codel;
		send(&f, 3 + i, 64, 5000 + i); /* a new flow would go first, but another is shown already */
		for (int j = 0; j < 5; j++) {
			f.now += 100 * VS_MSEC;
			assert_ptr_equal(vs_queue_peek(f.queue, f.now, &again), flow);
			assert_ptr_equal(again, first);
		}
		assert_int_equal(stats(&f).dropped_codel, dropped);
		vs_frame_unref(vs_queue_take(f.queue, flow, f.now));
	}
	fini(&f);
}

/* The frame that was shown is dropped by an overflow: the flow stays chosen while it has others. */
static void test_overflow_while_shown(void **state)
{
	(void)state;
	struct vs_queue_config config = patient;
	struct vs_frame *frame;
	struct fixture f;
	config.limit_frames = 4;
	init(&f, config);
	for (uint32_t i = 1; i <= 4; i++)
		send(&f, 1, 1000, i);
	struct vs_flow *flow = vs_queue_peek(f.queue, f.now, &frame);
	assert_int_equal(id_of(frame), 1);
	send(&f, 2, 60, 20);
	assert_ptr_equal(vs_queue_peek(f.queue, f.now, &frame), flow);
	assert_int_equal(id_of(frame), 3);
	assert_int_equal(take(&f), 3);
	assert_int_equal(stats(&f).dropped_full, 2);
	fini(&f);
}

static void test_shown_flow_is_emptied(void **state)
{
	(void)state;
	struct vs_queue_config config = patient;
	struct vs_frame *frame;
	struct fixture f;
	config.limit_frames = 1;
	init(&f, config);
	send(&f, 1, 1000, 1);
	assert_non_null(vs_queue_peek(f.queue, f.now, &frame));
	send(&f, 2, 100, 2);
	assert_non_null(vs_queue_peek(f.queue, f.now, &frame));
	assert_int_equal(id_of(frame), 2);
	fini(&f);
}

static void test_peek_more(void **state)
{
	(void)state;
	struct vs_frame *frame;
	struct fixture f;
	init(&f, patient);
	for (uint32_t i = 1; i <= 3; i++)
		send(&f, 1, 100, i);
	struct vs_flow *flow = vs_queue_peek(f.queue, f.now, &frame);
	assert_int_equal(id_of(frame), 1);
	assert_int_equal(id_of(vs_queue_peek_more(f.queue, flow)), 2); /* after the one shown */
	vs_frame_unref(vs_queue_take(f.queue, flow, f.now));
	assert_int_equal(id_of(vs_queue_peek_more(f.queue, flow)), 2); /* after the one taken */
	vs_frame_unref(vs_queue_take(f.queue, flow, f.now));
	vs_frame_unref(vs_queue_take(f.queue, flow, f.now));
	assert_null(vs_queue_peek_more(f.queue, flow));
	send(&f, 1, 100, 4);
	assert_int_equal(take(&f), 4);
	fini(&f);
}

static void test_park_and_wake(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, patient);
	for (uint32_t i = 1; i <= 4; i++)
		send(&f, i, 1514, i);
	park_next(&f, 7);
	park_next(&f, 8);
	park_next(&f, 7);
	assert_int_equal(take(&f), 4);
	assert_false(vs_queue_ready(f.queue));
	assert_int_equal(take(&f), 0);
	send(&f, 1, 100, 11); /* may be added to a parked flow, which stays parked */
	assert_false(vs_queue_ready(f.queue));
	assert_int_equal(stats(&f).flows, 3);
	vs_queue_wake(f.queue, 9);
	assert_false(vs_queue_ready(f.queue));
	send(&f, 5, 1514, 5);
	vs_queue_wake(f.queue, 7);
	assert_true(vs_queue_ready(f.queue));
	assert_int_equal(take(&f), 1); /* they had their turn already, in this order */
	assert_int_equal(take(&f), 11);
	assert_int_equal(take(&f), 3);
	assert_int_equal(take(&f), 5);
	assert_int_equal(take(&f), 0);
	vs_queue_wake(f.queue, 8);
	assert_int_equal(take(&f), 2);
	fini(&f);
}

static void test_park_an_emptied_flow(void **state)
{
	(void)state;
	struct vs_frame *frame;
	struct fixture f;
	init(&f, patient);
	send(&f, 1, 100, 1);
	struct vs_flow *flow = vs_queue_peek(f.queue, f.now, &frame);
	vs_frame_unref(vs_queue_take(f.queue, flow, f.now));
	vs_queue_park(f.queue, flow, 0);
	vs_queue_wake(f.queue, 0);
	assert_false(vs_queue_ready(f.queue));
	vs_queue_park(f.queue, flow, 0);
	send(&f, 1, 100, 2);
	assert_false(vs_queue_ready(f.queue));
	vs_queue_wake(f.queue, 0);
	assert_true(vs_queue_ready(f.queue));
	assert_int_equal(take(&f), 2);
	fini(&f);
}

/* A flow that sits out its turns while parked has no claim to them afterwards. */
static void test_woken_flow_shares_fairly(void **state)
{
	(void)state;
	struct fixture f;
	unsigned served[3] = { 0 };
	init(&f, patient);
	for (uint32_t i = 0; i < 400; i++) {
		send(&f, 1, 1514, 1);
		send(&f, 2, 1514, 2);
	}
	park_next(&f, 0);
	for (int i = 0; i < 100; i++)
		take(&f);
	vs_queue_wake(f.queue, 0);
	for (int i = 0; i < 100; i++)
		served[take(&f)]++;
	assert_in_range(served[1], 49, 52);
	fini(&f);
}

static void test_lanes_are_remembered_and_forgotten(void **state)
{
	(void)state;
	struct vs_frame *frame;
	struct fixture f;
	init(&f, patient);
	send(&f, 1, 100, 1);
	send(&f, 1, 100, 2);
	struct vs_flow *flow = vs_queue_peek(f.queue, f.now, &frame);
	assert_int_equal(flow->lane, -1);
	flow->lane = 12;
	flow->last_sn = 99;
	vs_frame_unref(vs_queue_take(f.queue, flow, f.now));
	assert_ptr_equal(vs_queue_peek(f.queue, f.now, &frame), flow);
	assert_int_equal(flow->lane, 12);
	assert_int_equal(flow->last_sn, 99);
	vs_queue_park(f.queue, flow, 12);
	vs_queue_forget_lanes(f.queue);
	assert_true(vs_queue_ready(f.queue));
	assert_int_equal(flow->lane, -1);
	assert_int_equal(take(&f), 2);
	fini(&f);
}

static void test_has_new(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, patient);
	assert_false(vs_queue_has_new(f.queue));
	for (uint32_t i = 0; i < 10; i++)
		send(&f, 1, 1514, 1);
	assert_true(vs_queue_has_new(f.queue));
	take(&f); /* its quantum leaves four bytes */
	take(&f);
	take(&f);
	assert_false(vs_queue_has_new(f.queue));
	send(&f, 2, 100, 2);
	assert_true(vs_queue_has_new(f.queue));
	assert_int_equal(take(&f), 2);
	take(&f);
	assert_false(vs_queue_has_new(f.queue));
	fini(&f);
}

static void test_release(void **state)
{
	(void)state;
	struct vs_frame *frame;
	struct fixture f;
	init(&f, patient);
	send(&f, 1, 100, 1);
	vs_queue_peek(f.queue, f.now, &frame)->lane = 3;
	vs_queue_release(f.queue); /* a frame waits: nothing happens */
	assert_int_equal(vs_queue_peek(f.queue, f.now, &frame)->lane, 3);
	assert_int_equal(take(&f), 1);
	vs_queue_release(f.queue);
	assert_int_equal(take(&f), 0);
	send(&f, 1, 100, 2);
	assert_int_equal(vs_queue_peek(f.queue, f.now, &frame)->lane, -1);
	assert_int_equal(take(&f), 2);
	assert_int_equal(stats(&f).sent, 2);
	fini(&f);
}

static void test_purge(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, patient);
	for (uint32_t i = 1; i <= 10; i++)
		send(&f, i % 3, 100, i);
	park_next(&f, 1);
	vs_queue_purge(f.queue);
	assert_int_equal(f.drops.count[VS_DROP_PORT_DOWN], 10);
	assert_int_equal(stats(&f).frames + stats(&f).bytes + stats(&f).flows, 0);
	assert_false(vs_queue_ready(f.queue));
	vs_queue_wake(f.queue, 1);
	for (uint32_t i = 1; i <= 3; i++)
		send(&f, i, 100, i);
	for (uint32_t i = 1; i <= 3; i++)
		assert_int_equal(take(&f), i);
	fini(&f);
}

/* --- Random operations against a model ---------------------------------------------------------------------------- */

#define MODEL_FLOWS 40
#define MODEL_LANES 4

struct model {
	struct fixture f;
	uint64_t random;
	uint32_t sent, taken;
	uint32_t last_taken[MODEL_FLOWS];
	int parked[MODEL_FLOWS];          /* lane, or -1 */
	struct vs_flow *flows[MODEL_FLOWS]; /* as far as the queue has shown them */
	struct vs_frame *held[64];        /* second references, as a flood leaves them */
	unsigned held_next;
};

/* splitmix64 */
static uint32_t random_below(struct model *m, uint32_t n)
{
	uint64_t z = m->random += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)((z ^ z >> 31) >> 32) % n;
}

static void model_send(struct model *m)
{
	uint32_t flow = random_below(m, random_below(m, 2) ? 3 : MODEL_FLOWS);
	struct vs_frame *frame = frame_of(&m->f, flow, 60 + random_below(m, 1600), ++m->sent, random_below(m, 3));
	if (random_below(m, 3) == 0) {
		struct vs_frame **slot = &m->held[m->held_next++ % VS_ARRAY_SIZE(m->held)];
		if (*slot)
			assert_int_not_equal(vs_ecn_get(*slot), VS_ECN_CE); /* nobody wrote into what we hold */
		vs_frame_unref(*slot);
		*slot = vs_frame_ref(frame);
	}
	vs_queue_send(m->f.queue, frame, m->f.now);
}

static void model_take_or_park(struct model *m)
{
	struct vs_frame *frame, *again;
	struct vs_flow *flow = vs_queue_peek(m->f.queue, m->f.now, &frame);
	assert_int_equal(flow != NULL, vs_queue_ready(m->f.queue));
	if (!flow)
		return;
	uint32_t index = frame->flow_hash;
	assert_ptr_equal(vs_queue_peek(m->f.queue, m->f.now, &again), flow);
	assert_ptr_equal(again, frame);
	assert_int_equal(m->parked[index], -1);
	assert_true(!m->flows[index] || m->flows[index] == flow);
	m->flows[index] = flow;
	if (random_below(m, 8) == 0) {
		m->parked[index] = (int)random_below(m, MODEL_LANES);
		vs_queue_park(m->f.queue, flow, (unsigned)m->parked[index]);
		return;
	}
	do {
		struct vs_frame *taken = vs_queue_take(m->f.queue, flow, m->f.now);
		assert_int_equal(taken->flow_hash, index);
		assert_true(id_of(taken) > m->last_taken[index]);
		m->last_taken[index] = id_of(taken);
		m->taken++;
		vs_frame_unref(taken);
	} while (random_below(m, 3) == 0 && vs_queue_peek_more(m->f.queue, flow));
}

static void model_wake(struct model *m)
{
	unsigned lane = random_below(m, MODEL_LANES);
	vs_queue_wake(m->f.queue, lane);
	for (unsigned i = 0; i < MODEL_FLOWS; i++)
		if (m->parked[i] == (int)lane)
			m->parked[i] = -1;
}

/* What ends parking in all lanes at once, or every flow. */
static void model_upheaval(struct model *m)
{
	switch (random_below(m, 3)) {
	case 0:
		vs_queue_forget_lanes(m->f.queue);
		break;
	case 1:
		vs_queue_purge(m->f.queue);
		break;
	default:
		if (stats(&m->f).frames > 0)
			return;
		vs_queue_release(m->f.queue);
		memset(m->flows, 0, sizeof(m->flows));
		break;
	}
	for (unsigned i = 0; i < MODEL_FLOWS; i++)
		m->parked[i] = -1;
}

static void model_check(struct model *m)
{
	struct vs_queue_stats s = stats(&m->f);
	const uint64_t *drops = m->f.drops.count;
	assert_int_equal(s.sent, m->taken);
	assert_int_equal(s.dropped_codel, drops[VS_DROP_QUEUE_CODEL]);
	assert_int_equal(s.dropped_full, drops[VS_DROP_QUEUE_FULL]);
	assert_int_equal(m->sent, m->taken + s.frames + s.dropped_codel + s.dropped_full + drops[VS_DROP_PORT_DOWN]);
	assert_true(s.frames <= 100 && s.bytes <= 60000);
	assert_true(s.flows <= s.frames && (s.flows > 0) == (s.frames > 0));
}

static void run_model(uint64_t seed)
{
	struct model m = { .random = seed };
	init(&m.f, (struct vs_queue_config){ .limit_frames = 100, .limit_bytes = 60000, .quantum = 300,
					     .codel = { 2000, 20000 } });
	memset(m.parked, 0xff, sizeof(m.parked));
	for (int i = 0; i < 5000; i++) {
		uint32_t load = 30 + 40 * (i / 1000 % 2); /* times of overload and times of rest */
		uint32_t choice = random_below(&m, 100);
		m.f.now += random_below(&m, 1000);
		if (choice < load)
			model_send(&m);
		else if (choice < 92)
			model_take_or_park(&m);
		else if (choice < 99 || random_below(&m, 20))
			model_wake(&m);
		else
			model_upheaval(&m);
		model_check(&m);
	}
	assert_true(stats(&m.f).dropped_codel > 0 && stats(&m.f).dropped_full > 0 && stats(&m.f).ecn_marked > 0);
	for (unsigned i = 0; i < VS_ARRAY_SIZE(m.held); i++)
		vs_frame_unref(m.held[i]);
	fini(&m.f);
}

static void test_random_operations(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++)
		run_model(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_fifo_within_a_flow),
		cmocka_unit_test(test_round_robin_in_bytes),
		cmocka_unit_test(test_sparse_flow_goes_first),
		cmocka_unit_test(test_one_frame_at_a_time_gains_nothing),
		cmocka_unit_test(test_flows_by_hash_modulo_table),
		cmocka_unit_test(test_control_law),
		cmocka_unit_test(test_drop_schedule),
		cmocka_unit_test(test_mark_schedule),
		cmocka_unit_test(test_reentry),
		cmocka_unit_test(test_short_backlog_is_left_alone),
		cmocka_unit_test(test_late_frames_of_one_flow_do_not_hurt_another),
		cmocka_unit_test(test_shared_frame_is_copied_to_be_marked),
		cmocka_unit_test(test_flood_hurts_only_itself),
		cmocka_unit_test(test_fattest_in_bytes_and_batch),
		cmocka_unit_test(test_limit_of_bytes),
		cmocka_unit_test(test_limit_of_one_frame),
		cmocka_unit_test(test_peek_is_idempotent),
		cmocka_unit_test(test_overflow_while_shown),
		cmocka_unit_test(test_shown_flow_is_emptied),
		cmocka_unit_test(test_peek_more),
		cmocka_unit_test(test_park_and_wake),
		cmocka_unit_test(test_park_an_emptied_flow),
		cmocka_unit_test(test_woken_flow_shares_fairly),
		cmocka_unit_test(test_lanes_are_remembered_and_forgotten),
		cmocka_unit_test(test_has_new),
		cmocka_unit_test(test_release),
		cmocka_unit_test(test_purge),
		cmocka_unit_test(test_random_operations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
