#include "bench/histogram.h"

#include "base/compiler.h"

#define STEP_BITS 6
_Static_assert(1 << STEP_BITS == HISTOGRAM_STEP, "buckets of an octave");

/* The octave of a value is the number of its low bits that do not count. */
static unsigned bucket_of(uint64_t usec)
{
	uint64_t value = VS_MIN(usec, (UINT64_C(1) << (STEP_BITS + HISTOGRAM_OCTAVES)) - 1);
	if (value < HISTOGRAM_STEP)
		return (unsigned)value;
	unsigned octave = 63 - STEP_BITS - (unsigned)__builtin_clzll(value);
	return HISTOGRAM_STEP * octave + (unsigned)(value >> octave);
}

/* The largest value of the bucket. */
static uint64_t bucket_end(unsigned bucket)
{
	if (bucket < 2 * HISTOGRAM_STEP)
		return bucket;
	unsigned octave = bucket / HISTOGRAM_STEP - 1;
	uint64_t mantissa = bucket % HISTOGRAM_STEP + HISTOGRAM_STEP;
	return ((mantissa + 1) << octave) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t usec)
{
	histogram->count++;
	histogram->max = VS_MAX(histogram->max, usec);
	histogram->buckets[bucket_of(usec)]++;
}

uint64_t histogram_percentile(const struct histogram *histogram, unsigned permille)
{
	uint64_t wanted = (histogram->count * permille + 999) / 1000, seen = 0;
	if (!histogram->count)
		return 0;
	for (unsigned i = 0; i < VS_ARRAY_SIZE(histogram->buckets); i++) {
		seen += histogram->buckets[i];
		if (seen >= VS_MAX(wanted, UINT64_C(1)))
			return VS_MIN(bucket_end(i), histogram->max);
	}
	return histogram->max;
}
