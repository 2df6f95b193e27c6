#include "switch/porttable.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WORD_BITS 64

/* A bit for each id, so that a flood finds the ports that are up without looking at the others. */
struct id_set {
	_Atomic(uint64_t) touched; /* the words that have ever had a member */
	_Atomic(uint64_t) words[VS_PORTS_MAX / WORD_BITS];
};

_Static_assert(VS_PORTS_MAX / WORD_BITS <= WORD_BITS, "the words' own bits fit in one");

/* A configuration in force, or one that has been replaced. */
struct config_box {
	struct vs_port_config config; /* first */
	struct config_box *next_retired;
};

struct vs_porttable {
	uint32_t ports_max;
	uint32_t count;
	unsigned workers;
	struct id_set used;
	struct id_set *up;     /* by worker */
	uint16_t *generations; /* of the last port with that id */
	_Atomic(struct vs_port *) *ports;
	struct vs_port *retired_ports;
	struct config_box *retired_configs;
};

/* What the bit stands for was written before it. */
static void set_bit(struct id_set *set, uint32_t id, bool on)
{
	_Atomic(uint64_t) *word = &set->words[id / WORD_BITS];
	uint64_t bit = UINT64_C(1) << id % WORD_BITS;

	if (!on) {
		atomic_fetch_and_explicit(word, ~bit, memory_order_release);
		return;
	}
	atomic_fetch_or_explicit(word, bit, memory_order_release);
	atomic_fetch_or_explicit(&set->touched, UINT64_C(1) << id / WORD_BITS, memory_order_release);
}

/* The first member that is at least `id`; VS_PORTS_MAX: none. */
static uint32_t next_bit(const struct id_set *set, uint32_t id)
{
	if (id >= VS_PORTS_MAX)
		return VS_PORTS_MAX;
	uint64_t touched = atomic_load_explicit(&set->touched, memory_order_acquire) >> id / WORD_BITS;
	for (; touched; touched &= touched - 1) {
		uint32_t at = (id / WORD_BITS + (uint32_t)__builtin_ctzll(touched)) * WORD_BITS;
		uint64_t word = atomic_load_explicit(&set->words[at / WORD_BITS], memory_order_acquire);
		if (at < id)
			word &= ~UINT64_C(0) << id % WORD_BITS;
		if (word)
			return at + (uint32_t)__builtin_ctzll(word);
	}
	return VS_PORTS_MAX;
}

struct vs_porttable *vs_porttable_new(uint16_t ports_max, unsigned workers)
{
	assert(ports_max >= 1 && ports_max <= VS_PORTS_MAX);
	assert(workers >= 1 && workers <= VS_WORKERS_MAX);
	struct vs_porttable *table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	table->ports_max = ports_max;
	table->workers = workers;
	table->up = calloc(workers, sizeof(*table->up));
	table->generations = calloc(ports_max, sizeof(*table->generations));
	table->ports = calloc(ports_max, sizeof(*table->ports));
	if (!table->up || !table->generations || !table->ports) {
		vs_porttable_free(table);
		return NULL;
	}
	return table;
}

static struct config_box *box_of(const struct vs_port *port)
{
	return (struct config_box *)vs_port_config_of(port);
}

static void free_port(struct vs_port *port)
{
	free(box_of(port));
	free(port);
}

void vs_porttable_free(struct vs_porttable *table)
{
	if (!table)
		return;
	vs_porttable_reclaim(table);
	for (struct vs_port *port; table->ports && (port = vs_porttable_next(table, 0));) {
		set_bit(&table->used, port->id, false);
		free_port(port);
	}
	free(table->up);
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

static struct config_box *box_config(const struct vs_port_config *config)
{
	struct config_box *box = calloc(1, sizeof(*box));

	if (box)
		box->config = *config;
	return box;
}

static uint32_t lowest_free_id(const struct vs_porttable *table)
{
	uint32_t id = 0;

	while (id < table->ports_max && vs_porttable_get(table, (uint16_t)id))
		id++;
	return id;
}

static struct vs_port *new_port(const struct vs_port_config *config)
{
	struct vs_port *port = aligned_alloc(VS_CACHE_LINE, sizeof(*port));
	struct config_box *box = box_config(config);

	if (!port || !box) {
		free(port);
		free(box);
		return NULL;
	}
	memset(port, 0, sizeof(*port));
	atomic_init(&port->config, &box->config);
	return port;
}

int vs_porttable_add(struct vs_porttable *table, const struct vs_port_config *config, unsigned worker,
		     struct vs_port **out)
{
	assert(worker < table->workers);
	int err = check_config(table, NULL, config);
	if (err)
		return err;
	if (table->count == table->ports_max)
		return -ENOSPC;
	struct vs_port *port = new_port(config);
	if (!port)
		return -ENOMEM;
	port->id = (uint16_t)lowest_free_id(table);
	port->generation = ++table->generations[port->id];
	port->worker = (uint8_t)worker;
	atomic_store_explicit(&table->ports[port->id], port, memory_order_release);
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
	struct config_box *box = box_config(config), *was = box_of(port);
	if (!box)
		return -ENOMEM;
	atomic_store_explicit(&port->config, &box->config, memory_order_release);
	was->next_retired = table->retired_configs;
	table->retired_configs = was;
	return 0;
}

void vs_porttable_remove(struct vs_porttable *table, struct vs_port *port)
{
	vs_porttable_set_up(table, port, false);
	set_bit(&table->used, port->id, false);
	atomic_store_explicit(&table->ports[port->id], NULL, memory_order_release);
	table->count--;
	port->next_retired = table->retired_ports;
	table->retired_ports = port;
}

void vs_porttable_set_up(struct vs_porttable *table, struct vs_port *port, bool up)
{
	atomic_store_explicit(&port->up, up, memory_order_release);
	set_bit(&table->up[port->worker], port->id, up);
}

void vs_porttable_reclaim(struct vs_porttable *table)
{
	struct vs_port *port;
	struct config_box *box;

	while ((port = table->retired_ports)) {
		table->retired_ports = port->next_retired;
		free_port(port);
	}
	while ((box = table->retired_configs)) {
		table->retired_configs = box->next_retired;
		free(box);
	}
}

bool vs_porttable_has_retired(const struct vs_porttable *table)
{
	return table->retired_ports || table->retired_configs;
}

struct vs_port *vs_porttable_get(const struct vs_porttable *table, uint16_t id)
{
	return id < table->ports_max ? atomic_load_explicit(&table->ports[id], memory_order_acquire) : NULL;
}

struct vs_port *vs_porttable_next_up(const struct vs_porttable *table, unsigned worker, uint32_t id)
{
	/* A port may have gone since its bit was read. */
	while ((id = next_bit(&table->up[worker], id)) < VS_PORTS_MAX) {
		struct vs_port *port = vs_porttable_get(table, (uint16_t)id++);
		if (port)
			return port;
	}
	return NULL;
}

struct vs_port *vs_porttable_find(const struct vs_porttable *table, const char *name)
{
	struct vs_port *port = vs_porttable_next(table, 0);

	while (port && strcmp(vs_port_config_of(port)->name, name) != 0)
		port = vs_porttable_next(table, port->id + 1u);
	return port;
}

struct vs_port *vs_porttable_next(const struct vs_porttable *table, uint32_t id)
{
	id = next_bit(&table->used, id);
	return id < VS_PORTS_MAX ? vs_porttable_get(table, (uint16_t)id) : NULL;
}

uint32_t vs_porttable_count(const struct vs_porttable *table)
{
	return table->count;
}

unsigned vs_porttable_workers(const struct vs_porttable *table)
{
	return table->workers;
}
