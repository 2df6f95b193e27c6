/* Connections: the listeners for carriers that have some, and the way of a connection from the lobby (io/lobby.h)
 * to the worker that has its member's link. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "io/carrier_faketcp.h"
#include "io/carrier_tcp.h"
#include "io/faketcp_conn.h"
#include "io/tcp_conn.h"
#include "vswitchs/server_state.h"

static struct vs_addr with_port(const struct vs_addr *addr, uint32_t port)
{
	struct vs_addr out = *addr;
	if (out.sa.sa_family == AF_INET6)
		out.in6.sin6_port = htons((uint16_t)port);
	else
		out.in.sin_port = htons((uint16_t)port);
	return out;
}

int server_grant_conns(const struct vs_server_config *config, const struct vs_addr *listen, size_t n,
		       struct vs_grants *grants)
{
	int err = 0;
	for (size_t i = 0; i < n && err == 0; i++) {
		struct vs_addr fake = with_port(&listen[i], config->faketcp_port.port);
		struct vs_addr tcp = with_port(&listen[i], config->tcp_port.port);
		if (config->faketcp_port.port)
			err = vs_grants_add_faketcp(grants, &fake, 0, "");
		if (config->tcp_port.port && err == 0)
			err = vs_grants_add_tcp(grants, &tcp, 0, "");
	}
	return err;
}

/* --- Listening ---------------------------------------------------------------------------------------------------- */

static int listen_on(struct server *server, const struct vs_grant_bind *bind, vs_conn_make_fn *make,
		     struct vs_fault *fault)
{
	char text[VS_ADDR_TEXT_MAX];
	int fd = vs_broker_open_tcp(server->broker, bind, fault);
	if (fd < 0)
		return fd;
	int err = vs_lobby_listen(server->lobby, fd, make, server);
	vs_addr_format(&bind->addr, text);
	if (err < 0)
		return vs_fault(fault, err, "TCP %s: %s", text, strerror(-err));
	return 0;
}

static struct vs_grant_bind bind_of(const struct server *server, size_t i, bool fake)
{
	const struct vs_server_config *config = &server->config;
	uint32_t port = fake ? config->faketcp_port.port : config->tcp_port.port;
	return (struct vs_grant_bind){ .addr = with_port(&server->listen[i], port), .tcp = true, .fake = fake };
}

/* On each address that UDP listens on, so that clients find the carriers where they have found one. */
static int listen_everywhere(struct server *server, bool fake, vs_conn_make_fn *make, struct vs_fault *fault)
{
	int err = 0;
	for (size_t i = 0; i < server->n_listen && err == 0; i++) {
		struct vs_grant_bind bind = bind_of(server, i, fake);
		err = listen_on(server, &bind, make, fault);
	}
	if (err == 0)
		server->carriers |= 1u << (fake ? VS_CARRIER_FAKETCP : VS_CARRIER_TCP);
	return err;
}

/* What the file asks for must work; what is on by default may be missing, and the log says so. */
static int judge(const struct vs_server_conn_port *port, const char *key, int err, const struct vs_fault *fault)
{
	if (err == 0)
		return 0;
	if (port->is_default) {
		vs_warn("%s; going on without (%s = 0 says that this is meant)", fault->text, key);
		return 0;
	}
	vs_error("%s (%s = %u)", fault->text, key, port->port);
	return err;
}

static struct vs_conn *make_tcp(void *arg, int fd)
{
	(void)arg;
	return vs_tcp_conn_new(fd);
}

static int open_tcp(struct server *server, struct vs_fault *fault)
{
	struct vs_carrier_handler handler = vs_lobby_carrier_handler(server->lobby);
	struct vs_carrier *carrier;
	int err = vs_carrier_tcp_new(server->loop, &handler, &server->handshake_drops, &carrier);
	if (err < 0)
		return vs_fault(fault, err, "TCP: %s", strerror(-err));
	vs_lobby_set_carrier(server->lobby, carrier);
	return listen_everywhere(server, false, make_tcp, fault);
}

/* --- Fake TCP ----------------------------------------------------------------------------------------------------- */

/* The broker silences the kernel on the connection. There is one listener of its IP version. */
static struct vs_conn *make_faketcp(void *arg, int fd)
{
	struct server *server = arg;
	struct vs_faketcp_start start;
	struct vs_fault fault;
	int family = 0, err = -ENOTCONN;
	socklen_t len = sizeof(family);
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) < 0)
		family = AF_UNSPEC;
	for (size_t i = 0; i < server->n_listen && err < 0; i++) {
		struct vs_grant_bind bind = bind_of(server, i, true);
		if (bind.addr.sa.sa_family == family)
			err = vs_broker_mute_tcp(server->broker, &bind, fd, &start, &fault);
	}
	struct vs_faketcp_conn *conn =
		err < 0 ? NULL : vs_faketcp_conn_new(&start, fd, -1, vs_loop_now(server->loop));
	if (conn)
		return &conn->conn;
	/* Who has hung up meanwhile is nobody's fault. */
	if (err < 0 && err != -ENOTCONN)
		VS_LOG_LIMITED(VS_LOG_ERROR, "%s", fault.text);
	errno = err < 0 ? -err : ENOMEM;
	close(fd);
	return NULL;
}

static void close_both(const int fds[2])
{
	for (unsigned i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* Raw sockets that take a share of what comes to the port: in fds[], one of each IP version. */
static int open_raw(struct server *server, enum vs_faketcp_share share, unsigned worker, int fds[2],
		    struct vs_fault *fault)
{
	const struct vs_faketcp_scope scope = { .share = (uint8_t)share, .worker = (uint8_t)worker };
	fds[0] = fds[1] = -1;
	for (size_t i = 0; i < server->n_listen; i++) {
		struct vs_grant_bind bind = bind_of(server, i, true);
		int fd = vs_broker_open_raw(server->broker, &bind, &scope, -1, fault);
		if (fd < 0) {
			close_both(fds);
			return fd;
		}
		fds[bind.addr.sa.sa_family == AF_INET6] = fd;
	}
	return 0;
}

static int open_worker(struct server *server, unsigned worker, struct vs_fault *fault)
{
	int fds[2];
	int err = open_raw(server, VS_FAKETCP_WORKER, worker, fds, fault);
	if (err < 0)
		return err;
	err = vs_datapath_open_faketcp(server->datapath, worker, fds[0], fds[1]);
	return err < 0 ? vs_fault(fault, err, "fake TCP: %s", strerror(-err)) : 0;
}

/* Workers first: who is let in has somewhere to go. */
static int open_faketcp(struct server *server, struct vs_fault *fault)
{
	struct vs_carrier_handler handler = vs_lobby_carrier_handler(server->lobby);
	struct vs_carrier *carrier;
	int fds[2], err = 0;
	for (unsigned i = 0; i < vs_datapath_workers(server->datapath) && err == 0; i++)
		err = open_worker(server, i, fault);
	if (err == 0)
		err = open_raw(server, VS_FAKETCP_LOBBY, 0, fds, fault);
	if (err < 0)
		return err;
	struct vs_carrier_faketcp_config config = { .fd4 = fds[0], .fd6 = fds[1], .missing = vs_lobby_on_missing };
	err = vs_carrier_faketcp_new(server->loop, &config, &handler, &server->handshake_drops, &carrier);
	if (err < 0)
		return vs_fault(fault, err, "fake TCP: %s", strerror(-err));
	vs_lobby_set_carrier(server->lobby, carrier);
	return listen_everywhere(server, true, make_faketcp, fault);
}

/* --- The lobby ---------------------------------------------------------------------------------------------------- */

static void on_forward(void *arg, const uint8_t *datagram, size_t len, const struct vs_path *path, unsigned worker)
{
	server_handshake(arg, datagram, len, path, worker);
}

static void on_handshake(void *arg, const uint8_t *datagram, size_t len, const struct vs_path *path)
{
	server_handshake(arg, datagram, len, path, SERVER_LOBBY);
}

int server_open_conns(struct server *server)
{
	struct vs_lobby_handler handler = { .handshake = on_handshake, .forward = on_forward, .arg = server };
	const struct vs_server_config *config = &server->config;
	struct vs_fault fault;
	int err = 0;
	server->lobby = vs_lobby_new(server->loop, &handler, &server->handshake_drops);
	if (!server->lobby) {
		vs_error("connections: %s", strerror(ENOMEM));
		return -ENOMEM;
	}
	if (config->faketcp_port.port)
		err = judge(&config->faketcp_port, "faketcp_port", open_faketcp(server, &fault), &fault);
	if (config->tcp_port.port && err == 0)
		err = judge(&config->tcp_port, "tcp_port", open_tcp(server, &fault), &fault);
	return err;
}

/* --- From the lobby to a worker ----------------------------------------------------------------------------------- */

int server_admit_conn(struct server *server, struct vs_dport *port, const struct vs_path *path)
{
	struct vs_conn *conn = vs_lobby_take(server->lobby, path, vs_dport_worker(port));
	if (!conn)
		return 0;
	int err = vs_dport_adopt_conn(port, conn);
	if (err < 0) {
		VS_LOG_LIMITED(VS_LOG_ERROR, "connection over %s: %s", vs_carrier_name(path->carrier), strerror(-err));
		vs_conn_free(conn);
	}
	return err;
}
