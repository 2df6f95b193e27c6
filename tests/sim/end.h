/* One end of a link in the simulator: the link, the line that its datagrams leave by, its timer, and the books that
 * outlive it when the host restarts. */
#ifndef VS_TEST_SIM_END_H
#define VS_TEST_SIM_END_H

#include "link/link.h"
#include "sim/line.h"

/* Frames of one datagram. */
#define SIM_ARRIVED_MAX 1024

struct sim_end_books {
	uint64_t segments, retransmitted, probes, declared_lost, spurious, skipped, handshakes;
	uint64_t spins;      /* times that the link wanted to be called at once and then had nothing to send */
	uint64_t spins_run;  /* of these, without a datagram in between, now */
	uint64_t spins_worst;
	uint64_t queue_frames_max, queue_bytes_max, held_max;
	struct vs_drops drops;
};

struct sim_end {
	struct vs_link *link; /* NULL: none */
	struct sim_clock *clock;
	struct sim_line *line;
	struct sim_event timer;
	struct vs_addr local;  /* datagrams leave from here */
	bool emsgsize;         /* the local socket refuses what the line's MTU does not take */
	struct sim_cargo *cargo; /* of fragments that have yet to follow */
	unsigned cargo_left;
	struct sim_end_books books; /* of former links */
	/* After the link was called: takes its events, and may replace it. */
	void (*serve)(struct sim_end *end, uint64_t now);
	void *owner;
};

void sim_end_init(struct sim_end *end, struct sim_clock *clock, struct sim_line *line,
		  void (*serve)(struct sim_end *, uint64_t), void *owner);
void sim_end_fini(struct sim_end *end);

void sim_end_open(struct sim_end *end, const struct vs_link_config *config);
/* Frees the link, if there is one; what it has counted is kept. */
void sim_end_close(struct sim_end *end);

/* Calls the link: its timers run, its datagrams go out, its events are served, its timer is set. */
void sim_end_run(struct sim_end *end, uint64_t now);

/* What all links that were here have counted. */
struct sim_end_books sim_end_books(const struct sim_end *end);

#endif
