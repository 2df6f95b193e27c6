#include "link/rtt.h"

#include "base/compiler.h"

#define SAMPLE_MAX (60 * VS_SEC)

void vs_rtt_init(struct vs_rtt *rtt, uint64_t rto_min_usec, uint64_t rto_max_usec)
{
	*rtt = (struct vs_rtt){
		.rto_min_usec = rto_min_usec ? rto_min_usec : VS_RTO_MIN_DEFAULT,
		.rto_max_usec = rto_max_usec ? rto_max_usec : VS_RTO_MAX_DEFAULT,
	};
}

void vs_rtt_reset(struct vs_rtt *rtt)
{
	vs_rtt_init(rtt, rtt->rto_min_usec, rtt->rto_max_usec);
}

void vs_rtt_set_rto_min(struct vs_rtt *rtt, uint64_t rto_min_usec)
{
	rtt->rto_min_usec = rto_min_usec ? rto_min_usec : VS_RTO_MIN_DEFAULT;
}

/* RFC 6298, 2.3, with a decay of at most a quarter per round trip. */
static void update_variance(struct vs_rtt *rtt, uint64_t now, uint64_t sample)
{
	uint64_t error = sample > rtt->srtt_usec ? sample - rtt->srtt_usec : rtt->srtt_usec - sample;

	if (error >= rtt->rttvar_usec) {
		rtt->rttvar_usec += (error - rtt->rttvar_usec) / 4;
	} else if (vs_time_since(now, rtt->decayed_usec) >= rtt->srtt_usec) {
		rtt->rttvar_usec -= (rtt->rttvar_usec - error) / 4;
		rtt->decayed_usec = now;
	}
}

void vs_rtt_sample(struct vs_rtt *rtt, uint64_t now, uint64_t sample_usec)
{
	if (sample_usec > SAMPLE_MAX)
		return;
	uint64_t sample = VS_MAX(sample_usec, UINT64_C(1));

	rtt->latest_usec = sample;
	vs_minmax_min(&rtt->min, VS_RTT_MIN_WINDOW, now, sample);
	if (rtt->srtt_usec == 0) {
		rtt->srtt_usec = sample;
		rtt->rttvar_usec = sample / 2;
		rtt->decayed_usec = now;
		return;
	}
	update_variance(rtt, now, sample);
	rtt->srtt_usec = VS_MAX((rtt->srtt_usec * 7 + sample) / 8, UINT64_C(1));
}

uint64_t vs_rtt_rto(const struct vs_rtt *rtt)
{
	if (!vs_rtt_known(rtt))
		return VS_MIN(VS_RTO_INITIAL, rtt->rto_max_usec);

	uint64_t rto = rtt->srtt_usec + VS_MAX(4 * rtt->rttvar_usec, rtt->rto_min_usec);
	uint64_t limit = VS_MAX(rtt->rto_max_usec, rtt->srtt_usec + rtt->rto_min_usec);
	return VS_MIN(rto, limit);
}
