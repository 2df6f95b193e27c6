/* Ethernet II / IEEE 802.3 frames and their 802.1Q tag, as far as a switch looks at them: addresses, the outer C-tag
 * and the type behind it. An 802.1ad S-tag (0x88a8) is a type like any other, as it is to every C-VLAN bridge, and of
 * two stacked C-tags only the outer one counts. Used by the rest of this room and by whoever prints or parses MAC
 * addresses. */
#ifndef VS_SWITCH_ETH_H
#define VS_SWITCH_ETH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "base/frame.h"

#define VS_ETH_HEADER_SIZE 14
#define VS_ETH_TAG_SIZE 4
#define VS_ETHERTYPE_CTAG 0x8100

/* Tag control information (802.1Q 9.6): PCP:3 DEI:1 VID:12. */
#define VS_TCI_VID 0x0fff

#define VS_VID_NONE 0   /* a priority tag, which names no VLAN */
#define VS_VID_MIN 1
#define VS_VID_MAX 4094 /* 4095 is reserved and never on the wire */

struct vs_mac {
	uint8_t octet[6];
};

/* What the switch reads from a frame. A copy: it stays valid when the frame's tag is changed. */
struct vs_eth {
	struct vs_mac dst, src;
	bool tagged;
	uint16_t tci;  /* 0 where not tagged */
	uint16_t type; /* behind the tag; below 0x600 a length (802.3) */
};

/* Reads the header of a frame. False: shorter than its header, or than the tag that it announces. */
bool vs_eth_parse(const uint8_t *frame, size_t len, struct vs_eth *out);

static inline bool vs_mac_equal(const struct vs_mac *a, const struct vs_mac *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* Multicast or broadcast. */
static inline bool vs_mac_is_group(const struct vs_mac *mac)
{
	return mac->octet[0] & 1;
}

bool vs_mac_is_zero(const struct vs_mac *mac);

/* 01:80:C2:00:00:00 to 0F: spoken between neighbours (STP, LACP, 802.1X, LLDP), never relayed by a bridge
 * (802.1D-2004 table 7-10). */
bool vs_mac_is_link_local(const struct vs_mac *mac);

/* "02:00:5e:10:00:01" and its NUL. */
#define VS_MAC_TEXT_SIZE 18

/* Writes the address in lower case; returns buf. */
const char *vs_mac_format(const struct vs_mac *mac, char buf[VS_MAC_TEXT_SIZE]);

/* Six pairs of hexadecimal digits with ':' or '-' between them, in either case. 0 or -EINVAL. */
int vs_mac_parse(const char *text, struct vs_mac *out) VS_MUST_CHECK;

/* The three below consume the caller's reference and return one to a frame with the change made: the same frame where
 * the reference was the only one and the headroom suffices, else a private copy from the pool, the caller's own. NULL:
 * no buffer for the copy; the caller's reference is given back all the same. */

/* Puts a C-tag in front of the type. */
struct vs_frame *vs_eth_push_tag(struct vs_pool *pool, struct vs_frame *frame, uint16_t tci) VS_MUST_CHECK;

/* Removes the outer C-tag, which must be there. */
struct vs_frame *vs_eth_pop_tag(struct vs_pool *pool, struct vs_frame *frame) VS_MUST_CHECK;

/* Overwrites the outer C-tag, which must be there. */
struct vs_frame *vs_eth_set_tag(struct vs_pool *pool, struct vs_frame *frame, uint16_t tci) VS_MUST_CHECK;

#endif
