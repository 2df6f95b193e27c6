/* A session: one set of keys of a link, with all that is counted under them. Seals and opens datagrams (PROTOCOL.md,
 * "Sealed datagram"), and where its protection is NONE writes and reads those in the clear. A link holds up to three:
 * the previous one, the current one, and, at the responder, the next one until the initiator's first sealed datagram
 * confirms it.
 *
 * In the clear. Sealed and clear datagrams share the counters. A clear one proves nothing: it moves no replay window
 * and feeds no report before a sealed one has passed its counter. So a sender seals one in VS_CLEAR_RUN at least, and
 * where none goes by itself, one VS_CLEAR_ANCHOR after the first that went in the clear; and its first of all, before
 * which the peer takes nothing in the clear. */
#ifndef VS_LINK_SESSION_H
#define VS_LINK_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/drop.h"
#include "link/clearwindow.h"
#include "link/crypto.h"
#include "link/params.h"
#include "link/parts.h"
#include "link/replay.h"
#include "link/report.h"

/* Datagrams in the clear between two sealed ones. Few enough that reports, which wait for a sealed one, come in time at
 * any rate; so many that sealing them costs next to nothing. */
#define VS_CLEAR_RUN 256

/* The last clear datagrams before a pause are followed by a sealed one after this. */
#define VS_CLEAR_ANCHOR (100 * VS_MSEC)

struct vs_session {
	const struct vs_crypto *crypto;
	struct vs_aead *sealer, *opener; /* NULL: no session */
	enum vs_cipher cipher;
	uint32_t local_index, remote_index;
	bool initiator;
	uint64_t counter; /* of the next datagram */
	uint64_t born_usec, expires_usec;
	struct vs_params params;
	bool lanes_gone; /* the lanes of its segments have started afresh since */
	struct vs_replay replay; /* of sealed datagrams */
	struct vs_clearwindow *clear; /* of those in the clear; NULL: all are sealed */
	uint64_t clear_run;       /* sent in the clear since the last sealed one */
	uint64_t anchor_deadline; /* when a sealed one has to follow; VS_NEVER: all that went are sealed */
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

/* --- In the clear ------------------------------------------------------------------------------------------------- */

/* Whether the next datagram of frames or segments goes in the clear. Not before the peer has sealed something under
 * these keys: until then it may not have taken them up. */
static inline bool vs_session_sends_clear(const struct vs_session *s)
{
	return s->clear && s->replay.next > 0 && s->clear_run < VS_CLEAR_RUN;
}

/* As vs_session_seal(), for a datagram of VS_TYPE_CLEAR; the copy into `out` is the only one. */
size_t vs_session_write_clear(struct vs_session *s, const struct vs_parts *parts, uint64_t now, uint8_t *out,
			      uint64_t *counter);

/* As vs_session_open(), for a datagram of VS_TYPE_CLEAR, which is only looked at. Whoever has seen the session's
 * datagrams can have made it. */
int vs_session_read_clear(struct vs_session *s, const uint8_t *datagram, size_t len, uint64_t now);

#endif
