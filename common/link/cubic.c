/* How it works
 *
 * Slow start doubles the window each round until HyStart++ sees the round-trip time rise; it then grows a quarter as
 * fast (conservative slow start) for five rounds, and goes back if the rise was noise. After a loss the window falls
 * to 0.7 and grows along W(t) = C (t - K)^3 + W_max, or as Reno would where that is faster. All losses of data that
 * was sent before a reduction belong to it: one reduction a round. The window is paced out (2 windows a round trip in
 * slow start, 1.25 after), so HyStart++ needs no limit to bursts.
 *
 * Arithmetic is in integers: windows in bytes, time in milliseconds for the cubic. */
#include "link/cubic.h"

#include "base/compiler.h"

#define WINDOW_DATAGRAMS_MIN 4 /* of a link with up to 64 lanes; less could not even detect a loss by newer data */

/* HyStart++ (RFC 9406, 4.3). */
#define HYSTART_SAMPLES 8
#define HYSTART_THRESH_MIN (4 * VS_MSEC)
#define HYSTART_THRESH_MAX (16 * VS_MSEC)
#define HYSTART_CSS_DIVISOR 4
#define HYSTART_CSS_ROUNDS 5

#define ELAPSED_MSEC_MAX UINT64_C(100000) /* keeps its third power in range; the window is at its bound long before */

/* What a reduction replaced, for when it proves unfounded. */
struct undo {
	uint64_t window, ssthresh, w_max;
	uint64_t lost; /* bytes that it was made for; 0: nothing to undo */
};

struct cubic {
	struct vs_congestion cc;
	uint64_t window, ssthresh; /* ssthresh UINT64_MAX: not found yet */
	uint64_t srtt_usec;
	uint64_t recovery_usec; /* losses of data sent until then belong to the last reduction; 0: none yet */
	struct undo undo;

	/* The cubic. */
	uint64_t w_max;
	uint64_t epoch_usec; /* begin of the present curve; 0: to be set at the next acknowledgement */
	uint64_t k_msec;
	uint64_t w_reno;   /* what Reno would have */
	uint64_t ack_usec; /* time of the last acknowledgement */

	/* HyStart++. */
	uint64_t round_end_usec; /* the round ends when data sent after this is acknowledged */
	uint64_t last_round_min_rtt, round_min_rtt, css_baseline_rtt; /* UINT64_MAX: none */
	unsigned round_samples;
	unsigned css_rounds; /* 0: not in conservative slow start */
	uint64_t newest_sent_usec; /* of the present batch */
};

static struct cubic *cubic_of(struct vs_congestion *cc)
{
	return VS_CONTAINER_OF(cc, struct cubic, cc);
}

static const struct cubic *ccubic_of(const struct vs_congestion *cc)
{
	return VS_CONTAINER_OF(cc, const struct cubic, cc);
}

static uint64_t window_min(const struct cubic *c)
{
	return WINDOW_DATAGRAMS_MIN * (uint64_t)c->cc.datagram;
}

static bool in_slow_start(const struct cubic *c)
{
	return c->window < c->ssthresh;
}

/* Largest r with r^3 <= x, one bit at a time (x < 2^63). */
static uint64_t cube_root(uint64_t x)
{
	uint64_t root = 0;

	for (uint64_t bit = UINT64_C(1) << 20; bit; bit >>= 1) {
		uint64_t r = root | bit;
		if (r * r * r <= x)
			root = r;
	}
	return root;
}

/* --- HyStart++ ---------------------------------------------------------------------------------------------------- */

static void begin_round(struct cubic *c, uint64_t now)
{
	c->round_end_usec = now;
	c->last_round_min_rtt = c->round_min_rtt;
	c->round_min_rtt = UINT64_MAX;
	c->round_samples = 0;
}

static bool delay_rises(const struct cubic *c)
{
	if (c->round_samples < HYSTART_SAMPLES || c->last_round_min_rtt == UINT64_MAX)
		return false;
	uint64_t thresh = VS_MIN(VS_MAX(c->last_round_min_rtt / 8, HYSTART_THRESH_MIN), HYSTART_THRESH_MAX);
	return c->round_min_rtt >= c->last_round_min_rtt + thresh;
}

static void watch_delay(struct cubic *c)
{
	if (c->css_rounds == 0) {
		if (delay_rises(c)) {
			c->css_baseline_rtt = c->round_min_rtt;
			c->css_rounds = 1;
		}
	} else if (c->round_samples >= HYSTART_SAMPLES && c->round_min_rtt < c->css_baseline_rtt) {
		c->css_rounds = 0;
	}
}

static void hystart(struct cubic *c, uint64_t now, uint64_t rtt_usec)
{
	if (rtt_usec) {
		c->round_min_rtt = VS_MIN(c->round_min_rtt, rtt_usec);
		c->round_samples++;
	}
	watch_delay(c);
	if (c->newest_sent_usec <= c->round_end_usec)
		return;
	if (c->css_rounds && ++c->css_rounds > HYSTART_CSS_ROUNDS)
		c->ssthresh = c->window;
	begin_round(c, now);
}

/* --- Congestion avoidance ----------------------------------------------------------------------------------------- */

/* RFC 9438, 4.2: K = cbrt((W_max - window) / C) seconds, windows in datagrams, C = 0.4. */
static void begin_epoch(struct cubic *c, uint64_t now)
{
	c->epoch_usec = now;
	c->w_max = VS_MAX(c->w_max, c->window);
	c->w_reno = c->window;
	/* Below 2^33 bytes missing and above 200 bytes a datagram this stays under 2^63. */
	uint64_t missing = VS_MIN((c->w_max - c->window) / VS_MAX(c->cc.datagram, 1u), UINT64_C(3000000));
	c->k_msec = cube_root(missing * UINT64_C(2500000000));
}

static uint64_t cubic_at(const struct cubic *c, uint64_t elapsed_msec)
{
	uint64_t t = VS_MIN(elapsed_msec, ELAPSED_MSEC_MAX);
	uint64_t d = t > c->k_msec ? t - c->k_msec : c->k_msec - t;
	/* C d^3: in millidatagrams, then in bytes. */
	uint64_t delta = VS_MIN(d, 2 * ELAPSED_MSEC_MAX);
	delta = delta * delta * delta / 1000000 * 2 / 5 * c->cc.datagram / 1000;

	if (t > c->k_msec)
		return c->w_max + delta;
	return c->w_max > delta ? c->w_max - delta : 0;
}

/* RFC 9438, 4.3: alpha = 3 (1 - 0.7) / (1 + 0.7) = 9/17 until W_max is reached again, then 1. */
static void grow_reno(struct cubic *c, uint64_t acked)
{
	uint64_t step = acked * c->cc.datagram / VS_MAX(c->window, UINT64_C(1));

	c->w_reno += c->w_reno < c->w_max ? step * 9 / 17 : step;
}

static void avoid_congestion(struct cubic *c, uint64_t now, uint64_t acked)
{
	if (c->epoch_usec == 0)
		begin_epoch(c, now);
	grow_reno(c, acked);

	uint64_t target = cubic_at(c, (vs_time_since(now, c->epoch_usec) + c->srtt_usec) / VS_MSEC);
	target = VS_MIN(target, c->window + c->window / 2);
	if (target > c->window)
		c->window += VS_MAX((target - c->window) * acked / c->window, UINT64_C(1));
	c->window = VS_MAX(c->window, VS_MIN(c->w_reno, c->window + acked));
}

/* A window that is not used says nothing about the path and does not grow. */
static bool is_window_limited(const struct cubic *c, uint64_t inflight_before)
{
	if (in_slow_start(c))
		return inflight_before * 2 >= c->window;
	return inflight_before + c->window / 8 + 3 * (uint64_t)c->cc.datagram >= c->window;
}

static void reduce(struct cubic *c, uint64_t now)
{
	c->undo = (struct undo){ .window = c->window, .ssthresh = c->ssthresh, .w_max = c->w_max };
	/* Fast convergence (4.7): a window that did not get back to where it was makes room for newcomers. */
	c->w_max = c->window < c->w_max ? c->window * 17 / 20 : c->window;
	c->window = VS_MAX(c->window * 7 / 10, window_min(c));
	c->ssthresh = c->window;
	c->epoch_usec = 0;
	c->css_rounds = 0;
	c->recovery_usec = VS_MAX(now, UINT64_C(1));
}

/* --- The table ---------------------------------------------------------------------------------------------------- */

static void cubic_start(struct vs_congestion *cc, uint64_t now)
{
	struct cubic *c = cubic_of(cc);

	c->window = VS_CONGESTION_INITIAL_DATAGRAMS * (uint64_t)cc->datagram;
	c->ssthresh = UINT64_MAX;
	c->round_min_rtt = UINT64_MAX;
	begin_round(c, now);
}

static void cubic_delivered(struct vs_congestion *cc, uint32_t bytes, uint64_t sent_usec)
{
	struct cubic *c = cubic_of(cc);

	(void)bytes;
	c->newest_sent_usec = VS_MAX(c->newest_sent_usec, sent_usec);
}

static void cubic_ack(struct vs_congestion *cc, uint64_t now, const struct vs_congestion_ack *ack,
		      const struct vs_rate_sample *sample)
{
	struct cubic *c = cubic_of(cc);
	uint64_t since_ack = vs_time_since(now, c->ack_usec);

	if (sample->acked == 0)
		return;
	c->ack_usec = now;
	c->srtt_usec = ack->srtt_usec;
	if (in_slow_start(c))
		hystart(c, now, ack->rtt_usec);
	if (!is_window_limited(c, ack->inflight + sample->acked)) {
		/* RFC 9438, 5.8: the curve stands still meanwhile. */
		if (c->epoch_usec)
			c->epoch_usec = VS_MIN(c->epoch_usec + since_ack, now);
	} else if (in_slow_start(c)) {
		c->window += c->css_rounds ? sample->acked / HYSTART_CSS_DIVISOR : sample->acked;
	} else if (c->newest_sent_usec > c->recovery_usec) {
		avoid_congestion(c, now, sample->acked);
	}
	c->window = VS_MIN(c->window, (uint64_t)UINT32_MAX);
}

static void cubic_lost(struct vs_congestion *cc, uint64_t now, uint32_t bytes, uint64_t sent_usec)
{
	struct cubic *c = cubic_of(cc);

	/* A window at its least after a timeout has nothing to give, and ssthresh must outlive the outage. */
	if (c->window > window_min(c) && (c->recovery_usec == 0 || sent_usec > c->recovery_usec))
		reduce(c, now);
	c->undo.lost += bytes;
}

static void cubic_unlost(struct vs_congestion *cc, uint32_t bytes)
{
	struct cubic *c = cubic_of(cc);

	if (c->undo.lost == 0)
		return;
	c->undo.lost -= VS_MIN(c->undo.lost, bytes);
	if (c->undo.lost)
		return;
	c->window = VS_MAX(c->window, c->undo.window);
	c->ssthresh = c->undo.ssthresh;
	c->w_max = c->undo.w_max;
	c->epoch_usec = 0;
}

static void cubic_timeout(struct vs_congestion *cc, uint64_t now)
{
	struct cubic *c = cubic_of(cc);

	/* Repeated timeouts of one outage do not lower ssthresh again. */
	if (c->window > window_min(c))
		reduce(c, now);
	c->window = window_min(c);
	begin_round(c, now);
	c->last_round_min_rtt = UINT64_MAX;
}

static uint64_t cubic_window(const struct vs_congestion *cc)
{
	return ccubic_of(cc)->window;
}

static uint64_t cubic_rate(const struct vs_congestion *cc)
{
	const struct cubic *c = ccubic_of(cc);

	if (c->srtt_usec == 0)
		return 0;
	uint64_t window = in_slow_start(c) ? 2 * c->window : c->window + c->window / 4;
	return VS_MAX(window * VS_SEC / c->srtt_usec, (uint64_t)cc->datagram);
}

static const char *cubic_state(const struct vs_congestion *cc)
{
	const struct cubic *c = ccubic_of(cc);

	if (!in_slow_start(c))
		return "avoidance";
	return c->css_rounds ? "slow_start:conservative" : "slow_start";
}

/* CUBIC does not estimate it; what it has lately carried is a window a round trip. */
static uint64_t cubic_bandwidth(const struct vs_congestion *cc)
{
	const struct cubic *c = ccubic_of(cc);
	return c->srtt_usec ? c->window * VS_SEC / c->srtt_usec : 0;
}

const struct vs_congestion_ops vs_cubic_ops = {
	.name = "cubic",
	.size = sizeof(struct cubic),
	.start = cubic_start,
	.delivered = cubic_delivered,
	.ack = cubic_ack,
	.lost = cubic_lost,
	.unlost = cubic_unlost,
	.timeout = cubic_timeout,
	.window = cubic_window,
	.rate = cubic_rate,
	.bandwidth = cubic_bandwidth,
	.state = cubic_state,
};
