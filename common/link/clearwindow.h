/* Which datagrams of a session in the clear have come (PROTOCOL.md, "In the clear"). Nothing authenticates them, so
 * their counters may not move the replay window, and this window may not be moved by them either.
 *
 * How it works. The window stands still relative to the highest counter that has come *sealed*: from VS_REPLAY_WINDOW
 * below it to VS_CLEAR_AHEAD above it, with a bit for each counter. Only a sealed datagram moves it. Thus an invented
 * counter takes the place of one genuine datagram, and of no other; one who claims all of them takes VS_CLEAR_AHEAD
 * from a session of frames, and none from lanes, which know their segments by themselves (session.c). What is ahead of
 * the sealed counters is only believed to exist, for reports of loss, once a sealed datagram has passed it. */
#ifndef VS_LINK_CLEARWINDOW_H
#define VS_LINK_CLEARWINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "link/replay.h"
#include "link/wire.h"

/* A power of two that holds the window, whose words are cleared whole. */
#define VS_CLEARWINDOW_BITS (2 * VS_CLEAR_AHEAD)

struct vs_clearwindow {
	uint64_t next; /* highest sealed counter + 1; 0: none has come, and nothing is accepted in the clear */
	uint64_t seen[VS_CLEARWINDOW_BITS / 64];
};

enum vs_clear_verdict {
	VS_CLEAR_NEW,
	VS_CLEAR_SEEN,    /* came before, or is too old to tell */
	VS_CLEAR_TOO_FAR, /* too far ahead of what has come sealed */
};

/* Nothing has come. */
void vs_clearwindow_init(struct vs_clearwindow *w);

/* A datagram with this counter has come in the clear. If it is new it is noted. */
enum vs_clear_verdict vs_clearwindow_note(struct vs_clearwindow *w, uint64_t counter);

/* A sealed datagram with this counter has been opened: the window moves if it is the highest. */
void vs_clearwindow_sealed(struct vs_clearwindow *w, uint64_t counter);

/* The first counter from `from` on, below `end`, that was noted; `end` if there is none. Both within the window. */
uint64_t vs_clearwindow_next(const struct vs_clearwindow *w, uint64_t from, uint64_t end);

#endif
