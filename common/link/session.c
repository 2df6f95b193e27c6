#include "link/session.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"

int vs_session_init(struct vs_session *s, const struct vs_crypto *crypto, const struct vs_session_keys *keys,
		    const struct vs_params *params, uint64_t now)
{
	*s = (struct vs_session){
		.crypto = crypto,
		.cipher = keys->cipher,
		.local_index = keys->local_index,
		.remote_index = keys->remote_index,
		.initiator = keys->initiator,
		.born_usec = now,
		.expires_usec = now + VS_REJECT_AFTER,
		.params = *params,
		.clear_run = VS_CLEAR_RUN, /* the first is sealed: the peer takes nothing in the clear before */
		.anchor_deadline = VS_NEVER,
	};
	s->sealer = crypto->aead_new(keys->cipher, keys->send);
	s->opener = crypto->aead_new(keys->cipher, keys->recv);
	bool clear = params->protection == VS_PROTECTION_NONE;
	if (clear && (s->clear = malloc(sizeof(*s->clear))))
		vs_clearwindow_init(s->clear);
	if (!s->sealer || !s->opener || (clear && !s->clear)) {
		vs_session_fini(s);
		return -ENOMEM;
	}
	vs_replay_init(&s->replay);
	vs_report_rx_init(&s->report_rx);
	vs_report_tx_init(&s->report_tx);
	return 0;
}

void vs_session_fini(struct vs_session *s)
{
	if (s->crypto) {
		s->crypto->aead_free(s->sealer);
		s->crypto->aead_free(s->opener);
		free(s->clear);
	}
	vs_wipe(s, sizeof(*s));
}

/* A counter is spent whether or not sealing works: no nonce is ever used twice. */
static void put_header(struct vs_session *s, enum vs_type type, uint8_t *out, uint64_t *counter)
{
	*counter = s->counter++;
	out[0] = (uint8_t)type;
	vs_put_be24(out + 1, s->remote_index);
	vs_put_be64(out + 4, *counter);
}

/* Authenticated and not encrypted: the plaintext is associated data as well. */
static int seal_auth(struct vs_session *s, const struct vs_parts *parts, uint64_t counter, uint8_t *out)
{
	size_t len = VS_SEAL_HEADER + vs_parts_gather(out + VS_SEAL_HEADER, parts->iov, parts->n);
	return s->crypto->aead_seal(s->sealer, counter, out, len, NULL, 0, out + len);
}

static int seal_encrypted(struct vs_session *s, const struct vs_parts *parts, uint64_t counter, uint8_t *out)
{
	return s->crypto->aead_seal(s->sealer, counter, out, VS_SEAL_HEADER, parts->iov, parts->n,
				    out + VS_SEAL_HEADER);
}

size_t vs_session_seal(struct vs_session *s, const struct vs_parts *parts, uint64_t now, uint8_t *out,
		       uint64_t *counter)
{
	put_header(s, VS_TYPE_DATA, out, counter);
	bool auth = s->params.protection == VS_PROTECTION_AUTH;
	if ((auth ? seal_auth(s, parts, *counter, out) : seal_encrypted(s, parts, *counter, out)) < 0)
		return 0;
	vs_report_tx_sent(&s->report_tx, *counter, now);
	s->clear_run = 0;
	s->anchor_deadline = VS_NEVER;
	return VS_SEAL_OVERHEAD + parts->len;
}

static int open_seal(struct vs_session *s, uint8_t *datagram, size_t len, uint64_t counter)
{
	size_t ad = s->params.protection == VS_PROTECTION_AUTH ? len - VS_SEAL_TAG : VS_SEAL_HEADER;
	uint8_t *text = datagram + ad;
	return s->crypto->aead_open(s->opener, counter, datagram, ad, text, len - ad, text);
}

/* Tells the report of the clear datagrams that the sealed one with this counter has passed: only now are their counters
 * known to be ones that the peer has used. */
static void confirm_clear(struct vs_session *s, uint64_t counter, uint64_t now)
{
	uint64_t from = s->clear->next, end = VS_MIN(counter, from + VS_CLEAR_AHEAD);

	while ((from = vs_clearwindow_next(s->clear, from, end)) < end)
		vs_report_rx_datagram(&s->report_rx, from++, now, VS_DATAGRAM_BASE);
	vs_clearwindow_sealed(s->clear, counter);
}

int vs_session_open(struct vs_session *s, uint8_t *datagram, size_t len, uint64_t now, uint64_t *counter)
{
	if (len < VS_SEAL_OVERHEAD + VS_KIND_SIZE)
		return -1 - VS_DROP_DATAGRAM_SHORT;
	if (now >= s->expires_usec)
		return -1 - VS_DROP_SESSION_EXPIRED;
	*counter = vs_get_be64(datagram + 4);
	if (!vs_replay_check(&s->replay, *counter))
		return -1 - VS_DROP_REPLAY;
	if (open_seal(s, datagram, len, *counter) < 0)
		return -1 - VS_DROP_BAD_SEAL;
	if (s->clear)
		confirm_clear(s, *counter, now);
	vs_replay_commit(&s->replay, *counter);
	return (int)(len - VS_SEAL_OVERHEAD);
}

/* --- In the clear --- */

size_t vs_session_write_clear(struct vs_session *s, const struct vs_parts *parts, uint64_t now, uint8_t *out,
			      uint64_t *counter)
{
	put_header(s, VS_TYPE_CLEAR, out, counter);
	size_t len = vs_parts_gather(out + VS_SEAL_HEADER, parts->iov, parts->n);
	vs_report_tx_sent(&s->report_tx, *counter, now);
	s->clear_run++;
	s->anchor_deadline = vs_time_min(s->anchor_deadline, now + VS_CLEAR_ANCHOR);
	return VS_SEAL_HEADER + len;
}

int vs_session_read_clear(struct vs_session *s, const uint8_t *datagram, size_t len, uint64_t now)
{
	if (len < VS_SEAL_HEADER + VS_KIND_SIZE)
		return -1 - VS_DROP_DATAGRAM_SHORT;
	if (!s->clear)
		return -1 - VS_DROP_CLEAR_REFUSED;
	if (now >= s->expires_usec)
		return -1 - VS_DROP_SESSION_EXPIRED;
	uint64_t counter = vs_get_be64(datagram + 4);
	/* A sealed one has come with it, or it is too old to tell. */
	if (counter < s->replay.next && !vs_replay_check(&s->replay, counter))
		return -1 - VS_DROP_REPLAY;
	switch (vs_clearwindow_note(s->clear, counter)) {
	case VS_CLEAR_TOO_FAR:
		return -1 - VS_DROP_CLEAR_COUNTER;
	case VS_CLEAR_SEEN:
		/* Whoever claims counters that are to come must not shut the peer out: lanes know their segments,
		 * whatever counter brings them. */
		if (counter >= s->replay.next && s->params.mode == VS_MODE_RELIABLE)
			return (int)(len - VS_SEAL_HEADER);
		return -1 - VS_DROP_REPLAY;
	case VS_CLEAR_NEW:
		break;
	}
	/* Overtaken by a sealed one: what is ahead of those waits for one. */
	if (counter < s->replay.next)
		vs_report_rx_datagram(&s->report_rx, counter, now, len);
	return (int)(len - VS_SEAL_HEADER);
}
