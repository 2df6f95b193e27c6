/* The frames that workloads send. */
#ifndef VS_TEST_PERF_FRAMES_H
#define VS_TEST_PERF_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#include "base/frame.h"

/* The Ethernet header's destination that is everybody. */
#define EVERYBODY UINT32_MAX

/* A UDP frame of `len` bytes (64 and more) of the flow with this number, from station `src` to station `dst`. A
 * station's MAC address is 02:00 and its number. */
struct vs_frame *make_frame(struct vs_pool *pool, uint32_t dst, uint32_t src, uint16_t flow, size_t len);

/* What a TAP hands over of a bulk TCP connection: SUPER_SEGMENTS segments for an MTU of 1500 in one super-frame of
 * almost 64 KiB. */
#define SUPER_SEGMENTS 45
struct vs_frame *make_super(struct vs_pool *pool);

#endif
