/* A bridge under random operations: ports of every kind come, go, change and send foreign bytes. After each frame:
 * nothing leaves by the port that it came in by, by a port that is down, or from an isolated port by an isolated one;
 * each port gets the frame in the form that its VLANs ask for; the MAC table is within its bounds; and at the end
 * every reference is back in the pool. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "switch/bridge.h"

#define PORTS 12
#define WORKERS 3
#define MAC_ENTRIES 32
#define POOL_BYTES (12 * 1024) /* a large frame and no copy of it: running out of buffers is part of the test */

#define CHECK(condition)                                                                     \
	do {                                                                                 \
		if (!(condition)) {                                                          \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);      \
			abort();                                                             \
		}                                                                            \
	} while (0)

struct fuzz {
	struct vs_pool *pool;
	struct vs_bridge *bridge;
	unsigned workers, next_worker;
	uint64_t now;
	unsigned named; /* ports so far, for unique names */
	struct vs_egress out, part;
};

static struct vs_port_config read_config(struct fuzz *f, struct vs_view *in)
{
	struct vs_port_config config = VS_PORT_CONFIG_DEFAULT;
	uint8_t flags = vs_view_u8(in);

	snprintf(config.name, sizeof(config.name), "port%u", f->named++);
	config.isolated = flags & 1;
	config.mac_limit = flags >> 1 & 7;
	config.frame_max = flags & 16 ? VS_PORT_FRAME_MAX_LEAST : VS_PORT_FRAME_MAX_DEFAULT;
	config.vlan.mode = (enum vs_vlan_mode)(flags >> 6);
	config.vlan.vid = flags & 32 ? vs_view_u8(in) % 8 : 0;
	for (uint8_t members = config.vlan.mode == VS_VLAN_TRUNK ? vs_view_u8(in) : 0, vid = 1; members >>= 1; vid++)
		if (members & 1)
			vs_vlan_set_add(&config.vlan.members, vid);
	return config;
}

static void add_port(struct fuzz *f, struct vs_view *in)
{
	struct vs_port_config config = read_config(f, in);
	uint16_t id;

	if (vs_bridge_port_add(f->bridge, &config, f->next_worker++ % f->workers, &id) == 0)
		vs_bridge_port_set_up(f->bridge, id, true);
}

static void configure_port(struct fuzz *f, struct vs_view *in)
{
	uint16_t id = vs_view_u8(in) % PORTS;
	struct vs_port_config config = read_config(f, in);
	int err = vs_bridge_port_configure(f->bridge, id, &config, f->now);

	CHECK(err == 0 || vs_vlan_rule_check(&config.vlan) != 0 || !vs_porttable_get(vs_bridge_ports(f->bridge), id));
}

/* Few stations in few VLANs, so that they meet; or the input's own bytes. */
static struct vs_frame *read_frame(struct fuzz *f, struct vs_view *in)
{
	uint8_t shape = vs_view_u8(in);
	size_t len = shape & 1 ? vs_view_u8(in) : 14 + (size_t)vs_view_be16(in) % 1600;
	struct vs_frame *frame = vs_frame_new(f->pool, len);

	if (!frame)
		return NULL;
	uint8_t *p = vs_frame_bytes(frame);
	memset(p, 0, len);
	size_t given = VS_MIN(len, in->len);
	if (shape & 1) {
		given = VS_MIN(given, 32u);
		vs_view_copy(in, p, given);
		return frame;
	}
	p[0] = shape & 2 ? 0xff : 0x02;
	p[5] = vs_view_u8(in) % 16;
	p[6] = 0x02;
	p[11] = vs_view_u8(in) % 64;
	if (shape & 4 && len >= VS_ETH_HEADER_SIZE + VS_ETH_TAG_SIZE) {
		vs_put_be16(p + 12, VS_ETHERTYPE_CTAG);
		vs_put_be16(p + 14, (uint16_t)((shape & 0xe0) << 8 | vs_view_u8(in) % 8));
	}
	return frame;
}

static void check_copy(const struct fuzz *f, const struct vs_port *in, const struct vs_egress_port *copy)
{
	const struct vs_port *out = vs_porttable_get(vs_bridge_ports(f->bridge), copy->id);
	struct vs_eth eth;

	CHECK(out && out->up && out != in);
	CHECK(!(vs_port_config_of(in)->isolated && vs_port_config_of(out)->isolated));
	CHECK(copy->frame->refs >= 1 && copy->frame->len <= vs_port_config_of(out)->frame_max);
	CHECK(vs_eth_parse(vs_frame_cbytes(copy->frame), copy->frame->len, &eth));
	CHECK(!vs_mac_is_link_local(&eth.dst) && !vs_mac_is_group(&eth.src));
	enum vs_vlan_form form = vs_vlan_egress(&vs_port_config_of(out)->vlan, f->out.vlan);
	CHECK(form != VS_VLAN_REFUSED);
	switch (form) {
	case VS_VLAN_REFUSED:
		break;
	case VS_VLAN_UNCHANGED:
		CHECK(!eth.tagged || (eth.tci & VS_TCI_VID) == 0);
		break;
	case VS_VLAN_TAGGED:
		CHECK(eth.tagged && (eth.tci & VS_TCI_VID) == f->out.vlan);
		break;
	case VS_VLAN_UNTAGGED:
		CHECK(!copy->tagged);
		break;
	}
}

static void check_references(const struct vs_egress *out)
{
	for (uint32_t i = 0; i < out->count; i++) {
		uint32_t refs = 0;
		for (uint32_t j = 0; j < out->count; j++) {
			CHECK(i == j || out->ports[i].id != out->ports[j].id);
			refs += out->ports[j].frame == out->ports[i].frame;
		}
		CHECK(out->ports[i].frame->refs == refs);
	}
}

/* Brings the crossing to the workers that are to have it, and puts all that leaves on one list. */
static void bring_across(struct fuzz *f)
{
	CHECK(!(f->out.elsewhere >> f->workers));
	for (uint64_t rest = f->out.elsewhere; rest; rest &= rest - 1) {
		vs_bridge_arrive(f->bridge, (unsigned)__builtin_ctzll(rest), f->pool, &f->out.crossing, &f->part);
		CHECK(!f->part.elsewhere);
		for (uint32_t i = 0; i < f->part.count; i++)
			f->out.ports[f->out.count++] = f->part.ports[i];
	}
	f->out.elsewhere = 0;
}

static void send_frame(struct fuzz *f, struct vs_view *in)
{
	uint16_t id = vs_view_u8(in) % PORTS;
	const struct vs_port *port = vs_porttable_get(vs_bridge_ports(f->bridge), id);
	struct vs_frame *frame = read_frame(f, in);

	if (!frame)
		return;
	vs_bridge_input(f->bridge, port ? port->worker : 0, id, frame, f->now, &f->out);
	bring_across(f);
	CHECK(f->out.count == 0 || (port && port->up));
	for (uint32_t i = 0; i < f->out.count; i++)
		check_copy(f, port, &f->out.ports[i]);
	check_references(&f->out);
	vs_egress_release(&f->out);
}

/* The table as it is shown, the sums over the ports, and the bounds agree. */
static void check_table(struct fuzz *f)
{
	struct vs_mactable *macs = vs_bridge_macs(f->bridge);
	struct vs_mac_entry entry;
	struct vs_mactable_stats stats;
	uint32_t shown = 0, owned = 0;

	vs_mactable_age(macs, f->now);
	vs_mactable_stats(macs, &stats);
	for (uint32_t cursor = 0; vs_mactable_next(macs, f->now, &cursor, &entry); shown++) {
		const struct vs_port *port = vs_porttable_get(vs_bridge_ports(f->bridge), entry.place.port);
		CHECK(port && port->up && port->generation == entry.place.generation);
		CHECK(vs_vlan_egress(&vs_port_config_of(port)->vlan, entry.vlan) != VS_VLAN_REFUSED);
	}
	for (uint16_t id = 0; id < PORTS; id++) {
		const struct vs_port *port = vs_porttable_get(vs_bridge_ports(f->bridge), id);
		struct vs_mactable_stats own;
		vs_mactable_port_stats(macs, id, &own);
		CHECK(!port || !vs_port_config_of(port)->mac_limit || own.entries <= vs_port_config_of(port)->mac_limit);
		owned += own.entries;
	}
	CHECK(shown == stats.entries && owned == shown && shown <= MAC_ENTRIES);
	CHECK(stats.learned == shown + stats.aged + stats.evicted + stats.flushed);
}

static void run_operation(struct fuzz *f, struct vs_view *in)
{
	switch (vs_view_u8(in) % 16) {
	case 0:
		add_port(f, in);
		break;
	case 1:
		configure_port(f, in);
		break;
	case 2:
		vs_bridge_port_remove(f->bridge, vs_view_u8(in) % PORTS);
		break;
	case 3:
		vs_bridge_port_set_up(f->bridge, vs_view_u8(in) % PORTS, vs_view_u8(in) & 1);
		break;
	case 4:
		f->now += vs_view_be16(in) * 10 * VS_MSEC;
		break;
	case 5:
		vs_bridge_set_aging(f->bridge, (1 + vs_view_u8(in)) * VS_SEC, f->now);
		break;
	case 6:
		check_table(f);
		vs_bridge_reclaim(f->bridge);
		break;
	default:
		send_frame(f, in);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz f; /* static for its size */
	unsigned workers = size ? 1 + data[size - 1] % WORKERS : 1;
	struct vs_bridge_config config = {
		.workers = (uint8_t)workers, .ports_max = PORTS, .mac_entries = MAC_ENTRIES,
		.aging_usec = 60 * VS_SEC, .hash_seed = 1,
	};
	struct vs_view in = vs_view_of(data, size);
	struct vs_pool_stats stats;

	f = (struct fuzz){ .pool = vs_pool_new(POOL_BYTES), .bridge = vs_bridge_new(&config),
			    .workers = workers };
	CHECK(f.pool && f.bridge);
	while (in.len)
		run_operation(&f, &in);
	check_table(&f);
	vs_bridge_free(f.bridge);
	vs_pool_stats(f.pool, &stats);
	CHECK(stats.bytes_used == 0);
	vs_pool_free(f.pool);
	return 0;
}
