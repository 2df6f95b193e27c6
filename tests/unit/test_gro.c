#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "superframe.h"
#include "switch/gro.h"

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define PSH 0x08
#define ACK 0x10
#define URG 0x20
#define ECE 0x40
#define CWR 0x80

static const struct superframe udp4 = { "udp4", false, true, 0, 0, 0, 0, 0, 300, 100 };
static const struct superframe udp4_tagged = { "udp4 tagged", false, true, 1, 0, 0, 0, 0, 300, 100 };
static const struct superframe udp6 = { "udp6", true, true, 0, 0, 0, 0, 0, 300, 100 };
static const struct superframe tcp4 = { "tcp4", false, false, 0, 0, 12, ACK, 0, 300, 100 };
static const struct superframe tcp6 = { "tcp6", true, false, 2, 0, 12, ACK, 0, 300, 100 };

static struct vs_pool *pool;
static struct vs_gro gro;

static int setup(void **state)
{
	(void)state;
	pool = vs_pool_new(8 << 20);
	memset(&gro, 0, sizeof(gro));
	return pool ? 0 : -1;
}

/* A reference too many, or one too few, is found by the pool. */
static int teardown(void **state)
{
	(void)state;
	vs_gro_clear(&gro);
	vs_pool_free(pool);
	return 0;
}

/* --- Frames ------------------------------------------------------------------------------------------------------- */

struct frames {
	struct superframe_parts at;
	uint32_t count;
	struct vs_frame *frame[256];
};

/* The frames that a super-frame stands for. */
static void cut(const struct superframe *s, struct frames *out)
{
	struct vs_frame *super = superframe_new(pool, s);
	struct vs_frame_list list;

	vs_frame_list_init(&list, VS_ARRAY_SIZE(out->frame));
	assert_int_equal(vs_gso_segment(pool, super, UINT32_MAX, &list), 0);
	out->at = superframe_parts(s);
	out->count = 0;
	while ((out->frame[out->count] = vs_frame_list_pop(&list)))
		out->count++;
	vs_frame_list_fini(&list);
	vs_frame_unref(super);
}

static void free_frames(struct frames *frames)
{
	for (uint32_t i = 0; i < frames->count; i++)
		vs_frame_unref(frames->frame[i]);
}

/* A frame that does not join stays the caller's. */
static bool offer(struct vs_frame *frame)
{
	if (vs_gro_add(&gro, vs_frame_ref(frame)))
		return true;
	vs_frame_unref(frame);
	return false;
}

static void fix_checksums(struct vs_frame *frame, struct superframe_parts at, bool ipv6, bool udp)
{
	uint8_t *b = vs_frame_bytes(frame), *field = b + at.l4 + (udp ? 6 : 16);

	if (!ipv6) {
		vs_put_be16(b + at.l3 + 10, 0);
		vs_put_be16(b + at.l3 + 10, (uint16_t)~superframe_sum(0, b + at.l3, 20));
	}
	vs_put_be16(field, 0);
	uint32_t sum = superframe_pseudo_sum(b + at.l3, ipv6, udp, frame->len - at.l4);
	uint16_t check = (uint16_t)~superframe_sum(sum, b + at.l4, frame->len - at.l4);
	vs_put_be16(field, udp && check == 0 ? 0xffff : check);
}

/* The run as the kernel gets it, and as it understands it. */
static struct vs_frame *assemble(void)
{
	struct iovec parts[VS_GRO_PARTS_MAX];
	uint32_t count = vs_gro_parts(&gro, parts), len = 0;

	for (uint32_t i = 0; i < count; i++)
		len += (uint32_t)parts[i].iov_len;
	struct vs_frame *super = vs_frame_new(pool, len - VS_VNET_SIZE);
	assert_non_null(super);
	super->super = true;
	memcpy(super->vnet, parts[0].iov_base, VS_VNET_SIZE);
	uint8_t *to = vs_frame_bytes(super);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t skip = i == 0 ? VS_VNET_SIZE : 0;

		memcpy(to, (uint8_t *)parts[i].iov_base + skip, parts[i].iov_len - skip);
		to += parts[i].iov_len - skip;
	}
	assert_true(vs_gso_valid(super));
	return super;
}

/* Asserts that taking the run apart gives the frames; `ids`: the identifications and what sums them may differ. */
static void expect_frames(const struct frames *frames, bool ids)
{
	struct vs_frame *super = assemble(), *got;
	struct vs_frame_list list;
	uint32_t n = 0;

	vs_frame_list_init(&list, VS_GSO_SEGMENTS_MAX);
	assert_int_equal(vs_gso_segment(pool, super, UINT32_MAX, &list), 0);
	for (; (got = vs_frame_list_pop(&list)); n++) {
		const struct vs_frame *want = frames->frame[n];

		assert_true(n < frames->count);
		assert_int_equal(got->len, want->len);
		if (ids) {
			memcpy(vs_frame_bytes(got) + frames->at.l3 + 4, vs_frame_cbytes(want) + frames->at.l3 + 4, 2);
			memcpy(vs_frame_bytes(got) + frames->at.l3 + 10, vs_frame_cbytes(want) + frames->at.l3 + 10, 2);
		}
		assert_memory_equal(vs_frame_cbytes(got), vs_frame_cbytes(want), want->len);
		vs_frame_unref(got);
	}
	assert_int_equal(n, frames->count);
	vs_frame_list_fini(&list);
	vs_frame_unref(super);
}

/* --- What joins --------------------------------------------------------------------------------------------------- */

static uint32_t below(uint32_t *seed, uint32_t n)
{
	*seed = *seed * 1664525 + 1013904223;
	return (*seed >> 8) % n;
}

static struct superframe random_super(uint32_t *seed)
{
	struct superframe s = { .name = "random", .ipv6 = below(seed, 2), .udp = below(seed, 2) };

	s.tags = below(seed, VS_GSO_TAGS_MAX + 1);
	s.l4_options = s.udp ? 0 : 4 * below(seed, 11);
	s.tcp_flags = (uint8_t)(ACK | (below(seed, 2) ? PSH : 0));
	s.gso_size = (uint16_t)(1 + below(seed, below(seed, 2) ? 40 : 1460));
	uint32_t most = VS_MIN(VS_GRO_FRAMES_MAX * (uint32_t)s.gso_size, 65535u - 100);
	s.payload = s.gso_size + 1 + below(seed, most - s.gso_size);
	return s;
}

/* A super-frame cut and joined again is what it was, virtio-net header included. */
static void test_joining_undoes_cutting(void **state)
{
	(void)state;
	struct frames frames;

	for (uint32_t seed = 1, i = 0; i < 500; i++) {
		struct superframe s = random_super(&seed);
		struct vs_frame *want = superframe_new(pool, &s);

		cut(&s, &frames);
		for (uint32_t k = 0; k < frames.count; k++)
			assert_true(offer(frames.frame[k]));
		assert_int_equal(gro.count, frames.count);
		struct vs_frame *got = assemble();
		assert_int_equal(got->len, want->len);
		assert_memory_equal(got->vnet, want->vnet, VS_VNET_SIZE);
		assert_memory_equal(vs_frame_cbytes(got), vs_frame_cbytes(want), want->len);
		vs_frame_unref(got);
		vs_frame_unref(want);
		expect_frames(&frames, false);
		vs_gro_clear(&gro);
		free_frames(&frames);
	}
}

static void set_ipv4_id(struct vs_frame *frame, struct superframe_parts at, uint16_t id, uint16_t flags, bool udp)
{
	vs_put_be16(vs_frame_bytes(frame) + at.l3 + 4, id);
	vs_put_be16(vs_frame_bytes(frame) + at.l3 + 6, flags);
	fix_checksums(frame, at, false, udp);
}

static void test_identification(void **state)
{
	(void)state;
	static const struct {
		uint16_t ids[3], flags;
		uint32_t joined;
		bool exact;
	} cases[] = {
		{ { 7, 8, 9 }, 0, 3, true },
		{ { 0xffff, 0, 1 }, 0, 3, true },
		{ { 7, 7, 7 }, 0, 1, true },
		{ { 7, 8, 10 }, 0, 2, true },
		{ { 7, 8, 9 }, 0x4000, 3, true },
		{ { 0, 0, 0 }, 0x4000, 3, false },
		{ { 9, 700, 3 }, 0x4000, 3, false },
	};
	struct frames frames;

	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		cut(i % 2 ? &tcp4 : &udp4, &frames);
		for (uint32_t k = 0; k < 3; k++)
			set_ipv4_id(frames.frame[k], frames.at, cases[i].ids[k], cases[i].flags, i % 2 == 0);
		for (uint32_t k = 0; k < 3; k++)
			assert_int_equal(offer(frames.frame[k]), k < cases[i].joined);
		if (cases[i].joined == 3)
			expect_frames(&frames, !cases[i].exact);
		vs_gro_clear(&gro);
		free_frames(&frames);
	}
}

/* Makes the checksum of a frame zero by way of its payload. */
static void make_zero(struct vs_frame *frame, struct superframe_parts at, bool udp)
{
	uint8_t *b = vs_frame_bytes(frame), *field = b + at.l4 + (udp ? 6 : 16);

	vs_put_be16(b + at.payload, 0);
	fix_checksums(frame, at, false, udp);
	memcpy(b + at.payload, field, 2);
	fix_checksums(frame, at, false, udp);
	assert_int_equal(vs_get_be16(field), udp ? 0xffff : 0);
}

/* Zero has two forms, equal to whoever verifies; only the one that comes back is taken. */
static void test_checksum_of_zero(void **state)
{
	(void)state;
	struct frames frames;

	for (int udp = 0; udp <= 1; udp++) {
		for (int other = 0; other <= 1; other++) {
			cut(udp ? &udp4 : &tcp4, &frames);
			make_zero(frames.frame[1], frames.at, udp);
			uint8_t *field = vs_frame_bytes(frames.frame[1]) + frames.at.l4 + (udp ? 6 : 16);
			if (other)
				vs_put_be16(field, (uint16_t)~vs_get_be16(field));
			assert_true(offer(frames.frame[0]));
			assert_int_equal(offer(frames.frame[1]), !other);
			if (!other) {
				assert_true(offer(frames.frame[2]));
				expect_frames(&frames, false);
			}
			vs_gro_clear(&gro);
			free_frames(&frames);
		}
	}
}

static void test_checksum_of_zero_in_ipv4(void **state)
{
	(void)state;
	struct frames frames;

	for (int other = 0; other <= 1; other++) {
		cut(&udp4, &frames);
		for (uint32_t i = 0; i < 2; i++) {
			uint8_t *ip = vs_frame_bytes(frames.frame[i]) + frames.at.l3;

			set_ipv4_id(frames.frame[i], frames.at, 0, 0x4000, true);
			set_ipv4_id(frames.frame[i], frames.at, vs_get_be16(ip + 10), 0x4000, true);
			assert_int_equal(vs_get_be16(ip + 10), 0);
		}
		if (other)
			vs_put_be16(vs_frame_bytes(frames.frame[1]) + frames.at.l3 + 10, 0xffff);
		assert_true(offer(frames.frame[0]));
		assert_int_equal(offer(frames.frame[1]), !other);
		vs_gro_clear(&gro);
		free_frames(&frames);
	}
}

/* --- What does not join ------------------------------------------------------------------------------------------- */

enum layer { ETH, L3, L4, PAYLOAD };

static const struct {
	const char *what;
	const struct superframe *s;
	enum layer layer;
	uint32_t offset;
	uint8_t flip;
	bool damage; /* the checksums are left as they were */
} differences[] = {
	{ "destination", &udp4, ETH, 0, 2, false },
	{ "source", &udp4, ETH, 11, 1, false },
	{ "tag", &udp4_tagged, ETH, 15, 1, false },
	{ "priority", &udp4_tagged, ETH, 14, 0x20, false },
	{ "second tag", &tcp6, ETH, 19, 1, false },
	{ "version", &udp4, L3, 0, 0x20, false },
	{ "options", &udp4, L3, 0, 1, false },
	{ "type of service", &udp4, L3, 1, 0x10, false },
	{ "ECN", &tcp4, L3, 1, 1, false },
	{ "total length, less", &udp4, L3, 3, 1, false },
	{ "total length, more", &udp4, L3, 2, 1, false },
	{ "reserved flag", &udp4, L3, 6, 0x80, false },
	{ "DF", &udp4, L3, 6, 0x40, false },
	{ "more fragments", &udp4, L3, 6, 0x20, false },
	{ "fragment offset", &tcp4, L3, 7, 1, false },
	{ "time to live", &udp4, L3, 8, 1, false },
	{ "protocol", &udp4, L3, 9, 1, false },
	{ "source address", &udp4, L3, 12, 1, false },
	{ "destination address", &udp4, L3, 19, 1, false },
	{ "class", &udp6, L3, 0, 1, false },
	{ "ECN of IPv6", &tcp6, L3, 1, 0x10, false },
	{ "flow label", &udp6, L3, 3, 1, false },
	{ "payload length", &udp6, L3, 5, 1, false },
	{ "next header", &udp6, L3, 6, 1, false },
	{ "hop limit", &tcp6, L3, 7, 1, false },
	{ "source address of IPv6", &udp6, L3, 8, 1, false },
	{ "destination address of IPv6", &tcp6, L3, 39, 1, false },
	{ "source port", &udp4, L4, 1, 1, false },
	{ "destination port", &tcp6, L4, 2, 1, false },
	{ "UDP length", &udp4, L4, 5, 1, false },
	{ "sequence number", &tcp4, L4, 7, 1, false },
	{ "sequence number, far", &tcp4, L4, 4, 0x80, false },
	{ "acknowledgement", &tcp4, L4, 11, 1, false },
	{ "reserved bits", &tcp4, L4, 12, 1, false },
	{ "data offset", &tcp4, L4, 12, 0x10, false },
	{ "FIN", &tcp4, L4, 13, FIN, false },
	{ "SYN", &tcp4, L4, 13, SYN, false },
	{ "RST", &tcp6, L4, 13, RST, false },
	{ "no ACK", &tcp4, L4, 13, ACK, false },
	{ "URG", &tcp4, L4, 13, URG, false },
	{ "ECE", &tcp4, L4, 13, ECE, false },
	{ "CWR", &tcp6, L4, 13, CWR, false },
	{ "window", &tcp4, L4, 15, 1, false },
	{ "urgent pointer", &tcp4, L4, 19, 1, false },
	{ "options of TCP", &tcp4, L4, 31, 1, false },
	{ "damaged header of IPv4", &udp4, L3, 10, 1, true },
	{ "damaged datagram", &udp4, PAYLOAD, 7, 1, true },
	{ "damaged datagram, last byte", &udp6, PAYLOAD, 99, 0x80, true },
	{ "damaged segment", &tcp4, PAYLOAD, 0, 1, true },
	{ "damaged checksum", &tcp6, L4, 16, 1, true },
};

static uint32_t start_of(struct superframe_parts at, enum layer layer)
{
	return layer == ETH ? 0 : layer == L3 ? at.l3 : layer == L4 ? at.l4 : at.payload;
}

static void test_a_difference_ends_the_run(void **state)
{
	(void)state;
	struct frames frames;

	for (size_t i = 0; i < VS_ARRAY_SIZE(differences); i++) {
		const struct superframe *s = differences[i].s;

		cut(s, &frames);
		struct vs_frame *changed = frames.frame[2];
		uint32_t offset = start_of(frames.at, differences[i].layer) + differences[i].offset;
		vs_frame_bytes(changed)[offset] ^= differences[i].flip;
		if (!differences[i].damage)
			fix_checksums(changed, frames.at, s->ipv6, s->udp);
		assert_true(offer(frames.frame[0]));
		assert_true(offer(frames.frame[1]));
		if (offer(changed))
			fail_msg("%s: joined", differences[i].what);
		frames.count = 2;
		expect_frames(&frames, false);
		frames.count = 3;
		vs_gro_clear(&gro);
		free_frames(&frames);
	}
}

/* Damage shows when a second frame comes; what is damaged leaves alone, as it is. */
static void test_a_damaged_first_frame_stays_alone(void **state)
{
	(void)state;
	struct frames frames;

	for (size_t i = 0; i < VS_ARRAY_SIZE(differences); i++) {
		if (!differences[i].damage)
			continue;
		cut(differences[i].s, &frames);
		uint32_t offset = start_of(frames.at, differences[i].layer) + differences[i].offset;
		vs_frame_bytes(frames.frame[0])[offset] ^= differences[i].flip;
		assert_true(offer(frames.frame[0]));
		if (offer(frames.frame[1]))
			fail_msg("%s: joined", differences[i].what);
		assert_int_equal(gro.count, 1);
		vs_gro_clear(&gro);
		assert_true(offer(frames.frame[1]));
		assert_true(offer(frames.frame[2]));
		vs_gro_clear(&gro);
		free_frames(&frames);
	}
}

static void test_udp_without_checksum(void **state)
{
	(void)state;
	struct frames frames;

	cut(&udp4, &frames);
	for (uint32_t i = 0; i < 3; i++)
		vs_put_be16(vs_frame_bytes(frames.frame[i]) + frames.at.l4 + 6, 0);
	assert_true(offer(frames.frame[0]));
	assert_false(offer(frames.frame[1]));
	free_frames(&frames);
}

/* Padding to the least size of Ethernet is no part of the packet, and would not come back. */
static void test_padding(void **state)
{
	(void)state;
	struct frames frames;

	cut(&udp4, &frames);
	for (uint32_t i = 0; i < 3; i++) {
		vs_frame_bytes(frames.frame[i])[frames.frame[i]->len] = 0;
		frames.frame[i]->len++;
	}
	assert_false(offer(frames.frame[0]));
	frames.frame[0]->len--;
	assert_true(offer(frames.frame[0]));
	assert_false(offer(frames.frame[1]));
	free_frames(&frames);
}

/* --- What begins no run ------------------------------------------------------------------------------------------- */

static void test_what_begins_no_run(void **state)
{
	(void)state;
	static const struct superframe table[] = {
		{ "IPv4 options", false, true, 0, 4, 0, 0, 0, 300, 100 },
		{ "extension header", true, false, 0, 8, 0, ACK, 0, 300, 100 },
	};
	static const struct {
		uint32_t offset; /* of tcp4 */
		uint16_t word;
	} words[] = {
		{ 12, 0x0806 },          /* ARP */
		{ 14, 0x4602 },          /* options, which look like the ports */
		{ 14, 0x5502 },          /* IP of another version */
		{ 20, 0x2000 },          /* a fragment */
		{ 46, 0x8000 | ACK | FIN },
		{ 46, 0x8000 | ACK | PSH },
		{ 46, 0x4000 | ACK },    /* less than a header of TCP */
	};
	struct frames frames;

	for (size_t i = 0; i < VS_ARRAY_SIZE(table); i++) {
		cut(&table[i], &frames);
		assert_false(offer(frames.frame[0]));
		free_frames(&frames);
	}
	for (size_t i = 0; i < VS_ARRAY_SIZE(words); i++) {
		cut(&tcp4, &frames);
		vs_put_be16(vs_frame_bytes(frames.frame[0]) + words[i].offset, words[i].word);
		assert_false(offer(frames.frame[0]));
		free_frames(&frames);
	}
	struct vs_frame *super = superframe_new(pool, &tcp4);
	assert_false(offer(super));
	vs_frame_unref(super);
}

static void test_dhcp_stays_alone(void **state)
{
	(void)state;
	struct frames frames;

	for (uint16_t port = 67; port <= 68; port++) {
		for (uint32_t field = 0; field <= 2; field += 2) {
			cut(&udp4_tagged, &frames);
			vs_put_be16(vs_frame_bytes(frames.frame[0]) + frames.at.l4 + field, port);
			assert_false(offer(frames.frame[0]));
			free_frames(&frames);
		}
	}
}

/* A segment without payload is no data, and nothing is read behind a frame's end. */
static void test_short_frames(void **state)
{
	(void)state;
	static const struct superframe *const shapes[] = { &udp4, &udp4_tagged, &udp6, &tcp4, &tcp6 };
	struct frames frames;

	for (size_t i = 0; i < VS_ARRAY_SIZE(shapes); i++) {
		cut(shapes[i], &frames);
		uint32_t whole = frames.frame[0]->len;
		for (uint32_t len = 0; len < whole; len++) {
			frames.frame[0]->len = len;
			assert_false(offer(frames.frame[0]));
		}
		frames.frame[0]->len = whole;
		assert_true(offer(frames.frame[0]));
		whole = frames.frame[1]->len;
		for (uint32_t len = 0; len < whole; len++) {
			frames.frame[1]->len = len;
			assert_false(offer(frames.frame[1]));
		}
		vs_gro_clear(&gro);
		free_frames(&frames);
	}
}

/* --- Where a run ends --------------------------------------------------------------------------------------------- */

/* How many of the super-frame's frames make one run. */
static uint32_t joined(const struct superframe *s)
{
	struct frames frames;
	uint32_t n = 0;

	cut(s, &frames);
	while (n < frames.count && offer(frames.frame[n]))
		n++;
	if (n > 1 && n < frames.count) {
		uint32_t count = frames.count;

		frames.count = n;
		expect_frames(&frames, false);
		frames.count = count;
	}
	assert_int_equal(gro.count, n);
	vs_gro_clear(&gro);
	free_frames(&frames);
	return n;
}

static void test_limits(void **state)
{
	(void)state;
	static const struct superframe many_udp = { "udp", false, true, 0, 0, 0, 0, 0, 128 * 22, 22 };
	static const struct superframe many_tcp = { "tcp", true, false, 0, 0, 0, ACK, 0, 255 * 9, 9 };
	static const struct superframe longest4 = { "tcp4", false, false, 0, 0, 0, ACK, 0, 65495, 13099 };
	static const struct superframe longest6 = { "tcp6", true, false, 0, 0, 0, ACK, 0, 65475, 13095 };
	static const struct superframe over6 = { "tcp6", true, false, 0, 0, 0, ACK, 0, 65476, 13095 };

	assert_int_equal(joined(&many_udp), VS_GRO_FRAMES_MAX);
	assert_int_equal(joined(&many_tcp), VS_GRO_FRAMES_MAX);
	assert_int_equal(joined(&longest4), 5);
	assert_int_equal(joined(&longest6), 5);
	assert_int_equal(joined(&over6), 5); /* of 6 */
}

static void test_the_last_closes(void **state)
{
	(void)state;
	static const struct superframe short_udp = { "udp", false, true, 0, 0, 0, 0, 0, 299, 100 };
	struct frames frames, more;

	cut(&short_udp, &frames);
	cut(&udp4, &more);
	for (uint32_t i = 0; i < 3; i++)
		assert_true(offer(frames.frame[i]));
	set_ipv4_id(more.frame[0], more.at, 1, 0x4000, true);
	assert_false(offer(more.frame[0]));
	expect_frames(&frames, false);
	vs_gro_clear(&gro);

	/* One that is longer than the first does not join, and neither closes. */
	assert_true(offer(frames.frame[2]));
	assert_false(offer(frames.frame[1]));
	vs_gro_clear(&gro);
	free_frames(&frames);
	free_frames(&more);
}

static void test_push_closes(void **state)
{
	(void)state;
	struct frames frames;

	cut(&tcp4, &frames);
	vs_frame_bytes(frames.frame[1])[frames.at.l4 + 13] |= PSH;
	fix_checksums(frames.frame[1], frames.at, false, false);
	assert_true(offer(frames.frame[0]));
	assert_true(offer(frames.frame[1]));
	assert_false(offer(frames.frame[2]));
	frames.count = 2;
	expect_frames(&frames, false);
	frames.count = 3;
	free_frames(&frames);
}

static void test_refused(void **state)
{
	(void)state;
	struct frames udp, tcp;

	cut(&udp6, &udp);
	cut(&tcp6, &tcp);
	assert_true(offer(udp.frame[0]));
	vs_gro_refuse(&gro);
	assert_int_equal(gro.count, 1);
	vs_gro_clear(&gro);
	assert_false(offer(udp.frame[0]));
	assert_true(offer(tcp.frame[0]));
	assert_true(offer(tcp.frame[1]));
	vs_gro_refuse(&gro);
	vs_gro_clear(&gro);
	assert_false(offer(tcp.frame[0]));
	free_frames(&udp);
	free_frames(&tcp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_joining_undoes_cutting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_identification, setup, teardown),
		cmocka_unit_test_setup_teardown(test_checksum_of_zero, setup, teardown),
		cmocka_unit_test_setup_teardown(test_checksum_of_zero_in_ipv4, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_difference_ends_the_run, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_damaged_first_frame_stays_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_udp_without_checksum, setup, teardown),
		cmocka_unit_test_setup_teardown(test_padding, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_begins_no_run, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dhcp_stays_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_short_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_last_closes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_push_closes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
