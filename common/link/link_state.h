/* State of a link, shared by the files that implement it: link.c (life, sessions, events), link_input.c (datagrams in),
 * link_output.c (datagrams out) and link_timer.c (liveness, probes, deadlines). Nobody else includes this. */
#ifndef VS_LINK_LINK_STATE_H
#define VS_LINK_LINK_STATE_H

#include "link/congestion.h"
#include "link/fec_policy.h"
#include "link/fec_rx.h"
#include "link/fec_tx.h"
#include "link/flight.h"
#include "link/fragment.h"
#include "link/link.h"
#include "link/pacer.h"
#include "link/pmtud.h"
#include "link/rtt.h"
#include "link/session.h"

enum { LINK_PREVIOUS, LINK_CURRENT, LINK_NEXT, LINK_SESSIONS };

/* Local indices that wait for vs_link_take_retired(): three sessions can end between two calls, and a handshake more. */
#define LINK_RETIRED_MAX 8

/* PROBE_ACKs owed at once; a peer that probes faster gets fewer. */
#define LINK_PROBE_ACKS_MAX 4

/* Frames that lanes which start afresh may leave behind. */
#define LINK_LATE_MAX 8192

/* Set in the ids of our keepalive probes, never in those of path-MTU probes. */
#define LINK_KEEPALIVE_ID UINT32_C(0x80000000)

struct link_probe_ack {
	uint32_t id;
	uint16_t size;
};

/* A plaintext being sent in fragments. */
struct link_fragmenting {
	uint8_t *text; /* NULL: none */
	struct vs_fragment_plan plan;
	unsigned next;
	uint32_t id;
};

/* The initiator's watch over the peer (PROTOCOL.md, "Liveness"). */
struct link_keepalive {
	uint64_t deadline;
	uint64_t sent_usec; /* of the last probe */
	uint32_t id;
	uint64_t answered_usec; /* when the peer last showed that it hears us */
	unsigned tries; /* probes since then */
	bool now;       /* a probe must go out at once */
};

/* Probes in flight, whose loss would say nothing about the path until they have been answered. */
#define LINK_PROBES 4

struct link_probe {
	uint32_t id;
	uint64_t counter;
};

/* The responder's question for new terms; of the initiator, only when it last heard it. */
struct link_renew {
	uint64_t deadline; /* of the next RENEW; VS_NEVER: none is wanted */
	uint64_t asked_usec; /* 0: never */
	unsigned sent;
};

/* Forward error correction (link_fec.c). */
struct link_fec {
	struct vs_fec_config config; /* of what is sent; OFF where the peer takes none */
	struct vs_fec_tx tx;
	struct vs_fec_rx rx;
	struct vs_fec_policy policy; /* of `auto` */
	size_t reserve;              /* bytes that plaintexts leave free for its headers */
	uint64_t used_usec;          /* when a shard last came or left */
	uint64_t arq_lost;           /* segments that the lanes had found lost at the last report */
	uint64_t busy_until_usec;    /* of late there was more to send than could go */
	uint64_t tail_usec;          /* when the end of a burst was last protected meanwhile */
};

struct vs_link {
	struct vs_link_config config;
	struct vs_session sessions[LINK_SESSIONS];
	struct vs_params params;
	struct vs_path path;

	struct vs_queue *queue;
	struct vs_arq_tx *arq_tx;
	struct vs_arq_rx *arq_rx;
	struct vs_congestion *congestion;
	enum vs_congestion_kind congestion_kind;
	struct vs_rtt rtt;
	struct vs_pacer pacer;
	struct vs_pmtud pmtud;
	struct vs_reassembly reassembly;
	struct vs_deframer unreliable; /* empty between datagrams */
	struct vs_deframed late; /* what lanes that start afresh had left, for the next vs_link_input() */
	struct link_fec fec;

	struct vs_flight flight; /* of what goes without acknowledgements */
	struct link_fragmenting fragmenting;
	struct link_keepalive keepalive;
	struct link_probe_ack probe_acks[LINK_PROBE_ACKS_MAX];
	unsigned probe_acks_n;
	struct link_probe probes[LINK_PROBES];
	unsigned probes_n; /* ever sent */

	uint64_t measured_srtt_usec; /* that the timers were last set by */
	uint64_t burst_usec; /* when vs_link_output() last had segments to send, and nothing has come in since */
	uint64_t heard_usec;      /* last authenticated datagram */
	uint64_t heard_since_usec; /* from when on they have come without a silence that keepalives should have ended */
	uint64_t rekey_deadline;  /* initiator: when to ask for new keys */
	struct link_renew renew;
	uint64_t release_deadline; /* when idle memory goes back; VS_NEVER: nothing to release */

	uint32_t retired[LINK_RETIRED_MAX];
	unsigned retired_n;
	unsigned events;
	bool timed_out; /* told, and nothing heard since */
	uint8_t close_reason;
	bool closing; /* a CLOSE is to be sent */
	uint8_t closing_reason;

	struct vs_drops drops;
	struct vs_link_stats stats;
	struct vs_parts *parts; /* within vs_link_output(): of the datagram being written; too large to be kept by every
				 * idle link */
};

static inline struct vs_session *vs_link_current(struct vs_link *link)
{
	return &link->sessions[LINK_CURRENT];
}

/* Whether a datagram's path is the link's: the local address may differ, but not that of a connection, which is part of
 * its name. */
static inline bool vs_link_same_way(const struct vs_path *a, const struct vs_path *b)
{
	return vs_addr_equal(&a->peer, &b->peer) && a->carrier == b->carrier &&
	       (a->carrier == VS_CARRIER_UDP || vs_addr_equal(&a->local, &b->local));
}

/* link.c: makes LINK_NEXT, or the session just installed, the current one. */
void vs_link_promote(struct vs_link *link, struct vs_session *session, uint64_t now);
void vs_link_retire(struct vs_link *link, struct vs_session *session);

/* For so long after the end of a session in the clear frames are taken under it: those that were under way. */
#define LINK_CLEAR_GRACE VS_SEC

/* link_timer.c: an authenticated datagram has arrived. */
void vs_link_heard(struct vs_link *link, uint64_t now);
/* link_timer.c: what has arrived answers something that we have sent lately. */
void vs_link_answered(struct vs_link *link, uint64_t now);
/* link_timer.c: frames or segments come and go: there will be memory to give back when that is over. */
void vs_link_uses_memory(struct vs_link *link, uint64_t now);
/* link_timer.c: runs what is due, except what produces datagrams. */
void vs_link_run_timers(struct vs_link *link, uint64_t now);
/* link_timer.c: whether a keepalive probe is due; if so it is reckoned as sent. */
bool vs_link_keepalive_due(struct vs_link *link, uint64_t now, uint32_t *id);
/* link_timer.c: whether a RENEW is due; if so it is reckoned as sent. */
bool vs_link_renew_due(struct vs_link *link, uint64_t now);
/* link_timer.c: the peer has new terms for us. */
void vs_link_renew_asked(struct vs_link *link, uint64_t now);
/* link_timer.c: a keepalive probe was answered. */
void vs_link_keepalive_ack(struct vs_link *link, uint32_t id, uint64_t now);
/* link_timer.c: a new round-trip time or datagram size has effects in many places. */
void vs_link_path_measured(struct vs_link *link);

/* link_output.c: bytes of plaintext after the kind in a datagram of the size that the path takes now. */
static inline size_t vs_link_datagram_room(const struct vs_link *link)
{
	return vs_pmtud_size(&link->pmtud) - VS_SEAL_OVERHEAD - VS_KIND_SIZE - link->fec.reserve;
}

/* Bytes of lanes and of unreliable frames under way. */
static inline uint64_t vs_link_inflight(const struct vs_link *link)
{
	return vs_arq_tx_inflight(link->arq_tx) + link->flight.bytes;
}

/* link_output.c: whether the congestion window lets more data go. */
static inline bool vs_link_window_open(const struct vs_link *link)
{
	return vs_link_inflight(link) < vs_congestion_window(link->congestion);
}

/* The same for unreliable frames: so few that no report need be expected soon never wait for one. */
static inline bool vs_link_flight_open(const struct vs_link *link)
{
	return link->flight.bytes < VS_REPORT_DENSE + VS_DATAGRAM_BASE || vs_link_window_open(link);
}

/* Whether lanes have data that could go now, the pacer permitting. In datagram mode these are only what a change of
 * mode has left there. */
static inline bool vs_link_has_segments(const struct vs_link *link)
{
	bool queued = link->params.mode == VS_MODE_RELIABLE && vs_queue_ready(link->queue);
	return vs_link_window_open(link) &&
	       (queued || vs_arq_tx_has_lost(link->arq_tx) || vs_arq_tx_has_waiting(link->arq_tx));
}

/* link_fec.c: the start and the end; all lanes start anew. */
void vs_link_fec_init(struct vs_link *link);
void vs_link_fec_fini(struct vs_link *link);
void vs_link_fec_reset(struct vs_link *link);
/* link_fec.c: gives memory back that was not used since then. Whether none is held any more. */
bool vs_link_fec_release(struct vs_link *link, uint64_t unused_since);
/* link_fec.c: takes over what was agreed on; forgets the losses of the path before. */
void vs_link_fec_apply(struct vs_link *link, const struct vs_params *params, uint64_t now);
void vs_link_fec_new_path(struct vs_link *link, uint64_t now);
/* link_fec.c: the peer's losses. */
void vs_link_fec_report(struct vs_link *link, const struct vs_report_news *news, uint64_t now);
/* link_fec.c: parity is sent now. Makes a FEC_DATA of the plaintext in link->parts, unless that is not worth it. */
void vs_link_fec_protect(struct vs_link *link, uint64_t now);
/* link_fec.c: writes the parity that is due into link->parts. False: none is. */
bool vs_link_fec_write_parity(struct vs_link *link, uint64_t now);
/* link_fec.c: the pacing rate for data and parity, where `rate` is that of the data. */
uint64_t vs_link_fec_rate(const struct vs_link *link, uint64_t rate);
/* link_fec.c: a FEC_DATA or FEC_PARITY has come under the session. Returns the first plaintext that comes of it; more
 * are with vs_fec_rx_take(). */
const uint8_t *vs_link_fec_input(struct vs_link *link, const struct vs_session *session, const uint8_t *text,
				 size_t len, uint64_t now, size_t *out_len);
void vs_link_fec_stats(const struct vs_link *link, struct vs_link_stats *out);

/* Whether parity is sent now. */
static inline bool vs_link_fec_active(const struct vs_link *link)
{
	return link->fec.tx.share_q16 != 0;
}

static inline bool vs_link_has_unreliable(const struct vs_link *link)
{
	return link->params.mode == VS_MODE_DATAGRAM && vs_queue_ready(link->queue);
}

#endif
