/* The fake TCP carrier: datagrams in the segments of connections that the kernel has made and then been silenced on
 * (io/faketcp_socket.h), sent and received through raw sockets. For networks that let nothing but TCP through, or slow
 * down everything else; without TCP's order and retransmission, which tunnels do better without.
 *
 * A connection comes with a raw socket of its own (a client's), or shares the carrier's (a server's: each worker's take
 * the data datagrams that are its links'; the lobby's, on the deciding thread, take handshakes and resets of all
 * connections, whichever carrier has adopted them).
 *
 * That a connection was reset or finished, which anybody can forge who sees its segments, is handler->error() with
 * ECONNRESET or ESHUTDOWN, and no more than a hint: the connection stays. close() resets it. A connection whose peer's
 * window is full is not ready until something has been acknowledged, or given up (io/faketcp_conn.h). */
#ifndef VS_IO_CARRIER_FAKETCP_H
#define VS_IO_CARRIER_FAKETCP_H

#include "base/compiler.h"
#include "base/drop.h"
#include "io/carrier.h"
#include "io/loop.h"

struct vs_carrier_faketcp_config {
	/* Raw sockets for the connections that have none of their own; -1: none of this IP version. They pass to
	 * the carrier, also where it fails. */
	int fd4, fd6;
	/* Of a lobby: a segment has come of a connection that is not here. The owner may adopt it now, before the
	 * segment is looked at again. If it does not, datagrams and resets are handed on all the same; another
	 * carrier may have the connection. NULL: what is not of a connection that is here is dropped. */
	void (*missing)(void *arg, struct vs_carrier *carrier, const struct vs_addr *peer, const struct vs_addr *local);
};

/* A carrier without connections yet. Adds to *drops, which must outlive it, as the loop must. The handler is copied;
 * `missing` gets its arg. 0, -ENOMEM, or -errno if a socket cannot be watched. */
int vs_carrier_faketcp_new(struct vs_loop *loop, const struct vs_carrier_faketcp_config *config,
			   const struct vs_carrier_handler *handler, struct vs_drops *drops,
			   struct vs_carrier **out) VS_MUST_CHECK;

#endif
