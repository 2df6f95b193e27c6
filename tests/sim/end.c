#include "sim/end.h"

#include <stdlib.h>

static void wake(struct sim_event *event, uint64_t now)
{
	sim_end_run(VS_CONTAINER_OF(event, struct sim_end, timer), now);
}

void sim_end_init(struct sim_end *end, struct sim_clock *clock, struct sim_line *line,
		  void (*serve)(struct sim_end *, uint64_t), void *owner)
{
	*end = (struct sim_end){ .clock = clock, .line = line, .serve = serve, .owner = owner };
	sim_event_init(clock, &end->timer, wake);
}

void sim_end_fini(struct sim_end *end)
{
	sim_end_close(end);
	sim_event_fini(end->clock, &end->timer);
}

void sim_end_open(struct sim_end *end, const struct vs_link_config *config)
{
	end->link = vs_link_new(config, end->clock->now);
	if (!end->link)
		abort();
}

static void close_cargo(struct sim_end *end)
{
	sim_cargo_unref(end->cargo);
	end->cargo = NULL;
	end->cargo_left = 0;
}

struct sim_end_books sim_end_books(const struct sim_end *end)
{
	struct sim_end_books books = end->books;
	struct vs_link_stats stats;
	if (!end->link)
		return books;
	vs_link_stats(end->link, end->clock->now, &stats);
	books.segments += stats.arq_tx.segments;
	books.retransmitted += stats.arq_tx.retransmitted;
	books.probes += stats.arq_tx.probes;
	books.declared_lost += stats.arq_tx.lost;
	books.spurious += stats.arq_tx.spurious;
	books.skipped += stats.arq_tx.skipped;
	books.handshakes += stats.handshakes;
	for (unsigned i = 0; i < VS_DROP_COUNT; i++)
		books.drops.count[i] += vs_link_drops(end->link)->count[i];
	return books;
}

void sim_end_close(struct sim_end *end)
{
	end->books = sim_end_books(end);
	vs_link_free(end->link);
	end->link = NULL;
	close_cargo(end);
	sim_event_set(end->clock, &end->timer, VS_NEVER);
}

/* --- Output --- */

/* The cargo of the datagram just made, by what the link's counters say: segments, or a fragment of one. */
static struct sim_cargo *load(struct sim_end *end, const struct vs_link_stats *before)
{
	struct vs_link_stats after;
	if (end->cargo_left) {
		end->cargo_left--;
		return end->cargo;
	}
	close_cargo(end);
	vs_link_stats(end->link, end->clock->now, &after);
	uint64_t segments = after.arq_tx.segments + after.arq_tx.retransmitted - before->arq_tx.segments -
			    before->arq_tx.retransmitted;
	uint64_t fragments = after.fragments_sent - before->fragments_sent;
	end->cargo_left = fragments ? (unsigned)fragments - 1 : 0;
	end->cargo = segments ? sim_cargo_new((unsigned)segments) : NULL;
	return end->cargo;
}

static void transmit(struct sim_end *end, const uint8_t *data, size_t len, const struct vs_link_sent *sent,
		     struct sim_cargo *cargo, uint64_t now)
{
	uint32_t mtu = vs_impair_config(end->line->impair, now)->mtu;
	if (end->emsgsize && mtu && len > mtu) {
		sim_line_lose(end->line, cargo);
		vs_link_refused(end->link, sent->counter, len, true, now);
		return;
	}
	sim_line_send(end->line, data, len, &end->local, &vs_link_path(end->link)->peer, cargo);
}

static bool pump(struct sim_end *end, uint64_t now)
{
	uint8_t buffer[VS_DATAGRAM_MAX];
	struct vs_link_stats before;
	struct vs_link_sent sent;
	bool any = false;
	for (;;) {
		vs_link_stats(end->link, now, &before);
		size_t len = vs_link_output(end->link, now, buffer, sizeof(buffer), &sent);
		if (!len)
			return any;
		any = true;
		transmit(end, buffer, len, &sent, load(end, &before), now);
	}
}

/* A link that is to be called at once although it has just been drained would keep a processor busy. */
static void count_spin(struct sim_end *end, bool sent, bool at_once)
{
	struct sim_end_books *books = &end->books;
	if (sent || !at_once) {
		books->spins_run = 0;
		return;
	}
	books->spins++;
	books->spins_run++;
	books->spins_worst = VS_MAX(books->spins_worst, books->spins_run);
}

static void note_memory(struct sim_end *end, uint64_t now)
{
	struct vs_link_stats stats;
	vs_link_stats(end->link, now, &stats);
	struct sim_end_books *books = &end->books;
	books->queue_frames_max = VS_MAX(books->queue_frames_max, stats.queue.frames);
	books->queue_bytes_max = VS_MAX(books->queue_bytes_max, stats.queue.bytes);
	books->held_max = VS_MAX(books->held_max, stats.arq_rx.held);
}

void sim_end_run(struct sim_end *end, uint64_t now)
{
	if (!end->link)
		return;
	note_memory(end, now);
	bool sent = pump(end, now);
	end->serve(end, now);
	if (!end->link)
		return;
	uint64_t deadline = vs_link_deadline(end->link);
	count_spin(end, sent, deadline <= now);
	sim_event_set(end->clock, &end->timer, deadline == VS_NEVER ? VS_NEVER : VS_MAX(deadline, now + 1));
}
