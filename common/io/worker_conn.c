/* The connections of the worker's links: each belongs to the port of its link, and goes with it. */
#include "io/worker.h"

#include <errno.h>

#include "io/carrier_faketcp.h"
#include "io/carrier_tcp.h"
#include "io/worker_state.h"

/* A connection that its link's path has left: so long, since what the peer has sent before may still be on its way, and
 * the path may yet come back. */
#define IDLE_MAX (10 * VS_SEC)
#define SWEEP_INTERVAL (2 * VS_SEC)

static bool is_of(const struct vs_conn *conn, const struct vs_path *path)
{
	return path->carrier == conn->kind && vs_conn_is(conn, &path->peer, &path->local);
}

static bool in_use(const struct vs_wport *port, const struct vs_conn *conn)
{
	return is_of(conn, vs_link_path(port->link));
}

static void forget(struct vs_conn *conn)
{
	struct vs_wport *port = conn->owner;
	vs_list_remove(&conn->sibling);
	port->conns_n--;
	conn->owner = NULL;
}

static void close_conn(struct vs_worker *worker, struct vs_conn *conn)
{
	struct vs_carrier *carrier = worker->carriers[conn->kind];
	forget(conn);
	carrier->ops->close(carrier, &conn->peer, &conn->local);
}

/* Of as many as a link may have, the oldest goes, unless it is in use. */
static void make_room(struct vs_wport *port)
{
	struct vs_conn *conn;
	VS_LIST_FOREACH(&port->conns, conn, struct vs_conn, sibling)
		if (port->conns_n >= VS_WORKER_CONNS_MAX && !in_use(port, conn))
			close_conn(port->worker, conn);
}

static int open_tcp(struct vs_worker *worker)
{
	struct vs_carrier_handler handler = vs_worker_carrier_handler(worker);
	return vs_carrier_tcp_new(worker->loop, &handler, &worker->drops, &worker->carriers[VS_CARRIER_TCP]);
}

int vs_worker_open_faketcp(struct vs_worker *worker, int fd4, int fd6)
{
	struct vs_carrier_faketcp_config config = { .fd4 = fd4, .fd6 = fd6 };
	struct vs_carrier_handler handler = vs_worker_carrier_handler(worker);
	return vs_carrier_faketcp_new(worker->loop, &config, &handler, &worker->drops,
				      &worker->carriers[VS_CARRIER_FAKETCP]);
}

int vs_worker_adopt_conn(struct vs_worker *worker, struct vs_wport *port, struct vs_conn *conn)
{
	int err = 0;
	if (conn->kind == VS_CARRIER_TCP && !worker->carriers[VS_CARRIER_TCP])
		err = open_tcp(worker);
	else if (conn->kind == VS_CARRIER_FAKETCP && !worker->carriers[VS_CARRIER_FAKETCP])
		err = vs_worker_open_faketcp(worker, -1, -1);
	if (err < 0)
		return err;
	struct vs_carrier *carrier = worker->carriers[conn->kind];
	if (!carrier || !carrier->ops->adopt)
		return -EAFNOSUPPORT;
	make_room(port);
	err = carrier->ops->adopt(carrier, conn);
	if (err < 0)
		return err;
	conn->owner = port;
	conn->idle_usec = 0;
	vs_list_append(&port->conns, &conn->sibling);
	port->conns_n++;
	if (!worker->sweeping)
		vs_timer_set(&worker->sweep_timer, vs_loop_now(worker->loop) + SWEEP_INTERVAL);
	worker->sweeping = true;
	return 0;
}

void vs_wport_close_conn(struct vs_wport *port, const struct vs_path *path)
{
	struct vs_conn *conn;
	VS_LIST_FOREACH(&port->conns, conn, struct vs_conn, sibling)
		if (is_of(conn, path))
			close_conn(port->worker, conn);
}

void vs_worker_on_conn_closed(void *arg, struct vs_carrier *carrier, struct vs_conn *conn, int error)
{
	struct vs_worker *worker = arg;
	struct vs_wport *port = conn->owner;
	(void)carrier;
	/* The carrier frees it in a moment. */
	forget(conn);
	if (worker->handler.conn_closed)
		worker->handler.conn_closed(worker->handler.arg, port, conn, error);
}

void vs_wport_close_conns(struct vs_wport *port)
{
	struct vs_conn *conn;
	while ((conn = VS_LIST_FIRST(&port->conns, struct vs_conn, sibling)))
		close_conn(port->worker, conn);
}

static void sweep_port(struct vs_wport *port, uint64_t now)
{
	struct vs_conn *conn;
	VS_LIST_FOREACH(&port->conns, conn, struct vs_conn, sibling) {
		if (in_use(port, conn))
			conn->idle_usec = 0;
		else if (!conn->idle_usec)
			conn->idle_usec = now;
		else if (now >= conn->idle_usec + IDLE_MAX)
			close_conn(port->worker, conn);
	}
}

void vs_worker_sweep(void *arg, uint64_t now)
{
	struct vs_worker *worker = arg;
	struct vs_wport *port;
	bool any = false;
	VS_LIST_FOREACH(&worker->ports, port, struct vs_wport, node) {
		if (port->conns_n)
			sweep_port(port, now);
		any |= port->conns_n > 0;
	}
	worker->sweeping = any;
	if (any)
		vs_timer_set(&worker->sweep_timer, now + SWEEP_INTERVAL);
}
