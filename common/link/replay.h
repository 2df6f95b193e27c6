/* The replay window of one session: which of the last VS_REPLAY_WINDOW counters have been seen (RFC 6479).
 *
 * Embedded in a session. The order of use for each datagram is check, open (authenticate), commit: a counter may only
 * be committed once the datagram is known to be the peer's, or a stranger could move the window. */
#ifndef VS_LINK_REPLAY_H
#define VS_LINK_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

/* A datagram that is this many counters older than the newest one may still arrive. A multiple of 64. At a million
 * datagrams a second it is 2 ms of reordering, more than parallel paths of one route show. */
#define VS_REPLAY_WINDOW 2048

/* One word more than the window, so that the window is whole although words are cleared whole. */
#define VS_REPLAY_WORDS (VS_REPLAY_WINDOW / 64 + 1)

/* All zero is a window that has seen nothing. */
struct vs_replay {
	uint64_t next; /* highest counter committed + 1; 0: none */
	uint64_t seen[VS_REPLAY_WORDS];
};

void vs_replay_init(struct vs_replay *r);

/* Whether a datagram with this counter may be accepted: it is new, within the window, and not past
 * VS_REJECT_AFTER_DATAGRAMS. Changes nothing. */
bool vs_replay_check(const struct vs_replay *r, uint64_t counter);

/* The datagram has authenticated; vs_replay_check() must be true for its counter now. */
void vs_replay_commit(struct vs_replay *r, uint64_t counter);

#endif
