/* Frames and control messages as the byte stream of a lane (PROTOCOL.md, "Frames"): a four-byte header before each, and
 * on the other side the deframer, which finds them again whatever the pieces are in which the stream arrives. A plain
 * KCP peer in stream mode may cut it anywhere. The same layout, whole frames only, fills an unreliable datagram.
 *
 * A super-frame (VS_FLAG_SUPER) has a longer header, which holds its virtio-net header; it is taken only where the
 * handshake has agreed on them. */
#ifndef VS_LINK_FRAMING_H
#define VS_LINK_FRAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/drop.h"
#include "base/frame.h"
#include "base/framelist.h"
#include "link/wire.h"

/* Writes the header of `len` bytes under the flag, VS_FLAG_FRAME or VS_FLAG_CONTROL. */
void vs_framing_encode(uint8_t out[VS_FRAMING_HEADER], uint16_t flag, uint32_t len);

/* Bytes of the frame's header. */
static inline uint32_t vs_framing_size(const struct vs_frame *frame)
{
	return frame->super ? VS_FRAMING_SUPER_HEADER : VS_FRAMING_HEADER;
}

/* Writes the header of an Ethernet frame (VS_ETH_HEADER ... VS_ETH_FRAME_MAX bytes, a super-frame VS_FRAME_MAX;
 * asserted) into the headroom right before its bytes; returns the start of the header. Allowed on a frame that is
 * shared within the thread: the header is the same for every link. What is there already is not written again. */
uint8_t *vs_framing_prepend(struct vs_frame *frame);

/* The same ahead of time, before the frame crosses to another thread: every vs_framing_prepend() after it, on whatever
 * thread, only reads, as long as nobody changes the frame. A frame that is too long for any link is left as it is. */
void vs_framing_prepare(struct vs_frame *frame);

/* The same for a buffer that holds the TLVs of a control message (at least one TLV, at most VS_CONTROL_MAX bytes,
 * asserted). */
uint8_t *vs_framing_prepend_control(struct vs_frame *frame);

/* What the deframer has found, each in the order of the stream. The caller takes the frames out between batches. */
struct vs_deframed {
	bool supers;                  /* set by the caller: super-frames may come */
	bool frames_only;             /* set by the caller: only Ethernet frames may, no control messages either */
	struct vs_frame_list frames;  /* Ethernet frames, without their framing headers */
	struct vs_frame_list control; /* the TLVs of control messages, for vs_control_decode(); they are rare */
};

/* The deframer of one lane, in the caller's storage; all zero is a new one. It holds memory only in mid-frame. */
struct vs_deframer {
	struct vs_frame *frame; /* being filled; NULL: no header yet, or no buffer was left and the body is skipped */
	uint32_t body_len;      /* as the header says */
	uint32_t body_have;
	uint8_t header[VS_FRAMING_SUPER_HEADER];
	uint8_t header_have;
};

/* Takes the next `len` bytes of the stream, copies them into frames of the pool, and appends each completed one to
 * `out`. A frame for which the pool or the list has no room is lost and counted (NO_BUFFER); the stream stays in step.
 * 0, or -EBADMSG (counted as BAD_FRAMING): a header that cannot be, so the rest of the stream means nothing and the
 * caller is to drop the link. What came before it has been appended; the deframer is as new. */
int vs_deframer_input(struct vs_deframer *deframer, struct vs_pool *pool, struct vs_drops *drops, const void *data,
		      size_t len, struct vs_deframed *out) VS_MUST_CHECK;

/* Forgets a partial frame: what comes next starts at a header. Also how a deframer ends. */
void vs_deframer_reset(struct vs_deframer *deframer);

/* Whether the stream has stopped inside a frame or a header. */
static inline bool vs_deframer_mid_frame(const struct vs_deframer *deframer)
{
	return deframer->header_have > 0;
}

/* Bytes of frame buffer held for a partial frame: its whole length from its header on, whatever has arrived of it. */
static inline size_t vs_deframer_pending(const struct vs_deframer *deframer)
{
	return deframer->frame ? deframer->frame->len : 0;
}

#endif
