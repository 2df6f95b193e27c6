#include "link/ecn.h"

#include <assert.h>
#include <net/ethernet.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "link/flow.h"

#define IPV4_HEADER 20
#define IPV4_CHECKSUM 10
#define IPV6_HEADER 40

/* The whole IP header of the packet in a frame, or NULL. */
static const uint8_t *ip_header(const struct vs_frame *frame)
{
	struct vs_view view = vs_view_of(vs_frame_cbytes(frame), frame->len);
	uint16_t ethertype = vs_flow_network(&view, NULL);
	if (ethertype != ETHERTYPE_IP && ethertype != ETHERTYPE_IPV6)
		return NULL;
	unsigned version = ethertype == ETHERTYPE_IP ? 4 : 6;
	const uint8_t *ip = vs_view_pull(&view, version == 4 ? IPV4_HEADER : IPV6_HEADER);
	return ip && ip[0] >> 4 == version ? ip : NULL;
}

static bool is_ipv4(const uint8_t *ip)
{
	return ip[0] >> 4 == 4;
}

/* IPv4: the low bits of the second byte. IPv6: the traffic class straddles the first two bytes. */
static enum vs_ecn codepoint(const uint8_t *ip)
{
	return is_ipv4(ip) ? ip[1] & 3 : ip[1] >> 4 & 3;
}

enum vs_ecn vs_ecn_get(const struct vs_frame *frame)
{
	const uint8_t *ip = ip_header(frame);
	return ip ? codepoint(ip) : VS_ECN_NOT_ECT;
}

/* Equation 3 of RFC 1624: HC' = ~(~HC + ~m + m'), for the 16-bit word m that changes. */
static uint16_t adjust_checksum(uint16_t checksum, uint16_t before, uint16_t after)
{
	uint32_t sum = (uint16_t)~checksum + (uint32_t)(uint16_t)~before + after;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void mark_ipv4(uint8_t *ip)
{
	uint16_t before = vs_get_be16(ip);
	ip[1] |= VS_ECN_CE;
	vs_put_be16(ip + IPV4_CHECKSUM, adjust_checksum(vs_get_be16(ip + IPV4_CHECKSUM), before, vs_get_be16(ip)));
}

bool vs_ecn_mark(struct vs_frame *frame)
{
	const uint8_t *header = ip_header(frame);
	if (!header || codepoint(header) == VS_ECN_NOT_ECT)
		return false;
	if (codepoint(header) == VS_ECN_CE)
		return true;
	assert(!vs_frame_is_shared(frame));
	uint8_t *ip = vs_frame_bytes(frame) + (header - vs_frame_cbytes(frame));
	if (is_ipv4(ip))
		mark_ipv4(ip);
	else
		ip[1] |= VS_ECN_CE << 4;
	return true;
}
