/* An intrusive 4-ary min-heap of 64-bit keys, for timers: every node knows its place, so that moving or removing any of
 * them takes O(log n), and the least is at hand in O(1). Four children a node, keys beside the pointers: a step down
 * reads one cache line.
 *
 * Room is reserved ahead, once for each node's lifetime, so that setting a key can never fail. */
#ifndef VS_BASE_HEAP_H
#define VS_BASE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

/* Nodes that one heap takes. */
#define VS_HEAP_MAX (1u << 20)

/* Zero-initialised: in no heap. */
struct vs_heap_node {
	uint32_t place; /* index + 1; 0: in no heap */
};

struct vs_heap_slot {
	uint64_t key;
	struct vs_heap_node *node;
};

struct vs_heap {
	struct vs_heap_slot *slots;
	uint32_t count, reserved, capacity;
};

void vs_heap_init(struct vs_heap *heap);
void vs_heap_fini(struct vs_heap *heap);

/* Makes room for one more node. 0, -ENOMEM, or -ENOSPC at VS_HEAP_MAX. */
int vs_heap_reserve(struct vs_heap *heap) VS_MUST_CHECK;

/* Gives the room of one node, which must not be in the heap, back. */
void vs_heap_unreserve(struct vs_heap *heap);

/* Inserts the node, or moves it if it is in the heap. */
void vs_heap_set(struct vs_heap *heap, struct vs_heap_node *node, uint64_t key);

/* Removes the node if it is in the heap. */
void vs_heap_remove(struct vs_heap *heap, struct vs_heap_node *node);

/* The node with the least key, and that key; NULL if the heap is empty. Among equal keys, any. */
struct vs_heap_node *vs_heap_first(const struct vs_heap *heap, uint64_t *key);

static inline bool vs_heap_contains(const struct vs_heap_node *node)
{
	return node->place != 0;
}

#endif
