/* Reload: the difference between the configuration in force and the file as it is now. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "vswitchs/server_state.h"

static void note(json_t *changes, const char *kind, const char *name)
{
	json_array_append_new(json_object_get(changes, kind), json_string(name));
}

static void reload_members(struct server *server, const struct vs_server_config *fresh, json_t *changes)
{
	struct member *member;
	/* Removals first: a key may have moved to another section. */
	VS_LIST_FOREACH(&server->members, member, struct member, node) {
		if (vs_server_config_port(fresh, member->config.name))
			continue;
		note(changes, "removed", member->config.name);
		server_remove_member(member, VS_CLOSE_REVOKED);
	}
	VS_LIST_FOREACH(&server->members, member, struct member, node) {
		const struct vs_server_port_config *port = vs_server_config_port(fresh, member->config.name);
		if (memcmp(port->public_key, member->config.public_key, VS_KEY_SIZE) != 0)
			server_forget_key(member);
	}
	for (size_t i = 0; i < fresh->n_ports; i++) {
		const struct vs_server_port_config *port = &fresh->ports[i];
		member = server_find_member(server, port->name);
		if (!member) {
			if (server_add_member(server, port) == 0)
				note(changes, "added", port->name);
		} else if (!vs_server_port_equal(&member->config, port)) {
			note(changes, "changed", port->name);
			server_change_member(member, port);
		}
	}
}

static void reload_taps(struct server *server, const struct vs_server_config *fresh, json_t *changes)
{
	struct server_tap *tap;
	VS_LIST_FOREACH(&server->taps, tap, struct server_tap, node) {
		const struct vs_server_tap_config *config = vs_server_config_tap(fresh, tap->config.name);
		if (tap->port && config && vs_server_tap_equal(&tap->config, config)) {
			if (!vs_vlan_config_equal(&tap->config.vlans, &config->vlans))
				note(changes, "changed", config->name);
			server_change_tap_vlans(tap, config);
			continue;
		}
		note(changes, config ? "changed" : "removed", tap->config.name);
		server_remove_tap(tap);
	}
	for (size_t i = 0; i < fresh->n_taps; i++) {
		if (server_find_tap(server, fresh->taps[i].name))
			continue;
		if (server_add_tap(server, &fresh->taps[i]) == 0)
			note(changes, "added", fresh->taps[i].name);
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
	json_t *changes = json_pack("{s:[], s:[], s:[], s:[]}", "added", "changed", "removed", "restart");
	const char *fixed = vs_server_config_fixed_change(&server->config, &fresh);
	if (fixed)
		note(changes, "restart", fixed);
	reload_members(server, &fresh, changes);
	reload_taps(server, &fresh, changes);
	vs_bridge_set_aging(vs_worker_bridge(server->worker), fresh.mac_aging_usec, vs_loop_now(server->loop));
	server_open_log(server, &fresh.log);
	vs_info("reloaded %s", server->config_path);
	vs_server_config_fini(&server->config);
	server->config = fresh;
	return changes;
}
