#include "io/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "io/carrier_udp.h"
#include "io/indextable.h"
#include "io/random.h"
#include "io/tap.h"
#include "io/tap_super.h"
#include "switch/gso.h"

/* Frames taken from a TAP in one go: more than it holds (VS_TAP_QUEUE_LEN), so that frames wait in our queue, which knows
 * flows and their delay, and not in the kernel's, which does not. */
#define TAP_BATCH 128

/* The same in bytes, for super-frames. */
#define TAP_BATCH_BYTES (512u << 10)

/* Datagrams that a link may send in one turn, before TAPs and sockets are read again: a busy link must not keep the
 * frames of others waiting. */
#define TURN_DATAGRAMS 48

/* Frames that one datagram can complete: a window of segments, each full of the smallest frames, is an upper bound; what
 * goes beyond is dropped and counted. */
#define ARRIVED_MAX 65536
#define ARRIVED_CONTROL_MAX 64

struct vs_wport {
	struct vs_worker *worker;
	struct vs_list node; /* of worker->ports */
	uint16_t id;
	void *user;

	int fd; /* -1: a link */
	bool super; /* the TAP speaks of super-frames */
	uint32_t frame_max;
	struct vs_watch *watch;

	struct vs_link *link; /* NULL: a TAP */
	struct vs_timer timer;
	struct vs_list dirty; /* of worker->dirty */
};

struct vs_worker {
	struct vs_loop *loop;
	struct vs_worker_handler handler;
	struct vs_pool *pool;
	struct vs_bridge *bridge;
	struct vs_carrier *carrier;
	struct vs_indextable *indices;
	struct vs_list ports, dirty;
	struct vs_deferred turn_end;
	uint64_t flow_key;
	struct vs_deframed arrived;
	struct vs_drops drops;
	struct vs_egress egress;
	struct vs_wport *by_id[VS_PORTS_MAX]; /* by the bridge's port id */
	struct vs_frame_list segments;        /* of one super-frame; empty between frames */
	uint8_t spill[VS_FRAME_MAX];          /* for io/tap_super.h */
};

/* --- Frames through the bridge --- */

void vs_wport_touch(struct vs_wport *port)
{
	struct vs_worker *worker = port->worker;
	if (!vs_list_empty(&port->dirty))
		return;
	vs_list_append(&worker->dirty, &port->dirty);
	vs_deferred_schedule(&worker->turn_end);
}

/* -EINVAL: a super-frame that this device does not take. That the device is gone shows when it is read. */
static int write_tap(struct vs_wport *port, const struct vs_frame *frame)
{
	if (port->super)
		return vs_tap_super_write(port->fd, frame, &port->worker->drops);
	return frame->super ? -EINVAL : vs_tap_write(port->fd, frame, &port->worker->drops);
}

static void send_link(struct vs_wport *port, struct vs_frame *frame, uint64_t now)
{
	vs_link_send(port->link, frame, now);
	vs_wport_touch(port);
}

/* For a port that does not take a super-frame: as the frames that it stands for. */
static void deliver_segments(struct vs_wport *port, struct vs_frame *super, uint64_t now)
{
	struct vs_worker *worker = port->worker;
	struct vs_frame *frame;
	if (vs_gso_segment(super, VS_ETH_FRAME_MAX, &worker->segments) < 0)
		vs_drop(&worker->drops, VS_DROP_NO_BUFFER);
	vs_frame_unref(super);
	while ((frame = vs_frame_list_pop(&worker->segments))) {
		if (port->link) {
			send_link(port, frame, now);
			continue;
		}
		int err = write_tap(port, frame);
		(void)err;
		vs_frame_unref(frame);
	}
}

/* Sends a frame out of a port; takes over the reference. */
static void deliver(struct vs_wport *port, struct vs_frame *frame, uint64_t now)
{
	if (port->link) {
		if (!frame->super || vs_link_takes_supers(port->link))
			send_link(port, frame, now);
		else
			deliver_segments(port, frame, now);
	} else if (write_tap(port, frame) == -EINVAL) {
		deliver_segments(port, frame, now);
	} else {
		vs_frame_unref(frame);
	}
}

static void forward(struct vs_wport *from, struct vs_frame *frame, uint64_t now)
{
	struct vs_worker *worker = from->worker;
	struct vs_egress *egress = &worker->egress;
	vs_bridge_input(worker->bridge, from->id, frame, now, egress);
	for (uint32_t i = 0; i < egress->count; i++) {
		deliver(worker->by_id[egress->ports[i].id], egress->ports[i].frame, now);
	}
}

static void forward_arrived(struct vs_wport *from, uint64_t now)
{
	struct vs_frame *frame;
	while ((frame = vs_frame_list_pop(&from->worker->arrived.frames))) {
		/* The peer's word is checked before the kernel, or anybody else, acts on it. */
		if (frame->super && !vs_gso_sanitize(frame)) {
			vs_drop(&from->worker->drops, VS_DROP_BAD_OFFLOAD);
			vs_frame_unref(frame);
			continue;
		}
		forward(from, frame, now);
	}
}

/* --- Links out --- */

enum pumped {
	PUMPED_ALL,
	PUMPED_SOME,    /* there is more, for the next turn */
	PUMPED_BLOCKED, /* the carrier takes no more now */
};

/* Writes what the link has to send. */
static enum pumped pump(struct vs_wport *port, uint64_t now)
{
	struct vs_worker *worker = port->worker;
	const struct vs_path *path = vs_link_path(port->link);
	if (!worker->carrier)
		return PUMPED_ALL;
	for (int i = 0; i < TURN_DATAGRAMS; i++) {
		uint8_t *room = vs_carrier_reserve(worker->carrier, VS_DATAGRAM_MAX);
		if (!room)
			return PUMPED_BLOCKED;
		struct vs_link_sent sent;
		size_t size = vs_link_output(port->link, now, room, VS_DATAGRAM_MAX, &sent);
		if (!size)
			return PUMPED_ALL;
		/* The port's id and the low bits of the counter name the datagram in the batch's results. */
		uint64_t cookie = (uint64_t)port->id << 48 | (sent.counter & UINT64_C(0xffffffffffff));
		vs_carrier_commit(worker->carrier, size, &path->peer, &path->local, cookie,
				  sent.probe ? VS_TX_ALONE : 0);
	}
	return PUMPED_SOME;
}

static void return_retired(struct vs_wport *port)
{
	uint32_t index;
	while (vs_link_take_retired(port->link, &index))
		vs_indextable_assign(port->worker->indices, index, NULL);
}

static void read_results(struct vs_worker *worker)
{
	struct vs_tx_batch *tx = worker->carrier->tx;
	uint64_t now = vs_loop_now(worker->loop);
	for (uint32_t i = 0; i < tx->results_count; i++) {
		const struct vs_tx_result *result = &tx->results[i];
		uint64_t id = result->cookie >> 48;
		struct vs_wport *port = id < VS_PORTS_MAX ? worker->by_id[id] : NULL;
		if (!port || !port->link || result->error == EADDRNOTAVAIL)
			continue;
		uint64_t counter = result->cookie & UINT64_C(0xffffffffffff);
		vs_link_refused(port->link, counter, result->size, result->error == EMSGSIZE, now);
		vs_wport_touch(port);
	}
	vs_carrier_results_done(worker->carrier);
}

/* Tells the owner what has happened to a link, who may remove the port. */
static void settle(struct vs_wport *port)
{
	struct vs_worker *worker = port->worker;
	return_retired(port);
	unsigned events = vs_link_take_events(port->link);
	vs_timer_set(&port->timer, vs_link_deadline(port->link));
	if (events)
		worker->handler.link_events(worker->handler.arg, port, events);
}

static void end_turn(void *arg)
{
	struct vs_worker *worker = arg;
	uint64_t now = vs_loop_now(worker->loop);
	struct vs_wport *port;
	struct vs_list unfinished;
	vs_list_init(&unfinished);
	while ((port = VS_LIST_FIRST(&worker->dirty, struct vs_wport, dirty))) {
		enum pumped pumped = pump(port, now);
		if (pumped == PUMPED_BLOCKED)
			break; /* resumed() goes on from here */
		vs_list_remove(&port->dirty);
		if (pumped == PUMPED_SOME)
			vs_list_append(&unfinished, &port->dirty);
		else
			settle(port);
	}
	if (!vs_list_empty(&unfinished))
		vs_deferred_schedule(&worker->turn_end);
	vs_list_splice(&worker->dirty, &unfinished);
	if (worker->carrier) {
		vs_carrier_flush(worker->carrier);
		read_results(worker);
	}
}

static void on_timer(void *arg, uint64_t now)
{
	(void)now;
	vs_wport_touch(arg);
}

/* --- Carrier --- */

static void input_data(struct vs_worker *worker, const struct vs_rx_datagram *datagram, const struct vs_path *path,
		       uint64_t now)
{
	struct vs_wport *port = vs_indextable_lookup(worker->indices, vs_get_be24(datagram->data + 1));
	if (!port) {
		vs_drop(&worker->drops, VS_DROP_NO_SESSION);
		return;
	}
	vs_link_input(port->link, datagram->data, datagram->len, path, now, &worker->arrived);
	return_retired(port);
	vs_wport_touch(port);
	forward_arrived(port, now);
}

static void on_receive(void *arg, struct vs_carrier *carrier, const struct vs_rx_batch *batch)
{
	struct vs_worker *worker = arg;
	uint64_t now = vs_loop_now(worker->loop);
	(void)carrier;
	for (uint32_t i = 0; i < batch->count; i++) {
		const struct vs_rx_datagram *datagram = &batch->datagrams[i];
		struct vs_path path = { .peer = *datagram->from, .local = *datagram->local };
		if (datagram->len < VS_SEAL_HEADER) {
			vs_drop(&worker->drops, VS_DROP_DATAGRAM_SHORT);
			continue;
		}
		switch (datagram->data[0]) {
		case VS_TYPE_DATA:
			input_data(worker, datagram, &path, now);
			break;
		case VS_TYPE_INITIATION:
		case VS_TYPE_RESPONSE:
		case VS_TYPE_COOKIE:
			worker->handler.handshake(worker->handler.arg, datagram->data, datagram->len, &path);
			break;
		default:
			vs_drop(&worker->drops, VS_DROP_DATAGRAM_TYPE);
		}
	}
}

static void on_resumed(void *arg, struct vs_carrier *carrier)
{
	struct vs_worker *worker = arg;
	(void)carrier;
	vs_deferred_schedule(&worker->turn_end);
}

static void on_error(void *arg, struct vs_carrier *carrier, const struct vs_carrier_error *error)
{
	struct vs_worker *worker = arg;
	(void)carrier;
	if (worker->handler.carrier_error)
		worker->handler.carrier_error(worker->handler.arg, error);
}

int vs_worker_open_udp(struct vs_worker *worker, int fd4, int fd6, bool errors)
{
	struct vs_udp_options options = { .errors = errors };
	struct vs_carrier_handler handler = {
		.receive = on_receive, .resumed = on_resumed, .error = on_error, .arg = worker
	};
	struct vs_carrier *carrier;
	int err = vs_carrier_udp_new(worker->loop, fd4, fd6, &options, &handler, &worker->drops, &carrier);
	if (err < 0)
		return err;
	vs_carrier_free(worker->carrier);
	worker->carrier = carrier;
	/* Links that the old one had blocked. */
	vs_deferred_schedule(&worker->turn_end);
	return 0;
}

void vs_worker_send_raw(struct vs_worker *worker, const uint8_t *datagram, size_t len, const struct vs_path *path)
{
	uint8_t *room = worker->carrier ? vs_carrier_reserve(worker->carrier, len) : NULL;
	if (!room) {
		vs_drop(&worker->drops, VS_DROP_SEND_FAILED);
		return;
	}
	memcpy(room, datagram, len);
	/* A cookie that names no port. */
	vs_carrier_commit(worker->carrier, len, &path->peer, &path->local, UINT64_MAX, VS_TX_ALONE);
	vs_deferred_schedule(&worker->turn_end);
}

/* --- TAP --- */

/* Takes a frame from the device for which there is no buffer, or the loop would spin on a readable descriptor. */
static void discard_frame(struct vs_worker *worker, int fd)
{
	uint8_t byte;
	vs_drop(&worker->drops, VS_DROP_NO_BUFFER);
	if (read(fd, &byte, sizeof(byte)) < 0)
		return;
}

/* The next complete frame of a TAP without offloads; as vs_tap_super_read(). */
static struct vs_frame *read_plain(struct vs_wport *port, int *error)
{
	struct vs_frame *frame = vs_frame_new(port->worker->pool, port->frame_max + 1);
	if (!frame) {
		discard_frame(port->worker, port->fd);
		*error = -ENOBUFS;
		return NULL;
	}
	*error = vs_tap_read(port->fd, frame, &port->worker->drops);
	if (*error == 0)
		return frame;
	vs_frame_unref(frame);
	return NULL;
}

static void on_tap(void *arg, int fd, unsigned events)
{
	struct vs_wport *port = arg;
	struct vs_worker *worker = port->worker;
	uint64_t now = vs_loop_now(worker->loop);
	size_t bytes = 0;
	(void)events;
	for (int i = 0; i < TAP_BATCH && bytes < TAP_BATCH_BYTES; i++) {
		int err;
		struct vs_frame *frame =
			port->super ? vs_tap_super_read(fd, worker->pool, worker->spill, &worker->drops, &err)
				    : read_plain(port, &err);
		if (frame) {
			bytes += frame->len;
			forward(port, frame, now);
		} else if (err != -ENOBUFS && err != -EMSGSIZE) {
			if (err != -EAGAIN)
				worker->handler.tap_gone(worker->handler.arg, port, -err);
			return;
		}
	}
}

/* --- Ports --- */

static struct vs_wport *new_port(struct vs_worker *worker, const struct vs_port_config *config, void *user, int *err)
{
	struct vs_wport *port = calloc(1, sizeof(*port));
	if (!port) {
		*err = -ENOMEM;
		return NULL;
	}
	port->worker = worker;
	port->user = user;
	port->fd = -1;
	vs_list_init(&port->dirty);
	*err = vs_bridge_port_add(worker->bridge, config, &port->id);
	if (*err < 0) {
		free(port);
		return NULL;
	}
	worker->by_id[port->id] = port;
	vs_list_append(&worker->ports, &port->node);
	return port;
}

static void free_port(struct vs_wport *port)
{
	vs_bridge_port_remove(port->worker->bridge, port->id);
	port->worker->by_id[port->id] = NULL;
	vs_list_remove(&port->node);
	vs_list_remove(&port->dirty);
	free(port);
}

int vs_worker_add_tap(struct vs_worker *worker, int fd, uint32_t mtu, const struct vs_port_config *config, void *user,
		      struct vs_wport **out)
{
	int err;
	struct vs_wport *port = new_port(worker, config, user, &err);
	if (!port) {
		close(fd);
		return err;
	}
	port->fd = fd;
	port->super = vs_tap_has_super(fd);
	port->frame_max = mtu + VS_ETH_HEADER + 2 * 4; /* two tags */
	port->watch = vs_watch_new(worker->loop, fd, VS_READ, on_tap, port);
	if (!port->watch) {
		vs_worker_remove(worker, port);
		return -ENOMEM;
	}
	vs_bridge_port_set_up(worker->bridge, port->id, true);
	*out = port;
	return 0;
}

int vs_worker_add_link(struct vs_worker *worker, const struct vs_link_config *link, const struct vs_port_config *config,
		       void *user, struct vs_wport **out)
{
	int err;
	struct vs_wport *port = new_port(worker, config, user, &err);
	if (!port)
		return err;
	struct vs_link_config complete = *link;
	complete.pool = worker->pool;
	complete.flow_key = worker->flow_key;
	err = vs_timer_init(&port->timer, worker->loop, on_timer, port);
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

void vs_wport_flush(struct vs_wport *port)
{
	pump(port, vs_loop_now(port->worker->loop));
	vs_deferred_schedule(&port->worker->turn_end);
}

/* Frees a link by way of a goodbye; each index that leads to it goes back. */
static void remove_link(struct vs_wport *port)
{
	vs_wport_flush(port);
	return_retired(port);
	vs_link_end(port->link);
	return_retired(port);
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

void vs_wport_set_up(struct vs_wport *port, bool up)
{
	vs_bridge_port_set_up(port->worker->bridge, port->id, up);
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
	return_retired(port);
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
	worker->flow_key = vs_random_u64();
	vs_list_init(&worker->ports);
	vs_list_init(&worker->dirty);
	vs_deferred_init(&worker->turn_end, loop, end_turn, worker);
	vs_frame_list_init(&worker->arrived.frames, ARRIVED_MAX);
	vs_frame_list_init(&worker->arrived.control, ARRIVED_CONTROL_MAX);
	vs_frame_list_init(&worker->segments, VS_GSO_SEGMENTS_MAX);
	worker->pool = vs_pool_new(config->pool_bytes);
	worker->bridge = vs_bridge_new(&config->bridge);
	worker->indices = vs_indextable_new(config->number);
	if (!worker->pool || !worker->bridge || !worker->indices) {
		vs_worker_free(worker);
		return NULL;
	}
	return worker;
}

void vs_worker_free(struct vs_worker *worker)
{
	if (!worker)
		return;
	struct vs_wport *port;
	while ((port = VS_LIST_FIRST(&worker->ports, struct vs_wport, node)))
		vs_worker_remove(worker, port);
	if (worker->carrier)
		vs_carrier_flush(worker->carrier);
	vs_carrier_free(worker->carrier);
	vs_deferred_cancel(&worker->turn_end);
	vs_frame_list_fini(&worker->arrived.frames);
	vs_frame_list_fini(&worker->arrived.control);
	vs_frame_list_fini(&worker->segments);
	vs_indextable_free(worker->indices);
	vs_bridge_free(worker->bridge);
	vs_pool_free(worker->pool);
	free(worker);
}

struct vs_bridge *vs_worker_bridge(const struct vs_worker *worker)
{
	return worker->bridge;
}

void vs_worker_stats(const struct vs_worker *worker, struct vs_worker_stats *out)
{
	*out = (struct vs_worker_stats){ .drops = worker->drops, .sessions = vs_indextable_count(worker->indices) };
	vs_pool_stats(worker->pool, &out->pool);
	if (worker->carrier)
		out->carrier = worker->carrier->stats;
}
