/* Flows between the PCs of a simulated LAN: sources that make frames (Ethernet, IPv4, UDP), each with its flow, number,
 * time and checksum, and sinks that judge what arrives. */
#ifndef VS_TEST_SIM_TRAFFIC_H
#define VS_TEST_SIM_TRAFFIC_H

#include "sim/world.h"

#define SIM_FLOWS_MAX 32
#define SIM_FRAME_MIN 74u
#define SIM_SEEN_FRAMES 4096 /* numbers within which a repetition is noticed where order does not hold */

enum sim_flow_kind {
	SIM_PACED,    /* a frame each interval, whatever becomes of it */
	SIM_WINDOWED, /* a transport with a fixed window: `window` frames beyond what the far PC has acknowledged */
};

struct sim_flow_config {
	enum sim_flow_kind kind;
	unsigned from, to;
	uint64_t interval_usec;
	unsigned window;
	unsigned frame_min, frame_max; /* bytes; each frame's length is drawn */
	bool ect;                      /* ECN-capable */
	bool watched;                  /* may never wait long for its next delivery (sim/checks.h) */
};

/* Numbers of one hop of a flow: sender's link to receiver's. */
struct sim_hop {
	uint32_t *waits; /* microseconds from the frame's hand-over to the link until its datagram left */
	size_t waits_n, waits_max;
};

struct sim_flow {
	struct sim_flow_config config;
	unsigned id;
	struct sim_event timer;
	struct sim_traffic *traffic;

	uint32_t next, acked; /* source: next number; all before have been acknowledged (WINDOWED) */
	uint64_t progress_usec;
	bool stopped;

	uint32_t expected; /* sink: one after the highest number seen */
	uint64_t seen[SIM_SEEN_FRAMES / 64];
	unsigned unacked;
	uint64_t received, bytes, marked;
	uint64_t last_usec; /* of the last delivery; at first, of the start */
	uint64_t delay_worst;
	uint64_t stall_reported; /* the start of the last stall that was */

	uint64_t *at_server; /* ring: when frames reached the server, by number; for the second hop's waits */
	struct sim_hop hops[2];
};

struct sim_traffic {
	struct sim_world *world;
	bool ordered; /* frames of a flow must keep their order */
	bool repeats; /* a frame may come twice */
	bool measured; /* waits are recorded */
	struct sim_flow flows[SIM_FLOWS_MAX];
	unsigned flows_n;
	uint64_t stray; /* frames for another PC, which the switch had to flood */
	struct sim_random random;
	/* A watched flow's frame has arrived; called before last_usec moves. NULL: nobody is interested. */
	void (*delivered)(struct sim_traffic *traffic, struct sim_flow *flow, uint64_t now);
	void *user;
};

/* Takes the world's `arrived` hook. */
void sim_traffic_init(struct sim_traffic *traffic, struct sim_world *world);
void sim_traffic_fini(struct sim_traffic *traffic);

/* The flow starts at once. */
struct sim_flow *sim_traffic_add(struct sim_traffic *traffic, const struct sim_flow_config *config);

/* What a frame that has arrived says of itself: its flow, its number in it, when its source made it. */
unsigned sim_frame_flow(const struct vs_frame *frame);
uint32_t sim_frame_number(const struct vs_frame *frame);
uint64_t sim_frame_sent_usec(const struct vs_frame *frame);

/* Sources fall silent; sinks go on. */
void sim_traffic_stop(struct sim_traffic *traffic);

/* The p-th percentile of a hop's waits; 0 where there are none. Sorts them. */
uint32_t sim_hop_percentile(struct sim_hop *hop, unsigned p);

#endif
