#include "io/carrier_faketcp.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/faketcp_receive.h"
#include "io/faketcp_send.h"

/* recvmmsg() calls for one socket before others get their turn. */
#define RECEIVE_ROUNDS 2

/* A turn of a link, and what a datagram of it may be too long. */
#define TURN_BYTES (VS_TX_MESSAGE_BYTES + VS_DATAGRAM_MAX)

struct shared_socket {
	int fd;
	struct vs_watch *watch;
};

struct vs_carrier_faketcp {
	struct vs_carrier carrier;
	struct vs_carrier_handler handler;
	void (*missing)(void *arg, struct vs_carrier *carrier, const struct vs_addr *peer, const struct vs_addr *local);
	struct vs_loop *loop;
	struct shared_socket v4, v6;
	struct vs_conntable table;
	struct vs_faketcp_sender *sender;
	struct vs_faketcp_receiver *receiver;
	struct vs_watch *blocked; /* of the socket that takes no more now; NULL: none */
	struct vs_timer timer;    /* until the windows of those that are not ready count as lost */
	bool has_timer;
	bool waiting;          /* somebody was told that a connection is not ready */
	bool receiving;
	struct vs_list closed; /* connections, by their buckets, that are freed when receiving is over */
};

static struct vs_carrier_faketcp *faketcp_of(struct vs_carrier *carrier)
{
	return VS_CONTAINER_OF(carrier, struct vs_carrier_faketcp, carrier);
}

static uint64_t now_of(const struct vs_carrier_faketcp *faketcp)
{
	return vs_loop_now(faketcp->loop);
}

/* --- Sending ------------------------------------------------------------------------------------------------------ */

static struct vs_watch *watch_of(struct vs_carrier_faketcp *faketcp, int fd)
{
	struct vs_conn *conn;

	if (fd == faketcp->v4.fd)
		return faketcp->v4.watch;
	if (fd == faketcp->v6.fd)
		return faketcp->v6.watch;
	for (size_t i = 0; i < VS_CONNTABLE_BUCKETS; i++)
		VS_LIST_FOREACH(&faketcp->table.buckets[i], conn, struct vs_conn, bucket)
			if (vs_faketcp_conn_of(conn)->raw_fd == fd)
				return vs_faketcp_conn_of(conn)->watch;
	return NULL;
}

static void faketcp_flush(struct vs_carrier *carrier)
{
	struct vs_carrier_faketcp *faketcp = faketcp_of(carrier);

	if (faketcp->blocked)
		return;
	int fd = vs_faketcp_sender_flush(faketcp->sender, carrier->tx, now_of(faketcp));
	if (fd < 0)
		return;
	faketcp->blocked = watch_of(faketcp, fd);
	vs_watch_set(faketcp->blocked, VS_READ | VS_WRITE);
}

static void tell_resumed(struct vs_carrier_faketcp *faketcp)
{
	faketcp->waiting = false;
	vs_timer_cancel(&faketcp->timer);
	faketcp->handler.resumed(faketcp->handler.arg, &faketcp->carrier);
}

/* The socket takes more, or is about to go. */
static void unblock(struct vs_carrier_faketcp *faketcp)
{
	vs_watch_set(faketcp->blocked, VS_READ);
	faketcp->blocked = NULL;
	vs_carrier_flush(&faketcp->carrier);
	if (!faketcp->blocked)
		tell_resumed(faketcp);
}

static void on_timer(void *arg, uint64_t now)
{
	(void)now;
	tell_resumed(arg);
}

static bool faketcp_ready(struct vs_carrier *carrier, const struct vs_addr *peer, const struct vs_addr *local)
{
	struct vs_carrier_faketcp *faketcp = faketcp_of(carrier);
	const struct vs_faketcp_conn *conn = vs_faketcp_conn_find(&faketcp->table, peer, local);

	if (!conn || vs_faketcp_conn_has_room(conn, TURN_BYTES, now_of(faketcp)))
		return true;
	if (!faketcp->waiting)
		vs_timer_set(&faketcp->timer, vs_time_add(now_of(faketcp), VS_FAKETCP_STALL));
	faketcp->waiting = true;
	return false;
}

/* --- Receiving ---------------------------------------------------------------------------------------------------- */

static void on_batch(void *arg, const struct vs_rx_batch *batch)
{
	struct vs_carrier_faketcp *faketcp = arg;

	faketcp->handler.receive(faketcp->handler.arg, &faketcp->carrier, batch);
}

static void on_missing(void *arg, const struct vs_tcp_segment *segment)
{
	struct vs_carrier_faketcp *faketcp = arg;

	faketcp->missing(faketcp->handler.arg, &faketcp->carrier, &segment->src, &segment->dst);
}

static void on_sign(void *arg, struct vs_faketcp_conn *conn, const struct vs_tcp_segment *segment,
		    enum vs_faketcp_sign sign)
{
	struct vs_carrier_faketcp *faketcp = arg;
	struct vs_carrier_error error = { .to = segment->src, .from = segment->dst };

	if (sign == VS_FAKETCP_SYNACK) {
		vs_faketcp_sender_control(faketcp->sender, conn, VS_TCP_ACK, now_of(faketcp));
		return;
	}
	error.error = sign == VS_FAKETCP_RESET ? ECONNRESET : ESHUTDOWN;
	if (faketcp->handler.error)
		faketcp->handler.error(faketcp->handler.arg, &faketcp->carrier, &error);
}

static void free_closed(struct vs_carrier_faketcp *faketcp)
{
	struct vs_conn *conn;

	while ((conn = VS_LIST_FIRST(&faketcp->closed, struct vs_conn, bucket))) {
		vs_list_remove(&conn->bucket);
		vs_conn_free(conn);
	}
}

/* A call that comes back not quite full has emptied the socket: asking again would only cost the next system call. */
static void receive(struct vs_carrier_faketcp *faketcp, int fd, int family)
{
	int n = VS_FAKETCP_MESSAGES;

	faketcp->receiving = true;
	for (int round = 0; round < RECEIVE_ROUNDS && n == VS_FAKETCP_MESSAGES; round++)
		n = vs_faketcp_receive(faketcp->receiver, fd, family, now_of(faketcp));
	faketcp->receiving = false;
	free_closed(faketcp);
	/* What has come may have opened windows. */
	if (faketcp->waiting && !faketcp->blocked)
		tell_resumed(faketcp);
}

static void on_shared(void *arg, int fd, unsigned events)
{
	struct vs_carrier_faketcp *faketcp = arg;

	if (events & VS_READ)
		receive(faketcp, fd, fd == faketcp->v6.fd ? AF_INET6 : AF_INET);
	else if (faketcp->blocked)
		unblock(faketcp);
}

static void on_own(void *arg, int fd, unsigned events)
{
	struct vs_faketcp_conn *conn = arg;
	struct vs_carrier_faketcp *faketcp = conn->carrier;

	if (events & VS_READ)
		receive(faketcp, fd, conn->conn.local.sa.sa_family);
	else if (faketcp->blocked)
		unblock(faketcp);
}

/* --- Connections -------------------------------------------------------------------------------------------------- */

static bool has_socket(const struct vs_carrier_faketcp *faketcp, const struct vs_faketcp_conn *conn)
{
	return conn->raw_fd >= 0 ||
	       (conn->conn.peer.sa.sa_family == AF_INET6 ? faketcp->v6.fd : faketcp->v4.fd) >= 0;
}

static int faketcp_adopt(struct vs_carrier *carrier, struct vs_conn *base)
{
	struct vs_carrier_faketcp *faketcp = faketcp_of(carrier);
	struct vs_faketcp_conn *conn = vs_faketcp_conn_of(base);

	if (!has_socket(faketcp, conn))
		return -EAFNOSUPPORT;
	if (conn->raw_fd >= 0) {
		conn->watch = vs_watch_new(faketcp->loop, conn->raw_fd, VS_READ, on_own, conn);
		if (!conn->watch)
			return errno ? -errno : -ENOMEM;
	}
	int err = vs_conntable_insert(&faketcp->table, base);
	if (err < 0) {
		vs_watch_free(conn->watch);
		conn->watch = NULL;
		return err;
	}
	conn->carrier = faketcp;
	return 0;
}

/* What is committed leaves as far as the sockets take it. What does not is for a connection that is not there any more,
 * or waits for its socket. */
static void let_go(struct vs_carrier_faketcp *faketcp, struct vs_faketcp_conn *conn)
{
	vs_carrier_flush(&faketcp->carrier);
	vs_conntable_remove(&faketcp->table, &conn->conn);
	if (faketcp->blocked && faketcp->blocked == conn->watch)
		unblock(faketcp);
	vs_watch_free(conn->watch);
	conn->watch = NULL;
	conn->carrier = NULL;
}

static struct vs_conn *faketcp_release(struct vs_carrier *carrier, const struct vs_addr *peer,
				       const struct vs_addr *local)
{
	struct vs_carrier_faketcp *faketcp = faketcp_of(carrier);
	struct vs_faketcp_conn *conn = vs_faketcp_conn_find(&faketcp->table, peer, local);

	if (!conn)
		return NULL;
	let_go(faketcp, conn);
	return &conn->conn;
}

static void faketcp_close(struct vs_carrier *carrier, const struct vs_addr *peer, const struct vs_addr *local)
{
	struct vs_carrier_faketcp *faketcp = faketcp_of(carrier);
	struct vs_faketcp_conn *conn = vs_faketcp_conn_find(&faketcp->table, peer, local);

	if (!conn)
		return;
	let_go(faketcp, conn);
	vs_faketcp_sender_control(faketcp->sender, conn, VS_TCP_RST | VS_TCP_ACK, now_of(faketcp));
	if (faketcp->receiving)
		vs_list_append(&faketcp->closed, &conn->conn.bucket);
	else
		vs_conn_free(&conn->conn);
}

/* --- Life --------------------------------------------------------------------------------------------------------- */

static void close_shared(struct shared_socket *socket)
{
	vs_watch_free(socket->watch);
	if (socket->fd >= 0)
		close(socket->fd);
}

static void free_conns(struct vs_carrier_faketcp *faketcp)
{
	struct vs_conn *base;

	while ((base = vs_conntable_take_any(&faketcp->table))) {
		struct vs_faketcp_conn *conn = vs_faketcp_conn_of(base);
		vs_faketcp_sender_control(faketcp->sender, conn, VS_TCP_RST | VS_TCP_ACK, now_of(faketcp));
		vs_watch_free(conn->watch);
		vs_conn_free(base);
	}
}

static void faketcp_free(struct vs_carrier *carrier)
{
	struct vs_carrier_faketcp *faketcp = faketcp_of(carrier);

	free_conns(faketcp);
	free_closed(faketcp);
	close_shared(&faketcp->v4);
	close_shared(&faketcp->v6);
	if (faketcp->has_timer)
		vs_timer_fini(&faketcp->timer);
	vs_faketcp_sender_free(faketcp->sender);
	vs_faketcp_receiver_free(faketcp->receiver);
	free(carrier->tx);
	free(faketcp);
}

static const struct vs_carrier_ops faketcp_ops = {
	.name = "faketcp",
	.kind = VS_CARRIER_FAKETCP,
	.overhead_v4 = 20 + VS_FAKETCP_HEADER_MAX,
	.overhead_v6 = 40 + VS_FAKETCP_HEADER_MAX,
	.flush = faketcp_flush,
	.free = faketcp_free,
	.adopt = faketcp_adopt,
	.release = faketcp_release,
	.close = faketcp_close,
	.ready = faketcp_ready,
};

static int watch_shared(struct vs_carrier_faketcp *faketcp, struct shared_socket *socket)
{
	if (socket->fd < 0)
		return 0;
	socket->watch = vs_watch_new(faketcp->loop, socket->fd, VS_READ, on_shared, faketcp);
	return socket->watch ? 0 : errno ? -errno : -ENOMEM;
}

static int build(struct vs_carrier_faketcp *faketcp, struct vs_drops *drops)
{
	struct vs_carrier *carrier = &faketcp->carrier;
	struct vs_faketcp_sink sink = {
		.receive = on_batch,
		.sign = on_sign,
		.missing = faketcp->missing ? on_missing : NULL,
		.arg = faketcp,
	};

	carrier->ops = &faketcp_ops;
	carrier->tx = calloc(1, sizeof(*carrier->tx));
	faketcp->sender = vs_faketcp_sender_new(&faketcp->table, faketcp->v4.fd, faketcp->v6.fd, &carrier->stats,
						drops);
	faketcp->receiver = vs_faketcp_receiver_new(&faketcp->table, &sink, &carrier->stats, drops);
	if (!carrier->tx || !faketcp->sender || !faketcp->receiver)
		return -ENOMEM;
	int err = vs_timer_init(&faketcp->timer, faketcp->loop, on_timer, faketcp);
	if (err < 0)
		return err;
	faketcp->has_timer = true;
	err = watch_shared(faketcp, &faketcp->v4);
	return err < 0 ? err : watch_shared(faketcp, &faketcp->v6);
}

int vs_carrier_faketcp_new(struct vs_loop *loop, const struct vs_carrier_faketcp_config *config,
			   const struct vs_carrier_handler *handler, struct vs_drops *drops, struct vs_carrier **out)
{
	struct vs_carrier_faketcp *faketcp = calloc(1, sizeof(*faketcp));

	if (!faketcp) {
		close_shared(&(struct shared_socket){ .fd = config->fd4 });
		close_shared(&(struct shared_socket){ .fd = config->fd6 });
		return -ENOMEM;
	}
	faketcp->loop = loop;
	faketcp->handler = *handler;
	faketcp->missing = config->missing;
	faketcp->v4.fd = config->fd4;
	faketcp->v6.fd = config->fd6;
	vs_conntable_init(&faketcp->table);
	vs_list_init(&faketcp->closed);
	int err = build(faketcp, drops);
	if (err < 0) {
		faketcp_free(&faketcp->carrier);
		return err;
	}
	*out = &faketcp->carrier;
	return 0;
}
