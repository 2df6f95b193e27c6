#include "switch/gro.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "switch/eth.h"

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_STAG 0x88a8 /* 802.1ad */

#define IPV4_HEADER 20
#define IPV4_LENGTH 2
#define IPV4_ID 4
#define IPV4_FLAGS 6
#define IPV4_TTL 8 /* and protocol */
#define IPV4_CHECK 10
#define IPV4_ADDRESSES 12
#define IPV4_DF 0x4000
#define IPV4_FRAGMENT 0x3fff /* more fragments, offset (RFC 791) */

#define IPV6_HEADER 40
#define IPV6_LENGTH 4
#define IPV6_NEXT 6 /* and hop limit */
#define IPV6_ADDRESSES 8

#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17

#define TCP_HEADER 20
#define TCP_SEQ 4
#define TCP_ACK 8
#define TCP_DATA_OFFSET 12
#define TCP_FLAGS 13
#define TCP_WINDOW 14
#define TCP_CHECK 16
#define TCP_URGENT 18 /* and options */
#define FLAG_PSH 0x08
#define FLAG_ACK 0x10

#define UDP_HEADER 8
#define UDP_LENGTH 4
#define UDP_CHECK 6
#define PORT_DHCP_SERVER 67
#define PORT_DHCP_CLIENT 68

/* The least that a frame has in front of its payload: tags take the place of nothing else. */
#define LEAST (VS_ETH_HEADER_SIZE + IPV4_HEADER + UDP_HEADER)

/* bits of vs_gro.refused */
#define REFUSED_TCP 1u
#define REFUSED_UDP 2u

/* --- The first frame ---------------------------------------------------------------------------------------------- */

/* Where the network header begins; *type: what it is. The frame has LEAST bytes, which no tags reach beyond. */
static uint32_t parse_ethernet(const uint8_t *bytes, uint16_t *type)
{
	uint32_t at = VS_ETH_HEADER_SIZE;

	*type = vs_get_be16(bytes + at - 2);
	for (int tags = 0; tags < VS_GSO_TAGS_MAX && (*type == VS_ETHERTYPE_CTAG || *type == ETHERTYPE_STAG); tags++) {
		at += VS_ETH_TAG_SIZE;
		*type = vs_get_be16(bytes + at - 2);
	}
	return at;
}

/* Whether the lengths in the IP header, and in that of UDP, reach exactly to the frame's end. */
static bool lengths_fit(const struct vs_gro *gro, const uint8_t *bytes, uint32_t len)
{
	const uint8_t *ip = bytes + gro->l3;
	bool fit = gro->ipv4 ? vs_get_be16(ip + IPV4_LENGTH) == len - gro->l3
			     : vs_get_be16(ip + IPV6_LENGTH) == len - gro->l4;

	return fit && (gro->tcp || vs_get_be16(bytes + gro->l4 + UDP_LENGTH) == len - gro->l4);
}

/* The protocol; -1: no IP packet of the kind that joins. */
static int parse_ip(struct vs_gro *gro, const uint8_t *bytes, uint32_t len)
{
	const uint8_t *ip = bytes + gro->l3;

	gro->l4 = gro->l3 + (gro->ipv4 ? IPV4_HEADER : IPV6_HEADER);
	if (len <= gro->l4 + UDP_HEADER)
		return -1;
	if (gro->ipv4)
		return ip[0] == 0x45 && !(vs_get_be16(ip + IPV4_FLAGS) & IPV4_FRAGMENT) ? ip[IPV4_TTL + 1] : -1;
	return ip[0] >> 4 == 6 ? ip[IPV6_NEXT] : -1;
}

static bool parse_tcp(struct vs_gro *gro, const uint8_t *tcp, uint32_t len)
{
	if (len < gro->l4 + TCP_HEADER)
		return false;
	uint32_t header = (tcp[TCP_DATA_OFFSET] >> 4) * 4u;

	gro->headers = gro->l4 + header;
	return header >= TCP_HEADER && tcp[TCP_FLAGS] == FLAG_ACK && len > gro->headers;
}

static bool is_dhcp_port(uint16_t port)
{
	return port == PORT_DHCP_SERVER || port == PORT_DHCP_CLIENT;
}

static bool parse_udp(struct vs_gro *gro, const uint8_t *udp)
{
	gro->headers = gro->l4 + UDP_HEADER;
	return !is_dhcp_port(vs_get_be16(udp)) && !is_dhcp_port(vs_get_be16(udp + 2));
}

/* Whether the frame could be the first of several. Checksums are not looked at. */
static bool parse(struct vs_gro *gro, const uint8_t *bytes, uint32_t len)
{
	uint16_t type;

	if (len <= LEAST)
		return false;
	gro->l3 = parse_ethernet(bytes, &type);
	gro->ipv4 = type == ETHERTYPE_IPV4;
	if (!gro->ipv4 && type != ETHERTYPE_IPV6)
		return false;
	int protocol = parse_ip(gro, bytes, len);
	gro->tcp = protocol == PROTOCOL_TCP;
	if (!gro->tcp && protocol != PROTOCOL_UDP)
		return false;
	return !(gro->refused & (gro->tcp ? REFUSED_TCP : REFUSED_UDP)) &&
	       (gro->tcp ? parse_tcp(gro, bytes + gro->l4, len) : parse_udp(gro, bytes + gro->l4)) &&
	       lengths_fit(gro, bytes, len);
}

static bool begin(struct vs_gro *gro, struct vs_frame *frame)
{
	if (frame->super || !parse(gro, vs_frame_cbytes(frame), frame->len))
		return false;
	gro->verified = gro->closed = false;
	gro->frames[0] = frame;
	gro->count = 1;
	gro->payload = frame->len - gro->headers;
	return true;
}

/* --- The next one ------------------------------------------------------------------------------------------------- */

static bool same(const uint8_t *a, const uint8_t *b, uint32_t from, uint32_t to)
{
	return memcmp(a + from, b + from, to - from) == 0;
}

/* `count`: frames of the run so far. */
static bool continues_ipv4(const uint8_t *first, const uint8_t *ip, uint32_t count)
{
	bool counts_up = vs_get_be16(ip + IPV4_ID) == (uint16_t)(vs_get_be16(first + IPV4_ID) + count);

	return (counts_up || vs_get_be16(first + IPV4_FLAGS) & IPV4_DF) && same(first, ip, 0, IPV4_LENGTH) &&
	       same(first, ip, IPV4_FLAGS, IPV4_CHECK) && same(first, ip, IPV4_ADDRESSES, IPV4_HEADER);
}

static bool continues_ipv6(const uint8_t *first, const uint8_t *ip)
{
	return same(first, ip, 0, IPV6_LENGTH) && same(first, ip, IPV6_NEXT, IPV6_HEADER);
}

/* `payload`: bytes of the run so far. */
static bool continues_tcp(const uint8_t *first, const uint8_t *tcp, uint32_t header, uint32_t payload)
{
	return vs_get_be32(tcp + TCP_SEQ) == vs_get_be32(first + TCP_SEQ) + payload &&
	       (tcp[TCP_FLAGS] & ~FLAG_PSH) == FLAG_ACK && same(first, tcp, TCP_ACK, TCP_FLAGS) &&
	       same(first, tcp, TCP_WINDOW, TCP_CHECK) && same(first, tcp, TCP_URGENT, header);
}

/* Whether the headers are those of the frame that comes behind the run. The ports go first: they tell most flows
 * apart. */
static bool continues(const struct vs_gro *gro, const uint8_t *bytes, uint32_t len)
{
	const uint8_t *first = vs_frame_cbytes(gro->frames[0]);
	const uint8_t *ip = bytes + gro->l3, *l4 = bytes + gro->l4;

	if (!same(first, bytes, gro->l4, gro->l4 + 4) || !same(first, bytes, 0, gro->l3))
		return false;
	if (gro->ipv4 ? !continues_ipv4(first + gro->l3, ip, gro->count) : !continues_ipv6(first + gro->l3, ip))
		return false;
	return lengths_fit(gro, bytes, len) &&
	       (!gro->tcp || continues_tcp(first + gro->l4, l4, gro->headers - gro->l4, gro->payload));
}

/* Ones' complement zero has two forms, of which a computed checksum takes one: 0, and ffff in UDP (RFC 768). A field
 * with the other one would come out changed. */
static bool is_other_zero(const uint8_t *field, bool udp)
{
	return vs_get_be16(field) == (udp ? 0 : 0xffff);
}

/* The sum of the pseudo-header without its addresses. */
static uint64_t sum_protocol(const struct vs_gro *gro, uint32_t l4_len)
{
	return (uint64_t)htobe16(gro->tcp ? PROTOCOL_TCP : PROTOCOL_UDP) + htobe16((uint16_t)l4_len);
}

/* The addresses are right in front of the TCP or UDP header, so they are summed together. */
static bool checksums_right(const struct vs_gro *gro, const uint8_t *bytes, uint32_t len)
{
	const uint8_t *ip = bytes + gro->l3;
	uint32_t addresses = gro->l3 + (gro->ipv4 ? IPV4_ADDRESSES : IPV6_ADDRESSES);

	if (is_other_zero(bytes + gro->l4 + (gro->tcp ? TCP_CHECK : UDP_CHECK), !gro->tcp))
		return false;
	if (gro->ipv4 && (is_other_zero(ip + IPV4_CHECK, false) || vs_checksum_sum(ip, IPV4_HEADER) != 0xffff))
		return false;
	return vs_checksum_fold(sum_protocol(gro, len - gro->l4) +
				vs_checksum_sum(bytes + addresses, len - addresses)) == 0xffff;
}

/* The first frame's are looked at once; where they are wrong, nothing joins it. */
static bool first_right(struct vs_gro *gro)
{
	const struct vs_frame *first = gro->frames[0];

	if (!gro->verified)
		gro->verified = checksums_right(gro, vs_frame_cbytes(first), first->len);
	gro->closed = !gro->verified;
	return gro->verified;
}

static bool join(struct vs_gro *gro, struct vs_frame *frame)
{
	const uint8_t *bytes = vs_frame_cbytes(frame);
	uint32_t size = gro->frames[0]->len, payload = frame->len - gro->headers;

	if (gro->closed || frame->super || frame->len > size || frame->len <= gro->headers)
		return false;
	if (gro->headers - gro->l3 + gro->payload + payload > VS_GRO_PACKET_MAX)
		return false;
	if (!continues(gro, bytes, frame->len) || !first_right(gro) || !checksums_right(gro, bytes, frame->len))
		return false;
	gro->frames[gro->count++] = frame;
	gro->payload += payload;
	gro->closed = gro->count == VS_GRO_FRAMES_MAX || frame->len < size ||
		      (gro->tcp && bytes[gro->l4 + TCP_FLAGS] & FLAG_PSH);
	return true;
}

bool vs_gro_add(struct vs_gro *gro, struct vs_frame *frame)
{
	return gro->count > 0 ? join(gro, frame) : begin(gro, frame);
}

/* --- The run ------------------------------------------------------------------------------------------------------ */

static void put_vnet(const struct vs_gro *gro, uint8_t raw[VS_VNET_SIZE])
{
	struct vs_vnet vnet = {
		.flags = VS_VNET_NEEDS_CSUM,
		.gso_type = !gro->tcp ? VS_GSO_UDP_L4 : gro->ipv4 ? VS_GSO_TCPV4 : VS_GSO_TCPV6,
		.hdr_len = (uint16_t)gro->headers,
		.gso_size = (uint16_t)(gro->frames[0]->len - gro->headers),
		.csum_start = (uint16_t)gro->l4,
		.csum_offset = gro->tcp ? TCP_CHECK : UDP_CHECK,
	};

	vs_vnet_encode(&vnet, raw);
}

/* Makes the first frame's headers those of the run; the checksum's field holds the sum of the pseudo-header. */
static void set_headers(const struct vs_gro *gro, uint8_t *headers)
{
	uint8_t *ip = headers + gro->l3, *l4 = headers + gro->l4;
	uint32_t l4_len = gro->headers - gro->l4 + gro->payload;
	uint32_t addresses = gro->ipv4 ? IPV4_ADDRESSES : IPV6_ADDRESSES;

	if (gro->ipv4) {
		vs_put_be16(ip + IPV4_LENGTH, (uint16_t)(IPV4_HEADER + l4_len));
		vs_put_be16(ip + IPV4_CHECK, 0);
		vs_checksum_complete(ip, IPV4_HEADER, IPV4_CHECK, 0);
	} else {
		vs_put_be16(ip + IPV6_LENGTH, (uint16_t)l4_len);
	}
	if (gro->tcp)
		l4[TCP_FLAGS] = vs_frame_cbytes(gro->frames[gro->count - 1])[gro->l4 + TCP_FLAGS];
	else
		vs_put_be16(l4 + UDP_LENGTH, (uint16_t)l4_len);
	uint16_t sum = vs_checksum_fold(sum_protocol(gro, l4_len) +
					vs_checksum_sum(ip + addresses, gro->l4 - gro->l3 - addresses));
	memcpy(l4 + (gro->tcp ? TCP_CHECK : UDP_CHECK), &sum, sizeof(sum));
}

uint32_t vs_gro_parts(struct vs_gro *gro, struct iovec parts[VS_GRO_PARTS_MAX])
{
	assert(gro->count > 1);
	put_vnet(gro, gro->head);
	memcpy(gro->head + VS_VNET_SIZE, vs_frame_cbytes(gro->frames[0]), gro->headers);
	set_headers(gro, gro->head + VS_VNET_SIZE);
	parts[0] = (struct iovec){ .iov_base = gro->head, .iov_len = VS_VNET_SIZE + gro->headers };
	for (uint32_t i = 0; i < gro->count; i++) {
		struct vs_frame *frame = gro->frames[i];

		parts[1 + i].iov_base = vs_frame_bytes(frame) + gro->headers;
		parts[1 + i].iov_len = frame->len - gro->headers;
	}
	return 1 + gro->count;
}

void vs_gro_refuse(struct vs_gro *gro)
{
	gro->refused |= gro->tcp ? REFUSED_TCP : REFUSED_UDP;
}

void vs_gro_clear(struct vs_gro *gro)
{
	for (uint32_t i = 0; i < gro->count; i++)
		vs_frame_unref(gro->frames[i]);
	gro->count = 0;
}
