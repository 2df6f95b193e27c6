/* The queue in front of a link: fq_codel (RFC 8290) over whole frames.
 *
 * Flows are told apart by frame->flow_hash (link/flow.h) modulo VS_QUEUE_FLOWS. New flows are served before old ones,
 * old ones by deficit round robin in bytes; each flow is watched by CoDel (RFC 8289), which marks ECN-capable IP
 * packets and drops others. When the queue is at its limit, frames are dropped from the head of the flow with the
 * largest backlog, so that a flood can hurt only itself.
 *
 * Dequeueing has two steps, because a frame is only to leave when the lane of its flow can take it: vs_queue_peek()
 * chooses a flow and shows its first frame, and the caller then takes it, or parks the flow until its lane has room.
 * A parked flow costs nothing until vs_queue_wake().
 *
 * A super-frame (base/gso.h) is to the line what its segments would be. CoDel drops one segment from it, not all. Where
 * it would hold the line for more than a millisecond it leaves in pieces of that length, but at least one segment: no
 * frame behind it in its flow or its lane has to wait for all of it, and CoDel judges the pieces. On a fast line, where
 * super-frames are worth having, they leave whole.
 *
 * Flows are allocated as they come and given back by vs_queue_release() when the link is idle, so that an idle link
 * costs no memory for them, and one with a few flows next to none. */
#ifndef VS_LINK_QUEUE_H
#define VS_LINK_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/drop.h"
#include "base/frame.h"
#include "base/list.h"
#include "link/codel.h"
#include "link/wire.h"

#define VS_QUEUE_FLOWS 1024

struct vs_queue_config {
	uint32_t limit_frames;  /* default 2048 */
	uint32_t limit_bytes;   /* default 4 MiB */
	uint32_t quantum;       /* bytes a flow may send a round; default 1518 */
	struct vs_codel_config codel; /* the least; default 5 ms of 100 ms */
};

#define VS_QUEUE_CONFIG_DEFAULT                                                                 \
	{ .limit_frames = 2048, .limit_bytes = 4 << 20, .quantum = 1518,                        \
	  .codel = { .target_usec = 5000, .interval_usec = 100000 } }

/* A flow, as far as the link's scheduler cares. */
struct vs_flow {
	int16_t lane;     /* that the flow's last frame took; -1: none yet. The caller's to set. */
	uint32_t last_sn; /* of that frame's last segment. The caller's to set. */
};

struct vs_queue_stats {
	uint32_t frames, bytes; /* waiting now */
	uint32_t flows;         /* with frames waiting */
	uint64_t sent, ecn_marked, dropped_full; /* frames; each piece of a super-frame is one */
	uint64_t dropped_codel; /* frames, or single segments of super-frames */
	uint64_t delay_usec; /* of the last frame taken */
};

struct vs_queue;

/* NULL: out of memory. Counts drops into `drops`; a frame to be changed that others hold as well is copied into `pool`,
 * from which the pieces of super-frames are as well. Both must outlive the queue. */
struct vs_queue *vs_queue_new(const struct vs_queue_config *config, struct vs_pool *pool, struct vs_drops *drops);
void vs_queue_free(struct vs_queue *queue);

/* Enqueues a frame; takes over the caller's reference, also where the frame (or another) is dropped. */
void vs_queue_send(struct vs_queue *queue, struct vs_frame *frame, uint64_t now);

/* Says at what rate the line sends, in bytes a second; 0, as at first: unknown, and no super-frame is divided. */
void vs_queue_set_rate(struct vs_queue *queue, uint64_t rate);

/* Says how long the path's round trip is without queues, in microseconds, by which CoDel is set (vs_codel_for_path());
 * 0, as at first: unknown. */
void vs_queue_set_rtt(struct vs_queue *queue, uint64_t rtt_usec);

/* Whether the line takes super-frames at all, as at first. Where it does not, each leaves in its segments. */
void vs_queue_set_supers(struct vs_queue *queue, bool supers);

/* Chooses the flow to serve and shows its first frame (a borrowed reference), after CoDel's drops. Returns NULL if no
 * flow is eligible. Repeated calls without take or park return the same flow. */
struct vs_flow *vs_queue_peek(struct vs_queue *queue, uint64_t now, struct vs_frame **frame);

/* The frame after the one shown or last taken from this flow, without CoDel's judgement, for filling up a segment:
 * a borrowed reference, or NULL if none is waiting. */
struct vs_frame *vs_queue_peek_more(struct vs_queue *queue, struct vs_flow *flow);

/* Removes the first frame of the flow and charges its bytes; the reference passes to the caller. */
struct vs_frame *vs_queue_take(struct vs_queue *queue, struct vs_flow *flow, uint64_t now) VS_MUST_CHECK;

/* Sets the flow aside until vs_queue_wake(lane); frames may still be added to it. */
void vs_queue_park(struct vs_queue *queue, struct vs_flow *flow, unsigned lane);
void vs_queue_wake(struct vs_queue *queue, unsigned lane);

/* Whether a flow is eligible (has frames and is not parked). */
bool vs_queue_ready(const struct vs_queue *queue);

/* Whether a new flow may be among them, which is served before the old ones (RFC 8290, section 4.2). */
bool vs_queue_has_new(const struct vs_queue *queue);

/* Forgets every flow's lane (after a reset of all lanes); wakes all. */
void vs_queue_forget_lanes(struct vs_queue *queue);

/* Gives the flow table back if no frame waits; every struct vs_flow that was shown is gone then. */
void vs_queue_release(struct vs_queue *queue);

/* Drops everything that waits (PORT_DOWN); no flow is parked afterwards. */
void vs_queue_purge(struct vs_queue *queue);

void vs_queue_stats(const struct vs_queue *queue, struct vs_queue_stats *out);

#endif
