/* The reassembly under foreign fragments. The input is a list of operations: time passes, or a fragment whose header
 * fields are the input's and whose bytes are a function of (id, offset), or of the input. Whatever comes: what is
 * handed out has the length that its fragments agreed on and lies in one buffer, memory stays within its bounds, each
 * bad fragment is counted, and everything is given back once the time is over. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "link/fragment.h"

#define CHECK(condition)                 \
	do {                             \
		if (!(condition))        \
			abort();         \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t byte_of(uint32_t id, size_t offset)
{
	/* Never VS_KIND_FRAGMENT at the start. */
	return offset ? (uint8_t)(id * 31 + offset * 7 + offset / 256) : VS_KIND_FRAMES;
}

static void check_plaintext(uint32_t id, const uint8_t *plain, size_t len, bool tainted)
{
	CHECK(len > 0 && plain[0] != VS_KIND_FRAGMENT);
	for (size_t i = 0; i < len && !tainted; i++)
		CHECK(plain[i] == byte_of(id, i));
}

/* One fragment: id:8 offset:16 length:16 total:16, scaled down so that fragments meet. Ids below 8 carry bytes that
 * are right by construction; the others take theirs from the input. */
static void input_fragment(struct vs_reassembly *ra, struct vs_view *in, uint64_t now)
{
	static uint8_t body[VS_FRAGMENT_HEADER + UINT16_MAX];
	uint32_t id = vs_view_u8(in) % 16;
	uint16_t offset = vs_view_be16(in), len = vs_view_be16(in), total = vs_view_be16(in);
	bool tainted = id >= 8;
	size_t out_len = 0;

	vs_put_be32(body, id);
	vs_put_be16(body + 4, offset);
	vs_put_be16(body + 6, total);
	for (size_t i = 0; i < len; i++)
		body[VS_FRAGMENT_HEADER + i] = tainted ? vs_view_u8(in) : byte_of(id, (size_t)offset + i);
	uint64_t bad = ra->drops->count[VS_DROP_BAD_FRAGMENT];
	const uint8_t *plain = vs_reassembly_input(ra, body, VS_FRAGMENT_HEADER + len, now, &out_len);
	if (len == 0 || (size_t)offset + len > total)
		CHECK(!plain && ra->drops->count[VS_DROP_BAD_FRAGMENT] == bad + 1);
	if (plain) {
		CHECK(out_len == total);
		check_plaintext(id, plain, out_len, tainted);
	}
}

/* Foreign bytes as they are. */
static void input_raw(struct vs_reassembly *ra, struct vs_view *in, uint64_t now)
{
	size_t len = vs_view_u8(in), out_len = 0;

	len = VS_MIN(len, in->len);
	const uint8_t *plain = vs_reassembly_input(ra, vs_view_pull(in, len), len, now, &out_len);

	CHECK(!plain || (out_len > 0 && plain[0] != VS_KIND_FRAGMENT));
}

/* A plaintext of any size, cut for any datagram, comes out whole again. */
static void round_trip(struct vs_view *in)
{
	static uint8_t text[VS_FRAGMENT_PREFIX + UINT16_MAX];
	const uint8_t *body = text + VS_KIND_SIZE;
	size_t total = vs_view_be16(in), datagram = vs_view_be16(in), out_len = 0, offset;
	struct vs_drops drops = { .count = { 0 } };
	struct vs_fragment_plan plan;
	struct vs_reassembly ra;

	if (!vs_fragment_plan(total, datagram, &plan)) {
		CHECK(total == 0 || datagram < VS_DATAGRAM_BASE);
		return;
	}
	vs_reassembly_init(&ra, &drops);
	for (unsigned i = 0; i < plan.count; i++) {
		size_t len = vs_fragment_encode(&plan, 1, i, &offset, text);
		CHECK(len > 0 && len + VS_FRAGMENT_PREFIX + VS_SEAL_OVERHEAD <= datagram);
		for (size_t j = 0; j < len; j++)
			text[VS_FRAGMENT_PREFIX + j] = byte_of(1, offset + j);
		const uint8_t *plain = vs_reassembly_input(&ra, body, VS_FRAGMENT_HEADER + len, 0, &out_len);
		CHECK(!plain == (i + 1 < plan.count));
		if (plain)
			check_plaintext(1, plain, out_len, false);
	}
	CHECK(out_len == total && drops.count[VS_DROP_BAD_FRAGMENT] == 0);
	vs_reassembly_fini(&ra);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vs_view in = vs_view_of(data, size);
	struct vs_drops drops = { .count = { 0 } };
	struct vs_reassembly ra;
	uint64_t now = VS_SEC;

	round_trip(&in);
	vs_reassembly_init(&ra, &drops);
	while (in.len > 0) {
		uint8_t operation = vs_view_u8(&in);
		if (operation < 16)
			now += operation * 100 * VS_MSEC;
		else if (operation < 32)
			vs_reassembly_expire(&ra, now);
		else if (operation < 64)
			input_raw(&ra, &in, now);
		else
			input_fragment(&ra, &in, now);
		uint64_t deadline = vs_reassembly_deadline(&ra);
		CHECK(deadline == VS_NEVER || deadline <= now + VS_REASSEMBLY_TIMEOUT);
	}
	vs_reassembly_expire(&ra, now + VS_REASSEMBLY_TIMEOUT);
	CHECK(!ra.slots && vs_reassembly_deadline(&ra) == VS_NEVER);
	vs_reassembly_fini(&ra);
	return 0;
}
