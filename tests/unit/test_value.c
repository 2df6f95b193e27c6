#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/time.h"
#include "io/nearest.h"
#include "io/value.h"

static void test_bool(void **state)
{
	bool b;
	(void)state;

	assert_int_equal(vs_parse_bool("Yes", &b), 0);
	assert_true(b);
	assert_int_equal(vs_parse_bool("off", &b), 0);
	assert_false(b);
	assert_int_equal(vs_parse_bool("", &b), -EINVAL);
	assert_int_equal(vs_parse_bool("yess", &b), -EINVAL);
}

static void test_uint(void **state)
{
	static const char *const wrong[] = { "", "-1", "+1", " 1", "1 ", "0x10", "101", "18446744073709551616", "1.0" };
	uint64_t n = 7;
	(void)state;

	assert_int_equal(vs_parse_uint("18446744073709551615", 0, UINT64_MAX, &n), 0);
	assert_true(n == UINT64_MAX);
	assert_int_equal(vs_parse_uint("0100", 0, 100, &n), 0);
	assert_int_equal(n, 100);
	for (size_t i = 0; i < VS_ARRAY_SIZE(wrong); i++)
		assert_int_equal(vs_parse_uint(wrong[i], 0, 100, &n), -EINVAL);
	assert_int_equal(n, 100);
}

static void test_duration(void **state)
{
	static const struct {
		const char *text;
		uint64_t usec;
		const char *canonical;
	} right[] = {
		{ "0", 0, "0" },
		{ "1s 500ms", 1500 * VS_MSEC, "1s 500ms" },
		{ "1500 ms", 1500 * VS_MSEC, "1s 500ms" },
		{ "1s500ms", 1500 * VS_MSEC, "1s 500ms" },
		{ "90m", 5400 * VS_SEC, "1h 30m" },
		{ "2min", 120 * VS_SEC, "2m" },
		{ "1D 1us", 86400 * VS_SEC + 1, "1d 1us" },
	};
	static const char *const wrong[] = {
		"", "s", "10", "1x", "1s 2", "-1s", "1.5s", "213503983d", "213503982d 23h 59m 3600s 60s",
	};
	char buf[VS_DURATION_TEXT_MAX];
	uint64_t usec;
	(void)state;

	for (size_t i = 0; i < VS_ARRAY_SIZE(right); i++) {
		assert_int_equal(vs_parse_duration(right[i].text, &usec), 0);
		assert_true(usec == right[i].usec);
		assert_string_equal(vs_duration_format(usec, buf), right[i].canonical);
	}
	for (size_t i = 0; i < VS_ARRAY_SIZE(wrong); i++)
		assert_int_equal(vs_parse_duration(wrong[i], &usec), -EINVAL);
}

static void test_size(void **state)
{
	uint64_t n;
	(void)state;

	assert_int_equal(vs_parse_size("64 MiB", &n), 0);
	assert_int_equal(n, 64 << 20);
	assert_int_equal(vs_parse_size("2g", &n), 0);
	assert_true(n == UINT64_C(2) << 30);
	assert_int_equal(vs_parse_size("512", &n), 0);
	assert_int_equal(n, 512);
	assert_int_equal(vs_parse_size("17179869184G", &n), -EINVAL);
	assert_int_equal(vs_parse_size("1 M 1 K", &n), -EINVAL);
	assert_int_equal(vs_parse_size("M", &n), -EINVAL);
}

static void test_ifname(void **state)
{
	(void)state;
	assert_true(vs_ifname_valid("vswitch0.100"));
	assert_true(vs_ifname_valid("abcdefghijklmno"));
	assert_false(vs_ifname_valid("abcdefghijklmnop"));
	assert_false(vs_ifname_valid(""));
	assert_false(vs_ifname_valid(".."));
	assert_false(vs_ifname_valid("a/b"));
	assert_false(vs_ifname_valid("a b"));
	/* The kernel would put a number in place of %d. */
	assert_false(vs_ifname_valid("tap%d"));
}

static void test_cidr_contains(void **state)
{
	static const struct {
		const char *cidr, *addr;
		bool contains;
	} cases[] = {
		{ "10.1.0.0/16", "10.1.255.1", true },         { "10.1.0.0/16", "10.2.0.1", false },
		{ "10.1.2.3/16", "10.1.9.9", true },           { "10.1.2.3/32", "10.1.2.3", true },
		{ "10.1.2.3/32", "10.1.2.2", false },          { "0.0.0.0/0", "203.0.113.7", true },
		{ "0.0.0.0/0", "2001:db8::1", false },         { "::/0", "192.0.2.1", false },
		{ "2001:db8::/33", "2001:db8:7fff::1", true }, { "2001:db8::/33", "2001:db8:8000::1", false },
		{ "::1/128", "::1", true },                    { "::ffff:0:0/96", "10.1.2.3", false },
	};
	(void)state;

	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct vs_cidr cidr;
		struct vs_addr addr;
		struct vs_why why;
		assert_int_equal(vs_parse_cidr(cases[i].cidr, &cidr, &why), 0);
		/* The port of a source says nothing. */
		assert_int_equal(vs_addr_parse(cases[i].addr, (uint16_t)(4000 + i), &addr), 0);
		if (vs_cidr_contains(&cidr, &addr) != cases[i].contains)
			fail_msg("%s and %s", cases[i].cidr, cases[i].addr);
	}
}

static void test_cidr(void **state)
{
	static const char *const wrong[] = {"10.0.0.1", "10.0.0.1/",    "10.0.0.1/33", "::1/129", "/8",
					    "x/8",      "10.0.0.1/8/8", "10.0.0/8",    "::1/-1"};
	char buf[VS_CIDR_TEXT_MAX];
	struct vs_cidr cidr;
	struct vs_why why;
	(void)state;

	assert_int_equal(vs_parse_cidr("10.9.130.2/17", &cidr, &why), 0);
	struct vs_cidr net = vs_cidr_network(&cidr);
	assert_string_equal(vs_cidr_format(&net, buf), "10.9.128.0/17");
	assert_int_equal(vs_parse_cidr("fd09::ffff:2/100", &cidr, &why), 0);
	net = vs_cidr_network(&cidr);
	assert_string_equal(vs_cidr_format(&net, buf), "fd09::f000:0/100");
	for (size_t i = 0; i < VS_ARRAY_SIZE(wrong); i++)
		assert_int_equal(vs_parse_cidr(wrong[i], &cidr, &why), -EINVAL);
}

static void test_route(void **state)
{
	static const char *const wrong[] = {
		"", "10.0.0.0/8 via", "10.0.0.0/8 via x", "10.0.0.0/8 via ::1", "10.0.0.1/8", "10.0.0.0/8 metric 0",
		"10.0.0.0/8 dev eth0", "10.0.0.0/8 via 1.1.1.1 via 1.1.1.1", "via 1.1.1.1", "default6",
		"10.0.0.0/8 metric 4294967296",
	};
	char buf[VS_CIDR_TEXT_MAX];
	struct vs_route route;
	struct vs_why why;
	(void)state;

	assert_int_equal(vs_parse_route("10.20.0.0/16 metric 50  via 10.9.0.1", &route, &why), 0);
	assert_string_equal(vs_cidr_format(&route.dest, buf), "10.20.0.0/16");
	assert_int_equal(route.metric, 50);
	assert_int_equal(route.gateway.in.sin_addr.s_addr, htonl(0x0a090001));
	assert_int_equal(vs_parse_route("default via fe80::1", &route, &why), 0);
	assert_string_equal(vs_cidr_format(&route.dest, buf), "::/0");
	assert_int_equal(vs_parse_route("default", &route, &why), 0);
	assert_string_equal(vs_cidr_format(&route.dest, buf), "0.0.0.0/0");
	assert_false(vs_addr_is_set(&route.gateway));
	for (size_t i = 0; i < VS_ARRAY_SIZE(wrong); i++)
		assert_int_equal(vs_parse_route(wrong[i], &route, &why), -EINVAL);
}

static void test_endpoint(void **state)
{
	static const struct {
		const char *text, *shown;
	} right[] = {
		{ "vpn.example.net", "vpn.example.net:7000" }, { "vpn.example.net:7", "vpn.example.net:7" },
		{ "192.0.2.1:65535", "192.0.2.1:65535" },      { "2001:db8::1", "[2001:db8::1]:7000" },
		{ "[2001:db8::1]:9", "[2001:db8::1]:9" },      { "[::1]", "[::1]:7000" },
	};
	static const char *const wrong[] = { "",       ":7",    "a:",      "a:0",   "a:65536", "[::1",     "[::1]7",
					     "[a]:7",  "a b",   "-a",      "a:b:c", "[::1]:",  "[1.1.1.1]:7", "a/b" };
	char buf[VS_ENDPOINT_TEXT_MAX], longest[400];
	struct vs_endpoint endpoint;
	struct vs_why why;
	(void)state;

	for (size_t i = 0; i < VS_ARRAY_SIZE(right); i++) {
		assert_int_equal(vs_parse_endpoint(right[i].text, &endpoint, &why), 0);
		assert_string_equal(vs_endpoint_format(&endpoint, 7000, buf), right[i].shown);
	}
	for (size_t i = 0; i < VS_ARRAY_SIZE(wrong); i++)
		assert_int_equal(vs_parse_endpoint(wrong[i], &endpoint, &why), -EINVAL);
	memset(longest, 'a', sizeof(longest));
	longest[VS_HOST_MAX] = '\0';
	assert_int_equal(vs_parse_endpoint(longest, &endpoint, &why), 0);
	longest[VS_HOST_MAX] = 'a';
	longest[VS_HOST_MAX + 1] = '\0';
	assert_int_equal(vs_parse_endpoint(longest, &endpoint, &why), -EINVAL);
	longest[VS_HOST_MAX + 1] = 'a';
	longest[399] = '\0';
	assert_int_equal(vs_parse_endpoint(longest, &endpoint, &why), -EINVAL);
}

static void test_list(void **state)
{
	static const char *const elements[] = { "a", "b c", "", "", "d" };
	const char *cursor = " a, b c ,,toolong , d";
	char buf[5];
	size_t n = 0;
	(void)state;

	while (vs_list_next(&cursor, buf, sizeof(buf)))
		assert_string_equal(buf, elements[n++]);
	assert_int_equal(n, 5);
}

static const char *nearest(const char *wrong)
{
	static const char *const names[] = { "bind_addr", "bind_port", "log_way", "log_file", "mtu", "mac" };
	struct vs_nearest search = vs_nearest_to(wrong);

	for (size_t i = 0; i < VS_ARRAY_SIZE(names); i++)
		vs_nearest_offer(&search, names[i]);
	return search.best ? search.best : "";
}

static void test_nearest(void **state)
{
	(void)state;
	assert_string_equal(nearest("bnid_port"), "bind_port");
	assert_string_equal(nearest("bindaddr"), "bind_addr");
	assert_string_equal(nearest("logfile"), "log_file");
	assert_string_equal(nearest("mtus"), "mtu");
	assert_string_equal(nearest("zz"), "");
	assert_string_equal(nearest("frobnicate"), "");
	assert_string_equal(nearest("a_name_that_is_far_longer_than_any_key_that_there_could_be"), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bool),   cmocka_unit_test(test_uint),     cmocka_unit_test(test_duration),
		cmocka_unit_test(test_size),   cmocka_unit_test(test_ifname),   cmocka_unit_test(test_cidr),
		cmocka_unit_test(test_cidr_contains),
		cmocka_unit_test(test_route),  cmocka_unit_test(test_endpoint), cmocka_unit_test(test_list),
		cmocka_unit_test(test_nearest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
