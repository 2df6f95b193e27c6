#include "link/peertable.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

struct named {
	uint8_t bytes[VS_KEY_SIZE];
};

static struct named key_of(uint32_t n)
{
	struct named key = { 0 };

	vs_put_be32(key.bytes, n * 2654435761u);
	return key;
}

static const uint8_t no_psk[VS_KEY_SIZE];

static void test_set_lookup_remove(void **state)
{
	struct vs_peertable table;

	(void)state;
	assert_int_equal(vs_peertable_init(&table, 100), 0);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(vs_peertable_set(&table, key_of(i).bytes, no_psk, i, 1), 0);
	assert_int_equal(vs_peertable_set(&table, key_of(100).bytes, no_psk, 100, 1), -ENOSPC);
	for (uint32_t i = 0; i < 100; i += 2)
		assert_true(vs_peertable_remove(&table, key_of(i).bytes));
	assert_false(vs_peertable_remove(&table, key_of(0).bytes));
	for (uint32_t i = 0; i < 100; i++) {
		const struct vs_peer *peer = vs_peertable_lookup(&table, key_of(i).bytes);

		assert_int_equal(peer != NULL, i % 2);
		if (peer)
			assert_int_equal(peer->user, i);
	}
	vs_peertable_fini(&table);
}

static void test_update_keeps_stamps(void **state)
{
	const uint8_t psk[VS_KEY_SIZE] = {5}, id[VS_LINK_ID_SIZE] = {1};
	struct vs_peertable table;

	(void)state;
	assert_int_equal(vs_peertable_init(&table, 1), 0);
	assert_int_equal(vs_peertable_set(&table, key_of(1).bytes, no_psk, 1, 1), 0);
	struct vs_peer *peer = vs_peertable_lookup(&table, key_of(1).bytes);
	vs_peer_stamp_record(peer, id, 500);
	assert_int_equal(vs_peertable_set(&table, key_of(1).bytes, psk, 2, 100), 0);
	peer = vs_peertable_lookup(&table, key_of(1).bytes);
	assert_int_equal(peer->user, 2);
	assert_memory_equal(peer->psk, psk, VS_KEY_SIZE);
	assert_int_equal(peer->stamps_max, 200);
	assert_false(vs_peer_stamp_is_new(peer, id, 500));
	assert_int_equal(vs_peertable_set(&table, key_of(1).bytes, psk, 2, UINT32_MAX), 0);
	assert_int_equal(peer->stamps_max, VS_PEER_STAMPS_MAX);
	vs_peertable_fini(&table);
}

static void test_stamps(void **state)
{
	const uint8_t a[VS_LINK_ID_SIZE] = {1}, b[VS_LINK_ID_SIZE] = {2};
	struct vs_peertable table;

	(void)state;
	assert_int_equal(vs_peertable_init(&table, 1), 0);
	assert_int_equal(vs_peertable_set(&table, key_of(1).bytes, no_psk, 1, 1), 0);
	struct vs_peer *peer = vs_peertable_lookup(&table, key_of(1).bytes);
	assert_true(vs_peer_stamp_is_new(peer, a, 1));
	vs_peer_stamp_record(peer, a, 100);
	assert_false(vs_peer_stamp_is_new(peer, a, 99));
	assert_false(vs_peer_stamp_is_new(peer, a, 100));
	assert_true(vs_peer_stamp_is_new(peer, a, 101));
	assert_true(vs_peer_stamp_is_new(peer, b, 50));
	vs_peer_stamp_record(peer, a, 30);
	assert_false(vs_peer_stamp_is_new(peer, a, 100));
	vs_peertable_fini(&table);
}

/* The link unused longest goes, and what is forgotten is not let in again. */
static void test_stamps_evict(void **state)
{
	struct vs_peertable table;
	uint8_t id[VS_LINK_ID_SIZE] = { 0 };

	(void)state;
	assert_int_equal(vs_peertable_init(&table, 1), 0);
	assert_int_equal(vs_peertable_set(&table, key_of(1).bytes, no_psk, 1, 1), 0);
	struct vs_peer *peer = vs_peertable_lookup(&table, key_of(1).bytes);
	for (uint8_t i = 0; i < VS_PEER_STAMPS_MIN; i++) {
		id[0] = i;
		vs_peer_stamp_record(peer, id, 1000u + i);
	}
	id[0] = 0; /* the first is used again, so the second is the oldest */
	vs_peer_stamp_record(peer, id, 2000);
	id[0] = 200;
	assert_true(vs_peer_stamp_is_new(peer, id, 1));
	vs_peer_stamp_record(peer, id, 3000);
	assert_int_equal(peer->stamps_len, VS_PEER_STAMPS_MIN);

	id[0] = 1;
	assert_false(vs_peer_stamp_is_new(peer, id, 1001));
	assert_true(vs_peer_stamp_is_new(peer, id, 1002));
	id[0] = 0;
	assert_false(vs_peer_stamp_is_new(peer, id, 2000));
	id[0] = 2;
	assert_false(vs_peer_stamp_is_new(peer, id, 1002));
	vs_peertable_fini(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_lookup_remove),
		cmocka_unit_test(test_update_keeps_stamps),
		cmocka_unit_test(test_stamps),
		cmocka_unit_test(test_stamps_evict),
	};

	return cmocka_run_group_tests_name("peertable", tests, NULL, NULL);
}
