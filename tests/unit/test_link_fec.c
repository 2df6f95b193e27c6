/* Forward error correction within a link: two links joined by a pipe that loses what the test says, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "link/link.h"

#define PIPE_MAX 1024
#define DELAY (25 * VS_MSEC)
#define DATAGRAM_MAX 1472

struct datagram {
	uint64_t due;
	size_t len;
	uint8_t data[DATAGRAM_MAX];
};

struct end {
	struct vs_link *link;
	struct vs_deframed arrived;
	struct datagram pipe[PIPE_MAX]; /* what it has sent */
	unsigned head, count;
	unsigned received; /* frames */
	bool came[4096];   /* by number */
	unsigned lose_every; /* 0: none */
	unsigned sent;
};

struct world {
	struct vs_pool *pool;
	struct end a, b; /* a is the initiator, and sends */
	uint64_t now;
	uint32_t next_number;
};

static struct vs_params fec_params(const char *fec)
{
	struct vs_params params = {
		.version = 1,
		.cipher = VS_CIPHER_CHACHA20_POLY1305,
		.mode = VS_MODE_RELIABLE,
		.kcp = vs_kcp_config_default(),
		.congestion = VS_CONGESTION_BBR,
		.lanes = VS_LANES_MAX,
		.datagram_max = DATAGRAM_MAX,
		.mtu = 1500,
		.features = VS_FEATURE_FEC,
		.keepalive_usec = VS_SEC,
		.max_age_usec = VS_SEC,
		.incarnation = 1,
	};
	assert_int_equal(vs_fec_parse(fec, &params.fec_up), 0);
	params.fec_down = params.fec_up;
	return params;
}

static void make_keys(uint8_t key[VS_KEY_SIZE], uint32_t index, bool initiator)
{
	memset(key, (int)index, VS_KEY_SIZE);
	key[0] = initiator;
}

static uint32_t install(struct world *w, const struct vs_params *params)
{
	static uint32_t index;
	struct vs_session_keys a = { .cipher = params->cipher, .initiator = true }, b = { .cipher = params->cipher };
	index += 2;
	a.local_index = b.remote_index = index;
	b.local_index = a.remote_index = index + 1;
	make_keys(a.send, index, true);
	make_keys(b.recv, index, true);
	make_keys(a.recv, index, false);
	make_keys(b.send, index, false);
	assert_int_equal(vs_link_install(w->b.link, &b, params, w->now), 0);
	assert_int_equal(vs_link_install(w->a.link, &a, params, w->now), 0);
	return index;
}

static void open_end(struct world *w, struct end *e, bool initiator)
{
	struct vs_link_config config = {
		.crypto = vs_crypto_default(),
		.pool = w->pool,
		.queue = VS_QUEUE_CONFIG_DEFAULT,
		.datagram_max = DATAGRAM_MAX,
		.initiator = initiator,
	};
	e->link = vs_link_new(&config, w->now);
	assert_non_null(e->link);
	vs_frame_list_init(&e->arrived.frames, 1024);
	vs_frame_list_init(&e->arrived.control, 16);
}

static void close_end(struct end *e)
{
	vs_link_free(e->link);
	vs_frame_list_fini(&e->arrived.frames);
	vs_frame_list_fini(&e->arrived.control);
}

static void output(struct world *w, struct end *e)
{
	uint8_t buffer[VS_DATAGRAM_MAX];
	struct vs_link_sent sent;
	size_t len;
	while ((len = vs_link_output(e->link, w->now, buffer, sizeof(buffer), &sent))) {
		assert_true(e->count < PIPE_MAX && len <= DATAGRAM_MAX);
		if (e->lose_every && ++e->sent % e->lose_every == 0)
			continue;
		struct datagram *d = &e->pipe[(e->head + e->count++) % PIPE_MAX];
		d->due = w->now + DELAY;
		d->len = len;
		memcpy(d->data, buffer, len);
	}
}

static void take_frames(struct end *e)
{
	struct vs_frame *frame;
	while ((frame = vs_frame_list_pop(&e->arrived.frames))) {
		uint32_t number = vs_get_be32(vs_frame_cbytes(frame) + VS_ETH_HEADER);
		assert_in_range(number, 0, VS_ARRAY_SIZE(e->came) - 1);
		assert_false(e->came[number]);
		e->came[number] = true;
		e->received++;
		vs_frame_unref(frame);
	}
}

static void input(struct world *w, struct end *from, struct end *to)
{
	struct vs_path path = { 0 };
	assert_int_equal(vs_addr_parse("192.0.2.1", 7000, &path.peer), 0);
	for (; from->count && from->pipe[from->head].due <= w->now; from->count--) {
		struct datagram *d = &from->pipe[from->head];
		vs_link_input(to->link, d->data, d->len, &path, w->now, &to->arrived);
		take_frames(to);
		from->head = (from->head + 1) % PIPE_MAX;
	}
}

static uint64_t turn(const struct end *e)
{
	uint64_t due = e->count ? e->pipe[e->head].due : VS_NEVER;
	return vs_time_min(due, vs_link_deadline(e->link));
}

static void run(struct world *w, uint64_t usec)
{
	for (uint64_t end = w->now + usec; w->now < end;) {
		input(w, &w->a, &w->b);
		input(w, &w->b, &w->a);
		output(w, &w->a);
		output(w, &w->b);
		w->now = VS_MAX(w->now + 1, vs_time_min(end, vs_time_min(turn(&w->a), turn(&w->b))));
	}
}

static struct world *open_world(const struct vs_params *params)
{
	struct world *w = calloc(1, sizeof(*w));
	assert_non_null(w);
	w->pool = vs_pool_new(16 << 20);
	w->now = VS_SEC;
	open_end(w, &w->a, true);
	open_end(w, &w->b, false);
	install(w, params);
	run(w, 2 * VS_SEC);
	return w;
}

static void close_world(struct world *w)
{
	assert_int_equal(vs_link_take_events(w->a.link) & (VS_LINK_ERROR | VS_LINK_TIMED_OUT), 0);
	assert_int_equal(vs_link_take_events(w->b.link) & (VS_LINK_ERROR | VS_LINK_TIMED_OUT), 0);
	close_end(&w->a);
	close_end(&w->b);
	vs_pool_free(w->pool);
	free(w);
}

/* `count` frames from a to b, one each 20 ms. */
static void stream(struct world *w, unsigned count, size_t len)
{
	while (count--) {
		struct vs_frame *frame = vs_frame_new(w->pool, len);
		assert_non_null(frame);
		memset(vs_frame_bytes(frame), 2, len);
		vs_put_be32(vs_frame_bytes(frame) + VS_ETH_HEADER, w->next_number++);
		vs_link_send(w->a.link, frame, w->now);
		run(w, 20 * VS_MSEC);
	}
	run(w, 2 * DELAY);
}

static struct vs_link_stats stats_of(const struct world *w, const struct end *e)
{
	struct vs_link_stats s;
	vs_link_stats(e->link, w->now, &s);
	return s;
}

/* --- Tests --- */

/* Each seventh datagram is lost, in both modes, with frames that fill no datagram, one, and several. */
static void test_regains_what_is_lost(void **state)
{
	(void)state;
	static const enum vs_mode modes[] = { VS_MODE_RELIABLE, VS_MODE_DATAGRAM };
	static const size_t lens[] = { 60, 1400, 1514, 4000 };
	for (size_t i = 0; i < VS_ARRAY_SIZE(modes); i++) {
		for (size_t k = 0; k < VS_ARRAY_SIZE(lens); k++) {
			struct vs_params params = fec_params("2:1");
			params.mode = modes[i];
			struct world *w = open_world(&params);
			w->a.lose_every = 7;
			stream(w, 200, lens[k]);
			w->a.lose_every = 0;
			run(w, VS_SEC);
			struct vs_link_stats a = stats_of(w, &w->a), b = stats_of(w, &w->b);
			assert_int_equal(w->b.received, 200);
			assert_true(b.fec_recovered >= 10);
			assert_true(a.tx_parity >= b.rx_parity && b.rx_parity > 0);
			assert_int_equal(a.arq_tx.retransmitted, 0);
			close_world(w);
		}
	}
}

static void test_nothing_is_sent_where_it_is_off(void **state)
{
	(void)state;
	struct vs_params params = fec_params("2:1");
	params.features = 0;
	struct world *w = open_world(&params);
	stream(w, 20, 100);
	assert_int_equal(stats_of(w, &w->a).tx_parity, 0);
	assert_int_equal(stats_of(w, &w->a).fec.kind, VS_FEC_OFF);
	close_world(w);
}

/* One direction may, and the other may not. */
static void test_directions(void **state)
{
	(void)state;
	struct vs_params params = fec_params("2:1");
	params.fec_up.kind = VS_FEC_OFF;
	struct world *w = open_world(&params);
	stream(w, 20, 100);
	assert_int_equal(stats_of(w, &w->a).tx_parity, 0);
	assert_int_equal(stats_of(w, &w->b).fec.kind, VS_FEC_FIXED);
	assert_int_equal(w->b.received, 20);
	close_world(w);
}

/* What a peer says under the seal of a link: to b, as from a. */
static void say(struct world *w, uint32_t index, uint64_t counter, const uint8_t *text, size_t len)
{
	uint8_t key[VS_KEY_SIZE], out[256];
	struct vs_path path = { 0 };
	struct iovec part = { (void *)(uintptr_t)text, len };
	make_keys(key, index, true);
	struct vs_aead *aead = vs_crypto_default()->aead_new(VS_CIPHER_CHACHA20_POLY1305, key);
	assert_non_null(aead);
	out[0] = VS_TYPE_DATA;
	vs_put_be24(out + 1, index + 1);
	vs_put_be64(out + 4, counter);
	assert_int_equal(vs_crypto_default()->aead_seal(aead, counter, out, VS_SEAL_HEADER, &part, 1,
							out + VS_SEAL_HEADER), 0);
	vs_crypto_default()->aead_free(aead);
	assert_int_equal(vs_addr_parse("192.0.2.1", 7000, &path.peer), 0);
	vs_link_input(w->b.link, out, len + VS_SEAL_OVERHEAD, &path, w->now, &w->b.arrived);
	take_frames(&w->b);
}

static void test_what_may_be_in_a_shard(void **state)
{
	(void)state;
	struct vs_params params = fec_params("off");
	struct world *w = open_world(&params);
	uint32_t index = install(w, &params);
	run(w, VS_SEC);
	for (uint8_t kind = 0; kind < 12; kind++) {
		uint8_t text[6] = { VS_KIND_FEC_DATA, 0, 0, 0, kind, kind };
		uint64_t before = vs_link_drops(w->b.link)->count[VS_DROP_BAD_KIND];
		bool good = kind == VS_KIND_SEGMENTS || kind == VS_KIND_FRAMES || kind == VS_KIND_FRAGMENT;
		say(w, index, 1000 + kind, text, sizeof(text));
		assert_int_equal(vs_link_drops(w->b.link)->count[VS_DROP_BAD_KIND], before + !good);
	}
	/* Without the feature, none. */
	params.features = 0;
	index = install(w, &params);
	run(w, VS_SEC);
	uint64_t before = vs_link_drops(w->b.link)->count[VS_DROP_BAD_KIND];
	say(w, index, 1000, (const uint8_t[6]){ VS_KIND_FEC_DATA, 0, 0, 0, 0, VS_KIND_FRAMES }, 6);
	say(w, index, 1001, (const uint8_t[12]){ VS_KIND_FEC_PARITY, 0, 0, 0, 0, 1 }, 12);
	assert_int_equal(vs_link_drops(w->b.link)->count[VS_DROP_BAD_KIND], before + 2);
	close_world(w);
}

/* In the clear, what parity protects is sealed; `auto`, which has nothing to protect, leaves it as it is. */
static void test_in_the_clear(void **state)
{
	(void)state;
	static const struct {
		const char *fec;
		bool clear;
	} cases[] = { { "off", true }, { "2:1", false }, { "auto", true } };
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct vs_params params = fec_params(cases[i].fec);
		params.protection = VS_PROTECTION_NONE;
		struct world *w = open_world(&params);
		stream(w, 50, 100);
		run(w, VS_SEC);
		assert_int_equal(stats_of(w, &w->a).tx_clear > 0, cases[i].clear);
		assert_int_equal(w->b.received, 50);
		close_world(w);
	}
}

/* A handshake that resumes the link changes how it is protected, and loses no frame. */
static void test_changes_while_it_runs(void **state)
{
	(void)state;
	static const char *const kinds[] = { "off", "2:1", "auto", "1:2", "10:3", "off", "auto" };
	struct vs_params params = fec_params("off");
	struct world *w = open_world(&params);
	for (size_t i = 0; i < VS_ARRAY_SIZE(kinds); i++) {
		params = fec_params(kinds[i]);
		params.resumed = true;
		install(w, &params);
		stream(w, 50, 1514);
	}
	run(w, VS_SEC);
	assert_int_equal(w->b.received, w->next_number);
	assert_int_equal(stats_of(w, &w->a).arq_tx.retransmitted, 0);
	close_world(w);
}

/* No parity brings back what belongs to lanes that have been reset. */
static void test_fresh_start(void **state)
{
	(void)state;
	struct vs_params params = fec_params("10:3");
	struct world *w = open_world(&params);
	w->a.lose_every = 1;
	stream(w, 5, 100);
	w->a.lose_every = 0;
	params.incarnation = 2;
	install(w, &params);
	run(w, 500 * VS_MSEC);
	stream(w, 20, 100);
	run(w, VS_SEC);
	assert_int_equal(stats_of(w, &w->b).fec_recovered, 0);
	for (uint32_t number = 5; number < 25; number++)
		assert_true(w->b.came[number]);
	close_world(w);
}

/* On a line that loses, `auto` begins to send parity, and ends when it loses no more. */
static void test_auto(void **state)
{
	(void)state;
	struct vs_params params = fec_params("auto");
	struct world *w = open_world(&params);
	stream(w, 100, 100);
	assert_int_equal(stats_of(w, &w->a).tx_parity, 0);
	w->a.lose_every = 20;
	stream(w, 500, 100);
	struct vs_link_stats s = stats_of(w, &w->a);
	assert_in_range(s.fec_share_q16 * 100 / 65536, 35, VS_FEC_OVERHEAD_DEFAULT);
	assert_true(s.tx_parity > 100);
	w->a.lose_every = 0;
	stream(w, 31 * 50, 100);
	uint64_t parities = stats_of(w, &w->a).tx_parity;
	assert_int_equal(stats_of(w, &w->a).fec_share_q16, 0);
	stream(w, 50, 100);
	assert_int_equal(stats_of(w, &w->a).tx_parity, parities);
	assert_int_equal(w->b.received, w->next_number);
	close_world(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_regains_what_is_lost),
		cmocka_unit_test(test_nothing_is_sent_where_it_is_off),
		cmocka_unit_test(test_directions),
		cmocka_unit_test(test_what_may_be_in_a_shard),
		cmocka_unit_test(test_in_the_clear),
		cmocka_unit_test(test_changes_while_it_runs),
		cmocka_unit_test(test_fresh_start),
		cmocka_unit_test(test_auto),
	};
	return vs_crypto_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
