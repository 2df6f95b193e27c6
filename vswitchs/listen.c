/* Listeners for plain peers: [listen NAME]. Who may connect is decided here, by address and number, before anything is
 * made for him; each peer is then a port of the switch with a socket of its own. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/plain_socket.h"
#include "vswitchs/server_state.h"

/* Newcomers taken in a turn. */
#define BATCH 16

/* Peers of one source (an IPv4 address, an IPv6 /64) that have not sent a frame yet. */
#define UNPROVEN_MAX 4

/* --- Peers -------------------------------------------------------------------------------------------------------- */

static struct vs_port_config port_config(const struct plain_peer *peer)
{
	const struct vs_server_listen_config *listen = &peer->listen->config;
	struct vs_port_config config = VS_PORT_CONFIG_DEFAULT;
	snprintf(config.name, sizeof(config.name), "%s", peer->name);
	config.vlan = vs_vlan_config_rule(&listen->vlans);
	config.isolated = listen->vlans.isolate;
	config.mac_limit = listen->mac_limit;
	return config;
}

static void remove_peer(struct plain_peer *peer)
{
	vs_dport_remove(peer->port, 0);
	vs_list_remove(&peer->node);
	peer->listen->n_peers--;
	free(peer);
}

static bool same_source(const struct vs_addr *a, const struct vs_addr *b)
{
	uint8_t ka[VS_ADDR_KEY_SIZE], kb[VS_ADDR_KEY_SIZE];
	vs_addr_key(a, ka);
	vs_addr_key(b, kb);
	return memcmp(ka, kb, a->sa.sa_family == AF_INET6 ? 8 : 16) == 0 && a->sa.sa_family == b->sa.sa_family;
}

static struct plain_peer *find_peer(const struct server_listen *listen, const struct vs_addr *addr)
{
	struct plain_peer *peer;
	VS_LIST_FOREACH(&listen->peers, peer, struct plain_peer, node)
		if (vs_addr_equal(&peer->addr, addr))
			return peer;
	return NULL;
}

static bool is_allowed(const struct vs_server_listen_config *config, const struct vs_addr *addr)
{
	for (unsigned i = 0; i < config->allow.n; i++)
		if (vs_cidr_contains(&config->allow.item[i], addr))
			return true;
	return false;
}

static bool has_room(const struct server_listen *listen, const struct vs_addr *addr)
{
	const struct plain_peer *peer;
	unsigned unproven = 0;
	VS_LIST_FOREACH(&listen->peers, peer, struct plain_peer, node)
		unproven += !peer->up && same_source(&peer->addr, addr);
	return listen->n_peers < listen->config.max_clients && unproven < UNPROVEN_MAX;
}

/* Whether somebody may come in; if not, that is counted and logged. */
static bool admits(struct server_listen *listen, const struct vs_addr *addr)
{
	char text[VS_ADDR_TEXT_MAX];
	if (!is_allowed(&listen->config, addr)) {
		vs_drop(&listen->server->handshake_drops, VS_DROP_PLAIN_REFUSED);
		VS_LOG_LIMITED(VS_LOG_WARN, "%s: %s is not an address that `allow` names", listen->config.name,
			       vs_addr_format(addr, text));
		return false;
	}
	if (!has_room(listen, addr)) {
		vs_drop(&listen->server->handshake_drops, VS_DROP_PLAIN_LIMIT);
		VS_LOG_LIMITED(VS_LOG_WARN, "%s: no room for %s, max_clients = %u", listen->config.name,
			       vs_addr_format(addr, text), listen->config.max_clients);
		return false;
	}
	return true;
}

/* Makes a port of a connected socket, which passes to it, also where it fails. */
static void add_peer(struct server_listen *listen, int fd, const struct vs_addr *addr,
		     const struct vs_plain_config *plain, const uint8_t *first, size_t len)
{
	struct server *server = listen->server;
	char text[VS_ADDR_TEXT_MAX];
	struct plain_peer *peer = calloc(1, sizeof(*peer));
	if (!peer) {
		close(fd);
		return;
	}
	peer->listen = listen;
	peer->addr = *addr;
	peer->since_usec = vs_loop_now(server->loop);
	snprintf(peer->name, sizeof(peer->name), "%s/%s", listen->config.name, vs_addr_format(addr, text));
	struct vs_port_config config = port_config(peer);
	int err = vs_datapath_add_plain(server->datapath, fd, plain, first, len, &config, peer, &peer->port);
	if (err < 0) {
		VS_LOG_LIMITED(VS_LOG_ERROR, "%s: %s", peer->name, strerror(-err));
		free(peer);
		return;
	}
	vs_list_append(&listen->peers, &peer->node);
	listen->n_peers++;
}

static const char *why_over(const struct vs_wplain_view *view)
{
	if (view->end != VS_PLAIN_RUNS)
		return vs_plain_end_text(view->end);
	return view->error == ECONNRESET ? "has closed the connection" : strerror(view->error);
}

void server_plain_events(void *arg, struct vs_dport *port, unsigned events)
{
	struct plain_peer *peer = vs_dport_user(port);
	struct vs_dport_view view;
	(void)arg;
	if (events & VS_WPLAIN_UP) {
		peer->up = true;
		vs_info("%s: up", peer->name);
	}
	if (!(events & VS_WPLAIN_OVER))
		return;
	vs_dport_view(port, &view);
	if (peer->up)
		vs_info("%s: down: %s", peer->name, why_over(&view.plain));
	else
		VS_LOG_LIMITED(VS_LOG_INFO, "%s: %s", peer->name, why_over(&view.plain));
	remove_peer(peer);
}

static struct plain_peer *find_peer_by_name(const struct server_listen *listen, const char *name)
{
	struct plain_peer *peer;
	VS_LIST_FOREACH(&listen->peers, peer, struct plain_peer, node)
		if (strcmp(peer->name, name) == 0)
			return peer;
	return NULL;
}

bool server_kick_plain(struct server *server, const char *name)
{
	struct server_listen *listen;
	VS_LIST_FOREACH(&server->listens, listen, struct server_listen, node) {
		struct plain_peer *peer = find_peer_by_name(listen, name);
		if (!peer)
			continue;
		vs_info("%s: down: ended by an operator", peer->name);
		remove_peer(peer);
		return true;
	}
	return false;
}

/* --- Newcomers ---------------------------------------------------------------------------------------------------- */

/* A socket for the peer alone, on the address and port that it has spoken to. */
static int open_peer_socket(struct server_listen *listen, const struct vs_plain_hello *hello)
{
	struct vs_grant_bind bind = { .addr = hello->local, .nth = 1 };
	struct vs_fault fault;
	int fd = vs_broker_bind_udp(listen->server->broker, &bind, &fault);
	if (fd < 0) {
		VS_LOG_LIMITED(VS_LOG_ERROR, "%s: %s", listen->config.name, fault.text);
		return fd;
	}
	int err = vs_plain_connect_udp(fd, &hello->peer);
	if (err == 0)
		return fd;
	VS_LOG_LIMITED(VS_LOG_ERROR, "%s: %s", listen->config.name, strerror(-err));
	close(fd);
	return err;
}

static void greet(struct server_listen *listen, const struct vs_plain_hello *hello)
{
	struct server *server = listen->server;
	struct vs_plain_config plain = { .kind = VS_PLAIN_KCP, .queue = VS_QUEUE_CONFIG_DEFAULT };
	if (find_peer(listen, &hello->peer)) {
		/* It came before the peer's own socket was there. KCP sends it again. */
		vs_drop(&server->handshake_drops, VS_DROP_NO_SESSION);
		return;
	}
	if (!admits(listen, &hello->peer))
		return;
	if (!vs_plain_kcp_begins(hello->datagram, hello->len, &plain.conv)) {
		vs_drop(&server->handshake_drops, VS_DROP_BAD_SEGMENT);
		return;
	}
	int fd = open_peer_socket(listen, hello);
	if (fd >= 0)
		add_peer(listen, fd, &hello->peer, &plain, hello->datagram, hello->len);
}

static void on_datagram(void *arg, int fd, unsigned events)
{
	struct server_listen *listen = arg;
	struct vs_plain_hello hello;
	(void)events;
	for (int i = 0; i < BATCH; i++) {
		int err = vs_plain_receive(fd, &hello);
		if (err == -EAGAIN)
			return;
		if (err == 0)
			greet(listen, &hello);
	}
}

static void on_connection(void *arg, int fd, unsigned events)
{
	struct server_listen *listen = arg;
	struct vs_plain_config plain = { .kind = VS_PLAIN_STREAM, .queue = VS_QUEUE_CONFIG_DEFAULT };
	(void)events;
	for (int i = 0; i < BATCH; i++) {
		struct vs_addr peer;
		int conn = vs_plain_accept(fd, &peer);
		if (conn == -EAGAIN)
			return;
		if (conn < 0)
			VS_LOG_LIMITED(VS_LOG_WARN, "%s: %s", listen->config.name, strerror(-conn));
		else if (admits(listen, &peer))
			add_peer(listen, conn, &peer, &plain, NULL, 0);
		else
			close(conn);
	}
}

/* --- Sockets ------------------------------------------------------------------------------------------------------ */

size_t server_listen_addresses(const struct vs_server_listen_config *config, struct vs_addr out[2])
{
	static const char *const all[] = { "0.0.0.0", "::" };
	uint16_t port = (uint16_t)config->bind_port;
	size_t n = 0;
	for (unsigned i = 0; i < VS_MIN(config->bind_addr.n, 2u); i++) {
		out[n] = config->bind_addr.item[i];
		if (out[n].sa.sa_family == AF_INET6)
			out[n].in6.sin6_port = htons(port);
		else
			out[n].in.sin_port = htons(port);
		n++;
	}
	for (size_t i = 0; i < VS_ARRAY_SIZE(all) && !config->bind_addr.n; i++)
		if (vs_addr_parse(all[i], port, &out[n]) == 0)
			n++;
	return n;
}

int server_grant_listens(const struct vs_server_config *config, struct vs_grants *grants)
{
	int err = 0;
	for (size_t i = 0; i < config->n_listens; i++) {
		struct vs_addr addrs[2];
		size_t n = server_listen_addresses(&config->listens[i], addrs);
		for (size_t k = 0; k < n && err == 0; k++)
			err = config->listens[i].protocol == VS_PLAIN_KCP
				      ? vs_grants_add_bind(grants, &addrs[k], 0, "", 2) /* the second: any peer's */
				      : vs_grants_add_tcp(grants, &addrs[k], 0, "");
	}
	return err;
}

/* A descriptor that listens, or -errno with a fault. */
static int open_socket(struct server_listen *listen, const struct vs_addr *addr, struct vs_fault *fault)
{
	struct vs_broker_client *broker = listen->server->broker;
	bool kcp = listen->config.protocol == VS_PLAIN_KCP;
	struct vs_grant_bind bind = { .addr = *addr };
	int fd = kcp ? vs_broker_bind_udp(broker, &bind, fault) : vs_broker_open_tcp(broker, &bind, fault);
	if (fd < 0)
		return fd;
	int err = kcp ? vs_plain_listen_udp(fd) : vs_plain_listen_tcp(fd);
	if (err == 0)
		return fd;
	close(fd);
	return vs_fault(fault, err, "%s", strerror(-err));
}

static int watch_socket(struct server_listen *listen, int fd)
{
	bool kcp = listen->config.protocol == VS_PLAIN_KCP;
	struct vs_watch *watch = vs_watch_new(listen->server->loop, fd, VS_READ, kcp ? on_datagram : on_connection, listen);
	if (!watch) {
		close(fd);
		return vs_fault(&listen->fault, errno ? -errno : -ENOMEM, "%s", strerror(errno ? errno : ENOMEM));
	}
	listen->sockets[listen->n_sockets].fd = fd;
	listen->sockets[listen->n_sockets].watch = watch;
	listen->n_sockets++;
	return 0;
}

/* A host without one of the two IP versions is common, and no error unless an address of it was asked for. */
static bool may_lack(const struct server_listen *listen, int err)
{
	return !listen->config.bind_addr.n && (err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL);
}

static void close_sockets(struct server_listen *listen)
{
	while (listen->n_sockets) {
		listen->n_sockets--;
		vs_watch_free(listen->sockets[listen->n_sockets].watch);
		close(listen->sockets[listen->n_sockets].fd);
	}
}

/* 0 or -errno, and then listen->fault says why. */
static int open_sockets(struct server_listen *listen)
{
	struct vs_addr addrs[2];
	size_t n = server_listen_addresses(&listen->config, addrs);
	int lacked = 0;
	for (size_t i = 0; i < n; i++) {
		int fd = open_socket(listen, &addrs[i], &listen->fault);
		int err = fd < 0 ? fd : watch_socket(listen, fd);
		if (err == 0)
			continue;
		if (!may_lack(listen, err)) {
			close_sockets(listen);
			return err;
		}
		lacked = err;
	}
	if (!listen->n_sockets)
		return lacked;
	listen->fault.text[0] = '\0';
	return 0;
}

/* --- Listeners ---------------------------------------------------------------------------------------------------- */

static void remove_peers(struct server_listen *listen)
{
	struct plain_peer *peer;
	VS_LIST_FOREACH(&listen->peers, peer, struct plain_peer, node)
		remove_peer(peer);
}

int server_open_listen(struct server_listen *listen)
{
	int err = open_sockets(listen);
	if (err < 0) {
		vs_error("[listen %s]: %s", listen->config.name, listen->fault.text);
		return err;
	}
	vs_info("%s: listening on %s port %u, without handshake and cipher", listen->config.name,
		listen->config.protocol == VS_PLAIN_KCP ? "UDP (KCP)" : "TCP", listen->config.bind_port);
	return 0;
}

int server_add_listen(struct server *server, const struct vs_server_listen_config *config)
{
	struct server_listen *listen = calloc(1, sizeof(*listen));
	if (!listen) {
		vs_error("[listen %s]: %s", config->name, strerror(ENOMEM));
		return -ENOMEM;
	}
	listen->server = server;
	listen->config = *config;
	vs_list_init(&listen->peers);
	vs_list_append(&server->listens, &listen->node);
	return server_open_listen(listen);
}

void server_close_listen(struct server_listen *listen)
{
	close_sockets(listen);
	remove_peers(listen);
}

void server_remove_listen(struct server_listen *listen)
{
	server_close_listen(listen);
	vs_list_remove(&listen->node);
	free(listen);
}

struct server_listen *server_find_listen(const struct server *server, const char *name)
{
	struct server_listen *listen;
	VS_LIST_FOREACH(&server->listens, listen, struct server_listen, node)
		if (strcmp(listen->config.name, name) == 0)
			return listen;
	return NULL;
}

static bool same_sockets(const struct vs_server_listen_config *a, const struct vs_server_listen_config *b)
{
	struct vs_addr aa[2], ab[2];
	size_t n = server_listen_addresses(a, aa);
	if (a->protocol != b->protocol || server_listen_addresses(b, ab) != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!vs_addr_equal(&aa[i], &ab[i]))
			return false;
	return true;
}

bool server_change_listen(struct server_listen *listen, const struct vs_server_listen_config *config)
{
	struct plain_peer *peer;
	if (!same_sockets(&listen->config, config)) {
		server_close_listen(listen);
		listen->config = *config;
		return false;
	}
	listen->config = *config;
	VS_LIST_FOREACH(&listen->peers, peer, struct plain_peer, node) {
		struct vs_port_config port = port_config(peer);
		int err = is_allowed(config, &peer->addr) ? vs_dport_configure(peer->port, &port) : -EACCES;
		if (err == 0)
			continue;
		vs_info("%s: down: %s", peer->name, err == -EACCES ? "is not allowed any more" : strerror(-err));
		remove_peer(peer);
	}
	return listen->n_sockets > 0;
}
