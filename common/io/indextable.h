/* Receiver indices: the 24-bit names by which datagrams find their session. An index is a slot number above the number
 * of the worker (VS_INDEX_WORKER_BITS), so that the kernel can steer a datagram to the right worker by one byte. Slots
 * are handed out in an order that postpones reuse as long as possible: a late datagram for an old session finds nothing
 * rather than a stranger's keys, under which it would fail anyway. */
#ifndef VS_IO_INDEXTABLE_H
#define VS_IO_INDEXTABLE_H

#include <stdint.h>

#include "base/compiler.h"
#include "link/wire.h"

#define VS_INDEX_SLOTS_MAX (1u << (24 - VS_INDEX_WORKER_BITS))

struct vs_indextable;

/* NULL: out of memory. */
struct vs_indextable *vs_indextable_new(unsigned worker);
void vs_indextable_free(struct vs_indextable *table);

/* Takes an index for `owner` (not NULL). 0, -ENOSPC (VS_INDEX_SLOTS_MAX in use) or -ENOMEM. */
int vs_indextable_take(struct vs_indextable *table, void *owner, uint32_t *index) VS_MUST_CHECK;

/* The owner of an index, or NULL; any number may be asked for. */
void *vs_indextable_lookup(const struct vs_indextable *table, uint32_t index);

/* Gives an index to another owner, or (NULL) back. Ignored where nobody holds it. */
void vs_indextable_assign(struct vs_indextable *table, uint32_t index, void *owner);

uint32_t vs_indextable_count(const struct vs_indextable *table);

#endif
