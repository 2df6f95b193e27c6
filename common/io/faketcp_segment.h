/* The segments of fake TCP: datagrams in what every middlebox takes for the data of a TCP connection. Each datagram
 * stands behind its length, since a network card or a kernel that receives may have merged segments (LRO, GRO), and
 * some middleboxes cut them anew:
 *
 *	TCP header, with the timestamps option if it was agreed on | { length:16 | datagram } ...
 *
 * Here are the bytes: building a header, reading what arrives, and taking a payload apart. What they mean to a
 * connection is in io/faketcp_conn.h. No socket and no clock in here; foreign bytes are only read within their
 * length. */
#ifndef VS_IO_FAKETCP_SEGMENT_H
#define VS_IO_FAKETCP_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "link/wire.h"

#define VS_TCP_HEADER 20
#define VS_TCP_TIMESTAMPS 12 /* the option, behind two bytes of padding (RFC 7323, appendix A) */
#define VS_FAKETCP_LENGTH 2  /* before each datagram */
#define VS_FAKETCP_HEADER_MAX (VS_TCP_HEADER + VS_TCP_TIMESTAMPS + VS_FAKETCP_LENGTH)

enum {
	VS_TCP_FIN = 0x01,
	VS_TCP_SYN = 0x02,
	VS_TCP_RST = 0x04,
	VS_TCP_PSH = 0x08,
	VS_TCP_ACK = 0x10,
};

/* A segment, without what it carries. Addresses bring the ports with them. */
struct vs_tcp_segment {
	struct vs_addr src, dst;
	uint32_t seq, ack;
	uint8_t flags;
	bool has_ts;
	uint16_t window; /* as it stands there, not scaled */
	uint32_t ts_val, ts_ecr;
};

/* --- Going out --- */

/* Writes the TCP header, and the length that comes before a datagram of `len` bytes; len 0: a header alone. The
 * checksum is complete, pseudo-header and datagram included. Returns the size of what is written; the datagram
 * follows it. */
size_t vs_faketcp_build(uint8_t out[VS_FAKETCP_HEADER_MAX], const struct vs_tcp_segment *segment,
			const uint8_t *datagram, size_t len);

/* --- Coming in --- */

/* Reads an IPv4 packet that carries TCP: addresses into *out, and where the TCP segment is. False: it is none, is cut
 * short, or is a fragment. */
bool vs_faketcp_read_ipv4(uint8_t *packet, size_t len, struct vs_tcp_segment *out, uint8_t **tcp, size_t *tcp_len);

/* Reads a TCP header; the addresses are there already, the ports are filled in. The checksum is not looked at: the
 * kernel or the network card has done so, or has left it incomplete because it merged segments; and the datagrams
 * bring proofs of their own. False: it is cut short, or its options are malformed. */
bool vs_faketcp_read_tcp(uint8_t *tcp, size_t len, struct vs_tcp_segment *out, uint8_t **payload, size_t *payload_len);

/* The bytes at the end of a segment that are the beginning of a datagram, until the segment that follows on comes.
 * One a connection, of one datagram at most; zeroed at first. */
struct vs_faketcp_partial {
	uint32_t seq;  /* at which it goes on */
	uint32_t have; /* bytes, length included; 0: there is none */
	uint8_t *bytes;
};

void vs_faketcp_partial_fini(struct vs_faketcp_partial *partial);

/* What is in a payload. */
struct vs_faketcp_walk {
	struct vs_faketcp_partial *partial;
	uint8_t *next;
	size_t left;
	uint32_t seq;
	bool joined; /* the last datagram came in pieces */
	bool bad;    /* something in it was no datagram */
};

/* Begins to take a payload apart that stands at `seq`. What waits in *partial for other bytes than these is
 * forgotten if the payload is not a repetition of the past. */
void vs_faketcp_walk_begin(struct vs_faketcp_walk *walk, struct vs_faketcp_partial *partial, uint8_t *payload,
			   size_t len, uint32_t seq);

/* The next datagram, 1 ... VS_DATAGRAM_MAX bytes, to which the caller may write: in the payload or, if it came in
 * pieces (walk->joined), in *partial, and then valid until the next call. NULL: that was all; an incomplete one at
 * the end is kept in *partial (or lost for want of memory). */
uint8_t *vs_faketcp_walk_next(struct vs_faketcp_walk *walk, size_t *len);

#endif
