/* Forward error correction on bad lines, in numbers: a stream of 50 small packets a second both ways, as a game or a
 * call has them, and a bulk transfer. What is lost for good, what is late, what it costs. The line is between client 0
 * and the server (50 ms there and back); client 1's is perfect. VS_SEEDS is how many runs each case gets. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sim/traffic.h"

#define MBIT UINT64_C(1000000)
#define RTT (50 * VS_MSEC)
#define PACKETS_MAX 20000u
/* Of IPv4 and UDP, which the carrier adds to each datagram. */
#define CARRIER_HEADERS 28


static unsigned seeds(void)
{
	const char *text = getenv("VS_SEEDS");
	return text ? (unsigned)VS_MIN(strtoul(text, NULL, 10), 3ul) : 1;
}

struct line_case {
	const char *name;
	enum vs_mode mode;
	const char *fec; /* "off", "K:M", "auto" */
	double loss, burst;
	double reorder;
};

/* Delays of the packets of one direction, by number; 0: it has not come. */
struct direction {
	uint32_t delays[PACKETS_MAX];
	unsigned came, came_twice;
};

struct fec_run {
	struct sim_world *world;
	struct sim_traffic traffic;
	struct direction there, back;
	void (*arrived)(struct sim_world *, int, const struct vs_frame *, uint64_t, uint64_t);
};

struct outcome {
	double residual;       /* of round trips */
	double median, p99;    /* of round trips, milliseconds */
	double bytes;          /* both ways, headers of the carrier too */
	uint64_t data, parity, recovered, unrecovered, retransmitted, duplicates, lost_segments;
	double mbit;           /* of the bulk flow */
};

static void open_run(struct fec_run *run, const struct line_case *c, uint64_t seed)
{
	struct sim_config config = { .seed = seed, .clients = 2, .policy = vs_policy_default(), .datagram_max = 1472 };
	config.policy.has_aes = vs_cpu_has_aes();
	config.policy.datagram_max = 1472;
	config.policy.mode = c->mode;
	config.policy.fec_up.overhead_max = VS_FEC_OVERHEAD_DEFAULT;
	assert_int_equal(vs_fec_parse(c->fec, &config.policy.fec_up), 0);
	config.policy.fec_down = config.policy.fec_up;
	config.up[0] = config.down[0] = (struct vs_impair_config){
		.delay_usec = RTT / 2,
		.rate_bps = 100 * MBIT,
		.queue_bytes = 512 << 10,
		.loss = c->loss,
		.burst = c->burst,
		.reorder = c->reorder,
		.reorder_usec = 10 * VS_MSEC,
	};
	memset(run, 0, sizeof(*run));
	run->world = sim_world_new(&config);
	sim_traffic_init(&run->traffic, run->world);
	run->traffic.ordered = c->mode == VS_MODE_RELIABLE;
	sim_clock_run(&run->world->clock, 3 * VS_SEC);
	assert_true(vs_link_is_up(run->world->clients[0].end.link));
}

static void close_run(struct fec_run *run)
{
	sim_traffic_fini(&run->traffic);
	sim_world_stop(run->world);
	for (unsigned i = 0; i < run->world->failures && i < SIM_FAILURES_MAX; i++)
		print_error("%s\n", run->world->failure[i]);
	assert_int_equal(run->world->failures, 0);
	sim_world_free(run->world);
}

static const struct vs_link *near_link(const struct fec_run *run)
{
	return run->world->clients[0].end.link;
}

static const struct vs_link *far_link(const struct fec_run *run)
{
	return run->world->server.slots[0].current->end.link;
}

/* --- 50 packets a second, both ways --- */

static void note_arrival(struct sim_world *world, int where, const struct vs_frame *frame, uint64_t sent_usec,
			 uint64_t now)
{
	struct fec_run *run = VS_CONTAINER_OF(world->user, struct fec_run, traffic);
	run->arrived(world, where, frame, sent_usec, now);
	uint32_t number = sim_frame_number(frame);
	if (where == SIM_AT_SERVER || sim_frame_flow(frame) > 1 || number >= PACKETS_MAX)
		return;
	struct direction *d = sim_frame_flow(frame) == 0 ? &run->there : &run->back;
	if (d->delays[number])
		d->came_twice++;
	else
		d->came++;
	d->delays[number] = (uint32_t)(now - sim_frame_sent_usec(frame));
}

static void add_sparse(struct fec_run *run, unsigned from, unsigned to)
{
	struct sim_flow_config flow = {
		.kind = SIM_PACED,
		.from = from,
		.to = to,
		.interval_usec = 20 * VS_MSEC,
		.frame_min = 100,
		.frame_max = 140,
	};
	sim_traffic_add(&run->traffic, &flow);
}

static void account(struct outcome *o, const struct vs_link *link, uint64_t now, int sign)
{
	struct vs_link_stats s;
	vs_link_stats(link, now, &s);
	o->bytes += sign * (double)(s.tx_bytes + CARRIER_HEADERS * s.tx_datagrams);
	o->parity += sign * s.tx_parity;
	o->recovered += sign * s.fec_recovered;
	o->unrecovered += sign * s.fec_unrecovered;
	o->retransmitted += sign * s.arq_tx.retransmitted;
	o->data += sign * s.arq_tx.segments;
	o->duplicates += sign * vs_link_drops(link)->count[VS_DROP_DUPLICATE];
}

static void account_all(struct outcome *o, const struct fec_run *run, int sign)
{
	account(o, near_link(run), run->world->clock.now, sign);
	account(o, far_link(run), run->world->clock.now, sign);
	const struct sim_client *c = &run->world->clients[0];
	o->lost_segments += sign * (c->up.segments_lost + c->down.segments_lost);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

/* A round trip is a packet there and the one of the same number back. */
static void judge_round_trips(struct outcome *o, const struct fec_run *run, uint32_t first, uint32_t end)
{
	double *trips = calloc(end - first, sizeof(*trips));
	unsigned n = 0;
	assert_non_null(trips);
	for (uint32_t i = first; i < end; i++)
		if (run->there.delays[i] && run->back.delays[i])
			trips[n++] = (run->there.delays[i] + run->back.delays[i]) / 1e3;
	qsort(trips, n, sizeof(*trips), compare);
	o->residual = 1 - (double)n / (end - first);
	o->median = trips[n / 2];
	o->p99 = trips[n * 99 / 100];
	free(trips);
}

static void print_costs(const struct outcome *o)
{
	print_message("%.0f bytes, %" PRIu64 " parities, %" PRIu64 " recovered, %" PRIu64 " not; %" PRIu64 " of %" PRIu64
		      " segments lost, %" PRIu64 " sent again, %" PRIu64 " had come\n",
		      o->bytes, o->parity, o->recovered, o->unrecovered, o->lost_segments, o->data, o->retransmitted,
		      o->duplicates);
}

/* The first `warm_up` packets are not counted: `auto` has to learn of the line's losses from them. */
static struct outcome run_sparse(const struct line_case *c, uint64_t seed, uint32_t warm_up, uint32_t packets)
{
	static struct fec_run run;
	struct outcome o = { 0 };
	open_run(&run, c, seed);
	run.arrived = run.world->arrived;
	run.world->arrived = note_arrival;
	add_sparse(&run, 0, 1);
	add_sparse(&run, 1, 0);
	struct sim_clock *clock = &run.world->clock;
	sim_clock_run(clock, clock->now + warm_up * 20 * VS_MSEC);
	account_all(&o, &run, -1);
	sim_clock_run(clock, clock->now + packets * 20 * VS_MSEC);
	account_all(&o, &run, 1);
	sim_traffic_stop(&run.traffic);
	sim_clock_run(clock, clock->now + 2 * VS_SEC);
	judge_round_trips(&o, &run, warm_up, warm_up + packets);
	assert_int_equal(run.there.came_twice + run.back.came_twice, 0);
	print_message("%-28s seed %u: %.3f %% lost, median %.1f ms, 99 %% %.1f ms; ", c->name, (unsigned)seed,
		      100 * o.residual, o.median, o.p99);
	print_costs(&o);
	close_run(&run);
	return o;
}

/* As much as one run has: the bounds are of what chance makes of it, with room. */
#define WARM_UP 500u
#define PACKETS 5000u

static double overhead(const struct outcome *o, const struct outcome *off)
{
	return o->bytes / off->bytes - 1;
}

static const struct line_case *off_like(const struct line_case *c, struct line_case *off)
{
	*off = *c;
	off->name = "  the same, off";
	off->fec = "off";
	return off;
}

/* The figures that profiles promise (PROTOCOL.md, "Forward error correction"): what is lost for good, the round trip of
 * 99 in a hundred, and what it costs beside the same stream without FEC. */
static void test_sparse(void **state)
{
	(void)state;
	static const struct {
		struct line_case line;
		double residual; /* at most */
		double p99;      /* milliseconds, at most */
		double overhead; /* at most */
	} cases[] = {
		{ { "datagram, 2:1", VS_MODE_DATAGRAM, "2:1", 0.05, 0, 0 }, 0.001, 140, 0.6 },
		{ { "datagram, 5:2", VS_MODE_DATAGRAM, "5:2", 0.05, 0, 0 }, 0.001, 140, 0.5 },
		{ { "datagram, 1:2", VS_MODE_DATAGRAM, "1:2", 0.05, 0, 0 }, 0.001, 65, 2.2 },
		{ { "datagram, auto", VS_MODE_DATAGRAM, "auto", 0.05, 0, 0 }, 0.001, 140, 0.6 },
		{ { "datagram, auto, 1 %", VS_MODE_DATAGRAM, "auto", 0.01, 0, 0 }, 0.001, 140, 0.35 },
		{ { "datagram, 1:2, bursts of 4", VS_MODE_DATAGRAM, "1:2", 0.05, 4, 0 }, 0.001, 180, 2.2 },
		{ { "datagram, 2:1, bursts of 4", VS_MODE_DATAGRAM, "2:1", 0.05, 4, 0 }, 0.01, 520, 0.6 },
		{ { "datagram, auto, bursts of 4", VS_MODE_DATAGRAM, "auto", 0.05, 4, 0 }, 0.01, 520, 0.65 },
		{ { "datagram, 2:1, reordered", VS_MODE_DATAGRAM, "2:1", 0.05, 0, 0.1 }, 0.001, 140, 0.65 },
		{ { "reliable, 2:1", VS_MODE_RELIABLE, "2:1", 0.05, 0, 0 }, 0, 140, 0.6 },
		{ { "reliable, 1:2", VS_MODE_RELIABLE, "1:2", 0.05, 0, 0 }, 0, 65, 2.2 },
		{ { "reliable, auto", VS_MODE_RELIABLE, "auto", 0.05, 0, 0 }, 0, 140, 0.6 },
		{ { "reliable, auto, bursts of 4", VS_MODE_RELIABLE, "auto", 0.05, 4, 0 }, 0, 280, 0.65 },
	};
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		for (uint64_t seed = 1; seed <= seeds(); seed++) {
			struct line_case off;
			struct outcome o = run_sparse(&cases[i].line, seed, WARM_UP, PACKETS);
			struct outcome without = run_sparse(off_like(&cases[i].line, &off), seed, WARM_UP, PACKETS);
			assert_true(o.residual <= cases[i].residual);
			assert_true(o.median <= 52);
			assert_true(o.p99 <= cases[i].p99);
			assert_true(overhead(&o, &without) <= cases[i].overhead);
			/* That something was there to be regained. */
			assert_true(o.recovered > PACKETS / 100);
		}
	}
}

/* A clean line carries no parity, nor anything else that it would not carry without. */
static void test_auto_on_a_clean_line(void **state)
{
	(void)state;
	static const struct line_case cases[] = {
		{ "datagram, auto, clean", VS_MODE_DATAGRAM, "auto", 0, 0, 0 },
		{ "reliable, auto, clean", VS_MODE_RELIABLE, "auto", 0, 0, 0 },
		{ "datagram, auto, reordered", VS_MODE_DATAGRAM, "auto", 0, 0, 0.1 },
	};
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct line_case off;
		struct outcome o = run_sparse(&cases[i], 1, 0, PACKETS);
		struct outcome without = run_sparse(off_like(&cases[i], &off), 1, 0, PACKETS);
		assert_int_equal(o.parity, 0);
		assert_true(o.residual == 0);
		assert_true(overhead(&o, &without) < 0.01);
	}
}

/* What FEC regains is not sent again: the lanes wait for as long as two parities take. Of single losses hardly one in
 * 400 comes later than that; a probe or a lost ACK may cost a few more. */
static void test_recovered_is_not_sent_again(void **state)
{
	(void)state;
	static const struct line_case cases[] = {
		{ "reliable, 1:1", VS_MODE_RELIABLE, "1:1", 0.05, 0, 0 },
		{ "reliable, 1:2", VS_MODE_RELIABLE, "1:2", 0.05, 0, 0 },
		{ "reliable, 2:1", VS_MODE_RELIABLE, "2:1", 0.02, 0, 0 },
		{ "reliable, 2:1", VS_MODE_RELIABLE, "2:1", 0.05, 0, 0 },
	};
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct outcome o = run_sparse(&cases[i], 1, WARM_UP, PACKETS);
		assert_true(o.lost_segments > 100);
		assert_true(o.recovered >= o.lost_segments * 98 / 100);
		assert_true(o.retransmitted <= o.lost_segments / 40);
		assert_int_equal(o.unrecovered, 0);
	}
}

/* --- Bulk --- */

static uint64_t bulk_bytes(const struct fec_run *run)
{
	uint64_t bytes = 0;
	for (unsigned i = 0; i < run->traffic.flows_n; i++)
		bytes += run->traffic.flows[i].bytes;
	return bytes;
}

static struct outcome run_bulk(const struct line_case *c, uint64_t seed)
{
	static struct fec_run run;
	struct outcome o = { 0 };
	struct sim_flow_config flow = {
		.kind = SIM_WINDOWED, .to = 1, .window = 200, .frame_min = 1514, .frame_max = 1514,
	};
	open_run(&run, c, seed);
	for (unsigned i = 0; i < 8; i++)
		sim_traffic_add(&run.traffic, &flow);
	struct sim_clock *clock = &run.world->clock;
	sim_clock_run(clock, clock->now + 3 * VS_SEC);
	uint64_t before = bulk_bytes(&run);
	account_all(&o, &run, -1);
	sim_clock_run(clock, clock->now + 10 * VS_SEC);
	account_all(&o, &run, 1);
	o.mbit = (double)(bulk_bytes(&run) - before) * 8 / 10e6;
	print_message("bulk, %s, %.0f %% lost in bursts of %.0f: %.1f Mbit/s; ", c->fec, 100 * c->loss,
		      VS_MAX(c->burst, 1.0), o.mbit);
	print_costs(&o);
	close_run(&run);
	return o;
}

/* A bulk transfer over a reliable link. `auto` leaves losses to retransmission, which is cheaper while the link is
 * busy, and so costs next to nothing; a fixed ratio costs what it says, and no more than the line takes. */
static void test_bulk(void **state)
{
	(void)state;
	static const struct {
		double loss, burst;
		double least; /* Mbit/s, with `auto` */
	} lines[] = { { 0, 0, 85 }, { 0.01, 0, 80 }, { 0.05, 0, 80 }, { 0.1, 0, 72 }, { 0.05, 4, 70 } };
	static const struct {
		const char *fec;
		double parities;        /* a segment, at most */
		double least_of_off;    /* goodput, beside `off` */
	} kinds[] = { { "auto", 0.03, 0.9 }, { "10:1", 0.11, 0.85 }, { "2:1", 0.52, 0.58 } };
	for (size_t i = 0; i < VS_ARRAY_SIZE(lines); i++) {
		struct line_case c = { "bulk, off", VS_MODE_RELIABLE, "off", lines[i].loss, lines[i].burst, 0 };
		struct outcome off = run_bulk(&c, 1);
		for (size_t k = 0; k < VS_ARRAY_SIZE(kinds); k++) {
			c.name = c.fec = kinds[k].fec;
			struct outcome o = run_bulk(&c, 1);
			assert_true((double)o.parity <= kinds[k].parities * (double)(o.data + o.retransmitted));
			assert_true(o.mbit >= kinds[k].least_of_off * off.mbit);
			if (k == 0)
				assert_true(o.mbit >= lines[i].least);
			/* Parity does not fill the bottleneck's queue until it drops. */
			if (lines[i].loss <= 0)
				assert_int_equal(o.lost_segments, 0);
		}
	}
}

/* A sparse stream that shares its link with a bulk transfer: nothing is lost, and it does not wait for the bulk. */
static void test_sparse_beside_bulk(void **state)
{
	(void)state;
	static const char *const kinds[] = { "auto", "10:3" };
	for (size_t i = 0; i < VS_ARRAY_SIZE(kinds); i++) {
		static struct fec_run run;
		struct line_case c = { kinds[i], VS_MODE_RELIABLE, kinds[i], 0.05, 0, 0 };
		struct sim_flow_config bulk = {
			.kind = SIM_WINDOWED, .to = 1, .window = 200, .frame_min = 1514, .frame_max = 1514,
		};
		struct outcome o = { 0 };
		open_run(&run, &c, 1);
		run.arrived = run.world->arrived;
		run.world->arrived = note_arrival;
		add_sparse(&run, 0, 1);
		add_sparse(&run, 1, 0);
		for (unsigned n = 0; n < 8; n++)
			sim_traffic_add(&run.traffic, &bulk);
		sim_clock_run(&run.world->clock, run.world->clock.now + 20 * VS_SEC);
		sim_traffic_stop(&run.traffic);
		sim_clock_run(&run.world->clock, run.world->clock.now + 4 * VS_SEC);
		judge_round_trips(&o, &run, 200, 950);
		print_message("%s, beside bulk: residual %.3f %%, median %.1f ms, 99 %% %.1f ms, %.1f Mbit/s\n", c.fec,
			      100 * o.residual, o.median, o.p99, (double)bulk_bytes(&run) * 8 / 20e6);
		assert_true(o.residual == 0);
		assert_true(o.median <= 70);
		close_run(&run);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_auto_on_a_clean_line),
		cmocka_unit_test(test_recovered_is_not_sent_again),
		cmocka_unit_test(test_bulk),
		cmocka_unit_test(test_sparse_beside_bulk),
	};
	return vs_crypto_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
