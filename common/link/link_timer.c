/* Time: liveness, probes, the end of sessions and of idle memory, and the link's one deadline. */
#include "link/link.h"

#include "link/link_state.h"

/* Once the peer has missed a keepalive probe, the next ones follow in this range, by the round-trip time. */
#define RETRY_MIN (200 * VS_MSEC)
#define RETRY_MAX (500 * VS_MSEC)
/* Probes without an answer after which the peer counts as gone and a new handshake is asked for. */
#define TRIES_MAX 2
/* The same where something still comes from it, though no answer: the way there may have ended alone, but probes and
 * answers may also just have been lost. */
#define TRIES_HEARD_MAX 5

#define ACK_DELAY_MIN UINT64_C(250)

/* Memory of an idle link is given back after this time. */
#define RELEASE_AFTER (10 * VS_SEC)

/* A handshake that was asked for and has not come is asked for again. */
#define ASK_AGAIN (5 * VS_SEC)

/* A RENEW that has brought no session is said again; after the last, the peer has as long once more. */
#define RENEW_AGAIN VS_SEC
#define RENEWS_MAX 10

/* --- Liveness (initiator) --- */

/* A link of which less is heard than this has lost more than a keepalive or its answer. */
static uint64_t silence(const struct vs_link *link)
{
	return 2 * link->params.keepalive_usec + VS_SEC;
}

void vs_link_heard(struct vs_link *link, uint64_t now)
{
	if (vs_time_since(now, link->heard_usec) > silence(link))
		link->heard_since_usec = now;
	link->heard_usec = now;
	link->timed_out = false;
}

void vs_link_answered(struct vs_link *link, uint64_t now)
{
	link->keepalive.answered_usec = now;
	link->keepalive.tries = 0;
}

static uint64_t keepalive_deadline(const struct vs_link *link)
{
	const struct link_keepalive *k = &link->keepalive;
	if (!link->config.initiator || !link->params.keepalive_usec)
		return VS_NEVER;
	if (k->now)
		return 0;
	if (!k->tries)
		return k->answered_usec + link->params.keepalive_usec;
	uint64_t retry = 3 * link->rtt.srtt_usec;
	return k->sent_usec + VS_MIN(VS_MAX(retry, (uint64_t)RETRY_MIN), (uint64_t)RETRY_MAX);
}

bool vs_link_keepalive_due(struct vs_link *link, uint64_t now, uint32_t *id)
{
	struct link_keepalive *k = &link->keepalive;
	if (now < keepalive_deadline(link))
		return false;
	bool heard = vs_time_since(now, link->heard_usec) < link->params.keepalive_usec;
	if (!k->now && k->tries >= (heard ? TRIES_HEARD_MAX : TRIES_MAX))
		link->events |= VS_LINK_WANT_HANDSHAKE | VS_LINK_SILENT;
	k->now = false;
	k->tries++;
	k->sent_usec = now;
	k->id++;
	*id = LINK_KEEPALIVE_ID | k->id;
	return true;
}

void vs_link_keepalive_ack(struct vs_link *link, uint32_t id, uint64_t now)
{
	const struct link_keepalive *k = &link->keepalive;
	vs_link_answered(link, now);
	if (id != (LINK_KEEPALIVE_ID | k->id))
		return;
	vs_rtt_sample(&link->rtt, now, vs_time_since(now, k->sent_usec));
	vs_link_path_measured(link);
}

/* --- What follows from the path --- */

void vs_link_path_measured(struct vs_link *link)
{
	struct vs_session *session = vs_link_current(link);
	uint64_t srtt = link->measured_srtt_usec = link->rtt.srtt_usec;
	uint32_t datagram = vs_pmtud_size(&link->pmtud);
	vs_pmtud_set_rtt(&link->pmtud, srtt);
	vs_report_rx_set_rtt(&session->report_rx, srtt);
	vs_report_tx_set_rtt(&session->report_tx, srtt);
	uint64_t most = link->params.kcp.interval_msec * VS_MSEC;
	uint64_t delay = VS_MIN(VS_MAX(srtt / 8, (uint64_t)ACK_DELAY_MIN), most);
	vs_arq_rx_set_ack_delay(link->arq_rx, delay);
	vs_congestion_set_datagram(link->congestion, datagram);
	vs_pacer_set_datagram(&link->pacer, datagram);
	vs_queue_set_rtt(link->queue, vs_rtt_min(&link->rtt));
	vs_fec_tx_set_rtt(&link->fec.tx, srtt);
}

/* Datagrams that were acknowledged are evidence for a size that is doubted. */
static void weigh_evidence(struct vs_link *link, uint64_t now)
{
	uint64_t sent_usec;
	uint32_t bytes = vs_arq_tx_take_largest_delivered(link->arq_tx, &sent_usec);
	if (!bytes || !vs_pmtud_wants_evidence(&link->pmtud))
		return;
	/* It has gone with a tag, whatever the protection: the size was in doubt. Under FEC the parity of it would be of
	 * that size; it is a few bytes less, which is near enough. */
	size_t size = bytes + VS_SEAL_OVERHEAD + VS_KIND_SIZE + link->fec.reserve;
	vs_pmtud_delivered(&link->pmtud, (uint16_t)size, sent_usec, now);
}

/* Acknowledgements bring samples all the time: what depends on them follows when they have moved by an eighth. */
static bool rtt_has_moved(const struct vs_link *link)
{
	uint64_t was = link->measured_srtt_usec, is = link->rtt.srtt_usec;
	return is > was + was / 8 || is + was / 8 < was;
}

static void run_arq(struct vs_link *link, uint64_t now)
{
	bool probed = vs_arq_tx_timeout(link->arq_tx, now) == VS_ARQ_PROBE;
	weigh_evidence(link, now);
	if (vs_arq_tx_take_suspicion(link->arq_tx) || probed)
		vs_pmtud_suspect(&link->pmtud, now);
	if (rtt_has_moved(link))
		vs_link_path_measured(link);
}

/* --- Ends --- */

static void expire_sessions(struct vs_link *link, uint64_t now)
{
	for (unsigned i = 0; i < LINK_SESSIONS; i++)
		if (vs_session_exists(&link->sessions[i]) && now >= link->sessions[i].expires_usec)
			vs_link_retire(link, &link->sessions[i]);
}

static uint64_t expiry_deadline(const struct vs_link *link)
{
	uint64_t deadline = VS_NEVER;
	for (unsigned i = 0; i < LINK_SESSIONS; i++)
		if (vs_session_exists(&link->sessions[i]))
			deadline = vs_time_min(deadline, link->sessions[i].expires_usec);
	return deadline;
}

static bool is_idle(const struct vs_link *link)
{
	struct vs_queue_stats queue;
	vs_queue_stats(link->queue, &queue);
	return vs_arq_tx_idle(link->arq_tx) && queue.frames == 0;
}

void vs_link_uses_memory(struct vs_link *link, uint64_t now)
{
	if (link->release_deadline == VS_NEVER)
		link->release_deadline = now + RELEASE_AFTER;
}

/* Gaps in lanes that stand although the peer has been there all the time are not of its making. Returns whether others
 * may become such. */
static bool forget_gaps(struct vs_link *link, uint64_t now)
{
	uint64_t age = RELEASE_AFTER + silence(link), before = now > age ? now - age : 0;
	bool there = link->heard_since_usec <= before && vs_time_since(now, link->heard_usec) <= silence(link);
	return vs_arq_rx_forget(link->arq_rx, there ? before : 0);
}

static void release_memory(struct vs_link *link, uint64_t now)
{
	if (forget_gaps(link, now) || !is_idle(link)) {
		link->release_deadline = now + RELEASE_AFTER;
		return;
	}
	vs_queue_release(link->queue);
	vs_arq_tx_release(link->arq_tx);
	vs_arq_rx_release(link->arq_rx);
	vs_flight_release(&link->flight);
	/* What FEC keeps is of use while datagrams come and go at all, however sparsely. */
	bool released = vs_link_fec_release(link, now > RELEASE_AFTER ? now - RELEASE_AFTER : 0);
	link->release_deadline = released ? VS_NEVER : now + RELEASE_AFTER;
}

static void ask_for_rekey(struct vs_link *link, uint64_t now)
{
	bool worn = vs_link_current(link)->counter >= VS_REKEY_AFTER_DATAGRAMS;
	if (now < link->rekey_deadline && !(worn && link->rekey_deadline > now + ASK_AGAIN))
		return;
	link->events |= VS_LINK_WANT_HANDSHAKE;
	link->rekey_deadline = now + ASK_AGAIN;
}

bool vs_link_renew_due(struct vs_link *link, uint64_t now)
{
	struct link_renew *renew = &link->renew;
	if (now < renew->deadline)
		return false;
	if (renew->sent == RENEWS_MAX) {
		renew->deadline = VS_NEVER;
		link->events |= VS_LINK_UNRENEWED;
		return false;
	}
	renew->sent++;
	renew->deadline = now + RENEW_AGAIN;
	return true;
}

/* The attempts go on by themselves: what has been asked for a moment ago need not be asked for again. Nor may a peer that
 * asks all the time have us do nothing but handshakes. */
void vs_link_renew_asked(struct vs_link *link, uint64_t now)
{
	struct link_renew *renew = &link->renew;
	bool again = renew->asked_usec && vs_time_since(now, renew->asked_usec) < RENEW_AGAIN;
	if (!link->config.initiator || again || link->rekey_deadline <= now + ASK_AGAIN)
		return;
	renew->asked_usec = now;
	link->rekey_deadline = now;
}

static uint64_t timeout_deadline(const struct vs_link *link)
{
	return link->timed_out ? VS_NEVER : link->heard_usec + VS_LINK_TIMEOUT;
}

void vs_link_run_timers(struct vs_link *link, uint64_t now)
{
	/* Without a session nothing can be sent again, and nothing has been waited for in vain. */
	if (vs_link_is_up(link))
		run_arq(link, now);
	if (link->reassembly.slots && now >= vs_reassembly_deadline(&link->reassembly))
		vs_reassembly_expire(&link->reassembly, now);
	if (now >= expiry_deadline(link))
		expire_sessions(link, now);
	if (link->config.initiator)
		ask_for_rekey(link, now);
	if (now >= timeout_deadline(link)) {
		link->timed_out = true;
		link->events |= VS_LINK_TIMED_OUT;
	}
	if (now >= link->release_deadline)
		release_memory(link, now);
}

static uint64_t data_deadline(const struct vs_link *link)
{
	if (vs_arq_tx_urgent(link->arq_tx, 0))
		return 0;
	bool unreliable = vs_link_has_unreliable(link);
	if (vs_link_has_segments(link) || (unreliable && vs_link_flight_open(link)))
		return vs_pacer_deadline(&link->pacer);
	return unreliable ? vs_flight_deadline(&link->flight, &link->rtt) : VS_NEVER;
}

uint64_t vs_link_deadline(const struct vs_link *link)
{
	const struct vs_session *session = &link->sessions[LINK_CURRENT];
	uint64_t deadline = vs_time_min(timeout_deadline(link), expiry_deadline(link));
	deadline = vs_time_min(deadline, link->rekey_deadline);
	deadline = vs_time_min(deadline, link->release_deadline);
	deadline = vs_time_min(deadline, vs_reassembly_deadline(&link->reassembly));
	if (!vs_session_exists(session))
		return deadline;
	deadline = vs_time_min(deadline, vs_arq_tx_deadline(link->arq_tx));
	if (link->closing || link->fragmenting.text || link->probe_acks_n)
		return 0;
	deadline = vs_time_min(deadline, keepalive_deadline(link));
	deadline = vs_time_min(deadline, link->renew.deadline);
	deadline = vs_time_min(deadline, vs_arq_rx_deadline(link->arq_rx));
	deadline = vs_time_min(deadline, vs_report_rx_deadline(&session->report_rx));
	deadline = vs_time_min(deadline, session->anchor_deadline);
	deadline = vs_time_min(deadline, vs_pmtud_deadline(&link->pmtud));
	deadline = vs_time_min(deadline, vs_fec_tx_deadline(&link->fec.tx));
	return vs_time_min(deadline, data_deadline(link));
}
