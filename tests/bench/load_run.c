#include "bench/load_run.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"

#define POOL_BYTES ((size_t)1 << 30)

#define INTRODUCTION (200 * VS_MSEC)
#define LEARN_TIMEOUT (20 * VS_SEC)
#define DRAIN_TIMEOUT (2 * VS_SEC)
#define CLOSE_TIME (100 * VS_MSEC)
#define POLL (5 * VS_MSEC)

static void enter(struct load_run *run, enum load_phase phase);

static uint64_t now_of(const struct load_run *run)
{
	return vs_loop_now(run->lan.loop);
}

/* --- Joining ------------------------------------------------------------------------------------------------------ */

static void on_joined(void *arg, struct load_client *client)
{
	struct load_run *run = arg;
	histogram_add(&run->join_times, vs_time_since(client->joined_usec, client->dialled_usec));
	if (++run->joined < run->options.clients || run->phase != LOAD_JOINING)
		return;
	run->all_joined_usec = client->joined_usec;
	vs_info("%u clients have joined in %.3f s", run->joined,
		(double)(run->all_joined_usec - run->started_usec) / (double)VS_SEC);
	enter(run, LOAD_LEARNING);
}

static void on_lost(void *arg, struct load_client *client)
{
	struct load_run *run = arg;
	run->joined--;
	if (run->phase == LOAD_CLOSING)
		return;
	run->lost++;
	vs_info("client %u has lost its link", client->no);
}

static void on_join_timer(void *arg, uint64_t now)
{
	struct load_run *run = arg;
	uint64_t due = run->options.clients;
	if (run->options.join_rate)
		due = VS_MIN(due, 1 + (now - run->started_usec) * run->options.join_rate / VS_SEC);
	while (run->dialled < due)
		load_client_dial(run->clients[run->dialled++]);
	if (run->dialled < run->options.clients)
		vs_timer_set(&run->join_timer,
			     run->started_usec + run->dialled * VS_SEC / run->options.join_rate + 1);
}

/* --- Phases ------------------------------------------------------------------------------------------------------- */

static void fail(struct load_run *run, int err)
{
	run->error = run->error ? run->error : err;
	enter(run, LOAD_CLOSING);
}

static void watch(struct load_run *run, struct load_watch *out)
{
	int err = run->options.watch ? load_watch_take(run->options.watch, out) : 0;
	if (err < 0) {
		vs_error("process %d: %s", (int)run->options.watch, strerror(-err));
		run->error = err;
	}
}

static void begin_span(struct load_run *run, struct load_span *span)
{
	span->usec = vs_clock_usec();
	span->frames = run->totals.frames;
	span->bytes = run->totals.bytes;
	span->sent = load_traffic_sent(run);
	watch(run, &span->before);
}

static void end_span(struct load_run *run, struct load_span *span)
{
	span->usec = vs_clock_usec() - span->usec;
	span->frames = run->totals.frames - span->frames;
	span->bytes = run->totals.bytes - span->bytes;
	span->sent = load_traffic_sent(run) - span->sent;
	watch(run, &span->after);
}

static void enter(struct load_run *run, enum load_phase phase)
{
	uint64_t now = now_of(run);
	run->phase = phase;
	run->phase_usec = now;
	switch (phase) {
	case LOAD_JOINING:
		run->started_usec = now;
		vs_timer_set(&run->phase_timer, now + run->options.join_timeout_usec);
		on_join_timer(run, now);
		break;
	case LOAD_LEARNING:
		load_traffic_introduce(run);
		vs_timer_set(&run->phase_timer, now + INTRODUCTION);
		break;
	case LOAD_IDLE:
		load_traffic_stop(run);
		begin_span(run, &run->idle);
		vs_timer_set(&run->phase_timer, now + run->options.idle_usec);
		break;
	case LOAD_WARMING:
		vs_info("frames flow");
		load_traffic_start(run);
		vs_timer_set(&run->phase_timer, now + run->options.warm_usec);
		break;
	case LOAD_MEASURING:
		memset(&run->totals.latency, 0, sizeof(run->totals.latency));
		begin_span(run, &run->measured);
		vs_timer_set(&run->phase_timer, now + run->options.seconds_usec);
		break;
	case LOAD_DRAINING:
		end_span(run, &run->measured);
		vs_link_stats(run->senders[0].client->link, now, &run->sender);
		load_traffic_stop(run);
		vs_timer_set(&run->phase_timer, now + POLL);
		break;
	case LOAD_CLOSING:
		load_traffic_stop(run);
		for (unsigned i = 0; i < run->options.clients; i++)
			load_client_close(run->clients[i]);
		vs_timer_set(&run->phase_timer, now + CLOSE_TIME);
		break;
	}
}

static void poll_learning(struct load_run *run, uint64_t now)
{
	if (run->totals.announced >= run->announcements) {
		enter(run, LOAD_IDLE);
	} else if (now - run->phase_usec >= LEARN_TIMEOUT) {
		vs_error("of %llu frames that tell the switch where clients are, %llu have arrived",
			 (unsigned long long)run->announcements, (unsigned long long)run->totals.announced);
		fail(run, -ETIMEDOUT);
	} else {
		load_traffic_announce(run);
		vs_timer_set(&run->phase_timer, now + POLL);
	}
}

static void poll_draining(struct load_run *run, uint64_t now)
{
	if (load_traffic_has_arrived(run) || now - run->phase_usec >= DRAIN_TIMEOUT)
		enter(run, LOAD_CLOSING);
	else
		vs_timer_set(&run->phase_timer, now + POLL);
}

static void on_phase_timer(void *arg, uint64_t now)
{
	struct load_run *run = arg;
	switch (run->phase) {
	case LOAD_JOINING:
		vs_error("of %u clients, %u have joined within %.1f s", run->options.clients, run->joined,
			 (double)run->options.join_timeout_usec / (double)VS_SEC);
		fail(run, -ETIMEDOUT);
		break;
	case LOAD_LEARNING:
		poll_learning(run, now);
		break;
	case LOAD_IDLE:
		end_span(run, &run->idle);
		enter(run, run->n_streams ? LOAD_WARMING : LOAD_CLOSING);
		break;
	case LOAD_WARMING:
		enter(run, LOAD_MEASURING);
		break;
	case LOAD_MEASURING:
		enter(run, LOAD_DRAINING);
		break;
	case LOAD_DRAINING:
		poll_draining(run, now);
		break;
	case LOAD_CLOSING:
		vs_loop_stop(run->lan.loop);
		break;
	}
}

/* SIGUSR1: what has been measured so far does not count. Else: no more is to be measured. */
static void on_signal(void *arg, int number)
{
	struct load_run *run = arg;
	if (number == SIGUSR1 && run->phase == LOAD_MEASURING)
		enter(run, LOAD_MEASURING);
	else if (number != SIGUSR1)
		enter(run, run->phase == LOAD_MEASURING ? LOAD_DRAINING : LOAD_CLOSING);
}

/* --- Setting up --------------------------------------------------------------------------------------------------- */

/* A descriptor a client, and some. */
static int raise_descriptors(unsigned clients)
{
	struct rlimit limit;
	rlim_t wanted = clients + 64;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	if (limit.rlim_cur >= wanted)
		return 0;
	limit.rlim_cur = wanted;
	limit.rlim_max = VS_MAX(limit.rlim_max, wanted);
	if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
		return 0;
	int err = -errno;
	vs_error("%u clients need as many descriptors (RLIMIT_NOFILE): %s", clients, strerror(-err));
	return err;
}

/* On loopback each client has an address of its own, as clients have who are not behind one NAT: the server bounds the
 * handshakes of an address. Elsewhere they share the host's. */
static struct vs_addr local_address(const struct load_options *options, unsigned no)
{
	struct vs_addr local = { .sa.sa_family = options->server.sa.sa_family };
	if (local.sa.sa_family == AF_INET6)
		local.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6 };
	else
		local.in = (struct sockaddr_in){ .sin_family = AF_INET };
	if (local.sa.sa_family == AF_INET && ntohl(options->server.in.sin_addr.s_addr) >> 24 == 127)
		local.in.sin_addr.s_addr = htonl(0x7f010001 + no / 250 * 256 + no % 250);
	return local;
}

static int open_clients(struct load_run *run, const struct load_keys *keys)
{
	run->clients = calloc(run->options.clients, sizeof(struct load_client *));
	if (!run->clients)
		return -ENOMEM;
	for (unsigned i = 0; i < run->options.clients; i++) {
		struct vs_addr local = local_address(&run->options, i);
		int err = load_client_new(&run->lan, i, keys->clients[i], &local, &run->clients[i]);
		if (err < 0) {
			vs_error("client %u: %s", i, strerror(-err));
			return err;
		}
	}
	return 0;
}

static int open_events(struct load_run *run)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGUSR1 };
	run->signals = vs_signals_new(run->lan.loop, numbers, VS_ARRAY_SIZE(numbers), on_signal, run);
	if (!run->signals)
		return -errno;
	int err = vs_timer_init(&run->phase_timer, run->lan.loop, on_phase_timer, run);
	if (err == 0)
		err = vs_timer_init(&run->join_timer, run->lan.loop, on_join_timer, run);
	if (err == 0)
		err = vs_timer_init(&run->send_timer, run->lan.loop, load_traffic_due, run);
	return err;
}

static int open_lan(struct load_run *run, const struct load_keys *keys)
{
	struct load_lan *lan = &run->lan;
	lan->loop = vs_loop_new();
	if (!lan->loop)
		return -errno;
	load_lan_init(lan);
	lan->server = run->options.server;
	memcpy(lan->server_key, keys->server, VS_KEY_SIZE);
	lan->arrived = load_traffic_arrived;
	lan->joined = on_joined;
	lan->lost = on_lost;
	lan->refill = load_traffic_refill;
	lan->arg = run;
	lan->pool = vs_pool_new(POOL_BYTES);
	/* Signals first: the other thread is to block them, too. */
	int err = lan->pool ? open_events(run) : -ENOMEM;
	if (err < 0)
		return err;
	lan->offload = vs_offload_new(lan->loop, "handshake", LOAD_CLIENTS_MAX);
	return lan->offload ? 0 : -ENOMEM;
}

static int open_all(struct load_run *run, const struct load_keys *keys)
{
	int err = raise_descriptors(run->options.clients);
	if (err == 0)
		err = open_lan(run, keys);
	if (err == 0)
		err = open_clients(run, keys);
	if (err == 0)
		err = load_traffic_open(run);
	return err;
}

static void close_all(struct load_run *run)
{
	if (!run->lan.loop)
		return;
	vs_offload_free(run->lan.offload);
	for (unsigned i = 0; run->clients && i < run->options.clients; i++)
		load_client_free(run->clients[i]);
	load_traffic_close(run);
	if (run->send_timer.loop)
		vs_timer_fini(&run->send_timer);
	if (run->join_timer.loop)
		vs_timer_fini(&run->join_timer);
	if (run->phase_timer.loop)
		vs_timer_fini(&run->phase_timer);
	vs_signals_free(run->signals);
	load_lan_fini(&run->lan);
	vs_pool_free(run->lan.pool);
	vs_loop_free(run->lan.loop);
	free(run->clients);
}

int load_run(const struct load_options *options, const struct load_keys *keys)
{
	struct load_run *run = calloc(1, sizeof(*run));
	if (!run)
		return -ENOMEM;
	run->options = *options;
	int err = open_all(run, keys);
	if (err == 0) {
		enter(run, LOAD_JOINING);
		err = vs_loop_run(run->lan.loop);
		if (err == 0)
			err = run->error;
		load_report(run);
	} else {
		vs_error("the load generator: %s", strerror(-err));
	}
	close_all(run);
	free(run);
	return err;
}
