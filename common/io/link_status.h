/* What both programs tell of a link's transport in the replies to `status` and `ports`: its mode, forward error correction
 * and KCP's knobs. */
#ifndef VS_IO_LINK_STATUS_H
#define VS_IO_LINK_STATUS_H

#include <jansson.h>
#include <stdbool.h>

#include "link/link.h"

/* Adds to an object: "mode", "fec" (what this side sends by) and "fec_peer", "fec_share" (parity for each byte
 * of data sent now), "fec_recovered" and "fec_unrecovered" (the peer's datagrams), and "kcp" with the knobs. */
void vs_link_status_add(json_t *row, const struct vs_params *params, const struct vs_link_stats *stats,
			bool initiator);

#endif
