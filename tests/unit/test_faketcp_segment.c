/* io/faketcp_segment: headers that are as RFC 9293 and RFC 7323 want them, and payloads taken apart however they have
 * been merged and cut on the way. */
#include "io/faketcp_segment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

static struct vs_addr address(const char *text, uint16_t port)
{
	struct vs_addr addr;

	assert_int_equal(vs_addr_parse(text, port, &addr), 0);
	return addr;
}

static struct vs_tcp_segment segment_of(const char *src, const char *dst, bool has_ts)
{
	return (struct vs_tcp_segment){
		.src = address(src, 0x1234),
		.dst = address(dst, 443),
		.seq = 0xfffffff0,
		.ack = 0x01020304,
		.flags = VS_TCP_PSH | VS_TCP_ACK,
		.has_ts = has_ts,
		.window = 0xfedc,
		.ts_val = 0xa0b0c0d0,
		.ts_ecr = 0x11223344,
	};
}

/* RFC 1071, by the book: 16-bit words, big-endian, one by one. */
static uint32_t add_words(uint32_t sum, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return sum;
}

static uint32_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static uint32_t pseudo_sum(const struct vs_tcp_segment *s, size_t len)
{
	bool v6 = s->src.sa.sa_family == AF_INET6;
	const uint8_t *src = v6 ? s->src.in6.sin6_addr.s6_addr : (const uint8_t *)&s->src.in.sin_addr;
	const uint8_t *dst = v6 ? s->dst.in6.sin6_addr.s6_addr : (const uint8_t *)&s->dst.in.sin_addr;

	return add_words(add_words(IPPROTO_TCP + (uint32_t)len, src, v6 ? 16 : 4), dst, v6 ? 16 : 4);
}

static void check_built(const struct vs_tcp_segment *s, size_t len)
{
	uint8_t bytes[VS_FAKETCP_HEADER_MAX + VS_DATAGRAM_MAX], *datagram = bytes + VS_FAKETCP_HEADER_MAX, *payload;
	struct vs_tcp_segment got = { .src = s->src, .dst = s->dst };
	size_t payload_len, header = VS_TCP_HEADER + (s->has_ts ? VS_TCP_TIMESTAMPS : 0);

	for (size_t i = 0; i < len; i++)
		datagram[i] = (uint8_t)(i * 7 + len);
	size_t size = vs_faketcp_build(bytes, s, datagram, len);
	assert_int_equal(size, header + (len ? VS_FAKETCP_LENGTH : 0));
	memmove(bytes + size, datagram, len);
	assert_int_equal(fold(add_words(pseudo_sum(s, size + len), bytes, size + len)), 0xffff);
	assert_true(vs_faketcp_read_tcp(bytes, size + len, &got, &payload, &payload_len));
	assert_true(vs_addr_equal(&got.src, &s->src) && vs_addr_equal(&got.dst, &s->dst));
	assert_int_equal(got.seq, s->seq);
	assert_int_equal(got.ack, s->ack);
	assert_int_equal(got.flags, s->flags);
	assert_int_equal(got.window, s->window);
	assert_int_equal(got.has_ts, s->has_ts);
	assert_int_equal(got.ts_val, s->has_ts ? s->ts_val : 0);
	assert_int_equal(got.ts_ecr, s->has_ts ? s->ts_ecr : 0);
	assert_ptr_equal(payload, bytes + header);
	assert_int_equal(payload_len, len ? VS_FAKETCP_LENGTH + len : 0);
	if (len)
		assert_int_equal(vs_get_be16(payload), len);
}

static void test_built_segments(void **state)
{
	static const size_t lengths[] = { 0, 1, 2, 31, 32, 33, 1400, 1426, VS_DATAGRAM_MAX };

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(lengths); i++)
		for (int ts = 0; ts < 2; ts++) {
			struct vs_tcp_segment v4 = segment_of("192.0.2.1", "198.51.100.7", ts);
			struct vs_tcp_segment v6 = segment_of("2001:db8::1", "2001:db8:ffff::2", ts);
			check_built(&v4, lengths[i]);
			check_built(&v6, lengths[i]);
		}
}

static void test_header_bytes(void **state)
{
	static const uint8_t expected[VS_FAKETCP_HEADER_MAX] = {
		0x12, 0x34, 0x01, 0xbb, 0xff, 0xff, 0xff, 0xf0, 0x01, 0x02, 0x03, 0x04, /* ports, seq, ack */
		0x80, 0x18, 0xfe, 0xdc, 0x00, 0x00, 0x00, 0x00, /* 32 bytes, PSH ACK, window, checksum, urgent */
		0x01, 0x01, 0x08, 0x0a, 0xa0, 0xb0, 0xc0, 0xd0, 0x11, 0x22, 0x33, 0x44, /* timestamps */
		0x00, 0x03,
	};
	struct vs_tcp_segment s = segment_of("192.0.2.1", "198.51.100.7", true);
	uint8_t out[VS_FAKETCP_HEADER_MAX];

	(void)state;
	assert_int_equal(vs_faketcp_build(out, &s, (const uint8_t *)"abc", 3), sizeof(out));
	memset(out + 16, 0, 2);
	assert_memory_equal(out, expected, sizeof(out));
}

static void test_malformed_tcp(void **state)
{
	static const struct {
		uint8_t options[12];
		uint8_t words; /* of the header */
		bool valid;
	} cases[] = {
		{ { 0 }, 5, true },
		{ { 0 }, 4, false },
		{ { 0 }, 15, false },               /* longer than the segment */
		{ { 1, 1, 1, 1 }, 6, true },
		{ { 0, 9, 9, 9 }, 6, true },        /* nothing counts behind the end */
		{ { 1, 1, 1, 8 }, 6, false },       /* no length */
		{ { 1, 1, 8, 0 }, 6, false },
		{ { 1, 1, 8, 1 }, 6, false },
		{ { 1, 1, 8, 10 }, 6, false },
		{ { 8, 4, 1, 2 }, 6, true },        /* timestamps of another length are none */
		{ { 3, 3, 7, 8, 10, 0, 0, 0, 1, 0, 0, 0 }, 8, false },
		{ { 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0 }, 8, true },
	};
	uint8_t bytes[40], *payload;
	size_t len;

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct vs_tcp_segment s = segment_of("192.0.2.1", "198.51.100.7", true);
		memset(bytes, 0, sizeof(bytes));
		bytes[12] = (uint8_t)(cases[i].words << 4);
		memcpy(bytes + 20, cases[i].options, 12);
		assert_int_equal(vs_faketcp_read_tcp(bytes, sizeof(bytes), &s, &payload, &len), cases[i].valid);
		assert_false(vs_faketcp_read_tcp(bytes, 19, &s, &payload, &len));
	}
}

static void test_ipv4(void **state)
{
	uint8_t packet[64] = { 0x46, 0, 0, 60, 0, 0, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7 }, *tcp;
	static const struct {
		uint8_t at, value;
	} breaks[] = { { 0, 0x66 }, { 0, 0x44 }, { 3, 23 }, { 3, 65 }, { 2, 1 }, { 6, 0x20 }, { 7, 1 }, { 9, 17 } };
	struct vs_addr src = address("192.0.2.1", 0), dst = address("198.51.100.7", 0);
	struct vs_tcp_segment s;
	size_t len;

	(void)state;
	assert_true(vs_faketcp_read_ipv4(packet, sizeof(packet), &s, &tcp, &len));
	assert_ptr_equal(tcp, packet + 24);
	assert_int_equal(len, 36); /* less padding */
	assert_true(vs_addr_equal(&s.src, &src) && vs_addr_equal(&s.dst, &dst));
	assert_false(vs_faketcp_read_ipv4(packet, 59, &s, &tcp, &len));
	assert_false(vs_faketcp_read_ipv4(packet, 19, &s, &tcp, &len));
	for (size_t i = 0; i < VS_ARRAY_SIZE(breaks); i++) {
		uint8_t before = packet[breaks[i].at];
		packet[breaks[i].at] = breaks[i].value;
		assert_false(vs_faketcp_read_ipv4(packet, sizeof(packet), &s, &tcp, &len));
		packet[breaks[i].at] = before;
	}
}

/* --- Payloads ----------------------------------------------------------------------------------------------------- */

static uint8_t stream[4 * (VS_FAKETCP_LENGTH + VS_DATAGRAM_MAX)];
static size_t stream_len;

static void add_datagram(size_t len)
{
	vs_put_be16(stream + stream_len, (uint16_t)len);
	for (size_t i = 0; i < len; i++)
		stream[stream_len + 2 + i] = (uint8_t)(len + i);
	stream_len += 2 + len;
}

/* Feeds bytes [from, to) of the stream, which begins at `base`; counts the datagrams, all of which are whole. */
static unsigned feed(struct vs_faketcp_partial *partial, uint32_t base, size_t from, size_t to, bool *bad)
{
	struct vs_faketcp_walk walk;
	uint8_t *copy = malloc(to - from + !(to - from)), *datagram; /* exact, for sanitizers */
	unsigned n = 0;
	size_t len;

	assert_non_null(copy);
	memcpy(copy, stream + from, to - from);
	vs_faketcp_walk_begin(&walk, partial, copy, to - from, base + (uint32_t)from);
	while ((datagram = vs_faketcp_walk_next(&walk, &len))) {
		for (size_t i = 0; i < len; i++)
			assert_int_equal(datagram[i], (uint8_t)(len + i));
		n++;
	}
	assert_int_equal(walk.left, 0);
	*bad = walk.bad;
	free(copy);
	return n;
}

static void test_merged_and_cut_anywhere(void **state)
{
	static const uint32_t bases[] = { 0, 1000, 0xffffffa0 };
	struct vs_faketcp_partial partial = { 0 };
	bool bad;

	(void)state;
	stream_len = 0;
	add_datagram(1);
	add_datagram(40);
	add_datagram(2);
	add_datagram(100);
	for (size_t b = 0; b < VS_ARRAY_SIZE(bases); b++) {
		assert_int_equal(feed(&partial, bases[b], 0, stream_len, &bad), 4);
		assert_false(bad);
		for (size_t cut = 1; cut < stream_len; cut++) {
			unsigned n = feed(&partial, bases[b], 0, cut, &bad);
			assert_false(bad);
			n += feed(&partial, bases[b], cut, stream_len, &bad);
			assert_false(bad);
			assert_int_equal(n, 4);
			assert_int_equal(partial.have, 0);
		}
		/* In three, the middle one within one datagram. */
		for (size_t at = 1; at < stream_len; at++) {
			unsigned n = feed(&partial, bases[b], 0, at, &bad);
			n += feed(&partial, bases[b], at, at + 1, &bad);
			n += feed(&partial, bases[b], at + 1, stream_len, &bad);
			assert_int_equal(n, 4);
		}
	}
	vs_faketcp_partial_fini(&partial);
}

static void test_rest_that_does_not_come(void **state)
{
	struct vs_faketcp_partial partial = { 0 };
	bool bad;

	(void)state;
	stream_len = 0;
	add_datagram(50);
	size_t second = stream_len;
	add_datagram(60);
	add_datagram(70);
	assert_int_equal(feed(&partial, 0, 0, second + 20, &bad), 1);
	assert_int_equal(partial.have, 20);
	/* A repetition of the past leaves what waits, and what follows on finds it. */
	assert_int_equal(feed(&partial, 0, 0, second, &bad), 1);
	assert_false(bad);
	assert_int_equal(feed(&partial, 0, second + 20, stream_len, &bad), 2);
	/* A gap does not. */
	assert_int_equal(feed(&partial, 0, 0, second + 20, &bad), 1);
	assert_int_equal(feed(&partial, 0, second + 62, stream_len, &bad), 1);
	assert_true(bad);
	assert_int_equal(partial.have, 0);
	vs_faketcp_partial_fini(&partial);
}

static void test_no_datagrams(void **state)
{
	static const uint8_t inputs[][4] = {
		{ 0, 0, 1, 1 }, { 0xff, 0xff, 1, 1 }, { VS_DATAGRAM_MAX >> 8, 0xc1, 1, 1 }
	};
	struct vs_faketcp_partial partial = { 0 };
	bool bad;

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(inputs); i++) {
		stream_len = 4;
		memcpy(stream, inputs[i], 4);
		assert_int_equal(feed(&partial, 7, 0, 4, &bad), 0);
		assert_true(bad);
		assert_int_equal(partial.have, 0);
		/* The same, when the length itself comes in two pieces. */
		assert_int_equal(feed(&partial, 7, 0, 1, &bad), 0);
		assert_false(bad);
		assert_int_equal(feed(&partial, 7, 1, 4, &bad), 0);
		assert_true(bad);
		assert_int_equal(partial.have, 0);
	}
	stream_len = 0;
	add_datagram(VS_DATAGRAM_MAX);
	assert_int_equal(feed(&partial, 0, 0, stream_len - 1, &bad), 0);
	assert_int_equal(feed(&partial, 0, stream_len - 1, stream_len, &bad), 1);
	assert_int_equal(feed(&partial, 0, 0, 0, &bad), 0);
	assert_false(bad);
	vs_faketcp_partial_fini(&partial);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_built_segments),
		cmocka_unit_test(test_header_bytes),
		cmocka_unit_test(test_malformed_tcp),
		cmocka_unit_test(test_ipv4),
		cmocka_unit_test(test_merged_and_cut_anywhere),
		cmocka_unit_test(test_rest_that_does_not_come),
		cmocka_unit_test(test_no_datagrams),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
