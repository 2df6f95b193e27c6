/* A plain peer that speaks KCP: one conversation over the engine of the links (link/arq_tx.h, link/arq_rx.h), which is
 * lane 0 to it. */
#include <errno.h>
#include <stdlib.h>

#include "link/congestion.h"
#include "link/pacer.h"
#include "link/parts.h"
#include "link/plain_state.h"
#include "link/rtt.h"

/* Bytes kept beyond a gap: a window of full segments. */
#define RECEIVE_BUDGET (1u << 20)
#define MSS (VS_PLAIN_KCP_MTU - VS_SEGMENT_HEADER)

/* A frame is not begun in a datagram that has less room than this left. */
#define START_MIN 128

#define ACK_DELAY_MIN UINT64_C(250)
#define ACK_DELAY_MAX (5 * VS_MSEC)

/* While frames wait for a window that nothing in flight can open, the peer is asked so often, doubling. */
#define ASK_STALLED VS_RTO_INITIAL
#define ASK_STALLED_MAX (5 * VS_SEC)

#define LANE 0

struct plain_kcp {
	struct vs_arq_tx *arq_tx;
	struct vs_arq_rx *arq_rx;
	struct vs_congestion *congestion;
	struct vs_rtt rtt;
	struct vs_pacer pacer;
	uint32_t window;      /* that the peer has told last */
	uint32_t window_most; /* ... and ever: what its receive queue holds; 0: nothing yet */
	uint64_t busy_usec;    /* since when something is owed by the peer; VS_NEVER: nothing */
	uint64_t stalled_usec; /* since when frames wait for its window; VS_NEVER: they do not */
	uint64_t asked_usec;
	unsigned asks;         /* since it stalled */
	bool tell;             /* it has asked for our window */
};

/* --- Life --- */

static int init(struct vs_plain *plain, uint64_t now)
{
	struct plain_kcp *kcp = plain->kcp = calloc(1, sizeof(*kcp));
	if (!kcp)
		return -ENOMEM;
	vs_rtt_init(&kcp->rtt, 0, 0);
	vs_pacer_init(&kcp->pacer, VS_PLAIN_KCP_MTU, now);
	kcp->window = VS_KCP_WINDOW;
	kcp->busy_usec = kcp->stalled_usec = VS_NEVER;
	kcp->congestion = vs_congestion_new(VS_CONGESTION_BBR, VS_PLAIN_KCP_MTU, now);
	struct vs_arq_tx_config tx = {
		.lanes = 1,
		.send_window = VS_WINDOW_MAX,
		.plain = true,
		.conv = plain->config.conv,
		.rtt = &kcp->rtt,
		.congestion = kcp->congestion,
		.drops = &plain->drops,
	};
	struct vs_arq_rx_config rx = {
		.lanes = 1,
		.budget = RECEIVE_BUDGET,
		.plain = true,
		.conv = plain->config.conv,
		.pool = plain->config.pool,
		.drops = &plain->drops,
	};
	kcp->arq_tx = vs_arq_tx_new(&tx);
	kcp->arq_rx = vs_arq_rx_new(&rx);
	if (!kcp->congestion || !kcp->arq_tx || !kcp->arq_rx)
		return -ENOMEM;
	/* The lane is there from now on, so that it learns its window from the very first segment. */
	(void)vs_arq_tx_lane_ready(kcp->arq_tx, LANE, 1);
	return 0;
}

static void fini(struct vs_plain *plain)
{
	struct plain_kcp *kcp = plain->kcp;
	if (!kcp)
		return;
	vs_arq_tx_free(kcp->arq_tx);
	vs_arq_rx_free(kcp->arq_rx);
	vs_congestion_free(kcp->congestion);
	free(kcp);
}

/* --- In --- */

/* The next segment that KCP itself could have sent. */
static bool decode(struct vs_view *view, struct vs_segment *seg)
{
	return vs_segment_decode(view, seg) && seg->cmd != VS_CMD_SKIP;
}

bool vs_plain_kcp_begins(const uint8_t *datagram, size_t len, uint32_t *conv)
{
	struct vs_view view = vs_view_of(datagram, len);
	struct vs_segment first, seg;
	if (!decode(&view, &first) || first.cmd != VS_CMD_PUSH || first.sn >= VS_WINDOW_MAX)
		return false;
	/* We have sent nothing yet. */
	if (first.una != 0)
		return false;
	if (first.sn == 0 && first.len >= 2 && vs_get_be16(first.data) != VS_FLAG_FRAME)
		return false;
	while (view.len)
		if (!decode(&view, &seg) || seg.conv != first.conv)
			return false;
	*conv = first.conv;
	return true;
}

static void note_window(struct plain_kcp *kcp, uint32_t window)
{
	kcp->window = window;
	if (window > kcp->window_most)
		kcp->window_most = window;
}

/* False: the rest of the datagram is not to be read. */
static bool input_segment(struct vs_plain *plain, struct vs_segment *seg, uint64_t now, struct vs_deframed *arrived)
{
	struct plain_kcp *kcp = plain->kcp;
	seg->conv = LANE;
	/* What KCP skips, whatever it is. */
	if (seg->cmd != VS_CMD_PUSH)
		seg->len = 0;
	note_window(kcp, seg->wnd);
	if (!vs_arq_tx_input(kcp->arq_tx, seg, now)) {
		vs_drop(&plain->drops, VS_DROP_BAD_SEGMENT);
		vs_plain_finish(plain, VS_PLAIN_MALFORMED);
		return false;
	}
	if (seg->cmd == VS_CMD_WASK)
		kcp->tell = true;
	if (seg->cmd == VS_CMD_PUSH && vs_arq_rx_input(kcp->arq_rx, seg, now, arrived) < 0) {
		vs_plain_finish(plain, VS_PLAIN_MALFORMED);
		return false;
	}
	return true;
}

static void input(struct vs_plain *plain, const uint8_t *bytes, size_t len, uint64_t now, struct vs_deframed *arrived)
{
	struct vs_view view = vs_view_of(bytes, len);
	struct vs_segment seg;
	while (view.len) {
		if (!decode(&view, &seg)) {
			vs_drop(&plain->drops, VS_DROP_BAD_SEGMENT);
			return;
		}
		if (seg.conv != plain->config.conv) {
			vs_drop(&plain->drops, VS_DROP_BAD_LANE);
			/* The client was started again: its next datagram finds nobody here and is a newcomer's. */
			if (vs_plain_kcp_begins(bytes, len, &seg.conv))
				vs_plain_finish(plain, VS_PLAIN_RESTARTED);
			return;
		}
		plain->heard_usec = now;
		if (!input_segment(plain, &seg, now, arrived))
			return;
	}
}

/* --- Out --- */

static bool window_open(const struct plain_kcp *kcp)
{
	return vs_arq_tx_inflight(kcp->arq_tx) < vs_congestion_window(kcp->congestion);
}

static bool has_segments(const struct vs_plain *plain)
{
	const struct plain_kcp *kcp = plain->kcp;
	return window_open(kcp) && (vs_queue_ready(plain->queue) || vs_arq_tx_has_lost(kcp->arq_tx) ||
				    vs_arq_tx_has_waiting(kcp->arq_tx));
}

static void wake(struct vs_plain *plain, uint64_t now)
{
	if (vs_arq_tx_input_done(plain->kcp->arq_tx, now))
		vs_queue_wake(plain->queue, LANE);
}

/* A message of more segments than the peer's receive queue holds could never be put together there. */
static bool too_long(const struct plain_kcp *kcp, uint32_t len)
{
	return kcp->window_most && vs_arq_segments(len, MSS, MSS) > kcp->window_most;
}

/* Moves one frame from the queue into the conversation, cut so that its first segment fills this datagram. */
static bool admit(struct vs_plain *plain, const struct vs_parts *parts, uint64_t now)
{
	struct plain_kcp *kcp = plain->kcp;
	struct vs_frame *frame;
	struct vs_flow *flow;
	uint32_t last_sn;
	if (!vs_parts_fits(parts, VS_SEGMENT_HEADER + START_MIN))
		return false;
	while ((flow = vs_queue_peek(plain->queue, now, &frame))) {
		uint32_t len = VS_FRAMING_HEADER + frame->len;
		uint32_t room = (uint32_t)parts->room - VS_SEGMENT_HEADER;
		if (too_long(kcp, len)) {
			vs_drop(&plain->drops, VS_DROP_GIANT);
			vs_frame_unref(vs_queue_take(plain->queue, flow, now));
			continue;
		}
		/* One segment more than need be may be one too many for a small window. */
		if (vs_arq_segments(len, room, MSS) > kcp->window)
			room = MSS;
		if (!vs_arq_tx_lane_ready(kcp->arq_tx, LANE, vs_arq_segments(len, room, MSS))) {
			vs_queue_park(plain->queue, flow, LANE);
			continue;
		}
		frame = vs_queue_take(plain->queue, flow, now);
		if (vs_arq_tx_admit(kcp->arq_tx, LANE, frame, frame->offset - VS_FRAMING_HEADER, len, room, MSS, now,
				    &last_sn) == 0)
			return true;
	}
	return false;
}

static void write_data(struct vs_plain *plain, struct vs_parts *parts, uint64_t now)
{
	struct plain_kcp *kcp = plain->kcp;
	bool progress = true;
	vs_arq_tx_write_lost(kcp->arq_tx, kcp->arq_rx, now, parts);
	if (vs_arq_tx_has_lost(kcp->arq_tx))
		return;
	while (progress && vs_parts_fits(parts, VS_SEGMENT_HEADER + 1) && window_open(kcp)) {
		progress = vs_arq_tx_write_waiting(kcp->arq_tx, kcp->arq_rx, now, parts);
		if (admit(plain, parts, now))
			progress |= vs_arq_tx_write_waiting(kcp->arq_tx, kcp->arq_rx, now, parts);
		wake(plain, now);
	}
}

static void write_bare(struct vs_plain *plain, enum vs_cmd cmd, struct vs_parts *parts, uint64_t now)
{
	struct vs_segment seg = {
		.conv = plain->config.conv,
		.cmd = (uint8_t)cmd,
		.wnd = vs_arq_rx_window(plain->kcp->arq_rx),
		.ts = (uint32_t)now,
		.una = vs_arq_rx_una(plain->kcp->arq_rx, LANE),
	};
	vs_segment_encode(&seg, vs_parts_reserve(parts));
	vs_parts_commit(parts, VS_SEGMENT_HEADER);
}

static uint64_t ask_deadline(const struct vs_plain *plain)
{
	const struct plain_kcp *kcp = plain->kcp;
	uint64_t last = VS_MAX(plain->heard_usec, kcp->asked_usec);
	if (kcp->stalled_usec == VS_NEVER)
		return last + VS_PLAIN_ASK_IDLE;
	uint64_t wait = (uint64_t)ASK_STALLED << VS_MIN(kcp->asks, 5u);
	return VS_MAX(kcp->stalled_usec, kcp->asked_usec) + VS_MIN(wait, (uint64_t)ASK_STALLED_MAX);
}

/* Nothing has been heard for long: an idle peer keeps its state and not its buffers. */
static void release_memory(struct vs_plain *plain)
{
	struct vs_queue_stats queue;
	vs_queue_stats(plain->queue, &queue);
	if (queue.frames || !vs_arq_tx_idle(plain->kcp->arq_tx))
		return;
	vs_queue_release(plain->queue);
	vs_arq_tx_release(plain->kcp->arq_tx);
	vs_arq_rx_release(plain->kcp->arq_rx);
}

/* What goes whatever the pacer says, and is not charged to it; returns its bytes. */
static size_t write_unpaced(struct vs_plain *plain, struct vs_parts *parts, uint64_t now)
{
	struct plain_kcp *kcp = plain->kcp;
	size_t acks = vs_arq_rx_write_acks(kcp->arq_rx, now, vs_parts_reserve(parts),
					   VS_MIN(parts->room, sizeof(parts->scratch) / 2) - 2 * VS_SEGMENT_HEADER);
	if (acks)
		vs_parts_commit(parts, acks);
	if (kcp->tell)
		write_bare(plain, VS_CMD_WINS, parts, now);
	kcp->tell = false;
	if (now >= ask_deadline(plain)) {
		write_bare(plain, VS_CMD_WASK, parts, now);
		kcp->asked_usec = now;
		kcp->asks++;
		release_memory(plain);
	}
	return parts->len;
}

static size_t write_datagram(struct vs_plain *plain, uint64_t now, uint8_t *out)
{
	struct plain_kcp *kcp = plain->kcp;
	struct vs_parts parts;
	bool urgent = vs_arq_tx_urgent(kcp->arq_tx, now);
	bool ready = has_segments(plain) && vs_pacer_ready(&kcp->pacer, now);
	if (!urgent && !ready && now < vs_arq_rx_deadline(kcp->arq_rx) && !kcp->tell && now < ask_deadline(plain))
		return 0;
	vs_parts_init(&parts, VS_PLAIN_KCP_MTU);
	size_t unpaced = write_unpaced(plain, &parts, now);
	if (urgent)
		vs_arq_tx_write_urgent(kcp->arq_tx, kcp->arq_rx, now, &parts);
	if (ready)
		write_data(plain, &parts, now);
	if (parts.len > unpaced)
		vs_pacer_sent(&kcp->pacer, now, parts.len - unpaced);
	return vs_parts_gather(out, parts.iov, parts.n);
}

/* Since when the peer owes us something; since when frames wait for its window and nothing under way can open it. */
static void watch_progress(struct vs_plain *plain, uint64_t now)
{
	struct plain_kcp *kcp = plain->kcp;
	struct vs_queue_stats queue;
	bool idle = vs_arq_tx_idle(kcp->arq_tx);
	vs_queue_stats(plain->queue, &queue);
	bool stalled = idle && queue.frames && !vs_queue_ready(plain->queue);
	if (!stalled) {
		kcp->stalled_usec = VS_NEVER;
		kcp->asks = 0;
	} else if (kcp->stalled_usec == VS_NEVER) {
		kcp->stalled_usec = now;
	}
	if (idle && !stalled)
		kcp->busy_usec = VS_NEVER;
	else if (kcp->busy_usec == VS_NEVER)
		kcp->busy_usec = now;
}

static size_t fill(struct vs_plain *plain, uint64_t now, uint8_t *out)
{
	struct plain_kcp *kcp = plain->kcp;
	uint64_t rate = vs_congestion_rate(kcp->congestion);
	vs_pacer_set_rate(&kcp->pacer, now, rate);
	vs_queue_set_rate(plain->queue, rate);
	size_t size = write_datagram(plain, now, out);
	if (!size && window_open(kcp) && !has_segments(plain))
		vs_congestion_app_limited(kcp->congestion, vs_arq_tx_inflight(kcp->arq_tx));
	watch_progress(plain, now);
	return size;
}

/* --- Time --- */

static uint64_t silence_deadline(const struct vs_plain *plain)
{
	const struct plain_kcp *kcp = plain->kcp;
	uint64_t idle = plain->heard_usec + VS_PLAIN_SILENT_IDLE;
	if (kcp->busy_usec == VS_NEVER)
		return idle;
	return vs_time_min(idle, VS_MAX(plain->heard_usec, kcp->busy_usec) + VS_PLAIN_SILENT_BUSY);
}

static void run_timers(struct vs_plain *plain, uint64_t now)
{
	struct plain_kcp *kcp = plain->kcp;
	wake(plain, now);
	if (now >= silence_deadline(plain))
		vs_plain_finish(plain, VS_PLAIN_SILENT);
	(void)vs_arq_tx_timeout(kcp->arq_tx, now);
	uint64_t delay = kcp->rtt.srtt_usec / 8;
	vs_arq_rx_set_ack_delay(kcp->arq_rx, VS_MIN(VS_MAX(delay, (uint64_t)ACK_DELAY_MIN), (uint64_t)ACK_DELAY_MAX));
}

static uint64_t deadline(const struct vs_plain *plain)
{
	const struct plain_kcp *kcp = plain->kcp;
	if (vs_arq_tx_urgent(kcp->arq_tx, 0) || kcp->tell)
		return 0;
	uint64_t first = vs_time_min(silence_deadline(plain), ask_deadline(plain));
	first = vs_time_min(first, vs_arq_tx_deadline(kcp->arq_tx));
	first = vs_time_min(first, vs_arq_rx_deadline(kcp->arq_rx));
	return has_segments(plain) ? vs_time_min(first, vs_pacer_deadline(&kcp->pacer)) : first;
}

static void stats(const struct vs_plain *plain, struct vs_plain_stats *out)
{
	const struct plain_kcp *kcp = plain->kcp;
	out->srtt_usec = kcp->rtt.srtt_usec;
	out->bandwidth_bps = vs_congestion_bandwidth(kcp->congestion) * 8;
	out->window = kcp->window;
	vs_arq_tx_stats(kcp->arq_tx, &out->arq_tx);
	vs_arq_rx_stats(kcp->arq_rx, &out->arq_rx);
}

const struct vs_plain_ops vs_plain_kcp_ops = {
	.piece_max = VS_PLAIN_KCP_MTU,
	.init = init,
	.fini = fini,
	.input = input,
	.fill = fill,
	.run_timers = run_timers,
	.deadline = deadline,
	.stats = stats,
};
