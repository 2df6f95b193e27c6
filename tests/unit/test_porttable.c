#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "switch/porttable.h"

static struct vs_port_config make_config(const char *name)
{
	struct vs_port_config config = VS_PORT_CONFIG_DEFAULT;

	snprintf(config.name, sizeof(config.name), "%s", name);
	return config;
}

static struct vs_port *add(struct vs_porttable *table, const char *name)
{
	struct vs_port_config config = make_config(name);
	struct vs_port *port = NULL;

	assert_int_equal(vs_porttable_add(table, &config, 0, &port), 0);
	assert_non_null(port);
	return port;
}

static void test_add_and_find(void **state)
{
	(void)state;
	struct vs_porttable *table = vs_porttable_new(8, 1);
	struct vs_port *a = add(table, "a");
	struct vs_port *b = add(table, "b");

	assert_int_equal(a->id, 0);
	assert_int_equal(b->id, 1);
	assert_false(a->up);
	assert_int_equal(vs_port_config_of(a)->vlan.mode, VS_VLAN_TRANSPARENT);
	assert_ptr_equal(vs_porttable_find(table, "b"), b);
	assert_null(vs_porttable_find(table, "c"));
	assert_ptr_equal(vs_porttable_get(table, 0), a);
	assert_null(vs_porttable_get(table, 2));
	assert_null(vs_porttable_get(table, 8));
	assert_null(vs_porttable_get(table, UINT16_MAX));
	assert_int_equal(vs_porttable_count(table), 2);
	vs_porttable_free(table);
}

static void test_refused_configs(void **state)
{
	(void)state;
	struct vs_porttable *table = vs_porttable_new(8, 1);
	struct vs_port *a = add(table, "a"), *b = add(table, "b"), *none = NULL;
	struct vs_port_config config = make_config("");

	assert_int_equal(vs_porttable_add(table, &config, 0, &none), -EINVAL);
	memset(config.name, 'x', sizeof(config.name)); /* no NUL */
	assert_int_equal(vs_porttable_add(table, &config, 0, &none), -EINVAL);
	config = make_config("c");
	config.vlan = (struct vs_vlan_rule){ .mode = VS_VLAN_ACCESS, .vid = 4095 };
	assert_int_equal(vs_porttable_add(table, &config, 0, &none), -EINVAL);
	config = make_config("c");
	config.frame_max = VS_PORT_FRAME_MAX_LEAST - 1;
	assert_int_equal(vs_porttable_add(table, &config, 0, &none), -EINVAL);
	config = make_config("b");
	assert_int_equal(vs_porttable_add(table, &config, 0, &none), -EEXIST);
	assert_int_equal(vs_porttable_configure(table, a, &config), -EEXIST);
	assert_string_equal(vs_port_config_of(a)->name, "a");
	assert_int_equal(vs_porttable_configure(table, b, &config), 0); /* its own name is not taken */
	assert_null(none);
	assert_int_equal(vs_porttable_count(table), 2);
	vs_porttable_free(table);
}

static void test_configure_keeps_state(void **state)
{
	(void)state;
	struct vs_porttable *table = vs_porttable_new(8, 1);
	struct vs_port *a = add(table, "a");
	struct vs_port_config config = make_config("renamed");
	uint16_t generation = a->generation;

	vs_porttable_set_up(table, a, true);
	a->counters.frames_in = 5;
	config.isolated = true;
	assert_int_equal(vs_porttable_configure(table, a, &config), 0);
	assert_true(a->up);
	assert_true(vs_port_config_of(a)->isolated);
	assert_int_equal(a->counters.frames_in, 5);
	assert_int_equal(a->generation, generation);
	assert_ptr_equal(vs_porttable_find(table, "renamed"), a);
	assert_null(vs_porttable_find(table, "a"));
	vs_porttable_free(table);
}

static void test_ids_are_reused_with_a_new_generation(void **state)
{
	(void)state;
	struct vs_porttable *table = vs_porttable_new(4, 1);

	add(table, "a");
	struct vs_port *b = add(table, "b");
	add(table, "c");
	uint16_t generation = b->generation;
	vs_porttable_set_up(table, b, true);
	b->counters.frames_in = 1;
	vs_porttable_remove(table, b);
	assert_null(vs_porttable_get(table, 1));
	assert_null(vs_porttable_next_up(table, 0, 0));

	struct vs_port *d = add(table, "d");
	assert_int_equal(d->id, 1);
	assert_int_not_equal(d->generation, generation);
	assert_false(d->up);
	assert_int_equal(d->counters.frames_in, 0);
	vs_porttable_free(table);
}

static void test_stated_maximum(void **state)
{
	(void)state;
	struct vs_porttable *table = vs_porttable_new(1, 1);
	struct vs_port_config config = make_config("last");
	struct vs_port *port;

	add(table, "a");
	assert_int_equal(vs_porttable_add(table, &config, 0, &port), -ENOSPC);
	vs_porttable_remove(table, vs_porttable_get(table, 0));
	assert_int_equal(vs_porttable_add(table, &config, 0, &port), 0);
	vs_porttable_free(table);
}

/* Every port once, in order of ids, over the edges of the words that the sets are kept in. */
static void test_iteration(void **state)
{
	(void)state;
	struct vs_porttable *table = vs_porttable_new(200, 1);

	for (int i = 0; i < 200; i++) {
		char name[16];
		snprintf(name, sizeof(name), "p%d", i);
		struct vs_port *port = add(table, name);
		vs_porttable_set_up(table, port, i % 63 == 0);
	}
	uint32_t seen = 0;
	for (struct vs_port *p = vs_porttable_next(table, 0); p; p = vs_porttable_next(table, p->id + 1u))
		assert_int_equal(p->id, seen++);
	assert_int_equal(seen, 200);

	seen = 0;
	for (struct vs_port *p = vs_porttable_next_up(table, 0, 0); p; p = vs_porttable_next_up(table, 0, p->id + 1u))
		assert_int_equal(p->id, 63 * seen++);
	assert_int_equal(seen, 4); /* 0, 63, 126, 189 */
	assert_null(vs_porttable_next(table, VS_PORTS_MAX));
	vs_porttable_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add_and_find),
		cmocka_unit_test(test_refused_configs),
		cmocka_unit_test(test_configure_keeps_state),
		cmocka_unit_test(test_ids_are_reused_with_a_new_generation),
		cmocka_unit_test(test_stated_maximum),
		cmocka_unit_test(test_iteration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
