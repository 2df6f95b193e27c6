#include "io/indextable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 64

struct vs_indextable {
	unsigned worker;
	uint32_t size, count;
	uint32_t next; /* where the search for a free slot goes on */
	void **owners;
};

struct vs_indextable *vs_indextable_new(unsigned worker)
{
	struct vs_indextable *table = calloc(1, sizeof(*table));
	if (table)
		table->worker = worker;
	return table;
}

void vs_indextable_free(struct vs_indextable *table)
{
	if (!table)
		return;
	free(table->owners);
	free(table);
}

/* Kept at most half full, so that a free slot is near and none is reused soon. */
static int grow(struct vs_indextable *table)
{
	if (table->count < table->size / 2 || table->size == VS_INDEX_SLOTS_MAX)
		return table->count < table->size ? 0 : -ENOSPC;
	uint32_t size = table->size ? table->size * 2 : SLOTS_MIN;
	void **owners = reallocarray(table->owners, size, sizeof(*owners));
	if (!owners)
		return -ENOMEM;
	memset(owners + table->size, 0, (size - table->size) * sizeof(*owners));
	table->owners = owners;
	table->next = table->size;
	table->size = size;
	return 0;
}

int vs_indextable_take(struct vs_indextable *table, void *owner, uint32_t *index)
{
	int err = grow(table);
	if (err < 0)
		return err;
	while (table->owners[table->next])
		table->next = (table->next + 1) % table->size;
	table->owners[table->next] = owner;
	table->count++;
	*index = table->next << VS_INDEX_WORKER_BITS | table->worker;
	table->next = (table->next + 1) % table->size;
	return 0;
}

static void **slot_of(const struct vs_indextable *table, uint32_t index)
{
	uint32_t slot = index >> VS_INDEX_WORKER_BITS;
	unsigned worker = index & ((1u << VS_INDEX_WORKER_BITS) - 1);
	return worker == table->worker && slot < table->size ? &table->owners[slot] : NULL;
}

void *vs_indextable_lookup(const struct vs_indextable *table, uint32_t index)
{
	void **slot = slot_of(table, index);
	return slot ? *slot : NULL;
}

void vs_indextable_assign(struct vs_indextable *table, uint32_t index, void *owner)
{
	void **slot = slot_of(table, index);
	if (!slot || !*slot)
		return;
	*slot = owner;
	if (!owner)
		table->count--;
}

uint32_t vs_indextable_count(const struct vs_indextable *table)
{
	return table->count;
}
