/* A plain peer: somebody who speaks frames (PROTOCOL.md, "Plain peers") without a link, its handshake and its cipher,
 * on a network that is trusted. Either an unmodified KCP, in message or stream mode, over datagrams; or a stream such as
 * TCP's. Both carry 0xBCBC frames and nothing else.
 *
 * Sans-I/O, as a link: bytes and the time go in, frames, bytes and a deadline come out. The caller owns the socket, one
 * for each peer, connected to it. One peer belongs to one thread.
 *
 * Use, each round of the caller's loop:
 *   vs_plain_input() for what the socket gives, vs_plain_send() for each frame;
 *   then vs_plain_output() until it returns 0, each piece followed by vs_plain_sent() for what the socket took;
 *   then vs_plain_end(), and a timer at vs_plain_deadline(), at which vs_plain_output() is called again.
 *
 *   frame -> queue (fq_codel) -> KCP conversation or stream -> vs_plain_output()
 *   vs_plain_input() -> KCP conversation or stream -> deframer -> frames
 *
 * Towards a KCP peer each message is one frame, segments are acknowledged one by one, its window is respected however
 * small it is, and nothing is ever skipped: what is late is dropped in the queue. Nothing of KCP says that a silent
 * peer is still there, so one that is not heard is asked for its window (WASK), which every KCP answers. */
#ifndef VS_LINK_PLAIN_H
#define VS_LINK_PLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/drop.h"
#include "base/frame.h"
#include "link/arq_rx.h"
#include "link/arq_tx.h"
#include "link/framing.h"
#include "link/queue.h"

/* KCP's default, for the datagrams that we send: header and data. Any that come are taken. */
#define VS_PLAIN_KCP_MTU 1400
/* Bytes of a stream that are handed to the socket at once. */
#define VS_PLAIN_STREAM_PIECE 32768

/* Who has not sent a whole frame by then is not one of ours. */
#define VS_PLAIN_PROVE_WITHIN (5 * VS_SEC)
/* A KCP peer is gone that has been silent for so long: while it owes acknowledgements or room, and at all. */
#define VS_PLAIN_SILENT_BUSY (20 * VS_SEC)
#define VS_PLAIN_SILENT_IDLE (60 * VS_SEC)
/* A KCP peer that has been silent for so long is asked whether it is there. */
#define VS_PLAIN_ASK_IDLE (10 * VS_SEC)

enum vs_plain_kind {
	VS_PLAIN_KCP,
	VS_PLAIN_STREAM,
};

enum vs_plain_end {
	VS_PLAIN_RUNS,
	VS_PLAIN_MUTE,      /* no frame has come within VS_PLAIN_PROVE_WITHIN */
	VS_PLAIN_SILENT,    /* it does not answer any more */
	VS_PLAIN_MALFORMED, /* it has sent what is not frames, or acknowledged what was not sent */
	VS_PLAIN_RESTARTED, /* a conversation of another number has begun at the same address */
};

struct vs_plain_config {
	enum vs_plain_kind kind;
	uint32_t conv;        /* KCP: the client's number of the conversation (vs_plain_kcp_begins()) */
	struct vs_pool *pool; /* of received frames; outlives the peer */
	uint64_t flow_key;    /* as in struct vs_link_config */
	struct vs_queue_config queue;
};

struct vs_plain_stats {
	uint64_t tx_pieces, tx_bytes, rx_pieces, rx_bytes; /* pieces: datagrams, or what was read or written at once */
	uint64_t tx_frames, rx_frames;
	uint64_t srtt_usec, bandwidth_bps; /* KCP; 0: unknown */
	uint32_t window;                   /* KCP: segments that the peer takes now */
	struct vs_arq_tx_stats arq_tx;     /* KCP */
	struct vs_arq_rx_stats arq_rx;
	struct vs_queue_stats queue;
};

struct vs_plain;

/* Whether a datagram from an unknown source is the begin of a KCP conversation that carries frames, so that noise costs
 * no socket; *conv is then its number. */
bool vs_plain_kcp_begins(const uint8_t *datagram, size_t len, uint32_t *conv);

/* NULL: out of memory. */
struct vs_plain *vs_plain_new(const struct vs_plain_config *config, uint64_t now);
void vs_plain_free(struct vs_plain *plain);

/* A datagram, or the next bytes of the stream; the frames that it completes are appended to arrived->frames. What is
 * wrong with it is counted, and ends the peer where it cannot go on. */
void vs_plain_input(struct vs_plain *plain, const uint8_t *bytes, size_t len, uint64_t now,
		    struct vs_deframed *arrived);

/* A frame to send, no super-frame; the reference passes to the peer. */
void vs_plain_send(struct vs_plain *plain, struct vs_frame *frame, uint64_t now);

/* Runs the timers that are due and shows what to write next: a datagram, or bytes of the stream, borrowed until the
 * next call. Returns the size; 0: nothing to write now. The same comes again until vs_plain_sent() has taken all of it. */
size_t vs_plain_output(struct vs_plain *plain, uint64_t now, const uint8_t **bytes);

/* The socket has taken (or refused for good) so many bytes of it: a datagram's all. */
void vs_plain_sent(struct vs_plain *plain, size_t bytes);

/* When vs_plain_output() must be called again; a time in the past means now. */
uint64_t vs_plain_deadline(const struct vs_plain *plain);

/* Why the peer is over; VS_PLAIN_RUNS: it is not. */
enum vs_plain_end vs_plain_end(const struct vs_plain *plain);
/* For people: "has sent what is not frames". */
const char *vs_plain_end_text(enum vs_plain_end end);

/* Whether a whole frame has come: before, the peer is a stranger. */
bool vs_plain_is_proven(const struct vs_plain *plain);

const struct vs_drops *vs_plain_drops(const struct vs_plain *plain);
void vs_plain_stats(const struct vs_plain *plain, struct vs_plain_stats *out);

#endif
