#include "switch/bridge.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/gso.h"
#include "switch/eth.h"

/* Not a reason: the frame may pass. */
#define PASS VS_DROP_COUNT

/* What a worker writes is on cache lines of its own. */
struct worker {
	_Alignas(VS_CACHE_LINE) struct vs_bridge_stats stats;
};

struct vs_bridge {
	struct vs_porttable *ports;
	struct vs_mactable *macs;
	struct worker *workers;
};

/* The longest frame that this one is, or stands for, on the wire. */
static uint32_t wire_len(const struct vs_frame *frame)
{
	return frame->super ? vs_gso_longest(frame) : frame->len;
}

/* One frame on its way through. */
struct transit {
	struct vs_port *in; /* NULL: it has come from another worker */
	struct vs_frame *frame; /* owned; NULL once it is dropped or handed out */
	struct vs_pool *pool;
	struct vs_bridge_stats *stats; /* of the worker that this is */
	unsigned worker;
	uint16_t in_id;
	bool isolated;
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
	bridge->ports = vs_porttable_new(config->ports_max, config->workers);
	bridge->macs = vs_mactable_new(&macs);
	bridge->workers = aligned_alloc(_Alignof(struct worker), config->workers * sizeof(struct worker));
	if (!bridge->ports || !bridge->macs || !bridge->workers) {
		vs_bridge_free(bridge);
		return NULL;
	}
	memset(bridge->workers, 0, config->workers * sizeof(struct worker));
	return bridge;
}

void vs_bridge_free(struct vs_bridge *bridge)
{
	if (!bridge)
		return;
	vs_porttable_free(bridge->ports);
	vs_mactable_free(bridge->macs);
	free(bridge->workers);
	free(bridge);
}

int vs_bridge_port_add(struct vs_bridge *bridge, const struct vs_port_config *config, unsigned worker, uint16_t *id)
{
	struct vs_port *port;
	int err = vs_porttable_add(bridge->ports, config, worker, &port);
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
	bool same_vlans = vs_vlan_rule_equal(&vs_port_config_of(port)->vlan, &config->vlan);
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

void vs_bridge_reclaim(struct vs_bridge *bridge)
{
	vs_porttable_reclaim(bridge->ports);
}

void vs_bridge_set_aging(struct vs_bridge *bridge, uint64_t aging_usec, uint64_t now)
{
	vs_mactable_set_aging(bridge->macs, aging_usec, now);
}

/* --- The decision, at the worker of the port that the frame came in by --- */

static void count_drop(struct vs_bridge_stats *stats, struct vs_port *port, enum vs_drop reason)
{
	vs_drop(&stats->drops, reason);
	vs_drop(&port->counters.drops, reason);
}

/* Reads the frame and puts it into its VLAN; PASS, or why it may not enter. */
static enum vs_drop admit(struct transit *t)
{
	const struct vs_port_config *config = vs_port_config_of(t->in);

	if (!vs_port_is_up(t->in))
		return VS_DROP_PORT_DOWN;
	if (!vs_eth_parse(vs_frame_cbytes(t->frame), t->frame->len, &t->eth))
		return VS_DROP_RUNT;
	if (wire_len(t->frame) > config->frame_max)
		return VS_DROP_GIANT;
	if (vs_mac_is_group(&t->eth.src) || vs_mac_is_zero(&t->eth.src))
		return VS_DROP_BAD_SOURCE;
	if (!vs_vlan_ingress(&config->vlan, &t->eth, &t->vlan))
		return VS_DROP_VLAN_FILTER;
	t->isolated = config->isolated;
	t->frame->vlan = t->vlan;
	return PASS;
}

/* Why this output port is not to have the frame; PASS: it is, with a tag or without. */
static enum vs_drop judge_output(const struct transit *t, const struct vs_port *out, bool *tagged)
{
	const struct vs_port_config *config = vs_port_config_of(out);

	if (out->id == t->in_id)
		return VS_DROP_SAME_PORT;
	if (!vs_port_is_up(out))
		return VS_DROP_PORT_DOWN;
	if (t->isolated && config->isolated)
		return VS_DROP_ISOLATED;
	enum vs_vlan_form form = vs_vlan_egress(&config->vlan, t->vlan);
	if (form == VS_VLAN_REFUSED)
		return VS_DROP_VLAN_FILTER;
	*tagged = form == VS_VLAN_TAGGED || (form == VS_VLAN_UNCHANGED && t->eth.tagged);
	return PASS;
}

/* Puts an output port on the list; its frame is filled in when all ports are known. */
static void select_port(const struct vs_port *port, bool tagged, struct vs_egress *out)
{
	out->ports[out->count++] = (struct vs_egress_port){ .id = port->id, .tagged = tagged };
}

/* Notes that other workers are to have the frame, for one of their ports or for all. */
static void cross(const struct transit *t, uint64_t workers, uint16_t to, uint16_t to_generation, struct vs_egress *out)
{
	out->elsewhere = workers;
	out->crossing = (struct vs_crossing){
		.frame = t->frame,
		.in = t->in_id,
		.to = to,
		.to_generation = to_generation,
		.vlan = t->vlan,
		.tci = t->eth.tci,
		.tagged = t->eth.tagged,
		.isolated = t->isolated,
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
static enum vs_drop select_known(const struct transit *t, const struct vs_port *port, struct vs_egress *out)
{
	bool tagged;
	enum vs_drop reason = judge_output(t, port, &tagged);

	if (reason != PASS)
		return reason;
	if (port->worker == t->worker)
		select_port(port, tagged, out);
	else
		cross(t, UINT64_C(1) << port->worker, port->id, port->generation, out);
	t->in->counters.unicast++;
	t->stats->unicast++;
	return PASS;
}

/* Selects every port of this worker that may have the frame. */
static void select_own(const struct vs_bridge *bridge, const struct transit *t, struct vs_egress *out)
{
	struct vs_port *port = vs_porttable_next_up(bridge->ports, t->worker, 0);
	bool tagged;

	for (; port; port = vs_porttable_next_up(bridge->ports, t->worker, port->id + 1u))
		if (judge_output(t, port, &tagged) == PASS)
			select_port(port, tagged, out);
}

/* Whether any port of a worker may have the frame. */
static bool is_wanted_by(const struct vs_bridge *bridge, const struct transit *t, unsigned worker)
{
	struct vs_port *port = vs_porttable_next_up(bridge->ports, worker, 0);
	bool tagged;

	while (port && judge_output(t, port, &tagged) != PASS)
		port = vs_porttable_next_up(bridge->ports, worker, port->id + 1u);
	return port != NULL;
}

/* Selects every port that may have the frame. */
static enum vs_drop select_all(const struct vs_bridge *bridge, const struct transit *t, struct vs_egress *out)
{
	unsigned workers = vs_porttable_workers(bridge->ports);
	uint64_t elsewhere = 0;

	select_own(bridge, t, out);
	for (unsigned worker = 0; worker < workers; worker++)
		if (worker != t->worker && is_wanted_by(bridge, t, worker))
			elsewhere |= UINT64_C(1) << worker;
	if (elsewhere)
		cross(t, elsewhere, VS_CROSSING_ALL, 0, out);
	if (out->count == 0 && !elsewhere)
		return VS_DROP_NO_PORTS;
	t->in->counters.flooded++;
	t->stats->flooded++;
	return PASS;
}

static enum vs_drop select_ports(const struct vs_bridge *bridge, const struct transit *t, uint64_t now,
				 struct vs_egress *out)
{
	if (vs_mac_is_link_local(&t->eth.dst))
		return VS_DROP_LINK_LOCAL;
	const struct vs_port *known = known_port(bridge, t, now);
	return known ? select_known(t, known, out) : select_all(bridge, t, out);
}

/* --- The forms in which it leaves, at the worker of the ports that it leaves by --- */

/* The frame, whose reference is consumed, in the form with or without the tag of its VLAN; NULL: no buffer. */
static struct vs_frame *convert(const struct transit *t, struct vs_frame *frame, bool tagged)
{
	/* Only between transparent ports is there a VLAN 0, and they change nothing. */
	if (t->vlan == VS_VID_NONE)
		return frame;
	if (!tagged)
		return t->eth.tagged ? vs_eth_pop_tag(t->pool, frame) : frame;
	if (!t->eth.tagged)
		return vs_eth_push_tag(t->pool, frame, t->vlan);
	if ((t->eth.tci & VS_TCI_VID) == t->vlan)
		return frame;
	/* A priority tag, which now names the VLAN that the port stands for. */
	return vs_eth_set_tag(t->pool, frame, (uint16_t)((t->eth.tci & ~VS_TCI_VID) | t->vlan));
}

/* A form, and how many ports are to send it. */
struct form {
	struct vs_frame *frame; /* NULL: there was no buffer for it */
	uint32_t uses;
};

/* Makes the forms that the selected ports need, forms[0] without and forms[1] with a tag, out of the frame. */
static void make_forms(struct transit *t, const struct vs_egress *out, struct form forms[2])
{
	for (uint32_t i = 0; i < out->count; i++)
		forms[out->ports[i].tagged].uses++;
	bool have = t->eth.tagged;
	/* The other form first: while the frame itself is still needed, the second reference makes it a copy. */
	if (forms[!have].uses)
		forms[!have].frame = convert(t, forms[have].uses ? vs_frame_ref(t->frame) : t->frame, !have);
	if (forms[have].uses)
		forms[have].frame = convert(t, t->frame, have);
	t->frame = NULL;
}

/* One reference of so many, the last of which is the form's own. */
static struct vs_frame *take_reference(struct form *form)
{
	struct vs_frame *frame = form->frame;

	if (--form->uses)
		return vs_frame_ref(frame);
	form->frame = NULL;
	return frame;
}

/* Whether a port can send the frame; counts what it sends and what it cannot. */
static bool count_output(struct vs_bridge_stats *stats, struct vs_port *port, const struct vs_frame *frame)
{
	if (!frame) {
		count_drop(stats, port, VS_DROP_NO_BUFFER);
		return false;
	}
	if (wire_len(frame) > vs_port_config_of(port)->frame_max) {
		count_drop(stats, port, VS_DROP_GIANT);
		return false;
	}
	port->counters.frames_out++;
	port->counters.bytes_out += frame->len;
	return true;
}

/* Gives each selected port its reference; ports that cannot send the frame, or have gone since, leave the list. */
static void hand_out(struct vs_bridge *bridge, struct transit *t, struct vs_egress *out)
{
	struct form forms[2] = { 0 };
	uint32_t kept = 0;

	make_forms(t, out, forms);
	for (uint32_t i = 0; i < out->count; i++) {
		struct vs_egress_port *selected = &out->ports[i];
		struct vs_port *port = vs_porttable_get(bridge->ports, selected->id);
		struct form *form = &forms[selected->tagged];
		if (!port || !count_output(t->stats, port, form->frame)) {
			form->uses--;
			continue;
		}
		selected->frame = take_reference(form);
		out->ports[kept++] = *selected;
	}
	out->count = kept;
	vs_frame_unref(forms[false].frame);
	vs_frame_unref(forms[true].frame);
}

/* Ends the decision: the frame's reference, and as many more as are needed, go to the list and the crossings. */
static void finish(struct vs_bridge *bridge, struct transit *t, struct vs_egress *out)
{
	uint64_t rest = out->elsewhere;

	if (rest && !out->count)
		rest &= rest - 1; /* this one takes ours */
	for (; rest; rest &= rest - 1)
		vs_frame_ref(t->frame);
	if (out->count)
		hand_out(bridge, t, out);
	else if (!out->elsewhere)
		vs_frame_unref(t->frame);
}

static enum vs_drop decide(struct vs_bridge *bridge, struct transit *t, uint64_t now, struct vs_egress *out)
{
	enum vs_drop reason = admit(t);

	if (reason != PASS)
		return reason;
	out->vlan = t->vlan;
	struct vs_mac_place place = { .port = t->in->id, .generation = t->in->generation };
	vs_mactable_learn(bridge->macs, t->vlan, &t->eth.src, place, now);
	return select_ports(bridge, t, now, out);
}

static void start(struct vs_egress *out)
{
	out->count = 0;
	out->vlan = VS_VID_NONE;
	out->elsewhere = 0;
}

void vs_bridge_input(struct vs_bridge *bridge, unsigned worker, uint16_t port_id, struct vs_frame *frame, uint64_t now,
		     struct vs_egress *out)
{
	struct vs_port *in = vs_porttable_get(bridge->ports, port_id);
	struct transit t = {
		.in = in,
		.in_id = port_id,
		.frame = frame,
		.pool = frame->pool,
		.worker = worker,
		.stats = &bridge->workers[worker].stats,
	};

	start(out);
	if (!in) { /* the frame was under way when its port was removed */
		vs_drop(&t.stats->drops, VS_DROP_PORT_DOWN);
		vs_frame_unref(frame);
		return;
	}
	assert(in->worker == worker);
	in->counters.frames_in++;
	in->counters.bytes_in += frame->len;
	enum vs_drop reason = decide(bridge, &t, now, out);
	if (reason == PASS) {
		finish(bridge, &t, out);
		return;
	}
	count_drop(t.stats, in, reason);
	vs_frame_unref(frame);
}

void vs_bridge_arrive(struct vs_bridge *bridge, unsigned worker, struct vs_pool *pool,
		      const struct vs_crossing *crossing, struct vs_egress *out)
{
	struct transit t = {
		.in_id = crossing->in,
		.frame = crossing->frame,
		.pool = pool,
		.worker = worker,
		.stats = &bridge->workers[worker].stats,
		.isolated = crossing->isolated,
		.eth = { .tagged = crossing->tagged, .tci = crossing->tci },
		.vlan = crossing->vlan,
	};

	start(out);
	out->vlan = t.vlan;
	if (crossing->to == VS_CROSSING_ALL) {
		select_own(bridge, &t, out);
	} else {
		const struct vs_port *port = vs_porttable_get(bridge->ports, crossing->to);
		bool tagged;
		if (port && port->generation == crossing->to_generation && judge_output(&t, port, &tagged) == PASS)
			select_port(port, tagged, out);
	}
	if (!out->count) /* its ports have gone, or changed, on the way */
		vs_drop(&t.stats->drops, VS_DROP_PORT_DOWN);
	finish(bridge, &t, out);
}

void vs_egress_release(struct vs_egress *egress)
{
	for (uint32_t i = 0; i < egress->count; i++)
		vs_frame_unref(egress->ports[i].frame);
	for (uint64_t rest = egress->elsewhere; rest; rest &= rest - 1)
		vs_frame_unref(egress->crossing.frame);
	egress->count = 0;
	egress->elsewhere = 0;
}

const struct vs_porttable *vs_bridge_ports(const struct vs_bridge *bridge)
{
	return bridge->ports;
}

struct vs_mactable *vs_bridge_macs(struct vs_bridge *bridge)
{
	return bridge->macs;
}

const struct vs_port_counters *vs_bridge_port_counters(const struct vs_bridge *bridge, uint16_t id)
{
	const struct vs_port *port = vs_porttable_get(bridge->ports, id);

	return port ? &port->counters : NULL;
}

const struct vs_bridge_stats *vs_bridge_stats(const struct vs_bridge *bridge, unsigned worker)
{
	return &bridge->workers[worker].stats;
}
