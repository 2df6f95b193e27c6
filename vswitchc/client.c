#include "vswitchc/client.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/cli.h"
#include "io/key.h"
#include "io/link_status.h"
#include "io/random.h"
#include "io/tap.h"
#include "vswitchc/client_state.h"

/* A client moves the frames of one PC: what is in flight to and from its own applications. */
#define POOL_BYTES (64u << 20)
#define MAC_ENTRIES 1024

/* --- State as people see it --- */

void client_complain(struct client *client, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(client->last_error, sizeof(client->last_error), fmt, ap);
	va_end(ap);
	VS_LOG_LIMITED(VS_LOG_WARN, "%s", client->last_error);
}

void client_set_up(struct client *client, bool up)
{
	const struct vs_link *link = vs_wport_link(client->server);
	char text[VS_ADDR_TEXT_MAX];
	if (client->up == up)
		return;
	client->up = up;
	client->since_usec = vs_loop_now(client->loop);
	vs_bridge_port_set_up(client->bridge, vs_wport_id(client->server), up);
	if (!up) {
		vs_info("the link is down");
		return;
	}
	client->last_error[0] = '\0';
	vs_info("connected to %s over %s, %s", vs_addr_format(&vs_link_path(link)->peer, text),
		client_carrier_text(vs_link_path(link)->carrier),
		vs_cipher_text(vs_link_params(link)->cipher, vs_link_params(link)->protection));
	if (vs_link_params(link)->mtu != client->config.tap.mtu)
		vs_warn("the MTU of %s is %u, the server's port says %u: large packets may not arrive",
			client->config.tap.device, client->config.tap.mtu, vs_link_params(link)->mtu);
}

/* --- Control socket --- */

static json_t *drops_json(const struct client *client)
{
	struct vs_worker_stats worker;
	const struct vs_drops *link = vs_link_drops(vs_wport_link(client->server));
	vs_worker_stats(client->worker, &worker);
	struct vs_drops drops = worker.drops;
	vs_drops_add(&drops, &worker.bridge.drops);
	vs_drops_add(&drops, link);
	vs_drops_add(&drops, &client->handshake_drops);
	return vs_control_drops(&drops);
}

static void add_link_status(json_t *status, const struct client *client, uint64_t now)
{
	const struct vs_link *link = vs_wport_link(client->server);
	struct vs_link_stats stats;
	char text[VS_ADDR_TEXT_MAX];
	vs_link_stats(link, now, &stats);
	json_object_set_new(status, "address", json_string(vs_addr_format(&vs_link_path(link)->peer, text)));
	json_object_set_new(status, "carrier", json_string(vs_carrier_name(vs_link_path(link)->carrier)));
	json_object_set_new(status, "cipher", json_string(stats.cipher));
	vs_link_status_add(status, vs_link_params(link), &stats, true);
	json_object_set_new(status, "rtt_usec", json_integer((json_int_t)stats.srtt_usec));
	json_object_set_new(status, "loss", json_real((double)stats.loss_q16 / 65536.0));
	json_object_set_new(status, "datagram", json_integer(stats.datagram));
	json_object_set_new(status, "rx_bytes", json_integer((json_int_t)stats.rx_bytes));
	json_object_set_new(status, "tx_bytes", json_integer((json_int_t)stats.tx_bytes));
	json_object_set_new(status, "rx_frames", json_integer((json_int_t)stats.rx_frames));
	json_object_set_new(status, "tx_frames", json_integer((json_int_t)stats.tx_frames));
	json_object_set_new(status, "retransmitted", json_integer((json_int_t)stats.arq_tx.retransmitted));
	json_object_set_new(status, "congestion", json_string(stats.congestion));
	json_object_set_new(status, "congestion_state", json_string(stats.congestion_state));
	json_object_set_new(status, "bandwidth_bps", json_integer((json_int_t)stats.bandwidth_bps));
	json_object_set_new(status, "window_bytes", json_integer((json_int_t)stats.window_bytes));
	json_object_set_new(status, "queue_delay_usec", json_integer((json_int_t)stats.queue.delay_usec));
	json_object_set_new(status, "moves", json_integer((json_int_t)stats.moves));
	json_object_set_new(status, "handshakes", json_integer((json_int_t)stats.handshakes));
}

static json_t *status_json(const struct client *client)
{
	uint64_t now = vs_loop_now(client->loop);
	char key[VS_KEY_TEXT_SIZE], mac[VS_MAC_TEXT_SIZE], server[VS_ENDPOINT_TEXT_MAX];
	json_t *status = json_pack(
		"{s:s, s:f, s:s, s:f, s:s, s:s, s:s, s:s}", "version", VS_VERSION, "uptime_sec",
		(double)vs_time_since(now, client->started_usec) / (double)VS_SEC, "state",
		client->up ? "connected" : "connecting", "since_sec",
		(double)vs_time_since(now, client->since_usec) / (double)VS_SEC, "server",
		vs_endpoint_format(vs_targets_wanted(&client->targets), 0, server), "device",
		client->config.tap.device, "mac", vs_mac_format(&client->mac, mac), "public_key",
		vs_key_format(client->public_key, key));
	if (client->up)
		add_link_status(status, client, now);
	if (client->last_error[0])
		json_object_set_new(status, "last_error", json_string(client->last_error));
	json_object_set_new(status, "drops", drops_json(client));
	return status;
}

static json_t *control(json_t *request, void *arg)
{
	const char *verb = json_string_value(json_object_get(request, "verb"));
	if (verb && strcmp(verb, "status") == 0)
		return status_json(arg);
	return vs_control_refuse("no verb '%s'", verb ? verb : "");
}

/* --- Start --- */

static struct vs_addr any_address(int family, uint16_t port)
{
	struct vs_addr addr = { 0 };
	int err = vs_addr_parse(family == AF_INET6 ? "::" : "0.0.0.0", port, &addr);
	(void)err;
	return addr;
}

static int grant(const struct vs_client_config *config, struct vs_grants *grants)
{
	uint8_t public_key[VS_KEY_SIZE];
	struct vs_tap_config tap = config->tap;
	int err = vs_key_public(public_key, config->identity.private_key);
	if (err < 0)
		return err;
	tap.mac = vs_tap_mac(&tap, public_key, "");
	struct vs_addr any4 = any_address(AF_INET, (uint16_t)config->local_port);
	struct vs_addr any6 = any_address(AF_INET6, (uint16_t)config->local_port);
	struct vs_addr tcp4 = any_address(AF_INET, 0), tcp6 = any_address(AF_INET6, 0);
	if ((err = vs_grants_add_tap(grants, "tap", &tap)) < 0 ||
	    (err = vs_grants_add_bind(grants, &any4, config->fwmark, config->bind_interface, 1)) < 0 ||
	    (err = vs_grants_add_bind(grants, &any6, config->fwmark, config->bind_interface, 1)) < 0 ||
	    (err = vs_grants_add_faketcp(grants, &tcp4, config->fwmark, config->bind_interface)) < 0 ||
	    (err = vs_grants_add_faketcp(grants, &tcp6, config->fwmark, config->bind_interface)) < 0 ||
	    (err = vs_grants_add_tcp(grants, &tcp4, config->fwmark, config->bind_interface)) < 0 ||
	    (err = vs_grants_add_tcp(grants, &tcp6, config->fwmark, config->bind_interface)) < 0)
		return err;
	vs_grants_set_log(grants, &config->log);
	return 0;
}

/* Logs the step of the start that has failed. */
static int failed(const char *step, int err)
{
	vs_error("%s: %s", step, strerror(-err));
	return err;
}

static int open_tap(struct client *client, struct vs_daemon *daemon)
{
	struct vs_fault fault;
	struct vs_port_config config = VS_PORT_CONFIG_DEFAULT;
	int fd = vs_broker_open_tap(daemon->broker, "tap", &fault);
	if (fd < 0) {
		vs_error("%s", fault.text);
		return fd;
	}
	uint16_t id;
	snprintf(config.name, sizeof(config.name), "%s", client->config.tap.device);
	int err = vs_bridge_port_add(client->bridge, &config, 0, &id);
	if (err < 0)
		close(fd);
	else
		err = vs_worker_add_tap(client->worker, fd, client->config.tap.mtu, id, client, &client->tap);
	if (err < 0)
		return failed("port of the TAP device", err);
	vs_bridge_port_set_up(client->bridge, id, true);
	return 0;
}

static int bind_socket(struct client *client, struct vs_daemon *daemon, int family, struct vs_fault *fault)
{
	struct vs_grant_bind bind = {
		.addr = any_address(family, (uint16_t)client->config.local_port),
		.fwmark = client->config.fwmark,
	};
	memcpy(bind.interface, client->config.bind_interface, sizeof(bind.interface));
	return vs_broker_bind_udp(daemon->broker, &bind, fault);
}

static int open_carrier(struct client *client, struct vs_daemon *daemon)
{
	struct vs_fault fault4, fault6;
	int fd4 = bind_socket(client, daemon, AF_INET, &fault4);
	int fd6 = bind_socket(client, daemon, AF_INET6, &fault6);
	/* A host without one of the two versions is common; without both there is no way to the server. */
	if (fd4 < 0 && (fd6 < 0 || fd4 != -EAFNOSUPPORT)) {
		vs_error("%s", fault4.text);
		if (fd6 >= 0)
			close(fd6);
		return fd4;
	}
	if (fd6 < 0)
		vs_debug("no IPv6: %s", fault6.text);
	int err = vs_worker_open_udp(client->worker, VS_MAX(fd4, -1), VS_MAX(fd6, -1), true);
	return err < 0 ? failed("UDP socket", err) : 0;
}

static int add_link(struct client *client)
{
	struct vs_port_config config = VS_PORT_CONFIG_DEFAULT;
	struct vs_link_config link = {
		.crypto = vs_crypto_default(),
		.queue = VS_QUEUE_CONFIG_DEFAULT,
		.datagram_max = VS_DATAGRAM_MAX,
		.initiator = true,
	};
	uint16_t id;
	snprintf(config.name, sizeof(config.name), "server");
	int err = vs_bridge_port_add(client->bridge, &config, 0, &id);
	if (err == 0)
		err = vs_worker_add_link(client->worker, &link, id, client, &client->server);
	return err < 0 ? failed("port of the link", err) : 0;
}

static void tap_gone(void *arg, struct vs_wport *port, int error)
{
	struct client *client = arg;
	(void)port;
	vs_error("TAP device %s is gone: %s", client->config.tap.device, strerror(error));
	client->exit_code = VS_EXIT_FAILURE;
	vs_worker_remove(client->worker, client->tap);
	client->tap = NULL;
	vs_loop_stop(client->loop);
}

static int open_worker(struct client *client)
{
	struct vs_bridge_config bridge = VS_BRIDGE_CONFIG_DEFAULT;
	struct vs_worker_config config = { .pool_bytes = POOL_BYTES, .flow_key = vs_random_u64() };
	struct vs_worker_handler handler = {
		.handshake = client_handshake,
		.link_events = client_link_events,
		.tap_gone = tap_gone,
		.conn_closed = client_conn_closed,
		.carrier_error = client_carrier_error,
		.arg = client,
	};
	bridge.mac_entries = MAC_ENTRIES;
	bridge.ports_max = 2;
	bridge.hash_seed = vs_random_u64();
	client->bridge = vs_bridge_new(&bridge);
	config.bridge = client->bridge;
	client->worker = client->bridge ? vs_worker_new(client->loop, &config, &handler) : NULL;
	if (!client->worker)
		return failed("switch", -ENOMEM);
	client->offload = vs_offload_new(client->loop, "handshake", 4);
	return client->offload ? 0 : failed("thread for handshakes", errno ? -errno : -ENOMEM);
}

static void on_signal(void *arg, int number)
{
	struct client *client = arg;
	if (number == SIGHUP && !client->ends_with_terminal) {
		vs_warn("a client takes up changes of its file when it is started again");
		return;
	}
	vs_info("stopping on signal %d", number);
	vs_loop_stop(client->loop);
}

static void on_watchdog(void *arg, uint64_t now)
{
	struct client *client = arg;
	vs_notify_alive(&client->daemon->notify);
	vs_timer_set(&client->watchdog, now + client->daemon->notify.watchdog_usec);
}

static int open_log(struct client *client, const struct vs_log_opener *opener)
{
	const struct vs_log_config *log = &client->config.log;
	int err = vs_logsink_open(log, "vswitchc", opener);
	if (err < 0)
		vs_error("log to %s: %s", vs_logsink_target(log), strerror(-err));
	return err;
}

static int open_control(struct client *client, int fd)
{
	if (fd < 0)
		return 0;
	client->control = vs_control_server_new(client->loop, fd, control, client);
	return client->control ? 0 : failed("control socket", -errno);
}

/* Each step logs why it fails. */
static int open_all(struct client *client, struct vs_daemon *daemon)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
	struct vs_log_opener log_opener = vs_broker_log_opener(daemon->broker);
	struct vs_fault fault;
	int err;
	client->loop = vs_loop_new();
	if (!client->loop)
		return failed("event loop", -errno);
	client->signals = vs_signals_new(client->loop, numbers, VS_ARRAY_SIZE(numbers), on_signal, client);
	if (!client->signals)
		return failed("signals", -errno);
	if ((err = open_log(client, &log_opener)) < 0)
		return err;
	if ((err = vs_timer_init(&client->watchdog, client->loop, on_watchdog, client)) < 0)
		return failed("watchdog", err);
	client->has_watchdog = true;
	if ((err = vs_netif_open(&client->netif, &fault)) < 0) {
		vs_error("%s", fault.text);
		return err;
	}
	if ((err = open_worker(client)) < 0 || (err = open_carrier(client, daemon)) < 0 ||
	    (err = open_tap(client, daemon)) < 0 || (err = add_link(client)) < 0 ||
	    (err = client_dial_init(client)) < 0 || (err = open_control(client, daemon->control_fd)) < 0)
		return err;
	err = vs_broker_tap_up(daemon->broker, "tap", &fault);
	if (err < 0)
		vs_error("%s", fault.text);
	return 0;
}

static void close_all(struct client *client)
{
	if (client->worker && client->server) {
		vs_link_close(vs_wport_link(client->server), VS_CLOSE_SHUTDOWN);
		vs_worker_remove(client->worker, client->server);
	}
	vs_control_server_free(client->control);
	vs_offload_free(client->offload);
	client_dial_fini(client);
	vs_worker_free(client->worker);
	vs_bridge_free(client->bridge);
	vs_netif_close(client->netif);
	if (client->has_watchdog)
		vs_timer_fini(&client->watchdog);
	vs_signals_free(client->signals);
	vs_loop_free(client->loop);
}

/* The network process. */
static int network(struct vs_daemon *daemon, void *arg)
{
	struct client *client = arg;
	client->daemon = daemon;
	client->broker = daemon->broker;
	int err = open_all(client, daemon);
	if (err < 0) {
		client->exit_code = VS_EXIT_FAILURE;
	} else {
		client->started_usec = client->since_usec = vs_loop_now(client->loop);
		vs_info("vswitchc " VS_VERSION " started, device %s", client->config.tap.device);
		vs_notify_ready(&daemon->notify, "dialling");
		if (daemon->notify.watchdog_usec)
			on_watchdog(client, vs_loop_now(client->loop));
		client_dial(client);
		if (vs_loop_run(client->loop) < 0)
			client->exit_code = VS_EXIT_FAILURE;
		vs_notify_stopping(&daemon->notify);
	}
	close_all(client);
	return client->exit_code;
}

/* In the broker: what a file that has changed grants. */
static int on_grant(void *arg, const char *text, size_t len, struct vs_grants *grants)
{
	struct client *client = arg;
	struct vs_client_config config;
	struct vs_complaints complaints;
	vs_complaints_init(&complaints, client->config_path);
	int err = vs_client_config_parse(&config, client->config_path, text, len, &vs_opener_direct, &complaints);
	if (err == 0)
		err = grant(&config, grants);
	vs_client_config_fini(&config);
	return err;
}

/* Whether there is a server to dial: a name that does not exist is a mistake in the file, and better said at once than
 * by a client that tries for ever. A name server that does not answer is no such proof: the network may come later. */
static bool names_exist(const struct client *client)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_DGRAM };
	const struct vs_endpoint_list *servers = &client->config.server_addr;
	for (unsigned i = 0; i < servers->n; i++) {
		struct addrinfo *found = NULL;
		int err = getaddrinfo(servers->item[i].host, NULL, &hints, &found);
		if (err == 0)
			freeaddrinfo(found);
		if (err != EAI_NONAME && err != EAI_NODATA)
			return true;
	}
	vs_error("server_addr '%s' does not resolve: %s", servers->item[0].host, gai_strerror(EAI_NONAME));
	return false;
}

static int run(struct client *client)
{
	struct vs_grants *grants = calloc(1, sizeof(*grants));
	int code = VS_EXIT_FAILURE;
	int err = grants ? grant(&client->config, grants) : -ENOMEM;
	if (err < 0) {
		vs_error("%s: %s", client->config_path, strerror(-err));
	} else {
		err = vs_key_public(client->public_key, client->config.identity.private_key);
		client->mac = grants->taps[0].tap.mac;
		struct vs_daemon_spec spec = {
			.program = "vswitchc",
			.config_path = client->config_path,
			.user = client->config.user,
			.control_path = client->config.control,
			.grants = grants,
			.grant = on_grant,
			.grant_arg = client,
		};
		code = vs_daemon_run(&spec, network, client);
	}
	free(grants);
	return code;
}

/* Who closes the terminal that a client runs in means to end it. Not so under nohup(1), which ignores the signal, and
 * not without a terminal, where SIGHUP is the word of somebody who takes us for a server. */
static bool ends_with_terminal(void)
{
	struct sigaction hangup;
	if (!isatty(STDIN_FILENO) && !isatty(STDERR_FILENO))
		return false;
	return sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN;
}

int vs_client_run(const struct vs_client_options *options)
{
	struct vs_complaints complaints;
	struct client *client = calloc(1, sizeof(*client));
	int code = VS_EXIT_FAILURE;
	if (!client) {
		vs_error("%s", strerror(ENOMEM));
		return code;
	}
	client->ends_with_terminal = ends_with_terminal();
	client->config_path = options->config_path;
	vs_complaints_init(&complaints, options->config_path);
	int err = vs_client_config_load(&client->config, options->config_path, &vs_opener_direct, &complaints);
	vs_complaints_print(&complaints, stderr);
	if (err == 0 && open_log(client, &vs_log_opener_direct) == 0 && names_exist(client))
		code = run(client);
	vs_client_config_fini(&client->config);
	vs_wipe(client, sizeof(*client));
	free(client);
	vs_logsink_close();
	return code;
}
