/* The MAC table: which port a station was last heard from (IEEE 802.1D-2004 7.8 and 7.9). One table serves all workers:
 * each looks up and learns for the frames of its own ports, in whatever thread; status commands walk it.
 *
 * How it works
 *
 * Key. Entries are keyed by (VLAN, MAC): one station may be behind different ports in different VLANs (independent
 * learning). The two make one 64-bit word, hashed with XXH3 under a random seed from the caller, because stations
 * choose their addresses and could otherwise pick colliding ones.
 *
 * Memory. The number of entries is fixed at creation and all memory is allocated then; nothing that a station sends
 * can make the table grow. An entry stays in its slot for life: one cache line, and all that a lookup touches of it.
 *
 * Age. Time is kept in whole seconds. A frame from a known station refreshes its entry at most once a second, so that
 * the common case writes nothing; ages are therefore exact to a second. Entries hang in a list by age, and nothing
 * runs on a timer: an entry past the aging time is treated as absent wherever it is met, and each learned entry
 * reclaims up to two that have aged, from the old end of that list.
 *
 * Fairness. When the table is full, the port that owns most entries loses the one heard least recently: its own
 * new entry replaces its own old one where the learning port is itself (among) the largest. So with P ports, a port
 * can be pushed below its share of entries / P by nobody, and a flood of invented addresses on one port evicts only
 * addresses of that port. A port with a limit of its own replaces its own oldest at that limit. To find the largest
 * owner in constant time, ports hang in one list for each number of entries owned: a number changes only by one, so
 * the top of these lists is always adjacent to where it was.
 *
 * Move. A station that is heard on another port has moved: the entry changes its port at once, and the move is
 * counted. (A steady stream of moves means a loop, or an address in use twice.)
 *
 * Cost. Learn, lookup, move, evict: constant. Flush of a port: its own entries.
 *
 * Threads. Any thread may call anything at any time, but for new and free. What nearly every frame does never locks and
 * never waits for whoever is changing the table: lookup, and learn where the station is known at this port and was
 * heard within this second. Neither does the walk lock. Everything else (a station that is new, has moved or is to be
 * refreshed; evict, flush, limits, aging, figures) happens under one mutex, held for a bounded number of entries at a
 * time: who removes many lets go of it after every few. In the steady state of n active stations that is n short holds
 * a second, for the refreshes, and no store that anyone else's frames would notice.
 *
 * Readers and slots. Of an entry, readers use its key, its place (port, generation and the second of the last refresh,
 * packed into one word, so that they change as one) and its link to the next in its chain, all atomics: stored with
 * release, loaded with acquire. switch/macslots.h explains how a reader holds its own against slots that go and are
 * used again meanwhile. What comes of it:
 *
 * - A place that a lookup returns was given to that very (VLAN, MAC), never to another one, and was so during the call.
 * - An entry that is there throughout a call is found. Only a reader that loses the processor in the middle of a chain,
 *   and does so again on each of its few further tries, while the table churns, may miss it: one frame is flooded.
 * - An entry that goes, moves or comes during the call is found as before or as after. So after a port's end, a lookup
 *   that was under way may still return its place, and a learn that was under way may still make an entry: hence the
 *   generation in the place, by which the caller tells that it is not today's port of that number.
 *
 * Callers' clocks may differ a little: ages, and the order by age, are then exact to that difference.
 *
 * Invariants, whenever the mutex is free: an entry in a chain is in exactly two lists, by age and by port; both are in
 * the order of the last refresh; the sum of the ports' counts is the number of entries; no port owns more than its
 * limit (but while that is being lowered). */
#ifndef VS_SWITCH_MACTABLE_H
#define VS_SWITCH_MACTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/time.h"
#include "switch/eth.h"

#define VS_MAC_ENTRIES_DEFAULT 8192
#define VS_MAC_ENTRIES_MIN 16
#define VS_MAC_ENTRIES_MAX (1 << 20)

#define VS_MAC_AGING_DEFAULT (300 * VS_SEC) /* 802.1D-2004 table 7-5, like the maximum */
#define VS_MAC_AGING_MIN (1 * VS_SEC)
#define VS_MAC_AGING_MAX (1000000 * VS_SEC)

struct vs_mactable_config {
	uint32_t entries;    /* VS_MAC_ENTRIES_MIN to VS_MAC_ENTRIES_MAX */
	uint64_t aging_usec; /* VS_MAC_AGING_MIN to VS_MAC_AGING_MAX; fractions of a second are dropped */
	uint16_t ports;      /* ports are numbered from 0 to ports - 1 */
	uint64_t hash_seed;  /* random, secret */
};

/* Where a station is. */
struct vs_mac_place {
	uint16_t port;
	uint16_t generation;
};

struct vs_mac_entry {
	struct vs_mac mac;
	uint16_t vlan;
	struct vs_mac_place place;
	uint64_t age_usec; /* since it was last heard, in steps of a second */
};

struct vs_mactable_stats {
	uint32_t entries;
	uint64_t learned; /* new entries */
	uint64_t moved;   /* entries that changed port; of a port: to it */
	uint64_t aged;    /* entries not heard for the aging time */
	uint64_t evicted; /* entries that gave way to newer ones */
	uint64_t flushed; /* entries removed with their port */
};

enum vs_mac_learned {
	VS_MAC_KNOWN,
	VS_MAC_NEW,
	VS_MAC_MOVED,
};

struct vs_mactable;

/* NULL: out of memory. The values must be in range (asserted). */
struct vs_mactable *vs_mactable_new(const struct vs_mactable_config *config);
void vs_mactable_free(struct vs_mactable *table);

/* A frame from `mac` arrived in `vlan` at `place`. Group addresses and the zero address must not come here
 * (asserted). Where `now` is behind that of an earlier call, entries refreshed since count as just heard. */
enum vs_mac_learned vs_mactable_learn(struct vs_mactable *table, uint16_t vlan, const struct vs_mac *mac,
				      struct vs_mac_place place, uint64_t now);

/* False: not known, or not heard for the aging time. */
bool vs_mactable_lookup(const struct vs_mactable *table, uint16_t vlan, const struct vs_mac *mac, uint64_t now,
			struct vs_mac_place *out);

/* Removes every entry of a port; also what other threads learn for it meanwhile, so they should have stopped. */
void vs_mactable_flush_port(struct vs_mactable *table, uint16_t port);

/* The port's number now belongs to another port: clears its counters and sets its limit (0: none). It should have been
 * flushed; what frames under way have left since goes now. */
void vs_mactable_reset_port(struct vs_mactable *table, uint16_t port, uint32_t limit);

/* The port may own `limit` entries; 0: as many as there are. Those above it go at once, the oldest first. */
void vs_mactable_set_limit(struct vs_mactable *table, uint16_t port, uint32_t limit, uint64_t now);

/* What has aged by the old time does not come back by a longer one. */
void vs_mactable_set_aging(struct vs_mactable *table, uint64_t aging_usec, uint64_t now);

/* Removes all entries that have aged. Only needed for exact figures in the stats. */
void vs_mactable_age(struct vs_mactable *table, uint64_t now);

/* Walks the table: start with *cursor = 0 and call until it returns false. Entries may be learned and removed
 * meanwhile; those that are there throughout are shown exactly once. */
bool vs_mactable_next(const struct vs_mactable *table, uint64_t now, uint32_t *cursor, struct vs_mac_entry *out);

/* All figures of one moment. */
void vs_mactable_stats(const struct vs_mactable *table, struct vs_mactable_stats *out);
void vs_mactable_port_stats(const struct vs_mactable *table, uint16_t port, struct vs_mactable_stats *out);

#endif
