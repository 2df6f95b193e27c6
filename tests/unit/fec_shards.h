/* Shards made by hand, for tests of the receiver: what the sender's code would make, by another way than its own. */
#ifndef VS_TEST_FEC_SHARDS_H
#define VS_TEST_FEC_SHARDS_H

#include <string.h>

#include "base/bytes.h"
#include "link/fec_code.h"

#define SHARD_MAX 1500u

struct shard {
	uint8_t body[SHARD_MAX];
	size_t len;
};

/* The plaintext of a sequence number: of a length and with bytes that only it has. */
static inline size_t shard_text(uint32_t seq, uint8_t *out)
{
	size_t len = 1 + seq * 37 % 200;
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(seq * 131 + i * 7 + (i << 3));
	return len;
}

static inline struct shard shard_data(uint32_t seq)
{
	struct shard s;
	vs_put_be32(s.body, seq);
	s.len = 4 + shard_text(seq, s.body + 4);
	return s;
}

/* Multiplication in GF(2^8) modulo x^8 + x^4 + x^3 + x^2 + 1, bit by bit. */
static inline uint8_t shard_multiply(uint8_t a, uint8_t b)
{
	unsigned product = 0, x = a;
	for (; b; b >>= 1) {
		if (b & 1)
			product ^= x;
		x = x << 1 ^ (x & 0x80 ? 0x11d : 0);
	}
	return (uint8_t)product;
}

/* 1 / (128 + row ^ seq mod 128), as PROTOCOL.md has it. */
static inline uint8_t shard_coefficient(uint8_t row, uint32_t seq)
{
	uint8_t denominator = (uint8_t)((128 + row % 128) ^ (seq % 128)), c = 1;
	while (shard_multiply(c, denominator) != 1)
		c++;
	return c;
}

static inline struct shard shard_parity(uint32_t first, uint8_t count, uint8_t row)
{
	struct shard s = { .len = 0 };
	vs_put_be32(s.body, first);
	s.body[4] = count;
	s.body[5] = row;
	for (uint32_t seq = first; seq != first + count; seq++) {
		uint8_t symbol[SHARD_MAX], c = shard_coefficient(row, seq);
		size_t len = 2 + shard_text(seq, symbol + 2);
		vs_put_be16(symbol, (uint16_t)(len - 2));
		for (size_t i = 0; i < len; i++)
			s.body[6 + i] ^= shard_multiply(c, symbol[i]);
		if (6 + len > s.len)
			s.len = 6 + len;
	}
	return s;
}

#endif
