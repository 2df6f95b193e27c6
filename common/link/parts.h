/* The plaintext of one datagram under construction: headers that are written here, and views of frame bytes that stay
 * where they are until sealing gathers both. Nothing is copied but headers. */
#ifndef VS_LINK_PARTS_H
#define VS_LINK_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#include "link/crypto.h"

/* Before the first header there is room for another one, which is put there last (vs_parts_prepend). */
#define VS_PARTS_HEADROOM 8

struct vs_parts {
	struct iovec iov[VS_AEAD_PARTS_MAX];
	size_t n;
	size_t len;  /* bytes so far */
	size_t room; /* bytes that still fit the datagram */
	size_t used; /* of scratch */
	uint8_t scratch[4096];
};

static inline void vs_parts_init(struct vs_parts *p, size_t room)
{
	p->n = p->len = 0;
	p->used = VS_PARTS_HEADROOM;
	p->room = room;
}

/* Room for exactly `n` bytes in front of all else, which begins with a header that was written here. At most
 * VS_PARTS_HEADROOM bytes, once; they are not taken from the room. */
static inline uint8_t *vs_parts_prepend(struct vs_parts *p, size_t n)
{
	uint8_t *at = p->scratch + VS_PARTS_HEADROOM - n;
	p->iov[0] = (struct iovec){ .iov_base = at, .iov_len = p->iov[0].iov_len + n };
	p->len += n;
	return at;
}

/* Whether a view of `n` bytes can be added. */
static inline bool vs_parts_takes(const struct vs_parts *p, size_t n)
{
	return n <= p->room && p->n + 1 <= VS_AEAD_PARTS_MAX;
}

/* Whether a header of `n` bytes and a view can be added. */
static inline bool vs_parts_fits(const struct vs_parts *p, size_t n)
{
	return n <= p->room && p->used + n <= sizeof(p->scratch) && p->n + 2 <= VS_AEAD_PARTS_MAX;
}

/* Room for at most `n` bytes to be written in place, taken with vs_parts_commit(). */
static inline uint8_t *vs_parts_reserve(struct vs_parts *p)
{
	return p->scratch + p->used;
}

static inline void vs_parts_commit(struct vs_parts *p, size_t n)
{
	uint8_t *at = p->scratch + p->used;
	struct iovec *last = p->n ? &p->iov[p->n - 1] : NULL;
	if (last && (uint8_t *)last->iov_base + last->iov_len == at)
		last->iov_len += n;
	else
		p->iov[p->n++] = (struct iovec){ .iov_base = at, .iov_len = n };
	p->used += n;
	p->len += n;
	p->room -= n;
}

/* Adds a view of bytes that outlive the sealing. */
static inline void vs_parts_view(struct vs_parts *p, const void *data, size_t n)
{
	p->iov[p->n++] = (struct iovec){ .iov_base = (void *)(uintptr_t)data, .iov_len = n };
	p->len += n;
	p->room -= n;
}

/* Lays views end to end at `out`, from where they are then encrypted in place, or sent as they are. For a datagram this
 * costs less than a library call per view does, because they are seldom whole cipher blocks. A single one that is at
 * `out` already stays there. Returns the sum of the lengths. */
static inline size_t vs_parts_gather(uint8_t *out, const struct iovec *iov, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		if (iov[i].iov_len && out + len != iov[i].iov_base)
			memcpy(out + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	return len;
}

#endif
