#include "io/carrier_tcp.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "io/tcp_conn.h"

/* Reads of one connection before others get their turn. */
#define READ_ROUNDS 2

/* A connection that takes nothing for so long counts as broken until it does. */
#define STALL_AFTER VS_SEC

struct vs_carrier_tcp {
	struct vs_carrier carrier;
	struct vs_carrier_handler handler;
	struct vs_drops *drops;
	struct vs_loop *loop;
	struct vs_conntable conns;
	struct vs_list blocked;      /* connections with something pending, the longest first */
	struct vs_timer stall_timer; /* set while there are any, and for `freed` */
	bool freed;                  /* one of them has ended; whom it held back has not been told yet */
	struct vs_tcp_conn *reading; /* whose datagrams are being received now */
	struct vs_rx_batch rx;
	uint8_t buffer[VS_TCP_READ_MAX];
};

static struct vs_carrier_tcp *tcp_of(struct vs_carrier *carrier)
{
	return VS_CONTAINER_OF(carrier, struct vs_carrier_tcp, carrier);
}

static struct vs_tcp_conn *find(const struct vs_carrier_tcp *tcp, const struct vs_addr *peer,
				const struct vs_addr *local)
{
	struct vs_conn *conn = vs_conntable_find(&tcp->conns, peer, local);
	return conn ? vs_tcp_conn_of(conn) : NULL;
}

/* Whoever waits for the connection waits no longer. Told by the timer, since this may be in the middle of anything. */
static void leave_blocked(struct vs_carrier_tcp *tcp, struct vs_tcp_conn *conn)
{
	if (vs_list_empty(&conn->blocked))
		return;
	vs_list_remove(&conn->blocked);
	tcp->freed = true;
	vs_timer_set(&tcp->stall_timer, vs_loop_now(tcp->loop));
}

/* The connection is nobody's now. */
static void detach(struct vs_carrier_tcp *tcp, struct vs_tcp_conn *conn)
{
	vs_conntable_remove(&tcp->conns, &conn->conn);
	leave_blocked(tcp, conn);
	vs_watch_free(conn->watch);
	conn->watch = NULL;
}

static void end(struct vs_carrier_tcp *tcp, struct vs_tcp_conn *conn, int error)
{
	detach(tcp, conn);
	if (tcp->handler.conn_closed)
		tcp->handler.conn_closed(tcp->handler.arg, &tcp->carrier, &conn->conn, error);
	vs_conn_free(&conn->conn);
}

/* --- Out --- */

static void block(struct vs_carrier_tcp *tcp, struct vs_tcp_conn *conn)
{
	if (!vs_list_empty(&conn->blocked))
		return;
	tcp->carrier.stats.tx_blocked++;
	if (vs_list_empty(&tcp->blocked) && !tcp->freed)
		vs_timer_set(&tcp->stall_timer, vs_loop_now(tcp->loop) + STALL_AFTER);
	vs_list_append(&tcp->blocked, &conn->blocked);
	conn->progress_usec = vs_loop_now(tcp->loop);
	vs_watch_set(conn->watch, VS_READ | VS_WRITE);
}

static void unblock(struct vs_tcp_conn *conn)
{
	vs_list_remove(&conn->blocked);
	conn->stalled = false;
	vs_watch_set(conn->watch, VS_READ);
}

/* Nothing can be written any more. The socket is readable, which tells the rest. */
static void break_off(struct vs_carrier_tcp *tcp, struct vs_tcp_conn *conn)
{
	conn->broken = true;
	conn->pending_len = 0;
	leave_blocked(tcp, conn);
	vs_watch_set(conn->watch, VS_READ);
}

static void on_stall(void *arg, uint64_t now)
{
	struct vs_carrier_tcp *tcp = arg;
	struct vs_tcp_conn *conn;
	bool stalled = tcp->freed;
	tcp->freed = false;
	VS_LIST_FOREACH(&tcp->blocked, conn, struct vs_tcp_conn, blocked) {
		if (conn->stalled || now < conn->progress_usec + STALL_AFTER)
			continue;
		conn->stalled = stalled = true;
	}
	if (!vs_list_empty(&tcp->blocked))
		vs_timer_set(&tcp->stall_timer, now + STALL_AFTER);
	if (stalled)
		tcp->handler.resumed(tcp->handler.arg, &tcp->carrier);
}

static void on_writable(struct vs_carrier_tcp *tcp, struct vs_tcp_conn *conn)
{
	int sent = vs_tcp_conn_resume(conn);
	if (sent < 0) {
		break_off(tcp, conn);
		return;
	}
	if (sent > 0) {
		conn->progress_usec = vs_loop_now(tcp->loop);
		conn->stalled = false;
	}
	if (conn->pending_len)
		return;
	unblock(conn);
	tcp->handler.resumed(tcp->handler.arg, &tcp->carrier);
}

/* Takes n datagrams from the head of the batch, of which the first `sent` have gone. */
static void account(struct vs_carrier_tcp *tcp, uint32_t n, uint32_t sent, int error)
{
	struct vs_tx_batch *tx = tcp->carrier.tx;
	struct vs_carrier_stats *stats = &tcp->carrier.stats;
	stats->tx_datagrams += sent;
	stats->tx_coalesced += sent > 1 ? sent : 0;
	stats->tx_calls += sent > 0;
	stats->tx_failed += n - sent;
	for (uint32_t i = 0; i < n; i++) {
		const struct vs_tx_datagram *datagram = &tx->datagrams[tx->head];
		if (i < sent) {
			stats->tx_bytes += datagram->len;
		} else {
			vs_drop(tcp->drops, VS_DROP_SEND_FAILED);
			vs_tx_batch_result(tx, datagram, error);
		}
		vs_tx_batch_sent(tx);
	}
}

static void send_run(struct vs_carrier_tcp *tcp, const struct vs_tx_datagram *first, uint32_t n)
{
	struct vs_tcp_conn *conn = find(tcp, &first->dst, &first->src);
	if (!conn || conn->broken) {
		account(tcp, n, 0, ENOTCONN);
		return;
	}
	int sent = vs_tcp_conn_write(conn, first, n);
	if (sent < 0) {
		break_off(tcp, conn);
		account(tcp, n, 0, -sent);
		return;
	}
	if (conn->pending_len)
		block(tcp, conn);
	account(tcp, n, (uint32_t)sent, ENOBUFS);
}

static bool same_connection(const struct vs_tx_datagram *a, const struct vs_tx_datagram *b)
{
	return vs_addr_equal(&a->dst, &b->dst) && vs_addr_equal(&a->src, &b->src);
}

static void tcp_flush(struct vs_carrier *carrier)
{
	const struct vs_tx_batch *tx = carrier->tx;
	while (tx->head < tx->count) {
		const struct vs_tx_datagram *first = &tx->datagrams[tx->head];
		uint32_t n = 1, most = VS_MIN(tx->count - tx->head, (uint32_t)VS_TCP_RUN);
		while (n < most && same_connection(first, first + n))
			n++;
		send_run(tcp_of(carrier), first, n);
	}
}

static bool tcp_ready(struct vs_carrier *carrier, const struct vs_addr *peer, const struct vs_addr *local)
{
	const struct vs_carrier_tcp *tcp = tcp_of(carrier);
	/* Nearly always, and it saves the look-up. */
	if (vs_list_empty(&tcp->blocked))
		return true;
	const struct vs_tcp_conn *conn = find(tcp, peer, local);
	return !conn || !conn->pending_len || conn->stalled;
}

/* --- In --- */

/* Hands over what the batch holds. False: the connection has been closed meanwhile. */
static bool hand_over(struct vs_carrier_tcp *tcp, struct vs_tcp_conn *conn)
{
	struct vs_carrier_stats *stats = &tcp->carrier.stats;
	if (tcp->rx.count) {
		stats->rx_datagrams += tcp->rx.count;
		stats->rx_coalesced += tcp->rx.count > 1 ? tcp->rx.count : 0;
		tcp->handler.receive(tcp->handler.arg, &tcp->carrier, &tcp->rx);
		tcp->rx.count = 0;
	}
	return !conn->closing;
}

/* Parses `len` bytes of the buffer. 0; -ECANCELED: the owner has closed the connection; or an error that ends it. */
static int parse(struct vs_carrier_tcp *tcp, struct vs_tcp_conn *conn, size_t len)
{
	size_t at = 0, datagram;
	int err;
	while ((err = vs_tcp_parse(tcp->buffer + at, len - at, &datagram)) == 0) {
		if (tcp->rx.count == VS_RX_DATAGRAMS && !hand_over(tcp, conn))
			return -ECANCELED;
		tcp->rx.datagrams[tcp->rx.count++] = (struct vs_rx_datagram){
			.data = tcp->buffer + at + VS_TCP_FRAMING,
			.len = (uint32_t)datagram,
			.from = &conn->conn.peer,
			.local = &conn->conn.local,
		};
		tcp->carrier.stats.rx_bytes += datagram;
		at += VS_TCP_FRAMING + datagram;
	}
	if (!hand_over(tcp, conn))
		return -ECANCELED;
	return err == -EAGAIN ? vs_tcp_conn_keep(conn, tcp->buffer + at, len - at) : err;
}

/* One read. 0: there may be more; or why not: -EAGAIN, -ECANCELED, or what ends the connection (-ESHUTDOWN: the peer's
 * wish). */
static int read_once(struct vs_carrier_tcp *tcp, struct vs_tcp_conn *conn)
{
	int n = vs_tcp_conn_read(conn, tcp->buffer);
	if (n <= 0)
		return n == 0 ? -ESHUTDOWN : n;
	tcp->carrier.stats.rx_calls++;
	int err = parse(tcp, conn, (size_t)n);
	/* A read that has not filled the buffer has emptied the socket. */
	return err == 0 && n < (int)VS_TCP_READ_MAX ? -EAGAIN : err;
}

static void on_readable(struct vs_carrier_tcp *tcp, struct vs_tcp_conn *conn)
{
	int err = 0;
	tcp->reading = conn;
	for (int round = 0; round < READ_ROUNDS && err == 0; round++)
		err = read_once(tcp, conn);
	tcp->reading = NULL;
	if (err == -ECANCELED) {
		detach(tcp, conn);
		vs_conn_free(&conn->conn);
	} else if (err && err != -EAGAIN) {
		end(tcp, conn, err == -ESHUTDOWN ? 0 : -err);
	}
}

/* --- Connections --- */

static void on_socket(void *arg, int fd, unsigned events)
{
	struct vs_tcp_conn *conn = arg;
	struct vs_carrier_tcp *tcp = tcp_of(conn->carrier);
	(void)fd;
	if (events & VS_READ)
		on_readable(tcp, conn);
	else
		on_writable(tcp, conn);
}

static int tcp_adopt(struct vs_carrier *carrier, struct vs_conn *conn)
{
	struct vs_carrier_tcp *tcp = tcp_of(carrier);
	struct vs_tcp_conn *new = vs_tcp_conn_of(conn);
	int err = vs_conntable_insert(&tcp->conns, conn);
	if (err < 0)
		return err;
	new->carrier = carrier;
	new->watch = vs_watch_new(tcp->loop, new->fd, VS_READ, on_socket, new);
	if (!new->watch) {
		err = errno ? -errno : -ENOMEM;
		vs_conntable_remove(&tcp->conns, conn);
		return err;
	}
	if (new->pending_len)
		block(tcp, new);
	return 0;
}

static struct vs_conn *tcp_release(struct vs_carrier *carrier, const struct vs_addr *peer, const struct vs_addr *local)
{
	struct vs_carrier_tcp *tcp = tcp_of(carrier);
	vs_carrier_flush(carrier);
	struct vs_tcp_conn *conn = find(tcp, peer, local);
	if (!conn)
		return NULL;
	assert(conn != tcp->reading);
	detach(tcp, conn);
	conn->stalled = false;
	return &conn->conn;
}

static void tcp_close(struct vs_carrier *carrier, const struct vs_addr *peer, const struct vs_addr *local)
{
	struct vs_carrier_tcp *tcp = tcp_of(carrier);
	vs_carrier_flush(carrier);
	struct vs_tcp_conn *conn = find(tcp, peer, local);
	if (!conn)
		return;
	detach(tcp, conn);
	/* The reader looks at it once more. */
	conn->closing = conn == tcp->reading;
	if (!conn->closing)
		vs_conn_free(&conn->conn);
}

/* --- Life --- */

static void tcp_free(struct vs_carrier *carrier)
{
	struct vs_carrier_tcp *tcp = tcp_of(carrier);
	struct vs_conn *conn;
	while ((conn = vs_conntable_take_any(&tcp->conns))) {
		detach(tcp, vs_tcp_conn_of(conn));
		vs_conn_free(conn);
	}
	vs_timer_fini(&tcp->stall_timer);
	free(carrier->tx);
	free(tcp);
}

static const struct vs_carrier_ops tcp_ops = {
	.name = "tcp",
	.kind = VS_CARRIER_TCP,
	.overhead_v4 = 20 + 20 + VS_TCP_FRAMING,
	.overhead_v6 = 40 + 20 + VS_TCP_FRAMING,
	.flush = tcp_flush,
	.free = tcp_free,
	.adopt = tcp_adopt,
	.release = tcp_release,
	.close = tcp_close,
	.ready = tcp_ready,
};

int vs_carrier_tcp_new(struct vs_loop *loop, const struct vs_carrier_handler *handler, struct vs_drops *drops,
		       struct vs_carrier **out)
{
	struct vs_carrier_tcp *tcp = calloc(1, sizeof(*tcp));
	if (!tcp)
		return -ENOMEM;
	tcp->carrier.ops = &tcp_ops;
	tcp->carrier.tx = calloc(1, sizeof(*tcp->carrier.tx));
	int err = tcp->carrier.tx ? vs_timer_init(&tcp->stall_timer, loop, on_stall, tcp) : -ENOMEM;
	if (err < 0) {
		free(tcp->carrier.tx);
		free(tcp);
		return err;
	}
	tcp->handler = *handler;
	tcp->drops = drops;
	tcp->loop = loop;
	vs_conntable_init(&tcp->conns);
	vs_list_init(&tcp->blocked);
	*out = &tcp->carrier;
	return 0;
}
