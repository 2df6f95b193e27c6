/* Turns a transmit batch into as few system calls as the kernel allows: neighbouring datagrams of one size and way
 * become one message with UDP_SEGMENT (generic segmentation offload), and all messages leave by sendmmsg().
 *
 * GSO is tried and believed until shown otherwise: a message that is refused is sent again datagram by datagram, and
 * where that works time and again, the device or kernel cannot do it and GSO is not tried any more. */
#ifndef VS_IO_UDP_SEND_H
#define VS_IO_UDP_SEND_H

#include <stdbool.h>

#include "base/drop.h"
#include "io/carrier.h"

struct vs_udp_sender;

/* Sends from fd4 and fd6 (-1: none), adding to *stats and *drops. NULL: out of memory. */
struct vs_udp_sender *vs_udp_sender_new(int fd4, int fd6, bool gso, struct vs_carrier_stats *stats,
					struct vs_drops *drops);
void vs_udp_sender_free(struct vs_udp_sender *sender);

/* Sends what is in the batch. Returns -1 if everything is gone, or the descriptor whose buffer is full: what is left
 * stays in the batch, to be tried again when that is writable. */
int vs_udp_sender_flush(struct vs_udp_sender *sender, struct vs_tx_batch *batch);

/* Whether segmentation offload is in use. */
bool vs_udp_sender_gso(const struct vs_udp_sender *sender);

#endif
