#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "link/flow.h"
#include "packet.h"

#define KEY UINT64_C(0x0123456789abcdef)

enum { HOP = 0, ICMP = 1, TCP = 6, UDP = 17, DCCP = 33, ROUTING = 43, FRAGMENT = 44, GRE = 47, ESP = 50, AH = 51 };
enum { ICMP6 = 58, DSTOPTS = 60, SCTP = 132, MOBILITY = 135, UDPLITE = 136 };

static struct vs_pool *pool;

static int setup(void **state)
{
	(void)state;
	pool = vs_pool_new(1 << 20);
	return pool ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	vs_pool_free(pool);
	return 0;
}

static uint32_t hash_prefix(const struct packet *p, size_t len, uint64_t key)
{
	struct vs_frame *frame = packet_frame(pool, p, len);
	uint32_t hash = vs_flow_hash(frame, key);
	assert_int_not_equal(hash, 0);
	assert_int_equal(frame->flow_hash, hash);
	vs_frame_unref(frame);
	return hash;
}

static uint32_t hash(const struct packet *p)
{
	return hash_prefix(p, p->len, KEY);
}

static struct packet ipv4(uint8_t protocol, uint16_t fragment, size_t options)
{
	struct packet p = { .len = 0 };
	packet_macs(&p, 1, 2);
	packet_ipv4(&p, 0, protocol, fragment, options);
	packet_ports(&p, 1000, 2000);
	return p;
}

/* An IPv6 TCP packet behind a list of extension headers, which ends with -1. */
static struct packet ipv6(const int *extensions)
{
	struct packet p = { .len = 0 };
	packet_macs(&p, 1, 2);
	uint8_t *next = packet_ipv6(&p, 0, TCP) + 6;
	for (; *extensions >= 0; extensions++) {
		*next = (uint8_t)*extensions;
		uint8_t *header = packet_append(&p, *extensions == FRAGMENT ? 8 : 16);
		next = header;
		*next = TCP;
		header[1] = *extensions == FRAGMENT ? 0 : *extensions == AH ? 2 : 1;
	}
	packet_ports(&p, 1000, 2000);
	return p;
}

/* Whether changing the byte at `offset` changes the flow. */
static bool matters(const struct packet *p, size_t offset)
{
	struct packet changed = *p;
	changed.bytes[offset] ^= 0x01;
	return hash(&changed) != hash(p);
}

static void test_fields_of_ipv4(void **state)
{
	(void)state;
	static const struct { size_t offset; bool matters; const char *what; } fields[] = {
		{ 5, true, "destination MAC" }, { 11, true, "source MAC" },       { 13, true, "EtherType" },
		{ 15, false, "type of service" }, { 17, false, "total length" },  { 19, false, "identification" },
		{ 22, false, "TTL" },           { 23, true, "protocol" },         { 25, false, "checksum" },
		{ 29, true, "source address" }, { 33, true, "destination address" }, { 35, true, "source port" },
		{ 37, true, "destination port" }, { 41, false, "sequence number" },
	};
	struct packet p = ipv4(TCP, 0, 0);
	for (size_t i = 0; i < VS_ARRAY_SIZE(fields); i++)
		if (matters(&p, fields[i].offset) != fields[i].matters)
			fail_msg("%s: the flow must %schange", fields[i].what, fields[i].matters ? "" : "not ");
}

static void test_fields_of_ipv6(void **state)
{
	(void)state;
	static const struct { size_t offset; bool matters; const char *what; } fields[] = {
		{ 17, false, "flow label" },    { 19, false, "payload length" },     { 21, false, "hop limit" },
		{ 37, true, "source address" }, { 53, true, "destination address" }, { 55, true, "source port" },
		{ 57, true, "destination port" }, { 61, false, "sequence number" },
	};
	struct packet p = ipv6((const int[]){ -1 });
	for (size_t i = 0; i < VS_ARRAY_SIZE(fields); i++)
		if (matters(&p, fields[i].offset) != fields[i].matters)
			fail_msg("%s: the flow must %schange", fields[i].what, fields[i].matters ? "" : "not ");
}

static void test_transports(void **state)
{
	(void)state;
	static const struct { uint8_t protocol; bool ports; } rows[] = {
		{ TCP, true }, { UDP, true }, { SCTP, true }, { UDPLITE, true }, { DCCP, true }, { ESP, true },
		{ GRE, false },
	};
	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		struct packet p = ipv4(rows[i].protocol, 0, 0);
		assert_int_equal(matters(&p, 34), rows[i].ports);
		assert_int_equal(matters(&p, 37), rows[i].ports);
	}
}

static void test_echo_identifier(void **state)
{
	(void)state;
	static const struct { bool v6; uint8_t type; bool id; } rows[] = {
		{ false, 8, true }, { false, 0, true }, { false, 3, false }, { true, 128, true }, { true, 129, true },
		{ true, 1, false },
	};
	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		struct packet p = { .len = 0 };
		packet_macs(&p, 1, 2);
		if (rows[i].v6)
			packet_ipv6(&p, 0, ICMP6);
		else
			packet_ipv4(&p, 0, ICMP, 0, 0);
		size_t icmp = p.len;
		packet_append(&p, 8)[0] = rows[i].type;
		assert_int_equal(matters(&p, icmp + 5), rows[i].id);
		assert_false(matters(&p, icmp + 7)); /* sequence number */
	}
}

static void test_ipv4_options_move_the_ports(void **state)
{
	(void)state;
	struct packet p = ipv4(UDP, 0, 8);
	assert_false(matters(&p, 35)); /* in the options */
	assert_true(matters(&p, 43));
	struct packet plain = ipv4(UDP, 0, 0);
	assert_int_equal(hash(&p), hash(&plain));
}

static void test_ipv4_fragments_share_a_flow(void **state)
{
	(void)state;
	struct packet whole = ipv4(UDP, 0x4000, 0); /* DF is not a fragment */
	struct packet first = ipv4(UDP, 0x2000, 0);
	struct packet middle = ipv4(UDP, 0x2010, 0);
	struct packet last = ipv4(UDP, 0x0010, 0);
	memset(last.bytes + 34, 0x77, 20);
	assert_true(matters(&whole, 35));
	assert_false(matters(&first, 35));
	assert_int_equal(hash(&first), hash(&middle));
	assert_int_equal(hash(&first), hash(&last));
}

static void test_ipv6_extensions(void **state)
{
	(void)state;
	static const int chains[][5] = {
		{ HOP, -1 }, { ROUTING, -1 },  { DSTOPTS, -1 },
		{ AH, -1 },  { FRAGMENT, -1 }, { HOP, DSTOPTS, AH, MOBILITY, -1 },
	};
	struct packet plain = ipv6((const int[]){ -1 });
	for (size_t i = 0; i < VS_ARRAY_SIZE(chains); i++) {
		struct packet p = ipv6(chains[i]);
		assert_int_equal(hash(&p), hash(&plain)); /* a fragment header that fragments nothing, too */
		assert_true(matters(&p, p.len - 19));
	}
}

static void test_ipv6_fragments_share_a_flow(void **state)
{
	(void)state;
	struct packet first = ipv6((const int[]){ FRAGMENT, -1 });
	struct packet last = first;
	vs_put_be16(first.bytes + 56, 0x0001);
	vs_put_be16(last.bytes + 56, 0x0100);
	assert_false(matters(&first, first.len - 19));
	assert_false(matters(&last, last.len - 19));
	assert_int_equal(hash(&first), hash(&last));
}

static void test_ipv6_extension_chain_is_bounded(void **state)
{
	(void)state;
	struct packet p = ipv6((const int[]){ HOP, HOP, HOP, HOP, HOP, HOP, HOP, HOP, HOP, -1 });
	assert_false(matters(&p, p.len - 19));
	p = ipv6((const int[]){ HOP, HOP, HOP, HOP, HOP, HOP, HOP, HOP, -1 });
	assert_true(matters(&p, p.len - 19));
}

static struct packet tagged(unsigned tags, uint16_t tpid, uint16_t tci)
{
	struct packet p = { .len = 0 };
	packet_macs(&p, 1, 2);
	for (unsigned i = 0; i < tags; i++)
		packet_tag(&p, tpid, tci);
	packet_ipv4(&p, 0, UDP, 0, 0);
	packet_ports(&p, 1000, 2000);
	return p;
}

static void test_vlan_tags(void **state)
{
	(void)state;
	for (unsigned tags = 0; tags <= 3; tags++) {
		struct packet p = tagged(tags, tags == 2 ? 0x88a8 : 0x8100, 5);
		/* Behind a third tag nothing is read. */
		assert_int_equal(matters(&p, p.len - 19), tags <= VS_FLOW_TAGS_MAX);
	}
	struct packet five = tagged(1, 0x8100, 5), six = tagged(1, 0x8100, 6), priority = tagged(1, 0x8100, 0xe005);
	struct packet none = tagged(0, 0, 0);
	assert_int_not_equal(hash(&five), hash(&six));
	assert_int_not_equal(hash(&five), hash(&none));
	assert_int_equal(hash(&five), hash(&priority));
}

static void test_network_header(void **state)
{
	(void)state;
	struct packet p = { .len = 0 };
	packet_macs(&p, 1, 2);
	packet_tag(&p, 0x88a8, 0x2123);
	packet_tag(&p, 0x8100, 0x0456);
	packet_ethertype(&p, 0x0806);
	packet_append(&p, 1)[0] = 0x99;
	uint16_t vids[VS_FLOW_TAGS_MAX];
	struct vs_view view = vs_view_of(p.bytes, p.len);
	assert_int_equal(vs_flow_network(&view, vids), 0x0806);
	assert_int_equal(vids[0], 0x123);
	assert_int_equal(vids[1], 0x456);
	assert_int_equal(view.len, 1);
	assert_int_equal(*view.data, 0x99);

	view = vs_view_of(p.bytes, 20);
	vs_flow_network(&view, NULL);
	assert_false(vs_view_ok(&view));
}

static void test_vlan_of_the_port(void **state)
{
	(void)state;
	struct packet p = ipv4(UDP, 0, 0);
	struct vs_frame *frame = packet_frame(pool, &p, p.len);
	frame->vlan = 7;
	assert_int_not_equal(vs_flow_hash(frame, KEY), hash(&p));
	vs_frame_unref(frame);
}

static void test_result_is_kept(void **state)
{
	(void)state;
	struct packet p = ipv4(UDP, 0, 0);
	struct vs_frame *frame = packet_frame(pool, &p, p.len);
	uint32_t first = vs_flow_hash(frame, KEY);
	vs_frame_bytes(frame)[35] ^= 1;
	assert_int_equal(vs_flow_hash(frame, KEY), first);
	frame->flow_hash = 0;
	assert_int_not_equal(vs_flow_hash(frame, KEY), first);
	vs_frame_unref(frame);
}

static void test_key_matters(void **state)
{
	(void)state;
	struct packet p = ipv4(UDP, 0, 0);
	assert_int_not_equal(hash_prefix(&p, p.len, KEY), hash_prefix(&p, p.len, KEY + 1));
}

static void test_truncated_frames(void **state)
{
	(void)state;
	struct packet packets[] = {
		tagged(2, 0x8100, 5),
		ipv4(TCP, 0, 40),
		ipv6((const int[]){ HOP, AH, FRAGMENT, -1 }),
	};
	for (size_t i = 0; i < VS_ARRAY_SIZE(packets); i++)
		for (size_t len = 0; len <= packets[i].len; len++)
			assert_int_equal(hash_prefix(&packets[i], len, KEY), hash_prefix(&packets[i], len, KEY));
}

static void test_spread(void **state)
{
	(void)state;
	/* 4096 flows over 64 lanes: each gets 64 on average; none less than a third or more than the double of that. */
	unsigned lanes[64] = { 0 };
	for (unsigned i = 0; i < 4096; i++) {
		struct packet p = ipv4(UDP, 0, 0);
		vs_put_be16(p.bytes + 34, (uint16_t)(1024 + i));
		lanes[hash(&p) % 64]++;
	}
	for (unsigned i = 0; i < 64; i++)
		assert_in_range(lanes[i], 22, 128);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields_of_ipv4),
		cmocka_unit_test(test_fields_of_ipv6),
		cmocka_unit_test(test_transports),
		cmocka_unit_test(test_echo_identifier),
		cmocka_unit_test(test_ipv4_options_move_the_ports),
		cmocka_unit_test(test_ipv4_fragments_share_a_flow),
		cmocka_unit_test(test_ipv6_extensions),
		cmocka_unit_test(test_ipv6_fragments_share_a_flow),
		cmocka_unit_test(test_ipv6_extension_chain_is_bounded),
		cmocka_unit_test(test_vlan_tags),
		cmocka_unit_test(test_network_header),
		cmocka_unit_test(test_vlan_of_the_port),
		cmocka_unit_test(test_result_is_kept),
		cmocka_unit_test(test_key_matters),
		cmocka_unit_test(test_truncated_frames),
		cmocka_unit_test(test_spread),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
