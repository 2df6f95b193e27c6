/* Ports: what the deciding thread wants of them, done by their workers. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/datapath_state.h"

/* A call about a port: which arguments count depends on the function that is called. */
struct port_call {
	struct vs_dport *port;
	int err;
	union {
		struct {
			int fd;
			uint32_t mtu;
		} tap;
		const struct vs_link_config *link;
		struct {
			int fd;
			const struct vs_plain_config *config;
			const uint8_t *first;
			size_t len;
		} plain;
		struct {
			const struct vs_session_keys *keys;
			const struct vs_params *params;
		} session;
		struct vs_conn *conn;
		uint32_t index;
		uint8_t reason;
		struct vs_dport_view *view;
	};
};

static void call_worker(struct vs_dport *port, void (*fn)(void *arg), struct port_call *call)
{
	call->port = port;
	vs_mailbox_call(port->lane->calls, fn, call);
}

/* --- On the worker --- */

static void add_tap(void *arg)
{
	struct port_call *call = arg;
	struct vs_dport *port = call->port;
	call->err = vs_worker_add_tap(port->lane->worker, call->tap.fd, call->tap.mtu, port->id, port, &port->port);
	if (call->err == 0)
		vs_bridge_port_set_up(port->lane->datapath->bridge, port->id, true);
}

static void add_link(void *arg)
{
	struct port_call *call = arg;
	struct vs_dport *port = call->port;
	call->err = vs_worker_add_link(port->lane->worker, call->link, port->id, port, &port->port);
}

static void add_plain(void *arg)
{
	struct port_call *call = arg;
	struct vs_dport *port = call->port;
	call->err = vs_worker_add_plain(port->lane->worker, call->plain.fd, call->plain.config, call->plain.first,
					call->plain.len, port->id, port, &port->port);
}

static void remove_port(void *arg)
{
	struct port_call *call = arg;
	struct vs_dport *port = call->port;
	/* Here, and not before: until now the link might have come up. */
	vs_bridge_port_set_up(port->lane->datapath->bridge, port->id, false);
	if (call->reason)
		vs_link_close(vs_wport_link(port->port), call->reason);
	vs_worker_remove(port->lane->worker, port->port);
}

static void take_index(void *arg)
{
	struct port_call *call = arg;
	call->err = vs_worker_take_index(call->port->lane->worker, call->port->port, &call->index);
}

static void drop_index(void *arg)
{
	struct port_call *call = arg;
	vs_worker_drop_index(call->port->lane->worker, call->index);
}

static void install(void *arg)
{
	struct port_call *call = arg;
	call->err = vs_wport_install(call->port->port, call->session.keys, call->session.params);
}

static void renew(void *arg)
{
	struct port_call *call = arg;
	vs_link_renew(vs_wport_link(call->port->port), vs_loop_now(call->port->lane->loop));
	vs_wport_touch(call->port->port);
}

static void adopt_conn(void *arg)
{
	struct port_call *call = arg;
	call->err = vs_worker_adopt_conn(call->port->lane->worker, call->port->port, call->conn);
}

static void view_link(const struct vs_link *link, uint64_t now, struct vs_dport_view *view)
{
	view->path = *vs_link_path(link);
	view->up = vs_link_is_up(link);
	if (view->up)
		view->params = *vs_link_params(link);
	view->close_reason = vs_link_close_reason(link);
	view->drops = *vs_link_drops(link);
	vs_link_stats(link, now, &view->stats);
}

static void view(void *arg)
{
	struct port_call *call = arg;
	const struct vs_lane *lane = call->port->lane;
	*call->view = (struct vs_dport_view){
		.counters = *vs_bridge_port_counters(lane->datapath->bridge, call->port->id),
	};
	if (call->port->is_link)
		view_link(vs_wport_link(call->port->port), vs_loop_now(lane->loop), call->view);
	if (call->port->is_plain)
		vs_wport_view_plain(call->port->port, &call->view->plain);
}

/* --- On the deciding thread --- */

static struct vs_lane *least_used(struct vs_datapath *path)
{
	struct vs_lane *least = &path->lanes[0];
	for (unsigned i = 1; i < path->workers; i++)
		if (path->lanes[i].ports < least->ports)
			least = &path->lanes[i];
	return least;
}

static int new_port(struct vs_lane *lane, const struct vs_port_config *config, void *user, struct vs_dport **out)
{
	struct vs_dport *port = calloc(1, sizeof(*port));
	if (!port)
		return -ENOMEM;
	port->lane = lane;
	port->user = user;
	vs_list_init(&port->told);
	int err = vs_bridge_port_add(lane->datapath->bridge, config, lane->number, &port->id);
	if (err < 0) {
		free(port);
		return err;
	}
	vs_list_append(&lane->datapath->ports, &port->node);
	*out = port;
	return 0;
}

static void free_port(struct vs_dport *port)
{
	struct vs_datapath *path = port->lane->datapath;
	vs_bridge_port_remove(path->bridge, port->id);
	vs_datapath_reclaim_later(path);
	vs_list_remove(&port->node);
	free(port);
}

/* Has the worker put something behind the port. */
static int finish_adding(struct vs_dport *port, void (*fn)(void *arg), struct port_call *call, struct vs_dport **out)
{
	call_worker(port, fn, call);
	if (call->err < 0) {
		free_port(port);
		return call->err;
	}
	port->lane->ports++;
	*out = port;
	return 0;
}

int vs_datapath_add_tap(struct vs_datapath *path, int fd, uint32_t mtu, const struct vs_port_config *config, void *user,
			struct vs_dport **out)
{
	struct port_call call = { .tap = { .fd = fd, .mtu = mtu } };
	struct vs_dport *port;
	int err = new_port(least_used(path), config, user, &port);
	if (err < 0) {
		close(fd);
		return err;
	}
	return finish_adding(port, add_tap, &call, out);
}

int vs_datapath_add_link(struct vs_datapath *path, const struct vs_link_config *link,
			 const struct vs_port_config *config, void *user, struct vs_dport **out)
{
	struct port_call call = { .link = link };
	struct vs_dport *port;
	int err = new_port(least_used(path), config, user, &port);
	if (err < 0)
		return err;
	port->is_link = true;
	return finish_adding(port, add_link, &call, out);
}

int vs_datapath_add_plain(struct vs_datapath *path, int fd, const struct vs_plain_config *plain, const uint8_t *first,
			  size_t len, const struct vs_port_config *config, void *user, struct vs_dport **out)
{
	struct port_call call = { .plain = { .fd = fd, .config = plain, .first = first, .len = len } };
	struct vs_dport *port;
	int err = new_port(least_used(path), config, user, &port);
	if (err < 0) {
		close(fd);
		return err;
	}
	port->is_plain = true;
	return finish_adding(port, add_plain, &call, out);
}

void vs_dport_remove(struct vs_dport *port, uint8_t reason)
{
	if (!port)
		return;
	struct vs_lane *lane = port->lane;
	struct port_call call = { .reason = port->is_link ? reason : 0 };
	call_worker(port, remove_port, &call);
	lane->ports--;
	/* The worker does not know the port any more: what it has told is the last of it. */
	pthread_mutex_lock(&lane->events_lock);
	vs_list_remove(&port->told);
	pthread_mutex_unlock(&lane->events_lock);
	free_port(port);
}

int vs_dport_configure(struct vs_dport *port, const struct vs_port_config *config)
{
	struct vs_datapath *path = port->lane->datapath;
	int err = vs_bridge_port_configure(path->bridge, port->id, config, vs_loop_now(path->loop));
	vs_datapath_reclaim_later(path);
	return err;
}

void *vs_dport_user(const struct vs_dport *port)
{
	return port->user;
}

uint16_t vs_dport_id(const struct vs_dport *port)
{
	return port->id;
}

unsigned vs_dport_worker(const struct vs_dport *port)
{
	return port->lane->number;
}

int vs_dport_take_index(struct vs_dport *port, uint32_t *index)
{
	struct port_call call = { 0 };
	call_worker(port, take_index, &call);
	*index = call.index;
	return call.err;
}

void vs_dport_drop_index(struct vs_dport *port, uint32_t index)
{
	struct port_call call = { .index = index };
	call_worker(port, drop_index, &call);
}

int vs_dport_install(struct vs_dport *port, const struct vs_session_keys *keys, const struct vs_params *params)
{
	struct port_call call = { .session = { .keys = keys, .params = params } };
	call_worker(port, install, &call);
	return call.err;
}

void vs_dport_renew(struct vs_dport *port)
{
	struct port_call call = { 0 };
	call_worker(port, renew, &call);
}

int vs_dport_adopt_conn(struct vs_dport *port, struct vs_conn *conn)
{
	struct port_call call = { .conn = conn };
	call_worker(port, adopt_conn, &call);
	return call.err;
}

void vs_dport_view(struct vs_dport *port, struct vs_dport_view *out)
{
	struct port_call call = { .view = out };
	call_worker(port, view, &call);
}
