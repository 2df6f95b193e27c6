#include "link/congestion.h"

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "link/bbr.h"
#include "link/congestion_ops.h"
#include "link/cubic.h"

/* --- none: KCP's nc = 1 ------------------------------------------------------------------------------------------- */

/* Also the bound of every other window: what fits a 32-bit count of bytes. */
#define WINDOW_MAX UINT32_MAX

static void none_start(struct vs_congestion *cc, uint64_t now)
{
	(void)cc;
	(void)now;
}

static void none_ack(struct vs_congestion *cc, uint64_t now, const struct vs_congestion_ack *ack,
		     const struct vs_rate_sample *sample)
{
	(void)cc;
	(void)now;
	(void)ack;
	(void)sample;
}

static void none_lost(struct vs_congestion *cc, uint64_t now, uint32_t bytes, uint64_t sent_usec)
{
	(void)cc;
	(void)now;
	(void)bytes;
	(void)sent_usec;
}

static void none_unlost(struct vs_congestion *cc, uint32_t bytes)
{
	(void)cc;
	(void)bytes;
}

static uint64_t none_window(const struct vs_congestion *cc)
{
	(void)cc;
	return WINDOW_MAX;
}

static uint64_t none_zero(const struct vs_congestion *cc)
{
	(void)cc;
	return 0;
}

static const char *none_state(const struct vs_congestion *cc)
{
	(void)cc;
	return "unlimited";
}

static const struct vs_congestion_ops none_ops = {
	.name = "none",
	.size = sizeof(struct vs_congestion),
	.start = none_start,
	.ack = none_ack,
	.lost = none_lost,
	.unlost = none_unlost,
	.timeout = none_start,
	.window = none_window,
	.rate = none_zero,
	.bandwidth = none_zero,
	.state = none_state,
};

/* --- dispatch ----------------------------------------------------------------------------------------------------- */

static const struct vs_congestion_ops *ops_of(enum vs_congestion_kind kind)
{
	switch (kind) {
	case VS_CONGESTION_BBR:
		return &vs_bbr_ops;
	case VS_CONGESTION_CUBIC:
		return &vs_cubic_ops;
	case VS_CONGESTION_NONE:
		break;
	}
	return &none_ops;
}

struct vs_congestion *vs_congestion_new(enum vs_congestion_kind kind, uint32_t datagram, uint64_t now)
{
	const struct vs_congestion_ops *ops = ops_of(kind);
	struct vs_congestion *cc = calloc(1, ops->size);

	if (!cc)
		return NULL;
	cc->ops = ops;
	vs_congestion_reset(cc, datagram, now);
	return cc;
}

void vs_congestion_free(struct vs_congestion *cc)
{
	free(cc);
}

void vs_congestion_reset(struct vs_congestion *cc, uint32_t datagram, uint64_t now)
{
	const struct vs_congestion_ops *ops = cc->ops;

	memset(cc, 0, ops->size);
	cc->ops = ops;
	cc->datagram = datagram;
	vs_rate_init(&cc->estimator, now);
	ops->start(cc, now);
}

void vs_congestion_set_datagram(struct vs_congestion *cc, uint32_t datagram)
{
	cc->datagram = datagram;
}

void vs_congestion_sent(struct vs_congestion *cc, uint64_t now, uint32_t bytes, uint64_t inflight,
			struct vs_congestion_tx *tx)
{
	if (cc->ops->sent)
		cc->ops->sent(cc, now, bytes, inflight);
	vs_rate_sent(&cc->estimator, now, inflight, tx);
}

void vs_congestion_delivered(struct vs_congestion *cc, uint64_t now, uint32_t bytes, uint64_t sent_usec,
			     const struct vs_congestion_tx *tx)
{
	vs_rate_delivered(&cc->estimator, now, bytes, sent_usec, tx);
	if (cc->ops->delivered)
		cc->ops->delivered(cc, bytes, sent_usec);
}

void vs_congestion_ack(struct vs_congestion *cc, uint64_t now, const struct vs_congestion_ack *ack)
{
	struct vs_rate_sample sample;

	vs_rate_take(&cc->estimator, ack->min_rtt_usec, &sample);
	cc->ops->ack(cc, now, ack, &sample);
}

void vs_congestion_lost(struct vs_congestion *cc, uint64_t now, uint32_t bytes, uint64_t sent_usec, uint64_t inflight)
{
	(void)inflight;
	cc->ops->lost(cc, now, bytes, sent_usec);
}

void vs_congestion_lost_unasked(struct vs_congestion *cc, uint64_t now, uint32_t bytes, uint64_t sent_usec, bool noise)
{
	if (!noise || cc->ops != &vs_cubic_ops)
		cc->ops->lost(cc, now, bytes, sent_usec);
}

void vs_congestion_unlost(struct vs_congestion *cc, uint64_t now, uint32_t bytes)
{
	(void)now;
	cc->ops->unlost(cc, bytes);
}

void vs_congestion_excused(struct vs_congestion *cc, uint64_t now)
{
	if (cc->ops->excused)
		cc->ops->excused(cc, now);
}

void vs_congestion_timeout(struct vs_congestion *cc, uint64_t now)
{
	cc->ops->timeout(cc, now);
}

void vs_congestion_app_limited(struct vs_congestion *cc, uint64_t inflight)
{
	vs_rate_app_limited(&cc->estimator, inflight);
}

uint64_t vs_congestion_window(const struct vs_congestion *cc)
{
	return VS_MIN(cc->ops->window(cc), (uint64_t)WINDOW_MAX);
}

uint64_t vs_congestion_rate(const struct vs_congestion *cc)
{
	return cc->ops->rate(cc);
}

const char *vs_congestion_state(const struct vs_congestion *cc)
{
	return cc->ops->state(cc);
}

const char *vs_congestion_kind_name(enum vs_congestion_kind kind)
{
	return ops_of(kind)->name;
}

uint64_t vs_congestion_bandwidth(const struct vs_congestion *cc)
{
	return cc->ops->bandwidth(cc);
}
