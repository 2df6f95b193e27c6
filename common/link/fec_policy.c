#include "link/fec_policy.h"

#include "base/compiler.h"

/* Datagrams that the estimates reach back over. */
#define LONG 1024
#define SHORT 64
/* Bursts that their mean reaches back over. */
#define BURSTS 16

/* A queue is one from here on: less is jitter. */
#define QUEUE_MIN (5 * VS_MSEC)

/* Mean lengths of the classes of bursts (link/report.h), in 1/256. */
static const uint32_t burst_length_q8[VS_REPORT_BURSTS] = { 256, 512, 896, 1664, 3200, 6400 };

bool vs_fec_is_congested(uint64_t queue_usec, uint64_t min_rtt_usec)
{
	return queue_usec > VS_MAX(min_rtt_usec / 4, (uint64_t)QUEUE_MIN);
}

/* Moves an estimate towards what a report of `judged` datagrams says. It reaches back over `reach` of them, or over as
 * many as there have been. */
static uint32_t follow(uint32_t estimate, uint32_t loss, uint64_t judged, uint64_t reach)
{
	int64_t step = ((int64_t)loss - estimate) * (int64_t)judged / (int64_t)(reach + judged);
	return (uint32_t)((int64_t)estimate + step);
}

static void learn_bursts(struct vs_fec_policy *p, const struct vs_report_news *news)
{
	for (unsigned i = 0; i < VS_REPORT_BURSTS; i++) {
		if (!news->bursts[i])
			continue;
		uint32_t weight = VS_MIN(news->bursts[i], (uint32_t)BURSTS);
		if (!p->burst_q8)
			p->burst_q8 = burst_length_q8[i];
		p->burst_q8 += ((int32_t)burst_length_q8[i] - (int32_t)p->burst_q8) * (int32_t)weight / BURSTS;
	}
}

void vs_fec_policy_report(struct vs_fec_policy *p, uint64_t now, const struct vs_report_news *news, uint64_t queue_usec,
			  uint64_t min_rtt_usec)
{
	if (!news->judged)
		return;
	uint32_t loss = VS_MIN(news->loss_q16, UINT32_C(65536));
	uint32_t longer = follow(p->long_q16, loss, news->judged, VS_MIN(p->judged, (uint64_t)LONG));
	uint32_t shorter = follow(p->short_q16, loss, news->judged, SHORT);
	bool congested = vs_fec_is_congested(queue_usec, min_rtt_usec);
	p->long_q16 = congested ? VS_MIN(p->long_q16, longer) : longer;
	p->short_q16 = congested ? VS_MIN(p->short_q16, shorter) : shorter;
	p->judged = VS_MIN(p->judged + news->judged, (uint64_t)LONG);
	if (congested || !news->lost)
		return;
	learn_bursts(p, news);
	p->lost_usec = now;
}

/* The square root of a product in 1/65536, itself in 1/65536. */
static uint32_t root_q16(uint64_t square_q16)
{
	uint64_t square = square_q16 << 16, root = 0;
	for (uint64_t bit = UINT64_C(1) << 24; bit; bit >>= 1)
		if ((root | bit) * (root | bit) <= square)
			root |= bit;
	return (uint32_t)root;
}

uint32_t vs_fec_policy_share(const struct vs_fec_policy *p, uint64_t now)
{
	if (!p->lost_usec || vs_time_since(now, p->lost_usec) > VS_FEC_HOLD)
		return 0;
	uint64_t loss = VS_MAX(p->long_q16, p->short_q16);
	return 2 * root_q16(loss * VS_MAX(p->burst_q8, 256u) / 256);
}
