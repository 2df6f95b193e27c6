#include "base/heap.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHILDREN 4
#define CAPACITY_FIRST 16

void vs_heap_init(struct vs_heap *heap)
{
	memset(heap, 0, sizeof(*heap));
}

void vs_heap_fini(struct vs_heap *heap)
{
	free(heap->slots);
	vs_heap_init(heap);
}

int vs_heap_reserve(struct vs_heap *heap)
{
	if (heap->reserved == VS_HEAP_MAX)
		return -ENOSPC;
	if (heap->reserved == heap->capacity) {
		uint32_t capacity = heap->capacity ? heap->capacity * 2 : CAPACITY_FIRST;
		struct vs_heap_slot *slots = realloc(heap->slots, capacity * sizeof(*slots));
		if (!slots)
			return -ENOMEM;
		heap->slots = slots;
		heap->capacity = capacity;
	}
	heap->reserved++;
	return 0;
}

void vs_heap_unreserve(struct vs_heap *heap)
{
	assert(heap->reserved > heap->count);
	heap->reserved--;
}

static void put(struct vs_heap *heap, uint32_t i, struct vs_heap_slot slot)
{
	heap->slots[i] = slot;
	slot.node->place = i + 1;
}

/* Moves the hole at i towards the root until `slot` may fill it. */
static void sift_up(struct vs_heap *heap, uint32_t i, struct vs_heap_slot slot)
{
	while (i > 0) {
		uint32_t parent = (i - 1) / CHILDREN;
		if (heap->slots[parent].key <= slot.key)
			break;
		put(heap, i, heap->slots[parent]);
		i = parent;
	}
	put(heap, i, slot);
}

static uint32_t least_child(const struct vs_heap *heap, uint32_t first)
{
	uint32_t end = VS_MIN(first + CHILDREN, heap->count);
	uint32_t least = first;
	for (uint32_t i = first + 1; i < end; i++)
		if (heap->slots[i].key < heap->slots[least].key)
			least = i;
	return least;
}

/* Moves the hole at i towards the leaves until `slot` may fill it. */
static void sift_down(struct vs_heap *heap, uint32_t i, struct vs_heap_slot slot)
{
	for (;;) {
		uint32_t child = i * CHILDREN + 1;
		if (child >= heap->count)
			break;
		child = least_child(heap, child);
		if (heap->slots[child].key >= slot.key)
			break;
		put(heap, i, heap->slots[child]);
		i = child;
	}
	put(heap, i, slot);
}

static void refill(struct vs_heap *heap, uint32_t i, uint64_t old_key, struct vs_heap_slot slot)
{
	if (slot.key < old_key)
		sift_up(heap, i, slot);
	else
		sift_down(heap, i, slot);
}

void vs_heap_set(struct vs_heap *heap, struct vs_heap_node *node, uint64_t key)
{
	struct vs_heap_slot slot = {.key = key, .node = node};
	if (vs_heap_contains(node)) {
		uint32_t i = node->place - 1;
		refill(heap, i, heap->slots[i].key, slot);
	} else {
		assert(heap->count < heap->reserved);
		sift_up(heap, heap->count++, slot);
	}
}

void vs_heap_remove(struct vs_heap *heap, struct vs_heap_node *node)
{
	if (!vs_heap_contains(node))
		return;
	uint32_t i = node->place - 1;
	struct vs_heap_slot last = heap->slots[--heap->count];
	if (last.node != node)
		refill(heap, i, heap->slots[i].key, last);
	node->place = 0;
}

struct vs_heap_node *vs_heap_first(const struct vs_heap *heap, uint64_t *key)
{
	if (!heap->count)
		return NULL;
	*key = heap->slots[0].key;
	return heap->slots[0].node;
}
