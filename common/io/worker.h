/* A worker: one event loop that moves frames between the ports of a switch. Ports are TAP devices and links; all links
 * of a worker share its carrier. Both programs are a worker plus what decides who may connect: the server answers
 * handshakes, the client makes them.
 *
 * One turn of the loop: datagrams and TAP frames that have come are taken in batches; each frame goes through the
 * bridge at once and into the output links' queues or out of a TAP; at the end of the turn every link that was touched
 * writes its datagrams into the transmit batch, which is then flushed. Nothing is sent per packet.
 *
 * Everything belongs to the loop's thread. */
#ifndef VS_IO_WORKER_H
#define VS_IO_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "io/carrier.h"
#include "io/loop.h"
#include "link/link.h"
#include "switch/bridge.h"

struct vs_worker;
struct vs_wport; /* a port of the worker: TAP or link */

/* The owner's side; all are called from the loop. */
struct vs_worker_handler {
	/* A datagram of a handshake type (INITIATION, RESPONSE, COOKIE) has come. */
	void (*handshake)(void *arg, const uint8_t *datagram, size_t len, const struct vs_path *path);
	/* A link has events (VS_LINK_* bits). The port may be removed here. */
	void (*link_events)(void *arg, struct vs_wport *port, unsigned events);
	/* The TAP device is gone (deleted from outside). The port may be removed here. */
	void (*tap_gone)(void *arg, struct vs_wport *port, int error);
	/* What ICMP says; may be NULL. */
	void (*carrier_error)(void *arg, const struct vs_carrier_error *error);
	void *arg;
};

struct vs_worker_config {
	struct vs_bridge_config bridge;
	size_t pool_bytes;
	unsigned number; /* in the low bits of the receiver indices */
};

/* NULL: out of memory or of descriptors. */
struct vs_worker *vs_worker_new(struct vs_loop *loop, const struct vs_worker_config *config,
				const struct vs_worker_handler *handler);

/* Removes all ports and frees the carrier. NULL is accepted. */
void vs_worker_free(struct vs_worker *worker);

/* Opens the UDP carrier over bound sockets (io/carrier_udp.h), in place of the one before. Links stay as they are.
 * 0 or -errno. */
int vs_worker_open_udp(struct vs_worker *worker, int fd4, int fd6, bool errors) VS_MUST_CHECK;

/* Sends a handshake datagram. */
void vs_worker_send_raw(struct vs_worker *worker, const uint8_t *datagram, size_t len, const struct vs_path *path);

/* --- Ports -------------------------------------------------------------------------------------------------------- */

/* Adds a TAP whose non-blocking descriptor passes to the worker, also where it fails; it is up at once.
 * 0, or as vs_bridge_port_add(). */
int vs_worker_add_tap(struct vs_worker *worker, int fd, uint32_t mtu, const struct vs_port_config *config, void *user,
		      struct vs_wport **out) VS_MUST_CHECK;

/* Adds a link, down until it is told vs_wport_set_up(). Of `link`, the worker sets pool and flow key.
 * 0, or as vs_bridge_port_add(). */
int vs_worker_add_link(struct vs_worker *worker, const struct vs_link_config *link, const struct vs_port_config *config,
		       void *user, struct vs_wport **out) VS_MUST_CHECK;

/* Removes the port; a link says a last goodbye if vs_link_close() was asked for. NULL is accepted. */
void vs_worker_remove(struct vs_worker *worker, struct vs_wport *port);

struct vs_link *vs_wport_link(const struct vs_wport *port); /* NULL: a TAP */
void *vs_wport_user(const struct vs_wport *port);
uint16_t vs_wport_id(const struct vs_wport *port); /* in the bridge */
void vs_wport_set_up(struct vs_wport *port, bool up);

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

/* --- Numbers ------------------------------------------------------------------------------------------------------ */

struct vs_worker_stats {
	struct vs_pool_stats pool;
	struct vs_drops drops; /* before a port is known, and at the socket */
	uint32_t sessions;
	struct vs_carrier_stats carrier;
};

struct vs_bridge *vs_worker_bridge(const struct vs_worker *worker);
void vs_worker_stats(const struct vs_worker *worker, struct vs_worker_stats *out);

#endif
