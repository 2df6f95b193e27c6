/* What the switch costs. */
#include "base/bytes.h"
#include "base/gso.h"
#include "base/time.h"
#include "perf/frames.h"
#include "perf/meter.h"
#include "perf/workload.h"
#include "switch/bridge.h"

#define HASH_SEED UINT64_C(0x243f6a8885a308d3)
#define POOL_BYTES (16 << 20)
#define FRAME_LEN 64

/* --- The bridge --- */

struct site {
	struct vs_pool *pool;
	struct vs_bridge *bridge;
	struct vs_egress egress;
	uint8_t workers; /* all of them this one thread; port n is worker n's, modulo their number */
	uint64_t now;
};

static struct site *open_site(uint16_t ports, uint8_t workers)
{
	struct vs_bridge_config config = VS_BRIDGE_CONFIG_DEFAULT;
	struct site *site = calloc(1, sizeof(*site));
	MUST(site);
	config.hash_seed = HASH_SEED;
	config.workers = site->workers = workers;
	site->pool = vs_pool_new(POOL_BYTES);
	site->bridge = vs_bridge_new(&config);
	site->now = VS_SEC;
	MUST(site->pool && site->bridge);
	for (unsigned i = 0; i < ports; i++) {
		struct vs_port_config port = VS_PORT_CONFIG_DEFAULT;
		uint16_t id;
		snprintf(port.name, sizeof(port.name), "port%u", i);
		MUST(vs_bridge_port_add(site->bridge, &port, i % workers, &id) == 0 && id == i);
		vs_bridge_port_set_up(site->bridge, id, true);
	}
	return site;
}

static void close_site(struct site *site)
{
	vs_bridge_free(site->bridge);
	vs_pool_free(site->pool);
	free(site);
}

/* What the frame's own worker passes on to others; returns the number of ports that it left by there. */
static uint32_t arrive_elsewhere(struct site *site, const struct vs_crossing *crossing, uint64_t workers)
{
	uint32_t count = 0;
	for (; workers; workers &= workers - 1) {
		vs_bridge_arrive(site->bridge, (unsigned)__builtin_ctzll(workers), site->pool, crossing, &site->egress);
		count += site->egress.count;
		vs_egress_release(&site->egress);
	}
	return count;
}

/* One frame comes in at a port, and is gone again; returns the number of ports that it left by. */
static uint32_t forward(struct site *site, uint16_t port, uint32_t dst, uint32_t src, bool metered)
{
	struct vs_frame *frame = make_frame(site->pool, dst, src, 1, FRAME_LEN);
	site->now += 10;
	meter_set(metered);
	vs_bridge_input(site->bridge, port % site->workers, port, frame, site->now, &site->egress);
	uint32_t count = site->egress.count;
	struct vs_crossing crossing = site->egress.crossing;
	uint64_t elsewhere = site->egress.elsewhere;
	site->egress.elsewhere = 0;
	vs_egress_release(&site->egress);
	count += arrive_elsewhere(site, &crossing, elsewhere);
	meter_off();
	return count;
}

/* 1,000 stations behind 100 ports, in pairs drawn by lot. */
static uint64_t run_unicast(uint8_t workers)
{
	enum { PORTS = 100, STATIONS = 1000, FRAMES = 20000 };
	struct site *site = open_site(PORTS, workers);
	uint32_t seed = 1;
	for (uint32_t i = 0; i < STATIONS; i++)
		forward(site, (uint16_t)(i % PORTS), EVERYBODY, i, false);
	meter_ready();
	for (unsigned i = 0; i < FRAMES; i++) {
		uint32_t src = next_random(&seed) % STATIONS;
		uint32_t dst = (src + 1 + next_random(&seed) % (PORTS - 1)) % STATIONS;
		MUST(forward(site, (uint16_t)(src % PORTS), dst, src, true) == 1);
	}
	close_site(site);
	return FRAMES;
}

static uint64_t unicast(void)
{
	return run_unicast(1);
}

static uint64_t unicast_workers(void)
{
	return run_unicast(4);
}

static uint64_t run_flood(uint8_t workers)
{
	enum { PORTS = 101, FRAMES = 500 };
	struct site *site = open_site(PORTS, workers);
	meter_ready();
	for (unsigned i = 0; i < FRAMES; i++)
		MUST(forward(site, (uint16_t)(i % PORTS), EVERYBODY, i % PORTS, true) == PORTS - 1);
	close_site(site);
	return FRAMES;
}

static uint64_t flood(void)
{
	return run_flood(1);
}

static uint64_t flood_workers(void)
{
	return run_flood(4);
}

/* Every frame is of a station that nobody has heard of before, which takes the place of another, to the one before. */
static uint64_t learn(void)
{
	enum { PORTS = 2, FRAMES = 10000 };
	struct site *site = open_site(PORTS, 1);
	for (uint32_t i = 0; i < VS_MAC_ENTRIES_DEFAULT; i++)
		forward(site, i % PORTS, EVERYBODY, i, false);
	struct vs_mactable_stats macs;
	vs_mactable_stats(vs_bridge_macs(site->bridge), &macs);
	MUST(macs.entries == VS_MAC_ENTRIES_DEFAULT && macs.evicted == 0);
	meter_ready();
	for (uint32_t i = 0; i < FRAMES; i++)
		MUST(forward(site, i % PORTS, VS_MAC_ENTRIES_DEFAULT + i - 1, VS_MAC_ENTRIES_DEFAULT + i, true) == 1);
	vs_mactable_stats(vs_bridge_macs(site->bridge), &macs);
	MUST(macs.evicted == FRAMES);
	close_site(site);
	return FRAMES;
}

/* --- The MAC table --- */

static struct vs_mac station(uint32_t number)
{
	struct vs_mac mac = { .octet = { 2 } };
	vs_put_be32(mac.octet + 2, number);
	return mac;
}

static uint64_t lookup(void)
{
	enum { ENTRIES = 100000, PORTS = 1000, LOOKUPS = 50000 };
	struct vs_mactable_config config = {
		.entries = ENTRIES, .aging_usec = VS_MAC_AGING_DEFAULT, .ports = PORTS, .hash_seed = HASH_SEED,
	};
	struct vs_mactable *table = vs_mactable_new(&config);
	uint32_t seed = 1;
	MUST(table);
	for (uint32_t i = 0; i < ENTRIES; i++) {
		struct vs_mac mac = station(i);
		struct vs_mac_place place = { .port = (uint16_t)(i % PORTS) };
		MUST(vs_mactable_learn(table, 0, &mac, place, VS_SEC) == VS_MAC_NEW);
	}
	meter_ready();
	for (unsigned i = 0; i < LOOKUPS; i++) {
		uint32_t number = next_random(&seed) % ENTRIES;
		struct vs_mac mac = station(number);
		struct vs_mac_place place;
		meter_on();
		bool known = vs_mactable_lookup(table, 0, &mac, 2 * VS_SEC, &place);
		meter_off();
		MUST(known && place.port == number % PORTS);
	}
	vs_mactable_free(table);
	return LOOKUPS;
}

/* --- Segmentation --- */

static uint64_t segment(void)
{
	enum { SUPERS = 100 };
	struct vs_pool *pool = vs_pool_new(POOL_BYTES);
	struct vs_frame_list out;
	MUST(pool);
	vs_frame_list_init(&out, VS_GSO_SEGMENTS_MAX);
	meter_ready();
	for (unsigned i = 0; i < SUPERS; i++) {
		struct vs_frame *frame = make_super(pool);
		meter_on();
		int err = vs_gso_segment(pool, frame, VS_PORT_FRAME_MAX_LEAST, &out);
		vs_frame_unref(frame);
		meter_off();
		MUST(err == 0 && out.count == SUPER_SEGMENTS);
		vs_frame_list_clear(&out);
	}
	vs_frame_list_fini(&out);
	vs_pool_free(pool);
	return SUPER_SEGMENTS * SUPERS;
}

const struct workload switch_workloads[] = {
	{ "bridge_unicast", "frame", "to the one port of a known station, of 1,000 behind 100 ports", unicast },
	{ "bridge_flood", "frame", "a broadcast to 100 ports", flood },
	{ "bridge_unicast_workers", "frame", "to one known port, mostly another of 4 workers'", unicast_workers },
	{ "bridge_flood_workers", "frame", "a broadcast to 100 ports of 4 workers", flood_workers },
	{ "bridge_learn", "frame", "from an unknown station, into a full table of 8,192", learn },
	{ "mactable_lookup", "lookup", "of a known station among 100,000", lookup },
	{ "gso_segment", "segment", "a 64 KiB super-frame cut into frames, with their checksums", segment },
	{ 0 },
};
