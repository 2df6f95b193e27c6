#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "switch/eth.h"

/* dst, src, C-tag PCP 5 VID 100, IPv4, payload */
static const uint8_t tagged[] = { 0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x81, 0x00, 0xa0, 0x64, 0x08, 0x00, 0x45 };
static const uint8_t plain[] = { 0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x08, 0x00, 0x45 };

static struct vs_frame *make_frame(struct vs_pool *pool, const uint8_t *bytes, size_t len)
{
	struct vs_frame *frame = vs_frame_new(pool, len);

	assert_non_null(frame);
	memcpy(vs_frame_bytes(frame), bytes, len);
	return frame;
}

static void assert_frame(const struct vs_frame *frame, const uint8_t *bytes, size_t len)
{
	assert_non_null(frame);
	assert_int_equal(frame->len, len);
	assert_memory_equal(vs_frame_cbytes(frame), bytes, len);
}

static void test_parse_plain(void **state)
{
	(void)state;
	struct vs_eth eth;

	assert_true(vs_eth_parse(plain, sizeof(plain), &eth));
	assert_false(eth.tagged);
	assert_int_equal(eth.tci, 0);
	assert_int_equal(eth.type, 0x0800);
	assert_memory_equal(&eth.dst, plain, 6);
	assert_memory_equal(&eth.src, plain + 6, 6);
}

static void test_parse_tagged(void **state)
{
	(void)state;
	struct vs_eth eth;

	assert_true(vs_eth_parse(tagged, sizeof(tagged), &eth));
	assert_true(eth.tagged);
	assert_int_equal(eth.tci, 0xa064);
	assert_int_equal(eth.type, 0x0800);
}

static void test_parse_service_tag_is_a_type(void **state)
{
	(void)state;
	uint8_t bytes[sizeof(tagged)];
	struct vs_eth eth;

	memcpy(bytes, tagged, sizeof(bytes));
	bytes[12] = 0x88;
	bytes[13] = 0xa8;
	assert_true(vs_eth_parse(bytes, sizeof(bytes), &eth));
	assert_false(eth.tagged);
	assert_int_equal(eth.type, 0x88a8);
}

static void test_parse_short(void **state)
{
	(void)state;
	struct vs_eth eth;

	for (size_t len = 0; len < VS_ETH_HEADER_SIZE; len++)
		assert_false(vs_eth_parse(plain, len, &eth));
	assert_true(vs_eth_parse(plain, VS_ETH_HEADER_SIZE, &eth));
	for (size_t len = 0; len < VS_ETH_HEADER_SIZE + VS_ETH_TAG_SIZE; len++)
		assert_false(vs_eth_parse(tagged, len, &eth));
	assert_true(vs_eth_parse(tagged, VS_ETH_HEADER_SIZE + VS_ETH_TAG_SIZE, &eth));
}

static void test_mac_kinds(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool group, zero, link_local;
	} rows[] = {
		{ "00:00:00:00:00:00", false, true, false },
		{ "00:00:00:00:00:01", false, false, false },
		{ "02:00:00:00:00:01", false, false, false },
		{ "ff:ff:ff:ff:ff:ff", true, false, false },
		{ "01:00:5e:00:00:fb", true, false, false },
		{ "01:80:c2:00:00:00", true, false, true },
		{ "01:80:c2:00:00:0f", true, false, true },
		{ "01:80:c2:00:00:10", true, false, false },
		{ "01:80:c2:00:01:00", true, false, false },
	};

	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		struct vs_mac mac;
		char text[VS_MAC_TEXT_SIZE];

		assert_int_equal(vs_mac_parse(rows[i].text, &mac), 0);
		assert_int_equal(vs_mac_is_group(&mac), rows[i].group);
		assert_int_equal(vs_mac_is_zero(&mac), rows[i].zero);
		assert_int_equal(vs_mac_is_link_local(&mac), rows[i].link_local);
		assert_string_equal(vs_mac_format(&mac, text), rows[i].text);
	}
}

static void test_mac_parse(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"", "02", "02:00:00:00:00", "02:00:00:00:00:0", "02:00:00:00:00:001", "02:00:00:00:00:0g",
		"02.00.00.00.00.01", " 2:00:00:00:00:01", "+2:00:00:00:00:01", "02:00:00:00:00:01:02",
	};
	struct vs_mac mac, lower;

	assert_int_equal(vs_mac_parse("0A-bC-DE-00-11-fF", &mac), 0);
	assert_int_equal(vs_mac_parse("0a:bc:de:00:11:ff", &lower), 0);
	assert_true(vs_mac_equal(&mac, &lower));
	for (size_t i = 0; i < VS_ARRAY_SIZE(bad); i++)
		assert_int_equal(vs_mac_parse(bad[i], &mac), -EINVAL);
	assert_true(vs_mac_equal(&mac, &lower));
}

static void test_push_and_pop_in_place(void **state)
{
	(void)state;
	struct vs_pool *pool = vs_pool_new(1 << 20);
	struct vs_frame *frame = make_frame(pool, plain, sizeof(plain));
	struct vs_frame *pushed = vs_eth_push_tag(pool, frame, 0xa064);

	assert_ptr_equal(pushed, frame);
	assert_frame(pushed, tagged, sizeof(tagged));
	struct vs_frame *popped = vs_eth_pop_tag(pool, pushed);
	assert_ptr_equal(popped, frame);
	assert_frame(popped, plain, sizeof(plain));
	assert_int_equal(popped->offset, VS_FRAME_HEADROOM);
	vs_frame_unref(popped);
	vs_pool_free(pool);
}

static void test_set_tag(void **state)
{
	(void)state;
	struct vs_pool *pool = vs_pool_new(1 << 20);
	struct vs_frame *frame = vs_eth_set_tag(pool, make_frame(pool, tagged, sizeof(tagged)), 0x2fff);
	struct vs_eth eth;

	assert_non_null(frame);
	assert_true(vs_eth_parse(vs_frame_cbytes(frame), frame->len, &eth));
	assert_int_equal(eth.tci, 0x2fff);
	assert_int_equal(eth.type, 0x0800);
	vs_frame_unref(frame);
	vs_pool_free(pool);
}

/* Whoever holds the other reference must not see the change. */
static void test_shared_frames_are_copied(void **state)
{
	(void)state;
	struct vs_pool *pool = vs_pool_new(1 << 20);
	struct vs_frame *shared = make_frame(pool, tagged, sizeof(tagged));
	struct vs_frame *changed[] = {
		vs_eth_pop_tag(pool, vs_frame_ref(shared)),
		vs_eth_push_tag(pool, vs_frame_ref(shared), 7),
		vs_eth_set_tag(pool, vs_frame_ref(shared), 8),
	};

	for (size_t i = 0; i < VS_ARRAY_SIZE(changed); i++) {
		assert_non_null(changed[i]);
		assert_ptr_not_equal(changed[i], shared);
		assert_false(vs_frame_is_shared(changed[i]));
		vs_frame_unref(changed[i]);
	}
	assert_false(vs_frame_is_shared(shared));
	assert_frame(shared, tagged, sizeof(tagged));
	vs_frame_unref(shared);
	vs_pool_free(pool);
}

static void test_push_without_headroom(void **state)
{
	(void)state;
	struct vs_pool *pool = vs_pool_new(1 << 20);
	struct vs_frame *frame = make_frame(pool, plain, sizeof(plain));

	frame->offset = 3;
	memcpy(vs_frame_bytes(frame), plain, sizeof(plain));
	frame = vs_eth_push_tag(pool, frame, 0xa064);
	assert_frame(frame, tagged, sizeof(tagged));
	vs_frame_unref(frame);
	vs_pool_free(pool);
}

/* Without a buffer for the copy there is no frame, but the reference is given back all the same. */
static void test_no_buffer(void **state)
{
	(void)state;
	struct vs_pool *pool = vs_pool_new(2048); /* one frame */
	struct vs_frame *shared = make_frame(pool, tagged, sizeof(tagged));

	assert_null(vs_eth_pop_tag(pool, vs_frame_ref(shared)));
	assert_null(vs_eth_push_tag(pool, vs_frame_ref(shared), 1));
	assert_null(vs_eth_set_tag(pool, vs_frame_ref(shared), 1));
	assert_false(vs_frame_is_shared(shared));
	vs_frame_unref(shared);
	vs_pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_plain),
		cmocka_unit_test(test_parse_tagged),
		cmocka_unit_test(test_parse_service_tag_is_a_type),
		cmocka_unit_test(test_parse_short),
		cmocka_unit_test(test_mac_kinds),
		cmocka_unit_test(test_mac_parse),
		cmocka_unit_test(test_push_and_pop_in_place),
		cmocka_unit_test(test_set_tag),
		cmocka_unit_test(test_shared_frames_are_copied),
		cmocka_unit_test(test_push_without_headroom),
		cmocka_unit_test(test_no_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
