#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "link/control.h"

static void test_close_survives_the_wire(void **state)
{
	(void)state;
	for (unsigned reason = 1; reason <= 255; reason++) {
		uint8_t wire[VS_CONTROL_ENCODED_MAX];
		struct vs_drops drops = { .count = { 0 } };
		struct vs_control in = { .close = (uint8_t)reason }, out;
		assert_int_equal(vs_control_encode(&in, wire), 3);
		assert_int_equal(vs_control_decode(&out, wire, 3, &drops), 0);
		assert_int_equal(out.close, reason);
		assert_non_null(vs_close_reason_text((uint8_t)reason));
	}
}

static void test_nothing_to_say(void **state)
{
	(void)state;
	uint8_t wire[VS_CONTROL_ENCODED_MAX];
	assert_int_equal(vs_control_encode(&(struct vs_control){ .close = 0 }, wire), 0);
}

static void test_renew(void **state)
{
	uint8_t wire[VS_CONTROL_ENCODED_MAX];
	struct vs_drops drops = { .count = { 0 } };
	struct vs_control out;
	(void)state;
	assert_int_equal(vs_control_encode(&(struct vs_control){ .renew = true }, wire), 2);
	assert_int_equal(vs_control_decode(&out, wire, 2, &drops), 0);
	assert_true(out.renew);
	assert_int_equal(out.close, 0);
	size_t len = vs_control_encode(&(struct vs_control){ .close = VS_CLOSE_KICKED, .renew = true }, wire);
	assert_int_equal(vs_control_decode(&out, wire, len, &drops), 0);
	assert_true(out.renew);
	assert_int_equal(out.close, VS_CLOSE_KICKED);
	assert_int_equal(vs_control_decode(&out, wire, len - 1, &drops), -EBADMSG);
	assert_false(out.renew);
}

static void test_texts(void **state)
{
	(void)state;
	assert_string_equal(vs_close_reason_text(VS_CLOSE_KICKED), "ended by an operator");
	assert_string_equal(vs_close_reason_text(0), "unknown reason");
	assert_string_equal(vs_close_reason_text(200), "unknown reason");
}

static void test_decode(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		uint8_t bytes[12];
		size_t len;
		int result;
		uint8_t close;
	} rows[] = {
		{ "empty", { 0 }, 0, 0, 0 },
		{ "close", { 1, 1, 2 }, 3, 0, 2 },
		{ "unknown type", { 77, 3, 9, 9, 9 }, 5, 0, 0 },
		{ "unknown types around close", { 77, 0, 1, 1, 3, 200, 2, 0, 0 }, 9, 0, 3 },
		{ "a longer value of a newer peer", { 1, 4, 2, 9, 9, 9 }, 6, 0, 2 },
		{ "the first of two stands", { 1, 1, 4, 1, 1, 5 }, 6, 0, 4 },
		{ "type alone", { 1 }, 1, -EBADMSG, 0 },
		{ "value missing", { 1, 1 }, 2, -EBADMSG, 0 },
		{ "value cut short", { 77, 4, 0, 0, 0 }, 5, -EBADMSG, 0 },
		{ "no reason", { 1, 0 }, 2, -EBADMSG, 0 },
		{ "reason zero", { 1, 1, 0 }, 3, -EBADMSG, 0 },
		{ "rubbish behind close", { 1, 1, 2, 9 }, 4, -EBADMSG, 0 },
	};
	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		struct vs_drops drops = { .count = { 0 } };
		struct vs_control out = { .close = 99 };
		int result = vs_control_decode(&out, rows[i].bytes, rows[i].len, &drops);
		if (result != rows[i].result || out.close != rows[i].close)
			fail_msg("%s: result %d, close %u", rows[i].what, result, out.close);
		assert_int_equal(drops.count[VS_DROP_BAD_CONTROL], result != 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_close_survives_the_wire),
		cmocka_unit_test(test_nothing_to_say),
		cmocka_unit_test(test_renew),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_decode),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
