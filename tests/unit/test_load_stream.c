/* bench/load_stream: the load generator's account of what arrives, which every figure of its reports rests on. */
#include "bench/load_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/gso.h"
#include "base/time.h"

#define CLIENTS 5
#define NOW (10 * VS_SEC)

struct fixture {
	struct vs_pool *pool;
	struct load_stream stream;
	struct load_totals totals;
};

static void open_stream(struct fixture *f, uint32_t to, uint32_t size, bool echo, uint32_t macs)
{
	memset(f, 0, sizeof(*f));
	f->pool = vs_pool_new(16 << 20);
	f->stream = (struct load_stream){ .from = 1, .to = to, .size = size, .echo = echo, .macs = macs };
	assert_non_null(f->pool);
	assert_int_equal(load_stream_init(&f->stream, CLIENTS), 0);
}

static void close_stream(struct fixture *f)
{
	load_stream_fini(&f->stream);
	vs_pool_free(f->pool); /* asserts that every frame has been given back */
}

static struct vs_frame *next(struct fixture *f)
{
	struct vs_frame *frame = load_stream_next(&f->stream, f->pool, NOW);
	assert_non_null(frame);
	return frame;
}

/* Returns whether it is to be answered. */
static bool arrive(struct fixture *f, uint32_t client, const struct vs_frame *frame)
{
	return load_arrived(&f->stream, 1, client, frame, NOW + 250, &f->totals);
}

static void assert_account(const struct fixture *f, uint64_t expected, uint64_t unique)
{
	uint64_t is_expected, is_unique;
	load_stream_balance(&f->stream, &is_expected, &is_unique);
	assert_int_equal(is_expected, expected);
	assert_int_equal(is_unique, unique);
}

static void test_all_arrives(void **state)
{
	struct fixture f;
	(void)state;
	open_stream(&f, 2, 300, false, 1);
	for (int i = 0; i < 100; i++) {
		struct vs_frame *frame = next(&f);
		assert_int_equal(frame->len, 300);
		assert_false(arrive(&f, 2, frame));
		vs_frame_unref(frame);
	}
	assert_account(&f, 100, 100);
	assert_int_equal(f.totals.frames, 100);
	assert_int_equal(f.totals.bytes, 30000);
	assert_int_equal(histogram_percentile(&f.totals.latency, 500), 250);
	assert_int_equal(f.stream.receptions[0].reordered, 0);
	assert_int_equal(f.stream.receptions[0].duplicates, 0);
	close_stream(&f);
}

static void test_lost_late_and_twice(void **state)
{
	struct fixture f;
	struct vs_frame *frames[4];
	(void)state;
	open_stream(&f, 2, 60, false, 1);
	for (int i = 0; i < 4; i++)
		frames[i] = next(&f);
	/* The first comes after the third, the second never, the third twice. */
	arrive(&f, 2, frames[2]);
	arrive(&f, 2, frames[0]);
	arrive(&f, 2, frames[2]);
	arrive(&f, 2, frames[3]);
	assert_account(&f, 4, 3);
	assert_int_equal(f.stream.receptions[0].reordered, 1);
	assert_int_equal(f.stream.receptions[0].duplicates, 1);
	for (int i = 0; i < 4; i++)
		vs_frame_unref(frames[i]);
	close_stream(&f);
}

static void test_broadcast_is_expected_everywhere_else(void **state)
{
	struct fixture f;
	(void)state;
	open_stream(&f, LOAD_TO_ALL, 100, false, 1);
	struct vs_frame *frame = next(&f);
	assert_int_equal(vs_frame_bytes(frame)[0], 0xff);
	for (uint32_t client = 0; client < CLIENTS; client++)
		if (client != 1 && client != 4)
			arrive(&f, client, frame);
	assert_account(&f, CLIENTS - 1, CLIENTS - 2);
	assert_int_equal(f.stream.receptions[3].unique, 1);
	assert_int_equal(f.stream.receptions[4].unique, 0);
	vs_frame_unref(frame);
	close_stream(&f);
}

static void test_echo_is_accounted_at_the_sender(void **state)
{
	struct fixture f;
	(void)state;
	open_stream(&f, 2, 98, true, 1);
	struct vs_frame *frame = next(&f);
	assert_true(arrive(&f, 2, frame));
	assert_account(&f, 1, 0);
	struct vs_frame *answer = load_answer(&f.stream, frame, f.pool);
	assert_non_null(answer);
	assert_int_equal(answer->len, 98);
	assert_memory_equal(vs_frame_bytes(answer), vs_frame_bytes(frame) + 6, 6);
	assert_memory_equal(vs_frame_bytes(answer) + 6, vs_frame_bytes(frame), 6);
	assert_false(arrive(&f, 1, answer));
	assert_account(&f, 1, 1);
	assert_int_equal(f.totals.latency.max, 250);
	vs_frame_unref(answer);
	vs_frame_unref(frame);
	close_stream(&f);
}

static void test_elsewhere_and_alien(void **state)
{
	struct fixture f;
	(void)state;
	open_stream(&f, 2, 100, false, 1);
	struct vs_frame *frame = next(&f);
	assert_false(arrive(&f, 3, frame));
	assert_int_equal(f.totals.strays, 1);
	frame->len--;
	arrive(&f, 2, frame);
	frame->len = LOAD_FRAME_MIN - 1;
	arrive(&f, 2, frame);
	assert_int_equal(f.totals.malformed, 2);
	assert_int_equal(f.totals.frames, 0);
	assert_account(&f, 1, 0);
	vs_frame_unref(frame);
	close_stream(&f);
}

static void test_super_frames_are_valid(void **state)
{
	static const uint32_t sizes[] = { LOAD_FRAME_PLAIN_MAX, LOAD_FRAME_PLAIN_MAX + 1, 1600, 10000, LOAD_FRAME_MAX };
	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(sizes); i++) {
		struct fixture f;
		open_stream(&f, 2, sizes[i], false, 1);
		struct vs_frame *frame = next(&f);
		assert_int_equal(frame->super, f.stream.size > LOAD_FRAME_PLAIN_MAX);
		assert_int_equal(frame->super, vs_gso_valid(frame));
		vs_frame_unref(frame);
		close_stream(&f);
	}
}

/* Whole, or in pieces as a slow line makes them. */
static void test_super_frames_count_as_their_segments(void **state)
{
	enum { SEGMENTS = 3, HEADERS = 42, SEGMENT = 1472 };
	struct fixture f;
	(void)state;
	open_stream(&f, 2, HEADERS + SEGMENTS * SEGMENT + 5, false, 1);
	assert_int_equal(f.stream.size, HEADERS + SEGMENTS * SEGMENT);
	struct vs_frame *whole = next(&f), *rest = next(&f);
	assert_int_equal(f.stream.sent, 2 * SEGMENTS);
	arrive(&f, 2, whole);
	assert_account(&f, 2 * SEGMENTS, SEGMENTS);
	struct vs_frame *front = vs_gso_take_front(f.pool, rest, HEADERS + SEGMENT, LOAD_FRAME_PLAIN_MAX);
	assert_non_null(front);
	arrive(&f, 2, rest);
	assert_account(&f, 2 * SEGMENTS, 2 * SEGMENTS - 1);
	arrive(&f, 2, front);
	assert_account(&f, 2 * SEGMENTS, 2 * SEGMENTS);
	assert_int_equal(f.stream.receptions[0].reordered, 1);
	assert_int_equal(f.totals.malformed, 0);
	vs_frame_unref(whole);
	vs_frame_unref(front);
	vs_frame_unref(rest);
	close_stream(&f);
}

static void test_destinations_are_the_receivers_own(void **state)
{
	enum { MACS = 16, FRAMES = 1000 };
	struct fixture f;
	unsigned drawn[MACS] = { 0 };
	(void)state;
	open_stream(&f, 2, 60, false, MACS);
	for (int i = 0; i < FRAMES; i++) {
		struct vs_frame *frame = next(&f);
		unsigned n = 0;
		struct vs_mac mac;
		do
			mac = load_mac(2, n);
		while (memcmp(vs_frame_bytes(frame), &mac, sizeof(mac)) != 0 && ++n < MACS);
		assert_in_range(n, 0, MACS - 1);
		drawn[n]++;
		vs_frame_unref(frame);
	}
	for (unsigned i = 0; i < MACS; i++)
		assert_in_range(drawn[i], FRAMES / MACS / 3, FRAMES / MACS * 3);
	close_stream(&f);
}

static void test_announcements(void **state)
{
	struct fixture f;
	(void)state;
	open_stream(&f, 2, 60, false, 1);
	struct vs_frame *frame = load_announcement(f.pool, 2, 70000, 1);
	struct vs_mac source = load_mac(2, 70000), destination = load_mac(1, 0);
	assert_memory_equal(vs_frame_bytes(frame), &destination, sizeof(destination));
	assert_memory_equal(vs_frame_bytes(frame) + 6, &source, sizeof(source));
	assert_false(arrive(&f, 1, frame));
	assert_false(arrive(&f, 3, frame)); /* flooded */
	assert_int_equal(f.totals.announced, 1);
	assert_int_equal(f.totals.strays, 0);
	assert_int_equal(f.totals.frames, 0);
	vs_frame_unref(frame);
	close_stream(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_arrives),
		cmocka_unit_test(test_lost_late_and_twice),
		cmocka_unit_test(test_broadcast_is_expected_everywhere_else),
		cmocka_unit_test(test_echo_is_accounted_at_the_sender),
		cmocka_unit_test(test_elsewhere_and_alien),
		cmocka_unit_test(test_super_frames_are_valid),
		cmocka_unit_test(test_super_frames_count_as_their_segments),
		cmocka_unit_test(test_destinations_are_the_receivers_own),
		cmocka_unit_test(test_announcements),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
