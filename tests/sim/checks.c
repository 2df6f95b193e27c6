#include "sim/checks.h"

#include <inttypes.h>

#define TICK (100 * VS_MSEC)

/* Over the receive budget there may be one kept buffer, and a partial frame in each lane's deframer. */
#define HELD_MAX ((4u << 20) + 9600u + VS_LANES_MAX * VS_ETH_FRAME_MAX)

static const struct vs_queue_config queue_config = VS_QUEUE_CONFIG_DEFAULT;

/* --- Stalls --- */

static uint64_t round_trip(struct sim_world *w, unsigned client)
{
	uint64_t now = w->clock.now;
	const struct vs_impair_config *up = vs_impair_config(w->clients[client].up.impair, now);
	uint64_t usec = up->delay_usec + up->jitter_usec + up->reorder_usec;
	const struct vs_impair_config *down = vs_impair_config(w->clients[client].down.impair, now);
	return usec + down->delay_usec + down->jitter_usec + down->reorder_usec;
}

/* Whether chance may lose what is sent to or from the client. Then each hop of a flow may stall by itself until the
 * sender gives a frame up, one after the other, and a handshake may take several attempts. */
static bool is_lossy(struct sim_world *w, unsigned client)
{
	uint64_t now = w->clock.now;
	return vs_impair_config(w->clients[client].up.impair, now)->loss > 0 ||
	       vs_impair_config(w->clients[client].down.impair, now)->loss > 0;
}

static bool awaits_handshake(const struct sim_client *c)
{
	return c->initiator && (vs_initiator_busy(c->initiator) || !vs_link_is_up(c->end.link));
}

/* Since when the client has to deliver, and within which time. */
static uint64_t obliged_since(struct sim_checks *k, const struct sim_flow *flow, unsigned client, uint64_t *max)
{
	struct sim_world *w = k->traffic->world;
	uint64_t since = k->works_usec[client];
	if (since > flow->last_usec)
		*max = VS_MAX(*max, k->stall_max[client]);
	if (is_lossy(w, client)) {
		*max = VS_MAX(*max, 2 * SIM_STALL_MAX);
		const struct sim_client *c = &w->clients[client];
		since = VS_MAX(since, awaits_handshake(c) ? w->clock.now : c->up_usec);
	}
	return since;
}

/* A watched flow has not delivered since flow->last_usec. */
static void check_stall(struct sim_checks *k, struct sim_flow *flow, uint64_t now)
{
	struct sim_world *w = k->traffic->world;
	unsigned from = flow->config.from, to = flow->config.to;
	uint64_t max = SIM_STALL_MAX;
	if (k->broken[from] || k->broken[to] || k->stopped)
		return;
	uint64_t since = VS_MAX(obliged_since(k, flow, from, &max), obliged_since(k, flow, to, &max));
	since = VS_MAX(since, flow->last_usec);
	uint64_t slack = 2 * (round_trip(w, from) + round_trip(w, to));
	uint64_t stall = vs_time_since(vs_time_since(now, since), slack);
	uint64_t *worst = max == SIM_STALL_MAX ? &k->stall_worst : &k->restart_stall_worst;
	*worst = VS_MAX(*worst, stall);
	if (stall <= max || flow->stall_reported == since)
		return;
	flow->stall_reported = since;
	sim_fail(w, "flow %u (%u to %u) has stalled for %.3f s, %.3f s are allowed", flow->id, from, to,
		 (double)(now - since) / 1e6, (double)(max + slack) / 1e6);
}

static void delivered(struct sim_traffic *t, struct sim_flow *flow, uint64_t now)
{
	if (flow->config.watched)
		check_stall(t->user, flow, now);
}

void sim_checks_break(struct sim_checks *k, unsigned client)
{
	k->broken[client]++;
	k->breaks++;
}

void sim_checks_works(struct sim_checks *k, unsigned client, uint64_t stall_max)
{
	if (--k->broken[client])
		return;
	k->works_usec[client] = k->traffic->world->clock.now;
	k->stall_max[client] = stall_max;
}

/* --- Memory --- */

static void check_memory(struct sim_world *w, const char *who, unsigned client, const struct sim_end_books *books)
{
	if (books->queue_frames_max > queue_config.limit_frames || books->queue_bytes_max > queue_config.limit_bytes)
		sim_fail(w, "%s %u: the queue held %" PRIu64 " frames, %" PRIu64 " bytes", who, client, books->queue_frames_max,
			 books->queue_bytes_max);
	if (books->held_max > HELD_MAX)
		sim_fail(w, "%s %u: %" PRIu64 " bytes were kept out of order", who, client, books->held_max);
}

static void trace_end(struct sim_world *w, const char *who, unsigned client, const struct sim_end *end)
{
	struct vs_link_stats s;
	char fec[VS_FEC_TEXT_MAX];
	if (!end->link)
		return;
	vs_link_stats(end->link, w->clock.now, &s);
	sim_trace(w, "%s %u: queue %u, in flight %u (%" PRIu64 " bytes), waiting %u, kept %zu, window %" PRIu64
		     ", rate %" PRIu64 ", bandwidth %" PRIu64 " (%s), rtt %" PRIu64 " min %" PRIu64 ", reordering %" PRIu64
		     ", datagram %u (%s), segments %" PRIu64 " + %" PRIu64 " again, lost %" PRIu64 ", spurious %" PRIu64
		     ", fec %s (%u %%), %" PRIu64 " parities, %" PRIu64 " recovered",
		  who, client, s.queue.frames, s.arq_tx.inflight, s.arq_tx.inflight_bytes, s.arq_tx.waiting,
		  s.arq_rx.held, s.window_bytes, s.rate_bps, s.bandwidth_bps, s.congestion_state, s.srtt_usec,
		  s.min_rtt_usec, s.arq_tx.reorder_usec, s.datagram, s.mtu_state, s.arq_tx.segments,
		  s.arq_tx.retransmitted, s.arq_tx.lost, s.arq_tx.spurious, vs_fec_format(&s.fec, fec),
		  (unsigned)(s.fec_share_q16 * 100 / 65536), s.tx_parity, s.fec_recovered);
}

/* Ten lines a second and client, for whoever replays a run. */
static void trace_ends(struct sim_world *w)
{
	for (unsigned i = 0; w->config.trace && i < w->config.clients; i++) {
		trace_end(w, "client", i, &w->clients[i].end);
		if (w->server.running && w->server.slots[i].current)
			trace_end(w, "server", i, &w->server.slots[i].current->end);
	}
}

static void tick(struct sim_event *event, uint64_t now)
{
	struct sim_checks *k = VS_CONTAINER_OF(event, struct sim_checks, timer);
	struct sim_traffic *t = k->traffic;
	for (unsigned i = 0; i < t->flows_n; i++)
		if (t->flows[i].config.watched)
			check_stall(k, &t->flows[i], now);
	trace_ends(t->world);
	sim_event_set(&t->world->clock, event, now + TICK);
}

/* --- The end --- */

static bool is_drained(const struct sim_end *end, uint64_t now)
{
	struct vs_link_stats s;
	if (!end->link)
		return false;
	vs_link_stats(end->link, now, &s);
	return !s.queue.frames && !s.arq_tx.inflight && !s.arq_tx.waiting && !s.arq_rx.held;
}

bool sim_checks_drained(const struct sim_checks *k)
{
	const struct sim_world *w = k->traffic->world;
	for (unsigned i = 0; i < w->config.clients; i++) {
		const struct sim_slot_link *link = w->server.slots[i].current;
		if (!is_drained(&w->clients[i].end, w->clock.now) || !link || !is_drained(&link->end, w->clock.now))
			return false;
	}
	return true;
}

static void check_drained(struct sim_world *w, const char *who, unsigned client, const struct sim_end *end)
{
	struct vs_link_stats s;
	if (!end->link || !vs_link_is_up(end->link)) {
		sim_fail(w, "%s %u: no link at the end", who, client);
		return;
	}
	vs_link_stats(end->link, w->clock.now, &s);
	if (s.queue.frames || s.arq_tx.inflight || s.arq_tx.waiting || s.arq_rx.held)
		sim_fail(w, "%s %u: at the end %u frames are queued, %u segments in flight, %u waiting, %zu bytes kept",
			 who, client, s.queue.frames, s.arq_tx.inflight, s.arq_tx.waiting, s.arq_rx.held);
}

static void check_retransmissions(struct sim_checks *k, const char *who, unsigned client,
				  const struct sim_end_books *books, uint64_t lost)
{
	double allowed = 1.3 * (double)lost + 0.01 * (double)books->segments;
	if (allowed > 0)
		k->retransmit_worst = VS_MAX(k->retransmit_worst, (double)books->retransmitted / allowed);
	if ((double)books->retransmitted > allowed)
		sim_fail(k->traffic->world,
			 "%s %u: %" PRIu64 " of %" PRIu64 " segments sent again (%" PRIu64 " probes, %" PRIu64
			 " declared lost, %" PRIu64 " spurious), %" PRIu64 " lost",
			 who, client, books->retransmitted, books->segments, books->probes, books->declared_lost,
			 books->spurious, lost);
}

/* Reasons for drops that our own peers never give. */
static void check_drops(struct sim_world *w, const char *who, unsigned client, const struct vs_drops *drops)
{
	static const enum vs_drop never[] = {
		VS_DROP_BAD_SEAL,    VS_DROP_BAD_KIND,    VS_DROP_BAD_SEGMENT,     VS_DROP_BAD_LANE,
		VS_DROP_BAD_FRAMING, VS_DROP_BAD_REPORT,  VS_DROP_BAD_FRAGMENT,    VS_DROP_BAD_CONTROL,
		VS_DROP_NO_BUFFER,   VS_DROP_BAD_MAC1,    VS_DROP_OUT_OF_WINDOW,   VS_DROP_DATAGRAM_SHORT,
		VS_DROP_UNKNOWN_KEY, VS_DROP_BAD_HANDSHAKE, VS_DROP_DATAGRAM_TYPE, VS_DROP_SESSION_EXPIRED,
	};
	for (unsigned i = 0; i < VS_ARRAY_SIZE(never); i++)
		if (drops->count[never[i]])
			sim_fail(w, "%s %u: dropped %" PRIu64 ": %s", who, client, drops->count[never[i]],
				 vs_drop_text(never[i]));
}

static void check_end(struct sim_world *w, const char *who, unsigned client, const struct sim_end_books *books,
		      uint64_t lost)
{
	check_memory(w, who, client, books);
	check_drops(w, who, client, &books->drops);
	if (books->spins_worst > 1)
		sim_fail(w, "%s %u: was called %" PRIu64 " times in a row for nothing", who, client, books->spins_worst);
	sim_trace(w, "%s %u: %" PRIu64 " segments, %" PRIu64 " again (%" PRIu64 " probes, %" PRIu64
		     " declared lost, %" PRIu64 " spurious), %" PRIu64 " lost on the wire, %" PRIu64 " skipped, %" PRIu64
		     " handshakes, %" PRIu64 " spins",
		  who, client, books->segments, books->retransmitted, books->probes, books->declared_lost,
		  books->spurious, lost, books->skipped, books->handshakes, books->spins);
}

void sim_checks_end(struct sim_checks *k)
{
	struct sim_world *w = k->traffic->world;
	for (unsigned i = 0; i < w->config.clients; i++) {
		struct sim_client *c = &w->clients[i];
		struct sim_end_books client = sim_end_books(&c->end), server = sim_server_books(&w->server, i);
		check_end(w, "client", i, &client, c->up.segments_lost);
		check_end(w, "server", i, &server, c->down.segments_lost);
		check_drained(w, "client", i, &c->end);
		if (w->server.slots[i].current)
			check_drained(w, "server", i, &w->server.slots[i].current->end);
		check_drops(w, "client", i, &c->drops);
		if (c->errors || c->timeouts)
			sim_fail(w, "client %u: %u errors, %u timeouts", i, c->errors, c->timeouts);
		if (c->pool_failures)
			sim_fail(w, "client %u: ran out of buffers", i);
	}
	check_drops(w, "server", 0, &w->server.drops);
	if (w->server.errors || w->server.timeouts)
		sim_fail(w, "server: %u errors, %u timeouts", w->server.errors, w->server.timeouts);
}

void sim_checks_quiet(struct sim_checks *k)
{
	struct sim_world *w = k->traffic->world;
	k->stopped = true;
	for (unsigned i = 0; i < w->config.clients; i++) {
		struct sim_end_books client = sim_end_books(&w->clients[i].end), server = sim_server_books(&w->server, i);
		check_retransmissions(k, "client", i, &client, w->clients[i].up.segments_lost);
		check_retransmissions(k, "server", i, &server, w->clients[i].down.segments_lost);
	}
}

void sim_checks_init(struct sim_checks *k, struct sim_traffic *traffic)
{
	*k = (struct sim_checks){ .traffic = traffic };
	traffic->delivered = delivered;
	traffic->user = k;
	sim_event_init(&traffic->world->clock, &k->timer, tick);
	sim_event_set(&traffic->world->clock, &k->timer, traffic->world->clock.now + TICK);
}

void sim_checks_fini(struct sim_checks *k)
{
	sim_event_fini(&k->traffic->world->clock, &k->timer);
}
