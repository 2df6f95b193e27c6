/* Spreads datagrams over time at the congestion controller's rate. The link asks before each datagram (or each
 * segmentation-offload batch) and sleeps until the deadline when told to wait.
 *
 * How it works: a bucket of credit, filled at the rate. Sending is allowed while credit is above zero and may
 * overdraw it by what is sent at once, so a batch is never split for the pacer's sake. Two limits bound the bucket:
 *  - A sender that was idle finds credit for two datagrams and one millisecond at the rate: enough to fill a batch,
 *    too little to be a burst.
 *  - A sender that was told to wait and comes back late (a coarse timer, a busy CPU) finds up to five milliseconds at
 *    the rate, so that late timers do not cost throughput.
 * The deadline lies a quarter of a millisecond behind the first moment at which one byte could go, so that fast links
 * wake for batches and not for single datagrams. */
#ifndef VS_LINK_PACER_H
#define VS_LINK_PACER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"

#define VS_PACER_IDLE_USEC (1 * VS_MSEC)
#define VS_PACER_LATE_USEC (5 * VS_MSEC)
#define VS_PACER_BATCH_USEC UINT64_C(250)
#define VS_PACER_IDLE_DATAGRAMS 2

struct vs_pacer {
	uint64_t rate;         /* bytes a second; 0: unpaced */
	uint32_t datagram;     /* bytes of a full datagram */
	bool waiting;          /* the sender was told to wait and has not sent since */
	int64_t credit;        /* in bytes * 10^6, so that no fraction is lost at any rate */
	uint64_t updated_usec; /* when credit was last brought up to date */
};

/* An unpaced pacer with idle credit. */
void vs_pacer_init(struct vs_pacer *p, uint32_t datagram, uint64_t now);

/* Changes the rate from now on; credit earned so far stays. 0: unpaced. Cheap when nothing changes. */
void vs_pacer_set_rate(struct vs_pacer *p, uint64_t now, uint64_t rate);
void vs_pacer_set_datagram(struct vs_pacer *p, uint32_t datagram);

/* Whether a datagram may leave now. false also notes that one is waiting. */
bool vs_pacer_ready(struct vs_pacer *p, uint64_t now);

/* `bytes` have left that were asked for. What goes whatever the pacer says (acknowledgements, reports, probes) is not
 * charged: it must not hold up the data behind it. */
void vs_pacer_sent(struct vs_pacer *p, uint64_t now, uint64_t bytes);

/* When to ask again. Not after `now` if vs_pacer_ready() is true now. */
uint64_t vs_pacer_deadline(const struct vs_pacer *p);

#endif
