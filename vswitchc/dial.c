/* Keeping the link to the server: when and to which address attempts go, and what to do when the link goes. Which carrier
 * an attempt goes by, and the connection that it may need, is in dial_carrier.c; the attempt itself in dial_handshake.c.
 *
 * The link watches the server (keepalive) and asks for a handshake when its keys are old or nothing comes back; the
 * initiator makes attempts until one is answered; each attempt goes to the next address. An attempt to renew keys of a
 * link that works goes where the link goes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "io/random.h"
#include "link/control.h"
#include "vswitchc/client_state.h"

/* After all names have failed to resolve. */
#define RESOLVE_AGAIN VS_SEC
/* Handshakes that ICMP errors may trigger. */
#define REFUSED_INTERVAL VS_SEC
/* The way to the server is looked at this often. */
#define ROUTE_INTERVAL (5 * VS_SEC)

void client_set_dial_timer(struct client *client)
{
	uint64_t deadline = vs_initiator_deadline(client->initiator);
	if (deadline != VS_NEVER)
		deadline = VS_MAX(deadline, VS_MAX(client->not_before_usec, client->connect_from_usec));
	/* Without an address that has worked before, nothing can be tried until a name has been resolved. */
	bool knows_none = !vs_addr_is_set(&client->last_good);
	if (client->connecting || (client->lookup && knows_none))
		deadline = VS_NEVER;
	else if (deadline != VS_NEVER && knows_none)
		deadline = VS_MAX(deadline, client->resolve_from_usec);
	vs_timer_set(&client->dial_timer, deadline);
}

/* The preferred server's turn again. What is being looked up is another's. */
void client_restart_targets(struct client *client)
{
	vs_lookup_cancel(client->lookup);
	client->lookup = NULL;
	vs_targets_restart(&client->targets);
}

void client_dial(struct client *client)
{
	vs_initiator_start(client->initiator, vs_loop_now(client->loop));
	client_set_dial_timer(client);
}

/* --- The way to the server --- */

void client_check_route(struct client *client, const struct vs_addr *to)
{
	uint64_t now = vs_loop_now(client->loop);
	struct vs_netif_path path;
	struct vs_fault fault;
	char text[VS_ADDR_TEXT_MAX];
	if (now < client->route_checked_usec + ROUTE_INTERVAL)
		return;
	client->route_checked_usec = now;
	if (vs_netif_path_to(client->netif, to, client->config.fwmark, client->config.bind_interface, &path,
			     &fault) < 0)
		return;
	bool through = strcmp(path.interface, client->config.tap.device) == 0;
	if (through && !client->through_tap) {
		vs_addr_format(to, text);
		client_complain(client,
				"the route to the server %s leads through %s, the device that the server feeds: set "
				"bind_interface or fwmark, or add a route to the server by your real gateway",
				text, path.interface);
	}
	client->through_tap = through;
}

/* --- Whom to dial --- */

/* After all addresses of all servers, it is the next carrier's turn. */
static void count_passes(struct client *client)
{
	if (client->targets.passes == client->passes_seen)
		return;
	client->passes_seen = client->targets.passes;
	vs_carrier_choice_next(&client->choice);
}

static void resolved(void *arg, const char *error, const struct vs_addr *addrs, size_t n)
{
	struct client *client = arg;
	const struct vs_endpoint *server = vs_targets_wanted(&client->targets);
	client->lookup = NULL;
	if (n == 0) {
		client_complain(client, "server '%s': %s", server->host, error);
		client->resolve_from_usec = vs_loop_now(client->loop) + RESOLVE_AGAIN;
	}
	vs_targets_resolved(&client->targets, addrs, n);
	count_passes(client);
	client_set_dial_timer(client);
}

static void resolve(struct client *client, uint64_t now)
{
	const struct vs_endpoint *server = vs_targets_wanted(&client->targets);
	int err = vs_lookup_start(client->loop, server->host, server->port, resolved, client, &client->lookup);
	if (err < 0) {
		client->lookup = NULL;
		client_complain(client, "server '%s': %s", server->host, strerror(-err));
		client->resolve_from_usec = now + RESOLVE_AGAIN;
		vs_targets_resolved(&client->targets, NULL, 0);
		count_passes(client);
	}
	client_set_dial_timer(client);
}

bool client_link_works(const struct client *client, uint64_t now)
{
	struct vs_link_stats stats;
	if (!client->up || client->path_gone)
		return false;
	vs_link_stats(vs_wport_link(client->server), now, &stats);
	return stats.answered_usec_ago < 2 * vs_link_params(vs_wport_link(client->server))->keepalive_usec &&
	       now - stats.answered_usec_ago > client->lost_usec;
}

/* Whether this pass has begun with it already, before its name was looked up. */
static bool is_repetition(struct client *client, const struct client_target *target)
{
	bool tried = vs_addr_is_set(&client->tried) && vs_addr_equal(&client->tried, &target->server) &&
		     client->target.carrier == target->carrier;
	client->tried = (struct vs_addr){ 0 };
	return tried;
}

/* The next address in the order of servers, by the carrier whose turn it is. False: a name is being looked up, and no
 * server is known. */
static bool next_target(struct client *client, uint64_t now, struct client_target *target)
{
	target->carrier = vs_carrier_choice_kind(&client->choice);
	while (!client->lookup && vs_targets_next(&client->targets, &target->server))
		if (!is_repetition(client, target))
			return true;
	count_passes(client);
	if (!client->lookup && now >= client->resolve_from_usec)
		resolve(client, now);
	/* While a name is looked up, or cannot be: where it worked last. */
	target->carrier = vs_carrier_choice_kind(&client->choice);
	target->server = client->tried = client->last_good;
	return vs_addr_is_set(&target->server);
}

/* Whether the link is to be renewed where it is. */
static bool link_stays(const struct client *client, uint64_t now)
{
	enum vs_carrier_kind kind = vs_link_path(vs_wport_link(client->server))->carrier;
	return client_link_works(client, now) && vs_carrier_choice_has(&client->choice, kind);
}

/* Makes the attempt that is due; or none, while a name is looked up. */
static void dial(struct client *client, uint64_t now)
{
	struct client_target target;
	if (client->same_again) {
		struct vs_path path = client->attempt;
		client->same_again = false;
		client_attempt(client, &path);
	} else if (!link_stays(client, now)) {
		if (next_target(client, now, &target))
			client_approach(client, &target);
		else
			client_set_dial_timer(client);
	} else if (client_next_better(client, now, &target)) {
		client_approach(client, &target);
	} else {
		struct vs_path path = *vs_link_path(vs_wport_link(client->server));
		client->target = (struct client_target){ .server = client->last_good, .carrier = path.carrier };
		client_attempt(client, &path);
	}
}

static void on_dial_timer(void *arg, uint64_t now)
{
	struct client *client = arg;
	uint64_t from = VS_MAX(client->not_before_usec, client->connect_from_usec);
	if (!client->connecting && vs_initiator_deadline(client->initiator) <= now && from <= now)
		dial(client, now);
	else
		client_set_dial_timer(client);
}

/* --- Events --- */

/* How long a server wants to be left alone after it has ended the link. */
static uint64_t patience(uint8_t reason)
{
	switch (reason) {
	case VS_CLOSE_SHUTDOWN:
	case VS_CLOSE_ERROR:
		return 500 * VS_MSEC;
	case VS_CLOSE_KICKED:
		return 5 * VS_SEC;
	default:
		/* REVOKED, REPLACED: somebody has decided so, or another machine has this key. */
		return 30 * VS_SEC;
	}
}

static void link_ended(struct client *client, uint8_t reason)
{
	uint64_t delay = patience(reason);
	client_complain(client, "the link has ended: %s; next attempt in %.1f s", vs_close_reason_text(reason),
			(double)delay / (double)VS_SEC);
	if (reason == VS_CLOSE_ERROR) {
		vs_link_close(vs_wport_link(client->server), reason);
		vs_wport_flush(client->server);
	}
	vs_link_end(vs_wport_link(client->server));
	vs_wport_touch(client->server);
	client_set_up(client, false);
	vs_initiator_forget(client->initiator);
	client_restart_targets(client);
	vs_carrier_choice_lost(&client->choice, VS_LOSS_BROKEN, vs_loop_now(client->loop));
	client->not_before_usec = vs_loop_now(client->loop) + delay;
	client_dial(client);
}

void client_redial(struct client *client)
{
	/* Once for each loss: what follows is the passes over carriers and servers. */
	if (!client->lost_usec) {
		client->lost_usec = vs_loop_now(client->loop);
		client_restart_targets(client);
		client_link_lost(client);
	}
	client_dial(client);
}

void client_link_events(void *arg, struct vs_wport *port, unsigned events)
{
	struct client *client = arg;
	(void)port;
	if (events & VS_LINK_CLOSED) {
		link_ended(client, vs_link_close_reason(vs_wport_link(client->server)));
		return;
	}
	if (events & VS_LINK_ERROR) {
		link_ended(client, VS_CLOSE_ERROR);
		return;
	}
	if (events & VS_LINK_UP)
		client_set_up(client, true);
	if (events & VS_LINK_TIMED_OUT && client->up) {
		client_complain(client, "nothing heard from the server for a minute");
		vs_link_end(vs_wport_link(client->server));
		vs_wport_touch(client->server);
		client_set_up(client, false);
	}
	if (events & VS_LINK_WANT_HANDSHAKE && !client_leave_trial(client)) {
		if (events & VS_LINK_SILENT)
			client_redial(client);
		else
			client_dial(client);
	}
	if (client->up)
		client_check_route(client, &vs_link_path(vs_wport_link(client->server))->peer);
}

void client_carrier_error(void *arg, const struct vs_carrier_error *error)
{
	struct client *client = arg;
	uint64_t now = vs_loop_now(client->loop);
	if (error->error == ECONNRESET || error->error == ESHUTDOWN) {
		client_conn_reset(client, error);
		return;
	}
	/* Anybody can forge it, so it is only a hint, and a handshake every second is all that it can cause. */
	if (error->error != ECONNREFUSED || now < client->refused_usec + REFUSED_INTERVAL)
		return;
	client->refused_usec = now;
	client_dial(client);
}

/* --- Life --- */

static struct vs_initiator *new_initiator(const struct client *client)
{
	struct vs_initiator_config config = { .crypto = vs_crypto_default(), .offer = vs_offer_default() };
	memcpy(config.private_key, client->config.identity.private_key, VS_KEY_SIZE);
	memcpy(config.server_key, client->config.server_public_key, VS_KEY_SIZE);
	memcpy(config.psk, client->config.preshared_key, VS_KEY_SIZE);
	vs_random(config.offer.link_id, sizeof(config.offer.link_id));
	config.offer.mtu = (uint16_t)client->config.tap.mtu;
	config.offer.has_aes = vs_cpu_has_aes();
	config.offer.protections = vs_protections_from((enum vs_protection)client->config.weakest_cipher);
	strncpy(config.offer.program, "vswitchc " VS_VERSION, VS_PROGRAM_MAX);
	struct vs_initiator *initiator = vs_initiator_new(&config);
	vs_wipe(&config, sizeof(config));
	return initiator;
}

int client_dial_init(struct client *client)
{
	client->pending_index = CLIENT_NO_INDEX;
	vs_targets_init(&client->targets, &client->config.server_addr);
	client->initiator = new_initiator(client);
	if (!client->initiator) {
		vs_error("the keys are not usable, or memory is out");
		return -EINVAL;
	}
	int err = client_carrier_init(client);
	if (err == 0)
		err = vs_timer_init(&client->dial_timer, client->loop, on_dial_timer, client);
	if (err < 0) {
		vs_error("timer: %s", strerror(-err));
		client_carrier_fini(client);
		vs_initiator_free(client->initiator);
		client->initiator = NULL;
	}
	return err;
}

void client_dial_fini(struct client *client)
{
	if (!client->initiator)
		return;
	vs_lookup_cancel(client->lookup);
	client_carrier_fini(client);
	vs_timer_fini(&client->dial_timer);
	vs_initiator_free(client->initiator);
}
