/* Two links, joined by a line with delay and loss in virtual time, each driven as a worker drives it: what has arrived
 * goes in, then everything that may leave comes out, then events and the deadline are asked for. Only these calls are
 * metered, those of the ends that are to be. */
#ifndef VS_TEST_PERF_PAIR_H
#define VS_TEST_PERF_PAIR_H

#include "link/link.h"

#define PAIR_DATAGRAM_MAX 1452
#define PAIR_LINE_MAX 2048 /* datagrams on their way in one direction */

/* Ends, as a set. */
#define PAIR_CLIENT 1u
#define PAIR_SERVER 2u

struct pair_config {
	enum vs_mode mode;
	enum vs_protection protection;
	uint32_t features;
	unsigned loss_percent; /* of all datagrams, chosen by a fixed seed */
};

struct pair_datagram {
	uint64_t due;
	size_t len;
	uint8_t data[VS_DATAGRAM_MAX];
};

struct pair_end {
	struct vs_link *link;
	unsigned bit;               /* PAIR_CLIENT or PAIR_SERVER */
	struct pair_end *peer;
	struct pair_datagram *line; /* ring of what this end has sent */
	uint32_t head, count;
	struct vs_path path;        /* where its datagrams seem to come from */
	struct vs_deframed arrived;
	uint64_t frames;            /* that have arrived here */
};

struct pair {
	struct pair_config config;
	struct vs_pool *pool;
	struct pair_end client, server;
	uint64_t now;
	uint64_t lost; /* datagrams */
	unsigned metered;
	uint32_t seed;
};

/* Both links up, with some virtual time behind them. */
struct pair *pair_new(const struct pair_config *config);
void pair_free(struct pair *pair);

/* Meters these ends from now on. */
void pair_meter(struct pair *pair, unsigned ends);

/* Sends a frame, whose reference passes. */
void pair_send(struct pair *pair, struct pair_end *end, struct vs_frame *frame);

void pair_run(struct pair *pair, uint64_t usec);

struct vs_link_stats pair_stats(const struct pair *pair, const struct pair_end *end);

#endif
