/* Transmission: what goes into a datagram, the most urgent first. */
#include "link/arq_tx.h"

#include <string.h>

#include "link/arq_tx_state.h"

static void encode_push(const struct vs_arq_tx *tx, const struct vs_arq_rx *rx, const struct tx_segment *seg,
			uint64_t now, uint8_t *out)
{
	struct vs_segment header = {
		.conv = tx->config.conv + seg->lane,
		.cmd = VS_CMD_PUSH,
		.frg = seg->frg,
		.wnd = vs_arq_rx_window(rx),
		.ts = (uint32_t)now,
		.sn = seg->sn,
		.una = vs_arq_rx_una(rx, seg->lane),
		.len = seg->len,
	};
	vs_segment_encode(&header, out);
}

/* Books the transmission of a segment that has left its list. */
static void mark_sent(struct vs_arq_tx *tx, struct tx_segment *seg, uint64_t now)
{
	vs_congestion_sent(tx->config.congestion, now, tx_bytes(seg), tx->inflight_bytes, &seg->congestion);
	if (!seg->first_sent_usec) {
		seg->first_sent_usec = now;
		tx->stats.segments++;
	} else {
		tx->stats.retransmitted++;
		tx->stats.probes += seg->probe;
	}
	seg->probe = false;
	seg->fragmented = false;
	seg->sent_usec = now;
	seg->order = tx->next_order++;
	seg->state = TX_INFLIGHT;
	vs_list_append(&tx->sent, &seg->node);
	tx->inflight_bytes += tx_bytes(seg);
	tx->stats.inflight++;
	tx->stats.waiting--;
	/* One for all segments of a moment. */
	if (tx->probe_armed_usec != now || tx->probe_deadline == VS_NEVER)
		vs_arq_tx_arm_probe(tx, now);
}

static void write_segment(struct vs_arq_tx *tx, const struct vs_arq_rx *rx, struct tx_segment *seg, uint64_t now,
			  struct vs_parts *parts)
{
	encode_push(tx, rx, seg, now, vs_parts_reserve(parts));
	vs_parts_commit(parts, VS_SEGMENT_HEADER);
	vs_parts_view(parts, seg->message->data + seg->offset, seg->len);
	mark_sent(tx, seg, now);
}

static void write_skips(struct vs_arq_tx *tx, const struct vs_arq_rx *rx, uint64_t now, struct vs_parts *parts)
{
	if (now < tx->skip_deadline)
		return;
	for (uint64_t set = tx->skip_lanes; set; set &= set - 1) {
		unsigned lane_no = (unsigned)__builtin_ctzll(set);
		if (!vs_parts_fits(parts, VS_SEGMENT_HEADER))
			return;
		struct vs_segment skip = {
			.conv = lane_no,
			.cmd = VS_CMD_SKIP,
			.wnd = vs_arq_rx_window(rx),
			.ts = (uint32_t)now,
			.sn = tx->lanes[lane_no]->skip_to,
			.una = vs_arq_rx_una(rx, lane_no),
		};
		vs_segment_encode(&skip, vs_parts_reserve(parts));
		vs_parts_commit(parts, VS_SEGMENT_HEADER);
	}
	/* Repeated until the receiver's una says that it knows. */
	tx->skip_deadline = tx->skip_lanes ? now + vs_arq_tx_backoff(tx, tx->skip_count++) : VS_NEVER;
}

/* The next segment to send again, after giving up those whose message is too old. */
static struct tx_segment *first_lost(struct vs_arq_tx *tx, uint64_t now)
{
	for (;;) {
		struct tx_segment *seg = VS_LIST_FIRST(&tx->lost, struct tx_segment, node);
		if (!seg || !tx->config.max_age_usec ||
		    vs_time_since(now, seg->admitted_usec) <= tx->config.max_age_usec ||
		    !vs_arq_tx_give_up_expired(tx, seg->lane, now))
			return seg;
	}
}

void vs_arq_tx_write_lost(struct vs_arq_tx *tx, const struct vs_arq_rx *rx, uint64_t now, struct vs_parts *parts)
{
	struct tx_segment *seg;
	while ((seg = first_lost(tx, now))) {
		if (VS_SEGMENT_HEADER + seg->len > parts->room || !vs_parts_fits(parts, VS_SEGMENT_HEADER))
			break;
		/* As for new data, the window counts as open until it is full: a caller that sees it open is never left
		 * with nothing to send. */
		if (tx->inflight_bytes >= vs_congestion_window(tx->config.congestion))
			break;
		vs_list_remove(&seg->node);
		write_segment(tx, rx, seg, now, parts);
	}
}

void vs_arq_tx_write_urgent(struct vs_arq_tx *tx, const struct vs_arq_rx *rx, uint64_t now, struct vs_parts *parts)
{
	struct tx_segment *seg;
	write_skips(tx, rx, now, parts);
	while ((seg = first_lost(tx, now)) && seg->probe) {
		if (VS_SEGMENT_HEADER + seg->len > parts->room || !vs_parts_fits(parts, VS_SEGMENT_HEADER))
			break;
		vs_list_remove(&seg->node);
		write_segment(tx, rx, seg, now, parts);
	}
}

bool vs_arq_tx_write_waiting(struct vs_arq_tx *tx, const struct vs_arq_rx *rx, uint64_t now, struct vs_parts *parts)
{
	struct tx_lane *lane = VS_LIST_FIRST(&tx->waiting_lanes, struct tx_lane, waiting_node);
	if (!lane)
		return false;
	struct tx_segment *seg = VS_LIST_FIRST(&lane->waiting, struct tx_segment, node);
	if (VS_SEGMENT_HEADER + seg->len > parts->room || !vs_parts_fits(parts, VS_SEGMENT_HEADER))
		return false;
	vs_arq_tx_leave_waiting(tx, seg);
	if (!vs_list_empty(&lane->waiting_node)) {
		/* The other lanes' turn: lanes interleave by segment. */
		vs_list_remove(&lane->waiting_node);
		vs_list_append(&tx->waiting_lanes, &lane->waiting_node);
	}
	write_segment(tx, rx, seg, now, parts);
	return true;
}

static struct tx_segment *next_segment(struct vs_arq_tx *tx, uint64_t now)
{
	struct tx_segment *seg = first_lost(tx, now);
	if (seg)
		return seg;
	struct tx_lane *lane = VS_LIST_FIRST(&tx->waiting_lanes, struct tx_lane, waiting_node);
	return lane ? VS_LIST_FIRST(&lane->waiting, struct tx_segment, node) : NULL;
}

size_t vs_arq_tx_next_size(struct vs_arq_tx *tx, uint64_t now)
{
	const struct tx_segment *seg = next_segment(tx, now);
	return seg ? VS_SEGMENT_HEADER + seg->len : 0;
}

void vs_arq_tx_write_next(struct vs_arq_tx *tx, const struct vs_arq_rx *rx, uint64_t now, uint8_t *out)
{
	struct tx_segment *seg = next_segment(tx, now);
	if (seg->state == TX_WAITING)
		vs_arq_tx_leave_waiting(tx, seg);
	else
		vs_list_remove(&seg->node);
	encode_push(tx, rx, seg, now, out);
	memcpy(out + VS_SEGMENT_HEADER, seg->message->data + seg->offset, seg->len);
	mark_sent(tx, seg, now);
	seg->fragmented = true;
}

bool vs_arq_tx_has_lost(const struct vs_arq_tx *tx)
{
	return !vs_list_empty(&tx->lost);
}

bool vs_arq_tx_has_waiting(const struct vs_arq_tx *tx)
{
	return !vs_list_empty(&tx->waiting_lanes);
}

bool vs_arq_tx_urgent(const struct vs_arq_tx *tx, uint64_t now)
{
	const struct tx_segment *seg = VS_LIST_FIRST(&tx->lost, struct tx_segment, node);
	return (seg && seg->probe) || now >= tx->skip_deadline;
}

uint64_t vs_arq_tx_inflight(const struct vs_arq_tx *tx)
{
	return tx->inflight_bytes;
}
