/* Packets for tests, put together header by header: each packet_*() call appends one. */
#ifndef VS_TESTS_PACKET_H
#define VS_TESTS_PACKET_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "base/frame.h"

struct packet {
	uint8_t bytes[512];
	size_t len;
};

static inline uint8_t *packet_append(struct packet *p, size_t n)
{
	assert(p->len + n <= sizeof(p->bytes));
	uint8_t *at = p->bytes + p->len;
	memset(at, 0, n);
	p->len += n;
	return at;
}

/* Addresses 02:00:00:00:00:dst and ...:src. */
static inline void packet_macs(struct packet *p, uint8_t dst, uint8_t src)
{
	uint8_t *macs = packet_append(p, 12);
	macs[0] = macs[6] = 2;
	macs[5] = dst;
	macs[11] = src;
}

static inline void packet_tag(struct packet *p, uint16_t tpid, uint16_t tci)
{
	uint8_t *tag = packet_append(p, 4);
	vs_put_be16(tag, tpid);
	vs_put_be16(tag + 2, tci);
}

static inline void packet_ethertype(struct packet *p, uint16_t ethertype)
{
	vs_put_be16(packet_append(p, 2), ethertype);
}

/* Sum of the header's 16-bit words, folded: 0xffff where the checksum in it is right. */
static inline uint16_t packet_sum(const uint8_t *header, size_t len)
{
	uint32_t sum = 0;
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += vs_get_be16(header + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* From 10.0.0.1 to 10.0.0.2, with `options` bytes of options (a multiple of 4) and its checksum. */
static inline uint8_t *packet_ipv4(struct packet *p, uint8_t tos, uint8_t protocol, uint16_t fragment, size_t options)
{
	static const uint8_t addresses[8] = { 10, 0, 0, 1, 10, 0, 0, 2 };
	packet_ethertype(p, 0x0800);
	uint8_t *ip = packet_append(p, 20 + options);
	ip[0] = (uint8_t)(0x40 | (5 + options / 4));
	ip[1] = tos;
	vs_put_be16(ip + 2, 1234);
	vs_put_be16(ip + 6, fragment);
	ip[8] = 64;
	ip[9] = protocol;
	memcpy(ip + 12, addresses, sizeof(addresses));
	memset(ip + 20, 1, options);
	vs_put_be16(ip + 10, (uint16_t)~packet_sum(ip, 20 + options));
	return ip;
}

/* From fd00::1 to fd00::2. */
static inline uint8_t *packet_ipv6(struct packet *p, uint8_t traffic_class, uint8_t next)
{
	packet_ethertype(p, 0x86dd);
	uint8_t *ip = packet_append(p, 40);
	ip[0] = (uint8_t)(0x60 | traffic_class >> 4);
	ip[1] = (uint8_t)(traffic_class << 4);
	ip[6] = next;
	ip[7] = 64;
	ip[8] = ip[24] = 0xfd;
	ip[23] = 1;
	ip[39] = 2;
	return ip;
}

static inline void packet_ports(struct packet *p, uint16_t from, uint16_t to)
{
	uint8_t *ports = packet_append(p, 20);
	vs_put_be16(ports, from);
	vs_put_be16(ports + 2, to);
}

/* The first `len` bytes of the packet as a frame. */
static inline struct vs_frame *packet_frame(struct vs_pool *pool, const struct packet *p, size_t len)
{
	struct vs_frame *frame = vs_frame_new(pool, len);
	assert(frame && len <= p->len);
	memcpy(vs_frame_bytes(frame), p->bytes, len);
	return frame;
}

#endif
