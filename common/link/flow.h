/* Which flow a frame belongs to: a keyed hash over the headers that stay the same for all frames of one conversation.
 * The queue (link/queue.h) keeps flows apart by it, and the link spreads flows over lanes by it. A wrong answer costs
 * fairness, never correctness, so a frame that is truncated or of an unknown protocol is hashed as far as it can be
 * read. Relies on libxxhash (XXH3). */
#ifndef VS_LINK_FLOW_H
#define VS_LINK_FLOW_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/frame.h"

/* The hash of the frame's flow: MAC addresses, VLAN, IP addresses, protocol, and the ports of TCP, UDP, UDP-Lite, DCCP
 * and SCTP, the SPI of ESP or the identifier of an ICMP echo. Fragments of an IP packet are hashed without ports, all
 * of them, so that they stay in order. Never 0. The result is kept in frame->flow_hash and returned from there the
 * next time, so all frames that can meet are to be hashed under one key; called before a frame crosses to another
 * thread, it leaves the calls made there nothing to write. `key` is secret and random, or a stranger could choose
 * packets that collide with somebody else's flow. */
uint32_t vs_flow_hash(struct vs_frame *frame, uint64_t key);

#define VS_FLOW_TAGS_MAX 2

/* Moves a view of an Ethernet frame past its MAC addresses and at most VS_FLOW_TAGS_MAX 802.1Q or 802.1ad tags.
 * Returns the EtherType of what follows; the view has failed if the frame is too short. Where `vids` is not NULL it
 * receives the VLAN identifiers, outer first, 0 for tags that are absent. */
uint16_t vs_flow_network(struct vs_view *view, uint16_t vids[VS_FLOW_TAGS_MAX]);

#endif
