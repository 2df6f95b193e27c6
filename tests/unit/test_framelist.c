#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/framelist.h"

static struct vs_pool *pool;

static int setup(void **state)
{
	(void)state;
	pool = vs_pool_new(8 << 20);
	return pool ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	vs_pool_free(pool); /* asserts that no reference was lost */
	return 0;
}

static struct vs_frame *numbered(uint32_t number)
{
	struct vs_frame *frame = vs_frame_new(pool, 14);
	assert_non_null(frame);
	frame->flow_hash = number;
	return frame;
}

static void pop_expecting(struct vs_frame_list *list, uint32_t number)
{
	struct vs_frame *frame = vs_frame_list_pop(list);
	assert_non_null(frame);
	assert_int_equal(frame->flow_hash, number);
	vs_frame_unref(frame);
}

/* Pushes three for every two popped, so that the ring wraps and grows while it is wrapped. */
static void test_order_while_growing(void **state)
{
	(void)state;
	struct vs_frame_list list;
	uint32_t in = 0, out = 0;
	vs_frame_list_init(&list, 1000);
	for (int i = 0; i < 500; i++) {
		for (int j = 0; j < 3; j++)
			assert_true(vs_frame_list_push(&list, numbered(in++)));
		for (int j = 0; j < 2; j++)
			pop_expecting(&list, out++);
		assert_int_equal(list.count, in - out);
	}
	while (out < in)
		pop_expecting(&list, out++);
	assert_null(vs_frame_list_pop(&list));
	vs_frame_list_fini(&list);
}

static void test_maximum(void **state)
{
	(void)state;
	static const uint32_t maxima[] = { 0, 1, 63, 64, 65, 200 };
	for (size_t i = 0; i < VS_ARRAY_SIZE(maxima); i++) {
		struct vs_frame_list list;
		vs_frame_list_init(&list, maxima[i]);
		for (uint32_t j = 0; j < maxima[i]; j++)
			assert_true(vs_frame_list_push(&list, numbered(j)));
		struct vs_frame *one_more = numbered(0);
		assert_false(vs_frame_list_push(&list, one_more));
		assert_int_equal(vs_frame_list_grow(&list), -ENOBUFS);
		vs_frame_unref(one_more); /* still ours */
		vs_frame_list_fini(&list);
		assert_null(list.ring);
	}
}

static void test_clear_keeps_the_memory(void **state)
{
	(void)state;
	struct vs_frame_list list;
	vs_frame_list_init(&list, 100);
	for (uint32_t i = 0; i < 100; i++)
		assert_true(vs_frame_list_push(&list, numbered(i)));
	uint32_t capacity = list.capacity;
	vs_frame_list_clear(&list);
	assert_int_equal(list.count, 0);
	assert_int_equal(list.capacity, capacity);
	assert_true(vs_frame_list_push(&list, numbered(7)));
	pop_expecting(&list, 7);
	vs_frame_list_fini(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_while_growing),
		cmocka_unit_test(test_maximum),
		cmocka_unit_test(test_clear_keeps_the_memory),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
