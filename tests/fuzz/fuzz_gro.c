/* Frames from foreign peers on their way to a TAP: a byte of options, then each frame behind its length (16 bits). What
 * joins to a run is a valid super-frame, and taking that apart gives the frames that it was made of, byte for byte but
 * for the identification of IPv4 packets with DF. Every frame comes out once and in order. As damaged checksums are all
 * that mutation makes, an option has them put right first. The bytes behind each frame's end are poisoned. */
#include <stdint.h>
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
#include "fuzz/check.h"
#include "superframe.h"
#include "switch/gro.h"

#define OPTION_REPAIR 1

/* Pointers to the frames that are in the run, to compare with. */
struct expected {
	struct vs_frame *frames[VS_GRO_FRAMES_MAX];
	uint32_t count;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Behind at most one tag, where there is TCP or UDP in IP without options. */
static void repair(uint8_t *b, uint32_t len)
{
	struct superframe_parts at = { .l3 = len > 16 && vs_get_be16(b + 12) == 0x8100 ? 18 : 14 };

	if (len < at.l3 + 40u)
		return;
	bool ipv6 = vs_get_be16(b + at.l3 - 2) == 0x86dd, udp = b[at.l3 + (ipv6 ? 6 : 9)] == 17;
	uint32_t field = udp ? 6 : 16;
	at.l4 = at.l3 + (ipv6 ? 40 : 20);
	if (len < at.l4 + field + 2)
		return;
	vs_put_be16(b + at.l4 + field, 0);
	uint32_t sum = superframe_pseudo_sum(b + at.l3, ipv6, udp, len - at.l4);
	uint16_t check = (uint16_t)~superframe_sum(sum, b + at.l4, len - at.l4);
	vs_put_be16(b + at.l4 + field, udp && check == 0 ? 0xffff : check);
	if (ipv6)
		return;
	vs_put_be16(b + at.l3 + 10, 0);
	vs_put_be16(b + at.l3 + 10, (uint16_t)~superframe_sum(0, b + at.l3, 20));
}

static struct vs_frame *assemble(struct vs_pool *pool, struct vs_gro *gro)
{
	struct iovec parts[VS_GRO_PARTS_MAX];
	uint32_t count = vs_gro_parts(gro, parts);
	struct vs_frame *super = vs_frame_new(pool, VS_FRAME_MAX);

	CHECK(super && count == gro->count + 1);
	uint8_t *to = vs_frame_bytes(super);
	CHECK(parts[0].iov_len > VS_VNET_SIZE);
	super->super = true;
	memcpy(super->vnet, parts[0].iov_base, VS_VNET_SIZE);
	super->len = 0;
	for (uint32_t i = 0; i < count; i++) {
		size_t skip = i == 0 ? VS_VNET_SIZE : 0;

		memcpy(to + super->len, (uint8_t *)parts[i].iov_base + skip, parts[i].iov_len - skip);
		super->len += (uint32_t)(parts[i].iov_len - skip);
	}
	return super;
}

/* What DF makes meaningless is taken over from the frame that was. */
static void mend_id(const struct vs_gro *gro, uint8_t *got, const uint8_t *want)
{
	if (!gro->ipv4 || !(vs_get_be16(want + gro->l3 + 6) & 0x4000))
		return;
	memcpy(got + gro->l3 + 4, want + gro->l3 + 4, 2);
	memcpy(got + gro->l3 + 10, want + gro->l3 + 10, 2);
}

static void check_run(struct vs_pool *pool, struct vs_gro *gro, const struct expected *expected)
{
	struct vs_frame *super = assemble(pool, gro), *got;
	struct vs_frame_list out;
	uint32_t n = 0;

	CHECK(super->len - gro->l3 <= VS_GRO_PACKET_MAX);
	CHECK(vs_gso_sanitize(super));
	vs_frame_list_init(&out, VS_GSO_SEGMENTS_MAX);
	CHECK(vs_gso_segment(pool, super, gro->frames[0]->len, &out) == 0);
	CHECK(out.count == expected->count);
	while ((got = vs_frame_list_pop(&out))) {
		const struct vs_frame *want = expected->frames[n++];

		mend_id(gro, vs_frame_bytes(got), vs_frame_cbytes(want));
		CHECK(got->len == want->len && memcmp(vs_frame_cbytes(got), vs_frame_cbytes(want), want->len) == 0);
		vs_frame_unref(got);
	}
	vs_frame_list_fini(&out);
	vs_frame_unref(super);
}

/* The run leaves. */
static void finish(struct vs_pool *pool, struct vs_gro *gro, struct expected *expected)
{
	CHECK(gro->count == expected->count);
	if (gro->count > 1)
		check_run(pool, gro, expected);
	for (uint32_t i = 0; i < expected->count; i++) {
		struct vs_frame *frame = expected->frames[i];

		CHECK(gro->frames[i] == frame);
		ASAN_UNPOISON_MEMORY_REGION(frame->data, frame->capacity);
	}
	vs_gro_clear(gro);
	expected->count = 0;
}

static void input(struct vs_pool *pool, struct vs_gro *gro, struct expected *expected, struct vs_frame *frame)
{
	uint32_t end = frame->offset + frame->len;

	ASAN_POISON_MEMORY_REGION(frame->data + end, frame->capacity - end);
	bool taken = vs_gro_add(gro, frame);
	if (!taken) {
		finish(pool, gro, expected);
		taken = vs_gro_add(gro, frame);
	}
	if (taken) {
		CHECK(expected->count < VS_GRO_FRAMES_MAX);
		expected->frames[expected->count++] = frame;
		return;
	}
	ASAN_UNPOISON_MEMORY_REGION(frame->data + end, frame->capacity - end);
	vs_frame_unref(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vs_view view = vs_view_of(data, size);
	struct expected expected = { .count = 0 };
	struct vs_gro gro = { .count = 0 };
	struct vs_pool *pool = vs_pool_new(64 << 20);

	CHECK(pool);
	uint8_t options = vs_view_u8(&view);
	while (view.len > 2) {
		uint16_t len = vs_view_be16(&view);
		struct vs_frame *frame = vs_frame_new(pool, VS_MIN(len, view.len));
		const uint8_t *bytes = vs_view_pull(&view, VS_MIN(len, view.len));

		CHECK(frame && bytes);
		memcpy(vs_frame_bytes(frame), bytes, frame->len);
		if (options & OPTION_REPAIR)
			repair(vs_frame_bytes(frame), frame->len);
		input(pool, &gro, &expected, frame);
	}
	finish(pool, &gro, &expected);
	vs_pool_free(pool);
	return 0;
}
