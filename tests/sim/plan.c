#include "sim/plan.h"

#include <stdlib.h>
#include <string.h>

#define MBIT UINT64_C(1000000)
/* The first seconds are for the links to come up, the last ones for what was sent to arrive. */
#define WARM_UP (3 * VS_SEC)

static uint64_t draw(struct sim_plan *plan, uint64_t low, uint64_t high)
{
	return sim_random_range(&plan->random, low, high);
}

static bool chance(struct sim_plan *plan, unsigned percent)
{
	return sim_random_chance(&plan->random, percent);
}

static double draw_share(struct sim_plan *plan, double low, double high)
{
	return low + (high - low) * (double)draw(plan, 0, 1000) / 1000.0;
}

static unsigned draw_client(struct sim_plan *plan)
{
	return (unsigned)draw(plan, 0, plan->config.clients - 1);
}

static void add_action(struct sim_plan *plan, uint64_t at, enum sim_action_kind kind, unsigned client, uint64_t usec,
		       uint32_t value)
{
	if (plan->actions_n < SIM_ACTIONS_MAX)
		plan->actions[plan->actions_n++] = (struct sim_planned){ at, kind, client, usec, value };
}

/* --- Lines --- */

typedef void impairment(struct sim_plan *plan, struct vs_impair_config *line);

static void each_line(struct sim_plan *plan, impairment *impair)
{
	for (unsigned i = 0; i < plan->config.clients; i++) {
		impair(plan, &plan->config.up[i]);
		impair(plan, &plan->config.down[i]);
	}
}

static void draw_lines(struct sim_plan *plan)
{
	for (unsigned i = 0; i < plan->config.clients; i++) {
		struct vs_impair_config *up = &plan->config.up[i];
		up->delay_usec = draw(plan, 1, 50) * VS_MSEC;
		up->rate_bps = draw(plan, 2, 20) * MBIT;
		plan->config.down[i] = *up;
		plan->config.down[i].rate_bps = VS_MAX(up->rate_bps, draw(plan, 2, 20) * MBIT);
	}
}

static void impair_loss(struct sim_plan *plan, struct vs_impair_config *line)
{
	line->loss = draw_share(plan, 0.0, 0.3);
}

/* Bursts are of so many datagrams, however long these take: on a quiet line a long one would be a long outage. */
static void impair_bursts(struct sim_plan *plan, struct vs_impair_config *line)
{
	line->loss = draw_share(plan, 0.0, 0.1);
	line->burst = (double)draw(plan, 2, 10);
}

static void impair_reorder(struct sim_plan *plan, struct vs_impair_config *line)
{
	line->reorder = draw_share(plan, 0.01, 0.2);
	line->reorder_usec = draw(plan, 1, 30) * VS_MSEC;
}

static void impair_jitter(struct sim_plan *plan, struct vs_impair_config *line)
{
	line->jitter_usec = draw(plan, 0, line->delay_usec / 2);
	line->jitter_normal = chance(plan, 50);
	line->jitter_reorders = chance(plan, 50);
}

static void impair_duplicates(struct sim_plan *plan, struct vs_impair_config *line)
{
	line->duplicate = draw_share(plan, 0.01, 0.3);
}

/* --- Traffic --- */

static void add_flow(struct sim_plan *plan, const struct sim_flow_config *flow)
{
	if (plan->flows_n < SIM_FLOWS_MAX)
		plan->flows[plan->flows_n++] = *flow;
}

/* 50 frames a second, as a game or a call has them; the one that must never wait. */
static void add_sparse(struct sim_plan *plan, unsigned from, unsigned to)
{
	struct sim_flow_config flow = {
		.kind = SIM_PACED,
		.from = from,
		.to = to,
		.interval_usec = 20 * VS_MSEC,
		.frame_min = SIM_FRAME_MIN,
		.frame_max = 200,
		.watched = true,
	};
	add_flow(plan, &flow);
}

static void add_bulk(struct sim_plan *plan, unsigned from, unsigned to)
{
	struct sim_flow_config flow = {
		.kind = chance(plan, 50) ? SIM_WINDOWED : SIM_PACED,
		.from = from,
		.to = to,
		.window = (unsigned)draw(plan, 2, 20),
		.interval_usec = draw(plan, 3, 12) * VS_MSEC,
		.frame_min = chance(plan, 50) ? 1000 : SIM_FRAME_MIN,
		.frame_max = chance(plan, 20) ? VS_ETH_FRAME_MAX : 1514,
		.ect = chance(plan, 50),
	};
	if (flow.frame_max > 1514)
		flow.interval_usec *= 4;
	add_flow(plan, &flow);
}

/* Every client sends to the next one and hears from the one before, so that all lines are loaded both ways. */
static void draw_traffic(struct sim_plan *plan)
{
	unsigned n = plan->config.clients;
	for (unsigned i = 0; i < n; i++) {
		add_sparse(plan, i, (i + 1) % n);
		for (uint64_t k = draw(plan, 1, 2); k; k--)
			add_bulk(plan, i, (i + 1) % n);
	}
}

/* --- Scenarios --- */

static void draw_clean(struct sim_plan *plan)
{
	(void)plan;
}

static void draw_loss(struct sim_plan *plan)
{
	each_line(plan, impair_loss);
}

static void draw_bursts(struct sim_plan *plan)
{
	each_line(plan, impair_bursts);
}

static void draw_reorder(struct sim_plan *plan)
{
	each_line(plan, impair_reorder);
}

static void draw_jitter(struct sim_plan *plan)
{
	each_line(plan, impair_jitter);
}

static void draw_duplicate(struct sim_plan *plan)
{
	each_line(plan, impair_duplicates);
}

static void draw_nat(struct sim_plan *plan)
{
	for (uint64_t at = WARM_UP; at < plan->duration_usec; at += draw(plan, 4, 12) * VS_SEC)
		add_action(plan, at, chance(plan, 50) ? SIM_REBIND_PORT : SIM_REBIND_HOST, draw_client(plan), 0, 0);
}

static void draw_mtu(struct sim_plan *plan)
{
	plan->config.emsgsize = chance(plan, 30);
	for (uint64_t at = WARM_UP; at < plan->duration_usec; at += draw(plan, 5, 15) * VS_SEC)
		add_action(plan, at, SIM_MTU, draw_client(plan), 0, (uint32_t)draw(plan, 1200, 1472));
}

static void draw_breaks(struct sim_plan *plan, enum sim_action_kind first, enum sim_action_kind last, uint64_t msec_min,
			uint64_t msec_max)
{
	uint64_t at = WARM_UP + draw(plan, 0, 5) * VS_SEC;
	while (at < plan->duration_usec) {
		uint64_t usec = draw(plan, msec_min, msec_max) * VS_MSEC;
		add_action(plan, at, (enum sim_action_kind)draw(plan, first, last), draw_client(plan), usec, 0);
		at += usec + draw(plan, 5, 12) * VS_SEC;
	}
}

static void draw_outage(struct sim_plan *plan)
{
	draw_breaks(plan, SIM_OUTAGE, SIM_OUTAGE, 500, 8000);
}

static void draw_one_way(struct sim_plan *plan)
{
	draw_breaks(plan, SIM_ONE_WAY_UP, SIM_ONE_WAY_DOWN, 500, 6000);
}

static void draw_restart_server(struct sim_plan *plan)
{
	draw_breaks(plan, SIM_RESTART_SERVER, SIM_RESTART_SERVER, 50, 5000);
}

static void draw_restart_client(struct sim_plan *plan)
{
	draw_breaks(plan, SIM_RESTART_CLIENT, SIM_RESTART_CLIENT, 50, 5000);
}

/* Long enough for the keys to be replaced once. */
static void draw_rekey(struct sim_plan *plan)
{
	plan->duration_usec = 200 * VS_SEC;
	if (chance(plan, 50))
		each_line(plan, impair_loss);
	if (chance(plan, 50))
		add_action(plan, (115 + draw(plan, 0, 5)) * VS_SEC, SIM_OUTAGE, draw_client(plan),
			   draw(plan, 500, 8000) * VS_MSEC, 0);
}

static void draw_datagram(struct sim_plan *plan)
{
	plan->config.policy.mode = VS_MODE_DATAGRAM;
	plan->ordered = false;
	each_line(plan, impair_jitter);
	each_line(plan, impair_duplicates);
	draw_mtu(plan);
	draw_nat(plan);
}

static void widen(struct sim_plan *plan, struct vs_impair_config *line)
{
	(void)plan;
	line->rate_bps = 20 * MBIT;
}

/* Without congestion control nothing holds for a line that is offered more than it takes. */
static void draw_cubic(struct sim_plan *plan)
{
	plan->config.policy.congestion = chance(plan, 70) ? VS_CONGESTION_CUBIC : VS_CONGESTION_NONE;
	if (plan->config.policy.congestion == VS_CONGESTION_NONE)
		each_line(plan, widen);
	if (chance(plan, 50))
		each_line(plan, impair_jitter);
	draw_breaks(plan, SIM_OUTAGE, SIM_ONE_WAY_DOWN, 500, 4000);
}

static void draw_mixed(struct sim_plan *plan)
{
	static impairment *const impairments[] = { impair_loss, impair_bursts, impair_reorder, impair_jitter,
						   impair_duplicates };
	for (unsigned i = 0; i < VS_ARRAY_SIZE(impairments); i++)
		if (chance(plan, 30))
			each_line(plan, impairments[i]);
	if (chance(plan, 50))
		draw_nat(plan);
	if (chance(plan, 50))
		draw_mtu(plan);
	draw_breaks(plan, SIM_OUTAGE, SIM_ONE_WAY_DOWN, 200, 5000);
	if (chance(plan, 30))
		draw_breaks(plan, SIM_RESTART_SERVER, SIM_RESTART_SERVER, 50, 5000);
}

/* On the wire it is like any other sealed link. */
static void draw_auth(struct sim_plan *plan)
{
	vs_policy_set_cipher(&plan->config.policy, VS_CIPHER_CHOICE_AUTH);
	each_line(plan, impair_loss);
	draw_mtu(plan);
	draw_nat(plan);
}

/* Sealed and clear datagrams overtake, lose and repeat each other; addresses and sizes change meanwhile. */
static void draw_clear(struct sim_plan *plan)
{
	vs_policy_set_cipher(&plan->config.policy, VS_CIPHER_CHOICE_NONE);
	if (chance(plan, 25))
		draw_datagram(plan);
	else
		draw_mixed(plan);
}

static void draw_clear_rekey(struct sim_plan *plan)
{
	vs_policy_set_cipher(&plan->config.policy, VS_CIPHER_CHOICE_NONE);
	draw_rekey(plan);
}

/* Each direction protects as it likes, on lines that give it something to do. */
static void draw_fec(struct sim_plan *plan)
{
	static const char *const settings[] = { "off", "auto", "1:2", "2:1", "3:1", "10:3", "20:10", "64:1" };
	static impairment *const impairments[] = { impair_loss, impair_bursts, impair_reorder, impair_jitter,
						   impair_duplicates };
	struct vs_policy *policy = &plan->config.policy;
	struct vs_fec_config *configs[] = { &policy->fec_up, &policy->fec_down };
	for (unsigned i = 0; i < VS_ARRAY_SIZE(configs); i++) {
		const char *setting = settings[draw(plan, 0, VS_ARRAY_SIZE(settings) - 1)];
		configs[i]->overhead_max = (uint8_t)draw(plan, 10, VS_FEC_OVERHEAD_LIMIT);
		if (vs_fec_parse(setting, configs[i]) < 0)
			abort();
	}
	for (unsigned i = 0; i < VS_ARRAY_SIZE(impairments); i++)
		if (chance(plan, 40))
			each_line(plan, impairments[i]);
	if (chance(plan, 30))
		draw_nat(plan);
	if (chance(plan, 30))
		draw_mtu(plan);
	if (chance(plan, 30))
		draw_breaks(plan, SIM_OUTAGE, SIM_RESTART_SERVER, 200, 3000);
}

static void draw_fec_datagram(struct sim_plan *plan)
{
	plan->config.policy.mode = VS_MODE_DATAGRAM;
	plan->ordered = false;
	draw_fec(plan);
}

static void draw_fec_clear(struct sim_plan *plan)
{
	vs_policy_set_cipher(&plan->config.policy, VS_CIPHER_CHOICE_NONE);
	if (chance(plan, 50))
		draw_fec(plan);
	else
		draw_fec_datagram(plan);
}

/* Terms change under traffic, on clean lines and on bad ones. */
static void draw_terms(struct sim_plan *plan)
{
	plan->ordered = false;
	plan->repeats = true;
	/* What mode datagram loses is lost, and the flows' own timeouts are not judged here. */
	bool lossy = chance(plan, 50);
	uint32_t terms = (1 << 13) - 1;
	if (lossy) {
		each_line(plan, impair_loss);
		terms &= ~SIM_TERMS_DATAGRAM;
	}
	if (chance(plan, 30))
		each_line(plan, impair_jitter);
	for (uint64_t at = WARM_UP; at < plan->duration_usec; at += draw(plan, 300, 4000) * VS_MSEC)
		add_action(plan, at, SIM_TERMS, 0, 0, (uint32_t)draw(plan, 0, (1 << 13) - 1) & terms);
}

const struct sim_scenario sim_scenarios[] = {
	{ "clean", draw_clean },
	{ "loss", draw_loss },
	{ "bursts", draw_bursts },
	{ "reorder", draw_reorder },
	{ "jitter", draw_jitter },
	{ "duplicate", draw_duplicate },
	{ "nat", draw_nat },
	{ "mtu", draw_mtu },
	{ "outage", draw_outage },
	{ "one-way", draw_one_way },
	{ "restart-server", draw_restart_server },
	{ "restart-client", draw_restart_client },
	{ "rekey", draw_rekey },
	{ "datagram", draw_datagram },
	{ "cubic", draw_cubic },
	{ "mixed", draw_mixed },
	{ "auth", draw_auth },
	{ "clear", draw_clear },
	{ "clear-rekey", draw_clear_rekey },
	{ "fec", draw_fec },
	{ "fec-datagram", draw_fec_datagram },
	{ "fec-clear", draw_fec_clear },
	{ "terms", draw_terms },
};
const unsigned sim_scenarios_n = VS_ARRAY_SIZE(sim_scenarios);

static uint64_t hash_name(const char *name)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
	return hash;
}

void sim_plan_draw(struct sim_plan *plan, const struct sim_scenario *scenario, uint64_t seed)
{
	*plan = (struct sim_plan){
		.random = { seed ^ hash_name(scenario->name) },
		.duration_usec = 60 * VS_SEC,
		.ordered = true,
	};
	plan->config.seed = sim_random_next(&plan->random);
	plan->config.clients = 2 + (chance(plan, 20) ? 1 : 0);
	plan->config.policy = vs_policy_default();
	plan->config.policy.has_aes = vs_cpu_has_aes();
	plan->config.datagram_max = chance(plan, 20) ? 8972 : 1472;
	plan->config.policy.datagram_max = plan->config.datagram_max;
	draw_lines(plan);
	draw_traffic(plan);
	scenario->draw(plan);
}
