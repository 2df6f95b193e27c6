#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "switch/bridge.h"

#define UNTAGGED (-1)
#define NOTHING (-2) /* no frame at all */

#define PAYLOAD_SIZE 46
#define BROADCAST "ff:ff:ff:ff:ff:ff"
#define STATION_A "02:00:00:00:00:0a"
#define STATION_B "02:00:00:00:00:0b"

/* --- A bridge, its pool, and what came out of it ---------------------------------------- */

#define WORKERS 3

struct bench {
	struct vs_pool *pool;
	struct vs_bridge *bridge;
	struct vs_egress out, part;
	uint64_t now;
	unsigned workers, next_worker;
};

static int setup_with(void **state, size_t pool_bytes, unsigned workers)
{
	struct vs_bridge_config config = VS_BRIDGE_CONFIG_DEFAULT;
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	config.ports_max = 16;
	config.hash_seed = 42;
	config.workers = (uint8_t)workers;
	b->workers = workers;
	b->pool = vs_pool_new(pool_bytes);
	b->bridge = vs_bridge_new(&config);
	assert_non_null(b->pool);
	assert_non_null(b->bridge);
	*state = b;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, 4 << 20, 1);
}

/* The ports are dealt out to three workers, as far as they go. What leaves, and what is counted, must be the same. */
static int setup_workers(void **state)
{
	return setup_with(state, 4 << 20, WORKERS);
}

static int setup_one_buffer(void **state)
{
	return setup_with(state, 2048, 1);
}

/* Also proves that no test has lost a reference: a pool may only be freed when all are back. */
static int teardown(void **state)
{
	struct bench *b = *state;
	struct vs_pool_stats stats;

	vs_egress_release(&b->out);
	vs_pool_stats(b->pool, &stats);
	assert_int_equal(stats.bytes_used, 0);
	vs_bridge_free(b->bridge);
	vs_pool_free(b->pool);
	free(b);
	return 0;
}

static struct vs_port_config make_config(const char *name)
{
	struct vs_port_config config = VS_PORT_CONFIG_DEFAULT;

	snprintf(config.name, sizeof(config.name), "%s", name);
	return config;
}

static uint16_t add_config(struct bench *b, const struct vs_port_config *config)
{
	uint16_t id = UINT16_MAX;

	assert_int_equal(vs_bridge_port_add(b->bridge, config, b->next_worker, &id), 0);
	b->next_worker = (b->next_worker + 1) % b->workers;
	vs_bridge_port_set_up(b->bridge, id, true);
	return id;
}

static uint16_t add(struct bench *b, const char *name)
{
	struct vs_port_config config = make_config(name);

	return add_config(b, &config);
}

static uint16_t add_isolated(struct bench *b, const char *name)
{
	struct vs_port_config config = make_config(name);

	config.isolated = true;
	return add_config(b, &config);
}

static uint16_t add_vlan(struct bench *b, const char *name, struct vs_vlan_rule rule)
{
	struct vs_port_config config = make_config(name);

	config.vlan = rule;
	return add_config(b, &config);
}

static struct vs_frame *make_frame(struct bench *b, const char *dst, const char *src, int tci)
{
	size_t header = VS_ETH_HEADER_SIZE + (tci == UNTAGGED ? 0 : VS_ETH_TAG_SIZE);
	struct vs_frame *frame = vs_frame_new(b->pool, header + PAYLOAD_SIZE);
	struct vs_mac mac;

	assert_non_null(frame);
	uint8_t *p = vs_frame_bytes(frame);
	assert_int_equal(vs_mac_parse(dst, &mac), 0);
	memcpy(p, &mac, 6);
	assert_int_equal(vs_mac_parse(src, &mac), 0);
	memcpy(p + 6, &mac, 6);
	p += 12;
	if (tci != UNTAGGED) {
		vs_put_be16(p, VS_ETHERTYPE_CTAG);
		vs_put_be16(p + 2, (uint16_t)tci);
		p += VS_ETH_TAG_SIZE;
	}
	vs_put_be16(p, 0x0800);
	for (int i = 0; i < PAYLOAD_SIZE; i++)
		p[2 + i] = (uint8_t)i;
	return frame;
}

static int compare_ids(const void *a, const void *b)
{
	const struct vs_egress_port *x = a, *y = b;

	return (int)x->id - (int)y->id;
}

/* Brings the crossing to the workers that are to have it, and puts all that leaves on one list, in the order of ids. */
static void bring_across(struct bench *b)
{
	for (uint64_t rest = b->out.elsewhere; rest; rest &= rest - 1) {
		vs_bridge_arrive(b->bridge, (unsigned)__builtin_ctzll(rest), b->pool, &b->out.crossing, &b->part);
		assert_int_equal(b->part.elsewhere, 0);
		memcpy(&b->out.ports[b->out.count], b->part.ports, b->part.count * sizeof(b->part.ports[0]));
		b->out.count += b->part.count;
	}
	b->out.elsewhere = 0;
	qsort(b->out.ports, b->out.count, sizeof(b->out.ports[0]), compare_ids);
}

static void input(struct bench *b, uint16_t port, struct vs_frame *frame)
{
	const struct vs_port *in = vs_porttable_get(vs_bridge_ports(b->bridge), port);

	vs_egress_release(&b->out);
	vs_bridge_input(b->bridge, in ? in->worker : 0, port, frame, b->now, &b->out);
	bring_across(b);
}

static void input_tagged(struct bench *b, uint16_t port, const char *dst, const char *src, int tci)
{
	input(b, port, make_frame(b, dst, src, tci));
}

static void input_plain(struct bench *b, uint16_t port, const char *dst, const char *src)
{
	input_tagged(b, port, dst, src, UNTAGGED);
}

static const struct vs_port *port_of(const struct bench *b, uint16_t id)
{
	const struct vs_port *port = vs_porttable_get(vs_bridge_ports(b->bridge), id);

	assert_non_null(port);
	return port;
}

/* The sums of all workers, and the MAC table's. */
struct stats {
	uint64_t flooded, unicast;
	struct vs_drops drops;
	struct vs_mactable_stats macs;
};

static struct stats stats_of(struct bench *b)
{
	struct stats stats = { 0 };

	for (unsigned i = 0; i < vs_porttable_workers(vs_bridge_ports(b->bridge)); i++) {
		const struct vs_bridge_stats *one = vs_bridge_stats(b->bridge, i);
		stats.flooded += one->flooded;
		stats.unicast += one->unicast;
		vs_drops_add(&stats.drops, &one->drops);
	}
	vs_mactable_age(vs_bridge_macs(b->bridge), b->now);
	vs_mactable_stats(vs_bridge_macs(b->bridge), &stats.macs);
	return stats;
}

static struct vs_mactable_stats macs_of(struct bench *b, uint16_t id)
{
	struct vs_mactable_stats stats;

	vs_mactable_port_stats(vs_bridge_macs(b->bridge), id, &stats);
	return stats;
}

static const struct vs_frame *out_frame(const struct bench *b, uint16_t port)
{
	for (uint32_t i = 0; i < b->out.count; i++)
		if (b->out.ports[i].id == port)
			return b->out.ports[i].frame;
	return NULL;
}

/* The tag that a port sends the frame with, UNTAGGED, or NOTHING; checks that the rest is as make_frame() made it. */
static int out_tci(const struct bench *b, uint16_t port)
{
	const struct vs_frame *frame = out_frame(b, port);
	struct vs_eth eth;

	if (!frame)
		return NOTHING;
	assert_true(vs_eth_parse(vs_frame_cbytes(frame), frame->len, &eth));
	assert_int_equal(eth.type, 0x0800);
	size_t header = VS_ETH_HEADER_SIZE + (eth.tagged ? VS_ETH_TAG_SIZE : 0);
	assert_int_equal(frame->len, header + PAYLOAD_SIZE);
	for (int i = 0; i < PAYLOAD_SIZE; i++)
		assert_int_equal(vs_frame_cbytes(frame)[header + i], i);
	return eth.tagged ? eth.tci : UNTAGGED;
}

/* Checks that the frame left by exactly these ports; the list ends with -1. */
static void assert_out(const struct bench *b, const int *ports)
{
	uint32_t n = 0;

	for (; ports[n] >= 0; n++)
		assert_non_null(out_frame(b, (uint16_t)ports[n]));
	assert_int_equal(b->out.count, n);
}

#define ASSERT_OUT(b, ...) assert_out(b, (const int[]){ __VA_ARGS__, -1 })

/* Checks that the last frame was dropped, as the nth of its reason at its port and in all. */
static void assert_dropped(struct bench *b, uint16_t port, enum vs_drop reason, uint64_t n)
{
	assert_int_equal(b->out.count, 0);
	assert_int_equal(port_of(b, port)->counters.drops.count[reason], n);
	assert_int_equal(stats_of(b).drops.count[reason], n);
}

/* --- Learning and forwarding ---------------------------------------- */

static void test_unknown_is_flooded_known_is_not(void **state)
{
	struct bench *b = *state;
	uint16_t p0 = add(b, "p0"), p1 = add(b, "p1"), p2 = add(b, "p2");

	input_plain(b, p0, STATION_B, STATION_A);
	ASSERT_OUT(b, p1, p2);
	input_plain(b, p1, STATION_A, STATION_B);
	ASSERT_OUT(b, p0);
	input_plain(b, p0, STATION_B, STATION_A);
	ASSERT_OUT(b, p1);
	struct stats stats = stats_of(b);
	assert_int_equal(stats.flooded, 1);
	assert_int_equal(stats.unicast, 2);
	assert_int_equal(stats.macs.learned, 2);
	assert_int_equal(port_of(b, p0)->counters.flooded, 1);
	assert_int_equal(port_of(b, p0)->counters.unicast, 1);
	(void)p2;
}

static void test_groups_are_flooded_and_never_learned(void **state)
{
	struct bench *b = *state;
	uint16_t p0 = add(b, "p0"), p1 = add(b, "p1"), p2 = add(b, "p2");

	input_plain(b, p0, BROADCAST, STATION_A);
	ASSERT_OUT(b, p1, p2);
	input_plain(b, p1, "33:33:00:00:00:01", STATION_B);
	ASSERT_OUT(b, p0, p2);
	input_plain(b, p2, BROADCAST, "03:00:00:00:00:01");
	assert_dropped(b, p2, VS_DROP_BAD_SOURCE, 1);
	input_plain(b, p2, BROADCAST, "00:00:00:00:00:00");
	assert_dropped(b, p2, VS_DROP_BAD_SOURCE, 2);
	assert_int_equal(stats_of(b).macs.entries, 2);
}

static void test_a_flood_shares_one_frame(void **state)
{
	struct bench *b = *state;
	uint16_t p0 = add(b, "p0"), p1 = add(b, "p1"), p2 = add(b, "p2");
	struct vs_frame *frame = make_frame(b, BROADCAST, STATION_A, UNTAGGED);

	input(b, p0, frame);
	assert_ptr_equal(out_frame(b, p1), frame);
	assert_ptr_equal(out_frame(b, p2), frame);
	assert_int_equal(frame->refs, 2);
}

static void test_link_local_groups_stay_on_their_link(void **state)
{
	struct bench *b = *state;
	uint16_t p0 = add(b, "p0"), p1 = add(b, "p1");

	for (unsigned i = 0; i <= 16; i++) {
		char dst[VS_MAC_TEXT_SIZE];
		snprintf(dst, sizeof(dst), "01:80:c2:00:00:%02x", i);
		input_plain(b, p0, dst, STATION_A);
		if (i < 16)
			assert_dropped(b, p0, VS_DROP_LINK_LOCAL, i + 1);
		else
			ASSERT_OUT(b, p1);
	}
	assert_int_equal(stats_of(b).macs.learned, 1); /* their source is heard all the same */
}

static void test_destination_on_the_same_port(void **state)
{
	struct bench *b = *state;
	uint16_t p0 = add(b, "p0");

	add(b, "p1");
	input_plain(b, p0, BROADCAST, STATION_A);
	input_plain(b, p0, STATION_A, STATION_B);
	assert_dropped(b, p0, VS_DROP_SAME_PORT, 1);
	input_plain(b, p0, STATION_B, STATION_B); /* to itself */
	assert_dropped(b, p0, VS_DROP_SAME_PORT, 2);
}

static void test_no_other_port(void **state)
{
	struct bench *b = *state;
	uint16_t p0 = add(b, "p0"), p1 = add(b, "p1");

	vs_bridge_port_set_up(b->bridge, p1, false);
	input_plain(b, p0, BROADCAST, STATION_A);
	assert_dropped(b, p0, VS_DROP_NO_PORTS, 1);
	assert_int_equal(stats_of(b).flooded, 0);
}

static void test_station_moves(void **state)
{
	struct bench *b = *state;
	uint16_t p0 = add(b, "p0"), p1 = add(b, "p1"), p2 = add(b, "p2");

	input_plain(b, p0, BROADCAST, STATION_A);
	input_plain(b, p1, BROADCAST, STATION_A);
	input_plain(b, p2, STATION_A, STATION_B);
	ASSERT_OUT(b, p1);
	assert_int_equal(stats_of(b).macs.moved, 1);
}

static void test_addresses_age(void **state)
{
	struct bench *b = *state;
	uint16_t p0 = add(b, "p0"), p1 = add(b, "p1"), p2 = add(b, "p2");

	input_plain(b, p0, BROADCAST, STATION_A);
	b->now = VS_MAC_AGING_DEFAULT - 1;
	input_plain(b, p1, STATION_A, STATION_B);
	ASSERT_OUT(b, p0);
	b->now = VS_MAC_AGING_DEFAULT;
	input_plain(b, p1, STATION_A, STATION_B);
	ASSERT_OUT(b, p0, p2);
	assert_int_equal(stats_of(b).macs.aged, 1);

	vs_bridge_set_aging(b->bridge, 10 * VS_SEC, b->now);
	b->now += 10 * VS_SEC;
	input_plain(b, p0, STATION_B, STATION_A);
	ASSERT_OUT(b, p1, p2);
}

/* --- What may not enter ---------------------------------------- */

static void test_runts_and_giants(void **state)
{
	struct bench *b = *state;
	struct vs_port_config config = make_config("p0");
	static const struct {
		uint32_t len;
		int tci;
		int reason; /* -1: passes */
	} rows[] = {
		{ 0, UNTAGGED, VS_DROP_RUNT },   { 13, UNTAGGED, VS_DROP_RUNT },    { 14, UNTAGGED, -1 },
		{ 17, 10, VS_DROP_RUNT },        { 18, 10, -1 },                    { 1518, UNTAGGED, -1 },
		{ 1519, UNTAGGED, VS_DROP_GIANT }, { 9000, UNTAGGED, VS_DROP_GIANT },
	};

	config.frame_max = 1518;
	uint16_t p0 = add_config(b, &config), p1 = add(b, "p1");
	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		struct vs_frame *model = make_frame(b, BROADCAST, STATION_A, rows[i].tci);
		struct vs_frame *frame = vs_frame_new(b->pool, rows[i].len);
		uint64_t before = rows[i].reason < 0 ? 0 : stats_of(b).drops.count[rows[i].reason];

		assert_non_null(frame);
		memset(vs_frame_bytes(frame), 0, frame->len);
		memcpy(vs_frame_bytes(frame), vs_frame_bytes(model), VS_MIN(frame->len, model->len));
		vs_frame_unref(model);
		input(b, p0, frame);
		if (rows[i].reason < 0)
			ASSERT_OUT(b, p1);
		else
			assert_dropped(b, p0, (enum vs_drop)rows[i].reason, before + 1);
	}
	assert_int_equal(port_of(b, p0)->counters.frames_in, VS_ARRAY_SIZE(rows));
}

static void test_giant_for_an_output_port(void **state)
{
	struct bench *b = *state;
	uint16_t p0 = add(b, "p0"), p1 = add(b, "p1");
	struct vs_port_config config = make_config("p2");

	config.frame_max = 1514;
	uint16_t p2 = add_config(b, &config);
	struct vs_frame *frame = vs_frame_new(b->pool, 2000), *model = make_frame(b, BROADCAST, STATION_A, UNTAGGED);
	assert_non_null(frame);
	memset(vs_frame_bytes(frame), 0, frame->len);
	memcpy(vs_frame_bytes(frame), vs_frame_bytes(model), model->len);
	vs_frame_unref(model);

	input(b, p0, frame);
	ASSERT_OUT(b, p1);
	assert_int_equal(port_of(b, p2)->counters.drops.count[VS_DROP_GIANT], 1);
	assert_int_equal(port_of(b, p2)->counters.frames_out, 0);
	assert_int_equal(port_of(b, p0)->counters.drops.count[VS_DROP_GIANT], 0);
}

/* --- Ports that come and go ---------------------------------------- */

static void test_down_ports(void **state)
{
	struct bench *b = *state;
	uint16_t p0 = add(b, "p0"), p1 = add(b, "p1"), p2 = add(b, "p2");

	input_plain(b, p1, BROADCAST, STATION_B);
	vs_bridge_port_set_up(b->bridge, p1, false);
	assert_int_equal(stats_of(b).macs.flushed, 1);
	input_plain(b, p0, STATION_B, STATION_A); /* may have gone to another port: flooded */
	ASSERT_OUT(b, p2);
	input_plain(b, p1, BROADCAST, STATION_B);
	assert_dropped(b, p1, VS_DROP_PORT_DOWN, 1);
	assert_int_equal(stats_of(b).macs.entries, 1); /* and nothing learned */
	vs_bridge_port_set_up(b->bridge, p1, true);
	input_plain(b, p0, STATION_B, STATION_A);
	ASSERT_OUT(b, p1, p2);
}

static void test_removed_port(void **state)
{
	struct bench *b = *state;
	uint16_t p0 = add(b, "p0"), p1 = add(b, "p1"), p2 = add(b, "p2");

	input_plain(b, p1, BROADCAST, STATION_B);
	input_plain(b, p0, BROADCAST, STATION_A);
	vs_bridge_port_remove(b->bridge, p1);
	assert_int_equal(stats_of(b).macs.entries, 1);
	input_plain(b, p0, STATION_B, STATION_A);
	ASSERT_OUT(b, p2);

	/* A frame of its that was still under way. */
	input_plain(b, p1, BROADCAST, STATION_B);
	assert_int_equal(b->out.count, 0);
	assert_int_equal(stats_of(b).drops.count[VS_DROP_PORT_DOWN], 1);
	input_plain(b, UINT16_MAX, BROADCAST, STATION_B);
	assert_int_equal(stats_of(b).drops.count[VS_DROP_PORT_DOWN], 2);

	/* Its number goes to the next one, but not its history. */
	assert_int_equal(add(b, "p3"), p1);
	assert_int_equal(port_of(b, p1)->counters.frames_in, 0);
	assert_int_equal(macs_of(b, p1).learned, 0);
	assert_int_equal(stats_of(b).macs.learned, 2);
	vs_bridge_port_remove(b->bridge, p1);
	vs_bridge_port_remove(b->bridge, p1);
	vs_bridge_port_set_up(b->bridge, p1, true);
}

static void test_reconfigured_port(void **state)
{
	struct bench *b = *state;
	uint16_t p0 = add(b, "p0"), p1 = add(b, "p1");
	struct vs_port_config config = make_config("p1");

	input_plain(b, p1, BROADCAST, STATION_B);
	config.isolated = true;
	assert_int_equal(vs_bridge_port_configure(b->bridge, p1, &config, b->now), 0);
	assert_int_equal(stats_of(b).macs.entries, 1); /* its stations are where they were */
	input_plain(b, p0, STATION_B, STATION_A);
	ASSERT_OUT(b, p1);

	config.vlan = (struct vs_vlan_rule){ .mode = VS_VLAN_ACCESS, .vid = 10 };
	assert_int_equal(vs_bridge_port_configure(b->bridge, p1, &config, b->now), 0);
	assert_int_equal(macs_of(b, p1).entries, 0);
	input_plain(b, p0, STATION_B, STATION_A);
	assert_dropped(b, p0, VS_DROP_NO_PORTS, 1);

	config.vlan.vid = 4095;
	assert_int_equal(vs_bridge_port_configure(b->bridge, p1, &config, b->now), -EINVAL);
	assert_int_equal(vs_bridge_port_configure(b->bridge, 9, &config, b->now), -ENOENT);
}

static void test_mac_limit(void **state)
{
	struct bench *b = *state;
	struct vs_port_config config = make_config("p0");

	config.mac_limit = 2;
	uint16_t p0 = add_config(b, &config);
	add(b, "p1");
	for (int i = 1; i <= 5; i++) {
		char src[VS_MAC_TEXT_SIZE];
		snprintf(src, sizeof(src), "02:00:00:00:01:%02x", i);
		input_plain(b, p0, BROADCAST, src);
	}
	assert_int_equal(stats_of(b).macs.entries, 2);
	assert_int_equal(stats_of(b).macs.evicted, 3);
	config.mac_limit = 1;
	assert_int_equal(vs_bridge_port_configure(b->bridge, p0, &config, b->now), 0);
	assert_int_equal(stats_of(b).macs.entries, 1);
}

/* --- Isolation ---------------------------------------- */

static void test_isolation(void **state)
{
	struct bench *b = *state;
	uint16_t i0 = add_isolated(b, "i0"), i1 = add_isolated(b, "i1"), open = add(b, "open");

	input_plain(b, i0, BROADCAST, STATION_A);
	ASSERT_OUT(b, open);
	input_plain(b, i1, STATION_A, STATION_B);
	assert_dropped(b, i1, VS_DROP_ISOLATED, 1);
	input_plain(b, open, BROADCAST, "02:00:00:00:00:0c");
	ASSERT_OUT(b, i0, i1);
	input_plain(b, open, STATION_A, "02:00:00:00:00:0c");
	ASSERT_OUT(b, i0);
	input_plain(b, i1, "02:00:00:00:00:0c", STATION_B);
	ASSERT_OUT(b, open);
	vs_bridge_port_set_up(b->bridge, open, false);
	input_plain(b, i0, BROADCAST, STATION_A);
	assert_dropped(b, i0, VS_DROP_NO_PORTS, 1);
}

/* --- VLANs ---------------------------------------- */

enum matrix_port {
	IN,
	TRANSPARENT,
	ACCESS_10,
	ACCESS_20,
	TRUNK_10,       /* trunk 10,30 */
	TRUNK_NATIVE_10, /* trunk 20,30 native 10 */
	MATRIX_PORTS,
};

static struct vs_vlan_rule rule_of(enum matrix_port kind)
{
	struct vs_vlan_rule rules[MATRIX_PORTS] = {
		[ACCESS_10] = { .mode = VS_VLAN_ACCESS, .vid = 10 },
		[ACCESS_20] = { .mode = VS_VLAN_ACCESS, .vid = 20 },
		[TRUNK_10] = { .mode = VS_VLAN_TRUNK },
		[TRUNK_NATIVE_10] = { .mode = VS_VLAN_TRUNK, .vid = 10 },
	};

	assert_int_equal(vs_vlan_set_parse("10,30", &rules[TRUNK_10].members), 0);
	assert_int_equal(vs_vlan_set_parse("20,30", &rules[TRUNK_NATIVE_10].members), 0);
	return rules[kind];
}

#define REFUSED NOTHING, NOTHING, NOTHING, NOTHING, NOTHING

/* A broadcast that enters at a port of each kind with each tag, and how it leaves by one of each kind. */
static const struct {
	enum matrix_port in;
	int tci;
	int vlan; /* -1: refused */
	int out[MATRIX_PORTS - 1]; /* transparent, access 10, access 20, trunk 10,30, trunk 20,30 native 10 */
} matrix[] = {
	{ TRANSPARENT, UNTAGGED, 0, { UNTAGGED, NOTHING, NOTHING, NOTHING, NOTHING } },
	{ TRANSPARENT, 0xa000, 0, { 0xa000, NOTHING, NOTHING, NOTHING, NOTHING } },
	{ TRANSPARENT, 0xa00a, 10, { 0xa00a, UNTAGGED, NOTHING, 0xa00a, UNTAGGED } },
	{ TRANSPARENT, 0x5014, 20, { 0x5014, NOTHING, UNTAGGED, NOTHING, 0x5014 } },
	{ TRANSPARENT, 30, 30, { 30, NOTHING, NOTHING, 30, 30 } },
	{ TRANSPARENT, 40, 40, { 40, NOTHING, NOTHING, NOTHING, NOTHING } },
	{ TRANSPARENT, 0x0fff, -1, { REFUSED } },

	{ ACCESS_10, UNTAGGED, 10, { 10, UNTAGGED, NOTHING, 10, UNTAGGED } },
	{ ACCESS_10, 0xb000, 10, { 0xb00a, UNTAGGED, NOTHING, 0xb00a, UNTAGGED } },
	{ ACCESS_10, 0xb00a, 10, { 0xb00a, UNTAGGED, NOTHING, 0xb00a, UNTAGGED } },
	{ ACCESS_10, 20, -1, { REFUSED } },
	{ ACCESS_20, UNTAGGED, 20, { 20, NOTHING, UNTAGGED, NOTHING, 20 } },

	{ TRUNK_10, UNTAGGED, -1, { REFUSED } },
	{ TRUNK_10, 0xa000, -1, { REFUSED } },
	{ TRUNK_10, 10, 10, { 10, UNTAGGED, NOTHING, 10, UNTAGGED } },
	{ TRUNK_10, 20, -1, { REFUSED } },
	{ TRUNK_10, 30, 30, { 30, NOTHING, NOTHING, 30, 30 } },

	{ TRUNK_NATIVE_10, UNTAGGED, 10, { 10, UNTAGGED, NOTHING, 10, UNTAGGED } },
	{ TRUNK_NATIVE_10, 0xe000, 10, { 0xe00a, UNTAGGED, NOTHING, 0xe00a, UNTAGGED } },
	{ TRUNK_NATIVE_10, 10, 10, { 10, UNTAGGED, NOTHING, 10, UNTAGGED } },
	{ TRUNK_NATIVE_10, 20, 20, { 20, NOTHING, UNTAGGED, NOTHING, 20 } },
	{ TRUNK_NATIVE_10, 40, -1, { REFUSED } },
};

/* No more frames at a worker than forms: with a tag, without one. */
static void assert_at_most_two_frames(const struct bench *b)
{
	const struct vs_frame *forms[WORKERS][2] = { 0 };

	for (uint32_t i = 0; i < b->out.count; i++) {
		const struct vs_egress_port *p = &b->out.ports[i];
		const struct vs_frame **form = &forms[port_of(b, p->id)->worker][p->tagged];
		if (!*form)
			*form = p->frame;
		assert_ptr_equal(p->frame, *form);
		assert_int_equal(p->tagged, out_tci(b, p->id) != UNTAGGED);
	}
}

static void test_vlan_matrix(void **state)
{
	struct bench *b = *state;
	uint16_t ids[MATRIX_PORTS];
	uint64_t refused = 0;

	ids[IN] = add(b, "in");
	for (int kind = TRANSPARENT; kind < MATRIX_PORTS; kind++) {
		char name[16];
		snprintf(name, sizeof(name), "kind%d", kind);
		ids[kind] = add_vlan(b, name, rule_of((enum matrix_port)kind));
	}
	for (size_t i = 0; i < VS_ARRAY_SIZE(matrix); i++) {
		struct vs_port_config config = make_config("in");
		config.vlan = rule_of(matrix[i].in);
		assert_int_equal(vs_bridge_port_configure(b->bridge, ids[IN], &config, b->now), 0);
		input_tagged(b, ids[IN], BROADCAST, STATION_A, matrix[i].tci);
		for (int kind = TRANSPARENT; kind < MATRIX_PORTS; kind++)
			assert_int_equal(out_tci(b, ids[kind]), matrix[i].out[kind - 1]);
		assert_at_most_two_frames(b);
		if (matrix[i].vlan < 0)
			assert_dropped(b, ids[IN], VS_DROP_VLAN_FILTER, ++refused);
		else
			assert_int_equal(b->out.vlan, matrix[i].vlan);
		for (uint32_t j = 0; j < b->out.count; j++)
			assert_int_equal(b->out.ports[j].frame->vlan, matrix[i].vlan);
	}
}

/* The same frames, to a station known behind each kind of port: it leaves there as the flood did, and nowhere else. */
static void test_vlan_matrix_unicast(void **state)
{
	struct bench *b = *state;
	uint16_t in = add(b, "in"), out = add(b, "out");

	for (size_t i = 0; i < VS_ARRAY_SIZE(matrix); i++) {
		for (int kind = TRANSPARENT; kind < MATRIX_PORTS; kind++) {
			int expected = matrix[i].out[kind - 1];
			struct vs_port_config config = make_config("in");
			if (expected == NOTHING)
				continue;
			config.vlan = rule_of(matrix[i].in);
			assert_int_equal(vs_bridge_port_configure(b->bridge, in, &config, b->now), 0);
			config = make_config("out");
			config.vlan = rule_of((enum matrix_port)kind);
			assert_int_equal(vs_bridge_port_configure(b->bridge, out, &config, b->now), 0);

			input_tagged(b, out, BROADCAST, STATION_B, expected);
			uint64_t unicast = stats_of(b).unicast;
			struct vs_frame *frame = make_frame(b, STATION_B, STATION_A, matrix[i].tci);
			input(b, in, frame);
			ASSERT_OUT(b, out);
			assert_int_equal(out_tci(b, out), expected);
			assert_int_equal(stats_of(b).unicast, unicast + 1);
			assert_ptr_equal(out_frame(b, out), frame); /* changed in place, not copied */
		}
	}
}

static void test_vlans_are_separate_lans(void **state)
{
	struct bench *b = *state;
	uint16_t a10 = add_vlan(b, "a10", rule_of(ACCESS_10)), a20 = add_vlan(b, "a20", rule_of(ACCESS_20));
	uint16_t all = add(b, "all");

	input_plain(b, a10, BROADCAST, STATION_A);
	input_plain(b, a20, BROADCAST, STATION_A); /* the same address, another station */
	assert_int_equal(stats_of(b).macs.entries, 2);
	assert_int_equal(stats_of(b).macs.moved, 0);
	input_tagged(b, all, STATION_A, STATION_B, 10);
	ASSERT_OUT(b, a10);
	input_tagged(b, all, STATION_A, STATION_B, 20);
	ASSERT_OUT(b, a20);
	input_plain(b, all, STATION_A, STATION_B); /* VLAN 0 has only this port */
	assert_dropped(b, all, VS_DROP_NO_PORTS, 1);
}

static void test_stacked_tags(void **state)
{
	struct bench *b = *state;
	uint16_t all = add(b, "all"), a10 = add_vlan(b, "a10", rule_of(ACCESS_10));
	struct vs_frame *frame = vs_eth_push_tag(b->pool, make_frame(b, BROADCAST, STATION_A, 20), 10);

	assert_non_null(frame);
	input(b, all, frame);
	const struct vs_frame *sent = out_frame(b, a10);
	struct vs_eth eth;
	assert_non_null(sent);
	assert_true(vs_eth_parse(vs_frame_cbytes(sent), sent->len, &eth));
	assert_int_equal(eth.tci, 20); /* the inner tag is the payload's business */
}

/* --- Buffers ---------------------------------------- */

/* Whoever else holds the frame must not see it change. */
static void test_shared_input_is_not_changed(void **state)
{
	struct bench *b = *state;
	uint16_t all = add(b, "all"), a10 = add_vlan(b, "a10", rule_of(ACCESS_10));
	struct vs_frame *frame = make_frame(b, BROADCAST, STATION_A, 10);

	input(b, all, vs_frame_ref(frame));
	assert_int_equal(out_tci(b, a10), UNTAGGED);
	assert_ptr_not_equal(out_frame(b, a10), frame);
	assert_int_equal(frame->len, VS_ETH_HEADER_SIZE + VS_ETH_TAG_SIZE + PAYLOAD_SIZE);
	vs_frame_unref(frame);
}

static void test_no_buffer_for_the_other_form(void **state)
{
	struct bench *b = *state;
	uint16_t in = add_vlan(b, "in", rule_of(ACCESS_10));
	uint16_t a10 = add_vlan(b, "a10", rule_of(ACCESS_10)), all = add(b, "all");

	input_plain(b, in, BROADCAST, STATION_A);
	ASSERT_OUT(b, a10);
	assert_int_equal(port_of(b, all)->counters.drops.count[VS_DROP_NO_BUFFER], 1);
	assert_int_equal(port_of(b, all)->counters.frames_out, 0);
	assert_int_equal(stats_of(b).drops.count[VS_DROP_NO_BUFFER], 1);
}

static void test_counters(void **state)
{
	struct bench *b = *state;
	uint16_t a10 = add_vlan(b, "a10", rule_of(ACCESS_10)), all = add(b, "all");

	input_plain(b, a10, BROADCAST, STATION_A);
	input_tagged(b, all, STATION_A, STATION_B, 10);
	const struct vs_port_counters *c = &port_of(b, a10)->counters;
	assert_int_equal(c->frames_in, 1);
	assert_int_equal(c->bytes_in, 60);
	assert_int_equal(c->frames_out, 1);
	assert_int_equal(c->bytes_out, 60);
	c = &port_of(b, all)->counters;
	assert_int_equal(c->frames_in, 1);
	assert_int_equal(c->bytes_in, 64);
	assert_int_equal(c->frames_out, 1);
	assert_int_equal(c->bytes_out, 64);
}

/* Each with all ports at one worker, and with the ports dealt out to three. */
#define TEST(f) \
	cmocka_unit_test_setup_teardown(f, setup, teardown), cmocka_unit_test_setup_teardown(f, setup_workers, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_unknown_is_flooded_known_is_not),
		TEST(test_groups_are_flooded_and_never_learned),
		TEST(test_a_flood_shares_one_frame),
		TEST(test_link_local_groups_stay_on_their_link),
		TEST(test_destination_on_the_same_port),
		TEST(test_no_other_port),
		TEST(test_station_moves),
		TEST(test_addresses_age),
		TEST(test_runts_and_giants),
		TEST(test_giant_for_an_output_port),
		TEST(test_down_ports),
		TEST(test_removed_port),
		TEST(test_reconfigured_port),
		TEST(test_mac_limit),
		TEST(test_isolation),
		TEST(test_vlan_matrix),
		TEST(test_vlan_matrix_unicast),
		TEST(test_vlans_are_separate_lans),
		TEST(test_stacked_tags),
		TEST(test_shared_input_is_not_changed),
		cmocka_unit_test_setup_teardown(test_no_buffer_for_the_other_form, setup_one_buffer, teardown),
		TEST(test_counters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
