/* A session: one set of keys of a link, with all that is counted under them. Seals and opens datagrams (PROTOCOL.md,
 * "Sealed datagram"). A link holds up to three: the previous one, the current one, and, at the responder, the next one
 * until the initiator's first datagram confirms it. */
#ifndef VS_LINK_SESSION_H
#define VS_LINK_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/drop.h"
#include "link/crypto.h"
#include "link/params.h"
#include "link/parts.h"
#include "link/replay.h"
#include "link/report.h"

struct vs_session {
	const struct vs_crypto *crypto;
	struct vs_aead *sealer, *opener; /* NULL: no session */
	enum vs_cipher cipher;
	uint32_t local_index, remote_index;
	bool initiator;
	uint64_t counter; /* of the next datagram */
	uint64_t born_usec, expires_usec;
	struct vs_params params;
	struct vs_replay replay;
	struct vs_report_rx report_rx;
	struct vs_report_tx report_tx;
};

static inline bool vs_session_exists(const struct vs_session *s)
{
	return s->sealer != NULL;
}

/* Copies what it needs of the keys; the caller wipes them. 0 or -ENOMEM. */
int vs_session_init(struct vs_session *s, const struct vs_crypto *crypto, const struct vs_session_keys *keys,
		    const struct vs_params *params, uint64_t now) VS_MUST_CHECK;

/* Wipes the keys; the struct then holds no session. Harmless where it holds none. */
void vs_session_fini(struct vs_session *s);

/* Whether it may still be used for sending, or receiving. */
static inline bool vs_session_alive(const struct vs_session *s, uint64_t now)
{
	return vs_session_exists(s) && now < s->expires_usec && s->counter < VS_REJECT_AFTER_DATAGRAMS;
}

/* Seals the plaintext into `out`, which has room for parts->len + VS_SEAL_OVERHEAD bytes. Returns the size of the
 * datagram, and its counter; 0 if the cryptographic library failed. */
size_t vs_session_seal(struct vs_session *s, const struct vs_parts *parts, uint64_t now, uint8_t *out,
		       uint64_t *counter);

/* Opens a datagram of VS_TYPE_DATA in place. Returns the length of the plaintext, which starts VS_SEAL_HEADER bytes
 * into the datagram; or, negative, -1 - the reason (enum vs_drop) for which it is to be dropped. */
int vs_session_open(struct vs_session *s, uint8_t *datagram, size_t len, uint64_t now, uint64_t *counter);

#endif
