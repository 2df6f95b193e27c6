/* A client in the simulator, as vswitchc would wire it: initiator, link, and a PC behind it. Handshake jobs are run on
 * the spot. Its address on the network is what a NAT in front of it makes of it. */
#ifndef VS_TEST_SIM_CLIENT_H
#define VS_TEST_SIM_CLIENT_H

#include "link/initiator.h"
#include "sim/end.h"

#define SIM_POOL_BYTES (16u << 20)

struct sim_world;

struct sim_client {
	struct sim_world *world;
	unsigned no;
	uint8_t private_key[VS_KEY_SIZE], public_key[VS_KEY_SIZE], psk[VS_KEY_SIZE];
	struct sim_line up, down;
	struct sim_end end;
	struct sim_event handshake;
	struct vs_addr address; /* as the server sees it */
	struct vs_addr server;
	uint32_t last_index;

	/* While it runs. */
	bool running;
	struct vs_initiator *initiator;
	struct vs_pool *pool;
	struct vs_deframed arrived;

	unsigned ups, freshes, moves, errors, timeouts, handshakes_sent;
	uint64_t pool_failures;
	uint64_t up_usec;       /* of the last VS_LINK_UP or VS_LINK_FRESH */
	size_t leaked;
	struct vs_drops drops; /* of handshakes, and of datagrams that no link took */
};

void sim_client_init(struct sim_client *client, struct sim_world *world, unsigned no);
void sim_client_fini(struct sim_client *client);

void sim_client_start(struct sim_client *client);
void sim_client_stop(struct sim_client *client);

/* The NAT gives it another source port, or another address too. */
void sim_client_rebind(struct sim_client *client, bool other_host);

/* A frame from the PC; takes over the reference. */
void sim_client_send(struct sim_client *client, struct vs_frame *frame);

#endif
