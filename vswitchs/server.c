#include "vswitchs/server.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/cli.h"
#include "io/key.h"
#include "io/random.h"
#include "io/tap.h"
#include "io/udp_socket.h"
#include "vswitchs/server_state.h"

/* --- What the broker may do --- */

/* The addresses to listen on: those configured, else all of both IP versions. */
static size_t listen_addresses(const struct vs_server_config *config, struct vs_addr out[VS_LIST_MAX])
{
	static const char *const all[] = { "0.0.0.0", "::" };
	size_t n = 0;
	for (unsigned i = 0; i < config->bind_addr.n; i++) {
		out[n] = config->bind_addr.item[i];
		if (out[n].sa.sa_family == AF_INET6)
			out[n].in6.sin6_port = htons((uint16_t)config->bind_port);
		else
			out[n].in.sin_port = htons((uint16_t)config->bind_port);
		n++;
	}
	for (size_t i = 0; i < VS_ARRAY_SIZE(all) && !config->bind_addr.n; i++)
		if (vs_addr_parse(all[i], (uint16_t)config->bind_port, &out[n]) == 0)
			n++;
	return n;
}

/* As configured, or one for each core that this process may use. */
static unsigned workers_of(const struct vs_server_config *config)
{
	cpu_set_t cores;
	if (config->workers)
		return config->workers;
	int n = sched_getaffinity(0, sizeof(cores), &cores) == 0 ? CPU_COUNT(&cores) : 1;
	return (unsigned)VS_MIN(n, VS_WORKERS_MAX);
}

static int grant(const struct vs_server_config *config, struct vs_grants *grants)
{
	uint8_t public_key[VS_KEY_SIZE];
	struct vs_addr listen[VS_LIST_MAX];
	int err = vs_key_public(public_key, config->identity.private_key);
	for (size_t i = 0; i < config->n_taps && err == 0; i++) {
		struct vs_tap_config tap = config->taps[i].tap;
		tap.mac = vs_tap_mac(&tap, public_key, config->taps[i].name);
		err = vs_grants_add_tap(grants, config->taps[i].name, &tap);
	}
	size_t n = listen_addresses(config, listen);
	for (size_t i = 0; i < n && err == 0; i++)
		err = vs_grants_add_bind(grants, &listen[i], 0, "", workers_of(config));
	if (err == 0)
		err = server_grant_conns(config, listen, n, grants);
	if (err == 0)
		err = server_grant_listens(config, grants);
	if (config->identity.private_key_file[0] && err == 0)
		err = vs_grants_add_file(grants, config->identity.private_key_file);
	vs_grants_set_log(grants, &config->log);
	return err;
}

struct context {
	struct server server;
	struct vs_daemon *daemon;
	struct vs_signals *signals;
	struct vs_timer watchdog;
	bool has_watchdog;
};

/* In the broker: what a file that has changed grants. The key file is granted even where the rest is refused, so that
 * the network process can read all of it and say what is wrong. */
static int on_grant(void *arg, const char *text, size_t len, struct vs_grants *grants)
{
	struct context *context = arg;
	struct vs_server_config config;
	struct vs_complaints complaints;
	vs_complaints_init(&complaints, context->server.config_path);
	int err = vs_server_config_parse(&config, context->server.config_path, text, len, &vs_opener_direct,
					 &complaints);
	if (err == 0)
		err = grant(&config, grants);
	else if (config.identity.private_key_file[0])
		err = vs_grants_add_file(grants, config.identity.private_key_file) < 0 ? -ENOMEM : -EINVAL;
	vs_server_config_fini(&config);
	return err;
}

/* --- Opening --- */

/* Logs the step of the start that has failed. */
static int failed(const char *step, int err)
{
	vs_error("%s: %s", step, strerror(-err));
	return err;
}

/* A host without one of the two IP versions is common, and no error unless an address of it was asked for. */
static bool may_lack(const struct server *server, int err)
{
	return !server->config.bind_addr.n && (err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL);
}

/* One socket a version for a worker: its descriptors in fds[], -1 where there is none. */
static int bind_sockets(struct server *server, unsigned worker, int fds[2])
{
	struct vs_addr listen[VS_LIST_MAX];
	size_t n = listen_addresses(&server->config, listen);
	struct vs_fault fault = { "no address to listen on" };
	int err = -EADDRNOTAVAIL;
	bool bound = false;
	for (size_t i = 0; i < n; i++) {
		struct vs_grant_bind bind = { .addr = listen[i], .nth = (uint8_t)worker };
		int fd = vs_broker_bind_udp(server->broker, &bind, &fault);
		if (fd >= 0) {
			fds[listen[i].sa.sa_family == AF_INET6] = fd;
			bound = true;
			if (worker == 0)
				server->listen[server->n_listen++] = listen[i];
		} else if (may_lack(server, fd)) {
			err = fd;
		} else {
			vs_error("%s", fault.text);
			return fd;
		}
	}
	if (bound)
		return 0;
	vs_error("%s", fault.text);
	return err;
}

/* Has the kernel tell the sockets of one address apart. */
static int steer(const int fds[2])
{
	for (unsigned i = 0; i < 2; i++) {
		int err = fds[i] >= 0 ? vs_udp_steer(fds[i]) : 0;
		if (err < 0)
			return failed("steering of datagrams to workers", err);
	}
	return 0;
}

static int open_carrier(struct server *server, unsigned worker)
{
	int fds[2] = { -1, -1 };
	int err = bind_sockets(server, worker, fds);
	if (err == 0 && worker > 0)
		err = steer(fds);
	if (err == 0) {
		err = vs_datapath_open_udp(server->datapath, worker, fds[0], fds[1]);
		return err < 0 ? failed("UDP socket", err) : 0;
	}
	for (size_t i = 0; i < VS_ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return err;
}

static int open_carriers(struct server *server)
{
	int err = 0;
	for (unsigned i = 0; i < vs_datapath_workers(server->datapath) && err == 0; i++)
		err = open_carrier(server, i);
	return err;
}

static int open_responder(struct server *server)
{
	struct vs_responder_config config = VS_RESPONDER_CONFIG_DEFAULT;
	config.crypto = vs_crypto_default();
	config.jobs_max = SERVER_HANDSHAKES_MAX;
	config.floor_usec = vs_unix_usec();
	memcpy(config.private_key, server->config.identity.private_key, VS_KEY_SIZE);
	vs_random(config.cookie_seed, sizeof(config.cookie_seed));
	server->responder = vs_responder_new(&config);
	vs_wipe(&config, sizeof(config));
	if (!server->responder)
		return failed("handshakes", -ENOMEM);
	server->offload = vs_offload_new(server->loop, "handshake", SERVER_HANDSHAKES_MAX);
	return server->offload ? 0 : failed("thread for handshakes", errno ? -errno : -ENOMEM);
}

static int open_datapath(struct server *server)
{
	struct vs_datapath_config config = {
		.bridge = VS_BRIDGE_CONFIG_DEFAULT,
		.pool_bytes = server->config.buffer_max,
	};
	struct vs_datapath_handler handler = {
		.handshake = server_handshake,
		.link_events = server_link_events,
		.tap_gone = server_tap_gone,
		.plain_events = server_plain_events,
		.arg = server,
	};
	config.bridge.ports_max = VS_PORTS_MAX;
	config.bridge.workers = (uint8_t)workers_of(&server->config);
	config.bridge.mac_entries = server->config.mac_entries;
	config.bridge.aging_usec = server->config.mac_aging_usec;
	config.bridge.hash_seed = vs_random_u64();
	server->datapath = vs_datapath_new(server->loop, &config, &handler);
	if (server->datapath)
		return 0;
	int err = errno ? -errno : -ENOMEM;
	vs_error("the switch, with %u workers and a table of %u MAC addresses: %s", config.bridge.workers,
		 server->config.mac_entries, strerror(-err));
	return err;
}

static void open_log(struct server *server, const struct vs_log_config *config)
{
	struct vs_log_opener opener = vs_broker_log_opener(server->broker);
	int err = vs_logsink_open(config, "vswitchs", &opener);
	if (err < 0)
		vs_error("log to %s: %s", vs_logsink_target(config), strerror(-err));
}

static int open_ports(struct server *server)
{
	int err = 0;
	for (size_t i = 0; i < server->config.n_ports && err == 0; i++)
		err = server_add_member(server, &server->config.ports[i]);
	for (size_t i = 0; i < server->config.n_taps && err == 0; i++)
		err = server_add_tap(server, &server->config.taps[i]);
	for (size_t i = 0; i < server->config.n_listens && err == 0; i++)
		err = server_add_listen(server, &server->config.listens[i]);
	return err;
}

/* --- Running --- */

static void on_signal(void *arg, int number)
{
	struct context *context = arg;
	struct server *server = &context->server;
	if (number == SIGHUP) {
		vs_notify_reloading(&context->daemon->notify);
		json_decref(server_reload(server));
		vs_notify_ready(&context->daemon->notify, NULL);
		return;
	}
	vs_info("stopping on signal %d", number);
	vs_loop_stop(server->loop);
}

static void on_watchdog(void *arg, uint64_t now)
{
	struct context *context = arg;
	/* A worker that does not turn any more is not alive: this waits, and systemd takes notice. */
	vs_datapath_quiesce(context->server.datapath);
	vs_notify_alive(&context->daemon->notify);
	vs_timer_set(&context->watchdog, now + context->daemon->notify.watchdog_usec);
}

/* Each step logs why it fails. */
static int open_all(struct context *context)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
	struct server *server = &context->server;
	int err;
	server->loop = vs_loop_new();
	if (!server->loop)
		return failed("event loop", -errno);
	context->signals = vs_signals_new(server->loop, numbers, VS_ARRAY_SIZE(numbers), on_signal, context);
	if (!context->signals)
		return failed("signals", -errno);
	open_log(server, &server->config.log);
	if ((err = vs_timer_init(&context->watchdog, server->loop, on_watchdog, context)) < 0)
		return failed("watchdog", err);
	context->has_watchdog = true;
	if ((err = open_datapath(server)) < 0 || (err = open_responder(server)) < 0 ||
	    (err = open_carriers(server)) < 0 || (err = server_open_conns(server)) < 0 ||
	    (err = open_ports(server)) < 0)
		return err;
	if (context->daemon->control_fd < 0)
		return 0;
	server->control = vs_control_server_new(server->loop, context->daemon->control_fd, server_control, server);
	return server->control ? 0 : failed("control socket", -errno);
}

static void close_all(struct context *context)
{
	struct server *server = &context->server;
	struct member *member;
	vs_control_server_free(server->control);
	VS_LIST_FOREACH(&server->members, member, struct member, node)
		server_remove_member(member, VS_CLOSE_SHUTDOWN);
	struct server_listen *listen;
	VS_LIST_FOREACH(&server->listens, listen, struct server_listen, node)
		server_remove_listen(listen);
	server_free_taps(server);
	vs_offload_free(server->offload);
	vs_lobby_free(server->lobby);
	vs_responder_free(server->responder);
	vs_datapath_free(server->datapath);
	if (context->has_watchdog)
		vs_timer_fini(&context->watchdog);
	vs_signals_free(context->signals);
	vs_loop_free(server->loop);
}

static void announce(const struct context *context)
{
	const struct server *server = &context->server;
	char text[VS_ADDR_TEXT_MAX], fake[32] = "", tcp[32] = "";
	if (server->carriers & 1u << VS_CARRIER_FAKETCP)
		snprintf(fake, sizeof(fake), ", fake TCP port %u", server->config.faketcp_port.port);
	if (server->carriers & 1u << VS_CARRIER_TCP)
		snprintf(tcp, sizeof(tcp), ", TCP port %u", server->config.tcp_port.port);
	for (size_t i = 0; i < server->n_listen; i++)
		vs_info("vswitchs " VS_VERSION " listening on %s%s%s", vs_addr_format(&server->listen[i], text), fake,
			tcp);
	vs_notify_ready(&context->daemon->notify, "listening");
}

/* The network process. */
static int network(struct vs_daemon *daemon, void *arg)
{
	struct context *context = arg;
	struct server *server = &context->server;
	int code = VS_EXIT_FAILURE;
	context->daemon = daemon;
	server->broker = daemon->broker;
	int err = open_all(context);
	if (err == 0) {
		server->started_usec = vs_loop_now(server->loop);
		announce(context);
		if (daemon->notify.watchdog_usec)
			on_watchdog(context, vs_loop_now(server->loop));
		code = vs_loop_run(server->loop) < 0 ? VS_EXIT_FAILURE : 0;
		vs_notify_stopping(&daemon->notify);
	}
	close_all(context);
	vs_server_config_fini(&server->config);
	return code;
}

static int run(struct context *context)
{
	struct server *server = &context->server;
	struct vs_grants *grants = calloc(1, sizeof(*grants));
	int code = VS_EXIT_FAILURE;
	int err = grants ? grant(&server->config, grants) : -ENOMEM;
	if (err < 0) {
		vs_error("%s: %s", server->config_path, strerror(-err));
	} else {
		struct vs_daemon_spec spec = {
			.program = "vswitchs",
			.config_path = server->config_path,
			.user = server->config.user,
			.control_path = server->config.control,
			.grants = grants,
			.grant = on_grant,
			.grant_arg = context,
		};
		code = vs_daemon_run(&spec, network, context);
	}
	free(grants);
	return code;
}

int vs_server_run(const struct vs_server_options *options)
{
	struct vs_complaints complaints;
	struct context *context = calloc(1, sizeof(*context));
	int code = VS_EXIT_FAILURE;
	if (!context) {
		vs_error("%s", strerror(ENOMEM));
		return code;
	}
	struct server *server = &context->server;
	server->config_path = options->config_path;
	vs_list_init(&server->members);
	vs_list_init(&server->taps);
	vs_list_init(&server->listens);
	vs_complaints_init(&complaints, options->config_path);
	int err = vs_server_config_load(&server->config, options->config_path, &vs_opener_direct, &complaints);
	vs_complaints_print(&complaints, stderr);
	if (err == 0) {
		err = vs_logsink_open(&server->config.log, "vswitchs", &vs_log_opener_direct);
		if (err < 0)
			vs_error("log to %s: %s", vs_logsink_target(&server->config.log), strerror(-err));
		else
			code = run(context);
	}
	vs_server_config_fini(&server->config);
	vs_wipe(context, sizeof(*context));
	free(context);
	vs_logsink_close();
	return code;
}
