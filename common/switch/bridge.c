#include "switch/bridge.h"

#include <errno.h>
#include <stdlib.h>

#include "switch/eth.h"
#include "switch/gso.h"

/* Not a reason: the frame may pass. */
#define PASS VS_DROP_COUNT

struct vs_bridge {
	struct vs_porttable *ports;
	struct vs_mactable *macs;
	uint64_t flooded, unicast;
	struct vs_drops drops;
};

/* The longest frame that this one is, or stands for, on the wire. */
static uint32_t wire_len(const struct vs_frame *frame)
{
	return frame->super ? vs_gso_longest(frame) : frame->len;
}

/* One frame on its way through. */
struct transit {
	struct vs_port *in;
	struct vs_frame *frame; /* owned; NULL once it is dropped or handed out */
	struct vs_eth eth;
	uint16_t vlan;
};

struct vs_bridge *vs_bridge_new(const struct vs_bridge_config *config)
{
	struct vs_mactable_config macs = {
		.entries = config->mac_entries,
		.aging_usec = config->aging_usec,
		.ports = config->ports_max,
		.hash_seed = config->hash_seed,
	};
	struct vs_bridge *bridge = calloc(1, sizeof(*bridge));
	if (!bridge)
		return NULL;
	bridge->ports = vs_porttable_new(config->ports_max);
	bridge->macs = vs_mactable_new(&macs);
	if (!bridge->ports || !bridge->macs) {
		vs_bridge_free(bridge);
		return NULL;
	}
	return bridge;
}

void vs_bridge_free(struct vs_bridge *bridge)
{
	if (!bridge)
		return;
	vs_porttable_free(bridge->ports);
	vs_mactable_free(bridge->macs);
	free(bridge);
}

int vs_bridge_port_add(struct vs_bridge *bridge, const struct vs_port_config *config, uint16_t *id)
{
	struct vs_port *port;
	int err = vs_porttable_add(bridge->ports, config, &port);
	if (err)
		return err;
	vs_mactable_reset_port(bridge->macs, port->id, config->mac_limit);
	*id = port->id;
	return 0;
}

int vs_bridge_port_configure(struct vs_bridge *bridge, uint16_t id, const struct vs_port_config *config, uint64_t now)
{
	struct vs_port *port = vs_porttable_get(bridge->ports, id);
	if (!port)
		return -ENOENT;
	bool same_vlans = vs_vlan_rule_equal(&port->config.vlan, &config->vlan);
	int err = vs_porttable_configure(bridge->ports, port, config);
	if (err)
		return err;
	if (!same_vlans)
		vs_mactable_flush_port(bridge->macs, id);
	vs_mactable_set_limit(bridge->macs, id, config->mac_limit, now);
	return 0;
}

void vs_bridge_port_set_up(struct vs_bridge *bridge, uint16_t id, bool up)
{
	struct vs_port *port = vs_porttable_get(bridge->ports, id);
	if (!port)
		return;
	vs_porttable_set_up(bridge->ports, port, up);
	if (!up)
		vs_mactable_flush_port(bridge->macs, id);
}

void vs_bridge_port_remove(struct vs_bridge *bridge, uint16_t id)
{
	struct vs_port *port = vs_porttable_get(bridge->ports, id);
	if (!port)
		return;
	vs_mactable_flush_port(bridge->macs, id);
	vs_porttable_remove(bridge->ports, port);
}

void vs_bridge_set_aging(struct vs_bridge *bridge, uint64_t aging_usec, uint64_t now)
{
	vs_mactable_set_aging(bridge->macs, aging_usec, now);
}

static void count_drop(struct vs_bridge *bridge, struct vs_port *port, enum vs_drop reason)
{
	vs_drop(&bridge->drops, reason);
	vs_drop(&port->counters.drops, reason);
}

/* Ends a frame's way. */
static void drop(struct vs_bridge *bridge, struct transit *t, enum vs_drop reason)
{
	count_drop(bridge, t->in, reason);
	vs_frame_unref(t->frame);
	t->frame = NULL;
}

/* Reads the frame and puts it into its VLAN; PASS, or why it may not enter. */
static enum vs_drop admit(struct transit *t)
{
	const struct vs_port_config *config = &t->in->config;

	if (!t->in->up)
		return VS_DROP_PORT_DOWN;
	if (!vs_eth_parse(vs_frame_cbytes(t->frame), t->frame->len, &t->eth))
		return VS_DROP_RUNT;
	if (wire_len(t->frame) > config->frame_max)
		return VS_DROP_GIANT;
	if (vs_mac_is_group(&t->eth.src) || vs_mac_is_zero(&t->eth.src))
		return VS_DROP_BAD_SOURCE;
	if (!vs_vlan_ingress(&config->vlan, &t->eth, &t->vlan))
		return VS_DROP_VLAN_FILTER;
	t->frame->vlan = t->vlan;
	return PASS;
}

/* Why this output port is not to have the frame; PASS: it is. */
static enum vs_drop judge_output(const struct transit *t, const struct vs_port *out)
{
	if (out == t->in)
		return VS_DROP_SAME_PORT;
	if (!out->up)
		return VS_DROP_PORT_DOWN;
	if (t->in->config.isolated && out->config.isolated)
		return VS_DROP_ISOLATED;
	if (vs_vlan_egress(&out->config.vlan, t->vlan) == VS_VLAN_REFUSED)
		return VS_DROP_VLAN_FILTER;
	return PASS;
}

/* Puts an output port on the list; its frame is filled in when all ports are known. */
static void select_port(const struct transit *t, const struct vs_port *port, struct vs_egress *out)
{
	enum vs_vlan_form form = vs_vlan_egress(&port->config.vlan, t->vlan);

	out->ports[out->count++] = (struct vs_egress_port){
		.id = port->id,
		.tagged = form == VS_VLAN_TAGGED || (form == VS_VLAN_UNCHANGED && t->eth.tagged),
	};
}

/* The port that the destination is known to be behind; NULL: to be flooded. */
static struct vs_port *known_port(const struct vs_bridge *bridge, const struct transit *t, uint64_t now)
{
	struct vs_mac_place place;

	if (vs_mac_is_group(&t->eth.dst))
		return NULL;
	if (!vs_mactable_lookup(bridge->macs, t->vlan, &t->eth.dst, now, &place))
		return NULL;
	struct vs_port *port = vs_porttable_get(bridge->ports, place.port);
	return port && port->generation == place.generation ? port : NULL;
}

/* Selects the destination's port, or says why not. */
static enum vs_drop select_known(struct vs_bridge *bridge, const struct transit *t, const struct vs_port *port,
				 struct vs_egress *out)
{
	enum vs_drop reason = judge_output(t, port);

	if (reason != PASS)
		return reason;
	select_port(t, port, out);
	t->in->counters.unicast++;
	bridge->unicast++;
	return PASS;
}

/* Selects every port that may have the frame. */
static enum vs_drop select_all(struct vs_bridge *bridge, const struct transit *t, struct vs_egress *out)
{
	struct vs_port *port = vs_porttable_next_up(bridge->ports, 0);

	for (; port; port = vs_porttable_next_up(bridge->ports, port->id + 1u))
		if (judge_output(t, port) == PASS)
			select_port(t, port, out);
	if (out->count == 0)
		return VS_DROP_NO_PORTS;
	t->in->counters.flooded++;
	bridge->flooded++;
	return PASS;
}

static enum vs_drop select_ports(struct vs_bridge *bridge, const struct transit *t, uint64_t now,
				 struct vs_egress *out)
{
	if (vs_mac_is_link_local(&t->eth.dst))
		return VS_DROP_LINK_LOCAL;
	const struct vs_port *known = known_port(bridge, t, now);
	return known ? select_known(bridge, t, known, out) : select_all(bridge, t, out);
}

/* The frame, whose reference is consumed, in the form with or without the tag of its VLAN; NULL: no buffer. */
static struct vs_frame *convert(const struct transit *t, struct vs_frame *frame, bool tagged)
{
	/* Only between transparent ports is there a VLAN 0, and they change nothing. */
	if (t->vlan == VS_VID_NONE)
		return frame;
	if (!tagged)
		return t->eth.tagged ? vs_eth_pop_tag(frame) : frame;
	if (!t->eth.tagged)
		return vs_eth_push_tag(frame, t->vlan);
	if ((t->eth.tci & VS_TCI_VID) == t->vlan)
		return frame;
	/* A priority tag, which now names the VLAN that the port stands for. */
	return vs_eth_set_tag(frame, (uint16_t)((t->eth.tci & ~VS_TCI_VID) | t->vlan));
}

/* Makes the forms that the selected ports need, forms[0] without and forms[1] with a tag, out of the frame. What is not
 * needed, or what there was no buffer for, is NULL. */
static void make_forms(struct transit *t, const struct vs_egress *out, struct vs_frame *forms[2])
{
	bool needed[2] = { false, false };

	for (uint32_t i = 0; i < out->count; i++)
		needed[out->ports[i].tagged] = true;
	bool have = t->eth.tagged;
	/* The other form first: while the frame itself is still needed, the second reference makes it a copy. */
	if (needed[!have])
		forms[!have] = convert(t, needed[have] ? vs_frame_ref(t->frame) : t->frame, !have);
	if (needed[have])
		forms[have] = convert(t, t->frame, have);
	t->frame = NULL;
}

/* Whether a port can send the frame; counts what it sends and what it cannot. */
static bool count_output(struct vs_bridge *bridge, struct vs_port *port, const struct vs_frame *frame)
{
	if (!frame) {
		count_drop(bridge, port, VS_DROP_NO_BUFFER);
		return false;
	}
	if (wire_len(frame) > port->config.frame_max) {
		count_drop(bridge, port, VS_DROP_GIANT);
		return false;
	}
	port->counters.frames_out++;
	port->counters.bytes_out += frame->len;
	return true;
}

/* Gives each selected port its reference; ports that cannot send the frame leave the list. */
static void hand_out(struct vs_bridge *bridge, struct transit *t, struct vs_egress *out)
{
	struct vs_frame *forms[2] = { NULL, NULL };
	uint32_t kept = 0;

	make_forms(t, out, forms);
	for (uint32_t i = 0; i < out->count; i++) {
		struct vs_egress_port *selected = &out->ports[i];
		struct vs_frame *frame = forms[selected->tagged];
		if (!count_output(bridge, vs_porttable_get(bridge->ports, selected->id), frame))
			continue;
		selected->frame = vs_frame_ref(frame);
		out->ports[kept++] = *selected;
	}
	out->count = kept;
	vs_frame_unref(forms[false]);
	vs_frame_unref(forms[true]);
}

void vs_bridge_input(struct vs_bridge *bridge, uint16_t port_id, struct vs_frame *frame, uint64_t now,
		     struct vs_egress *out)
{
	struct transit t = { .in = vs_porttable_get(bridge->ports, port_id), .frame = frame };

	out->count = 0;
	out->vlan = VS_VID_NONE;
	if (!t.in) { /* the frame was under way when its port was removed */
		vs_drop(&bridge->drops, VS_DROP_PORT_DOWN);
		vs_frame_unref(frame);
		return;
	}
	t.in->counters.frames_in++;
	t.in->counters.bytes_in += frame->len;

	enum vs_drop reason = admit(&t);
	if (reason != PASS) {
		drop(bridge, &t, reason);
		return;
	}
	out->vlan = t.vlan;
	struct vs_mac_place place = { .port = t.in->id, .generation = t.in->generation };
	vs_mactable_learn(bridge->macs, t.vlan, &t.eth.src, place, now);

	reason = select_ports(bridge, &t, now, out);
	if (reason != PASS) {
		drop(bridge, &t, reason);
		return;
	}
	hand_out(bridge, &t, out);
}

void vs_egress_release(struct vs_egress *egress)
{
	for (uint32_t i = 0; i < egress->count; i++)
		vs_frame_unref(egress->ports[i].frame);
	egress->count = 0;
}

const struct vs_porttable *vs_bridge_ports(const struct vs_bridge *bridge)
{
	return bridge->ports;
}

const struct vs_mactable *vs_bridge_macs(const struct vs_bridge *bridge)
{
	return bridge->macs;
}

void vs_bridge_stats(struct vs_bridge *bridge, uint64_t now, struct vs_bridge_stats *out)
{
	vs_mactable_age(bridge->macs, now);
	*out = (struct vs_bridge_stats){
		.flooded = bridge->flooded,
		.unicast = bridge->unicast,
		.drops = bridge->drops,
		.macs = *vs_mactable_stats(bridge->macs),
	};
}
