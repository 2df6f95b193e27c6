/* Super-frames from a foreign peer: a virtio-net header and the frame's bytes. What is taken for valid is cut into
 * frames that carry its payload once and in order, whose lengths agree with their headers and whose checksums agree
 * with the pseudo-header's sum that came with it; and where segments are dropped or taken from its front before it is
 * cut, the frames are the same. The bytes behind the frame's end are poisoned. The same input is then a plain frame
 * whose checksum is to be completed: nothing but the field changes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(HAVE_ASAN)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#include "base/bytes.h"
#include "base/gso.h"
#include "fuzz/check.h"
#include "superframe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The sum that the checksum's field of a segment stood for: the super-frame's, with the segment's length. */
static uint32_t pseudo_sum(const struct vs_frame *super, const struct vs_vnet *vnet, uint32_t segment_len)
{
	uint8_t words[6];

	memcpy(words, vs_frame_cbytes(super) + vnet->csum_start + vnet->csum_offset, 2);
	vs_put_be16(words + 2, (uint16_t)~(super->len - vnet->csum_start));
	vs_put_be16(words + 4, (uint16_t)(segment_len - vnet->csum_start));
	return superframe_sum(0, words, sizeof(words));
}

static void check_segment(const struct vs_frame *super, const struct vs_vnet *vnet, const struct vs_frame *segment,
			  uint32_t position)
{
	const uint8_t *bytes = vs_frame_cbytes(segment);
	uint32_t payload = segment->len - vnet->hdr_len;
	bool last = position + payload == super->len - vnet->hdr_len;

	CHECK(segment->len > vnet->hdr_len && payload <= vnet->gso_size && (last || payload == vnet->gso_size));
	CHECK(!segment->super && !vs_frame_is_shared(segment));
	CHECK(memcmp(bytes, vs_frame_cbytes(super), 12) == 0);
	CHECK(memcmp(bytes + vnet->hdr_len, vs_frame_cbytes(super) + vnet->hdr_len + position, payload) == 0);
	if (vnet->gso_type == VS_GSO_UDP_L4)
		CHECK(vs_get_be16(bytes + vnet->csum_start + 4) == segment->len - vnet->csum_start);
	uint32_t sum = pseudo_sum(super, vnet, segment->len);
	CHECK(superframe_sum(sum, bytes + vnet->csum_start, segment->len - vnet->csum_start) == 0xffff);
}

/* Asserts that what the frame stands for comes next among the segments of the whole, and takes it off there. */
static void expect_next(struct vs_frame_list *whole, struct vs_pool *pool, struct vs_frame *frame)
{
	struct vs_frame_list cut;
	struct vs_frame *got;

	vs_frame_list_init(&cut, VS_GSO_SEGMENTS_MAX);
	if (frame->super)
		CHECK(vs_gso_segment(pool, frame, UINT32_MAX, &cut) == 0);
	else
		CHECK(vs_frame_list_push(&cut, vs_frame_ref(frame)));
	while ((got = vs_frame_list_pop(&cut))) {
		struct vs_frame *want = vs_frame_list_pop(whole);

		CHECK(want && got->len == want->len);
		CHECK(memcmp(vs_frame_cbytes(got), vs_frame_cbytes(want), want->len) == 0);
		vs_frame_unref(got);
		vs_frame_unref(want);
	}
	vs_frame_list_fini(&cut);
}

/* Of a valid super-frame: dropping the first segment or taking pieces of `len` from the front commutes with cutting. */
static void check_front(struct vs_pool *pool, const struct vs_frame *super, uint32_t len)
{
	struct vs_frame *frame = vs_frame_copy(pool, super), *piece;
	struct vs_frame_list whole;

	CHECK(frame);
	vs_frame_list_init(&whole, VS_GSO_SEGMENTS_MAX);
	CHECK(vs_gso_segment(pool, super, UINT32_MAX, &whole) == 0);
	bool several = whole.count > 1;
	CHECK(vs_gso_drop_front(frame, UINT32_MAX) == several);
	if (several)
		vs_frame_unref(vs_frame_list_pop(&whole));
	while ((piece = vs_gso_take_front(pool, frame, len, UINT32_MAX))) {
		expect_next(&whole, pool, piece);
		vs_frame_unref(piece);
	}
	expect_next(&whole, pool, frame);
	CHECK(whole.count == 0);
	vs_frame_unref(frame);
	vs_frame_list_fini(&whole);
}

static void check_super(struct vs_pool *pool, struct vs_frame *frame)
{
	struct vs_frame_list out;
	struct vs_frame *segment;
	struct vs_vnet vnet;
	uint32_t position = 0;

	bool valid = vs_gso_valid(frame);
	CHECK(vs_gso_sanitize(frame) == valid);
	vs_frame_list_init(&out, VS_GSO_SEGMENTS_MAX);
	if (!valid) {
		CHECK(vs_gso_segment(pool, frame, UINT32_MAX, &out) < 0 && out.count == 0);
		return;
	}
	vs_vnet_decode(frame->vnet, &vnet);
	uint32_t longest = vs_gso_longest(frame);
	CHECK(vs_gso_segment(pool, frame, longest, &out) == 0);
	while ((segment = vs_frame_list_pop(&out))) {
		CHECK(segment->len <= longest && segment->pool == pool);
		check_segment(frame, &vnet, segment, position);
		position += segment->len - vnet.hdr_len;
		vs_frame_unref(segment);
	}
	CHECK(position == frame->len - vnet.hdr_len);
	vs_frame_list_fini(&out);
	check_front(pool, frame, frame->len / 3);
	check_front(pool, frame, vnet.hdr_len);
}

static void check_plain(const struct vs_frame *frame, const uint8_t *raw)
{
	uint32_t len = frame->len;
	uint8_t *bytes = malloc(len + !len); /* exact, so that a write beyond its end is seen */
	struct vs_vnet vnet;

	CHECK(bytes);
	memcpy(bytes, vs_frame_cbytes(frame), len);
	vs_vnet_decode(raw, &vnet);
	bool inside = (uint32_t)vnet.csum_start + vnet.csum_offset + 2 <= len;
	CHECK(vs_csum_complete(bytes, len, &vnet) == inside);
	if (inside) {
		uint8_t *field = bytes + vnet.csum_start + vnet.csum_offset;
		uint32_t sum = superframe_sum(0, vs_frame_cbytes(frame) + vnet.csum_start, len - vnet.csum_start);

		CHECK(vs_get_be16(field) == (sum == 0xffff ? 0xffff : 0xffff - sum));
		memcpy(field, vs_frame_cbytes(frame) + (field - bytes), 2);
	}
	CHECK(memcmp(bytes, vs_frame_cbytes(frame), len) == 0);
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < VS_VNET_SIZE || size - VS_VNET_SIZE > VS_FRAME_MAX)
		return 0;
	struct vs_pool *pool = vs_pool_new(1 << 20);
	CHECK(pool);
	struct vs_frame *frame = vs_frame_new(pool, size - VS_VNET_SIZE);
	CHECK(frame);
	memcpy(frame->vnet, data, VS_VNET_SIZE);
	memcpy(vs_frame_bytes(frame), data + VS_VNET_SIZE, frame->len);
	frame->super = true;

	uint8_t *end = vs_frame_bytes(frame) + frame->len;
	uint32_t room = frame->capacity - frame->offset - frame->len;
	ASAN_POISON_MEMORY_REGION(end, room);
	check_super(pool, frame);
	check_plain(frame, data);
	ASAN_UNPOISON_MEMORY_REGION(end, room);
	vs_frame_unref(frame);
	vs_pool_free(pool);
	return 0;
}
