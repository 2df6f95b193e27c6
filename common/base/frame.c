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

struct vs_pool {
	struct vs_frame *kept[CLASSES];
	size_t kept_bytes[CLASSES];
	size_t bytes, bytes_used, bytes_max;
	uint64_t failures;
};

struct vs_pool *vs_pool_new(size_t bytes_max)
{
	struct vs_pool *pool = calloc(1, sizeof(*pool));
	if (pool)
		pool->bytes_max = bytes_max;
	return pool;
}

static size_t buffer_bytes(unsigned size_class)
{
	return sizeof(struct vs_frame) + class_capacity[size_class];
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

void vs_pool_trim(struct vs_pool *pool)
{
	for (unsigned i = 0; i < CLASSES; i++)
		drop_kept(pool, i);
}

void vs_pool_free(struct vs_pool *pool)
{
	if (!pool)
		return;
	assert(pool->bytes_used == 0);
	vs_pool_trim(pool);
	free(pool);
}

void vs_pool_stats(const struct vs_pool *pool, struct vs_pool_stats *out)
{
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
		vs_pool_trim(pool);
	struct vs_frame *frame = malloc(bytes);
	if (!frame)
		return NULL;
	frame->pool = pool;
	frame->size_class = (uint8_t)size_class;
	frame->capacity = class_capacity[size_class];
	pool->bytes += bytes;
	return frame;
}

struct vs_frame *vs_frame_new(struct vs_pool *pool, size_t len)
{
	unsigned size_class = 0;
	while (size_class < CLASSES && len + VS_FRAME_HEADROOM > class_capacity[size_class])
		size_class++;
	if (size_class == CLASSES) {
		pool->failures++;
		return NULL;
	}

	struct vs_frame *frame = pool->kept[size_class];
	if (vs_likely(frame)) {
		pool->kept[size_class] = frame->next_free;
		pool->kept_bytes[size_class] -= buffer_bytes(size_class);
	} else {
		frame = allocate(pool, size_class);
		if (!frame) {
			pool->failures++;
			return NULL;
		}
	}
	pool->bytes_used += buffer_bytes(size_class);
	frame->refs = 1;
	frame->vlan = 0;
	frame->flow_hash = 0;
	frame->super = false;
	frame->offset = VS_FRAME_HEADROOM;
	frame->len = (uint32_t)len;
	return frame;
}

struct vs_frame *vs_frame_copy(const struct vs_frame *frame)
{
	struct vs_frame *copy = vs_frame_new(frame->pool, frame->len);
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

void vs_frame_unref(struct vs_frame *frame)
{
	if (!frame || --frame->refs > 0)
		return;
	struct vs_pool *pool = frame->pool;
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
