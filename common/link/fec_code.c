#include "link/fec_code.h"

#include <isa-l.h>

/* x_row + y_seq: the x are 128 ... 255 and the y 0 ... 127, so that no sum is 0. */
static uint8_t denominator(uint8_t row, uint32_t seq)
{
	return (uint8_t)((VS_FEC_POINTS + row % VS_FEC_POINTS) ^ (seq % VS_FEC_POINTS));
}

static void make_table(uint8_t c, uint8_t table[VS_FEC_TABLE_SIZE])
{
	ec_init_tables(1, 1, &c, table);
}

void vs_fec_code_init(struct vs_fec_code *code)
{
	for (unsigned i = 0; i < VS_FEC_POINTS; i++)
		make_table(gf_inv((uint8_t)(VS_FEC_POINTS + i)), code->tables[i]);
}

uint8_t vs_fec_coefficient(uint8_t row, uint32_t seq)
{
	return gf_inv(denominator(row, seq));
}

/* ISA-L's parameters are not const, but it only writes to the destination. */
static void add_by_table(const uint8_t *table, const uint8_t *symbol, size_t len, uint8_t *sum)
{
	ec_encode_data_update((int)len, 1, 1, 0, (uint8_t *)(uintptr_t)table, (uint8_t *)(uintptr_t)symbol, &sum);
}

void vs_fec_code_add(const struct vs_fec_code *code, uint8_t row, uint32_t seq, const uint8_t *symbol, size_t len,
		     uint8_t *sum)
{
	add_by_table(code->tables[denominator(row, seq) - VS_FEC_POINTS], symbol, len, sum);
}

void vs_fec_add_multiple(uint8_t c, const uint8_t *symbol, size_t len, uint8_t *sum)
{
	uint8_t table[VS_FEC_TABLE_SIZE];
	make_table(c, table);
	add_by_table(table, symbol, len, sum);
}

void vs_fec_multiply(uint8_t c, const uint8_t *symbol, size_t len, uint8_t *out)
{
	uint8_t table[VS_FEC_TABLE_SIZE], *source = (uint8_t *)(uintptr_t)symbol;
	make_table(c, table);
	ec_encode_data((int)len, 1, 1, table, &source, &out);
}

uint8_t vs_fec_divide(uint8_t a, uint8_t b)
{
	return gf_mul(a, gf_inv(b));
}
