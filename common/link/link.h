/* A link: the protocol state between a client and its port on the server, over whatever carries datagrams.
 *
 * Sans-I/O: bytes and the time go in, datagrams, frames and a deadline come out. The caller owns sockets, clocks and
 * the handshake (link/initiator.h, link/responder.h), whose result it installs here. One link belongs to one thread.
 *
 * Use, each round of the caller's loop:
 *   vs_link_input() for each datagram whose receiver index is one of the link's, vs_link_send() for each frame;
 *   then vs_link_output() until it returns 0, sending each datagram to vs_link_path();
 *   then vs_link_take_events(), and a timer at vs_link_deadline(), at which vs_link_output() is called again.
 *
 * A link outlives its sessions and its path: lanes and queue go on across rekeying and a change of address. Only a
 * handshake that says `fresh` (the peer has lost its state) resets the lanes.
 *
 *   frame -> queue (fq_codel) -> lanes (ARQ) or unreliable -> datagram -> seal -> vs_link_output()
 *   vs_link_input() -> open -> replay window -> lanes -> deframer -> frames
 *
 * In the clear (VS_PROTECTION_NONE), only PUSH segments and unreliable frames travel unsealed, and nothing of a clear
 * datagram is believed but these: it does not move the path, does not count as life, and neither it nor what it leaves
 * behind in a lane ends the link. */
#ifndef VS_LINK_LINK_H
#define VS_LINK_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/drop.h"
#include "base/frame.h"
#include "link/arq_rx.h"
#include "link/arq_tx.h"
#include "link/crypto.h"
#include "link/framing.h"
#include "link/params.h"
#include "link/queue.h"

/* Where datagrams go, the local address that they leave from (unset: the system chooses), and what they travel in. Of a
 * carrier with connections, peer and local together, both with their ports, name the connection. */
struct vs_path {
	struct vs_addr peer, local;
	enum vs_carrier_kind carrier;
};

struct vs_link_config {
	const struct vs_crypto *crypto;
	struct vs_pool *pool;      /* of received frames; outlives the link */
	struct vs_queue_config queue;
	uint64_t flow_key;         /* secret, the same for all links that share frames (link/flow.h) */
	uint16_t datagram_max;     /* the largest datagram that the local interface takes */
	uint32_t receive_budget;   /* bytes kept out of order; 0: 4 MiB */
	bool initiator;            /* this side starts handshakes and keeps the link alive */
};

enum {
	VS_LINK_UP = 1,             /* frames can flow: a session has been confirmed where there was none */
	VS_LINK_FRESH = 2,          /* the lanes were reset: the peer has started anew */
	VS_LINK_WANT_HANDSHAKE = 4, /* initiator: keys are old, or the peer has gone silent */
	VS_LINK_MOVED = 8,          /* the peer's address, or the carrier, has changed: vs_link_path() */
	VS_LINK_CLOSED = 16,        /* the peer has ended the link: vs_link_close_reason() */
	VS_LINK_TIMED_OUT = 32,     /* nothing heard for VS_LINK_TIMEOUT */
	VS_LINK_ERROR = 64,         /* the peer has sent what cannot be: the link is over */
	VS_LINK_UNRENEWED = 128,    /* responder: the peer has been asked for a handshake in vain: vs_link_renew() */
	VS_LINK_SILENT = 512,       /* initiator, with WANT_HANDSHAKE: because the peer has gone silent, or
				     * does not hear us any more */
};

struct vs_link_stats {
	uint64_t tx_datagrams, tx_bytes, rx_datagrams, rx_bytes;
	uint64_t tx_clear, rx_clear; /* of these datagrams, in the clear */
	uint64_t tx_frames, tx_frame_bytes, rx_frames, rx_frame_bytes;
	uint64_t srtt_usec, min_rtt_usec;
	uint64_t window_bytes, rate_bps, bandwidth_bps; /* bits a second; rate 0: unpaced */
	const char *congestion, *congestion_state;
	const char *cipher;      /* vs_cipher_text(); NULL: no session */
	const char *mtu_state;
	uint16_t datagram;       /* bytes */
	uint32_t loss_q16;       /* of what we send, by the peer's last report; in 1/65536 */
	uint64_t peer_queue_usec;
	uint64_t handshakes, moves, fragments_sent;
	struct vs_fec_config fec; /* of what we send */
	uint32_t fec_share_q16;   /* parities that are sent for each datagram of data, in 1/65536 */
	uint64_t tx_parity, rx_parity; /* datagrams */
	uint64_t fec_recovered, fec_unrecovered; /* datagrams of the peer's that were lost: regained, or not in time */
	uint64_t session_age_usec, heard_usec_ago;
	uint64_t answered_usec_ago; /* since the peer last showed that it hears us; of an initiator */
	struct vs_arq_tx_stats arq_tx;
	struct vs_arq_rx_stats arq_rx;
	struct vs_queue_stats queue;
};

struct vs_link;

/* NULL: out of memory. */
struct vs_link *vs_link_new(const struct vs_link_config *config, uint64_t now);

/* Frees the link; frames that wait are let go. */
void vs_link_free(struct vs_link *link);

/* --- Sessions ----------------------------------------------------------------------------------------------------- */

/* The result of a handshake. An initiator uses the keys from now on and sends a datagram under them at once; a
 * responder's session takes effect with the first datagram that the initiator seals under it. If params->resumed is
 * false the lanes are reset when the session takes effect. Copies the keys. 0 or -ENOMEM. */
int vs_link_install(struct vs_link *link, const struct vs_session_keys *keys, const struct vs_params *params,
		    uint64_t now) VS_MUST_CHECK;

/* Ends all sessions at once; their indices come with vs_link_take_retired(). */
void vs_link_end(struct vs_link *link);

/* A local index that the link does not answer to any more, for the caller to free. False: none. */
bool vs_link_take_retired(struct vs_link *link, uint32_t *index);

/* Responder: the terms have changed. Has the peer make a handshake at once, for a session with the new ones, which
 * resumes the link; it is asked again each second, ten times in all, until one installed after this call takes effect.
 * Then, if there is none, VS_LINK_UNRENEWED: the peer does not know the message, or does not take the terms. */
void vs_link_renew(struct vs_link *link, uint64_t now);

/* Whether frames can flow. */
bool vs_link_is_up(const struct vs_link *link);

/* What the two ends have agreed on; only while vs_link_is_up(). */
const struct vs_params *vs_link_params(const struct vs_link *link);

/* --- Data --------------------------------------------------------------------------------------------------------- */

/* Whether super-frames may be sent: both ends have VS_FEATURE_SUPER, and the mode is reliable. */
bool vs_link_takes_supers(const struct vs_link *link);

/* A frame to send; the reference passes to the link. A super-frame only if vs_link_takes_supers(). */
void vs_link_send(struct vs_link *link, struct vs_frame *frame, uint64_t now);

/* A datagram of VS_TYPE_DATA or VS_TYPE_CLEAR with one of the link's indices, opened in place. Frames that it completes
 * are appended to arrived->frames. Whatever is wrong with it is counted (vs_link_drops) or, if nobody but the peer can
 * have made it, becomes VS_LINK_ERROR. Control messages are acted upon here; arrived->control is empty afterwards. */
void vs_link_input(struct vs_link *link, uint8_t *datagram, size_t len, const struct vs_path *path, uint64_t now,
		   struct vs_deframed *arrived);

struct vs_link_sent {
	uint64_t counter; /* names the datagram to vs_link_refused() */
	bool probe;       /* larger than what the path is known to take: not to be batched with others */
};

/* Runs the timers that are due and writes the next datagram to send now (at most `room` bytes, at least
 * VS_DATAGRAM_MAX). Returns its size; 0: nothing more to send now. */
size_t vs_link_output(struct vs_link *link, uint64_t now, uint8_t *out, size_t room, struct vs_link_sent *sent);

/* The local socket has refused a datagram (`size` bytes; too_big: EMSGSIZE). */
void vs_link_refused(struct vs_link *link, uint64_t counter, size_t size, bool too_big, uint64_t now);

/* When vs_link_output() must be called again; a time in the past means now. */
uint64_t vs_link_deadline(const struct vs_link *link);

/* --- Life --------------------------------------------------------------------------------------------------------- */

/* The events since the last call, as a set of VS_LINK_* bits. */
unsigned vs_link_take_events(struct vs_link *link);

/* Has the next vs_link_output() say goodbye to the peer, for a reason of enum vs_close_reason. */
void vs_link_close(struct vs_link *link, uint8_t reason);
uint8_t vs_link_close_reason(const struct vs_link *link);

/* The path that datagrams take: set by the caller at first, then by the peer's last authenticated datagram. */
const struct vs_path *vs_link_path(const struct vs_link *link);
void vs_link_set_path(struct vs_link *link, const struct vs_path *path, uint64_t now);

const struct vs_drops *vs_link_drops(const struct vs_link *link);
void vs_link_stats(const struct vs_link *link, uint64_t now, struct vs_link_stats *out);

#endif
