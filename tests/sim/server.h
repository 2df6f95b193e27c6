/* The server in the simulator, as vswitchs would wire it: responder, bridge, and a slot for each client. A slot has
 * room for two links, because a client that comes back with another link id replaces the old link only when it has
 * sent its first valid data datagram. */
#ifndef VS_TEST_SIM_SERVER_H
#define VS_TEST_SIM_SERVER_H

#include "link/responder.h"
#include "sim/end.h"
#include "switch/bridge.h"

#define SIM_CLIENTS_MAX 4
#define SIM_INDICES_MAX 16 /* of one link: three sessions, and those whose retirement has not been noticed yet */

struct sim_world;
struct sim_server;

struct sim_slot_link {
	struct sim_end end;
	struct sim_slot *slot;
	uint8_t link_id[VS_LINK_ID_SIZE];
	uint64_t incarnation;         /* of its state; 0: nothing has been confirmed yet */
	uint64_t pending_incarnation; /* of the session that waits to be confirmed */
	struct vs_params answered;    /* of the last session */
	uint32_t indices[SIM_INDICES_MAX];
	unsigned indices_n;
};

struct sim_slot {
	struct sim_server *server;
	unsigned no;
	uint16_t port;
	struct sim_slot_link links[2];
	struct sim_slot_link *current; /* the one that the port uses */
};

struct sim_server {
	struct sim_world *world;
	uint8_t private_key[VS_KEY_SIZE], public_key[VS_KEY_SIZE];
	struct vs_addr address;
	struct sim_slot slots[SIM_CLIENTS_MAX];
	uint32_t last_index;

	/* While it runs. */
	bool running;
	struct vs_responder *responder;
	struct vs_bridge *bridge;
	struct vs_pool *pool;
	struct vs_deframed arrived;
	struct vs_egress egress;

	unsigned ups, freshes, errors, timeouts;
	uint64_t pool_failures;
	size_t leaked;
	struct vs_drops drops; /* of handshakes, and of datagrams that no link took */
};

void sim_server_init(struct sim_server *server, struct sim_world *world);
void sim_server_fini(struct sim_server *server);

void sim_server_start(struct sim_server *server);
/* As kill -9 would: nothing is said to anybody, all state is lost. */
void sim_server_stop(struct sim_server *server);

/* The policy has changed: has every client ask for the new terms. */
void sim_server_renew(struct sim_server *server);

struct sim_line;
struct sim_datagram;
bool sim_server_input(struct sim_line *line, struct sim_datagram *datagram, uint64_t now);

/* What all links to the client, present and former, have counted. */
struct sim_end_books sim_server_books(const struct sim_server *server, unsigned client);

#endif
