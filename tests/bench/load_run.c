#include "bench/load_run.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"

#define POOL_BYTES ((size_t)1 << 30)

/* What a sender without a rate keeps in its link's queue: enough for several turns, too little for CoDel to mind. */
#define AHEAD_FRAMES 128
#define AHEAD_BYTES (256u << 10)

/* A sender with a rate is woken so often at most, and then sends what is due. */
#define TICK VS_MSEC

#define LEARN_TIMEOUT (20 * VS_SEC)
#define DRAIN_TIMEOUT (2 * VS_SEC)
#define CLOSE_TIME (100 * VS_MSEC)
#define POLL (5 * VS_MSEC)

static void enter(struct load_run *run, enum load_phase phase);

static uint64_t now_of(const struct load_run *run)
{
	return vs_loop_now(run->lan.loop);
}

static bool sends(const struct load_run *run)
{
	return run->n_streams > 0;
}

/* --- Sending ------------------------------------------------------------------------------------------------------ */

static bool send_next(struct load_run *run, struct load_sender *sender)
{
	struct load_stream *stream = &sender->streams[sender->next];
	struct vs_frame *frame = load_stream_next(stream, run->lan.pool, vs_clock_usec());
	if (!frame)
		return false;
	sender->next = (sender->next + 1) % run->options.flows;
	sender->sent++;
	load_client_send(sender->client, frame);
	return true;
}

static bool announce_next(struct load_run *run, struct load_sender *sender)
{
	struct vs_frame *frame =
		load_announcement(run->lan.pool, sender->client->no, sender->announced, sender->peer);
	if (!frame)
		return false;
	sender->announced++;
	load_client_send(sender->client, frame);
	return true;
}

static struct load_sender *sender_of(struct load_run *run, const struct load_client *client)
{
	for (unsigned i = 0; i < run->n_announcers; i++)
		if (run->senders[i].client == client)
			return &run->senders[i];
	return NULL;
}

static void on_refill(void *arg, struct load_client *client)
{
	struct load_run *run = arg;
	struct load_sender *sender = sender_of(run, client);
	struct vs_link_stats stats;
	vs_link_stats(client->link, now_of(run), &stats);
	uint32_t frames = stats.queue.frames, bytes = stats.queue.bytes;
	while (frames < AHEAD_FRAMES && bytes < AHEAD_BYTES) {
		if (run->phase == LOAD_LEARNING) {
			if (sender->announced == sender->to_announce || !announce_next(run, sender))
				break;
			bytes += LOAD_FRAME_MIN;
		} else {
			if (!send_next(run, sender))
				break;
			bytes += run->options.size;
		}
		frames++;
	}
}

static void on_send_timer(void *arg, uint64_t now)
{
	struct load_run *run = arg;
	uint64_t due = (now - run->rate_from_usec) * run->options.rate / VS_SEC;
	for (unsigned i = 0; i < run->n_senders; i++)
		while (run->senders[i].sent < due && send_next(run, &run->senders[i]))
			;
	uint64_t next = run->rate_from_usec + (due + 1) * VS_SEC / run->options.rate;
	vs_timer_set(&run->send_timer, VS_MAX(next, now + TICK));
}

static void start_sending(struct load_run *run)
{
	run->rate_from_usec = now_of(run);
	if (run->options.rate) {
		on_send_timer(run, run->rate_from_usec);
		return;
	}
	for (unsigned i = 0; i < run->n_senders; i++) {
		run->senders[i].client->sending = true;
		load_client_touch(run->senders[i].client);
	}
}

static void stop_sending(struct load_run *run)
{
	vs_timer_cancel(&run->send_timer);
	for (unsigned i = 0; i < run->n_announcers; i++)
		run->senders[i].client->sending = false;
}

static void start_announcing(struct load_run *run)
{
	for (unsigned i = 0; i < run->n_announcers; i++) {
		run->senders[i].client->sending = true;
		load_client_touch(run->senders[i].client);
	}
}

static void on_arrived(void *arg, struct load_client *client, const struct vs_frame *frame)
{
	struct load_run *run = arg;
	if (!load_arrived(run->streams, run->n_streams, client->no, frame, vs_clock_usec(), &run->totals))
		return;
	struct vs_frame *answer = load_answer(run->streams, frame, run->lan.pool);
	if (answer)
		load_client_send(client, answer);
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

static uint64_t frames_sent(const struct load_run *run)
{
	uint64_t sent = 0;
	for (unsigned i = 0; i < run->n_streams; i++)
		sent += run->streams[i].sent;
	return sent;
}

static void begin_span(struct load_run *run, struct load_span *span)
{
	span->usec = vs_clock_usec();
	span->frames = run->totals.frames;
	span->bytes = run->totals.bytes;
	span->sent = frames_sent(run);
	watch(run, &span->before);
}

static void end_span(struct load_run *run, struct load_span *span)
{
	span->usec = vs_clock_usec() - span->usec;
	span->frames = run->totals.frames - span->frames;
	span->bytes = run->totals.bytes - span->bytes;
	span->sent = frames_sent(run) - span->sent;
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
		start_announcing(run);
		vs_timer_set(&run->phase_timer, now + POLL);
		break;
	case LOAD_IDLE:
		stop_sending(run);
		begin_span(run, &run->idle);
		vs_timer_set(&run->phase_timer, now + run->options.idle_usec);
		break;
	case LOAD_WARMING:
		vs_info("frames flow");
		start_sending(run);
		vs_timer_set(&run->phase_timer, now + run->options.warm_usec);
		break;
	case LOAD_MEASURING:
		memset(&run->totals.latency, 0, sizeof(run->totals.latency));
		begin_span(run, &run->measured);
		vs_timer_set(&run->phase_timer, now + run->options.seconds_usec);
		break;
	case LOAD_DRAINING:
		end_span(run, &run->measured);
		stop_sending(run);
		vs_timer_set(&run->phase_timer, now + POLL);
		break;
	case LOAD_CLOSING:
		stop_sending(run);
		for (unsigned i = 0; i < run->options.clients; i++)
			load_client_close(run->clients[i]);
		vs_timer_set(&run->phase_timer, now + CLOSE_TIME);
		break;
	}
}

/* Whether all that was sent has arrived. */
static bool is_drained(const struct load_run *run)
{
	for (unsigned i = 0; i < run->n_streams; i++) {
		uint64_t expected, unique;
		load_stream_balance(&run->streams[i], &expected, &unique);
		if (unique < expected)
			return false;
	}
	return true;
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
		vs_timer_set(&run->phase_timer, now + POLL);
	}
}

static void poll_draining(struct load_run *run, uint64_t now)
{
	if (is_drained(run) || now - run->phase_usec >= DRAIN_TIMEOUT)
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
		enter(run, sends(run) ? LOAD_WARMING : LOAD_CLOSING);
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

static struct load_sender *add_announcer(struct load_run *run, unsigned client, unsigned macs, uint32_t peer)
{
	struct load_sender *sender = &run->senders[run->n_announcers++];
	*sender = (struct load_sender){ .client = run->clients[client], .to_announce = macs, .peer = peer };
	run->announcements += macs;
	return sender;
}

static int open_sender(struct load_run *run, unsigned from, uint32_t to)
{
	const struct load_options *options = &run->options;
	struct load_sender *sender = add_announcer(run, from, to == LOAD_TO_ALL ? 0 : 1, to);
	sender->streams = &run->streams[run->n_streams];
	run->n_senders++;
	for (unsigned i = 0; i < options->flows; i++) {
		struct load_stream *stream = &sender->streams[i];
		*stream = (struct load_stream){
			.from = from, .to = to, .id = (uint16_t)run->n_streams, .size = options->size,
			.macs = VS_MIN(options->drawn, options->macs), .echo = options->echo,
		};
		int err = load_stream_init(stream, options->clients);
		if (err < 0)
			return err;
		run->n_streams++;
	}
	return 0;
}

static int open_senders(struct load_run *run)
{
	const struct load_options *options = &run->options;
	unsigned senders = options->broadcast ? 1 : options->pairs;
	int err = 0;
	run->streams = calloc((size_t)senders * options->flows + 1, sizeof(*run->streams));
	run->senders = calloc((size_t)senders * 2 + 1, sizeof(*run->senders));
	if (!run->streams || !run->senders)
		return -ENOMEM;
	if (options->broadcast)
		return open_sender(run, 0, LOAD_TO_ALL);
	for (unsigned i = 0; i < senders && err == 0; i++)
		err = open_sender(run, 2 * i, 2 * i + 1);
	for (unsigned i = 0; i < senders && err == 0; i++)
		add_announcer(run, 2 * i + 1, options->macs, 2 * i);
	return err;
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
		err = vs_timer_init(&run->send_timer, run->lan.loop, on_send_timer, run);
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
	lan->arrived = on_arrived;
	lan->joined = on_joined;
	lan->lost = on_lost;
	lan->refill = on_refill;
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
		err = open_senders(run);
	return err;
}

static void close_all(struct load_run *run)
{
	if (!run->lan.loop)
		return;
	vs_offload_free(run->lan.offload);
	for (unsigned i = 0; run->clients && i < run->options.clients; i++)
		load_client_free(run->clients[i]);
	for (unsigned i = 0; i < run->n_streams; i++)
		load_stream_fini(&run->streams[i]);
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
	free(run->streams);
	free(run->senders);
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
