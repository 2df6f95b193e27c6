/* A whole virtual LAN in one process and in virtual time: a server, its clients and the network between them, all of it
 * the code that the programs run, except sockets, threads and clocks.
 *
 *   PC 0 - client 0 == up, down ==\
 *   PC 1 - client 1 == up, down === server: links, bridge
 *   PC 2 - client 2 == up, down ==/                                (== : sim/line.h, impaired) */
#ifndef VS_TEST_SIM_WORLD_H
#define VS_TEST_SIM_WORLD_H

#include <stdio.h>

#include "sim/client.h"
#include "sim/server.h"

#define SIM_FAILURES_MAX 8 /* printed for one run */

/* Where a frame has arrived. */
#define SIM_AT_SERVER (-1)
#define SIM_AT_PC(no) ((int)(no))

struct sim_config {
	uint64_t seed;
	unsigned clients; /* 2 ... SIM_CLIENTS_MAX */
	struct vs_policy policy;
	uint16_t datagram_max;
	bool emsgsize; /* local sockets refuse what the path's MTU does not take */
	bool trace;
	struct vs_impair_config up[SIM_CLIENTS_MAX], down[SIM_CLIENTS_MAX];
};

struct sim_world {
	struct sim_config config;
	struct sim_clock clock;
	struct sim_random random;
	struct sim_server server;
	struct sim_client clients[SIM_CLIENTS_MAX];

	/* Told of each frame that arrives, and of when the datagram that completed it was sent. */
	void (*arrived)(struct sim_world *world, int where, const struct vs_frame *frame, uint64_t sent_usec,
			uint64_t now);
	void *user;

	unsigned failures;
	char failure[SIM_FAILURES_MAX][256];
};

/* Everything runs from the start. */
struct sim_world *sim_world_new(const struct sim_config *config);

/* Stops all hosts. What they have leaked is a failure; the world is freed by sim_world_free(). */
void sim_world_stop(struct sim_world *world);
void sim_world_free(struct sim_world *world);

/* Notes that an invariant does not hold. */
void sim_fail(struct sim_world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints what happens, where the configuration asks for it. */
void sim_trace(struct sim_world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
