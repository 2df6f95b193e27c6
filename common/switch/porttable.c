#include "switch/porttable.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WORD_BITS 64

/* A bit for each id, so that a flood finds the ports that are up without looking at the others. */
struct id_set {
	uint64_t bits[VS_PORTS_MAX / WORD_BITS];
};

struct vs_porttable {
	uint32_t ports_max;
	uint32_t count;
	struct id_set used, up;
	uint16_t *generations; /* of the last port with that id */
	struct vs_port **ports;
};

static void set_bit(struct id_set *set, uint32_t id, bool on)
{
	uint64_t bit = UINT64_C(1) << id % WORD_BITS;

	if (on)
		set->bits[id / WORD_BITS] |= bit;
	else
		set->bits[id / WORD_BITS] &= ~bit;
}

/* The first member that is at least `id`; VS_PORTS_MAX: none. */
static uint32_t next_bit(const struct id_set *set, uint32_t id)
{
	while (id < VS_PORTS_MAX) {
		uint64_t rest = set->bits[id / WORD_BITS] >> id % WORD_BITS;
		if (rest)
			return id + (uint32_t)__builtin_ctzll(rest);
		id = (id / WORD_BITS + 1) * WORD_BITS;
	}
	return VS_PORTS_MAX;
}

struct vs_porttable *vs_porttable_new(uint16_t ports_max)
{
	assert(ports_max >= 1 && ports_max <= VS_PORTS_MAX);
	struct vs_porttable *table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	table->ports_max = ports_max;
	table->generations = calloc(ports_max, sizeof(*table->generations));
	table->ports = calloc(ports_max, sizeof(struct vs_port *));
	if (!table->generations || !table->ports) {
		vs_porttable_free(table);
		return NULL;
	}
	return table;
}

void vs_porttable_free(struct vs_porttable *table)
{
	if (!table)
		return;
	for (uint32_t id = 0; table->ports && id < table->ports_max; id++)
		free(table->ports[id]);
	free(table->generations);
	free(table->ports);
	free(table);
}

/* 0, or why this configuration cannot be that of `port` (NULL: of a new port). */
static int check_config(const struct vs_porttable *table, const struct vs_port *port,
			const struct vs_port_config *config)
{
	size_t name_len = strnlen(config->name, sizeof(config->name));

	if (name_len == 0 || name_len == sizeof(config->name))
		return -EINVAL;
	if (config->frame_max < VS_PORT_FRAME_MAX_LEAST)
		return -EINVAL;
	int err = vs_vlan_rule_check(&config->vlan);
	if (err)
		return err;
	const struct vs_port *namesake = vs_porttable_find(table, config->name);
	return namesake && namesake != port ? -EEXIST : 0;
}

static uint32_t lowest_free_id(const struct vs_porttable *table)
{
	uint32_t id = 0;

	while (id < table->ports_max && table->ports[id])
		id++;
	return id;
}

int vs_porttable_add(struct vs_porttable *table, const struct vs_port_config *config, struct vs_port **out)
{
	int err = check_config(table, NULL, config);
	if (err)
		return err;
	if (table->count == table->ports_max)
		return -ENOSPC;
	struct vs_port *port = calloc(1, sizeof(*port));
	if (!port)
		return -ENOMEM;
	port->id = (uint16_t)lowest_free_id(table);
	port->generation = ++table->generations[port->id];
	port->config = *config;
	table->ports[port->id] = port;
	table->count++;
	set_bit(&table->used, port->id, true);
	*out = port;
	return 0;
}

int vs_porttable_configure(struct vs_porttable *table, struct vs_port *port, const struct vs_port_config *config)
{
	int err = check_config(table, port, config);
	if (err)
		return err;
	port->config = *config;
	return 0;
}

void vs_porttable_remove(struct vs_porttable *table, struct vs_port *port)
{
	set_bit(&table->used, port->id, false);
	set_bit(&table->up, port->id, false);
	table->ports[port->id] = NULL;
	table->count--;
	free(port);
}

void vs_porttable_set_up(struct vs_porttable *table, struct vs_port *port, bool up)
{
	port->up = up;
	set_bit(&table->up, port->id, up);
}

struct vs_port *vs_porttable_get(const struct vs_porttable *table, uint16_t id)
{
	return id < table->ports_max ? table->ports[id] : NULL;
}

struct vs_port *vs_porttable_find(const struct vs_porttable *table, const char *name)
{
	struct vs_port *port = vs_porttable_next(table, 0);

	while (port && strcmp(port->config.name, name) != 0)
		port = vs_porttable_next(table, port->id + 1u);
	return port;
}

struct vs_port *vs_porttable_next(const struct vs_porttable *table, uint32_t id)
{
	id = next_bit(&table->used, id);
	return id < VS_PORTS_MAX ? table->ports[id] : NULL;
}

struct vs_port *vs_porttable_next_up(const struct vs_porttable *table, uint32_t id)
{
	id = next_bit(&table->up, id);
	return id < VS_PORTS_MAX ? table->ports[id] : NULL;
}

uint32_t vs_porttable_count(const struct vs_porttable *table)
{
	return table->count;
}
