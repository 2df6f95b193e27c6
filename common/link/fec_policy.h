/* How much parity a link sends under `fec = auto`: follows the loss and the lengths of bursts that the peer reports.
 *
 * How it works. The loss of late is estimated twice, over some 64 and over some 1024 datagrams, and the larger one
 * counts: parity comes within a report of the first loss, and stays sufficient while chance is kind. The share of
 * parity is 2 * sqrt(loss * mean burst): 14 % at 0.5 % of single losses, 28 % at 2, 45 % at 5; with it 50 packets a
 * second lose less than 1 in 10,000 and wait over 100 ms less than once in 1,000 (tests/unit/test_fec.c). Nothing lost,
 * no parity: it ends when nothing has been lost for VS_FEC_HOLD.
 *
 * Loss that comes with a queue is congestion, which parity would add to: such a report never makes the estimates
 * rise. */
#ifndef VS_LINK_FEC_POLICY_H
#define VS_LINK_FEC_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"
#include "link/report.h"

#define VS_FEC_HOLD (30 * VS_SEC)
/* Data that a parity of `auto` covers. */
#define VS_FEC_AUTO_WINDOW 32

/* All zero: nothing is known. */
struct vs_fec_policy {
	uint64_t lost_usec;      /* when a loss that was no congestion was last reported; 0: never */
	uint64_t judged;         /* datagrams that the estimates are of */
	uint32_t long_q16, short_q16; /* shares lost */
	uint32_t burst_q8;       /* mean length of the bursts of late; 0: none yet */
};

/* A report of the peer. `queue_usec` is the delay that queues add now, 0 where it is unknown; `min_rtt_usec` the path's
 * own round-trip time. */
void vs_fec_policy_report(struct vs_fec_policy *p, uint64_t now, const struct vs_report_news *news, uint64_t queue_usec,
			  uint64_t min_rtt_usec);

/* Whether so much delay is a queue, in which losses are congestion. */
bool vs_fec_is_congested(uint64_t queue_usec, uint64_t min_rtt_usec);

/* Parities a datum, in 1/65536; 0: none. Unbounded: the ceiling is the caller's. */
uint32_t vs_fec_policy_share(const struct vs_fec_policy *p, uint64_t now);

#endif
