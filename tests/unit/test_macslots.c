/* switch/macslots: what a reader finds while slots go and are used again under it. Threads show such moments by chance
 * only (net/test_mactable_threads.c); here every one of them is tried: this file has a copy of the code of its own, in
 * which each atomic load first lets a writer in, who makes each of a few changes at each of up to three moments, and
 * each atomic store lets a reader in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void let_writer_in(void);
static void let_reader_in(void);

#undef atomic_load_explicit
#define atomic_load_explicit(object, order) (let_writer_in(), *(object))
#undef atomic_store_explicit
#define atomic_store_explicit(object, value, order) \
	do {                                        \
		*(object) = (value);                \
		let_reader_in();                    \
	} while (0)
#include "../common/switch/macslots.c"

#define ENTRIES 16

/* The slot that changes hands, and two that are always the same entry's. */
enum { SLOT, SLOT_LAST, SLOT_RESIDENT, SLOT_SPARE };

struct bench {
	struct vs_macslots slots;
	/* Of one chain: `last` is always at its end, `coming` and `rival` come and go ahead of it, `absent` is never
	 * there. Of another: `resident` is always at its end, `other` comes and goes ahead of it. */
	uint64_t last, coming, rival, absent, resident, other;
};

/* A place names the key that it was given to. */
static uint64_t place_of(uint64_t key, unsigned version)
{
	return key << 8 | version;
}

static void put(struct bench *b, unsigned slot, uint64_t key, unsigned version)
{
	vs_macslots_insert(&b->slots, &b->slots.slots[slot], key, place_of(key, version));
}

static void take(struct bench *b, unsigned slot)
{
	vs_macslots_remove(&b->slots, &b->slots.slots[slot]);
}

/* The next key after `after` that is, or is not, of the chain of `like`. */
static uint64_t next_key(const struct bench *b, uint64_t after, uint64_t like, bool same_chain)
{
	do {
		after++;
	} while ((chain_of(&b->slots, after) == chain_of(&b->slots, like)) != same_chain);
	return after;
}

static int setup(void **state)
{
	static struct bench bench;
	struct bench *b = &bench;

	if (vs_macslots_init(&b->slots, ENTRIES, 1))
		return -1;
	b->last = 1;
	b->coming = next_key(b, b->last, b->last, true);
	b->rival = next_key(b, b->coming, b->last, true);
	b->absent = next_key(b, b->rival, b->last, true);
	b->resident = next_key(b, b->absent, b->last, false);
	b->other = next_key(b, b->resident, b->resident, true);
	put(b, SLOT_LAST, b->last, 0);
	put(b, SLOT_RESIDENT, b->resident, 0);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	vs_macslots_fini(&b->slots);
	return 0;
}

/* --- The writer --------------------------------------------------------------------------------------------------- */

enum change {
	GO,
	COME,
	BE_RIVAL,
	BE_OTHER,
	MOVE,
	CHANGES,
};

#define MOMENTS 12 /* looked at; a lookup here makes about ten loads, more where it is led astray */
#define AT_ONCE 3  /* changes in one lookup */

static struct {
	struct bench *bench;
	enum change changes[AT_ONCE];
	unsigned moments[AT_ONCE], now;
	unsigned version;
	bool inside;   /* a lookup */
	bool busy;     /* with a change */
	bool was_gone; /* `coming`, at some moment */
} writer;

static void make(struct bench *b, enum change change)
{
	struct vs_macslot *slot = &b->slots.slots[SLOT];
	uint64_t keys[] = { [GO] = 0, [COME] = b->coming, [BE_RIVAL] = b->rival, [BE_OTHER] = b->other };
	uint64_t key = vs_macslot_key(slot);

	writer.version++;
	if (change == MOVE) {
		if (key)
			vs_macslot_set_place(slot, place_of(key, writer.version));
		return;
	}
	if (key)
		take(b, SLOT);
	if (keys[change])
		put(b, SLOT, keys[change], writer.version);
	writer.was_gone = true;
}

/* Whoever comes in the middle of a change finds what has nothing to do with it. */
static void let_reader_in(void)
{
	struct bench *b = writer.bench;

	if (!writer.busy)
		return;
	assert_int_equal(vs_macslots_lookup(&b->slots, b->last), place_of(b->last, 0));
	assert_int_equal(vs_macslots_lookup(&b->slots, b->resident), place_of(b->resident, 0));
	assert_true(vs_macslots_lookup(&b->slots, b->absent) == VS_MACSLOTS_NOWHERE);
}

static void let_writer_in(void)
{
	if (!writer.inside)
		return;
	writer.inside = false;
	writer.busy = true;
	for (unsigned i = 0; i < AT_ONCE; i++)
		if (writer.moments[i] == writer.now)
			make(writer.bench, writer.changes[i]);
	writer.now++;
	writer.busy = false;
	writer.inside = true;
}

/* --- Tests -------------------------------------------------------------------------------------------------------- */

static void reset(struct bench *b)
{
	make(b, GO);
	writer.version = 0;
	put(b, SLOT, b->coming, 0);
	writer.bench = b;
	writer.now = 0;
	writer.was_gone = false;
}

static void check(const struct bench *b, uint64_t key, uint64_t place)
{
	bool always = key == b->last || key == b->resident || (key == b->coming && !writer.was_gone);

	if (always || place != VS_MACSLOTS_NOWHERE)
		assert_int_equal(place >> 8, key);
	if (key == b->absent)
		assert_true(place == VS_MACSLOTS_NOWHERE);
}

static void look_up_all(struct bench *b)
{
	const uint64_t keys[] = { b->last, b->coming, b->rival, b->absent, b->resident, b->other };

	for (unsigned i = 0; i < VS_ARRAY_SIZE(keys); i++) {
		reset(b);
		writer.inside = true;
		uint64_t place = vs_macslots_lookup(&b->slots, keys[i]);
		writer.inside = false;
		check(b, keys[i], place);
	}
}

/* Every sequence of three changes. */
static void make_all_changes(struct bench *b)
{
	for (unsigned n = 0; n < CHANGES * CHANGES * CHANGES; n++) {
		writer.changes[0] = n % CHANGES;
		writer.changes[1] = n / CHANGES % CHANGES;
		writer.changes[2] = n / CHANGES / CHANGES;
		look_up_all(b);
	}
}

static void test_changes_at_every_moment(void **state)
{
	struct bench *b = *state;
	unsigned *at = writer.moments;

	for (at[0] = 0; at[0] < MOMENTS; at[0]++)
		for (at[1] = at[0]; at[1] < MOMENTS; at[1]++)
			for (at[2] = at[1]; at[2] < MOMENTS; at[2]++)
				make_all_changes(b);
}

/* A reader who is led astray over and over gives up, instead of running behind the writers for ever. */
static void test_a_lookup_ends(void **state)
{
	struct bench *b = *state;
	struct vs_macslot *spare = &b->slots.slots[SLOT_SPARE];

	put(b, SLOT_SPARE, b->rival, 0);
	/* A chain whose end never comes. */
	atomic_store(&spare->next, SLOT_SPARE);
	assert_true(vs_macslots_lookup(&b->slots, b->last) == VS_MACSLOTS_NOWHERE);
	/* One that is another chain's every time. */
	atomic_store(&spare->next, b->slots.slots[SLOT_RESIDENT].next);
	assert_true(vs_macslots_lookup(&b->slots, b->last) == VS_MACSLOTS_NOWHERE);
	atomic_store(&spare->next, SLOT_LAST);
	assert_int_equal(vs_macslots_lookup(&b->slots, b->last), place_of(b->last, 0));
}

/* Who stands on a slot that goes comes back to its chain. */
static void test_a_free_slot_keeps_its_link(void **state)
{
	struct bench *b = *state;
	struct vs_macslot *slot = &b->slots.slots[SLOT];

	put(b, SLOT, b->coming, 0);
	assert_ptr_equal(vs_macslots_find(&b->slots, b->coming), slot);
	take(b, SLOT);
	assert_null(vs_macslots_find(&b->slots, b->coming));
	assert_int_equal(slot->next, SLOT_LAST);
	assert_int_equal(vs_macslot_key(slot), 0);
	assert_true(vs_macslot_place_of(slot, b->coming) == VS_MACSLOTS_NOWHERE);
	assert_int_equal(vs_macslots_lookup(&b->slots, b->last), place_of(b->last, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_changes_at_every_moment, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_lookup_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_free_slot_keeps_its_link, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
