/* The clients that a server knows: static keys, and for each the timestamps of its latest initiations.
 *
 * A recorded initiation must not pass as a new one, so for each link of a key the newest timestamp is kept. A key has a
 * share of its own of that memory, so no client can push out another's. Where a key has more links than its share, the
 * one unused longest is forgotten, and its timestamp becomes a floor for links that are not remembered: what is
 * forgotten is refused, not let in. The refused can still prove their address (link/responder.h). */
#ifndef VS_LINK_PEERTABLE_H
#define VS_LINK_PEERTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "link/wire.h"

/* Links that a key's timestamps are kept for: twice what it may have at a time, within these. */
#define VS_PEER_STAMPS_MIN 4
#define VS_PEER_STAMPS_MAX 512

struct vs_peer_stamp {
	uint8_t link_id[VS_LINK_ID_SIZE];
	uint64_t timestamp_usec;
	uint64_t used; /* order of use */
};

struct vs_peer {
	uint8_t public_key[VS_KEY_SIZE];
	uint8_t psk[VS_KEY_SIZE]; /* zeros: none */
	uintptr_t user;           /* the caller's: which port */
	struct vs_peer_stamp *stamps;
	uint32_t stamps_len, stamps_max;
	uint64_t uses;
	uint64_t floor_usec; /* newest timestamp that was forgotten */
};

/* Sorted by key, so that nobody's choice of keys can make lookups slow. */
struct vs_peertable {
	struct vs_peer **peers;
	size_t len, max;
	/* For peers yet to be added: what they sent before this is not new. The caller's to set, to the time from which
	 * timestamps are known; removing a peer raises it. */
	uint64_t floor_usec;
};

/* At most `max` peers. 0 or -ENOMEM. */
int vs_peertable_init(struct vs_peertable *table, size_t max) VS_MUST_CHECK;
void vs_peertable_fini(struct vs_peertable *table);

/* Adds a peer, or updates the one with this key, whose timestamps stay. 0, -ENOSPC or -ENOMEM. */
int vs_peertable_set(struct vs_peertable *table, const uint8_t public_key[VS_KEY_SIZE],
		     const uint8_t psk[VS_KEY_SIZE], uintptr_t user, unsigned links_max) VS_MUST_CHECK;

/* Whether there was such a peer. */
bool vs_peertable_remove(struct vs_peertable *table, const uint8_t public_key[VS_KEY_SIZE]);

/* NULL: none. Valid until the table is next changed. */
struct vs_peer *vs_peertable_lookup(const struct vs_peertable *table, const uint8_t public_key[VS_KEY_SIZE]);

/* Whether the timestamp is newer than all that are known of this link. */
bool vs_peer_stamp_is_new(const struct vs_peer *peer, const uint8_t link_id[VS_LINK_ID_SIZE], uint64_t timestamp_usec);

/* Remembers it. An older one than is known does not take its place. */
void vs_peer_stamp_record(struct vs_peer *peer, const uint8_t link_id[VS_LINK_ID_SIZE], uint64_t timestamp_usec);

#endif
