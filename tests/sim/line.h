/* One direction of a path between two hosts: datagrams with the fate that emu/impair.h gives them. It also keeps the
 * books of what was lost, in KCP segments, which nobody else can: the sender knows what it put into a datagram, and
 * only the line knows what became of it. */
#ifndef VS_TEST_SIM_LINE_H
#define VS_TEST_SIM_LINE_H

#include "base/addr.h"
#include "emu/impair.h"
#include "sim/clock.h"

/* What the datagrams of one transmission carry: some segments, or one segment in several fragments. */
struct sim_cargo {
	unsigned refs;
	unsigned segments;
	bool lost;
};

struct sim_datagram {
	struct sim_event arrival;
	struct sim_line *line;
	struct sim_cargo *cargo; /* a reference; NULL: carries no segments */
	struct vs_addr from, to;
	uint64_t sent_usec;
	size_t len;
	uint8_t data[];
};

struct sim_line {
	struct sim_clock *clock;
	struct vs_impair *impair;
	/* Takes a datagram that has arrived, which it may change but not keep. False: nobody has that address. */
	bool (*deliver)(struct sim_line *line, struct sim_datagram *datagram, uint64_t now);
	void *owner;
	unsigned on_way;        /* datagrams */
	uint64_t segments_lost;
	struct sim_datagram **flying; /* those on their way, in no order */
	unsigned flying_max;
};

void sim_line_init(struct sim_line *line, struct sim_clock *clock, const struct vs_impair_config *config, uint64_t seed,
		   void *owner);
void sim_line_fini(struct sim_line *line);

/* Sends a datagram; `cargo` (or NULL) stays the caller's. */
void sim_line_send(struct sim_line *line, const uint8_t *data, size_t len, const struct vs_addr *from,
		   const struct vs_addr *to, struct sim_cargo *cargo);

struct sim_cargo *sim_cargo_new(unsigned segments);
void sim_cargo_unref(struct sim_cargo *cargo);
/* A datagram of it has not arrived. NULL is accepted, here and above. */
void sim_line_lose(struct sim_line *line, struct sim_cargo *cargo);

#endif
