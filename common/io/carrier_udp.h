/* The UDP carrier: one socket for IPv4, one for IPv6, or either alone; one carrier a worker. Datagrams leave from the
 * address that is given with them, so that an answer comes from the address that the question went to (RFC 1122,
 * section 4.1.3.5), and no datagram is fragmented by this host. */
#ifndef VS_IO_CARRIER_UDP_H
#define VS_IO_CARRIER_UDP_H

#include "base/drop.h"
#include "io/carrier.h"
#include "io/loop.h"
#include "io/udp_socket.h"

/* A carrier over bound sockets (-1: none of this version), which it configures and, from then on, owns, also where it
 * fails. Adds to *drops, which must outlive it, as the loop must. The handler is copied.
 * 0 with *out set; -EINVAL: no socket, or one of the wrong version; -ENOMEM; -errno of a socket option. */
int vs_carrier_udp_new(struct vs_loop *loop, int fd4, int fd6, const struct vs_udp_options *options,
		       const struct vs_carrier_handler *handler, struct vs_drops *drops,
		       struct vs_carrier **out) VS_MUST_CHECK;

/* Whether segmentation offload is in use for sending. */
bool vs_carrier_udp_gso(const struct vs_carrier *carrier);

#endif
