/* A histogram of durations with a bounded relative error: values below 64 microseconds have a bucket each, above that
 * every octave has 64, so that a percentile is at most 1.6 % off. Counting is O(1) and never allocates. */
#ifndef VS_TEST_BENCH_HISTOGRAM_H
#define VS_TEST_BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEP 64
#define HISTOGRAM_OCTAVES 26 /* up to 2^32 microseconds, more than an hour */

/* All zero is an empty one. */
struct histogram {
	uint64_t count, max;
	uint64_t buckets[HISTOGRAM_STEP * (HISTOGRAM_OCTAVES + 1)];
};

void histogram_add(struct histogram *histogram, uint64_t usec);

/* The least value that a share of `permille` of all do not exceed; 0 of an empty histogram. */
uint64_t histogram_percentile(const struct histogram *histogram, unsigned permille);

#endif
