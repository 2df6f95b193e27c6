/* Reload: the difference between the configuration in force and the file as it is now. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "vswitchs/server_state.h"

static void note(json_t *changes, const char *kind, const char *name)
{
	json_array_append_new(json_object_get(changes, kind), json_string(name));
}

static void note_failure(json_t *changes, const char *name, const char *why)
{
	json_array_append_new(json_object_get(changes, "failed"), json_pack("{s:s, s:s}", "name", name, "why", why));
}

/* Notes `kind` of a port, or why it could not be done. */
static void note_member(json_t *changes, const char *kind, const char *name, int err)
{
	if (err < 0)
		note_failure(changes, name, strerror(-err));
	else
		note(changes, kind, name);
}

/* Notes `kind` of a TAP; also that its device is yet to come, or why it cannot be made. */
static void note_tap(json_t *changes, const char *kind, const struct server_tap *tap, int err)
{
	if (err < 0 && err != -EAGAIN) {
		note_failure(changes, tap->config.name, tap->fault.text);
		return;
	}
	note(changes, kind, tap->config.name);
	if (err == -EAGAIN)
		note(changes, "pending", tap->config.name);
}

/* --- Members --- */

/* What a member's clients are told when the configuration ends their links. They stay away for a while if their key is
 * revoked, but come back at once if it counts, be it for another port. */
static uint8_t parting_reason(const struct vs_server_config *fresh, const struct member *member)
{
	return vs_server_config_port_by_key(fresh, member->config.public_key) ? VS_CLOSE_SHUTDOWN : VS_CLOSE_REVOKED;
}

static void remove_member(const struct vs_server_config *fresh, struct member *member)
{
	if (parting_reason(fresh, member) == VS_CLOSE_SHUTDOWN)
		server_kick(member, VS_CLOSE_SHUTDOWN, "its key is another port's now");
	server_remove_member(member, VS_CLOSE_REVOKED);
}

static void add_or_change_member(struct server *server, const struct vs_server_config *fresh,
				 const struct vs_server_port_config *port, json_t *changes)
{
	struct member *member = server_find_member(server, port->name);
	if (!member) {
		note_member(changes, "added", port->name, server_add_member(server, port));
	} else if (!vs_server_port_equal(&member->config, port)) {
		uint8_t reason = parting_reason(fresh, member);
		note_member(changes, "changed", port->name, server_change_member(member, port, reason));
	}
}

static void reload_members(struct server *server, const struct vs_server_config *fresh, json_t *changes)
{
	struct member *member;
	/* Removals first: a key may have moved to another section. */
	VS_LIST_FOREACH(&server->members, member, struct member, node) {
		if (vs_server_config_port(fresh, member->config.name))
			continue;
		note(changes, "removed", member->config.name);
		remove_member(fresh, member);
	}
	VS_LIST_FOREACH(&server->members, member, struct member, node) {
		const struct vs_server_port_config *port = vs_server_config_port(fresh, member->config.name);
		if (memcmp(port->public_key, member->config.public_key, VS_KEY_SIZE) != 0)
			server_forget_key(member);
	}
	for (size_t i = 0; i < fresh->n_ports; i++)
		add_or_change_member(server, fresh, &fresh->ports[i], changes);
}

/* --- TAPs --- */

/* What the fresh configuration takes from the TAP that is there: nothing, its VLANs, its device, or all of it. */
static void prepare_tap(struct server_tap *tap, const struct vs_server_tap_config *config, json_t *changes)
{
	if (!config) {
		note(changes, "removed", tap->config.name);
		server_remove_tap(tap);
	} else if (!vs_server_tap_equal(&tap->config, config)) {
		server_close_tap(tap);
		tap->config = *config;
	} else {
		if (tap->port && !vs_vlan_config_equal(&tap->config.vlans, &config->vlans))
			note(changes, "changed", config->name);
		if (!tap->port && !tap->give_up_usec)
			server_close_tap(tap);
		server_change_tap_vlans(tap, config);
	}
}

/* Devices are given up before any is made: two sections may exchange theirs. */
static void reload_taps(struct server *server, const struct vs_server_config *fresh, json_t *changes)
{
	struct server_tap *tap;
	VS_LIST_FOREACH(&server->taps, tap, struct server_tap, node)
		prepare_tap(tap, vs_server_config_tap(fresh, tap->config.name), changes);
	VS_LIST_FOREACH(&server->taps, tap, struct server_tap, node)
		if (!tap->port)
			note_tap(changes, "changed", tap, tap->give_up_usec ? -EAGAIN : server_open_tap(tap));
	for (size_t i = 0; i < fresh->n_taps; i++) {
		const char *name = fresh->taps[i].name;
		if (server_find_tap(server, name))
			continue;
		int err = server_add_tap(server, &fresh->taps[i]);
		tap = server_find_tap(server, name);
		if (tap)
			note_tap(changes, "added", tap, err);
		else
			note_failure(changes, name, strerror(-err));
	}
}

/* --- Listeners --- */

static void note_listen(json_t *changes, const char *kind, const struct server_listen *listen, int err)
{
	if (err < 0)
		note_failure(changes, listen->config.name, listen->fault.text);
	else
		note(changes, kind, listen->config.name);
}

static void prepare_listen(struct server_listen *listen, const struct vs_server_listen_config *config, json_t *changes)
{
	if (!config) {
		note(changes, "removed", listen->config.name);
		server_remove_listen(listen);
	} else if (!vs_server_listen_equal(&listen->config, config) && server_change_listen(listen, config)) {
		note(changes, "changed", config->name);
	}
}

/* Ports are given up before any is taken: two sections may exchange theirs. */
static void reload_listens(struct server *server, const struct vs_server_config *fresh, json_t *changes)
{
	struct server_listen *listen;
	VS_LIST_FOREACH(&server->listens, listen, struct server_listen, node)
		prepare_listen(listen, vs_server_config_listen(fresh, listen->config.name), changes);
	VS_LIST_FOREACH(&server->listens, listen, struct server_listen, node)
		if (!listen->n_sockets)
			note_listen(changes, "changed", listen, server_open_listen(listen));
	for (size_t i = 0; i < fresh->n_listens; i++) {
		const char *name = fresh->listens[i].name;
		if (server_find_listen(server, name))
			continue;
		int err = server_add_listen(server, &fresh->listens[i]);
		listen = server_find_listen(server, name);
		if (listen)
			note_listen(changes, "added", listen, err);
		else
			note_failure(changes, name, strerror(-err));
	}
}

/* --- [common] --- */

static void reload_log(struct server *server, const struct vs_log_config *config, json_t *changes)
{
	struct vs_log_opener opener = vs_broker_log_opener(server->broker);
	int err = vs_logsink_open(config, "vswitchs", &opener);
	if (err == 0)
		return;
	vs_error("log to %s: %s; the one before goes on", vs_logsink_target(config), strerror(-err));
	note_failure(changes, "log", strerror(-err));
}

static void note_fixed_changes(const struct server *server, const struct vs_server_config *fresh, json_t *changes)
{
	const char *keys[VS_SERVER_FIXED_MAX];
	size_t n = vs_server_config_fixed_changes(&server->config, fresh, keys);
	for (size_t i = 0; i < n; i++) {
		note(changes, "restart", keys[i]);
		vs_warn("%s has changed, which takes effect at the next start", keys[i]);
	}
}

/* Reads the file through the broker, which at the same time takes over what the new file grants. */
static int read_config(struct server *server, struct vs_server_config *fresh, struct vs_complaints *complaints)
{
	struct vs_opener opener = vs_broker_opener(server->broker);
	return vs_server_config_load(fresh, server->config_path, &opener, complaints);
}

/* All complaints, a line each, as the person who asked for the reload is to see them. */
static json_t *refuse(const struct vs_complaints *complaints)
{
	char text[VS_COMPLAINTS_MAX * VS_COMPLAINT_TEXT_MAX], *at = text;
	for (size_t i = 0; i < complaints->n; i++) {
		vs_complaint_format(complaints, i, at);
		at += strlen(at);
		*at++ = '\n';
	}
	*at = '\0';
	return vs_control_refuse("%sthe configuration in force stays as it is", text);
}

json_t *server_reload(struct server *server)
{
	struct vs_server_config fresh;
	struct vs_complaints complaints;
	vs_complaints_init(&complaints, server->config_path);
	if (read_config(server, &fresh, &complaints) < 0) {
		vs_server_config_fini(&fresh);
		vs_complaints_log(&complaints);
		vs_error("the configuration in force stays as it is");
		return refuse(&complaints);
	}
	json_t *changes = json_pack("{s:[], s:[], s:[], s:[], s:[], s:[]}", "added", "changed", "removed", "pending",
				    "failed", "restart");
	note_fixed_changes(server, &fresh, changes);
	reload_members(server, &fresh, changes);
	reload_taps(server, &fresh, changes);
	reload_listens(server, &fresh, changes);
	vs_bridge_set_aging(vs_datapath_bridge(server->datapath), fresh.mac_aging_usec, vs_loop_now(server->loop));
	reload_log(server, &fresh.log, changes);
	vs_server_config_adopt(&server->config, &fresh);
	vs_server_config_fini(&fresh);
	vs_info("reloaded %s", server->config_path);
	return changes;
}
