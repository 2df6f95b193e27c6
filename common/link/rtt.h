/* Round-trip time of a link: smoothed value and variance, retransmission timeout, and the least value of the last ten
 * seconds, which stands for the path without queues. Embedded in the link; fed with samples from which the peer's
 * acknowledgement delay has been subtracted, never from a retransmission that cannot be told from its original.
 *
 * RFC 6298, with two changes that a tunnel needs:
 *  - Samples come with every acknowledgement, not once a round trip. The variance therefore rises at once but decays
 *    at most once per round trip; else it would vanish within one, and the timeout with it.
 *  - The timeout is srtt + max(4 * rttvar, rto_min), at most rto_max but always at least srtt + rto_min. rto_min is
 *    30 ms (KCP's floor with nodelay), room for a delayed acknowledgement and a busy scheduler at both ends. rto_max
 *    is 500 ms, not a minute: a frame lives for max_age = 1 s, so a later retransmission would serve nobody. A path
 *    that is slower than that (a satellite's) stays usable through the second bound. Backing off is the ARQ's. */
#ifndef VS_LINK_RTT_H
#define VS_LINK_RTT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"
#include "link/minmax.h"

#define VS_RTT_MIN_WINDOW (10 * VS_SEC)
#define VS_RTO_MIN_DEFAULT (30 * VS_MSEC)
#define VS_RTO_MAX_DEFAULT (500 * VS_MSEC)
#define VS_RTO_INITIAL (250 * VS_MSEC) /* before the first sample */

struct vs_rtt {
	uint64_t latest_usec; /* 0: no sample yet, as for all below */
	uint64_t srtt_usec;
	uint64_t rttvar_usec;
	uint64_t decayed_usec; /* when rttvar last fell */
	struct vs_minmax min;
	uint64_t rto_min_usec, rto_max_usec;
};

/* No sample yet. 0 for either bound: its default. */
void vs_rtt_init(struct vs_rtt *rtt, uint64_t rto_min_usec, uint64_t rto_max_usec);

/* The path has changed: forgets all samples, keeps the bounds. */
void vs_rtt_reset(struct vs_rtt *rtt);

/* Changes the least that vs_rtt_rto() adds to the round-trip time; 0: the default. */
void vs_rtt_set_rto_min(struct vs_rtt *rtt, uint64_t rto_min_usec);

/* One measurement. 0 counts as 1 microsecond; samples of over a minute are clock errors and are ignored. */
void vs_rtt_sample(struct vs_rtt *rtt, uint64_t now, uint64_t sample_usec);

/* Time to wait for an acknowledgement before all of a lane's data in flight counts as unanswered. */
uint64_t vs_rtt_rto(const struct vs_rtt *rtt);

/* Least sample of the last VS_RTT_MIN_WINDOW; 0: none yet. */
static inline uint64_t vs_rtt_min(const struct vs_rtt *rtt)
{
	return vs_minmax_get(&rtt->min);
}

static inline bool vs_rtt_known(const struct vs_rtt *rtt)
{
	return rtt->srtt_usec != 0;
}

#endif
