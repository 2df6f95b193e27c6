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

/* One attempt; tap->fault says why it failed. */
static int make_device(struct server_tap *tap)
{
	struct server *server = tap->server;
	struct vs_fault fault;
	int fd = vs_broker_open_tap(server->broker, tap->config.name, &tap->fault);
	if (fd < 0)
		return fd;
	tap->held = true;
	struct vs_port_config config = port_config(&tap->config);
	int err = vs_datapath_add_tap(server->datapath, fd, tap->config.tap.mtu, &config, tap, &tap->port);
	if (err < 0) {
		server_close_tap(tap);
		return vs_fault(&tap->fault, err, "%s", strerror(-err));
	}
	err = vs_broker_tap_up(server->broker, tap->config.name, &fault);
	if (err < 0)
		vs_error("[tap %s]: %s", tap->config.name, fault.text);
	tap->give_up_usec = 0;
	tap->fault.text[0] = '\0';
	vs_info("%s: TAP device %s is up", tap->config.name, tap->config.tap.device);
	return 0;
}

/* --- Devices whose predecessor is still going away --- */

static void on_retry(void *arg, uint64_t now)
{
	struct server *server = arg;
	struct server_tap *tap;
	bool again = false;
	VS_LIST_FOREACH(&server->taps, tap, struct server_tap, node) {
		if (!tap->give_up_usec)
			continue;
		int err = make_device(tap);
		if (err == -EAGAIN && now < tap->give_up_usec) {
			again = true;
		} else if (err < 0) {
			tap->give_up_usec = 0;
			vs_error("[tap %s]: %s; a reload tries again", tap->config.name, tap->fault.text);
		}
	}
	if (again) {
		vs_timer_set(&server->tap_timer, vs_time_add(now, SERVER_TAP_RETRY));
		return;
	}
	vs_timer_fini(&server->tap_timer);
	server->has_tap_timer = false;
}

static int try_again_later(struct server_tap *tap)
{
	struct server *server = tap->server;
	uint64_t now = vs_loop_now(server->loop);
	int err = server->has_tap_timer ? 0 : vs_timer_init(&server->tap_timer, server->loop, on_retry, server);
	if (err < 0)
		return err;
	if (!server->has_tap_timer)
		vs_timer_set(&server->tap_timer, vs_time_add(now, SERVER_TAP_RETRY));
	server->has_tap_timer = true;
	tap->give_up_usec = vs_time_add(now, SERVER_TAP_PATIENCE);
	vs_info("%s: TAP device %s has to wait: %s", tap->config.name, tap->config.tap.device, tap->fault.text);
	return -EAGAIN;
}

/* --- TAPs --- */

int server_open_tap(struct server_tap *tap)
{
	int err = make_device(tap);
	if (err == -EAGAIN)
		err = try_again_later(tap);
	if (err < 0 && err != -EAGAIN)
		vs_error("[tap %s]: %s", tap->config.name, tap->fault.text);
	return err;
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
	vs_list_append(&server->taps, &tap->node);
	return server_open_tap(tap);
}

void server_close_tap(struct server_tap *tap)
{
	struct vs_fault fault;
	vs_dport_remove(tap->port, 0);
	tap->port = NULL;
	tap->give_up_usec = 0;
	if (tap->held && vs_broker_close_tap(tap->server->broker, tap->config.name, &fault) < 0)
		vs_warn("[tap %s]: %s", tap->config.name, fault.text);
	tap->held = false;
}

static void free_tap(struct server_tap *tap)
{
	vs_list_remove(&tap->node);
	free(tap);
}

void server_remove_tap(struct server_tap *tap)
{
	server_close_tap(tap);
	free_tap(tap);
}

void server_free_taps(struct server *server)
{
	struct server_tap *tap;
	VS_LIST_FOREACH(&server->taps, tap, struct server_tap, node) {
		vs_dport_remove(tap->port, 0);
		free_tap(tap);
	}
	if (server->has_tap_timer)
		vs_timer_fini(&server->tap_timer);
	server->has_tap_timer = false;
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
	int err = vs_dport_configure(tap->port, &port);
	if (err < 0)
		vs_error("[tap %s]: %s", config->name, strerror(-err));
}

void server_tap_gone(void *arg, struct vs_dport *port, int error)
{
	struct server_tap *tap = vs_dport_user(port);
	(void)arg;
	vs_fault(&tap->fault, -error, "TAP device %s is gone (%s)", tap->config.tap.device, strerror(error));
	vs_error("%s: %s; a reload makes it anew", tap->config.name, tap->fault.text);
	vs_dport_remove(port, 0);
	tap->port = NULL;
}
