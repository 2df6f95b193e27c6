#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vswitchc/targets.h"

static struct vs_addr address(const char *text)
{
	struct vs_addr addr;
	assert_int_equal(vs_addr_parse(text, 7000, &addr), 0);
	return addr;
}

static void two_servers(struct vs_targets *targets)
{
	struct vs_endpoint_list servers = { .n = 2, .item = { { .host = "first" }, { .host = "second" } } };
	vs_targets_init(targets, &servers);
}

static void expect_next(struct vs_targets *targets, const char *text)
{
	struct vs_addr got, wanted = address(text);
	assert_true(vs_targets_next(targets, &got));
	assert_true(vs_addr_equal(&got, &wanted));
}

static void test_all_addresses_of_all_servers_in_order(void **state)
{
	(void)state;
	struct vs_targets targets;
	struct vs_addr addr, first[] = { address("192.0.2.1"), address("2001:db8::1") }, second[] = { address("192.0.2.2") };
	two_servers(&targets);
	for (int round = 0; round < 2; round++) {
		/* Each name is resolved when its turn comes, each time. */
		assert_false(vs_targets_next(&targets, &addr));
		assert_string_equal(vs_targets_wanted(&targets)->host, "first");
		vs_targets_resolved(&targets, first, 2);
		expect_next(&targets, "192.0.2.1");
		expect_next(&targets, "2001:db8::1");
		assert_false(vs_targets_next(&targets, &addr));
		assert_string_equal(vs_targets_wanted(&targets)->host, "second");
		vs_targets_resolved(&targets, second, 1);
		expect_next(&targets, "192.0.2.2");
		assert_false(vs_targets_next(&targets, &addr));
	}
}

static void test_a_name_that_does_not_resolve_gives_way(void **state)
{
	(void)state;
	struct vs_targets targets;
	two_servers(&targets);
	vs_targets_resolved(&targets, NULL, 0);
	assert_string_equal(vs_targets_wanted(&targets)->host, "second");
	vs_targets_resolved(&targets, NULL, 0);
	assert_string_equal(vs_targets_wanted(&targets)->host, "first");
}

static void test_restart_prefers_the_first(void **state)
{
	(void)state;
	struct vs_targets targets;
	struct vs_addr addr, second[] = { address("192.0.2.2"), address("192.0.2.3") };
	two_servers(&targets);
	vs_targets_resolved(&targets, NULL, 0);
	vs_targets_resolved(&targets, second, 2);
	expect_next(&targets, "192.0.2.2");
	vs_targets_restart(&targets);
	assert_false(vs_targets_next(&targets, &addr));
	assert_string_equal(vs_targets_wanted(&targets)->host, "first");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_addresses_of_all_servers_in_order),
		cmocka_unit_test(test_a_name_that_does_not_resolve_gives_way),
		cmocka_unit_test(test_restart_prefers_the_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
