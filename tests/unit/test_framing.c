#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "link/framing.h"

#define LIST_MAX 256

/* A stream under construction, and the receiving side that it is fed to. */
struct fixture {
	struct vs_pool *pool;
	struct vs_drops drops;
	struct vs_deframer deframer;
	struct vs_deframed out;
	uint8_t stream[64 * 1024];
	size_t len;
};

static void init(struct fixture *f, size_t pool_bytes, uint32_t list_max)
{
	memset(f, 0, sizeof(*f));
	f->pool = vs_pool_new(pool_bytes);
	assert_non_null(f->pool);
	vs_frame_list_init(&f->out.frames, list_max);
	vs_frame_list_init(&f->out.control, list_max);
}

static void fini(struct fixture *f)
{
	vs_deframer_reset(&f->deframer);
	vs_frame_list_fini(&f->out.frames);
	vs_frame_list_fini(&f->out.control);
	vs_pool_free(f->pool); /* asserts that no reference was lost */
}

/* Appends a framed body whose bytes are a function of its number and length. */
static void add(struct fixture *f, uint16_t flag, uint16_t len, uint8_t number)
{
	vs_framing_encode(f->stream + f->len, flag, len);
	for (size_t i = 0; i < len; i++)
		f->stream[f->len + VS_FRAMING_HEADER + i] = (uint8_t)(number + 7 * i);
	f->len += VS_FRAMING_HEADER + (size_t)len;
}

static int feed(struct fixture *f, size_t from, size_t to)
{
	return vs_deframer_input(&f->deframer, f->pool, &f->drops, f->stream + from, to - from, &f->out);
}

static void expect(struct vs_frame_list *list, uint32_t len, uint8_t number)
{
	struct vs_frame *frame = vs_frame_list_pop(list);
	assert_non_null(frame);
	assert_int_equal(frame->len, len);
	assert_false(vs_frame_is_shared(frame));
	for (size_t i = 0; i < len; i++)
		if (vs_frame_bytes(frame)[i] != (uint8_t)(number + 7 * i))
			fail_msg("byte %zu of frame %u", i, number);
	vs_frame_unref(frame);
}

static void add_mixed(struct fixture *f)
{
	add(f, VS_FLAG_FRAME, 14, 1);
	add(f, VS_FLAG_CONTROL, 3, 2);
	add(f, VS_FLAG_FRAME, 60, 3);
	add(f, VS_FLAG_FRAME, 15, 4);
	add(f, VS_FLAG_CONTROL, 2, 5);
}

static void expect_mixed(struct fixture *f)
{
	expect(&f->out.frames, 14, 1);
	expect(&f->out.frames, 60, 3);
	expect(&f->out.frames, 15, 4);
	expect(&f->out.control, 3, 2);
	expect(&f->out.control, 2, 5);
	assert_int_equal(f->out.frames.count + f->out.control.count, 0);
	assert_false(vs_deframer_mid_frame(&f->deframer));
	assert_int_equal(vs_deframer_pending(&f->deframer), 0);
}

/* The stream cut at every pair of positions. */
static void test_every_split(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, 1 << 20, LIST_MAX);
	add_mixed(&f);
	for (size_t i = 0; i <= f.len; i++) {
		for (size_t j = i; j <= f.len; j++) {
			assert_int_equal(feed(&f, 0, i), 0);
			assert_int_equal(feed(&f, i, j), 0);
			assert_int_equal(feed(&f, j, f.len), 0);
			expect_mixed(&f);
		}
	}
	fini(&f);
}

static void test_pieces_of_every_size(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, 4 << 20, LIST_MAX);
	add(&f, VS_FLAG_FRAME, VS_ETH_FRAME_MAX, 9);
	add(&f, VS_FLAG_CONTROL, VS_CONTROL_MAX, 8);
	add(&f, VS_FLAG_FRAME, VS_ETH_HEADER, 7);
	for (size_t piece = 1; piece <= f.len; piece += 1 + piece / 8) {
		for (size_t at = 0; at < f.len; at += piece)
			assert_int_equal(feed(&f, at, VS_MIN(at + piece, f.len)), 0);
		expect(&f.out.frames, VS_ETH_FRAME_MAX, 9);
		expect(&f.out.control, VS_CONTROL_MAX, 8);
		expect(&f.out.frames, VS_ETH_HEADER, 7);
	}
	fini(&f);
}

static void test_headers_that_cannot_be(void **state)
{
	(void)state;
	static const struct { uint16_t flag, len; bool valid; } rows[] = {
		{ VS_FLAG_FRAME, VS_ETH_HEADER, true },       { VS_FLAG_FRAME, VS_ETH_HEADER - 1, false },
		{ VS_FLAG_FRAME, 0, false },                  { VS_FLAG_FRAME, VS_ETH_FRAME_MAX, true },
		{ VS_FLAG_FRAME, VS_ETH_FRAME_MAX + 1, false }, { VS_FLAG_FRAME, 0xffff, false },
		{ VS_FLAG_CONTROL, 2, true },                 { VS_FLAG_CONTROL, 1, false },
		{ VS_FLAG_CONTROL, 0, false },                { VS_FLAG_CONTROL, VS_CONTROL_MAX, true },
		{ VS_FLAG_CONTROL, VS_CONTROL_MAX + 1, false }, { 0xBCC0, 100, false },
		{ 0xBCBB, 100, false },                       { 0xBCBF, 100, false },
		{ 0x0000, 100, false },                       { 0xBEBC, 100, false },
	};
	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		struct fixture f;
		bool valid = rows[i].valid;
		init(&f, 1 << 20, LIST_MAX);
		add(&f, VS_FLAG_FRAME, 20, 1);
		size_t bad = f.len;
		vs_put_be16(f.stream + bad, rows[i].flag);
		vs_put_be16(f.stream + bad + 2, rows[i].len);
		assert_int_equal(feed(&f, 0, bad + 3), 0); /* it takes the whole header to judge it */
		assert_int_equal(feed(&f, bad + 3, bad + 4), valid ? 0 : -EBADMSG);
		assert_int_equal(f.drops.count[VS_DROP_BAD_FRAMING], !valid);
		assert_int_equal(vs_deframer_mid_frame(&f.deframer), valid);
		expect(&f.out.frames, 20, 1); /* what came before is not lost */
		fini(&f);
	}
}

static void test_rest_after_an_error_is_not_read(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, 1 << 20, LIST_MAX);
	vs_put_be32(f.stream, 0xdeadbeef);
	f.len = 4;
	add(&f, VS_FLAG_FRAME, 20, 1);
	assert_int_equal(feed(&f, 0, f.len), -EBADMSG);
	assert_int_equal(f.out.frames.count, 0);
	fini(&f);
}

static void test_state_in_mid_frame(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, 1 << 20, LIST_MAX);
	add(&f, VS_FLAG_FRAME, 100, 1);
	assert_int_equal(feed(&f, 0, 3), 0);
	assert_true(vs_deframer_mid_frame(&f.deframer));
	assert_int_equal(vs_deframer_pending(&f.deframer), 0);
	assert_int_equal(feed(&f, 3, 4), 0);
	assert_int_equal(vs_deframer_pending(&f.deframer), 100);
	assert_int_equal(feed(&f, 4, 103), 0);
	assert_int_equal(vs_deframer_pending(&f.deframer), 100);
	assert_int_equal(feed(&f, 103, 104), 0);
	assert_int_equal(vs_deframer_pending(&f.deframer), 0);
	assert_false(vs_deframer_mid_frame(&f.deframer));
	fini(&f);
}

/* SKIP: whatever was cut off, the next bytes start a frame. */
static void test_reset_at_every_position(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, 1 << 20, LIST_MAX);
	add(&f, VS_FLAG_FRAME, 40, 1);
	for (size_t cut = 0; cut < f.len; cut++) {
		assert_int_equal(feed(&f, 0, cut), 0);
		vs_deframer_reset(&f.deframer);
		assert_false(vs_deframer_mid_frame(&f.deframer));
		assert_int_equal(vs_deframer_pending(&f.deframer), 0);
		assert_int_equal(feed(&f, 0, f.len), 0);
		expect(&f.out.frames, 40, 1);
		assert_int_equal(f.out.frames.count, 0);
	}
	fini(&f);
}

/* With the pool at its maximum the frame is lost, but not the place in the stream. */
static void test_pool_exhausted(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, 4096, LIST_MAX); /* room for two small frames */
	struct vs_frame *hold[2] = { vs_frame_new(f.pool, 100), vs_frame_new(f.pool, 100) };
	assert_non_null(hold[0]);
	assert_non_null(hold[1]);
	add(&f, VS_FLAG_FRAME, 50, 1);
	add(&f, VS_FLAG_CONTROL, 50, 2);
	size_t exhausted = f.len;
	add(&f, VS_FLAG_FRAME, 50, 3);
	for (size_t i = 0; i < exhausted; i++)
		assert_int_equal(feed(&f, i, i + 1), 0);
	assert_int_equal(f.drops.count[VS_DROP_NO_BUFFER], 2);
	assert_false(vs_deframer_mid_frame(&f.deframer));
	vs_frame_unref(hold[0]);
	vs_frame_unref(hold[1]);
	assert_int_equal(feed(&f, exhausted, f.len), 0);
	expect(&f.out.frames, 50, 3);
	fini(&f);
}

static void test_list_full(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, 1 << 20, 2);
	for (uint8_t i = 0; i < 4; i++)
		add(&f, VS_FLAG_FRAME, 50, i);
	assert_int_equal(feed(&f, 0, f.len), 0);
	assert_int_equal(f.drops.count[VS_DROP_NO_BUFFER], 2);
	expect(&f.out.frames, 50, 0);
	expect(&f.out.frames, 50, 1);
	assert_int_equal(feed(&f, 0, 54), 0);
	expect(&f.out.frames, 50, 0);
	fini(&f);
}

static void test_prepend(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, 1 << 20, LIST_MAX);
	struct vs_frame *frame = vs_frame_new(f.pool, 0x123);
	memset(vs_frame_bytes(frame), 0x55, 0x123);
	vs_frame_ref(frame); /* a flooded frame: two links write the same header */
	uint8_t *first = vs_framing_prepend(frame);
	uint8_t *second = vs_framing_prepend(frame);
	assert_ptr_equal(first, second);
	assert_ptr_equal(first, vs_frame_bytes(frame) - VS_FRAMING_HEADER);
	assert_memory_equal(first, ((const uint8_t[]){ 0xbc, 0xbc, 0x01, 0x23, 0x55 }), 5);
	assert_int_equal(frame->len, 0x123);
	uint8_t *control = vs_framing_prepend_control(frame);
	assert_memory_equal(control, ((const uint8_t[]){ 0xbc, 0xbe, 0x01, 0x23, 0x55 }), 5);
	vs_frame_unref(frame);
	vs_frame_unref(frame);
	fini(&f);
}

/* What is written ahead is what the links would write, and holds until the frame is changed. */
static void test_prepare(void **state)
{
	(void)state;
	struct fixture f;
	init(&f, 1 << 20, LIST_MAX);
	static const uint8_t header[] = { 0xbc, 0xbc, 0x02, 0x00 }, longer[] = { 0xbc, 0xbc, 0x02, 0x04 };
	struct vs_frame *frame = vs_frame_new(f.pool, 0x200);
	vs_framing_prepare(frame);
	const uint8_t *ahead = vs_frame_bytes(frame) - VS_FRAMING_HEADER;
	assert_memory_equal(ahead, header, sizeof(header));
	assert_ptr_equal(vs_framing_prepend(frame), ahead);
	assert_memory_equal(ahead, header, sizeof(header));
	frame->offset -= 4;
	frame->len += 4;
	assert_memory_equal(vs_framing_prepend(frame), longer, sizeof(longer));

	frame->super = true;
	memset(frame->vnet, 0x77, sizeof(frame->vnet));
	vs_framing_prepare(frame);
	ahead = vs_frame_bytes(frame) - VS_FRAMING_SUPER_HEADER;
	assert_memory_equal(ahead, ((const uint8_t[]){ 0xbc, 0xbd, 0, 0, 0x02, 0x04, 0x77 }), 7);
	assert_ptr_equal(vs_framing_prepend(frame), ahead);
	vs_frame_unref(frame);

	/* No link takes it, so nothing is written, and nothing fails. */
	frame = vs_frame_new(f.pool, VS_ETH_FRAME_MAX + 1);
	memset(vs_frame_bytes(frame) - 4, 0x99, 4);
	vs_framing_prepare(frame);
	assert_memory_equal(vs_frame_bytes(frame) - 4, "\x99\x99\x99\x99", 4);
	vs_frame_unref(frame);
	fini(&f);
}

static void add_super(struct fixture *f, uint32_t len)
{
	uint8_t *p = f->stream + f->len;
	vs_put_be16(p, VS_FLAG_SUPER);
	vs_put_be32(p + 2, len);
	for (size_t i = 0; i < VS_VNET_SIZE; i++)
		p[6 + i] = (uint8_t)(0xa0 + i);
	for (uint32_t i = 0; i < len; i++)
		p[VS_FRAMING_SUPER_HEADER + i] = (uint8_t)(i * 7);
	f->len += VS_FRAMING_SUPER_HEADER + len;
}

/* Super-frames, wherever the stream is cut, between ordinary ones. */
static void test_supers_at_every_split(void **state)
{
	(void)state;
	for (size_t cut = 1; cut < 24 + VS_FRAMING_SUPER_HEADER + 300; cut++) {
		struct fixture f;
		init(&f, 1 << 20, LIST_MAX);
		f.out.supers = true;
		add(&f, VS_FLAG_FRAME, 20, 1);
		add_super(&f, 300);
		add(&f, VS_FLAG_FRAME, 30, 2);
		assert_int_equal(feed(&f, 0, cut), 0);
		assert_int_equal(feed(&f, cut, f.len), 0);
		expect(&f.out.frames, 20, 1);
		struct vs_frame *super = vs_frame_list_pop(&f.out.frames);
		assert_true(super->super);
		assert_int_equal(super->len, 300);
		for (uint32_t i = 0; i < 300; i++)
			assert_int_equal(vs_frame_cbytes(super)[i], (uint8_t)(i * 7));
		/* Prepending the header again gives back what came. */
		const uint8_t *header = vs_framing_prepend(super);
		assert_memory_equal(header, f.stream + 24, VS_FRAMING_SUPER_HEADER);
		vs_frame_unref(super);
		expect(&f.out.frames, 30, 2);
		fini(&f);
	}
}

static void test_supers_are_refused(void **state)
{
	(void)state;
	static const struct { bool agreed; uint32_t len; } rows[] = {
		{ false, 300 }, { true, VS_ETH_HEADER - 1 }, { true, VS_FRAME_MAX + 1 }, { true, UINT32_MAX },
	};
	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		struct fixture f;
		init(&f, 1 << 20, LIST_MAX);
		f.out.supers = rows[i].agreed;
		add_super(&f, 300);
		vs_put_be32(f.stream + 2, rows[i].len);
		assert_int_equal(feed(&f, 0, f.len), -EBADMSG);
		assert_int_equal(f.drops.count[VS_DROP_BAD_FRAMING], 1);
		fini(&f);
	}
}

static void test_idle_deframer_is_small(void **state)
{
	(void)state;
	assert_true(sizeof(struct vs_deframer) <= 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_split),
		cmocka_unit_test(test_pieces_of_every_size),
		cmocka_unit_test(test_headers_that_cannot_be),
		cmocka_unit_test(test_rest_after_an_error_is_not_read),
		cmocka_unit_test(test_state_in_mid_frame),
		cmocka_unit_test(test_reset_at_every_position),
		cmocka_unit_test(test_pool_exhausted),
		cmocka_unit_test(test_list_full),
		cmocka_unit_test(test_prepend),
		cmocka_unit_test(test_prepare),
		cmocka_unit_test(test_supers_at_every_split),
		cmocka_unit_test(test_supers_are_refused),
		cmocka_unit_test(test_idle_deframer_is_small),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
