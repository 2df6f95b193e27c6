#include "link/session.h"

#include <errno.h>

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
	};
	s->sealer = crypto->aead_new(keys->cipher, keys->send);
	s->opener = crypto->aead_new(keys->cipher, keys->recv);
	if (!s->sealer || !s->opener) {
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
	}
	vs_wipe(s, sizeof(*s));
}

size_t vs_session_seal(struct vs_session *s, const struct vs_parts *parts, uint64_t now, uint8_t *out,
		       uint64_t *counter)
{
	*counter = s->counter++;
	out[0] = VS_TYPE_DATA;
	vs_put_be24(out + 1, s->remote_index);
	vs_put_be64(out + 4, *counter);
	/* A counter is spent whether or not sealing works: no nonce is ever used twice. */
	if (s->crypto->aead_seal(s->sealer, *counter, out, VS_SEAL_HEADER, parts->iov, parts->n,
				 out + VS_SEAL_HEADER) < 0)
		return 0;
	vs_report_tx_sent(&s->report_tx, *counter, now);
	return VS_SEAL_OVERHEAD + parts->len;
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
	uint8_t *text = datagram + VS_SEAL_HEADER;
	size_t sealed = len - VS_SEAL_HEADER;
	if (s->crypto->aead_open(s->opener, *counter, datagram, VS_SEAL_HEADER, text, sealed, text) < 0)
		return -1 - VS_DROP_BAD_SEAL;
	vs_replay_commit(&s->replay, *counter);
	return (int)(sealed - VS_SEAL_TAG);
}
