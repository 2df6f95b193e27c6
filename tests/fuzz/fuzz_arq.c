/* Both halves of the ARQ under random operations: messages are admitted, datagrams and ACKs are lost, held back,
 * duplicated or made up, time passes. Whatever happens: frames of a lane come out whole, in order and once; memory and
 * window stay within their bounds; and when the input is used up and the path is perfect, everything is settled. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/check.h"
#include "link/arq_rx.h"
#include "link/arq_tx.h"

#define LANES 4
#define ROOM 600
#define BUDGET (64 * 1024)
#define POOL_BYTES (8 << 20)
#define HELD 16 /* datagrams that are on their way, each direction */

struct datagram {
	size_t len;
	uint8_t text[ROOM];
};

struct way {
	struct datagram held[HELD];
	unsigned n;
};

struct fuzz {
	struct vs_pool *pool;
	struct vs_rtt rtt;
	struct vs_congestion *congestion;
	struct vs_drops drops;
	struct vs_arq_tx *tx;
	struct vs_arq_rx *rx, *own;
	struct vs_deframed arrived;
	struct way data, acks;
	bool forged; /* made-up segments have been let in: the contents prove nothing any more */
	uint32_t admitted[LANES], expected[LANES];
	uint64_t now;
};

/* --- Frames --- */

static void admit(struct fuzz *f, unsigned lane, size_t len, uint32_t mss)
{
	unsigned segments = vs_arq_segments((uint32_t)len + VS_FRAMING_HEADER, mss, mss);
	uint32_t last_sn;
	if (segments > VS_MESSAGE_SEGMENTS_MAX || !vs_arq_tx_lane_ready(f->tx, lane, segments))
		return;
	struct vs_frame *frame = vs_frame_new(f->pool, len);
	if (!frame)
		return;
	memset(vs_frame_bytes(frame), (int)(f->admitted[lane] & 0xff), len);
	vs_put_be32(vs_frame_bytes(frame), lane);
	vs_put_be32(vs_frame_bytes(frame) + 4, f->admitted[lane]);
	vs_framing_prepend(frame);
	if (vs_arq_tx_admit(f->tx, lane, frame, frame->offset - VS_FRAMING_HEADER, (uint32_t)len + VS_FRAMING_HEADER,
			    mss, mss, f->now, &last_sn) == 0)
		f->admitted[lane]++;
}

static void check_frame(struct fuzz *f, const struct vs_frame *frame)
{
	const uint8_t *p = vs_frame_cbytes(frame);
	uint32_t lane = vs_get_be32(p), number = vs_get_be32(p + 4);
	CHECK(lane < LANES);
	CHECK(number >= f->expected[lane] && number < f->admitted[lane]);
	f->expected[lane] = number + 1;
	for (uint32_t i = 8; i < frame->len; i++)
		CHECK(p[i] == (uint8_t)number);
}

static void take_frames(struct fuzz *f)
{
	struct vs_frame *frame;
	while ((frame = vs_frame_list_pop(&f->arrived.frames))) {
		if (!f->forged)
			check_frame(f, frame);
		vs_frame_unref(frame);
	}
	vs_frame_list_clear(&f->arrived.control);
}

/* --- Datagrams --- */

static void hold(struct way *way, const struct datagram *d)
{
	if (way->n < HELD)
		way->held[way->n++] = *d;
}

/* Takes one out, from anywhere. */
static bool release(struct way *way, unsigned which, bool keep, struct datagram *d)
{
	if (!way->n)
		return false;
	which %= way->n;
	*d = way->held[which];
	if (!keep) {
		way->n--;
		memmove(&way->held[which], &way->held[which + 1], (way->n - which) * sizeof(*d));
	}
	return true;
}

static void flatten(const struct vs_parts *parts, struct datagram *d)
{
	d->len = 0;
	for (size_t i = 0; i < parts->n; i++) {
		memcpy(d->text + d->len, parts->iov[i].iov_base, parts->iov[i].iov_len);
		d->len += parts->iov[i].iov_len;
	}
}

static bool write_data(struct fuzz *f, struct datagram *d)
{
	static struct vs_parts parts;
	vs_parts_init(&parts, ROOM);
	vs_arq_tx_write_urgent(f->tx, f->own, f->now, &parts);
	vs_arq_tx_write_lost(f->tx, f->own, f->now, &parts);
	while (vs_arq_tx_write_waiting(f->tx, f->own, f->now, &parts))
		;
	flatten(&parts, d);
	return d->len > 0;
}

static bool write_acks(struct fuzz *f, struct datagram *d)
{
	d->len = vs_arq_rx_write_acks(f->rx, f->now, d->text, ROOM);
	CHECK(d->len <= ROOM);
	return d->len > 0;
}

static void input_data(struct fuzz *f, const struct datagram *d)
{
	struct vs_view view = vs_view_of(d->text, d->len);
	struct vs_segment seg;
	while (view.len && vs_segment_decode(&view, &seg)) {
		if (seg.cmd == VS_CMD_ACK)
			continue;
		int err = vs_arq_rx_input(f->rx, &seg, f->now, &f->arrived);
		CHECK(err == 0 || f->forged);
	}
	take_frames(f);
}

static void input_acks(struct fuzz *f, const struct datagram *d)
{
	struct vs_view view = vs_view_of(d->text, d->len);
	struct vs_segment seg;
	while (view.len && vs_segment_decode(&view, &seg)) {
		bool fine = vs_arq_tx_input(f->tx, &seg, f->now);
		CHECK(fine || f->forged);
	}
	vs_arq_tx_input_done(f->tx, f->now);
}

/* --- Operations --- */

static void check_bounds(struct fuzz *f)
{
	struct vs_arq_rx_stats rx;
	struct vs_arq_tx_stats tx;
	vs_arq_rx_stats(f->rx, &rx);
	vs_arq_tx_stats(f->tx, &tx);
	/* One buffer beyond the budget, and a partial frame in each lane. */
	CHECK(rx.held <= BUDGET + 10000 + LANES * VS_ETH_FRAME_MAX);
	uint16_t window = vs_arq_rx_window(f->rx);
	CHECK(window >= VS_WINDOW_MIN && window <= VS_WINDOW_MAX);
	CHECK(tx.inflight + tx.waiting <= LANES * VS_WINDOW_MAX);
	CHECK((tx.inflight == 0) == (tx.inflight_bytes == 0));
	CHECK(tx.inflight_bytes == vs_arq_tx_inflight(f->tx));
	CHECK(!vs_arq_tx_idle(f->tx) || (!tx.inflight && !tx.waiting));
}

/* A segment with the input's own header, to either half. */
static void forge(struct fuzz *f, struct vs_view *in)
{
	struct datagram d;
	const uint8_t *p = vs_view_pull(in, VS_SEGMENT_HEADER);
	if (!p)
		return;
	size_t len = VS_MIN(in->len, (size_t)vs_view_u8(in));
	len = VS_MIN(len, in->len);
	memcpy(d.text, p, VS_SEGMENT_HEADER);
	vs_view_copy(in, d.text + VS_SEGMENT_HEADER, len);
	d.text[4] = (uint8_t)(VS_CMD_PUSH + d.text[4] % 5);
	d.text[0] %= 2 * LANES;
	memset(d.text + 1, 0, 3);
	vs_put_le32(d.text + 20, (uint32_t)len);
	d.len = VS_SEGMENT_HEADER + len;
	f->forged = true;
	input_data(f, &d);
	input_acks(f, &d);
}

static void step(struct fuzz *f, struct vs_view *in)
{
	struct datagram d;
	uint8_t op = vs_view_u8(in), arg = vs_view_u8(in);
	switch (op % 10) {
	case 0:
	case 1:
		admit(f, arg % LANES, 14 + (size_t)vs_view_u8(in) * (arg & 64 ? 11 : 1), arg & 128 ? 100 : 570);
		break;
	case 2:
		if (write_data(f, &d) && !(arg & 1))
			hold(&f->data, &d);
		break;
	case 3:
		if (release(&f->data, arg >> 1, arg & 1, &d))
			input_data(f, &d);
		break;
	case 4:
		if (write_acks(f, &d) && !(arg & 1))
			hold(&f->acks, &d);
		break;
	case 5:
		if (release(&f->acks, arg >> 1, arg & 1, &d))
			input_acks(f, &d);
		break;
	case 6:
		f->now += arg * VS_MSEC / 4;
		break;
	case 7:
		if (arg == 255)
			f->now += 2 * VS_SEC;
		vs_arq_tx_timeout(f->tx, f->now);
		break;
	case 8:
		vs_arq_tx_release(f->tx);
		vs_arq_rx_release(f->rx);
		break;
	case 9:
		if (arg > 250)
			forge(f, in);
		break;
	}
	check_bounds(f);
}

/* A perfect path from now on: all is settled in the end, unless forged segments have confused the two. */
static void settle(struct fuzz *f)
{
	struct datagram d;
	for (unsigned i = 0; i < 4000 && !vs_arq_tx_idle(f->tx); i++) {
		uint64_t deadline = vs_time_min(vs_arq_tx_deadline(f->tx), f->now + 60 * VS_SEC);
		f->now = VS_MAX(f->now + VS_MSEC, deadline);
		vs_arq_tx_timeout(f->tx, f->now);
		while (write_data(f, &d))
			input_data(f, &d);
		f->now += VS_MSEC;
		while (write_acks(f, &d))
			input_acks(f, &d);
		check_bounds(f);
	}
	struct vs_arq_rx_stats rx;
	vs_arq_rx_stats(f->rx, &rx);
	CHECK(f->forged || (vs_arq_tx_idle(f->tx) && rx.held == 0));
}

/* --- Life --- */

static void open_fuzz(struct fuzz *f, uint8_t flags)
{
	uint32_t first_sn = flags & 1 ? UINT32_MAX - 20 : 0;
	*f = (struct fuzz){ .now = 10 * VS_SEC, .pool = vs_pool_new(POOL_BYTES) };
	vs_rtt_init(&f->rtt, 0, 0);
	f->congestion = vs_congestion_new((enum vs_congestion_kind)((flags >> 1) % 3), ROOM, f->now);
	struct vs_arq_tx_config tx = {
		.lanes = LANES,
		.send_window = VS_WINDOW_MIN,
		.max_age_usec = flags & 8 ? VS_SEC : 0,
		.first_sn = first_sn,
		.rtt = &f->rtt,
		.congestion = f->congestion,
		.drops = &f->drops,
	};
	struct vs_arq_rx_config rx = {
		.lanes = LANES, .budget = BUDGET, .first_sn = first_sn, .pool = f->pool, .drops = &f->drops,
	};
	f->tx = vs_arq_tx_new(&tx);
	f->rx = vs_arq_rx_new(&rx);
	f->own = vs_arq_rx_new(&rx);
	if (!f->pool || !f->congestion || !f->tx || !f->rx || !f->own)
		abort();
	vs_frame_list_init(&f->arrived.frames, 4096);
	vs_frame_list_init(&f->arrived.control, 64);
}

static void close_fuzz(struct fuzz *f)
{
	vs_arq_tx_free(f->tx);
	vs_arq_rx_free(f->rx);
	vs_arq_rx_free(f->own);
	vs_congestion_free(f->congestion);
	vs_frame_list_fini(&f->arrived.frames);
	vs_frame_list_fini(&f->arrived.control);
	vs_pool_free(f->pool); /* asserts that every frame is back */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz f;
	struct vs_view in = vs_view_of(data, size);
	open_fuzz(&f, vs_view_u8(&in));
	while (in.len)
		step(&f, &in);
	settle(&f);
	close_fuzz(&f);
	return 0;
}
