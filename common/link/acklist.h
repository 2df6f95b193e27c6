/* The acknowledgements owed to a plain KCP peer, one for each segment, as KCP has them: a sealed link's one ACK with a
 * bitmap means nothing to it. Used by the receiving half of the ARQ (link/arq_rx.h), which tells una with each: what
 * una says already needs no ACK of its own, but for the last one, whose stamp the peer measures its round trip by. */
#ifndef VS_LINK_ACKLIST_H
#define VS_LINK_ACKLIST_H

#include <stddef.h>
#include <stdint.h>

#include "link/segment.h"

/* More than a flood of segments leaves owed between two datagrams of ours. */
#define VS_ACKLIST_MAX 1024

struct vs_acklist {
	uint32_t n;
	uint32_t una; /* that it was last searched for what una says */
	struct {
		uint32_t sn, ts;
	} item[VS_ACKLIST_MAX];
};

/* One more segment has arrived. When the list is full of what una does not say, or of little else, the ACK is not owed:
 * una will tell, or its segment will come again and ask for it. */
void vs_acklist_add(struct vs_acklist *list, uint32_t una, uint32_t sn, uint32_t ts);

/* Writes what is owed, headers as `ack` but for sn and ts, as much as fits in `room`; returns the bytes written. What
 * did not fit stays owed. */
size_t vs_acklist_write(struct vs_acklist *list, const struct vs_segment *ack, uint8_t *out, size_t room);

#endif
