/* A worker: one event loop that moves frames between the ports of a switch. Ports are TAP devices and links; all links
 * of a worker share its carriers, of which each link uses the one of its path. A link may have connections, for carriers
 * that need some; one that its path has left is closed a little later. The client is one worker, the server has several (io/datapath.h) that share a bridge
 * and hand each other the frames for each other's ports.
 *
 * One turn of the loop: datagrams and TAP frames that have come are taken in batches; each frame goes through the
 * bridge at once and into the output links' queues or out of a TAP; at the end of the turn every link that was touched
 * writes its datagrams into the transmit batch of its carrier, and the batches are flushed. Nothing is sent per packet.
 *
 * A worker and its ports belong to one thread, that of its loop; the bridge's ports are added and removed by whoever
 * owns the bridge. */
#ifndef VS_IO_WORKER_H
#define VS_IO_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "io/carrier.h"
#include "io/loop.h"
#include "link/link.h"
#include "link/plain.h"
#include "switch/bridge.h"

struct vs_worker;
struct vs_wport; /* a port of the worker: TAP, link or plain peer */

/* The owner's side; all are called from the loop. */
struct vs_worker_handler {
	/* A datagram of a handshake type (INITIATION, RESPONSE, COOKIE) has come. */
	void (*handshake)(void *arg, const uint8_t *datagram, size_t len, const struct vs_path *path);
	/* A link has events (VS_LINK_* bits). The port may be removed here. */
	void (*link_events)(void *arg, struct vs_wport *port, unsigned events);
	/* The TAP device is gone (deleted from outside), and not read any more. The port may be removed here. */
	void (*tap_gone)(void *arg, struct vs_wport *port, int error);
	/* A plain peer (VS_WPLAIN_* bits); may be NULL where there are none. The port may not be removed here. */
	void (*plain_events)(void *arg, struct vs_wport *port, unsigned events);
	/* A connection of a link has ended by itself, as vs_carrier_handler.conn_closed(); may be NULL. */
	void (*conn_closed)(void *arg, struct vs_wport *port, const struct vs_conn *conn, int error);
	/* What ICMP says; may be NULL. */
	void (*carrier_error)(void *arg, const struct vs_carrier_error *error);
	/* Other workers (bit n: worker n) are to have a frame: the crossing stands for a reference for each of them. It is
	 * ready to leave this thread. NULL where the bridge has one worker. */
	void (*cross)(void *arg, uint64_t workers, const struct vs_crossing *crossing);
	void *arg;
};

struct vs_worker_config {
	struct vs_bridge *bridge; /* outlives the worker */
	unsigned number;          /* among the bridge's workers; in the low bits of the receiver indices */
	size_t pool_bytes;
	uint64_t flow_key;        /* secret, the same for all workers of a bridge (link/flow.h) */
};

/* NULL: out of memory or of descriptors. */
struct vs_worker *vs_worker_new(struct vs_loop *loop, const struct vs_worker_config *config,
				const struct vs_worker_handler *handler);

/* The calling thread is the worker's from now on; until then it was that of whoever made it. */
void vs_worker_adopt(struct vs_worker *worker);

/* Removes all ports, and frees the worker and its carriers. No other worker holds a frame of its pool. NULL is
 * accepted. */
void vs_worker_free(struct vs_worker *worker);

/* Opens the UDP carrier over bound sockets (io/carrier_udp.h), in place of the one before. Links stay as they are.
 * 0 or -errno. */
int vs_worker_open_udp(struct vs_worker *worker, int fd4, int fd6, bool errors) VS_MUST_CHECK;

/* The same with a carrier for fake TCP and its raw sockets (io/carrier_faketcp.h). */
int vs_worker_open_faketcp(struct vs_worker *worker, int fd4, int fd6) VS_MUST_CHECK;

/* Gives a link a connection, through which its path may then lead (VS_WORKER_CONNS_MAX; past it, the oldest that is
 * not in use is closed). A carrier without sockets of its own opens by itself with the first. 0; else the connection stays the caller's:
 * -EAFNOSUPPORT: the worker has no carrier of that kind; or as vs_carrier_ops.adopt(). */
#define VS_WORKER_CONNS_MAX 4
int vs_worker_adopt_conn(struct vs_worker *worker, struct vs_wport *port, struct vs_conn *conn) VS_MUST_CHECK;

/* Closes a connection of a link, if it is there. */
void vs_wport_close_conn(struct vs_wport *port, const struct vs_path *path);

/* Sends a handshake datagram. */
void vs_worker_send_raw(struct vs_worker *worker, const uint8_t *datagram, size_t len, const struct vs_path *path);

/* --- Ports -------------------------------------------------------------------------------------------------------- */

/* Makes a TAP, whose non-blocking descriptor passes to the worker, also where it fails, what is behind a port of the
 * bridge that is this worker's and down. 0, -ENOMEM, or -errno if the descriptor cannot be watched. */
int vs_worker_add_tap(struct vs_worker *worker, int fd, uint32_t mtu, uint16_t id, void *user,
		      struct vs_wport **out) VS_MUST_CHECK;

/* The same with a new link. Of `link`, the worker sets pool and flow key. 0, -ENOMEM, or -ENOSPC: too many timers. */
int vs_worker_add_link(struct vs_worker *worker, const struct vs_link_config *link, uint16_t id, void *user,
		       struct vs_wport **out) VS_MUST_CHECK;

/* The same with a new plain peer behind a connected, non-blocking socket, which passes to the worker as a TAP's does.
 * `first` are bytes that have been read from it already. Of `config`, the worker sets pool and flow key. Errors as
 * above. */
int vs_worker_add_plain(struct vs_worker *worker, int fd, const struct vs_plain_config *config, const uint8_t *first,
			size_t len, uint16_t id, void *user, struct vs_wport **out) VS_MUST_CHECK;

/* Removes the port; the bridge's is to be removed afterwards. A link says a last goodbye if vs_link_close() was asked
 * for. NULL is accepted. */
void vs_worker_remove(struct vs_worker *worker, struct vs_wport *port);

/* A frame that another worker has handed over, with its reference. */
void vs_worker_arrive(struct vs_worker *worker, const struct vs_crossing *crossing);

struct vs_link *vs_wport_link(const struct vs_wport *port); /* NULL: none */
void *vs_wport_user(const struct vs_wport *port);
uint16_t vs_wport_id(const struct vs_wport *port); /* in the bridge */

/* A receiver index that leads to the link. 0 or -errno as vs_indextable_take(). Indices that the link retires are given
 * back by the worker. */
int vs_worker_take_index(struct vs_worker *worker, struct vs_wport *port, uint32_t *index) VS_MUST_CHECK;
void vs_worker_drop_index(struct vs_worker *worker, uint32_t index);

/* Installs a session (vs_link_install()); its local index must have been taken for this port. */
int vs_wport_install(struct vs_wport *port, const struct vs_session_keys *keys, const struct vs_params *params)
	VS_MUST_CHECK;

/* Writes what the link has to send at once, as before an end. */
void vs_wport_flush(struct vs_wport *port);

/* The link has been touched from outside (path, close): it is to be served at the end of this turn. */
void vs_wport_touch(struct vs_wport *port);

/* --- Plain peers -------------------------------------------------------------------------------------------------- */

enum {
	VS_WPLAIN_UP = 1,   /* its first frame has come */
	VS_WPLAIN_OVER = 2, /* nothing comes from it or goes to it any more: the port is to be removed */
};

struct vs_wplain_view {
	bool up, over;
	enum vs_plain_end end; /* why it is over; VS_PLAIN_RUNS: because its socket is */
	int error;             /* of the socket; ECONNRESET also where the peer has closed it */
	struct vs_plain_stats stats;
	struct vs_drops drops;
};

/* Of a plain peer's port. */
void vs_wport_view_plain(const struct vs_wport *port, struct vs_wplain_view *out);

/* --- Numbers ------------------------------------------------------------------------------------------------------ */

struct vs_worker_stats {
	struct vs_pool_stats pool;
	struct vs_drops drops; /* before a port is known, and at the socket */
	struct vs_bridge_stats bridge; /* this worker's */
	uint32_t sessions;
	struct vs_carrier_stats carrier; /* of all its carriers */
};

void vs_worker_stats(const struct vs_worker *worker, struct vs_worker_stats *out);
void vs_worker_stats_add(struct vs_worker_stats *sum, const struct vs_worker_stats *stats);

#endif
