#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/indextable.h"

static int owners[2];

static void test_take_and_lookup(void **state)
{
	(void)state;
	struct vs_indextable *table = vs_indextable_new(3);
	uint32_t a, b;
	assert_null(vs_indextable_lookup(table, 0));
	assert_int_equal(vs_indextable_take(table, &owners[0], &a), 0);
	assert_int_equal(vs_indextable_take(table, &owners[1], &b), 0);
	assert_int_not_equal(a, b);
	assert_int_equal(a & 0xff, 3);
	assert_true(a <= VS_INDEX_MAX && b <= VS_INDEX_MAX);
	assert_ptr_equal(vs_indextable_lookup(table, a), &owners[0]);
	assert_ptr_equal(vs_indextable_lookup(table, b), &owners[1]);
	/* The same slot of another worker, and slots that there are not. */
	assert_null(vs_indextable_lookup(table, a ^ 1));
	assert_null(vs_indextable_lookup(table, VS_INDEX_MAX));
	assert_null(vs_indextable_lookup(table, UINT32_MAX));
	vs_indextable_assign(table, a, NULL);
	vs_indextable_assign(table, a, NULL);
	assert_null(vs_indextable_lookup(table, a));
	assert_int_equal(vs_indextable_count(table), 1);
	vs_indextable_free(table);
}

static void test_an_index_is_not_reused_soon(void **state)
{
	(void)state;
	struct vs_indextable *table = vs_indextable_new(0);
	uint32_t first, next;
	assert_int_equal(vs_indextable_take(table, owners, &first), 0);
	vs_indextable_assign(table, first, NULL);
	for (int i = 0; i < 30; i++) {
		assert_int_equal(vs_indextable_take(table, owners, &next), 0);
		assert_int_not_equal(next, first);
		vs_indextable_assign(table, next, NULL);
	}
	vs_indextable_free(table);
}

static void test_all_slots_can_be_taken(void **state)
{
	(void)state;
	struct vs_indextable *table = vs_indextable_new(0);
	uint32_t index;
	for (uint32_t i = 0; i < VS_INDEX_SLOTS_MAX; i++)
		assert_int_equal(vs_indextable_take(table, owners, &index), 0);
	assert_int_equal(vs_indextable_take(table, owners, &index), -ENOSPC);
	assert_int_equal(vs_indextable_count(table), VS_INDEX_SLOTS_MAX);
	vs_indextable_assign(table, 77 << VS_INDEX_WORKER_BITS, NULL);
	assert_int_equal(vs_indextable_take(table, owners, &index), 0);
	assert_int_equal(index, 77 << VS_INDEX_WORKER_BITS);
	vs_indextable_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_take_and_lookup),
		cmocka_unit_test(test_an_index_is_not_reused_soon),
		cmocka_unit_test(test_all_slots_can_be_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
