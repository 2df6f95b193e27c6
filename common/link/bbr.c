/* How it works
 *
 * Two measurements make the model of the path: `bandwidth`, the greatest delivery rate of the last ten rounds, and
 * `min_rtt`. The sender paces at gain * bandwidth and keeps at most a window's worth in flight. STARTUP doubles the
 * rate each round until the bandwidth grows no more, DRAIN lets the queue go that this has made, PROBE_BW then cycles:
 * one phase UP (gain 1.25: is there more?), one LOW (0.75: gives back the queue of UP), and some CRUISE (1.0).
 * PROBE_RTT shrinks the window for a moment when min_rtt has not been seen for long.
 *
 * What differs from version 1, and why:
 *
 *  - Loss. Version 1 ignores it, which floods policers; TCP's answer starves on radio lines. Here the bandwidth is cut
 *    to what the last round has delivered if the round lost, beyond the path's own loss (loss_probe.h), over 15 %, or
 *    over 2 % while the delay is up. Cutting to what was delivered does no harm where the cut was wrong, and the
 *    LOW phase that follows finds out whether it was: loss that a lower rate does not change is the path's own, and is
 *    compensated from then on. So 30 % random loss costs one short dip, and a policer is met at its rate.
 *
 *  - A path that becomes slower. Ten rounds are ten seconds once a second's worth is queued. So the bandwidth is also
 *    cut where a standing queue (over half of min_rtt and 5 ms) goes with a delivery rate under half of the estimate.
 *    Smaller differences are left to the ten rounds: they are what sharing with others looks like.
 *
 *  - A path that becomes faster. Where UP has found a sixth more or better, the next UP follows without CRUISE.
 *
 *  - Startup ends at the first round without growth if that round saw the delay rise or lost over 15 %.
 *
 *  - User space. Both ends run when the scheduler lets them: on a LAN with min_rtt = 100 us, acknowledgements come in
 *    lumps of up to a millisecond. The window allows for that (WINDOW_SLACK), or for what aggregation is measured
 *    (extra_acked) where that is more, and a round or a phase lasts at least 4 ms, so that the memory of ten rounds is not one hiccup.
 *
 *  - PROBE_RTT keeps half a window for 100 ms or a round trip, every 10 s or 64 round trips, whichever is longer, so
 *    it costs under 1 % of the throughput. It is not needed where samples near min_rtt came by themselves (the
 *    queue was empty after a LOW phase) or the sender had little to send at some time.
 *
 * Invariants: min_rtt is only raised by PROBE_RTT or by a moment of low inflight, so a queue of our own making cannot
 * creep into it. The window is never under WINDOW_DATAGRAMS_MIN datagrams, the rate never under one a second. */
#include "link/bbr.h"

#include "base/compiler.h"
#include "link/loss_probe.h"
#include "link/minmax.h"

/* Gains in 1/256. */
#define UNIT 256u
#define GAIN_STARTUP 709u /* 4 ln 2 = 2.77, the least that doubles each round */
#define GAIN_DRAIN 90u    /* 0.35 */
#define GAIN_UP 320u      /* 1.25 */
#define GAIN_LOW 192u     /* 0.75 */
#define GAIN_MARGIN 253u  /* 0.99: headers and measuring errors must not add up to a queue */
#define GAIN_WINDOW 512u  /* 2: pacing rules; the window is for when acknowledgements stop */

#define BANDWIDTH_ROUNDS 10
#define EXTRA_ACKED_ROUNDS 10
#define ROUND_MIN (4 * VS_MSEC)
#define CRUISE_PHASES_MIN 4
#define CRUISE_PHASES_SPREAD 3 /* 4 ... 6, so that flows that share a bottleneck do not probe in step */

#define WINDOW_SLACK (1 * VS_MSEC)
#define EXTRA_ACKED_MAX (50 * VS_MSEC)
#define WINDOW_DATAGRAMS_MIN 10

#define LOSS_ALONE 9830u      /* 15 % in 1/65536 */
#define LOSS_WITH_DELAY 1311u /* 2 % */
#define QUEUE_EPOCH_MIN (10 * VS_MSEC)

#define PROBE_RTT_INTERVAL (10 * VS_SEC)
#define PROBE_RTT_INTERVAL_RTTS 64
#define PROBE_RTT_TIME (100 * VS_MSEC)

enum mode {
	STARTUP,
	DRAIN,
	PROBE_BW_UP,
	PROBE_BW_LOW,
	PROBE_BW_CRUISE,
	PROBE_RTT,
};

struct bbr {
	struct vs_congestion cc;
	enum mode mode;
	uint64_t mode_since_usec;
	uint64_t rate;
	uint64_t window;

	/* The model. */
	struct vs_minmax bandwidth; /* bytes a second, over rounds */
	uint64_t min_rtt_usec;      /* 0: unknown */
	uint64_t min_rtt_seen_usec; /* when a sample was last near it */
	bool low_inflight_seen;     /* since then the path was nearly empty */
	struct vs_loss_probe loss;

	/* Rounds: one ends when data sent after its begin is acknowledged. */
	uint64_t round;
	uint64_t round_delivered; /* estimator's count at the begin */
	uint64_t round_since_usec;
	uint64_t round_best;        /* greatest delivery rate seen in it */
	uint64_t round_min_rtt_usec; /* UINT64_MAX: no sample */

	/* STARTUP. */
	uint64_t full_bandwidth;
	unsigned full_rounds;
	bool pipe_full;

	/* PROBE_BW. */
	uint64_t bandwidth_before_up;
	unsigned cruise_phases;

	/* Watching for a standing queue. */
	uint64_t queue_since_usec;
	uint64_t queue_best;         /* greatest delivery rate */
	uint64_t queue_min_rtt_usec; /* UINT64_MAX: no sample */

	/* Aggregation of acknowledgements. */
	struct vs_minmax extra_acked; /* bytes, over rounds */
	uint64_t lump_since_usec;
	uint64_t lump_acked;

	/* PROBE_RTT. */
	uint64_t probe_rtt_until_usec; /* 0: the window has not been reached yet */
	uint64_t probe_rtt_min_usec;
};

static struct bbr *bbr_of(struct vs_congestion *cc)
{
	return VS_CONTAINER_OF(cc, struct bbr, cc);
}

static const struct bbr *cbbr_of(const struct vs_congestion *cc)
{
	return VS_CONTAINER_OF(cc, const struct bbr, cc);
}

static uint64_t scale(uint64_t x, uint32_t gain)
{
	return x * gain / UNIT;
}

static uint64_t datagrams(const struct bbr *b, uint64_t n)
{
	return n * b->cc.datagram;
}

/* Bytes that the path carries in `usec`, with its own losses on top. */
static uint64_t bytes_in(const struct bbr *b, uint64_t usec)
{
	return vs_loss_probe_compensate(&b->loss, vs_minmax_get(&b->bandwidth) * usec / VS_SEC);
}

/* What must be in flight to use the whole path. */
static uint64_t bdp(const struct bbr *b)
{
	return VS_MAX(bytes_in(b, b->min_rtt_usec), datagrams(b, 4));
}

static uint64_t phase_usec(const struct bbr *b)
{
	return VS_MAX(b->min_rtt_usec, ROUND_MIN);
}

static bool is_delayed(const struct bbr *b, uint64_t rtt_usec)
{
	return rtt_usec > b->min_rtt_usec + b->min_rtt_usec / 4 + 2 * VS_MSEC;
}

static bool is_queue_standing(const struct bbr *b, uint64_t rtt_usec)
{
	return rtt_usec > b->min_rtt_usec + b->min_rtt_usec / 2 + 5 * VS_MSEC;
}

/* --- Modes -------------------------------------------------------------------------------------------------------- */

static bool is_low(enum mode mode)
{
	return mode == DRAIN || mode == PROBE_BW_LOW;
}

static void enter(struct bbr *b, enum mode mode, uint64_t now)
{
	if (is_low(b->mode))
		vs_loss_probe_low_end(&b->loss, now);
	if (is_low(mode))
		vs_loss_probe_low_begin(&b->loss, now);
	b->mode = mode;
	b->mode_since_usec = now;
}

static void enter_cruise(struct bbr *b, uint64_t now)
{
	/* Any number that differs between links will do; a multiplicative hash of the time is one. */
	uint64_t spread = (now * UINT64_C(0x9E3779B97F4A7C15)) >> 32;

	b->cruise_phases = CRUISE_PHASES_MIN + (unsigned)(spread % CRUISE_PHASES_SPREAD);
	enter(b, PROBE_BW_CRUISE, now);
}

static void enter_up(struct bbr *b, uint64_t now)
{
	b->bandwidth_before_up = vs_minmax_get(&b->bandwidth);
	enter(b, PROBE_BW_UP, now);
}

static uint32_t pacing_gain(const struct bbr *b)
{
	switch (b->mode) {
	case STARTUP:
		return GAIN_STARTUP;
	case DRAIN:
		return GAIN_DRAIN;
	case PROBE_BW_UP:
		return GAIN_UP;
	case PROBE_BW_LOW:
		return GAIN_LOW;
	case PROBE_BW_CRUISE:
	case PROBE_RTT:
		break;
	}
	return UNIT;
}

static bool probing_paid(const struct bbr *b)
{
	return vs_minmax_get(&b->bandwidth) >= b->bandwidth_before_up + b->bandwidth_before_up / 6;
}

/* LOW lasts a round trip, so that it is long enough to measure loss, and longer while the queue is not gone; but not
 * for ever, since the queue may be somebody else's. */
static bool low_is_over(const struct bbr *b, uint64_t elapsed, uint64_t inflight)
{
	return elapsed >= 2 * phase_usec(b) || (elapsed >= phase_usec(b) && inflight <= bdp(b));
}

static void advance_probe_bw(struct bbr *b, uint64_t now, uint64_t inflight)
{
	uint64_t elapsed = vs_time_since(now, b->mode_since_usec);

	switch (b->mode) {
	case PROBE_BW_UP:
		if (elapsed >= phase_usec(b))
			enter(b, PROBE_BW_LOW, now);
		break;
	case PROBE_BW_LOW:
		if (!low_is_over(b, elapsed, inflight))
			break;
		if (probing_paid(b))
			enter_up(b, now);
		else
			enter_cruise(b, now);
		break;
	case PROBE_BW_CRUISE:
		if (elapsed >= b->cruise_phases * phase_usec(b))
			enter_up(b, now);
		break;
	default:
		break;
	}
}

/* --- Model -------------------------------------------------------------------------------------------------------- */

static bool update_round(struct bbr *b, uint64_t now, const struct vs_rate_sample *sample)
{
	if (sample->prior_delivered < b->round_delivered || vs_time_since(now, b->round_since_usec) < ROUND_MIN)
		return false;
	b->round++;
	b->round_delivered = b->cc.estimator.delivered;
	b->round_since_usec = now;
	return true;
}

/* An app-limited sample is a lower bound: it may raise the estimate but does not replace it. */
static void update_bandwidth(struct bbr *b, const struct vs_rate_sample *sample)
{
	b->round_best = VS_MAX(b->round_best, sample->rate);
	b->queue_best = VS_MAX(b->queue_best, sample->rate);
	if (sample->rate && (!sample->app_limited || sample->rate >= vs_minmax_get(&b->bandwidth)))
		vs_minmax_max(&b->bandwidth, BANDWIDTH_ROUNDS, b->round, sample->rate);
}

static void update_min_rtt(struct bbr *b, uint64_t now, uint64_t rtt)
{
	if (rtt == 0)
		return;
	b->round_min_rtt_usec = VS_MIN(b->round_min_rtt_usec, rtt);
	b->queue_min_rtt_usec = VS_MIN(b->queue_min_rtt_usec, rtt);
	if (b->min_rtt_usec == 0 || rtt < b->min_rtt_usec)
		b->min_rtt_usec = rtt;
	if (rtt <= b->min_rtt_usec + b->min_rtt_usec / 32 + 50) {
		b->min_rtt_seen_usec = now;
		b->low_inflight_seen = false;
	}
}

/* How much more than the bandwidth's worth arrives in a lump of acknowledgements. */
static void update_extra_acked(struct bbr *b, uint64_t now, uint64_t acked)
{
	uint64_t expected = vs_minmax_get(&b->bandwidth) * vs_time_since(now, b->lump_since_usec) / VS_SEC;

	if (b->lump_acked <= expected) {
		b->lump_acked = 0;
		b->lump_since_usec = now;
		expected = 0;
	}
	b->lump_acked = VS_MIN(b->lump_acked + acked, expected + b->window);
	uint64_t extra = b->lump_acked > expected ? b->lump_acked - expected : 0;
	vs_minmax_max(&b->extra_acked, EXTRA_ACKED_ROUNDS, b->round, extra);
}

/* --- Reacting to a path that does not carry what we think ----------------------------------------------------------- */

static void cut_bandwidth(struct bbr *b, uint64_t now, uint64_t delivery_rate)
{
	if (delivery_rate == 0 || delivery_rate > vs_minmax_get(&b->bandwidth))
		delivery_rate = vs_minmax_get(&b->bandwidth);
	vs_minmax_reset(&b->bandwidth, b->round, delivery_rate);
	vs_loss_probe_forget(&b->loss);
	b->bandwidth_before_up = delivery_rate;
	enter(b, PROBE_BW_LOW, now);
}

static bool in_probe_bw(const struct bbr *b)
{
	return b->pipe_full && b->mode != DRAIN && b->mode != PROBE_RTT;
}

static void judge_loss(struct bbr *b, uint64_t now, const struct vs_congestion_ack *ack)
{
	/* Until a low phase has told what the path loses by itself, a round's loss has no meaning. */
	if (!in_probe_bw(b) || !b->loss.known)
		return;
	uint32_t excess = vs_loss_probe_round_end(&b->loss, b->cc.datagram);
	if (excess > LOSS_ALONE || (excess > LOSS_WITH_DELAY && is_delayed(b, ack->srtt_usec)))
		cut_bandwidth(b, now, b->round_best);
}

/* Judged by time and not by rounds, which grow as long as the queue. */
static void judge_queue(struct bbr *b, uint64_t now, bool app_limited)
{
	if (vs_time_since(now, b->queue_since_usec) < VS_MAX(b->min_rtt_usec, QUEUE_EPOCH_MIN))
		return;
	bool standing = b->queue_min_rtt_usec != UINT64_MAX && is_queue_standing(b, b->queue_min_rtt_usec);
	uint64_t best = b->queue_best;

	b->queue_since_usec = now;
	b->queue_best = 0;
	b->queue_min_rtt_usec = UINT64_MAX;
	if (standing && !app_limited && in_probe_bw(b) && best && best < vs_minmax_get(&b->bandwidth) / 2)
		cut_bandwidth(b, now, best);
}

/* --- STARTUP and DRAIN -------------------------------------------------------------------------------------------- */

static void check_pipe_full(struct bbr *b, const struct vs_rate_sample *sample)
{
	uint64_t bandwidth = vs_minmax_get(&b->bandwidth);
	uint32_t loss = vs_loss_probe_round_end(&b->loss, b->cc.datagram);

	if (b->pipe_full || sample->app_limited)
		return;
	if (bandwidth >= b->full_bandwidth + b->full_bandwidth / 4) {
		b->full_bandwidth = bandwidth;
		b->full_rounds = 0;
		return;
	}
	bool delayed = b->round_min_rtt_usec != UINT64_MAX && is_delayed(b, b->round_min_rtt_usec);
	b->full_rounds++;
	b->pipe_full = b->full_rounds >= 3 || delayed || loss > LOSS_ALONE;
}

static void advance_startup(struct bbr *b, uint64_t now, uint64_t inflight)
{
	if (b->mode == STARTUP && b->pipe_full)
		enter(b, DRAIN, now);
	/* The first phase is LOW: it measures the path's own loss before anything is judged by it. */
	if (b->mode == DRAIN && inflight <= bdp(b) + bytes_in(b, WINDOW_SLACK)) {
		b->bandwidth_before_up = vs_minmax_get(&b->bandwidth);
		enter(b, PROBE_BW_LOW, now);
	}
}

/* --- PROBE_RTT ---------------------------------------------------------------------------------------------------- */

static uint64_t probe_rtt_window(const struct bbr *b)
{
	return VS_MAX(bytes_in(b, b->min_rtt_usec / 2 + WINDOW_SLACK), datagrams(b, 4));
}

static void finish_probe_rtt(struct bbr *b, uint64_t now)
{
	b->min_rtt_usec = b->probe_rtt_min_usec;
	b->min_rtt_seen_usec = now;
	b->low_inflight_seen = false;
	if (b->pipe_full)
		enter_cruise(b, now);
	else
		enter(b, STARTUP, now);
}

static void advance_probe_rtt(struct bbr *b, uint64_t now, const struct vs_congestion_ack *ack)
{
	if (b->probe_rtt_until_usec == 0) {
		if (ack->inflight <= probe_rtt_window(b)) {
			b->probe_rtt_until_usec = now + VS_MAX(PROBE_RTT_TIME, ack->srtt_usec);
			b->probe_rtt_min_usec = UINT64_MAX;
		}
		return;
	}
	if (ack->rtt_usec)
		b->probe_rtt_min_usec = VS_MIN(b->probe_rtt_min_usec, ack->rtt_usec);
	if (now >= b->probe_rtt_until_usec && b->probe_rtt_min_usec != UINT64_MAX)
		finish_probe_rtt(b, now);
}

static void check_min_rtt_age(struct bbr *b, uint64_t now, const struct vs_congestion_ack *ack,
			      const struct vs_rate_sample *sample)
{
	uint64_t interval = VS_MAX(PROBE_RTT_INTERVAL, PROBE_RTT_INTERVAL_RTTS * b->min_rtt_usec);

	if (sample->app_limited && ack->inflight + sample->acked <= bdp(b) / 2)
		b->low_inflight_seen = true;
	if (b->mode == PROBE_RTT || b->min_rtt_usec == 0 || vs_time_since(now, b->min_rtt_seen_usec) < interval)
		return;
	if (b->low_inflight_seen && ack->min_rtt_usec) {
		/* The window of link/rtt.h has seen the path nearly empty: its minimum is the path's, higher or not. */
		b->min_rtt_usec = ack->min_rtt_usec;
		b->min_rtt_seen_usec = now;
		b->low_inflight_seen = false;
		return;
	}
	b->probe_rtt_until_usec = 0;
	enter(b, PROBE_RTT, now);
}

/* --- Outputs ------------------------------------------------------------------------------------------------------ */

static void set_rate(struct bbr *b)
{
	uint64_t bandwidth = vs_minmax_get(&b->bandwidth);
	uint64_t rate;

	if (b->min_rtt_usec == 0)
		return;
	/* No valid sample of the rate yet: the first window in the first round trip is the best guess. */
	if (bandwidth == 0)
		bandwidth = datagrams(b, VS_CONGESTION_INITIAL_DATAGRAMS) * VS_SEC / b->min_rtt_usec;
	rate = vs_loss_probe_compensate(&b->loss, scale(scale(bandwidth, pacing_gain(b)), GAIN_MARGIN));
	if (b->pipe_full || rate > b->rate)
		b->rate = VS_MAX(rate, (uint64_t)b->cc.datagram);
}

static uint64_t target_window(const struct bbr *b)
{
	uint64_t extra = VS_MIN(vs_minmax_get(&b->extra_acked), bytes_in(b, EXTRA_ACKED_MAX));
	uint64_t window = scale(bdp(b), GAIN_WINDOW) + VS_MAX(bytes_in(b, WINDOW_SLACK), extra);

	return VS_MAX(window, datagrams(b, WINDOW_DATAGRAMS_MIN));
}

static void set_window(struct bbr *b, const struct vs_rate_sample *sample)
{
	uint64_t target = target_window(b);

	if (b->mode == PROBE_RTT)
		b->window = VS_MIN(b->window, probe_rtt_window(b));
	else if (b->pipe_full)
		b->window = VS_MIN(b->window + sample->acked, target);
	else if (b->window < target)
		b->window += sample->acked;
}

/* --- The table ---------------------------------------------------------------------------------------------------- */

static void bbr_start(struct vs_congestion *cc, uint64_t now)
{
	struct bbr *b = bbr_of(cc);

	b->window = datagrams(b, VS_CONGESTION_INITIAL_DATAGRAMS);
	b->mode_since_usec = now;
	b->round_since_usec = now;
	b->queue_since_usec = now;
	b->lump_since_usec = now;
	b->min_rtt_seen_usec = now;
	b->round_min_rtt_usec = UINT64_MAX;
	b->queue_min_rtt_usec = UINT64_MAX;
}

/* After a silence the path's queue is empty: go on at the estimated bandwidth, not at a probing gain that was
 * meant for another time. */
static void bbr_sent(struct vs_congestion *cc, uint64_t now, uint32_t bytes, uint64_t inflight)
{
	struct bbr *b = bbr_of(cc);

	(void)bytes;
	if (inflight == 0 && vs_rate_is_app_limited(&cc->estimator) && in_probe_bw(b) &&
	    vs_time_since(now, cc->estimator.delivered_usec) > phase_usec(b)) {
		enter_cruise(b, now);
		set_rate(b);
	}
}

static void bbr_delivered(struct vs_congestion *cc, uint32_t bytes, uint64_t sent_usec)
{
	vs_loss_probe_delivered(&bbr_of(cc)->loss, bytes, sent_usec);
}

static void bbr_ack(struct vs_congestion *cc, uint64_t now, const struct vs_congestion_ack *ack,
		    const struct vs_rate_sample *sample)
{
	struct bbr *b = bbr_of(cc);

	if (sample->acked == 0)
		return;
	bool round_ended = update_round(b, now, sample);

	update_bandwidth(b, sample);
	update_min_rtt(b, now, ack->rtt_usec);
	update_extra_acked(b, now, sample->acked);
	vs_loss_probe_settle(&b->loss, now, 2 * ack->srtt_usec, cc->datagram, is_delayed(b, ack->srtt_usec));
	if (round_ended) {
		if (b->mode == STARTUP)
			check_pipe_full(b, sample);
		judge_loss(b, now, ack);
		b->round_best = 0;
		b->round_min_rtt_usec = UINT64_MAX;
	}
	judge_queue(b, now, sample->app_limited);
	advance_startup(b, now, ack->inflight);
	advance_probe_bw(b, now, ack->inflight);
	if (b->mode == PROBE_RTT)
		advance_probe_rtt(b, now, ack);
	check_min_rtt_age(b, now, ack, sample);
	set_rate(b);
	set_window(b, sample);
}

static void bbr_lost(struct vs_congestion *cc, uint64_t now, uint32_t bytes, uint64_t sent_usec)
{
	(void)now;
	vs_loss_probe_lost(&bbr_of(cc)->loss, bytes, sent_usec);
}

/* A cut needs no undoing: what had arrived after all was counted as delivered, so the next sample restores it. */
static void bbr_unlost(struct vs_congestion *cc, uint32_t bytes)
{
	vs_loss_probe_unlost(&bbr_of(cc)->loss, bytes);
}

/* The path may be gone, or have become much slower: test it with little. The window grows back by what is acknowledged,
 * and the model is kept, for an outage of seconds usually ends with the path as it was. */
static void bbr_timeout(struct vs_congestion *cc, uint64_t now)
{
	struct bbr *b = bbr_of(cc);

	(void)now;
	b->window = VS_MIN(b->window, datagrams(b, WINDOW_DATAGRAMS_MIN));
}

static uint64_t bbr_window(const struct vs_congestion *cc)
{
	return cbbr_of(cc)->window;
}

static uint64_t bbr_rate(const struct vs_congestion *cc)
{
	return cbbr_of(cc)->rate;
}

static uint64_t bbr_bandwidth(const struct vs_congestion *cc)
{
	return vs_minmax_get(&cbbr_of(cc)->bandwidth);
}

static const char *bbr_state(const struct vs_congestion *cc)
{
	switch (cbbr_of(cc)->mode) {
	case STARTUP:
		return "startup";
	case DRAIN:
		return "drain";
	case PROBE_BW_UP:
		return "probe_bw:up";
	case PROBE_BW_LOW:
		return "probe_bw:low";
	case PROBE_BW_CRUISE:
		return "probe_bw:cruise";
	case PROBE_RTT:
		return "probe_rtt";
	}
	return "unknown";
}

const struct vs_congestion_ops vs_bbr_ops = {
	.name = "bbr",
	.size = sizeof(struct bbr),
	.start = bbr_start,
	.sent = bbr_sent,
	.delivered = bbr_delivered,
	.ack = bbr_ack,
	.lost = bbr_lost,
	.unlost = bbr_unlost,
	.timeout = bbr_timeout,
	.window = bbr_window,
	.rate = bbr_rate,
	.bandwidth = bbr_bandwidth,
	.state = bbr_state,
};
