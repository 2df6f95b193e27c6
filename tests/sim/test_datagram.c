/* Mode datagram on a line of 100 Mbit/s, 50 ms there and back, with a queue of 512 KiB: whatever the frames' own senders
 * do, the link finds the rate of the line from reports alone, keeps the line's queue short, takes chance losses for what
 * they are, and lets small streams through. The line is between client 0 and the server; client 1's is perfect. */
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
#define QUEUE (512u << 10)
#define FRAME 1400u /* whole in a datagram */

struct line_case {
	const char *name;
	enum vs_congestion_kind congestion;
	uint64_t rate_bps, offered_bps; /* offered 0: eight transports with windows that are far more than it takes */
	double loss;
	enum vs_protection protection;
	double least;      /* of what gets through, in the part of what can */
	double overflowed; /* of the datagrams, at most */
};

struct datagram_run {
	struct sim_world *world;
	struct sim_traffic traffic;
	struct sim_flow *sparse;
	void (*arrived)(struct sim_world *, int, const struct vs_frame *, uint64_t, uint64_t);
	uint64_t worst_usec; /* delay of the sparse flow's frames */
	uint64_t total_usec;
	unsigned count;
};

static double msec(uint64_t usec)
{
	return (double)usec / 1e3;
}

static double mbit(uint64_t bps)
{
	return (double)bps / 1e6;
}

static void note_arrival(struct sim_world *world, int where, const struct vs_frame *frame, uint64_t sent_usec,
			 uint64_t now)
{
	struct datagram_run *run = VS_CONTAINER_OF(world->user, struct datagram_run, traffic);
	run->arrived(world, where, frame, sent_usec, now);
	if (where != SIM_AT_PC(1) || !run->sparse || sim_frame_flow(frame) != run->sparse->id)
		return;
	uint64_t delay = now - sim_frame_sent_usec(frame);
	run->worst_usec = VS_MAX(run->worst_usec, delay);
	run->total_usec += delay;
	run->count++;
}

static void open_run(struct datagram_run *run, const struct line_case *c)
{
	struct sim_config config = { .seed = 1, .clients = 2, .policy = vs_policy_default(), .datagram_max = 1472 };
	config.policy.has_aes = vs_cpu_has_aes();
	config.policy.datagram_max = 1472;
	config.policy.mode = VS_MODE_DATAGRAM;
	config.policy.congestion = c->congestion;
	config.policy.protection = c->protection;
	config.up[0] = config.down[0] = (struct vs_impair_config){
		.delay_usec = RTT / 2, .rate_bps = c->rate_bps, .queue_bytes = QUEUE, .loss = c->loss,
	};
	*run = (struct datagram_run){ .world = sim_world_new(&config) };
	sim_traffic_init(&run->traffic, run->world);
	run->arrived = run->world->arrived;
	run->world->arrived = note_arrival;
	sim_clock_run(&run->world->clock, 3 * VS_SEC);
	assert_true(vs_link_is_up(run->world->clients[0].end.link));
}

static void close_run(struct datagram_run *run)
{
	sim_traffic_fini(&run->traffic);
	sim_world_stop(run->world);
	for (unsigned i = 0; i < run->world->failures && i < SIM_FAILURES_MAX; i++)
		print_error("%s\n", run->world->failure[i]);
	assert_int_equal(run->world->failures, 0);
	sim_world_free(run->world);
}

static void run_for(struct datagram_run *run, uint64_t usec)
{
	sim_clock_run(&run->world->clock, run->world->clock.now + usec);
}

static struct vs_link_stats stats_of(const struct datagram_run *run)
{
	struct vs_link_stats stats;
	vs_link_stats(run->world->clients[0].end.link, run->world->clock.now, &stats);
	return stats;
}

static const struct vs_impair_stats *line_stats(const struct datagram_run *run)
{
	return vs_impair_stats(run->world->clients[0].up.impair);
}

static void add_sparse(struct datagram_run *run)
{
	struct sim_flow_config flow = {
		.kind = SIM_PACED, .to = 1, .interval_usec = 20 * VS_MSEC, .frame_min = 100, .frame_max = 140,
	};
	run->sparse = sim_traffic_add(&run->traffic, &flow);
}

static void add_bulk(struct datagram_run *run, uint64_t offered_bps)
{
	for (unsigned i = 0; i < 8; i++) {
		struct sim_flow_config flow = {
			.kind = offered_bps ? SIM_PACED : SIM_WINDOWED,
			.to = 1,
			.window = 200,
			.interval_usec = offered_bps ? 8 * FRAME * 8 * VS_SEC / offered_bps : 0,
			.frame_min = FRAME,
			.frame_max = FRAME,
		};
		sim_traffic_add(&run->traffic, &flow);
	}
}

static uint64_t bulk_bytes(const struct datagram_run *run)
{
	uint64_t bytes = 0;
	for (unsigned i = 0; i < run->traffic.flows_n; i++)
		if (&run->traffic.flows[i] != run->sparse)
			bytes += run->traffic.flows[i].bytes;
	return bytes;
}

/* Of what is offered, or of the line: headers and losses are off. */
static double possible_bps(const struct line_case *c)
{
	double line = 0.95 * (double)c->rate_bps, offered = c->offered_bps ? (double)c->offered_bps : line;
	return VS_MIN(line, offered) * (1 - c->loss);
}

static void judge(const struct line_case *c)
{
	struct datagram_run run;
	open_run(&run, c);
	add_sparse(&run);
	add_bulk(&run, c->offered_bps);
	run_for(&run, 5 * VS_SEC);
	struct vs_impair_stats before = *line_stats(&run);
	uint64_t bytes = bulk_bytes(&run);
	run.worst_usec = run.total_usec = run.count = 0;
	run_for(&run, 20 * VS_SEC);
	const struct vs_impair_stats *after = line_stats(&run);
	double bps = (double)(bulk_bytes(&run) - bytes) * 8 / 20;
	double early = (double)before.fates[VS_IMPAIR_QUEUE_FULL] / (double)before.packets;
	double late = (double)(after->fates[VS_IMPAIR_QUEUE_FULL] - before.fates[VS_IMPAIR_QUEUE_FULL]) /
		      (double)(after->packets - before.packets);
	double mean = msec(run.total_usec / run.count);
	struct vs_link_stats stats = stats_of(&run);
	print_message("%-34s %5.1f Mbit/s; overflowed %.2f %% at first, then %.2f %%; sparse: mean %.1f ms, worst %.1f "
		      "ms; rate %.1f Mbit/s, srtt %.1f ms, %s\n",
		      c->name, bps / 1e6, 100 * early, 100 * late, mean, msec(run.worst_usec),
		      mbit(stats.rate_bps), msec(stats.srtt_usec), stats.congestion_state);
	assert_true(bps >= c->least * possible_bps(c));
	assert_true(late <= c->overflowed);
	assert_true(run.count >= 950 * (1 - c->loss));
	/* A full queue of the line alone would be 42 ms. Four datagrams are the least window there is. */
	if (c->congestion == VS_CONGESTION_BBR)
		assert_true(mean <= RTT / 2e3 + 10 + 4 * 1500 * 8e3 / (double)c->rate_bps);
	close_run(&run);
}

static void test_bulk(void **state)
{
	(void)state;
	static const enum vs_protection sealed = VS_PROTECTION_ENCRYPTED, clear = VS_PROTECTION_NONE;
	static const enum vs_congestion_kind bbr = VS_CONGESTION_BBR, cubic = VS_CONGESTION_CUBIC;
	const struct line_case cases[] = {
		{ "bbr, windows", bbr, 100 * MBIT, 0, 0, sealed, 0.88, 0.0005 },
		{ "bbr, windows, 5 % lost", bbr, 100 * MBIT, 0, 0.05, sealed, 0.88, 0.0005 },
		{ "bbr, 40 Mbit/s", bbr, 100 * MBIT, 40 * MBIT, 0, sealed, 0.99, 0 },
		{ "bbr, 40 Mbit/s, 5 % lost", bbr, 100 * MBIT, 40 * MBIT, 0.05, sealed, 0.98, 0 },
		{ "bbr, 40 Mbit/s, 12 % lost", bbr, 100 * MBIT, 40 * MBIT, 0.12, sealed, 0.97, 0 },
		{ "bbr, 200 Mbit/s", bbr, 100 * MBIT, 200 * MBIT, 0, sealed, 0.88, 0.0005 },
		{ "bbr, 200 Mbit/s, 5 % lost", bbr, 100 * MBIT, 200 * MBIT, 0.05, sealed, 0.88, 0.0005 },
		{ "bbr, 200 Mbit/s, in the clear", bbr, 100 * MBIT, 200 * MBIT, 0, clear, 0.85, 0.0005 },
		{ "bbr, 10 of 2 Mbit/s", bbr, 2 * MBIT, 10 * MBIT, 0, sealed, 0.85, 0.01 },
		{ "cubic, windows", cubic, 100 * MBIT, 0, 0, sealed, 0.85, 0.01 },
		{ "cubic, 200 Mbit/s", cubic, 100 * MBIT, 200 * MBIT, 0, sealed, 0.85, 0.01 },
		{ "cubic, 200 Mbit/s, 5 % lost", cubic, 100 * MBIT, 200 * MBIT, 0.05, sealed, 0.8, 0.02 },
		{ "cubic, 40 Mbit/s, 5 % lost", cubic, 100 * MBIT, 40 * MBIT, 0.05, sealed, 0.98, 0.001 },
	};
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++)
		judge(&cases[i]);
}

/* A stream of 50 small packets a second says nothing of what the line takes: when a burst follows it, that goes as the
 * first one of a link would, and neither waits for long. */
static void test_burst_after_a_sparse_stream(void **state)
{
	(void)state;
	for (unsigned lossy = 0; lossy < 2; lossy++) {
		const struct line_case c = { .rate_bps = 100 * MBIT, .loss = 0.05 * lossy };
		struct datagram_run run;
		open_run(&run, &c);
		add_sparse(&run);
		run_for(&run, 60 * VS_SEC);
		assert_true(run.worst_usec <= RTT / 2 + 1 * VS_MSEC);
		/* 24 full frames at once, once a second. */
		for (unsigned i = 0; i < 24; i++) {
			struct sim_flow_config burst = {
				.kind = SIM_PACED, .to = 1, .interval_usec = VS_SEC, .frame_min = FRAME, .frame_max = FRAME,
			};
			sim_traffic_add(&run.traffic, &burst);
		}
		run_for(&run, 200 * VS_MSEC);
		unsigned came = 0;
		for (unsigned i = 1; i < run.traffic.flows_n; i++) {
			came += run.traffic.flows[i].received > 0;
			run.traffic.flows[i].stopped = true;
		}
		run_for(&run, 10 * VS_SEC);
		print_message("a burst after 60 s: %u of 24 within 200 ms; worst of the stream %.1f ms\n", came,
			      msec(run.worst_usec));
		assert_true(came >= (lossy ? 19 : 24));
		assert_true(run.worst_usec <= RTT / 2 + 30 * VS_MSEC);
		close_run(&run);
	}
}

/* The line becomes ten times slower under load, then as fast as before. */
static void test_follows_the_line(void **state)
{
	(void)state;
	const struct line_case c = { .rate_bps = 100 * MBIT };
	struct datagram_run run;
	open_run(&run, &c);
	add_bulk(&run, 200 * MBIT);
	run_for(&run, 10 * VS_SEC);
	struct vs_impair_config config = run.world->config.up[0];
	config.rate_bps = 10 * MBIT;
	vs_impair_configure(run.world->clients[0].up.impair, &config);
	run_for(&run, 5 * VS_SEC);
	struct vs_impair_stats before = *line_stats(&run);
	run_for(&run, 5 * VS_SEC);
	uint64_t overflowed = line_stats(&run)->fates[VS_IMPAIR_QUEUE_FULL] - before.fates[VS_IMPAIR_QUEUE_FULL];
	print_message("at 10 Mbit/s: rate %.1f Mbit/s, srtt %.1f ms, %" PRIu64 " overflowed\n",
		      mbit(stats_of(&run).rate_bps), msec(stats_of(&run).srtt_usec), overflowed);
	assert_true(stats_of(&run).rate_bps < 20 * MBIT);
	assert_true(overflowed < 20);
	config.rate_bps = 100 * MBIT;
	vs_impair_configure(run.world->clients[0].up.impair, &config);
	run_for(&run, 10 * VS_SEC);
	uint64_t bytes = bulk_bytes(&run);
	run_for(&run, 5 * VS_SEC);
	double goodput = mbit((bulk_bytes(&run) - bytes) * 8 / 5);
	print_message("again at 100 Mbit/s: %.1f Mbit/s\n", goodput);
	assert_true(goodput >= 80);
	close_run(&run);
}

/* An outage: nothing tells of what is in flight. Soon after it frames go on as before. */
static void test_outage(void **state)
{
	(void)state;
	for (unsigned bulk = 0; bulk < 2; bulk++) {
		const struct line_case c = { .rate_bps = 100 * MBIT };
		struct datagram_run run;
		open_run(&run, &c);
		add_sparse(&run);
		if (bulk)
			add_bulk(&run, 200 * MBIT);
		run_for(&run, 5 * VS_SEC);
		struct vs_impair_config config = run.world->config.up[0];
		config.down = true;
		vs_impair_configure(run.world->clients[0].up.impair, &config);
		run_for(&run, 3 * VS_SEC);
		config.down = false;
		vs_impair_configure(run.world->clients[0].up.impair, &config);
		uint64_t began = run.world->clock.now;
		while (run.sparse->last_usec < began && run.world->clock.now < began + 5 * VS_SEC)
			run_for(&run, VS_MSEC);
		double first = msec(run.sparse->last_usec - began);
		run_for(&run, 2 * VS_SEC);
		uint64_t bytes = bulk_bytes(&run);
		run_for(&run, 2 * VS_SEC);
		double goodput = mbit((bulk_bytes(&run) - bytes) * 8 / 2);
		print_message("after an outage%s: the first frame after %.1f ms, %.1f Mbit/s\n",
			      bulk ? " under load" : "", first, goodput);
		assert_true(first <= (bulk ? 700 : 50));
		assert_true(!bulk || goodput >= 80);
		close_run(&run);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bulk),
		cmocka_unit_test(test_burst_after_a_sparse_stream),
		cmocka_unit_test(test_follows_the_line),
		cmocka_unit_test(test_outage),
	};
	return vs_crypto_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
