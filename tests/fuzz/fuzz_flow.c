/* The flow dissector and the ECN marker on a foreign frame. The bytes behind the frame's end are poisoned, so that
 * reading beyond a truncated header is seen; marking may change the ECN bits and a checksum, and nothing else. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(HAVE_ASAN)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#include "link/ecn.h"
#include "link/flow.h"

#define KEY UINT64_C(0x5bd1e9955bd1e995)

#define CHECK(condition)                 \
	do {                             \
		if (!(condition))        \
			abort();         \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_flow(struct vs_frame *frame)
{
	uint32_t hash = vs_flow_hash(frame, KEY);
	CHECK(hash != 0 && frame->flow_hash == hash);
	frame->flow_hash = 0;
	CHECK(vs_flow_hash(frame, KEY) == hash);
}

static void check_ecn(struct vs_frame *frame, const uint8_t *before)
{
	enum vs_ecn codepoint = vs_ecn_get(frame);
	uint32_t hash = frame->flow_hash;
	bool marked = vs_ecn_mark(frame);
	CHECK(marked == (codepoint != VS_ECN_NOT_ECT));
	CHECK(vs_ecn_get(frame) == (marked ? VS_ECN_CE : VS_ECN_NOT_ECT));

	unsigned changed = 0;
	for (uint32_t i = 0; i < frame->len; i++)
		changed += vs_frame_bytes(frame)[i] != before[i];
	CHECK(changed <= (codepoint == VS_ECN_ECT0 || codepoint == VS_ECN_ECT1 ? 3 : 0));
	/* The mark must not move the packet into another flow. */
	frame->flow_hash = 0;
	CHECK(vs_flow_hash(frame, KEY) == hash);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > VS_FRAME_MAX)
		return 0;
	struct vs_pool *pool = vs_pool_new(1 << 20);
	CHECK(pool);
	struct vs_frame *frame = vs_frame_new(pool, size);
	CHECK(frame);
	if (size > 0)
		memcpy(vs_frame_bytes(frame), data, size);
	uint8_t *end = vs_frame_bytes(frame) + size;
	size_t rest = frame->capacity - frame->offset - size;
	ASAN_POISON_MEMORY_REGION(end, rest);

	check_flow(frame);
	check_ecn(frame, data);

	ASAN_UNPOISON_MEMORY_REGION(end, rest);
	vs_frame_unref(frame);
	vs_pool_free(pool);
	return 0;
}
