/* The slots of the MAC table: a chained hash table that any number of threads read while one of them changes it. Part
 * of switch/mactable.h, which decides what is in it and holds its mutex around every change.
 *
 * How it works
 *
 * A slot is one cache line and stays where it is for life. Its key, place and link, and the heads of the chains, are
 * atomics. Readers write nothing, so that a line which nobody changes stays in every core's cache. Memory order, the
 * same everywhere: what readers look at is stored with release and loaded with acquire (on x86 plain moves). Whoever
 * has seen one store of a writer thus sees all that writers stored before it.
 *
 * A slot is used again. A reader may stand on a slot while its entry goes and the slot becomes another station's: the
 * key that it compared and the place that it loads next may then be of two entries. Comparing the key once more is not
 * enough, as it may have come back to the slot meanwhile; so each slot counts how often it was put to use, and writers
 * store in this order:
 *
 *     insert: uses + 1, place, key     move, refresh: place     remove: key = 0
 *
 * A reader loads uses (u), key, place, and uses again. Where the key is right and u has not changed, the place was
 * given to this key: a place or a key of a later use would show a later count in the last load; an earlier use's key
 * cannot follow u, since that use's key = 0 was stored before u; and an earlier use's place cannot follow this use's
 * key. (2^32 uses of one slot between two loads of one reader would be needed to deceive it.)
 *
 * A reader may be led astray. A slot that is removed keeps its link, so that who stands on it comes back to the chain;
 * but once it is used again, the link leads through another chain. So a chain does not end in a null but in its own
 * number, and a miss only counts at the end of the chain that was asked for, else the reader starts again. Why that is
 * enough: take an entry that is there throughout. New slots come in at a chain's head, so a reader that enters the
 * chain (at its head, through a slot that was put there meanwhile, or along the link of one that was taken out
 * meanwhile) is always ahead of that entry, and meets it before the end. No count of changes is needed: it would be a
 * line that every change takes from every reader.
 *
 * Bounds. A reader takes at most VS_MACSLOTS_STEPS, fresh starts included; after that it says that the key is not
 * there, and the frame is flooded, which is always correct. There are no more entries than chains, and the hash is
 * keyed: no chain ever is that long. To be led astray, a reader must stand on one slot until it is used again; as free
 * slots rest, that takes VS_MACSLOTS_RESTING new entries within one step of the reader: it must have lost its processor
 * just there, and on each fresh start anew, until the steps are used up.
 *
 * Invariants: a key is in one slot at most, in the chain of its hash; a slot is in one chain at most, once. */
#ifndef VS_SWITCH_MACSLOTS_H
#define VS_SWITCH_MACSLOTS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/list.h"

/* Slots that one lookup looks at. */
#define VS_MACSLOTS_STEPS 256

/* Slots beyond the number of entries. The table takes the one that has been free longest: each rests, from when it
 * becomes free, until this many others have been put to use. */
#define VS_MACSLOTS_RESTING 64

/* No place. */
#define VS_MACSLOTS_NOWHERE UINT64_MAX

/* In a link: not a slot's number but, in the other bits, that of the chain which ends here. */
#define VS_MACSLOTS_END (UINT32_C(1) << 31)

struct vs_macslot {
	_Alignas(VS_CACHE_LINE) _Atomic uint64_t key; /* 0: free */
	_Atomic uint64_t place;                       /* as the table packs it; not VS_MACSLOTS_NOWHERE */
	_Atomic uint32_t next;                        /* the next slot of the chain, or its end */
	_Atomic uint32_t uses;
	/* Under the mutex, not touched here. */
	struct vs_list by_age;
	struct vs_list by_port;
};

_Static_assert(sizeof(struct vs_macslot) == VS_CACHE_LINE, "a lookup touches one cache line an entry");

struct vs_macslots {
	struct vs_macslot *slots;
	_Atomic uint32_t *heads; /* the chains' */
	uint64_t hash_seed;
	uint32_t count; /* of slots */
	uint32_t chain_mask;
};

/* For `entries` keys at most, with VS_MACSLOTS_RESTING more slots, all of them free. 0 or -ENOMEM. */
int vs_macslots_init(struct vs_macslots *slots, uint32_t entries, uint64_t hash_seed) VS_MUST_CHECK;
void vs_macslots_fini(struct vs_macslots *slots);

/* --- Any thread --------------------------------------------------------------------------------------------------- */

/* A slot's key, 0 where it is free. */
static inline uint64_t vs_macslot_key(const struct vs_macslot *slot)
{
	return atomic_load_explicit(&slot->key, memory_order_acquire);
}

/* The place of this key; VS_MACSLOTS_NOWHERE: the slot is not, or no longer, this key's. */
static inline uint64_t vs_macslot_place_of(const struct vs_macslot *slot, uint64_t key)
{
	uint32_t uses = atomic_load_explicit(&slot->uses, memory_order_acquire);

	if (vs_macslot_key(slot) != key)
		return VS_MACSLOTS_NOWHERE;
	uint64_t place = atomic_load_explicit(&slot->place, memory_order_acquire);
	if (vs_unlikely(atomic_load_explicit(&slot->uses, memory_order_relaxed) != uses))
		return VS_MACSLOTS_NOWHERE;
	return place;
}

/* The place of a key; VS_MACSLOTS_NOWHERE: it is not in the table, or was not at some moment during the call. */
uint64_t vs_macslots_lookup(const struct vs_macslots *slots, uint64_t key);

/* --- Under the table's mutex -------------------------------------------------------------------------------------- */

static inline uint64_t vs_macslot_place(const struct vs_macslot *slot)
{
	return atomic_load_explicit(&slot->place, memory_order_relaxed);
}

static inline void vs_macslot_set_place(struct vs_macslot *slot, uint64_t place)
{
	atomic_store_explicit(&slot->place, place, memory_order_release);
}

/* The slot of a key, or NULL. */
struct vs_macslot *vs_macslots_find(const struct vs_macslots *slots, uint64_t key);

/* Puts a free slot to use for a key that is in none. */
void vs_macslots_insert(struct vs_macslots *slots, struct vs_macslot *slot, uint64_t key, uint64_t place);

/* Takes a slot out of its chain. */
void vs_macslots_remove(struct vs_macslots *slots, struct vs_macslot *slot);

#endif
