#include "sim/traffic.h"

#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/bytes.h"

#define ETH_SIZE 14
#define IP_SIZE 20
#define UDP_SIZE 8
#define BODY (ETH_SIZE + IP_SIZE + UDP_SIZE)
/* Body: magic:32 flow:8 kind:8 zero:16 number:32 acked:32 sent:64 checksum:64 | filler */
#define MAGIC 0x53494d31u
#define AT_FLOW (BODY + 4)
#define AT_KIND (BODY + 5)
#define AT_NUMBER (BODY + 8)
#define AT_ACKED (BODY + 12)
#define AT_SENT (BODY + 16)
#define AT_CHECK (BODY + 24)
#define FILLER (BODY + 32)

#define KIND_DATA 1
#define KIND_ACK 2

#define ACK_EVERY 2
/* A windowed source that hears nothing sends one more frame, then takes all it has in flight for lost. */
#define NUDGE_USEC (200 * VS_MSEC)
#define GIVE_UP_USEC (1 * VS_SEC)

#define AT_SERVER_RING 4096

/* --- Frames --- */

static void put_mac(uint8_t *out, unsigned pc)
{
	memset(out, 0, 6);
	out[0] = 2;
	out[5] = (uint8_t)(pc + 1);
}

static uint16_t ip_checksum(const uint8_t *ip)
{
	uint32_t sum = 0;
	for (unsigned i = 0; i < IP_SIZE; i += 2)
		sum += vs_get_be16(ip + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put_headers(uint8_t *p, const struct sim_flow *flow, bool ack, size_t len)
{
	unsigned from = ack ? flow->config.to : flow->config.from, to = ack ? flow->config.from : flow->config.to;
	put_mac(p, to);
	put_mac(p + 6, from);
	vs_put_be16(p + 12, 0x0800);
	uint8_t *ip = p + ETH_SIZE;
	memset(ip, 0, IP_SIZE + UDP_SIZE);
	ip[0] = 0x45;
	ip[1] = flow->config.ect ? 2 : 0;
	vs_put_be16(ip + 2, (uint16_t)(len - ETH_SIZE));
	ip[8] = 64;
	ip[9] = 17;
	vs_put_be32(ip + 12, 0x0a000001 + from);
	vs_put_be32(ip + 16, 0x0a000001 + to);
	vs_put_be16(ip + 10, ip_checksum(ip));
	vs_put_be16(ip + IP_SIZE, (uint16_t)(5000 + 2 * flow->id + ack));
	vs_put_be16(ip + IP_SIZE + 2, (uint16_t)(6000 + flow->id));
	vs_put_be16(ip + IP_SIZE + 4, (uint16_t)(len - ETH_SIZE - IP_SIZE));
}

/* Over everything behind the headers, which routers may change. */
static uint64_t checksum(const uint8_t *p, size_t len)
{
	uint64_t head = XXH3_64bits(p + BODY, AT_CHECK - BODY);
	return XXH3_64bits_withSeed(p + FILLER, len - FILLER, head);
}

/* Filler in which each offset looks different, so that bytes in the wrong place are found as well as wrong bytes. */
static void put_filler(uint8_t *out, size_t len, uint32_t number)
{
	static uint8_t pattern[65536 + 256];
	if (!pattern[0]) {
		struct sim_random random = { 1 };
		sim_random_fill(&random, pattern, sizeof(pattern));
		pattern[0] = 1;
	}
	memcpy(out, pattern + number % 256, len);
}

static void send_frame(struct sim_flow *flow, bool ack, size_t len)
{
	struct sim_world *w = flow->traffic->world;
	struct sim_client *c = &w->clients[ack ? flow->config.to : flow->config.from];
	uint32_t number = ack ? 0 : flow->next++;
	if (!c->running)
		return;
	struct vs_frame *frame = vs_frame_new(c->pool, len);
	if (!frame)
		return;
	uint8_t *p = vs_frame_bytes(frame);
	put_headers(p, flow, ack, len);
	vs_put_be32(p + BODY, MAGIC);
	p[AT_FLOW] = (uint8_t)flow->id;
	p[AT_KIND] = ack ? KIND_ACK : KIND_DATA;
	vs_put_be16(p + AT_KIND + 1, 0);
	vs_put_be32(p + AT_NUMBER, number);
	vs_put_be32(p + AT_ACKED, flow->expected);
	vs_put_be64(p + AT_SENT, w->clock.now);
	put_filler(p + FILLER, len - FILLER, number);
	vs_put_be64(p + AT_CHECK, checksum(p, len));
	sim_client_send(c, frame);
}

/* --- Sources --- */

static void send_data(struct sim_flow *flow)
{
	send_frame(flow, false, sim_random_range(&flow->traffic->random, flow->config.frame_min, flow->config.frame_max));
}

static void fill_window(struct sim_flow *flow, uint64_t now)
{
	while (!flow->stopped && flow->next - flow->acked < flow->config.window)
		send_data(flow);
	sim_event_set(&flow->traffic->world->clock, &flow->timer, now + NUDGE_USEC);
}

static void nudge(struct sim_flow *flow, uint64_t now)
{
	if (vs_time_since(now, flow->progress_usec) >= GIVE_UP_USEC) {
		flow->acked = flow->next;
		flow->progress_usec = now;
	} else if (flow->next - flow->acked < 2 * flow->config.window) {
		send_data(flow);
	}
	fill_window(flow, now);
}

static void tick(struct sim_event *event, uint64_t now)
{
	struct sim_flow *flow = VS_CONTAINER_OF(event, struct sim_flow, timer);
	if (flow->stopped)
		return;
	if (flow->config.kind == SIM_WINDOWED) {
		nudge(flow, now);
		return;
	}
	sim_event_set(&flow->traffic->world->clock, event, now + flow->config.interval_usec);
	send_data(flow);
}

static void input_ack(struct sim_flow *flow, uint32_t acked, uint64_t now)
{
	if ((int32_t)(acked - flow->acked) <= 0)
		return;
	flow->acked = acked;
	flow->progress_usec = now;
	fill_window(flow, now);
}

/* --- Sinks --- */

static void check_order(struct sim_flow *flow, uint32_t number)
{
	struct sim_world *w = flow->traffic->world;
	bool behind = (int32_t)(number - flow->expected) < 0;
	if (flow->traffic->ordered) {
		if (behind)
			sim_fail(w, "flow %u: frame %u after %u: duplicated or reordered", flow->id, number,
				 flow->expected - 1);
		return;
	}
	for (uint32_t n = flow->expected; !behind && n != number; n++)
		flow->seen[n % SIM_SEEN_FRAMES / 64] &= ~(UINT64_C(1) << n % 64);
	if (behind && flow->expected - number > SIM_SEEN_FRAMES) {
		sim_fail(w, "flow %u: frame %u comes %u frames late", flow->id, number, flow->expected - number);
		return;
	}
	uint64_t *word = &flow->seen[number % SIM_SEEN_FRAMES / 64], bit = UINT64_C(1) << number % 64;
	if (behind && *word & bit && !flow->traffic->repeats)
		sim_fail(w, "flow %u: frame %u was delivered twice", flow->id, number);
	*word |= bit;
}

static void input_data(struct sim_flow *flow, const uint8_t *p, size_t len, uint64_t now)
{
	struct sim_traffic *t = flow->traffic;
	uint32_t number = vs_get_be32(p + AT_NUMBER);
	if ((int32_t)(number - flow->next) >= 0) {
		sim_fail(t->world, "flow %u: frame %u was never sent", flow->id, number);
		return;
	}
	check_order(flow, number);
	if ((int32_t)(number + 1 - flow->expected) > 0)
		flow->expected = number + 1;
	flow->received++;
	flow->bytes += len;
	flow->marked += (p[ETH_SIZE + 1] & 3) == 3;
	flow->delay_worst = VS_MAX(flow->delay_worst, now - vs_get_be64(p + AT_SENT));
	if (t->delivered)
		t->delivered(t, flow, now);
	flow->last_usec = now;
	if (flow->config.kind == SIM_WINDOWED && ++flow->unacked >= ACK_EVERY) {
		flow->unacked = 0;
		send_frame(flow, true, SIM_FRAME_MIN);
	}
}

static void record(struct sim_hop *hop, uint64_t wait)
{
	if (hop->waits_n == hop->waits_max) {
		hop->waits_max = hop->waits_max ? 2 * hop->waits_max : 1024;
		hop->waits = realloc(hop->waits, hop->waits_max * sizeof(*hop->waits));
		if (!hop->waits)
			abort();
	}
	hop->waits[hop->waits_n++] = (uint32_t)VS_MIN(wait, (uint64_t)UINT32_MAX);
}

static void measure(struct sim_flow *flow, int where, const uint8_t *p, uint64_t sent_usec, uint64_t now)
{
	uint32_t slot = vs_get_be32(p + AT_NUMBER) % AT_SERVER_RING;
	if (where == SIM_AT_SERVER) {
		record(&flow->hops[0], vs_time_since(sent_usec, vs_get_be64(p + AT_SENT)));
		flow->at_server[slot] = now;
	} else {
		record(&flow->hops[1], vs_time_since(sent_usec, flow->at_server[slot]));
	}
}

static bool is_intact(const struct sim_traffic *t, const struct vs_frame *frame)
{
	const uint8_t *p = vs_frame_cbytes(frame);
	return frame->len >= SIM_FRAME_MIN && vs_get_be32(p + BODY) == MAGIC && p[AT_FLOW] < t->flows_n &&
	       vs_get_be16(p + ETH_SIZE + 2) == frame->len - ETH_SIZE && ip_checksum(p + ETH_SIZE) == 0 &&
	       vs_get_be64(p + AT_CHECK) == checksum(p, frame->len);
}

static void arrived(struct sim_world *world, int where, const struct vs_frame *frame, uint64_t sent_usec, uint64_t now)
{
	struct sim_traffic *t = world->user;
	const uint8_t *p = vs_frame_cbytes(frame);
	if (!is_intact(t, frame)) {
		sim_fail(world, "a frame of %u bytes is damaged", frame->len);
		return;
	}
	struct sim_flow *flow = &t->flows[p[AT_FLOW]];
	bool ack = p[AT_KIND] == KIND_ACK;
	unsigned to = ack ? flow->config.from : flow->config.to;
	if (where != SIM_AT_SERVER && where != SIM_AT_PC(to)) {
		t->stray++;
		return;
	}
	if (t->measured && !ack)
		measure(flow, where, p, sent_usec, now);
	if (where == SIM_AT_SERVER)
		return;
	if (ack)
		input_ack(flow, vs_get_be32(p + AT_ACKED), now);
	else
		input_data(flow, p, frame->len, now);
}

unsigned sim_frame_flow(const struct vs_frame *frame)
{
	return vs_frame_cbytes(frame)[AT_FLOW];
}

uint32_t sim_frame_number(const struct vs_frame *frame)
{
	return vs_get_be32(vs_frame_cbytes(frame) + AT_NUMBER);
}

uint64_t sim_frame_sent_usec(const struct vs_frame *frame)
{
	return vs_get_be64(vs_frame_cbytes(frame) + AT_SENT);
}

/* --- Life --- */

void sim_traffic_init(struct sim_traffic *t, struct sim_world *world)
{
	*t = (struct sim_traffic){ .world = world, .ordered = true };
	t->random.state = sim_random_next(&world->random);
	world->arrived = arrived;
	world->user = t;
}

struct sim_flow *sim_traffic_add(struct sim_traffic *t, const struct sim_flow_config *config)
{
	if (t->flows_n == SIM_FLOWS_MAX)
		abort();
	struct sim_flow *flow = &t->flows[t->flows_n];
	uint64_t now = t->world->clock.now;
	*flow = (struct sim_flow){
		.config = *config,
		.id = t->flows_n++,
		.traffic = t,
		.progress_usec = now,
		.last_usec = now,
		.at_server = sim_alloc(AT_SERVER_RING * sizeof(uint64_t)),
	};
	sim_event_init(&t->world->clock, &flow->timer, tick);
	sim_event_set(&t->world->clock, &flow->timer, now + flow->id);
	return flow;
}

void sim_traffic_stop(struct sim_traffic *t)
{
	for (unsigned i = 0; i < t->flows_n; i++)
		t->flows[i].stopped = true;
}

void sim_traffic_fini(struct sim_traffic *t)
{
	for (unsigned i = 0; i < t->flows_n; i++) {
		sim_event_fini(&t->world->clock, &t->flows[i].timer);
		free(t->flows[i].at_server);
		free(t->flows[i].hops[0].waits);
		free(t->flows[i].hops[1].waits);
	}
	t->world->arrived = NULL;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

uint32_t sim_hop_percentile(struct sim_hop *hop, unsigned p)
{
	if (!hop->waits_n)
		return 0;
	qsort(hop->waits, hop->waits_n, sizeof(*hop->waits), compare);
	return hop->waits[(hop->waits_n - 1) * p / 100];
}
