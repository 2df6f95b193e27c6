/* The TCP carrier: datagrams in ordinary TCP connections, for networks that let nothing else out. It needs no privilege.
 * Its own order and retransmission come on top of ours, so it is the last choice.
 *
 * A turn's datagrams for one connection leave in one call. A connection whose socket takes no more has its link hold
 * back its frames (vs_carrier_ready()), and nobody else's; one that takes nothing for a second loses what its link
 * sends, as a broken path does, so that timers and watchdogs see what they would see on any other. */
#ifndef VS_IO_CARRIER_TCP_H
#define VS_IO_CARRIER_TCP_H

#include "base/compiler.h"
#include "base/drop.h"
#include "io/carrier.h"
#include "io/loop.h"

/* A carrier without connections yet. What it cannot send is counted in *drops, which outlives it, too. 0 or -errno. */
int vs_carrier_tcp_new(struct vs_loop *loop, const struct vs_carrier_handler *handler, struct vs_drops *drops,
		       struct vs_carrier **out) VS_MUST_CHECK;

#endif
