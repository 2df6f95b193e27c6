/* What a congestion control algorithm is made of: the table through which link/congestion.h calls it, and the part of
 * its state that all have in common. Included by the algorithms and by congestion.c only. */
#ifndef VS_LINK_CONGESTION_OPS_H
#define VS_LINK_CONGESTION_OPS_H

#include <stddef.h>

#include "link/congestion.h"
#include "link/rate_sample.h"

/* Datagrams of the first window. It leaves at once, so it is a bound on what a start adds to a slow line's queue; ten
 * is TCP's (RFC 6928), 32 lets a fast path get past its first round trips. */
#define VS_CONGESTION_INITIAL_DATAGRAMS 32

/* An algorithm's state begins with this. */
struct vs_congestion {
	const struct vs_congestion_ops *ops;
	uint32_t datagram;
	struct vs_rate_estimator estimator;
};

/* Members that may be NULL are not called then. The estimator is kept by congestion.c. */
struct vs_congestion_ops {
	const char *name;
	size_t size; /* of the algorithm's state */
	/* Everything after struct vs_congestion is zero. */
	void (*start)(struct vs_congestion *cc, uint64_t now);
	void (*sent)(struct vs_congestion *cc, uint64_t now, uint32_t bytes, uint64_t inflight); /* may be NULL */
	/* One datagram of a batch; the batch's end. */
	void (*delivered)(struct vs_congestion *cc, uint32_t bytes, uint64_t sent_usec); /* may be NULL */
	void (*ack)(struct vs_congestion *cc, uint64_t now, const struct vs_congestion_ack *ack,
		    const struct vs_rate_sample *sample);
	void (*lost)(struct vs_congestion *cc, uint64_t now, uint32_t bytes, uint64_t sent_usec);
	void (*unlost)(struct vs_congestion *cc, uint32_t bytes);
	void (*excused)(struct vs_congestion *cc, uint64_t now); /* may be NULL */
	void (*timeout)(struct vs_congestion *cc, uint64_t now);
	uint64_t (*window)(const struct vs_congestion *cc);
	uint64_t (*rate)(const struct vs_congestion *cc);
	uint64_t (*bandwidth)(const struct vs_congestion *cc);
	const char *(*state)(const struct vs_congestion *cc);
};

#endif
