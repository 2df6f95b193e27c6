#include "sim/line.h"

#include <stdlib.h>
#include <string.h>

void sim_line_init(struct sim_line *line, struct sim_clock *clock, const struct vs_impair_config *config, uint64_t seed,
		   void *owner)
{
	*line = (struct sim_line){ .clock = clock, .owner = owner, .impair = vs_impair_new(config, seed) };
	if (!line->impair)
		abort();
}

struct sim_cargo *sim_cargo_new(unsigned segments)
{
	struct sim_cargo *cargo = sim_alloc(sizeof(*cargo));
	*cargo = (struct sim_cargo){ .refs = 1, .segments = segments };
	return cargo;
}

void sim_cargo_unref(struct sim_cargo *cargo)
{
	if (cargo && --cargo->refs == 0)
		free(cargo);
}

void sim_line_lose(struct sim_line *line, struct sim_cargo *cargo)
{
	if (!cargo || cargo->lost)
		return;
	cargo->lost = true;
	line->segments_lost += cargo->segments;
}

static void add_flying(struct sim_line *line, struct sim_datagram *datagram)
{
	if (line->on_way == line->flying_max) {
		line->flying_max = line->flying_max ? 2 * line->flying_max : 64;
		line->flying = realloc(line->flying, line->flying_max * sizeof(struct sim_datagram *));
		if (!line->flying)
			abort();
	}
	line->flying[line->on_way++] = datagram;
}

static void free_datagram(struct sim_datagram *datagram)
{
	struct sim_line *line = datagram->line;
	for (unsigned i = 0; i < line->on_way; i++) {
		if (line->flying[i] != datagram)
			continue;
		line->flying[i] = line->flying[--line->on_way];
		break;
	}
	sim_event_fini(line->clock, &datagram->arrival);
	sim_cargo_unref(datagram->cargo);
	free(datagram);
}

static void arrive(struct sim_event *event, uint64_t now)
{
	struct sim_datagram *datagram = VS_CONTAINER_OF(event, struct sim_datagram, arrival);
	if (!datagram->line->deliver(datagram->line, datagram, now))
		sim_line_lose(datagram->line, datagram->cargo);
	free_datagram(datagram);
}

void sim_line_send(struct sim_line *line, const uint8_t *data, size_t len, const struct vs_addr *from,
		   const struct vs_addr *to, struct sim_cargo *cargo)
{
	struct vs_impair_verdict verdict;
	vs_impair_input(line->impair, line->clock->now, len, &verdict);
	if (verdict.copies == 0)
		sim_line_lose(line, cargo);
	for (unsigned i = 0; i < verdict.copies; i++) {
		struct sim_datagram *datagram = sim_alloc(sizeof(*datagram) + len);
		datagram->line = line;
		datagram->from = *from;
		datagram->to = *to;
		datagram->sent_usec = line->clock->now;
		datagram->len = len;
		memcpy(datagram->data, data, len);
		datagram->cargo = cargo;
		if (cargo)
			cargo->refs++;
		add_flying(line, datagram);
		sim_event_init(line->clock, &datagram->arrival, arrive);
		sim_event_set(line->clock, &datagram->arrival, verdict.at[i]);
	}
}

void sim_line_fini(struct sim_line *line)
{
	while (line->on_way)
		free_datagram(line->flying[line->on_way - 1]);
	free(line->flying);
	vs_impair_free(line->impair);
}
