/* What BBR believes about the path: its bandwidth, its round-trip time without queue, its own losses, and how unevenly
 * acknowledgements come. Fed with every batch of acknowledgements; read by the state machine in bbr.c. */
#ifndef VS_LINK_BBR_MODEL_H
#define VS_LINK_BBR_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "link/congestion.h"
#include "link/loss_probe.h"
#include "link/minmax.h"
#include "link/rate_sample.h"

struct vs_bbr_model {
	uint32_t datagram;
	struct vs_minmax bandwidth; /* bytes a second, over rounds */
	uint64_t uncut_bandwidth;   /* before the cuts of late */
	uint64_t cut_usec;          /* when the last one was; 0: never */
	struct vs_loss_probe loss;

	uint64_t min_rtt_usec;      /* 0: unknown */
	uint64_t min_rtt_seen_usec; /* when a sample was last near it */
	bool low_inflight_seen;     /* since then the path was nearly empty */

	/* Rounds: one ends when data sent after its begin is acknowledged. */
	uint64_t round;
	uint64_t round_delivered; /* estimator's count at the begin */
	uint64_t round_since_usec;
	uint64_t round_best;         /* greatest delivery rate seen in it */
	uint64_t round_rate;         /* of the whole of the last one */
	bool round_limited;          /* some of it was app-limited */
	uint64_t round_min_rtt_usec; /* UINT64_MAX: no sample */
	uint64_t jitter_usec;        /* mean deviation of samples from the smoothed round-trip time */

	/* Watching for a standing queue. */
	uint64_t queue_since_usec;
	uint64_t queue_best;         /* greatest delivery rate */
	uint64_t queue_min_rtt_usec; /* UINT64_MAX: no sample */

	/* Aggregation of acknowledgements. */
	struct vs_minmax extra_acked; /* bytes, over rounds */
	uint64_t lump_since_usec;
	uint64_t lump_acked;
};

/* Expects zeroed memory. */
void vs_bbr_model_start(struct vs_bbr_model *m, uint32_t datagram, uint64_t now);

/* Takes a batch in: `delivered` is the estimator's count after it, `window` the sender's window. Returns whether a
 * round has ended; the caller then reads the round's findings and calls vs_bbr_model_begin_round(). */
bool vs_bbr_model_ack(struct vs_bbr_model *m, uint64_t now, const struct vs_congestion_ack *ack,
		      const struct vs_rate_sample *sample, uint64_t delivered, uint64_t window);
void vs_bbr_model_begin_round(struct vs_bbr_model *m);

/* The delivery rate of the last moments, if a queue stands and that rate is under half of the bandwidth, so that the
 * bandwidth must be out of date; else 0. Judged by time and not by rounds, which grow as long as the queue. */
uint64_t vs_bbr_model_stale(struct vs_bbr_model *m, uint64_t now);

/* The bandwidth is `rate` at most; what was taken for the path's own loss is forgotten. 0: unknown, bandwidth stays. */
void vs_bbr_model_cut(struct vs_bbr_model *m, uint64_t now, uint64_t rate);

/* The cuts of late were wrong. */
void vs_bbr_model_uncut(struct vs_bbr_model *m, uint64_t now);

/* A moment with an empty path (PROBE_RTT) has measured this. */
void vs_bbr_model_set_min_rtt(struct vs_bbr_model *m, uint64_t now, uint64_t min_rtt_usec);

/* Bytes a second; 0: unknown. */
static inline uint64_t vs_bbr_model_bandwidth(const struct vs_bbr_model *m)
{
	return vs_minmax_get(&m->bandwidth);
}

/* Bytes that must be sent in `usec` to use the whole path: what it carries, with its own losses on top. */
uint64_t vs_bbr_model_bytes_in(const struct vs_bbr_model *m, uint64_t usec);

/* Bytes that must be in flight to use the whole path; at least four datagrams. */
uint64_t vs_bbr_model_bdp(const struct vs_bbr_model *m);

/* Bytes by which a lump of acknowledgements exceeds the bandwidth's worth, bounded to 50 ms of it. */
uint64_t vs_bbr_model_extra_acked(const struct vs_bbr_model *m);

/* Length of one phase: a round trip, but long enough for the hiccups of two schedulers. */
uint64_t vs_bbr_model_phase(const struct vs_bbr_model *m);

/* Whether the path is so short that the two ends' schedulers, and not the path, make the lumps in which data and
 * acknowledgements come. The bandwidth is then what whole rounds have delivered: the rate within a lump says nothing. */
bool vs_bbr_model_is_lan(const struct vs_bbr_model *m);

/* Whether a round-trip time is clearly above the path's. */
bool vs_bbr_model_is_delayed(const struct vs_bbr_model *m, uint64_t rtt_usec);

/* Whether all samples of the round were. */
bool vs_bbr_model_round_delayed(const struct vs_bbr_model *m);

#endif
