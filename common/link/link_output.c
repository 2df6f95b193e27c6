/* Datagrams out: from the queue to the seal. */
#include "link/link.h"

#include <stdlib.h>

#include "link/control.h"
#include "link/link_state.h"

/* A frame is not begun in a datagram that has less room than this left: the rest of the datagram is worth less than
 * another segment header. */
#define START_MIN 128

static void begin(struct vs_link *link, enum vs_kind kind, size_t room)
{
	vs_parts_init(link->parts, VS_KIND_SIZE + room);
	*vs_parts_reserve(link->parts) = (uint8_t)kind;
	vs_parts_commit(link->parts, VS_KIND_SIZE);
}

static bool is_empty(const struct vs_link *link)
{
	return link->parts->len == VS_KIND_SIZE;
}

static size_t seal(struct vs_link *link, uint64_t now, uint8_t *out, struct vs_link_sent *sent)
{
	size_t size = vs_session_seal(vs_link_current(link), link->parts, now, out, &sent->counter);
	link->stats.tx_datagrams++;
	link->stats.tx_bytes += size;
	return size;
}

/* Seals what the pacer has let go. Only that is charged to it: `unpaced` bytes of acknowledgements, and datagrams of
 * the other kinds, go whatever it says, and the rate knows nothing of them; charged, they would starve the data of a
 * link that receives much more than it sends. */
static size_t seal_paced(struct vs_link *link, size_t unpaced, uint64_t now, uint8_t *out, struct vs_link_sent *sent)
{
	if (vs_unlikely(vs_link_fec_active(link)))
		vs_link_fec_protect(link, now);
	size_t size = seal(link, now, out, sent);
	vs_pacer_sent(&link->pacer, now, size > unpaced ? size - unpaced : 0);
	return size;
}

/* Reports tell of what goes in the clear when something sealed has come after it. Where they are all that opens the
 * window, that has to be several times in a window. */
static bool wants_report(struct vs_link *link)
{
	uint64_t run = vs_link_current(link)->clear_run * vs_pmtud_size(&link->pmtud);
	return link->params.mode == VS_MODE_DATAGRAM &&
	       run >= VS_MAX(vs_congestion_window(link->congestion) / 4, (uint64_t)VS_REPORT_DENSE / 2);
}

/* Whether the next datagram of frames or segments goes in the clear. While the path MTU is in doubt none does: only a
 * datagram with its tag is as large as the size that it is to prove. Nor does any while parity is sent: what parities
 * regain must be the peer's own. */
static bool sends_clear(struct vs_link *link)
{
	return vs_session_sends_clear(vs_link_current(link)) && !vs_pmtud_wants_evidence(&link->pmtud) &&
	       !vs_link_fec_active(link) && !wants_report(link);
}

/* A datagram that only reports will tell of. */
static void flies(struct vs_link *link, size_t size, uint64_t counter, uint64_t now)
{
	vs_flight_sent(&link->flight, link->congestion, &link->rtt, counter, (uint32_t)size, now);
}

/* A datagram of nothing but PUSH segments or frames, which the pacer has let go: in the clear if the link is. It has
 * been cut with room for a tag, so that any of them can be sealed instead. */
static size_t write_data(struct vs_link *link, uint64_t now, uint8_t *out, struct vs_link_sent *sent)
{
	if (!sends_clear(link))
		return seal_paced(link, 0, now, out, sent);
	size_t size = vs_session_write_clear(vs_link_current(link), link->parts, now, out, &sent->counter);
	link->stats.tx_datagrams++;
	link->stats.tx_clear++;
	link->stats.tx_bytes += size;
	vs_pacer_sent(&link->pacer, now, size);
	return size;
}

/* The same of unreliable frames, or a fragment of one. */
static size_t write_frames(struct vs_link *link, uint64_t now, uint8_t *out, struct vs_link_sent *sent)
{
	size_t size = write_data(link, now, out, sent);
	flies(link, size, sent->counter, now);
	return size;
}

/* --- Small kinds --- */

static size_t output_control(struct vs_link *link, const struct vs_control *control, uint64_t now, uint8_t *out,
			     struct vs_link_sent *sent)
{
	begin(link, VS_KIND_FRAMES, vs_link_datagram_room(link));
	uint8_t *at = vs_parts_reserve(link->parts);
	size_t len = vs_control_encode(control, at + VS_FRAMING_HEADER);
	vs_framing_encode(at, VS_FLAG_CONTROL, (uint32_t)len);
	vs_parts_commit(link->parts, VS_FRAMING_HEADER + len);
	return seal(link, now, out, sent);
}

static size_t output_close(struct vs_link *link, uint64_t now, uint8_t *out, struct vs_link_sent *sent)
{
	struct vs_control control = { .close = link->closing_reason };
	link->closing = false;
	return output_control(link, &control, now, out, sent);
}

static size_t output_renew(struct vs_link *link, uint64_t now, uint8_t *out, struct vs_link_sent *sent)
{
	struct vs_control control = { .renew = true };
	return output_control(link, &control, now, out, sent);
}

static size_t output_probe_ack(struct vs_link *link, uint64_t now, uint8_t *out, struct vs_link_sent *sent)
{
	struct link_probe_ack ack = link->probe_acks[--link->probe_acks_n];
	begin(link, VS_KIND_PROBE_ACK, vs_link_datagram_room(link));
	uint8_t *at = vs_parts_reserve(link->parts);
	vs_put_be32(at, ack.id);
	vs_put_be16(at + 4, ack.size);
	vs_parts_commit(link->parts, 6);
	return seal(link, now, out, sent);
}

static size_t output_probe(struct vs_link *link, uint32_t id, size_t size, uint64_t now, uint8_t *out,
			   struct vs_link_sent *sent)
{
	static const uint8_t zeros[VS_DATAGRAM_MAX];
	size_t least = VS_SEAL_OVERHEAD + VS_KIND_SIZE + 4;
	begin(link, VS_KIND_PROBE, VS_DATAGRAM_MAX);
	vs_put_be32(vs_parts_reserve(link->parts), id);
	vs_parts_commit(link->parts, 4);
	if (size > least)
		vs_parts_view(link->parts, zeros, size - least);
	sent->probe = size > vs_pmtud_size(&link->pmtud);
	size_t written = seal(link, now, out, sent);
	link->probes[link->probes_n++ % LINK_PROBES] = (struct link_probe){ id, sent->counter };
	vs_report_tx_exclude(&vs_link_current(link)->report_tx, sent->counter);
	return written;
}

static size_t output_report(struct vs_link *link, uint64_t now, uint8_t *out, struct vs_link_sent *sent)
{
	struct vs_session *session = vs_link_current(link);
	struct vs_report report;
	if (!vs_report_rx_output(&session->report_rx, session->local_index, now, &report))
		return 0;
	begin(link, VS_KIND_REPORT, vs_link_datagram_room(link));
	vs_report_encode(&report, vs_parts_reserve(link->parts));
	vs_parts_commit(link->parts, VS_REPORT_SIZE);
	return seal(link, now, out, sent);
}

/* Tells the peer, where nothing else has, up to which counter the clear datagrams before this one are ours. */
static size_t output_anchor(struct vs_link *link, uint64_t now, uint8_t *out, struct vs_link_sent *sent)
{
	if (now < vs_link_current(link)->anchor_deadline)
		return 0;
	begin(link, VS_KIND_SEGMENTS, vs_link_datagram_room(link));
	return seal(link, now, out, sent);
}

/* --- Fragments --- */

/* Takes over a plaintext from malloc(), kind first. */
static void start_fragmenting(struct vs_link *link, uint8_t *text, size_t len)
{
	struct link_fragmenting *f = &link->fragmenting;
	if (!vs_fragment_plan(len, vs_pmtud_size(&link->pmtud) - link->fec.reserve, &f->plan)) {
		free(text);
		return;
	}
	f->text = text;
	f->next = 0;
	f->id++;
	link->stats.fragments_sent += f->plan.count;
}

static size_t output_fragment(struct vs_link *link, uint64_t now, uint8_t *out, struct vs_link_sent *sent)
{
	struct link_fragmenting *f = &link->fragmenting;
	size_t offset;
	vs_parts_init(link->parts, VS_DATAGRAM_MAX);
	size_t len = vs_fragment_encode(&f->plan, f->id, f->next++, &offset, vs_parts_reserve(link->parts));
	vs_parts_commit(link->parts, VS_FRAGMENT_PREFIX);
	vs_parts_view(link->parts, f->text + offset, len);
	bool segment = f->text[0] == VS_KIND_SEGMENTS;
	size_t size = segment ? write_data(link, now, out, sent) : write_frames(link, now, out, sent);
	if (f->next == f->plan.count) {
		free(f->text);
		f->text = NULL;
	}
	return size;
}

/* A segment that was cut for a larger path than there is now goes in fragments. */
static bool fragment_segment(struct vs_link *link, uint64_t now)
{
	size_t size = vs_arq_tx_next_size(link->arq_tx, now);
	if (size <= vs_link_datagram_room(link))
		return false;
	uint8_t *text = malloc(VS_KIND_SIZE + size);
	if (!text)
		return false;
	text[0] = VS_KIND_SEGMENTS;
	vs_arq_tx_write_next(link->arq_tx, link->arq_rx, now, text + VS_KIND_SIZE);
	start_fragmenting(link, text, VS_KIND_SIZE + size);
	return true;
}

/* --- Reliable mode --- */

/* Copies the flow's next frames behind `first` into one buffer while they fit `room`. Takes over `first`. */
static struct vs_frame *coalesce(struct vs_link *link, struct vs_flow *flow, struct vs_frame *first, size_t room,
				 uint64_t now)
{
	struct vs_frame *more = vs_queue_peek_more(link->queue, flow);
	if (!more || vs_framing_size(first) + first->len + vs_framing_size(more) + more->len > room)
		return first;
	struct vs_frame *merged = vs_frame_new(link->config.pool, room);
	if (!merged)
		return first;
	/* The buffer's own "frame" starts behind the first framing header, like that of a single frame. */
	uint8_t *start = vs_frame_bytes(merged) - VS_FRAMING_HEADER, *at = start;
	struct vs_frame *frame = first;
	for (;;) {
		size_t len = vs_framing_size(frame) + frame->len;
		memcpy(at, vs_frame_cbytes(frame) - vs_framing_size(frame), len);
		at += len;
		room -= len;
		vs_frame_unref(frame);
		frame = vs_queue_peek_more(link->queue, flow);
		if (!frame || vs_framing_size(frame) + frame->len > room)
			break;
		frame = vs_queue_take(link->queue, flow, now);
	}
	merged->len = (uint32_t)(at - start) - VS_FRAMING_HEADER;
	return merged;
}

/* Moves one message from the queue into a lane, cut so that its first segment fills this datagram. False: no flow can
 * send, or the datagram is full enough. */
static bool admit(struct vs_link *link, uint64_t now)
{
	size_t room = link->parts->room - VS_SEGMENT_HEADER;
	size_t mss = vs_link_datagram_room(link) - VS_SEGMENT_HEADER;
	struct vs_frame *frame;
	struct vs_flow *flow;
	if (!vs_parts_fits(link->parts, VS_SEGMENT_HEADER + START_MIN))
		return false;
	while ((flow = vs_queue_peek(link->queue, now, &frame))) {
		uint32_t len = vs_framing_size(frame) + frame->len, last_sn;
		unsigned lane = vs_arq_tx_pick_lane(link->arq_tx, flow, frame->flow_hash);
		unsigned segments = vs_arq_segments(len, (uint32_t)room, (uint32_t)mss);
		if (!vs_arq_tx_lane_ready(link->arq_tx, lane, segments)) {
			vs_queue_park(link->queue, flow, lane);
			continue;
		}
		frame = vs_queue_take(link->queue, flow, now);
		if (segments == 1)
			frame = coalesce(link, flow, frame, room, now);
		uint32_t header = vs_framing_size(frame);
		len = header + frame->len;
		if (vs_arq_tx_admit(link->arq_tx, lane, frame, frame->offset - header, len, (uint32_t)room,
				    (uint32_t)mss, now, &last_sn) < 0)
			continue;
		flow->lane = (int16_t)lane;
		flow->last_sn = last_sn;
		return true;
	}
	return false;
}

static void wake_lanes(struct vs_link *link, uint64_t now)
{
	for (uint64_t gained = vs_arq_tx_input_done(link->arq_tx, now); gained; gained &= gained - 1)
		vs_queue_wake(link->queue, (unsigned)__builtin_ctzll(gained));
}

static bool write_waiting(struct vs_link *link, uint64_t now)
{
	return vs_arq_tx_write_waiting(link->arq_tx, link->arq_rx, now, link->parts);
}

/* New data: one segment that waits, then one message from the queue, in turn, so that no lane and no flow has to stand
 * behind the whole of another's message. A flow that is new to the queue goes before what waits: segments that fill a
 * datagram each would leave it no room before the last of them has gone. */
static void fill(struct vs_link *link, uint64_t now)
{
	bool reliable = link->params.mode == VS_MODE_RELIABLE, progress = true;
	while (progress && vs_parts_fits(link->parts, VS_SEGMENT_HEADER + 1) && vs_link_window_open(link)) {
		bool new_first = reliable && vs_queue_has_new(link->queue);
		progress = !new_first && write_waiting(link, now);
		bool admitted = reliable && admit(link, now);
		if (admitted || new_first)
			progress |= write_waiting(link, now);
		wake_lanes(link, now);
	}
}

/* Adds the acknowledgements that are owed; returns their bytes. */
static size_t write_acks(struct vs_link *link, uint64_t now)
{
	struct vs_parts *parts = link->parts;
	size_t acks = vs_arq_rx_write_acks(link->arq_rx, now, vs_parts_reserve(parts),
					   VS_MIN(parts->room, sizeof(parts->scratch) / 2));
	if (acks)
		vs_parts_commit(parts, acks);
	return acks;
}

static size_t output_segments(struct vs_link *link, uint64_t now, uint8_t *out, struct vs_link_sent *sent)
{
	bool urgent = vs_arq_tx_urgent(link->arq_tx, now);
	bool ready = vs_link_has_segments(link) && vs_pacer_ready(&link->pacer, now);
	bool acks_due = now >= vs_arq_rx_deadline(link->arq_rx);
	if (!urgent && !ready && !acks_due)
		return 0;
	if ((urgent || ready) && fragment_segment(link, now))
		return output_fragment(link, now, out, sent);

	struct vs_parts *parts = link->parts;
	begin(link, VS_KIND_SEGMENTS, vs_link_datagram_room(link));
	/* Acknowledgements are always sealed. In the clear they do not ride with data, which would have to be, too. */
	bool clear = sends_clear(link);
	size_t acks = clear && !acks_due ? 0 : write_acks(link, now);
	if (urgent)
		vs_arq_tx_write_urgent(link->arq_tx, link->arq_rx, now, parts);
	bool data_only = is_empty(link);
	if (ready && (!clear || data_only)) {
		vs_arq_tx_write_lost(link->arq_tx, link->arq_rx, now, parts);
		if (!vs_arq_tx_has_lost(link->arq_tx))
			fill(link, now);
	}
	if (is_empty(link))
		return 0;
	if (data_only)
		return write_data(link, now, out, sent);
	/* A segment that was cut for a whole datagram may not have fitted behind the ACKs: it comes with the next one. */
	bool acks_only = parts->len == VS_KIND_SIZE + acks;
	return acks_only ? seal(link, now, out, sent) : seal_paced(link, acks, now, out, sent);
}

/* --- Datagram mode --- */

static void fragment_frame(struct vs_link *link, struct vs_frame *frame)
{
	size_t len = vs_framing_size(frame) + frame->len;
	uint8_t *text = malloc(VS_KIND_SIZE + len);
	if (!text) {
		vs_drop(&link->drops, VS_DROP_NO_BUFFER);
		vs_frame_unref(frame);
		return;
	}
	text[0] = VS_KIND_FRAMES;
	memcpy(text + VS_KIND_SIZE, vs_frame_cbytes(frame) - vs_framing_size(frame), len);
	vs_frame_unref(frame);
	start_fragmenting(link, text, VS_KIND_SIZE + len);
}

static bool may_send_frames(struct vs_link *link, uint64_t now)
{
	if (!vs_link_has_unreliable(link))
		return false;
	vs_flight_timeout(&link->flight, link->congestion, &link->rtt, now);
	return vs_link_flight_open(link) && vs_pacer_ready(&link->pacer, now);
}

static size_t output_frames(struct vs_link *link, uint64_t now, uint8_t *out, struct vs_link_sent *sent)
{
	struct vs_frame *held[VS_AEAD_PARTS_MAX], *frame;
	struct vs_flow *flow;
	size_t held_n = 0;
	if (!may_send_frames(link, now))
		return 0;
	begin(link, VS_KIND_FRAMES, vs_link_datagram_room(link));
	while ((flow = vs_queue_peek(link->queue, now, &frame))) {
		size_t len = vs_framing_size(frame) + frame->len;
		if (!vs_parts_takes(link->parts, len)) {
			if (held_n)
				break;
			fragment_frame(link, vs_queue_take(link->queue, flow, now));
			return link->fragmenting.text ? output_fragment(link, now, out, sent) : 0;
		}
		held[held_n] = vs_queue_take(link->queue, flow, now);
		vs_parts_view(link->parts, vs_frame_cbytes(held[held_n]) - vs_framing_size(held[held_n]), len);
		held_n++;
	}
	size_t size = held_n ? write_frames(link, now, out, sent) : 0;
	while (held_n)
		vs_frame_unref(held[--held_n]);
	return size;
}

/* Parity does not wait, or it would come too late to be of use; it is charged to the pacer, which the data then wait
 * for. */
static size_t output_parity(struct vs_link *link, uint64_t now, uint8_t *out, struct vs_link_sent *sent)
{
	if (now < vs_fec_tx_deadline(&link->fec.tx) || !vs_link_fec_write_parity(link, now))
		return 0;
	size_t size = seal(link, now, out, sent);
	vs_pacer_sent(&link->pacer, now, size);
	if (link->params.mode == VS_MODE_DATAGRAM)
		flies(link, size, sent->counter, now);
	return size;
}

/* --- All kinds, the most urgent first --- */

/* Nearly all calls are one of a row of them at the same time, for segments only: the call before has found nothing else
 * to do, and nothing has come in since (so no PROBE_ACK is owed). */
static bool in_burst(struct vs_link *link, uint64_t now)
{
	return link->burst_usec == now && !link->closing && !link->fragmenting.text &&
	       now < vs_fec_tx_deadline(&link->fec.tx) && vs_session_alive(vs_link_current(link), now);
}

static size_t output_burst(struct vs_link *link, uint64_t now, uint8_t *out, struct vs_link_sent *sent)
{
	size_t size = output_segments(link, now, out, sent);
	link->burst_usec = size ? now : VS_NEVER;
	return size;
}

/* What the path has lost because it was too large for it is no sign of congestion. */
static void excuse_losses(struct vs_link *link, uint64_t now)
{
	vs_arq_tx_excuse_losses(link->arq_tx, now);
	vs_congestion_excused(link->congestion, now);
}

static size_t output_next(struct vs_link *link, uint64_t now, uint8_t *out, struct vs_link_sent *sent)
{
	uint32_t id;
	uint16_t probe_size;
	size_t size;
	if (link->closing)
		return output_close(link, now, out, sent);
	if (link->fragmenting.text)
		return output_fragment(link, now, out, sent);
	if (link->probe_acks_n)
		return output_probe_ack(link, now, out, sent);
	if (vs_link_keepalive_due(link, now, &id))
		return output_probe(link, id, 0, now, out, sent);
	if (vs_link_renew_due(link, now))
		return output_renew(link, now, out, sent);
	if ((size = output_report(link, now, out, sent)) || (size = output_anchor(link, now, out, sent)))
		return size;
	if (now >= vs_pmtud_deadline(&link->pmtud)) {
		uint16_t before = vs_pmtud_size(&link->pmtud);
		bool probe = vs_pmtud_output(&link->pmtud, now, &id, &probe_size);
		if (vs_pmtud_size(&link->pmtud) < before)
			excuse_losses(link, now);
		vs_link_path_measured(link);
		if (probe)
			return output_probe(link, id, probe_size, now, out, sent);
	}
	if ((size = output_parity(link, now, out, sent)) || (size = output_burst(link, now, out, sent)))
		return size;
	return output_frames(link, now, out, sent);
}

static size_t output_anything(struct vs_link *link, uint64_t now, uint8_t *out, struct vs_link_sent *sent)
{
	wake_lanes(link, now);
	vs_link_run_timers(link, now);
	if (!vs_session_alive(vs_link_current(link), now))
		return 0;
	uint64_t rate = vs_congestion_rate(link->congestion);
	vs_pacer_set_rate(&link->pacer, now, vs_link_fec_rate(link, rate));
	vs_queue_set_rate(link->queue, rate);
	size_t size = output_next(link, now, out, sent);
	if (size == 0 && vs_link_window_open(link) && !vs_link_has_segments(link) && !vs_link_has_unreliable(link))
		vs_congestion_app_limited(link->congestion, vs_link_inflight(link));
	return size;
}

size_t vs_link_output(struct vs_link *link, uint64_t now, uint8_t *out, size_t room, struct vs_link_sent *sent)
{
	struct vs_parts parts;
	size_t size = 0;
	*sent = (struct vs_link_sent){ 0 };
	if (room < VS_DATAGRAM_MAX)
		return 0;
	link->parts = &parts;
	if (in_burst(link, now))
		size = output_burst(link, now, out, sent);
	if (!size)
		size = output_anything(link, now, out, sent);
	link->parts = NULL;
	return size;
}

void vs_link_refused(struct vs_link *link, uint64_t counter, size_t size, bool too_big, uint64_t now)
{
	vs_report_tx_exclude(&vs_link_current(link)->report_tx, counter);
	if (too_big) {
		vs_pmtud_too_big(&link->pmtud, (uint16_t)VS_MIN(size, (size_t)UINT16_MAX), now);
		vs_link_path_measured(link);
	}
}
