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
 *    (extra_acked) where that is more. On a LAN (min_rtt under a millisecond) lumps are our own doing. The rate within
 *    one is a multiple of what the path carries, so the bandwidth is what whole rounds deliver; and the window is one
 *    bandwidth-delay product and the slack, as all that is more would stand in a queue of milliseconds. A round or a
 *    phase lasts at least 4 ms, so that the memory of ten rounds is longer than one hiccup.
 *
 *  - PROBE_RTT keeps half a window for 100 ms or a round trip, every 10 s or 64 round trips, whichever is longer, so
 *    it costs under 1 % of the throughput. It is not needed where samples near min_rtt came by themselves (the
 *    queue was empty after a LOW phase) or the sender had little to send at some time.
 *
 * Invariants: outside PROBE_RTT the window is never under WINDOW_DATAGRAMS_MIN datagrams; the rate is never under one
 * datagram a second once it is known. bandwidth and min_rtt are bbr_model.c's. */
#include "link/bbr.h"

#include "base/compiler.h"
#include "link/bbr_model.h"

/* Gains in 1/256. */
#define UNIT 256u
#define GAIN_STARTUP 709u /* 4 ln 2 = 2.77, the least that doubles each round */
#define GAIN_DRAIN 90u    /* 0.35 */
#define GAIN_UP 320u      /* 1.25 */
#define GAIN_LOW 192u     /* 0.75 */
#define GAIN_MARGIN 253u  /* 0.99: headers and measuring errors must not add up to a queue */
#define GAIN_WINDOW 512u  /* 2: pacing rules; the window is for when acknowledgements stop */

#define CRUISE_PHASES_MIN 4
#define CRUISE_PHASES_SPREAD 3 /* 4 ... 6, so that flows that share a bottleneck do not probe in step */

#define CRUISE_FACTOR_LOG2_MAX 3 /* ... and up to eight times as many where UP only costs losses */

#define WINDOW_SLACK (1 * VS_MSEC)
#define WINDOW_DATAGRAMS_MIN 10
/* On a LAN. Where an end has to wait for a processor, the round trip is ten milliseconds and more for a while, and the
 * bandwidth that is measured then is the window in such a round trip: a window that shrinks with it again would hold the
 * link down for seconds after. This is 100 Mbit/s at ten milliseconds. */
#define LAN_WINDOW_MIN (128u << 10)

#define LOSS_ALONE 9830u      /* 15 % in 1/65536 */
#define LOSS_WITH_DELAY 1311u /* 2 % */
#define LOSS_IN_UP 328u       /* 0.5 % */

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

	struct vs_bbr_model model;

	/* STARTUP. */
	uint64_t full_bandwidth;
	unsigned full_rounds;
	bool pipe_full;

	/* PROBE_BW. */
	uint64_t bandwidth_before_up;
	unsigned cruise_phases;
	uint64_t up_begin_usec, up_end_usec; /* the last UP; an end of 0: it runs */
	struct vs_loss_count up;             /* of what was sent in it */
	unsigned cruise_factor_log2;         /* so often in a row UP has lost */

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

/* --- Modes -------------------------------------------------------------------------------------------------------- */

static bool is_low(enum mode mode)
{
	return mode == DRAIN || mode == PROBE_BW_LOW;
}

static void enter(struct bbr *b, enum mode mode, uint64_t now)
{
	if (is_low(b->mode))
		vs_loss_probe_low_end(&b->model.loss, now);
	if (b->mode == PROBE_BW_UP)
		b->up_end_usec = now;
	if (is_low(mode))
		vs_loss_probe_low_begin(&b->model.loss, now);
	b->mode = mode;
	b->mode_since_usec = now;
}

static void enter_cruise(struct bbr *b, uint64_t now)
{
	/* Any number that differs between links will do; a multiplicative hash of the time is one. */
	uint64_t spread = (now * UINT64_C(0x9E3779B97F4A7C15)) >> 32;

	b->cruise_phases = CRUISE_PHASES_MIN + (unsigned)(spread % CRUISE_PHASES_SPREAD);
	b->cruise_phases <<= b->cruise_factor_log2;
	enter(b, PROBE_BW_CRUISE, now);
}

static void enter_up(struct bbr *b, uint64_t now)
{
	b->bandwidth_before_up = vs_bbr_model_bandwidth(&b->model);
	b->up_begin_usec = now;
	b->up_end_usec = 0;
	b->up = (struct vs_loss_count){ 0 };
	enter(b, PROBE_BW_UP, now);
}

static bool sent_in_up(const struct bbr *b, uint64_t sent_usec)
{
	return b->up_begin_usec && sent_usec >= b->up_begin_usec && (!b->up_end_usec || sent_usec < b->up_end_usec);
}

/* Where the path's queue is too short for UP, each UP costs its losses: it then comes more seldom. */
static void judge_up(struct bbr *b)
{
	uint64_t sent = b->up.delivered + b->up.lost;
	uint64_t allowed = sent * (b->model.loss.path_loss_q16 + LOSS_IN_UP) / 65536;

	if (!b->up_begin_usec)
		return;
	if (b->up.lost <= allowed)
		b->cruise_factor_log2 = 0;
	else if (b->cruise_factor_log2 < CRUISE_FACTOR_LOG2_MAX)
		b->cruise_factor_log2++;
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
	return vs_bbr_model_bandwidth(&b->model) >= b->bandwidth_before_up + b->bandwidth_before_up / 6;
}

/* LOW lasts a round trip, so that it is long enough to measure loss, and longer while the queue is not gone; but not
 * for ever, since the queue may be somebody else's. */
static bool low_is_over(const struct bbr *b, uint64_t elapsed, uint64_t inflight)
{
	uint64_t phase = vs_bbr_model_phase(&b->model);
	return elapsed >= 2 * phase || (elapsed >= phase && inflight <= vs_bbr_model_bdp(&b->model));
}

static void advance_probe_bw(struct bbr *b, uint64_t now, uint64_t inflight)
{
	uint64_t elapsed = vs_time_since(now, b->mode_since_usec);

	switch (b->mode) {
	case PROBE_BW_UP:
		if (elapsed >= vs_bbr_model_phase(&b->model))
			enter(b, PROBE_BW_LOW, now);
		break;
	case PROBE_BW_LOW:
		if (!low_is_over(b, elapsed, inflight))
			break;
		judge_up(b);
		if (probing_paid(b))
			enter_up(b, now);
		else
			enter_cruise(b, now);
		break;
	case PROBE_BW_CRUISE:
		if (elapsed >= b->cruise_phases * vs_bbr_model_phase(&b->model))
			enter_up(b, now);
		break;
	default:
		break;
	}
}

/* --- Reacting to a path that does not carry what we think --------------------------------------------------------- */

static void cut_bandwidth(struct bbr *b, uint64_t now, uint64_t delivery_rate)
{
	vs_bbr_model_cut(&b->model, now, delivery_rate);
	b->bandwidth_before_up = vs_bbr_model_bandwidth(&b->model);
	enter(b, PROBE_BW_LOW, now);
}

static bool in_probe_bw(const struct bbr *b)
{
	return b->pipe_full && b->mode != DRAIN && b->mode != PROBE_RTT;
}

static void judge_loss(struct bbr *b, uint64_t now, const struct vs_congestion_ack *ack)
{
	/* Until a low phase has told what the path loses by itself, a round's loss has no meaning. */
	if (!in_probe_bw(b) || !b->model.loss.known)
		return;
	uint32_t excess = vs_loss_probe_round_end(&b->model.loss, b->cc.datagram);
	if (excess > LOSS_ALONE || (excess > LOSS_WITH_DELAY && vs_bbr_model_is_delayed(&b->model, ack->srtt_usec)))
		cut_bandwidth(b, now, b->model.round_best);
}

static void judge_queue(struct bbr *b, uint64_t now)
{
	uint64_t delivery_rate = vs_bbr_model_stale(&b->model, now);

	if (delivery_rate && in_probe_bw(b))
		cut_bandwidth(b, now, delivery_rate);
}

/* --- STARTUP and DRAIN -------------------------------------------------------------------------------------------- */

/* The least to expect of a path that has not shown what it carries: the first window in a round trip. */
static uint64_t first_guess(const struct bbr *b)
{
	return datagrams(b, VS_CONGESTION_INITIAL_DATAGRAMS) * VS_SEC / b->model.min_rtt_usec;
}

static void check_pipe_full(struct bbr *b, const struct vs_rate_sample *sample)
{
	uint64_t bandwidth = vs_bbr_model_bandwidth(&b->model);
	uint32_t loss = vs_loss_probe_round_end(&b->model.loss, b->cc.datagram);

	if (b->pipe_full)
		return;
	/* A queue that loses shows a full pipe, also where retransmissions keep it full and new data come too slowly. */
	if (loss > LOSS_WITH_DELAY && vs_bbr_model_round_delayed(&b->model)) {
		b->pipe_full = true;
		return;
	}
	/* A sender that sends all it has may still fill the pipe: the frames' own senders have windows, too. */
	bool filled = vs_bbr_model_round_delayed(&b->model) && bandwidth > first_guess(b);
	if (sample->app_limited && !filled)
		return;
	if (bandwidth >= b->full_bandwidth + b->full_bandwidth / 4) {
		b->full_bandwidth = bandwidth;
		b->full_rounds = 0;
		return;
	}
	b->full_rounds++;
	b->pipe_full = b->full_rounds >= 3 || vs_bbr_model_round_delayed(&b->model) || loss > LOSS_ALONE;
}

static void advance_startup(struct bbr *b, uint64_t now, uint64_t inflight)
{
	if (b->mode == STARTUP && b->pipe_full)
		enter(b, DRAIN, now);
	/* The first phase is LOW: it measures the path's own loss before anything is judged by it. */
	uint64_t drained = vs_bbr_model_bdp(&b->model) + vs_bbr_model_bytes_in(&b->model, WINDOW_SLACK);
	if (b->mode == DRAIN && inflight <= drained) {
		b->bandwidth_before_up = vs_bbr_model_bandwidth(&b->model);
		enter(b, PROBE_BW_LOW, now);
	}
}

/* --- PROBE_RTT ---------------------------------------------------------------------------------------------------- */

static uint64_t probe_rtt_window(const struct bbr *b)
{
	return VS_MAX(vs_bbr_model_bytes_in(&b->model, b->model.min_rtt_usec / 2 + WINDOW_SLACK), datagrams(b, 4));
}

static void finish_probe_rtt(struct bbr *b, uint64_t now)
{
	vs_bbr_model_set_min_rtt(&b->model, now, b->probe_rtt_min_usec);
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

static void check_min_rtt_age(struct bbr *b, uint64_t now, const struct vs_congestion_ack *ack)
{
	uint64_t interval = VS_MAX(PROBE_RTT_INTERVAL, PROBE_RTT_INTERVAL_RTTS * b->model.min_rtt_usec);

	if (b->mode == PROBE_RTT || b->model.min_rtt_usec == 0)
		return;
	if (vs_time_since(now, b->model.min_rtt_seen_usec) < interval)
		return;
	if (b->model.low_inflight_seen && ack->min_rtt_usec) {
		/* The window of link/rtt.h has seen the path nearly empty: its minimum is the path's, higher or not. */
		vs_bbr_model_set_min_rtt(&b->model, now, ack->min_rtt_usec);
		return;
	}
	b->probe_rtt_until_usec = 0;
	enter(b, PROBE_RTT, now);
}

/* --- Outputs ------------------------------------------------------------------------------------------------------ */

static void set_rate(struct bbr *b)
{
	uint64_t bandwidth = vs_bbr_model_bandwidth(&b->model);
	uint64_t rate;

	if (b->model.min_rtt_usec == 0)
		return;
	/* Until the path has shown what it carries, the first window in a round trip is the least to expect of it: the
	 * samples that a few small frames give would make the first burst wait, long enough to be taken for a queue. */
	if (!b->pipe_full)
		bandwidth = VS_MAX(bandwidth, first_guess(b));
	rate = vs_loss_probe_compensate(&b->model.loss, scale(scale(bandwidth, pacing_gain(b)), GAIN_MARGIN));
	if (b->pipe_full || rate > b->rate)
		b->rate = VS_MAX(rate, (uint64_t)b->cc.datagram);
}

static uint64_t target_window(const struct bbr *b)
{
	uint64_t bdp = vs_bbr_model_bdp(&b->model), window;
	uint64_t slack = vs_bbr_model_bytes_in(&b->model, WINDOW_SLACK);

	if (vs_bbr_model_is_lan(&b->model))
		window = VS_MAX(bdp + slack, (uint64_t)LAN_WINDOW_MIN);
	else
		window = scale(bdp, GAIN_WINDOW) + VS_MAX(slack, vs_bbr_model_extra_acked(&b->model));
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
	vs_bbr_model_start(&b->model, cc->datagram, now);
}

/* After a silence the path's queue is empty: go on at the estimated bandwidth, not at a probing gain that was
 * meant for another time. */
static void bbr_sent(struct vs_congestion *cc, uint64_t now, uint32_t bytes, uint64_t inflight)
{
	struct bbr *b = bbr_of(cc);

	(void)bytes;
	if (inflight == 0 && vs_rate_is_app_limited(&cc->estimator) && in_probe_bw(b) &&
	    vs_time_since(now, cc->estimator.delivered_usec) > vs_bbr_model_phase(&b->model)) {
		enter_cruise(b, now);
		set_rate(b);
	}
}

static void bbr_delivered(struct vs_congestion *cc, uint32_t bytes, uint64_t sent_usec)
{
	struct bbr *b = bbr_of(cc);

	if (sent_in_up(b, sent_usec))
		b->up.delivered += bytes;
	vs_loss_probe_delivered(&b->model.loss, bytes, sent_usec);
}

static void bbr_ack(struct vs_congestion *cc, uint64_t now, const struct vs_congestion_ack *ack,
		    const struct vs_rate_sample *sample)
{
	struct bbr *b = bbr_of(cc);

	if (sample->acked == 0)
		return;
	b->model.datagram = cc->datagram;
	if (vs_bbr_model_ack(&b->model, now, ack, sample, cc->estimator.delivered, b->window)) {
		if (b->mode == STARTUP)
			check_pipe_full(b, sample);
		judge_loss(b, now, ack);
		vs_bbr_model_begin_round(&b->model);
	}
	judge_queue(b, now);
	advance_startup(b, now, ack->inflight);
	advance_probe_bw(b, now, ack->inflight);
	if (b->mode == PROBE_RTT)
		advance_probe_rtt(b, now, ack);
	check_min_rtt_age(b, now, ack);
	set_rate(b);
	set_window(b, sample);
}

static void bbr_lost(struct vs_congestion *cc, uint64_t now, uint32_t bytes, uint64_t sent_usec)
{
	struct bbr *b = bbr_of(cc);

	(void)now;
	if (sent_in_up(b, sent_usec))
		b->up.lost += bytes;
	vs_loss_probe_lost(&b->model.loss, bytes, sent_usec);
}

/* A cut needs no undoing: what had arrived after all was counted as delivered, so the next sample restores it. */
static void bbr_unlost(struct vs_congestion *cc, uint32_t bytes)
{
	vs_loss_probe_unlost(&bbr_of(cc)->model.loss, bytes);
}

static void bbr_excused(struct vs_congestion *cc, uint64_t now)
{
	struct bbr *b = bbr_of(cc);

	vs_bbr_model_uncut(&b->model, now);
	set_rate(b);
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
	return vs_bbr_model_bandwidth(&cbbr_of(cc)->model);
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
	.excused = bbr_excused,
	.timeout = bbr_timeout,
	.window = bbr_window,
	.rate = bbr_rate,
	.bandwidth = bbr_bandwidth,
	.state = bbr_state,
};
