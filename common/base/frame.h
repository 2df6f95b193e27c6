/* Frame buffers and the pool that they come from.
 *
 * A frame is one contiguous, reference-counted buffer with headroom, so that a framing header or a VLAN tag is put in
 * front without a copy. Whoever is handed a reference owns it and gives it back with vs_frame_unref(). Flooding adds
 * references. A frame with more than one reference is read-only: bytes, headroom and metadata.
 *
 * A pool hands out buffers of a few size classes, keeps freed ones for reuse up to a bound, and never exceeds its
 * stated maximum: past it vs_frame_new() returns NULL and the caller counts a drop.
 *
 * Threads. A pool belongs to one thread, its owner: the one that made it, or the one that adopted it. Only the owner
 * takes frames from it, copies into it, trims it, reads its figures or frees it. A reference may be handed to another
 * thread, by something that orders memory (a ring, a join); that thread may read the frame, refer to it again and give
 * its references back, and where vs_frame_is_shared() says no, it may change the frame as if it had made it. A buffer
 * whose last reference is dropped away from home goes back to its pool without a lock, and the owner finds it there.
 *
 * Two things are written into a frame late, while it may be shared: the framing header (link/framing.h) and the flow's
 * hash (link/flow.h). Both depend on the frame alone and are written only where they are not there yet. Within one
 * thread that needs no care. Before a frame crosses to another thread, whoever hands it over writes both, so that
 * nobody has anything to write afterwards; the VLAN is set before that, by the switch. */
#ifndef VS_BASE_FRAME_H
#define VS_BASE_FRAME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/* Bytes kept free in front of a new frame: framing header (8), virtio-net header (12), 802.1Q tag (4), and slack. */
#define VS_FRAME_HEADROOM 64

/* Largest frame a pool can hand out: a super-frame (PROTOCOL.md, "Frames"). */
#define VS_FRAME_MAX 131072

/* The virtio-net header (VIRTIO 1.2, section 5.1.6, without num_buffers), little-endian: how a frame is still to be
 * segmented and checksummed. It describes super-frames only (frame->super); every other frame is complete. */
#define VS_VNET_SIZE 10

struct vs_pool;

struct vs_frame {
	struct vs_pool *pool;
	_Atomic uint32_t refs;
	uint8_t size_class;
	uint16_t vlan;      /* VLAN the switch has put the frame into; 0: none */
	uint32_t offset;    /* of the first frame byte in data[] */
	uint32_t len;       /* bytes of frame */
	uint32_t capacity;  /* bytes of data[] */
	uint32_t flow_hash; /* 0: not computed yet (link/flow.h) */
	bool super;         /* a super-frame, described by vnet */
	uint8_t vnet[VS_VNET_SIZE];
	struct vs_frame *next_free;
	uint8_t data[];
};

struct vs_pool_stats {
	uint64_t bytes;      /* held now, in use or kept for reuse */
	uint64_t bytes_used; /* in use now */
	uint64_t bytes_max;
	uint64_t failures; /* vs_frame_new() calls that returned NULL */
};

/* A pool that never holds more than bytes_max bytes, owned by the calling thread; NULL: out of memory. */
struct vs_pool *vs_pool_new(size_t bytes_max);

/* Makes the calling thread the owner. The former one must be done with the pool, and no other thread may hold a frame
 * of it: before a thread's first use of a pool that was made for it, or when that thread has ended. */
void vs_pool_adopt(struct vs_pool *pool);

/* Frees the pool. Every frame must have been given back, on whatever thread (asserted). NULL is accepted. */
void vs_pool_free(struct vs_pool *pool);

/* Not const, because frames that came back from other threads are counted in first. */
void vs_pool_stats(struct vs_pool *pool, struct vs_pool_stats *out);

/* Gives memory that is kept for reuse back to the system. Called when a burst is over. */
void vs_pool_trim(struct vs_pool *pool);

/* A frame of `len` uninitialised bytes after VS_FRAME_HEADROOM, one reference held by the caller, who owns the pool
 * (asserted). NULL: the pool's maximum is reached, memory is out, or len > VS_FRAME_MAX. */
struct vs_frame *vs_frame_new(struct vs_pool *pool, size_t len) VS_MUST_CHECK;

/* A private copy (one reference, same contents, headroom and metadata) of a frame of whatever pool, taken from the
 * caller's; NULL as vs_frame_new(). */
struct vs_frame *vs_frame_copy(struct vs_pool *pool, const struct vs_frame *frame) VS_MUST_CHECK;

/* One more reference, for whoever holds one. Needs no order: the new reference reaches its holder in order. */
static inline struct vs_frame *vs_frame_ref(struct vs_frame *frame)
{
	atomic_fetch_add_explicit(&frame->refs, 1, memory_order_relaxed);
	return frame;
}

/* Whether anybody but the caller, who holds a reference, has one. False: the frame is the caller's to change, and all
 * that others did with it lies behind; nobody can refer to it again but the caller. */
static inline bool vs_frame_is_shared(const struct vs_frame *frame)
{
	return atomic_load_explicit(&frame->refs, memory_order_acquire) > 1;
}

/* Gives one reference back, on any thread. NULL is accepted. */
void vs_frame_unref(struct vs_frame *frame);

static inline uint8_t *vs_frame_bytes(struct vs_frame *frame)
{
	return frame->data + frame->offset;
}

static inline const uint8_t *vs_frame_cbytes(const struct vs_frame *frame)
{
	return frame->data + frame->offset;
}

#endif
