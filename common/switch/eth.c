#include "switch/eth.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/gso.h"

#define ADDRESSES_SIZE 12 /* destination and source, which stay in front of the tag */

bool vs_eth_parse(const uint8_t *frame, size_t len, struct vs_eth *out)
{
	struct vs_view view = vs_view_of(frame, len);

	vs_view_copy(&view, &out->dst, sizeof(out->dst));
	vs_view_copy(&view, &out->src, sizeof(out->src));
	out->type = vs_view_be16(&view);
	out->tagged = out->type == VS_ETHERTYPE_CTAG;
	out->tci = 0;
	if (out->tagged) {
		out->tci = vs_view_be16(&view);
		out->type = vs_view_be16(&view);
	}
	return vs_view_ok(&view);
}

bool vs_mac_is_zero(const struct vs_mac *mac)
{
	static const struct vs_mac zero;

	return vs_mac_equal(mac, &zero);
}

bool vs_mac_is_link_local(const struct vs_mac *mac)
{
	static const uint8_t prefix[5] = { 0x01, 0x80, 0xc2, 0x00, 0x00 };

	return memcmp(mac->octet, prefix, sizeof(prefix)) == 0 && mac->octet[5] <= 0x0f;
}

const char *vs_mac_format(const struct vs_mac *mac, char buf[VS_MAC_TEXT_SIZE])
{
	const uint8_t *o = mac->octet;

	snprintf(buf, VS_MAC_TEXT_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", o[0], o[1], o[2], o[3], o[4], o[5]);
	return buf;
}

/* The value of a hexadecimal digit in any locale; -1: it is none. */
static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int vs_mac_parse(const char *text, struct vs_mac *out)
{
	struct vs_mac mac;

	if (strlen(text) != VS_MAC_TEXT_SIZE - 1)
		return -EINVAL;
	for (unsigned i = 0; i < sizeof(mac.octet); i++, text += 3) {
		int high = hex_digit(text[0]);
		int low = hex_digit(text[1]);
		bool last = i == sizeof(mac.octet) - 1;

		if (high < 0 || low < 0 || (!last && text[2] != ':' && text[2] != '-'))
			return -EINVAL;
		mac.octet[i] = (uint8_t)(high << 4 | low);
	}
	*out = mac;
	return 0;
}

/* Trades the reference for one to a frame that may be written and has the headroom. */
static struct vs_frame *make_writable(struct vs_pool *pool, struct vs_frame *frame, uint32_t headroom)
{
	if (vs_likely(!vs_frame_is_shared(frame) && frame->offset >= headroom))
		return frame;
	struct vs_frame *copy = vs_frame_copy(pool, frame);
	vs_frame_unref(frame);
	return copy;
}

static bool has_tag(const struct vs_frame *frame)
{
	return frame->len >= VS_ETH_HEADER_SIZE + VS_ETH_TAG_SIZE &&
	       vs_get_be16(vs_frame_cbytes(frame) + ADDRESSES_SIZE) == VS_ETHERTYPE_CTAG;
}

/* A super-frame's header names offsets in the frame, which a tag moves. */
static void shift_offsets(struct vs_frame *frame, int bytes)
{
	struct vs_vnet vnet;

	if (vs_likely(!frame->super))
		return;
	vs_vnet_decode(frame->vnet, &vnet);
	vnet.hdr_len = (uint16_t)(vnet.hdr_len + bytes);
	vnet.csum_start = (uint16_t)(vnet.csum_start + bytes);
	vs_vnet_encode(&vnet, frame->vnet);
}

struct vs_frame *vs_eth_push_tag(struct vs_pool *pool, struct vs_frame *frame, uint16_t tci)
{
	assert(frame->len >= VS_ETH_HEADER_SIZE);
	frame = make_writable(pool, frame, VS_ETH_TAG_SIZE);
	if (!frame)
		return NULL;
	uint8_t *old = vs_frame_bytes(frame);
	frame->offset -= VS_ETH_TAG_SIZE;
	frame->len += VS_ETH_TAG_SIZE;
	uint8_t *bytes = vs_frame_bytes(frame);
	memmove(bytes, old, ADDRESSES_SIZE);
	vs_put_be16(bytes + ADDRESSES_SIZE, VS_ETHERTYPE_CTAG);
	vs_put_be16(bytes + ADDRESSES_SIZE + 2, tci);
	shift_offsets(frame, VS_ETH_TAG_SIZE);
	return frame;
}

struct vs_frame *vs_eth_pop_tag(struct vs_pool *pool, struct vs_frame *frame)
{
	assert(has_tag(frame));
	frame = make_writable(pool, frame, 0);
	if (!frame)
		return NULL;
	uint8_t *old = vs_frame_bytes(frame);
	frame->offset += VS_ETH_TAG_SIZE;
	frame->len -= VS_ETH_TAG_SIZE;
	memmove(vs_frame_bytes(frame), old, ADDRESSES_SIZE);
	shift_offsets(frame, -VS_ETH_TAG_SIZE);
	return frame;
}

struct vs_frame *vs_eth_set_tag(struct vs_pool *pool, struct vs_frame *frame, uint16_t tci)
{
	assert(has_tag(frame));
	frame = make_writable(pool, frame, 0);
	if (frame)
		vs_put_be16(vs_frame_bytes(frame) + ADDRESSES_SIZE + 2, tci);
	return frame;
}
