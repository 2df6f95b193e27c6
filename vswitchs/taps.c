/* TAP devices of the server's own: [tap NAME]. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "vswitchs/server_state.h"

static struct vs_port_config port_config(const struct vs_server_tap_config *tap)
{
	struct vs_port_config config = VS_PORT_CONFIG_DEFAULT;
	snprintf(config.name, sizeof(config.name), "%s", tap->name);
	config.vlan = vs_vlan_config_rule(&tap->vlans);
	config.isolated = tap->vlans.isolate;
	return config;
}

static int open_tap(struct server_tap *tap)
{
	struct server *server = tap->server;
	struct vs_fault fault;
	int fd = vs_broker_open_tap(server->broker, tap->config.name, &fault);
	if (fd < 0) {
		vs_error("[tap %s]: %s", tap->config.name, fault.text);
		return fd;
	}
	struct vs_port_config config = port_config(&tap->config);
	int err = vs_worker_add_tap(server->worker, fd, tap->config.tap.mtu, &config, tap, &tap->port);
	if (err < 0) {
		vs_error("[tap %s]: %s", tap->config.name, strerror(-err));
		return err;
	}
	err = vs_broker_tap_up(server->broker, tap->config.name, &fault);
	if (err < 0)
		vs_error("[tap %s]: %s", tap->config.name, fault.text);
	vs_info("%s: TAP device %s is up", tap->config.name, tap->config.tap.device);
	return 0;
}

int server_add_tap(struct server *server, const struct vs_server_tap_config *config)
{
	struct server_tap *tap = calloc(1, sizeof(*tap));
	if (!tap) {
		vs_error("[tap %s]: %s", config->name, strerror(ENOMEM));
		return -ENOMEM;
	}
	tap->server = server;
	tap->config = *config;
	int err = open_tap(tap);
	if (err < 0) {
		free(tap);
		return err;
	}
	vs_list_append(&server->taps, &tap->node);
	return 0;
}

void server_remove_tap(struct server_tap *tap)
{
	struct vs_fault fault;
	vs_worker_remove(tap->server->worker, tap->port);
	int err = vs_broker_close_tap(tap->server->broker, tap->config.name, &fault);
	if (err < 0)
		vs_warn("[tap %s]: %s", tap->config.name, fault.text);
	vs_list_remove(&tap->node);
	free(tap);
}

struct server_tap *server_find_tap(const struct server *server, const char *name)
{
	struct server_tap *tap;
	VS_LIST_FOREACH(&server->taps, tap, struct server_tap, node)
		if (strcmp(tap->config.name, name) == 0)
			return tap;
	return NULL;
}

void server_change_tap_vlans(struct server_tap *tap, const struct vs_server_tap_config *config)
{
	tap->config = *config;
	if (!tap->port)
		return;
	struct vs_port_config port = port_config(config);
	int err = vs_bridge_port_configure(vs_worker_bridge(tap->server->worker), vs_wport_id(tap->port), &port,
					   vs_loop_now(tap->server->loop));
	if (err < 0)
		vs_error("[tap %s]: %s", config->name, strerror(-err));
}

void server_tap_gone(void *arg, struct vs_wport *port, int error)
{
	struct server *server = arg;
	struct server_tap *tap = vs_wport_user(port);
	vs_error("%s: TAP device %s is gone (%s); a reload makes it anew", tap->config.name, tap->config.tap.device,
		 strerror(error));
	vs_worker_remove(server->worker, port);
	tap->port = NULL;
}
