/* A set of sequence numbers within a window, as a ring of bits: bit (sn % size). Both halves of the ARQ keep one a
 * lane, so that an ACK's bitmap is written and compared in words of 64. */
#ifndef VS_LINK_SEQBITS_H
#define VS_LINK_SEQBITS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct vs_seqbits {
	uint64_t *words;
	uint32_t size; /* bits: a power of two, at least 64, or 0 */
};

#define VS_SEQBITS_MIN 64

/* False: out of memory. */
static inline bool vs_seqbits_init(struct vs_seqbits *b, uint32_t size)
{
	b->words = (uint64_t *)calloc(size / 64, sizeof(*b->words));
	b->size = b->words ? size : 0;
	return b->words != NULL;
}

static inline void vs_seqbits_fini(struct vs_seqbits *b)
{
	free(b->words);
	b->words = NULL;
	b->size = 0;
}

static inline bool vs_seqbits_test(const struct vs_seqbits *b, uint32_t sn)
{
	uint32_t bit = sn & (b->size - 1);
	return b->words[bit / 64] >> (bit % 64) & 1;
}

static inline void vs_seqbits_set(struct vs_seqbits *b, uint32_t sn)
{
	uint32_t bit = sn & (b->size - 1);
	b->words[bit / 64] |= UINT64_C(1) << (bit % 64);
}

static inline void vs_seqbits_clear(struct vs_seqbits *b, uint32_t sn)
{
	uint32_t bit = sn & (b->size - 1);
	b->words[bit / 64] &= ~(UINT64_C(1) << (bit % 64));
}

/* The bits of sn ... sn + 63, sn in the least significant one. */
static inline uint64_t vs_seqbits_word(const struct vs_seqbits *b, uint32_t sn)
{
	uint32_t bit = sn & (b->size - 1);
	uint64_t low = b->words[bit / 64] >> (bit % 64);
	if (bit % 64 == 0)
		return low;
	return low | b->words[(bit / 64 + 1) & (b->size / 64 - 1)] << (64 - bit % 64);
}

#endif
