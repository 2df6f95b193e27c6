/* Acknowledgements and loss detection (RFC 8985). */
#include "link/arq_tx.h"
#include "link/arq_tx_state.h"

#include <endian.h>
#include <string.h>

/* Least reordering window: an end system's own scheduling reorders acknowledgements by this much. */
#define REORDER_MIN (1 * VS_MSEC)
/* The window never exceeds two round trips or, where those are short, this: links that share their load over several
 * radios or modems hold packets back by some tens of milliseconds whatever the distance. */
#define REORDER_CAP_MIN (50 * VS_MSEC)
#define REORDER_EPOCH (8 * VS_SEC)

/* --- Reordering window --- */

/* An acknowledgement came `late_usec` after that of a segment sent later: the window must be at least so long. */
static void observe_reordering(struct vs_arq_tx *tx, uint64_t now, uint64_t late_usec)
{
	struct reorder_window *w = &tx->reorder;
	if (now >= w->epoch_usec + REORDER_EPOCH) {
		w->previous = now >= w->epoch_usec + 2 * REORDER_EPOCH ? 0 : w->current;
		w->current = 0;
		w->epoch_usec = now;
	}
	w->current = VS_MAX(w->current, late_usec);
}

uint64_t vs_arq_tx_reorder_usec(const struct vs_arq_tx *tx)
{
	uint64_t seen = VS_MAX(tx->reorder.current, tx->reorder.previous);
	uint64_t window = VS_MAX(seen + seen / 4, vs_rtt_min(tx->config.rtt) / 4);
	uint64_t cap = VS_MAX(2 * tx->config.rtt->srtt_usec, (uint64_t)REORDER_CAP_MIN);
	return VS_MAX(VS_MIN(VS_MAX(window, tx->recovery_usec), cap), (uint64_t)REORDER_MIN);
}

void vs_arq_tx_set_recovery(struct vs_arq_tx *tx, uint64_t usec)
{
	tx->recovery_usec = usec;
}

/* --- Losses --- */

static void mark_lost(struct vs_arq_tx *tx, struct tx_segment *seg, uint64_t now)
{
	vs_list_remove(&seg->node);
	tx->inflight_bytes -= tx_bytes(seg);
	tx->stats.inflight--;
	tx->stats.waiting++;
	tx->stats.lost++;
	if (seg->losses < UINT8_MAX)
		seg->losses++;
	if (seg->losses >= 2)
		tx->suspicion = true;
	seg->state = TX_LOST;
	vs_list_append(&tx->lost, &seg->node);
	if (seg->sent_usec > tx->excused_usec)
		vs_congestion_lost(tx->config.congestion, now, tx_bytes(seg), seg->sent_usec, tx->inflight_bytes);
}

/* As many as `resend` says that were sent after it have arrived before it. */
static bool is_overtaken(const struct vs_arq_tx *tx, const struct tx_segment *seg)
{
	return tx->overtakes && !tx->recovery_usec && vs_sn_diff(seg->order, tx->overtaken_before) < 0;
}

void vs_arq_tx_detect_losses(struct vs_arq_tx *tx, uint64_t now)
{
	uint64_t allowed = tx->rack_rtt_usec + vs_arq_tx_reorder_usec(tx);
	struct tx_segment *seg;
	tx->reorder_deadline = VS_NEVER;
	while ((seg = VS_LIST_FIRST(&tx->sent, struct tx_segment, node))) {
		bool overtaken = is_overtaken(tx, seg);
		if (!overtaken && seg->sent_usec >= tx->rack_sent_usec)
			return;
		if (!overtaken && seg->sent_usec + allowed > now) {
			tx->reorder_deadline = seg->sent_usec + allowed;
			return;
		}
		mark_lost(tx, seg, now);
	}
}

/* --- Acknowledgements --- */

/* The acknowledgement is too early to be of the last transmission, so an earlier one had arrived. */
static bool is_spurious(const struct vs_arq_tx *tx, const struct tx_segment *seg, uint64_t now)
{
	uint64_t min_rtt = vs_rtt_min(tx->config.rtt);
	return seg->sent_usec != seg->first_sent_usec && vs_time_since(now, seg->sent_usec) < min_rtt - min_rtt / 8;
}

static void note_spurious(struct vs_arq_tx *tx, const struct tx_segment *seg, uint64_t now)
{
	tx->stats.spurious++;
	if (seg->losses)
		vs_congestion_unlost(tx->config.congestion, now, tx_bytes(seg));
}

/* Keeps the `resend` segments sent last of those that have been delivered. */
static void note_overtaker(struct vs_arq_tx *tx, uint32_t order)
{
	unsigned n = tx->overtakers_n;
	bool full = n == tx->resend;
	if (full && vs_sn_diff(order, tx->overtakers[0]) <= 0)
		return;
	if (full)
		memmove(tx->overtakers, tx->overtakers + 1, --n * sizeof(tx->overtakers[0]));
	unsigned at = n;
	for (; at > 0 && vs_sn_diff(order, tx->overtakers[at - 1]) < 0; at--)
		tx->overtakers[at] = tx->overtakers[at - 1];
	tx->overtakers[at] = order;
	tx->overtakers_n = (uint8_t)(n + 1);
}

static void acknowledge(struct vs_arq_tx *tx, struct tx_lane *lane, uint32_t sn, uint64_t now)
{
	struct tx_segment *seg = tx_lookup(lane, sn);
	if (seg->state == TX_DONE || seg->state == TX_WAITING)
		return;
	bool spurious = is_spurious(tx, seg, now);
	if (spurious || (seg->state == TX_LOST && !seg->probe))
		note_spurious(tx, seg, now);
	vs_congestion_delivered(tx->config.congestion, now, tx_bytes(seg), seg->sent_usec, &seg->congestion);
	if (!spurious && seg->sent_usec >= tx->batch_rack_sent_usec) {
		tx->batch_rack_sent_usec = seg->sent_usec;
		tx->batch_rack_rtt_usec = now - seg->sent_usec;
	}
	if (!spurious && tx->resend)
		note_overtaker(tx, seg->order);
	if (!seg->fragmented && !spurious && tx_bytes(seg) > tx->largest_delivered) {
		tx->largest_delivered = tx_bytes(seg);
		tx->largest_sent_usec = seg->sent_usec;
	}
	tx->batch_progress = true;
	vs_arq_tx_settle(tx, seg);
}

static void open_batch(struct vs_arq_tx *tx)
{
	if (tx->batch_open)
		return;
	tx->batch_open = true;
	tx->batch_progress = false;
	tx->batch_acks = false;
	tx->batch_rtt_usec = 0;
}

static void input_una(struct vs_arq_tx *tx, unsigned lane_no, uint32_t una, uint64_t now)
{
	struct tx_lane *lane = tx->lanes[lane_no];
	for (uint32_t sn = lane->una; sn != una; sn++) {
		acknowledge(tx, lane, sn, now);
		/* Given up before it was ever sent: SKIP has moved the receiver past it. */
		vs_arq_tx_settle(tx, tx_lookup(lane, sn));
	}
	vs_arq_tx_advance(tx, lane_no, una);
}

static uint64_t load_bits(const uint8_t *p, size_t n)
{
	uint64_t word = 0;
	memcpy(&word, p, VS_MIN(n, sizeof(word)));
	return le64toh(word);
}

/* Acknowledges what the bitmap says beyond what earlier ones have said. */
static void input_bitmap(struct vs_arq_tx *tx, struct tx_lane *lane, uint32_t base, const uint8_t *bitmap, size_t len,
			 uint64_t now)
{
	for (size_t at = 0; at < len; at += 8) {
		uint32_t first = base + (uint32_t)at * 8;
		int32_t left = vs_sn_diff(lane->nxt, first);
		if (left <= 0)
			return;
		uint64_t fresh = load_bits(bitmap + at, len - at);
		if (left < 64)
			fresh &= (UINT64_C(1) << left) - 1;
		fresh &= ~vs_seqbits_word(&lane->acked, first);
		for (; fresh; fresh &= fresh - 1) {
			uint32_t sn = first + (uint32_t)__builtin_ctzll(fresh);
			acknowledge(tx, lane, sn, now);
			if (tx_lookup(lane, sn)->state == TX_DONE)
				vs_seqbits_set(&lane->acked, sn);
		}
	}
}

static void input_rtt(struct vs_arq_tx *tx, const struct vs_segment *ack, uint64_t now)
{
	uint32_t delay = ack->len >= VS_ACK_DELAY_SIZE ? vs_get_be32(ack->data) : 0;
	uint32_t elapsed = (uint32_t)now - ack->ts;
	if (elapsed > 60 * VS_SEC || delay > elapsed)
		return;
	uint64_t sample = VS_MAX(elapsed - delay, 1u);
	if (!tx->batch_rtt_usec || sample < tx->batch_rtt_usec)
		tx->batch_rtt_usec = sample;
}

/* The segment that the ACK echoes says when it was sent and, less the peer's delay, how long it took. If one sent later
 * had been acknowledged before, it was overtaken on the way. Only the echo is evidence: what una and the bitmap tell
 * late may have arrived in time and its own ACK been lost. A segment that the peer has told us of before counts as
 * well: that copy is the original, which came after a retransmission that should not have been (as with a DSACK, RFC
 * 8985, section 6.2, step 4). */
static void learn_reordering(struct vs_arq_tx *tx, const struct vs_segment *seg, uint64_t now)
{
	uint32_t delay = seg->len >= VS_ACK_DELAY_SIZE ? vs_get_be32(seg->data) : 0, elapsed = (uint32_t)now - seg->ts;
	if (elapsed > 60 * VS_SEC || delay > elapsed || now - elapsed >= tx->rack_sent_usec)
		return;
	uint64_t took = elapsed - delay;
	if (took > tx->rack_rtt_usec)
		observe_reordering(tx, now, took - tx->rack_rtt_usec);
}

static void input_ack(struct vs_arq_tx *tx, struct tx_lane *lane, const struct vs_segment *seg, uint64_t now)
{
	if (seg->len >= VS_ACK_DELAY_SIZE) {
		/* An ACK that overtook a newer one has an older una: what lies before ours is known. */
		int32_t stale = vs_sn_diff(lane->una, seg->una);
		const uint8_t *bitmap = seg->data + VS_ACK_DELAY_SIZE;
		size_t len = VS_MIN((size_t)seg->len - VS_ACK_DELAY_SIZE, (size_t)VS_ACK_BITMAP_MAX);
		if (stale == 0)
			input_bitmap(tx, lane, seg->una + 1, bitmap, len, now);
	}
	if (vs_sn_diff(seg->sn, lane->una) >= 0 && vs_sn_diff(seg->sn, lane->nxt) < 0) {
		acknowledge(tx, lane, seg->sn, now);
		if (tx_lookup(lane, seg->sn)->state == TX_DONE)
			vs_seqbits_set(&lane->acked, seg->sn);
	}
}

/* --- In the clear --- */

/* Somebody else has fed the peer's lane, which is ahead of us now. It takes what we had in flight there for repetitions,
 * and so it would all that we sent until we are where it is: so go there at once. */
static void jump(struct vs_arq_tx *tx, unsigned lane_no, uint32_t una, uint64_t now)
{
	struct tx_lane *lane = tx->lanes[lane_no];
	vs_drop(tx->config.drops, VS_DROP_CLEAR_FORGED);
	for (uint32_t sn = lane->una; sn != lane->nxt; sn++)
		vs_arq_tx_settle(tx, tx_lookup(lane, sn));
	vs_arq_tx_advance(tx, lane_no, lane->nxt);
	lane->una = lane->nxt = una;
	vs_arq_tx_arm_probe(tx, now);
}

/* Whether the ACK echoes the stamp of a transmission of ours. */
static bool echoes_us(const struct tx_lane *lane, const struct vs_segment *ack)
{
	if (vs_sn_diff(ack->sn, lane->una) < 0 || vs_sn_diff(ack->sn, lane->nxt) >= 0)
		return false;
	const struct tx_segment *seg = tx_lookup(lane, ack->sn);
	return seg->first_sent_usec &&
	       (ack->ts == (uint32_t)seg->sent_usec || ack->ts == (uint32_t)seg->first_sent_usec);
}

bool vs_arq_tx_input(struct vs_arq_tx *tx, const struct vs_segment *seg, uint64_t now)
{
	if (seg->conv >= VS_LANES_MAX)
		return false;
	struct tx_lane *lane = tx->lanes[seg->conv];
	if (!lane)
		return seg->una == tx->config.first_sn || tx->clear;
	/* Beyond what was assigned: malformed. Beyond what was sent, likewise, unless a SKIP allowed it. */
	if (vs_sn_diff(seg->una, lane->nxt) > 0) {
		if (tx->clear)
			jump(tx, seg->conv, seg->una, now);
		return tx->clear;
	}
	open_batch(tx);
	bool timed = seg->cmd == VS_CMD_ACK && !seg->recovered && (!tx->clear || echoes_us(lane, seg));
	if (timed)
		learn_reordering(tx, seg, now);
	if (vs_sn_diff(seg->una, lane->una) >= 0) {
		input_una(tx, seg->conv, seg->una, now);
		if (seg->wnd > lane->peer_window && lane->blocked) {
			lane->blocked = false;
			tx->gained_lanes |= UINT64_C(1) << seg->conv;
		}
		lane->peer_window = seg->wnd;
	}
	if (seg->cmd == VS_CMD_ACK) {
		tx->batch_acks = true;
		input_ack(tx, lane, seg, now);
		if (timed)
			input_rtt(tx, seg, now);
	}
	return true;
}

/* Moves the RACK point to what has been delivered; but the una of a data segment, which speaks of its own lane only,
 * must not condemn the other lanes, whose ACKs may have been lost before it: what it says waits for the next ACK, which
 * comes with theirs. */
static void judge_losses(struct vs_arq_tx *tx, uint64_t now)
{
	if (!tx->batch_acks)
		return;
	tx->rack_sent_usec = tx->batch_rack_sent_usec;
	tx->rack_rtt_usec = tx->batch_rack_rtt_usec;
	tx->overtakes = tx->resend && tx->overtakers_n == tx->resend;
	tx->overtaken_before = tx->overtakers[0];
	vs_arq_tx_detect_losses(tx, now);
}

uint64_t vs_arq_tx_input_done(struct vs_arq_tx *tx, uint64_t now)
{
	if (tx->batch_open) {
		tx->batch_open = false;
		if (tx->batch_rtt_usec)
			vs_rtt_sample(tx->config.rtt, now, tx->batch_rtt_usec);
		judge_losses(tx, now);
		if (tx->batch_progress) {
			struct vs_congestion_ack ack = {
				.rtt_usec = tx->batch_rtt_usec,
				.inflight = tx->inflight_bytes,
				.min_rtt_usec = vs_rtt_min(tx->config.rtt),
				.srtt_usec = tx->config.rtt->srtt_usec,
			};
			vs_congestion_ack(tx->config.congestion, now, &ack);
			tx->probe_count = 0;
			vs_arq_tx_arm_probe(tx, now);
		}
	}
	uint64_t gained = tx->gained_lanes;
	tx->gained_lanes = 0;
	return gained;
}
