/* The arithmetic of forward error correction: combinations of symbols over GF(2^8), by ISA-L. A parity symbol is the
 * sum of a window's data symbols, each times a coefficient that both ends compute from the parity's row and the datum's
 * sequence number: an element of a Cauchy matrix, so that as many parities as data are lost suffice where all of them
 * cover all of these (J. Bloemer et al., "An XOR-Based Erasure-Resilient Coding Scheme", ICSI TR-95-048).
 *
 * Used by the sender (link/fec_tx.h) and the receiver (link/fec_rx.h). Pure functions over bytes. */
#ifndef VS_LINK_FEC_CODE_H
#define VS_LINK_FEC_CODE_H

#include <stddef.h>
#include <stdint.h>

#include "link/wire.h"

/* Rows and sequence numbers enter the coefficients modulo this. */
#define VS_FEC_POINTS 128
#define VS_FEC_TABLE_SIZE 32

/* ISA-L multiplies by tables, one a coefficient. Those of the matrix are few enough to be made once. */
struct vs_fec_code {
	uint8_t tables[VS_FEC_POINTS][VS_FEC_TABLE_SIZE];
};

void vs_fec_code_init(struct vs_fec_code *code);

/* Coefficient of the datum `seq` in the parity `row`; never 0. */
uint8_t vs_fec_coefficient(uint8_t row, uint32_t seq);

/* sum += coefficient(row, seq) * symbol, over `len` bytes. */
void vs_fec_code_add(const struct vs_fec_code *code, uint8_t row, uint32_t seq, const uint8_t *symbol, size_t len,
		     uint8_t *sum);

/* sum += c * symbol, and out = c * symbol, over `len` bytes; the two do not overlap. */
void vs_fec_add_multiple(uint8_t c, const uint8_t *symbol, size_t len, uint8_t *sum);
void vs_fec_multiply(uint8_t c, const uint8_t *symbol, size_t len, uint8_t *out);

/* a / b in GF(2^8); b is not 0. */
uint8_t vs_fec_divide(uint8_t a, uint8_t b);

#endif
