/* Two links in the clear (cipher = none) and somebody on the path between them, who sees all and invents what he likes.
 * He may bring in frames, for that is what having no cipher means. He may not move the link, end it, or keep it from
 * carrying frames when he has gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "link/fragment.h"
#include "link/link.h"

#define DELAY VS_MSEC
#define FRAME_LEN 200
#define FORGED 0xee /* fills what he invents */

struct end {
	struct vs_link *link;
	struct vs_path path; /* as the other end sees it */
	struct vs_deframed arrived;
	unsigned events, received, foreign;
	uint32_t index;      /* by which it is addressed */
	uint64_t counter;    /* highest of the datagrams that it has sent */
	unsigned sealed, clear;
	bool readable; /* a frame's bytes were seen on the wire */
};

struct world {
	struct vs_pool *pool;
	struct end a, b; /* a is the initiator */
	struct vs_params params;
	uint64_t now;
};

/* --- The world --- */

static void open_end(struct world *w, struct end *e, const char *address, bool initiator)
{
	struct vs_link_config config = {
		.crypto = vs_crypto_default(),
		.pool = w->pool,
		.queue = VS_QUEUE_CONFIG_DEFAULT,
		.flow_key = 42,
		.datagram_max = 1452,
		.initiator = initiator,
	};

	e->link = vs_link_new(&config, w->now);
	assert_non_null(e->link);
	assert_int_equal(vs_addr_parse(address, 7000, &e->path.peer), 0);
	vs_frame_list_init(&e->arrived.frames, 4096);
	vs_frame_list_init(&e->arrived.control, 16);
}

static void install(struct world *w, enum vs_mode mode, enum vs_protection protection)
{
	struct vs_session_keys a = { .cipher = VS_CIPHER_CHACHA20_POLY1305, .initiator = true }, b = a;
	static uint32_t index = 1;

	w->params = (struct vs_params){
		.version = 1, .cipher = a.cipher, .protection = protection, .mode = mode, .lanes = 4,
		.datagram_max = 1452, .mtu = 1500, .keepalive_usec = VS_SEC, .max_age_usec = VS_SEC, .incarnation = 1,
		.kcp = vs_kcp_config_default(),
	};
	w->a.index = b.remote_index = a.local_index = index++;
	w->b.index = a.remote_index = b.local_index = index++;
	memset(a.send, 1, VS_KEY_SIZE);
	memset(a.recv, 2, VS_KEY_SIZE);
	memset(b.send, 2, VS_KEY_SIZE);
	memset(b.recv, 1, VS_KEY_SIZE);
	b.initiator = false;
	assert_int_equal(vs_link_install(w->b.link, &b, &w->params, w->now), 0);
	assert_int_equal(vs_link_install(w->a.link, &a, &w->params, w->now), 0);
}

static bool is_forged(const struct vs_frame *frame)
{
	return vs_frame_cbytes(frame)[frame->len - 1] == FORGED;
}

static void take(struct end *e)
{
	struct vs_frame *frame;

	while ((frame = vs_frame_list_pop(&e->arrived.frames))) {
		if (is_forged(frame))
			e->foreign++;
		else
			e->received++;
		vs_frame_unref(frame);
	}
	assert_int_equal(e->arrived.control.count, 0);
	e->events |= vs_link_take_events(e->link);
}

static void give(struct world *w, struct end *to, const struct vs_path *path, const uint8_t *datagram, size_t len)
{
	uint8_t copy[VS_DATAGRAM_MAX];

	memcpy(copy, datagram, len);
	vs_link_input(to->link, copy, len, path, w->now, &to->arrived);
	take(to);
}

/* Whether sixteen bytes in a row are those of a frame's body. */
static bool shows_body(const uint8_t *datagram, size_t len)
{
	static const uint8_t body[16] = "sixteen bytes ..";

	return memmem(datagram, len, body, sizeof(body)) != NULL;
}

static bool pump(struct world *w, struct end *from, struct end *to)
{
	uint8_t datagram[VS_DATAGRAM_MAX];
	struct vs_link_sent sent;
	size_t len;
	bool any = false;

	while ((len = vs_link_output(from->link, w->now, datagram, sizeof(datagram), &sent))) {
		any = true;
		from->counter = VS_MAX(from->counter, sent.counter);
		if (datagram[0] == VS_TYPE_CLEAR)
			from->clear++;
		else
			from->sealed++;
		from->readable |= shows_body(datagram, len);
		if (len <= 1452)
			give(w, to, &from->path, datagram, len);
	}
	take(from);
	return any;
}

static void run(struct world *w, uint64_t usec)
{
	for (uint64_t end = w->now + usec; w->now < end; w->now += DELAY) {
		pump(w, &w->a, &w->b);
		pump(w, &w->b, &w->a);
	}
}

static struct world *open_world(enum vs_mode mode, enum vs_protection protection)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->pool = vs_pool_new(64 << 20);
	w->now = 10 * VS_SEC;
	open_end(w, &w->a, "192.0.2.1", true);
	open_end(w, &w->b, "192.0.2.2", false);
	install(w, mode, protection);
	run(w, VS_SEC);
	assert_true(vs_link_is_up(w->a.link) && vs_link_is_up(w->b.link));
	w->a.events = w->b.events = 0;
	return w;
}

static void close_world(struct world *w)
{
	struct end *ends[] = {&w->a, &w->b};

	for (int i = 0; i < 2; i++) {
		vs_link_free(ends[i]->link);
		vs_frame_list_fini(&ends[i]->arrived.frames);
		vs_frame_list_fini(&ends[i]->arrived.control);
	}
	vs_pool_free(w->pool);
	free(w);
}

static void send_sized(struct world *w, struct end *e, unsigned n, size_t len)
{
	for (unsigned i = 0; i < n; i++) {
		struct vs_frame *frame = vs_frame_new(w->pool, len);
		assert_non_null(frame);
		uint8_t *p = vs_frame_bytes(frame);
		memset(p, 2, len);
		memcpy(p + 12, "\x88\xb5", 2);
		memcpy(p + 14, "sixteen bytes ..", 16);
		vs_link_send(e->link, frame, w->now);
	}
}

static void send_frames(struct world *w, struct end *e, unsigned n)
{
	send_sized(w, e, n, FRAME_LEN);
}

/* All of `n` frames each way arrive. */
static void assert_carries(struct world *w, unsigned n)
{
	w->a.received = w->b.received = 0;
	for (unsigned i = 0; i < n; i++) {
		send_frames(w, &w->a, 1);
		send_frames(w, &w->b, 1);
		run(w, 5 * VS_MSEC);
	}
	run(w, 300 * VS_MSEC);
	assert_int_equal(w->a.received, n);
	assert_int_equal(w->b.received, n);
}

static uint64_t drops(const struct end *e, enum vs_drop reason)
{
	return vs_link_drops(e->link)->count[reason];
}

/* --- He who sits on the path --- */

/* A clear datagram to b, as from a, with this counter and plaintext. */
static void forge_at(struct world *w, uint64_t counter, const struct vs_path *path, const uint8_t *text, size_t len)
{
	uint8_t datagram[VS_DATAGRAM_MAX];

	datagram[0] = VS_TYPE_CLEAR;
	vs_put_be24(datagram + 1, w->b.index);
	vs_put_be64(datagram + 4, counter);
	memcpy(datagram + VS_SEAL_HEADER, text, len);
	give(w, &w->b, path, datagram, VS_SEAL_HEADER + len);
}

/* A counter that a has not used, from a's own address. */
static void forge(struct world *w, const uint8_t *text, size_t len)
{
	static uint64_t ahead;

	forge_at(w, w->a.counter + 1000 + ahead++ % 2500, &w->a.path, text, len);
}

static size_t put_segment(uint8_t *out, struct vs_segment seg, const void *data, size_t len)
{
	seg.len = (uint32_t)len;
	vs_segment_encode(&seg, out);
	memcpy(out + VS_SEGMENT_HEADER, data, len);
	return VS_SEGMENT_HEADER + len;
}

static void forge_segment(struct world *w, struct vs_segment seg, const void *data, size_t len)
{
	uint8_t text[VS_DATAGRAM_MAX] = {VS_KIND_SEGMENTS};

	forge(w, text, VS_KIND_SIZE + put_segment(text + VS_KIND_SIZE, seg, data, len));
}

/* A whole frame with its framing header. */
static size_t put_forged_frame(uint8_t *out)
{
	vs_framing_encode(out, VS_FLAG_FRAME, 60);
	memset(out + VS_FRAMING_HEADER, FORGED, 60);
	return VS_FRAMING_HEADER + 60;
}

/* Nothing of b has moved, and both ends still carry frames. */
static void assert_unmoved(struct world *w, const struct vs_link_stats *before)
{
	struct vs_link_stats after;
	unsigned bad = VS_LINK_MOVED | VS_LINK_ERROR | VS_LINK_CLOSED | VS_LINK_TIMED_OUT | VS_LINK_FRESH;

	vs_link_stats(w->b.link, w->now, &after);
	assert_int_equal(after.moves, before->moves);
	assert_true(vs_addr_equal(&vs_link_path(w->b.link)->peer, &w->a.path.peer));
	assert_int_equal(after.handshakes, before->handshakes);
	assert_carries(w, 20);
	assert_int_equal((w->a.events | w->b.events) & bad, 0);
}

/* --- What travels how --- */

static void test_what_is_readable(void **state)
{
	static const struct {
		enum vs_mode mode;
		enum vs_protection protection;
		bool readable, clear;
		const char *cipher;
	} cases[] = {
		{VS_MODE_RELIABLE, VS_PROTECTION_ENCRYPTED, false, false, "chacha20-poly1305"},
		{VS_MODE_DATAGRAM, VS_PROTECTION_ENCRYPTED, false, false, "chacha20-poly1305"},
		{VS_MODE_RELIABLE, VS_PROTECTION_AUTH, true, false, "auth"},
		{VS_MODE_DATAGRAM, VS_PROTECTION_AUTH, true, false, "auth"},
		{VS_MODE_RELIABLE, VS_PROTECTION_NONE, true, true, "none"},
		{VS_MODE_DATAGRAM, VS_PROTECTION_NONE, true, true, "none"},
	};

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct world *w = open_world(cases[i].mode, cases[i].protection);
		struct vs_link_stats stats;
		assert_carries(w, 50);
		assert_int_equal(w->a.readable, cases[i].readable);
		assert_int_equal(w->b.readable, cases[i].readable);
		assert_int_equal(w->a.clear > 0, cases[i].clear);
		vs_link_stats(w->a.link, w->now, &stats);
		assert_string_equal(stats.cipher, cases[i].cipher);
		assert_int_equal(stats.tx_clear, w->a.clear);
		assert_int_equal(stats.rx_clear, w->b.clear);
		close_world(w);
	}
}

/* Under load nearly all of it goes in the clear, in both directions at once, and acknowledgements never do. */
static void test_bulk_goes_in_the_clear(void **state)
{
	struct world *w = open_world(VS_MODE_RELIABLE, VS_PROTECTION_NONE);

	(void)state;
	w->a.sealed = w->a.clear = w->b.sealed = w->b.clear = 0;
	for (int i = 0; i < 200; i++) {
		send_frames(w, &w->a, 60);
		send_frames(w, &w->b, 60);
		run(w, 5 * VS_MSEC);
	}
	run(w, VS_SEC);
	assert_int_equal(w->a.received, 12000);
	assert_int_equal(w->b.received, 12000);
	assert_true(w->a.clear > 1500);
	assert_true(w->b.clear > 1500);
	assert_int_equal(drops(&w->a, VS_DROP_CLEAR_KIND), 0);
	assert_int_equal(drops(&w->b, VS_DROP_CLEAR_KIND), 0);
	assert_int_equal(drops(&w->b, VS_DROP_CLEAR_COUNTER), 0);
	close_world(w);
}

/* One way, in mode datagram, nothing else would be sealed: anchors are, so that reports come and the link lives. */
static void test_one_way_is_anchored(void **state)
{
	struct world *w = open_world(VS_MODE_DATAGRAM, VS_PROTECTION_NONE);
	struct vs_link_stats stats;

	(void)state;
	w->b.sealed = 0;
	for (int i = 0; i < 1000; i++) {
		send_frames(w, &w->a, 1);
		run(w, 5 * VS_MSEC);
	}
	vs_link_stats(w->b.link, w->now, &stats);
	assert_true(stats.heard_usec_ago <= 110 * VS_MSEC);
	assert_true(w->b.sealed >= 40); /* reports */
	run(w, VS_SEC);
	w->a.sealed = w->a.clear = 0;
	run(w, 200 * VS_MSEC);
	assert_true(w->a.sealed + w->a.clear <= 1); /* quiet again */
	close_world(w);
}

/* --- Attacks --- */

static void test_counters(void **state)
{
	struct world *w = open_world(VS_MODE_RELIABLE, VS_PROTECTION_NONE);
	struct vs_link_stats before;
	uint8_t text[] = {VS_KIND_SEGMENTS};

	(void)state;
	assert_carries(w, 5);
	vs_link_stats(w->b.link, w->now, &before);
	forge_at(w, UINT64_MAX, &w->a.path, text, sizeof(text));
	forge_at(w, w->a.counter + VS_CLEAR_AHEAD + 1, &w->a.path, text, sizeof(text));
	assert_int_equal(drops(&w->b, VS_DROP_CLEAR_COUNTER), 2);
	/* As far ahead as may be: the peer's own, far behind it, are taken all the same. */
	for (uint64_t i = 0; i < 100; i++)
		forge_at(w, w->a.counter + VS_CLEAR_AHEAD / 2 + i, &w->a.path, text, sizeof(text));
	assert_unmoved(w, &before);
	assert_int_equal(drops(&w->b, VS_DROP_REPLAY), 0);
	close_world(w);
}

/* Every counter that may come. Lanes do not notice; frames are lost until the peer has come past the last. */
static void test_claimed_counters(void **state)
{
	static const struct {
		enum vs_mode mode;
		unsigned lost_most;
	} cases[] = {
		{VS_MODE_RELIABLE, 0},
		{VS_MODE_DATAGRAM, 4096},
	};
	uint8_t text[] = {VS_KIND_SEGMENTS};

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct world *w = open_world(cases[i].mode, VS_PROTECTION_NONE);
		assert_carries(w, 5);
		uint64_t first = w->a.counter + 1;
		for (uint64_t c = first; drops(&w->b, VS_DROP_CLEAR_COUNTER) == 0; c++)
			forge_at(w, c, &w->a.path, text, sizeof(text));
		w->b.received = 0;
		for (unsigned k = 0; k < 6000; k++) {
			send_frames(w, &w->a, 1);
			run(w, DELAY);
		}
		run(w, 300 * VS_MSEC);
		assert_true(w->a.counter >= first + 5999);
		assert_true(w->b.received >= 6000 - cases[i].lost_most);
		assert_carries(w, 20);
		close_world(w);
	}
}

/* The counters of what came sealed, which no clear datagram has marked. */
static void test_used_counters(void **state)
{
	struct world *w = open_world(VS_MODE_DATAGRAM, VS_PROTECTION_NONE);
	uint8_t text[] = {VS_KIND_SEGMENTS};
	struct vs_link_stats stats;

	(void)state;
	assert_carries(w, 20);
	uint64_t replays = drops(&w->b, VS_DROP_REPLAY), last = w->a.counter;
	for (uint64_t c = 0; c <= last; c++)
		forge_at(w, c, &w->a.path, text, sizeof(text));
	/* What a has sent last in the clear has been noted. */
	assert_int_equal(drops(&w->b, VS_DROP_REPLAY), replays + last + 1);
	w->b.sealed = 0;
	for (int i = 0; i < 100; i++) {
		send_frames(w, &w->a, 1);
		run(w, 20 * VS_MSEC);
	}
	assert_true(w->b.sealed >= 15); /* reports */
	vs_link_stats(w->a.link, w->now, &stats);
	assert_int_equal(stats.loss_q16, 0);
	assert_int_equal(drops(&w->a, VS_DROP_BAD_REPORT), 0);
	close_world(w);
}

/* A clear datagram from elsewhere is dropped, moves nothing, and is no sign of life. */
static void test_address_and_liveness(void **state)
{
	struct world *w = open_world(VS_MODE_RELIABLE, VS_PROTECTION_NONE);
	struct vs_path elsewhere = w->a.path;
	struct vs_link_stats before, after;
	uint8_t text[VS_DATAGRAM_MAX] = {VS_KIND_FRAMES};
	size_t len = VS_KIND_SIZE + put_forged_frame(text + VS_KIND_SIZE);

	(void)state;
	elsewhere.peer.in.sin_port = htons(7777);
	assert_carries(w, 5);
	vs_link_stats(w->b.link, w->now, &before);
	forge_at(w, w->a.counter + 1, &elsewhere, text, len);
	assert_int_equal(drops(&w->b, VS_DROP_CLEAR_ADDRESS), 1);
	assert_int_equal(w->b.foreign, 0);
	assert_unmoved(w, &before);

	vs_link_stats(w->b.link, w->now, &before);
	for (uint64_t i = 0; i < VS_LINK_TIMEOUT; i += VS_SEC) {
		w->now += VS_SEC;
		forge(w, text, len);
		vs_link_stats(w->b.link, w->now, &after);
		assert_int_equal(after.heard_usec_ago, before.heard_usec_ago + i + VS_SEC);
	}
	pump(w, &w->b, &w->a);
	assert_true(w->b.events & VS_LINK_TIMED_OUT);
	close_world(w);
}

/* What must be sealed is not heard in the clear, nor in fragments, nor behind a genuine frame. */
static void test_kinds(void **state)
{
	static const uint8_t kinds[] = {0, VS_KIND_FEC_DATA, VS_KIND_FEC_PARITY, VS_KIND_REPORT, VS_KIND_PROBE,
					VS_KIND_PROBE_ACK, 77, 255};
	static const uint8_t cmds[] = {VS_CMD_ACK, VS_CMD_WASK, VS_CMD_WINS, VS_CMD_SKIP};
	struct world *w = open_world(VS_MODE_DATAGRAM, VS_PROTECTION_NONE);
	struct vs_link_stats before;
	uint8_t text[VS_DATAGRAM_MAX] = { 0 };
	uint64_t n = 0;

	(void)state;
	vs_link_stats(w->b.link, w->now, &before);
	for (size_t i = 0; i < sizeof(kinds); i++) {
		text[0] = kinds[i];
		forge(w, text, 100);
		assert_int_equal(drops(&w->b, VS_DROP_CLEAR_KIND), ++n);
		/* The same as the only slice of a larger plaintext. */
		uint8_t fragment[VS_KIND_SIZE + VS_FRAGMENT_HEADER + 100] = {VS_KIND_FRAGMENT};
		vs_put_be32(fragment + 1, (uint32_t)i + 1000);
		vs_put_be16(fragment + 7, 100);
		memcpy(fragment + 9, text, 100);
		forge(w, fragment, sizeof(fragment));
		assert_int_equal(drops(&w->b, VS_DROP_CLEAR_KIND), ++n);
	}
	for (size_t i = 0; i < sizeof(cmds); i++) {
		forge_segment(w, (struct vs_segment){.cmd = cmds[i], .sn = 3, .una = 5}, "", 0);
		assert_int_equal(drops(&w->b, VS_DROP_CLEAR_KIND), ++n);
	}
	/* CLOSE, alone and behind a frame. */
	static const uint8_t close[] = {0xbc, 0xbe, 0, 3, VS_CONTROL_CLOSE, 1, VS_CLOSE_KICKED};
	text[0] = VS_KIND_FRAMES;
	memcpy(text + 1, close, sizeof(close));
	forge(w, text, 1 + sizeof(close));
	size_t len = VS_KIND_SIZE + put_forged_frame(text + VS_KIND_SIZE);
	memcpy(text + len, close, sizeof(close));
	forge(w, text, len + sizeof(close));
	forge_segment(w, (struct vs_segment){.cmd = VS_CMD_PUSH}, close, sizeof(close));
	assert_int_equal(drops(&w->b, VS_DROP_CLEAR_KIND), n + 3);
	assert_int_equal(w->b.foreign, 1);
	assert_unmoved(w, &before);
	close_world(w);
}

/* Segments of rubbish, of impossible lanes and lengths, and frames that are none: counted, and that is all. */
static void test_garbage(void **state)
{
	struct world *w = open_world(VS_MODE_RELIABLE, VS_PROTECTION_NONE);
	struct vs_link_stats before;
	uint8_t text[200];
	uint32_t seed = 3;

	(void)state;
	vs_link_stats(w->b.link, w->now, &before);
	for (int i = 0; i < 5000; i++) {
		for (size_t k = 0; k < sizeof(text); k++) {
			seed = seed * 1664525 + 1013904223;
			text[k] = (uint8_t)(seed >> 24);
		}
		text[0] = i & 1 ? VS_KIND_SEGMENTS : VS_KIND_FRAMES;
		text[1] %= 70;
		text[2] = text[3] = text[4] = 0;
		text[5] = VS_CMD_PUSH;
		forge(w, text, 1 + seed % (sizeof(text) - 1));
	}
	assert_true(drops(&w->b, VS_DROP_BAD_FRAMING) > 0);
	assert_true(drops(&w->b, VS_DROP_BAD_SEGMENT) > 0);
	run(w, 3 * VS_SEC);
	assert_unmoved(w, &before);
	close_world(w);
}

/* He takes the place of segments to come. What he brings is delivered, what he pushes out is lost, the lane goes on. */
static void test_lane_fed_ahead(void **state)
{
	struct world *w = open_world(VS_MODE_RELIABLE, VS_PROTECTION_NONE);
	struct vs_link_stats before;
	uint8_t frame[64 + VS_FRAMING_HEADER];
	size_t len = put_forged_frame(frame);

	(void)state;
	assert_carries(w, 5);
	vs_link_stats(w->b.link, w->now, &before);
	/* Lanes 0 to 3 have at most 5 segments behind them: 300 in order make the receiver run far ahead. */
	for (uint32_t lane = 0; lane < VS_LANES_MAX; lane++)
		for (uint32_t sn = 0; sn < 300; sn++)
			forge_segment(w, (struct vs_segment){.conv = lane, .cmd = VS_CMD_PUSH, .sn = sn}, frame, len);
	assert_true(w->b.foreign > 1000);
	run(w, VS_SEC);
	/* The first frames may come where the receiver has been already: from then on the sender is there, too. */
	send_frames(w, &w->a, 20);
	run(w, VS_SEC);
	assert_true(drops(&w->a, VS_DROP_CLEAR_FORGED) > 0);
	assert_unmoved(w, &before);
	close_world(w);
}

/* Far ahead, beyond a gap: what is kept is bounded, and each lane still takes the next segment. */
static void test_lane_fed_beyond_a_gap(void **state)
{
	struct world *w = open_world(VS_MODE_RELIABLE, VS_PROTECTION_NONE);
	struct vs_link_stats before, after;
	static uint8_t junk[1400];

	(void)state;
	assert_carries(w, 5);
	vs_link_stats(w->b.link, w->now, &before);
	for (uint32_t sn = 1000; sn < 6000; sn++)
		forge_segment(w, (struct vs_segment){.conv = sn % 4, .cmd = VS_CMD_PUSH, .sn = sn}, junk, sizeof(junk));
	assert_true(drops(&w->b, VS_DROP_OUT_OF_WINDOW) > 0);
	vs_link_stats(w->b.link, w->now, &after);
	assert_true(after.arq_rx.held <= (4u << 20) + 10000);
	assert_unmoved(w, &before);
	close_world(w);
}

/* What he has left beyond a gap, and begun of a message, goes when he has gone: at once where the lane comes past it,
 * and soon where it does not move. */
static void test_what_he_leaves_is_forgotten(void **state)
{
	static uint8_t junk[1000];
	struct vs_link_stats stats;

	(void)state;
	for (unsigned in_use = 0; in_use < 2; in_use++) {
		struct world *w = open_world(VS_MODE_RELIABLE, VS_PROTECTION_NONE);
		assert_carries(w, 5);
		vs_link_stats(w->b.link, w->now, &stats);
		assert_int_equal(stats.arq_rx.held, 0);
		for (uint32_t sn = 300; sn < 4000; sn++)
			forge_segment(w, (struct vs_segment){.conv = sn % 4, .cmd = VS_CMD_PUSH, .sn = sn}, junk, 1000);
		uint8_t start[8];
		vs_framing_encode(start, VS_FLAG_FRAME, 1500);
		for (uint32_t lane = 0; lane < 4; lane++)
			forge_segment(w, (struct vs_segment){.conv = lane, .cmd = VS_CMD_PUSH, .frg = 1}, start, 8);
		vs_link_stats(w->b.link, w->now, &stats);
		assert_true(stats.arq_rx.held > 3u << 20);
		for (unsigned i = 0; i < 150; i++) {
			send_frames(w, &w->a, in_use);
			send_frames(w, &w->b, in_use);
			run(w, 200 * VS_MSEC);
		}
		vs_link_stats(w->b.link, w->now, &stats);
		assert_true(stats.arq_rx.held <= in_use * (5u << 20) / 4);
		for (unsigned i = 0; i < 4100; i++) {
			send_frames(w, &w->a, in_use);
			run(w, DELAY);
		}
		vs_link_stats(w->b.link, w->now, &stats);
		assert_int_equal(stats.arq_rx.held, 0);
		assert_carries(w, 20);
		close_world(w);
	}
}

/* The peer's own gap is left alone, however long the path is cut before it can be filled. */
static void test_a_gap_outlives_an_outage(void **state)
{
	struct world *w = open_world(VS_MODE_RELIABLE, VS_PROTECTION_NONE);
	uint8_t datagram[VS_DATAGRAM_MAX];
	struct vs_link_sent sent;

	(void)state;
	assert_carries(w, 20);
	w->b.received = 0;
	for (int i = 0; i < 4; i++) {
		send_frames(w, &w->a, 1);
		size_t len = vs_link_output(w->a.link, w->now, datagram, sizeof(datagram), &sent);
		assert_int_equal(datagram[0], VS_TYPE_CLEAR);
		if (i != 0)
			give(w, &w->b, &w->a.path, datagram, len);
	}
	for (int i = 0; i < 60; i++) {
		while (vs_link_output(w->b.link, w->now, datagram, sizeof(datagram), &sent))
			;
		w->now += VS_SEC;
	}
	assert_int_equal(w->b.received, 0);
	run(w, VS_SEC);
	/* The first has become too old, and nothing says that the second starts a message. */
	assert_int_equal(w->b.received, 2);
	close_world(w);
}

/* Lanes beyond those agreed on are nobody's. */
static void test_lanes_that_are_not_used(void **state)
{
	struct world *w = open_world(VS_MODE_RELIABLE, VS_PROTECTION_NONE);
	struct vs_link_stats stats;

	(void)state;
	for (uint32_t lane = 4; lane < VS_LANES_MAX; lane++)
		forge_segment(w, (struct vs_segment){.conv = lane, .cmd = VS_CMD_PUSH, .sn = 1}, "x", 1);
	assert_int_equal(drops(&w->b, VS_DROP_BAD_LANE), VS_LANES_MAX - 4);
	vs_link_stats(w->b.link, w->now, &stats);
	assert_int_equal(stats.arq_rx.held, 0);
	close_world(w);
}

/* A header that promises more than comes swallows the rest of its own message at most. */
static void test_framing_is_found_again(void **state)
{
	static const uint8_t greedy[] = {0xbc, 0xbc, 0x23, 0x00, 1, 2, 3}, rubbish[] = {1, 2, 3, 4, 5, 6};
	struct world *w = open_world(VS_MODE_RELIABLE, VS_PROTECTION_NONE);
	struct vs_link_stats before;

	(void)state;
	vs_link_stats(w->b.link, w->now, &before);
	/* One on each lane that is to come, as the end of a message and as its start. */
	for (uint32_t lane = 0; lane < 4; lane++) {
		struct vs_segment seg = {.conv = lane, .cmd = VS_CMD_PUSH, .sn = 0};
		forge_segment(w, seg, greedy, sizeof(greedy));
		seg.sn = 1;
		seg.frg = 1;
		forge_segment(w, seg, rubbish, sizeof(rubbish));
	}
	assert_int_equal(drops(&w->b, VS_DROP_BAD_FRAMING), 8);
	send_frames(w, &w->a, 20);
	run(w, 2 * VS_SEC);
	assert_unmoved(w, &before);
	close_world(w);
}

/* Stamps that he invents are echoed to the sender, who knows its own. */
static void test_forged_stamps(void **state)
{
	struct world *w = open_world(VS_MODE_RELIABLE, VS_PROTECTION_NONE);
	struct vs_link_stats before, after;
	uint8_t frame[64 + VS_FRAMING_HEADER];
	size_t len = put_forged_frame(frame);

	(void)state;
	assert_carries(w, 20);
	vs_link_stats(w->a.link, w->now, &before);
	for (int i = 0; i < 50; i++) {
		struct vs_segment seg = {.cmd = VS_CMD_PUSH, .sn = (uint32_t)(20 + i)};
		seg.ts = (uint32_t)(w->now - (i & 1 ? 50 * VS_SEC : 0));
		forge_segment(w, seg, frame, len);
		run(w, 10 * VS_MSEC);
		send_frames(w, &w->a, 1);
		run(w, 10 * VS_MSEC);
	}
	vs_link_stats(w->a.link, w->now, &after);
	assert_true(after.srtt_usec <= VS_MAX(2 * before.srtt_usec, 20 * VS_MSEC));
	assert_true(after.min_rtt_usec >= VS_MIN(before.min_rtt_usec, VS_MSEC));
	close_world(w);
}

/* The replaying of everything that was seen brings nothing twice. */
static void test_replay(void **state)
{
	enum { KEPT = 400 };
	struct world *w = open_world(VS_MODE_DATAGRAM, VS_PROTECTION_NONE);
	static uint8_t kept[KEPT][VS_DATAGRAM_MAX];
	static size_t lens[KEPT];
	struct vs_link_sent sent;
	unsigned n = 0;

	(void)state;
	while (n < KEPT) {
		send_frames(w, &w->a, 1);
		while (n < KEPT && (lens[n] = vs_link_output(w->a.link, w->now, kept[n], VS_DATAGRAM_MAX, &sent))) {
			give(w, &w->b, &w->a.path, kept[n], lens[n]);
			n++;
		}
		pump(w, &w->b, &w->a);
		w->now += DELAY;
	}
	unsigned received = w->b.received;
	assert_true(received > KEPT / 2);
	for (unsigned i = 0; i < KEPT; i++)
		give(w, &w->b, &w->a.path, kept[i], lens[i]);
	assert_int_equal(w->b.received, received);
	close_world(w);
}

/* Other links take nothing in the clear, whatever it is. */
static void test_other_links_refuse(void **state)
{
	static const enum vs_protection protections[] = {VS_PROTECTION_ENCRYPTED, VS_PROTECTION_AUTH};
	uint8_t text[VS_DATAGRAM_MAX] = {VS_KIND_FRAMES};
	size_t len = VS_KIND_SIZE + put_forged_frame(text + VS_KIND_SIZE);

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(protections); i++) {
		struct world *w = open_world(VS_MODE_RELIABLE, protections[i]);
		forge(w, text, len);
		assert_int_equal(drops(&w->b, VS_DROP_CLEAR_REFUSED), 1);
		assert_int_equal(w->b.foreign, 0);
		close_world(w);
	}
}

/* The responder takes up a session for something sealed only. */
static void test_a_session_is_not_confirmed_in_the_clear(void **state)
{
	struct world *w = open_world(VS_MODE_RELIABLE, VS_PROTECTION_NONE);
	struct vs_link_stats before, after;
	uint8_t text[VS_DATAGRAM_MAX] = {VS_KIND_FRAMES};
	size_t len = VS_KIND_SIZE + put_forged_frame(text + VS_KIND_SIZE);

	(void)state;
	vs_link_stats(w->b.link, w->now, &before);
	install(w, VS_MODE_RELIABLE, VS_PROTECTION_NONE);
	forge_at(w, 0, &w->a.path, text, len);
	vs_link_stats(w->b.link, w->now, &after);
	assert_int_equal(after.handshakes, before.handshakes);
	assert_int_equal(drops(&w->b, VS_DROP_CLEAR_REFUSED), 1);
	run(w, 100 * VS_MSEC);
	vs_link_stats(w->b.link, w->now, &after);
	assert_int_equal(after.handshakes, before.handshakes + 1);
	assert_carries(w, 20);
	close_world(w);
}

/* Sends all that a has, but for the last of the `fragments` of a frame. */
static void lose_last_fragment(struct world *w, unsigned fragments)
{
	uint8_t datagram[VS_DATAGRAM_MAX];
	struct vs_link_sent sent;
	size_t len;
	unsigned n = 0;

	for (int i = 0; i < 20; i++, w->now += DELAY) {
		while ((len = vs_link_output(w->a.link, w->now, datagram, sizeof(datagram), &sent))) {
			n += len > 500;
			if (len <= 500 || n != fragments)
				give(w, &w->b, &w->a.path, datagram, len);
		}
	}
	assert_int_equal(n, fragments);
}

/* He leaves a slice for those of the peer's next frame to meet, just before the clear ends or just after. The session
 * that follows protects its own: none of his is in what it brings. */
static void test_slices_do_not_outlive_the_clear(void **state)
{
	enum { LEN = 3000, WHOLE = VS_KIND_SIZE + VS_FRAMING_HEADER + LEN, ID = 1 };
	struct vs_fragment_plan plan;
	struct vs_link_stats stats;
	uint8_t text[VS_DATAGRAM_MAX];
	size_t offset;

	(void)state;
	for (int after = 0; after < 2; after++) {
		struct world *w = open_world(VS_MODE_DATAGRAM, VS_PROTECTION_NONE);
		uint32_t old = w->b.index;
		vs_link_stats(w->a.link, w->now, &stats);
		assert_true(vs_fragment_plan(WHOLE, stats.datagram, &plan));
		size_t slice = vs_fragment_encode(&plan, ID, plan.count - 1, &offset, text);
		memset(text + VS_FRAGMENT_PREFIX, FORGED, slice);
		if (!after)
			forge(w, text, VS_FRAGMENT_PREFIX + slice);
		install(w, VS_MODE_DATAGRAM, VS_PROTECTION_ENCRYPTED);
		pump(w, &w->a, &w->b);
		uint32_t current = w->b.index;
		w->b.index = old;
		if (after)
			forge(w, text, VS_FRAGMENT_PREFIX + slice);
		w->b.index = current;
		assert_int_equal(drops(&w->b, VS_DROP_NO_SESSION), after);
		send_sized(w, &w->a, 1, LEN);
		lose_last_fragment(w, plan.count);
		assert_int_equal(w->b.foreign, 0);
		assert_carries(w, 20);
		close_world(w);
	}
}

/* --- Without him --- */

/* The initiator's first probe is lost, and data behind it confirm the new session. */
static void test_rekey_without_the_probe(void **state)
{
	struct world *w = open_world(VS_MODE_RELIABLE, VS_PROTECTION_NONE);
	uint8_t datagram[VS_DATAGRAM_MAX];
	struct vs_link_sent sent;
	size_t len;

	(void)state;
	assert_carries(w, 20);
	install(w, VS_MODE_RELIABLE, VS_PROTECTION_NONE);
	send_frames(w, &w->a, 3);
	assert_true(vs_link_output(w->a.link, w->now, datagram, sizeof(datagram), &sent) > 0);
	assert_int_equal(sent.counter, 0);
	while ((len = vs_link_output(w->a.link, w->now, datagram, sizeof(datagram), &sent)))
		give(w, &w->b, &w->a.path, datagram, len);
	send_frames(w, &w->b, 600);
	run(w, 2 * VS_SEC);
	assert_int_equal(drops(&w->a, VS_DROP_CLEAR_COUNTER), 0);
	assert_int_equal(drops(&w->a, VS_DROP_CLEAR_REFUSED), 0);
	assert_carries(w, 20);
	close_world(w);
}

/* All that a has to say, but no probes as large as the path. Returns how many those were. */
static unsigned pump_without_probes(struct world *w)
{
	uint8_t datagram[VS_DATAGRAM_MAX];
	struct vs_link_stats before, after;
	struct vs_link_sent sent;
	unsigned probes = 0;

	for (;;) {
		vs_link_stats(w->a.link, w->now, &before);
		size_t len = vs_link_output(w->a.link, w->now, datagram, sizeof(datagram), &sent);
		if (len == 0)
			return probes;
		vs_link_stats(w->a.link, w->now, &after);
		bool data = before.arq_tx.segments + before.arq_tx.retransmitted !=
			    after.arq_tx.segments + after.arq_tx.retransmitted;
		/* Without its tag a datagram would prove less than the size. */
		assert_true(strcmp(after.mtu_state, "confirm") != 0 || datagram[0] == VS_TYPE_DATA);
		if (len > VS_DATAGRAM_BASE && !data)
			probes++;
		else
			give(w, &w->b, &w->a.path, datagram, len);
	}
}

/* When answers do not come the path MTU is in doubt. Datagrams of the whole size that arrive prove it, though no
 * probe does. */
static void test_data_prove_the_path(void **state)
{
	struct world *w = open_world(VS_MODE_RELIABLE, VS_PROTECTION_NONE);
	uint8_t datagram[VS_DATAGRAM_MAX];
	struct vs_link_stats stats;
	struct vs_link_sent sent;
	unsigned probes = 0;

	(void)state;
	assert_carries(w, 20);
	vs_link_stats(w->a.link, w->now, &stats);
	assert_int_equal(stats.datagram, 1452);
	send_sized(w, &w->a, 1, 3000);
	while (strcmp(stats.mtu_state, "confirm") != 0) {
		probes += pump_without_probes(w);
		while (vs_link_output(w->b.link, w->now, datagram, sizeof(datagram), &sent))
			;
		w->now += DELAY;
		vs_link_stats(w->a.link, w->now, &stats);
	}
	for (int i = 0; i < 600; i++) {
		send_sized(w, &w->a, 1, 3000);
		probes += pump_without_probes(w);
		pump(w, &w->b, &w->a);
		w->now += DELAY;
	}
	assert_true(probes > 0);
	vs_link_stats(w->a.link, w->now, &stats);
	assert_int_equal(stats.datagram, 1452);
	assert_true(stats.tx_clear > 500); /* and they go in the clear again */
	close_world(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_readable),
		cmocka_unit_test(test_bulk_goes_in_the_clear),
		cmocka_unit_test(test_one_way_is_anchored),
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_claimed_counters),
		cmocka_unit_test(test_used_counters),
		cmocka_unit_test(test_address_and_liveness),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_lane_fed_ahead),
		cmocka_unit_test(test_lane_fed_beyond_a_gap),
		cmocka_unit_test(test_what_he_leaves_is_forgotten),
		cmocka_unit_test(test_a_gap_outlives_an_outage),
		cmocka_unit_test(test_lanes_that_are_not_used),
		cmocka_unit_test(test_framing_is_found_again),
		cmocka_unit_test(test_forged_stamps),
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_other_links_refuse),
		cmocka_unit_test(test_slices_do_not_outlive_the_clear),
		cmocka_unit_test(test_a_session_is_not_confirmed_in_the_clear),
		cmocka_unit_test(test_rekey_without_the_probe),
		cmocka_unit_test(test_data_prove_the_path),
	};

	if (vs_crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
