#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "link/acklist.h"
#include "link/plain.h"
#include "link/segment.h"

#define CONV 0x4b435021u
#define POOL (64u << 20)
#define START (1000 * VS_SEC)

static uint32_t draw(uint64_t *random)
{
	*random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*random >> 33);
}

/* --- One peer, and a KCP of our own hands on the other side --- */

struct fixture {
	struct vs_pool *pool;
	struct vs_plain *plain;
	struct vs_deframed arrived;
	uint64_t now;
};

static void init(struct fixture *f, enum vs_plain_kind kind)
{
	struct vs_plain_config config = { .kind = kind, .conv = CONV, .queue = VS_QUEUE_CONFIG_DEFAULT };
	memset(f, 0, sizeof(*f));
	f->now = START;
	f->pool = config.pool = vs_pool_new(POOL);
	f->plain = vs_plain_new(&config, f->now);
	assert_non_null(f->plain);
	vs_frame_list_init(&f->arrived.frames, 65536);
	vs_frame_list_init(&f->arrived.control, 64);
}

static void fini(struct fixture *f)
{
	vs_plain_free(f->plain);
	vs_frame_list_fini(&f->arrived.frames);
	vs_frame_list_fini(&f->arrived.control);
	vs_pool_free(f->pool); /* asserts that no reference was lost */
}

/* A frame of the one flow that there is, whose bytes are a function of its number. */
static struct vs_frame *make_frame(struct vs_pool *pool, uint32_t len, uint32_t number)
{
	struct vs_frame *frame = vs_frame_new(pool, len);
	assert_non_null(frame);
	uint8_t *bytes = vs_frame_bytes(frame);
	for (uint32_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i < VS_ETH_HEADER ? 0x88 : number * 31 + i * 7);
	return frame;
}

static size_t put_framed(uint8_t *out, struct vs_pool *pool, uint32_t len, uint32_t number)
{
	struct vs_frame *frame = make_frame(pool, len, number);
	vs_framing_encode(out, VS_FLAG_FRAME, len);
	memcpy(out + VS_FRAMING_HEADER, vs_frame_bytes(frame), len);
	vs_frame_unref(frame);
	return VS_FRAMING_HEADER + len;
}

static void expect_frame(struct fixture *f, uint32_t len, uint32_t number)
{
	struct vs_frame *frame = vs_frame_list_pop(&f->arrived.frames), *wanted = make_frame(f->pool, len, number);
	assert_non_null(frame);
	assert_int_equal(frame->len, len);
	assert_memory_equal(vs_frame_bytes(frame), vs_frame_bytes(wanted), len);
	vs_frame_unref(frame);
	vs_frame_unref(wanted);
}

static void input(struct fixture *f, const uint8_t *bytes, size_t len)
{
	vs_plain_input(f->plain, bytes, len, f->now, &f->arrived);
}

/* What a KCP says; `wnd` is its window. */
static void say(struct fixture *f, struct vs_segment seg)
{
	uint8_t datagram[2048];
	seg.conv = seg.conv ? seg.conv : CONV;
	vs_segment_encode(&seg, datagram);
	if (seg.len)
		memcpy(datagram + VS_SEGMENT_HEADER, seg.data, seg.len);
	input(f, datagram, VS_SEGMENT_HEADER + seg.len);
}

static void say_push(struct fixture *f, uint32_t sn, uint8_t frg, uint32_t ts, const uint8_t *data, size_t len)
{
	say(f, (struct vs_segment){ .cmd = VS_CMD_PUSH, .frg = frg, .wnd = 32, .ts = ts, .sn = sn, .data = data,
				    .len = (uint32_t)len });
}

/* Makes the peer known by one frame of 60 bytes, as segment 0. */
static void prove(struct fixture *f, uint16_t wnd)
{
	uint8_t framed[64];
	put_framed(framed, f->pool, 60, 1);
	say(f, (struct vs_segment){ .cmd = VS_CMD_PUSH, .wnd = wnd, .data = framed, .len = sizeof(framed) });
	expect_frame(f, 60, 1);
	assert_true(vs_plain_is_proven(f->plain));
}

#define HEARD_MAX 2048 /* segments: more ACKs than are owed at most */

struct heard {
	struct vs_segment seg[HEARD_MAX];
	uint8_t bytes[512 * 1500];
	size_t n, used;
};

/* All that it sends now, segment by segment: nothing that KCP would not send. */
static void listen_to(struct fixture *f, struct heard *heard)
{
	const uint8_t *bytes;
	size_t size;
	heard->n = heard->used = 0;
	while ((size = vs_plain_output(f->plain, f->now, &bytes))) {
		assert_true(size <= VS_PLAIN_KCP_MTU && heard->used + size <= sizeof(heard->bytes));
		memcpy(heard->bytes + heard->used, bytes, size);
		struct vs_view view = vs_view_of(heard->bytes + heard->used, size);
		heard->used += size;
		while (view.len) {
			assert_true(heard->n < HEARD_MAX);
			struct vs_segment *seg = &heard->seg[heard->n++];
			assert_true(vs_segment_decode(&view, seg));
			assert_int_equal(seg->conv, CONV);
			assert_true(seg->cmd != VS_CMD_SKIP);
			assert_true(seg->cmd == VS_CMD_PUSH || seg->len == 0);
		}
		vs_plain_sent(f->plain, size);
	}
}

static size_t count(const struct heard *heard, enum vs_cmd cmd)
{
	size_t n = 0;
	for (size_t i = 0; i < heard->n; i++)
		n += heard->seg[i].cmd == cmd;
	return n;
}

static const struct vs_segment *find(const struct heard *heard, enum vs_cmd cmd)
{
	for (size_t i = 0; i < heard->n; i++)
		if (heard->seg[i].cmd == cmd)
			return &heard->seg[i];
	return NULL;
}

/* Sleeps until the peer wants to be called, and hears it. */
static void next_turn(struct fixture *f, struct heard *heard)
{
	uint64_t deadline = vs_plain_deadline(f->plain);
	assert_true(deadline != VS_NEVER);
	f->now = VS_MAX(f->now + 1, deadline);
	listen_to(f, heard);
}

/* --- Who begins --- */

static void test_begins(void **state)
{
	static const struct {
		struct vs_segment seg;
		uint16_t flag;
		bool begins;
	} cases[] = {
		{ { .conv = 7, .cmd = VS_CMD_PUSH, .len = 8 }, VS_FLAG_FRAME, true },
		{ { .conv = 0, .cmd = VS_CMD_PUSH, .len = 8 }, VS_FLAG_FRAME, true },
		{ { .conv = 7, .cmd = VS_CMD_PUSH, .sn = 3, .len = 8 }, 0x1234, true }, /* overtook the first */
		{ { .conv = 7, .cmd = VS_CMD_PUSH, .len = 8 }, VS_FLAG_CONTROL, false },
		{ { .conv = 7, .cmd = VS_CMD_PUSH, .len = 8 }, 0x1234, false },
		{ { .conv = 7, .cmd = VS_CMD_PUSH, .una = 1, .len = 8 }, VS_FLAG_FRAME, false },
		{ { .conv = 7, .cmd = VS_CMD_PUSH, .sn = VS_WINDOW_MAX, .len = 8 }, VS_FLAG_FRAME, false },
		{ { .conv = 7, .cmd = VS_CMD_ACK }, 0, false },
		{ { .conv = 7, .cmd = VS_CMD_WASK }, 0, false },
		{ { .conv = 7, .cmd = VS_CMD_SKIP }, 0, false },
		{ { .conv = 7, .cmd = VS_CMD_PUSH, .len = 9 }, VS_FLAG_FRAME, false }, /* cut short */
	};
	uint8_t datagram[64];
	(void)state;

	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		uint32_t conv = 99;
		memset(datagram, 0, sizeof(datagram));
		vs_segment_encode(&cases[i].seg, datagram);
		vs_put_be16(datagram + VS_SEGMENT_HEADER, cases[i].flag);
		size_t len = VS_SEGMENT_HEADER + (cases[i].seg.len ? 8 : 0);
		assert_int_equal(vs_plain_kcp_begins(datagram, len, &conv), cases[i].begins);
		assert_int_equal(conv, cases[i].begins ? cases[i].seg.conv : 99);
		/* A second segment, of another conversation. */
		vs_segment_encode(&(struct vs_segment){ .conv = 8, .cmd = VS_CMD_WASK }, datagram + len);
		assert_false(vs_plain_kcp_begins(datagram, len + VS_SEGMENT_HEADER, &conv));
	}
	assert_false(vs_plain_kcp_begins(datagram, 0, &(uint32_t){ 0 }));
}

/* --- Acknowledgements --- */

static void test_each_segment_is_acknowledged(void **state)
{
	static const uint32_t order[] = { 0, 2, 3, 5, 5 };
	static struct heard heard;
	struct fixture f;
	uint8_t framed[64];
	(void)state;

	init(&f, VS_PLAIN_KCP);
	for (size_t i = 0; i < VS_ARRAY_SIZE(order); i++) {
		put_framed(framed, f.pool, 60, order[i]);
		say_push(&f, order[i], 0, 1000 + order[i], framed, sizeof(framed));
	}
	expect_frame(&f, 60, 0);
	next_turn(&f, &heard);
	/* una says that 0 is here; the others are named, with their stamps, and 5 as often as it has come. */
	static const uint32_t named[] = { 2, 3, 5, 5 };
	assert_int_equal(count(&heard, VS_CMD_ACK), VS_ARRAY_SIZE(named));
	for (size_t i = 0; i < VS_ARRAY_SIZE(named); i++) {
		assert_int_equal(heard.seg[i].cmd, VS_CMD_ACK);
		assert_int_equal(heard.seg[i].sn, named[i]);
		assert_int_equal(heard.seg[i].ts, 1000 + named[i]);
		assert_int_equal(heard.seg[i].una, 1);
		assert_true(heard.seg[i].wnd >= VS_WINDOW_MIN);
	}
	/* The gap is filled: una names all but the last that has come, whose stamp is wanted. */
	put_framed(framed, f.pool, 60, 4);
	say_push(&f, 4, 0, 2004, framed, sizeof(framed));
	put_framed(framed, f.pool, 60, 1);
	say_push(&f, 1, 0, 2001, framed, sizeof(framed));
	for (uint32_t n = 1; n <= 5; n++)
		expect_frame(&f, 60, n);
	next_turn(&f, &heard);
	assert_int_equal(count(&heard, VS_CMD_ACK), 1);
	assert_int_equal(heard.seg[0].sn, 1);
	assert_int_equal(heard.seg[0].ts, 2001);
	assert_int_equal(heard.seg[0].una, 6);
	fini(&f);
}

/* More ACKs than a datagram holds go in several, and none is lost; a flood of them is bounded. */
static void test_many_acks(void **state)
{
	static struct heard heard;
	struct fixture f;
	uint8_t byte = 0xbc;
	(void)state;

	init(&f, VS_PLAIN_KCP);
	for (uint32_t sn = 1; sn <= 200; sn++)
		say_push(&f, sn, 0, sn, &byte, 1);
	next_turn(&f, &heard);
	assert_int_equal(count(&heard, VS_CMD_ACK), 200);
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(heard.seg[i].sn, i + 1);
	for (uint32_t i = 0; i < 10000; i++)
		say_push(&f, 1 + i % 50, 0, i, &byte, 1);
	size_t acks = 0;
	for (int i = 0; i < 10; i++) {
		next_turn(&f, &heard);
		acks += count(&heard, VS_CMD_ACK);
	}
	assert_true(acks >= 50 && acks <= 1024);
	fini(&f);
}

/* Segments beyond a gap fill the list. What comes in order then needs no ACK, and finds room again when una has told of
 * enough of it. */
static void test_full_list_of_acks(void **state)
{
	static struct vs_acklist list;
	static uint8_t out[(VS_ACKLIST_MAX + 1) * VS_SEGMENT_HEADER];
	struct vs_segment ack = { .cmd = VS_CMD_ACK, .una = 300 };
	(void)state;

	memset(&list, 0, sizeof(list));
	for (uint32_t i = 0; i < VS_ACKLIST_MAX; i++)
		vs_acklist_add(&list, 0, i < 200 ? i : 1000 + i, i);
	assert_int_equal(list.n, VS_ACKLIST_MAX);
	vs_acklist_add(&list, 1, 1, 5000);
	assert_int_equal(list.n, VS_ACKLIST_MAX);
	assert_int_equal(list.item[0].sn, 0);
	vs_acklist_add(&list, 200, 200, 5001);
	assert_int_equal(list.n, VS_ACKLIST_MAX - 200 + 1);
	assert_int_equal(list.item[0].sn, 1200);
	assert_int_equal(vs_acklist_write(&list, &ack, out, sizeof(out)),
			 (VS_ACKLIST_MAX - 200 + 1) * VS_SEGMENT_HEADER);
	assert_int_equal(list.n, 0);
}

static void test_window_is_told(void **state)
{
	static struct heard heard;
	struct fixture f;
	(void)state;

	init(&f, VS_PLAIN_KCP);
	prove(&f, 32);
	next_turn(&f, &heard);
	say(&f, (struct vs_segment){ .cmd = VS_CMD_WASK, .wnd = 32 });
	assert_true(vs_plain_deadline(f.plain) <= f.now);
	listen_to(&f, &heard);
	/* A WINS and no ACK: KCP would take the stamp of one for a measurement. */
	assert_int_equal(heard.n, 1);
	assert_int_equal(heard.seg[0].cmd, VS_CMD_WINS);
	assert_int_equal(heard.seg[0].una, 1);
	assert_true(heard.seg[0].wnd >= VS_WINDOW_MIN);
	fini(&f);
}

/* --- Windows --- */

static void test_small_window(void **state)
{
	static struct heard heard;
	struct fixture f;
	struct vs_plain_stats stats;
	uint32_t next = 0, messages = 0, sent = 0;
	(void)state;

	init(&f, VS_PLAIN_KCP);
	prove(&f, 3);
	for (int turns = 0; messages < 40; turns++) {
		assert_true(turns < 2000);
		vs_plain_stats(f.plain, &stats);
		for (; stats.queue.frames < 3 && sent < 40; stats.queue.frames++, sent++)
			vs_plain_send(f.plain, make_frame(f.pool, sent % 2 ? 1514 : 100, sent), f.now);
		next_turn(&f, &heard);
		for (size_t i = 0; i < heard.n; i++) {
			const struct vs_segment *seg = &heard.seg[i];
			if (seg->cmd != VS_CMD_PUSH || seg->sn != next)
				continue;
			/* Never beyond the window, and no message longer than it. */
			assert_true(seg->frg < 3);
			next++;
			messages += seg->frg == 0;
		}
		assert_true(count(&heard, VS_CMD_PUSH) <= 3);
		f.now += 5 * VS_MSEC;
		for (uint32_t i = 1; next && i <= 1; i++)
			say(&f, (struct vs_segment){ .cmd = VS_CMD_ACK, .wnd = 3, .sn = next - 1, .una = next,
						     .ts = (uint32_t)f.now - 5000 });
	}
	assert_int_equal(vs_plain_drops(f.plain)->count[VS_DROP_GIANT], 0);
	fini(&f);
}

/* A frame that the peer could never put together is dropped instead of standing in the way of all others. */
static void test_frame_beyond_any_window(void **state)
{
	static struct heard heard;
	struct fixture f;
	(void)state;

	init(&f, VS_PLAIN_KCP);
	prove(&f, 1);
	next_turn(&f, &heard);
	vs_plain_send(f.plain, make_frame(f.pool, 1514, 1), f.now);
	vs_plain_send(f.plain, make_frame(f.pool, 1000, 2), f.now);
	listen_to(&f, &heard);
	assert_int_equal(vs_plain_drops(f.plain)->count[VS_DROP_GIANT], 1);
	assert_int_equal(count(&heard, VS_CMD_PUSH), 1);
	assert_int_equal(find(&heard, VS_CMD_PUSH)->len, VS_FRAMING_HEADER + 1000);
	fini(&f);
}

static void test_closed_window(void **state)
{
	static struct heard heard;
	struct fixture f;
	(void)state;

	init(&f, VS_PLAIN_KCP);
	prove(&f, 8);
	say(&f, (struct vs_segment){ .cmd = VS_CMD_WINS, .wnd = 0 });
	next_turn(&f, &heard);
	vs_plain_send(f.plain, make_frame(f.pool, 200, 7), f.now);
	uint64_t last = f.now, wait = 0;
	listen_to(&f, &heard);
	assert_int_equal(heard.n, 0);
	/* It is asked, less and less often, and is not given up as long as it answers. */
	while (f.now < START + 100 * VS_SEC) {
		next_turn(&f, &heard);
		assert_int_equal(count(&heard, VS_CMD_PUSH), 0);
		if (!count(&heard, VS_CMD_WASK))
			continue;
		assert_true(f.now - last >= wait && f.now - last <= 6 * VS_SEC);
		wait = f.now - last;
		last = f.now;
		say(&f, (struct vs_segment){ .cmd = VS_CMD_WINS, .wnd = 0 });
	}
	assert_int_equal(vs_plain_end(f.plain), VS_PLAIN_RUNS);
	say(&f, (struct vs_segment){ .cmd = VS_CMD_WINS, .wnd = 1 });
	listen_to(&f, &heard);
	assert_int_equal(count(&heard, VS_CMD_PUSH), 1);
	fini(&f);
}

/* --- Ends --- */

static uint64_t run_to_end(struct fixture *f, struct heard *heard, size_t *asked)
{
	*asked = 0;
	while (vs_plain_end(f->plain) == VS_PLAIN_RUNS) {
		next_turn(f, heard);
		*asked += count(heard, VS_CMD_WASK);
	}
	assert_true(vs_plain_deadline(f->plain) <= f->now);
	return f->now - START;
}

static void test_silence(void **state)
{
	static struct heard heard;
	struct fixture f;
	size_t asked;
	(void)state;

	init(&f, VS_PLAIN_KCP);
	assert_int_equal(run_to_end(&f, &heard, &asked), VS_PLAIN_PROVE_WITHIN);
	assert_int_equal(vs_plain_end(f.plain), VS_PLAIN_MUTE);
	fini(&f);

	init(&f, VS_PLAIN_KCP);
	prove(&f, 32);
	assert_int_equal(run_to_end(&f, &heard, &asked), VS_PLAIN_SILENT_IDLE);
	assert_int_equal(vs_plain_end(f.plain), VS_PLAIN_SILENT);
	assert_int_equal(asked, 5);
	fini(&f);

	/* One that answers lives on. */
	init(&f, VS_PLAIN_KCP);
	prove(&f, 32);
	while (f.now < START + 600 * VS_SEC) {
		next_turn(&f, &heard);
		if (count(&heard, VS_CMD_WASK))
			say(&f, (struct vs_segment){ .cmd = VS_CMD_WINS, .wnd = 32 });
	}
	assert_int_equal(vs_plain_end(f.plain), VS_PLAIN_RUNS);
	/* One that owes acknowledgements does not live so long, counted from when it owed them. */
	vs_plain_send(f.plain, make_frame(f.pool, 100, 1), f.now);
	listen_to(&f, &heard);
	uint64_t sent = f.now - START, over = run_to_end(&f, &heard, &asked);
	assert_in_range(over - sent, VS_PLAIN_SILENT_BUSY, VS_PLAIN_SILENT_BUSY + VS_SEC);
	fini(&f);
}

static void test_malformed(void **state)
{
	static const struct {
		uint16_t flag, len;
	} headers[] = {
		{ VS_FLAG_CONTROL, 3 }, { VS_FLAG_SUPER, 0 }, { 0xbcbf, 60 }, { 0, 60 }, { VS_FLAG_FRAME, 13 },
		{ VS_FLAG_FRAME, 9023 },
	};
	uint8_t bytes[128] = { 0 };
	(void)state;

	for (size_t i = 0; i < VS_ARRAY_SIZE(headers); i++) {
		for (int kind = VS_PLAIN_KCP; kind <= VS_PLAIN_STREAM; kind++) {
			struct fixture f;
			init(&f, (enum vs_plain_kind)kind);
			/* What came before it counts. */
			size_t len = put_framed(bytes, f.pool, 60, 5);
			vs_framing_encode(bytes + len, headers[i].flag, headers[i].len);
			if (kind == VS_PLAIN_KCP)
				say_push(&f, 0, 0, 0, bytes, len + 16);
			else
				input(&f, bytes, len + 16);
			expect_frame(&f, 60, 5);
			assert_int_equal(f.arrived.frames.count, 0);
			assert_int_equal(f.arrived.control.count, 0);
			assert_int_equal(vs_plain_end(f.plain), VS_PLAIN_MALFORMED);
			assert_int_equal(vs_plain_drops(f.plain)->count[VS_DROP_BAD_FRAMING], 1);
			/* Nothing goes in or out any more. */
			put_framed(bytes, f.pool, 60, 6);
			input(&f, bytes, 64);
			vs_plain_send(f.plain, make_frame(f.pool, 60, 1), f.now);
			const uint8_t *out;
			assert_int_equal(vs_plain_output(f.plain, f.now, &out), 0);
			assert_int_equal(f.arrived.frames.count, 0);
			fini(&f);
		}
	}
}

static void test_foreign_segments(void **state)
{
	uint8_t noise[100], framed[64];
	struct fixture f;
	(void)state;

	init(&f, VS_PLAIN_KCP);
	prove(&f, 32);
	memset(noise, 0xa5, sizeof(noise));
	input(&f, noise, sizeof(noise));
	say(&f, (struct vs_segment){ .cmd = VS_CMD_SKIP, .wnd = 32, .sn = 40 });
	assert_int_equal(vs_plain_drops(f.plain)->count[VS_DROP_BAD_SEGMENT], 2);
	/* Late datagrams of another conversation are nobody's. */
	say(&f, (struct vs_segment){ .conv = CONV + 1, .cmd = VS_CMD_ACK, .wnd = 32 });
	assert_int_equal(vs_plain_drops(f.plain)->count[VS_DROP_BAD_LANE], 1);
	assert_int_equal(vs_plain_end(f.plain), VS_PLAIN_RUNS);
	/* The begin of another says that the client was started again. */
	put_framed(framed, f.pool, 60, 1);
	say(&f, (struct vs_segment){ .conv = CONV + 1, .cmd = VS_CMD_PUSH, .wnd = 32, .data = framed, .len = 64 });
	assert_int_equal(vs_plain_end(f.plain), VS_PLAIN_RESTARTED);
	fini(&f);

	/* An acknowledgement of what was not sent. */
	init(&f, VS_PLAIN_KCP);
	prove(&f, 32);
	say(&f, (struct vs_segment){ .cmd = VS_CMD_ACK, .wnd = 32, .una = 1 });
	assert_int_equal(vs_plain_end(f.plain), VS_PLAIN_MALFORMED);
	fini(&f);

	/* Data behind an ACK is skipped, as KCP does, and not taken for a bitmap. */
	init(&f, VS_PLAIN_KCP);
	prove(&f, 32);
	for (uint32_t i = 0; i < 3; i++)
		vs_plain_send(f.plain, make_frame(f.pool, 1300, i), f.now);
	static struct heard heard;
	listen_to(&f, &heard);
	memset(noise, 0xff, sizeof(noise));
	say(&f, (struct vs_segment){ .cmd = VS_CMD_ACK, .wnd = 32, .sn = 1, .data = noise, .len = sizeof(noise) });
	struct vs_plain_stats stats;
	vs_plain_stats(f.plain, &stats);
	assert_int_equal(stats.arq_tx.inflight, 2);
	fini(&f);
}

/* --- Two peers and a pipe between them that loses, repeats and reorders --- */

#define PIPE_MAX 8192

struct packet {
	uint64_t due;
	size_t len;
	uint8_t bytes[VS_PLAIN_KCP_MTU];
};

struct pipe {
	struct packet *packets; /* due VS_NEVER: free */
	uint64_t random;
	uint32_t loss, dup; /* per cent */
};

static void pipe_put(struct pipe *pipe, const uint8_t *bytes, size_t len, uint64_t now)
{
	for (int copy = 0; copy < (draw(&pipe->random) % 100 < pipe->dup ? 2 : 1); copy++) {
		struct packet *p = pipe->packets;
		if (draw(&pipe->random) % 100 < pipe->loss)
			continue;
		while (p->due != VS_NEVER)
			assert_true(++p < pipe->packets + PIPE_MAX);
		p->due = now + 10 * VS_MSEC + draw(&pipe->random) % 4000;
		p->len = len;
		memcpy(p->bytes, bytes, len);
	}
}

static struct packet *pipe_first(struct pipe *pipe)
{
	struct packet *first = pipe->packets;
	for (struct packet *p = pipe->packets; p < pipe->packets + PIPE_MAX; p++)
		if (p->due < first->due)
			first = p;
	return first;
}

struct end {
	struct fixture f;
	struct pipe out;
	uint32_t sent, got, frames;
	uint64_t lengths, expected;
};

static uint32_t next_length(uint64_t *random)
{
	static const uint32_t lengths[] = { 14, 60, 64, 590, 1371, 1372, 1514, 9022 };
	return lengths[draw(random) % VS_ARRAY_SIZE(lengths)];
}

static void end_init(struct end *end, uint32_t frames, uint32_t loss, uint32_t dup, uint64_t seed)
{
	init(&end->f, VS_PLAIN_KCP);
	end->out = (struct pipe){ .random = seed, .loss = loss, .dup = dup };
	end->out.packets = calloc(PIPE_MAX, sizeof(struct packet));
	assert_non_null(end->out.packets);
	for (size_t i = 0; i < PIPE_MAX; i++)
		end->out.packets[i].due = VS_NEVER;
	end->frames = frames;
	end->sent = end->got = 0;
	end->lengths = end->expected = 77;
}

static void end_fini(struct end *end)
{
	fini(&end->f);
	free(end->out.packets);
}

static void end_turn(struct end *end, struct end *peer, uint64_t now)
{
	const uint8_t *bytes;
	size_t size;
	struct packet *packet;
	end->f.now = now;
	while ((packet = pipe_first(&peer->out))->due <= now) {
		packet->due = VS_NEVER;
		input(&end->f, packet->bytes, packet->len);
	}
	while (end->f.arrived.frames.count)
		expect_frame(&end->f, next_length(&end->expected), ++end->got);
	struct vs_plain_stats stats;
	vs_plain_stats(end->f.plain, &stats);
	/* A few at a time: CoDel has nothing to drop. */
	for (; stats.queue.frames < 2 && end->sent < end->frames; stats.queue.frames++)
		vs_plain_send(end->f.plain, make_frame(end->f.pool, next_length(&end->lengths), ++end->sent), now);
	while ((size = vs_plain_output(end->f.plain, now, &bytes))) {
		pipe_put(&end->out, bytes, size, now);
		vs_plain_sent(end->f.plain, size);
	}
	assert_int_equal(vs_plain_end(end->f.plain), VS_PLAIN_RUNS);
}

static uint64_t earliest(struct end *a, struct end *b)
{
	uint64_t due = vs_time_min(pipe_first(&a->out)->due, pipe_first(&b->out)->due);
	return vs_time_min(due, vs_time_min(vs_plain_deadline(a->f.plain), vs_plain_deadline(b->f.plain)));
}

static void test_lossy_pipe(void **state)
{
	static const struct {
		uint32_t loss, dup;
	} lines[] = { { 0, 0 }, { 5, 5 }, { 25, 10 } };
	static struct end a, b;
	(void)state;

	for (size_t i = 0; i < VS_ARRAY_SIZE(lines); i++) {
		uint64_t now = START;
		end_init(&a, 300, lines[i].loss, lines[i].dup, 1 + i);
		end_init(&b, 300, lines[i].loss, lines[i].dup, 100 + i);
		while (a.got < b.frames || b.got < a.frames) {
			end_turn(&a, &b, now);
			end_turn(&b, &a, now);
			assert_true(now < START + 120 * VS_SEC);
			now = VS_MAX(now + 1, earliest(&a, &b));
		}
		struct vs_plain_stats stats;
		vs_plain_stats(a.f.plain, &stats);
		assert_true(stats.srtt_usec >= 20 * VS_MSEC && stats.srtt_usec < 100 * VS_MSEC);
		assert_true(lines[i].loss ? stats.arq_tx.retransmitted > 10 : stats.arq_tx.retransmitted <= 20);
		assert_int_equal(stats.arq_tx.skipped, 0);
		end_fini(&a);
		end_fini(&b);
	}
}

/* --- Streams --- */

static void test_stream(void **state)
{
	struct fixture a, b;
	uint64_t random = 5, lengths = 9, expected = 9;
	uint32_t sent = 0, got = 0;
	const uint8_t *bytes;
	size_t size;
	(void)state;

	init(&a, VS_PLAIN_STREAM);
	init(&b, VS_PLAIN_STREAM);
	while (got < 500) {
		for (; sent < 500 && sent < got + 20; sent++)
			vs_plain_send(a.plain, make_frame(a.pool, next_length(&lengths), sent + 1), a.now);
		assert_true(vs_plain_deadline(a.plain) <= a.now);
		size = vs_plain_output(a.plain, a.now, &bytes);
		assert_in_range(size, 1, VS_PLAIN_STREAM_PIECE);
		/* The socket takes a part of it, and what it hands out at the other end is cut anywhere. */
		size = 1 + draw(&random) % size;
		for (size_t at = 0; at < size;) {
			size_t n = 1 + draw(&random) % 3000;
			n = VS_MIN(n, size - at);
			input(&b, bytes + at, n);
			at += n;
		}
		vs_plain_sent(a.plain, size);
		while (b.arrived.frames.count)
			expect_frame(&b, next_length(&expected), ++got);
	}
	assert_int_equal(vs_plain_output(a.plain, a.now, &bytes), 0);
	assert_true(vs_plain_is_proven(b.plain));
	assert_false(vs_plain_is_proven(a.plain));
	/* A stream says by itself when its peer is gone. */
	assert_true(vs_plain_deadline(b.plain) == VS_NEVER);
	assert_true(vs_plain_deadline(a.plain) == START + VS_PLAIN_PROVE_WITHIN);
	a.now = START + VS_PLAIN_PROVE_WITHIN;
	assert_int_equal(vs_plain_output(a.plain, a.now, &bytes), 0);
	assert_int_equal(vs_plain_end(a.plain), VS_PLAIN_MUTE);
	fini(&a);
	fini(&b);
}

/* A socket that takes nothing costs the queue's memory and no more; what was begun is not torn. */
static void test_blocked_stream(void **state)
{
	struct vs_plain_stats stats;
	struct fixture f;
	const uint8_t *bytes, *again;
	(void)state;

	init(&f, VS_PLAIN_STREAM);
	for (uint32_t i = 0; i < 10000; i++)
		vs_plain_send(f.plain, make_frame(f.pool, 1514, i), f.now);
	vs_plain_stats(f.plain, &stats);
	assert_true(stats.queue.bytes <= 4u << 20);
	assert_true(vs_plain_drops(f.plain)->count[VS_DROP_QUEUE_FULL] > 0);
	size_t size = vs_plain_output(f.plain, f.now, &bytes);
	assert_int_equal(vs_plain_output(f.plain, f.now, &again), size);
	assert_ptr_equal(again, bytes);
	vs_plain_sent(f.plain, size - 1);
	assert_int_equal(vs_plain_output(f.plain, f.now, &again), 1);
	assert_ptr_equal(again, bytes + size - 1);
	fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_begins),
		cmocka_unit_test(test_each_segment_is_acknowledged),
		cmocka_unit_test(test_many_acks),
		cmocka_unit_test(test_full_list_of_acks),
		cmocka_unit_test(test_window_is_told),
		cmocka_unit_test(test_small_window),
		cmocka_unit_test(test_frame_beyond_any_window),
		cmocka_unit_test(test_closed_window),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_foreign_segments),
		cmocka_unit_test(test_lossy_pipe),
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_blocked_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
