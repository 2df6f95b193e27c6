/* Datagrams in: from the seal to the frames. */
#include "link/link.h"

#include "link/control.h"
#include "link/link_state.h"

/* A quarter, in 1/65536. */
#define BLACK_HOLE_LOSS_Q16 (65536 / 4)

/* --- Kinds --- */

/* Where a plaintext comes from. */
struct origin {
	struct vs_session *session;
	size_t datagram; /* bytes of the datagram that carried its kind byte */
	bool sealed;     /* nobody but the peer has made any of it */
	bool recovered;  /* by FEC: it has not come in its time */
};

static bool is_clear(const struct vs_link *link)
{
	return link->params.protection == VS_PROTECTION_NONE;
}

/* The peer has broken the protocol under authentication: nothing it says after that can be trusted to be in step. */
static void fail(struct vs_link *link)
{
	link->events |= VS_LINK_ERROR;
}

static void act_on_control(struct vs_link *link, const struct vs_frame *message, uint64_t now)
{
	struct vs_control control;
	if (vs_control_decode(&control, vs_frame_cbytes(message), message->len, &link->drops) < 0)
		return;
	if (control.renew)
		vs_link_renew_asked(link, now);
	if (!control.close)
		return;
	link->close_reason = control.close;
	link->events |= VS_LINK_CLOSED;
}

static void input_control(struct vs_link *link, bool believed, uint64_t now, struct vs_deframed *arrived)
{
	struct vs_frame *message;
	while ((message = vs_frame_list_pop(&arrived->control))) {
		if (believed)
			act_on_control(link, message, now);
		else
			vs_drop(&link->drops, VS_DROP_CLEAR_KIND);
		vs_frame_unref(message);
	}
}

/* One segment. False: the rest of the datagram is not to be read. In the clear only its data are believed, not what it
 * says of ours. */
static bool input_segment(struct vs_link *link, const struct origin *origin, const struct vs_segment *seg, uint64_t now,
			  struct vs_deframed *arrived)
{
	if (seg->conv >= VS_LANES_MAX) {
		vs_drop(&link->drops, VS_DROP_BAD_LANE);
		return true;
	}
	if (!origin->sealed && seg->cmd != VS_CMD_PUSH) {
		vs_drop(&link->drops, VS_DROP_CLEAR_KIND);
		return true;
	}
	if (origin->sealed && !vs_arq_tx_input(link->arq_tx, seg, now)) {
		/* The two ends do not speak of the same lanes: only a fresh start mends that. */
		vs_drop(&link->drops, VS_DROP_BAD_SEGMENT);
		fail(link);
		return false;
	}
	if (seg->cmd != VS_CMD_ACK && vs_arq_rx_input(link->arq_rx, seg, now, arrived) < 0) {
		fail(link);
		return false;
	}
	return true;
}

static void input_segments(struct vs_link *link, const struct origin *origin, struct vs_view *view, uint64_t now,
			   struct vs_deframed *arrived)
{
	struct vs_segment seg;
	uint32_t stamp = 0;
	bool stamped = false;
	while (view->len) {
		if (!vs_segment_decode(view, &seg)) {
			vs_drop(&link->drops, VS_DROP_BAD_SEGMENT);
			return;
		}
		seg.recovered = origin->recovered;
		if (!input_segment(link, origin, &seg, now, arrived))
			return;
		if (seg.cmd == VS_CMD_PUSH) {
			stamp = seg.ts;
			stamped = true;
		}
	}
	if (!stamped)
		return;
	if (origin->sealed && !origin->recovered)
		vs_report_rx_stamp(&origin->session->report_rx, stamp, now);
	vs_link_uses_memory(link, now);
}

static void input_frames(struct vs_link *link, const struct origin *origin, struct vs_view *view,
			 struct vs_deframed *arrived)
{
	int err = vs_deframer_input(&link->unreliable, link->config.pool, &link->drops, view->data, view->len, arrived);
	bool cut = vs_deframer_mid_frame(&link->unreliable);
	vs_deframer_reset(&link->unreliable);
	if (err == 0 && cut)
		vs_drop(&link->drops, VS_DROP_BAD_FRAMING);
	if (err < 0 && origin->sealed)
		fail(link);
}

static struct vs_session *session_of_report(struct vs_link *link, uint32_t index)
{
	for (unsigned i = 0; i < LINK_SESSIONS; i++)
		if (vs_session_exists(&link->sessions[i]) && link->sessions[i].remote_index == index)
			return &link->sessions[i];
	return NULL;
}

/* What reports say of frames that nobody acknowledges. */
static void end_flight(struct vs_link *link, const struct vs_report *report, const struct vs_report_news *news,
		       uint64_t now)
{
	uint64_t min_rtt = vs_rtt_min(&link->rtt);
	bool delayed = vs_fec_is_congested(vs_time_since(link->rtt.latest_usec, min_rtt), min_rtt);
	vs_flight_report(&link->flight, link->congestion, &link->rtt, report, news, delayed, now);
}

static void input_report(struct vs_link *link, struct vs_view *view, uint64_t now)
{
	struct vs_report report;
	struct vs_report_news news;
	if (!vs_report_decode(view, &report)) {
		vs_drop(&link->drops, VS_DROP_BAD_REPORT);
		return;
	}
	struct vs_session *session = session_of_report(link, report.session);
	if (!session)
		return;
	uint64_t highest = session->report_tx.last.highest;
	switch (vs_report_tx_input(&session->report_tx, &report, now, &news)) {
	case VS_REPORT_BAD:
		vs_drop(&link->drops, VS_DROP_BAD_REPORT);
		return;
	case VS_REPORT_OLD:
		return;
	case VS_REPORT_NEW:
		break;
	}
	if (report.highest > highest)
		vs_link_answered(link, now);
	if (news.queue_usec != VS_REPORT_UNKNOWN)
		link->stats.peer_queue_usec = news.queue_usec;
	if (news.rtt_usec && link->params.mode == VS_MODE_DATAGRAM)
		vs_rtt_sample(&link->rtt, now, news.rtt_usec);
	if (session == vs_link_current(link))
		end_flight(link, &report, &news, now);
	if (!news.judged)
		return;
	link->stats.loss_q16 = news.loss_q16;
	vs_link_fec_report(link, &news, now);
	/* Without acknowledgements, heavy loss is the only sign of a path that has become smaller. */
	if (link->params.mode == VS_MODE_DATAGRAM && news.loss_q16 > BLACK_HOLE_LOSS_Q16)
		vs_pmtud_suspect(&link->pmtud, now);
}

static void input_probe(struct vs_link *link, struct vs_view *view, size_t datagram)
{
	uint32_t id = vs_view_be32(view);
	if (!vs_view_ok(view)) {
		vs_drop(&link->drops, VS_DROP_BAD_KIND);
		return;
	}
	if (link->probe_acks_n < LINK_PROBE_ACKS_MAX)
		link->probe_acks[link->probe_acks_n++] = (struct link_probe_ack){ id, (uint16_t)datagram };
}

static void input_probe_ack(struct vs_link *link, struct vs_view *view, uint64_t now)
{
	uint32_t id = vs_view_be32(view);
	uint16_t size = vs_view_be16(view);
	if (!vs_view_ok(view)) {
		vs_drop(&link->drops, VS_DROP_BAD_KIND);
		return;
	}
	for (unsigned i = 0; i < LINK_PROBES; i++)
		if (link->probes[i].id == id && i < link->probes_n)
			vs_report_tx_include(&vs_link_current(link)->report_tx, link->probes[i].counter);
	if (id & LINK_KEEPALIVE_ID)
		vs_link_keepalive_ack(link, id, now);
	else if (vs_pmtud_ack(&link->pmtud, id, size, now))
		vs_link_path_measured(link);
}

static void input_plaintext(struct vs_link *link, const struct origin *origin, const uint8_t *text, size_t len,
			    uint64_t now, struct vs_deframed *arrived)
{
	struct vs_view view = vs_view_of(text + VS_KIND_SIZE, len - VS_KIND_SIZE);
	if (!origin->sealed && text[0] != VS_KIND_SEGMENTS && text[0] != VS_KIND_FRAMES) {
		vs_drop(&link->drops, VS_DROP_CLEAR_KIND);
		return;
	}
	/* In a lane also after a change of mode: it drains. */
	arrived->supers = text[0] == VS_KIND_SEGMENTS && (link->params.features & VS_FEATURE_SUPER);
	switch (text[0]) {
	case VS_KIND_SEGMENTS:
		if (origin->session->lanes_gone) {
			vs_drop(&link->drops, VS_DROP_NO_SESSION);
			return;
		}
		input_segments(link, origin, &view, now, arrived);
		/* Of a lane that may have been fed by somebody else, no control message is the peer's for certain. */
		input_control(link, !is_clear(link), now, arrived);
		break;
	case VS_KIND_FRAMES:
		input_frames(link, origin, &view, arrived);
		input_control(link, origin->sealed, now, arrived);
		break;
	case VS_KIND_REPORT:
		input_report(link, &view, now);
		break;
	case VS_KIND_PROBE:
		input_probe(link, &view, origin->datagram);
		break;
	case VS_KIND_PROBE_ACK:
		input_probe_ack(link, &view, now);
		break;
	default:
		vs_drop(&link->drops, VS_DROP_BAD_KIND);
	}
}

static void input_whole(struct vs_link *link, struct origin *origin, const uint8_t *text, size_t len, uint64_t now,
		       struct vs_deframed *arrived)
{
	uint32_t frames_before = arrived->frames.count;
	if (text[0] == VS_KIND_FRAGMENT) {
		/* Slices that others may have made must not meet those of the session that has followed. */
		if (origin->session->lanes_gone) {
			vs_drop(&link->drops, VS_DROP_NO_SESSION);
			return;
		}
		text = vs_reassembly_input(&link->reassembly, text + VS_KIND_SIZE, len - VS_KIND_SIZE, now, &len);
		if (!text)
			return;
		/* Slices of one plaintext may have come either way. */
		origin->sealed &= !is_clear(link) && !origin->session->clear;
	}
	/* A fragment within a fragment falls to the unknown kinds. */
	input_plaintext(link, origin, text, len, now, arrived);
	link->stats.rx_frames += arrived->frames.count - frames_before;
}

/* The first plaintext that a shard brings, its own or one that it regains; then the next. NULL: no more. */
static const uint8_t *next_of_shard(struct vs_link *link, struct origin *origin, const uint8_t *text, size_t *len)
{
	/* Only what carries data is ever protected. */
	while (text && text[0] != VS_KIND_SEGMENTS && text[0] != VS_KIND_FRAMES && text[0] != VS_KIND_FRAGMENT) {
		vs_drop(&link->drops, VS_DROP_BAD_KIND);
		origin->recovered = true;
		text = vs_fec_rx_take(&link->fec.rx, len);
	}
	origin->sealed = true;
	return text;
}

static void input_shard(struct vs_link *link, struct origin *origin, const uint8_t *text, size_t len, uint64_t now,
			struct vs_deframed *arrived)
{
	origin->recovered = text[0] == VS_KIND_FEC_PARITY;
	text = vs_link_fec_input(link, origin->session, text, len, now, &len);
	while ((text = next_of_shard(link, origin, text, &len))) {
		input_whole(link, origin, text, len, now, arrived);
		origin->recovered = true;
		text = vs_fec_rx_take(&link->fec.rx, &len);
	}
}

/* --- Datagrams --- */

static struct vs_session *session_of(struct vs_link *link, uint32_t index)
{
	for (unsigned i = 0; i < LINK_SESSIONS; i++)
		if (vs_session_exists(&link->sessions[i]) && link->sessions[i].local_index == index)
			return &link->sessions[i];
	return NULL;
}

/* The peer is where its newest datagram comes from; one that was overtaken says nothing about that. */
static void follow(struct vs_link *link, const struct vs_session *session, uint64_t counter,
		   const struct vs_path *path, uint64_t now)
{
	if (session != vs_link_current(link) || counter + 1 != session->replay.next)
		return;
	if (vs_likely(vs_link_same_way(&link->path, path))) {
		link->path.local = path->local;
		return;
	}
	vs_link_set_path(link, path, now);
	link->events |= VS_LINK_MOVED;
}

static bool asks_for_report(uint8_t kind)
{
	return kind != VS_KIND_REPORT && kind != VS_KIND_PROBE && kind != VS_KIND_PROBE_ACK;
}

static void input_sealed(struct vs_link *link, struct vs_session *session, uint8_t *datagram, size_t len,
			 const struct vs_path *path, uint64_t now, struct vs_deframed *arrived)
{
	uint64_t counter;
	int text_len = vs_session_open(session, datagram, len, now, &counter);
	if (text_len < 0) {
		vs_drop(&link->drops, (enum vs_drop)(-1 - text_len));
		return;
	}
	if (session == &link->sessions[LINK_NEXT]) {
		vs_link_promote(link, session, now);
		session = vs_link_current(link);
	}
	link->stats.rx_datagrams++;
	link->stats.rx_bytes += len;
	vs_link_heard(link, now);
	follow(link, session, counter, path, now);

	const uint8_t *text = datagram + VS_SEAL_HEADER;
	struct origin origin = { .session = session, .datagram = len, .sealed = true };
	vs_report_rx_datagram(&session->report_rx, counter, now, asks_for_report(text[0]) ? len : 0);
	if (vs_unlikely(text[0] == VS_KIND_FEC_DATA || text[0] == VS_KIND_FEC_PARITY))
		input_shard(link, &origin, text, (size_t)text_len, now, arrived);
	else
		input_whole(link, &origin, text, (size_t)text_len, now, arrived);
}

/* Why a clear datagram is not even looked at; VS_DROP_COUNT: it is. The responder's next session waits for something
 * sealed, and what comes from elsewhere would be the peer's only if it had moved, which it has to seal. */
static enum vs_drop refuse_clear(const struct vs_link *link, const struct vs_session *session,
				 const struct vs_path *path, uint64_t now)
{
	/* What was under way when a session that allows it ended. */
	bool late = session == &link->sessions[LINK_PREVIOUS] && session->clear &&
		    now + VS_PREVIOUS_KEYS_LIVE < session->expires_usec + LINK_CLEAR_GRACE;
	if ((!is_clear(link) && !late) || session == &link->sessions[LINK_NEXT])
		return VS_DROP_CLEAR_REFUSED;
	return vs_link_same_way(&link->path, path) ? VS_DROP_COUNT : VS_DROP_CLEAR_ADDRESS;
}

/* What lanes that started afresh have left behind. */
static void deliver_late(struct vs_link *link, struct vs_deframed *arrived)
{
	struct vs_frame *frame;
	while ((frame = vs_frame_list_pop(&link->late.frames))) {
		link->stats.rx_frames++;
		if (vs_frame_list_push(&arrived->frames, frame))
			continue;
		vs_drop(&link->drops, VS_DROP_NO_BUFFER);
		vs_frame_unref(frame);
	}
}

static void input_clear(struct vs_link *link, struct vs_session *session, const uint8_t *datagram, size_t len,
			const struct vs_path *path, uint64_t now, struct vs_deframed *arrived)
{
	enum vs_drop refused = refuse_clear(link, session, path, now);
	if (refused != VS_DROP_COUNT) {
		vs_drop(&link->drops, refused);
		return;
	}
	int text_len = vs_session_read_clear(session, datagram, len, now);
	if (text_len < 0) {
		vs_drop(&link->drops, (enum vs_drop)(-1 - text_len));
		return;
	}
	struct origin origin = { .session = session, .datagram = len };
	link->stats.rx_datagrams++;
	link->stats.rx_clear++;
	link->stats.rx_bytes += len;
	input_whole(link, &origin, datagram + VS_SEAL_HEADER, (size_t)text_len, now, arrived);
}

void vs_link_input(struct vs_link *link, uint8_t *datagram, size_t len, const struct vs_path *path, uint64_t now,
		   struct vs_deframed *arrived)
{
	if (len < VS_SEAL_HEADER) {
		vs_drop(&link->drops, VS_DROP_DATAGRAM_SHORT);
		return;
	}
	link->burst_usec = VS_NEVER;
	struct vs_session *session = session_of(link, vs_get_be24(datagram + 1));
	if (!session)
		vs_drop(&link->drops, VS_DROP_NO_SESSION);
	else if (datagram[0] == VS_TYPE_CLEAR)
		input_clear(link, session, datagram, len, path, now, arrived);
	else
		input_sealed(link, session, datagram, len, path, now, arrived);
	if (vs_unlikely(link->late.frames.count > 0))
		deliver_late(link, arrived);
}
