/* Generic segmentation offload: super-frames, which hold many frames' worth of one TCP or UDP flow behind one set of
 * headers, as a TAP device with a virtio-net header hands them over (VIRTIO 1.2, section 5.1.6). Here they are checked
 * when a peer sent them, and cut into complete frames for whoever cannot take them, byte for byte as the Linux kernel
 * cuts them; or shortened at their front, segment by segment, for a queue that drops one or sends them piecemeal. Also
 * completes the checksum that the kernel left to its device in a frame of ordinary length. Relies on frame buffers and
 * checksums alone; used by the TAP devices, the ports of the switch and the queue of a link. */
#ifndef VS_BASE_GSO_H
#define VS_BASE_GSO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/frame.h"
#include "base/framelist.h"

#define VS_VNET_NEEDS_CSUM 1 /* flags: the checksum covers csum_start to the end, and its field the pseudo-header */
#define VS_VNET_DATA_VALID 2 /* flags: the checksum was verified */

/* gso_type */
#define VS_GSO_NONE 0
#define VS_GSO_TCPV4 1
#define VS_GSO_TCPV6 4
#define VS_GSO_UDP_L4 5
#define VS_GSO_ECN 0x80 /* or-ed to a TCP type: CWR belongs to the first segment only */

/* Limits of a super-frame. The last two bound what a small super-frame can be blown up to. */
#define VS_GSO_TAGS_MAX 2           /* 802.1Q and 802.1ad tags */
#define VS_GSO_EXTENSIONS_MAX 8     /* IPv6 extension headers */
#define VS_GSO_SIZE_MAX 65534       /* 65535 has another meaning in the kernel, which refuses it */
#define VS_GSO_HEADERS_MAX 512      /* bytes in front of the payload, which every segment repeats */
#define VS_GSO_SEGMENTS_MAX 255     /* of TCP */
#define VS_GSO_UDP_SEGMENTS_MAX 128 /* as the kernel (64 before Linux 6.9) */

/* The virtio-net header in host order. Offsets and hdr_len count from the first byte of the Ethernet header. */
struct vs_vnet {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t hdr_len;     /* bytes in front of the payload: a hint that nothing here relies on */
	uint16_t gso_size;    /* payload bytes of each segment but the last */
	uint16_t csum_start;  /* of the TCP or UDP header */
	uint16_t csum_offset; /* of the checksum, from csum_start */
};

void vs_vnet_decode(const uint8_t raw[VS_VNET_SIZE], struct vs_vnet *out);

void vs_vnet_encode(const struct vs_vnet *vnet, uint8_t raw[VS_VNET_SIZE]);

/* Whether the frame is a super-frame whose bytes bear out what its virtio-net header says, so that it may be handed to
 * the kernel or to vs_gso_segment():
 *   TCP or UDP in IPv4 (options are fine, fragments are not) or IPv6 (behind hop-by-hop options, destination options
 *   and routing headers), behind at most VS_GSO_TAGS_MAX tags; every length field reaches exactly to the frame's end;
 *   NEEDS_CSUM alone is set and points at the protocol's own checksum; and there is payload, in segments within the
 *   limits above.
 * Not looked at: hdr_len (vs_gso_sanitize() mends it) and the pseudo-header's sum in the checksum field; where that is
 * wrong, so are the checksums of the segments, and their receiver drops them. */
bool vs_gso_valid(const struct vs_frame *frame);

/* As vs_gso_valid(), for a frame that just came from a peer: if it is valid, hdr_len in its virtio-net header is made
 * what its bytes say. The caller holds the only reference. */
bool vs_gso_sanitize(struct vs_frame *frame);

/* Length of the longest frame that segmentation makes of a valid super-frame, for the check against a port's MTU. */
uint32_t vs_gso_longest(const struct vs_frame *frame);

/* Cuts a super-frame into complete frames and appends them to `out`, in order. They come from the pool, the caller's
 * own, and have its VLAN and flow hash; its reference stays the caller's. 0, or: -EINVAL: it is not valid; -EMSGSIZE: a
 * segment would be longer than frame_max bytes; -ENOMEM: no buffer, or no memory for the list; -ENOBUFS: the list is at
 * its maximum. After the last two, what was appended stays; before, nothing was. */
int vs_gso_segment(struct vs_pool *pool, const struct vs_frame *frame, uint32_t frame_max, struct vs_frame_list *out)
	VS_MUST_CHECK;

/* Drops the first segment of a super-frame: what remains stands for the others, as if each had been a frame from the
 * start, and is a complete frame where it is the last one. No payload is moved: the headers close up behind it, into
 * what was payload, so that a framing header has to be written anew. False, and nothing has changed: the frame is no
 * valid super-frame, has only one segment, or one of them as a frame would be longer than frame_max bytes. The caller
 * holds the only reference. */
bool vs_gso_drop_front(struct vs_frame *frame, uint32_t frame_max) VS_MUST_CHECK;

/* Takes segments from the front of a super-frame in the same way, but as a frame, a super-frame if they are several: as
 * many as make at most `len` bytes, and at least one. It is a copy from the pool, with the VLAN and the flow hash.
 * NULL, and nothing has changed: as vs_gso_drop_front(), or len spans the whole, or there is no buffer. */
struct vs_frame *vs_gso_take_front(struct vs_pool *pool, struct vs_frame *frame, uint32_t len, uint32_t frame_max)
	VS_MUST_CHECK;

/* Completes the checksum of a frame (NEEDS_CSUM without GSO) whose field holds the sum of the pseudo-header. False: the
 * field is outside of the frame, which was not changed. */
bool vs_csum_complete(uint8_t *bytes, uint32_t len, const struct vs_vnet *vnet) VS_MUST_CHECK;

#endif
