#include "io/lobby.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "io/whereabouts.h"

/* Connections accepted in one go, and waiting in the kernel. */
#define ACCEPT_BATCH 16
#define BACKLOG 64

/* Out of descriptors or memory, a listener is left alone for so long: it stays readable. */
#define ACCEPT_PAUSE (100 * VS_MSEC)

/* Bytes of an address that name one party: an IPv4 address (mapped), or an IPv6 network of the size that everybody
 * gets. */
#define PARTY_V4 16
#define PARTY_V6 8

struct listener {
	struct vs_lobby *lobby;
	int fd;
	struct vs_watch *watch;
	vs_conn_make_fn *make;
	void *arg;
};

struct guest {
	struct vs_list node; /* of lobby.guests, the longest here first */
	struct vs_conn *conn;
	uint64_t deadline;
	unsigned questions;
};

struct vs_lobby {
	struct vs_loop *loop;
	struct vs_lobby_handler handler;
	struct vs_drops *drops;
	struct vs_carrier *carriers[VS_CARRIER_KINDS];
	struct listener listeners[VS_LOBBY_LISTENERS_MAX];
	unsigned listeners_n;
	struct vs_timer timer; /* the first guest's deadline */
	struct vs_timer pause; /* after which the listeners are watched again */
	unsigned timers;       /* initialised */
	struct vs_deferred turn_end;
	struct vs_list guests;
	struct vs_whereabouts where; /* of fake TCP's connections that were handed out */
	struct vs_lobby_stats stats;
};

/* --- Guests --- */

static bool same_party(const struct vs_addr *a, const struct vs_addr *b)
{
	uint8_t ka[VS_ADDR_KEY_SIZE], kb[VS_ADDR_KEY_SIZE];
	vs_addr_key(a, ka);
	vs_addr_key(b, kb);
	return a->sa.sa_family == b->sa.sa_family &&
	       memcmp(ka, kb, a->sa.sa_family == AF_INET6 ? PARTY_V6 : PARTY_V4) == 0;
}

static unsigned guests_of(const struct vs_lobby *lobby, const struct vs_addr *peer)
{
	const struct guest *guest;
	unsigned n = 0;
	VS_LIST_FOREACH(&lobby->guests, guest, struct guest, node)
		n += same_party(&guest->conn->peer, peer);
	return n;
}

static struct guest *find_guest(const struct vs_lobby *lobby, enum vs_carrier_kind kind, const struct vs_addr *peer,
				const struct vs_addr *local)
{
	struct guest *guest;
	VS_LIST_FOREACH(&lobby->guests, guest, struct guest, node)
		if (guest->conn->kind == kind && vs_conn_is(guest->conn, peer, local))
			return guest;
	return NULL;
}

static void set_timer(struct vs_lobby *lobby)
{
	const struct guest *first = VS_LIST_FIRST(&lobby->guests, struct guest, node);
	vs_timer_set(&lobby->timer, first ? first->deadline : VS_NEVER);
}

static void forget(struct vs_lobby *lobby, struct guest *guest)
{
	vs_list_remove(&guest->node);
	lobby->stats.waiting--;
	free(guest);
}

static void turn_out(struct vs_lobby *lobby, struct guest *guest)
{
	struct vs_conn *conn = guest->conn;
	struct vs_carrier *carrier = lobby->carriers[conn->kind];
	forget(lobby, guest);
	carrier->ops->close(carrier, &conn->peer, &conn->local);
}

static void on_timer(void *arg, uint64_t now)
{
	struct vs_lobby *lobby = arg;
	struct guest *guest;
	while ((guest = VS_LIST_FIRST(&lobby->guests, struct guest, node)) && guest->deadline <= now) {
		lobby->stats.expired++;
		turn_out(lobby, guest);
	}
	set_timer(lobby);
}

/* Where it is full, whoever has been silent for longest leaves; else whoever has been here for longest: a member is
 * answered within a round trip or two, and to ask takes no more than to know the server's public key. */
static void make_room(struct vs_lobby *lobby)
{
	struct guest *guest, *leaves = VS_LIST_FIRST(&lobby->guests, struct guest, node);
	if (lobby->stats.waiting < VS_LOBBY_MAX)
		return;
	VS_LIST_FOREACH(&lobby->guests, guest, struct guest, node) {
		if (guest->questions)
			continue;
		leaves = guest;
		break;
	}
	lobby->stats.refused++;
	turn_out(lobby, leaves);
}

static bool admit(struct vs_lobby *lobby, struct vs_conn *conn)
{
	struct vs_carrier *carrier = lobby->carriers[conn->kind];
	struct guest *guest = calloc(1, sizeof(*guest));
	if (!guest || !carrier || carrier->ops->adopt(carrier, conn) < 0) {
		free(guest);
		return false;
	}
	guest->conn = conn;
	guest->deadline = vs_loop_now(lobby->loop) + VS_LOBBY_PATIENCE;
	vs_list_append(&lobby->guests, &guest->node);
	lobby->stats.waiting++;
	lobby->stats.accepted++;
	set_timer(lobby);
	return true;
}

/* --- Accepting --- */

static void receive_guest(struct listener *listener, int fd, const struct vs_addr *peer)
{
	struct vs_lobby *lobby = listener->lobby;
	if (guests_of(lobby, peer) >= VS_LOBBY_HOST_MAX) {
		lobby->stats.refused++;
		close(fd);
		return;
	}
	make_room(lobby);
	struct vs_conn *conn = listener->make(listener->arg, fd);
	if (conn && !admit(lobby, conn))
		vs_conn_free(conn);
}

static void watch_listeners(struct vs_lobby *lobby, unsigned events)
{
	for (unsigned i = 0; i < lobby->listeners_n; i++)
		vs_watch_set(lobby->listeners[i].watch, events);
}

static void on_pause_over(void *arg, uint64_t now)
{
	(void)now;
	watch_listeners(arg, VS_READ);
}

/* Whether accept() has failed for want of what others hold, so that asking again at once would change nothing. */
static bool is_exhausted(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void on_listener(void *arg, int fd, unsigned events)
{
	struct listener *listener = arg;
	struct vs_lobby *lobby = listener->lobby;
	(void)events;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		struct sockaddr_storage from;
		socklen_t len = sizeof(from);
		int conn = accept4(fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (conn >= 0) {
			struct vs_addr peer = vs_addr_from_sockaddr((struct sockaddr *)&from, len);
			receive_guest(listener, conn, &peer);
			continue;
		}
		if (is_exhausted(errno)) {
			VS_LOG_LIMITED(VS_LOG_WARN, "cannot accept connections: %s", strerror(errno));
			watch_listeners(lobby, 0);
			vs_timer_set(&lobby->pause, vs_loop_now(lobby->loop) + ACCEPT_PAUSE);
		}
		/* Others are about that one connection: the next call has the next. */
		if (errno == EAGAIN || is_exhausted(errno))
			return;
	}
}

void vs_lobby_on_missing(void *arg, struct vs_carrier *carrier, const struct vs_addr *peer, const struct vs_addr *local)
{
	struct vs_lobby *lobby = arg;
	unsigned worker;
	(void)carrier;
	if (vs_whereabouts_find(&lobby->where, peer, local, &worker))
		return;
	for (unsigned i = 0; i < lobby->listeners_n; i++)
		on_listener(&lobby->listeners[i], lobby->listeners[i].fd, VS_READ);
}

int vs_lobby_listen(struct vs_lobby *lobby, int fd, vs_conn_make_fn *make, void *arg)
{
	int err = 0;
	if (lobby->listeners_n == VS_LOBBY_LISTENERS_MAX)
		err = -ENOSPC;
	else if (listen(fd, BACKLOG) < 0)
		err = -errno;
	if (err < 0) {
		close(fd);
		return err;
	}
	struct listener *listener = &lobby->listeners[lobby->listeners_n];
	*listener = (struct listener){ .lobby = lobby, .fd = fd, .make = make, .arg = arg };
	listener->watch = vs_watch_new(lobby->loop, fd, VS_READ, on_listener, listener);
	if (!listener->watch) {
		err = errno ? -errno : -ENOMEM;
		close(fd);
		return err;
	}
	lobby->listeners_n++;
	return 0;
}

/* --- Datagrams --- */

/* Why a datagram is not an initiation that may be asked; VS_DROP_COUNT: it is. */
static enum vs_drop judge_guest(struct guest *guest, const struct vs_rx_datagram *datagram)
{
	if (datagram->data[0] != VS_TYPE_INITIATION)
		return VS_DROP_DATAGRAM_TYPE;
	if (datagram->len < VS_INITIATION_SIZE || datagram->len > VS_HANDSHAKE_MAX)
		return VS_DROP_BAD_HANDSHAKE;
	if (guest->questions++ == VS_LOBBY_QUESTIONS_MAX)
		return VS_DROP_HANDSHAKE_LIMIT;
	return VS_DROP_COUNT;
}

/* There is no guest where a carrier brings handshakes of connections here that a worker has, and where a batch holds
 * more of one that has just been turned out. */
static void pass_on(struct vs_lobby *lobby, const struct vs_rx_datagram *datagram, const struct vs_path *path)
{
	unsigned worker;
	if (datagram->data[0] == VS_TYPE_INITIATION && datagram->len <= VS_HANDSHAKE_MAX &&
	    vs_whereabouts_find(&lobby->where, &path->peer, &path->local, &worker))
		lobby->handler.forward(lobby->handler.arg, datagram->data, datagram->len, path, worker);
	else
		vs_drop(lobby->drops, VS_DROP_NO_CONNECTION);
}

/* What a guest says is an initiation, or it is the last that we hear of it; unless the carrier is one where anybody can
 * say it in the guest's name. */
static void listen_to(struct vs_lobby *lobby, struct vs_carrier *carrier, const struct vs_rx_datagram *datagram)
{
	struct guest *guest = find_guest(lobby, carrier->ops->kind, datagram->from, datagram->local);
	struct vs_path path = { .peer = *datagram->from, .local = *datagram->local, .carrier = carrier->ops->kind };
	if (!guest) {
		pass_on(lobby, datagram, &path);
		return;
	}
	enum vs_drop refused = judge_guest(guest, datagram);
	if (refused == VS_DROP_COUNT) {
		lobby->handler.handshake(lobby->handler.arg, datagram->data, datagram->len, &path);
		return;
	}
	vs_drop(lobby->drops, refused);
	if (carrier->ops->kind != VS_CARRIER_FAKETCP)
		turn_out(lobby, guest);
}

static void on_receive(void *arg, struct vs_carrier *carrier, const struct vs_rx_batch *batch)
{
	for (uint32_t i = 0; i < batch->count; i++)
		listen_to(arg, carrier, &batch->datagrams[i]);
}

/* Nothing is ever held back here. */
static void on_resumed(void *arg, struct vs_carrier *carrier)
{
	(void)arg;
	(void)carrier;
}

static void on_closed(void *arg, struct vs_carrier *carrier, struct vs_conn *conn, int error)
{
	struct vs_lobby *lobby = arg;
	struct guest *guest = find_guest(lobby, conn->kind, &conn->peer, &conn->local);
	(void)carrier;
	(void)error;
	if (guest)
		forget(lobby, guest);
	set_timer(lobby);
}

/* A guest that is reset comes again if it was not meant. */
static void on_error(void *arg, struct vs_carrier *carrier, const struct vs_carrier_error *error)
{
	struct vs_lobby *lobby = arg;
	struct guest *guest = find_guest(lobby, carrier->ops->kind, &error->to, &error->from);
	if (guest)
		turn_out(lobby, guest);
	set_timer(lobby);
}

static void end_turn(void *arg)
{
	struct vs_lobby *lobby = arg;
	for (int kind = 0; kind < VS_CARRIER_KINDS; kind++) {
		if (!lobby->carriers[kind])
			continue;
		vs_carrier_flush(lobby->carriers[kind]);
		vs_carrier_results_done(lobby->carriers[kind]);
	}
}

void vs_lobby_send(struct vs_lobby *lobby, const uint8_t *datagram, size_t len, const struct vs_path *path)
{
	struct vs_carrier *carrier = lobby->carriers[path->carrier];
	uint8_t *room = carrier ? vs_carrier_reserve(carrier, len) : NULL;
	if (!room) {
		vs_drop(lobby->drops, VS_DROP_SEND_FAILED);
		return;
	}
	memcpy(room, datagram, len);
	vs_carrier_commit(carrier, len, &path->peer, &path->local, UINT64_MAX, VS_TX_ALONE);
	vs_deferred_schedule(&lobby->turn_end);
}

struct vs_conn *vs_lobby_take(struct vs_lobby *lobby, const struct vs_path *path, unsigned worker)
{
	struct guest *guest = find_guest(lobby, path->carrier, &path->peer, &path->local);
	struct vs_carrier *carrier = lobby->carriers[path->carrier];
	if (!guest)
		return NULL;
	if (path->carrier == VS_CARRIER_FAKETCP && vs_whereabouts_note(&lobby->where, guest->conn, worker) < 0)
		VS_LOG_LIMITED(VS_LOG_WARN, "out of memory: a connection cannot renew its keys");
	forget(lobby, guest);
	set_timer(lobby);
	lobby->stats.admitted++;
	return carrier->ops->release(carrier, &path->peer, &path->local);
}

/* --- Life --- */

struct vs_lobby *vs_lobby_new(struct vs_loop *loop, const struct vs_lobby_handler *handler, struct vs_drops *drops)
{
	struct vs_lobby *lobby = calloc(1, sizeof(*lobby));
	if (!lobby)
		return NULL;
	lobby->loop = loop;
	lobby->handler = *handler;
	lobby->drops = drops;
	vs_list_init(&lobby->guests);
	vs_whereabouts_init(&lobby->where);
	vs_deferred_init(&lobby->turn_end, loop, end_turn, lobby);
	if (vs_timer_init(&lobby->timer, loop, on_timer, lobby) == 0)
		lobby->timers++;
	if (lobby->timers && vs_timer_init(&lobby->pause, loop, on_pause_over, lobby) == 0)
		lobby->timers++;
	if (lobby->timers < 2) {
		vs_lobby_free(lobby);
		return NULL;
	}
	return lobby;
}

void vs_lobby_free(struct vs_lobby *lobby)
{
	struct guest *guest;
	if (!lobby)
		return;
	for (unsigned i = 0; i < lobby->listeners_n; i++) {
		vs_watch_free(lobby->listeners[i].watch);
		close(lobby->listeners[i].fd);
	}
	while ((guest = VS_LIST_FIRST(&lobby->guests, struct guest, node)))
		turn_out(lobby, guest);
	for (int kind = 0; kind < VS_CARRIER_KINDS; kind++)
		vs_carrier_free(lobby->carriers[kind]);
	vs_whereabouts_fini(&lobby->where);
	vs_deferred_cancel(&lobby->turn_end);
	if (lobby->timers > 0)
		vs_timer_fini(&lobby->timer);
	if (lobby->timers > 1)
		vs_timer_fini(&lobby->pause);
	free(lobby);
}

struct vs_carrier_handler vs_lobby_carrier_handler(struct vs_lobby *lobby)
{
	return (struct vs_carrier_handler){
		.receive = on_receive, .resumed = on_resumed, .error = on_error, .conn_closed = on_closed, .arg = lobby
	};
}

void vs_lobby_set_carrier(struct vs_lobby *lobby, struct vs_carrier *carrier)
{
	lobby->carriers[carrier->ops->kind] = carrier;
}

void vs_lobby_stats(const struct vs_lobby *lobby, struct vs_lobby_stats *out)
{
	*out = lobby->stats;
}
