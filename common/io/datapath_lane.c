/* What runs on the worker's threads, and the ways between them and the deciding thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "io/datapath_state.h"
#include "io/thread.h"

/* Handshake datagrams under way between the threads. An answer is the end of much work, and never has to wait for room:
 * there is some for each question, and for each handshake that the deciding thread may have begun. */
#define QUESTIONS 128
#define ANSWERS 512

/* Frames on their way to one worker, in the rings from all others together: a turn of theirs, and a slice of time in
 * which this one does not run. What they hold is bounded by the pools. */
#define CROSSINGS_TO_ONE 16384u
#define CROSSINGS_LEAST 1024u

/* Events that the deciding thread hears of in one go. */
#define EVENTS_BATCH 256

/* Taken in one go, of all rings together: a busy neighbour must not keep a worker from its own sockets. */
#define CROSSINGS_BATCH 1024u

/* --- To the deciding thread --- */

static void on_handshake(void *arg, const uint8_t *datagram, size_t len, const struct vs_path *path)
{
	struct vs_lane *lane = arg;
	/* A server is asked and never answered; the other types would only take the place of questions. */
	if (datagram[0] != VS_TYPE_INITIATION) {
		vs_drop(&lane->drops, VS_DROP_DATAGRAM_TYPE);
		return;
	}
	if (len < VS_INITIATION_SIZE || len > VS_HANDSHAKE_MAX) {
		vs_drop(&lane->drops, VS_DROP_BAD_HANDSHAKE);
		return;
	}
	struct vs_handshake_slot *slot = vs_ring_reserve(lane->questions);
	if (!slot) {
		vs_drop(&lane->drops, VS_DROP_HANDSHAKE_LIMIT);
		return;
	}
	slot->path = *path;
	slot->len = (uint16_t)len;
	memcpy(slot->datagram, datagram, len);
	vs_ring_commit(lane->questions);
	vs_wakeup_signal(lane->told);
}

static void tell(struct vs_dport *port, unsigned events, int tap_error)
{
	struct vs_lane *lane = port->lane;
	pthread_mutex_lock(&lane->events_lock);
	port->events |= events;
	port->tap_error |= tap_error;
	if (vs_list_empty(&port->told))
		vs_list_append(&lane->events, &port->told);
	pthread_mutex_unlock(&lane->events_lock);
	vs_wakeup_signal(lane->told);
}

/* Frames may follow at once: the port does not wait until the deciding thread has heard of it. */
static void on_link_events(void *arg, struct vs_wport *port, unsigned events)
{
	struct vs_lane *lane = arg;
	if (events & (VS_LINK_CLOSED | VS_LINK_ERROR | VS_LINK_TIMED_OUT))
		vs_bridge_port_set_up(lane->datapath->bridge, vs_wport_id(port), false);
	else if (events & VS_LINK_UP)
		vs_bridge_port_set_up(lane->datapath->bridge, vs_wport_id(port), true);
	tell(vs_wport_user(port), events, 0);
}

static void on_tap_gone(void *arg, struct vs_wport *port, int error)
{
	(void)arg;
	tell(vs_wport_user(port), 0, error);
}

static void on_plain_events(void *arg, struct vs_wport *port, unsigned events)
{
	struct vs_lane *lane = arg;
	vs_bridge_port_set_up(lane->datapath->bridge, vs_wport_id(port), !(events & VS_WPLAIN_OVER));
	tell(vs_wport_user(port), events, 0);
}

/* --- To other workers --- */

static void on_cross(void *arg, uint64_t workers, const struct vs_crossing *crossing)
{
	struct vs_lane *lane = arg;
	for (; workers; workers &= workers - 1) {
		unsigned to = (unsigned)__builtin_ctzll(workers);
		struct vs_ring *ring = lane->datapath->lanes[to].crossings[lane->number];
		struct vs_crossing *slot = vs_ring_reserve(ring);
		if (!slot) {
			vs_drop(&lane->drops, VS_DROP_RING_FULL);
			vs_frame_unref(crossing->frame);
			continue;
		}
		*slot = *crossing;
		vs_ring_commit(ring);
		lane->crossed_to |= UINT64_C(1) << to;
		vs_deferred_schedule(&lane->turn_end);
	}
}

static void end_turn(void *arg)
{
	struct vs_lane *lane = arg;
	for (uint64_t rest = lane->crossed_to; rest; rest &= rest - 1)
		vs_wakeup_signal(lane->datapath->lanes[__builtin_ctzll(rest)].arrived);
	lane->crossed_to = 0;
}

/* --- From the deciding thread and other workers --- */

static void send_answers(struct vs_lane *lane)
{
	const struct vs_handshake_slot *slot;
	while ((slot = vs_ring_peek(lane->answers))) {
		vs_worker_send_raw(lane->worker, slot->datagram, slot->len, &slot->path);
		vs_ring_pop(lane->answers);
	}
}

/* Takes `most` from a ring; returns how many there were. */
static unsigned take_crossings(struct vs_lane *lane, struct vs_ring *ring, unsigned most)
{
	const struct vs_crossing *slot;
	unsigned n = 0;
	while (n < most && (slot = vs_ring_peek(ring))) {
		struct vs_crossing crossing = *slot;
		vs_ring_pop(ring);
		vs_worker_arrive(lane->worker, &crossing);
		n++;
	}
	return n;
}

/* The rings have an equal share each; whatever is left has another turn. */
static void take_all_crossings(struct vs_lane *lane)
{
	unsigned workers = lane->datapath->workers, share = CROSSINGS_BATCH / workers;
	bool more = false;
	for (unsigned from = 0; from < workers; from++)
		if (from != lane->number)
			more |= take_crossings(lane, lane->crossings[from], share) == share;
	if (more)
		vs_wakeup_signal(lane->arrived);
}

static void on_arrived(void *arg)
{
	struct vs_lane *lane = arg;
	send_answers(lane);
	take_all_crossings(lane);
}

/* --- On the deciding thread --- */

static void take_questions(struct vs_lane *lane)
{
	const struct vs_datapath_handler *handler = &lane->datapath->handler;
	const struct vs_handshake_slot *slot;
	/* As many as there may be at once: events and calls of others have their turn. */
	for (unsigned n = 0; n < QUESTIONS && (slot = vs_ring_peek(lane->questions)); n++) {
		handler->handshake(handler->arg, slot->datagram, slot->len, &slot->path, lane->number);
		vs_ring_pop(lane->questions);
		if (n + 1 == QUESTIONS)
			vs_wakeup_signal(lane->told);
	}
}

/* The next port with events, and what they are; NULL: none. */
static struct vs_dport *take_events(struct vs_lane *lane, unsigned *events, int *tap_error)
{
	pthread_mutex_lock(&lane->events_lock);
	struct vs_dport *port = VS_LIST_FIRST(&lane->events, struct vs_dport, told);
	if (port) {
		vs_list_remove(&port->told);
		*events = port->events;
		*tap_error = port->tap_error;
		port->events = 0;
		port->tap_error = 0;
	}
	pthread_mutex_unlock(&lane->events_lock);
	return port;
}

static void on_told(void *arg)
{
	struct vs_lane *lane = arg;
	const struct vs_datapath_handler *handler = &lane->datapath->handler;
	struct vs_dport *port;
	unsigned events;
	int tap_error;
	take_questions(lane);
	for (unsigned n = 0; n < EVENTS_BATCH && (port = take_events(lane, &events, &tap_error)); n++) {
		if (n + 1 == EVENTS_BATCH)
			vs_wakeup_signal(lane->told);
		if (tap_error)
			handler->tap_gone(handler->arg, port, tap_error);
		else if (port->is_plain)
			handler->plain_events(handler->arg, port, events);
		else
			handler->link_events(handler->arg, port, events);
	}
}

/* --- Life --- */

static uint32_t crossing_slots(unsigned workers)
{
	uint32_t slots = CROSSINGS_LEAST;
	while (slots * workers < CROSSINGS_TO_ONE)
		slots *= 2;
	return slots;
}

static bool open_rings(struct vs_lane *lane)
{
	uint32_t slots = crossing_slots(lane->datapath->workers);
	lane->questions = vs_ring_new(QUESTIONS, sizeof(struct vs_handshake_slot));
	lane->answers = vs_ring_new(ANSWERS, sizeof(struct vs_handshake_slot));
	if (!lane->questions || !lane->answers)
		return false;
	for (unsigned from = 0; from < lane->datapath->workers; from++) {
		if (from == lane->number)
			continue;
		lane->crossings[from] = vs_ring_new(slots, sizeof(struct vs_crossing));
		if (!lane->crossings[from])
			return false;
	}
	return true;
}

bool vs_lane_init(struct vs_lane *lane, struct vs_datapath *datapath, unsigned number,
		  const struct vs_worker_config *worker)
{
	struct vs_worker_handler handler = {
		.handshake = on_handshake,
		.link_events = on_link_events,
		.tap_gone = on_tap_gone,
		.plain_events = on_plain_events,
		.cross = on_cross,
		.arg = lane,
	};
	lane->datapath = datapath;
	lane->number = number;
	vs_list_init(&lane->events);
	pthread_mutex_init(&lane->events_lock, NULL);
	lane->loop = vs_loop_new();
	if (!lane->loop)
		return false;
	vs_deferred_init(&lane->turn_end, lane->loop, end_turn, lane);
	lane->calls = vs_mailbox_new(lane->loop);
	lane->arrived = vs_wakeup_new(lane->loop, on_arrived, lane);
	lane->told = vs_wakeup_new(datapath->loop, on_told, lane);
	lane->worker = vs_worker_new(lane->loop, worker, &handler);
	return lane->calls && lane->arrived && lane->told && lane->worker && open_rings(lane);
}

static void *run(void *arg)
{
	struct vs_lane *lane = arg;
	vs_worker_adopt(lane->worker);
	if (vs_loop_run(lane->loop) < 0) {
		/* The kernel's event queue is broken, and the others would wait for this worker for ever. */
		vs_error("worker %u cannot wait for events", lane->number);
		abort();
	}
	return NULL;
}

int vs_lane_start(struct vs_lane *lane)
{
	char name[16];
	snprintf(name, sizeof(name), "worker%u", lane->number);
	int err = vs_thread_start(&lane->thread, name, run, lane);
	lane->started = err == 0;
	return err;
}

void vs_lane_stop(struct vs_lane *lane)
{
	if (!lane->started)
		return;
	vs_loop_stop(lane->loop);
	pthread_join(lane->thread, NULL);
	lane->started = false;
}

void vs_lane_drain(struct vs_lane *lane)
{
	const struct vs_crossing *slot;
	/* Not every lane has got as far as that. */
	if (lane->worker)
		vs_worker_adopt(lane->worker);
	for (unsigned from = 0; from < VS_WORKERS_MAX; from++) {
		while (lane->crossings[from] && (slot = vs_ring_peek(lane->crossings[from]))) {
			vs_frame_unref(slot->frame);
			vs_ring_pop(lane->crossings[from]);
		}
	}
}

void vs_lane_fini(struct vs_lane *lane)
{
	vs_worker_free(lane->worker);
	for (unsigned from = 0; from < VS_WORKERS_MAX; from++)
		vs_ring_free(lane->crossings[from]);
	vs_ring_free(lane->questions);
	vs_ring_free(lane->answers);
	vs_wakeup_free(lane->told);
	vs_wakeup_free(lane->arrived);
	vs_mailbox_free(lane->calls);
	if (lane->loop)
		vs_deferred_cancel(&lane->turn_end);
	vs_loop_free(lane->loop);
	pthread_mutex_destroy(&lane->events_lock);
}
