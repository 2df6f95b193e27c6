#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "link/fec_config.h"

static void test_texts(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum vs_fec_kind kind;
		uint8_t k, m;
	} cases[] = {
		{ "off", VS_FEC_OFF, 0, 0 },        { "auto", VS_FEC_AUTO, 0, 0 },
		{ "1:1", VS_FEC_FIXED, 1, 1 },      { "1:4", VS_FEC_FIXED, 1, 4 },
		{ "20:10", VS_FEC_FIXED, 20, 10 },  { "64:64", VS_FEC_FIXED, 64, 64 },
		{ "16:64", VS_FEC_FIXED, 16, 64 },  { "64:1", VS_FEC_FIXED, 64, 1 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vs_fec_config config = { 0 };
		char text[VS_FEC_TEXT_MAX];
		assert_int_equal(vs_fec_parse(cases[i].text, &config), 0);
		assert_int_equal(config.kind, cases[i].kind);
		assert_int_equal(config.k, cases[i].k);
		assert_int_equal(config.m, cases[i].m);
		assert_int_equal(config.overhead_max, VS_FEC_OVERHEAD_DEFAULT);
		assert_true(vs_fec_config_valid(&config));
		assert_string_equal(vs_fec_format(&config, text), cases[i].text);
	}
}

static void test_what_is_refused(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"", "on", "OFF", "auto ", ":", "1", "1:", ":1", "0:1", "1:0", "1:5", "15:61", "65:1", "64:65", "100:1",
		"1:100", "01:1", "1:01", "+1:1", "-1:1", "1 :1", "1:1 ", "1:1:1", "1.5:1", "0x1:1", "off:1",
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct vs_fec_config config = { .kind = VS_FEC_FIXED, .k = 3, .m = 2, .overhead_max = 7 };
		struct vs_fec_config before = config;
		assert_int_equal(vs_fec_parse(texts[i], &config), -EINVAL);
		assert_memory_equal(&config, &before, sizeof(config));
	}
}

static void test_validity(void **state)
{
	(void)state;
	static const struct {
		struct vs_fec_config config;
		bool valid;
	} cases[] = {
		{ { VS_FEC_OFF, 0, 0, 0 }, true },      { { VS_FEC_OFF, 99, 99, 255 }, true },
		{ { VS_FEC_FIXED, 1, 4, 0 }, true },    { { VS_FEC_FIXED, 1, 5, 0 }, false },
		{ { VS_FEC_FIXED, 0, 0, 60 }, false },  { { VS_FEC_FIXED, 65, 1, 60 }, false },
		{ { VS_FEC_FIXED, 64, 65, 60 }, false }, { { VS_FEC_AUTO, 0, 0, 0 }, false },
		{ { VS_FEC_AUTO, 0, 0, 1 }, true },     { { VS_FEC_AUTO, 0, 0, VS_FEC_OVERHEAD_LIMIT }, true },
		{ { VS_FEC_AUTO, 0, 0, VS_FEC_OVERHEAD_LIMIT + 1 }, false },
		{ { (enum vs_fec_kind)3, 1, 1, 1 }, false },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(vs_fec_config_valid(&cases[i].config), cases[i].valid);
}

static void test_equality(void **state)
{
	(void)state;
	const struct vs_fec_config off = { .kind = VS_FEC_OFF }, off_too = { .kind = VS_FEC_OFF, .overhead_max = 3 };
	const struct vs_fec_config two = { VS_FEC_FIXED, 2, 1, 0 }, two_too = { VS_FEC_FIXED, 2, 1, 9 };
	const struct vs_fec_config four = { VS_FEC_FIXED, 4, 2, 0 };
	const struct vs_fec_config some = { VS_FEC_AUTO, 0, 0, 30 }, more = { VS_FEC_AUTO, 0, 0, 60 };
	assert_true(vs_fec_config_equal(&off, &off_too));
	assert_true(vs_fec_config_equal(&two, &two_too));
	assert_false(vs_fec_config_equal(&two, &four));
	assert_false(vs_fec_config_equal(&some, &more));
	assert_false(vs_fec_config_equal(&off, &some));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_validity),
		cmocka_unit_test(test_equality),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
