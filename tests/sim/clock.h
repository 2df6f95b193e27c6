/* Virtual time: events in a heap, each fired at its time and in the order in which it was set among those of one
 * moment, so that a run depends on nothing but its seed. And the random numbers that go with it. */
#ifndef VS_TEST_SIM_CLOCK_H
#define VS_TEST_SIM_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/time.h"

struct sim_event {
	struct vs_heap_node node;
	void (*fire)(struct sim_event *event, uint64_t now);
};

struct sim_clock {
	struct vs_heap heap;
	uint64_t now;
	uint32_t serial;
};

/* Starts at one second, because 0 stands for "never happened" here and there. */
void sim_clock_init(struct sim_clock *clock);
void sim_clock_fini(struct sim_clock *clock);

/* An event that is not set. Ends the program if memory is out, as everything in the simulator does. */
void sim_event_init(struct sim_clock *clock, struct sim_event *event,
		    void (*fire)(struct sim_event *event, uint64_t now));
void sim_event_fini(struct sim_clock *clock, struct sim_event *event);

/* Sets or moves an event; a time that has passed means now. VS_NEVER unsets it. */
void sim_event_set(struct sim_clock *clock, struct sim_event *event, uint64_t at);

/* Fires all events up to and including `until`, where the clock then stands. */
void sim_clock_run(struct sim_clock *clock, uint64_t until);

/* --- Random numbers ----------------------------------------------------------------------------------------------- */

struct sim_random {
	uint64_t state;
};

uint64_t sim_random_next(struct sim_random *random);

/* Evenly from low to high, both included. */
uint64_t sim_random_range(struct sim_random *random, uint64_t low, uint64_t high);

/* True with a probability of percent / 100. */
bool sim_random_chance(struct sim_random *random, unsigned percent);

void sim_random_fill(struct sim_random *random, void *out, size_t len);

/* calloc() that does not fail. */
void *sim_alloc(size_t size);

#endif
