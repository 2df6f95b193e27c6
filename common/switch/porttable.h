/* The ports of a switch: what each is configured to be, whether its link is up, and what it has counted.
 *
 * A port has a small number, its id, which is reused when the port is removed; the generation tells the ports of one
 * number apart. Changing a port through this table says nothing to the MAC table: the bridge, which owns both, has
 * functions of the same names that do.
 *
 * How it works under threads
 *
 * Each port belongs to one worker, the only thread that takes frames from it and sends frames out of it. One thread,
 * the table's owner, changes the table; any worker may read it at any time, without a lock: vs_porttable_get(),
 * vs_porttable_next_up(), vs_port_config_of(), vs_port_is_up(). What a worker has read stays valid until it is done with
 * the frame at hand. So what the owner takes out of the table (a port, a configuration that was replaced) is set aside,
 * and freed by vs_porttable_reclaim() once every worker has been between two frames since (quiescent-state-based
 * reclamation: McKenney and Slingwine, "Read-Copy Update", 1998). The counters are the port's worker's; only there may
 * they be read. */
#ifndef VS_SWITCH_PORTTABLE_H
#define VS_SWITCH_PORTTABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/drop.h"
#include "switch/vlan.h"

#define VS_PORTS_MAX 4096
#define VS_PORTS_DEFAULT 1024
#define VS_PORT_NAME_SIZE 64 /* with its NUL */

/* A set of workers is one word. */
#define VS_WORKERS_MAX 64

/* MTU 9000, header, two tags. */
#define VS_PORT_FRAME_MAX_DEFAULT 9022
/* The least that 802.3 allows a port to be limited to: 1500 and a header. */
#define VS_PORT_FRAME_MAX_LEAST 1514

struct vs_port_config {
	char name[VS_PORT_NAME_SIZE]; /* unique, not empty */
	struct vs_vlan_rule vlan;
	bool isolated;      /* exchanges frames only with ports that are not */
	uint32_t mac_limit; /* MAC table entries that it may own; 0: no limit of its own */
	uint32_t frame_max; /* bytes of the longest frame, tags included, in either direction */
};

#define VS_PORT_CONFIG_DEFAULT { .frame_max = VS_PORT_FRAME_MAX_DEFAULT }

struct vs_port_counters {
	uint64_t frames_in, bytes_in;   /* all that arrived, dropped ones too */
	uint64_t frames_out, bytes_out; /* handed out for this port to send */
	uint64_t flooded, unicast;      /* frames that came in here and left by flooding, or to one known port */
	struct vs_drops drops;
};

struct vs_port {
	uint16_t id;
	uint16_t generation;
	uint8_t worker;
	_Atomic(bool) up;
	_Atomic(const struct vs_port_config *) config;
	struct vs_port *next_retired;
	/* Away from what other workers read. */
	_Alignas(VS_CACHE_LINE) struct vs_port_counters counters;
};

static inline const struct vs_port_config *vs_port_config_of(const struct vs_port *port)
{
	return atomic_load_explicit(&port->config, memory_order_acquire);
}

static inline bool vs_port_is_up(const struct vs_port *port)
{
	return atomic_load_explicit(&port->up, memory_order_acquire);
}

struct vs_porttable;

/* A table for ports with ids from 0 to ports_max - 1 of workers from 0 to workers - 1; 1 <= ports_max <= VS_PORTS_MAX,
 * 1 <= workers <= VS_WORKERS_MAX. NULL: out of memory. */
struct vs_porttable *vs_porttable_new(uint16_t ports_max, unsigned workers);
void vs_porttable_free(struct vs_porttable *table);

/* Adds a port, down, under the lowest free id. The port belongs to the table. 0, -EINVAL (name, VLANs or frame_max
 * out of range), -EEXIST (the name is taken), -ENOSPC (table full) or -ENOMEM. */
int vs_porttable_add(struct vs_porttable *table, const struct vs_port_config *config, unsigned worker,
		     struct vs_port **out) VS_MUST_CHECK;

/* Gives a port another configuration; state and counters stay. 0, -EINVAL, -EEXIST or -ENOMEM, and then nothing has
 * changed. */
int vs_porttable_configure(struct vs_porttable *table, struct vs_port *port, const struct vs_port_config *config)
	VS_MUST_CHECK;

/* Takes the port out; its id may be given to another at once. */
void vs_porttable_remove(struct vs_porttable *table, struct vs_port *port);

/* The link of a port has come up or gone down. Also from the port's worker. */
void vs_porttable_set_up(struct vs_porttable *table, struct vs_port *port, bool up);

/* Frees what was taken out or replaced. True of vs_porttable_has_retired(): there is something to free. The caller has
 * made sure that no worker is at a frame that it began before. */
void vs_porttable_reclaim(struct vs_porttable *table);
bool vs_porttable_has_retired(const struct vs_porttable *table);

/* NULL: no such port. Any id may be asked for. */
struct vs_port *vs_porttable_get(const struct vs_porttable *table, uint16_t id);

/* The first of a worker's ports with an id of at least `id` that is up. NULL: none. */
struct vs_port *vs_porttable_next_up(const struct vs_porttable *table, unsigned worker, uint32_t id);

/* For the owner alone: the port of a name; the first port with an id of at least `id`; NULL: none. */
struct vs_port *vs_porttable_find(const struct vs_porttable *table, const char *name);
struct vs_port *vs_porttable_next(const struct vs_porttable *table, uint32_t id);

uint32_t vs_porttable_count(const struct vs_porttable *table);
unsigned vs_porttable_workers(const struct vs_porttable *table);

#endif
