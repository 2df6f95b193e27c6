#include "path_model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

void path_init(struct path *p, const struct path_config *config)
{
	memset(p, 0, sizeof(*p));
	p->config = *config;
	p->now = 1 * VS_SEC; /* not 0, and not aligned with anything */
	p->busy_until = p->now * 1000;
	p->policer_usec = p->now;
	p->tokens = (double)config->policer_burst;
	p->next_sample_usec = p->now;
	p->seed = 42;
}

void path_fini(struct path *p)
{
	for (unsigned i = 0; i < p->flows; i++) {
		vs_congestion_free(p->flow[i].cc);
		free(p->flow[i].ring);
	}
}

struct path_flow *path_add(struct path *p, enum vs_congestion_kind kind, uint64_t start_usec)
{
	struct path_flow *f = &p->flow[p->flows++];

	f->cc = vs_congestion_new(kind, PATH_DATAGRAM, p->now);
	f->ring = calloc(PATH_INFLIGHT_MAX, sizeof(*f->ring));
	assert(f->cc && f->ring);
	vs_pacer_init(&f->pacer, PATH_DATAGRAM, p->now);
	vs_rtt_init(&f->rtt, 0, 0);
	f->start_usec = p->now + start_usec;
	f->app_next_usec = f->start_usec;
	f->heard_usec = f->start_usec;
	return f;
}

/* xorshift64*, in [0, 1). */
static double uniform(struct path *p)
{
	p->seed ^= p->seed >> 12;
	p->seed ^= p->seed << 25;
	p->seed ^= p->seed >> 27;
	return (double)((p->seed * UINT64_C(2685821657736338717)) >> 11) / 9007199254740992.0;
}

uint64_t path_queue_usec(const struct path *p)
{
	return vs_time_since(p->busy_until, p->now * 1000) / 1000;
}

uint64_t path_queue_mean_usec(const struct path *p)
{
	return p->queue_samples ? p->queue_usec_sum / p->queue_samples : 0;
}

static struct path_packet *packet(struct path_flow *f, uint64_t i)
{
	return &f->ring[i % PATH_INFLIGHT_MAX];
}

/* A moment at which the bottleneck was to get to something, after its rate has changed. */
static uint64_t rescale(const struct path *p, uint64_t at, uint64_t old_rate)
{
	return at > p->now ? p->now + (at - p->now) * old_rate / p->config.rate : at;
}

void path_set_rate(struct path *p, uint64_t rate)
{
	uint64_t old = p->config.rate, back = p->config.rtt_usec;

	p->config.rate = rate;
	p->busy_until = rescale(p, p->busy_until / 1000, old) * 1000;
	for (unsigned i = 0; i < p->flows; i++) {
		struct path_flow *f = &p->flow[i];
		for (uint64_t n = f->tail; n < f->head; n++) {
			struct path_packet *k = packet(f, n);
			if (k->ack_usec != VS_NEVER && k->ack_usec > p->now + back)
				k->ack_usec = rescale(p, k->ack_usec - back, old) + back;
		}
		if (f->last_ack_usec > p->now + back)
			f->last_ack_usec = rescale(p, f->last_ack_usec - back, old) + back;
	}
}

static bool police(struct path *p)
{
	if (p->config.policer_rate == 0)
		return true;
	p->tokens += (double)p->config.policer_rate * (double)(p->now - p->policer_usec) / 1e6;
	p->tokens = VS_MIN(p->tokens, (double)p->config.policer_burst);
	p->policer_usec = p->now;
	if (p->tokens < PATH_DATAGRAM)
		return false;
	p->tokens -= PATH_DATAGRAM;
	return true;
}

/* Bytes of the queue that others happen to use. Without them, exactly periodic senders lock each other out in a way
 * that no real path shows (Floyd and Jacobson, "Traffic phase effects in packet-switched gateways", 1991). */
static uint64_t other_traffic(struct path *p)
{
	return (uint64_t)(uniform(p) * (double)p->config.queue_bytes / 8);
}

/* When the acknowledgement of a datagram sent now will arrive; VS_NEVER: it is lost. */
static uint64_t transit(struct path *p, struct path_flow *f)
{
	uint64_t now_nsec = p->now * 1000;
	uint64_t waiting = vs_time_since(p->busy_until, now_nsec) * p->config.rate / 1000000000;

	if ((p->config.loss > 0 && uniform(p) < p->config.loss) || !police(p))
		return VS_NEVER;
	if (waiting + PATH_DATAGRAM > p->config.queue_bytes - other_traffic(p))
		return VS_NEVER;
	p->busy_until = VS_MAX(p->busy_until, now_nsec) + PATH_DATAGRAM * UINT64_C(1000000000) / p->config.rate;

	uint64_t at = p->busy_until / 1000 + p->config.rtt_usec;
	if (p->config.jitter_usec)
		at += (uint64_t)(uniform(p) * (double)p->config.jitter_usec);
	if (p->config.lump_usec)
		at = (at + p->config.lump_usec - 1) / p->config.lump_usec * p->config.lump_usec;
	f->last_ack_usec = VS_MAX(f->last_ack_usec, at);
	return f->last_ack_usec;
}

static void send_one(struct path *p, struct path_flow *f)
{
	struct path_packet *k = packet(f, f->head);

	if (f->inflight == 0)
		f->heard_usec = p->now;
	vs_congestion_sent(f->cc, p->now, PATH_DATAGRAM, f->inflight, &k->tx);
	vs_pacer_sent(&f->pacer, p->now, PATH_DATAGRAM);
	k->sent_usec = p->now;
	k->ack_usec = transit(p, f);
	f->head++;
	f->inflight += PATH_DATAGRAM;
	f->sent += PATH_DATAGRAM;
	if (f->app_rate)
		f->app_next_usec += PATH_DATAGRAM * VS_SEC / f->app_rate;
}

static bool has_room(const struct path_flow *f)
{
	return f->inflight + PATH_DATAGRAM <= vs_congestion_window(f->cc) && f->head - f->tail < PATH_INFLIGHT_MAX;
}

static void send_all(struct path *p, struct path_flow *f)
{
	vs_pacer_set_rate(&f->pacer, p->now, vs_congestion_rate(f->cc));
	while (p->now >= f->start_usec && has_room(f)) {
		if (f->app_rate && f->app_next_usec > p->now) {
			vs_congestion_app_limited(f->cc, f->inflight);
			break;
		}
		if (!vs_pacer_ready(&f->pacer, p->now))
			break;
		send_one(p, f);
	}
}

static void lose_first(struct path *p, struct path_flow *f)
{
	struct path_packet *k = packet(f, f->tail++);

	f->inflight -= PATH_DATAGRAM;
	f->lost += PATH_DATAGRAM;
	vs_congestion_lost(f->cc, p->now, PATH_DATAGRAM, k->sent_usec, f->inflight);
}

/* The first packet that is not lost; head if there is none. */
static uint64_t first_alive(struct path_flow *f)
{
	uint64_t i = f->tail;

	while (i < f->head && packet(f, i)->ack_usec == VS_NEVER)
		i++;
	return i;
}

static uint64_t next_ack(struct path_flow *f)
{
	uint64_t i = first_alive(f);
	return i < f->head ? packet(f, i)->ack_usec : VS_NEVER;
}

static void acknowledge(struct path *p, struct path_flow *f)
{
	struct vs_congestion_ack ack = { 0 };
	uint64_t rtt = VS_NEVER;

	while (next_ack(f) <= p->now) {
		for (uint64_t alive = first_alive(f); f->tail < alive;)
			lose_first(p, f);
		struct path_packet *k = packet(f, f->tail++);
		f->inflight -= PATH_DATAGRAM;
		f->delivered += PATH_DATAGRAM;
		rtt = VS_MIN(rtt, p->now - k->sent_usec);
		vs_congestion_delivered(f->cc, p->now, PATH_DATAGRAM, k->sent_usec, &k->tx);
	}
	if (rtt == VS_NEVER)
		return;
	vs_rtt_sample(&f->rtt, p->now, rtt);
	f->heard_usec = p->now;
	ack.rtt_usec = rtt;
	ack.inflight = f->inflight;
	ack.min_rtt_usec = vs_rtt_min(&f->rtt);
	ack.srtt_usec = f->rtt.srtt_usec;
	vs_congestion_ack(f->cc, p->now, &ack);
}

static uint64_t timeout_at(const struct path_flow *f)
{
	return f->inflight ? f->heard_usec + vs_rtt_rto(&f->rtt) : VS_NEVER;
}

static void time_out(struct path *p, struct path_flow *f)
{
	f->timeouts++;
	f->heard_usec = p->now;
	vs_congestion_timeout(f->cc, p->now);
	while (f->tail < f->head && packet(f, f->tail)->ack_usec == VS_NEVER)
		lose_first(p, f);
}

static uint64_t next_send(const struct path *p, const struct path_flow *f)
{
	if (!has_room(f))
		return VS_NEVER;
	uint64_t at = VS_MAX(f->start_usec, vs_pacer_deadline(&f->pacer));
	if (f->app_rate)
		at = VS_MAX(at, f->app_next_usec);
	if (p->config.timer_usec)
		at = (at + p->config.timer_usec - 1) / p->config.timer_usec * p->config.timer_usec;
	return VS_MAX(at, p->now + 1);
}

static void sample_queue(struct path *p)
{
	uint64_t usec = path_queue_usec(p);

	p->queue_usec_sum += usec;
	p->queue_samples++;
	p->queue_usec_max = VS_MAX(p->queue_usec_max, usec);
	p->next_sample_usec = p->now + VS_MSEC;
}

static void serve(struct path *p, struct path_flow *f)
{
	acknowledge(p, f);
	if (p->now >= timeout_at(f))
		time_out(p, f);
	send_all(p, f);
}

void path_run(struct path *p, uint64_t usec)
{
	uint64_t end = p->now + usec;

	while (p->now < end) {
		uint64_t next = VS_MIN(end, p->next_sample_usec);
		for (unsigned i = 0; i < p->flows; i++) {
			struct path_flow *f = &p->flow[i];
			next = VS_MIN(next, VS_MIN(next_ack(f), VS_MIN(timeout_at(f), next_send(p, f))));
		}
		p->now = VS_MAX(next, p->now);
		if (p->now >= p->next_sample_usec)
			sample_queue(p);
		for (unsigned i = 0; i < p->flows; i++)
			serve(p, &p->flow[i]);
	}
}

void path_clear_counts(struct path *p)
{
	for (unsigned i = 0; i < p->flows; i++)
		p->flow[i].delivered = p->flow[i].lost = p->flow[i].sent = p->flow[i].timeouts = 0;
	p->queue_usec_sum = p->queue_samples = p->queue_usec_max = 0;
}
