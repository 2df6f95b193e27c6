#include "link/flow.h"

#include <assert.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define IPV4_HEADER 20
#define IPV4_FRAGMENT_MASK 0x3fff /* more fragments, offset */
#define IPV6_HEADER 40
#define IPV6_FRAGMENT_MASK 0xfff9 /* offset, more fragments */
#define IPV6_EXTENSIONS_MAX 8     /* more than any real packet has */
#define VID_MASK 0x0fff

/* IANA's numbers that <netinet/in.h> does not know. */
#define PROTOCOL_MOBILITY 135
#define PROTOCOL_HIP 139
#define PROTOCOL_SHIM6 140

enum {
	ICMP4_ECHO_REPLY = 0,
	ICMP4_ECHO = 8,
	ICMP6_ECHO = 128,
	ICMP6_ECHO_REPLY = 129,
};

/* What is hashed. Without padding, so that equal flows are equal bytes. */
struct identity {
	uint8_t macs[2 * ETH_ALEN];
	uint16_t port_vlan;
	uint16_t vids[VS_FLOW_TAGS_MAX];
	uint16_t ethertype;
	uint8_t ports[4]; /* as they stand in the packet */
	uint8_t addresses[32];
	uint8_t protocol;
	uint8_t zero[3];
};
static_assert(sizeof(struct identity) == 60, "a flow's identity must have no padding");

uint16_t vs_flow_network(struct vs_view *view, uint16_t vids[VS_FLOW_TAGS_MAX])
{
	vs_view_pull(view, 2 * ETH_ALEN);
	uint16_t ethertype = vs_view_be16(view);
	for (unsigned i = 0; i < VS_FLOW_TAGS_MAX; i++) {
		bool tagged = ethertype == ETH_P_8021Q || ethertype == ETH_P_8021AD;
		uint16_t vid = tagged ? vs_view_be16(view) & VID_MASK : 0;
		if (tagged)
			ethertype = vs_view_be16(view);
		if (vids)
			vids[i] = vid;
	}
	return ethertype;
}

static void dissect_echo(struct vs_view *view, struct identity *id, uint8_t request, uint8_t reply)
{
	const uint8_t *icmp = vs_view_pull(view, 6);
	if (icmp && (icmp[0] == request || icmp[0] == reply))
		memcpy(id->ports, icmp + 4, 2);
}

static void dissect_transport(struct vs_view *view, struct identity *id)
{
	switch (id->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_DCCP:
	case IPPROTO_SCTP:
	case IPPROTO_ESP:
		vs_view_copy(view, id->ports, sizeof(id->ports));
		break;
	case IPPROTO_ICMP:
		dissect_echo(view, id, ICMP4_ECHO, ICMP4_ECHO_REPLY);
		break;
	case IPPROTO_ICMPV6:
		dissect_echo(view, id, ICMP6_ECHO, ICMP6_ECHO_REPLY);
		break;
	default:
		break;
	}
}

static void dissect_ipv4(struct vs_view *view, struct identity *id)
{
	const uint8_t *ip = vs_view_pull(view, IPV4_HEADER);
	if (!ip || ip[0] >> 4 != 4)
		return;
	memcpy(id->addresses, ip + 12, 8);
	id->protocol = ip[9];
	size_t header_len = (ip[0] & 15u) * 4;
	if (header_len < IPV4_HEADER || !vs_view_pull(view, header_len - IPV4_HEADER))
		return;
	if (vs_get_be16(ip + 6) & IPV4_FRAGMENT_MASK)
		return;
	dissect_transport(view, id);
}

/* Whether the header is an extension header (IANA's list), so that another one follows it. */
static bool is_extension(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_FRAGMENT:
	case IPPROTO_AH:
	case IPPROTO_DSTOPTS:
	case PROTOCOL_MOBILITY:
	case PROTOCOL_HIP:
	case PROTOCOL_SHIM6:
		return true;
	default:
		return false;
	}
}

/* Moves past the extension header id->protocol names. False: what follows is a fragment, or is not there. */
static bool skip_extension(struct vs_view *view, struct identity *id)
{
	const uint8_t *extension = vs_view_pull(view, 8);
	if (!extension)
		return false;
	uint8_t kind = id->protocol;
	id->protocol = extension[0];
	if (kind == IPPROTO_FRAGMENT)
		return (vs_get_be16(extension + 2) & IPV6_FRAGMENT_MASK) == 0;
	/* In units of 8 bytes beyond the first 8 (RFC 8200); AH counts 4-byte units less 2 (RFC 4302). */
	size_t more = kind == IPPROTO_AH ? extension[1] * 4u : extension[1] * 8u;
	return vs_view_pull(view, more) != NULL;
}

static void dissect_ipv6(struct vs_view *view, struct identity *id)
{
	const uint8_t *ip = vs_view_pull(view, IPV6_HEADER);
	if (!ip || ip[0] >> 4 != 6)
		return;
	memcpy(id->addresses, ip + 8, 32);
	id->protocol = ip[6];
	for (int i = 0; i < IPV6_EXTENSIONS_MAX && is_extension(id->protocol); i++)
		if (!skip_extension(view, id))
			return;
	dissect_transport(view, id);
}

static void dissect(const struct vs_frame *frame, struct identity *id)
{
	const uint8_t *bytes = vs_frame_cbytes(frame);
	struct vs_view view = vs_view_of(bytes, frame->len);
	id->port_vlan = frame->vlan;
	memcpy(id->macs, bytes, VS_MIN(frame->len, sizeof(id->macs)));
	id->ethertype = vs_flow_network(&view, id->vids);
	if (id->ethertype == ETHERTYPE_IP)
		dissect_ipv4(&view, id);
	else if (id->ethertype == ETHERTYPE_IPV6)
		dissect_ipv6(&view, id);
}

uint32_t vs_flow_hash(struct vs_frame *frame, uint64_t key)
{
	if (frame->flow_hash == 0) {
		struct identity id = { .protocol = 0 };
		dissect(frame, &id);
		uint32_t hash = (uint32_t)XXH3_64bits_withSeed(&id, sizeof(id), key);
		frame->flow_hash = hash ? hash : 1;
	}
	return frame->flow_hash;
}
