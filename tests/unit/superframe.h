/* Super-frames for tests, and what must hold for the frames they are cut into. The checksums here are summed 16 bits
 * at a time, as RFC 1071 begins, so that they share nothing with the code under test. */
#ifndef VS_TESTS_SUPERFRAME_H
#define VS_TESTS_SUPERFRAME_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "base/frame.h"
#include "base/gso.h"

struct superframe {
	const char *name;
	bool ipv6, udp;
	unsigned tags;       /* the last one a C-tag, the one in front of it an S-tag */
	unsigned l3_options; /* bytes of IPv4 options, or of one IPv6 destination options header */
	unsigned l4_options; /* bytes of TCP options */
	uint8_t tcp_flags;
	uint8_t ecn; /* VS_GSO_ECN or 0 */
	uint32_t payload;
	uint16_t gso_size;
};

/* Offsets from the Ethernet header. */
struct superframe_parts {
	uint32_t l3, l4, payload;
};

static inline struct superframe_parts superframe_parts(const struct superframe *s)
{
	struct superframe_parts at = { .l3 = 14 + 4 * s->tags };

	at.l4 = at.l3 + (s->ipv6 ? 40 : 20) + s->l3_options;
	at.payload = at.l4 + (s->udp ? 8 : 20 + s->l4_options);
	return at;
}

static inline uint8_t superframe_payload_byte(uint32_t i)
{
	return (uint8_t)(i * 7 + i / 251 * 13 + 1);
}

/* Adds the bytes, taken as 16-bit words of which the last may be half, to an unfolded sum. */
static inline uint32_t superframe_sum(uint32_t sum, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Of the pseudo-header in front of `len` bytes of the protocol (RFC 9293 section 3.1, RFC 8200 section 8.1). */
static inline uint32_t superframe_pseudo_sum(const uint8_t *ip, bool ipv6, bool udp, uint32_t len)
{
	uint8_t tail[4] = { 0, udp ? 17 : 6, (uint8_t)(len >> 8), (uint8_t)len };
	uint32_t sum = superframe_sum(0, ipv6 ? ip + 8 : ip + 12, ipv6 ? 32 : 8);

	return superframe_sum(sum, tail, sizeof(tail));
}

static inline void superframe_put_ip(const struct superframe *s, uint8_t *ip, uint32_t len)
{
	uint8_t protocol = s->udp ? 17 : 6;

	if (s->ipv6) {
		vs_put_be32(ip, 0x60312345);
		vs_put_be16(ip + 4, (uint16_t)(len - 40));
		ip[6] = s->l3_options ? 60 : protocol;
		ip[7] = 64;
		ip[8] = ip[24] = 0xfd;
		ip[23] = 1;
		ip[39] = 2;
		if (s->l3_options) {
			ip[40] = protocol;
			ip[41] = (uint8_t)(s->l3_options / 8 - 1);
			ip[42] = 1; /* PadN over the rest */
			ip[43] = (uint8_t)(s->l3_options - 4);
		}
		return;
	}
	static const uint8_t addresses[8] = { 10, 0, 0, 1, 10, 0, 0, 2 };
	ip[0] = (uint8_t)(0x40 | (5 + s->l3_options / 4));
	ip[1] = 0x02;
	vs_put_be16(ip + 2, (uint16_t)len);
	vs_put_be16(ip + 4, 0xfffe); /* wraps in the third segment */
	vs_put_be16(ip + 6, 0x4000);
	ip[8] = 64;
	ip[9] = protocol;
	memcpy(ip + 12, addresses, sizeof(addresses));
	memset(ip + 20, 1, s->l3_options);
	vs_put_be16(ip + 10, (uint16_t)~superframe_sum(0, ip, 20 + s->l3_options));
}

static inline void superframe_put_l4(const struct superframe *s, uint8_t *l4, uint32_t len)
{
	vs_put_be16(l4, 40000);
	vs_put_be16(l4 + 2, 5201);
	if (s->udp) {
		vs_put_be16(l4 + 4, (uint16_t)len);
		return;
	}
	vs_put_be32(l4 + 4, 0xfffffa00); /* wraps */
	vs_put_be32(l4 + 8, 0x01020304);
	l4[12] = (uint8_t)((5 + s->l4_options / 4) << 4);
	l4[13] = s->tcp_flags;
	vs_put_be16(l4 + 14, 502);
	memset(l4 + 20, 1, s->l4_options);
}

/* A super-frame as the kernel hands it over: NULL where the pool has no buffer. */
static inline struct vs_frame *superframe_new(struct vs_pool *pool, const struct superframe *s)
{
	struct superframe_parts at = superframe_parts(s);
	struct vs_frame *frame = vs_frame_new(pool, at.payload + s->payload);

	if (!frame)
		return NULL;
	uint8_t *b = vs_frame_bytes(frame);
	memset(b, 0, at.payload);
	b[0] = b[6] = 2;
	b[5] = 0xb;
	b[11] = 0xa;
	for (unsigned i = 0; i < s->tags; i++) {
		vs_put_be16(b + 12 + 4 * i, i + 1 < s->tags ? 0x88a8 : 0x8100);
		vs_put_be16(b + 14 + 4 * i, (uint16_t)(0xa005 + i));
	}
	vs_put_be16(b + at.l3 - 2, s->ipv6 ? 0x86dd : 0x0800);
	superframe_put_ip(s, b + at.l3, frame->len - at.l3);
	superframe_put_l4(s, b + at.l4, frame->len - at.l4);
	uint32_t field = s->udp ? 6 : 16;
	vs_put_be16(b + at.l4 + field,
		    (uint16_t)superframe_pseudo_sum(b + at.l3, s->ipv6, s->udp, frame->len - at.l4));
	for (uint32_t i = 0; i < s->payload; i++)
		b[at.payload + i] = superframe_payload_byte(i);

	struct vs_vnet vnet = {
		.flags = VS_VNET_NEEDS_CSUM,
		.gso_type = s->udp ? VS_GSO_UDP_L4 : (uint8_t)((s->ipv6 ? VS_GSO_TCPV6 : VS_GSO_TCPV4) | s->ecn),
		.hdr_len = (uint16_t)at.payload,
		.gso_size = s->gso_size,
		.csum_start = (uint16_t)at.l4,
		.csum_offset = (uint16_t)field,
	};
	frame->super = true;
	vs_vnet_encode(&vnet, frame->vnet);
	return frame;
}

/* Whether both checksums of a complete frame are right: then header and checksum add up to all ones. */
static inline bool superframe_checksums_ok(const uint8_t *b, uint32_t len, struct superframe_parts at, bool ipv6,
					   bool udp)
{
	uint32_t sum = superframe_pseudo_sum(b + at.l3, ipv6, udp, len - at.l4);

	if (!ipv6 && superframe_sum(0, b + at.l3, (b[at.l3] & 15) * 4u) != 0xffff)
		return false;
	if (udp && vs_get_be16(b + at.l4 + 6) == 0)
		return false;
	return superframe_sum(sum, b + at.l4, len - at.l4) == 0xffff;
}

#endif
