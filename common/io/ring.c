/* How it works: `head` counts the slots ever put in, `tail` those ever taken out; they wrap at 2^32, of which the number
 * of slots is a divisor. Each side writes one of them and keeps a copy of the other's that it renews only when the ring
 * looks full, or empty, so that in a busy ring the two cache lines seldom move between the cores. */
#include "io/ring.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

struct vs_ring {
	uint32_t slots, size;
	_Alignas(VS_CACHE_LINE) _Atomic(uint32_t) head; /* the producer's */
	uint32_t tail_seen;
	_Alignas(VS_CACHE_LINE) _Atomic(uint32_t) tail; /* the consumer's */
	uint32_t head_seen;
	_Alignas(VS_CACHE_LINE) uint8_t bytes[];
};

struct vs_ring *vs_ring_new(uint32_t slots, uint32_t size)
{
	assert(slots && !(slots & (slots - 1)));
	size = (size + 7) & ~7u;
	size_t bytes = sizeof(struct vs_ring) + (size_t)slots * size;
	struct vs_ring *ring = aligned_alloc(VS_CACHE_LINE, (bytes + VS_CACHE_LINE - 1) / VS_CACHE_LINE * VS_CACHE_LINE);
	if (!ring)
		return NULL;
	ring->slots = slots;
	ring->size = size;
	atomic_init(&ring->head, 0);
	atomic_init(&ring->tail, 0);
	ring->head_seen = ring->tail_seen = 0;
	return ring;
}

void vs_ring_free(struct vs_ring *ring)
{
	free(ring);
}

static void *slot_at(struct vs_ring *ring, uint32_t n)
{
	return ring->bytes + (size_t)(n & (ring->slots - 1)) * ring->size;
}

void *vs_ring_reserve(struct vs_ring *ring)
{
	uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

	if (head - ring->tail_seen == ring->slots) {
		ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
		if (head - ring->tail_seen == ring->slots)
			return NULL;
	}
	return slot_at(ring, head);
}

void vs_ring_commit(struct vs_ring *ring)
{
	uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

	atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

void *vs_ring_peek(struct vs_ring *ring)
{
	uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

	if (tail == ring->head_seen) {
		ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
		if (tail == ring->head_seen)
			return NULL;
	}
	return slot_at(ring, tail);
}

void vs_ring_pop(struct vs_ring *ring)
{
	uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

	atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
}
