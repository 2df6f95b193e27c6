/* A bounded ring between two threads: one puts in, the other takes out (single producer, single consumer). Slots are of
 * one size and are written and read in place; no lock, no allocation, no system call. Waking the other side is the
 * owner's business (vs_wakeup_signal()), once for as many slots as it likes. */
#ifndef VS_IO_RING_H
#define VS_IO_RING_H

#include <stdint.h>

#include "base/compiler.h"

struct vs_ring;

/* A ring of `slots` (a power of two) slots of `size` bytes. NULL: out of memory. */
struct vs_ring *vs_ring_new(uint32_t slots, uint32_t size);
void vs_ring_free(struct vs_ring *ring);

/* The producer's: the slot to be written next, or NULL: the ring is full. vs_ring_commit() hands it over. */
void *vs_ring_reserve(struct vs_ring *ring) VS_MUST_CHECK;
void vs_ring_commit(struct vs_ring *ring);

/* The consumer's: the oldest slot, or NULL: the ring is empty. vs_ring_pop() gives it back. */
void *vs_ring_peek(struct vs_ring *ring) VS_MUST_CHECK;
void vs_ring_pop(struct vs_ring *ring);

#endif
