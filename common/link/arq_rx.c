#include "link/arq_rx.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "link/acklist.h"
#include "link/seqbits.h"

#define RING_MIN VS_SEQBITS_MIN

/* ACKs go out at the latest after so many segments, whatever the delay. */
#define ACK_EVERY 32

/* For so long an ACK is repeated beside the ACKs of other lanes, at most so many in a datagram. Else losing it would
 * make the sender, for whom later arrivals in those lanes prove this one late, send again what is here. */
#define ACK_REPEAT_USEC (100 * VS_MSEC)
#define ACK_REPEATS_MAX 8

/* What a kept segment costs at least: the smallest buffer class. The advertised window counts in these. */
#define SEGMENT_COST 1664

struct rx_slot {
	struct vs_frame *kept;
	uint8_t frg;
};

struct rx_lane {
	uint32_t nxt;  /* next expected in order */
	uint32_t top;  /* one after the highest that has arrived */
	bool boundary; /* nxt starts a message */
	bool lost_step; /* in the clear: the rest of this message means nothing */
	uint32_t ring_size;
	struct rx_slot *ring;
	struct vs_seqbits present;
	struct vs_deframer deframer;

	/* The segment that the next ACK echoes: the last one that arrived. */
	uint32_t ack_sn, ack_ts;
	uint64_t ack_arrived_usec;
	bool ack_untimed; /* it was recovered: the ACK says nothing about time */
	uint64_t ack_repeat_until_usec;

	/* When nxt last moved, or the first segment beyond a gap was kept. */
	uint64_t moved_usec;
};

struct vs_arq_rx {
	struct vs_arq_rx_config config;
	struct rx_lane *lanes[VS_LANES_MAX];
	uint64_t owed;    /* bit: the lane owes an ACK */
	uint64_t repeats; /* bit: the lane's last ACK is to be repeated when others go out */
	unsigned repeat_from; /* the lane whose turn it is */
	unsigned unacked;
	uint64_t ack_deadline;
	uint64_t ack_delay_usec;
	uint16_t window; /* advertised at most */
	bool clear;
	unsigned clear_lanes; /* in the clear: fewer than config.lanes */
	struct vs_acklist *each; /* ACKs owed to a plain peer; NULL: it is none */
	struct vs_arq_rx_stats stats;
};

struct vs_arq_rx *vs_arq_rx_new(const struct vs_arq_rx_config *config)
{
	struct vs_arq_rx *rx = calloc(1, sizeof(*rx));
	if (!rx)
		return NULL;
	rx->config = *config;
	rx->ack_deadline = VS_NEVER;
	rx->ack_delay_usec = 5 * VS_MSEC;
	rx->window = VS_WINDOW_MAX;
	rx->each = config->plain ? calloc(1, sizeof(*rx->each)) : NULL;
	if (config->plain && !rx->each) {
		free(rx);
		return NULL;
	}
	return rx;
}

void vs_arq_rx_set_window(struct vs_arq_rx *rx, uint16_t segments)
{
	rx->window = segments;
}

void vs_arq_rx_set_clear(struct vs_arq_rx *rx, bool clear, unsigned lanes)
{
	rx->clear = clear;
	/* The peer may still have something in a lane that it no longer uses. */
	rx->clear_lanes = VS_MAX(rx->clear_lanes, VS_MIN(lanes, rx->config.lanes));
}

static struct rx_slot *slot_of(const struct rx_lane *lane, uint32_t sn)
{
	return &lane->ring[sn & (lane->ring_size - 1)];
}

static void discard(struct vs_arq_rx *rx, struct rx_lane *lane, uint32_t sn)
{
	struct rx_slot *slot = slot_of(lane, sn);
	rx->stats.held -= slot->kept->capacity;
	vs_frame_unref(slot->kept);
	slot->kept = NULL;
	vs_seqbits_clear(&lane->present, sn);
}

static void free_lane(struct vs_arq_rx *rx, struct rx_lane *lane)
{
	if (!lane)
		return;
	for (uint32_t i = 0; i < lane->ring_size; i++)
		if (lane->ring[i].kept)
			discard(rx, lane, i);
	rx->stats.held -= vs_deframer_pending(&lane->deframer);
	vs_deframer_reset(&lane->deframer);
	free(lane->ring);
	vs_seqbits_fini(&lane->present);
	free(lane);
}

void vs_arq_rx_reset(struct vs_arq_rx *rx)
{
	for (unsigned i = 0; i < VS_LANES_MAX; i++) {
		free_lane(rx, rx->lanes[i]);
		rx->lanes[i] = NULL;
	}
	rx->owed = 0;
	rx->repeats = 0;
	rx->unacked = 0;
	rx->clear_lanes = 0;
	if (rx->each)
		rx->each->n = 0;
	rx->ack_deadline = VS_NEVER;
}

void vs_arq_rx_free(struct vs_arq_rx *rx)
{
	if (!rx)
		return;
	vs_arq_rx_reset(rx);
	free(rx->each);
	free(rx);
}

static struct rx_lane *lane_of(struct vs_arq_rx *rx, uint32_t lane_no)
{
	struct rx_lane *lane = rx->lanes[lane_no];
	if (lane)
		return lane;
	lane = calloc(1, sizeof(*lane));
	if (!lane)
		return NULL;
	lane->boundary = true;
	lane->nxt = lane->top = rx->config.first_sn;
	rx->lanes[lane_no] = lane;
	return lane;
}

static bool grow_ring(struct rx_lane *lane, uint32_t need)
{
	uint32_t size = lane->ring_size ? lane->ring_size : RING_MIN;
	while (size < need)
		size *= 2;
	if (size == lane->ring_size)
		return true;
	struct rx_slot *ring = calloc(size, sizeof(*ring));
	struct vs_seqbits present;
	if (!ring || !vs_seqbits_init(&present, size)) {
		free(ring);
		return false;
	}
	for (uint32_t sn = lane->nxt; lane->ring_size && sn != lane->top; sn++) {
		if (!slot_of(lane, sn)->kept)
			continue;
		ring[sn & (size - 1)] = *slot_of(lane, sn);
		vs_seqbits_set(&present, sn);
	}
	free(lane->ring);
	vs_seqbits_fini(&lane->present);
	lane->ring = ring;
	lane->ring_size = size;
	lane->present = present;
	return true;
}

/* --- Delivery --- */

/* In the clear: after the end of a message the stream is in step again, whatever came before. */
static void end_message(struct vs_arq_rx *rx, struct rx_lane *lane)
{
	lane->lost_step = false;
	if (vs_deframer_mid_frame(&lane->deframer)) {
		vs_drop(rx->config.drops, VS_DROP_BAD_FRAMING);
		vs_deframer_reset(&lane->deframer);
	}
}

static int deframe(struct vs_arq_rx *rx, struct rx_lane *lane, const void *data, size_t len, uint8_t frg,
		   struct vs_deframed *arrived)
{
	int err = 0;
	rx->stats.held -= vs_deframer_pending(&lane->deframer);
	if (!lane->lost_step)
		err = vs_deframer_input(&lane->deframer, rx->config.pool, rx->config.drops, data, len, arrived);
	lane->boundary = frg == 0;
	if (rx->clear) {
		lane->lost_step |= err < 0;
		err = 0;
		if (lane->boundary)
			end_message(rx, lane);
	}
	rx->stats.held += vs_deframer_pending(&lane->deframer);
	return err;
}

static int deliver_kept(struct vs_arq_rx *rx, struct rx_lane *lane, uint32_t sn, struct vs_deframed *arrived)
{
	struct rx_slot *slot = slot_of(lane, sn);
	int err = deframe(rx, lane, vs_frame_cbytes(slot->kept), slot->kept->len, slot->frg, arrived);
	discard(rx, lane, sn);
	return err;
}

/* Everything that is in order now. */
static int drain(struct vs_arq_rx *rx, struct rx_lane *lane, struct vs_deframed *arrived)
{
	int err = 0;
	while (!err && lane->nxt != lane->top && slot_of(lane, lane->nxt)->kept)
		err = deliver_kept(rx, lane, lane->nxt++, arrived);
	return err;
}

/* False: there is no room for it. */
static bool keep(struct vs_arq_rx *rx, struct rx_lane *lane, const struct vs_segment *seg, uint64_t now)
{
	struct vs_frame *copy = NULL;
	if (rx->stats.held < rx->config.budget && grow_ring(lane, seg->sn - lane->nxt + 1))
		copy = vs_frame_new(rx->config.pool, seg->len);
	if (!copy) {
		vs_drop(rx->config.drops, VS_DROP_NO_BUFFER);
		return false;
	}
	memcpy(vs_frame_bytes(copy), seg->data, seg->len);
	*slot_of(lane, seg->sn) = (struct rx_slot){ .kept = copy, .frg = seg->frg };
	vs_seqbits_set(&lane->present, seg->sn);
	rx->stats.held += copy->capacity;
	rx->stats.out_of_order++;
	if (lane->top == lane->nxt)
		lane->moved_usec = now;
	if (vs_sn_diff(seg->sn + 1, lane->top) > 0)
		lane->top = seg->sn + 1;
	return true;
}

/* --- Acknowledgement --- */

static inline void owe_ack(struct vs_arq_rx *rx, struct rx_lane *lane, const struct vs_segment *seg, uint32_t sn,
			   uint64_t now)
{
	lane->ack_sn = sn;
	lane->ack_ts = seg->ts;
	lane->ack_arrived_usec = now;
	lane->ack_untimed = seg->recovered;
	rx->owed |= UINT64_C(1) << seg->conv;
	if (vs_unlikely(rx->each != NULL))
		vs_acklist_add(rx->each, lane->nxt, sn, seg->ts);
	uint64_t deadline = ++rx->unacked >= ACK_EVERY ? now : now + rx->ack_delay_usec;
	rx->ack_deadline = vs_time_min(rx->ack_deadline, deadline);
}

/* --- Input --- */

static int input_push(struct vs_arq_rx *rx, struct rx_lane *lane, const struct vs_segment *seg, uint64_t now,
		      struct vs_deframed *arrived)
{
	int32_t ahead = vs_sn_diff(seg->sn, lane->nxt);
	if (ahead >= VS_WINDOW_MAX) {
		vs_drop(rx->config.drops, VS_DROP_OUT_OF_WINDOW);
		return 0;
	}
	bool known = ahead < 0 || (vs_sn_diff(seg->sn, lane->top) < 0 && slot_of(lane, seg->sn)->kept);
	bool refused = !known && ahead > 0 && !keep(rx, lane, seg, now);
	/* The ACK must not name what is not here, or it would never be sent again. */
	owe_ack(rx, lane, seg, refused ? lane->nxt - 1 : seg->sn, now);
	if (refused)
		return 0;
	if (known) {
		rx->stats.duplicates++;
		vs_drop(rx->config.drops, VS_DROP_DUPLICATE);
		return 0;
	}
	rx->stats.segments++;
	if (ahead > 0)
		return 0;
	bool gap_behind = lane->top != lane->nxt;
	lane->nxt++;
	lane->moved_usec = now;
	if (!gap_behind)
		lane->top = lane->nxt;
	int err = deframe(rx, lane, seg->data, seg->len, seg->frg, arrived);
	return err || !gap_behind ? err : drain(rx, lane, arrived);
}

/* One after the last segment of the message that starts at `sn`, if all of it is there; else sn. */
static uint32_t whole_message(const struct rx_lane *lane, uint32_t sn, uint32_t end)
{
	for (uint32_t at = sn; at != end && vs_sn_diff(at, lane->top) < 0 && slot_of(lane, at)->kept; at++)
		if (slot_of(lane, at)->frg == 0)
			return at + 1;
	return sn;
}

/* The first sequence number from nxt on whose segment is here, but not beyond `end`. */
static uint32_t next_present(const struct rx_lane *lane, uint32_t end)
{
	uint32_t sn = lane->nxt;
	while (vs_sn_diff(sn, lane->top) < 0 && vs_sn_diff(sn, end) < 0) {
		uint64_t word = vs_seqbits_word(&lane->present, sn);
		if (word) {
			sn += (uint32_t)__builtin_ctzll(word);
			return vs_sn_diff(sn, end) < 0 && vs_sn_diff(sn, lane->top) < 0 ? sn : end;
		}
		sn += 64;
	}
	return end;
}

static void forget_partial(struct vs_arq_rx *rx, struct rx_lane *lane)
{
	rx->stats.held -= vs_deframer_pending(&lane->deframer);
	vs_deframer_reset(&lane->deframer);
	lane->boundary = lane->lost_step = false;
}

/* Delivers the complete messages before `end` and lets the rest go. A message is known to start only after a segment
 * that ended one, so the message right behind a gap goes as well. */
static int skip(struct vs_arq_rx *rx, struct rx_lane *lane, uint32_t end, struct vs_deframed *arrived)
{
	int err = 0;
	while (lane->nxt != end && !err) {
		/* A gap has nothing to deliver: on to the next segment that is here. */
		uint32_t here = next_present(lane, end);
		if (here != lane->nxt) {
			forget_partial(rx, lane);
			rx->stats.skipped += here - lane->nxt;
			lane->nxt = here;
			continue;
		}
		uint32_t message_end = lane->boundary ? whole_message(lane, lane->nxt, end) : lane->nxt;
		if (message_end != lane->nxt) {
			while (lane->nxt != message_end && !err)
				err = deliver_kept(rx, lane, lane->nxt++, arrived);
			continue;
		}
		forget_partial(rx, lane);
		lane->boundary = slot_of(lane, lane->nxt)->frg == 0;
		discard(rx, lane, lane->nxt++);
		rx->stats.skipped++;
	}
	lane->boundary = true;
	if (vs_sn_diff(lane->top, lane->nxt) < 0)
		lane->top = lane->nxt;
	return err ? err : drain(rx, lane, arrived);
}

void vs_arq_rx_restart(struct vs_arq_rx *rx, struct vs_deframed *arrived)
{
	for (unsigned i = 0; i < VS_LANES_MAX; i++) {
		/* What is no frames ends only this lane's rest: it starts afresh anyway. */
		int err = rx->lanes[i] ? skip(rx, rx->lanes[i], rx->lanes[i]->top, arrived) : 0;
		(void)err;
	}
	vs_arq_rx_reset(rx);
}

static int input_skip(struct vs_arq_rx *rx, struct rx_lane *lane, const struct vs_segment *seg, uint64_t now,
		      struct vs_deframed *arrived)
{
	int32_t ahead = vs_sn_diff(seg->sn, lane->nxt);
	if (ahead > VS_WINDOW_MAX) {
		vs_drop(rx->config.drops, VS_DROP_OUT_OF_WINDOW);
		return 0;
	}
	int err = 0;
	if (ahead > 0) {
		lane->moved_usec = now;
		err = skip(rx, lane, seg->sn, arrived);
	}
	owe_ack(rx, lane, seg, lane->nxt - 1, now);
	return err;
}

int vs_arq_rx_input(struct vs_arq_rx *rx, const struct vs_segment *seg, uint64_t now, struct vs_deframed *arrived)
{
	if (seg->conv >= (rx->clear ? rx->clear_lanes : rx->config.lanes)) {
		vs_drop(rx->config.drops, VS_DROP_BAD_LANE);
		return 0;
	}
	struct rx_lane *lane = lane_of(rx, seg->conv);
	if (!lane) {
		vs_drop(rx->config.drops, VS_DROP_NO_BUFFER);
		return 0;
	}
	switch (seg->cmd) {
	case VS_CMD_PUSH:
		return input_push(rx, lane, seg, now, arrived);
	case VS_CMD_SKIP:
		return input_skip(rx, lane, seg, now, arrived);
	case VS_CMD_WASK:
		/* Any segment with our window answers it; an ACK is one. */
		owe_ack(rx, lane, seg, lane->nxt - 1, now);
		return 0;
	default:
		return 0;
	}
}

/* --- Output --- */

uint32_t vs_arq_rx_una(const struct vs_arq_rx *rx, unsigned lane)
{
	return rx->lanes[lane] ? rx->lanes[lane]->nxt : rx->config.first_sn;
}

uint16_t vs_arq_rx_window(const struct vs_arq_rx *rx)
{
	size_t left = rx->config.budget > rx->stats.held ? rx->config.budget - rx->stats.held : 0;
	size_t segments = left / SEGMENT_COST;
	return (uint16_t)VS_MIN(VS_MAX(segments, (size_t)VS_WINDOW_MIN), (size_t)rx->window);
}

void vs_arq_rx_set_ack_delay(struct vs_arq_rx *rx, uint64_t delay_usec)
{
	rx->ack_delay_usec = delay_usec;
}

uint64_t vs_arq_rx_deadline(const struct vs_arq_rx *rx)
{
	return rx->ack_deadline;
}

/* Bits nxt + 1 ... top - 1, as many as fit; returns bytes. */
static size_t write_bitmap(const struct rx_lane *lane, uint8_t *out, size_t room)
{
	int32_t bits = vs_sn_diff(lane->top, lane->nxt) - 1;
	if (bits <= 0)
		return 0;
	size_t bytes = VS_MIN(((size_t)bits + 7) / 8, room);
	for (size_t at = 0; at < bytes; at += 8) {
		uint64_t word = htole64(vs_seqbits_word(&lane->present, lane->nxt + 1 + (uint32_t)at * 8));
		memcpy(out + at, &word, VS_MIN(bytes - at, sizeof(word)));
	}
	return bytes;
}

/* `delay` is that of the segment echoed, or VS_ACK_DELAY_NONE. */
static size_t write_ack(const struct vs_arq_rx *rx, unsigned lane_no, uint32_t delay, uint8_t *out, size_t room)
{
	const struct rx_lane *lane = rx->lanes[lane_no];
	uint8_t *payload = out + VS_SEGMENT_HEADER;
	vs_put_be32(payload, delay);
	size_t bitmap =
		write_bitmap(lane, payload + VS_ACK_DELAY_SIZE, room - VS_SEGMENT_HEADER - VS_ACK_DELAY_SIZE);
	struct vs_segment ack = {
		.conv = lane_no,
		.cmd = VS_CMD_ACK,
		.wnd = vs_arq_rx_window(rx),
		.ts = lane->ack_ts,
		.sn = lane->ack_sn,
		.una = lane->nxt,
		.len = (uint32_t)(VS_ACK_DELAY_SIZE + bitmap),
	};
	vs_segment_encode(&ack, out);
	return VS_SEGMENT_HEADER + ack.len;
}

static bool fits_ack(size_t room)
{
	return room >= VS_SEGMENT_HEADER + VS_ACK_DELAY_SIZE + 8;
}

/* Of the set, in turn. */
static size_t write_repeats(struct vs_arq_rx *rx, uint64_t set, uint64_t now, uint8_t *out, size_t room)
{
	size_t written = 0;
	for (unsigned n = 0; set && n < ACK_REPEATS_MAX && fits_ack(room - written);) {
		uint64_t ahead = set >> rx->repeat_from << rx->repeat_from;
		unsigned lane_no = (unsigned)__builtin_ctzll(ahead ? ahead : set);
		uint64_t bit = UINT64_C(1) << lane_no;
		set &= ~bit;
		rx->repeat_from = (lane_no + 1) % VS_LANES_MAX;
		if (now >= rx->lanes[lane_no]->ack_repeat_until_usec) {
			rx->repeats &= ~bit;
			continue;
		}
		written += write_ack(rx, lane_no, VS_ACK_DELAY_NONE, out + written, room - written);
		n++;
	}
	return written;
}

static void owe_nothing(struct vs_arq_rx *rx)
{
	rx->owed = 0;
	rx->unacked = 0;
	rx->ack_deadline = VS_NEVER;
}

/* To a plain peer, which has one lane. */
static size_t write_each(struct vs_arq_rx *rx, uint8_t *out, size_t room)
{
	struct vs_segment ack = {
		.conv = rx->config.conv,
		.cmd = VS_CMD_ACK,
		.wnd = vs_arq_rx_window(rx),
		.una = vs_arq_rx_una(rx, 0),
	};
	size_t written = vs_acklist_write(rx->each, &ack, out, room);
	rx->stats.acks += written / VS_SEGMENT_HEADER;
	if (!rx->each->n)
		owe_nothing(rx);
	return written;
}

static uint32_t ack_delay(const struct rx_lane *lane, uint64_t now)
{
	uint64_t delay = vs_time_since(now, lane->ack_arrived_usec);
	return lane->ack_untimed ? VS_ACK_DELAY_NONE : (uint32_t)VS_MIN(delay, (uint64_t)VS_ACK_DELAY_NONE - 1);
}

size_t vs_arq_rx_write_acks(struct vs_arq_rx *rx, uint64_t now, uint8_t *out, size_t room)
{
	size_t written = 0;
	if (rx->each)
		return write_each(rx, out, room);
	uint64_t repeats = rx->owed ? rx->repeats & ~rx->owed : 0;
	while (rx->owed && fits_ack(room - written)) {
		unsigned lane_no = (unsigned)__builtin_ctzll(rx->owed);
		struct rx_lane *lane = rx->lanes[lane_no];
		written += write_ack(rx, lane_no, ack_delay(lane, now), out + written, room - written);
		lane->ack_repeat_until_usec = now + ACK_REPEAT_USEC;
		rx->repeats |= UINT64_C(1) << lane_no;
		rx->owed &= rx->owed - 1;
		rx->stats.acks++;
	}
	if (!rx->owed)
		owe_nothing(rx);
	return written + write_repeats(rx, repeats, now, out + written, room - written);
}

/* Whether the lane holds anything that has to wait for more. */
static bool stands(const struct rx_lane *lane)
{
	return lane->top != lane->nxt || vs_deframer_pending(&lane->deframer);
}

/* Lets go of what the lane holds. The rest of a message that was begun means nothing then. */
static void give_up(struct vs_arq_rx *rx, struct rx_lane *lane)
{
	for (uint32_t sn = lane->nxt; sn != lane->top; sn++)
		if (slot_of(lane, sn)->kept)
			discard(rx, lane, sn);
	lane->top = lane->nxt;
	rx->stats.held -= vs_deframer_pending(&lane->deframer);
	vs_deframer_reset(&lane->deframer);
	lane->lost_step = !lane->boundary;
}

bool vs_arq_rx_forget(struct vs_arq_rx *rx, uint64_t before)
{
	bool more = false;
	for (unsigned i = 0; rx->clear && i < VS_LANES_MAX; i++) {
		struct rx_lane *lane = rx->lanes[i];
		if (!lane || !stands(lane))
			continue;
		if (lane->moved_usec < before)
			give_up(rx, lane);
		else
			more = true;
	}
	return more;
}

void vs_arq_rx_release(struct vs_arq_rx *rx)
{
	for (unsigned i = 0; i < VS_LANES_MAX; i++) {
		struct rx_lane *lane = rx->lanes[i];
		if (!lane || lane->top != lane->nxt)
			continue;
		free(lane->ring);
		vs_seqbits_fini(&lane->present);
		lane->ring = NULL;
		lane->ring_size = 0;
	}
}

void vs_arq_rx_stats(const struct vs_arq_rx *rx, struct vs_arq_rx_stats *out)
{
	*out = rx->stats;
}
