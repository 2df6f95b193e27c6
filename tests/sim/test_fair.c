/* Fairness and the queue's delay: eight bulk flows that offer more than the line takes, and beside them a sparse one.
 * The sparse flow's frames wait less than 5 ms in the link's queue; the bulk flows share the line evenly (Jain's index:
 * R. Jain, D. Chiu, W. Hawe, DEC-TR-301, 1984).
 *
 * A frame's wait is taken from its hand-over to the link until the datagram that completes it at the peer leaves, so it
 * includes what the lanes and the pacer add to the queue, and retransmissions. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/traffic.h"

#define BULK 8
#define MBIT UINT64_C(1000000)

struct fair_case {
	const char *name;
	uint64_t rate_bps, delay_usec;
	bool windowed;     /* bulk with windows, as TCP has them; else paced at a multiple of the line rate */
	bool down;         /* the narrow line is the server's to client 1, else client 0's to the server */
	unsigned bulk_len;
	enum vs_congestion_kind congestion;
	unsigned percentile; /* of the waits, that must be below 5 ms. Retransmitted frames count as waiting, of which
				cubic has more: it fills the line's queue until that drops */
};

struct fair {
	struct sim_world *world;
	struct sim_traffic traffic;
	struct sim_flow *sparse;
	uint64_t before[BULK];
};

static void add_flows(struct fair *f, const struct fair_case *c)
{
	uint64_t bulk_usec = 8 * c->bulk_len * VS_SEC * BULK / (2 * c->rate_bps);
	for (unsigned i = 0; i < BULK; i++) {
		struct sim_flow_config bulk = {
			.kind = c->windowed ? SIM_WINDOWED : SIM_PACED,
			.to = 1,
			/* Unequal on purpose: the shares are to be the queue's doing. */
			.window = 60 + 10 * i,
			.interval_usec = bulk_usec * (10 + i) / 10,
			.frame_min = c->bulk_len,
			.frame_max = c->bulk_len,
		};
		sim_traffic_add(&f->traffic, &bulk);
	}
	struct sim_flow_config sparse = {
		.kind = SIM_PACED, .to = 1, .interval_usec = 20 * VS_MSEC, .frame_min = 100, .frame_max = 200,
	};
	f->sparse = sim_traffic_add(&f->traffic, &sparse);
}

static void open_fair(struct fair *f, const struct fair_case *c)
{
	struct sim_config config = { .seed = 1, .clients = 2, .policy = vs_policy_default(), .datagram_max = 1472 };
	config.policy.has_aes = vs_cpu_has_aes();
	config.policy.datagram_max = 1472;
	config.policy.congestion = c->congestion;
	for (unsigned i = 0; i < 2; i++) {
		config.up[i] = config.down[i] = (struct vs_impair_config){ .delay_usec = c->delay_usec,
									   .rate_bps = 1000 * MBIT };
	}
	struct vs_impair_config *narrow = c->down ? &config.down[1] : &config.up[0];
	narrow->rate_bps = c->rate_bps;
	*f = (struct fair){ .world = sim_world_new(&config) };
	sim_traffic_init(&f->traffic, f->world);
	f->traffic.measured = true;
	sim_clock_run(&f->world->clock, 2 * VS_SEC);
	add_flows(f, c);
}

static void close_fair(struct fair *f)
{
	sim_traffic_fini(&f->traffic);
	sim_world_stop(f->world);
	assert_int_equal(f->world->failures, 0);
	sim_world_free(f->world);
}

static double jain(const struct fair *f)
{
	double sum = 0, squares = 0;
	for (unsigned i = 0; i < BULK; i++) {
		double x = (double)(f->traffic.flows[i].bytes - f->before[i]);
		sum += x;
		squares += x * x;
	}
	return squares > 0 ? sum * sum / (BULK * squares) : 0;
}

static double goodput(const struct fair *f, uint64_t usec)
{
	uint64_t bytes = 0;
	for (unsigned i = 0; i < BULK; i++)
		bytes += f->traffic.flows[i].bytes - f->before[i];
	return 8e6 * (double)bytes / (double)usec;
}

static void test_sparse_and_bulk(void **state)
{
	(void)state;
	static const struct fair_case cases[] = {
		{ "paced, uplink, 10 Mbit/s", 10 * MBIT, 10 * VS_MSEC, false, false, 1514, VS_CONGESTION_BBR, 99 },
		{ "paced, downlink, 10 Mbit/s", 10 * MBIT, 10 * VS_MSEC, false, true, 1514, VS_CONGESTION_BBR, 99 },
		{ "windowed, uplink, 10 Mbit/s", 10 * MBIT, 10 * VS_MSEC, true, false, 1514, VS_CONGESTION_BBR, 99 },
		{ "windowed, downlink, 20 Mbit/s", 20 * MBIT, 25 * VS_MSEC, true, true, 1514, VS_CONGESTION_BBR, 99 },
		{ "paced, small frames", 10 * MBIT, 5 * VS_MSEC, false, false, 300, VS_CONGESTION_BBR, 99 },
		{ "paced, uplink, cubic", 10 * MBIT, 10 * VS_MSEC, false, false, 1514, VS_CONGESTION_CUBIC, 95 },
	};
	const uint64_t warm_up = 5 * VS_SEC, usec = 30 * VS_SEC;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		const struct fair_case *c = &cases[i];
		struct fair f;
		open_fair(&f, c);
		sim_clock_run(&f.world->clock, f.world->clock.now + warm_up);
		for (unsigned k = 0; k < BULK; k++)
			f.before[k] = f.traffic.flows[k].bytes;
		struct sim_hop *hop = &f.sparse->hops[c->down];
		hop->waits_n = 0;
		sim_clock_run(&f.world->clock, f.world->clock.now + usec);
		print_message("%-30s wait: median %.2f ms, 99 %% %.2f ms, most %.2f ms; index %.3f; %.1f Mbit/s\n",
			      c->name, sim_hop_percentile(hop, 50) / 1e3, sim_hop_percentile(hop, 99) / 1e3,
			      sim_hop_percentile(hop, 100) / 1e3, jain(&f), goodput(&f, usec) / 1e6);
		assert_in_range(hop->waits_n, usec / (20 * VS_MSEC) - 50, usec / (20 * VS_MSEC) + 50);
		assert_true(sim_hop_percentile(hop, c->percentile) < 5 * VS_MSEC);
		assert_true(jain(&f) >= 0.9);
		close_fair(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sparse_and_bulk),
	};
	return vs_crypto_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
