/* Frames: who sends them, when, and what becomes of them. */
#include <errno.h>
#include <stdlib.h>

#include "bench/load_run.h"

/* What a sender without a rate keeps in its link's queue: enough for several turns, too little for CoDel to mind. */
#define AHEAD_FRAMES 128
#define AHEAD_BYTES (256u << 10)

/* A sender with a rate is woken so often at most, and then sends what is due. */
#define TICK VS_MSEC

/* Announcements that are on their way at a time: few enough that no queue drops one. */
#define ANNOUNCED_AHEAD 128

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
	run->announced++;
	load_client_send(sender->client, frame);
	return true;
}

/* Whether an announcement may follow now; the arrival of one that is on its way makes room. */
static bool may_announce(const struct load_run *run, const struct load_sender *sender)
{
	return sender->announced < sender->to_announce && run->announced < run->totals.announced + ANNOUNCED_AHEAD;
}

void load_traffic_refill(void *arg, struct load_client *client)
{
	struct load_run *run = arg;
	struct load_sender *sender = client->user;
	struct vs_link_stats stats;
	vs_link_stats(client->link, vs_loop_now(run->lan.loop), &stats);
	uint32_t frames = stats.queue.frames, bytes = stats.queue.bytes;
	while (frames < AHEAD_FRAMES && bytes < AHEAD_BYTES) {
		if (run->phase == LOAD_LEARNING) {
			if (!may_announce(run, sender) || !announce_next(run, sender))
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

void load_traffic_due(void *arg, uint64_t now)
{
	struct load_run *run = arg;
	uint64_t due = (now - run->rate_from_usec) * run->options.rate / VS_SEC;
	for (unsigned i = 0; i < run->n_senders; i++)
		while (run->senders[i].sent < due && send_next(run, &run->senders[i]))
			;
	uint64_t next = run->rate_from_usec + (due + 1) * VS_SEC / run->options.rate;
	vs_timer_set(&run->send_timer, VS_MAX(next, now + TICK));
}

void load_traffic_start(struct load_run *run)
{
	run->rate_from_usec = vs_loop_now(run->lan.loop);
	if (run->options.rate) {
		load_traffic_due(run, run->rate_from_usec);
		return;
	}
	for (unsigned i = 0; i < run->n_senders; i++) {
		run->senders[i].client->sending = true;
		load_client_touch(run->senders[i].client);
	}
}

void load_traffic_stop(struct load_run *run)
{
	vs_timer_cancel(&run->send_timer);
	for (unsigned i = 0; i < run->n_announcers; i++)
		run->senders[i].client->sending = false;
}

void load_traffic_introduce(struct load_run *run)
{
	for (unsigned i = 0; i < run->n_announcers; i++) {
		struct load_client *client = run->senders[i].client;
		struct vs_frame *frame = load_announcement(run->lan.pool, client->no, 0, client->no);
		if (frame)
			load_client_send(client, frame);
	}
}

void load_traffic_announce(struct load_run *run)
{
	while (run->next_announcer < run->n_announcers) {
		struct load_sender *sender = &run->senders[run->next_announcer];
		if (sender->announced < sender->to_announce) {
			sender->client->sending = true;
			load_client_touch(sender->client);
			return;
		}
		sender->client->sending = false;
		run->next_announcer++;
	}
}

void load_traffic_arrived(void *arg, struct load_client *client, const struct vs_frame *frame)
{
	struct load_run *run = arg;
	uint64_t announced = run->totals.announced;
	bool answers = load_arrived(run->streams, run->n_streams, client->no, frame, vs_clock_usec(), &run->totals);
	if (run->totals.announced > announced && run->phase == LOAD_LEARNING)
		load_traffic_announce(run);
	if (!answers)
		return;
	struct vs_frame *answer = load_answer(run->streams, frame, run->lan.pool);
	if (answer)
		load_client_send(client, answer);
}

uint64_t load_traffic_sent(const struct load_run *run)
{
	uint64_t sent = 0;
	for (unsigned i = 0; i < run->n_streams; i++)
		sent += run->streams[i].sent;
	return sent;
}

bool load_traffic_has_arrived(const struct load_run *run)
{
	for (unsigned i = 0; i < run->n_streams; i++) {
		uint64_t expected, unique;
		load_stream_balance(&run->streams[i], &expected, &unique);
		if (unique < expected)
			return false;
	}
	return true;
}

/* --- Life --------------------------------------------------------------------------------------------------------- */

static struct load_sender *add_announcer(struct load_run *run, unsigned client, unsigned macs, uint32_t peer)
{
	struct load_sender *sender = &run->senders[run->n_announcers++];
	*sender = (struct load_sender){ .client = run->clients[client], .to_announce = macs, .peer = peer };
	sender->client->user = sender;
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

int load_traffic_open(struct load_run *run)
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

void load_traffic_close(struct load_run *run)
{
	for (unsigned i = 0; i < run->n_streams; i++)
		load_stream_fini(&run->streams[i]);
	free(run->streams);
	free(run->senders);
}
