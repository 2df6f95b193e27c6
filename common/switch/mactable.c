#include "switch/mactable.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/list.h"
#include "switch/macslots.h"

/* Aged entries reclaimed for each new one: more than one, so that they run out; few, so that learning stays O(1). */
#define RECLAIM_BATCH 2

/* Entries removed in one hold of the mutex, by those who remove many: workers that learn wait for no more. */
#define REMOVE_BATCH 64

struct owner {
	struct vs_list slots; /* oldest first */
	struct vs_list rank;  /* in vs_mactable.ranks[stats.entries] */
	uint32_t limit;
	struct vs_mactable_stats stats;
};

struct vs_mactable {
	/* What every frame reads; it hardly ever changes. */
	struct vs_macslots slots;
	_Atomic uint32_t aging_sec;
	uint32_t capacity;
	uint16_t ports;
	struct owner *owners;
	struct vs_list *ranks; /* ranks[n]: the ports that own n entries, for n from 1 to capacity */

	/* What changes with the entries, on cache lines of its own. All of it, what hangs from it, and every change of
	 * the slots is under the mutex. */
	_Alignas(VS_CACHE_LINE) pthread_mutex_t mutex;
	struct vs_list by_age; /* all entries, oldest first */
	struct vs_list free;   /* free slots, by their by_age; that which has rested longest first */
	uint32_t most;         /* entries of the port that owns most */
	struct vs_mactable_stats stats;
};

/* Who only looks takes the mutex as well. */
static void lock(const struct vs_mactable *table)
{
	pthread_mutex_lock(&((struct vs_mactable *)table)->mutex);
}

static void unlock(const struct vs_mactable *table)
{
	pthread_mutex_unlock(&((struct vs_mactable *)table)->mutex);
}

/* Seconds wrap after 136 years; differences are taken modulo 2^32. */
static uint32_t second_of(uint64_t now)
{
	return (uint32_t)(now / VS_SEC);
}

/* vlan:16 | mac:48; never 0, as the zero address is never learned */
static uint64_t make_key(uint16_t vlan, const struct vs_mac *mac)
{
	return (uint64_t)vlan << 48 | (uint64_t)vs_get_be16(mac->octet) << 32 | vs_get_be32(mac->octet + 2);
}

/* port:16 | generation:16 | second of the last refresh:32; not VS_MACSLOTS_NOWHERE, as the last port is 65534 */
static uint64_t pack_place(struct vs_mac_place place, uint32_t second)
{
	return (uint64_t)place.port << 48 | (uint64_t)place.generation << 32 | second;
}

static struct vs_mac_place unpack_place(uint64_t packed)
{
	return (struct vs_mac_place){ .port = (uint16_t)(packed >> 48), .generation = (uint16_t)(packed >> 32) };
}

static bool same_port(uint64_t a, uint64_t b)
{
	return (a ^ b) >> 32 == 0;
}

/* An entry refreshed by a caller whose `now` was a little ahead is as young as can be, not 136 years old. */
static uint32_t age_of(uint64_t packed, uint32_t second)
{
	uint32_t age = second - (uint32_t)packed;

	return age <= INT32_MAX ? age : 0;
}

static bool has_aged(const struct vs_mactable *table, uint64_t packed, uint32_t second)
{
	return age_of(packed, second) >= atomic_load_explicit(&table->aging_sec, memory_order_relaxed);
}

static struct owner *owner_of(struct vs_mactable *table, const struct vs_macslot *slot)
{
	return &table->owners[unpack_place(vs_macslot_place(slot)).port];
}

static void init_lists(struct vs_mactable *table)
{
	vs_list_init(&table->by_age);
	vs_list_init(&table->free);
	for (uint32_t i = 0; i <= table->capacity; i++)
		vs_list_init(&table->ranks[i]);
	for (uint32_t i = 0; i < table->ports; i++) {
		vs_list_init(&table->owners[i].slots);
		vs_list_init(&table->owners[i].rank);
	}
	for (uint32_t i = 0; i < table->slots.count; i++)
		vs_list_append(&table->free, &table->slots.slots[i].by_age);
}

struct vs_mactable *vs_mactable_new(const struct vs_mactable_config *config)
{
	assert(config->entries >= VS_MAC_ENTRIES_MIN && config->entries <= VS_MAC_ENTRIES_MAX);
	assert(config->aging_usec >= VS_MAC_AGING_MIN && config->aging_usec <= VS_MAC_AGING_MAX);
	struct vs_mactable *table = aligned_alloc(VS_CACHE_LINE, sizeof(*table));
	if (!table)
		return NULL;
	*table = (struct vs_mactable){ .capacity = config->entries, .ports = config->ports };
	atomic_init(&table->aging_sec, second_of(config->aging_usec));
	pthread_mutex_init(&table->mutex, NULL);
	table->owners = calloc(table->ports, sizeof(*table->owners));
	table->ranks = calloc(table->capacity + 1, sizeof(*table->ranks));
	if (vs_macslots_init(&table->slots, config->entries, config->hash_seed) || !table->owners || !table->ranks) {
		vs_mactable_free(table);
		return NULL;
	}
	init_lists(table);
	return table;
}

void vs_mactable_free(struct vs_mactable *table)
{
	if (!table)
		return;
	vs_macslots_fini(&table->slots);
	free(table->owners);
	free(table->ranks);
	pthread_mutex_destroy(&table->mutex);
	free(table);
}

/* Moves a port to the list of those that own as many entries as it does now, one more or less than before. */
static void rank_owner(struct vs_mactable *table, struct owner *owner)
{
	uint32_t entries = owner->stats.entries;

	vs_list_remove(&owner->rank);
	if (entries)
		vs_list_append(&table->ranks[entries], &owner->rank);
	if (entries > table->most)
		table->most = entries;
	else if (table->most && vs_list_empty(&table->ranks[table->most]))
		table->most--;
}

/* Hangs a slot, whose place is set, at the young end of both lists. */
static void attach(struct vs_mactable *table, struct vs_macslot *slot)
{
	struct owner *owner = owner_of(table, slot);

	vs_list_append(&table->by_age, &slot->by_age);
	vs_list_append(&owner->slots, &slot->by_port);
	owner->stats.entries++;
	rank_owner(table, owner);
}

static void detach(struct vs_mactable *table, struct vs_macslot *slot)
{
	struct owner *owner = owner_of(table, slot);

	vs_list_remove(&slot->by_age);
	vs_list_remove(&slot->by_port);
	owner->stats.entries--;
	rank_owner(table, owner);
}

static void remove_slot(struct vs_mactable *table, struct vs_macslot *slot)
{
	detach(table, slot);
	vs_macslots_remove(&table->slots, slot);
	vs_list_append(&table->free, &slot->by_age);
	table->stats.entries--;
}

/* Removes an entry for its age or, where it is not that old, to make room. */
static void retire(struct vs_mactable *table, struct vs_macslot *slot, uint32_t second)
{
	struct vs_mactable_stats *of_port = &owner_of(table, slot)->stats;

	if (has_aged(table, vs_macslot_place(slot), second)) {
		table->stats.aged++;
		of_port->aged++;
	} else {
		table->stats.evicted++;
		of_port->evicted++;
	}
	remove_slot(table, slot);
}

static void retire_oldest_of(struct vs_mactable *table, struct owner *owner, uint32_t second)
{
	retire(table, VS_LIST_FIRST(&owner->slots, struct vs_macslot, by_port), second);
}

/* False: there are no more that have aged. */
static bool reclaim_aged(struct vs_mactable *table, uint32_t second, uint32_t at_most)
{
	for (; at_most; at_most--) {
		struct vs_macslot *oldest = VS_LIST_FIRST(&table->by_age, struct vs_macslot, by_age);
		if (!oldest || !has_aged(table, vs_macslot_place(oldest), second))
			return false;
		retire(table, oldest, second);
	}
	return true;
}

/* Makes one more entry of this port stay within its limit. */
static void make_room_in_port(struct vs_mactable *table, struct owner *owner, uint32_t second)
{
	if (owner->limit && owner->stats.entries >= owner->limit)
		retire_oldest_of(table, owner, second);
}

/* Makes one more entry, of this port, stay within the table's capacity. */
static void make_room_in_table(struct vs_mactable *table, struct owner *owner, uint32_t second)
{
	if (table->stats.entries < table->capacity)
		return;
	struct owner *largest = owner;
	if (owner->stats.entries < table->most)
		largest = VS_LIST_FIRST(&table->ranks[table->most], struct owner, rank);
	retire_oldest_of(table, largest, second);
}

static void insert(struct vs_mactable *table, uint64_t key, uint64_t packed, uint32_t second)
{
	struct owner *owner = &table->owners[unpack_place(packed).port];

	reclaim_aged(table, second, RECLAIM_BATCH);
	make_room_in_port(table, owner, second);
	make_room_in_table(table, owner, second);

	struct vs_macslot *slot = VS_LIST_FIRST(&table->free, struct vs_macslot, by_age);
	vs_list_remove(&slot->by_age);
	vs_macslots_insert(&table->slots, slot, key, packed);
	attach(table, slot);
	table->stats.entries++;
	table->stats.learned++;
	owner->stats.learned++;
}

static void refresh(struct vs_mactable *table, struct vs_macslot *slot, uint64_t packed)
{
	vs_macslot_set_place(slot, packed);
	vs_list_remove(&slot->by_age);
	vs_list_append(&table->by_age, &slot->by_age);
	vs_list_remove(&slot->by_port);
	vs_list_append(&owner_of(table, slot)->slots, &slot->by_port);
}

static void move(struct vs_mactable *table, struct vs_macslot *slot, uint64_t packed, uint32_t second)
{
	struct owner *owner = &table->owners[unpack_place(packed).port];

	detach(table, slot);
	make_room_in_port(table, owner, second);
	vs_macslot_set_place(slot, packed);
	attach(table, slot);
	table->stats.moved++;
	owner->stats.moved++;
}

static enum vs_mac_learned learn(struct vs_mactable *table, uint64_t key, uint64_t packed, uint32_t second)
{
	struct vs_macslot *slot = vs_macslots_find(&table->slots, key);

	if (slot && has_aged(table, vs_macslot_place(slot), second)) {
		retire(table, slot, second);
		slot = NULL;
	}
	if (!slot) {
		insert(table, key, packed, second);
		return VS_MAC_NEW;
	}
	uint64_t was = vs_macslot_place(slot);
	if (!same_port(was, packed)) {
		move(table, slot, packed, second);
		return VS_MAC_MOVED;
	}
	if (age_of(was, second) > 0)
		refresh(table, slot, packed);
	return VS_MAC_KNOWN;
}

enum vs_mac_learned vs_mactable_learn(struct vs_mactable *table, uint16_t vlan, const struct vs_mac *mac,
				      struct vs_mac_place place, uint64_t now)
{
	assert(!vs_mac_is_group(mac) && !vs_mac_is_zero(mac) && place.port < table->ports);
	uint32_t second = second_of(now);
	uint64_t key = make_key(vlan, mac), packed = pack_place(place, second);
	uint64_t known = vs_macslots_lookup(&table->slots, key);

	if (known != VS_MACSLOTS_NOWHERE && same_port(known, packed) && age_of(known, second) == 0)
		return VS_MAC_KNOWN;
	lock(table);
	enum vs_mac_learned learned = learn(table, key, packed, second);
	unlock(table);
	return learned;
}

bool vs_mactable_lookup(const struct vs_mactable *table, uint16_t vlan, const struct vs_mac *mac, uint64_t now,
			struct vs_mac_place *out)
{
	uint64_t packed = vs_macslots_lookup(&table->slots, make_key(vlan, mac));

	if (packed == VS_MACSLOTS_NOWHERE || has_aged(table, packed, second_of(now)))
		return false;
	*out = unpack_place(packed);
	return true;
}

/* False: the port owns no more. */
static bool flush_batch(struct vs_mactable *table, struct owner *owner)
{
	for (unsigned i = 0; i < REMOVE_BATCH; i++) {
		struct vs_macslot *slot = VS_LIST_FIRST(&owner->slots, struct vs_macslot, by_port);
		if (!slot)
			return false;
		remove_slot(table, slot);
		table->stats.flushed++;
		owner->stats.flushed++;
	}
	return true;
}

void vs_mactable_flush_port(struct vs_mactable *table, uint16_t port)
{
	bool more;

	do {
		lock(table);
		more = flush_batch(table, &table->owners[port]);
		unlock(table);
	} while (more);
}

void vs_mactable_reset_port(struct vs_mactable *table, uint16_t port, uint32_t limit)
{
	struct owner *owner = &table->owners[port];

	lock(table);
	while (flush_batch(table, owner))
		;
	owner->limit = limit;
	owner->stats = (struct vs_mactable_stats){ 0 };
	unlock(table);
}

/* False: the port is within its limit. */
static bool limit_batch(struct vs_mactable *table, struct owner *owner, uint32_t second)
{
	for (unsigned i = 0; i < REMOVE_BATCH; i++) {
		if (!owner->limit || owner->stats.entries <= owner->limit)
			return false;
		retire_oldest_of(table, owner, second);
	}
	return true;
}

void vs_mactable_set_limit(struct vs_mactable *table, uint16_t port, uint32_t limit, uint64_t now)
{
	struct owner *owner = &table->owners[port];
	bool more;

	do {
		lock(table);
		owner->limit = limit;
		more = limit_batch(table, owner, second_of(now));
		unlock(table);
	} while (more);
}

void vs_mactable_set_aging(struct vs_mactable *table, uint64_t aging_usec, uint64_t now)
{
	assert(aging_usec >= VS_MAC_AGING_MIN && aging_usec <= VS_MAC_AGING_MAX);
	vs_mactable_age(table, now); /* nearly all of them, a few at a time */
	lock(table);
	reclaim_aged(table, second_of(now), table->capacity);
	atomic_store_explicit(&table->aging_sec, second_of(aging_usec), memory_order_relaxed);
	unlock(table);
}

void vs_mactable_age(struct vs_mactable *table, uint64_t now)
{
	bool more;

	do {
		lock(table);
		more = reclaim_aged(table, second_of(now), REMOVE_BATCH);
		unlock(table);
	} while (more);
}

static struct vs_mac_entry make_entry(uint64_t key, uint64_t packed, uint32_t second)
{
	struct vs_mac_entry entry = {
		.vlan = (uint16_t)(key >> 48),
		.place = unpack_place(packed),
		.age_usec = age_of(packed, second) * VS_SEC,
	};

	for (unsigned i = 0; i < sizeof(entry.mac.octet); i++)
		entry.mac.octet[i] = (uint8_t)(key >> (40 - 8 * i));
	return entry;
}

bool vs_mactable_next(const struct vs_mactable *table, uint64_t now, uint32_t *cursor, struct vs_mac_entry *out)
{
	uint32_t second = second_of(now);

	while (*cursor < table->slots.count) {
		const struct vs_macslot *slot = &table->slots.slots[(*cursor)++];
		uint64_t key = vs_macslot_key(slot), packed = vs_macslot_place_of(slot, key);
		/* What goes while it is looked at was not there throughout. */
		if (!key || packed == VS_MACSLOTS_NOWHERE || has_aged(table, packed, second))
			continue;
		*out = make_entry(key, packed, second);
		return true;
	}
	return false;
}

void vs_mactable_stats(const struct vs_mactable *table, struct vs_mactable_stats *out)
{
	lock(table);
	*out = table->stats;
	unlock(table);
}

void vs_mactable_port_stats(const struct vs_mactable *table, uint16_t port, struct vs_mactable_stats *out)
{
	lock(table);
	*out = table->owners[port].stats;
	unlock(table);
}
