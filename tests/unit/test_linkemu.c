/* The parts of the link emulator around its model: settings, the delay line, what a router answers. */
#include "emu/delayline.h"
#include "emu/setting.h"
#include "emu/toobig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/time.h"

static void test_settings(void **state)
{
	static const struct {
		const char *text;
		enum vs_setting_way way;
		enum vs_impair_field field;
		double value;
	} good[] = {
		{ "delay=25ms", VS_SETTING_BOTH, VS_IMPAIR_DELAY, 25000 },
		{ "delay=25", VS_SETTING_BOTH, VS_IMPAIR_DELAY, 25000 },
		{ "up-delay=1.5s", VS_SETTING_UP, VS_IMPAIR_DELAY, 1500000 },
		{ "down-jitter=300us", VS_SETTING_DOWN, VS_IMPAIR_JITTER, 300 },
		{ "loss=2%", VS_SETTING_BOTH, VS_IMPAIR_LOSS, 0.02 },
		{ "loss=0.5", VS_SETTING_BOTH, VS_IMPAIR_LOSS, 0.5 },
		{ "rate=100mbit", VS_SETTING_BOTH, VS_IMPAIR_RATE, 1e8 },
		{ "rate=1Gbit", VS_SETTING_BOTH, VS_IMPAIR_RATE, 1e9 },
		{ "rate=0", VS_SETTING_BOTH, VS_IMPAIR_RATE, 0 },
		{ "queue=512k", VS_SETTING_BOTH, VS_IMPAIR_QUEUE, 524288 },
		{ "mtu=1280", VS_SETTING_BOTH, VS_IMPAIR_MTU, 1280 },
		{ "off=yes", VS_SETTING_BOTH, VS_IMPAIR_DOWN, 1 },
		{ "down-off=no", VS_SETTING_DOWN, VS_IMPAIR_DOWN, 0 },
		{ "jitter-shape=normal", VS_SETTING_BOTH, VS_IMPAIR_JITTER_NORMAL, 1 },
		{ "jitter-order=keep", VS_SETTING_BOTH, VS_IMPAIR_JITTER_REORDERS, 0 },
	};

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(good); i++) {
		char error[VS_SETTING_ERROR_SIZE];
		struct vs_setting s;
		assert_int_equal(vs_setting_parse_pair(&s, good[i].text, error), 0);
		assert_int_equal(s.way, good[i].way);
		assert_int_equal(s.field, good[i].field);
		assert_float_equal(s.value, good[i].value, 1e-9);
	}
}

static void test_bad_settings(void **state)
{
	static const char *const bad[] = {
		"", "=", "loss", "loss=", "loss=101%", "loss=-1%", "loss=1x", "delay=nan", "delay=inf", "delay=5kg", "mtu=1e99",
		"rate=100", "rate=mbit", "colour=blue", "sideways-loss=1%", "off=maybe", "up-=3",
		"a-name-that-is-longer-than-any-setting-has=1",
	};

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(bad); i++) {
		char error[VS_SETTING_ERROR_SIZE] = "";
		struct vs_setting s;
		assert_int_equal(vs_setting_parse_pair(&s, bad[i], error), -EINVAL);
		assert_true(error[0]);
	}
}

static void test_delayline_orders(void **state)
{
	struct vs_delayline line;
	uint64_t last_at = 0;
	unsigned last_id = 0, n = 0;

	(void)state;
	vs_delayline_init(&line);
	assert_int_equal(vs_delayline_deadline(&line), VS_NEVER);
	assert_null(vs_delayline_remove(&line, VS_NEVER));
	for (unsigned i = 0; i < 5000; i++) {
		uint64_t at = 100 + i * 2654435761u % 97;
		assert_int_equal(vs_delayline_insert(&line, at, &i, sizeof(i)), 0);
	}
	assert_null(vs_delayline_remove(&line, vs_delayline_deadline(&line) - 1));
	for (struct vs_delayline_packet *p; (p = vs_delayline_remove(&line, 1000)); n++) {
		unsigned id;
		memcpy(&id, p->data, sizeof(id));
		assert_true(n == 0 || p->at > last_at || (p->at == last_at && id > last_id));
		last_at = p->at;
		last_id = id;
		free(p);
	}
	assert_int_equal(n, 5000);
	assert_int_equal(line.bytes, 0);
	vs_delayline_fini(&line);
}

static void test_delayline_is_bounded(void **state)
{
	static uint8_t packet[65536];
	struct vs_delayline line;

	(void)state;
	vs_delayline_init(&line);
	line.bytes = VS_DELAYLINE_BYTES_MAX - sizeof(packet);
	assert_int_equal(vs_delayline_insert(&line, 1, packet, sizeof(packet)), 0);
	assert_int_equal(vs_delayline_insert(&line, 1, packet, 1), -ENOBUFS);
	vs_delayline_fini(&line);
}

/* A correct checksum makes the sum over everything, itself included, all ones. */
static bool sums_up(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

static void test_too_big_ipv4(void **state)
{
	uint8_t packet[1500] = { 0x45, [6] = 0x40, [9] = 17, [12] = 10, 0, 0, 1, 10, 0, 0, 2 }, out[VS_TOOBIG_MAX];

	(void)state;
	vs_put_be16(packet + 2, sizeof(packet));
	assert_int_equal(vs_toobig_answer(packet, sizeof(packet), 1280, out), 56);
	assert_true(sums_up(0, out, 20));
	assert_true(sums_up(0, out + 20, 36));
	assert_memory_equal(out + 12, packet + 16, 4);
	assert_memory_equal(out + 16, packet + 12, 4);
	assert_int_equal(out[20], 3);
	assert_int_equal(out[21], 4);
	assert_int_equal(vs_get_be16(out + 26), 1280);
	assert_memory_equal(out + 28, packet, 28);
}

static void test_too_big_ipv6(void **state)
{
	uint8_t packet[1500] = { 0x60, [6] = 17, [8] = 0xfd, [23] = 1, [24] = 0xfd, [39] = 2 }, out[VS_TOOBIG_MAX];

	(void)state;
	assert_int_equal(vs_toobig_answer(packet, sizeof(packet), 1400, out), VS_TOOBIG_MAX);
	assert_true(sums_up(VS_TOOBIG_MAX - 40 + 58, out + 8, VS_TOOBIG_MAX - 8));
	assert_memory_equal(out + 8, packet + 24, 16);
	assert_memory_equal(out + 24, packet + 8, 16);
	assert_int_equal(out[40], 2);
	assert_int_equal(vs_get_be32(out + 44), 1400);
}

static void test_too_big_is_not_answered(void **state)
{
	static const struct {
		const char *what;
		uint8_t head[48];
	} cases[] = {
		{ "may be fragmented", { 0x45, [9] = 17, [16] = 10 } },
		{ "IPv4 multicast", { 0x45, [6] = 0x40, [9] = 17, [16] = 224 } },
		{ "ICMP error", { 0x45, [6] = 0x40, [9] = 1, [16] = 10, [20] = 3 } },
		{ "IPv6 multicast", { 0x60, [6] = 17, [24] = 0xff } },
		{ "ICMPv6 error", { 0x60, [6] = 58, [24] = 0xfd, [40] = 1 } },
		{ "not IP", { 0x12 } },
	};
	uint8_t out[VS_TOOBIG_MAX], packet[1500] = { 0 };

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		memcpy(packet, cases[i].head, sizeof(cases[i].head));
		assert_int_equal(vs_toobig_answer(packet, sizeof(packet), 1280, out), 0);
	}
	/* Cut short at any place: nothing, or an answer, but no read past the end. */
	for (size_t len = 0; len < 60; len++) {
		uint8_t *cut = malloc(len + !len);
		assert_non_null(cut);
		memset(cut, 0x4f, len);
		vs_toobig_answer(cut, len, 1280, out);
		memset(cut, 0x60, len);
		vs_toobig_answer(cut, len, 1280, out);
		free(cut);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_bad_settings),
		cmocka_unit_test(test_delayline_orders),
		cmocka_unit_test(test_delayline_is_bounded),
		cmocka_unit_test(test_too_big_ipv4),
		cmocka_unit_test(test_too_big_ipv6),
		cmocka_unit_test(test_too_big_is_not_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
