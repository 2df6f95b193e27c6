/* A sending rate for links without acknowledgements (mode = datagram), learned from the peer's reports of loss and
 * delay. Such a link carries what the inner protocols offer, and most of them control congestion themselves; the rate
 * only keeps a link from filling a path with datagrams that are lost anyway. No limit until loss shows one.
 *
 * How it works: a report of congestion (over 15 % lost; or over 2 % lost and delay risen) sets the rate to what got
 * through. Half a second later the next report tells what that has brought: where the share lost has not fallen by a
 * quarter, it did not come from our rate, so the limit is lifted and that share is from now on taken as the path's
 * own. Reports without congestion raise the rate by a sixteenth. */
#ifndef VS_LINK_REPORT_RATE_H
#define VS_LINK_REPORT_RATE_H

#include <stdint.h>

#include "base/time.h"

/* All zero: no limit, nothing known. */
struct vs_report_rate {
	uint64_t rate;           /* bytes a second; 0: no limit */
	uint64_t sent;           /* bytes since the last report that was used */
	uint64_t since_usec;     /* when that was; 0: none yet */
	uint64_t hold_usec;      /* a cut's effect is judged from then on; 0: no cut to judge */
	uint64_t min_delay_usec; /* smallest reported; 0: none */
	uint32_t cut_loss_q16;   /* share lost that led to the last cut */
	uint32_t path_loss_q16;  /* share lost that is not our doing */
};

static inline void vs_report_rate_sent(struct vs_report_rate *r, uint32_t bytes)
{
	r->sent += bytes;
}

/* One report: share of datagrams lost in 1/65536, delay in microseconds (0: unknown). */
void vs_report_rate_input(struct vs_report_rate *r, uint64_t now, uint32_t loss_q16, uint64_t delay_usec);

#endif
