/* A path for tests of congestion control, in virtual time: up to two bulk senders share one bottleneck (rate, bounded
 * drop-tail queue, optional policer, random loss, lumps of acknowledgements, scheduling jitter). Each sender is a
 * congestion controller, a pacer and an RTT estimator, as a link has them, without the rest of the link.
 *
 * Nothing is reordered, so what was sent before something that was acknowledged and is not acknowledged itself is
 * lost. Lost data is not sent again: rates count what arrived. */
#ifndef VS_TEST_PATH_MODEL_H
#define VS_TEST_PATH_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "link/congestion.h"
#include "link/pacer.h"
#include "link/rtt.h"

#define PATH_FLOWS_MAX 2
#define PATH_INFLIGHT_MAX 32768 /* datagrams of one flow; a power of two */
#define PATH_DATAGRAM 1400u

struct path_config {
	uint64_t rate;              /* bottleneck, bytes a second */
	uint64_t rtt_usec;          /* without queue */
	uint64_t queue_bytes;       /* drop-tail limit */
	double loss;                /* of independent random loss, on the way to the bottleneck */
	uint64_t policer_rate;      /* token bucket in front of the bottleneck; 0: none */
	uint64_t policer_burst;
	uint64_t lump_usec;         /* acknowledgements arrive at multiples of this; 0: at once */
	uint64_t jitter_usec;       /* each acknowledgement is late by up to this, in order */
	uint64_t timer_usec;        /* the sender's timer fires at multiples of this; 0: precisely */
};

struct path_packet {
	uint64_t sent_usec, ack_usec; /* ack_usec VS_NEVER: lost */
	struct vs_congestion_tx tx;
};

struct path_flow {
	struct vs_congestion *cc;
	struct vs_pacer pacer;
	struct vs_rtt rtt;
	struct path_packet *ring;
	uint64_t head, tail; /* packets sent, packets whose fate is known */
	uint64_t inflight;
	uint64_t last_ack_usec; /* latest arrival of an acknowledgement scheduled */
	uint64_t heard_usec;    /* last acknowledgement or timeout */
	uint64_t start_usec;
	uint64_t app_rate;      /* bytes a second that the application offers; 0: as much as goes */
	uint64_t app_next_usec; /* when it offers the next datagram */
	uint64_t delivered, lost, sent, timeouts;
};

struct path {
	struct path_config config;
	uint64_t now;
	uint64_t busy_until; /* in 1/1000 microseconds: the bottleneck's queue is empty then */
	uint64_t policer_usec;
	double tokens;
	uint64_t seed;
	unsigned flows;
	struct path_flow flow[PATH_FLOWS_MAX];
	/* Delay that the queue would add to a ping, sampled each millisecond: sum, count, largest. */
	uint64_t queue_usec_sum, queue_samples, queue_usec_max, next_sample_usec;
};

void path_init(struct path *p, const struct path_config *config);
void path_fini(struct path *p);

struct path_flow *path_add(struct path *p, enum vs_congestion_kind kind, uint64_t start_usec);

/* Lets virtual time pass. */
void path_run(struct path *p, uint64_t usec);

/* Forgets what was counted so far: deliveries, losses, queue samples. */
void path_clear_counts(struct path *p);

/* The bottleneck changes its rate; what is queued keeps its bytes. */
void path_set_rate(struct path *p, uint64_t rate);

uint64_t path_queue_usec(const struct path *p);
uint64_t path_queue_mean_usec(const struct path *p);

#endif
