/* The KCP segment header and the payload of a sealed link's ACK, encoded and decoded. Layouts: link/wire.h. */
#ifndef VS_LINK_SEGMENT_H
#define VS_LINK_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "link/wire.h"

struct vs_segment {
	uint32_t conv; /* lane */
	uint8_t cmd;   /* enum vs_cmd */
	uint8_t frg;   /* segments of this message that follow */
	uint16_t wnd;  /* segments that the sender of this header can take after una */
	uint32_t ts;   /* opaque to the receiver, who echoes it in the ACK; ours counts microseconds */
	uint32_t sn;
	uint32_t una; /* all before this one have arrived */
	const uint8_t *data;
	uint32_t len;
	bool recovered; /* it came by way of FEC: when it came says nothing about the path. Not on the wire */
};

/* Signed distance from b to a in sequence space. */
static inline int32_t vs_sn_diff(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

/* Writes the header (VS_SEGMENT_HEADER bytes); the payload follows by the caller's hand. */
void vs_segment_encode(const struct vs_segment *seg, uint8_t *out);

/* Reads the next segment of a datagram. False: the view is malformed (header or payload cut short, unknown cmd). */
bool vs_segment_decode(struct vs_view *view, struct vs_segment *seg);

#endif
