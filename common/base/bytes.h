/* Loads and stores of integers in wire order, and a read-only view with which foreign bytes are parsed.
 * The accessors take unaligned pointers; through memcpy(), which compilers turn into one load or store, as they do not
 * always with shifts. A view never reads beyond its end: the first short read makes it fail
 * and every read after that returns zero, so a parser checks once at its end (vs_view_ok). */
#ifndef VS_BASE_BYTES_H
#define VS_BASE_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t vs_get_be16(const uint8_t *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof(v));
	return be16toh(v);
}

static inline uint32_t vs_get_be24(const uint8_t *p)
{
	return (uint32_t)p[0] << 16 | vs_get_be16(p + 1);
}

static inline uint32_t vs_get_be32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static inline uint64_t vs_get_be64(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

static inline uint16_t vs_get_le16(const uint8_t *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static inline uint32_t vs_get_le32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline void vs_put_be16(uint8_t *p, uint16_t v)
{
	v = htobe16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void vs_put_be24(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 16);
	vs_put_be16(p + 1, (uint16_t)v);
}

static inline void vs_put_be32(uint8_t *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void vs_put_be64(uint8_t *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

static inline void vs_put_le16(uint8_t *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void vs_put_le32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void vs_put_le64(uint8_t *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

struct vs_view {
	const uint8_t *data;
	size_t len;
	bool failed;
};

static inline struct vs_view vs_view_of(const void *data, size_t len)
{
	return (struct vs_view){ .data = data, .len = len };
}

/* The next n bytes, consumed; NULL (and the view has failed) if there are fewer. */
static inline const uint8_t *vs_view_pull(struct vs_view *v, size_t n)
{
	if (v->failed || v->len < n) {
		v->failed = true;
		v->len = 0;
		return NULL;
	}
	const uint8_t *p = v->data;
	v->data += n;
	v->len -= n;
	return p;
}

static inline uint8_t vs_view_u8(struct vs_view *v)
{
	const uint8_t *p = vs_view_pull(v, 1);
	return p ? *p : 0;
}

static inline uint16_t vs_view_be16(struct vs_view *v)
{
	const uint8_t *p = vs_view_pull(v, 2);
	return p ? vs_get_be16(p) : 0;
}

static inline uint32_t vs_view_be32(struct vs_view *v)
{
	const uint8_t *p = vs_view_pull(v, 4);
	return p ? vs_get_be32(p) : 0;
}

static inline uint64_t vs_view_be64(struct vs_view *v)
{
	const uint8_t *p = vs_view_pull(v, 8);
	return p ? vs_get_be64(p) : 0;
}

/* Copies n bytes out; zeroes `out` if there are fewer. */
static inline void vs_view_copy(struct vs_view *v, void *out, size_t n)
{
	const uint8_t *p = vs_view_pull(v, n);
	if (p)
		memcpy(out, p, n);
	else
		memset(out, 0, n);
}

static inline bool vs_view_ok(const struct vs_view *v)
{
	return !v->failed;
}

/* Clears memory that held a secret; the compiler may not drop it. */
static inline void vs_wipe(void *p, size_t n)
{
	explicit_bzero(p, n);
}

#endif
