#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "link/ecn.h"
#include "packet.h"

enum { UDP = 17 };

static struct vs_pool *pool;

static int setup(void **state)
{
	(void)state;
	pool = vs_pool_new(1 << 20);
	return pool ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	vs_pool_free(pool);
	return 0;
}

static struct packet packet_of(bool v6, unsigned tags, uint8_t tos)
{
	struct packet p = { .len = 0 };
	packet_macs(&p, 1, 2);
	for (unsigned i = 0; i < tags; i++)
		packet_tag(&p, 0x8100, 5);
	if (v6)
		packet_ipv6(&p, tos, UDP);
	else
		packet_ipv4(&p, tos, UDP, 0, 4);
	packet_ports(&p, 1, 2);
	return p;
}

/* All values of the type of service, in both IP versions, behind 0 to 2 tags. */
static void test_every_codepoint(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2 * 3 * 256; i++) {
		bool v6 = i & 1;
		unsigned tags = i / 2 % 3;
		uint8_t tos = (uint8_t)(i / 6);
		struct packet before = packet_of(v6, tags, tos);
		struct packet after = packet_of(v6, tags, tos | VS_ECN_CE);
		bool capable = (tos & 3) != VS_ECN_NOT_ECT;
		struct vs_frame *frame = packet_frame(pool, &before, before.len);
		assert_int_equal(vs_ecn_get(frame), tos & 3);
		assert_int_equal(vs_ecn_mark(frame), capable);
		assert_int_equal(vs_ecn_get(frame), capable ? VS_ECN_CE : VS_ECN_NOT_ECT);
		/* The checksum too is what it would be had it been computed afresh. */
		assert_memory_equal(vs_frame_bytes(frame), capable ? after.bytes : before.bytes, before.len);
		assert_true(vs_ecn_mark(frame) == capable);
		vs_frame_unref(frame);
	}
}

/* RFC 1624, section 4: the update must agree with the full sum also where that is all ones or nearly so. */
static void test_checksum_for_every_identification(void **state)
{
	(void)state;
	for (unsigned id = 0; id <= 0xffff; id += 5) {
		struct packet p = packet_of(false, 0, VS_ECN_ECT0);
		uint8_t *ip = p.bytes + 14;
		vs_put_be16(ip + 4, (uint16_t)id);
		vs_put_be16(ip + 10, 0);
		vs_put_be16(ip + 10, (uint16_t)~packet_sum(ip, 24));
		struct vs_frame *frame = packet_frame(pool, &p, p.len);
		assert_true(vs_ecn_mark(frame));
		assert_int_equal(packet_sum(vs_frame_bytes(frame) + 14, 24), 0xffff);
		vs_frame_unref(frame);
	}
}

static void test_wrong_checksum_stays_wrong(void **state)
{
	(void)state;
	struct packet p = packet_of(false, 0, VS_ECN_ECT1);
	p.bytes[14 + 11] ^= 0x40;
	struct vs_frame *frame = packet_frame(pool, &p, p.len);
	assert_true(vs_ecn_mark(frame));
	assert_int_not_equal(packet_sum(vs_frame_bytes(frame) + 14, 24), 0xffff);
	vs_frame_unref(frame);
}

static void test_shared_frame_marked_before(void **state)
{
	(void)state;
	struct packet p = packet_of(true, 0, VS_ECN_CE);
	struct vs_frame *frame = vs_frame_ref(packet_frame(pool, &p, p.len));
	assert_true(vs_ecn_mark(frame)); /* nothing to write, so no copy is needed */
	vs_frame_unref(frame);
	vs_frame_unref(frame);
}

static void test_not_ip(void **state)
{
	(void)state;
	struct packet arp = { .len = 0 };
	struct packet lie = packet_of(false, 0, VS_ECN_ECT0);
	struct packet third = packet_of(false, 3, VS_ECN_ECT0);
	packet_macs(&arp, 1, 2);
	packet_ethertype(&arp, 0x0806);
	memset(packet_append(&arp, 60), 0x4f, 60);
	lie.bytes[14] = 0x65; /* the EtherType says IPv4, the header says 6 */
	const struct packet *rows[] = { &arp, &lie, &third };
	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		struct vs_frame *frame = packet_frame(pool, rows[i], rows[i]->len);
		assert_int_equal(vs_ecn_get(frame), VS_ECN_NOT_ECT);
		assert_false(vs_ecn_mark(frame));
		assert_memory_equal(vs_frame_bytes(frame), rows[i]->bytes, rows[i]->len);
		vs_frame_unref(frame);
	}
}

static void test_truncated(void **state)
{
	(void)state;
	for (int v6 = 0; v6 <= 1; v6++) {
		struct packet p = packet_of(v6, 1, VS_ECN_ECT0);
		size_t whole = 18 + (v6 ? 40 : 20);
		for (size_t len = 0; len <= p.len; len++) {
			struct vs_frame *frame = packet_frame(pool, &p, len);
			assert_int_equal(vs_ecn_mark(frame), len >= whole);
			vs_frame_unref(frame);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_codepoint),
		cmocka_unit_test(test_checksum_for_every_identification),
		cmocka_unit_test(test_wrong_checksum_stays_wrong),
		cmocka_unit_test(test_shared_frame_marked_before),
		cmocka_unit_test(test_not_ip),
		cmocka_unit_test(test_truncated),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
