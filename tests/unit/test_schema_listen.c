/* [listen NAME] of the server's file: what it stores, what it refuses and why, and when two are alike. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vswitchs/schema.h"

#define KEY "CQ7kgJmKrBMV77X/IST8RaXHx92UqWDiOvRoqMFIImk="
#define COMMON "[common]\nprivate_key = dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\n"
#define LISTEN "[listen old]\nprotocol = kcp\nbind_port = 7001\n"
#define ALLOW "allow = 10.0.0.0/8\n"

/* Parses; returns all complaints as text, the caller's to free. */
static char *parse(struct vs_server_config *config, const char *text)
{
	struct vs_complaints complaints;
	char *said = NULL;
	size_t size;

	vs_complaints_init(&complaints, "f.ini");
	int err = vs_server_config_parse(config, "/dir/f.ini", text, strlen(text), &vs_opener_direct, &complaints);
	assert_int_equal(err, complaints.errors ? -EINVAL : 0);
	FILE *f = open_memstream(&said, &size);
	vs_complaints_print(&complaints, f);
	fclose(f);
	return said;
}

static void parse_well(struct vs_server_config *config, const char *text)
{
	char *said = parse(config, text);
	assert_string_equal(said, "");
	free(said);
}

static void test_values(void **state)
{
	struct vs_server_config c;
	(void)state;

	parse_well(&c, COMMON);
	assert_int_equal(c.n_listens, 0);
	vs_server_config_fini(&c);
	parse_well(&c, COMMON LISTEN "allow = 10.0.0.0/8, 2001:db8::/32\nallow = 192.0.2.7/32\n"
		   "[listen tcp]\nprotocol = tcp\nbind_port = 7000\nbind_addr = 192.0.2.1, ::1\n" ALLOW
		   "max_clients = 3\nmac_limit = 9\nvlan = 5\nisolate = yes\n");
	const struct vs_server_listen_config *old = vs_server_config_listen(&c, "old");
	const struct vs_server_listen_config *tcp = vs_server_config_listen(&c, "tcp");
	assert_int_equal(old->protocol, VS_PLAIN_KCP);
	assert_int_equal(old->bind_port, 7001);
	assert_int_equal(old->bind_addr.n, 0);
	assert_int_equal(old->allow.n, 3);
	assert_int_equal(old->allow.item[2].prefix, 32);
	assert_int_equal(old->max_clients, 16);
	assert_int_equal(old->mac_limit, 0);
	assert_int_equal(old->line, 3);
	assert_int_equal(tcp->protocol, VS_PLAIN_STREAM);
	assert_int_equal(tcp->bind_addr.n, 2);
	assert_int_equal(tcp->max_clients, 3);
	assert_int_equal(tcp->mac_limit, 9);
	assert_int_equal(tcp->vlans.vlan, 5);
	assert_true(tcp->vlans.isolate);
	assert_null(vs_server_config_listen(&c, "none"));
	vs_server_config_fini(&c);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *said;
	} cases[] = {
		{ "tcp_port = 7009\n[listen old]\nprotocol = tcp\nbind_port = 7009\n" ALLOW,
		  "f.ini:4: [listen old] has the tcp_port of [common], 7009\n" },
		{ "faketcp_port = 7009\n[listen old]\nprotocol = tcp\nbind_port = 7009\n" ALLOW,
		  "f.ini:4: [listen old] has the faketcp_port of [common], 7009\n" },
		{ LISTEN, "f.ini:3: [listen old] needs `allow`, the source addresses that may connect: without handshake and "
			  "cipher, whoever reaches the port would be on the LAN\n" },
		{ "[listen old]\nbind_port = 7001\n" ALLOW, "protocol" },
		{ "[listen old]\nprotocol = kcp\n" ALLOW, "bind_port" },
		{ "[listen old]\nprotocol = udp\nbind_port = 7001\n" ALLOW, "f.ini:4: protocol" },
		{ LISTEN "allow = 10.0.0.0\n", "f.ini:6: allow" },
		{ LISTEN ALLOW "max_clients = 0\n", "f.ini:7: max_clients" },
		{ LISTEN ALLOW "bind_addr = ::1, ::2\n",
		  "f.ini:3: [listen old] bind_addr: expected one IPv4 and one IPv6 address at most\n" },
		{ "[listen]\nprotocol = kcp\n", "listen" },
		{ LISTEN ALLOW "bind_addr = ::1\n[listen b]\nprotocol = kcp\nbind_port = 7001\n" ALLOW,
		  "f.ini:8: [listen b] has the bind_port of [listen old], 7001\n" },
		{ "[listen old]\nprotocol = kcp\nbind_port = 7000\n" ALLOW,
		  "f.ini:3: [listen old] has the bind_port of [common], 7000\n" },
		{ "[port old]\npublic_key = " KEY "\n" LISTEN ALLOW,
		  "f.ini:5: [listen old] has the name of a [port old]\n" },
		{ "[tap old]\n" LISTEN ALLOW, "f.ini:4: [listen old] has the name of a [tap old]\n" },
		{ "[listen a23456789012345]\nprotocol = kcp\nbind_port = 7001\n" ALLOW, NULL },
		{ "[listen a234567890123456]\nprotocol = kcp\nbind_port = 7001\n" ALLOW,
		  "f.ini:3: [listen a234567890123456]: a name of at most 15 characters, as each client's port is "
		  "NAME/ADDRESS:PORT\n" },
		/* Other protocols and addresses are other places. */
		{ "[listen old]\nprotocol = tcp\nbind_port = 7000\n" ALLOW, NULL },
		{ LISTEN ALLOW "[listen b]\nprotocol = tcp\nbind_port = 7001\n" ALLOW, NULL },
		{ "tcp_port = 7001\n" LISTEN ALLOW, NULL },
		{ "tcp_port = 7009\nbind_addr = 192.0.2.1\n[listen b]\nprotocol = tcp\nbind_port = 7009\n"
		  "bind_addr = 192.0.2.2\n" ALLOW, NULL },
		{ LISTEN ALLOW "bind_addr = ::1\n[listen b]\nprotocol = kcp\nbind_port = 7001\nbind_addr = ::2\n" ALLOW,
		  NULL },
	};
	char text[1000];
	(void)state;

	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct vs_server_config c;
		snprintf(text, sizeof(text), COMMON "%s", cases[i].text);
		char *said = parse(&c, text);
		if (!cases[i].said ? said[0] : !strstr(said, cases[i].said))
			fail_msg("%s-> %s", cases[i].text, said);
		free(said);
		vs_server_config_fini(&c);
	}
}

/* The ports of [common] that nobody has asked for give way to a listener. */
static void test_defaults_give_way(void **state)
{
	static const struct {
		const char *lines;
		uint32_t faketcp, tcp; /* 0: off */
	} rows[] = {
		{ "protocol = kcp\nbind_port = 7001\n", 7000, 7001 },
		{ "protocol = tcp\nbind_port = 7001\n", 7000, 0 },
		{ "protocol = tcp\nbind_port = 7000\n", 0, 7001 },
		{ "protocol = tcp\nbind_port = 7002\n", 7000, 7001 },
	};
	struct vs_server_config c;
	char text[400];
	(void)state;

	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		snprintf(text, sizeof(text), COMMON "[listen old]\n%s" ALLOW, rows[i].lines);
		parse_well(&c, text);
		assert_int_equal(c.faketcp_port.port, rows[i].faketcp);
		assert_int_equal(c.tcp_port.port, rows[i].tcp);
		vs_server_config_fini(&c);
	}
}

static void test_equal(void **state)
{
	static const struct {
		const char *lines;
		bool equal;
	} rows[] = {
		{ LISTEN ALLOW, true },
		{ LISTEN ALLOW "max_clients = 16\n", true },
		{ LISTEN ALLOW "max_clients = 17\n", false },
		{ LISTEN ALLOW "allow = ::1/128\n", false },
		{ LISTEN ALLOW "vlan = 3\n", false },
		{ LISTEN ALLOW "isolate = yes\n", false },
		{ LISTEN ALLOW "mac_limit = 1\n", false },
		{ "[listen old]\nprotocol = tcp\nbind_port = 7001\n" ALLOW, false },
		{ "[listen old]\nprotocol = kcp\nbind_port = 7002\n" ALLOW, false },
	};
	struct vs_server_config before, after;
	char text[400];
	(void)state;

	parse_well(&before, COMMON LISTEN ALLOW);
	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		/* Another line does not count. */
		snprintf(text, sizeof(text), COMMON "\n\n%s", rows[i].lines);
		parse_well(&after, text);
		assert_int_equal(vs_server_listen_equal(&before.listens[0], &after.listens[0]), rows[i].equal);
		vs_server_config_adopt(&before, &after);
		vs_server_config_fini(&after);
		assert_int_equal(before.n_listens, 1);
		parse_well(&after, COMMON LISTEN ALLOW);
		vs_server_config_adopt(&before, &after);
		vs_server_config_fini(&after);
	}
	vs_server_config_fini(&before);
}

static void test_too_many(void **state)
{
	struct vs_server_config c;
	char *text = NULL;
	size_t size;
	(void)state;

	FILE *f = open_memstream(&text, &size);
	fprintf(f, COMMON);
	for (int i = 0; i <= VS_SERVER_LISTENS_MAX; i++)
		fprintf(f, "[listen l%d]\nprotocol = tcp\nbind_port = %d\n" ALLOW, i, 8000 + i);
	fclose(f);
	char *said = parse(&c, text);
	assert_int_equal(c.n_listens, VS_SERVER_LISTENS_MAX);
	assert_non_null(strstr(said, "no room for [listen l16]: at most 16 of its kind"));
	free(said);
	free(text);
	vs_server_config_fini(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_defaults_give_way),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
