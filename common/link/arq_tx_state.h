/* State of the sending half of the ARQ, shared by the files that implement it: arq_tx.c (lanes, admission, memory),
 * arq_send.c (transmission), arq_ack.c (acknowledgement, loss detection) and arq_timer.c (probe timeouts, SKIP). Nobody
 * else includes this. */
#ifndef VS_LINK_ARQ_TX_STATE_H
#define VS_LINK_ARQ_TX_STATE_H

#include "base/list.h"
#include "link/arq_tx.h"
#include "link/seqbits.h"

enum tx_state {
	TX_WAITING,  /* admitted, in its lane's waiting list */
	TX_INFLIGHT, /* in the link's sent list */
	TX_LOST,     /* in the link's lost list */
	TX_DONE,     /* acknowledged or given up; stays in the ring until una passes it */
};

struct tx_segment {
	struct vs_list node;
	struct vs_frame *message; /* NULL once TX_DONE */
	uint32_t offset, len;     /* in message->data */
	uint32_t sn;
	uint8_t lane;
	uint8_t frg;
	uint8_t state;
	uint8_t losses; /* times declared lost, saturating */
	uint32_t order; /* of its last transmission, among all of the link */
	bool fragmented; /* last sent in fragments */
	bool probe;     /* in the lost list for a probe timeout, not for a loss */
	uint64_t admitted_usec, sent_usec, first_sent_usec; /* sent_usec 0: never */
	struct vs_congestion_tx congestion;
};

struct tx_lane {
	uint32_t una;     /* oldest unacknowledged */
	uint32_t nxt;     /* next to be assigned */
	uint32_t skip_to; /* first segment still wanted; == una: nothing is being skipped */
	bool skipping;
	bool blocked; /* refused a message since it last gained room */
	uint32_t peer_window;
	uint32_t ring_size; /* power of two */
	struct tx_segment **ring;
	struct vs_seqbits acked; /* TX_DONE by an ACK's bitmap; as large as the ring */
	struct vs_list waiting;
	struct vs_list waiting_node; /* in vs_arq_tx.waiting_lanes while `waiting` holds something */
};

/* Windowed maximum over two epochs: what was seen in the current and in the previous one. */
struct reorder_window {
	uint64_t current, previous, epoch_usec;
};

struct vs_arq_tx {
	struct vs_arq_tx_config config;
	struct tx_lane *lanes[VS_LANES_MAX];
	uint64_t busy_lanes;    /* bit: something is unacknowledged */
	uint64_t skip_lanes;    /* bit: a SKIP waits for the receiver's una */
	uint64_t gained_lanes;  /* bit: has gained room since the last input_done() */
	bool clear;             /* vs_arq_tx_set_clear() */
	struct vs_list sent;    /* TX_INFLIGHT, by sent_usec */
	struct vs_list lost;    /* TX_LOST, in order of detection; probes in front */
	struct vs_list waiting_lanes;
	struct vs_list free_segments;
	unsigned free_count;    /* of them */
	struct slab *slabs;
	uint64_t inflight_bytes;

	/* RACK (RFC 8985): when the most recently sent of all delivered segments was sent, and its round-trip time. */
	uint64_t rack_sent_usec, rack_rtt_usec;
	struct reorder_window reorder;
	/* KCP's fast retransmission: of the delivered segments the `resend` that were sent last, as orders, ascending.
	 * What was sent before the first of them has been overtaken by all. */
	uint32_t next_order;
	uint8_t resend; /* 0: off */
	uint8_t overtakers_n;
	bool overtakes; /* `overtaken_before` is set */
	uint32_t overtaken_before; /* what losses are judged by: follows the overtakers as the RACK point does */
	uint32_t overtakers[VS_KCP_RESEND_MAX];
	bool nodelay;
	uint64_t recovery_usec; /* vs_arq_tx_set_recovery() */
	uint64_t reorder_deadline;

	/* Acknowledged since the last input_done(). */
	bool batch_open, batch_progress;
	bool batch_acks; /* some of it by ACKs */
	uint64_t batch_rtt_usec;
	uint64_t batch_rack_sent_usec, batch_rack_rtt_usec; /* the RACK point to be */

	uint64_t probe_deadline;
	uint64_t probe_armed_usec; /* when it was set */
	unsigned probe_count; /* consecutive timeouts */
	uint64_t skip_deadline;
	unsigned skip_count; /* SKIPs sent since the last was asked for */
	bool suspicion;
	uint64_t excused_usec; /* losses of what was sent until then are no sign of congestion */
	uint32_t largest_delivered;
	uint64_t largest_sent_usec;
	struct vs_arq_tx_stats stats;
};

/* Congestion bytes of a segment. */
static inline uint32_t tx_bytes(const struct tx_segment *seg)
{
	return seg->len + VS_SEGMENT_HEADER;
}

static inline struct tx_segment *tx_lookup(const struct tx_lane *lane, uint32_t sn)
{
	return lane->ring[sn & (lane->ring_size - 1)];
}

/* arq_tx.c: takes the segment out of its lane's waiting list. A lane with nothing left to send has room for the next
 * message. */
void vs_arq_tx_leave_waiting(struct vs_arq_tx *tx, struct tx_segment *seg);
/* arq_tx.c: lets go of the message and takes the segment off its list and out of the bytes in flight. */
void vs_arq_tx_settle(struct vs_arq_tx *tx, struct tx_segment *seg);
/* arq_tx.c: frees settled segments up to `una`. */
void vs_arq_tx_advance(struct vs_arq_tx *tx, unsigned lane_no, uint32_t una);
/* arq_ack.c */
uint64_t vs_arq_tx_reorder_usec(const struct vs_arq_tx *tx);
void vs_arq_tx_detect_losses(struct vs_arq_tx *tx, uint64_t now);
/* arq_timer.c: the delay before something is repeated for the n-th time without an answer. */
uint64_t vs_arq_tx_backoff(const struct vs_arq_tx *tx, unsigned n);
/* arq_timer.c: re-arms the probe timer after a transmission or progress. */
void vs_arq_tx_arm_probe(struct vs_arq_tx *tx, uint64_t now);
/* arq_timer.c: gives up the expired messages at the head of a lane. Whether there were any. */
bool vs_arq_tx_give_up_expired(struct vs_arq_tx *tx, unsigned lane_no, uint64_t now);

#endif
