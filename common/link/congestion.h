/* Congestion control and delivery-rate estimation, one instance a link: all lanes share one path.
 *
 * The link reports what it sent, what was acknowledged and what was lost, in bytes of datagram (headers included), and
 * reads back two numbers: a window (bytes that may be in flight) and a pacing rate (bytes a second; 0: unpaced).
 * Algorithms: bbr (version 1's model, with loss lowering the rate only together with rising delay or above 15 %),
 * cubic (RFC 9438, HyStart++ RFC 9406), none (KCP's nc = 1).
 *
 * Sources: draft-cheng-iccrg-delivery-rate-estimation, draft-cardwell-iccrg-bbr-congestion-control-00. */
#ifndef VS_LINK_CONGESTION_H
#define VS_LINK_CONGESTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"

enum vs_congestion_kind {
	VS_CONGESTION_BBR,
	VS_CONGESTION_CUBIC,
	VS_CONGESTION_NONE,
};

/* Kept beside each segment in flight: the state of the delivery-rate estimator when it was (last) sent. */
struct vs_congestion_tx {
	uint64_t delivered;
	uint64_t delivered_usec;
	uint64_t first_sent_usec;
	bool app_limited;
};

/* What one batch of acknowledgements said. */
struct vs_congestion_ack {
	uint64_t rtt_usec;  /* smallest valid sample of the batch, peer's delay subtracted; 0: none */
	uint64_t inflight;  /* bytes in flight after the batch */
	uint64_t min_rtt_usec; /* the link's windowed minimum (link/rtt.h); 0: unknown */
	uint64_t srtt_usec;
};

struct vs_congestion;

/* `datagram` is the size of a full datagram in bytes. NULL: out of memory. */
struct vs_congestion *vs_congestion_new(enum vs_congestion_kind kind, uint32_t datagram, uint64_t now);
void vs_congestion_free(struct vs_congestion *cc);

/* The path has changed (address, carrier): forget what was learned, keep the kind. */
void vs_congestion_reset(struct vs_congestion *cc, uint32_t datagram, uint64_t now);
void vs_congestion_set_datagram(struct vs_congestion *cc, uint32_t datagram);

/* `bytes` leave now, `inflight` being the bytes in flight before; fills *tx. */
void vs_congestion_sent(struct vs_congestion *cc, uint64_t now, uint32_t bytes, uint64_t inflight,
			struct vs_congestion_tx *tx);

/* One segment sent at sent_usec was acknowledged. Called for each, then vs_congestion_ack() once a batch. */
void vs_congestion_delivered(struct vs_congestion *cc, uint64_t now, uint32_t bytes, uint64_t sent_usec,
			     const struct vs_congestion_tx *tx);
void vs_congestion_ack(struct vs_congestion *cc, uint64_t now, const struct vs_congestion_ack *ack);

/* `bytes` were declared lost; `sent_usec` tells one round from the next. */
void vs_congestion_lost(struct vs_congestion *cc, uint64_t now, uint32_t bytes, uint64_t sent_usec, uint64_t inflight);

/* The same of what was sent without acknowledgements; `noise`: few were lost, and nothing delays the path. Algorithms
 * that take any loss for congestion are not told of that: they could be fast by having it sent again, which it is not. */
void vs_congestion_lost_unasked(struct vs_congestion *cc, uint64_t now, uint32_t bytes, uint64_t sent_usec, bool noise);

/* A loss was found to be reordering: bytes that vs_congestion_lost() was told of had arrived. */
void vs_congestion_unlost(struct vs_congestion *cc, uint64_t now, uint32_t bytes);

/* The losses of late were not the path's: datagrams had become too large for it. What was concluded from them is undone. */
void vs_congestion_excused(struct vs_congestion *cc, uint64_t now);

/* Nothing has been acknowledged for a whole retransmission timeout. */
void vs_congestion_timeout(struct vs_congestion *cc, uint64_t now);

/* The sender has run out of data with room in the window: samples until `inflight` has been delivered say nothing
 * about the path's rate. */
void vs_congestion_app_limited(struct vs_congestion *cc, uint64_t inflight);

uint64_t vs_congestion_window(const struct vs_congestion *cc); /* bytes */
uint64_t vs_congestion_rate(const struct vs_congestion *cc);   /* bytes a second; 0: unpaced */

/* "startup", "probe_bw", ... for status. */
const char *vs_congestion_state(const struct vs_congestion *cc);
const char *vs_congestion_kind_name(enum vs_congestion_kind kind);
uint64_t vs_congestion_bandwidth(const struct vs_congestion *cc); /* estimated delivery rate, bytes a second; 0: unknown */

#endif
