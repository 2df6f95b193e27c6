/* The lobby: where a server's connections wait until they have shown that a member is at the other end. Whoever connects
 * to a listener has VS_LOBBY_PATIENCE for a handshake initiation that the server accepts; then the connection goes to
 * the worker that has the link. Everybody else is closed, having seen nothing but what the handshake says to strangers
 * (PROTOCOL.md, "Carriers").
 *
 * It belongs to the thread that decides, with a carrier of its own for each kind: datagrams come from it and go through
 * it just as with a worker. All that strangers can hold is bounded: VS_LOBBY_MAX connections in all, VS_LOBBY_HOST_MAX of
 * one IPv4 address or IPv6 /64. Where the lobby is full, the connection that has waited longest without saying anything
 * makes room; if all have asked, the one that is here for longest. */
#ifndef VS_IO_LOBBY_H
#define VS_IO_LOBBY_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/drop.h"
#include "base/time.h"
#include "io/carrier.h"
#include "io/loop.h"
#include "link/link.h"

#define VS_LOBBY_MAX 256
#define VS_LOBBY_HOST_MAX 8
#define VS_LOBBY_PATIENCE (5 * VS_SEC)
#define VS_LOBBY_LISTENERS_MAX 8
/* Initiations of one connection: the first, one with a cookie, and some that were lost where the carrier loses. */
#define VS_LOBBY_QUESTIONS_MAX 6

struct vs_lobby;

struct vs_lobby_handler {
	/* An initiation, to be answered by vs_lobby_send(). */
	void (*handshake)(void *arg, const uint8_t *datagram, size_t len, const struct vs_path *path);
	/* A datagram of a handshake type through a connection that was handed out to this worker, which is to answer. */
	void (*forward)(void *arg, const uint8_t *datagram, size_t len, const struct vs_path *path, unsigned worker);
	void *arg;
};

/* Makes a connection of an accepted socket, which passes to it, also on failure. NULL with errno. */
typedef struct vs_conn *vs_conn_make_fn(void *arg, int fd);

/* NULL: out of memory. What is refused is counted in *drops. */
struct vs_lobby *vs_lobby_new(struct vs_loop *loop, const struct vs_lobby_handler *handler, struct vs_drops *drops);
/* Closes listeners, carriers and connections. NULL is accepted. */
void vs_lobby_free(struct vs_lobby *lobby);

/* For whoever makes a carrier that is to be the lobby's; and gives it that, one of a kind. */
struct vs_carrier_handler vs_lobby_carrier_handler(struct vs_lobby *lobby);
void vs_lobby_set_carrier(struct vs_lobby *lobby, struct vs_carrier *carrier);

/* Listens on a bound, non-blocking TCP socket, which passes to the lobby, also on failure. Its connections are made by
 * `make`, and are of the kind of a carrier that has been given. 0 or -errno. */
int vs_lobby_listen(struct vs_lobby *lobby, int fd, vs_conn_make_fn *make, void *arg) VS_MUST_CHECK;

/* Sends through a connection that is still here. */
void vs_lobby_send(struct vs_lobby *lobby, const uint8_t *datagram, size_t len, const struct vs_path *path);

/* Hands a connection out, for a worker, which is the caller's then. NULL: it has ended meanwhile. */
struct vs_conn *vs_lobby_take(struct vs_lobby *lobby, const struct vs_path *path, unsigned worker);

/* For a carrier of the lobby's that is not told of new connections before their datagrams (io/carrier_faketcp.h): lets in
 * who waits at the door. `arg` is the lobby. */
void vs_lobby_on_missing(void *arg, struct vs_carrier *carrier, const struct vs_addr *peer, const struct vs_addr *local);

struct vs_lobby_stats {
	uint64_t accepted;
	uint64_t admitted; /* handed out */
	uint64_t refused;  /* over a limit */
	uint64_t expired;  /* without a valid initiation in time */
	uint32_t waiting;
};

void vs_lobby_stats(const struct vs_lobby *lobby, struct vs_lobby_stats *out);

#endif
