#include "base/gso.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"

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

	assert(!vs_frame_is_shared(frame));
	if (!check(frame, &vnet, &at))
		return false;
	vnet.hdr_len = (uint16_t)at.payload;
	vs_vnet_encode(&vnet, frame->vnet);
	return true;
}

/* --- Checksums ---------------------------------------------------------------------------------------------------- */

bool vs_csum_complete(uint8_t *bytes, uint32_t len, const struct vs_vnet *vnet)
{
	uint32_t start = vnet->csum_start;

	if (start + vnet->csum_offset + 2 > len)
		return false;
	/* The protocol is not known here; both forms of zero are equal wherever zero is a checksum at all. */
	vs_checksum_complete(bytes + start, len - start, vnet->csum_offset, 0xffff);
	return true;
}

/* --- Segmentation ------------------------------------------------------------------------------------------------- */

/* Segments of a super-frame, one after another, that become a frame of their own. */
struct run {
	uint32_t index;    /* of the first */
	uint32_t position; /* of the first, in bytes of payload */
	uint32_t len;      /* bytes of payload */
};

static void set_ipv4(uint8_t *ip, uint32_t len, uint32_t index)
{
	uint32_t header = (ip[0] & 15) * 4;

	vs_put_be16(ip + 2, (uint16_t)len);
	vs_put_be16(ip + 4, (uint16_t)(vs_get_be16(ip + 4) + index));
	vs_put_be16(ip + 10, 0);
	vs_checksum_complete(ip, header, 10, 0);
}

static void set_tcp(uint8_t *tcp, uint32_t position, bool last)
{
	uint8_t flags = tcp[TCP_FLAGS];

	if (position > 0)
		flags &= (uint8_t)~TCP_CWR;
	if (!last)
		flags &= (uint8_t)~(TCP_FIN | TCP_PSH);
	tcp[TCP_FLAGS] = flags;
	vs_put_be32(tcp + TCP_SEQ, vs_get_be32(tcp + TCP_SEQ) + position);
}

static uint32_t check_field(const struct layout *at)
{
	return at->tcp ? TCP_CHECK : UDP_CHECK;
}

/* Makes the headers of a super-frame with `payload` bytes those of a run of it. The checksum's field then holds the sum
 * of the run's pseudo-header, from the one that was there: the addresses are not summed anew, because behind a routing
 * header the sum is that of the last destination. */
static void set_headers(uint8_t *bytes, const struct layout *at, const struct run *run, uint32_t payload)
{
	uint8_t *ip = bytes + at->l3, *l4 = bytes + at->l4;
	uint32_t l3_header = at->l4 - at->l3, l4_header = at->payload - at->l4;
	uint16_t l4_len = (uint16_t)(l4_header + run->len);

	if (at->ipv4)
		set_ipv4(ip, l3_header + l4_len, run->index);
	else
		vs_put_be16(ip + 4, (uint16_t)(l3_header - IPV6_HEADER + l4_len));
	if (at->tcp)
		set_tcp(l4, run->position, run->position + run->len == payload);
	else
		vs_put_be16(l4 + UDP_LENGTH, l4_len);
	vs_checksum_replace(l4 + check_field(at), (uint16_t)(l4_header + payload), l4_len);
}

static void complete(struct vs_frame *segment, const struct layout *at)
{
	vs_checksum_complete(vs_frame_bytes(segment) + at->l4, segment->len - at->l4, check_field(at),
			     at->tcp ? 0 : 0xffff);
}

/* The run as a frame whose checksum is still to be completed; NULL: no buffer. */
static struct vs_frame *copy_run(struct vs_pool *pool, const struct vs_frame *frame, const struct layout *at,
				 const struct run *run)
{
	const uint8_t *from = vs_frame_cbytes(frame);
	struct vs_frame *copy = vs_frame_new(pool, at->payload + run->len);

	if (!copy)
		return NULL;
	copy->vlan = frame->vlan;
	copy->flow_hash = frame->flow_hash;
	uint8_t *to = vs_frame_bytes(copy);
	memcpy(to, from, at->payload);
	memcpy(to + at->payload, from + at->payload + run->position, run->len);
	set_headers(to, at, run, frame->len - at->payload);
	return copy;
}

static int cut(struct vs_pool *pool, const struct vs_frame *frame, const struct layout *at, const struct run *run,
	       struct vs_frame_list *out)
{
	struct vs_frame *segment = copy_run(pool, frame, at, run);

	if (!segment)
		return -ENOMEM;
	complete(segment, at);
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

int vs_gso_segment(struct vs_pool *pool, const struct vs_frame *frame, uint32_t frame_max, struct vs_frame_list *out)
{
	struct vs_vnet vnet;
	struct layout at;

	if (!check(frame, &vnet, &at))
		return -EINVAL;
	if (vs_gso_longest(frame) > frame_max)
		return -EMSGSIZE;
	uint32_t payload = frame->len - at.payload;
	for (struct run run = { 0 }; run.position < payload; run.index++, run.position += run.len) {
		run.len = VS_MIN(vnet.gso_size, payload - run.position);
		int err = cut(pool, frame, &at, &run, out);

		if (err < 0)
			return err;
	}
	return 0;
}

/* --- Segments taken from the front -------------------------------------------------------------------------------- */

/* Whether the super-frame can be divided into frames of at most frame_max bytes, so that each side has a segment. */
static bool divisible(const struct vs_frame *frame, uint32_t frame_max, struct vs_vnet *vnet, struct layout *at)
{
	return check(frame, vnet, at) && frame->len - at->payload > vnet->gso_size &&
	       vs_gso_longest(frame) <= frame_max;
}

/* Says of a run with headers of its own what it is: one segment is an ordinary frame, and complete. */
static void describe(struct vs_frame *frame, const struct vs_vnet *vnet, const struct layout *at)
{
	frame->super = frame->len - at->payload > vnet->gso_size;
	if (frame->super)
		vs_vnet_encode(vnet, frame->vnet);
	else
		complete(frame, at);
}

/* Leaves of a super-frame what is behind its first `segments`. The headers move, not the payload. */
static void advance(struct vs_frame *frame, uint32_t segments, struct vs_vnet *vnet, const struct layout *at)
{
	uint32_t payload = frame->len - at->payload, skip = segments * vnet->gso_size;
	struct run rest = { .index = segments, .position = skip, .len = payload - skip };
	uint8_t *bytes = vs_frame_bytes(frame);

	memmove(bytes + skip, bytes, at->payload);
	frame->offset += skip;
	frame->len -= skip;
	set_headers(vs_frame_bytes(frame), at, &rest, payload);
	/* CWR, if it was there, has gone with the first segment. */
	vnet->gso_type &= (uint8_t)~VS_GSO_ECN;
	describe(frame, vnet, at);
}

bool vs_gso_drop_front(struct vs_frame *frame, uint32_t frame_max)
{
	struct vs_vnet vnet;
	struct layout at;

	assert(!vs_frame_is_shared(frame));
	if (!divisible(frame, frame_max, &vnet, &at))
		return false;
	advance(frame, 1, &vnet, &at);
	return true;
}

struct vs_frame *vs_gso_take_front(struct vs_pool *pool, struct vs_frame *frame, uint32_t len, uint32_t frame_max)
{
	struct vs_vnet vnet;
	struct layout at;

	assert(!vs_frame_is_shared(frame));
	if (len >= frame->len || !divisible(frame, frame_max, &vnet, &at))
		return NULL;
	uint32_t segments = len > at.payload ? (len - at.payload) / vnet.gso_size : 0;
	segments = VS_MAX(segments, 1u);
	const struct run front = { .len = segments * vnet.gso_size };
	struct vs_frame *taken = copy_run(pool, frame, &at, &front);

	if (!taken)
		return NULL;
	describe(taken, &vnet, &at);
	advance(frame, segments, &vnet, &at);
	return taken;
}
