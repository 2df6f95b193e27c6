/* Timers of the sending half: probe timeouts (RFC 8985 section 7, RFC 9002 section 6.2), the reordering timer, and the
 * age after which a message is given up. */
#include "link/arq_tx.h"
#include "link/arq_tx_state.h"

/* Backed off no further than this, so that a path that works again is noticed within max_age's default. */
#define PROBE_MAX (400 * VS_MSEC)

uint64_t vs_arq_tx_backoff(const struct vs_arq_tx *tx, unsigned n)
{
	uint64_t delay = vs_rtt_rto(tx->config.rtt);
	for (unsigned i = 0; i < VS_MIN(n, 4u); i++)
		delay += tx->nodelay ? delay / 2 : delay;
	uint64_t most = VS_MAX((uint64_t)PROBE_MAX, 2 * tx->config.rtt->srtt_usec);
	return VS_MIN(delay, most);
}

void vs_arq_tx_arm_probe(struct vs_arq_tx *tx, uint64_t now)
{
	if (!tx->stats.inflight) {
		tx->probe_deadline = VS_NEVER;
		return;
	}
	tx->probe_deadline = now + vs_arq_tx_backoff(tx, tx->probe_count) + tx->recovery_usec;
	tx->probe_armed_usec = now;
}

/* Settles [una, end) and has SKIP tell the receiver. */
static void skip_to(struct vs_arq_tx *tx, unsigned lane_no, uint32_t end, uint64_t now)
{
	struct tx_lane *lane = tx->lanes[lane_no];
	for (uint32_t sn = lane->skipping ? lane->skip_to : lane->una; sn != end; sn++) {
		struct tx_segment *seg = tx_lookup(lane, sn);
		if (seg->state == TX_DONE)
			continue;
		if (seg->frg == 0) {
			vs_drop(tx->config.drops, VS_DROP_MAX_AGE);
			tx->stats.skipped++;
		}
		vs_arq_tx_settle(tx, seg);
	}
	lane->skip_to = end;
	lane->skipping = true;
	tx->skip_lanes |= UINT64_C(1) << lane_no;
	tx->skip_deadline = now;
	tx->skip_count = 0;
}

bool vs_arq_tx_give_up_expired(struct vs_arq_tx *tx, unsigned lane_no, uint64_t now)
{
	struct tx_lane *lane = tx->lanes[lane_no];
	uint32_t first = lane->skipping ? lane->skip_to : lane->una;
	uint32_t end = first;
	/* Ages fall with sequence numbers, and a message has one age, so this ends at a message boundary. */
	while (end != lane->nxt) {
		const struct tx_segment *seg = tx_lookup(lane, end);
		if (vs_time_since(now, seg->admitted_usec) <= tx->config.max_age_usec)
			break;
		end++;
	}
	if (end == first)
		return false;
	skip_to(tx, lane_no, end, now);
	return true;
}

static void give_up_all_expired(struct vs_arq_tx *tx, uint64_t now)
{
	if (!tx->config.max_age_usec)
		return;
	for (uint64_t set = tx->busy_lanes; set; set &= set - 1)
		vs_arq_tx_give_up_expired(tx, (unsigned)__builtin_ctzll(set), now);
}

/* Sends a segment once more, in front of everything and whatever the congestion window says: the first that is known to
 * be lost, as what fills the window may be just what the receiver has no room for until that one comes; else the oldest
 * in flight. */
static void probe(struct vs_arq_tx *tx)
{
	struct tx_segment *seg = VS_LIST_FIRST(&tx->lost, struct tx_segment, node);
	if (seg) {
		seg->probe = true;
		return;
	}
	seg = VS_LIST_FIRST(&tx->sent, struct tx_segment, node);
	if (!seg)
		return;
	vs_list_remove(&seg->node);
	tx->inflight_bytes -= tx_bytes(seg);
	tx->stats.inflight--;
	tx->stats.waiting++;
	seg->state = TX_LOST;
	seg->probe = true;
	vs_list_prepend(&tx->lost, &seg->node);
}

uint64_t vs_arq_tx_deadline(const struct vs_arq_tx *tx)
{
	uint64_t deadline = vs_time_min(tx->probe_deadline, tx->reorder_deadline);
	return vs_time_min(deadline, tx->skip_deadline);
}

enum vs_arq_event vs_arq_tx_timeout(struct vs_arq_tx *tx, uint64_t now)
{
	if (now >= tx->reorder_deadline)
		vs_arq_tx_detect_losses(tx, now);
	if (now < tx->probe_deadline)
		return VS_ARQ_NOTHING;
	if (vs_list_empty(&tx->sent)) {
		tx->probe_deadline = VS_NEVER;
		return VS_ARQ_NOTHING;
	}
	tx->probe_count++;
	if (tx->probe_count >= 2)
		vs_congestion_timeout(tx->config.congestion, now);
	give_up_all_expired(tx, now);
	probe(tx);
	vs_arq_tx_arm_probe(tx, now);
	return VS_ARQ_PROBE;
}

uint32_t vs_arq_tx_take_largest_delivered(struct vs_arq_tx *tx, uint64_t *sent_usec)
{
	uint32_t bytes = tx->largest_delivered;
	*sent_usec = tx->largest_sent_usec;
	tx->largest_delivered = 0;
	return bytes;
}

void vs_arq_tx_excuse_losses(struct vs_arq_tx *tx, uint64_t now)
{
	tx->excused_usec = now;
}

bool vs_arq_tx_take_suspicion(struct vs_arq_tx *tx)
{
	bool suspicion = tx->suspicion;
	tx->suspicion = false;
	return suspicion;
}
