/* The deframer on a foreign byte stream. The input's first byte says how to cut the rest into pieces; whatever the cut,
 * the outcome must be that of the uncut stream. Control messages go on to their decoder, and every frame that is found
 * must frame to the bytes that it came from. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "link/control.h"
#include "link/framing.h"

#define CHECK(condition)                 \
	do {                             \
		if (!(condition))        \
			abort();         \
	} while (0)

#define LIST_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct side {
	struct vs_deframer deframer;
	struct vs_deframed out;
	struct vs_drops drops;
	int result;
};

static void feed(struct side *side, struct vs_pool *pool, const uint8_t *data, size_t size, size_t piece)
{
	vs_frame_list_init(&side->out.frames, LIST_MAX);
	vs_frame_list_init(&side->out.control, LIST_MAX);
	for (size_t at = 0; at < size && side->result == 0; at += piece)
		side->result = vs_deframer_input(&side->deframer, pool, &side->drops, data + at,
						 VS_MIN(piece, size - at), &side->out);
}

static void fini(struct side *side)
{
	vs_deframer_reset(&side->deframer);
	CHECK(!vs_deframer_mid_frame(&side->deframer) && vs_deframer_pending(&side->deframer) == 0);
	vs_frame_list_fini(&side->out.frames);
	vs_frame_list_fini(&side->out.control);
}

/* Takes the frames out of both lists, which must hold the same; returns the bytes of stream that they came from. */
static size_t compare(struct vs_frame_list *a, struct vs_frame_list *b, uint8_t *(*prepend)(struct vs_frame *))
{
	size_t bytes = 0;
	CHECK(a->count == b->count);
	for (struct vs_frame *x; (x = vs_frame_list_pop(a));) {
		struct vs_frame *y = vs_frame_list_pop(b);
		CHECK(x->len == y->len && !vs_frame_is_shared(x) && !vs_frame_is_shared(y));
		CHECK(memcmp(prepend(x), prepend(y), VS_FRAMING_HEADER + x->len) == 0);
		bytes += VS_FRAMING_HEADER + x->len;
		vs_frame_unref(x);
		vs_frame_unref(y);
	}
	return bytes;
}

static void decode_control(const struct vs_frame_list *list)
{
	for (uint32_t i = 0; i < list->count; i++) {
		const struct vs_frame *frame = list->ring[(list->head + i) & (list->capacity - 1)];
		struct vs_drops drops = { .count = { 0 } };
		struct vs_control control;
		int result = vs_control_decode(&control, vs_frame_cbytes(frame), frame->len, &drops);
		CHECK((result != 0) == (drops.count[VS_DROP_BAD_CONTROL] == 1));
		CHECK(result == 0 || control.close == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	size_t piece = 1 + data[0];
	data++;
	size--;
	struct vs_pool *pool = vs_pool_new(256 << 20);
	struct side whole = { .result = 0 }, cut = { .result = 0 };
	CHECK(pool);
	feed(&whole, pool, data, size, size + 1);
	feed(&cut, pool, data, size, piece);

	CHECK(whole.result == cut.result);
	CHECK(whole.drops.count[VS_DROP_BAD_FRAMING] == (whole.result != 0));
	CHECK(vs_deframer_mid_frame(&whole.deframer) == vs_deframer_mid_frame(&cut.deframer));
	CHECK(vs_deframer_pending(&whole.deframer) == vs_deframer_pending(&cut.deframer));
	decode_control(&whole.out.control);
	size_t bytes = compare(&whole.out.frames, &cut.out.frames, vs_framing_prepend);
	bytes += compare(&whole.out.control, &cut.out.control, vs_framing_prepend_control);
	CHECK(bytes <= size);
	CHECK(whole.result != 0 || vs_deframer_mid_frame(&whole.deframer) == (bytes < size));

	fini(&whole);
	fini(&cut);
	vs_pool_free(pool);
	return 0;
}
