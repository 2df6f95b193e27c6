/* A plain peer over a byte stream: frames after each other, nothing more. The transport below keeps order, repeats what
 * is lost and finds out who is gone; what it cannot take yet waits in our queue, not in its own. */
#include <string.h>

#include "link/plain_state.h"

static int init(struct vs_plain *plain, uint64_t now)
{
	(void)plain, (void)now;
	return 0;
}

static void fini(struct vs_plain *plain)
{
	vs_deframer_reset(&plain->deframer);
}

static void input(struct vs_plain *plain, const uint8_t *bytes, size_t len, uint64_t now, struct vs_deframed *arrived)
{
	plain->heard_usec = now;
	if (vs_deframer_input(&plain->deframer, plain->config.pool, &plain->drops, bytes, len, arrived) < 0)
		vs_plain_finish(plain, VS_PLAIN_MALFORMED);
}

/* As many whole frames as there are and fit: one system call for all of them. */
static size_t fill(struct vs_plain *plain, uint64_t now, uint8_t *out)
{
	struct vs_frame *frame;
	struct vs_flow *flow;
	size_t len = 0;
	while ((flow = vs_queue_peek(plain->queue, now, &frame))) {
		size_t size = VS_FRAMING_HEADER + frame->len;
		if (len + size > VS_PLAIN_STREAM_PIECE)
			break;
		frame = vs_queue_take(plain->queue, flow, now);
		memcpy(out + len, vs_frame_cbytes(frame) - VS_FRAMING_HEADER, size);
		len += size;
		vs_frame_unref(frame);
	}
	return len;
}

static void run_timers(struct vs_plain *plain, uint64_t now)
{
	(void)plain, (void)now;
}

static uint64_t deadline(const struct vs_plain *plain)
{
	return vs_queue_ready(plain->queue) ? 0 : VS_NEVER;
}

static void stats(const struct vs_plain *plain, struct vs_plain_stats *out)
{
	(void)plain, (void)out;
}

const struct vs_plain_ops vs_plain_stream_ops = {
	.piece_max = VS_PLAIN_STREAM_PIECE,
	.init = init,
	.fini = fini,
	.input = input,
	.fill = fill,
	.run_timers = run_timers,
	.deadline = deadline,
	.stats = stats,
};
