/* The data path of a server: one bridge, and workers (io/worker.h) on threads of their own that forward through it.
 *
 * One thread decides: it owns the datapath, reads configuration, answers handshakes, tells the status. It adds ports
 * and sets up sessions by calls that the port's worker carries out between two of its turns (io/mailbox.h); it waits
 * for them, the workers never wait for it. What happens to a port comes back to its loop as an event.
 *
 * How it works
 *
 * Each link and TAP belongs to one worker, which alone touches it. The workers' UDP sockets share one address; the
 * kernel steers each datagram to the worker that its receiver index names, wherever it comes from (io/udp_socket.h). A
 * frame that leaves by a port of another worker goes there by reference, in a bounded ring for each pair of workers,
 * and the other is woken once a turn for as many as there are; what finds its ring full is dropped and counted. One
 * flow always takes the same way, ring included, so its frames stay in order. The buffer goes back to its owner's pool
 * by itself (base/frame.h).
 *
 * Handshake datagrams go to the deciding thread through a ring, too, and its answers back: a flood of them fills that
 * ring, and nothing else. What is taken out of the bridge is freed when every worker has been between two turns. */
#ifndef VS_IO_DATAPATH_H
#define VS_IO_DATAPATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "io/loop.h"
#include "io/worker.h"
#include "link/link.h"
#include "switch/bridge.h"

struct vs_datapath;
struct vs_dport; /* a port: TAP, link or plain peer */

/* All are called on the deciding thread's loop. */
struct vs_datapath_handler {
	/* A datagram of a handshake type has come to a worker, through which it is to be answered. */
	void (*handshake)(void *arg, const uint8_t *datagram, size_t len, const struct vs_path *path, unsigned worker);
	/* A link has events (VS_LINK_* bits). The port may be removed here. */
	void (*link_events)(void *arg, struct vs_dport *port, unsigned events);
	/* A TAP device is gone. The port may be removed here. */
	void (*tap_gone)(void *arg, struct vs_dport *port, int error);
	/* A plain peer has events (VS_WPLAIN_* bits). The port may be removed here. May be NULL where there are none. */
	void (*plain_events)(void *arg, struct vs_dport *port, unsigned events);
	void *arg;
};

struct vs_datapath_config {
	struct vs_bridge_config bridge; /* `workers` is how many there are */
	size_t pool_bytes;              /* of all workers together; each has 8 MiB at least */
};

/* Starts the workers. NULL: out of memory, threads or descriptors (errno). */
struct vs_datapath *vs_datapath_new(struct vs_loop *loop, const struct vs_datapath_config *config,
				    const struct vs_datapath_handler *handler);

/* Removes all ports and ends the workers. NULL is accepted. */
void vs_datapath_free(struct vs_datapath *path);

/* Gives a worker its UDP sockets (-1: none of that IP version), as vs_worker_open_udp(). */
int vs_datapath_open_udp(struct vs_datapath *path, unsigned worker, int fd4, int fd6) VS_MUST_CHECK;

/* The same for fake TCP, as vs_worker_open_faketcp(). */
int vs_datapath_open_faketcp(struct vs_datapath *path, unsigned worker, int fd4, int fd6) VS_MUST_CHECK;

/* Hands a connection over to the worker of a port that is a link, as vs_worker_adopt_conn(). */
int vs_dport_adopt_conn(struct vs_dport *port, struct vs_conn *conn) VS_MUST_CHECK;

/* Sends a handshake datagram (VS_HANDSHAKE_MAX at most) through a worker, later; dropped and counted if there are too
 * many. */
void vs_datapath_send(struct vs_datapath *path, unsigned worker, const uint8_t *datagram, size_t len,
		      const struct vs_path *to);

/* Waits until every worker has been between two turns: that all of them are alive, if nothing else. */
void vs_datapath_quiesce(struct vs_datapath *path);

/* For what concerns no port's worker: names, MAC addresses, aging. */
struct vs_bridge *vs_datapath_bridge(const struct vs_datapath *path);

/* --- Ports -------------------------------------------------------------------------------------------------------- */

/* Adds a TAP whose non-blocking descriptor passes to the datapath, also where it fails; it is up at once. 0, or as
 * vs_bridge_port_add() and vs_worker_add_tap(). */
int vs_datapath_add_tap(struct vs_datapath *path, int fd, uint32_t mtu, const struct vs_port_config *config, void *user,
			struct vs_dport **out) VS_MUST_CHECK;

/* Adds a link to the worker that has the fewest ports; its port of the bridge is up from the first VS_LINK_UP on.
 * Errors as above. */
int vs_datapath_add_link(struct vs_datapath *path, const struct vs_link_config *link,
			 const struct vs_port_config *config, void *user, struct vs_dport **out) VS_MUST_CHECK;

/* Adds a plain peer, as vs_worker_add_plain(), to the worker that has the fewest ports; its port of the bridge is up from
 * VS_WPLAIN_UP to VS_WPLAIN_OVER. Errors as above. */
int vs_datapath_add_plain(struct vs_datapath *path, int fd, const struct vs_plain_config *plain, const uint8_t *first,
			  size_t len, const struct vs_port_config *config, void *user,
			  struct vs_dport **out) VS_MUST_CHECK;

/* Removes the port; a link that has a session tells the peer why (enum vs_close_reason; 0: says nothing). No event
 * comes after it. NULL is accepted. */
void vs_dport_remove(struct vs_dport *port, uint8_t reason);

/* As vs_bridge_port_configure(). */
int vs_dport_configure(struct vs_dport *port, const struct vs_port_config *config) VS_MUST_CHECK;

void *vs_dport_user(const struct vs_dport *port);
uint16_t vs_dport_id(const struct vs_dport *port); /* in the bridge */
unsigned vs_dport_worker(const struct vs_dport *port);

/* As vs_worker_take_index(), vs_worker_drop_index() and vs_wport_install(). */
int vs_dport_take_index(struct vs_dport *port, uint32_t *index) VS_MUST_CHECK;
void vs_dport_drop_index(struct vs_dport *port, uint32_t index);
int vs_dport_install(struct vs_dport *port, const struct vs_session_keys *keys,
		     const struct vs_params *params) VS_MUST_CHECK;

/* The terms of a link's port have changed: vs_link_renew(). */
void vs_dport_renew(struct vs_dport *port);

/* --- Numbers ------------------------------------------------------------------------------------------------------ */

/* A port as its worker saw it when asked. What is not of its kind is zero. */
struct vs_dport_view {
	struct vs_port_counters counters;
	struct vs_path path;
	bool up; /* a session is in use */
	struct vs_params params; /* if up */
	uint8_t close_reason;
	struct vs_link_stats stats;
	struct vs_drops drops; /* the link's */
	struct vs_wplain_view plain;
};

void vs_dport_view(struct vs_dport *port, struct vs_dport_view *out);

/* Of one worker. */
void vs_datapath_stats(struct vs_datapath *path, unsigned worker, struct vs_worker_stats *out);
unsigned vs_datapath_workers(const struct vs_datapath *path);

#endif
