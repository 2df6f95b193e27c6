/* The Internet checksum (RFC 1071): of IP headers, and of TCP and UDP over their payload. Sums are in this machine's
 * byte order, which is of no consequence as long as a sum is stored as it was loaded (RFC 1071, section 2 B), so that
 * none is ever swapped. Used by base/gso.h. */
#ifndef VS_BASE_CHECKSUM_H
#define VS_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Folds a sum of 16-bit or 32-bit words (fewer than 2^32 of them) to 16 bits. */
uint16_t vs_checksum_fold(uint64_t sum);

/* The ones' complement sum of the bytes. */
uint16_t vs_checksum_sum(const uint8_t *bytes, size_t n);

/* Writes the checksum of `len` bytes into the field at the offset `field` in them, which holds what goes into the sum
 * in its place: zero, or the pseudo-header's sum. `zero` is what a checksum of zero is written as: in UDP it would mean
 * that there is none (RFC 768). */
void vs_checksum_complete(uint8_t *bytes, size_t len, uint32_t field, uint16_t zero);

/* Turns a sum in a field from one that counts the big-endian word `before` to one that counts `after` in its place (RFC
 * 1624, of a sum and not of its complement). */
void vs_checksum_replace(uint8_t *field, uint16_t before, uint16_t after);

#endif
