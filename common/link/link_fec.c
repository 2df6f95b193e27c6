/* Forward error correction of a link: what is protected, with how much parity, and what comes of it at either end. */
#include "link/link.h"

#include "link/link_state.h"

/* A link that has been held up by its window or its pacer is busy for half a round trip more, and for this at least. */
#define BUSY_MIN (20 * VS_MSEC)
/* While busy, the ends of bursts are protected once in a quarter of a round trip, and not more often than this. */
#define TAIL_MIN (10 * VS_MSEC)

static bool takes_fec(const struct vs_session *session)
{
	return session->params.features & VS_FEATURE_FEC;
}

/* --- What both ends have agreed on --- */

static void use_memory(struct vs_link *link, uint64_t now)
{
	link->fec.used_usec = now;
	vs_link_uses_memory(link, now);
}

void vs_link_fec_init(struct vs_link *link)
{
	vs_fec_tx_init(&link->fec.tx);
	vs_fec_rx_init(&link->fec.rx, &link->drops);
}

void vs_link_fec_fini(struct vs_link *link)
{
	vs_fec_tx_release(&link->fec.tx);
	vs_fec_rx_release(&link->fec.rx);
}

bool vs_link_fec_release(struct vs_link *link, uint64_t unused_since)
{
	if (link->fec.used_usec > unused_since)
		return !vs_fec_tx_holds(&link->fec.tx) && !vs_fec_rx_holds(&link->fec.rx);
	vs_link_fec_fini(link);
	return true;
}

void vs_link_fec_reset(struct vs_link *link)
{
	/* No parity may bring back what belongs to the lanes that were. */
	vs_fec_tx_release(&link->fec.tx);
	vs_fec_rx_reset(&link->fec.rx);
}

static void set_share(struct vs_link *link, uint32_t share_q16, unsigned window)
{
	vs_fec_tx_set_share(&link->fec.tx, share_q16, window);
	if (!share_q16)
		vs_arq_tx_set_recovery(link->arq_tx, 0);
}

/* As much as the policy wants, up to the ceiling, which is of bytes. */
static void follow_policy(struct vs_link *link, uint64_t now)
{
	struct link_fec *fec = &link->fec;
	uint64_t most = (uint64_t)fec->config.overhead_max * VS_FEC_SHARE_ONE / 100;
	most = most * VS_FEC_SHARE_ONE / vs_fec_tx_parity_cost(&fec->tx);
	uint64_t share = vs_fec_policy_share(&fec->policy, now);
	set_share(link, (uint32_t)VS_MIN(share, most), VS_FEC_AUTO_WINDOW);
}

void vs_link_fec_apply(struct vs_link *link, const struct vs_params *params, uint64_t now)
{
	struct link_fec *fec = &link->fec;
	struct vs_fec_config config = { .kind = VS_FEC_OFF };
	if (params->features & VS_FEATURE_FEC)
		config = link->config.initiator ? params->fec_up : params->fec_down;
	vs_fec_tx_set_datagram_max(&fec->tx, params->datagram_max);
	vs_fec_rx_set_datagram_max(&fec->rx, params->datagram_max);
	fec->config = config;
	fec->reserve = config.kind == VS_FEC_OFF ? 0 : VS_FEC_RESERVE;
	switch (config.kind) {
	case VS_FEC_OFF:
		set_share(link, 0, 0);
		break;
	case VS_FEC_FIXED:
		set_share(link, vs_fec_share(config.k, config.m), vs_fec_window(config.k));
		break;
	case VS_FEC_AUTO:
		follow_policy(link, now);
		break;
	}
}

void vs_link_fec_new_path(struct vs_link *link, uint64_t now)
{
	link->fec.policy = (struct vs_fec_policy){ 0 };
	if (link->fec.config.kind == VS_FEC_AUTO)
		follow_policy(link, now);
}

/* Segments that the lanes have found lost since this was last asked. */
static uint64_t take_arq_losses(struct vs_link *link)
{
	struct vs_arq_tx_stats arq;
	vs_arq_tx_stats(link->arq_tx, &arq);
	uint64_t lost = arq.lost - link->fec.arq_lost;
	link->fec.arq_lost = arq.lost;
	return lost;
}

/* What FEC regains looks to the controller as if it had never been lost. Where a queue shows that it was lost to
 * congestion, the controller is told all the same (as RFC 9265 demands, section 3.2): else links with parity would keep
 * a bottleneck's queue full for good. */
static void tell_controller(struct vs_link *link, const struct vs_report_news *news, bool congested, uint64_t now)
{
	uint64_t known = take_arq_losses(link);
	if (!congested || news->lost <= known)
		return;
	uint64_t bytes = (news->lost - known) * vs_pmtud_size(&link->pmtud);
	vs_congestion_lost(link->congestion, now, (uint32_t)VS_MIN(bytes, (uint64_t)UINT32_MAX),
			   vs_time_since(now, link->rtt.srtt_usec), vs_arq_tx_inflight(link->arq_tx));
}

/* The delay that queues add. Without stamps the round trip has to tell; 0: nothing does. */
static uint64_t queue_of(const struct vs_report_news *news, uint64_t min_rtt_usec)
{
	if (news->queue_usec != VS_REPORT_UNKNOWN)
		return news->queue_usec;
	return news->rtt_usec ? vs_time_since(news->rtt_usec, min_rtt_usec) : 0;
}

void vs_link_fec_report(struct vs_link *link, const struct vs_report_news *news, uint64_t now)
{
	struct link_fec *fec = &link->fec;
	uint64_t min_rtt = vs_rtt_min(&link->rtt), queue = queue_of(news, min_rtt);
	if (fec->config.kind == VS_FEC_OFF)
		return;
	vs_fec_policy_report(&fec->policy, now, news, queue, min_rtt);
	if (fec->config.kind == VS_FEC_AUTO)
		follow_policy(link, now);
	else if (link->params.mode == VS_MODE_RELIABLE)
		tell_controller(link, news, vs_fec_is_congested(queue, min_rtt), now);
}

/* --- Sending --- */

/* Whether there is more to send than the window and the pacer let go. */
static bool is_held_up(const struct vs_link *link)
{
	if (link->pacer.waiting)
		return true;
	return !vs_link_window_open(link) &&
	       (vs_queue_ready(link->queue) || vs_arq_tx_has_lost(link->arq_tx) || vs_arq_tx_has_waiting(link->arq_tx));
}

/* While a reliable link is busy, what is lost holds up nobody who would not have to wait anyway, and retransmission
 * costs less than parity. So `auto` protects the ends of bursts alone, after which nothing would tell of a loss. */
static bool is_worth_it(struct vs_link *link, uint64_t now)
{
	struct link_fec *fec = &link->fec;
	if (fec->config.kind != VS_FEC_AUTO || link->params.mode == VS_MODE_DATAGRAM)
		return true;
	uint64_t srtt = link->rtt.srtt_usec;
	if (is_held_up(link))
		fec->busy_until_usec = now + VS_MAX(srtt / 2, (uint64_t)BUSY_MIN);
	if (now >= fec->busy_until_usec)
		return true;
	if (vs_link_has_segments(link) || now < fec->tail_usec + VS_MAX(srtt / 4, (uint64_t)TAIL_MIN))
		return false;
	fec->tail_usec = now;
	return true;
}

void vs_link_fec_protect(struct vs_link *link, uint64_t now)
{
	struct link_fec *fec = &link->fec;
	uint32_t seq;
	if (!is_worth_it(link, now) || !vs_fec_tx_data(&fec->tx, link->parts, now, &seq)) {
		vs_arq_tx_set_recovery(link->arq_tx, 0);
		return;
	}
	uint8_t *header = vs_parts_prepend(link->parts, VS_FEC_DATA_HEADER);
	header[0] = VS_KIND_FEC_DATA;
	vs_put_be32(header + VS_KIND_SIZE, seq);
	vs_arq_tx_set_recovery(link->arq_tx, vs_fec_tx_cover_usec(&fec->tx));
	use_memory(link, now);
}

bool vs_link_fec_write_parity(struct vs_link *link, uint64_t now)
{
	vs_parts_init(link->parts, VS_DATAGRAM_MAX);
	return vs_fec_tx_output(&link->fec.tx, now, link->parts);
}

/* A controller that hears of acknowledged data only takes the bytes that parity needs for a slower path, lets less go,
 * and so would end with nothing: a fixed share comes on top of its rate. That of `auto`, which comes and goes, does
 * not: what the path takes would be exceeded each time it comes. It gives way where the pacer holds up the data. */
uint64_t vs_link_fec_rate(const struct vs_link *link, uint64_t rate)
{
	if (link->params.mode == VS_MODE_DATAGRAM || link->fec.config.kind != VS_FEC_FIXED)
		return rate;
	return rate + rate * vs_fec_tx_overhead(&link->fec.tx) / VS_FEC_SHARE_ONE;
}

/* --- Receiving --- */

const uint8_t *vs_link_fec_input(struct vs_link *link, const struct vs_session *session, const uint8_t *text,
				 size_t len, uint64_t now, size_t *out_len)
{
	const uint8_t *body = text + VS_KIND_SIZE;
	if (!takes_fec(session)) {
		vs_drop(&link->drops, VS_DROP_BAD_KIND);
		return NULL;
	}
	use_memory(link, now);
	if (text[0] == VS_KIND_FEC_DATA)
		return vs_fec_rx_data(&link->fec.rx, body, len - VS_KIND_SIZE, out_len);
	vs_fec_rx_parity(&link->fec.rx, body, len - VS_KIND_SIZE);
	return vs_fec_rx_take(&link->fec.rx, out_len);
}

/* --- Numbers --- */

void vs_link_fec_stats(const struct vs_link *link, struct vs_link_stats *out)
{
	const struct link_fec *fec = &link->fec;
	out->fec = fec->config;
	out->fec_share_q16 = fec->tx.share_q16;
	out->tx_parity = fec->tx.parities;
	out->rx_parity = fec->rx.parities;
	out->fec_recovered = fec->rx.recovered;
	out->fec_unrecovered = fec->rx.unrecovered;
}
