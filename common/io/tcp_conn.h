/* A TCP connection that carries datagrams: each as length:16 | datagram, back to back (PROTOCOL.md, "Carriers"). This is
 * the byte stream and its two buffers; io/carrier_tcp.h watches the socket and knows the links.
 *
 * Out: what the kernel does not take at once waits in a bounded buffer, so that a datagram is written whole or not at
 * all. The kernel is told to hold little that it has not sent (TCP_NOTSENT_LOWAT): frames are to wait in our queue, which
 * knows flows and their delay. In: of a datagram that has come in part the part is kept. Neither buffer exists while it
 * is empty. */
#ifndef VS_IO_TCP_CONN_H
#define VS_IO_TCP_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "io/carrier.h"
#include "io/conn.h"
#include "io/loop.h"

#define VS_TCP_FRAMING 2

/* Bytes that wait for the socket: what a link may write in a turn, and some. */
#define VS_TCP_PENDING_MAX (VS_TX_MESSAGE_BYTES + VS_DATAGRAM_MAX + (16u << 10))

/* Bytes read in one call, the part of a datagram that has been kept included. */
#define VS_TCP_READ_MAX (64u << 10)

/* Datagrams written in one call. */
#define VS_TCP_RUN 64

struct vs_tcp_conn {
	struct vs_conn conn;
	int fd;
	bool broken; /* nothing more can be written; that it has ended will be read */
	uint8_t *kept; /* read, of a datagram whose rest has not come; NULL: nothing */
	uint32_t kept_len;
	uint8_t *pending; /* to be written; NULL: nothing */
	uint32_t pending_from, pending_len;

	/* The carrier's that has it. */
	struct vs_carrier *carrier;
	struct vs_watch *watch;
	struct vs_list blocked;
	uint64_t progress_usec; /* when the socket last took something, while there is something pending */
	bool stalled, closing;
};

/* Makes a connection of a connected socket, which passes to it, also on failure. NULL with errno. */
struct vs_conn *vs_tcp_conn_new(int fd);

static inline struct vs_tcp_conn *vs_tcp_conn_of(struct vs_conn *conn)
{
	return VS_CONTAINER_OF(conn, struct vs_tcp_conn, conn);
}

/* Writes up to VS_TCP_RUN datagrams. What the socket does not take becomes pending. Returns how many of them, the first
 * ones, were taken; the others find no room. -errno: the connection is broken. */
int vs_tcp_conn_write(struct vs_tcp_conn *tcp, const struct vs_tx_datagram *datagrams, uint32_t n) VS_MUST_CHECK;

/* Writes what is pending. Returns how many bytes went, or -errno. */
int vs_tcp_conn_resume(struct vs_tcp_conn *tcp) VS_MUST_CHECK;

/* Reads once into `buffer`, of VS_TCP_READ_MAX bytes, after what was kept. Returns how many bytes there are to parse;
 * -EAGAIN; 0: the peer has closed; -errno. */
int vs_tcp_conn_read(struct vs_tcp_conn *tcp, uint8_t *buffer) VS_MUST_CHECK;

/* The datagram at the start of `len` bytes: 0, and *datagram_len; -EAGAIN: its rest has not come; -EPROTO: of a length
 * that cannot be. It stands at buffer + VS_TCP_FRAMING. */
int vs_tcp_parse(const uint8_t *buffer, size_t len, size_t *datagram_len) VS_MUST_CHECK;

/* Keeps what was read and not parsed. 0 or -ENOMEM. */
int vs_tcp_conn_keep(struct vs_tcp_conn *tcp, const uint8_t *bytes, size_t len) VS_MUST_CHECK;

#endif
