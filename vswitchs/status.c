/* What the control socket tells. */
#include <string.h>

#include "io/key.h"
#include "io/link_status.h"
#include "vswitchs/server_state.h"

static double seconds_since(const struct server *server, uint64_t usec)
{
	return (double)vs_time_since(vs_loop_now(server->loop), usec) / (double)VS_SEC;
}

static void set_integer(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

/* --- status --- */

static json_t *listen_json(const struct server *server)
{
	json_t *list = json_array();
	char text[VS_ADDR_TEXT_MAX];
	for (size_t i = 0; i < server->n_listen; i++)
		json_array_append_new(list, json_string(vs_addr_format(&server->listen[i], text)));
	return list;
}

/* null: it does not listen for this carrier. */
static json_t *conn_port_json(const struct server *server, enum vs_carrier_kind kind,
			      const struct vs_server_conn_port *port)
{
	return server->carriers & VS_CARRIER_BIT(kind) ? json_integer(port->port) : json_null();
}

static json_t *carrier_json(const struct vs_carrier_stats *carrier)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "tx_datagrams", (json_int_t)carrier->tx_datagrams,
			 "tx_calls", (json_int_t)carrier->tx_calls, "tx_blocked", (json_int_t)carrier->tx_blocked,
			 "tx_failed", (json_int_t)carrier->tx_failed, "rx_datagrams",
			 (json_int_t)carrier->rx_datagrams, "rx_calls", (json_int_t)carrier->rx_calls);
}

/* Of all workers, and a list with one entry for each. */
static void add_worker_stats(struct server *server, struct vs_worker_stats *sum, json_t *list)
{
	*sum = (struct vs_worker_stats){ 0 };
	for (unsigned i = 0; i < vs_datapath_workers(server->datapath); i++) {
		struct vs_worker_stats worker;
		vs_datapath_stats(server->datapath, i, &worker);
		vs_worker_stats_add(sum, &worker);
		json_array_append_new(list, json_pack("{s:i, s:I, s:I, s:o}", "sessions", (int)worker.sessions,
						      "pool_bytes", (json_int_t)worker.pool.bytes, "pool_max",
						      (json_int_t)worker.pool.bytes_max, "carrier",
						      carrier_json(&worker.carrier)));
	}
}

static json_t *status_json(struct server *server)
{
	struct vs_worker_stats sum;
	struct vs_mactable_stats macs;
	struct vs_mactable *table = vs_bridge_macs(vs_datapath_bridge(server->datapath));
	json_t *workers = json_array();
	add_worker_stats(server, &sum, workers);
	vs_mactable_age(table, vs_loop_now(server->loop));
	vs_mactable_stats(table, &macs);

	unsigned up = 0, total = 0;
	struct member *member;
	VS_LIST_FOREACH(&server->members, member, struct member, node) {
		up += member->up > 0;
		total++;
	}
	struct server_tap *tap;
	VS_LIST_FOREACH(&server->taps, tap, struct server_tap, node) {
		up += tap->port != NULL;
		total++;
	}
	struct vs_drops drops = sum.bridge.drops;
	vs_drops_add(&drops, &sum.drops);
	vs_drops_add(&drops, &server->handshake_drops);

	char key[VS_KEY_TEXT_SIZE];
	json_t *status = json_pack("{s:s, s:f, s:o, s:s}", "version", VS_VERSION, "uptime_sec",
				   seconds_since(server, server->started_usec), "listen", listen_json(server),
				   "public_key", vs_key_format(vs_responder_public_key(server->responder), key));
	json_object_set_new(status, "faketcp_port",
			    conn_port_json(server, VS_CARRIER_FAKETCP, &server->config.faketcp_port));
	json_object_set_new(status, "tcp_port", conn_port_json(server, VS_CARRIER_TCP, &server->config.tcp_port));
	set_integer(status, "ports_up", up);
	set_integer(status, "ports_total", total);
	set_integer(status, "macs", macs.entries);
	set_integer(status, "macs_max", server->config.mac_entries);
	set_integer(status, "mac_moves", macs.moved);
	set_integer(status, "mac_evictions", macs.evicted);
	set_integer(status, "flooded", sum.bridge.flooded);
	set_integer(status, "unicast", sum.bridge.unicast);
	set_integer(status, "handshakes", server->accepted);
	set_integer(status, "sessions", sum.sessions);
	set_integer(status, "pool_bytes", sum.pool.bytes);
	set_integer(status, "pool_max", sum.pool.bytes_max);
	json_object_set_new(status, "carrier", carrier_json(&sum.carrier));
	json_object_set_new(status, "workers", workers);
	json_object_set_new(status, "drops", vs_control_drops(&drops));
	return status;
}

/* --- ports --- */

static json_t *vlan_json(const struct vs_vlan_config *vlans)
{
	char text[1024];
	if (vlans->vlan)
		return json_integer(vlans->vlan);
	vs_vlan_set_format(&vlans->trunk, text, sizeof(text));
	return text[0] ? json_sprintf("trunk %s", text) : json_null();
}

static void add_port(json_t *row, const struct server *server, const struct vs_dport *port,
		     const struct vs_port_counters *counters, struct vs_drops *drops)
{
	struct vs_mactable_stats macs;
	vs_mactable_port_stats(vs_bridge_macs(vs_datapath_bridge(server->datapath)), vs_dport_id(port), &macs);
	/* As the member sees it: what it sends, the switch receives. */
	set_integer(row, "rx_frames", counters->frames_in);
	set_integer(row, "rx_bytes", counters->bytes_in);
	set_integer(row, "tx_frames", counters->frames_out);
	set_integer(row, "tx_bytes", counters->bytes_out);
	set_integer(row, "id", vs_dport_id(port));
	set_integer(row, "worker", vs_dport_worker(port));
	set_integer(row, "macs", macs.entries);
	vs_drops_add(drops, &counters->drops);
}

static void add_arq(json_t *row, const struct vs_arq_tx_stats *arq, const struct vs_queue_stats *queue)
{
	json_object_set_new(
		row, "arq",
		json_pack("{s:I, s:I, s:I, s:I, s:I, s:i}", "segments", (json_int_t)arq->segments, "retransmitted",
			  (json_int_t)arq->retransmitted, "lost", (json_int_t)arq->lost, "spurious",
			  (json_int_t)arq->spurious, "skipped", (json_int_t)arq->skipped, "lanes",
			  (int)arq->lanes_used));
	json_object_set_new(row, "queue",
			    json_pack("{s:i, s:i, s:I, s:I, s:I}", "frames", (int)queue->frames, "bytes",
				      (int)queue->bytes, "delay_usec", (json_int_t)queue->delay_usec, "ecn_marked",
				      (json_int_t)queue->ecn_marked, "codel", (json_int_t)queue->dropped_codel));
}

static void add_link(json_t *row, const struct vs_dport_view *view, struct vs_drops *drops)
{
	const struct vs_link_stats *stats = &view->stats;
	char text[VS_ADDR_TEXT_MAX];
	json_object_set_new(row, "address", json_string(vs_addr_format(&view->path.peer, text)));
	json_object_set_new(row, "carrier", json_string(vs_carrier_name(view->path.carrier)));
	json_object_set_new(row, "cipher", json_string(stats->cipher));
	vs_link_status_add(row, &view->params, stats, false);
	json_object_set_new(row, "loss", json_real((double)stats->loss_q16 / 65536.0));
	json_object_set_new(row, "congestion", json_string(stats->congestion));
	set_integer(row, "rtt_usec", stats->srtt_usec);
	set_integer(row, "datagram", stats->datagram);
	set_integer(row, "bandwidth_bps", stats->bandwidth_bps);
	set_integer(row, "handshakes", stats->handshakes);
	set_integer(row, "moves", stats->moves);
	add_arq(row, &stats->arq_tx, &stats->queue);
	vs_drops_add(drops, &view->drops);
}

static json_t *client_json(const struct server *server, const struct client *client)
{
	struct vs_drops drops = { 0 };
	struct vs_dport_view view;
	vs_dport_view(client->port, &view);
	json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:f}", "name", client->name, "kind", "client", "state", "up",
				"program", client->program, "since_sec", seconds_since(server, client->since_usec));
	add_port(row, server, client->port, &view.counters, &drops);
	add_link(row, &view, &drops);
	json_object_set_new(row, "vlan", vlan_json(&client->member->config.vlans));
	json_object_set_new(row, "drops", vs_control_drops(&drops));
	return row;
}

static void add_member(json_t *rows, const struct server *server, const struct member *member)
{
	const struct client *client;
	VS_LIST_FOREACH(&member->clients, client, struct client, node)
		if (client->up)
			json_array_append_new(rows, client_json(server, client));
	if (member->up)
		return;
	json_t *row = json_pack("{s:s, s:s, s:s, s:o}", "name", member->config.name, "kind", "client", "state",
				"waiting", "vlan", vlan_json(&member->config.vlans));
	if (member->seen_usec)
		json_object_set_new(row, "seen_sec", json_real(seconds_since(server, member->seen_usec)));
	json_array_append_new(rows, row);
}

static json_t *tap_json(const struct server *server, const struct server_tap *tap)
{
	struct vs_drops drops = { 0 };
	struct vs_dport_view view;
	const char *state = tap->port ? "up" : tap->give_up_usec ? "waiting" : "gone";
	json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:o}", "name", tap->config.name, "kind", "tap", "state", state,
				"address", tap->config.tap.device, "vlan", vlan_json(&tap->config.vlans));
	if (tap->port) {
		vs_dport_view(tap->port, &view);
		add_port(row, server, tap->port, &view.counters, &drops);
	} else {
		json_object_set_new(row, "why", json_string(tap->fault.text));
	}
	json_object_set_new(row, "drops", vs_control_drops(&drops));
	return row;
}

static const char *protocol_name(const struct server_listen *listen)
{
	return listen->config.protocol == VS_PLAIN_KCP ? "kcp" : "tcp";
}

static json_t *plain_json(const struct server *server, const struct plain_peer *peer)
{
	char text[VS_ADDR_TEXT_MAX];
	struct vs_drops drops = { 0 };
	struct vs_dport_view view;
	vs_dport_view(peer->port, &view);
	const struct vs_plain_stats *stats = &view.plain.stats;
	json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:f}", "name", peer->name, "kind", protocol_name(peer->listen),
				"state", peer->up ? "up" : "waiting", "address", vs_addr_format(&peer->addr, text),
				"cipher", "none", "since_sec", seconds_since(server, peer->since_usec));
	add_port(row, server, peer->port, &view.counters, &drops);
	if (peer->listen->config.protocol == VS_PLAIN_KCP) {
		set_integer(row, "rtt_usec", stats->srtt_usec);
		set_integer(row, "bandwidth_bps", stats->bandwidth_bps);
		set_integer(row, "window", stats->window);
	}
	add_arq(row, &stats->arq_tx, &stats->queue);
	vs_drops_add(&drops, &view.plain.drops);
	json_object_set_new(row, "vlan", vlan_json(&peer->listen->config.vlans));
	json_object_set_new(row, "drops", vs_control_drops(&drops));
	return row;
}

/* Each plain peer; for a listener without any, itself. */
static void add_listen(json_t *rows, const struct server *server, const struct server_listen *listen)
{
	const struct plain_peer *peer;
	VS_LIST_FOREACH(&listen->peers, peer, struct plain_peer, node)
		json_array_append_new(rows, plain_json(server, peer));
	if (listen->n_peers)
		return;
	json_t *row = json_pack("{s:s, s:s, s:s, s:o}", "name", listen->config.name, "kind", protocol_name(listen),
				"state", listen->n_sockets ? "listening" : "gone", "vlan",
				vlan_json(&listen->config.vlans));
	if (!listen->n_sockets)
		json_object_set_new(row, "why", json_string(listen->fault.text));
	json_array_append_new(rows, row);
}

static json_t *ports_json(const struct server *server)
{
	json_t *rows = json_array();
	const struct member *member;
	VS_LIST_FOREACH(&server->members, member, struct member, node)
		add_member(rows, server, member);
	const struct server_tap *tap;
	VS_LIST_FOREACH(&server->taps, tap, struct server_tap, node)
		json_array_append_new(rows, tap_json(server, tap));
	const struct server_listen *listen;
	VS_LIST_FOREACH(&server->listens, listen, struct server_listen, node)
		add_listen(rows, server, listen);
	return json_pack("{s:o}", "ports", rows);
}

/* --- macs --- */

static json_t *macs_json(const struct server *server)
{
	struct vs_bridge *bridge = vs_datapath_bridge(server->datapath);
	json_t *rows = json_array();
	struct vs_mac_entry entry;
	uint32_t cursor = 0;
	while (vs_mactable_next(vs_bridge_macs(bridge), vs_loop_now(server->loop), &cursor, &entry)) {
		char mac[VS_MAC_TEXT_SIZE];
		const struct vs_port *port = vs_porttable_get(vs_bridge_ports(bridge), entry.place.port);
		const char *name = port ? vs_port_config_of(port)->name : "-";
		json_array_append_new(rows, json_pack("{s:s, s:i, s:s, s:f}", "mac", vs_mac_format(&entry.mac, mac),
						      "vlan", (int)entry.vlan, "port", name, "age_sec",
						      (double)entry.age_usec / (double)VS_SEC));
	}
	return json_pack("{s:o}", "macs", rows);
}

/* --- kick, and all verbs --- */

/* All links of a member, or that of one port, where a member has several. */
static json_t *kick(struct server *server, const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "name")), *why = "ended by an operator";
	struct member *member = name ? server_find_member(server, name) : NULL;
	if (name && !member && server_kick_port(server, name, VS_CLOSE_KICKED, why))
		return json_pack("{s:i}", "kicked", 1);
	if (name && !member && server_kick_plain(server, name))
		return json_pack("{s:i}", "kicked", 1);
	if (!member)
		return vs_control_refuse("there is no [port %s]", name ? name : "");
	if (!member->up)
		return vs_control_refuse("%s is not connected", name);
	return json_pack("{s:i}", "kicked", (int)server_kick(member, VS_CLOSE_KICKED, why));
}

json_t *server_control(json_t *request, void *arg)
{
	struct server *server = arg;
	const char *verb = json_string_value(json_object_get(request, "verb"));
	if (!verb)
		return vs_control_refuse("the request has no verb");
	if (strcmp(verb, "status") == 0)
		return status_json(server);
	if (strcmp(verb, "ports") == 0)
		return ports_json(server);
	if (strcmp(verb, "macs") == 0)
		return macs_json(server);
	if (strcmp(verb, "kick") == 0)
		return kick(server, request);
	if (strcmp(verb, "reload") == 0)
		return server_reload(server);
	return vs_control_refuse("no verb '%s'", verb);
}
