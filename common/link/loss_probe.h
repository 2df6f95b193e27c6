/* Tells loss that our rate causes from loss that the path has anyway (a radio link, a bad cable, a distant overloaded
 * hop). No single observation can: a policer that drops a third and a radio link that loses a third look the same to
 * a sender at a steady rate. But they answer differently to a change of rate, and BBR changes its rate all the time.
 *
 * How it works: the share lost of what was sent in a phase of low gain, once its fate is known, is the path's own loss
 * ("path loss"): below the bottleneck's rate nothing is lost to us. What a round at normal gain loses beyond that is
 * ours ("excess"). BBR paces at bandwidth / (1 - path loss), so that what is delivered, not what is sent, matches the
 * bandwidth, and reacts to the excess only. Where the low phase was still above the path's rate (right after a policer
 * has taken its burst back), path loss is overestimated, but each cut of the bandwidth discards it and measures
 * again at the lower rate, so it converges to the truth: at a policer, to zero. */
#ifndef VS_LINK_LOSS_PROBE_H
#define VS_LINK_LOSS_PROBE_H

#include <stdbool.h>
#include <stdint.h>

struct vs_loss_count {
	uint64_t delivered, lost; /* bytes */
};

/* All zero: nothing known. */
struct vs_loss_probe {
	struct vs_loss_count round; /* since vs_loss_probe_round_end() last gave an answer */
	struct vs_loss_count low;   /* of what was sent in [low_begin, low_end) */
	struct vs_loss_count path;  /* fading sum of low phases */
	uint64_t low_begin_usec, low_end_usec;
	bool open;              /* a low phase runs or waits for its fate */
	bool known;             /* path loss has been measured since the last forget */
	uint32_t path_loss_q16; /* 0 ... VS_LOSS_PATH_MAX */
};

/* Above half there is no use in sending more: it would only be doubling the traffic for a path that is broken. */
#define VS_LOSS_PATH_MAX 32768u

void vs_loss_probe_delivered(struct vs_loss_probe *p, uint32_t bytes, uint64_t sent_usec);
void vs_loss_probe_lost(struct vs_loss_probe *p, uint32_t bytes, uint64_t sent_usec);
void vs_loss_probe_unlost(struct vs_loss_probe *p, uint32_t bytes);

/* A phase of low gain begins or ends. */
void vs_loss_probe_low_begin(struct vs_loss_probe *p, uint64_t now);
void vs_loss_probe_low_end(struct vs_loss_probe *p, uint64_t now);

/* Folds a low phase in whose fate is known by now (it ended more than `settle_usec` ago). `delayed`: a queue stands in
 * spite of our low rate, so others fill it, and the loss is congestion, if not ours; path loss is then halved. */
void vs_loss_probe_settle(struct vs_loss_probe *p, uint64_t now, uint64_t settle_usec, uint32_t datagram,
			  bool delayed);

/* At the end of a round: the excess share lost in 1/65536 of what was sent, and starts counting anew. Keeps counting,
 * and returns 0, while fewer than a hundred datagrams make a share meaningless. */
uint32_t vs_loss_probe_round_end(struct vs_loss_probe *p, uint32_t datagram);

/* The bandwidth was cut: what was taken for the path's loss may have been ours. */
void vs_loss_probe_forget(struct vs_loss_probe *p);

/* x / (1 - path loss): what must be sent so that x is delivered. */
uint64_t vs_loss_probe_compensate(const struct vs_loss_probe *p, uint64_t x);

#endif
