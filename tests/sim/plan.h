/* Scenarios: what a run of the simulator consists of, drawn from a seed. */
#ifndef VS_TEST_SIM_PLAN_H
#define VS_TEST_SIM_PLAN_H

#include "sim/script.h"

struct sim_planned {
	uint64_t at;
	enum sim_action_kind kind;
	unsigned client;
	uint64_t usec;
	uint32_t value;
};

struct sim_plan {
	struct sim_config config;
	struct sim_random random;
	uint64_t duration_usec;
	bool ordered, repeats;
	struct sim_planned actions[SIM_ACTIONS_MAX];
	unsigned actions_n;
	struct sim_flow_config flows[SIM_FLOWS_MAX];
	unsigned flows_n;
};

struct sim_scenario {
	const char *name;
	void (*draw)(struct sim_plan *plan);
};

extern const struct sim_scenario sim_scenarios[];
extern const unsigned sim_scenarios_n;

/* The plan of a scenario and a seed: lines, traffic in both directions, and what goes wrong. */
void sim_plan_draw(struct sim_plan *plan, const struct sim_scenario *scenario, uint64_t seed);

#endif
