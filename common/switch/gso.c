#include "switch/gso.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"

#define ADDRESSES_SIZE 12
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_CTAG 0x8100 /* 802.1Q */
#define ETHERTYPE_STAG 0x88a8 /* 802.1ad */

#define IPV4_HEADER 20
#define IPV4_FRAGMENT 0x3fff /* more fragments, offset (RFC 791) */
#define IPV6_HEADER 40
#define IPV6_HOP_BY_HOP 0
#define IPV6_ROUTING 43
#define IPV6_DESTINATION 60

#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define TCP_HEADER 20
#define TCP_SEQ 4
#define TCP_DATA_OFFSET 12
#define TCP_FLAGS 13
#define TCP_CHECK 16
#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_CWR 0x80
#define UDP_HEADER 8
#define UDP_LENGTH 4
#define UDP_CHECK 6

/* Where a super-frame's parts begin, in bytes from its Ethernet header. */
struct layout {
	uint32_t l3;
	uint32_t l4;
	uint32_t payload;
	bool ipv4;
	bool tcp;
};

void vs_vnet_decode(const uint8_t raw[VS_VNET_SIZE], struct vs_vnet *out)
{
	out->flags = raw[0];
	out->gso_type = raw[1];
	out->hdr_len = vs_get_le16(raw + 2);
	out->gso_size = vs_get_le16(raw + 4);
	out->csum_start = vs_get_le16(raw + 6);
	out->csum_offset = vs_get_le16(raw + 8);
}

void vs_vnet_encode(const struct vs_vnet *vnet, uint8_t raw[VS_VNET_SIZE])
{
	raw[0] = vnet->flags;
	raw[1] = vnet->gso_type;
	vs_put_le16(raw + 2, vnet->hdr_len);
	vs_put_le16(raw + 4, vnet->gso_size);
	vs_put_le16(raw + 6, vnet->csum_start);
	vs_put_le16(raw + 8, vnet->csum_offset);
}

/* --- Validation --------------------------------------------------------------------------------------------------- */

/* The view is left behind the type that no tag announces. */
static uint16_t parse_ethernet(struct vs_view *view)
{
	vs_view_pull(view, ADDRESSES_SIZE);
	uint16_t type = vs_view_be16(view);
	for (unsigned tags = 0; tags < VS_GSO_TAGS_MAX && (type == ETHERTYPE_CTAG || type == ETHERTYPE_STAG); tags++) {
		vs_view_be16(view);
		type = vs_view_be16(view);
	}
	return type;
}

static bool parse_ipv4(struct vs_view *view, uint8_t *protocol)
{
	const uint8_t *ip = vs_view_pull(view, IPV4_HEADER);
	if (!ip || ip[0] >> 4 != 4 || (ip[0] & 15) * 4 < IPV4_HEADER)
		return false;
	uint32_t header = (ip[0] & 15) * 4;
	vs_view_pull(view, header - IPV4_HEADER);
	*protocol = ip[9];
	return vs_view_ok(view) && vs_get_be16(ip + 2) == header + view->len &&
	       !(vs_get_be16(ip + 6) & IPV4_FRAGMENT);
}

static bool is_extension(uint8_t next)
{
	return next == IPV6_HOP_BY_HOP || next == IPV6_ROUTING || next == IPV6_DESTINATION;
}

static bool parse_ipv6(struct vs_view *view, uint8_t *protocol)
{
	const uint8_t *ip = vs_view_pull(view, IPV6_HEADER);
	if (!ip || ip[0] >> 4 != 6 || vs_get_be16(ip + 4) != view->len)
		return false;
	*protocol = ip[6];
	for (unsigned n = 0; n < VS_GSO_EXTENSIONS_MAX && is_extension(*protocol); n++) {
		*protocol = vs_view_u8(view);
		vs_view_pull(view, vs_view_u8(view) * 8u + 6);
	}
	return vs_view_ok(view);
}

static bool parse_tcp(struct vs_view *view)
{
	const uint8_t *tcp = vs_view_pull(view, TCP_HEADER);
	if (!tcp)
		return false;
	uint32_t header = (tcp[TCP_DATA_OFFSET] >> 4) * 4u;
	return header >= TCP_HEADER && vs_view_pull(view, header - TCP_HEADER);
}

static bool parse_udp(struct vs_view *view)
{
	const uint8_t *udp = vs_view_pull(view, UDP_HEADER);
	return udp && vs_get_be16(udp + UDP_LENGTH) == UDP_HEADER + view->len;
}

/* False: no TCP or UDP in IP, or a length in it does not reach exactly to the end of the frame. */
static bool parse(const struct vs_frame *frame, struct layout *out)
{
	struct vs_view view = vs_view_of(vs_frame_cbytes(frame), frame->len);
	uint8_t protocol = 0;

	uint16_t type = parse_ethernet(&view);
	out->l3 = frame->len - (uint32_t)view.len;
	out->ipv4 = type == ETHERTYPE_IPV4;
	if (!out->ipv4 && type != ETHERTYPE_IPV6)
		return false;
	if (out->ipv4 ? !parse_ipv4(&view, &protocol) : !parse_ipv6(&view, &protocol))
		return false;
	out->l4 = frame->len - (uint32_t)view.len;
	out->tcp = protocol == PROTOCOL_TCP;
	if (!out->tcp && protocol != PROTOCOL_UDP)
		return false;
	if (out->tcp ? !parse_tcp(&view) : !parse_udp(&view))
		return false;
	out->payload = frame->len - (uint32_t)view.len;
	return true;
}

/* The types that the bytes allow; ECN is a matter of the sender's TCP and not to be seen in them. */
static bool type_fits(uint8_t gso_type, const struct layout *at)
{
	if (!at->tcp)
		return gso_type == VS_GSO_UDP_L4;
	return (gso_type & ~VS_GSO_ECN) == (at->ipv4 ? VS_GSO_TCPV4 : VS_GSO_TCPV6);
}

static bool size_fits(uint32_t gso_size, uint32_t payload, const struct layout *at)
{
	uint32_t segments_max = at->tcp ? VS_GSO_SEGMENTS_MAX : VS_GSO_UDP_SEGMENTS_MAX;

	return payload > 0 && gso_size > 0 && gso_size <= VS_GSO_SIZE_MAX && payload <= gso_size * segments_max;
}

static bool check(const struct vs_frame *frame, struct vs_vnet *vnet, struct layout *at)
{
	if (!frame->super || !parse(frame, at))
		return false;
	vs_vnet_decode(frame->vnet, vnet);
	return vnet->flags == VS_VNET_NEEDS_CSUM && type_fits(vnet->gso_type, at) && vnet->csum_start == at->l4 &&
	       vnet->csum_offset == (at->tcp ? TCP_CHECK : UDP_CHECK) && at->payload <= VS_GSO_HEADERS_MAX &&
	       size_fits(vnet->gso_size, frame->len - at->payload, at);
}

bool vs_gso_valid(const struct vs_frame *frame)
{
	struct vs_vnet vnet;
	struct layout at;

	return check(frame, &vnet, &at);
}

bool vs_gso_sanitize(struct vs_frame *frame)
{
	struct vs_vnet vnet;
	struct layout at;

	assert(frame->refs == 1);
	if (!check(frame, &vnet, &at))
		return false;
	vnet.hdr_len = (uint16_t)at.payload;
	vs_vnet_encode(&vnet, frame->vnet);
	return true;
}

/* --- Checksums (RFC 1071) ----------------------------------------------------------------------------------------- */

static uint64_t load(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint16_t fold(uint64_t sum)
{
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* The ones' complement sum of the bytes, in the order in which this machine loads them: it is the same in every byte
 * order as long as it is stored as it was loaded (RFC 1071, section 2 B). Halves of 64-bit words are added up, so that
 * no carry is lost in less than 2^32 of them. */
static uint16_t sum_bytes(const uint8_t *p, size_t n)
{
	uint64_t even = 0, odd = 0, rest = 0;

	for (; n >= 32; p += 32, n -= 32) {
		uint64_t a = load(p), b = load(p + 8), c = load(p + 16), d = load(p + 24);

		even += (a & UINT32_MAX) + (b & UINT32_MAX) + (c & UINT32_MAX) + (d & UINT32_MAX);
		odd += (a >> 32) + (b >> 32) + (c >> 32) + (d >> 32);
	}
	for (; n >= 8; p += 8, n -= 8) {
		even += load(p) & UINT32_MAX;
		odd += load(p) >> 32;
	}
	memcpy(&rest, p, n);
	return fold(even + odd + (rest & UINT32_MAX) + (rest >> 32));
}

static void put_native(uint8_t *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

/* `zero` is what a checksum of zero is written as: in UDP it would mean that there is none (RFC 768). */
static void complete(uint8_t *start, size_t len, uint32_t field, uint16_t zero)
{
	uint16_t checksum = (uint16_t)~sum_bytes(start, len);

	put_native(start + field, checksum ? checksum : zero);
}

bool vs_csum_complete(uint8_t *bytes, uint32_t len, const struct vs_vnet *vnet)
{
	uint32_t start = vnet->csum_start;

	if (start + vnet->csum_offset + 2 > len)
		return false;
	/* The protocol is not known here; both forms of zero are equal wherever zero is a checksum at all. */
	complete(bytes + start, len - start, vnet->csum_offset, 0xffff);
	return true;
}

/* --- Segmentation ------------------------------------------------------------------------------------------------- */

static void finish_ipv4(uint8_t *ip, uint32_t len, uint32_t index)
{
	uint32_t header = (ip[0] & 15) * 4;

	vs_put_be16(ip + 2, (uint16_t)len);
	vs_put_be16(ip + 4, (uint16_t)(vs_get_be16(ip + 4) + index));
	vs_put_be16(ip + 10, 0);
	complete(ip, header, 10, 0);
}

static void finish_tcp(uint8_t *tcp, uint32_t position, bool last)
{
	uint8_t flags = tcp[TCP_FLAGS];

	if (position > 0)
		flags &= (uint8_t)~TCP_CWR;
	if (!last)
		flags &= (uint8_t)~(TCP_FIN | TCP_PSH);
	tcp[TCP_FLAGS] = flags;
	vs_put_be32(tcp + TCP_SEQ, vs_get_be32(tcp + TCP_SEQ) + position);
}

/* Turns the pseudo-header's sum in the field from the super-frame's length to the segment's (RFC 1624). The addresses
 * are not summed anew: behind a routing header the sum is that of the last destination. */
static void adjust_pseudo(uint8_t *field, uint32_t old_len, uint32_t new_len)
{
	put_native(field, fold((uint64_t)htobe16((uint16_t)~old_len) + htobe16((uint16_t)new_len) + sum_bytes(field, 2)));
}

/* The headers of the segment that is segment number `index` of the super-frame and starts `position` bytes into its
 * payload, from the super-frame's, which are in it. */
static void finish_headers(struct vs_frame *segment, const struct vs_frame *frame, const struct layout *at,
			   uint32_t index, uint32_t position)
{
	uint8_t *ip = vs_frame_bytes(segment) + at->l3;
	uint8_t *l4 = vs_frame_bytes(segment) + at->l4;
	uint32_t l4_len = segment->len - at->l4;
	uint32_t field = at->tcp ? TCP_CHECK : UDP_CHECK;

	if (at->ipv4)
		finish_ipv4(ip, segment->len - at->l3, index);
	else
		vs_put_be16(ip + 4, (uint16_t)(segment->len - at->l3 - IPV6_HEADER));
	if (at->tcp)
		finish_tcp(l4, position, at->payload + position + (segment->len - at->payload) == frame->len);
	else
		vs_put_be16(l4 + UDP_LENGTH, (uint16_t)l4_len);
	adjust_pseudo(l4 + field, frame->len - at->l4, l4_len);
	complete(l4, l4_len, field, at->tcp ? 0 : 0xffff);
}

static int cut(struct vs_frame *frame, const struct layout *at, uint32_t index, uint32_t position, uint32_t len,
	       struct vs_frame_list *out)
{
	const uint8_t *from = vs_frame_cbytes(frame);
	struct vs_frame *segment = vs_frame_new(frame->pool, at->payload + len);

	if (!segment)
		return -ENOMEM;
	segment->vlan = frame->vlan;
	segment->flow_hash = frame->flow_hash;
	memcpy(vs_frame_bytes(segment), from, at->payload);
	memcpy(vs_frame_bytes(segment) + at->payload, from + at->payload + position, len);
	finish_headers(segment, frame, at, index, position);
	if (vs_frame_list_push(out, segment))
		return 0;
	vs_frame_unref(segment);
	return out->count == out->max ? -ENOBUFS : -ENOMEM;
}

uint32_t vs_gso_longest(const struct vs_frame *frame)
{
	struct vs_vnet vnet;

	vs_vnet_decode(frame->vnet, &vnet);
	const uint8_t *l4 = vs_frame_cbytes(frame) + vnet.csum_start;
	uint32_t l4_header = vnet.gso_type == VS_GSO_UDP_L4 ? UDP_HEADER : (l4[TCP_DATA_OFFSET] >> 4) * 4u;
	return VS_MIN(frame->len, vnet.csum_start + l4_header + vnet.gso_size);
}

int vs_gso_segment(struct vs_frame *frame, uint32_t frame_max, struct vs_frame_list *out)
{
	struct vs_vnet vnet;
	struct layout at;
	uint32_t position = 0;

	if (!check(frame, &vnet, &at))
		return -EINVAL;
	if (vs_gso_longest(frame) > frame_max)
		return -EMSGSIZE;
	uint32_t payload = frame->len - at.payload;
	for (uint32_t index = 0; position < payload; index++) {
		uint32_t len = VS_MIN(vnet.gso_size, payload - position);
		int err = cut(frame, &at, index, position, len, out);

		if (err < 0)
			return err;
		position += len;
	}
	return 0;
}
