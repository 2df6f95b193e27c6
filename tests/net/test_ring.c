/* io/ring: what goes in comes out, once and in order; full is full and empty is empty; with two threads at it too. */
#include "io/ring.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "io/thread.h"

#define NUMBERS 300000u

static bool put(struct vs_ring *ring, uint32_t number)
{
	uint32_t *slot = vs_ring_reserve(ring);

	if (!slot)
		return false;
	*slot = number;
	vs_ring_commit(ring);
	return true;
}

/* The oldest number; UINT32_MAX: there is none. */
static uint32_t take(struct vs_ring *ring)
{
	const uint32_t *slot = vs_ring_peek(ring);
	uint32_t number = slot ? *slot : UINT32_MAX;

	if (slot)
		vs_ring_pop(ring);
	return number;
}

/* --- One thread --------------------------------------------------------------------------------------------------- */

/* Every fill level of every small ring, from every position in it. */
static void test_order_and_limits(void **state)
{
	(void)state;
	for (uint32_t slots = 1; slots <= 8; slots *= 2) {
		struct vs_ring *ring = vs_ring_new(slots, sizeof(uint32_t));
		uint32_t in = 0, out = 0;
		assert_non_null(ring);
		for (uint32_t round = 0; round < 4 * slots; round++) {
			for (uint32_t level = 0; level <= slots; level++) {
				for (uint32_t i = 0; i < level; i++)
					assert_true(put(ring, in++));
				assert_int_equal(put(ring, in), level < slots);
				in += level < slots;
				while (out < in)
					assert_int_equal(take(ring), out++);
				assert_int_equal(take(ring), UINT32_MAX);
			}
			assert_true(put(ring, in++));
			assert_int_equal(take(ring), out++);
		}
		vs_ring_free(ring);
	}
}

/* Nothing is handed over before the commit, nothing is given back before the pop. */
static void test_reserve_and_peek_are_not_enough(void **state)
{
	struct vs_ring *ring = vs_ring_new(2, 1);
	(void)state;
	uint8_t *slot = vs_ring_reserve(ring);
	assert_ptr_equal(vs_ring_reserve(ring), slot);
	assert_null(vs_ring_peek(ring));
	vs_ring_commit(ring);
	assert_ptr_not_equal(vs_ring_reserve(ring), slot);
	vs_ring_commit(ring);
	assert_ptr_equal(vs_ring_peek(ring), slot);
	assert_ptr_equal(vs_ring_peek(ring), slot);
	assert_null(vs_ring_reserve(ring));
	vs_ring_pop(ring);
	assert_ptr_equal(vs_ring_reserve(ring), slot);
	vs_ring_free(ring);
}

/* Whatever the size, a slot can hold a pointer and does not touch its neighbours. */
static void test_slots_are_apart(void **state)
{
	(void)state;
	for (uint32_t size = 1; size <= 40; size++) {
		struct vs_ring *ring = vs_ring_new(4, size);
		uint8_t *slot;
		for (int i = 0; i < 4; i++) {
			slot = vs_ring_reserve(ring);
			assert_int_equal((uintptr_t)slot % sizeof(void *), 0);
			memset(slot, i + 1, size);
			vs_ring_commit(ring);
		}
		for (int i = 0; i < 4; i++) {
			slot = vs_ring_peek(ring);
			for (uint32_t j = 0; j < size; j++)
				assert_int_equal(slot[j], i + 1);
			vs_ring_pop(ring);
		}
		vs_ring_free(ring);
	}
	vs_ring_free(NULL);
}

/* --- Two threads -------------------------------------------------------------------------------------------------- */

static void *produce(void *arg)
{
	for (uint32_t number = 0; number < NUMBERS; number++) {
		while (!put(arg, number))
			sched_yield();
		/* Now and then the other side gets ahead. */
		if (number % 1009 == 0)
			sched_yield();
	}
	return NULL;
}

static void pass_numbers(uint32_t slots)
{
	struct vs_ring *ring = vs_ring_new(slots, sizeof(uint32_t));
	pthread_t producer;
	uint32_t number;
	assert_int_equal(vs_thread_start(&producer, "producer", produce, ring), 0);
	for (uint32_t expected = 0; expected < NUMBERS; expected++) {
		while ((number = take(ring)) == UINT32_MAX)
			sched_yield();
		assert_int_equal(number, expected);
	}
	assert_int_equal(pthread_join(producer, NULL), 0);
	assert_int_equal(take(ring), UINT32_MAX);
	vs_ring_free(ring);
}

static void test_two_threads(void **state)
{
	(void)state;
	pass_numbers(1);
	pass_numbers(4);
	pass_numbers(1024);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_limits),
		cmocka_unit_test(test_reserve_and_peek_are_not_enough),
		cmocka_unit_test(test_slots_are_apart),
		cmocka_unit_test(test_two_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
