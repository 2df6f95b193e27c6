#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/frame.h"

static void test_sizes(void **state)
{
	(void)state;
	static const size_t lens[] = { 0, 1, 60, 1514, 1522, 1523, 9018, 9216, 9217, 65550, VS_FRAME_MAX };
	struct vs_pool *pool = vs_pool_new(1 << 20);
	for (size_t i = 0; i < VS_ARRAY_SIZE(lens); i++) {
		struct vs_frame *frame = vs_frame_new(pool, lens[i]);
		assert_non_null(frame);
		assert_int_equal(frame->len, lens[i]);
		assert_false(vs_frame_is_shared(frame));
		assert_true(frame->offset >= VS_FRAME_HEADROOM);
		assert_true(frame->offset + frame->len <= frame->capacity);
		memset(vs_frame_bytes(frame) - VS_FRAME_HEADROOM, 0xa5, VS_FRAME_HEADROOM + lens[i]);
		vs_frame_unref(frame);
	}
	assert_null(vs_frame_new(pool, VS_FRAME_MAX + 1));
	vs_pool_free(pool);
}

static void test_never_exceeds_its_maximum(void **state)
{
	(void)state;
	struct vs_pool *pool = vs_pool_new(64 << 10);
	struct vs_frame *frames[100];
	struct vs_pool_stats stats;
	size_t n = 0;
	while (n < VS_ARRAY_SIZE(frames) && (frames[n] = vs_frame_new(pool, 1514)))
		n++;
	assert_in_range(n, 30, 45);
	vs_pool_stats(pool, &stats);
	assert_true(stats.bytes <= 64 << 10);
	assert_int_equal(stats.failures, 1);
	/* What is given back can be had again, in another size, too. */
	while (n)
		vs_frame_unref(frames[--n]);
	frames[0] = vs_frame_new(pool, 9000);
	assert_non_null(frames[0]);
	vs_pool_stats(pool, &stats);
	assert_true(stats.bytes <= 64 << 10);
	vs_frame_unref(frames[0]);
	vs_pool_stats(pool, &stats);
	assert_int_equal(stats.bytes_used, 0);
	vs_pool_trim(pool);
	vs_pool_stats(pool, &stats);
	assert_int_equal(stats.bytes, 0);
	vs_pool_free(pool);
}

static void test_references(void **state)
{
	(void)state;
	struct vs_pool *pool = vs_pool_new(1 << 20);
	struct vs_pool_stats stats;
	struct vs_frame *frame = vs_frame_new(pool, 100);
	assert_ptr_equal(vs_frame_ref(frame), frame);
	assert_ptr_equal(vs_frame_ref(frame), frame);
	assert_true(vs_frame_is_shared(frame));
	vs_frame_unref(frame);
	assert_true(vs_frame_is_shared(frame));
	vs_frame_unref(frame);
	assert_false(vs_frame_is_shared(frame));
	vs_pool_stats(pool, &stats);
	assert_true(stats.bytes_used > 0);
	vs_frame_unref(frame);
	vs_frame_unref(NULL);
	vs_pool_stats(pool, &stats);
	assert_int_equal(stats.bytes_used, 0);
	vs_pool_free(pool);
}

/* A framing header stands in the headroom and belongs to the frame: a copy for an ECN mark goes on the wire with it. */
static void test_a_copy_has_its_headroom(void **state)
{
	(void)state;
	struct vs_pool *pool = vs_pool_new(1 << 20);
	struct vs_frame *frame = vs_frame_new(pool, 200);
	frame->offset += 4;
	frame->len -= 4;
	frame->vlan = 7;
	memset(vs_frame_bytes(frame), 0x11, frame->len);
	memset(vs_frame_bytes(frame) - 8, 0x22, 8);
	struct vs_frame *copy = vs_frame_copy(pool, frame);
	assert_non_null(copy);
	assert_ptr_not_equal(copy, frame);
	assert_int_equal(copy->len, frame->len);
	assert_int_equal(copy->vlan, 7);
	assert_false(vs_frame_is_shared(copy));
	assert_memory_equal(vs_frame_bytes(copy) - 8, vs_frame_bytes(frame) - 8, frame->len + 8);
	vs_frame_unref(frame);
	vs_frame_unref(copy);
	vs_pool_free(pool);
}

static size_t used(struct vs_pool *pool)
{
	struct vs_pool_stats stats;
	vs_pool_stats(pool, &stats);
	return stats.bytes_used;
}

/* A frame of another pool is copied into the caller's, and either pool gets its own back. */
static void test_a_copy_comes_from_the_named_pool(void **state)
{
	(void)state;
	struct vs_pool *theirs = vs_pool_new(1 << 20), *ours = vs_pool_new(4096);
	struct vs_frame *frame = vs_frame_new(theirs, 1514);
	frame->flow_hash = 5;
	frame->super = true;
	memset(frame->vnet, 0x33, sizeof(frame->vnet));
	memset(vs_frame_bytes(frame), 0x44, frame->len);
	vs_frame_ref(frame);
	struct vs_frame *copy = vs_frame_copy(ours, frame);
	assert_non_null(copy);
	assert_ptr_equal(copy->pool, ours);
	assert_false(vs_frame_is_shared(copy));
	assert_int_equal(copy->flow_hash, 5);
	assert_true(copy->super);
	assert_memory_equal(copy->vnet, frame->vnet, sizeof(copy->vnet));
	assert_memory_equal(vs_frame_bytes(copy), vs_frame_bytes(frame), frame->len);

	size_t one = used(theirs);
	assert_int_equal(used(ours), one);
	struct vs_frame *second = vs_frame_copy(ours, frame);
	assert_non_null(second);
	assert_null(vs_frame_copy(ours, frame)); /* its maximum counts, not the frame's pool's */
	vs_frame_unref(second);
	vs_frame_unref(copy);
	assert_int_equal(used(ours), 0);
	assert_int_equal(used(theirs), one);
	vs_frame_unref(frame);
	vs_frame_unref(frame);
	assert_int_equal(used(theirs), 0);
	vs_pool_free(theirs);
	vs_pool_free(ours);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_never_exceeds_its_maximum),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_a_copy_has_its_headroom),
		cmocka_unit_test(test_a_copy_comes_from_the_named_pool),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
