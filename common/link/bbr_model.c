/* Invariant: min_rtt is raised by vs_bbr_model_set_min_rtt() alone, that is after the path has been nearly empty, so a
 * queue of our own making cannot creep into it. */
#include "link/bbr_model.h"

#include "base/compiler.h"

#define BANDWIDTH_ROUNDS 10
#define EXTRA_ACKED_ROUNDS 10
#define EXTRA_ACKED_MAX (50 * VS_MSEC)
#define ROUND_MIN (4 * VS_MSEC)
#define QUEUE_EPOCH_MIN (10 * VS_MSEC)
#define BDP_DATAGRAMS_MIN 4
#define LAN_RTT (1 * VS_MSEC)

/* Cuts that follow each other within this time may be undone together: a path MTU that has shrunk is found in less. */
#define CUT_MEMORY (5 * VS_SEC)

void vs_bbr_model_start(struct vs_bbr_model *m, uint32_t datagram, uint64_t now)
{
	m->datagram = datagram;
	m->min_rtt_seen_usec = now;
	m->round_since_usec = now;
	m->queue_since_usec = now;
	m->lump_since_usec = now;
	m->round_min_rtt_usec = UINT64_MAX;
	m->queue_min_rtt_usec = UINT64_MAX;
}

bool vs_bbr_model_is_lan(const struct vs_bbr_model *m)
{
	return m->min_rtt_usec && m->min_rtt_usec < LAN_RTT;
}

static bool update_round(struct vs_bbr_model *m, uint64_t now, uint64_t prior_delivered, uint64_t delivered)
{
	if (prior_delivered < m->round_delivered || vs_time_since(now, m->round_since_usec) < ROUND_MIN)
		return false;
	m->round++;
	m->round_rate = (delivered - m->round_delivered) * VS_SEC / vs_time_since(now, m->round_since_usec);
	m->round_delivered = delivered;
	m->round_since_usec = now;
	return true;
}

/* An app-limited sample is a lower bound: it may raise the estimate but does not replace it; nor does it tell of a
 * path that has become slower. */
static void learn_bandwidth(struct vs_bbr_model *m, uint64_t rate, bool app_limited)
{
	if (rate && (!app_limited || rate >= vs_bbr_model_bandwidth(m)))
		vs_minmax_max(&m->bandwidth, BANDWIDTH_ROUNDS, m->round, rate);
}

static void update_bandwidth(struct vs_bbr_model *m, const struct vs_rate_sample *sample, bool ended)
{
	m->round_best = VS_MAX(m->round_best, sample->rate);
	m->round_limited |= sample->app_limited;
	m->queue_best = VS_MAX(m->queue_best, sample->app_limited ? vs_bbr_model_bandwidth(m) : sample->rate);
	if (!vs_bbr_model_is_lan(m))
		learn_bandwidth(m, sample->rate, sample->app_limited);
	else if (ended)
		learn_bandwidth(m, m->round_rate, m->round_limited);
}

static void update_jitter(struct vs_bbr_model *m, uint64_t rtt, uint64_t srtt)
{
	if (rtt == 0)
		return;
	uint64_t deviation = rtt > srtt ? rtt - srtt : srtt - rtt;
	m->jitter_usec = (7 * m->jitter_usec + deviation) / 8;
}

static void update_min_rtt(struct vs_bbr_model *m, uint64_t now, uint64_t rtt)
{
	if (rtt == 0)
		return;
	m->round_min_rtt_usec = VS_MIN(m->round_min_rtt_usec, rtt);
	m->queue_min_rtt_usec = VS_MIN(m->queue_min_rtt_usec, rtt);
	if (m->min_rtt_usec == 0 || rtt < m->min_rtt_usec)
		m->min_rtt_usec = rtt;
	if (rtt <= m->min_rtt_usec + m->min_rtt_usec / 32 + 50) {
		m->min_rtt_seen_usec = now;
		m->low_inflight_seen = false;
	}
}

/* How much more than the bandwidth's worth arrives in a lump of acknowledgements. */
static void update_extra_acked(struct vs_bbr_model *m, uint64_t now, uint64_t acked, uint64_t window)
{
	uint64_t expected = vs_bbr_model_bandwidth(m) * vs_time_since(now, m->lump_since_usec) / VS_SEC;

	if (m->lump_acked <= expected) {
		m->lump_acked = 0;
		m->lump_since_usec = now;
		expected = 0;
	}
	m->lump_acked = VS_MIN(m->lump_acked + acked, expected + window);
	uint64_t extra = m->lump_acked > expected ? m->lump_acked - expected : 0;
	vs_minmax_max(&m->extra_acked, EXTRA_ACKED_ROUNDS, m->round, extra);
}

bool vs_bbr_model_ack(struct vs_bbr_model *m, uint64_t now, const struct vs_congestion_ack *ack,
		      const struct vs_rate_sample *sample, uint64_t delivered, uint64_t window)
{
	bool ended = update_round(m, now, sample->prior_delivered, delivered);

	update_bandwidth(m, sample, ended);
	update_min_rtt(m, now, ack->rtt_usec);
	update_jitter(m, ack->rtt_usec, ack->srtt_usec);
	update_extra_acked(m, now, sample->acked, window);
	vs_loss_probe_settle(&m->loss, now, 2 * ack->srtt_usec, m->datagram,
			     vs_bbr_model_is_delayed(m, ack->srtt_usec));
	if (sample->app_limited && ack->inflight + sample->acked <= vs_bbr_model_bdp(m) / 2)
		m->low_inflight_seen = true;
	return ended;
}

void vs_bbr_model_begin_round(struct vs_bbr_model *m)
{
	m->round_best = 0;
	m->round_limited = false;
	m->round_min_rtt_usec = UINT64_MAX;
}

static bool is_queue_standing(const struct vs_bbr_model *m)
{
	return m->queue_min_rtt_usec != UINT64_MAX &&
	       m->queue_min_rtt_usec > m->min_rtt_usec + m->min_rtt_usec / 2 + 5 * VS_MSEC;
}

uint64_t vs_bbr_model_stale(struct vs_bbr_model *m, uint64_t now)
{
	if (vs_time_since(now, m->queue_since_usec) < VS_MAX(m->min_rtt_usec, QUEUE_EPOCH_MIN))
		return 0;
	bool stale = is_queue_standing(m) && m->queue_best < vs_bbr_model_bandwidth(m) / 2;
	uint64_t rate = m->queue_best;

	m->queue_since_usec = now;
	m->queue_best = 0;
	m->queue_min_rtt_usec = UINT64_MAX;
	return stale ? rate : 0;
}

void vs_bbr_model_cut(struct vs_bbr_model *m, uint64_t now, uint64_t rate)
{
	uint64_t bandwidth = vs_bbr_model_bandwidth(m);

	if (!m->cut_usec || vs_time_since(now, m->cut_usec) > CUT_MEMORY)
		m->uncut_bandwidth = 0;
	m->uncut_bandwidth = VS_MAX(m->uncut_bandwidth, bandwidth);
	m->cut_usec = now;
	vs_minmax_reset(&m->bandwidth, m->round, rate && rate < bandwidth ? rate : bandwidth);
	vs_loss_probe_forget(&m->loss);
}

void vs_bbr_model_uncut(struct vs_bbr_model *m, uint64_t now)
{
	if (m->cut_usec && vs_time_since(now, m->cut_usec) <= CUT_MEMORY)
		vs_minmax_reset(&m->bandwidth, m->round, VS_MAX(m->uncut_bandwidth, vs_bbr_model_bandwidth(m)));
	m->cut_usec = 0;
	vs_loss_probe_forget(&m->loss);
}

void vs_bbr_model_set_min_rtt(struct vs_bbr_model *m, uint64_t now, uint64_t min_rtt_usec)
{
	m->min_rtt_usec = min_rtt_usec;
	m->min_rtt_seen_usec = now;
	m->low_inflight_seen = false;
}

uint64_t vs_bbr_model_bytes_in(const struct vs_bbr_model *m, uint64_t usec)
{
	return vs_loss_probe_compensate(&m->loss, vs_bbr_model_bandwidth(m) * usec / VS_SEC);
}

uint64_t vs_bbr_model_bdp(const struct vs_bbr_model *m)
{
	return VS_MAX(vs_bbr_model_bytes_in(m, m->min_rtt_usec), BDP_DATAGRAMS_MIN * (uint64_t)m->datagram);
}

uint64_t vs_bbr_model_extra_acked(const struct vs_bbr_model *m)
{
	return VS_MIN(vs_minmax_get(&m->extra_acked), vs_bbr_model_bytes_in(m, EXTRA_ACKED_MAX));
}

uint64_t vs_bbr_model_phase(const struct vs_bbr_model *m)
{
	return VS_MAX(m->min_rtt_usec, ROUND_MIN);
}

bool vs_bbr_model_is_delayed(const struct vs_bbr_model *m, uint64_t rtt_usec)
{
	/* A queue delays steadily; what comes and goes from one sample to the next is the path's own jitter. */
	return rtt_usec > m->min_rtt_usec + m->min_rtt_usec / 4 + 2 * VS_MSEC + 3 * m->jitter_usec;
}

bool vs_bbr_model_round_delayed(const struct vs_bbr_model *m)
{
	return m->round_min_rtt_usec != UINT64_MAX && vs_bbr_model_is_delayed(m, m->round_min_rtt_usec);
}
