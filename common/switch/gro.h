/* Generic receive offload: plain frames of one TCP or UDP flow that come in a row are joined to a run, which leaves for
 * the kernel as one super-frame (base/gso.h): one system call and one walk through the network stack where each frame
 * would have had its own. No payload is copied: a run is new headers and the payloads where they lie.
 *
 * How it works. The first frame of a run is only looked at far enough to know that it could have company. Another one
 * joins if it continues the first in every field of its headers and if the checksums of both are right; those of the
 * first are looked at when there is a second. A frame that does not join ends the run: the owner lets that leave, and
 * offers the frame again. So frames never overtake each other.
 *
 * What joins can be taken apart again without loss: vs_gso_segment(), and the kernel in its place, make of a run the
 * frames that it was made of, byte for byte. The one exception is the identification of IPv4 packets that must not be
 * fragmented (DF): it says nothing in them (RFC 6864 section 4.1), so it need not count up by one, and is made to. That
 * a checksum is right is part of it: a run has its checksums computed anew, which would hide that a frame was damaged.
 * For the same reason nothing joins without a checksum of its own.
 *
 * What joins:
 *   Ethernet with at most VS_GSO_TAGS_MAX tags, all equal; no padding behind the packet;
 *   IPv4 without options, not fragmented, with equal type of service, time to live and addresses, and either DF or an
 *   identification that counts up; or IPv6 without extension headers, with equal class, flow label, hop limit and
 *   addresses;
 *   UDP between equal ports, with as much payload as the first, or less in the last; not DHCP, whose clients read
 *   packets in ways that know nothing of super-frames;
 *   TCP between equal ports, as UDP, with contiguous sequence numbers, flags that are ACK alone (and PSH in the last),
 *   and everything else in its header equal, options included.
 *
 * Relies on base/. Used for the TAP devices that take super-frames. */
#ifndef VS_SWITCH_GRO_H
#define VS_SWITCH_GRO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "base/frame.h"
#include "base/gso.h"

/* As many datagrams as every kernel cuts a super-frame of UDP into (VS_GSO_UDP_SEGMENTS_MAX). */
#define VS_GRO_FRAMES_MAX 64

/* Of a run as an IP packet. */
#define VS_GRO_PACKET_MAX 65535

/* Ethernet and its tags, IPv6, TCP with all its options. */
#define VS_GRO_HEADERS_MAX (14 + 4 * VS_GSO_TAGS_MAX + 40 + 60)

/* Of a run: its headers, and the payload of each frame. */
#define VS_GRO_PARTS_MAX (1 + VS_GRO_FRAMES_MAX)

/* Zeroed, it is empty. */
struct vs_gro {
	uint32_t count; /* of the frames in the run; 0: there is none */
	struct vs_frame *frames[VS_GRO_FRAMES_MAX];
	/* The rest is of no meaning where there is no run, but for `refused`. */
	bool ipv4, tcp;
	bool verified;    /* the first frame's checksums are right */
	bool closed;      /* nothing more joins */
	uint32_t l3, l4;  /* where the headers begin, in bytes from the Ethernet header; */
	uint32_t headers; /* and where they end */
	uint32_t payload; /* bytes in all frames of the run */
	unsigned refused; /* bits: protocols of which no runs are made */
	uint8_t head[VS_VNET_SIZE + VS_GRO_HEADERS_MAX];
};

/* Offers a frame: true if it is the run's first or has joined it, and the caller's reference is the run's. False: it
 * does not go with the run, or, where there is no run, with any. Frames of a run are read only. */
bool vs_gro_add(struct vs_gro *gro, struct vs_frame *frame) VS_MUST_CHECK;

/* The run, of two frames at least, as the bytes of a virtio-net header and a super-frame behind it. Returns the number
 * of parts, which point into the run and are good until it changes. */
uint32_t vs_gro_parts(struct vs_gro *gro, struct iovec parts[VS_GRO_PARTS_MAX]);

/* The device does not take super-frames of the run's protocol: from now on none of it joins. The run stays. */
void vs_gro_refuse(struct vs_gro *gro);

/* Gives back the references: there is no run any more. */
void vs_gro_clear(struct vs_gro *gro);

#endif
