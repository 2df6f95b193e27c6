/* A plain peer over a stream. The first byte says how the rest is cut; frames that come go back to the peer, and a
 * socket takes what it sends in pieces. What comes back must be the frames that came in, byte for byte, up to where the
 * stream is no frames; after that nothing moves any more. */
#include <stdlib.h>
#include <string.h>

#include "fuzz/check.h"
#include "link/plain.h"

#define POOL_BYTES (16u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
	struct vs_plain *plain;
	struct vs_deframed arrived;
	const uint8_t *data; /* the next byte that is to come back */
	const uint8_t *end;
	uint64_t now;
};

/* Writes all that it has, in pieces of at most `piece`. */
static void write_out(struct fuzz *f, size_t piece)
{
	const uint8_t *bytes;
	size_t size;
	while ((size = vs_plain_output(f->plain, f->now, &bytes))) {
		size_t n = VS_MIN(size, piece);
		CHECK(size <= VS_PLAIN_STREAM_PIECE && n <= (size_t)(f->end - f->data));
		CHECK(memcmp(bytes, f->data, n) == 0);
		f->data += n;
		vs_plain_sent(f->plain, n);
	}
}

static void feed(struct fuzz *f, const uint8_t *bytes, size_t len)
{
	struct vs_frame *frame;
	bool ran = vs_plain_end(f->plain) == VS_PLAIN_RUNS;
	uint8_t *copy = malloc(len);
	CHECK(copy);
	memcpy(copy, bytes, len);
	vs_plain_input(f->plain, copy, len, f->now, &f->arrived);
	free(copy);
	CHECK(f->arrived.control.count == 0 && (ran || f->arrived.frames.count == 0));
	while ((frame = vs_frame_list_pop(&f->arrived.frames))) {
		CHECK(!frame->super && frame->len >= VS_ETH_HEADER && frame->len <= VS_ETH_FRAME_MAX);
		vs_plain_send(f->plain, frame, f->now);
		write_out(f, len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vs_plain_config config = { .kind = VS_PLAIN_STREAM, .queue = VS_QUEUE_CONFIG_DEFAULT };
	struct fuzz f = { .now = 1000 * VS_SEC };

	if (size < 2)
		return 0;
	config.pool = vs_pool_new(POOL_BYTES);
	vs_frame_list_init(&f.arrived.frames, 65536);
	vs_frame_list_init(&f.arrived.control, 64);
	f.plain = vs_plain_new(&config, f.now);
	CHECK(config.pool && f.plain);
	size_t piece = 1 + (size_t)data[0] * 4;
	f.data = data + 1;
	f.end = data + size;
	for (size_t at = 1; at < size; at += piece)
		feed(&f, data + at, VS_MIN(piece, size - at));
	struct vs_plain_stats stats;
	vs_plain_stats(f.plain, &stats);
	CHECK(stats.rx_frames >= stats.tx_frames && stats.queue.frames <= stats.tx_frames);
	vs_plain_free(f.plain);
	vs_frame_list_fini(&f.arrived.frames);
	vs_frame_list_fini(&f.arrived.control);
	vs_pool_free(config.pool);
	return 0;
}
