/* A fixed amount of work whose instructions are counted (tests/perf/meter.h). The same program does the same work, call
 * for call, on every machine: no clock, no random source, no file. */
#ifndef VS_TEST_PERF_WORKLOAD_H
#define VS_TEST_PERF_WORKLOAD_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct workload {
	const char *name; /* NULL ends a table */
	const char *unit; /* "frame", "segment": what run() returns the number of */
	const char *what;
	uint64_t (*run)(void);
};

extern const struct workload link_workloads[];
extern const struct workload switch_workloads[];
extern const struct workload queue_workloads[];

/* A workload that does not do what its name says is worse than none: each checks its outcome. */
#define MUST(condition)                                                                 \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			exit(1);                                                        \
		}                                                                       \
	} while (0)

/* Numerical Recipes' generator; the high bits are the good ones. */
static inline uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

#endif
