/* The VLANs of a port: which of them it carries, and whether with a tag (IEEE 802.1Q clauses 6.9 and 8.6). Pure
 * functions of a rule and a tag; the bridge applies them, the programs parse and print them.
 *
 * Inside the switch each frame is in exactly one VLAN. VLAN 0 is the plain LAN: what is sent without a tag between
 * transparent ports. How the three kinds of port combine:
 *
 *   port                 takes in                               sends out
 *   transparent          no tag, or VID 0: VLAN 0, unchanged    VLAN 0: unchanged (a priority tag stays)
 *                        VID n: VLAN n                          VLAN n: tagged n
 *   access n             no tag, VID 0 or VID n: VLAN n         VLAN n: untagged
 *   trunk LIST           VID n in LIST: VLAN n                  VLAN n in LIST: tagged n
 *   trunk LIST native n  besides, no tag or VID 0: VLAN n       besides, VLAN n: untagged
 *
 * Everything else is refused. So a transparent port is a trunk of all VLANs, and it exchanges untagged frames with
 * other transparent ports only. A priority survives (PCP and DEI) for as long as a tag is there to carry it. */
#ifndef VS_SWITCH_VLAN_H
#define VS_SWITCH_VLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "switch/eth.h"

/* A set of VIDs, one bit each. All zero: empty. */
struct vs_vlan_set {
	uint64_t bits[4096 / 64];
};

enum vs_vlan_mode {
	VS_VLAN_TRANSPARENT,
	VS_VLAN_ACCESS,
	VS_VLAN_TRUNK,
};

/* All zero: transparent. */
struct vs_vlan_rule {
	enum vs_vlan_mode mode;
	uint16_t vid;               /* access: its VLAN; trunk: the native VLAN, 0: none; transparent: 0 */
	struct vs_vlan_set members; /* trunk: its VLANs; the native one need not be among them */
};

/* How a port sends the frames of a VLAN. */
enum vs_vlan_form {
	VS_VLAN_REFUSED,   /* not at all: the port is not a member */
	VS_VLAN_UNCHANGED, /* as they came (VLAN 0 only) */
	VS_VLAN_UNTAGGED,
	VS_VLAN_TAGGED,
};

static inline void vs_vlan_set_add(struct vs_vlan_set *set, uint16_t vid)
{
	set->bits[vid / 64] |= UINT64_C(1) << vid % 64;
}

static inline bool vs_vlan_set_has(const struct vs_vlan_set *set, uint16_t vid)
{
	return set->bits[vid / 64] >> vid % 64 & 1;
}

/* Parses "10, 20, 100-199": VIDs from 1 to 4094, at least one. 0, or -EINVAL (*out is then unchanged). */
int vs_vlan_set_parse(const char *text, struct vs_vlan_set *out) VS_MUST_CHECK;

/* Writes "10,20,100-199", cut where `size` bytes do not suffice; always NUL-terminated. Returns buf. size > 0. */
const char *vs_vlan_set_format(const struct vs_vlan_set *set, char *buf, size_t size);

/* Whether the rule can be applied: VIDs in range, and those present that the mode needs. 0 or -EINVAL. */
int vs_vlan_rule_check(const struct vs_vlan_rule *rule) VS_MUST_CHECK;

/* Whether both rules treat every frame alike. */
bool vs_vlan_rule_equal(const struct vs_vlan_rule *a, const struct vs_vlan_rule *b);

/* Puts a frame that arrived on a port into its VLAN. False: the port refuses it. */
bool vs_vlan_ingress(const struct vs_vlan_rule *rule, const struct vs_eth *eth, uint16_t *vlan);

enum vs_vlan_form vs_vlan_egress(const struct vs_vlan_rule *rule, uint16_t vlan);

#endif
