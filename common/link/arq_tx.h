/* The sending half of the ARQ: one per link, with a state for each lane (KCP conversation).
 *
 * How it works. A message (one frame, or several small ones in one buffer) is admitted to a lane and cut into segments
 * that are views of its bytes. Segments wait in their lane until they are sent, then stand in one list of the link,
 * ordered by the time they were last sent. An acknowledgement moves the link's RACK point (RFC 8985): whatever was sent
 * before a delivered segment and is overdue by more than the reordering window is lost, whichever lane it is of, and is
 * found at the head of that list. The reordering window follows the reordering that is seen. When no acknowledgement
 * comes for a probe timeout, the oldest segment is sent once more to provoke one (RFC 8985 section 7, RFC 9002 section
 * 6.2); a timeout itself marks nothing as lost.
 *
 * A message older than max_age is given up: its segments are let go and SKIP tells the receiver the first sequence
 * number still wanted, again and again until its una says that it knows.
 *
 * Costs. Each operation is O(1) in the number of segments and lanes in flight; a segment is looked up in its lane's
 * ring; the bitmap of an ACK is compared in words of 64 segments. Lanes and segments are allocated on use and given
 * back when the link is idle. */
#ifndef VS_LINK_ARQ_TX_H
#define VS_LINK_ARQ_TX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/drop.h"
#include "base/frame.h"
#include "link/arq_rx.h"
#include "link/congestion.h"
#include "link/kcp_config.h"
#include "link/parts.h"
#include "link/queue.h"
#include "link/rtt.h"
#include "link/segment.h"

struct vs_arq_tx_config {
	unsigned lanes;         /* 1 ... VS_LANES_MAX */
	uint32_t send_window;   /* segments a lane may have in flight; VS_WINDOW_MIN ... VS_WINDOW_MAX */
	uint64_t max_age_usec;  /* 0: never give a frame up */
	uint32_t first_sn;      /* of each lane; the receiver's alike. 0, but for tests of what happens at 2^32 */
	bool plain;             /* to a plain KCP peer (link/plain.h): its window is respected however small it is */
	uint32_t conv;          /* of lane 0 on the wire; 0 in a link */
	struct vs_rtt *rtt;     /* the link's; samples are fed into it */
	struct vs_congestion *congestion; /* the link's */
	struct vs_drops *drops;
};

struct vs_arq_tx_stats {
	uint64_t segments;       /* sent for the first time */
	uint64_t retransmitted;  /* sent again, probes included */
	uint64_t probes;         /* sent again for a probe timeout */
	uint64_t lost;           /* declared lost */
	uint64_t spurious;       /* declared lost or sent again although they had arrived */
	uint64_t skipped;        /* messages given up */
	uint32_t inflight, waiting; /* segments: sent and not acknowledged; lost or not yet sent */
	uint64_t inflight_bytes;
	uint64_t reorder_usec;   /* the reordering window */
	unsigned lanes_used;
};

struct vs_arq_tx;

/* NULL: out of memory. */
struct vs_arq_tx *vs_arq_tx_new(const struct vs_arq_tx_config *config);
void vs_arq_tx_free(struct vs_arq_tx *tx);

/* What a handshake or a reload may change while the lanes go on. */
void vs_arq_tx_set_policy(struct vs_arq_tx *tx, unsigned lanes, uint64_t max_age_usec);
/* KCP's knobs, in their ranges, but for the receiver's. The send window is then knobs->sndwnd. */
void vs_arq_tx_set_knobs(struct vs_arq_tx *tx, const struct vs_kcp_config *knobs);
/* For so long after its time what is lost may still be regained at the peer (FEC), and is neither declared lost nor
 * probed for. */
void vs_arq_tx_set_recovery(struct vs_arq_tx *tx, uint64_t usec);
void vs_arq_tx_set_congestion(struct vs_arq_tx *tx, struct vs_congestion *congestion);

/* Whether segments travel in the clear, where somebody else can have fed the peer's lanes. Its acknowledgements are its
 * own even then, but may speak of what we have never sent: the lane then goes on from where the peer is. Echoes of
 * stamps that are not ours say nothing about time. */
void vs_arq_tx_set_clear(struct vs_arq_tx *tx, bool clear);

/* Back to the state of a new one: everything in flight is let go. */
void vs_arq_tx_reset(struct vs_arq_tx *tx);

/* As vs_arq_tx_reset(), but what the peer has not acknowledged is admitted anew, as old as it was: the peer's lanes start
 * afresh as well. A message that it has got and whose acknowledgement is under way goes twice. Only `lanes` are used;
 * segments get at most mss bytes. */
void vs_arq_tx_restart(struct vs_arq_tx *tx, unsigned lanes, uint32_t mss);

/* --- Admission ---------------------------------------------------------------------------------------------------- */

/* The lane that the flow's next frame takes: its last one while anything of it is unacknowledged there (frames of a
 * flow keep their order), else an idle lane, else the lane of its hash. */
unsigned vs_arq_tx_pick_lane(const struct vs_arq_tx *tx, const struct vs_flow *flow, uint32_t flow_hash);

/* Whether the lane takes a message of so many segments now: its window has room and nothing of it waits to be sent. */
bool vs_arq_tx_lane_ready(struct vs_arq_tx *tx, unsigned lane, unsigned segments);

/* Admits a message: the `len` bytes at `offset` of message->data, whose reference passes to the ARQ. The first segment
 * gets at most first_max bytes, each further one at most mss. Returns the last segment's sequence number in *last_sn.
 * 0, or -ENOMEM (the message is then dropped under NO_BUFFER). */
int vs_arq_tx_admit(struct vs_arq_tx *tx, unsigned lane, struct vs_frame *message, uint32_t offset, uint32_t len,
		    uint32_t first_max, uint32_t mss, uint64_t now, uint32_t *last_sn) VS_MUST_CHECK;

/* Number of segments that vs_arq_tx_admit() would make. */
static inline unsigned vs_arq_segments(uint32_t len, uint32_t first_max, uint32_t mss)
{
	return len <= first_max ? 1 : 1 + (len - first_max + mss - 1) / mss;
}

/* --- Transmission ------------------------------------------------------------------------------------------------- */

/* Adds SKIPs that are due and a probe to the datagram, whatever the congestion window says, as many as fit. */
void vs_arq_tx_write_urgent(struct vs_arq_tx *tx, const struct vs_arq_rx *rx, uint64_t now, struct vs_parts *parts);

/* Adds lost segments, as many as fit and as the congestion window lets go. */
void vs_arq_tx_write_lost(struct vs_arq_tx *tx, const struct vs_arq_rx *rx, uint64_t now, struct vs_parts *parts);

/* Adds the next segment that waits for its first transmission, if one does and fits. */
bool vs_arq_tx_write_waiting(struct vs_arq_tx *tx, const struct vs_arq_rx *rx, uint64_t now, struct vs_parts *parts);

/* Size, header included, of the segment that goes next (lost ones first); 0: none. A segment that was cut for a larger
 * path than there is now does not fit a datagram any more and is taken with vs_arq_tx_write_next(), which encodes it
 * whole into `out`, to be sent in fragments. */
size_t vs_arq_tx_next_size(struct vs_arq_tx *tx, uint64_t now);
void vs_arq_tx_write_next(struct vs_arq_tx *tx, const struct vs_arq_rx *rx, uint64_t now, uint8_t *out);

bool vs_arq_tx_has_lost(const struct vs_arq_tx *tx);
bool vs_arq_tx_has_waiting(const struct vs_arq_tx *tx);
/* A probe or a SKIP is due, which goes out whatever the congestion window and the pacer say. */
bool vs_arq_tx_urgent(const struct vs_arq_tx *tx, uint64_t now);
uint64_t vs_arq_tx_inflight(const struct vs_arq_tx *tx); /* bytes */

/* --- Acknowledgement ---------------------------------------------------------------------------------------------- */

/* Any segment from the peer: its una and window. An ACK: also its sn, echoed ts, delay and bitmap.
 * False: the segment is malformed (it acknowledges what was never sent, and that cannot be somebody else's doing). */
bool vs_arq_tx_input(struct vs_arq_tx *tx, const struct vs_segment *seg, uint64_t now);

/* After a batch of vs_arq_tx_input(): feeds the congestion controller, detects losses. Returns the set of lanes (bit
 * mask) that have gained room since the last call. */
uint64_t vs_arq_tx_input_done(struct vs_arq_tx *tx, uint64_t now);

/* --- Time --------------------------------------------------------------------------------------------------------- */

uint64_t vs_arq_tx_deadline(const struct vs_arq_tx *tx);

enum vs_arq_event {
	VS_ARQ_NOTHING,
	VS_ARQ_PROBE, /* a probe timeout has fired: the path may be down, or its MTU may have shrunk */
};

/* Runs the timers that are due. Bits of lanes that have gained room (by SKIP) come with the next input_done(). */
enum vs_arq_event vs_arq_tx_timeout(struct vs_arq_tx *tx, uint64_t now);

/* The path's MTU has shrunk: that what was sent until now is lost says nothing about congestion. */
void vs_arq_tx_excuse_losses(struct vs_arq_tx *tx, uint64_t now);

/* A segment has been lost at least twice since the last call: the path's MTU may have shrunk. */
bool vs_arq_tx_take_suspicion(struct vs_arq_tx *tx);

/* The largest segment (bytes, header included) acknowledged since the last call that was sent whole, and when; 0: none.
 * Evidence that the path carries datagrams of at least that size. */
uint32_t vs_arq_tx_take_largest_delivered(struct vs_arq_tx *tx, uint64_t *sent_usec);

/* Gives memory back if nothing is in flight. */
void vs_arq_tx_release(struct vs_arq_tx *tx);

bool vs_arq_tx_idle(const struct vs_arq_tx *tx);
void vs_arq_tx_stats(const struct vs_arq_tx *tx, struct vs_arq_tx_stats *out);

#endif
