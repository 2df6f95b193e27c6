#include "link/rate_sample.h"

#include "base/compiler.h"

/* What is acknowledged within less than this says how the two ends are scheduled, not what the path carries: batches of
 * datagrams go and come in one piece. */
#define LEAST_INTERVAL (VS_SEC / 2000)

void vs_rate_init(struct vs_rate_estimator *e, uint64_t now)
{
	*e = (struct vs_rate_estimator){ .delivered_usec = now, .first_sent_usec = now };
}

void vs_rate_sent(struct vs_rate_estimator *e, uint64_t now, uint64_t inflight, struct vs_congestion_tx *tx)
{
	/* After a silence the path is empty: measuring starts here, or the silence would count as slowness. */
	if (inflight == 0) {
		e->first_sent_usec = now;
		e->delivered_usec = now;
	}
	*tx = (struct vs_congestion_tx){
		.delivered = e->delivered,
		.delivered_usec = e->delivered_usec,
		.first_sent_usec = e->first_sent_usec,
		.app_limited = vs_rate_is_app_limited(e),
	};
}

void vs_rate_delivered(struct vs_rate_estimator *e, uint64_t now, uint32_t bytes, uint64_t sent_usec,
		       const struct vs_congestion_tx *tx)
{
	bool first = e->batch_acked == 0;

	e->delivered += bytes;
	e->delivered_usec = now;
	e->batch_acked += bytes;
	if (first || tx->delivered > e->newest.delivered ||
	    (tx->delivered == e->newest.delivered && sent_usec >= e->newest_sent_usec)) {
		e->newest = *tx;
		e->newest_sent_usec = sent_usec;
		e->first_sent_usec = sent_usec;
	}
}

void vs_rate_take(struct vs_rate_estimator *e, uint64_t min_rtt_usec, struct vs_rate_sample *out)
{
	*out = (struct vs_rate_sample){ .acked = e->batch_acked };
	if (e->app_limited_until && e->delivered > e->app_limited_until)
		e->app_limited_until = 0;
	if (e->batch_acked > 0) {
		uint64_t send_elapsed = vs_time_since(e->newest_sent_usec, e->newest.first_sent_usec);
		uint64_t ack_elapsed = vs_time_since(e->delivered_usec, e->newest.delivered_usec);
		uint64_t interval = VS_MAX(send_elapsed, ack_elapsed);

		out->prior_delivered = e->newest.delivered;
		out->app_limited = e->newest.app_limited;
		/* What was sent before the path changed remembers a count that has been reset since. */
		bool stale = e->newest.delivered > e->delivered;
		if (interval > 0 && interval >= min_rtt_usec && !stale)
			out->rate = (e->delivered - e->newest.delivered) * VS_SEC / VS_MAX(interval, LEAST_INTERVAL);
	}
	e->batch_acked = 0;
}

void vs_rate_app_limited(struct vs_rate_estimator *e, uint64_t inflight)
{
	/* Never 0, which stands for "not limited". */
	e->app_limited_until = VS_MAX(e->delivered + inflight, UINT64_C(1));
}
