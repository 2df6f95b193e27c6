/* Time as the sans-I/O rooms see it: an absolute count of microseconds since an arbitrary start, always passed in
 * as a parameter. common/io reads it from CLOCK_BOOTTIME; the simulator makes it up. */
#ifndef VS_BASE_TIME_H
#define VS_BASE_TIME_H

#include <stdint.h>

#define VS_MSEC UINT64_C(1000)
#define VS_SEC UINT64_C(1000000)

/* A deadline that does not come. */
#define VS_NEVER UINT64_MAX

static inline uint64_t vs_time_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* now + delay, where adding to VS_NEVER or overflowing gives VS_NEVER. */
static inline uint64_t vs_time_add(uint64_t now, uint64_t delay)
{
	return delay > VS_NEVER - now ? VS_NEVER : now + delay;
}

/* Microseconds from `since` to `now`; 0 if `since` lies ahead. */
static inline uint64_t vs_time_since(uint64_t now, uint64_t since)
{
	return now > since ? now - since : 0;
}

#endif
