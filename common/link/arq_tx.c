#include "link/arq_tx.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "link/arq_tx_state.h"
#include "link/framing.h"

#define RING_MIN VS_SEQBITS_MIN
#define SLAB_SEGMENTS 8

/* Segments are allocated in slabs, which are given back together when nothing is in flight. */
struct slab {
	struct slab *next;
	struct tx_segment segments[SLAB_SEGMENTS];
};

static void init_state(struct vs_arq_tx *tx)
{
	vs_list_init(&tx->sent);
	vs_list_init(&tx->lost);
	vs_list_init(&tx->waiting_lanes);
	vs_list_init(&tx->free_segments);
	tx->reorder_deadline = VS_NEVER;
	tx->probe_deadline = VS_NEVER;
	tx->skip_deadline = VS_NEVER;
}

struct vs_arq_tx *vs_arq_tx_new(const struct vs_arq_tx_config *config)
{
	struct vs_arq_tx *tx = calloc(1, sizeof(*tx));
	if (!tx)
		return NULL;
	tx->config = *config;
	init_state(tx);
	return tx;
}

static void free_lane(struct tx_lane *lane)
{
	if (!lane)
		return;
	free(lane->ring);
	vs_seqbits_fini(&lane->acked);
	free(lane);
}

static void free_slabs(struct vs_arq_tx *tx)
{
	while (tx->slabs) {
		struct slab *slab = tx->slabs;
		tx->slabs = slab->next;
		free(slab);
	}
	vs_list_init(&tx->free_segments);
	tx->free_count = 0;
}

static void free_memory(struct vs_arq_tx *tx)
{
	for (unsigned i = 0; i < VS_LANES_MAX; i++) {
		free_lane(tx->lanes[i]);
		tx->lanes[i] = NULL;
	}
	free_slabs(tx);
}

static void settle_all(struct vs_arq_tx *tx)
{
	for (unsigned i = 0; i < VS_LANES_MAX; i++) {
		struct tx_lane *lane = tx->lanes[i];
		if (!lane)
			continue;
		for (uint32_t sn = lane->una; sn != lane->nxt; sn++)
			vs_arq_tx_settle(tx, tx_lookup(lane, sn));
	}
}

void vs_arq_tx_free(struct vs_arq_tx *tx)
{
	if (!tx)
		return;
	settle_all(tx);
	free_memory(tx);
	free(tx);
}

void vs_arq_tx_reset(struct vs_arq_tx *tx)
{
	settle_all(tx);
	free_memory(tx);
	struct vs_arq_tx_config config = tx->config;
	struct vs_arq_tx_stats stats = tx->stats;
	*tx = (struct vs_arq_tx){
		.config = config, .clear = tx->clear, .nodelay = tx->nodelay, .resend = tx->resend, .stats = stats
	};
	init_state(tx);
}

void vs_arq_tx_set_policy(struct vs_arq_tx *tx, unsigned lanes, uint64_t max_age_usec)
{
	tx->config.lanes = lanes;
	tx->config.max_age_usec = max_age_usec;
}

void vs_arq_tx_set_knobs(struct vs_arq_tx *tx, const struct vs_kcp_config *knobs)
{
	tx->config.send_window = knobs->sndwnd;
	tx->nodelay = knobs->nodelay;
	if (tx->resend != knobs->resend) {
		tx->resend = knobs->resend;
		tx->overtakers_n = 0;
		tx->overtakes = false;
	}
}

void vs_arq_tx_set_clear(struct vs_arq_tx *tx, bool clear)
{
	tx->clear = clear;
}

void vs_arq_tx_set_congestion(struct vs_arq_tx *tx, struct vs_congestion *congestion)
{
	tx->config.congestion = congestion;
}

/* --- Lanes and segments --- */

static struct tx_lane *lane_of(struct vs_arq_tx *tx, unsigned lane_no)
{
	struct tx_lane *lane = tx->lanes[lane_no];
	if (lane)
		return lane;
	lane = calloc(1, sizeof(*lane));
	if (!lane)
		return NULL;
	lane->una = lane->nxt = tx->config.first_sn;
	lane->peer_window = tx->config.plain ? VS_KCP_WINDOW : VS_WINDOW_MIN;
	vs_list_init(&lane->waiting);
	vs_list_init(&lane->waiting_node);
	tx->lanes[lane_no] = lane;
	return lane;
}

static uint32_t in_window(const struct tx_lane *lane)
{
	return lane->nxt - lane->una;
}

static int grow_ring(struct tx_lane *lane, uint32_t need)
{
	uint32_t size = lane->ring_size ? lane->ring_size : RING_MIN;
	while (size < need)
		size *= 2;
	if (size == lane->ring_size)
		return 0;
	struct tx_segment **ring = calloc(size, sizeof(struct tx_segment *));
	struct vs_seqbits acked;
	if (!ring || !vs_seqbits_init(&acked, size)) {
		free(ring);
		return -ENOMEM;
	}
	for (uint32_t sn = lane->una; sn != lane->nxt; sn++) {
		ring[sn & (size - 1)] = tx_lookup(lane, sn);
		if (vs_seqbits_test(&lane->acked, sn))
			vs_seqbits_set(&acked, sn);
	}
	free(lane->ring);
	vs_seqbits_fini(&lane->acked);
	lane->ring = ring;
	lane->acked = acked;
	lane->ring_size = size;
	return 0;
}

static int reserve_segments(struct vs_arq_tx *tx, unsigned n)
{
	while (tx->free_count < n) {
		struct slab *slab = malloc(sizeof(*slab));
		if (!slab)
			return -ENOMEM;
		slab->next = tx->slabs;
		tx->slabs = slab;
		for (unsigned i = 0; i < SLAB_SEGMENTS; i++)
			vs_list_append(&tx->free_segments, &slab->segments[i].node);
		tx->free_count += SLAB_SEGMENTS;
	}
	return 0;
}

void vs_arq_tx_leave_waiting(struct vs_arq_tx *tx, struct tx_segment *seg)
{
	struct tx_lane *lane = tx->lanes[seg->lane];
	vs_list_remove(&seg->node);
	if (!vs_list_empty(&lane->waiting))
		return;
	vs_list_remove(&lane->waiting_node);
	if (lane->blocked) {
		lane->blocked = false;
		tx->gained_lanes |= UINT64_C(1) << seg->lane;
	}
}

void vs_arq_tx_settle(struct vs_arq_tx *tx, struct tx_segment *seg)
{
	switch ((enum tx_state)seg->state) {
	case TX_WAITING:
		vs_arq_tx_leave_waiting(tx, seg);
		tx->stats.waiting--;
		break;
	case TX_INFLIGHT:
		vs_list_remove(&seg->node);
		tx->inflight_bytes -= tx_bytes(seg);
		tx->stats.inflight--;
		break;
	case TX_LOST:
		vs_list_remove(&seg->node);
		tx->stats.waiting--;
		break;
	case TX_DONE:
		return;
	}
	vs_frame_unref(seg->message);
	seg->message = NULL;
	seg->state = TX_DONE;
}

void vs_arq_tx_advance(struct vs_arq_tx *tx, unsigned lane_no, uint32_t una)
{
	struct tx_lane *lane = tx->lanes[lane_no];
	if (lane->una == una)
		return;
	while (lane->una != una) {
		struct tx_segment *seg = tx_lookup(lane, lane->una);
		vs_seqbits_clear(&lane->acked, lane->una);
		lane->ring[lane->una & (lane->ring_size - 1)] = NULL;
		vs_list_prepend(&tx->free_segments, &seg->node);
		tx->free_count++;
		lane->una++;
	}
	if (lane->skipping && vs_sn_diff(lane->una, lane->skip_to) >= 0) {
		lane->skipping = false;
		tx->skip_lanes &= ~(UINT64_C(1) << lane_no);
	}
	if (lane->una == lane->nxt)
		tx->busy_lanes &= ~(UINT64_C(1) << lane_no);
	if (lane->blocked) {
		lane->blocked = false;
		tx->gained_lanes |= UINT64_C(1) << lane_no;
	}
}

/* --- Admission --- */

unsigned vs_arq_tx_pick_lane(const struct vs_arq_tx *tx, const struct vs_flow *flow, uint32_t flow_hash)
{
	if (flow->lane >= 0) {
		const struct tx_lane *lane = tx->lanes[flow->lane];
		if (lane && lane->una != lane->nxt && vs_sn_diff(flow->last_sn, lane->una) >= 0)
			return (unsigned)flow->lane;
		if (!(tx->busy_lanes >> flow->lane & 1) && (unsigned)flow->lane < tx->config.lanes)
			return (unsigned)flow->lane;
	}
	uint64_t all = tx->config.lanes == VS_LANES_MAX ? UINT64_MAX : (UINT64_C(1) << tx->config.lanes) - 1;
	uint64_t idle = ~tx->busy_lanes & all;
	if (idle)
		return (unsigned)__builtin_ctzll(idle);
	return flow_hash % tx->config.lanes;
}

bool vs_arq_tx_lane_ready(struct vs_arq_tx *tx, unsigned lane_no, unsigned segments)
{
	struct tx_lane *lane = lane_of(tx, lane_no);
	if (!lane)
		return true; /* out of memory: vs_arq_tx_admit() says so, and the frame is dropped and counted */
	uint32_t least = tx->config.plain ? 0 : VS_WINDOW_MIN;
	uint32_t window = VS_MIN(tx->config.send_window, VS_MAX(lane->peer_window, least));
	bool ready = vs_list_empty(&lane->waiting) && in_window(lane) + segments <= window;
	if (!ready)
		lane->blocked = true;
	return ready;
}

int vs_arq_tx_admit(struct vs_arq_tx *tx, unsigned lane_no, struct vs_frame *message, uint32_t offset, uint32_t len,
		    uint32_t first_max, uint32_t mss, uint64_t now, uint32_t *last_sn)
{
	struct tx_lane *lane = lane_of(tx, lane_no);
	unsigned n = vs_arq_segments(len, first_max, mss);
	assert(n <= VS_MESSAGE_SEGMENTS_MAX);
	if (!lane || grow_ring(lane, in_window(lane) + n) < 0 || reserve_segments(tx, n) < 0) {
		vs_drop(tx->config.drops, VS_DROP_NO_BUFFER);
		vs_frame_unref(message);
		return -ENOMEM;
	}
	tx->free_count -= n;
	for (unsigned i = 0; i < n; i++) {
		struct tx_segment *seg = VS_LIST_FIRST(&tx->free_segments, struct tx_segment, node);
		vs_list_remove(&seg->node);
		uint32_t take = VS_MIN(len, i == 0 ? first_max : mss);
		*seg = (struct tx_segment){
			.message = i == 0 ? message : vs_frame_ref(message),
			.offset = offset,
			.len = take,
			.sn = lane->nxt,
			.lane = (uint8_t)lane_no,
			.frg = (uint8_t)(n - 1 - i),
			.state = TX_WAITING,
			.admitted_usec = now,
		};
		lane->ring[lane->nxt++ & (lane->ring_size - 1)] = seg;
		vs_list_append(&lane->waiting, &seg->node);
		offset += take;
		len -= take;
	}
	tx->stats.waiting += n;
	tx->busy_lanes |= UINT64_C(1) << lane_no;
	/* In front, because the first segment was cut to fill the datagram under construction. */
	vs_list_prepend(&tx->waiting_lanes, &lane->waiting_node);
	*last_sn = lane->nxt - 1;
	return 0;
}

/* --- Starting afresh --- */

struct held_message {
	struct vs_frame *message;
	uint64_t admitted_usec;
	unsigned lane;
};

/* Takes a reference to every message of which something is not acknowledged; in order, lane by lane. */
static size_t hold_messages(struct vs_arq_tx *tx, struct held_message *held)
{
	size_t n = 0;
	for (unsigned i = 0; i < VS_LANES_MAX; i++) {
		const struct tx_lane *lane = tx->lanes[i];
		const struct vs_frame *last = NULL;
		for (uint32_t sn = lane ? lane->una : 0; lane && sn != lane->nxt; sn++) {
			const struct tx_segment *seg = tx_lookup(lane, sn);
			if (!seg->message || seg->message == last)
				continue;
			last = seg->message;
			held[n++] = (struct held_message){ vs_frame_ref(seg->message), seg->admitted_usec, i };
		}
	}
	return n;
}

static void admit_again(struct vs_arq_tx *tx, const struct held_message *held, uint32_t mss)
{
	struct vs_frame *message = held->message;
	uint32_t header = vs_framing_size(message), last_sn;
	unsigned lane_no = held->lane % tx->config.lanes;
	struct tx_lane *lane = tx->lanes[lane_no];
	if (lane)
		vs_list_remove(&lane->waiting_node);
	/* Where there is no memory, it is dropped and counted; those before it still go. */
	if (vs_arq_tx_admit(tx, lane_no, message, message->offset - header, header + message->len, mss, mss,
			    held->admitted_usec, &last_sn) < 0 && lane && !vs_list_empty(&lane->waiting))
		vs_list_append(&tx->waiting_lanes, &lane->waiting_node);
}

void vs_arq_tx_restart(struct vs_arq_tx *tx, unsigned lanes, uint32_t mss)
{
	/* No more messages than segments. */
	size_t most = tx->stats.inflight + tx->stats.waiting, n = 0;
	struct held_message *held = most ? calloc(most, sizeof(*held)) : NULL;
	if (held)
		n = hold_messages(tx, held);
	/* The path is the same, and what it does to the order of datagrams. */
	struct reorder_window reorder = tx->reorder;
	vs_arq_tx_reset(tx);
	tx->reorder = reorder;
	tx->config.lanes = lanes;
	for (size_t i = 0; i < n; i++)
		admit_again(tx, &held[i], mss);
	free(held);
}

/* --- Memory and numbers --- */

bool vs_arq_tx_idle(const struct vs_arq_tx *tx)
{
	return tx->busy_lanes == 0;
}

void vs_arq_tx_release(struct vs_arq_tx *tx)
{
	/* Sequence numbers outlive idleness, so only the segments and rings go, not the lanes. */
	if (!vs_arq_tx_idle(tx))
		return;
	for (unsigned i = 0; i < VS_LANES_MAX; i++) {
		struct tx_lane *lane = tx->lanes[i];
		if (!lane)
			continue;
		free(lane->ring);
		vs_seqbits_fini(&lane->acked);
		lane->ring = NULL;
		lane->ring_size = 0;
	}
	free_slabs(tx);
}

void vs_arq_tx_stats(const struct vs_arq_tx *tx, struct vs_arq_tx_stats *out)
{
	*out = tx->stats;
	out->inflight_bytes = tx->inflight_bytes;
	out->reorder_usec = vs_arq_tx_reorder_usec(tx);
	out->lanes_used = 0;
	for (unsigned i = 0; i < VS_LANES_MAX; i++)
		out->lanes_used += tx->lanes[i] != NULL;
}
