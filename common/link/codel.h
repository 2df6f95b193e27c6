/* CoDel (RFC 8289): watches how long frames stay in one flow of the queue and says which of them are to carry the news
 * of congestion, by being marked or dropped. Integer arithmetic only; used by link/queue.c, one instance a flow. */
#ifndef VS_LINK_CODEL_H
#define VS_LINK_CODEL_H

#include <stdbool.h>
#include <stdint.h>

struct vs_codel_config {
	uint64_t target_usec;
	uint64_t interval_usec;
};

/* What suits a path of this round-trip time (without queues; 0: unknown): never less than `least`, which suits a LAN.
 * RFC 8289 wants the interval to be about the longest round trip of the senders that are to be told, and the target a
 * small part of that. Our senders' round trip is the path's and more, since frames cross two links, and they are often
 * a single one: a TCP that halves its window (cubic: less 30 %) goes on filling the path only if two fifths of a round
 * trip have been waiting. The other flows of the queue do not stand behind these. */
struct vs_codel_config vs_codel_for_path(const struct vs_codel_config *least, uint64_t rtt_usec);

/* Zero-initialised. */
struct vs_codel {
	uint64_t first_above_usec; /* when the delay has been above target for an interval; 0: it is below */
	uint64_t drop_next_usec;   /* when the next signal is due; counts while `dropping` */
	uint32_t count;            /* signals since dropping began */
	uint32_t last_count;       /* `count` at the start of the last dropping state */
	bool dropping;
};

/* Judges the frame at the head of a flow, as it is about to leave: true if the sender is to be told. A caller that
 * drops the frame goes on to judge the next one; a caller that marks it sends it. `sojourn_usec` is how long the frame
 * has waited; `short_backlog` says that not more than one full-sized frame waits behind it, so that slowing the sender
 * would idle the link (RFC 8289, 5.6): nobody is told then. */
bool vs_codel_judge(struct vs_codel *codel, const struct vs_codel_config *config, uint64_t now, uint64_t sojourn_usec,
		    bool short_backlog);

/* The flow has run empty. */
void vs_codel_empty(struct vs_codel *codel);

/* The control law: interval / sqrt(count), in microseconds, rounded down; count is at least 1. */
uint64_t vs_codel_spacing(uint64_t interval_usec, uint32_t count);

#endif
