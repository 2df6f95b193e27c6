/* What the programs' schemas store, inherit and compare. What they refuse is in test_config.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "link/congestion.h"
#include "link/params.h"
#include "vswitchc/schema.h"
#include "vswitchs/schema.h"

#define KEY_A "CQ7kgJmKrBMV77X/IST8RaXHx92UqWDiOvRoqMFIImk="
#define KEY_B "1qktbQW7Mq6y9esAy0tQ8wpy371ewx7u85N+AkhER1s="
#define PRIVATE "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
#define COMMON "[common]\nprivate_key = " PRIVATE "\n"

static void parse_server(struct vs_server_config *config, const char *text)
{
	struct vs_complaints complaints;

	vs_complaints_init(&complaints, "f.ini");
	if (vs_server_config_parse(config, "/dir/f.ini", text, strlen(text), &vs_opener_direct, &complaints) < 0)
		vs_complaints_print(&complaints, stderr);
	assert_int_equal(complaints.n, 0);
}

static void test_connection_ports(void **state)
{
	static const struct {
		const char *lines;
		uint32_t faketcp, tcp;
		bool faketcp_default, tcp_default;
	} rows[] = {
		{ "", 7000, 7001, true, true },
		{ "bind_port = 443\n", 443, 444, true, true },
		{ "bind_port = 65535\n", 65535, 0, true, true },
		{ "tcp_port = 0\n", 7000, 0, true, false },
		{ "faketcp_port = 0\ntcp_port = 443\n", 0, 443, false, false },
		/* What is not asked for gives way. */
		{ "tcp_port = 7000\n", 0, 7000, true, false },
		{ "faketcp_port = 7001\n", 7001, 0, false, true },
		{ "faketcp_port = 0\ntcp_port = 0\n", 0, 0, false, false },
	};
	(void)state;

	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		struct vs_server_config c;
		char text[300];
		snprintf(text, sizeof(text), COMMON "%s", rows[i].lines);
		parse_server(&c, text);
		assert_int_equal(c.faketcp_port.port, rows[i].faketcp);
		assert_int_equal(c.tcp_port.port, rows[i].tcp);
		assert_int_equal(c.faketcp_port.is_default, rows[i].faketcp_default);
		assert_int_equal(c.tcp_port.is_default, rows[i].tcp_default);
		vs_server_config_fini(&c);
	}
}

static void test_server_defaults(void **state)
{
	struct vs_server_config c;
	(void)state;

	parse_server(&c, COMMON);
	assert_int_equal(c.bind_addr.n, 0);
	assert_int_equal(c.bind_port, 7000);
	assert_string_equal(c.public_addr.host, "");
	assert_string_equal(c.control, "/run/vswitch/vswitchs.sock");
	assert_string_equal(c.user, "nobody");
	assert_int_equal(c.mac_entries, 8192);
	assert_true(c.mac_aging_usec == 300 * VS_SEC);
	assert_true(c.buffer_max == 256 << 20);
	assert_int_equal(c.log.way, VS_LOG_CONSOLE);
	assert_int_equal(c.log.level, VS_LOG_INFO);
	assert_int_equal(c.log.max_days, 3);
	assert_int_equal(c.port_defaults.max_clients, 1);
	assert_int_equal(c.port_defaults.lanes, 64);
	assert_int_equal(c.port_defaults.cipher, VS_CIPHER_CHOICE_AUTO);
	assert_int_equal(c.weakest_cipher, VS_PROTECTION_NONE);
	assert_int_equal(c.port_defaults.congestion, VS_CONGESTION_BBR);
	assert_true(c.port_defaults.keepalive_usec == VS_SEC);
	assert_true(c.port_defaults.max_age_usec == VS_SEC);
	assert_int_equal(c.port_defaults.mtu, 1500);
	assert_int_equal(c.n_ports + c.n_taps, 0);
	vs_server_config_fini(&c);
}

/* [port] stands behind the ports that it sets defaults for. */
static void test_port_defaults(void **state)
{
	struct vs_server_config c;
	(void)state;

	parse_server(&c, COMMON
		     "[port a]\npublic_key = " KEY_A "\nmax_age = 0\nvlan = 9\n"
		     "[port b]\npublic_key = " KEY_B "\nmtu = 9000\n"
		     "[port]\nmtu = 1400\ncipher = chacha20-poly1305\ntrunk = 10-12\ntrunk = 20\nmax_age = 2s\n");
	const struct vs_server_port_config *a = vs_server_config_port(&c, "a"), *b = vs_server_config_port(&c, "b");
	assert_int_equal(a->mtu, 1400);
	assert_int_equal(b->mtu, 9000);
	assert_int_equal(a->cipher, VS_CIPHER_CHACHA20_POLY1305);
	assert_true(a->max_age_usec == 0);
	assert_true(b->max_age_usec == 2 * VS_SEC);
	assert_int_equal(a->line, 3);
	/* The port's own vlan takes the place of the defaults' trunk. */
	struct vs_vlan_rule rule = vs_vlan_config_rule(&a->vlans);
	assert_int_equal(rule.mode, VS_VLAN_ACCESS);
	assert_int_equal(rule.vid, 9);
	rule = vs_vlan_config_rule(&b->vlans);
	assert_int_equal(rule.mode, VS_VLAN_TRUNK);
	assert_true(vs_vlan_set_has(&rule.members, 12) && vs_vlan_set_has(&rule.members, 20));
	assert_false(vs_vlan_set_has(&rule.members, 13));
	assert_ptr_equal(vs_server_config_port_by_key(&c, b->public_key), b);
	assert_null(vs_server_config_port(&c, "c"));
	vs_server_config_fini(&c);
}

static void test_server_tap(void **state)
{
	struct vs_server_config c;
	(void)state;

	parse_server(&c, COMMON
		     "[tap lan]\n[tap other]\ndevice = t1\nmac = 02:00:00:00:00:01\n"
		     "address = 10.9.0.1/24, fd09::1/64\naddress = 10.8.0.1/24\nroute = default via 10.9.0.254\n"
		     "up = bin/up\ndown = /sbin/down\nvlan = 5\nisolate = yes\n");
	const struct vs_server_tap_config *lan = vs_server_config_tap(&c, "lan"),
					  *t = vs_server_config_tap(&c, "other");
	assert_string_equal(lan->tap.device, "lan");
	assert_true(vs_mac_is_zero(&lan->tap.mac));
	assert_int_equal(lan->tap.mtu, 1500);
	assert_string_equal(t->tap.device, "t1");
	assert_int_equal(t->tap.mac.octet[5], 1);
	assert_int_equal(t->tap.address.n, 3);
	assert_int_equal(t->tap.address.item[1].addr.sa.sa_family, AF_INET6);
	assert_int_equal(t->tap.address.item[2].prefix, 24);
	assert_int_equal(t->tap.route.n, 1);
	assert_string_equal(t->tap.up, "/dir/bin/up");
	assert_string_equal(t->tap.down, "/sbin/down");
	assert_int_equal(t->vlans.vlan, 5);
	assert_true(t->vlans.isolate);
	assert_false(vs_server_tap_equal(lan, t));
	assert_true(vs_server_tap_equal(t, t));
	vs_server_config_fini(&c);
}

static void test_port_diff(void **state)
{
	static const struct {
		const char *line;
		uint64_t keys;
		enum { NOTHING, NOTED, TERMS, END } effect;
	} rows[] = {
		{ "max_clients = 1", 0, NOTHING },
		{ "max_clients = 2", UINT64_C(1) << VS_PORT_MAX_CLIENTS, NOTED },
		{ "mac_limit = 5", UINT64_C(1) << VS_PORT_MAC_LIMIT, NOTED },
		{ "vlan = 5", UINT64_C(1) << VS_PORT_VLAN, NOTED },
		{ "trunk = 5", UINT64_C(1) << VS_PORT_TRUNK, NOTED },
		{ "isolate = yes", UINT64_C(1) << VS_PORT_ISOLATE, NOTED },
		{ "preshared_key = " KEY_B, UINT64_C(1) << VS_PORT_PRESHARED_KEY, END },
		{ "cipher = aes-256-gcm", UINT64_C(1) << VS_PORT_CIPHER, TERMS },
		{ "cipher = none", UINT64_C(1) << VS_PORT_CIPHER, TERMS },
		{ "congestion = cubic", UINT64_C(1) << VS_PORT_CONGESTION, TERMS },
		{ "lanes = 1", UINT64_C(1) << VS_PORT_LANES, TERMS },
		{ "keepalive = 2s", UINT64_C(1) << VS_PORT_KEEPALIVE, TERMS },
		{ "max_age = 0", UINT64_C(1) << VS_PORT_MAX_AGE, TERMS },
		{ "mtu = 1400", UINT64_C(1) << VS_PORT_MTU, TERMS },
		{ "mode = datagram", UINT64_C(1) << (VS_PORT_TRANSPORT + VS_TRANSPORT_MODE), TERMS },
		{ "carrier = tcp, udp", UINT64_C(1) << (VS_PORT_TRANSPORT + VS_TRANSPORT_CARRIER), TERMS },
		{ "fec = auto", UINT64_C(1) << (VS_PORT_TRANSPORT + VS_TRANSPORT_FEC), TERMS },
		{ "fec = off", 0, NOTHING },
		{ "fec_up = off", UINT64_C(1) << (VS_PORT_TRANSPORT + VS_TRANSPORT_FEC_UP), TERMS },
		{ "fec_max = 10", UINT64_C(1) << (VS_PORT_TRANSPORT + VS_TRANSPORT_FEC_MAX), TERMS },
		{ "nodelay = yes", UINT64_C(1) << (VS_PORT_TRANSPORT + VS_TRANSPORT_NODELAY), TERMS },
		{ "interval = 9ms", UINT64_C(1) << (VS_PORT_TRANSPORT + VS_TRANSPORT_INTERVAL), TERMS },
		{ "resend = 3", UINT64_C(1) << (VS_PORT_TRANSPORT + VS_TRANSPORT_RESEND), TERMS },
		{ "sndwnd = 300", UINT64_C(1) << (VS_PORT_TRANSPORT + VS_TRANSPORT_SNDWND), TERMS },
		{ "rcvwnd = 300", UINT64_C(1) << (VS_PORT_TRANSPORT + VS_TRANSPORT_RCVWND), TERMS },
		{ "preset = normal", UINT64_C(1) << (VS_PORT_TRANSPORT + VS_TRANSPORT_PRESET), NOTED },
		{ "profile = lan",
		  UINT64_C(1) << (VS_PORT_TRANSPORT + VS_TRANSPORT_PROFILE) |
			  UINT64_C(1) << (VS_PORT_TRANSPORT + VS_TRANSPORT_PRESET),
		  NOTED },
	};
	struct vs_server_config before, after;
	char text[400];
	(void)state;

	parse_server(&before, COMMON "[port a]\npublic_key = " KEY_A "\n");
	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		/* Another name and line: they do not count. */
		snprintf(text, sizeof(text), COMMON "\n[port b]\npublic_key = " KEY_A "\n%s\n", rows[i].line);
		parse_server(&after, text);
		uint64_t diff = vs_server_port_diff(&before.ports[0], &after.ports[0]);
		assert_true(diff == rows[i].keys);
		assert_int_equal((diff & VS_PORT_END_MASK) != 0, rows[i].effect == END);
		assert_int_equal((diff & VS_PORT_TERMS_MASK) != 0, rows[i].effect == TERMS);
		assert_int_equal(vs_server_port_equal(&before.ports[0], &after.ports[0]), rows[i].keys == 0);
		vs_server_config_fini(&after);
	}
	parse_server(&after, COMMON "[port a]\npublic_key = " KEY_B "\n");
	assert_true(vs_server_port_diff(&before.ports[0], &after.ports[0]) == UINT64_C(1) << VS_PORT_PUBLIC_KEY);
	vs_server_config_fini(&after);
	vs_server_config_fini(&before);
}

static struct vs_policy policy_of(const struct vs_server_port_config *port)
{
	struct vs_policy policy = vs_policy_default();
	vs_transport_set_policy(&port->transport, &policy);
	return policy;
}

/* What a port without any of the keys has is what there was before there were any. */
static void test_transport_defaults(void **state)
{
	const struct vs_policy before = vs_policy_default();
	struct vs_server_config c;
	(void)state;

	parse_server(&c, COMMON "[port a]\npublic_key = " KEY_A "\n");
	struct vs_policy policy = policy_of(&c.ports[0]);
	assert_int_equal(policy.mode, before.mode);
	assert_int_equal(policy.fec_up.kind, VS_FEC_OFF);
	assert_int_equal(policy.fec_down.kind, VS_FEC_OFF);
	assert_int_equal(policy.kcp.nodelay, before.kcp.nodelay);
	assert_int_equal(policy.kcp.interval_msec, before.kcp.interval_msec);
	assert_int_equal(policy.kcp.resend, before.kcp.resend);
	assert_int_equal(policy.kcp.sndwnd, before.kcp.sndwnd);
	assert_int_equal(policy.kcp.rcvwnd, before.kcp.rcvwnd);
	assert_int_equal(policy.carriers, before.carriers);
	vs_server_config_fini(&c);
}

static void test_transport_keys(void **state)
{
	struct vs_server_config c;
	(void)state;

	parse_server(&c, COMMON "[port a]\npublic_key = " KEY_A "\nmode = datagram\nfec = 10:3\nfec_up = auto\n"
		     "fec_max = 33\nnodelay = yes\ninterval = 10ms\nresend = 2\nsndwnd = 512\nrcvwnd = 1024\n"
		     "carrier = udp, tcp\n");
	struct vs_policy policy = policy_of(&c.ports[0]);
	assert_int_equal(policy.mode, VS_MODE_DATAGRAM);
	assert_int_equal(policy.fec_down.kind, VS_FEC_FIXED);
	assert_int_equal(policy.fec_down.k, 10);
	assert_int_equal(policy.fec_down.m, 3);
	assert_int_equal(policy.fec_up.kind, VS_FEC_AUTO);
	assert_int_equal(policy.fec_up.overhead_max, 33);
	assert_true(policy.kcp.nodelay);
	assert_int_equal(policy.kcp.interval_msec, 10);
	assert_int_equal(policy.kcp.resend, 2);
	assert_int_equal(policy.kcp.sndwnd, 512);
	assert_int_equal(policy.kcp.rcvwnd, 1024);
	assert_int_equal(policy.carriers, VS_CARRIER_BIT(VS_CARRIER_UDP) | VS_CARRIER_BIT(VS_CARRIER_TCP));
	vs_server_config_fini(&c);
}

/* A profile sets what the section does not, whatever the order; one of the section takes the place of that for all. */
static void test_profiles(void **state)
{
	struct vs_server_config c;
	(void)state;

	parse_server(&c, COMMON
		     "[port a]\npublic_key = " KEY_A "\nfec = 5:1\nprofile = lossy\nresend = 7\n"
		     "[port b]\npublic_key = " KEY_B "\npreset = turbo\n"
		     "[port]\nprofile = game\nkeepalive = 2s\nlanes = 9\n");
	const struct vs_server_port_config *a = vs_server_config_port(&c, "a"), *b = vs_server_config_port(&c, "b");
	struct vs_policy policy = policy_of(a);
	assert_int_equal(policy.mode, VS_MODE_RELIABLE);
	assert_int_equal(policy.fec_up.k, 5);
	assert_int_equal(policy.kcp.resend, 7);
	assert_int_equal(policy.kcp.interval_msec, 2);
	assert_false(policy.kcp.nodelay);
	assert_int_equal(a->lanes, 64);
	assert_true(a->keepalive_usec == 2 * VS_SEC);
	policy = policy_of(b);
	assert_int_equal(policy.mode, VS_MODE_DATAGRAM);
	assert_int_equal(policy.fec_down.kind, VS_FEC_FIXED);
	assert_int_equal(policy.fec_down.m, 2);
	assert_true(policy.kcp.nodelay);
	assert_int_equal(policy.kcp.resend, 2);
	assert_int_equal(b->lanes, 9);
	vs_server_config_fini(&c);

	parse_server(&c, COMMON "[port a]\npublic_key = " KEY_A "\nsndwnd = 700\nprofile = lowmem\n");
	policy = policy_of(&c.ports[0]);
	assert_int_equal(policy.kcp.sndwnd, 700);
	assert_int_equal(policy.kcp.rcvwnd, VS_WINDOW_MIN);
	assert_int_equal(c.ports[0].lanes, 8);
	vs_server_config_fini(&c);
}

/* Else one would leave in force what the other has set. */
static void test_bundles_set_the_same_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < VS_TRANSPORT_KEYS; i++) {
		const struct vs_schema_bundle *first = vs_transport_keys[i].bundles;
		for (const struct vs_schema_bundle *b = first; b && b->choice; b++)
			for (size_t k = 0; k < VS_SCHEMA_SETTINGS_MAX && first->settings[k].key; k++)
				assert_string_equal(b->settings[k].key, first->settings[k].key);
	}
}

static void test_fixed_changes(void **state)
{
	static const struct {
		const char *text, *keys;
	} rows[] = {
		{ COMMON, "" },
		{ COMMON "mac_aging = 10s\npublic_addr = x\nlog_level = debug\nweakest_cipher = auth\n", "" },
		{ COMMON "bind_port = 7001\n", "bind_port " },
		{ COMMON "bind_addr = ::1\n", "bind_addr " },
		{ COMMON "mac_entries = 100\nbind_port = 7001\nmac_aging = 10s\nuser = me\n",
		  "bind_port user mac_entries " },
		{ "[common]\nprivate_key = " KEY_A "\nbind_port = 7001\n", "bind_port private_key " },
	};
	const char *keys[VS_SERVER_FIXED_MAX];
	struct vs_server_config before, after;
	(void)state;

	parse_server(&before, COMMON);
	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		char text[100] = "";
		parse_server(&after, rows[i].text);
		size_t n = vs_server_config_fixed_changes(&before, &after, keys);
		for (size_t k = 0; k < n; k++)
			strcat(strcat(text, keys[k]), " ");
		assert_string_equal(text, rows[i].keys);
		vs_server_config_fini(&after);
	}
	vs_server_config_fini(&before);
}

/* What cannot be applied stays as it was, so that each reload until the next start tells of it. */
static void test_adopt(void **state)
{
	const char *keys[VS_SERVER_FIXED_MAX];
	struct vs_server_config config, fresh;
	(void)state;

	parse_server(&config, COMMON "[port a]\npublic_key = " KEY_A "\n");
	for (int i = 0; i < 2; i++) {
		parse_server(&fresh, COMMON "bind_port = 7001\nmac_aging = 10s\npublic_addr = x\nlog_level = debug\n"
			     "weakest_cipher = auth\n[port]\nmtu = 1400\n[port b]\npublic_key = " KEY_B "\n[tap lan]\n");
		assert_int_equal(vs_server_config_fixed_changes(&config, &fresh, keys), 1);
		vs_server_config_adopt(&config, &fresh);
		vs_server_config_fini(&fresh);
		assert_int_equal(config.bind_port, 7000);
		assert_true(config.mac_aging_usec == 10 * VS_SEC);
		assert_string_equal(config.public_addr.host, "x");
		assert_int_equal(config.log.level, VS_LOG_DEBUG);
		assert_int_equal(config.weakest_cipher, VS_PROTECTION_AUTH);
		assert_int_equal(config.port_defaults.mtu, 1400);
		assert_null(vs_server_config_port(&config, "a"));
		assert_non_null(vs_server_config_port(&config, "b"));
		assert_non_null(vs_server_config_tap(&config, "lan"));
	}
	vs_server_config_fini(&config);
}

static void test_tap_equal(void **state)
{
	static const struct {
		const char *line;
		bool equal;
	} rows[] = {
		{ "device = lan", true }, { "vlan = 5", true },      { "trunk = 5", true },  { "isolate = yes", true },
		{ "device = x", false },  { "bridge = br0", false }, { "mtu = 1400", false }, { "down = /bin/x", false },
	};
	struct vs_server_config before, after;
	char text[200];
	(void)state;

	parse_server(&before, COMMON "[tap lan]\n");
	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		snprintf(text, sizeof(text), COMMON "[tap lan]\n%s\n", rows[i].line);
		parse_server(&after, text);
		assert_int_equal(vs_server_tap_equal(&before.taps[0], &after.taps[0]), rows[i].equal);
		vs_server_config_fini(&after);
	}
	vs_server_config_fini(&before);
}

static void test_too_many_taps(void **state)
{
	struct vs_complaints complaints;
	struct vs_server_config c;
	char *text = NULL, buf[VS_COMPLAINT_TEXT_MAX];
	size_t size;
	(void)state;

	FILE *f = open_memstream(&text, &size);
	fprintf(f, COMMON);
	for (int i = 0; i <= VS_SERVER_TAPS_MAX; i++)
		fprintf(f, "[tap t%d]\n", i);
	fclose(f);
	vs_complaints_init(&complaints, "f.ini");
	assert_true(vs_server_config_parse(&c, "f.ini", text, size, &vs_opener_direct, &complaints) < 0);
	assert_int_equal(complaints.n, 1);
	assert_string_equal(vs_complaint_format(&complaints, 0, buf),
			    "f.ini:67: no room for [tap t64]: at most 64 of its kind");
	vs_server_config_fini(&c);
	free(text);
}

static void test_client(void **state)
{
	static const char text[] = "[common]\nserver_addr = a.example, 192.0.2.1:9, [2001:db8::1]:10\n"
				   "server_port = 7001\nserver_public_key = " KEY_A "\nprivate_key = " PRIVATE "\nfwmark = 4294967295\n"
				   "bind_interface = eth0\n[tap]\nbridge = br0\n";
	struct vs_complaints complaints;
	struct vs_client_config c;
	(void)state;

	vs_complaints_init(&complaints, "home.ini");
	assert_int_equal(
		vs_client_config_parse(&c, "/dir/home.ini", text, strlen(text), &vs_opener_direct, &complaints), 0);
	assert_int_equal(c.server_addr.n, 3);
	assert_string_equal(c.server_addr.item[0].host, "a.example");
	assert_int_equal(c.server_addr.item[0].port, 7001);
	assert_int_equal(c.server_addr.item[1].port, 9);
	assert_string_equal(c.server_addr.item[2].host, "2001:db8::1");
	assert_true(c.fwmark == UINT32_MAX);
	assert_int_equal(c.local_port, 0);
	assert_int_equal(c.weakest_cipher, VS_PROTECTION_ENCRYPTED);
	assert_string_equal(c.bind_interface, "eth0");
	assert_string_equal(c.control, "/run/vswitch/home.sock");
	assert_string_equal(c.tap.device, "vswitch0");
	assert_string_equal(c.tap.bridge, "br0");
	assert_int_equal(c.tap.mtu, 1500);
	vs_client_config_fini(&c);
}

/* The reference names every key of both programs. */
static void test_document(void **state)
{
	static const struct vs_schema *const schemas[] = { &vs_server_schema, &vs_client_schema };
	char *text = NULL, row[80];
	size_t size;
	(void)state;

	for (size_t i = 0; i < VS_ARRAY_SIZE(schemas); i++) {
		FILE *f = open_memstream(&text, &size);
		vs_schema_document(schemas[i], f);
		fclose(f);
		for (size_t s = 0; s < schemas[i]->n; s++) {
			for (size_t g = 0; g < VS_SCHEMA_GROUPS_MAX; g++) {
				const struct vs_schema_group *group = &schemas[i]->sections[s].groups[g];
				for (size_t k = 0; k < group->n; k++) {
					/* A longer one would be taken for a secret. */
					assert_in_range(strlen(group->keys[k].name), 1, VS_CONFIG_KEY_MAX);
					snprintf(row, sizeof(row), "\n| `%s` | ", group->keys[k].name);
					assert_non_null(strstr(text, row));
					assert_non_null(group->keys[k].help);
				}
			}
		}
		free(text);
	}
}

static int setup(void **state)
{
	(void)state;
	return vs_crypto_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connection_ports),
		cmocka_unit_test(test_server_defaults), cmocka_unit_test(test_port_defaults),
		cmocka_unit_test(test_server_tap),      cmocka_unit_test(test_port_diff),
		cmocka_unit_test(test_transport_defaults), cmocka_unit_test(test_transport_keys),
		cmocka_unit_test(test_profiles), cmocka_unit_test(test_bundles_set_the_same_keys),
		cmocka_unit_test(test_fixed_changes),   cmocka_unit_test(test_adopt),
		cmocka_unit_test(test_tap_equal),       cmocka_unit_test(test_too_many_taps),
		cmocka_unit_test(test_client),          cmocka_unit_test(test_document),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
