/* How it works. Buffers travel in one circle: handed out by the owner, from the kept list of their class or from
 * malloc(); dropped by the owner, straight back to the kept list, or by another thread, onto the stack `returned`. Any
 * thread pushes there with a compare-and-exchange of the top; the owner alone takes, and always all of it with one
 * exchange, so a top that was seen cannot leave and come back under a push (ABA). The owner looks there when the kept
 * list that it needs is empty, which is before it asks malloc() and so before it fails for the maximum: what waits
 * there is counted as in use until then, and a frame costs the owner nothing to watch for.
 *
 * Only the owner touches the lists and the figures, and calls malloc() and free(). */
#include "base/frame.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of data[] in each class: a 1500-byte MTU frame, a jumbo frame, super-frames. Headroom is included. */
static const uint32_t class_capacity[] = {
	1518 + 4 + VS_FRAME_HEADROOM + 4, /* rounded so that the whole struct is a multiple of 8 */
	9216 + VS_FRAME_HEADROOM,
	(32 << 10) + VS_FRAME_HEADROOM,
	(66 << 10) + VS_FRAME_HEADROOM, /* 65,535 bytes of IP, and headers */
	VS_FRAME_MAX + VS_FRAME_HEADROOM,
};

#define CLASSES VS_ARRAY_SIZE(class_capacity)

/* Freed buffers kept for reuse, in bytes a class: enough for a batch in flight, small beside the pool's maximum. */
#define KEEP_BYTES (512 * 1024)

/* Three parts, told apart by who writes them, so that returns do not take the owner's cache lines away. */
struct vs_pool {
	/* Read by every thread, hardly ever written. */
	_Alignas(VS_CACHE_LINE) const void *owner;
	size_t bytes_max;

	/* The owner's. */
	_Alignas(VS_CACHE_LINE) struct vs_frame *kept[CLASSES];
	size_t kept_bytes[CLASSES];
	size_t bytes, bytes_used;
	uint64_t failures;

	/* Written by every other thread. */
	_Alignas(VS_CACHE_LINE) _Atomic(struct vs_frame *) returned;
};

/* Its address names the calling thread, without a system call; it has no value. The programs are linked statically with
 * this room, so that the address is an addition and no call. */
static _Thread_local char self __attribute__((tls_model("initial-exec")));

static bool is_owner(const struct vs_pool *pool)
{
	return pool->owner == &self;
}

struct vs_pool *vs_pool_new(size_t bytes_max)
{
	struct vs_pool *pool = aligned_alloc(_Alignof(struct vs_pool), sizeof(*pool));
	if (!pool)
		return NULL;
	memset(pool, 0, sizeof(*pool));
	pool->bytes_max = bytes_max;
	vs_pool_adopt(pool);
	return pool;
}

void vs_pool_adopt(struct vs_pool *pool)
{
	pool->owner = &self;
}

static size_t buffer_bytes(unsigned size_class)
{
	return sizeof(struct vs_frame) + class_capacity[size_class];
}

/* Takes in a buffer that nobody refers to any more. */
static void keep(struct vs_pool *pool, struct vs_frame *frame)
{
	unsigned size_class = frame->size_class;
	size_t bytes = buffer_bytes(size_class);
	pool->bytes_used -= bytes;
	if (pool->kept_bytes[size_class] + bytes > KEEP_BYTES) {
		pool->bytes -= bytes;
		free(frame);
		return;
	}
	frame->next_free = pool->kept[size_class];
	pool->kept[size_class] = frame;
	pool->kept_bytes[size_class] += bytes;
}

/* Takes in what other threads have returned. */
static void collect(struct vs_pool *pool)
{
	/* The exchange would fetch the cache line for writing; mostly there is nothing. */
	if (!atomic_load_explicit(&pool->returned, memory_order_relaxed))
		return;
	struct vs_frame *frame = atomic_exchange_explicit(&pool->returned, NULL, memory_order_acquire);
	while (frame) {
		struct vs_frame *next = frame->next_free;
		keep(pool, frame);
		frame = next;
	}
}

/* The same from a thread that is not the owner. Once the buffer is pushed, the pool may be gone. */
static void give_back(struct vs_pool *pool, struct vs_frame *frame)
{
	frame->next_free = atomic_load_explicit(&pool->returned, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&pool->returned, &frame->next_free, frame, memory_order_release,
						      memory_order_relaxed))
		;
}

static void drop_kept(struct vs_pool *pool, unsigned size_class)
{
	while (pool->kept[size_class]) {
		struct vs_frame *frame = pool->kept[size_class];
		pool->kept[size_class] = frame->next_free;
		pool->kept_bytes[size_class] -= buffer_bytes(size_class);
		pool->bytes -= buffer_bytes(size_class);
		free(frame);
	}
}

static void drop_all_kept(struct vs_pool *pool)
{
	for (unsigned i = 0; i < CLASSES; i++)
		drop_kept(pool, i);
}

void vs_pool_trim(struct vs_pool *pool)
{
	assert(is_owner(pool));
	collect(pool);
	drop_all_kept(pool);
}

void vs_pool_free(struct vs_pool *pool)
{
	if (!pool)
		return;
	vs_pool_trim(pool);
	assert(pool->bytes_used == 0);
	free(pool);
}

void vs_pool_stats(struct vs_pool *pool, struct vs_pool_stats *out)
{
	assert(is_owner(pool));
	collect(pool);
	*out = (struct vs_pool_stats){
		.bytes = pool->bytes,
		.bytes_used = pool->bytes_used,
		.bytes_max = pool->bytes_max,
		.failures = pool->failures,
	};
}

static struct vs_frame *allocate(struct vs_pool *pool, unsigned size_class)
{
	size_t bytes = buffer_bytes(size_class);
	if (pool->bytes_used + bytes > pool->bytes_max)
		return NULL;
	/* Buffers kept in the other classes must not starve this one. */
	if (pool->bytes + bytes > pool->bytes_max)
		drop_all_kept(pool);
	struct vs_frame *frame = malloc(bytes);
	if (!frame)
		return NULL;
	frame->pool = pool;
	frame->size_class = (uint8_t)size_class;
	frame->capacity = class_capacity[size_class];
	/* Framing reads what stands there before it writes. */
	memset(frame->data, 0, VS_FRAME_HEADROOM);
	pool->bytes += bytes;
	return frame;
}

static struct vs_frame *take_kept(struct vs_pool *pool, unsigned size_class)
{
	struct vs_frame *frame = pool->kept[size_class];
	if (vs_likely(frame)) {
		pool->kept[size_class] = frame->next_free;
		pool->kept_bytes[size_class] -= buffer_bytes(size_class);
	}
	return frame;
}

/* When none of the class is kept; out of line, because that is rare. */
static VS_COLD struct vs_frame *refill(struct vs_pool *pool, unsigned size_class)
{
	collect(pool);
	struct vs_frame *frame = take_kept(pool, size_class);
	return frame ? frame : allocate(pool, size_class);
}

/* A buffer of the class, counted as in use; NULL: there is none to be had. */
static struct vs_frame *take(struct vs_pool *pool, unsigned size_class)
{
	struct vs_frame *frame = take_kept(pool, size_class);
	if (vs_unlikely(!frame))
		frame = refill(pool, size_class);
	if (vs_likely(frame))
		pool->bytes_used += buffer_bytes(size_class);
	return frame;
}

struct vs_frame *vs_frame_new(struct vs_pool *pool, size_t len)
{
	assert(is_owner(pool));
	unsigned size_class = 0;
	while (size_class < CLASSES && len + VS_FRAME_HEADROOM > class_capacity[size_class])
		size_class++;
	struct vs_frame *frame = size_class < CLASSES ? take(pool, size_class) : NULL;
	if (!frame) {
		pool->failures++;
		return NULL;
	}
	atomic_store_explicit(&frame->refs, 1, memory_order_relaxed);
	frame->vlan = 0;
	frame->flow_hash = 0;
	frame->super = false;
	frame->offset = VS_FRAME_HEADROOM;
	frame->len = (uint32_t)len;
	return frame;
}

struct vs_frame *vs_frame_copy(struct vs_pool *pool, const struct vs_frame *frame)
{
	struct vs_frame *copy = vs_frame_new(pool, frame->len);
	if (!copy)
		return NULL;
	/* With what stands in front of it: a framing header belongs to the frame. */
	uint32_t front = VS_MIN(frame->offset, copy->offset);
	memcpy(vs_frame_bytes(copy) - front, vs_frame_cbytes(frame) - front, front + frame->len);
	copy->vlan = frame->vlan;
	copy->flow_hash = frame->flow_hash;
	copy->super = frame->super;
	memcpy(copy->vnet, frame->vnet, sizeof(copy->vnet));
	return copy;
}

/* Drops one reference; true: it was the last. Where it is the only one, nobody else can change the count, so that the
 * locked instruction is saved. Otherwise releases what this thread did with the frame to whoever is last, and acquires
 * what the others did. */
static bool drop_reference(struct vs_frame *frame)
{
	return !vs_frame_is_shared(frame) ||
	       atomic_fetch_sub_explicit(&frame->refs, 1, memory_order_acq_rel) == 1;
}

void vs_frame_unref(struct vs_frame *frame)
{
	if (!frame || !drop_reference(frame))
		return;
	struct vs_pool *pool = frame->pool;
	if (vs_likely(is_owner(pool)))
		keep(pool, frame);
	else
		give_back(pool, frame);
}
