/* Carriers: what brings sealed datagrams to the other side. A carrier is an ops table over some kind of socket; it says
 * by itself how many bytes of IP and transport headers it costs, so that path-MTU arithmetic is the same for all.
 *
 * Sending is in batches. The owner seals straight into the carrier's transmit batch (reserve, write, commit) for as
 * many links as have something to say and flushes once at the end of a turn, so that one system call takes many
 * datagrams. What a full socket buffer does not take now stays in the batch, in order, and leaves when the socket is
 * writable again; meanwhile the rest of the batch fills up, and then there is no room: vs_carrier_reserve() returns
 * NULL until handler->resumed(). A sender that holds its frames back at that point loses none. Datagrams that the
 * kernel refuses are listed in the batch's results for the owner to read after each flush; no error of a datagram is an
 * error of the carrier.
 *
 * Receiving is in batches, too: handler->receive() gets up to VS_RX_DATAGRAMS at a time.
 *
 * A carrier with connections (TCP, fake TCP) takes connections that somebody else has made (io/conn.h): adopt() makes
 * one this carrier's, release() gives it out again for the carrier of another thread. A datagram goes through the
 * connection that its peer and local address name, and comes with the same. Each connection has bounds of its own:
 * before a link's datagrams are written, vs_carrier_ready() says whether its connection takes any now. */
#ifndef VS_IO_CARRIER_H
#define VS_IO_CARRIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "io/conn.h"
#include "link/wire.h"

/* What one message of a carrier that coalesces takes, if all of its datagrams but the last are equally long: of kernels
 * before 6.9, UDP_MAX_SEGMENTS; and an IP packet, less headers, less some room. */
#define VS_TX_MESSAGE_DATAGRAMS 64
#define VS_TX_MESSAGE_BYTES 64000

#define VS_TX_DATAGRAMS 132 /* three messages of datagrams as long as Ethernet takes, and some short ones */
#define VS_TX_ARENA (256u << 10) /* bytes of the datagrams of one batch */
#define VS_RX_DATAGRAMS 64

/* Flags of a datagram to be sent. */
enum {
	VS_TX_ALONE = 1, /* never coalesced with others: a path-MTU probe must not take its neighbours along */
};

struct vs_tx_datagram {
	uint8_t *data;
	uint16_t len;
	uint8_t flags;
	uint64_t cookie; /* the owner's name for it (or for its link) in results */
	struct vs_addr dst;
	struct vs_addr src; /* local address to leave from; unset: the routing table's choice. Of a carrier with
			     * connections: with its port, and never unset */
};

/* What became of a datagram that did not simply leave. */
struct vs_tx_result {
	uint64_t cookie;
	uint16_t size;
	int error; /* EMSGSIZE: larger than the first link of the path takes, not sent.
		    * EADDRNOTAVAIL: sent, but from another address, as `src` is not this host's any more.
		    * Others (ENETUNREACH, EHOSTUNREACH, EPERM, ENOBUFS, ...): not sent. */
};

struct vs_tx_batch {
	uint32_t head;  /* first datagram not yet sent */
	uint32_t count; /* datagrams, sent ones included */
	uint32_t used;  /* bytes of the arena */
	uint32_t results_count;
	struct vs_tx_datagram datagrams[VS_TX_DATAGRAMS];
	struct vs_tx_result results[VS_TX_DATAGRAMS]; /* beyond that, failures are only counted */
	uint8_t arena[VS_TX_ARENA];
};

/* Room for a datagram of up to `len` bytes, valid until the next call on this batch; NULL if the batch is full.
 * Nothing is taken before the commit. len is 1 ... VS_DATAGRAM_MAX. */
uint8_t *vs_tx_batch_reserve(struct vs_tx_batch *batch, size_t len) VS_MUST_CHECK;

/* Adds the datagram written to the room last reserved; len is at most what was reserved. `src` may be NULL. */
void vs_tx_batch_commit(struct vs_tx_batch *batch, size_t len, const struct vs_addr *dst, const struct vs_addr *src,
			uint64_t cookie, unsigned flags);

/* For carriers: the datagram at the head has left; has failed (error is an errno). Its bytes stay valid until the
 * batch is reset, which happens by itself when the last one is gone. */
void vs_tx_batch_sent(struct vs_tx_batch *batch);
void vs_tx_batch_result(struct vs_tx_batch *batch, const struct vs_tx_datagram *datagram, int error);

struct vs_rx_datagram {
	uint8_t *data; /* the owner may write to it: opening in place */
	uint32_t len;
	const struct vs_addr *from;
	const struct vs_addr *local; /* the address it was sent to, with which to answer; unset if unknown. Of a carrier with
				      * connections: with its port */
};

struct vs_rx_batch {
	uint32_t count;
	struct vs_rx_datagram datagrams[VS_RX_DATAGRAMS];
};

/* What the network says of datagrams sent earlier (ICMP). Anybody can forge it: a hint, never a proof. */
struct vs_carrier_error {
	struct vs_addr to;   /* where the datagram was sent */
	struct vs_addr from; /* of a carrier with connections: our end, with its port; else unset */
	int error;         /* ECONNREFUSED, EHOSTUNREACH, EMSGSIZE, ... */
	uint32_t mtu;      /* with EMSGSIZE: the IP packet size that fits, as claimed; else 0 */
	bool local;        /* this host's own judgement, not a stranger's */
};

struct vs_carrier_stats {
	uint64_t tx_datagrams, tx_bytes, tx_calls;
	uint64_t tx_coalesced; /* datagrams that left as part of a larger message */
	uint64_t tx_blocked;   /* flushes that ended at a full socket buffer */
	uint64_t tx_failed;
	uint64_t rx_datagrams, rx_bytes, rx_calls;
	uint64_t rx_coalesced; /* datagrams that came as part of a larger message */
	uint64_t rx_truncated;
	uint64_t icmp_errors;
};

struct vs_carrier;

/* The owner's side. Everything is called from the loop; the carrier must not be freed in them. */
struct vs_carrier_handler {
	/* Datagrams have come; they are the owner's until it returns. */
	void (*receive)(void *arg, struct vs_carrier *carrier, const struct vs_rx_batch *batch);
	/* The carrier has sent what it had held back, and there is room again. Read the results, go on sending. */
	void (*resumed)(void *arg, struct vs_carrier *carrier);
	/* May be NULL. */
	void (*error)(void *arg, struct vs_carrier *carrier, const struct vs_carrier_error *error);
	/* A connection has ended: closed by the peer (error 0), by what it has sent (EPROTO), or by the network. It is freed
	 * when this returns. Not told of those that the owner closes. May be NULL. */
	void (*conn_closed)(void *arg, struct vs_carrier *carrier, struct vs_conn *conn, int error);
	void *arg;
};

struct vs_carrier_ops {
	const char *name;
	enum vs_carrier_kind kind;
	uint16_t overhead_v4; /* IP and transport headers around a datagram */
	uint16_t overhead_v6;
	/* Sends what the batch holds. */
	void (*flush)(struct vs_carrier *carrier);
	void (*free)(struct vs_carrier *carrier);

	/* --- Of a carrier with connections; else NULL --- */

	/* The connection, of this kind, passes to the carrier; or -errno, and it stays the caller's (-EEXIST: there is one
	 * between the same addresses, -ENOBUFS: as many as there may be). */
	int (*adopt)(struct vs_carrier *carrier, struct vs_conn *conn);
	/* Gives a connection out, with what has been read of it and not yet handed to receive(). Committed datagrams leave
	 * before it as far as the socket takes them. NULL: there is none. Not from within receive(). */
	struct vs_conn *(*release)(struct vs_carrier *carrier, const struct vs_addr *peer, const struct vs_addr *local);
	/* Ends a connection, if it is there: after what is already committed for it, as far as the socket takes that. May be
	 * called from receive(), even for the connection that datagrams are being received from. */
	void (*close)(struct vs_carrier *carrier, const struct vs_addr *peer, const struct vs_addr *local);
	/* Whether there is room for a turn of one link (VS_TX_MESSAGE_BYTES and a datagram). If not, resumed() follows.
	 * A connection that is not there, or that has taken nothing for a second, loses what is sent, as a path does that
	 * is broken, and is ready. */
	bool (*ready)(struct vs_carrier *carrier, const struct vs_addr *peer, const struct vs_addr *local);
};

struct vs_carrier {
	const struct vs_carrier_ops *ops;
	struct vs_tx_batch *tx;
	struct vs_carrier_stats stats;
};

static inline uint16_t vs_carrier_overhead(const struct vs_carrier *carrier, const struct vs_addr *to)
{
	return to->sa.sa_family == AF_INET6 ? carrier->ops->overhead_v6 : carrier->ops->overhead_v4;
}

static inline bool vs_carrier_ready(struct vs_carrier *carrier, const struct vs_addr *peer, const struct vs_addr *local)
{
	return !carrier->ops->ready || carrier->ops->ready(carrier, peer, local);
}

/* vs_tx_batch_reserve(), with a flush first where the batch is full. NULL: the carrier is blocked; either hold what
 * there is to send until handler->resumed(), or drop it as VS_DROP_SEND_FAILED. */
uint8_t *vs_carrier_reserve(struct vs_carrier *carrier, size_t len) VS_MUST_CHECK;

static inline void vs_carrier_commit(struct vs_carrier *carrier, size_t len, const struct vs_addr *dst,
				     const struct vs_addr *src, uint64_t cookie, unsigned flags)
{
	vs_tx_batch_commit(carrier->tx, len, dst, src, cookie, flags);
}

/* Sends what was committed, as far as the socket takes it; adds to carrier->tx->results. */
static inline void vs_carrier_flush(struct vs_carrier *carrier)
{
	carrier->ops->flush(carrier);
}

/* The owner has read the results. */
static inline void vs_carrier_results_done(struct vs_carrier *carrier)
{
	carrier->tx->results_count = 0;
}

/* NULL is accepted. What was not flushed is lost. */
static inline void vs_carrier_free(struct vs_carrier *carrier)
{
	if (carrier)
		carrier->ops->free(carrier);
}

#endif
