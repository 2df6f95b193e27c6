/* Out: what the links have to send, into the transmit batches of their carriers, at the end of each turn. */
#include "io/worker.h"

#include <errno.h>
#include <string.h>

#include "io/worker_state.h"

void vs_wport_touch(struct vs_wport *port)
{
	struct vs_worker *worker = port->worker;
	if (!vs_list_empty(&port->dirty)) {
		if (vs_likely(!port->held) || vs_link_path(port->link)->carrier == port->held_by)
			return;
		/* Its path has left the carrier that takes no more. */
		port->held = false;
		vs_list_remove(&port->dirty);
	}
	vs_list_append(&worker->dirty, &port->dirty);
	vs_deferred_schedule(&worker->turn_end);
}

enum pumped {
	PUMPED_ALL,
	PUMPED_SOME,    /* there is more, for the next turn */
	PUMPED_BLOCKED, /* its carrier takes no more now */
};

/* Writes what the link has to send, but no more in one turn than one message of the carrier takes, before TAPs and
 * sockets are read again: a busy link must not keep the frames of others waiting. Nor less: a message costs the kernel
 * as much as eighty more datagrams in it, so none should leave half full. */
static enum pumped pump(struct vs_wport *port, uint64_t now)
{
	const struct vs_path *path = vs_link_path(port->link);
	struct vs_carrier *carrier = port->worker->carriers[path->carrier];
	if (!carrier)
		return PUMPED_ALL;
	if (!vs_carrier_ready(carrier, &path->peer, &path->local))
		return PUMPED_BLOCKED;
	size_t size = 0, bytes = 0;
	for (int i = 0; i < VS_TX_MESSAGE_DATAGRAMS && bytes + size <= VS_TX_MESSAGE_BYTES; i++) {
		uint8_t *room = vs_carrier_reserve(carrier, VS_DATAGRAM_MAX);
		if (!room)
			return PUMPED_BLOCKED;
		struct vs_link_sent sent;
		size = vs_link_output(port->link, now, room, VS_DATAGRAM_MAX, &sent);
		if (!size)
			return PUMPED_ALL;
		bytes += size;
		/* The port's id and the low bits of the counter name the datagram in the batch's results. */
		uint64_t cookie = (uint64_t)port->id << 48 | (sent.counter & UINT64_C(0xffffffffffff));
		vs_carrier_commit(carrier, size, &path->peer, &path->local, cookie, sent.probe ? VS_TX_ALONE : 0);
	}
	return PUMPED_SOME;
}

void vs_wport_return_retired(struct vs_wport *port)
{
	uint32_t index;
	while (vs_link_take_retired(port->link, &index))
		vs_indextable_assign(port->worker->indices, index, NULL);
}

static void read_results(struct vs_worker *worker, struct vs_carrier *carrier)
{
	struct vs_tx_batch *tx = carrier->tx;
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
	vs_carrier_results_done(carrier);
}

/* Tells the owner what has happened to a link, who may remove the port. */
static void tell(struct vs_wport *port)
{
	struct vs_worker *worker = port->worker;
	vs_wport_return_retired(port);
	unsigned events = vs_link_take_events(port->link);
	if (events)
		worker->handler.link_events(worker->handler.arg, port, events);
}

static void flush(struct vs_worker *worker)
{
	for (int kind = 0; kind < VS_CARRIER_KINDS; kind++) {
		struct vs_carrier *carrier = worker->carriers[kind];
		if (!carrier)
			continue;
		vs_carrier_flush(carrier);
		if (carrier->tx->results_count)
			read_results(worker, carrier);
	}
}

/* Puts the link aside until its carrier takes more; the links of other carriers go on. */
static void hold(struct vs_wport *port)
{
	port->held = true;
	port->held_by = vs_link_path(port->link)->carrier;
	vs_list_append(&port->worker->held[port->held_by], &port->dirty);
}

void vs_worker_end_turn(void *arg)
{
	struct vs_worker *worker = arg;
	uint64_t now = vs_loop_now(worker->loop);
	struct vs_wport *port;
	struct vs_list unfinished;
	vs_worker_write_runs(worker);
	vs_list_init(&unfinished);
	while ((port = VS_LIST_FIRST(&worker->dirty, struct vs_wport, dirty))) {
		enum pumped pumped = pump(port, now);
		vs_list_remove(&port->dirty);
		if (pumped == PUMPED_SOME)
			vs_list_append(&unfinished, &port->dirty);
		else if (pumped == PUMPED_BLOCKED)
			hold(port);
		else
			vs_timer_set(&port->timer, vs_link_deadline(port->link));
		/* A link that is never done, because it is busy, has events all the same. */
		tell(port);
	}
	if (!vs_list_empty(&unfinished))
		vs_deferred_schedule(&worker->turn_end);
	vs_list_splice(&worker->dirty, &unfinished);
	flush(worker);
}

void vs_worker_on_timer(void *arg, uint64_t now)
{
	(void)now;
	vs_wport_touch(arg);
}

void vs_wport_flush(struct vs_wport *port)
{
	pump(port, vs_loop_now(port->worker->loop));
	vs_deferred_schedule(&port->worker->turn_end);
}

void vs_worker_send_raw(struct vs_worker *worker, const uint8_t *datagram, size_t len, const struct vs_path *path)
{
	struct vs_carrier *carrier = worker->carriers[path->carrier];
	uint8_t *room = carrier ? vs_carrier_reserve(carrier, len) : NULL;
	if (!room) {
		vs_drop(&worker->drops, VS_DROP_SEND_FAILED);
		return;
	}
	memcpy(room, datagram, len);
	/* A cookie that names no port. */
	vs_carrier_commit(carrier, len, &path->peer, &path->local, UINT64_MAX, VS_TX_ALONE);
	vs_deferred_schedule(&worker->turn_end);
}
