#include "base/checksum.h"

#include <endian.h>
#include <string.h>

static uint64_t load(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

uint16_t vs_checksum_fold(uint64_t sum)
{
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* Halves of 64-bit words are added up, so that no carry is lost in less than 2^32 of them. */
uint16_t vs_checksum_sum(const uint8_t *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint64_t even = 0, odd = 0, rest = 0;

	for (; n >= 32; p += 32, n -= 32) {
		uint64_t a = load(p), b = load(p + 8), c = load(p + 16), d = load(p + 24);

		even += (a & UINT32_MAX) + (b & UINT32_MAX) + (c & UINT32_MAX) + (d & UINT32_MAX);
		odd += (a >> 32) + (b >> 32) + (c >> 32) + (d >> 32);
	}
	for (; n >= 8; p += 8, n -= 8) {
		even += load(p) & UINT32_MAX;
		odd += load(p) >> 32;
	}
	memcpy(&rest, p, n);
	return vs_checksum_fold(even + odd + (rest & UINT32_MAX) + (rest >> 32));
}

static void put_native(uint8_t *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

void vs_checksum_complete(uint8_t *bytes, size_t len, uint32_t field, uint16_t zero)
{
	uint16_t checksum = (uint16_t)~vs_checksum_sum(bytes, len);

	put_native(bytes + field, checksum ? checksum : zero);
}

void vs_checksum_replace(uint8_t *field, uint16_t before, uint16_t after)
{
	put_native(field, vs_checksum_fold((uint64_t)htobe16((uint16_t)~before) + htobe16(after) +
					   vs_checksum_sum(field, 2)));
}
