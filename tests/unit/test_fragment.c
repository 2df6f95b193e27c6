#include "link/fragment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

struct fixture {
	struct vs_drops drops;
	struct vs_reassembly ra;
	uint8_t plain[VS_FRAGMENT_TOTAL_MAX];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	for (size_t i = 0; i < sizeof(f->plain); i++)
		f->plain[i] = (uint8_t)(i * 7 + i / 251);
	f->plain[0] = VS_KIND_SEGMENTS;
	vs_reassembly_init(&f->ra, &f->drops);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	vs_reassembly_fini(&f->ra);
	free(f);
	return 0;
}

/* Gives the reassembly `len` bytes at `data` as a fragment; returns the length of what it completes, 0 for nothing. */
static size_t input_bytes(struct fixture *f, uint32_t id, uint16_t offset, uint16_t total, const uint8_t *data,
			  size_t len, uint64_t now)
{
	uint8_t body[VS_FRAGMENT_HEADER + 2048];
	size_t out_len = 0;

	assert_true(len <= 2048);
	vs_put_be32(body, id);
	vs_put_be16(body + 4, offset);
	vs_put_be16(body + 6, total);
	memcpy(body + VS_FRAGMENT_HEADER, data, len);
	const uint8_t *out = vs_reassembly_input(&f->ra, body, VS_FRAGMENT_HEADER + len, now, &out_len);
	if (!out)
		return 0;
	assert_int_equal(out_len, total);
	assert_memory_equal(out, f->plain, total);
	return out_len;
}

static size_t input(struct fixture *f, uint32_t id, uint16_t offset, uint16_t len, uint16_t total, uint64_t now)
{
	return input_bytes(f, id, offset, total, f->plain + offset, len, now);
}

static void test_plan(void **state)
{
	static const struct {
		size_t total, datagram;
		bool ok;
		unsigned count, slice;
	} cases[] = {
		{ 0, 1200, false, 0, 0 },
		{ 65536, 1200, false, 0, 0 },
		{ 100, VS_SEAL_OVERHEAD + VS_FRAGMENT_PREFIX, false, 0, 0 },
		{ 1, 1200, true, 1, 1 },
		{ 1163, 1200, true, 1, 1163 },
		{ 1164, 1200, true, 2, 582 },
		{ 1543, 1200, true, 2, 772 },
		{ 65535, 1200, true, 57, 1150 },
		{ 65535, VS_DATAGRAM_MAX, true, 8, 8192 },
		{ 65535, 500, false, 0, 0 }, /* more than VS_FRAGMENTS_MAX */
	};

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct vs_fragment_plan plan = { 0 };
		bool ok = vs_fragment_plan(cases[i].total, cases[i].datagram, &plan);
		if (ok != cases[i].ok || plan.count != cases[i].count || plan.slice != cases[i].slice)
			fail_msg("case %zu: %d %u %u", i, ok, plan.count, plan.slice);
	}
}

/* Cuts a plaintext of `total` bytes by its plan and gives the slices to the reassembly, in order or from the end. */
static void round_trip(struct fixture *f, uint32_t id, size_t total, size_t datagram, bool backwards)
{
	struct vs_fragment_plan plan;
	size_t done = 0;

	assert_true(vs_fragment_plan(total, datagram, &plan));
	for (unsigned n = 0; n < plan.count; n++) {
		unsigned i = backwards ? plan.count - 1 - n : n;
		uint8_t datagram_bytes[VS_DATAGRAM_MAX];
		size_t offset, out_len = 0;
		size_t len = vs_fragment_encode(&plan, id, i, &offset, datagram_bytes);
		assert_true(len > 0 && len + VS_SEAL_OVERHEAD + VS_FRAGMENT_PREFIX <= datagram);
		assert_true(offset + len <= total);
		assert_int_equal(datagram_bytes[0], VS_KIND_FRAGMENT);
		memcpy(datagram_bytes + VS_FRAGMENT_PREFIX, f->plain + offset, len);
		const uint8_t *body = datagram_bytes + VS_KIND_SIZE;
		const uint8_t *out = vs_reassembly_input(&f->ra, body, VS_FRAGMENT_HEADER + len, 5, &out_len);
		done += len;
		assert_int_equal(out != NULL, done == total);
		if (out) {
			assert_int_equal(out_len, total);
			assert_memory_equal(out, f->plain, total);
		}
	}
	assert_int_equal(done, total);
}

static void test_round_trip(void **state)
{
	static const size_t totals[] = { 1, 2, 1163, 1164, 1500, 2326, 2327, 9000, 65535 };
	struct fixture *f = *state;
	uint32_t id = UINT32_MAX - 4; /* wraps on the way */

	for (size_t i = 0; i < VS_ARRAY_SIZE(totals); i++) {
		round_trip(f, id++, totals[i], 1200, false);
		round_trip(f, id++, totals[i], 1452, true);
	}
	assert_int_equal(f->drops.count[VS_DROP_BAD_FRAGMENT], 0);
	assert_int_equal(f->drops.count[VS_DROP_FRAGMENT_TIMEOUT], 0);
}

static void test_interleaved_and_out_of_order(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(input(f, 1, 1000, 500, 1500, 0), 0);
	assert_int_equal(input(f, 2, 0, 700, 1400, 0), 0);
	assert_int_equal(input(f, 1, 0, 500, 1500, 0), 0);
	assert_int_equal(input(f, 2, 700, 700, 1400, 0), 1400);
	assert_int_equal(input(f, 1, 500, 500, 1500, 0), 1500);
}

static void test_malformed(void **state)
{
	static const struct {
		uint16_t offset, len, total;
		uint64_t bad;
	} cases[] = {
		{ 0, 0, 100, 1 },    /* empty */
		{ 0, 10, 0, 1 },     /* of nothing */
		{ 100, 1, 100, 1 },  /* begins at the end */
		{ 60, 41, 100, 1 },  /* reaches past the end */
		{ 65535, 1, 65535, 1 },
		{ 60, 40, 100, 0 },
	};
	struct fixture *f = *state;
	uint8_t body[VS_FRAGMENT_HEADER] = { 0 };
	size_t out_len;

	for (size_t len = 0; len < sizeof(body); len++)
		assert_null(vs_reassembly_input(&f->ra, body, len, 0, &out_len));
	assert_int_equal(f->drops.count[VS_DROP_BAD_FRAGMENT], sizeof(body));
	for (uint32_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		uint64_t before = f->drops.count[VS_DROP_BAD_FRAGMENT];
		assert_int_equal(input_bytes(f, i, cases[i].offset, cases[i].total, f->plain, cases[i].len, 0), 0);
		assert_int_equal(f->drops.count[VS_DROP_BAD_FRAGMENT] - before, cases[i].bad);
	}
}

static void test_repetition_is_ignored(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(input(f, 1, 0, 500, 1000, 0), 0);
	assert_int_equal(input(f, 1, 0, 500, 1000, 0), 0);
	assert_int_equal(input(f, 1, 500, 500, 1000, 0), 1000);
	assert_int_equal(f->drops.count[VS_DROP_BAD_FRAGMENT], 0);
}

static void test_conflicts_condemn(void **state)
{
	/* The second fragment, after one of bytes 400 to 599 of 1000. */
	static const struct {
		uint16_t offset, len, total;
	} cases[] = {
		{ 400, 200, 999 },  /* another total */
		{ 300, 101, 1000 }, /* overlaps by one byte in front */
		{ 599, 10, 1000 },  /* and behind */
		{ 450, 10, 1000 },  /* inside */
		{ 300, 400, 1000 }, /* around */
		{ 400, 199, 1000 },
	};
	struct fixture *f = *state;

	for (uint32_t id = 0; id < VS_ARRAY_SIZE(cases); id++) {
		uint64_t before = f->drops.count[VS_DROP_BAD_FRAGMENT];
		assert_int_equal(input(f, id, 400, 200, 1000, 0), 0);
		assert_int_equal(input(f, id, cases[id].offset, cases[id].len, cases[id].total, 0), 0);
		assert_int_equal(f->drops.count[VS_DROP_BAD_FRAGMENT], before + 1);
		/* The rest is refused too, though it would complete the plaintext. */
		assert_int_equal(input(f, id, 0, 400, 1000, 0), 0);
		assert_int_equal(input(f, id, 400, 200, 1000, 0), 0);
		assert_int_equal(input(f, id, 600, 400, 1000, 0), 0);
		assert_int_equal(f->drops.count[VS_DROP_BAD_FRAGMENT], before + 4);
	}
}

static void test_repetition_with_other_bytes_condemns(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(input(f, 1, 0, 500, 1000, 0), 0);
	assert_int_equal(input_bytes(f, 1, 0, 1000, f->plain + 1, 500, 0), 0);
	assert_int_equal(f->drops.count[VS_DROP_BAD_FRAGMENT], 1);
	assert_int_equal(input(f, 1, 500, 500, 1000, 0), 0);
}

static void test_no_fragment_within_a_fragment(void **state)
{
	struct fixture *f = *state;
	const uint8_t nested[20] = { VS_KIND_FRAGMENT };

	assert_int_equal(input_bytes(f, 1, 0, sizeof(nested), nested, sizeof(nested), 0), 0);
	assert_int_equal(f->drops.count[VS_DROP_BAD_FRAGMENT], 1);
}

static void test_too_many_pieces(void **state)
{
	struct fixture *f = *state;

	for (uint16_t i = 0; i < VS_FRAGMENTS_MAX; i++)
		assert_int_equal(input(f, 1, i, 1, VS_FRAGMENTS_MAX + 1, 0), 0);
	assert_int_equal(f->drops.count[VS_DROP_BAD_FRAGMENT], 0);
	assert_int_equal(input(f, 1, VS_FRAGMENTS_MAX, 1, VS_FRAGMENTS_MAX + 1, 0), 0);
	assert_int_equal(f->drops.count[VS_DROP_BAD_FRAGMENT], 1);
}

static void test_timeout(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(vs_reassembly_deadline(&f->ra), VS_NEVER);
	input(f, 1, 0, 500, 1000, 100);
	input(f, 2, 0, 500, 1000, 200);
	assert_int_equal(vs_reassembly_deadline(&f->ra), 100 + VS_REASSEMBLY_TIMEOUT);
	vs_reassembly_expire(&f->ra, 99 + VS_REASSEMBLY_TIMEOUT);
	assert_int_equal(f->drops.count[VS_DROP_FRAGMENT_TIMEOUT], 0);
	vs_reassembly_expire(&f->ra, 100 + VS_REASSEMBLY_TIMEOUT);
	assert_int_equal(f->drops.count[VS_DROP_FRAGMENT_TIMEOUT], 1);
	assert_int_equal(vs_reassembly_deadline(&f->ra), 200 + VS_REASSEMBLY_TIMEOUT);
	/* The other is still whole, and input itself keeps to the time. */
	assert_int_equal(input(f, 2, 500, 500, 1000, 199 + VS_REASSEMBLY_TIMEOUT), 1000);
	input(f, 3, 0, 500, 1000, 5 * VS_SEC);
	assert_int_equal(input(f, 3, 500, 500, 1000, 5 * VS_SEC + VS_REASSEMBLY_TIMEOUT), 0);
	assert_int_equal(f->drops.count[VS_DROP_FRAGMENT_TIMEOUT], 2);
}

static void test_memory_is_given_back(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(input(f, 1, 0, 100, 100, 0), 100);
	assert_non_null(f->ra.slots);
	assert_int_equal(vs_reassembly_deadline(&f->ra), VS_REASSEMBLY_TIMEOUT);
	vs_reassembly_expire(&f->ra, VS_REASSEMBLY_TIMEOUT);
	assert_null(f->ra.slots);
	assert_int_equal(vs_reassembly_deadline(&f->ra), VS_NEVER);
	assert_int_equal(f->drops.count[VS_DROP_FRAGMENT_TIMEOUT], 0);
}

static void test_oldest_slot_is_evicted(void **state)
{
	struct fixture *f = *state;

	for (uint32_t id = 0; id <= VS_REASSEMBLY_SLOTS; id++)
		assert_int_equal(input(f, id, 0, 500, 1000, 10 + id), 0);
	assert_int_equal(f->drops.count[VS_DROP_FRAGMENT_TIMEOUT], 1);
	for (uint32_t id = 1; id <= VS_REASSEMBLY_SLOTS; id++)
		assert_int_equal(input(f, id, 500, 500, 1000, 20), 1000);
	assert_int_equal(input(f, 0, 500, 500, 1000, 20), 0);
}

static void test_bytes_are_bounded(void **state)
{
	const uint16_t total = 60000;
	const uint32_t fit = VS_REASSEMBLY_BYTES_MAX / total;
	struct fixture *f = *state;

	assert_true(fit < VS_REASSEMBLY_SLOTS);
	for (uint32_t id = 0; id < fit; id++)
		input(f, id, 0, 1000, total, id);
	assert_int_equal(f->drops.count[VS_DROP_FRAGMENT_TIMEOUT], 0);
	input(f, fit, 0, 1000, total, fit);
	assert_int_equal(f->drops.count[VS_DROP_FRAGMENT_TIMEOUT], 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plan),
		TEST(test_round_trip),
		TEST(test_interleaved_and_out_of_order),
		TEST(test_malformed),
		TEST(test_repetition_is_ignored),
		TEST(test_conflicts_condemn),
		TEST(test_repetition_with_other_bytes_condemns),
		TEST(test_no_fragment_within_a_fragment),
		TEST(test_too_many_pieces),
		TEST(test_timeout),
		TEST(test_memory_is_given_back),
		TEST(test_oldest_slot_is_evicted),
		TEST(test_bytes_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
