/* What happens to a simulated LAN, and when: a list of actions at virtual times. Each that breaks a path tells the
 * checks so, and tells them when it works again. */
#ifndef VS_TEST_SIM_SCRIPT_H
#define VS_TEST_SIM_SCRIPT_H

#include "sim/checks.h"

enum sim_action_kind {
	SIM_OUTAGE,         /* both directions of the client's path are dead for `usec` */
	SIM_ONE_WAY_UP,     /* what the client sends is lost for `usec` */
	SIM_ONE_WAY_DOWN,   /* what is sent to the client is lost for `usec` */
	SIM_REBIND_PORT,    /* its NAT gives the client another port */
	SIM_REBIND_HOST,    /* ... or another address */
	SIM_MTU,            /* both directions take datagrams of `value` bytes from now on */
	SIM_RESTART_SERVER, /* it is gone for `usec` and has lost all its state then */
	SIM_RESTART_CLIENT,
	SIM_TERMS, /* the server's policy changes, as `value` says bit by bit, and live links are to follow */
};

struct sim_action {
	struct sim_event event;
	struct sim_checks *checks;
	enum sim_action_kind kind;
	unsigned client;
	uint64_t usec;
	uint32_t value;
	bool under_way; /* the second half is to come */
};

#define SIM_ACTIONS_MAX 128

/* The bit of a SIM_TERMS' value that means mode datagram. */
#define SIM_TERMS_DATAGRAM UINT32_C(4)

struct sim_script {
	struct sim_checks *checks;
	struct sim_action actions[SIM_ACTIONS_MAX];
	unsigned actions_n;
};

void sim_script_init(struct sim_script *script, struct sim_checks *checks);
void sim_script_fini(struct sim_script *script);

/* Breaks of one client and one kind do not overlap. `usec` and `value` are 0 where the kind does not use them. */
void sim_script_add(struct sim_script *script, uint64_t at, enum sim_action_kind kind, unsigned client, uint64_t usec,
		    uint32_t value);

#endif
