/* base/heap: against a naive search over random operations, and at its edges. */
#include "base/heap.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define NODES 300
#define STEPS 40000

struct item {
	struct vs_heap_node node;
	uint64_t key; /* as the heap should have it */
};

static uint64_t next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *state >> 33;
}

static uint64_t least_key(const struct item *items)
{
	uint64_t least = UINT64_MAX;
	for (size_t i = 0; i < NODES; i++)
		if (vs_heap_contains(&items[i].node) && items[i].key < least)
			least = items[i].key;
	return least;
}

static void check_first(const struct vs_heap *heap, const struct item *items)
{
	uint64_t key, least = least_key(items);
	struct vs_heap_node *node = vs_heap_first(heap, &key);
	if (!node) {
		assert_int_equal(least, UINT64_MAX);
		return;
	}
	assert_int_equal(key, least);
	assert_int_equal(VS_CONTAINER_OF(node, const struct item, node)->key, key);
}

static void init(struct vs_heap *heap, size_t nodes)
{
	vs_heap_init(heap);
	for (size_t i = 0; i < nodes; i++)
		assert_int_equal(vs_heap_reserve(heap), 0);
}

static void test_random(void **state)
{
	(void)state;
	static const uint64_t ranges[] = {4, 1000, UINT64_C(1) << 31};
	for (size_t r = 0; r < VS_ARRAY_SIZE(ranges); r++) {
		struct item items[NODES] = {0};
		struct vs_heap heap;
		uint64_t seed = r;
		init(&heap, NODES);
		for (int step = 0; step < STEPS; step++) {
			struct item *item = &items[next_random(&seed) % NODES];
			if (next_random(&seed) % 3 == 0) {
				vs_heap_remove(&heap, &item->node);
				assert_false(vs_heap_contains(&item->node));
			} else {
				item->key = next_random(&seed) % ranges[r];
				vs_heap_set(&heap, &item->node, item->key);
				assert_true(vs_heap_contains(&item->node));
			}
			check_first(&heap, items);
		}
		vs_heap_fini(&heap);
	}
}

static void test_drains_in_order(void **state)
{
	(void)state;
	struct item items[NODES] = {0};
	struct vs_heap heap;
	uint64_t seed = 7, key, last = 0;
	init(&heap, NODES);
	for (size_t i = 0; i < NODES; i++)
		vs_heap_set(&heap, &items[i].node, next_random(&seed) % 100);
	for (size_t i = 0; i < NODES; i++) {
		struct vs_heap_node *node = vs_heap_first(&heap, &key);
		assert_non_null(node);
		assert_true(key >= last);
		last = key;
		vs_heap_remove(&heap, node);
	}
	assert_null(vs_heap_first(&heap, &key));
	vs_heap_fini(&heap);
}

static void test_extreme_keys(void **state)
{
	(void)state;
	struct item items[3] = {0};
	struct vs_heap heap;
	uint64_t key;
	init(&heap, 3);
	vs_heap_set(&heap, &items[0].node, UINT64_MAX);
	vs_heap_set(&heap, &items[1].node, 0);
	vs_heap_set(&heap, &items[2].node, UINT64_MAX - 1);
	assert_ptr_equal(vs_heap_first(&heap, &key), &items[1].node);
	vs_heap_set(&heap, &items[1].node, UINT64_MAX);
	assert_ptr_equal(vs_heap_first(&heap, &key), &items[2].node);
	vs_heap_remove(&heap, &items[2].node);
	vs_heap_remove(&heap, &items[2].node); /* twice: harmless */
	assert_non_null(vs_heap_first(&heap, &key));
	assert_int_equal(key, UINT64_MAX);
	vs_heap_fini(&heap);
}

static void test_reserve_is_bounded(void **state)
{
	(void)state;
	struct vs_heap heap;
	init(&heap, VS_HEAP_MAX);
	assert_int_equal(vs_heap_reserve(&heap), -ENOSPC);
	vs_heap_unreserve(&heap);
	assert_int_equal(vs_heap_reserve(&heap), 0);
	vs_heap_fini(&heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_drains_in_order),
		cmocka_unit_test(test_extreme_keys),
		cmocka_unit_test(test_reserve_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
