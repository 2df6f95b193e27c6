/* The forwarding decision of a switch: a frame that came in at a port becomes a list of ports to send it from
 * (IEEE 802.1D-2004 7.7, IEEE 802.1Q-2018 8.6). The bridge owns the port table and the MAC table. The server runs one
 * between its links and its own TAP ports, the client one between its TAP and its link.
 *
 * Several workers may forward through one bridge at the same time. A port belongs to one worker (switch/porttable.h);
 * the decision is made by the worker of the port that the frame came in by, and what the frame needs on its way out
 * (its tag, its count) is done by the worker of the port that it leaves by. A frame for ports of other workers is handed
 * out as a crossing, one for each of these workers, which its owner brings there; vs_bridge_arrive() then selects that
 * worker's ports. A frame is decided upon by the configuration at the time, twice if it crosses.
 *
 * How it works
 *
 * A frame is dropped, under the first reason that applies, if it comes from a port that is not up, is shorter than its
 * header, is longer than the port takes, has a group or zero source address, or belongs to no VLAN that the port
 * carries (switch/vlan.h). Its source is then learned. Frames to the link-local group addresses end here.
 *
 * What remains goes to the port that its destination was last heard from in that VLAN; with a group address, or one
 * that is not known, to every port. In both cases only to ports that are up, that carry the VLAN and, from an isolated
 * port, that are not isolated; and never back to the port that it came from.
 *
 * A frame leaves in at most two forms, with a tag and without one, each made once however many ports send it: flooding
 * costs references, and one copy if both forms are needed. A frame that is needed in one form only is changed in place.
 *
 * When a port's link goes down its addresses are forgotten: the stations behind it may come back by another port, and
 * until they are heard from, flooding finds them.
 *
 * Counting. A frame that goes nowhere is counted once, at the port that it came in by. What one of several output
 * ports cannot take (GIANT, NO_BUFFER) is counted at that output port. The bridge's own counts, by worker, are the sums
 * of all ports, those since removed included, and of crossings whose port has gone or changed meanwhile.
 *
 * Threads. One thread, the owner, makes and changes ports; vs_bridge_input() and vs_bridge_arrive() are called by the
 * workers and never wait for the owner or for each other. */
#ifndef VS_SWITCH_BRIDGE_H
#define VS_SWITCH_BRIDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/drop.h"
#include "base/frame.h"
#include "switch/mactable.h"
#include "switch/porttable.h"

struct vs_bridge_config {
	uint16_t ports_max;   /* 1 to VS_PORTS_MAX */
	uint8_t workers;      /* 1 to VS_WORKERS_MAX */
	uint32_t mac_entries; /* VS_MAC_ENTRIES_MIN to VS_MAC_ENTRIES_MAX */
	uint64_t aging_usec;  /* VS_MAC_AGING_MIN to VS_MAC_AGING_MAX */
	uint64_t hash_seed;   /* random, secret */
};

/* All but the seed. */
#define VS_BRIDGE_CONFIG_DEFAULT                                                              \
	{ .ports_max = VS_PORTS_DEFAULT, .workers = 1, .mac_entries = VS_MAC_ENTRIES_DEFAULT, \
	  .aging_usec = VS_MAC_AGING_DEFAULT }

struct vs_egress_port {
	uint16_t id;
	bool tagged;            /* in the form with a C-tag */
	struct vs_frame *frame; /* a reference of its own */
};

/* A frame on its way to the ports of another worker. Plain: it may be copied, but stands for one reference. */
struct vs_crossing {
	struct vs_frame *frame;
	uint16_t in; /* the port that it came in by */
	uint16_t to; /* the port of its destination; VS_CROSSING_ALL: every one of its VLAN */
	uint16_t to_generation;
	uint16_t vlan;
	uint16_t tci; /* of the tag that it bears, if `tagged` */
	bool tagged;
	bool isolated; /* it came from an isolated port */
};

#define VS_CROSSING_ALL UINT16_MAX

/* Where one frame goes. 64 KiB: keep one and use it again; it needs no initialisation. */
struct vs_egress {
	uint32_t count;
	uint16_t vlan;      /* that the frame was put into */
	uint64_t elsewhere; /* the workers (bit n: worker n) that are to have the crossing */
	struct vs_crossing crossing; /* with a reference for each of them */
	struct vs_egress_port ports[VS_PORTS_MAX]; /* of the worker that asked */
};

/* One worker's. */
struct vs_bridge_stats {
	uint64_t flooded; /* frames sent to all ports of their VLAN */
	uint64_t unicast; /* frames sent to the one port of their destination */
	struct vs_drops drops;
};

struct vs_bridge;

/* NULL: out of memory. The values must be in range (asserted). */
struct vs_bridge *vs_bridge_new(const struct vs_bridge_config *config);
void vs_bridge_free(struct vs_bridge *bridge);

/* --- For the owner ------------------------------------------------------------------------------------------------ */

/* Adds a port of a worker's, down; *id receives its number. Errors as vs_porttable_add(). */
int vs_bridge_port_add(struct vs_bridge *bridge, const struct vs_port_config *config, unsigned worker, uint16_t *id)
	VS_MUST_CHECK;

/* Gives a port another configuration while it runs. A change of VLANs makes it forget its addresses. -ENOENT: no such
 * port; else as vs_porttable_configure(). */
int vs_bridge_port_configure(struct vs_bridge *bridge, uint16_t id, const struct vs_port_config *config, uint64_t now)
	VS_MUST_CHECK;

/* The link of a port has come up or gone down; also from the port's worker. A port that does not exist is left alone,
 * here and below. */
void vs_bridge_port_set_up(struct vs_bridge *bridge, uint16_t id, bool up);

/* Removes a port and its addresses. Its worker has stopped taking frames from it. */
void vs_bridge_port_remove(struct vs_bridge *bridge, uint16_t id);

/* As vs_porttable_reclaim(): to be called every now and then after ports were changed or removed. */
void vs_bridge_reclaim(struct vs_bridge *bridge);

void vs_bridge_set_aging(struct vs_bridge *bridge, uint64_t aging_usec, uint64_t now);

/* Borrowed, valid for as long as the bridge. */
const struct vs_porttable *vs_bridge_ports(const struct vs_bridge *bridge);
struct vs_mactable *vs_bridge_macs(struct vs_bridge *bridge);

/* --- For the workers ---------------------------------------------------------------------------------------------- */

/* Decides where a frame goes that came in at a port of `worker`, whose pool it is from. Takes over the caller's
 * reference to the frame and sets frame->vlan. Each entry of *out owns a reference, which passes to the caller, and so
 * does the crossing for each worker in `elsewhere`; both are empty where the frame was dropped. A frame in several
 * entries is read-only, as any that is shared. */
void vs_bridge_input(struct vs_bridge *bridge, unsigned worker, uint16_t port_id, struct vs_frame *frame, uint64_t now,
		     struct vs_egress *out);

/* The same for a crossing that has come to `worker`, whose reference it takes over: out->ports are that worker's. Other
 * forms of the frame come from its pool. */
void vs_bridge_arrive(struct vs_bridge *bridge, unsigned worker, struct vs_pool *pool,
		      const struct vs_crossing *crossing, struct vs_egress *out);

/* Gives back the references of a list that is not going to be sent, and empties it. */
void vs_egress_release(struct vs_egress *egress);

/* Of a port of the calling worker; NULL: no such port. */
const struct vs_port_counters *vs_bridge_port_counters(const struct vs_bridge *bridge, uint16_t id);

/* Of the calling worker, since the start. */
const struct vs_bridge_stats *vs_bridge_stats(const struct vs_bridge *bridge, unsigned worker);

#endif
