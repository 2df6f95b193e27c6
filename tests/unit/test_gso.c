#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/gso.h"
#include "superframe.h"
#include "switch/eth.h"

#define FIN 0x01
#define PSH 0x08
#define ACK 0x10
#define URG 0x20
#define CWR 0x80

static const struct superframe table[] = {
	{ "tcp4", false, false, 0, 0, 0, ACK, 0, 64000, 1448 },
	{ "tcp4 odd", false, false, 0, 0, 12, ACK | PSH, 0, 4345, 1449 },
	{ "tcp4 flags", false, false, 0, 0, 0, ACK | PSH | FIN | CWR | URG, VS_GSO_ECN, 5000, 1460 },
	{ "tcp4 ip options", false, false, 0, 40, 40, ACK, 0, 3000, 1000 },
	{ "tcp4 exact multiple", false, false, 0, 0, 12, ACK | PSH, 0, 2896, 1448 },
	{ "tcp4 one segment", false, false, 0, 0, 12, ACK | PSH | FIN | CWR, 0, 100, 1448 },
	{ "tcp4 one byte", false, false, 0, 0, 0, ACK, 0, 1, 1 },
	{ "tcp4 255 segments", false, false, 0, 0, 0, ACK, 0, 255, 1 },
	{ "tcp4 longest", false, false, 0, 0, 0, ACK, 0, 65535 - 40, 65534 },
	{ "tcp4 tagged", false, false, 1, 0, 12, ACK, 0, 9000, 1448 },
	{ "tcp4 tagged twice", false, false, 2, 0, 12, ACK, 0, 9000, 1448 },
	{ "tcp6", true, false, 0, 0, 12, ACK | PSH, 0, 65535 - 32, 1428 },
	{ "tcp6 tagged", true, false, 1, 0, 12, ACK | CWR, VS_GSO_ECN, 4001, 1428 },
	{ "tcp6 extension", true, false, 0, 16, 0, ACK | FIN, 0, 4001, 1405 },
	{ "udp4", false, true, 0, 0, 0, 0, 0, 60000, 1472 },
	{ "udp4 odd", false, true, 0, 4, 0, 0, 0, 5555, 1111 },
	{ "udp4 tagged", false, true, 1, 0, 0, 0, 0, 3001, 1000 },
	{ "udp4 128 segments", false, true, 0, 0, 0, 0, 0, 128, 1 },
	{ "udp6", true, true, 0, 0, 0, 0, 0, 65535 - 8, 1452 },
	{ "udp6 tagged twice", true, true, 2, 8, 0, 0, 0, 2001, 667 },
};

static struct vs_pool *pool;
static struct vs_frame_list out;

static int setup(void **state)
{
	(void)state;
	pool = vs_pool_new(8 << 20);
	vs_frame_list_init(&out, 256);
	return pool ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	vs_frame_list_fini(&out);
	vs_pool_free(pool);
	return 0;
}

static struct vs_frame *make(const struct superframe *s)
{
	struct vs_frame *frame = superframe_new(pool, s);

	assert_non_null(frame);
	return frame;
}

static void test_vnet_is_little_endian(void **state)
{
	(void)state;
	static const uint8_t wire[VS_VNET_SIZE] = { 1, 0x84, 0x36, 0x01, 0xa8, 0x05, 0x22, 0x00, 0x10, 0x02 };
	struct vs_vnet vnet;
	uint8_t raw[VS_VNET_SIZE];

	vs_vnet_decode(wire, &vnet);
	assert_int_equal(vnet.flags, VS_VNET_NEEDS_CSUM);
	assert_int_equal(vnet.gso_type, VS_GSO_TCPV6 | VS_GSO_ECN);
	assert_int_equal(vnet.hdr_len, 0x136);
	assert_int_equal(vnet.gso_size, 1448);
	assert_int_equal(vnet.csum_start, 34);
	assert_int_equal(vnet.csum_offset, 0x210);
	vs_vnet_encode(&vnet, raw);
	assert_memory_equal(raw, wire, sizeof(wire));
}

/* --- Segmentation ------------------------------------------------------------------------------------------------- */

static void check_ip(const struct superframe *s, const uint8_t *ip, uint32_t len, uint32_t index)
{
	if (s->ipv6) {
		assert_int_equal(vs_get_be16(ip + 4), len - 40);
		return;
	}
	assert_int_equal(vs_get_be16(ip + 2), len);
	assert_int_equal(vs_get_be16(ip + 4), (uint16_t)(0xfffe + index));
	assert_int_equal(vs_get_be16(ip + 6), 0x4000);
}

static void check_l4(const struct superframe *s, const uint8_t *l4, uint32_t len, uint32_t position, bool last)
{
	if (s->udp) {
		assert_int_equal(vs_get_be16(l4 + 4), len);
		return;
	}
	uint8_t flags = s->tcp_flags;
	if (position > 0)
		flags &= (uint8_t)~CWR;
	if (!last)
		flags &= (uint8_t)~(PSH | FIN);
	assert_int_equal(l4[13], flags);
	assert_int_equal(vs_get_be32(l4 + 4), 0xfffffa00 + position);
}

/* Everything but the fields that segmentation changes is the super-frame's. */
static void check_same_headers(const struct vs_frame *super, const struct vs_frame *segment, const struct superframe *s)
{
	struct superframe_parts at = superframe_parts(s);
	uint8_t a[256], b[256];

	memcpy(a, vs_frame_cbytes(super), at.payload);
	memcpy(b, vs_frame_cbytes(segment), at.payload);
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *h = i ? b : a;

		memset(h + at.l3 + (s->ipv6 ? 4 : 2), 0, s->ipv6 ? 2 : 4); /* length, identification */
		if (!s->ipv6)
			memset(h + at.l3 + 10, 0, 2);
		memset(h + at.l4 + 4, 0, 4); /* sequence number, or length and checksum */
		if (!s->udp) {
			h[at.l4 + 13] = 0;
			memset(h + at.l4 + 16, 0, 2);
		}
	}
	assert_memory_equal(a, b, at.payload);
}

static void check_segments(const struct superframe *s, const struct vs_frame *super)
{
	struct superframe_parts at = superframe_parts(s);
	uint32_t position = 0, index = 0;
	struct vs_frame *segment;

	for (; (segment = vs_frame_list_pop(&out)); index++) {
		const uint8_t *b = vs_frame_cbytes(segment);
		uint32_t payload = VS_MIN(s->gso_size, s->payload - position);

		assert_int_equal(segment->len, at.payload + payload);
		assert_false(vs_frame_is_shared(segment));
		assert_false(segment->super);
		assert_int_equal(segment->vlan, 77);
		assert_int_equal(segment->flow_hash, 0x12345678);
		check_same_headers(super, segment, s);
		check_ip(s, b + at.l3, segment->len - at.l3, index);
		check_l4(s, b + at.l4, segment->len - at.l4, position, position + payload == s->payload);
		assert_true(superframe_checksums_ok(b, segment->len, at, s->ipv6, s->udp));
		assert_memory_equal(b + at.payload, vs_frame_cbytes(super) + at.payload + position, payload);
		position += payload;
		vs_frame_unref(segment);
	}
	assert_int_equal(position, s->payload);
	assert_int_equal(index, (s->payload + s->gso_size - 1) / s->gso_size);
}

static void test_segment(void **state)
{
	(void)state;

	for (size_t i = 0; i < VS_ARRAY_SIZE(table); i++) {
		struct vs_frame *super = make(&table[i]);
		uint32_t longest = superframe_parts(&table[i]).payload + VS_MIN(table[i].gso_size, table[i].payload);

		super->vlan = 77;
		super->flow_hash = 0x12345678;
		if (!vs_gso_valid(super))
			fail_msg("%s: not valid", table[i].name);
		assert_int_equal(vs_gso_longest(super), longest);
		assert_int_equal(vs_gso_segment(pool, super, longest - 1, &out), -EMSGSIZE);
		assert_int_equal(out.count, 0);
		assert_int_equal(vs_gso_segment(pool, super, longest, &out), 0);
		check_segments(&table[i], super);
		assert_false(vs_frame_is_shared(super));
		vs_frame_unref(super);
	}
}

/* A UDP checksum that comes out as zero is written as all ones: it is made zero by the payload's first word. */
static void test_udp_checksum_is_never_zero(void **state)
{
	(void)state;
	const struct superframe s = { "udp4", false, true, 0, 0, 0, 0, 0, 200, 100 };
	struct superframe_parts at = superframe_parts(&s);
	struct vs_frame *super = make(&s);
	uint8_t *b = vs_frame_bytes(super);

	vs_put_be16(b + at.payload, 0);
	assert_int_equal(vs_gso_segment(pool, super, 1514, &out), 0);
	struct vs_frame *segment = vs_frame_list_pop(&out);
	vs_put_be16(b + at.payload, vs_get_be16(vs_frame_cbytes(segment) + at.l4 + 6));
	vs_frame_unref(segment);
	vs_frame_list_clear(&out);

	assert_int_equal(vs_gso_segment(pool, super, 1514, &out), 0);
	segment = vs_frame_list_pop(&out);
	assert_int_equal(vs_get_be16(vs_frame_cbytes(segment) + at.l4 + 6), 0xffff);
	vs_frame_unref(segment);
	vs_frame_unref(super);
}

static void test_limits_of_memory(void **state)
{
	(void)state;
	const struct superframe *s = &table[0]; /* 45 segments */
	struct vs_frame_list few;
	struct vs_frame *super = make(s);

	vs_frame_list_init(&few, 10);
	assert_int_equal(vs_gso_segment(pool, super, 1514, &few), -ENOBUFS);
	assert_int_equal(few.count, 10);
	vs_frame_list_fini(&few);
	vs_frame_unref(super);

	/* The segments come from the caller's pool, whatever pool the super-frame is from. */
	struct vs_pool *small = vs_pool_new(50000);
	super = make(s);
	assert_int_equal(vs_gso_segment(small, super, 1514, &out), -ENOMEM);
	assert_in_range(out.count, 1, 44);
	assert_ptr_equal(out.ring[out.head]->pool, small);
	vs_frame_list_clear(&out);
	vs_frame_unref(super);
	vs_pool_free(small);
}

/* --- Segments taken from the front -------------------------------------------------------------------------------- */

/* What super-frames have been cut into, in order. */
struct cuts {
	struct vs_frame *segments[VS_GSO_SEGMENTS_MAX];
	uint32_t n;
};

/* Adds what the frame stands for; takes over the reference. */
static void add_cuts(struct cuts *cuts, struct vs_frame *frame)
{
	assert_true(cuts->n < VS_ARRAY_SIZE(cuts->segments));
	if (!frame->super) {
		cuts->segments[cuts->n++] = frame;
		return;
	}
	assert_int_equal(vs_gso_segment(pool, frame, VS_FRAME_MAX, &out), 0);
	for (struct vs_frame *segment; (segment = vs_frame_list_pop(&out));)
		cuts->segments[cuts->n++] = segment;
	vs_frame_unref(frame);
}

/* What a super-frame of the table is to be cut into, by vs_gso_segment() alone. */
static void cut_whole(struct cuts *cuts, const struct superframe *s)
{
	struct vs_frame *frame = make(s);

	frame->vlan = 77;
	frame->flow_hash = 0x12345678;
	cuts->n = 0;
	add_cuts(cuts, frame);
	for (uint32_t i = 0; i < cuts->n; i++)
		assert_true(superframe_checksums_ok(vs_frame_cbytes(cuts->segments[i]), cuts->segments[i]->len,
						    superframe_parts(s), s->ipv6, s->udp));
}

/* Asserts that `cuts` are those of `whole` from number `first` on, byte for byte, and lets them go. */
static void expect_cuts(struct cuts *cuts, const struct cuts *whole, uint32_t first)
{
	assert_int_equal(cuts->n, whole->n - first);
	for (uint32_t i = 0; i < cuts->n; i++) {
		struct vs_frame *got = cuts->segments[i], *want = whole->segments[first + i];

		assert_int_equal(got->len, want->len);
		assert_memory_equal(vs_frame_cbytes(got), vs_frame_cbytes(want), want->len);
		assert_int_equal(got->vlan, 77);
		assert_int_equal(got->flow_hash, 0x12345678);
		vs_frame_unref(got);
	}
	cuts->n = 0;
}

static void free_cuts(struct cuts *cuts)
{
	while (cuts->n > 0)
		vs_frame_unref(cuts->segments[--cuts->n]);
}

/* As many segments dropped as there are: what is left is always cut into the rest of what the whole is cut into. */
static void test_drop_front(void **state)
{
	(void)state;

	for (size_t i = 0; i < VS_ARRAY_SIZE(table); i++) {
		struct vs_frame *frame = make(&table[i]);
		struct cuts whole, rest = { .n = 0 };
		uint32_t dropped = 0;

		frame->vlan = 77;
		frame->flow_hash = 0x12345678;
		cut_whole(&whole, &table[i]);
		while (vs_gso_drop_front(frame, VS_FRAME_MAX)) {
			struct vs_frame *copy = vs_frame_copy(pool, frame);

			dropped++;
			assert_non_null(copy);
			assert_int_equal(frame->super, dropped + 1 < whole.n);
			assert_true(!frame->super || vs_gso_valid(frame));
			add_cuts(&rest, copy);
			expect_cuts(&rest, &whole, dropped);
		}
		assert_int_equal(dropped, whole.n - 1);
		vs_frame_unref(frame);
		free_cuts(&whole);
	}
}

static void test_drop_front_takes_cwr_along(void **state)
{
	(void)state;
	const struct superframe s = { "tcp4", false, false, 0, 0, 0, ACK | CWR, VS_GSO_ECN, 3000, 1000 };
	struct vs_frame *frame = make(&s);
	struct vs_vnet vnet;

	assert_true(vs_gso_drop_front(frame, 1514));
	vs_vnet_decode(frame->vnet, &vnet);
	assert_int_equal(vnet.gso_type, VS_GSO_TCPV4);
	assert_int_equal(vs_frame_cbytes(frame)[superframe_parts(&s).l4 + 13], ACK);
	vs_frame_unref(frame);
}

/* Pieces of every length, from one segment to all but one: as long as they may be, and in all what the whole was. */
static void take_in_pieces(const struct superframe *s, uint32_t len)
{
	struct superframe_parts at = superframe_parts(s);
	struct vs_frame *frame = make(s), *piece;
	struct cuts whole, pieces = { .n = 0 };

	frame->vlan = 77;
	frame->flow_hash = 0x12345678;
	cut_whole(&whole, s);
	while ((piece = vs_gso_take_front(pool, frame, len, VS_FRAME_MAX))) {
		assert_int_equal((piece->len - at.payload) % s->gso_size, 0);
		assert_true(piece->len <= len || piece->len == at.payload + s->gso_size);
		assert_true(piece->len + s->gso_size > len || !frame->super);
		assert_int_equal(piece->super, piece->len > at.payload + s->gso_size);
		assert_true(!piece->super || vs_gso_valid(piece));
		assert_false(vs_frame_is_shared(piece));
		add_cuts(&pieces, piece);
	}
	assert_true(!frame->super || frame->len <= len || whole.n == 1);
	add_cuts(&pieces, frame);
	expect_cuts(&pieces, &whole, 0);
	free_cuts(&whole);
}

static void test_take_front(void **state)
{
	(void)state;

	for (size_t i = 0; i < VS_ARRAY_SIZE(table); i++) {
		uint32_t len = superframe_parts(&table[i]).payload + table[i].payload;

		take_in_pieces(&table[i], 0);
		take_in_pieces(&table[i], 1514);
		take_in_pieces(&table[i], len / 3);
		take_in_pieces(&table[i], len / 2);
		take_in_pieces(&table[i], len - 1);
	}
}

/* What cannot be divided is left as it is. */
static void test_front_refused(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		uint32_t payload, len, frame_max;
		bool plain, flawed;
	} rows[] = {
		{ "one segment", 1000, 0, 9022, false, false },
		{ "len spans it", 3000, 3054, 9022, false, false },
		{ "segments too long", 3000, 0, 1053, false, false },
		{ "no super-frame", 3000, 0, 9022, true, false },
		{ "not valid", 3000, 0, 9022, false, true },
	};

	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		const struct superframe s = { "tcp4", false, false, 0, 0, 0, ACK, 0, rows[i].payload, 1000 };
		struct vs_frame *frame = make(&s), *before = make(&s);

		frame->super = !rows[i].plain;
		if (rows[i].flawed)
			vs_put_le16(frame->vnet + 6, UINT16_MAX);
		if (rows[i].len == 0 && vs_gso_drop_front(frame, rows[i].frame_max))
			fail_msg("%s: dropped", rows[i].what);
		if (vs_gso_take_front(pool, frame, rows[i].len, rows[i].frame_max))
			fail_msg("%s: taken", rows[i].what);
		assert_int_equal(frame->len, before->len);
		assert_memory_equal(vs_frame_cbytes(frame), vs_frame_cbytes(before), before->len);
		vs_frame_unref(frame);
		vs_frame_unref(before);
	}
}

static void test_take_front_without_a_buffer(void **state)
{
	(void)state;
	const struct superframe s = { "tcp4", false, false, 0, 0, 0, ACK, 0, 3000, 1000 };
	struct vs_pool *small = vs_pool_new(100);
	struct vs_frame *frame = make(&s);

	assert_null(vs_gso_take_front(small, frame, 0, 1514));
	assert_int_equal(frame->len, superframe_parts(&s).payload + 3000);
	assert_true(vs_gso_valid(frame));
	vs_frame_unref(frame);
	vs_pool_free(small);
}

/* --- Validation --------------------------------------------------------------------------------------------------- */

enum part {
	ETH,
	L3,
	L4,
	VNET,
};

struct flaw {
	const char *what;
	enum part part;
	uint32_t offset;
	unsigned bits;
	uint16_t delta; /* added, modulo the field's size */
};

static uint8_t *part_of(struct vs_frame *frame, const struct superframe *s, enum part part)
{
	struct superframe_parts at = superframe_parts(s);

	if (part == VNET)
		return frame->vnet;
	return vs_frame_bytes(frame) + (part == ETH ? 0 : part == L3 ? at.l3 : at.l4);
}

static void apply(uint8_t *field, const struct flaw *flaw)
{
	if (flaw->bits == 8)
		field[0] = (uint8_t)(field[0] + flaw->delta);
	else if (flaw->part == VNET)
		vs_put_le16(field, (uint16_t)(vs_get_le16(field) + flaw->delta));
	else
		vs_put_be16(field, (uint16_t)(vs_get_be16(field) + flaw->delta));
}

static void check_refused(const struct superframe *s, const struct flaw *flaws, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct vs_frame *frame = make(s);

		assert_true(vs_gso_valid(frame));
		apply(part_of(frame, s, flaws[i].part) + flaws[i].offset, &flaws[i]);
		if (vs_gso_valid(frame) || vs_gso_sanitize(frame))
			fail_msg("%s: %s: taken for valid", s->name, flaws[i].what);
		assert_int_equal(vs_gso_segment(pool, frame, 65535, &out), -EINVAL);
		assert_int_equal(out.count, 0);
		vs_frame_unref(frame);
	}
}

static const struct flaw flaws_of_all[] = {
	{ "no NEEDS_CSUM", VNET, 0, 8, (uint16_t)-1 },
	{ "DATA_VALID", VNET, 0, 8, 2 },
	{ "RSC_INFO", VNET, 0, 8, 4 },
	{ "type + 1", VNET, 1, 8, 1 },
	{ "type - 1", VNET, 1, 8, (uint16_t)-1 },
	{ "no gso_size", VNET, 4, 16, (uint16_t)-1000 },
	{ "too many segments", VNET, 4, 16, (uint16_t)-996 },
	{ "gso_size of another meaning", VNET, 4, 16, 64535 },
	{ "csum_start + 1", VNET, 6, 16, 1 },
	{ "csum_start - 1", VNET, 6, 16, (uint16_t)-1 },
	{ "csum_start beyond the end", VNET, 6, 16, 40000 },
	{ "csum_offset + 1", VNET, 8, 16, 1 },
	{ "csum_offset - 1", VNET, 8, 16, (uint16_t)-1 },
	{ "other ethertype", ETH, 12, 16, 1 },
	{ "version", L3, 0, 8, 0x10 },
};

static const struct flaw flaws_of_ipv4[] = {
	{ "header length 4", L3, 0, 8, (uint16_t)-1 },
	{ "header length + 1", L3, 0, 8, 1 },
	{ "total length + 1", L3, 2, 16, 1 },
	{ "total length - 1", L3, 2, 16, (uint16_t)-1 },
	{ "more fragments", L3, 6, 16, 0x2000 },
	{ "fragment offset", L3, 6, 16, 1 },
	{ "other protocol", L3, 9, 8, 11 },
};

static const struct flaw flaws_of_ipv6[] = {
	{ "payload length + 1", L3, 4, 16, 1 },
	{ "payload length - 1", L3, 4, 16, (uint16_t)-1 },
	{ "fragment", L3, 6, 8, 44 - 6 },
	{ "other protocol", L3, 6, 8, 11 },
	{ "hop-by-hop options that are none", L3, 6, 8, (uint16_t)-6 },
};

static const struct flaw flaws_of_tcp[] = {
	{ "data offset 4", L4, 12, 8, (uint16_t)-0x10 },
};

static const struct flaw flaws_of_udp[] = {
	{ "length + 1", L4, 4, 16, 1 },
	{ "length - 1", L4, 4, 16, (uint16_t)-1 },
	{ "ECN", VNET, 1, 8, VS_GSO_ECN },
};

static void test_flawed_headers_are_refused(void **state)
{
	(void)state;
	static const struct superframe tcp4 = { "tcp4", false, false, 0, 0, 0, ACK, 0, 3000, 1000 };
	static const struct superframe tcp6 = { "tcp6", true, false, 0, 0, 0, ACK, 0, 3000, 1000 };
	static const struct superframe udp4 = { "udp4", false, true, 0, 0, 0, 0, 0, 3000, 1000 };

	check_refused(&tcp4, flaws_of_all, VS_ARRAY_SIZE(flaws_of_all));
	check_refused(&tcp6, flaws_of_all, VS_ARRAY_SIZE(flaws_of_all));
	check_refused(&udp4, flaws_of_all, VS_ARRAY_SIZE(flaws_of_all));
	check_refused(&tcp4, flaws_of_ipv4, VS_ARRAY_SIZE(flaws_of_ipv4));
	check_refused(&tcp6, flaws_of_ipv6, VS_ARRAY_SIZE(flaws_of_ipv6));
	check_refused(&tcp4, flaws_of_tcp, VS_ARRAY_SIZE(flaws_of_tcp));
	check_refused(&udp4, flaws_of_udp, VS_ARRAY_SIZE(flaws_of_udp));
}

static void test_limits_of_super_frames(void **state)
{
	(void)state;
	static const struct superframe bad[] = {
		{ "256 segments", false, false, 0, 0, 0, ACK, 0, 256, 1 },
		{ "129 datagrams", false, true, 0, 0, 0, 0, 0, 129, 1 },
		{ "no payload", false, false, 0, 0, 0, ACK, 0, 0, 1000 },
		{ "no datagram", true, true, 0, 0, 0, 0, 0, 0, 1000 },
		{ "three tags", false, false, 3, 0, 0, ACK, 0, 2000, 1000 },
		{ "beyond 64 KiB", false, false, 0, 0, 0, ACK, 0, 65536 - 40, 1000 },
		{ "headers too long", true, false, 0, 456, 0, ACK, 0, 3000, 1000 },
	};

	for (size_t i = 0; i < VS_ARRAY_SIZE(bad); i++) {
		struct vs_frame *frame = make(&bad[i]);

		if (vs_gso_valid(frame))
			fail_msg("%s: taken for valid", bad[i].name);
		vs_frame_unref(frame);
	}
}

static void test_truncated_and_padded_frames_are_refused(void **state)
{
	(void)state;

	for (size_t i = 0; i < VS_ARRAY_SIZE(table); i++) {
		struct vs_frame *frame = make(&table[i]);
		uint32_t len = frame->len;

		frame->len = len + 1;
		assert_false(vs_gso_valid(frame));
		for (frame->len = 0; frame->len < VS_MIN(len, 300); frame->len++)
			assert_false(vs_gso_valid(frame));
		frame->len = len - 1;
		assert_false(vs_gso_valid(frame));
		frame->len = len;
		assert_true(vs_gso_valid(frame));
		frame->super = false;
		assert_false(vs_gso_valid(frame));
		vs_frame_unref(frame);
	}
}

static void test_sanitize_mends_hdr_len_only(void **state)
{
	(void)state;

	for (size_t i = 0; i < VS_ARRAY_SIZE(table); i++) {
		struct vs_frame *frame = make(&table[i]);
		uint8_t before[VS_VNET_SIZE];

		memcpy(before, frame->vnet, sizeof(before));
		vs_put_le16(frame->vnet + 2, 0xffff);
		assert_true(vs_gso_sanitize(frame));
		assert_memory_equal(frame->vnet, before, sizeof(before));
		vs_frame_unref(frame);
	}
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Whatever headers are taken for valid, the segments make up the payload and nothing outside is touched. */
static void test_mutations(void **state)
{
	(void)state;
	uint32_t seed = 1;

	for (unsigned round = 0; round < 20000; round++) {
		struct superframe s = table[round % VS_ARRAY_SIZE(table)];
		uint32_t payload = 0, before = superframe_parts(&s).payload;
		struct vs_frame *segment;

		s.payload = VS_MIN(s.payload, 400);
		s.gso_size = VS_MIN(s.gso_size, 100);
		struct vs_frame *frame = make(&s);
		for (unsigned n = next_random(&seed) % 3; n > 0; n--)
			vs_frame_bytes(frame)[next_random(&seed) % before] = (uint8_t)next_random(&seed);
		if (next_random(&seed) % 4 == 0)
			frame->vnet[next_random(&seed) % VS_VNET_SIZE] = (uint8_t)next_random(&seed);
		if (!vs_gso_sanitize(frame)) {
			vs_frame_unref(frame);
			continue;
		}
		uint16_t headers = vs_get_le16(frame->vnet + 2);
		uint32_t longest = vs_gso_longest(frame);
		assert_int_equal(vs_gso_segment(pool, frame, longest, &out), 0);
		while ((segment = vs_frame_list_pop(&out))) {
			assert_in_range(segment->len, headers + 1u, longest);
			payload += segment->len - headers;
			vs_frame_unref(segment);
		}
		assert_int_equal(payload, frame->len - headers);
		vs_frame_unref(frame);
	}
}

/* --- Checksums and tags ------------------------------------------------------------------------------------------- */

static void test_csum_complete(void **state)
{
	(void)state;

	for (uint32_t len = 0; len < 200; len++) {
		struct superframe s = { "plain", len % 3 == 0, len % 2 == 0, 0, 0, 0, ACK, 0, len, 1 };
		struct vs_frame *frame = make(&s);
		struct vs_vnet vnet;

		vs_vnet_decode(frame->vnet, &vnet);
		assert_true(vs_csum_complete(vs_frame_bytes(frame), frame->len, &vnet));
		assert_true(superframe_checksums_ok(vs_frame_cbytes(frame), frame->len, superframe_parts(&s), s.ipv6,
						    s.udp));
		vs_frame_unref(frame);
	}
}

static void test_csum_complete_outside(void **state)
{
	(void)state;
	static const struct {
		uint16_t start, offset;
		bool inside;
	} rows[] = {
		{ 0, 0, true },      { 62, 0, true },      { 0, 62, true },      { 34, 28, true },
		{ 63, 0, false },    { 0, 63, false },     { 34, 29, false },    { 64, 0, false },
		{ 65535, 0, false }, { 0, 65535, false },  { 65535, 1, false },  { 65535, 65535, false },
	};

	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		uint8_t bytes[64] = { 1, 2, 3 }, before[64];
		struct vs_vnet vnet = { .csum_start = rows[i].start, .csum_offset = rows[i].offset };

		memcpy(before, bytes, sizeof(bytes));
		assert_int_equal(vs_csum_complete(bytes, sizeof(bytes), &vnet), rows[i].inside);
		if (!rows[i].inside)
			assert_memory_equal(bytes, before, sizeof(bytes));
	}
}

static void test_csum_complete_carries(void **state)
{
	(void)state;
	static uint8_t bytes[65536];
	struct vs_vnet vnet = { .csum_start = 1, .csum_offset = 2 };

	memset(bytes, 0xff, sizeof(bytes));
	assert_true(vs_csum_complete(bytes, sizeof(bytes), &vnet));
	assert_int_equal(superframe_sum(0, bytes + 5, sizeof(bytes) - 5), 0xff00);
	/* All of it adds up to ff00, so the checksum is its complement. */
	assert_int_equal(vs_get_be16(bytes + 3), 0x00ff);
}

/* A tag moves the offsets of a super-frame, and taking it away moves them back. */
static void test_tags_move_offsets(void **state)
{
	(void)state;

	for (size_t i = 0; i < VS_ARRAY_SIZE(table); i++) {
		struct vs_frame *frame = make(&table[i]);
		uint16_t headers = vs_get_le16(frame->vnet + 2), start = vs_get_le16(frame->vnet + 6);
		uint8_t before[VS_VNET_SIZE];

		memcpy(before, frame->vnet, sizeof(before));
		frame = vs_eth_push_tag(pool, frame, 5);
		assert_int_equal(vs_get_le16(frame->vnet + 2), headers + 4);
		assert_int_equal(vs_get_le16(frame->vnet + 6), start + 4);
		assert_int_equal(vs_gso_valid(frame), table[i].tags < VS_GSO_TAGS_MAX);
		frame = vs_eth_pop_tag(pool, frame);
		assert_memory_equal(frame->vnet, before, sizeof(before));
		assert_true(vs_gso_valid(frame));
		vs_frame_unref(frame);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_vnet_is_little_endian),
		TEST(test_segment),
		TEST(test_udp_checksum_is_never_zero),
		TEST(test_limits_of_memory),
		TEST(test_drop_front),
		TEST(test_drop_front_takes_cwr_along),
		TEST(test_take_front),
		TEST(test_front_refused),
		TEST(test_take_front_without_a_buffer),
		TEST(test_flawed_headers_are_refused),
		TEST(test_limits_of_super_frames),
		TEST(test_truncated_and_padded_frames_are_refused),
		TEST(test_sanitize_mends_hdr_len_only),
		TEST(test_mutations),
		TEST(test_csum_complete),
		TEST(test_csum_complete_outside),
		TEST(test_csum_complete_carries),
		TEST(test_tags_move_offsets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
