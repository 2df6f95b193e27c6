#include "sim/clock.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

/* A key is a time and, below it, the order of setting. */
#define SERIAL_BITS 32

void *sim_alloc(size_t size)
{
	void *p = calloc(1, size);
	if (!p) {
		fputs("out of memory\n", stderr);
		abort();
	}
	return p;
}

void sim_clock_init(struct sim_clock *clock)
{
	*clock = (struct sim_clock){ .now = VS_SEC };
	vs_heap_init(&clock->heap);
}

void sim_clock_fini(struct sim_clock *clock)
{
	vs_heap_fini(&clock->heap);
}

void sim_event_init(struct sim_clock *clock, struct sim_event *event, void (*fire)(struct sim_event *, uint64_t))
{
	*event = (struct sim_event){ .fire = fire };
	if (vs_heap_reserve(&clock->heap) < 0)
		abort();
}

void sim_event_fini(struct sim_clock *clock, struct sim_event *event)
{
	vs_heap_remove(&clock->heap, &event->node);
	vs_heap_unreserve(&clock->heap);
}

void sim_event_set(struct sim_clock *clock, struct sim_event *event, uint64_t at)
{
	if (at == VS_NEVER) {
		vs_heap_remove(&clock->heap, &event->node);
		return;
	}
	at = VS_MAX(at, clock->now);
	assert(at >> SERIAL_BITS == 0);
	vs_heap_set(&clock->heap, &event->node, at << SERIAL_BITS | clock->serial++);
}

void sim_clock_run(struct sim_clock *clock, uint64_t until)
{
	struct vs_heap_node *node;
	uint64_t key;
	while ((node = vs_heap_first(&clock->heap, &key)) && key >> SERIAL_BITS <= until) {
		struct sim_event *event = VS_CONTAINER_OF(node, struct sim_event, node);
		vs_heap_remove(&clock->heap, node);
		clock->now = key >> SERIAL_BITS;
		event->fire(event, clock->now);
	}
	clock->now = VS_MAX(clock->now, until);
}

/* SplitMix64 (Steele, Lea, Flood, 2014). */
uint64_t sim_random_next(struct sim_random *random)
{
	uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint64_t sim_random_range(struct sim_random *random, uint64_t low, uint64_t high)
{
	return low + sim_random_next(random) % (high - low + 1);
}

bool sim_random_chance(struct sim_random *random, unsigned percent)
{
	return sim_random_next(random) % 100 < percent;
}

void sim_random_fill(struct sim_random *random, void *out, size_t len)
{
	uint8_t *at = out;
	while (len) {
		uint64_t word = sim_random_next(random);
		size_t n = VS_MIN(len, sizeof(word));
		memcpy(at, &word, n);
		at += n;
		len -= n;
	}
}
