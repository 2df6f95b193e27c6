/* Delivery-rate estimation: how fast the path has carried data, judged from what was acknowledged and when it was sent
 * (draft-cheng-iccrg-delivery-rate-estimation). One estimator a link, behind link/congestion.h; algorithms read its
 * samples.
 *
 * How it works: each datagram remembers how much had been delivered when it left (struct vs_congestion_tx). When it is
 * acknowledged, what was delivered since then, over the longer of the time in which it was sent and the time in which
 * it was acknowledged, is a rate that the path has really carried: taking the longer one means that neither a burst of
 * sending nor a burst of acknowledgements can inflate it. */
#ifndef VS_LINK_RATE_SAMPLE_H
#define VS_LINK_RATE_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "link/congestion.h"

/* What one batch of acknowledgements says. */
struct vs_rate_sample {
	uint64_t rate;            /* bytes a second; 0: no valid sample */
	uint64_t acked;           /* bytes newly delivered in the batch */
	uint64_t prior_delivered; /* estimator's count when the newest datagram of the batch left */
	bool app_limited;         /* the sender, not the path, limited this sample */
};

struct vs_rate_estimator {
	uint64_t delivered;         /* bytes acknowledged so far */
	uint64_t delivered_usec;    /* when that count last changed */
	uint64_t first_sent_usec;   /* when the newest datagram known to be delivered was sent */
	uint64_t app_limited_until; /* samples of data sent before `delivered` gets here are app-limited; 0: none */

	/* The batch that is being collected. */
	uint64_t batch_acked; /* 0: empty */
	uint64_t newest_sent_usec;
	struct vs_congestion_tx newest;
};

void vs_rate_init(struct vs_rate_estimator *e, uint64_t now);

/* `inflight` bytes in flight before this datagram; fills *tx. */
void vs_rate_sent(struct vs_rate_estimator *e, uint64_t now, uint64_t inflight, struct vs_congestion_tx *tx);

/* One datagram of the batch. */
void vs_rate_delivered(struct vs_rate_estimator *e, uint64_t now, uint32_t bytes, uint64_t sent_usec,
		       const struct vs_congestion_tx *tx);

/* Ends the batch. A sample over less time than min_rtt_usec (0: unknown) is invalid: it stems from a retransmission
 * whose original was acknowledged. */
void vs_rate_take(struct vs_rate_estimator *e, uint64_t min_rtt_usec, struct vs_rate_sample *out);

/* The sender ran dry with `inflight` bytes out. */
void vs_rate_app_limited(struct vs_rate_estimator *e, uint64_t inflight);

static inline bool vs_rate_is_app_limited(const struct vs_rate_estimator *e)
{
	return e->app_limited_until != 0;
}

#endif
