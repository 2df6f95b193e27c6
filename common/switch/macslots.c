#include "switch/macslots.h"

#include <errno.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* --- Any thread --------------------------------------------------------------------------------------------------- */

static uint32_t chain_of(const struct vs_macslots *slots, uint64_t key)
{
	return (uint32_t)XXH3_64bits_withSeed(&key, sizeof(key), slots->hash_seed) & slots->chain_mask;
}

uint64_t vs_macslots_lookup(const struct vs_macslots *slots, uint64_t key)
{
	uint32_t chain = chain_of(slots, key);
	uint32_t at = atomic_load_explicit(&slots->heads[chain], memory_order_acquire);

	for (unsigned steps = 0; steps < VS_MACSLOTS_STEPS; steps++) {
		if (at == (VS_MACSLOTS_END | chain))
			break;
		if (vs_unlikely(at & VS_MACSLOTS_END)) { /* led astray */
			at = atomic_load_explicit(&slots->heads[chain], memory_order_acquire);
			continue;
		}
		uint64_t place = vs_macslot_place_of(&slots->slots[at], key);
		if (place != VS_MACSLOTS_NOWHERE)
			return place;
		at = atomic_load_explicit(&slots->slots[at].next, memory_order_acquire);
	}
	return VS_MACSLOTS_NOWHERE;
}

/* --- Under the table's mutex -------------------------------------------------------------------------------------- */

static uint32_t load(const _Atomic uint32_t *link)
{
	return atomic_load_explicit(link, memory_order_relaxed);
}

static void store(_Atomic uint32_t *link, uint32_t value)
{
	atomic_store_explicit(link, value, memory_order_release);
}

static uint32_t chain_count(uint32_t entries)
{
	uint32_t n = 1;

	while (n < entries)
		n *= 2;
	return n;
}

int vs_macslots_init(struct vs_macslots *slots, uint32_t entries, uint64_t hash_seed)
{
	uint32_t count = entries + VS_MACSLOTS_RESTING, chains = chain_count(entries);

	*slots = (struct vs_macslots){ .hash_seed = hash_seed, .count = count, .chain_mask = chains - 1 };
	slots->slots = aligned_alloc(VS_CACHE_LINE, count * sizeof(*slots->slots));
	slots->heads = calloc(chains, sizeof(*slots->heads));
	if (!slots->slots || !slots->heads) {
		vs_macslots_fini(slots);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < chains; i++)
		atomic_init(&slots->heads[i], VS_MACSLOTS_END | i);
	for (uint32_t i = 0; i < count; i++) {
		struct vs_macslot *slot = &slots->slots[i];
		atomic_init(&slot->key, 0);
		atomic_init(&slot->place, 0);
		atomic_init(&slot->next, VS_MACSLOTS_END);
		atomic_init(&slot->uses, 0);
		vs_list_init(&slot->by_age);
		vs_list_init(&slot->by_port);
	}
	return 0;
}

void vs_macslots_fini(struct vs_macslots *slots)
{
	free(slots->slots);
	free(slots->heads);
	slots->slots = NULL;
	slots->heads = NULL;
}

struct vs_macslot *vs_macslots_find(const struct vs_macslots *slots, uint64_t key)
{
	uint32_t at = load(&slots->heads[chain_of(slots, key)]);

	while (!(at & VS_MACSLOTS_END)) {
		struct vs_macslot *slot = &slots->slots[at];
		if (vs_macslot_key(slot) == key)
			return slot;
		at = load(&slot->next);
	}
	return NULL;
}

void vs_macslots_insert(struct vs_macslots *slots, struct vs_macslot *slot, uint64_t key, uint64_t place)
{
	_Atomic uint32_t *head = &slots->heads[chain_of(slots, key)];

	store(&slot->uses, load(&slot->uses) + 1);
	vs_macslot_set_place(slot, place);
	atomic_store_explicit(&slot->key, key, memory_order_release);
	store(&slot->next, load(head));
	store(head, (uint32_t)(slot - slots->slots));
}

void vs_macslots_remove(struct vs_macslots *slots, struct vs_macslot *slot)
{
	uint32_t index = (uint32_t)(slot - slots->slots);
	_Atomic uint32_t *link = &slots->heads[chain_of(slots, vs_macslot_key(slot))];

	while (load(link) != index)
		link = &slots->slots[load(link)].next;
	store(link, load(&slot->next));
	atomic_store_explicit(&slot->key, 0, memory_order_release);
}
