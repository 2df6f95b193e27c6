/* What lies between the two: the queue in front of a link, and the deframer behind it. */
#include "base/time.h"
#include "link/framing.h"
#include "link/queue.h"
#include "perf/frames.h"
#include "perf/meter.h"
#include "perf/workload.h"

#define POOL_BYTES (16 << 20)

static uint64_t queue_flows(void)
{
	enum { ROUNDS = 20 };
	struct vs_queue_config config = VS_QUEUE_CONFIG_DEFAULT;
	struct vs_drops drops = { 0 };
	struct vs_pool *pool = vs_pool_new(POOL_BYTES);
	struct vs_queue *queue = vs_queue_new(&config, pool, &drops);
	uint64_t now = VS_SEC;
	MUST(pool && queue);
	for (unsigned round = 0; round <= ROUNDS; round++) {
		/* The first one, in which the queue takes its memory, does not count. */
		if (round == 1)
			meter_ready();
		for (uint32_t i = 0; i < VS_QUEUE_FLOWS; i++) {
			struct vs_frame *frame = make_frame(pool, 1, 2, (uint16_t)i, 1514);
			frame->flow_hash = i + 1;
			now++;
			meter_set(round > 0);
			vs_queue_send(queue, frame, now);
			meter_off();
		}
		for (uint32_t i = 0; i < VS_QUEUE_FLOWS; i++) {
			struct vs_frame *shown;
			now++;
			meter_set(round > 0);
			struct vs_flow *flow = vs_queue_peek(queue, now, &shown);
			struct vs_frame *frame = flow ? vs_queue_take(queue, flow, now) : NULL;
			meter_off();
			MUST(frame && frame == shown);
			vs_frame_unref(frame);
		}
	}
	vs_queue_free(queue);
	vs_pool_free(pool);
	return (uint64_t)ROUNDS * VS_QUEUE_FLOWS;
}

static uint64_t deframe_small(void)
{
	enum { FRAMES = 10000, LEN = 64, STRIDE = VS_FRAMING_HEADER + LEN, PIECE = 1400 };
	struct vs_pool *pool = vs_pool_new(POOL_BYTES);
	uint8_t *stream = calloc(FRAMES, STRIDE);
	struct vs_deframer deframer = { 0 };
	struct vs_deframed out = { 0 };
	struct vs_drops drops = { 0 };
	uint64_t found = 0;
	MUST(pool && stream);
	vs_frame_list_init(&out.frames, 64);
	vs_frame_list_init(&out.control, 1);
	for (size_t i = 0; i < FRAMES; i++)
		vs_framing_encode(stream + i * STRIDE, VS_FLAG_FRAME, LEN);
	meter_ready();
	for (size_t at = 0; at < FRAMES * STRIDE; at += PIECE) {
		size_t len = VS_MIN((size_t)PIECE, FRAMES * STRIDE - at);
		meter_on();
		int err = vs_deframer_input(&deframer, pool, &drops, stream + at, len, &out);
		meter_off();
		MUST(err == 0);
		found += out.frames.count;
		vs_frame_list_clear(&out.frames);
	}
	MUST(found == FRAMES && !vs_deframer_mid_frame(&deframer));
	vs_frame_list_fini(&out.frames);
	vs_frame_list_fini(&out.control);
	free(stream);
	vs_pool_free(pool);
	return FRAMES;
}

const struct workload queue_workloads[] = {
	{ "queue_flows", "frame", "through fq_codel, one of each of 1,024 flows at a time", queue_flows },
	{ "deframe_small", "frame", "of 64 bytes, found in segments of 1,400", deframe_small },
	{ 0 },
};
