#include "io/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/gso.h"
#include "io/carrier_udp.h"
#include "io/tap_super.h"
#include "io/worker_state.h"

/* Frames that one datagram can complete: a window of segments, each full of the smallest frames, is an upper bound;
 * what goes beyond is dropped and counted. */
#define ARRIVED_MAX 65536
#define ARRIVED_CONTROL_MAX 64

/* --- Carriers --- */

/* Those that it has held go first, in their order. */
static void release_held(struct vs_worker *worker, enum vs_carrier_kind kind)
{
	struct vs_list *held = &worker->held[kind];
	struct vs_wport *port;
	VS_LIST_FOREACH(held, port, struct vs_wport, dirty)
		port->held = false;
	vs_list_splice(held, &worker->dirty);
	vs_list_splice(&worker->dirty, held);
	vs_deferred_schedule(&worker->turn_end);
}

static void on_resumed(void *arg, struct vs_carrier *carrier)
{
	release_held(arg, carrier->ops->kind);
}

static void on_error(void *arg, struct vs_carrier *carrier, const struct vs_carrier_error *error)
{
	struct vs_worker *worker = arg;
	(void)carrier;
	if (worker->handler.carrier_error)
		worker->handler.carrier_error(worker->handler.arg, error);
}

struct vs_carrier_handler vs_worker_carrier_handler(struct vs_worker *worker)
{
	return (struct vs_carrier_handler){
		.receive = vs_worker_on_receive,
		.resumed = on_resumed,
		.error = on_error,
		.conn_closed = vs_worker_on_conn_closed,
		.arg = worker,
	};
}

int vs_worker_open_udp(struct vs_worker *worker, int fd4, int fd6, bool errors)
{
	struct vs_udp_options options = { .errors = errors };
	struct vs_carrier_handler handler = vs_worker_carrier_handler(worker);
	struct vs_carrier *carrier;
	int err = vs_carrier_udp_new(worker->loop, fd4, fd6, &options, &handler, &worker->drops, &carrier);
	if (err < 0)
		return err;
	vs_carrier_free(worker->carriers[VS_CARRIER_UDP]);
	worker->carriers[VS_CARRIER_UDP] = carrier;
	/* Links that the old one had blocked. */
	release_held(worker, VS_CARRIER_UDP);
	return 0;
}

/* --- Ports --- */

struct vs_wport *vs_wport_new(struct vs_worker *worker, uint16_t id, void *user)
{
	struct vs_wport *port = calloc(1, sizeof(*port));
	if (!port)
		return NULL;
	port->worker = worker;
	port->user = user;
	port->id = id;
	port->fd = -1;
	vs_list_init(&port->dirty);
	vs_list_init(&port->waiting);
	vs_list_init(&port->conns);
	worker->by_id[id] = port;
	vs_list_append(&worker->ports, &port->node);
	return port;
}

static void free_port(struct vs_wport *port)
{
	port->worker->by_id[port->id] = NULL;
	vs_list_remove(&port->node);
	vs_list_remove(&port->dirty);
	vs_list_remove(&port->waiting);
	free(port->run);
	free(port);
}

int vs_worker_add_tap(struct vs_worker *worker, int fd, uint32_t mtu, uint16_t id, void *user, struct vs_wport **out)
{
	struct vs_wport *port = vs_wport_new(worker, id, user);
	if (!port) {
		close(fd);
		return -ENOMEM;
	}
	port->fd = fd;
	port->super = vs_tap_has_super(fd);
	if (port->super) {
		port->run = calloc(1, sizeof(*port->run));
		if (!port->run) {
			vs_worker_remove(worker, port);
			return -ENOMEM;
		}
	}
	port->frame_max = mtu + VS_ETH_HEADER + 2 * 4; /* two tags */
	port->watch = vs_watch_new(worker->loop, fd, VS_READ, vs_worker_on_tap, port);
	if (!port->watch) {
		int err = errno ? -errno : -ENOMEM;
		vs_worker_remove(worker, port);
		return err;
	}
	*out = port;
	return 0;
}

int vs_worker_add_link(struct vs_worker *worker, const struct vs_link_config *link, uint16_t id, void *user,
		       struct vs_wport **out)
{
	struct vs_wport *port = vs_wport_new(worker, id, user);
	if (!port)
		return -ENOMEM;
	struct vs_link_config complete = *link;
	complete.pool = worker->pool;
	complete.flow_key = worker->flow_key;
	int err = vs_timer_init(&port->timer, worker->loop, vs_worker_on_timer, port);
	if (err < 0) {
		free_port(port);
		return err;
	}
	port->link = vs_link_new(&complete, vs_loop_now(worker->loop));
	if (!port->link) {
		vs_timer_fini(&port->timer);
		free_port(port);
		return -ENOMEM;
	}
	*out = port;
	return 0;
}

/* Frees a link by way of a goodbye; each index that leads to it goes back. */
static void remove_link(struct vs_wport *port)
{
	vs_wport_flush(port);
	vs_wport_return_retired(port);
	vs_link_end(port->link);
	vs_wport_return_retired(port);
	vs_wport_close_conns(port);
	vs_timer_fini(&port->timer);
	vs_link_free(port->link);
}

void vs_worker_remove(struct vs_worker *worker, struct vs_wport *port)
{
	(void)worker;
	if (!port)
		return;
	if (port->link)
		remove_link(port);
	if (port->plain)
		vs_wport_close_plain(port);
	if (port->run)
		vs_wport_write_run(port);
	vs_watch_free(port->watch);
	if (port->fd >= 0)
		close(port->fd);
	free_port(port);
}

struct vs_link *vs_wport_link(const struct vs_wport *port)
{
	return port->link;
}

void *vs_wport_user(const struct vs_wport *port)
{
	return port->user;
}

uint16_t vs_wport_id(const struct vs_wport *port)
{
	return port->id;
}

int vs_worker_take_index(struct vs_worker *worker, struct vs_wport *port, uint32_t *index)
{
	return vs_indextable_take(worker->indices, port, index);
}

void vs_worker_drop_index(struct vs_worker *worker, uint32_t index)
{
	vs_indextable_assign(worker->indices, index, NULL);
}

int vs_wport_install(struct vs_wport *port, const struct vs_session_keys *keys, const struct vs_params *params)
{
	int err = vs_link_install(port->link, keys, params, vs_loop_now(port->worker->loop));
	vs_wport_return_retired(port);
	vs_wport_touch(port);
	return err;
}

/* --- Life --- */

struct vs_worker *vs_worker_new(struct vs_loop *loop, const struct vs_worker_config *config,
				const struct vs_worker_handler *handler)
{
	struct vs_worker *worker = calloc(1, sizeof(*worker));
	if (!worker)
		return NULL;
	worker->loop = loop;
	worker->handler = *handler;
	worker->flow_key = config->flow_key;
	worker->bridge = config->bridge;
	worker->number = config->number;
	vs_list_init(&worker->ports);
	vs_list_init(&worker->dirty);
	vs_list_init(&worker->waiting);
	for (int kind = 0; kind < VS_CARRIER_KINDS; kind++)
		vs_list_init(&worker->held[kind]);
	vs_deferred_init(&worker->turn_end, loop, vs_worker_end_turn, worker);
	vs_frame_list_init(&worker->arrived.frames, ARRIVED_MAX);
	vs_frame_list_init(&worker->arrived.control, ARRIVED_CONTROL_MAX);
	vs_frame_list_init(&worker->segments, VS_GSO_SEGMENTS_MAX);
	worker->pool = vs_pool_new(config->pool_bytes);
	worker->indices = vs_indextable_new(config->number);
	worker->has_sweep_timer = vs_timer_init(&worker->sweep_timer, loop, vs_worker_sweep, worker) == 0;
	if (!worker->pool || !worker->indices || !worker->has_sweep_timer) {
		vs_worker_free(worker);
		return NULL;
	}
	return worker;
}

void vs_worker_adopt(struct vs_worker *worker)
{
	vs_pool_adopt(worker->pool);
}

void vs_worker_free(struct vs_worker *worker)
{
	struct vs_wport *port;
	if (!worker)
		return;
	while ((port = VS_LIST_FIRST(&worker->ports, struct vs_wport, node)))
		vs_worker_remove(worker, port);
	for (int kind = 0; kind < VS_CARRIER_KINDS; kind++) {
		if (worker->carriers[kind])
			vs_carrier_flush(worker->carriers[kind]);
		vs_carrier_free(worker->carriers[kind]);
	}
	if (worker->has_sweep_timer)
		vs_timer_fini(&worker->sweep_timer);
	vs_deferred_cancel(&worker->turn_end);
	vs_frame_list_fini(&worker->arrived.frames);
	vs_frame_list_fini(&worker->arrived.control);
	vs_frame_list_fini(&worker->segments);
	vs_indextable_free(worker->indices);
	vs_frame_unref(worker->landing);
	vs_pool_free(worker->pool);
	free(worker);
}

/* Structures that hold nothing but 64-bit counters are added up as what they are: rows of numbers. */
static void add_counters(void *sum, const void *stats, size_t size)
{
	uint64_t *to = sum;
	const uint64_t *from = stats;
	for (size_t i = 0; i < size / sizeof(*to); i++)
		to[i] += from[i];
}

void vs_worker_stats(const struct vs_worker *worker, struct vs_worker_stats *out)
{
	*out = (struct vs_worker_stats){
		.drops = worker->drops,
		.bridge = *vs_bridge_stats(worker->bridge, worker->number),
		.sessions = vs_indextable_count(worker->indices),
	};
	vs_pool_stats(worker->pool, &out->pool);
	for (int kind = 0; kind < VS_CARRIER_KINDS; kind++)
		if (worker->carriers[kind])
			add_counters(&out->carrier, &worker->carriers[kind]->stats, sizeof(out->carrier));
}

void vs_worker_stats_add(struct vs_worker_stats *sum, const struct vs_worker_stats *stats)
{
	add_counters(&sum->pool, &stats->pool, sizeof(sum->pool));
	add_counters(&sum->drops, &stats->drops, sizeof(sum->drops));
	add_counters(&sum->bridge, &stats->bridge, sizeof(sum->bridge));
	add_counters(&sum->carrier, &stats->carrier, sizeof(sum->carrier));
	sum->sessions += stats->sessions;
}
