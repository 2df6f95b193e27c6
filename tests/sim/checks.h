/* What must hold whatever happens to the paths (the sinks of sim/traffic.h check each frame besides):
 *
 *  - No stall. Once the path works, a watched flow's next frame arrives within SIM_STALL_MAX and two round trips, and
 *    so it goes on; after a restart of the server, whose state a handshake has to rebuild, within
 *    SIM_RESTART_STALL_MAX and two round trips. Where chance loses datagrams, each of the two hops has SIM_STALL_MAX,
 *    as a frame is given up after max_age on each, and the attempts of a handshake are not counted.
 *  - Memory stays within its stated bounds, and is given back.
 *  - Retransmissions are at most 1.3 times what was lost on the wire, and one in a hundred segments.
 *  - Nothing is received that no peer of ours would send, no link asks to be called without anything to do, and the
 *    number of handshakes is what the script explains. */
#ifndef VS_TEST_SIM_CHECKS_H
#define VS_TEST_SIM_CHECKS_H

#include "sim/traffic.h"

#define SIM_STALL_MAX (1100 * VS_MSEC) /* max_age, and the timers that notice */
#define SIM_RESTART_STALL_MAX (3 * VS_SEC)

struct sim_checks {
	struct sim_traffic *traffic;
	struct sim_event timer;
	unsigned broken[SIM_CLIENTS_MAX];   /* reasons for which the client's path does not work now */
	uint64_t works_usec[SIM_CLIENTS_MAX]; /* since when it works */
	uint64_t stall_max[SIM_CLIENTS_MAX];  /* within which it has to prove that */
	uint64_t breaks;
	bool stopped;
	double retransmit_worst; /* share of what is allowed that was used, of all ends */
	uint64_t stall_worst, restart_stall_worst; /* beyond two round trips */
};

/* Takes the traffic's `delivered` hook. */
void sim_checks_init(struct sim_checks *checks, struct sim_traffic *traffic);
void sim_checks_fini(struct sim_checks *checks);

/* The client's path stops working, and works again. */
void sim_checks_break(struct sim_checks *checks, unsigned client);
void sim_checks_works(struct sim_checks *checks, unsigned client, uint64_t stall_max);

/* The sources are about to stop: no more stalls are to be found, and retransmissions are judged by what was sent under
 * load. (Where single segments trickle, each lost ACK costs a probe, whatever the sender does.) */
void sim_checks_quiet(struct sim_checks *checks);

/* Whether nothing is under way or waits any more. */
bool sim_checks_drained(const struct sim_checks *checks);

/* After the traffic has drained: nothing may be left anywhere, and the books must balance. */
void sim_checks_end(struct sim_checks *checks);

#endif
