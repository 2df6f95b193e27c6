/* Members and their clients: from the configuration's ports to the links that are up. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "link/control.h"
#include "vswitchs/server_state.h"

/* --- Clients --- */

static const char *peer_text(const struct client *client, char buf[VS_ADDR_TEXT_MAX])
{
	struct vs_dport_view view;
	vs_dport_view(client->port, &view);
	return vs_addr_format(&view.path.peer, buf);
}

static struct vs_port_config port_config(const struct member *member, const char *name)
{
	struct vs_port_config config = VS_PORT_CONFIG_DEFAULT;
	snprintf(config.name, sizeof(config.name), "%s", name);
	config.vlan = vs_vlan_config_rule(&member->config.vlans);
	config.isolated = member->config.vlans.isolate;
	config.mac_limit = member->config.mac_limit;
	return config;
}

static const struct vs_port *find_port(const struct member *member, const char *name)
{
	return vs_porttable_find(vs_bridge_ports(vs_datapath_bridge(member->server->datapath)), name);
}

/* A name for the time until the client has shown that it is alive: the member's own may still be that of a link which
 * this one replaces. */
static void choose_first_name(const struct member *member, char name[VS_PORT_NAME_SIZE])
{
	unsigned n = 1;
	do
		snprintf(name, VS_PORT_NAME_SIZE, "%s#new%u", member->config.name, n++);
	while (find_port(member, name));
}

/* The member's name, or NAME#2 ... where other clients of it have those before. */
static void choose_name(const struct client *client, char name[VS_PORT_NAME_SIZE])
{
	const struct member *member = client->member;
	const struct vs_port *port;
	snprintf(name, VS_PORT_NAME_SIZE, "%s", member->config.name);
	for (unsigned n = 2; (port = find_port(member, name)) && port->id != vs_dport_id(client->port); n++)
		snprintf(name, VS_PORT_NAME_SIZE, "%s#%u", member->config.name, n);
}

/* Configures the client's port as the member is configured, under the name that it is to have by now. */
static void configure_port(struct client *client)
{
	char name[VS_PORT_NAME_SIZE];
	memcpy(name, client->name, sizeof(name));
	if (client->up)
		choose_name(client, name);
	struct vs_port_config config = port_config(client->member, name);
	int err = vs_dport_configure(client->port, &config);
	if (err < 0)
		vs_error("%s: %s", client->name, strerror(-err));
	else
		memcpy(client->name, name, sizeof(name));
}

static struct client *new_client(struct member *member, const struct vs_offer *offer)
{
	struct server *server = member->server;
	struct client *client = calloc(1, sizeof(*client));
	if (!client)
		return NULL;
	client->member = member;
	client->pending_index = SERVER_NO_INDEX;
	client->since_usec = vs_loop_now(server->loop);
	memcpy(client->link_id, offer->link_id, sizeof(client->link_id));
	choose_first_name(member, client->name);
	struct vs_port_config config = port_config(member, client->name);
	struct vs_link_config link = {
		.crypto = vs_crypto_default(),
		.queue = VS_QUEUE_CONFIG_DEFAULT,
		.datagram_max = VS_DATAGRAM_MAX,
	};
	int err = vs_datapath_add_link(server->datapath, &link, &config, client, &client->port);
	if (err < 0) {
		VS_LOG_LIMITED(VS_LOG_WARN, "%s: no room for another client: %s", member->config.name, strerror(-err));
		free(client);
		return NULL;
	}
	vs_list_append(&member->clients, &client->node);
	return client;
}

static void drop_pending(struct client *client)
{
	if (client->pending_index != SERVER_NO_INDEX)
		vs_dport_drop_index(client->port, client->pending_index);
	client->pending_index = SERVER_NO_INDEX;
}

/* The peer is told the reason (enum vs_close_reason), unless it is 0. */
static void free_client(struct client *client, uint8_t reason)
{
	struct member *member = client->member;
	if (client->up) {
		member->up--;
		member->seen_usec = vs_loop_now(member->server->loop);
	}
	drop_pending(client);
	vs_dport_remove(client->port, reason);
	vs_list_remove(&client->node);
	free(client);
}

/* Ends the link for a reason of enum vs_close_reason, which the client is told; `why` is how we see it. */
static void end_client(struct client *client, uint8_t reason, const char *why)
{
	char peer[VS_ADDR_TEXT_MAX];
	if (client->up)
		vs_info("%s: link to %s ended: %s", client->name, peer_text(client, peer), why);
	free_client(client, client->up ? reason : 0);
}

/* Links that a member may have besides those that are up: a client that has lost its state dials with a new link id
 * while its old link is still there. */
static unsigned links_max(const struct member *member)
{
	return VS_MAX(member->config.max_clients, (uint32_t)SERVER_UNCONFIRMED_MAX);
}

/* Makes room among those that have not shown that they are alive. */
static void bound_unconfirmed(struct member *member)
{
	struct client *client, *oldest = NULL;
	unsigned n = 0;
	VS_LIST_FOREACH(&member->clients, client, struct client, node) {
		if (client->up)
			continue;
		if (!oldest)
			oldest = client;
		n++;
	}
	if (n >= links_max(member))
		free_client(oldest, 0);
}

struct client *server_client_for(struct member *member, const struct vs_offer *offer)
{
	struct client *client;
	VS_LIST_FOREACH(&member->clients, client, struct client, node)
		if (memcmp(client->link_id, offer->link_id, sizeof(client->link_id)) == 0)
			return client;
	bound_unconfirmed(member);
	client = new_client(member, offer);
	if (client)
		snprintf(client->program, sizeof(client->program), "%s", offer->program);
	return client;
}

unsigned server_kick(struct member *member, uint8_t reason, const char *why)
{
	struct client *client;
	unsigned n = 0;
	while ((client = VS_LIST_FIRST(&member->clients, struct client, node))) {
		n += client->up;
		end_client(client, reason, why);
	}
	return n;
}

static struct client *find_client(const struct member *member, const char *port_name)
{
	struct client *client;
	VS_LIST_FOREACH(&member->clients, client, struct client, node)
		if (client->up && strcmp(client->name, port_name) == 0)
			return client;
	return NULL;
}

bool server_kick_port(struct server *server, const char *port_name, uint8_t reason, const char *why)
{
	struct member *member;
	struct client *client = NULL;
	VS_LIST_FOREACH(&server->members, member, struct member, node)
		if ((client = find_client(member, port_name)))
			break;
	if (client)
		end_client(client, reason, why);
	return client != NULL;
}

/* --- Events --- */

/* The newest wins: it is the one that somebody has just started, and the oldest may be a ghost. */
static void enforce_max_clients(struct member *member, const struct client *newest)
{
	struct client *client;
	VS_LIST_FOREACH(&member->clients, client, struct client, node) {
		if (member->up <= member->config.max_clients)
			return;
		if (!client->up || client == newest)
			continue;
		struct vs_dport_view view;
		vs_dport_view(client->port, &view);
		bool silent = view.stats.heard_usec_ago > 3 * member->config.keepalive_usec;
		if (!silent)
			VS_LOG_LIMITED(VS_LOG_WARN,
				       "%s: its key is in use in two places (max_clients = %u): the newer one stays",
				       member->config.name, member->config.max_clients);
		end_client(client, VS_CLOSE_REPLACED, vs_close_reason_text(VS_CLOSE_REPLACED));
	}
}

static void client_up(struct client *client)
{
	struct member *member = client->member;
	struct vs_dport_view view;
	char peer[VS_ADDR_TEXT_MAX];
	vs_dport_view(client->port, &view);
	client->up = true;
	client->since_usec = vs_loop_now(member->server->loop);
	member->up++;
	member->connections++;
	enforce_max_clients(member, client);
	configure_port(client);
	vs_info("%s: link to %s is up, %s (%s)", client->name, vs_addr_format(&view.path.peer, peer),
		vs_cipher_text(view.params.cipher, view.params.protection), client->program);
}

static void client_lost(struct client *client, const char *why)
{
	char peer[VS_ADDR_TEXT_MAX];
	if (client->up)
		vs_info("%s: link to %s lost: %s", client->name, peer_text(client, peer), why);
	free_client(client, 0);
}

/* Whether the client's link, by older terms than the port's, is not to stay until its keys are due. */
static bool is_outdated(const struct client *client)
{
	struct vs_dport_view view;
	vs_dport_view(client->port, &view);
	return client->refused ||
	       !(client->member->config.transport.carriers & VS_CARRIER_BIT(view.path.carrier));
}

void server_link_events(void *arg, struct vs_dport *port, unsigned events)
{
	struct client *client = vs_dport_user(port);
	char peer[VS_ADDR_TEXT_MAX];
	(void)arg;
	if (events & VS_LINK_CLOSED) {
		struct vs_dport_view view;
		vs_dport_view(port, &view);
		client_lost(client, vs_close_reason_text(view.close_reason));
		return;
	}
	if (events & VS_LINK_ERROR) {
		VS_LOG_LIMITED(VS_LOG_WARN, "%s: the client has broken the protocol", client->name);
		end_client(client, VS_CLOSE_ERROR, vs_close_reason_text(VS_CLOSE_ERROR));
		return;
	}
	if (events & VS_LINK_TIMED_OUT) {
		client_lost(client, "nothing heard for a minute");
		return;
	}
	if (events & VS_LINK_UNRENEWED && is_outdated(client)) {
		end_client(client, VS_CLOSE_KICKED, "the client does not take the port's new terms");
		return;
	}
	if (events & VS_LINK_UP && !client->up)
		client_up(client);
	else if (events & VS_LINK_MOVED)
		VS_LOG_LIMITED(VS_LOG_INFO, "%s: the client is now at %s", client->name, peer_text(client, peer));
}

/* --- Members --- */

int server_add_member(struct server *server, const struct vs_server_port_config *config)
{
	struct member *member = calloc(1, sizeof(*member));
	if (!member) {
		vs_error("[port %s]: %s", config->name, strerror(ENOMEM));
		return -ENOMEM;
	}
	member->server = server;
	member->config = *config;
	vs_list_init(&member->clients);
	int err = vs_responder_set_peer(server->responder, config->public_key, config->preshared_key,
					(uintptr_t)member, config->max_clients + links_max(member));
	if (err < 0) {
		vs_error("[port %s]: %s", config->name, strerror(-err));
		vs_wipe(member, sizeof(*member));
		free(member);
		return err;
	}
	vs_list_append(&server->members, &member->node);
	return 0;
}

void server_remove_member(struct member *member, uint8_t reason)
{
	vs_responder_remove_peer(member->server->responder, member->config.public_key);
	server_kick(member, reason, reason == VS_CLOSE_SHUTDOWN ? "we are stopping" : vs_close_reason_text(reason));
	vs_list_remove(&member->node);
	vs_wipe(member, sizeof(*member));
	free(member);
}

struct member *server_find_member(const struct server *server, const char *name)
{
	struct member *member;
	VS_LIST_FOREACH(&server->members, member, struct member, node)
		if (strcmp(member->config.name, name) == 0)
			return member;
	return NULL;
}

void server_forget_key(struct member *member)
{
	vs_responder_remove_peer(member->server->responder, member->config.public_key);
}

/* Has the client ask for the new terms. A handshake that is under way still has the old ones: nothing comes of it. */
static void renew_terms(struct client *client)
{
	drop_pending(client);
	vs_dport_renew(client->port);
}

int server_change_member(struct member *member, const struct vs_server_port_config *config, uint8_t reason)
{
	struct client *client;
	uint64_t diff = vs_server_port_diff(&member->config, config);
	if (diff & VS_PORT_END_MASK)
		server_kick(member, reason,
			    reason == VS_CLOSE_SHUTDOWN ? "its configuration has changed" : vs_close_reason_text(reason));
	member->config = *config;
	int err = vs_responder_set_peer(member->server->responder, config->public_key, config->preshared_key,
					(uintptr_t)member, config->max_clients + links_max(member));
	if (err < 0) {
		vs_error("[port %s]: %s", config->name, strerror(-err));
		/* Without a key the member differs from any configuration, so that the next reload tries again. */
		server_forget_key(member);
		memset(member->config.public_key, 0, VS_KEY_SIZE);
	}
	enforce_max_clients(member, NULL);
	VS_LIST_FOREACH(&member->clients, client, struct client, node) {
		configure_port(client);
		if (diff & VS_PORT_TERMS_MASK)
			renew_terms(client);
	}
	return err;
}
