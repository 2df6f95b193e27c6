/* switch/mactable under threads: two writers churn a small table (learn, move, evict by overflow, flush, limits), while
 * readers look up, learn what is known, and walk. More threads than the machine has cores, so that they are preempted
 * anywhere. A station's number is also the generation of its place: a place that was another station's shows. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "io/thread.h"
#include "switch/mactable.h"

enum {
	ENTRIES = 64,
	WRITERS = 2,
	READERS = 4,
	WRITER_OPERATIONS = 150000,
	STABLE = 8,    /* stations from 1 that nobody touches but by hearing them again, at port 0 */
	FLEETING = 96, /* stations after those: more than there are entries */
	STABLE_PORT = 0,
	WRITER_PORTS = 2, /* from 1 */
	PORTS = 1 + WRITERS * WRITER_PORTS,
};

struct shared {
	struct vs_mactable *table;
	atomic_int writers; /* still at work */
};

struct worker {
	struct shared *shared;
	uint64_t seed;
	uint16_t first_port; /* a writer's */
	uint64_t now;
	/* What readers met. */
	uint64_t found, missing, misplaced, relearned, bad_walks;
	pthread_t thread;
};

static uint32_t draw(struct worker *w, uint32_t below)
{
	w->seed = w->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(w->seed >> 33) % below;
}

static struct vs_mac mac_of(uint16_t station)
{
	return (struct vs_mac){ { 0x02, 0, 0, 0, (uint8_t)(station >> 8), (uint8_t)station } };
}

static uint16_t station_of(const struct vs_mac *mac)
{
	return (uint16_t)(mac->octet[4] << 8 | mac->octet[5]);
}

static uint16_t draw_fleeting(struct worker *w)
{
	return (uint16_t)(1 + STABLE + draw(w, FLEETING));
}

static enum vs_mac_learned learn(struct worker *w, uint16_t station, uint16_t port)
{
	struct vs_mac mac = mac_of(station);

	return vs_mactable_learn(w->shared->table, 0, &mac,
				 (struct vs_mac_place){ .port = port, .generation = station }, w->now);
}

/* --- Writers ------------------------------------------------------------------------------------------------------ */

static void change(struct worker *w)
{
	struct vs_mactable *table = w->shared->table;
	uint16_t port = (uint16_t)(w->first_port + draw(w, WRITER_PORTS));

	switch (draw(w, 512)) {
	case 0:
		vs_mactable_flush_port(table, port);
		break;
	case 1:
		vs_mactable_set_limit(table, port, draw(w, 2) * 8, w->now);
		break;
	case 2:
		vs_mactable_set_aging(table, VS_MAC_AGING_MAX, w->now);
		break;
	default:
		learn(w, draw_fleeting(w), port);
		break;
	}
}

static void *run_writer(void *arg)
{
	struct worker *w = arg;

	for (int i = 0; i < WRITER_OPERATIONS; i++) {
		w->now += VS_MSEC;
		change(w);
	}
	atomic_fetch_sub(&w->shared->writers, 1);
	return NULL;
}

/* --- Readers ------------------------------------------------------------------------------------------------------ */

static bool right_place(uint16_t station, struct vs_mac_place place)
{
	bool stable = station <= STABLE;

	return place.generation == station && place.port < PORTS && stable == (place.port == STABLE_PORT);
}

static void look_up(struct worker *w, uint16_t station)
{
	struct vs_mac mac = mac_of(station);
	struct vs_mac_place place;

	if (!vs_mactable_lookup(w->shared->table, 0, &mac, w->now, &place))
		w->missing += station <= STABLE;
	else if (right_place(station, place))
		w->found++;
	else
		w->misplaced++;
}

static void walk(struct worker *w)
{
	struct vs_mac_entry entry;
	unsigned stable = 0, shown = 0;

	for (uint32_t cursor = 0; vs_mactable_next(w->shared->table, w->now, &cursor, &entry); shown++) {
		stable += station_of(&entry.mac) <= STABLE;
		w->misplaced += !right_place(station_of(&entry.mac), entry.place);
	}
	w->bad_walks += stable != STABLE;
}

static void *run_reader(void *arg)
{
	struct worker *w = arg;

	while (atomic_load_explicit(&w->shared->writers, memory_order_relaxed) > 0) {
		w->now += 10; /* a refresh now and then */
		for (int i = 0; i < 8; i++)
			look_up(w, draw_fleeting(w));
		uint16_t stable = (uint16_t)(1 + draw(w, STABLE));
		look_up(w, stable);
		w->relearned += learn(w, stable, STABLE_PORT) != VS_MAC_KNOWN;
		if (draw(w, 256) == 0)
			walk(w);
	}
	return NULL;
}

/* --- The test ----------------------------------------------------------------------------------------------------- */

static struct vs_mactable *make_table(void)
{
	struct vs_mactable_config config = {
		.entries = ENTRIES,
		.aging_usec = VS_MAC_AGING_MAX,
		.ports = PORTS,
		.hash_seed = 1,
	};
	struct vs_mactable *table = vs_mactable_new(&config);

	assert_non_null(table);
	return table;
}

static void assert_books_balance(const struct vs_mactable *table)
{
	struct vs_mactable_stats stats, of_port;
	struct vs_mac_entry entry;
	uint32_t shown = 0, owned = 0;

	vs_mactable_stats(table, &stats);
	for (uint32_t cursor = 0; vs_mactable_next(table, 0, &cursor, &entry); shown++)
		;
	for (uint16_t port = 0; port < PORTS; port++) {
		vs_mactable_port_stats(table, port, &of_port);
		owned += of_port.entries;
	}
	assert_int_equal(stats.entries, shown);
	assert_int_equal(stats.entries, owned);
	assert_int_equal(stats.learned, stats.entries + stats.evicted + stats.flushed + stats.aged);
	/* The writers did what they are there for. */
	assert_true(stats.evicted > 10000 && stats.moved > 10000 && stats.flushed > 100);
	assert_int_equal(stats.aged, 0);
}

static void test_readers_beside_writers(void **state)
{
	(void)state;
	struct shared shared = { .table = make_table() };
	struct worker workers[WRITERS + READERS];

	memset(workers, 0, sizeof(workers));
	atomic_init(&shared.writers, WRITERS);
	for (unsigned i = 0; i < VS_ARRAY_SIZE(workers); i++) {
		workers[i].shared = &shared;
		workers[i].seed = i + 1;
		workers[i].first_port = (uint16_t)(1 + i * WRITER_PORTS);
	}
	/* First, so that they are at the ends of their chains, behind all that comes and goes. */
	for (uint16_t station = 1; station <= STABLE; station++)
		assert_int_equal(learn(&workers[0], station, STABLE_PORT), VS_MAC_NEW);
	for (unsigned i = 0; i < VS_ARRAY_SIZE(workers); i++)
		assert_int_equal(vs_thread_start(&workers[i].thread, "mactable",
						 i < WRITERS ? run_writer : run_reader, &workers[i]), 0);
	for (unsigned i = 0; i < VS_ARRAY_SIZE(workers); i++)
		pthread_join(workers[i].thread, NULL);

	for (unsigned i = WRITERS; i < VS_ARRAY_SIZE(workers); i++) {
		const struct worker *w = &workers[i];
		assert_int_equal(w->misplaced, 0);
		assert_int_equal(w->missing, 0);
		assert_int_equal(w->relearned, 0);
		assert_int_equal(w->bad_walks, 0);
		assert_true(w->found > 0);
	}
	assert_books_balance(shared.table);
	vs_mactable_free(shared.table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_readers_beside_writers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
