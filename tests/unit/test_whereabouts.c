/* io/whereabouts: finds what it was told last, and forgets the oldest when it is full. */
#include "io/whereabouts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct vs_whereabouts where;

static struct vs_conn conn_of(uint32_t number)
{
	struct vs_conn conn;
	struct vs_addr peer = { .in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000000 + number) } };
	struct vs_addr local = { .in = { .sin_family = AF_INET, .sin_port = htons(443) } };

	vs_conn_init(&conn, VS_CARRIER_FAKETCP, &peer, &local, NULL);
	return conn;
}

static void note(uint32_t number, unsigned worker)
{
	struct vs_conn conn = conn_of(number);

	assert_int_equal(vs_whereabouts_note(&where, &conn, worker), 0);
}

/* The worker; -1: nobody knows. */
static int find(uint32_t number)
{
	struct vs_conn conn = conn_of(number);
	unsigned worker;

	return vs_whereabouts_find(&where, &conn.peer, &conn.local, &worker) ? (int)worker : -1;
}

static void test_finds_the_last(void **state)
{
	(void)state;
	vs_whereabouts_init(&where);
	assert_int_equal(find(1), -1);
	note(1, 5);
	note(2, 6);
	assert_int_equal(find(1), 5);
	note(1, 7);
	assert_int_equal(find(1), 7);
	assert_int_equal(find(2), 6);
	vs_whereabouts_fini(&where);
}

static void test_is_bounded(void **state)
{
	(void)state;
	vs_whereabouts_init(&where);
	for (uint32_t i = 0; i < VS_CONNTABLE_MAX; i++)
		note(i, i % 4);
	note(0, 9); /* is the newest now */
	assert_int_equal(find(1), 1);
	note(VS_CONNTABLE_MAX, 8);
	assert_int_equal(find(1), -1);
	assert_int_equal(find(0), 9);
	assert_int_equal(find(2), 2);
	assert_int_equal(find(VS_CONNTABLE_MAX), 8);
	vs_whereabouts_fini(&where);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_finds_the_last),
		cmocka_unit_test(test_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
