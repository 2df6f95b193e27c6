/* State of the running server, shared by the files that implement it: server.c (life, signals), members.c (ports and
 * their clients), accept.c (handshakes), listen.c (plain peers), conns.c (connections), reload.c and
 * status.c. Nobody else includes this.
 *
 * A member is a [port NAME] of the configuration; a client is one link that came in under the member's key, and one
 * port of the switch. A member has at most max_clients clients that are up, and a few that have shaken hands and not
 * yet sent anything: a session takes effect with its first datagram (link/responder.h). */
#ifndef VSWITCHS_SERVER_STATE_H
#define VSWITCHS_SERVER_STATE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "io/broker_client.h"
#include "io/control.h"
#include "io/daemon.h"
#include "io/datapath.h"
#include "io/lobby.h"
#include "io/loop.h"
#include "io/offload.h"
#include "io/signals.h"
#include "link/responder.h"
#include "vswitchs/schema.h"

/* Clients of one member that have not sent anything yet: so many, or max_clients. The newest push out the oldest. */
#define SERVER_UNCONFIRMED_MAX 4

/* A TAP whose device or name is still in use by the scripts of one that is going away is tried again so often, and for
 * so long: an up script and a down script take 20 s at most. */
#define SERVER_TAP_RETRY (250 * VS_MSEC)
#define SERVER_TAP_PATIENCE (30 * VS_SEC)

/* Handshakes under way at a time. */
#define SERVER_HANDSHAKES_MAX 256

#define SERVER_NO_INDEX UINT32_MAX

/* In the place of a worker's number: the lobby. */
#define SERVER_LOBBY UINT_MAX

struct member {
	struct vs_list node; /* of server.members */
	struct server *server;
	struct vs_server_port_config config;
	struct vs_list clients;
	unsigned up;          /* clients that are up */
	uint64_t seen_usec;   /* when the last client was last up; 0: never */
	uint64_t connections; /* since the start */
};

struct client {
	struct vs_list node; /* of member.clients, oldest first */
	struct member *member;
	struct vs_dport *port;
	char name[VS_PORT_NAME_SIZE]; /* of the switch's port: the member's, or NAME#2 ...; before it is up, NAME#new1 */
	uint8_t link_id[VS_LINK_ID_SIZE];
	char program[VS_PROGRAM_MAX + 1];
	bool up;
	uint64_t since_usec;
	uint32_t pending_index; /* taken for a handshake under way; SERVER_NO_INDEX: none */
	bool refused;           /* its last handshake did not do for the port; a link it may have is by older terms */
	bool answered_clear;    /* the last session it was answered with sends frames in the clear */
};

/* A [tap NAME]. */
struct server_tap {
	struct vs_list node; /* of server.taps */
	struct server *server;
	struct vs_server_tap_config config;
	struct vs_dport *port;  /* NULL: there is no device */
	bool held;              /* the broker has the device open */
	uint64_t give_up_usec;  /* it is tried again until then; 0: it is not */
	struct vs_fault fault;  /* why there is no device */
};

/* A [listen NAME]. */
struct server_listen {
	struct vs_list node; /* of server.listens */
	struct server *server;
	struct vs_server_listen_config config;
	struct {
		int fd;
		struct vs_watch *watch;
	} sockets[2];
	unsigned n_sockets; /* 0: it cannot listen */
	struct vs_list peers;
	unsigned n_peers; /* max_clients at most */
	struct vs_fault fault; /* why it cannot listen */
};

/* A plain peer: a client of a listener, and a port of the switch. */
struct plain_peer {
	struct vs_list node; /* of server_listen.peers */
	struct server_listen *listen;
	struct vs_dport *port;
	char name[VS_PORT_NAME_SIZE]; /* of the switch's port: NAME/ADDRESS:PORT */
	struct vs_addr addr;
	bool up; /* it has sent a frame */
	uint64_t since_usec;
};

struct server {
	struct vs_server_config config;
	const char *config_path;
	struct vs_loop *loop;
	struct vs_datapath *datapath;
	struct vs_responder *responder;
	struct vs_offload *offload;
	struct vs_lobby *lobby;
	unsigned handshakes; /* under way */
	struct vs_control_server *control;
	struct vs_broker_client *broker;
	struct vs_list members, taps, listens;
	struct vs_timer tap_timer; /* initialised while a TAP is tried again */
	bool has_tap_timer;
	struct vs_addr listen[VS_LIST_MAX];
	size_t n_listen;
	unsigned carriers; /* besides UDP, that it listens for: set of enum vs_carrier_kind */
	struct vs_drops handshake_drops;
	uint64_t started_usec;
	uint64_t accepted;
};

/* --- members.c ---------------------------------------------------------------------------------------------------- */

/* 0 or -errno, logged. */
int server_add_member(struct server *server, const struct vs_server_port_config *config) VS_MUST_CHECK;
/* Ends its links for a reason of enum vs_close_reason. */
void server_remove_member(struct member *member, uint8_t reason);
struct member *server_find_member(const struct server *server, const char *name);

/* Does not know the member's key any more; before server_change_member() to another key, and for all members before
 * that, because two sections may exchange their keys. */
void server_forget_key(struct member *member);

/* Takes over what may change under live links, and ends those to which more has changed, for a reason of enum
 * vs_close_reason. 0 or -errno, logged: the member cannot connect, and the next reload tries again. */
int server_change_member(struct member *member, const struct vs_server_port_config *config,
			 uint8_t reason) VS_MUST_CHECK;

/* The client with this link id, or a new one that is not up. NULL: no room, logged. */
struct client *server_client_for(struct member *member, const struct vs_offer *offer);
/* Ends all links of the member for a reason of enum vs_close_reason; `why` is for our log. Returns how many. */
unsigned server_kick(struct member *member, uint8_t reason, const char *why);
/* Ends the link behind one port of the switch, such as "alice#2". False: there is none of that name. */
bool server_kick_port(struct server *server, const char *port_name, uint8_t reason, const char *why);

void server_link_events(void *arg, struct vs_dport *port, unsigned events);

/* --- taps.c ------------------------------------------------------------------------------------------------------- */

/* Adds a TAP and opens it, as server_open_tap(). -ENOMEM: there is none; else it is there, with or without a device. */
int server_add_tap(struct server *server, const struct vs_server_tap_config *config) VS_MUST_CHECK;
/* Makes the device of a TAP that has none. 0; -EAGAIN: not yet, it will come by itself; or another -errno, logged. In
 * both cases tap->fault says why. */
int server_open_tap(struct server_tap *tap) VS_MUST_CHECK;
/* Takes the device away, or no longer waits for it. The TAP stays. */
void server_close_tap(struct server_tap *tap);
void server_remove_tap(struct server_tap *tap);
struct server_tap *server_find_tap(const struct server *server, const char *name);
void server_change_tap_vlans(struct server_tap *tap, const struct vs_server_tap_config *config);
void server_tap_gone(void *arg, struct vs_dport *port, int error);
/* At the end of the program; what the broker holds of the TAPs it cleans up by itself. */
void server_free_taps(struct server *server);

/* --- listen.c ----------------------------------------------------------------------------------------------------- */

/* Adds to the grants what listening takes. 0 or -ENOSPC. */
int server_grant_listens(const struct vs_server_config *config, struct vs_grants *grants) VS_MUST_CHECK;

/* Where it listens: one address or two. */
size_t server_listen_addresses(const struct vs_server_listen_config *config, struct vs_addr out[2]);

/* Adds a listener and opens it, as server_open_listen(). -ENOMEM: there may be none; else it is there. */
int server_add_listen(struct server *server, const struct vs_server_listen_config *config) VS_MUST_CHECK;
/* 0 or -errno, logged, and listen->fault says why. */
int server_open_listen(struct server_listen *listen) VS_MUST_CHECK;
/* Ends its peers and does not listen any more. The listener stays. */
void server_close_listen(struct server_listen *listen);
void server_remove_listen(struct server_listen *listen);
struct server_listen *server_find_listen(const struct server *server, const char *name);
/* Takes over another configuration, in which peers live on that it still allows. False: the listener is to be opened. */
bool server_change_listen(struct server_listen *listen, const struct vs_server_listen_config *config);

void server_plain_events(void *arg, struct vs_dport *port, unsigned events);
/* Ends the plain peer of that port's name. False: there is none. */
bool server_kick_plain(struct server *server, const char *name);

/* --- conns.c ------------------------------------------------------------------------------------------------------ */

/* Adds to the grants the TCP ports, on each of the addresses. 0 or -ENOSPC. */
int server_grant_conns(const struct vs_server_config *config, const struct vs_addr *listen, size_t n,
		       struct vs_grants *grants) VS_MUST_CHECK;

/* Opens the lobby and its listeners, on the addresses that UDP listens on. 0 or -errno, logged. */
int server_open_conns(struct server *server) VS_MUST_CHECK;

/* A valid handshake has come from the lobby: its connection, if it is still there, goes to the worker of the link. 0 or
 * -errno, logged: the connection is closed. */
int server_admit_conn(struct server *server, struct vs_dport *port, const struct vs_path *path) VS_MUST_CHECK;

/* --- accept.c ----------------------------------------------------------------------------------------------------- */

/* `worker`: which has received it, or SERVER_LOBBY. */
void server_handshake(void *arg, const uint8_t *datagram, size_t len, const struct vs_path *path, unsigned worker);

/* --- reload.c ----------------------------------------------------------------------------------------------------- */

/* Reads the configuration again and applies it. The reply to the control request `reload`: an error if the file is not
 * in order, and then nothing has changed; else names of ports and TAPs in "added", "changed" and "removed"; in
 * "pending", of TAPs that wait for a script of the device before; in "failed" {"name", "why"} of what could not be
 * done, which the next reload tries again; in "restart" the keys that count from the next start only. */
json_t *server_reload(struct server *server);

/* --- status.c ----------------------------------------------------------------------------------------------------- */

json_t *server_control(json_t *request, void *arg);

#endif
