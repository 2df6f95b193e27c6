/* One connection of fake TCP: what a TCP would know of it, as far as anybody on the way could check it. The kernel has
 * made the connection and then been silenced on it (io/faketcp_socket.h); from there on, this says what each segment
 * looks like, and what an arriving one tells.
 *
 * How it works. Sequence numbers count what is sent, lost or not: nothing is sent again, and an acknowledgement is
 * always of the highest end that has come, as if there had been no gap. Every segment carries data, an acknowledgement
 * and, if the connection has them, timestamps (RFC 7323) that count on from the kernel's; nothing is ever sent beyond
 * the window that the peer has advertised, for firewalls check that. When that is full and nothing has been
 * acknowledged for VS_FAKETCP_STALL, all that is unacknowledged is lost: sequence numbers start again from the peer's
 * acknowledgement, as those of a TCP's retransmission would. A window too small for anything is probed in the same way.
 *
 * What is in a segment proves itself (it is sealed), whatever its header says. So a segment is never refused; but only
 * one whose sequence number and acknowledgement are both within the windows changes anything here, or is believed if
 * it resets or ends the connection - and that is no more than a hint even then. What a forged one has changed heals:
 * if nothing that comes has reached our acknowledgement for VS_FAKETCP_RESYNC, the peer has never been there.
 *
 * A connection belongs to one thread at a time, that of the carrier that has adopted it (io/carrier_faketcp.h). No
 * clock and no socket is used in here. */
#ifndef VS_IO_FAKETCP_CONN_H
#define VS_IO_FAKETCP_CONN_H

#include "base/time.h"
#include "io/conn.h"
#include "io/faketcp_segment.h"

/* As long as the least time after which a TCP retransmits (200 ms with Linux), and a bit. */
#define VS_FAKETCP_STALL (250 * VS_MSEC)

/* Longer than segments are out of order. */
#define VS_FAKETCP_RESYNC VS_SEC

/* A segment that the kernel's connection would send next, and what it may: read when the kernel is silenced. Travels
 * between processes (io/broker_wire.h). */
struct vs_faketcp_start {
	struct vs_addr local, peer;
	uint32_t snd_nxt, rcv_nxt;
	uint32_t snd_wnd;    /* bytes that the peer takes */
	uint32_t ts_val;     /* if has_ts: of a segment sent now */
	uint32_t mss;        /* bytes of a segment behind the fixed header: options and payload */
	uint8_t snd_wscale;  /* of the windows that the peer advertises */
	uint8_t rcv_wscale;  /* of those that we do */
	bool has_ts;
};

struct vs_faketcp_conn {
	struct vs_conn conn;
	struct vs_carrier_faketcp *carrier; /* that has it */
	struct vs_watch *watch; /* its, of raw_fd */
	int fd;                 /* the kernel's connection, silenced; closing it is silent, too */
	int raw_fd;             /* a raw socket of its own; -1: the carrier's */

	uint32_t snd_nxt, snd_una, snd_max, snd_wnd; /* snd_max: the highest snd_nxt that there has been */
	uint32_t rcv_nxt;
	uint32_t max_window; /* the largest that we may have advertised, or the peer: how far off a number may be */
	uint8_t snd_wscale;
	bool has_ts;
	bool has_recent; /* a timestamp has come */
	bool greeted;    /* a SYN-ACK has come */
	uint16_t payload_max;
	uint32_t ts_recent, ts_offset;
	uint64_t reached_usec;  /* when a segment last was at rcv_nxt, or beyond */
	uint64_t progress_usec; /* when the peer last acknowledged something new, or all was acknowledged */
	uint64_t stalls;        /* times that the window was full for VS_FAKETCP_STALL */
	struct vs_faketcp_partial partial;
};

/* A connection that takes over both descriptors where it succeeds. NULL: out of memory. */
struct vs_faketcp_conn *vs_faketcp_conn_new(const struct vs_faketcp_start *start, int fd, int raw_fd, uint64_t now);

static inline struct vs_faketcp_conn *vs_faketcp_conn_of(struct vs_conn *conn)
{
	return VS_CONTAINER_OF(conn, struct vs_faketcp_conn, conn);
}

/* The next segment with a datagram of `len` bytes: its header, up to the datagram, and the size of that. `push` is
 * for the last of several: the receiving kernel merges the others (GRO). 0; -EMSGSIZE: more than the peer's MSS
 * takes; -ENOBUFS: the peer's window is full. */
int vs_faketcp_conn_send(struct vs_faketcp_conn *conn, const uint8_t *datagram, size_t len, bool push, uint64_t now,
			 uint8_t header[VS_FAKETCP_HEADER_MAX], size_t *header_len) VS_MUST_CHECK;

/* Whether the window takes `bytes` more now (or is half empty, if it is a small one), or what fills it counts as
 * lost. */
bool vs_faketcp_conn_has_room(const struct vs_faketcp_conn *conn, size_t bytes, uint64_t now);

/* The segment was not sent after all, nor any after it: `seq` is snd_nxt as it was before. */
static inline void vs_faketcp_conn_unsend(struct vs_faketcp_conn *conn, uint32_t seq)
{
	conn->snd_nxt = seq;
}

/* A segment without data: VS_TCP_ACK, or VS_TCP_RST | VS_TCP_ACK, whose sequence number is the one that counts
 * (RFC 5961). Returns its size. */
size_t vs_faketcp_conn_control(const struct vs_faketcp_conn *conn, uint8_t flags, uint64_t now,
			       uint8_t header[VS_FAKETCP_HEADER_MAX]);

/* What a segment says beyond its data. */
enum vs_faketcp_sign {
	VS_FAKETCP_NOTHING,
	VS_FAKETCP_RESET,    /* a RST that is believable */
	VS_FAKETCP_FINISHED, /* a FIN that is */
	VS_FAKETCP_SYNACK,   /* another SYN-ACK: the peer has not got the acknowledgement of the first */
};

/* A connection in a table of nothing else; NULL: there is none. */
static inline struct vs_faketcp_conn *vs_faketcp_conn_find(const struct vs_conntable *table, const struct vs_addr *peer,
							   const struct vs_addr *local)
{
	struct vs_conn *conn = vs_conntable_find(table, peer, local);

	return conn ? vs_faketcp_conn_of(conn) : NULL;
}

/* Takes what a segment with `len` bytes of data tells. The data are for vs_faketcp_walk_begin(), with conn->partial. */
enum vs_faketcp_sign vs_faketcp_conn_input(struct vs_faketcp_conn *conn, const struct vs_tcp_segment *segment,
					   size_t len, uint64_t now);

#endif
