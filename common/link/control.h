/* Control messages: what two ends of a link tell each other inside a lane, as a list of type-length-value entries
 * (link/wire.h; framed by link/framing.h). Unknown types are skipped and known values may grow at their end, so that a
 * newer peer can say more than we understand. */
#ifndef VS_LINK_CONTROL_H
#define VS_LINK_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/drop.h"
#include "link/wire.h"

struct vs_control {
	uint8_t close; /* enum vs_close_reason, or a number that only the peer knows; 0: no CLOSE */
	bool renew;    /* the port's terms have changed: a handshake gives them */
};

/* Room for every TLV that vs_control_encode() writes. */
#define VS_CONTROL_ENCODED_MAX 5

/* Writes the message's TLVs and returns their length; 0 if it says nothing. */
size_t vs_control_encode(const struct vs_control *control, uint8_t out[VS_CONTROL_ENCODED_MAX]);

/* Reads the TLVs of one message. Where a type comes twice, the first stands. 0, or -EBADMSG (counted as BAD_CONTROL):
 * an entry is cut short, or a value cannot be; *out then says nothing. */
int vs_control_decode(struct vs_control *out, const void *data, size_t len, struct vs_drops *drops) VS_MUST_CHECK;

/* Why the link was closed, for people; of an unknown number, that it is unknown. */
const char *vs_close_reason_text(uint8_t reason);

#endif
