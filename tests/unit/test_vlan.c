#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "switch/vlan.h"

#define UNTAGGED (-1)
#define REFUSED (-1)

static struct vs_vlan_rule make_rule(enum vs_vlan_mode mode, uint16_t vid, const char *members)
{
	struct vs_vlan_rule rule = { .mode = mode, .vid = vid };

	if (members)
		assert_int_equal(vs_vlan_set_parse(members, &rule.members), 0);
	return rule;
}

static void test_set_parse_and_format(void **state)
{
	(void)state;
	static const struct {
		const char *text, *canonical;
	} rows[] = {
		{ "1", "1" },
		{ "4094", "4094" },
		{ "1-4094", "1-4094" },
		{ " 30 , 10 - 12,20 ", "10-12,20,30" },
		{ "10,11,12,14", "10-12,14" },
		{ "5-5,63-65", "5,63-65" },
		{ "10,10,9-11", "9-11" },
	};

	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		struct vs_vlan_set set;
		char text[64];

		assert_int_equal(vs_vlan_set_parse(rows[i].text, &set), 0);
		assert_string_equal(vs_vlan_set_format(&set, text, sizeof(text)), rows[i].canonical);
	}
}

static void test_set_parse_refuses(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"", " ", ",", "0", "4095", "10,", ",10", "10,,20", "20-10", "10-", "-10", "10-20-30", "a", "10 20",
		"+1", "1.5", "99999999999999999999", "10;20",
	};
	struct vs_vlan_set set = { 0 };

	vs_vlan_set_add(&set, 7);
	for (size_t i = 0; i < VS_ARRAY_SIZE(bad); i++)
		assert_int_equal(vs_vlan_set_parse(bad[i], &set), -EINVAL);
	assert_true(vs_vlan_set_has(&set, 7));
}

static void test_set_format_is_cut(void **state)
{
	(void)state;
	struct vs_vlan_set set;
	char text[6] = "xxxxx";

	assert_int_equal(vs_vlan_set_parse("100,200,300", &set), 0);
	assert_string_equal(vs_vlan_set_format(&set, text, sizeof(text)), "100,2");
	assert_string_equal(vs_vlan_set_format(&(struct vs_vlan_set){ 0 }, text, sizeof(text)), "");
}

static void test_rule_check(void **state)
{
	(void)state;
	const struct {
		struct vs_vlan_rule rule;
		int result;
	} rows[] = {
		{ make_rule(VS_VLAN_TRANSPARENT, 0, NULL), 0 },
		{ make_rule(VS_VLAN_TRANSPARENT, 1, NULL), -EINVAL },
		{ make_rule(VS_VLAN_ACCESS, 1, NULL), 0 },
		{ make_rule(VS_VLAN_ACCESS, 4094, NULL), 0 },
		{ make_rule(VS_VLAN_ACCESS, 0, NULL), -EINVAL },
		{ make_rule(VS_VLAN_ACCESS, 4095, NULL), -EINVAL },
		{ make_rule(VS_VLAN_TRUNK, 0, "10"), 0 },
		{ make_rule(VS_VLAN_TRUNK, 5, "10"), 0 },
		{ make_rule(VS_VLAN_TRUNK, 4095, "10"), -EINVAL },
		{ make_rule(VS_VLAN_TRUNK, 5, NULL), -EINVAL },
		{ { .mode = VS_VLAN_TRUNK, .members = { { 1 } } }, -EINVAL },
		{ { .mode = (enum vs_vlan_mode)9 }, -EINVAL },
	};

	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++)
		assert_int_equal(vs_vlan_rule_check(&rows[i].rule), rows[i].result);
}

static void test_rule_equal(void **state)
{
	(void)state;
	struct vs_vlan_rule access = make_rule(VS_VLAN_ACCESS, 10, NULL);
	struct vs_vlan_rule with_members = make_rule(VS_VLAN_ACCESS, 10, "20"); /* which access ignores */
	struct vs_vlan_rule other = make_rule(VS_VLAN_ACCESS, 11, NULL);
	struct vs_vlan_rule trunk = make_rule(VS_VLAN_TRUNK, 10, "20");
	struct vs_vlan_rule trunk2 = make_rule(VS_VLAN_TRUNK, 10, "20,30");

	assert_true(vs_vlan_rule_equal(&access, &with_members));
	assert_false(vs_vlan_rule_equal(&access, &other));
	assert_false(vs_vlan_rule_equal(&with_members, &trunk));
	assert_false(vs_vlan_rule_equal(&trunk, &trunk2));
	assert_true(vs_vlan_rule_equal(&trunk2, &trunk2));
}

static void test_ingress(void **state)
{
	(void)state;
	const struct {
		struct vs_vlan_rule rule;
		int tci, vlan;
	} rows[] = {
		{ make_rule(VS_VLAN_TRANSPARENT, 0, NULL), UNTAGGED, 0 },
		{ make_rule(VS_VLAN_TRANSPARENT, 0, NULL), 0xe000, 0 },
		{ make_rule(VS_VLAN_TRANSPARENT, 0, NULL), 0xe00a, 10 },
		{ make_rule(VS_VLAN_TRANSPARENT, 0, NULL), 0x0fff, REFUSED },
		{ make_rule(VS_VLAN_ACCESS, 10, NULL), UNTAGGED, 10 },
		{ make_rule(VS_VLAN_ACCESS, 10, NULL), 0xe000, 10 },
		{ make_rule(VS_VLAN_ACCESS, 10, NULL), 0xe00a, 10 },
		{ make_rule(VS_VLAN_ACCESS, 10, NULL), 11, REFUSED },
		{ make_rule(VS_VLAN_ACCESS, 10, NULL), 0x0fff, REFUSED },
		{ make_rule(VS_VLAN_TRUNK, 0, "10,20"), UNTAGGED, REFUSED },
		{ make_rule(VS_VLAN_TRUNK, 0, "10,20"), 0xe000, REFUSED },
		{ make_rule(VS_VLAN_TRUNK, 0, "10,20"), 20, 20 },
		{ make_rule(VS_VLAN_TRUNK, 0, "10,20"), 15, REFUSED },
		{ make_rule(VS_VLAN_TRUNK, 0, "10,20"), 0x0fff, REFUSED },
		{ make_rule(VS_VLAN_TRUNK, 5, "10,20"), UNTAGGED, 5 },
		{ make_rule(VS_VLAN_TRUNK, 5, "10,20"), 0xe000, 5 },
		{ make_rule(VS_VLAN_TRUNK, 5, "10,20"), 5, 5 },
		{ make_rule(VS_VLAN_TRUNK, 5, "10,20"), 10, 10 },
	};

	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		struct vs_eth eth = { .tagged = rows[i].tci != UNTAGGED };
		uint16_t vlan = 0;

		if (eth.tagged)
			eth.tci = (uint16_t)rows[i].tci;
		assert_int_equal(vs_vlan_ingress(&rows[i].rule, &eth, &vlan), rows[i].vlan != REFUSED);
		if (rows[i].vlan != REFUSED)
			assert_int_equal(vlan, rows[i].vlan);
	}
}

static void test_egress(void **state)
{
	(void)state;
	const struct {
		struct vs_vlan_rule rule;
		uint16_t vlan;
		enum vs_vlan_form form;
	} rows[] = {
		{ make_rule(VS_VLAN_TRANSPARENT, 0, NULL), 0, VS_VLAN_UNCHANGED },
		{ make_rule(VS_VLAN_TRANSPARENT, 0, NULL), 10, VS_VLAN_TAGGED },
		{ make_rule(VS_VLAN_ACCESS, 10, NULL), 0, VS_VLAN_REFUSED },
		{ make_rule(VS_VLAN_ACCESS, 10, NULL), 10, VS_VLAN_UNTAGGED },
		{ make_rule(VS_VLAN_ACCESS, 10, NULL), 11, VS_VLAN_REFUSED },
		{ make_rule(VS_VLAN_TRUNK, 0, "10,20"), 0, VS_VLAN_REFUSED },
		{ make_rule(VS_VLAN_TRUNK, 0, "10,20"), 10, VS_VLAN_TAGGED },
		{ make_rule(VS_VLAN_TRUNK, 0, "10,20"), 15, VS_VLAN_REFUSED },
		{ make_rule(VS_VLAN_TRUNK, 10, "10,20"), 10, VS_VLAN_UNTAGGED },
		{ make_rule(VS_VLAN_TRUNK, 5, "10,20"), 5, VS_VLAN_UNTAGGED },
		{ make_rule(VS_VLAN_TRUNK, 5, "10,20"), 20, VS_VLAN_TAGGED },
	};

	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++)
		assert_int_equal(vs_vlan_egress(&rows[i].rule, rows[i].vlan), rows[i].form);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_parse_and_format),
		cmocka_unit_test(test_set_parse_refuses),
		cmocka_unit_test(test_set_format_is_cut),
		cmocka_unit_test(test_rule_check),
		cmocka_unit_test(test_rule_equal),
		cmocka_unit_test(test_ingress),
		cmocka_unit_test(test_egress),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
