/* Explicit congestion notification (RFC 3168) on the IP packet inside a frame: how the queue tells an ECN-capable
 * sender to slow down without dropping its packet. */
#ifndef VS_LINK_ECN_H
#define VS_LINK_ECN_H

#include <stdbool.h>

#include "base/frame.h"

/* The two bits of the IP header (RFC 3168, section 5). */
enum vs_ecn {
	VS_ECN_NOT_ECT = 0,
	VS_ECN_ECT1 = 1,
	VS_ECN_ECT0 = 2,
	VS_ECN_CE = 3,
};

/* The codepoint of the IPv4 or IPv6 packet in the frame, behind at most two 802.1Q tags. VS_ECN_NOT_ECT for anything
 * else, truncated headers included. */
enum vs_ecn vs_ecn_get(const struct vs_frame *frame);

/* Marks an ECN-capable packet "congestion experienced" and corrects its IPv4 header checksum by the difference
 * (RFC 1624), so that a checksum that was wrong stays wrong. True: the packet is marked, now or before; false: it is
 * not ECN-capable and the frame is unchanged. A frame that needs the mark must have no second reference (asserted). */
bool vs_ecn_mark(struct vs_frame *frame);

#endif
