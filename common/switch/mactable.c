#include "switch/mactable.h"

#include <assert.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/compiler.h"
#include "base/list.h"

#define NO_SLOT UINT32_MAX
#define CACHE_LINE 64

/* Aged entries reclaimed for each new one: more than one, so that they run out; few, so that learning stays O(1). */
#define RECLAIM_BATCH 2

struct slot {
	_Alignas(CACHE_LINE) uint64_t key; /* vlan:16 | mac:48; 0: free (the zero address is never learned) */
	uint64_t place;                    /* port:16 | generation:16 | second of the last refresh:32 */
	struct vs_list by_age;             /* in vs_mactable.by_age */
	struct vs_list by_port;            /* in owner.slots */
	uint32_t next;                     /* in its bucket's chain, or in the chain of free slots */
};

_Static_assert(sizeof(struct slot) == CACHE_LINE, "a lookup touches one cache line an entry");

struct owner {
	struct vs_list slots; /* oldest first */
	struct vs_list rank;  /* in vs_mactable.ranks[stats.entries] */
	uint32_t limit;
	struct vs_mactable_stats stats;
};

struct vs_mactable {
	struct slot *slots;
	uint32_t *buckets;
	struct owner *owners;
	struct vs_list *ranks; /* ranks[n]: the ports that own n entries, for n from 1 to capacity */
	struct vs_list by_age; /* all entries, oldest first */
	uint64_t hash_seed;
	uint32_t capacity;
	uint32_t bucket_mask;
	uint32_t free;       /* first free slot */
	uint32_t most;       /* entries of the port that owns most */
	uint32_t aging_sec;
	uint16_t ports;
	struct vs_mactable_stats stats;
};

/* Seconds wrap after 136 years; differences are taken modulo 2^32. */
static uint32_t second_of(uint64_t now)
{
	return (uint32_t)(now / VS_SEC);
}

static uint64_t make_key(uint16_t vlan, const struct vs_mac *mac)
{
	uint64_t key = vlan;

	for (unsigned i = 0; i < sizeof(mac->octet); i++)
		key = key << 8 | mac->octet[i];
	return key;
}

static uint64_t make_place(struct vs_mac_place place, uint32_t second)
{
	return (uint64_t)place.port << 48 | (uint64_t)place.generation << 32 | second;
}

static struct vs_mac_place place_of(const struct slot *slot)
{
	return (struct vs_mac_place){
		.port = (uint16_t)(slot->place >> 48),
		.generation = (uint16_t)(slot->place >> 32),
	};
}

/* An entry refreshed by a caller whose `now` was a little ahead is as young as can be, not 136 years old. */
static uint32_t age_of(const struct slot *slot, uint32_t second)
{
	uint32_t age = second - (uint32_t)slot->place;

	return age <= INT32_MAX ? age : 0;
}

static bool has_aged(const struct vs_mactable *table, const struct slot *slot, uint32_t second)
{
	return age_of(slot, second) >= table->aging_sec;
}

static struct owner *owner_of(struct vs_mactable *table, const struct slot *slot)
{
	return &table->owners[place_of(slot).port];
}

static uint32_t *bucket_of(const struct vs_mactable *table, uint64_t key)
{
	uint64_t hash = XXH3_64bits_withSeed(&key, sizeof(key), table->hash_seed);

	return &table->buckets[hash & table->bucket_mask];
}

static struct slot *find(const struct vs_mactable *table, uint64_t key)
{
	for (uint32_t i = *bucket_of(table, key); i != NO_SLOT; i = table->slots[i].next)
		if (table->slots[i].key == key)
			return &table->slots[i];
	return NULL;
}

static uint32_t bucket_count(uint32_t entries)
{
	uint32_t n = 1;

	while (n < entries)
		n *= 2;
	return n;
}

static void init_lists(struct vs_mactable *table)
{
	vs_list_init(&table->by_age);
	for (uint32_t i = 0; i <= table->capacity; i++)
		vs_list_init(&table->ranks[i]);
	for (uint32_t i = 0; i < table->ports; i++) {
		vs_list_init(&table->owners[i].slots);
		vs_list_init(&table->owners[i].rank);
	}
	for (uint32_t i = 0; i <= table->bucket_mask; i++)
		table->buckets[i] = NO_SLOT;
	for (uint32_t i = 0; i < table->capacity; i++) {
		table->slots[i].key = 0;
		table->slots[i].next = i + 1 < table->capacity ? i + 1 : NO_SLOT;
	}
}

struct vs_mactable *vs_mactable_new(const struct vs_mactable_config *config)
{
	assert(config->entries >= VS_MAC_ENTRIES_MIN && config->entries <= VS_MAC_ENTRIES_MAX);
	assert(config->aging_usec >= VS_MAC_AGING_MIN && config->aging_usec <= VS_MAC_AGING_MAX);
	struct vs_mactable *table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	table->capacity = config->entries;
	table->bucket_mask = bucket_count(config->entries) - 1;
	table->ports = config->ports;
	table->hash_seed = config->hash_seed;
	table->aging_sec = second_of(config->aging_usec);
	table->slots = aligned_alloc(CACHE_LINE, table->capacity * sizeof(*table->slots));
	table->buckets = calloc(table->bucket_mask + 1, sizeof(*table->buckets));
	table->owners = calloc(table->ports, sizeof(*table->owners));
	table->ranks = calloc(table->capacity + 1, sizeof(*table->ranks));
	if (!table->slots || !table->buckets || !table->owners || !table->ranks) {
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
	free(table->slots);
	free(table->buckets);
	free(table->owners);
	free(table->ranks);
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

/* Puts a slot at the young end of both lists, as the port's. */
static void attach(struct vs_mactable *table, struct slot *slot, struct vs_mac_place place, uint32_t second)
{
	struct owner *owner = &table->owners[place.port];

	slot->place = make_place(place, second);
	vs_list_append(&table->by_age, &slot->by_age);
	vs_list_append(&owner->slots, &slot->by_port);
	owner->stats.entries++;
	rank_owner(table, owner);
}

static void detach(struct vs_mactable *table, struct slot *slot)
{
	struct owner *owner = owner_of(table, slot);

	vs_list_remove(&slot->by_age);
	vs_list_remove(&slot->by_port);
	owner->stats.entries--;
	rank_owner(table, owner);
}

static void unchain(struct vs_mactable *table, struct slot *slot)
{
	uint32_t index = (uint32_t)(slot - table->slots);
	uint32_t *link = bucket_of(table, slot->key);

	while (*link != index)
		link = &table->slots[*link].next;
	*link = slot->next;
	slot->key = 0;
	slot->next = table->free;
	table->free = index;
}

static void remove_slot(struct vs_mactable *table, struct slot *slot)
{
	detach(table, slot);
	unchain(table, slot);
	table->stats.entries--;
}

/* Removes an entry for its age or, where it is not that old, to make room. */
static void retire(struct vs_mactable *table, struct slot *slot, uint32_t second)
{
	struct vs_mactable_stats *of_port = &owner_of(table, slot)->stats;

	if (has_aged(table, slot, second)) {
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
	retire(table, VS_LIST_FIRST(&owner->slots, struct slot, by_port), second);
}

static void reclaim_aged(struct vs_mactable *table, uint32_t second, uint32_t at_most)
{
	while (at_most-- && !vs_list_empty(&table->by_age)) {
		struct slot *oldest = VS_LIST_FIRST(&table->by_age, struct slot, by_age);
		if (!has_aged(table, oldest, second))
			return;
		retire(table, oldest, second);
	}
}

/* Makes one more entry of this port stay within its limit. */
static void make_room_in_port(struct vs_mactable *table, struct owner *owner, uint32_t second)
{
	if (owner->limit && owner->stats.entries >= owner->limit)
		retire_oldest_of(table, owner, second);
}

/* Makes a free slot for one more entry of this port. */
static void make_room_in_table(struct vs_mactable *table, struct owner *owner, uint32_t second)
{
	if (table->free != NO_SLOT)
		return;
	struct owner *largest = owner;
	if (owner->stats.entries < table->most)
		largest = VS_LIST_FIRST(&table->ranks[table->most], struct owner, rank);
	retire_oldest_of(table, largest, second);
}

static void insert(struct vs_mactable *table, uint64_t key, struct vs_mac_place place, uint32_t second)
{
	struct owner *owner = &table->owners[place.port];

	reclaim_aged(table, second, RECLAIM_BATCH);
	make_room_in_port(table, owner, second);
	make_room_in_table(table, owner, second);

	uint32_t index = table->free;
	struct slot *slot = &table->slots[index];
	uint32_t *bucket = bucket_of(table, key);
	table->free = slot->next;
	slot->key = key;
	slot->next = *bucket;
	*bucket = index;
	attach(table, slot, place, second);
	table->stats.entries++;
	table->stats.learned++;
	owner->stats.learned++;
}

static void refresh(struct vs_mactable *table, struct slot *slot, uint32_t second)
{
	struct vs_mac_place place = place_of(slot);

	if (age_of(slot, second) == 0)
		return;
	slot->place = make_place(place, second);
	vs_list_remove(&slot->by_age);
	vs_list_append(&table->by_age, &slot->by_age);
	vs_list_remove(&slot->by_port);
	vs_list_append(&table->owners[place.port].slots, &slot->by_port);
}

static void move(struct vs_mactable *table, struct slot *slot, struct vs_mac_place place, uint32_t second)
{
	struct owner *owner = &table->owners[place.port];

	detach(table, slot);
	make_room_in_port(table, owner, second);
	attach(table, slot, place, second);
	table->stats.moved++;
	owner->stats.moved++;
}

enum vs_mac_learned vs_mactable_learn(struct vs_mactable *table, uint16_t vlan, const struct vs_mac *mac,
				      struct vs_mac_place place, uint64_t now)
{
	assert(!vs_mac_is_group(mac) && !vs_mac_is_zero(mac) && place.port < table->ports);
	uint32_t second = second_of(now);
	uint64_t key = make_key(vlan, mac);
	struct slot *slot = find(table, key);

	if (slot && has_aged(table, slot, second)) {
		retire(table, slot, second);
		slot = NULL;
	}
	if (!slot) {
		insert(table, key, place, second);
		return VS_MAC_NEW;
	}
	struct vs_mac_place was = place_of(slot);
	if (was.port != place.port || was.generation != place.generation) {
		move(table, slot, place, second);
		return VS_MAC_MOVED;
	}
	refresh(table, slot, second);
	return VS_MAC_KNOWN;
}

bool vs_mactable_lookup(const struct vs_mactable *table, uint16_t vlan, const struct vs_mac *mac, uint64_t now,
			struct vs_mac_place *out)
{
	const struct slot *slot = find(table, make_key(vlan, mac));

	if (!slot || has_aged(table, slot, second_of(now)))
		return false;
	*out = place_of(slot);
	return true;
}

void vs_mactable_flush_port(struct vs_mactable *table, uint16_t port)
{
	struct owner *owner = &table->owners[port];
	struct slot *slot;

	VS_LIST_FOREACH(&owner->slots, slot, struct slot, by_port) {
		remove_slot(table, slot);
		table->stats.flushed++;
		owner->stats.flushed++;
	}
}

void vs_mactable_reset_port(struct vs_mactable *table, uint16_t port, uint32_t limit)
{
	struct owner *owner = &table->owners[port];

	assert(owner->stats.entries == 0);
	owner->limit = limit;
	owner->stats = (struct vs_mactable_stats){ 0 };
}

void vs_mactable_set_limit(struct vs_mactable *table, uint16_t port, uint32_t limit, uint64_t now)
{
	struct owner *owner = &table->owners[port];

	owner->limit = limit;
	while (limit && owner->stats.entries > limit)
		retire_oldest_of(table, owner, second_of(now));
}

void vs_mactable_set_aging(struct vs_mactable *table, uint64_t aging_usec, uint64_t now)
{
	assert(aging_usec >= VS_MAC_AGING_MIN && aging_usec <= VS_MAC_AGING_MAX);
	vs_mactable_age(table, now);
	table->aging_sec = second_of(aging_usec);
}

void vs_mactable_age(struct vs_mactable *table, uint64_t now)
{
	reclaim_aged(table, second_of(now), table->capacity);
}

static struct vs_mac_entry entry_of(const struct slot *slot, uint32_t second)
{
	struct vs_mac_entry entry = {
		.vlan = (uint16_t)(slot->key >> 48),
		.place = place_of(slot),
		.age_usec = age_of(slot, second) * VS_SEC,
	};

	for (unsigned i = 0; i < sizeof(entry.mac.octet); i++)
		entry.mac.octet[i] = (uint8_t)(slot->key >> (40 - 8 * i));
	return entry;
}

bool vs_mactable_next(const struct vs_mactable *table, uint64_t now, uint32_t *cursor, struct vs_mac_entry *out)
{
	uint32_t second = second_of(now);

	while (*cursor < table->capacity) {
		const struct slot *slot = &table->slots[(*cursor)++];
		if (!slot->key || has_aged(table, slot, second))
			continue;
		*out = entry_of(slot, second);
		return true;
	}
	return false;
}

const struct vs_mactable_stats *vs_mactable_stats(const struct vs_mactable *table)
{
	return &table->stats;
}

const struct vs_mactable_stats *vs_mactable_port_stats(const struct vs_mactable *table, uint16_t port)
{
	return &table->owners[port].stats;
}
