/* A plain KCP peer that is fed with whatever comes, has frames to send, and lives through time. The input is a row of
 * operations: a datagram of made-up segments (headers near to what is expected, so that windows and sequence numbers
 * meet), a datagram of raw bytes, a frame to send, time. Whatever happens: all that it sends is KCP's and fits its MTU,
 * never beyond the peer's window; memory stays within its bounds; and only frames come out. */
#include <stdlib.h>
#include <string.h>

#include "fuzz/check.h"
#include "link/plain.h"
#include "link/segment.h"

#define CONV 1
#define POOL_BYTES (16u << 20)
#define HELD_MAX (2u << 20) /* beyond a gap: 1 MiB and what one datagram adds */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
	struct vs_pool *pool;
	struct vs_plain *plain;
	struct vs_deframed arrived;
	uint64_t now;
	uint32_t una, nxt; /* of what it sends: what we have said has come, what we have seen */
	bool lied;         /* we have acknowledged what we had not seen: it may have been about to be sent */
};

static void take_frames(struct fuzz *f)
{
	struct vs_frame *frame;
	CHECK(f->arrived.control.count == 0 && !f->arrived.frames_only);
	while ((frame = vs_frame_list_pop(&f->arrived.frames))) {
		CHECK(vs_plain_is_proven(f->plain));
		CHECK(frame->len >= VS_ETH_HEADER && frame->len <= VS_ETH_FRAME_MAX && !frame->super);
		vs_frame_unref(frame);
	}
}

static void check_segment(struct fuzz *f, const struct vs_segment *seg)
{
	CHECK(seg->conv == CONV && seg->cmd != VS_CMD_SKIP);
	CHECK(seg->wnd >= VS_WINDOW_MIN);
	if (seg->cmd != VS_CMD_PUSH) {
		CHECK(seg->len == 0);
		return;
	}
	CHECK(seg->len > 0 && (vs_sn_diff(seg->sn, f->nxt) <= 0 || f->lied));
	if (vs_sn_diff(seg->sn, f->nxt) >= 0)
		f->nxt = seg->sn + 1;
	CHECK(f->nxt - f->una <= VS_WINDOW_MAX || f->lied);
}

static void output(struct fuzz *f)
{
	const uint8_t *bytes;
	size_t size;
	struct vs_segment seg;
	int datagrams = 0;
	while ((size = vs_plain_output(f->plain, f->now, &bytes))) {
		CHECK(size <= VS_PLAIN_KCP_MTU && ++datagrams < 10000);
		struct vs_view view = vs_view_of(bytes, size);
		while (view.len) {
			CHECK(vs_segment_decode(&view, &seg));
			check_segment(f, &seg);
		}
		vs_plain_sent(f->plain, size);
	}
	struct vs_plain_stats stats;
	vs_plain_stats(f->plain, &stats);
	CHECK(stats.arq_rx.held <= HELD_MAX && stats.queue.bytes <= 4u << 20);
	CHECK(stats.arq_tx.inflight + stats.arq_tx.waiting <= VS_WINDOW_MAX);
	CHECK(vs_plain_end(f->plain) == VS_PLAIN_RUNS || vs_plain_deadline(f->plain) == 0);
}

static void input(struct fuzz *f, const uint8_t *bytes, size_t len)
{
	/* In a buffer of its own, so that a sanitizer sees what is read beyond it. */
	uint8_t *copy = malloc(len ? len : 1);
	CHECK(copy);
	memcpy(copy, bytes, len);
	vs_plain_input(f->plain, copy, len, f->now, &f->arrived);
	free(copy);
	take_frames(f);
}

/* cmd, distance of sn, wnd, distance of una, len; then the data. */
static void input_segment(struct fuzz *f, struct vs_view *view)
{
	uint8_t datagram[VS_SEGMENT_HEADER + 255];
	const uint8_t *p = vs_view_pull(view, 5);
	if (!p)
		return;
	struct vs_segment seg = {
		.conv = CONV,
		.cmd = (uint8_t)(VS_CMD_PUSH + p[0] % 5),
		.frg = p[0] / 5,
		.wnd = (uint16_t)(p[2] < 128 ? p[2] : p[2] * 64),
		.ts = (uint32_t)f->now - p[3],
		.una = f->una + p[3] % 16,
		.len = (uint32_t)VS_MIN((size_t)p[4], view->len),
	};
	if (vs_sn_diff(seg.una, f->nxt) > 0 && p[3] < 250)
		seg.una = f->nxt;
	f->lied |= vs_sn_diff(seg.una, f->nxt) > 0;
	/* Its own data are numbered from the start: the receiver knows best how far it is. */
	seg.sn = seg.cmd == VS_CMD_ACK ? f->una + p[1] % 64 : p[1];
	seg.data = vs_view_pull(view, seg.len);
	vs_segment_encode(&seg, datagram);
	if (seg.len)
		memcpy(datagram + VS_SEGMENT_HEADER, seg.data, seg.len);
	if (vs_sn_diff(seg.una, f->una) > 0 && vs_sn_diff(seg.una, f->nxt) <= 0)
		f->una = seg.una;
	input(f, datagram, VS_SEGMENT_HEADER + seg.len);
}

static void send_frame(struct fuzz *f, struct vs_view *view)
{
	size_t len = VS_ETH_HEADER + vs_view_be16(view) % (VS_ETH_FRAME_MAX - VS_ETH_HEADER + 1);
	struct vs_frame *frame = vs_view_ok(view) ? vs_frame_new(f->pool, len) : NULL;
	if (!frame)
		return;
	memset(vs_frame_bytes(frame), 0x88, len);
	vs_plain_send(f->plain, frame, f->now);
}

static void step(struct fuzz *f, struct vs_view *view)
{
	uint8_t op = vs_view_u8(view);
	switch (op % 6) {
	case 0:
	case 1:
		input_segment(f, view);
		break;
	case 2: {
		size_t len = VS_MIN((size_t)op, view->len);
		input(f, vs_view_pull(view, len), len);
		break;
	}
	case 3:
		send_frame(f, view);
		break;
	case 4:
		f->now += (uint64_t)op * op * VS_MSEC;
		break;
	default:
		output(f);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { .now = 1000 * VS_SEC };
	struct vs_plain_config config = { .kind = VS_PLAIN_KCP, .conv = CONV, .queue = VS_QUEUE_CONFIG_DEFAULT };
	struct vs_view view = vs_view_of(data, size);
	uint32_t conv;

	(void)vs_plain_kcp_begins(data, size, &conv);
	f.pool = config.pool = vs_pool_new(POOL_BYTES);
	vs_frame_list_init(&f.arrived.frames, 65536);
	vs_frame_list_init(&f.arrived.control, 64);
	f.plain = vs_plain_new(&config, f.now);
	CHECK(f.pool && f.plain);
	while (view.len)
		step(&f, &view);
	output(&f);
	vs_plain_free(f.plain);
	vs_frame_list_fini(&f.arrived.frames);
	vs_frame_list_fini(&f.arrived.control);
	vs_pool_free(f.pool); /* asserts that no reference was lost */
	return 0;
}
