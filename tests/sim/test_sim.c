/* The real link stack and switch in virtual time: scenarios times seeds, each run judged by sim/checks.h and by the
 * sinks of sim/traffic.h.
 *
 *   test_sim                              all scenarios, the usual number of seeds
 *   test_sim --seeds N                    N seeds of each
 *   test_sim --scenario NAME --seed S     replays one run and traces it */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim/plan.h"

/* As many as VS_SEEDS says; else so many. */
#define SEEDS_DEFAULT 15
/* What waits when the sources stop may be 4 MiB, on a line of 2 Mbit/s that loses much. */
#define DRAIN_MAX (300 * VS_SEC)

/* By then all handshakes must have succeeded, whatever the losses. */
#define UP_MAX (30 * VS_SEC)

struct options {
	const char *scenario; /* NULL: all */
	uint64_t seed;        /* 0: the first `seeds` */
	unsigned seeds;
	bool verbose;
};

struct verdict {
	unsigned failures;
	double retransmit_worst;
	uint64_t stall_worst, restart_stall_worst;
};

struct sim_run {
	struct sim_plan plan;
	struct sim_world *world;
	struct sim_traffic traffic;
	struct sim_checks checks;
	struct sim_script script;
};

static bool all_up(const struct sim_world *w)
{
	for (unsigned i = 0; i < w->config.clients; i++)
		if (!w->server.slots[i].current)
			return false;
	return true;
}

static void start_run(struct sim_run *run)
{
	run->world = sim_world_new(&run->plan.config);
	sim_traffic_init(&run->traffic, run->world);
	run->traffic.ordered = run->plan.ordered;
	run->traffic.repeats = run->plan.repeats;
	sim_checks_init(&run->checks, &run->traffic);
	sim_script_init(&run->script, &run->checks);
	for (unsigned i = 0; i < run->plan.actions_n; i++) {
		const struct sim_planned *a = &run->plan.actions[i];
		sim_script_add(&run->script, a->at, a->kind, a->client, a->usec, a->value);
	}
	sim_clock_run(&run->world->clock, 2 * VS_SEC);
	while (!all_up(run->world) && run->world->clock.now < UP_MAX)
		sim_clock_run(&run->world->clock, run->world->clock.now + 100 * VS_MSEC);
	for (unsigned i = 0; i < run->plan.flows_n; i++)
		sim_traffic_add(&run->traffic, &run->plan.flows[i]);
}

static void trace_flows(struct sim_run *run)
{
	for (unsigned i = 0; i < run->traffic.flows_n; i++) {
		const struct sim_flow *f = &run->traffic.flows[i];
		sim_trace(run->world, "flow %u (%u to %u, %s, %u-%u bytes): sent %u, received %" PRIu64 ", %" PRIu64
				      " marked, worst delay %.3f s",
			  i, f->config.from, f->config.to, f->config.kind == SIM_PACED ? "paced" : "windowed",
			  f->config.frame_min, f->config.frame_max, f->next, f->received, f->marked,
			  (double)f->delay_worst / 1e6);
	}
}

/* Runs until the last break is over, then lets everything arrive. */
static void finish_run(struct sim_run *run)
{
	uint64_t end = run->plan.duration_usec;
	for (unsigned i = 0; i < run->plan.actions_n; i++)
		end = VS_MAX(end, run->plan.actions[i].at + run->plan.actions[i].usec + 4 * VS_SEC);
	sim_clock_run(&run->world->clock, end);
	sim_checks_quiet(&run->checks);
	sim_traffic_stop(&run->traffic);
	while (!sim_checks_drained(&run->checks) && run->world->clock.now < end + DRAIN_MAX)
		sim_clock_run(&run->world->clock, run->world->clock.now + VS_SEC);
	sim_checks_end(&run->checks);
	trace_flows(run);
}

static void print_failures(const struct sim_run *run, const struct sim_scenario *scenario, uint64_t seed)
{
	const struct sim_world *w = run->world;
	if (!w->failures)
		return;
	printf("FAILED: test_sim --scenario %s --seed %" PRIu64 "\n", scenario->name, seed);
	for (unsigned i = 0; i < VS_MIN(w->failures, (unsigned)SIM_FAILURES_MAX); i++)
		printf("  %s\n", w->failure[i]);
	if (w->failures > SIM_FAILURES_MAX)
		printf("  and %u more\n", w->failures - SIM_FAILURES_MAX);
	fflush(stdout);
}

static void run_one(const struct sim_scenario *scenario, uint64_t seed, bool trace, struct verdict *verdict)
{
	struct sim_run *run = sim_alloc(sizeof(*run));
	sim_plan_draw(&run->plan, scenario, seed);
	run->plan.config.trace = trace;
	start_run(run);
	finish_run(run);
	sim_script_fini(&run->script);
	sim_checks_fini(&run->checks);
	sim_traffic_fini(&run->traffic);
	sim_world_stop(run->world);
	print_failures(run, scenario, seed);
	verdict->failures += run->world->failures != 0;
	verdict->retransmit_worst = VS_MAX(verdict->retransmit_worst, run->checks.retransmit_worst);
	verdict->stall_worst = VS_MAX(verdict->stall_worst, run->checks.stall_worst);
	verdict->restart_stall_worst = VS_MAX(verdict->restart_stall_worst, run->checks.restart_stall_worst);
	sim_world_free(run->world);
	free(run);
}

static unsigned run_scenario(const struct sim_scenario *scenario, const struct options *options)
{
	struct verdict verdict = { 0 };
	clock_t start = clock();
	unsigned runs = options->seed ? 1 : options->seeds;
	for (unsigned i = 0; i < runs; i++)
		run_one(scenario, options->seed ? options->seed : i + 1, options->seed != 0, &verdict);
	printf("%-16s %3u runs, %u failed; worst: stall %.3f s, after a restart %.3f s, retransmissions %.0f %% of the "
	       "bound; %.1f s\n",
	       scenario->name, runs, verdict.failures, (double)verdict.stall_worst / 1e6,
	       (double)verdict.restart_stall_worst / 1e6, 100 * verdict.retransmit_worst,
	       (double)(clock() - start) / CLOCKS_PER_SEC);
	fflush(stdout);
	return verdict.failures;
}

static struct options parse_options(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "seeds", required_argument, NULL, 'n' },
		{ "seed", required_argument, NULL, 's' },
		{ "scenario", required_argument, NULL, 'c' },
		{ 0 },
	};
	const char *seeds = getenv("VS_SEEDS");
	struct options options = { .seeds = seeds ? (unsigned)strtoul(seeds, NULL, 10) : SEEDS_DEFAULT };
	int c;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'n':
			options.seeds = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 's':
			options.seed = strtoull(optarg, NULL, 10);
			break;
		case 'c':
			options.scenario = optarg;
			break;
		default:
			fprintf(stderr, "usage: test_sim [--seeds N] [--scenario NAME [--seed S]]\n");
			exit(2);
		}
	}
	return options;
}

int main(int argc, char **argv)
{
	struct options options = parse_options(argc, argv);
	unsigned failed = 0, known = 0;
	if (vs_crypto_init() < 0)
		return 1;
	for (unsigned i = 0; i < sim_scenarios_n; i++) {
		if (options.scenario && strcmp(options.scenario, sim_scenarios[i].name) != 0)
			continue;
		known++;
		failed += run_scenario(&sim_scenarios[i], &options);
	}
	if (!known) {
		fprintf(stderr, "no scenario is called %s\n", options.scenario);
		return 2;
	}
	return failed != 0;
}
