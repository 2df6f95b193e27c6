/* Frames whose references cross threads: given back to the pool that they came from, never more than it may hold, and
 * nothing written where another thread reads. What the figures cannot show, the thread sanitizer does. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/frame.h"
#include "link/flow.h"
#include "link/framing.h"

#define THREADS 4
#define SLOTS 48
#define OPERATIONS 50000
#define POOL_BYTES (256 << 10)
#define FLOW_KEY 0x1234567890abcdef
#define FRAMES_MAX 256

/* --- One thing at a time ------------------------------------------------------------------------------------------ */

static struct vs_pool_stats stats_of(struct vs_pool *pool)
{
	struct vs_pool_stats stats;
	vs_pool_stats(pool, &stats);
	return stats;
}

static void run(void *(*what)(void *), void *arg)
{
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, what, arg), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

struct frames {
	struct vs_frame *frame[FRAMES_MAX];
	size_t count;
};

static void fill_pool(struct vs_pool *pool, size_t len, struct frames *out)
{
	out->count = 0;
	while (out->count < FRAMES_MAX && (out->frame[out->count] = vs_frame_new(pool, len)))
		out->count++;
	assert_in_range(out->count, 1, FRAMES_MAX - 1);
}

static void *drop_all(void *arg)
{
	struct frames *frames = arg;
	for (size_t i = 0; i < frames->count; i++)
		vs_frame_unref(frames->frame[i]);
	return NULL;
}

/* A pool at its maximum goes on as soon as another thread has let go, in the same size and in another. */
static void test_owner_gets_back_what_others_drop(void **state)
{
	(void)state;
	struct vs_pool *pool = vs_pool_new(POOL_BYTES);
	struct frames frames;
	size_t first = 0;
	static const size_t lens[] = { 1514, 1514, 9000, 60 };
	for (size_t i = 0; i < VS_ARRAY_SIZE(lens); i++) {
		fill_pool(pool, lens[i], &frames);
		first = i == 0 ? frames.count : first;
		assert_int_equal(frames.count, lens[i] == 9000 ? POOL_BYTES / (stats_of(pool).bytes / frames.count)
							       : first);
		run(drop_all, &frames);
	}
	assert_int_equal(stats_of(pool).bytes_used, 0);
	fill_pool(pool, 1514, &frames);
	run(drop_all, &frames);
	vs_pool_trim(pool); /* looks for them as well */
	assert_int_equal(stats_of(pool).bytes, 0);
	fill_pool(pool, 1514, &frames);
	run(drop_all, &frames);
	vs_pool_free(pool); /* and so does this */
}

/* Whoever is last gives the buffer back, be it the owner or not. */
static void test_last_reference_counts(void **state)
{
	(void)state;
	struct vs_pool *pool = vs_pool_new(POOL_BYTES);
	struct vs_frame *frame = vs_frame_new(pool, 100);
	struct frames one = { { vs_frame_ref(frame) }, 1 };
	assert_true(vs_frame_is_shared(frame));
	run(drop_all, &one);
	assert_false(vs_frame_is_shared(frame));
	assert_true(stats_of(pool).bytes_used > 0);
	one.frame[0] = vs_frame_ref(frame);
	vs_frame_unref(frame);
	assert_true(stats_of(pool).bytes_used > 0);
	run(drop_all, &one);
	assert_int_equal(stats_of(pool).bytes_used, 0);
	vs_pool_free(pool);
}

static void *adopt_and_use(void *arg)
{
	struct vs_pool *pool = arg;
	vs_pool_adopt(pool);
	struct vs_frame *frame = vs_frame_new(pool, 1514);
	vs_frame_unref(frame);
	/* Straight back to the list of its class, which only the owner's frames do. */
	struct vs_frame *again = vs_frame_new(pool, 1514);
	bool same = frame && again == frame;
	vs_frame_unref(again);
	return same ? pool : NULL;
}

static void test_pool_changes_hands(void **state)
{
	(void)state;
	struct vs_pool *pool = vs_pool_new(POOL_BYTES);
	pthread_t thread;
	void *result;
	assert_int_equal(pthread_create(&thread, NULL, adopt_and_use, pool), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, pool);
	vs_pool_adopt(pool);
	assert_int_equal(stats_of(pool).bytes_used, 0);
	vs_pool_free(pool);
}

/* --- All at once -------------------------------------------------------------------------------------------------- */

/* Places where threads leave references to each other: who puts one in takes out what was there. */
static _Atomic(struct vs_frame *) slots[SLOTS];

struct worker {
	pthread_t thread;
	struct vs_pool *pool;
	uint64_t random;
	uint64_t made, copied, changed, foreign, wrong;
};

static uint32_t pick(struct worker *worker, uint32_t n)
{
	/* Marsaglia's xorshift64. */
	worker->random ^= worker->random << 13;
	worker->random ^= worker->random >> 7;
	worker->random ^= worker->random << 17;
	return (uint32_t)(worker->random >> 32) % n;
}

/* cmocka's assertions belong to the main thread. */
static void require(struct worker *worker, bool fact)
{
	worker->wrong += !fact;
}

static void stamp(struct vs_frame *frame, uint8_t value)
{
	memset(vs_frame_bytes(frame), value, VS_MIN(frame->len, 128));
	vs_frame_bytes(frame)[frame->len - 1] = value;
	frame->vlan = value;
}

static bool is_stamped(const struct vs_frame *frame)
{
	const uint8_t *bytes = vs_frame_cbytes(frame);
	uint8_t value = (uint8_t)frame->vlan;
	return bytes[0] == value && memcmp(bytes, bytes + 1, VS_MIN(frame->len, 128) - 1) == 0 &&
	       bytes[frame->len - 1] == value;
}

static void look_at_pool(struct worker *worker)
{
	struct vs_pool_stats stats = stats_of(worker->pool);
	require(worker, stats.bytes <= POOL_BYTES && stats.bytes_used <= stats.bytes);
}

static struct vs_frame *make(struct worker *worker)
{
	static const uint32_t lens[] = { 64, 64, 1514, 1514, 1514, 1514, 9000, 60000 };
	struct vs_frame *frame = vs_frame_new(worker->pool, lens[pick(worker, VS_ARRAY_SIZE(lens))]);
	if (!frame)
		return NULL;
	worker->made++;
	frame->super = frame->len > VS_ETH_FRAME_MAX;
	memset(frame->vnet, 0, sizeof(frame->vnet));
	stamp(frame, (uint8_t)pick(worker, 256));
	/* As whoever sends frames to other threads. */
	vs_flow_hash(frame, FLOW_KEY);
	vs_framing_prepare(frame);
	return frame;
}

/* What a link does with a frame, which may be others' too. */
static void send(struct worker *worker, struct vs_frame *frame)
{
	require(worker, is_stamped(frame));
	require(worker, vs_flow_hash(frame, FLOW_KEY) != 0);
	const uint8_t *header = vs_framing_prepend(frame);
	require(worker, header[0] == 0xbc && header[1] == (frame->super ? 0xbd : 0xbc));
}

/* Changes the frame where it is the caller's alone, else a copy. Consumes the reference. */
static struct vs_frame *change(struct worker *worker, struct vs_frame *frame)
{
	if (vs_frame_is_shared(frame)) {
		struct vs_frame *copy = vs_frame_copy(worker->pool, frame);
		vs_frame_unref(frame);
		if (!copy)
			return NULL;
		worker->copied++;
		frame = copy;
	}
	worker->changed++;
	stamp(frame, (uint8_t)(frame->vlan + 1));
	return frame;
}

static struct vs_frame *trade(struct worker *worker, struct vs_frame *frame)
{
	return atomic_exchange_explicit(&slots[pick(worker, SLOTS)], frame, memory_order_acq_rel);
}

static void receive(struct worker *worker, struct vs_frame *frame)
{
	if (!frame)
		return;
	worker->foreign += frame->pool != worker->pool;
	send(worker, frame);
	if (pick(worker, 4) == 0)
		frame = change(worker, frame);
	if (frame && pick(worker, 4) == 0)
		frame = trade(worker, frame); /* on to a third thread */
	vs_frame_unref(frame);
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	vs_pool_adopt(worker->pool);
	for (int i = 0; i < OPERATIONS; i++) {
		struct vs_frame *frame = pick(worker, 8) ? make(worker) : NULL;
		for (uint32_t copies = pick(worker, 4); frame && copies > 0; copies--)
			receive(worker, trade(worker, vs_frame_ref(frame)));
		if (frame)
			send(worker, frame);
		receive(worker, trade(worker, frame));
		/* Rarely, because this gathers in what the pool would else have to find by itself. */
		if (i % 1024 == 0)
			look_at_pool(worker);
	}
	look_at_pool(worker);
	return NULL;
}

static void test_crosswise(void **state)
{
	(void)state;
	struct worker workers[THREADS];
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .pool = vs_pool_new(POOL_BYTES), .random = 88172645463325252 + i };
		assert_non_null(workers[i].pool);
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
	for (unsigned i = 0; i < SLOTS; i++)
		vs_frame_unref(atomic_exchange(&slots[i], NULL));
	for (unsigned i = 0; i < THREADS; i++) {
		struct worker *worker = &workers[i];
		vs_pool_adopt(worker->pool);
		assert_int_equal(worker->wrong, 0);
		assert_true(worker->made > 0 && worker->copied > 0 && worker->changed > worker->copied);
		assert_true(worker->foreign > 0);
		assert_int_equal(stats_of(worker->pool).bytes_used, 0);
		assert_true(stats_of(worker->pool).bytes <= POOL_BYTES);
		vs_pool_free(worker->pool);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_owner_gets_back_what_others_drop),
		cmocka_unit_test(test_last_reference_counts),
		cmocka_unit_test(test_pool_changes_hands),
		cmocka_unit_test(test_crosswise),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
