#include "sim/script.h"

#include <stdlib.h>

static void set_down(struct sim_line *line, bool down)
{
	struct vs_impair_config config = *vs_impair_config(line->impair, line->clock->now);
	config.down = down;
	vs_impair_configure(line->impair, &config);
}

static void set_mtu(struct sim_line *line, uint32_t mtu)
{
	struct vs_impair_config config = *vs_impair_config(line->impair, line->clock->now);
	config.mtu = mtu;
	vs_impair_configure(line->impair, &config);
}

static void set_path_down(const struct sim_action *a, struct sim_client *c, bool down)
{
	if (a->kind != SIM_ONE_WAY_DOWN)
		set_down(&c->up, down);
	if (a->kind != SIM_ONE_WAY_UP)
		set_down(&c->down, down);
}

static void set_terms(struct vs_policy *policy, uint32_t bits)
{
	static const enum vs_cipher_choice ciphers[] = { VS_CIPHER_CHOICE_AES_256_GCM, VS_CIPHER_CHOICE_CHACHA20_POLY1305,
							 VS_CIPHER_CHOICE_AUTH, VS_CIPHER_CHOICE_NONE };
	static const char *const fec[] = { "off", "auto", "4:2", "10:3" };
	vs_policy_set_cipher(policy, ciphers[bits & 3]);
	policy->mode = bits & SIM_TERMS_DATAGRAM ? VS_MODE_DATAGRAM : VS_MODE_RELIABLE;
	policy->congestion = bits >> 3 & 1 ? VS_CONGESTION_CUBIC : VS_CONGESTION_BBR;
	policy->lanes = bits >> 4 & 1 ? 3 : VS_LANES_MAX;
	policy->kcp = vs_kcp_config_default();
	policy->kcp.nodelay = bits >> 5 & 1;
	policy->kcp.interval_msec = bits >> 6 & 1 ? 20 : VS_KCP_INTERVAL_DEFAULT;
	policy->kcp.sndwnd = bits >> 7 & 1 ? VS_WINDOW_MIN : VS_WINDOW_MAX;
	policy->kcp.rcvwnd = bits >> 8 & 1 ? VS_WINDOW_MIN : VS_WINDOW_MAX;
	if (vs_fec_parse(fec[bits >> 9 & 3], &policy->fec_up) < 0 || vs_fec_parse(fec[bits >> 11 & 3], &policy->fec_down) < 0)
		abort();
}

static void begin(struct sim_action *a)
{
	struct sim_world *w = a->checks->traffic->world;
	struct sim_client *c = &w->clients[a->client];
	switch (a->kind) {
	case SIM_OUTAGE:
	case SIM_ONE_WAY_UP:
	case SIM_ONE_WAY_DOWN:
		set_path_down(a, c, true);
		sim_checks_break(a->checks, a->client);
		break;
	case SIM_RESTART_SERVER:
		sim_server_stop(&w->server);
		for (unsigned i = 0; i < w->config.clients; i++)
			sim_checks_break(a->checks, i);
		break;
	case SIM_RESTART_CLIENT:
		sim_client_stop(c);
		sim_checks_break(a->checks, a->client);
		break;
	case SIM_REBIND_PORT:
	case SIM_REBIND_HOST:
		sim_client_rebind(c, a->kind == SIM_REBIND_HOST);
		break;
	case SIM_MTU:
		set_mtu(&c->up, a->value);
		set_mtu(&c->down, a->value);
		break;
	case SIM_TERMS:
		set_terms(&w->config.policy, a->value);
		sim_server_renew(&w->server);
	}
}

static void end(struct sim_action *a)
{
	struct sim_world *w = a->checks->traffic->world;
	struct sim_client *c = &w->clients[a->client];
	switch (a->kind) {
	case SIM_OUTAGE:
	case SIM_ONE_WAY_UP:
	case SIM_ONE_WAY_DOWN:
		set_path_down(a, c, false);
		sim_checks_works(a->checks, a->client, SIM_STALL_MAX);
		break;
	case SIM_RESTART_SERVER:
		sim_server_start(&w->server);
		for (unsigned i = 0; i < w->config.clients; i++)
			sim_checks_works(a->checks, i, SIM_RESTART_STALL_MAX);
		break;
	case SIM_RESTART_CLIENT:
		sim_client_start(c);
		sim_checks_works(a->checks, a->client, SIM_STALL_MAX);
		break;
	default:
		break;
	}
}

static void act(struct sim_event *event, uint64_t now)
{
	struct sim_action *a = VS_CONTAINER_OF(event, struct sim_action, event);
	static const char *const names[] = { "outage", "one way (up)", "one way (down)", "rebind port",
					     "rebind host", "mtu", "restart server", "restart client", "terms" };
	struct sim_world *w = a->checks->traffic->world;
	sim_trace(w, "script: %s, client %u%s, %u", names[a->kind], a->client, a->under_way ? ", ends" : "", a->value);
	if (a->under_way) {
		end(a);
		return;
	}
	begin(a);
	a->under_way = true;
	if (a->usec)
		sim_event_set(&w->clock, event, now + a->usec);
}

void sim_script_init(struct sim_script *script, struct sim_checks *checks)
{
	*script = (struct sim_script){ .checks = checks };
}

void sim_script_fini(struct sim_script *script)
{
	for (unsigned i = 0; i < script->actions_n; i++)
		sim_event_fini(&script->checks->traffic->world->clock, &script->actions[i].event);
}

void sim_script_add(struct sim_script *script, uint64_t at, enum sim_action_kind kind, unsigned client, uint64_t usec,
		    uint32_t value)
{
	struct sim_clock *clock = &script->checks->traffic->world->clock;
	if (script->actions_n == SIM_ACTIONS_MAX)
		abort();
	struct sim_action *a = &script->actions[script->actions_n++];
	*a = (struct sim_action){ .checks = script->checks, .kind = kind, .client = client, .usec = usec, .value = value };
	sim_event_init(clock, &a->event, act);
	sim_event_set(clock, &a->event, at);
}
