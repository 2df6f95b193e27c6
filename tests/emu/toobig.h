/* What a router says of a packet that is larger than the next link's MTU: ICMP "fragmentation needed" (RFC 792,
 * RFC 1191) or ICMPv6 "packet too big" (RFC 4443). It is sent in the name of the packet's destination, the one address
 * that the sender is sure to have a route for. */
#ifndef VS_TEST_TOOBIG_H
#define VS_TEST_TOOBIG_H

#include <stddef.h>
#include <stdint.h>

#define VS_TOOBIG_MAX 1280

/* Writes the answer to an IP packet. Returns its length; 0: none is due (IPv4 that may be fragmented, an ICMP error,
 * a group address, not IP). */
size_t vs_toobig_answer(const uint8_t *packet, size_t len, uint32_t mtu, uint8_t out[VS_TOOBIG_MAX]);

#endif
