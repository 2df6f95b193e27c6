/* The receiving half of the ARQ: one per link, with a state for each lane (KCP conversation).
 *
 * How it works. Segments that arrive in order go straight through the lane's deframer and become frames; nothing is
 * stored for them. Segments beyond a gap are copied and kept in a ring indexed by sequence number until the gap is
 * filled, or until the sender gives it up with SKIP. What arrived is told in ACKs, at most one a lane and batch: each
 * carries una and a bitmap of everything after it, so that a lost ACK costs nothing.
 *
 * Memory. Kept segments are charged to a budget of the link, by the size of their buffers. Over budget, a segment is
 * dropped unless it is the next one in order (which needs no buffer), so the lane always moves. The window that we
 * advertise follows what is left of the budget, at least VS_WINDOW_MIN. Lanes are allocated by their first segment. */
#ifndef VS_LINK_ARQ_RX_H
#define VS_LINK_ARQ_RX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/drop.h"
#include "base/frame.h"
#include "link/framing.h"
#include "link/segment.h"

struct vs_arq_rx_config {
	unsigned lanes;        /* 1 ... VS_LANES_MAX */
	size_t budget;         /* bytes of kept segments; default 4 MiB */
	uint32_t first_sn;     /* as in struct vs_arq_tx_config */
	bool plain;            /* from a plain KCP peer: one lane, an ACK for each segment, and none has a payload */
	uint32_t conv;         /* as in struct vs_arq_tx_config; what comes in has its lane's number instead */
	struct vs_pool *pool;  /* of frames and of kept segments */
	struct vs_drops *drops;
};

struct vs_arq_rx_stats {
	uint64_t segments, duplicates, out_of_order, acks, skipped;
	size_t held; /* bytes kept now */
};

struct vs_arq_rx;

/* NULL: out of memory. */
struct vs_arq_rx *vs_arq_rx_new(const struct vs_arq_rx_config *config);
void vs_arq_rx_free(struct vs_arq_rx *rx);

/* Back to the state of a new one (the link's lanes start afresh). */
void vs_arq_rx_reset(struct vs_arq_rx *rx);

/* As vs_arq_rx_reset(), but the whole messages that wait behind a gap are delivered: nobody will fill it. */
void vs_arq_rx_restart(struct vs_arq_rx *rx, struct vs_deframed *arrived);

/* Segments that are advertised at most: KCP's rcvwnd, VS_WINDOW_MIN ... VS_WINDOW_MAX; the latter at first. */
void vs_arq_rx_set_window(struct vs_arq_rx *rx, uint16_t segments);

/* Whether segments arrive in the clear, where anybody on the path can have made them. Then a byte stream that is not
 * frames costs the rest of its message, and not the link: what our peer sends starts with a header in each message. And
 * only the lanes that the peer may use, `lanes` of them, are listened to; that many or more until the next reset. */
void vs_arq_rx_set_clear(struct vs_arq_rx *rx, bool clear, unsigned lanes);

/* A PUSH, SKIP or WASK segment arrived; `arrived` are the frames and control messages that it completes, appended.
 * 0, or -EBADMSG: the lane's byte stream is not frames, and the link must end. */
int vs_arq_rx_input(struct vs_arq_rx *rx, const struct vs_segment *seg, uint64_t now, struct vs_deframed *arrived)
	VS_MUST_CHECK;

/* The next sequence number expected in the lane and the window after it, for outgoing segment headers. */
uint32_t vs_arq_rx_una(const struct vs_arq_rx *rx, unsigned lane);
uint16_t vs_arq_rx_window(const struct vs_arq_rx *rx);

/* How long an ACK may wait for company. */
void vs_arq_rx_set_ack_delay(struct vs_arq_rx *rx, uint64_t delay_usec);

/* When ACKs must go out; VS_NEVER if none is owed. */
uint64_t vs_arq_rx_deadline(const struct vs_arq_rx *rx);

/* Writes the ACKs that are owed into at most `room` bytes; returns the bytes written. What does not fit stays owed. */
size_t vs_arq_rx_write_acks(struct vs_arq_rx *rx, uint64_t now, uint8_t *out, size_t room);

/* In the clear: drops what has been kept in lanes that have not moved since `before`, and what they have of a frame.
 * For use while the peer is known to be there: it would have filled a gap of its own making, or skipped it, long
 * ago, so what is kept is somebody else's. Returns whether lanes are left that wait for more. */
bool vs_arq_rx_forget(struct vs_arq_rx *rx, uint64_t before);

/* Gives memory of lanes without any state in flight back. */
void vs_arq_rx_release(struct vs_arq_rx *rx);

void vs_arq_rx_stats(const struct vs_arq_rx *rx, struct vs_arq_rx_stats *out);

#endif
