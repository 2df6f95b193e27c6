#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "switch/mactable.h"

#define SEC(n) ((n) * VS_SEC)

/* --- Helpers ---------------------------------------- */

static struct vs_mactable *make_table(uint32_t entries, uint64_t aging_usec)
{
	struct vs_mactable_config config = {
		.entries = entries, .aging_usec = aging_usec, .ports = 8, .hash_seed = 1,
	};
	struct vs_mactable *table = vs_mactable_new(&config);

	assert_non_null(table);
	return table;
}

static struct vs_mac mac_of(uint32_t n)
{
	return (struct vs_mac){ { 0x02, 0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n } };
}

static enum vs_mac_learned learn(struct vs_mactable *table, uint16_t vlan, uint32_t mac, uint16_t port, uint64_t now)
{
	struct vs_mac address = mac_of(mac);

	return vs_mactable_learn(table, vlan, &address, (struct vs_mac_place){ .port = port, .generation = 1 }, now);
}

#define NOWHERE (-1)

static int lookup(const struct vs_mactable *table, uint16_t vlan, uint32_t mac, uint64_t now)
{
	struct vs_mac address = mac_of(mac);
	struct vs_mac_place place;

	return vs_mactable_lookup(table, vlan, &address, now, &place) ? place.port : NOWHERE;
}

static struct vs_mactable_stats stats_of(const struct vs_mactable *table)
{
	struct vs_mactable_stats stats;

	vs_mactable_stats(table, &stats);
	return stats;
}

static struct vs_mactable_stats port_stats_of(const struct vs_mactable *table, uint16_t port)
{
	struct vs_mactable_stats stats;

	vs_mactable_port_stats(table, port, &stats);
	return stats;
}

/* --- One behaviour each ---------------------------------------- */

static void test_learn_and_lookup(void **state)
{
	(void)state;
	struct vs_mactable *table = make_table(16, SEC(300));

	assert_int_equal(lookup(table, 0, 1, 0), NOWHERE);
	assert_int_equal(learn(table, 0, 1, 3, 0), VS_MAC_NEW);
	assert_int_equal(learn(table, 0, 1, 3, 0), VS_MAC_KNOWN);
	assert_int_equal(lookup(table, 0, 1, 0), 3);
	assert_int_equal(lookup(table, 0, 2, 0), NOWHERE);
	assert_int_equal(stats_of(table).entries, 1);
	assert_int_equal(stats_of(table).learned, 1);
	assert_int_equal(port_stats_of(table, 3).entries, 1);
	vs_mactable_free(table);
}

static void test_vlans_learn_independently(void **state)
{
	(void)state;
	struct vs_mactable *table = make_table(16, SEC(300));

	learn(table, 10, 1, 1, 0);
	assert_int_equal(learn(table, 20, 1, 2, 0), VS_MAC_NEW);
	assert_int_equal(lookup(table, 10, 1, 0), 1);
	assert_int_equal(lookup(table, 20, 1, 0), 2);
	assert_int_equal(lookup(table, 0, 1, 0), NOWHERE);
	vs_mactable_free(table);
}

static void test_moves_are_followed_and_counted(void **state)
{
	(void)state;
	struct vs_mactable *table = make_table(16, SEC(300));

	learn(table, 0, 1, 1, 0);
	assert_int_equal(learn(table, 0, 1, 2, 0), VS_MAC_MOVED);
	assert_int_equal(lookup(table, 0, 1, 0), 2);
	assert_int_equal(stats_of(table).entries, 1);
	assert_int_equal(stats_of(table).learned, 1);
	assert_int_equal(stats_of(table).moved, 1);
	assert_int_equal(port_stats_of(table, 1).entries, 0);
	assert_int_equal(port_stats_of(table, 2).entries, 1);
	assert_int_equal(port_stats_of(table, 2).moved, 1);
	vs_mactable_free(table);
}

static void test_a_new_generation_is_another_port(void **state)
{
	(void)state;
	struct vs_mactable *table = make_table(16, SEC(300));
	struct vs_mac mac = mac_of(1);
	struct vs_mac_place place = { .port = 1, .generation = 2 };

	learn(table, 0, 1, 1, 0);
	assert_int_equal(vs_mactable_learn(table, 0, &mac, place, 0), VS_MAC_MOVED);
	assert_true(vs_mactable_lookup(table, 0, &mac, 0, &place));
	assert_int_equal(place.generation, 2);
	vs_mactable_free(table);
}

static void test_aging(void **state)
{
	(void)state;
	struct vs_mactable *table = make_table(16, SEC(300));

	learn(table, 0, 1, 1, SEC(10));
	learn(table, 0, 2, 1, SEC(10));
	assert_int_equal(learn(table, 0, 2, 1, SEC(200)), VS_MAC_KNOWN);
	assert_int_equal(lookup(table, 0, 1, SEC(310) - 1), 1);
	assert_int_equal(lookup(table, 0, 1, SEC(310)), NOWHERE);
	assert_int_equal(lookup(table, 0, 2, SEC(500) - 1), 1);
	assert_int_equal(lookup(table, 0, 2, SEC(500)), NOWHERE);

	vs_mactable_age(table, SEC(310));
	assert_int_equal(stats_of(table).entries, 1);
	assert_int_equal(stats_of(table).aged, 1);
	assert_int_equal(port_stats_of(table, 1).aged, 1);
	/* Heard again after its time: learned anew, even from another port. */
	assert_int_equal(learn(table, 0, 2, 4, SEC(500)), VS_MAC_NEW);
	assert_int_equal(stats_of(table).aged, 2);
	assert_int_equal(stats_of(table).moved, 0);
	vs_mactable_free(table);
}

static void test_age_where_the_seconds_wrap(void **state)
{
	(void)state;
	struct vs_mactable *table = make_table(16, SEC(300));
	uint64_t wrap = SEC(UINT64_C(1) << 32);

	learn(table, 0, 1, 1, wrap - SEC(100));
	assert_int_equal(lookup(table, 0, 1, wrap + SEC(199)), 1);
	assert_int_equal(lookup(table, 0, 1, wrap + SEC(200)), NOWHERE);
	vs_mactable_free(table);
}

/* Batches may carry slightly different times. */
static void test_time_that_goes_back_ages_nothing(void **state)
{
	(void)state;
	struct vs_mactable *table = make_table(16, SEC(300));

	learn(table, 0, 1, 1, SEC(100));
	learn(table, 0, 2, 1, SEC(98));
	assert_int_equal(learn(table, 0, 1, 1, SEC(98)), VS_MAC_KNOWN);
	assert_int_equal(lookup(table, 0, 1, SEC(98)), 1);
	assert_int_equal(lookup(table, 0, 1, SEC(399)), 1);
	assert_int_equal(lookup(table, 0, 1, SEC(400)), NOWHERE);
	vs_mactable_free(table);
}

static void test_learning_reclaims_what_has_aged(void **state)
{
	(void)state;
	struct vs_mactable *table = make_table(16, SEC(10));

	for (uint32_t i = 0; i < 16; i++)
		learn(table, 0, i, 1, 0);
	for (uint32_t i = 100; i < 108; i++)
		learn(table, 0, i, 2, SEC(10));
	assert_int_equal(stats_of(table).aged, 16);
	assert_int_equal(stats_of(table).evicted, 0);
	assert_int_equal(stats_of(table).entries, 8);
	vs_mactable_free(table);
}

static void test_aging_time_can_change(void **state)
{
	(void)state;
	struct vs_mactable *table = make_table(16, SEC(300));

	learn(table, 0, 1, 1, 0);
	vs_mactable_set_aging(table, SEC(20), SEC(10));
	assert_int_equal(lookup(table, 0, 1, SEC(19)), 1);
	assert_int_equal(lookup(table, 0, 1, SEC(20)), NOWHERE);
	vs_mactable_set_aging(table, SEC(300), SEC(20));
	assert_int_equal(lookup(table, 0, 1, SEC(20)), NOWHERE);
	vs_mactable_free(table);
}

static void test_flood_of_addresses_hurts_its_own_port_only(void **state)
{
	(void)state;
	struct vs_mactable *table = make_table(1024, SEC(300));

	for (uint32_t i = 0; i < 100; i++)
		learn(table, 0, i, (uint16_t)(i % 4), 0);
	for (uint32_t i = 0; i < 20000; i++)
		learn(table, 0, 1000 + i, 7, i * VS_MSEC);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(lookup(table, 0, i, SEC(20)), i % 4);
	assert_int_equal(stats_of(table).entries, 1024);
	assert_int_equal(port_stats_of(table, 7).entries, 924);
	assert_int_equal(port_stats_of(table, 7).evicted, 20000 - 924);
	assert_int_equal(stats_of(table).evicted, 20000 - 924);
	/* Of the flood, the newest are there. */
	assert_int_equal(lookup(table, 0, 1000 + 19999, SEC(20)), 7);
	assert_int_equal(lookup(table, 0, 1000 + 20000 - 924, SEC(20)), 7);
	assert_int_equal(lookup(table, 0, 1000 + 20000 - 925, SEC(20)), NOWHERE);
	vs_mactable_free(table);
}

/* Where one port has filled the table, a port that comes later takes from it, up to an equal share. */
static void test_latecomer_gets_its_share(void **state)
{
	(void)state;
	struct vs_mactable *table = make_table(16, SEC(300));

	for (uint32_t i = 0; i < 16; i++)
		learn(table, 0, i, 1, 0);
	for (uint32_t i = 100; i < 120; i++)
		learn(table, 0, i, 2, 0);
	assert_int_equal(port_stats_of(table, 1).entries, 8);
	assert_int_equal(port_stats_of(table, 2).entries, 8);
	assert_int_equal(lookup(table, 0, 7, 0), NOWHERE);
	assert_int_equal(lookup(table, 0, 8, 0), 1);
	assert_int_equal(lookup(table, 0, 111, 0), NOWHERE);
	assert_int_equal(lookup(table, 0, 112, 0), 2);
	vs_mactable_free(table);
}

static void test_eviction_spares_what_was_heard_lately(void **state)
{
	(void)state;
	struct vs_mactable *table = make_table(16, SEC(300));

	for (uint32_t i = 0; i < 16; i++)
		learn(table, 0, i, 1, 0);
	learn(table, 0, 0, 1, SEC(1)); /* the oldest speaks again */
	learn(table, 0, 100, 1, SEC(1));
	assert_int_equal(lookup(table, 0, 0, SEC(1)), 1);
	assert_int_equal(lookup(table, 0, 1, SEC(1)), NOWHERE);
	vs_mactable_free(table);
}

static void test_port_limit(void **state)
{
	(void)state;
	struct vs_mactable *table = make_table(64, SEC(300));

	vs_mactable_set_limit(table, 1, 3, 0);
	for (uint32_t i = 0; i < 5; i++)
		learn(table, 0, i, 1, 0);
	assert_int_equal(port_stats_of(table, 1).entries, 3);
	assert_int_equal(port_stats_of(table, 1).evicted, 2);
	assert_int_equal(lookup(table, 0, 1, 0), NOWHERE);
	assert_int_equal(lookup(table, 0, 2, 0), 1);

	/* A station that moves here counts too. */
	learn(table, 0, 50, 2, 0);
	assert_int_equal(learn(table, 0, 50, 1, 0), VS_MAC_MOVED);
	assert_int_equal(port_stats_of(table, 1).entries, 3);
	assert_int_equal(lookup(table, 0, 2, 0), NOWHERE);

	vs_mactable_set_limit(table, 1, 1, 0);
	assert_int_equal(port_stats_of(table, 1).entries, 1);
	assert_int_equal(lookup(table, 0, 50, 0), 1);
	vs_mactable_set_limit(table, 1, 0, 0);
	for (uint32_t i = 0; i < 5; i++)
		learn(table, 0, i, 1, 0);
	assert_int_equal(port_stats_of(table, 1).entries, 6);
	vs_mactable_free(table);
}

static void test_flush_port(void **state)
{
	(void)state;
	struct vs_mactable *table = make_table(64, SEC(300));

	for (uint32_t i = 0; i < 40; i++)
		learn(table, (uint16_t)(i % 3), i, (uint16_t)(i % 2), 0);
	vs_mactable_flush_port(table, 1);
	for (uint32_t i = 0; i < 40; i++)
		assert_int_equal(lookup(table, (uint16_t)(i % 3), i, 0), i % 2 ? NOWHERE : 0);
	assert_int_equal(stats_of(table).entries, 20);
	assert_int_equal(stats_of(table).flushed, 20);
	assert_int_equal(port_stats_of(table, 1).flushed, 20);

	vs_mactable_reset_port(table, 1, 2);
	assert_int_equal(port_stats_of(table, 1).flushed, 0);
	for (uint32_t i = 0; i < 5; i++)
		learn(table, 9, i, 1, 0);
	assert_int_equal(port_stats_of(table, 1).entries, 2);
	vs_mactable_free(table);
}

static void test_iteration(void **state)
{
	(void)state;
	struct vs_mactable *table = make_table(64, SEC(300));
	struct vs_mac_entry entry;
	uint32_t cursor = 0;

	assert_false(vs_mactable_next(table, 0, &cursor, &entry));
	learn(table, 0, 2, 1, 0);
	learn(table, 7, 0xa1b2c3d4, 5, SEC(100));
	cursor = 0;
	assert_true(vs_mactable_next(table, SEC(350), &cursor, &entry));
	struct vs_mac expected = mac_of(0xa1b2c3d4);
	assert_true(vs_mac_equal(&entry.mac, &expected));
	assert_int_equal(entry.vlan, 7);
	assert_int_equal(entry.place.port, 5);
	assert_int_equal(entry.place.generation, 1);
	assert_int_equal(entry.age_usec, SEC(250));
	assert_false(vs_mactable_next(table, SEC(350), &cursor, &entry)); /* the other has aged */
	vs_mactable_free(table);
}

/* --- Random operations against a model that does everything by looking at everything ------------- */

#define MODEL_PORTS 5
#define MODEL_ENTRIES 24

struct model_entry {
	uint16_t vlan, port;
	uint32_t mac;
	uint64_t second; /* last refresh */
	uint64_t order;  /* of that refresh among all */
};

struct model {
	struct model_entry entries[MODEL_ENTRIES];
	uint32_t count;
	uint32_t limits[MODEL_PORTS];
	uint64_t aging_sec, orders;
	uint64_t learned, moved, evicted, gone; /* gone: aged or flushed */
};

static uint64_t next_random(uint64_t *seed)
{
	uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static void model_remove(struct model *m, uint32_t i)
{
	m->entries[i] = m->entries[--m->count];
}

static void model_age(struct model *m, uint64_t second)
{
	for (uint32_t i = m->count; i-- > 0;) {
		if (second - m->entries[i].second < m->aging_sec)
			continue;
		model_remove(m, i);
		m->gone++;
	}
}

static int model_find(const struct model *m, uint16_t vlan, uint32_t mac)
{
	for (uint32_t i = 0; i < m->count; i++)
		if (m->entries[i].vlan == vlan && m->entries[i].mac == mac)
			return (int)i;
	return -1;
}

static uint32_t model_port_count(const struct model *m, uint16_t port)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->count; i++)
		n += m->entries[i].port == port;
	return n;
}

static uint32_t model_oldest_of(const struct model *m, uint16_t port)
{
	uint32_t oldest = UINT32_MAX;

	for (uint32_t i = 0; i < m->count; i++)
		if (m->entries[i].port == port &&
		    (oldest == UINT32_MAX || m->entries[i].order < m->entries[oldest].order))
			oldest = i;
	return oldest;
}

static void model_evict(struct model *m, uint16_t port)
{
	model_remove(m, model_oldest_of(m, port));
	m->evicted++;
}

/* The port that is to lose an entry in favour of `port`. Among several that own most, the table has had the choice
 * already: it is the one whose oldest entry is there no more. */
static uint16_t model_victim(const struct model *m, uint16_t port, const struct vs_mactable *table, uint64_t now)
{
	uint32_t most = 0;

	for (uint16_t p = 0; p < MODEL_PORTS; p++)
		most = VS_MAX(most, model_port_count(m, p));
	if (model_port_count(m, port) == most)
		return port;
	for (uint16_t p = 0; p < MODEL_PORTS; p++) {
		if (model_port_count(m, p) != most)
			continue;
		const struct model_entry *e = &m->entries[model_oldest_of(m, p)];
		if (lookup(table, e->vlan, e->mac, now) == NOWHERE)
			return p;
	}
	fail_msg("none of the largest ports has lost its oldest entry");
	return 0;
}

/* Called after the table has learned the same. */
static enum vs_mac_learned model_learn(struct model *m, const struct model_entry *heard,
				       const struct vs_mactable *table, uint64_t now)
{
	int i = model_find(m, heard->vlan, heard->mac);
	uint32_t limit = m->limits[heard->port];

	if (i >= 0 && m->entries[i].port == heard->port) {
		if (m->entries[i].second != heard->second)
			m->entries[i] = *heard;
		return VS_MAC_KNOWN;
	}
	if (i >= 0)
		model_remove(m, (uint32_t)i);
	if (limit && model_port_count(m, heard->port) >= limit)
		model_evict(m, heard->port);
	if (m->count == MODEL_ENTRIES)
		model_evict(m, model_victim(m, heard->port, table, now));
	m->entries[m->count++] = *heard;
	if (i >= 0)
		m->moved++;
	else
		m->learned++;
	return i >= 0 ? VS_MAC_MOVED : VS_MAC_NEW;
}

static void random_learn(struct vs_mactable *table, struct model *m, uint64_t *seed, uint64_t now)
{
	struct model_entry heard = {
		.vlan = (uint16_t)(next_random(seed) % 2),
		.mac = (uint32_t)(next_random(seed) % 30),
		.port = (uint16_t)(next_random(seed) % MODEL_PORTS),
		.second = now / VS_SEC,
		.order = m->orders++,
	};

	if (next_random(seed) % 8) /* most stations stay where they are */
		heard.port = (uint16_t)(heard.mac % 7 % MODEL_PORTS);
	enum vs_mac_learned was = learn(table, heard.vlan, heard.mac, heard.port, now);
	assert_int_equal(model_learn(m, &heard, table, now), was);
}

static void random_flush(struct vs_mactable *table, struct model *m, uint64_t *seed)
{
	uint16_t port = (uint16_t)(next_random(seed) % MODEL_PORTS);

	vs_mactable_flush_port(table, port);
	for (uint32_t i = m->count; i-- > 0;) {
		if (m->entries[i].port != port)
			continue;
		model_remove(m, i);
		m->gone++;
	}
}

static void random_limit(struct vs_mactable *table, struct model *m, uint64_t *seed, uint64_t now)
{
	uint16_t port = (uint16_t)(next_random(seed) % MODEL_PORTS);
	uint32_t limit = (uint32_t)(next_random(seed) % 12);

	vs_mactable_set_limit(table, port, limit, now);
	m->limits[port] = limit;
	while (limit && model_port_count(m, port) > limit)
		model_evict(m, port);
}

static void random_operation(struct vs_mactable *table, struct model *m, uint64_t *seed, uint64_t now)
{
	model_age(m, now / VS_SEC);
	switch (next_random(seed) % 64) {
	case 0:
		random_flush(table, m, seed);
		break;
	case 1:
		random_limit(table, m, seed, now);
		break;
	case 2:
		m->aging_sec = 2 + next_random(seed) % 8;
		vs_mactable_set_aging(table, SEC(m->aging_sec), now);
		model_age(m, now / VS_SEC);
		break;
	default:
		random_learn(table, m, seed, now);
		break;
	}
}

static void assert_same(const struct vs_mactable *table, const struct model *m, uint64_t now)
{
	struct vs_mac_entry entry;
	uint32_t shown = 0;

	for (uint32_t i = 0; i < m->count; i++)
		assert_int_equal(lookup(table, m->entries[i].vlan, m->entries[i].mac, now), m->entries[i].port);
	for (uint32_t cursor = 0; vs_mactable_next(table, now, &cursor, &entry); shown++)
		;
	assert_int_equal(shown, m->count);
	assert_true(stats_of(table).entries <= MODEL_ENTRIES);
}

static void assert_same_counts(struct vs_mactable *table, const struct model *m, uint64_t now)
{
	vs_mactable_age(table, now);
	struct vs_mactable_stats stats = stats_of(table);

	assert_int_equal(stats.entries, m->count);
	assert_int_equal(stats.learned, m->learned);
	assert_int_equal(stats.moved, m->moved);
	assert_int_equal(stats.evicted, m->evicted);
	assert_int_equal(stats.aged + stats.flushed, m->gone);
	for (uint16_t port = 0; port < MODEL_PORTS; port++)
		assert_int_equal(port_stats_of(table, port).entries, model_port_count(m, port));
}

static void test_random_operations(void **state)
{
	(void)state;
	for (uint64_t start = 1; start <= 200; start++) {
		struct vs_mactable *table = make_table(MODEL_ENTRIES, SEC(5));
		struct model m = { .aging_sec = 5 };
		uint64_t seed = start;
		uint64_t now = SEC((UINT64_C(1) << 32) - 20); /* the seconds wrap on the way */

		for (int i = 0; i < 500; i++) {
			now += next_random(&seed) % (next_random(&seed) % 50 ? VS_SEC / 4 : SEC(4));
			random_operation(table, &m, &seed, now);
			model_age(&m, now / VS_SEC);
			assert_same(table, &m, now);
		}
		assert_same_counts(table, &m, now);
		vs_mactable_free(table);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_learn_and_lookup),
		cmocka_unit_test(test_vlans_learn_independently),
		cmocka_unit_test(test_moves_are_followed_and_counted),
		cmocka_unit_test(test_a_new_generation_is_another_port),
		cmocka_unit_test(test_aging),
		cmocka_unit_test(test_age_where_the_seconds_wrap),
		cmocka_unit_test(test_time_that_goes_back_ages_nothing),
		cmocka_unit_test(test_learning_reclaims_what_has_aged),
		cmocka_unit_test(test_aging_time_can_change),
		cmocka_unit_test(test_flood_of_addresses_hurts_its_own_port_only),
		cmocka_unit_test(test_latecomer_gets_its_share),
		cmocka_unit_test(test_eviction_spares_what_was_heard_lately),
		cmocka_unit_test(test_port_limit),
		cmocka_unit_test(test_flush_port),
		cmocka_unit_test(test_iteration),
		cmocka_unit_test(test_random_operations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
