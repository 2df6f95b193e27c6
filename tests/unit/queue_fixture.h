/* A queue of its own for each test, and ordinary frames to send through it. */
#ifndef VS_TESTS_QUEUE_FIXTURE_H
#define VS_TESTS_QUEUE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "link/ecn.h"
#include "link/queue.h"
#include "packet.h"

#define START (1000 * VS_SEC)
#define ID_OFFSET (VS_ETH_HEADER + 40) /* behind the IPv6 header of ECN-capable frames */

struct fixture {
	struct vs_pool *pool;
	struct vs_drops drops;
	struct vs_queue *queue;
	uint64_t now;
};

static inline void init(struct fixture *f, struct vs_queue_config config)
{
	*f = (struct fixture){ .pool = vs_pool_new(64 << 20), .now = START };
	f->queue = vs_queue_new(&config, f->pool, &f->drops);
	assert_non_null(f->pool);
	assert_non_null(f->queue);
}

static inline void fini(struct fixture *f)
{
	vs_queue_free(f->queue);
	vs_pool_free(f->pool); /* asserts that no reference was lost */
}

static const struct vs_queue_config defaults = VS_QUEUE_CONFIG_DEFAULT;

/* CoDel never finds anything late. */
static const struct vs_queue_config patient = { .limit_frames = 2048, .limit_bytes = 4 << 20, .quantum = 1518,
						.codel = { 1000 * VS_SEC, 1000 * VS_SEC } };

static inline struct vs_queue_stats stats(const struct fixture *f)
{
	struct vs_queue_stats s;
	vs_queue_stats(f->queue, &s);
	return s;
}

static inline struct vs_frame *frame_of(struct fixture *f, uint32_t flow, uint32_t len, uint32_t id, enum vs_ecn ecn)
{
	struct packet p = { .len = 0 };
	packet_macs(&p, 1, 2);
	packet_ipv6(&p, (uint8_t)ecn, 59);
	struct vs_frame *frame = vs_frame_new(f->pool, len);
	assert_non_null(frame);
	memset(vs_frame_bytes(frame), 0, len);
	memcpy(vs_frame_bytes(frame), p.bytes, p.len);
	vs_put_be32(vs_frame_bytes(frame) + ID_OFFSET, id);
	frame->flow_hash = flow;
	return frame;
}

static inline uint32_t id_of(const struct vs_frame *frame)
{
	return vs_get_be32(vs_frame_cbytes(frame) + ID_OFFSET);
}

static inline void send(struct fixture *f, uint32_t flow, uint32_t len, uint32_t id)
{
	vs_queue_send(f->queue, frame_of(f, flow, len, id, VS_ECN_NOT_ECT), f->now);
}

/* Takes the next frame that the queue offers and says which; 0 if there is none. */
static inline uint32_t take(struct fixture *f)
{
	struct vs_frame *shown;
	struct vs_flow *flow = vs_queue_peek(f->queue, f->now, &shown);
	assert_int_equal(flow != NULL, shown != NULL);
	if (!flow)
		return 0;
	struct vs_frame *frame = vs_queue_take(f->queue, flow, f->now);
	assert_ptr_equal(frame, shown);
	uint32_t id = id_of(frame);
	vs_frame_unref(frame);
	return id;
}

static inline void park_next(struct fixture *f, unsigned lane)
{
	struct vs_frame *frame;
	struct vs_flow *flow = vs_queue_peek(f->queue, f->now, &frame);
	assert_non_null(flow);
	vs_queue_park(f->queue, flow, lane);
}

/* A backlog drained at one frame a millisecond: the delay is over 5 ms from the 5th on, so the first signal comes
 * 100 ms later, the next after 100 ms, and then each after 100 ms / sqrt(count). */
static const unsigned signals_ms[] = { 105, 205, 276, 334, 384, 429, 469 };

#endif
