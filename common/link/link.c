#include "link/link.h"

#include <errno.h>
#include <stdlib.h>

#include "link/flow.h"
#include "link/link_state.h"

#define RECEIVE_BUDGET (4u << 20)
#define SEND_WINDOW VS_WINDOW_MAX
#define NODELAY_RTO_MIN (10 * VS_MSEC)
/* Of segments that are cut anew: fits every path, whatever is around them. */
#define RESTART_MSS (VS_DATAGRAM_BASE - 100)

static void free_parts(struct vs_link *link)
{
	vs_queue_free(link->queue);
	vs_arq_tx_free(link->arq_tx);
	vs_arq_rx_free(link->arq_rx);
	vs_congestion_free(link->congestion);
	vs_reassembly_fini(&link->reassembly);
	vs_frame_list_fini(&link->late.frames);
	vs_frame_list_fini(&link->late.control);
	vs_link_fec_fini(link);
	vs_flight_release(&link->flight);
	free(link->fragmenting.text);
}

static bool make_parts(struct vs_link *link, uint64_t now)
{
	uint32_t datagram = vs_pmtud_size(&link->pmtud);
	link->queue = vs_queue_new(&link->config.queue, link->config.pool, &link->drops);
	link->congestion = vs_congestion_new(link->congestion_kind, datagram, now);
	struct vs_arq_tx_config tx = {
		.lanes = VS_LANES_MAX,
		.send_window = SEND_WINDOW,
		.rtt = &link->rtt,
		.congestion = link->congestion,
		.drops = &link->drops,
	};
	struct vs_arq_rx_config rx = {
		.lanes = VS_LANES_MAX,
		.budget = link->config.receive_budget,
		.pool = link->config.pool,
		.drops = &link->drops,
	};
	link->arq_tx = vs_arq_tx_new(&tx);
	link->arq_rx = vs_arq_rx_new(&rx);
	return link->queue && link->congestion && link->arq_tx && link->arq_rx;
}

struct vs_link *vs_link_new(const struct vs_link_config *config, uint64_t now)
{
	struct vs_link *link = calloc(1, sizeof(*link));
	if (!link)
		return NULL;
	link->config = *config;
	if (!link->config.receive_budget)
		link->config.receive_budget = RECEIVE_BUDGET;
	link->congestion_kind = VS_CONGESTION_BBR;
	vs_rtt_init(&link->rtt, 0, 0);
	vs_pmtud_init(&link->pmtud, config->datagram_max);
	vs_pacer_init(&link->pacer, vs_pmtud_size(&link->pmtud), now);
	vs_reassembly_init(&link->reassembly, &link->drops);
	vs_frame_list_init(&link->late.frames, LINK_LATE_MAX);
	vs_frame_list_init(&link->late.control, 1);
	vs_link_fec_init(link);
	link->heard_usec = link->heard_since_usec = now;
	link->burst_usec = VS_NEVER;
	link->keepalive.deadline = VS_NEVER;
	link->rekey_deadline = VS_NEVER;
	link->renew.deadline = VS_NEVER;
	link->release_deadline = VS_NEVER;
	if (!make_parts(link, now)) {
		free_parts(link);
		free(link);
		return NULL;
	}
	return link;
}

void vs_link_free(struct vs_link *link)
{
	if (!link)
		return;
	for (unsigned i = 0; i < LINK_SESSIONS; i++)
		vs_session_fini(&link->sessions[i]);
	free_parts(link);
	free(link);
}

/* --- Sessions --- */

void vs_link_retire(struct vs_link *link, struct vs_session *session)
{
	if (!vs_session_exists(session))
		return;
	if (link->retired_n < LINK_RETIRED_MAX)
		link->retired[link->retired_n++] = session->local_index;
	vs_session_fini(session);
}

void vs_link_end(struct vs_link *link)
{
	for (unsigned i = 0; i < LINK_SESSIONS; i++)
		vs_link_retire(link, &link->sessions[i]);
}

bool vs_link_take_retired(struct vs_link *link, uint32_t *index)
{
	if (!link->retired_n)
		return false;
	*index = link->retired[--link->retired_n];
	return true;
}

/* What belongs to the lanes that were, apart from the two halves of the ARQ. */
static void leave_lanes(struct vs_link *link)
{
	vs_queue_forget_lanes(link->queue);
	vs_link_fec_reset(link);
	vs_reassembly_fini(&link->reassembly);
	if (link->fragmenting.text && link->fragmenting.text[0] != VS_KIND_FRAMES) {
		free(link->fragmenting.text);
		link->fragmenting.text = NULL;
	}
	link->events |= VS_LINK_FRESH;
}

/* The peer has lost its state. */
static void reset_lanes(struct vs_link *link)
{
	vs_arq_tx_reset(link->arq_tx);
	vs_arq_rx_reset(link->arq_rx);
	leave_lanes(link);
}

/* The peer has its state, but others may have fed the lanes of both: they start afresh, and nothing is lost by it. What
 * the peer has not acknowledged is sent again, and whole messages that have come go up. */
static void restart_lanes(struct vs_link *link, unsigned lanes)
{
	vs_arq_tx_restart(link->arq_tx, lanes, RESTART_MSS);
	link->late.supers = link->params.features & VS_FEATURE_SUPER;
	vs_arq_rx_restart(link->arq_rx, &link->late);
	vs_frame_list_clear(&link->late.control);
	leave_lanes(link);
}

/* Frames that wait go the new way; what is in lanes drains there. */
static void apply_mode(struct vs_link *link)
{
	if (link->params.mode == VS_MODE_DATAGRAM)
		vs_queue_forget_lanes(link->queue);
}

/* KCP's nodelay allows a probe timeout less; but never less than the peer may hold an acknowledgement back. */
static void apply_knobs(struct vs_link *link)
{
	const struct vs_kcp_config *knobs = &link->params.kcp;
	uint64_t least = knobs->nodelay ? NODELAY_RTO_MIN : VS_RTO_MIN_DEFAULT;
	uint64_t held = 2 * VS_MSEC * knobs->interval_msec;
	vs_rtt_set_rto_min(&link->rtt, VS_MAX(least, held));
	vs_arq_tx_set_knobs(link->arq_tx, knobs);
	vs_arq_rx_set_window(link->arq_rx, knobs->rcvwnd);
}

static void apply_params(struct vs_link *link, const struct vs_params *params, uint64_t now)
{
	bool same_mode = link->params.mode == params->mode;
	link->params = *params;
	vs_arq_tx_set_policy(link->arq_tx, params->lanes, params->max_age_usec);
	vs_arq_tx_set_clear(link->arq_tx, params->protection == VS_PROTECTION_NONE);
	vs_arq_rx_set_clear(link->arq_rx, params->protection == VS_PROTECTION_NONE, params->lanes);
	if (params->congestion != link->congestion_kind) {
		struct vs_congestion *congestion =
			vs_congestion_new(params->congestion, vs_pmtud_size(&link->pmtud), now);
		if (congestion) {
			vs_congestion_free(link->congestion);
			link->congestion = congestion;
			link->congestion_kind = params->congestion;
			vs_arq_tx_set_congestion(link->arq_tx, congestion);
		}
	}
	apply_knobs(link);
	if (!same_mode)
		apply_mode(link);
	vs_queue_set_supers(link->queue, vs_link_takes_supers(link));
	uint16_t max = VS_MIN(link->config.datagram_max, params->datagram_max);
	if (max != link->pmtud.max)
		vs_pmtud_reset(&link->pmtud, max);
	vs_link_fec_apply(link, params, now);
}

/* Makes room for the session that is about to be the current one. */
static void succeed(struct vs_link *link, const struct vs_params *params, uint64_t now)
{
	struct vs_session *current = vs_link_current(link), *previous = &link->sessions[LINK_PREVIOUS];
	bool tainted = vs_session_exists(current) && vs_params_taint(&current->params, params->protection);
	vs_link_retire(link, previous);
	if (vs_session_exists(current) && (params->resumed || tainted)) {
		*previous = *current;
		memset(current, 0, sizeof(*current));
		previous->expires_usec = now + VS_PREVIOUS_KEYS_LIVE;
		previous->lanes_gone = !params->resumed;
	} else {
		vs_link_retire(link, current);
	}
	if (!params->resumed && tainted)
		restart_lanes(link, params->lanes);
	else if (!params->resumed)
		reset_lanes(link);
}

void vs_link_promote(struct vs_link *link, struct vs_session *session, uint64_t now)
{
	struct vs_session *current = vs_link_current(link);
	bool was_up = vs_link_is_up(link);
	link->burst_usec = VS_NEVER;
	struct vs_session promoted = *session;
	memset(session, 0, sizeof(*session));
	succeed(link, &promoted.params, now);
	*current = promoted;
	vs_wipe(&promoted, sizeof(promoted));
	apply_params(link, &current->params, now);
	/* The new session's reports know nothing of the path yet, and its counters nothing of old datagrams. */
	vs_link_path_measured(link);
	vs_flight_forget(&link->flight);
	link->probes_n = 0;
	link->stats.handshakes++;
	if (current->born_usec > link->renew.asked_usec)
		link->renew.deadline = VS_NEVER;
	if (!was_up)
		link->events |= VS_LINK_UP;
}

int vs_link_install(struct vs_link *link, const struct vs_session_keys *keys, const struct vs_params *params,
		    uint64_t now)
{
	struct vs_session *next = &link->sessions[LINK_NEXT];
	vs_link_retire(link, next);
	int err = vs_session_init(next, link->config.crypto, keys, params, now);
	if (err < 0)
		return err;
	if (!keys->initiator)
		return 0;
	vs_link_promote(link, next, now);
	vs_link_heard(link, now);
	vs_link_answered(link, now);
	link->rekey_deadline = now + VS_REKEY_AFTER;
	/* The responder may not send under these keys before it has seen a datagram under them. */
	link->keepalive.now = true;
	return 0;
}

void vs_link_renew(struct vs_link *link, uint64_t now)
{
	link->renew = (struct link_renew){ .deadline = now, .asked_usec = now };
}

bool vs_link_is_up(const struct vs_link *link)
{
	return vs_session_exists(&link->sessions[LINK_CURRENT]);
}

const struct vs_params *vs_link_params(const struct vs_link *link)
{
	return &link->params;
}

/* --- Path --- */

const struct vs_path *vs_link_path(const struct vs_link *link)
{
	return &link->path;
}

static bool same_host(const struct vs_addr *a, const struct vs_addr *b)
{
	uint8_t ka[VS_ADDR_KEY_SIZE], kb[VS_ADDR_KEY_SIZE];
	vs_addr_key(a, ka);
	vs_addr_key(b, kb);
	return memcmp(ka, kb, 16) == 0;
}

void vs_link_set_path(struct vs_link *link, const struct vs_path *path, uint64_t now)
{
	bool moved = vs_addr_is_set(&link->path.peer) && !vs_link_same_way(&link->path, path);
	bool elsewhere = moved && (!same_host(&link->path.peer, &path->peer) || link->path.carrier != path->carrier);
	link->path = *path;
	if (!moved)
		return;
	link->stats.moves++;
	/* A NAT that has only changed the port leaves the path as it was; another host, or another carrier, means another
	 * path. */
	if (elsewhere) {
		vs_rtt_reset(&link->rtt);
		vs_pmtud_reset(&link->pmtud, link->pmtud.max);
		vs_congestion_reset(link->congestion, vs_pmtud_size(&link->pmtud), now);
		/* What the old path has not answered says nothing about this one. */
		link->keepalive.tries = 0;
		link->keepalive.now = true;
		vs_flight_forget(&link->flight);
		vs_link_fec_new_path(link, now);
	}
}

/* --- Data, events, numbers --- */

bool vs_link_takes_supers(const struct vs_link *link)
{
	return link->params.features & VS_FEATURE_SUPER && link->params.mode == VS_MODE_RELIABLE;
}

void vs_link_send(struct vs_link *link, struct vs_frame *frame, uint64_t now)
{
	vs_flow_hash(frame, link->config.flow_key);
	vs_framing_prepend(frame);
	link->stats.tx_frames++;
	link->stats.tx_frame_bytes += frame->len;
	vs_queue_send(link->queue, frame, now);
	vs_link_uses_memory(link, now);
}

unsigned vs_link_take_events(struct vs_link *link)
{
	unsigned events = link->events;
	link->events = 0;
	return events;
}

void vs_link_close(struct vs_link *link, uint8_t reason)
{
	link->closing = true;
	link->closing_reason = reason;
}

uint8_t vs_link_close_reason(const struct vs_link *link)
{
	return link->close_reason;
}

const struct vs_drops *vs_link_drops(const struct vs_link *link)
{
	return &link->drops;
}

void vs_link_stats(const struct vs_link *link, uint64_t now, struct vs_link_stats *out)
{
	const struct vs_session *session = &link->sessions[LINK_CURRENT];
	*out = link->stats;
	out->srtt_usec = link->rtt.srtt_usec;
	out->min_rtt_usec = vs_rtt_min(&link->rtt);
	out->window_bytes = vs_congestion_window(link->congestion);
	out->rate_bps = vs_congestion_rate(link->congestion) * 8;
	out->bandwidth_bps = vs_congestion_bandwidth(link->congestion) * 8;
	out->congestion = vs_congestion_kind_name(link->congestion_kind);
	out->congestion_state = vs_congestion_state(link->congestion);
	out->cipher = NULL;
	if (vs_session_exists(session))
		out->cipher = vs_cipher_text(session->cipher, session->params.protection);
	out->session_age_usec = vs_session_exists(session) ? vs_time_since(now, session->born_usec) : 0;
	out->heard_usec_ago = vs_time_since(now, link->heard_usec);
	out->answered_usec_ago = vs_time_since(now, link->keepalive.answered_usec);
	out->mtu_state = vs_pmtud_state_name(&link->pmtud);
	out->datagram = vs_pmtud_size(&link->pmtud);
	vs_link_fec_stats(link, out);
	vs_arq_tx_stats(link->arq_tx, &out->arq_tx);
	vs_arq_rx_stats(link->arq_rx, &out->arq_rx);
	vs_queue_stats(link->queue, &out->queue);
}
